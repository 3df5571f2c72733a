"""The end state of a cluster as checkers see it, and the words that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.autoscaling.pool import NodePool
from harness.autoscaling.provisioning.catalogue import Catalogue
from harness.engine.component import Instant
from harness.model.core import Node, Pod
from harness.model.meta import LabelSelector, is_ready
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS
from harness.node.machine_report import MachineReport
from harness.scheduling.filter_plugin import FilterPlugin

ENDED = ("Succeeded", "Failed")

KNOWN_FINALIZERS = ("orphan", "foregroundDeletion", "batch.kubernetes.io/job-tracking", "kubernetes")
"""Removed by controllers of this cluster; any other finalizer is somebody else's to remove."""


@dataclass
class ClusterState:
    """`objects`: by kind, then by key. `machines`: by node name, as they are themselves; None: nobody can tell.

    `schedulers`: names whose pods must not wait where they fit; empty: nobody promises to place anything.
    `pools`: (least, most) nodes of each autoscaled pool, by name. `pool_label`: the node label that names its pool.
    `templates`: of the pools that an autoscaler sizes, by name; empty: nobody promises to make nodes or take them away.
    `epoch_unix_ns`: what instant 0 is by the calendar.
    `filters`: the cluster's Filter plugins of others. `flags`: what the cluster autoscaler is set to.
    `catalogue`: what NodePools make nodes of; None: nobody does.
    """

    objects: Callable[[str], Mapping[str, Any]]
    now: Instant
    machines: Mapping[str, MachineReport] | None = None
    schedulers: tuple[str, ...] = ("default-scheduler",)
    pools: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    pool_label: str = "podyard.dev/pool"
    templates: Mapping[str, NodePool] = field(default_factory=dict)
    epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS
    filters: tuple[FilterPlugin, ...] = ()
    catalogue: Catalogue | None = None
    flags: ClusterAutoscalerSettings = field(default_factory=ClusterAutoscalerSettings)

    def listed(self, kind: str) -> list[Any]:
        """In order of key."""
        held = self.objects(kind)
        return [held[key] for key in sorted(held)]

    def pods_of(self, owner_uid: str) -> list[Pod]:
        """The pods that this owner controls, in order of key."""
        return self._by_owner.get(owner_uid, [])

    def selected(self, namespace: str, selector: LabelSelector) -> list[Pod]:
        """In order of key."""
        return [
            pod
            for pod in self.listed("Pod")
            if pod.metadata.namespace == namespace and selector.matches(pod.metadata.labels)
        ]

    @cached_property
    def _by_owner(self) -> dict[str, list[Pod]]:
        found: dict[str, list[Pod]] = {}
        for pod in self.listed("Pod"):
            owner = pod.metadata.controller()
            if owner is not None:
                found.setdefault(owner.uid, []).append(pod)
        return found


@dataclass(frozen=True, slots=True)
class Autoscaled:
    """What autoscalers of nodes promise; the fields are those of ClusterState."""

    pools: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    templates: Mapping[str, NodePool] = field(default_factory=dict)
    flags: ClusterAutoscalerSettings = field(default_factory=ClusterAutoscalerSettings)
    catalogue: Catalogue | None = None


NOTHING_AUTOSCALED = Autoscaled()

Checker: TypeAlias = Callable[[ClusterState], Iterator[tuple[str, str]]]
"""Yields (subject, what)."""


def differing_numbers(
    kind: str, obj: Any, names: tuple[str, ...], told: tuple[int, ...], counted: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    for name, said, is_ in zip(names, told, counted, strict=True):
        if said != is_:
            yield f"{kind} {obj.metadata.key}", f"status.{name} is {said}, {is_} by recount"


def wanted_replicas(obj: Any) -> int:
    return 1 if obj.spec.replicas is None else int(obj.spec.replicas)


def is_active(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in ENDED


def count_ready(pods: Iterable[Pod]) -> int:
    return sum(is_ready(pod.status.conditions) for pod in pods)


def on_dead_node(state: ClusterState, pod: Pod, there: Mapping[str, Node]) -> bool:
    if state.machines is None or pod.spec.node_name not in there:
        return False
    report = state.machines.get(pod.spec.node_name)
    return report is None or not report.healthy
