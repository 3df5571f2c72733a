"""LimitRange: what containers of a namespace get when they say nothing, and what they may ask at most and at least.

Source: Kubernetes 1.32 plugin/pkg/admission/limitranger/admission.go and SetDefaults_LimitRangeItem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.apiserver.admission.by_namespace import ByNamespace
from harness.apiserver.admission.plugin import AdmissionRequest, Plugin
from harness.apiserver.registry.lifecycle import replaced, spoken_name
from harness.apiserver.watch_cache import WatchCache
from harness.engine.component import ADDED
from harness.model.core import Container, Pod, PodSpec, ResourceList
from harness.model.meta import ApiObject
from harness.model.pod_amounts import pod_amounts, thousandths
from harness.model.policy import LimitRange, LimitRangeItem
from harness.model.quantity import Quantity
from harness.model.status import forbidden

ANNOTATION = "kubernetes.io/limit-ranger"
"""What LimitRanger set, in words. Source: limitranger/admission.go limitRangerAnnotation."""


class LimitRanger(Plugin):
    observes = frozenset({"LimitRange"})

    def __init__(self, cache: WatchCache) -> None:
        super().__init__(cache)
        self._ranges: ByNamespace[LimitRange] = ByNamespace()

    def admit(self, request: AdmissionRequest) -> Any:
        pod: Pod = request.obj
        limited = filled(pod.spec, self._ranges.values(request.namespace))
        if not limited.told:
            return pod
        annotations = {**pod.metadata.annotations, ANNOTATION: limited.told}
        return replaced(pod, metadata=replaced(pod.metadata, annotations=annotations), spec=limited.spec)

    def validate(self, request: AdmissionRequest) -> Sequence[Any]:
        check(request.obj, self._ranges.values(request.namespace))
        return ()

    def observe(self, change: str, obj: ApiObject, old: ApiObject) -> None:
        self._ranges.put(change, obj, completed(obj))
        self.idle = not self._ranges.held

    def rebuild(self) -> None:
        self._ranges.clear()
        for found in self.cache.objects("LimitRange").values():
            self._ranges.put(ADDED, found, completed(found))
        self.idle = not self._ranges.held


def completed(limit_range: LimitRange) -> LimitRange:
    """With what a LimitRange's own silence means: default from max, defaultRequest from default, then from min."""
    items = tuple(_completed(item) if item.type == "Container" else item for item in limit_range.spec.limits)
    return replaced(limit_range, spec=replaced(limit_range.spec, limits=items))


def _completed(item: LimitRangeItem) -> LimitRangeItem:
    default = {**item.max, **item.default}
    return replaced(item, default=default, default_request={**item.min, **default, **item.default_request})


@dataclass(frozen=True, slots=True)
class Limited:
    """A pod with defaults filled in; `told` says which, for the annotation."""

    spec: PodSpec
    told: str


def filled(spec: PodSpec, ranges: Iterable[LimitRange]) -> Limited:
    """The containers' requests and limits, completed by the namespace's defaults."""
    told: list[str] = []
    for limit_range in ranges:
        requests: ResourceList = {}
        limits: ResourceList = {}
        for item in limit_range.spec.limits:
            if item.type == "Container":
                requests = {**requests, **item.default_request}
                limits = {**limits, **item.default}
        containers = tuple(_filled(c, requests, limits, "container", told) for c in spec.containers)
        inits = tuple(_filled(c, requests, limits, "init container", told) for c in spec.init_containers)
        spec = replaced(spec, containers=containers, init_containers=inits)
    return Limited(spec, f"LimitRanger plugin set: {'; '.join(told)}" if told else "")


def _filled(
    container: Container, requests: ResourceList, limits: ResourceList, what: str, told: list[str]
) -> Container:
    has = container.resources
    new_limits = {name: amount for name, amount in limits.items() if name not in has.limits}
    new_requests = {name: amount for name, amount in requests.items() if name not in has.requests}
    if not new_limits and not new_requests:
        return container
    for kind, new in (("request", new_requests), ("limit", new_limits)):
        if new:
            told.append(f"{', '.join(sorted(new))} {kind} for {what} {container.name}")
    resources = replaced(has, requests={**has.requests, **new_requests}, limits={**has.limits, **new_limits})
    return replaced(container, resources=resources)


def check(pod: Pod, ranges: Iterable[LimitRange]) -> None:
    """Raises ApiError Forbidden with all that is out of range."""
    wrong: list[str] = []
    for limit_range in ranges:
        for item in limit_range.spec.limits:
            if item.type == "Container":
                for container in (*pod.spec.containers, *pod.spec.init_containers):
                    resources = container.resources
                    wrong += _out_of_range(item, resources.requests, resources.limits)
            elif item.type == "Pod":
                wrong += _out_of_range(item, _sum(pod.spec, _requests), _sum(pod.spec, _limits))
    if wrong:
        raise forbidden("pods", spoken_name(pod.metadata), wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")


def _out_of_range(item: LimitRangeItem, requests: ResourceList, limits: ResourceList) -> list[str]:
    wrong: list[str] = []
    for name in sorted(item.min):
        least = item.min[name]
        head = f"minimum {name} usage per {item.type} is {least}"
        request, limit = requests.get(name), limits.get(name)
        if request is None:
            wrong.append(f"{head}.  No request is specified")
        elif request.milli < least.milli:
            wrong.append(f"{head}, but request is {request}")
        elif limit is not None and limit.milli < least.milli:
            wrong.append(f"{head}, but limit is {limit}")
    for name in sorted(item.max):
        most = item.max[name]
        head = f"maximum {name} usage per {item.type} is {most}"
        request, limit = requests.get(name), limits.get(name)
        if limit is None:
            wrong.append(f"{head}.  No limit is specified")
        elif limit.milli > most.milli:
            wrong.append(f"{head}, but limit is {limit}")
        elif request is not None and request.milli > most.milli:
            wrong.append(f"{head}, but request is {request}")
    for name in sorted(item.max_limit_request_ratio):
        ratio = item.max_limit_request_ratio[name]
        head = f"{name} max limit to request ratio per {item.type} is {ratio}"
        request, limit = requests.get(name), limits.get(name)
        if request is None or not request.milli:
            wrong.append(f"{head}, but no request is specified or request is 0")
        elif limit is None or not limit.milli:
            wrong.append(f"{head}, but no limit is specified or limit is 0")
        elif limit.milli * 1000 > ratio.milli * request.milli:
            wrong.append(f"{head}, but provided ratio is {limit.milli / request.milli:f}")
    return wrong


def _sum(spec: PodSpec, of: Callable[[Container], ResourceList]) -> ResourceList:
    said = [quantity for c in (*spec.containers, *spec.init_containers) for quantity in of(c).items()]
    forms = {name: quantity.form for name, quantity in said}
    total = pod_amounts(replaced(spec, overhead={}), lambda container: thousandths(of(container)))
    return {name: Quantity(milli, forms[name]) for name, milli in total.items()}


def _requests(container: Container) -> ResourceList:
    return container.resources.requests


def _limits(container: Container) -> ResourceList:
    return container.resources.limits
