"""The smallest change of a pod after which a node could take it: less asked for, more tolerated, a demand dropped.

Everything that could stand in the way is dropped together, and taken up again piece by piece, each held to the verdict
of the same constraints; what is left is minimal in the sense of `changes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

from msgspec.structs import replace

from harness.explain.amounts import shown
from harness.explain.minimal_change import smallest
from harness.model.core import Affinity, Container, Pod, PodAffinity, PodSpec, Taint, Toleration
from harness.model.gpu import GPU_COUNT, GPU_MILLI, GPU_MODEL, WHOLE_GPU
from harness.model.quantity import Quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.gpu_devices import GpuDevices
from harness.scheduling.filters.node_resources_fit import NodeResourcesFit
from harness.scheduling.filters.node_unschedulable import CORDON
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.strategy import PodView

ANY_SKEW = 1 << 20
"""A maxSkew that no cluster reaches."""


@dataclass(frozen=True, slots=True)
class LowerRequest:
    """It asked for `amount` less of a resource, in milli-CPU, bytes or units."""

    resource: str
    amount: int

    def __str__(self) -> str:
        return f"the pod asks for {shown(self.resource, self.amount)} less {self.resource}"


@dataclass(frozen=True, slots=True)
class Share:
    """It asked for `amount` milli less of each GPU."""

    amount: int

    def __str__(self) -> str:
        return f"the pod asks for {self.amount} milli less of {GPU_MILLI}"


@dataclass(frozen=True, slots=True)
class FewerDevices:
    amount: int

    def __str__(self) -> str:
        return f"the pod asks for {self.amount} GPU device{'s' if self.amount > 1 else ''} less"


@dataclass(frozen=True, slots=True)
class AnyModel:
    def __str__(self) -> str:
        return "the pod takes any GPU model"


@dataclass(frozen=True, slots=True)
class Tolerates:
    taint: Taint

    def __str__(self) -> str:
        value = f"={self.taint.value}" if self.taint.value else ""
        return f"the pod tolerates {self.taint.key}{value}:{self.taint.effect}"


@dataclass(frozen=True, slots=True)
class AnyNode:
    """Without one entry of its nodeSelector, or (None) without its required node affinity."""

    key: str | None

    def __str__(self) -> str:
        return f"the pod does not select {self.key}" if self.key is not None else "the pod requires no node affinity"


@dataclass(frozen=True, slots=True)
class WithoutTerm:
    """Without one required term, by its place in the spec. `kind`: podAffinity or podAntiAffinity."""

    kind: str
    index: int

    def __str__(self) -> str:
        return f"the pod requires no {self.kind}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Skew:
    """maxSkew of a spread constraint, by its place in the spec, raised by `amount`; 0: the constraint dropped."""

    index: int
    key: str
    amount: int

    def __str__(self) -> str:
        if not self.amount:
            return f"the pod need not be spread over {self.key}"
        return f"the pod allows a maxSkew over {self.key} that is {self.amount} more"


@dataclass(frozen=True, slots=True)
class WithoutPort:
    port: int

    def __str__(self) -> str:
        return f"the pod does not take host port {self.port}"


PodChange: TypeAlias = (
    LowerRequest | Share | FewerDevices | AnyModel | Tolerates | AnyNode | WithoutTerm | Skew | WithoutPort
)


def to_fit_by_pod(on: Snapshot, pod: Pod, view: PodView, node: int) -> list[PodChange]:
    """Changes of the pod that together make every constraint hold on the node; [] where none does, or none is needed.

    `pod`: as `view` was made from. The snapshot stays as it is.
    """

    def fits(changes: Sequence[PodChange]) -> bool:
        made = with_changes(pod, changes)
        seen = on.classes.view(made, group_min=view.group_min, lifetime_ns=view.lifetime_ns)
        return on.verdicts.holds(on.classes.class_now(seen), node)

    everything = list(_candidates(on, pod, view, node))
    if fits([]) or not everything or not fits(everything):
        return []
    return smallest(everything, fits)


def _candidates(on: Snapshot, pod: Pod, view: PodView, node: int) -> Iterable[PodChange]:
    """The most drastic first: they are the first to be taken up again."""
    spec = pod.spec
    affinity = spec.affinity or Affinity()
    if affinity.node_affinity and affinity.node_affinity.required_during_scheduling_ignored_during_execution:
        yield AnyNode(None)
    for index, constraint in enumerate(spec.topology_spread_constraints):
        if constraint.when_unsatisfiable == "DoNotSchedule":
            there = constraint.topology_key in on.node_table.labels[node]
            yield Skew(index, constraint.topology_key, ANY_SKEW if there else 0)
    for kind, terms in (("podAffinity", affinity.pod_affinity), ("podAntiAffinity", affinity.pod_anti_affinity)):
        for index in range(len(_required(terms))):
            yield WithoutTerm(kind, index)
    for key in spec.node_selector:
        yield AnyNode(key)
    for port in sorted(
        {p.host_port for c in (*spec.containers, *spec.init_containers) for p in c.ports if p.host_port}
    ):
        yield WithoutPort(port)
    for taint in on.node_table.taints(node):
        if taint.effect != "PreferNoSchedule":
            yield Tolerates(taint)
    if on.node_table.unschedulable[node]:
        yield Tolerates(CORDON)
    if view.gpu.models:
        yield AnyModel()
    for term in constraints_of(on.classes.class_now(view)).filters:
        if term.holds(on, node):
            continue
        if isinstance(term, GpuDevices):
            yield from _devices(pod, term, on.devices_of[node])
        elif isinstance(term, NodeResourcesFit):
            free = on.free_of[node]
            for row, want in term.needs:
                if want > free[row] and on.resources[row] != "pods":
                    yield LowerRequest(on.resources[row], want - max(free[row], 0))


def _devices(pod: Pod, term: GpuDevices, idle: Sequence[int]) -> Iterable[PodChange]:
    """A smaller share where shares are asked for and so many devices have any room, else fewer devices."""
    fullest = sorted(idle, reverse=True)[: term.count]
    if GPU_MILLI in pod.metadata.annotations and len(fullest) == term.count and fullest[-1] > 0:
        yield Share(term.milli - fullest[-1])
        return
    enough = sum(room >= term.milli for room in idle)
    if enough:
        yield FewerDevices(term.count - enough)


def _required(terms: PodAffinity | None) -> tuple[Any, ...]:
    return () if terms is None else terms.required_during_scheduling_ignored_during_execution


# -- the pod with the changes ------------------------------------------------------------------------------------------


def with_changes(pod: Pod, changes: Sequence[PodChange]) -> Pod:
    """Another pod; `index` of each change is that of the pod given."""
    spec, annotations = pod.spec, dict(pod.metadata.annotations)
    dropped: set[tuple[str, int]] = set()
    skews: dict[int, int] = {}
    for change in changes:
        match change:
            case LowerRequest(resource, amount):
                spec = _asking_less(spec, resource, amount)
            case Share(amount):
                annotations[GPU_MILLI] = str(int(annotations[GPU_MILLI]) - amount)
            case FewerDevices(amount):
                if GPU_COUNT in annotations:
                    annotations[GPU_COUNT] = str(int(annotations[GPU_COUNT]) - amount)
                else:
                    spec = _asking_less(spec, WHOLE_GPU, amount)
            case AnyModel():
                annotations.pop(GPU_MODEL, None)
            case Tolerates(taint):
                more = Toleration(key=taint.key, operator="Equal", value=taint.value, effect=taint.effect)
                spec = replace(spec, tolerations=(*spec.tolerations, more))
            case AnyNode(None):
                spec = replace(spec, affinity=_without_node_affinity(spec.affinity))
            case AnyNode(key):
                spec = replace(spec, node_selector={k: v for k, v in spec.node_selector.items() if k != key})
            case WithoutTerm(kind, index):
                dropped.add((kind, index))
            case Skew(index, _, amount):
                skews[index] = amount
            case WithoutPort(port):
                spec = replace(
                    spec,
                    containers=tuple(_without_port(item, port) for item in spec.containers),
                    init_containers=tuple(_without_port(item, port) for item in spec.init_containers),
                )
            case _:
                assert_never(change)
    if skews:
        spread = [
            item if index not in skews else replace(item, max_skew=item.max_skew + skews[index])
            for index, item in enumerate(spec.topology_spread_constraints)
            if skews.get(index) != 0
        ]
        spec = replace(spec, topology_spread_constraints=tuple(spread))
    if dropped and spec.affinity is not None:
        spec = replace(
            spec,
            affinity=replace(
                spec.affinity,
                pod_affinity=_without_terms(spec.affinity.pod_affinity, "podAffinity", dropped),
                pod_anti_affinity=_without_terms(spec.affinity.pod_anti_affinity, "podAntiAffinity", dropped),
            ),
        )
    return replace(pod, spec=spec, metadata=replace(pod.metadata, annotations=annotations))


def _without_node_affinity(affinity: Affinity | None) -> Affinity | None:
    if affinity is None or affinity.node_affinity is None:
        return affinity
    left = replace(affinity.node_affinity, required_during_scheduling_ignored_during_execution=None)
    return replace(affinity, node_affinity=left)


def _without_terms(terms: PodAffinity | None, kind: str, dropped: set[tuple[str, int]]) -> PodAffinity | None:
    if terms is None:
        return None
    left = tuple(term for index, term in enumerate(_required(terms)) if (kind, index) not in dropped)
    return replace(terms, required_during_scheduling_ignored_during_execution=left)


def _without_port(container: Container, port: int) -> Container:
    return replace(container, ports=tuple(item for item in container.ports if item.host_port != port))


def _asking_less(spec: PodSpec, resource: str, amount: int) -> PodSpec:
    """The containers ask for `amount` less in sum, the later ones first; no init container asks for more than that.

    A pod asks for the greater of both (component-helpers/resource PodRequests), so both come down.
    """
    scale = 1 if resource == "cpu" else 1000

    def asked(container: Container) -> int:
        found = container.resources.requests.get(resource)
        return 0 if found is None else -(-found.milli // scale)

    def asking(container: Container, much: int) -> Container:
        before = container.resources.requests.get(resource)
        if before is None:
            return container
        made = {**container.resources.requests, resource: Quantity(much * scale, before.form)}
        return replace(container, resources=replace(container.resources, requests=made))

    sidecars = sum(asked(item) for item in spec.init_containers if item.restart_policy == "Always")
    together = sidecars + sum(map(asked, spec.containers))
    single = max((asked(item) for item in spec.init_containers), default=0)
    target = max(max(together, single) - amount, 0)
    over = max(together - target, 0)
    kept: list[Container] = []
    for item in reversed(spec.containers):
        less = min(over, asked(item))
        over -= less
        kept.append(asking(item, asked(item) - less) if less else item)
    capped = tuple(asking(item, target) if asked(item) > target else item for item in spec.init_containers)
    return replace(spec, containers=tuple(reversed(kept)), init_containers=capped)
