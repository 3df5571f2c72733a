"""What the objects of a workload ask for once the API server has them: a limit without a request is the request, a
LimitRange fills in what is left out, and a RuntimeClass adds its overhead.

Measures that belong to the workload, as the proven bound, are told of objects before anybody has written them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from harness.apiserver.admission.limit_ranger import completed, filled
from harness.apiserver.admission.runtime_class import class_of, fixed_overhead
from harness.apiserver.defaults.pod_spec import default_pod_spec
from harness.model.core import Pod, PodSpec
from harness.model.cron_jobs import CronJob, pod_template
from harness.model.objects import kind_of
from harness.model.policy import LimitRange
from harness.model.vertical import VerticalPodAutoscaler


class AsStored:
    """`at_once`: what is written before any controller makes a pod. A pod is completed with what was there before it,
    a template with all of that, as its pods are made later."""

    def __init__(self, at_once: Iterable[Any] = ()) -> None:
        self._before, self._all = _Rules(), _Rules()
        for obj in at_once:
            self._all.see(obj)

    def see(self, obj: Any) -> None:
        """It is there, as it is."""
        self._before.see(obj)
        self._all.see(obj)

    def of(self, obj: Any) -> Any:
        """The object as it will be kept, of its pods' requests; it is now there."""
        if isinstance(obj, Pod):
            spec = self._before.completed(obj.metadata.namespace, obj.spec)
            return obj if spec is obj.spec else replace(obj, spec=spec)
        template, _ = pod_template(obj)
        if template is None:
            self.see(obj)
            return obj
        spec = self._all.completed(obj.metadata.namespace, template.spec)
        if spec is template.spec:
            return obj
        made = replace(template, spec=spec)
        if not isinstance(obj, CronJob):
            return replace(obj, spec=replace(obj.spec, template=made))
        job = replace(obj.spec.job_template, spec=replace(obj.spec.job_template.spec, template=made))
        return replace(obj, spec=replace(obj.spec, job_template=job))


class _Rules:
    """LimitRanges by namespace and name, RuntimeClasses by name."""

    def __init__(self) -> None:
        self._ranges: dict[str, dict[str, LimitRange]] = {}
        self._classes: dict[str, Any] = {}

    def see(self, obj: Any) -> None:
        if isinstance(obj, LimitRange):
            self._ranges.setdefault(obj.metadata.namespace, {})[obj.metadata.name] = completed(obj)
        elif kind_of(obj) == "RuntimeClass":
            self._classes[obj.metadata.name] = obj

    def completed(self, namespace: str, spec: PodSpec) -> PodSpec:
        containers = (*spec.containers, *spec.init_containers)
        if any(each.resources.limits.keys() - each.resources.requests.keys() for each in containers):
            spec = default_pod_spec(spec)
        ranges = self._ranges.get(namespace)
        if ranges:
            spec = filled(spec, [ranges[name] for name in sorted(ranges)]).spec
        found = self._classes.get(class_of(spec)) if self._classes else None
        overhead = {} if found is None else fixed_overhead(found)
        return replace(spec, overhead=overhead) if overhead and overhead != spec.overhead else spec


def bears_on_requests(there: Sequence[Any], later: Iterable[Any]) -> str:
    """Why it is not known before a run what its pods ask for; "" where it is."""
    for obj in later:
        if isinstance(obj, LimitRange) or kind_of(obj) == "RuntimeClass":
            return f"{kind_of(obj)} {obj.metadata.name} comes later, and may change what is asked for"
    for obj in there:
        target = obj.spec.target_ref if isinstance(obj, VerticalPodAutoscaler) else None
        if target is not None and target.kind in ("Job", "CronJob"):
            return f"VerticalPodAutoscaler {obj.metadata.name} may change what a {target.kind} asks for"
    return ""
