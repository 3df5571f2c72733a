"""RuntimeClass: what a pod takes besides its containers, and the nodes that its runtime is on.

Source: plugin/pkg/admission/runtimeclass/admission.go (Kubernetes 1.32).
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.admission.plugin import AdmissionRequest, Plugin
from harness.apiserver.admission.pod_specs import PodSpecPlugin
from harness.apiserver.registry.lifecycle import replaced, spoken_name
from harness.model.core import PodSpec, ResourceList, Toleration
from harness.model.quantity import parse_quantity
from harness.model.status import forbidden
from harness.model.wire import decode


def class_of(spec: PodSpec) -> str:
    return str((spec.extra or {}).get("runtimeClassName") or "")


def fixed_overhead(found: Any) -> ResourceList:
    """What a pod of a RuntimeClass takes besides its containers."""
    fixed = ((found.extra or {}).get("overhead") or {}).get("podFixed") or {}
    return {resource: parse_quantity(amount) for resource, amount in fixed.items()}


class RuntimeClass(PodSpecPlugin):
    """A class that is not there changes nothing: the manifests of a run may leave it out."""

    observes = frozenset({"RuntimeClass"})

    def complete(self, spec: PodSpec, old: PodSpec | None, name: str) -> PodSpec:
        found: Any = None if old is not None else self.cache.objects("RuntimeClass").get(class_of(spec))
        if found is None:
            return spec
        body = found.extra or {}
        overhead = fixed_overhead(found)
        if overhead:
            if spec.overhead and spec.overhead != overhead:
                why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                raise forbidden("pods", name, why)
            spec = replaced(spec, overhead=overhead)
        elif spec.overhead:
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise forbidden("pods", name, why)
        scheduling = body.get("scheduling") or {}
        chosen = scheduling.get("nodeSelector") or {}
        for key, value in chosen.items():
            if spec.node_selector.get(key, value) != value:
                raise forbidden(
                    "pods",
                    name,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = "
                    f"{spec.node_selector[key]}",
                )
        tolerated = tuple(decode(Toleration, item, epoch_unix_ns=0) for item in scheduling.get("tolerations") or [])
        missing = tuple(item for item in tolerated if item not in spec.tolerations)
        if chosen or missing:
            selector = {**spec.node_selector, **chosen}
            spec = replaced(spec, node_selector=selector, tolerations=(*spec.tolerations, *missing))
        return spec


class RuntimeClassExists(Plugin):
    """Idle until somebody serves clients."""

    idle = True
    for_clients = True

    def admit(self, request: AdmissionRequest) -> Any:
        pod = request.obj
        name = class_of(pod.spec)
        if name and name not in self.cache.objects("RuntimeClass"):
            raise forbidden("pods", spoken_name(pod.metadata), f'pod rejected: RuntimeClass "{name}" not found')
        return pod
