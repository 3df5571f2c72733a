"""Admission: what is added to or refused of an object because of the rest of the cluster.

NamespaceLifecycle, LimitRanger, Priority, DefaultTolerationSeconds, DefaultStorageClass, ResourceQuota; and the
addresses of services.
Source: plugin/pkg/admission/*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.apiserver.admission import limit_ranger, quota
from harness.apiserver.admission.service_addresses import ServiceAddresses
from harness.apiserver.registry.lifecycle import replaced
from harness.model.core import Pod, PodSpec, Toleration
from harness.model.objects import Kind, PriorityClass
from harness.model.policy import LimitRange, ResourceQuota
from harness.model.status import forbidden, not_found
from harness.model.storage import PersistentVolumeClaim
from harness.model.volumes import OLD_CLASS, default_class

if TYPE_CHECKING:
    from harness.apiserver.server import ApiServer

TOLERATION_SECONDS = 300
"""Source: --default-not-ready-toleration-seconds, --default-unreachable-toleration-seconds."""

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Source: pkg/apis/scheduling/types.go."""


class Chain:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._specs: dict[int, tuple[PodSpec, PodSpec]] = {}  # by identity: pods of one template share theirs
        self._addresses = ServiceAddresses()
        # By namespace, then by name; most namespaces have none and pay nothing.
        self._ranges: dict[str, dict[str, LimitRange]] = {}
        self._quotas: dict[str, dict[str, ResourceQuota]] = {}

    def recover(self) -> None:
        self._specs.clear()
        self._ranges.clear()
        self._quotas.clear()
        for found in self._server.objects("LimitRange").values():
            self._ranges.setdefault(found.metadata.namespace, {})[found.metadata.name] = limit_ranger.completed(found)
        for found in self._server.objects("ResourceQuota").values():
            self._quotas.setdefault(found.metadata.namespace, {})[found.metadata.name] = found
        self._addresses = ServiceAddresses()
        for service in self._server.objects("Service").values():
            self._addresses.take(service)

    def creating(self, kind: Kind, obj: Any, namespace: str) -> Any:
        """Raises ApiError NotFound (namespace), Forbidden."""
        if namespace:
            space = self._server.objects("Namespace").get(namespace)
            if space is None:
                raise not_found("namespaces", namespace)
            if space.metadata.deletion_timestamp is not None:
                why = f"unable to create new content in namespace {namespace} because it is being terminated"
                raise forbidden(kind.plural, obj.metadata.name, why)
        if kind.kind == "Pod":
            ranges = self._ranges.get(namespace)
            return self._pod(obj if ranges is None else _within(obj, [ranges[name] for name in sorted(ranges)]))
        if kind.kind == "Service":
            return self._addresses.give(obj)
        if kind.kind == "PersistentVolumeClaim":
            return self._claim(obj)
        return obj

    def charging(self, kind: Kind, obj: Any, namespace: str) -> list[ResourceQuota]:
        """The namespace's quotas as they are to be written with `obj`. Raises ApiError Forbidden."""
        quotas = self._quotas.get(namespace)
        if quotas is None or kind.kind == "Event":
            return []
        return quota.admitted([quotas[name] for name in sorted(quotas)], obj, kind.plural, self._server.now)

    def updating(self, kind: Kind, new: Any, old: Any) -> Any:
        if kind.kind == "Service":
            return self._addresses.keep(new, old)
        if kind.kind == "Pod" and new.spec is not old.spec:
            return _kept(new, old)
        return new

    def seen(self, kind: Kind, change: str, obj: Any, old: Any) -> None:
        """A write went through."""
        if kind.kind == "PriorityClass":
            self._specs.clear()
        elif kind.kind == "Service":
            if change == "DELETED":
                self._addresses.free(obj)
            else:
                self._addresses.take(obj)
        elif kind.kind == "LimitRange":
            _shelve(self._ranges, change, obj, limit_ranger.completed(obj))
        elif kind.kind == "ResourceQuota":
            _shelve(self._quotas, change, obj, obj)

    def _claim(self, claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
        """Source: plugin/pkg/admission/storage/storageclass/setdefault."""
        if claim.spec.storage_class_name is not None or OLD_CLASS in claim.metadata.annotations:
            return claim
        found = default_class(self._server.objects("StorageClass").values())
        if found is None:
            return claim
        return replaced(claim, spec=replaced(claim.spec, storage_class_name=found.metadata.name))

    def _pod(self, pod: Pod) -> Pod:
        spec = pod.spec
        known = self._specs.get(id(spec))
        if known is not None and known[0] is spec:
            made = known[1]
        else:
            made = self._pod_spec(pod)
            if len(self._specs) > 4096:
                self._specs.clear()
            self._specs[id(spec)] = (spec, made)
        return pod if made is spec else Pod(metadata=pod.metadata, spec=made, status=pod.status, extra=pod.extra)

    def _pod_spec(self, pod: Pod) -> PodSpec:
        spec = pod.spec
        priority, name, policy = self._priority(pod)
        return replaced(
            spec,
            priority=priority,
            priority_class_name=name,
            preemption_policy=policy,
            tolerations=_tolerating(spec.tolerations),
        )

    def _priority(self, pod: Pod) -> tuple[int, str, str]:
        """(value, class, preemption policy). Source: plugin/pkg/admission/priority/admission.go."""
        spec = pod.spec
        classes: dict[str, PriorityClass] = self._server.objects("PriorityClass")
        name = spec.priority_class_name
        policy: str | None = None
        if name in SYSTEM_PRIORITIES:
            value = SYSTEM_PRIORITIES[name]
        elif name:
            found = classes.get(name)
            if found is None:
                raise forbidden("pods", pod.metadata.name, f"no PriorityClass with name {name} was found")
            value, policy = found.value, found.preemption_policy
        else:
            default = min(
                (item for item in classes.values() if item.global_default),
                key=lambda item: (item.value, item.metadata.name),
                default=None,
            )
            value = 0
            if default is not None:
                value, name, policy = default.value, default.metadata.name, default.preemption_policy
        wrong = "must not be provided in pod spec; priority admission controller computed"
        if spec.priority is not None and spec.priority != value:
            why = f"the integer value of priority ({spec.priority}) {wrong} {value} from the given PriorityClass name"
            raise forbidden("pods", pod.metadata.name, why)
        if policy and spec.preemption_policy and spec.preemption_policy != policy:
            asked = f"the string value of PreemptionPolicy ({spec.preemption_policy})"
            raise forbidden("pods", pod.metadata.name, f"{asked} {wrong} {policy} from the given PriorityClass name")
        return value, name, policy or spec.preemption_policy or "PreemptLowerPriority"


def _shelve(shelf: dict[str, dict[str, Any]], change: str, obj: Any, kept: Any) -> None:
    meta = obj.metadata
    held = shelf.setdefault(meta.namespace, {})
    if change == "DELETED":
        held.pop(meta.name, None)
        if not held:
            del shelf[meta.namespace]
    else:
        held[meta.name] = kept


def _within(pod: Pod, ranges: list[LimitRange]) -> Pod:
    limited = limit_ranger.filled(pod.spec, ranges)
    if limited.told:
        annotations = {**pod.metadata.annotations, limit_ranger.ANNOTATION: limited.told}
        pod = replaced(pod, metadata=replaced(pod.metadata, annotations=annotations), spec=limited.spec)
    limit_ranger.check(pod, ranges)
    return pod


def _tolerating(tolerations: tuple[Toleration, ...]) -> tuple[Toleration, ...]:
    """A pod stays five minutes on a node that is not ready or not reachable. Source: DefaultTolerationSeconds."""
    for key in (NOT_READY, UNREACHABLE):
        if not any(t.key in ("", key) and t.effect in ("", "NoExecute") for t in tolerations):
            tolerations = (
                *tolerations,
                Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=TOLERATION_SECONDS),
            )
    return tolerations


def _kept(new: Pod, old: Pod) -> Pod:
    """An update that is silent about what admission once decided does not take it back."""
    spec, was = new.spec, old.spec
    spec = replaced(
        spec,
        priority=was.priority if spec.priority is None else spec.priority,
        priority_class_name=spec.priority_class_name or was.priority_class_name,
        preemption_policy=spec.preemption_policy or was.preemption_policy,
        tolerations=_tolerating(spec.tolerations),
    )
    return replaced(new, spec=was if spec == was else spec)
