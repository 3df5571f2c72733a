"""Simulated scheduling: pods onto nodes that are there or coming, then onto nodes that do not exist yet, whose instance
types narrow as pods join.

Source: kubernetes-sigs/karpenter pkg/controllers/provisioning/scheduling/scheduler.go, nodeclaim.go, queue.go,
topologygroup.go (1.14). Whether a pod fits is asked of the scheduler's own filters on a fork of the snapshot, where a
node to come stands as the cheapest offering that it may still be; a pod with a constraint on a topology settles the
domain, the emptiest that holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.provisioning import refusals
from harness.autoscaling.provisioning.offers import Offers
from harness.autoscaling.provisioning.preferences import hardened, relaxed, required_of
from harness.autoscaling.provisioning.requirements import Requirements, requirement
from harness.autoscaling.provisioning.templates import ClaimTemplate, Limits, tolerates
from harness.model.core import Node, NodeSpec, NodeStatus, Pod
from harness.model.karpenter import CAPACITY_TYPE, HOSTNAME, WELL_KNOWN, ZONE
from harness.model.meta import ObjectMeta
from harness.model.quantity import count_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.inter_pod_affinity import Affinity, AntiAffinity
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.filters.pod_topology_spread import TopologySpread
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bool, Int64, PodView


@dataclass
class VirtualNode:
    """A node that does not exist yet. `open`: the offerings that it may be; `requests`: of its pods, without those of
    DaemonSets; `index`: of its column in the fork."""

    template: ClaimTemplate
    requirements: Requirements
    open: Bool
    requests: Int64
    name: str
    index: int
    pods: list[Pod] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Solution:
    """`placed`: names of existing nodes by pod; `failed`: pods for which there is no place, and why; `parts`: of each
    such text, what it says of each NodePool."""

    new: tuple[VirtualNode, ...]
    placed: Mapping[str, str]
    failed: Mapping[str, str]
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Fit:
    requirements: Requirements
    open: Bool
    requests: Int64


@dataclass(frozen=True, slots=True)
class _Known:
    """Of a class: see _Asking."""

    required: Requirements
    amounts: Int64
    keys: tuple[str, ...]
    spreads: tuple[TopologySpread, ...]


@dataclass(frozen=True, slots=True)
class _Asking:
    """A pod at a stage of its relaxation: `pod` with its preferences as requirements, and what it requires of nodes."""

    pod: Pod
    view: PodView
    required: Requirements
    amounts: Int64
    keys: tuple[str, ...]  # topologies that it is constrained in, besides hosts
    spreads: tuple[TopologySpread, ...]


class Simulation:
    """`existing`: columns of nodes that may take pods, in the order in which they are tried. The fork keeps what was
    placed; whoever made it reverts it."""

    def __init__(
        self,
        fork: Fork,
        offers: Offers,
        templates: Sequence[ClaimTemplate],
        limits: Limits,
        existing: Int64,
        cautious: Mapping[str, Int64] | None = None,
        nothing: str = "no nodepools found",
    ) -> None:
        """`cautious`: by pod, the columns to be tried for it instead of `existing`. `nothing`: why there are no
        `templates`, if there are none."""
        self._nothing = nothing
        self._fork = fork
        self._offers = offers
        self._templates = templates
        self._limits = limits
        self._existing = existing
        self._cautious = cautious or {}
        self._new: list[VirtualNode] = []
        self._made = 0
        self._ghosts = False
        self._placed: dict[str, str] = {}
        self._refused: dict[tuple[int, int], tuple[int, str]] = {}  # by class and stage: at which progress, and why
        self._never: set[tuple[str, int]] = set()  # (virtual node, class): it only fills, so that this stays
        self._parts: dict[str, dict[str, str]] = {}
        self._progress = 0
        self._known: dict[tuple[int, int], _Known] = {}  # by class and stage
        prefer = any(taint.effect == "PreferNoSchedule" for item in templates for taint in item.taints)
        self._tolerate_preferred = prefer

    def solve(self, pods: Iterable[Pod]) -> Solution:
        """Largest first; a pod that finds no place is tried again as long as others do. Source: Solve, Queue."""
        queue = deque(sorted(pods, key=self._size))
        lengths: dict[str, int] = {}
        failed: dict[str, str] = {}
        while queue:
            pod = queue[0]
            if lengths.get(pod.metadata.key) == len(queue):
                break
            queue.popleft()
            why = self._try(pod)
            if why:
                failed[pod.metadata.key] = why
                queue.append(pod)
                lengths[pod.metadata.key] = len(queue)
            else:
                failed.pop(pod.metadata.key, None)
        if self._ghosts:
            # What was placed beside them counted on the zone that they stand in.
            for virtual in self._new:
                virtual.open = virtual.open & self._offers.meeting(
                    self._pins(self._offers.cheapest(virtual.open), (ZONE,))
                )
        return Solution(tuple(self._new), self._placed, failed, self._parts)

    # -- one pod -------------------------------------------------------------------------------------------------------

    def _size(self, pod: Pod) -> tuple[int, int, int, str]:
        amounts = self._fork.snapshot.classes.view(pod).cls.amounts
        return (-amounts[0], -amounts[1], pod.metadata.creation_timestamp or 0, pod.metadata.uid)

    def _try(self, pod: Pod) -> str:
        """Why it finds no place, also when it has given up all that it can; '' where it does. Source: trySchedule."""
        stage, why = 0, ""
        current: Pod | None = pod
        while current is not None:
            asking = self._asking(current, stage)
            key = (asking.view.cls.id, stage)
            known = self._refused.get(key)
            if known is not None and known[0] == self._progress:
                why = known[1]
            else:
                why = self._add(pod, asking)
                if not why:
                    self._progress += 1
                    return ""
                self._refused[key] = (self._progress, why)
            current = relaxed(current, tolerate_preferred=self._tolerate_preferred)
            stage += 1
        return why

    def _asking(self, pod: Pod, stage: int) -> _Asking:
        hard = hardened(pod)
        view = self._fork.snapshot.classes.view(hard)
        known = self._known.get((view.cls.id, stage))
        if known is None:
            keys, spreads = _topologies(self._fork.snapshot, view)
            if keys and not self._ghosts:
                self._add_ghosts()
            known = _Known(required_of(pod), self._offers.amounts(view.cls), keys, spreads)
            self._known[view.cls.id, stage] = known
        return _Asking(hard, view, known.required, known.amounts, known.keys, known.spreads)

    def _add(self, pod: Pod, asking: _Asking) -> str:
        node = self._fork.place_on(asking.view, self._cautious.get(pod.metadata.key, self._existing))
        if node is not None:
            self._placed[pod.metadata.key] = self._fork.snapshot.node_table.names[node]
            return ""
        self._new.sort(key=lambda item: len(item.pods))  # stable
        for virtual in self._new:
            fit = self._can_add(virtual, asking)
            if fit is not None:
                self._join(virtual, pod, asking, fit)
                return ""
        return self._add_to_new(pod, asking)

    def _add_to_new(self, pod: Pod, asking: _Asking) -> str:
        if not self._templates:
            return self._nothing
        why = []
        for template in self._templates:
            open_ = self._limits.within(template.name, self._offers, template.open)
            if not open_.any():
                words = refusals.NODES_EXHAUSTED if self._limits.nodes_exhausted(template.name) else None
                why.append(refusals.with_pool(words or refusals.LIMITS_EXCEEDED, template.name))
                continue
            mark = self._fork.mark
            virtual = self._virtual(template, open_)
            fit = self._can_add(virtual, asking)
            if fit is None:
                self._fork.revert(mark)
                why.append(self._why(template, open_, asking))
                continue
            self._join(virtual, pod, asking, fit)
            self._new.append(virtual)
            self._limits.spend(template.name, self._offers, virtual.open)
            return ""
        text = "; ".join(why)
        self._parts[text] = dict(zip((template.name for template in self._templates), why, strict=True))
        return text

    # -- a node to come ------------------------------------------------------------------------------------------------

    def _virtual(self, template: ClaimTemplate, open_: Bool) -> VirtualNode:
        self._made += 1
        name = f"{template.name}/to-come-{self._made}"
        requests = np.zeros(self._offers.allocatable.shape[1], dtype=np.int64)
        index = self._fork.add_node(self._node(template, name, template.requirements, self._offers.cheapest(open_)))
        return VirtualNode(template, template.requirements, open_, requests, name, index)

    def _can_add(self, virtual: VirtualNode, asking: _Asking) -> _Fit | None:
        """What the node would be with the pod; None where it cannot go there. Source: nodeclaim.go CanAdd."""
        never = (virtual.name, asking.view.cls.id)  # an index is used again
        if never in self._never:
            return None
        template, offers = virtual.template, self._offers
        open_ = virtual.open & offers.meeting(asking.required)
        requests = _plus(virtual.requests, asking.amounts)
        open_ = open_ & offers.fitting(requests, template.overhead)
        requirements = virtual.requirements.plus(asking.required)
        if (
            not tolerates(asking.pod, template.taints)
            or virtual.requirements.conflict(asking.required)
            or not open_.any()
            or not offers.enough_values(requirements, open_)
        ):
            self._never.add(never)
            return None
        found = self._settle(virtual, open_, requirements, asking)
        return None if found is None else _Fit(requirements, found, requests)

    def _settle(
        self, virtual: VirtualNode, open_: Bool, requirements: Requirements, asking: _Asking
    ) -> Bool | None:  # fmt: skip
        """Of `open_` what the filters let the pod onto: all of it, or one domain of the topologies that it names."""
        before = self._offers.cheapest(virtual.open)
        snapshot = self._fork.snapshot
        for candidates in self._domains(open_, asking):
            chosen = self._offers.cheapest(candidates)
            self._look_like(virtual, requirements, chosen)
            if not snapshot.feasible(asking.view)[virtual.index]:
                continue
            if not asking.keys:
                return open_
            pinned = open_ & self._offers.meeting(self._pins(chosen, asking.keys))
            if self._offers.enough_values(virtual.requirements, pinned):
                return pinned
        self._look_like(virtual, virtual.requirements, before)
        return None

    def _pins(self, chosen: tuple[int, int], keys: Sequence[str]) -> Requirements:
        labels = self._offers.labels(*chosen)
        return Requirements(requirement(key, "In", (labels[key],)) for key in keys if key in labels)

    def _domains(self, open_: Bool, asking: _Asking) -> list[Bool]:
        """Parts of `open_`, a zone (and capacity type) each where the pod is constrained there: the emptiest first,
        then the cheapest. Source: nextDomainTopologySpread, which takes any of the emptiest."""
        if not asking.keys:
            return [open_]
        columns = self._offers.columns
        groups: dict[tuple[str, str], list[int]] = {}
        for index in np.flatnonzero(open_.any(axis=0)).tolist():
            zone, capacity = columns[index]
            key = (zone, capacity) if CAPACITY_TYPE in asking.keys else (zone, "")
            groups.setdefault(key, []).append(index)
        out = []
        for key, members in groups.items():
            part = np.zeros_like(open_)
            part[:, members] = open_[:, members]
            row, column = self._offers.cheapest(part)
            labels = self._offers.labels(row, column)
            counted = sum(self._count(item, labels) for item in asking.spreads)
            out.append((counted, float(self._offers.price[row, column]), key, part))
        out.sort(key=lambda item: item[:3])
        return [part for *_, part in out]

    def _count(self, spread: TopologySpread, labels: Mapping[str, str]) -> int:
        """Pods that the constraint counts in the domain that a node with these labels is in."""
        snapshot = self._fork.snapshot
        column = snapshot.node_table.label_column(spread.key)
        value = labels.get(spread.key)
        if value is None or value not in column.values:
            return 0
        code = column.values[value]
        on_node = snapshot.pod_counts.count_selected(spread.selection).on_node
        return sum(count for node, count in on_node.items() if int(column.codes[node]) == code)

    def _look_like(self, virtual: VirtualNode, requirements: Requirements, chosen: tuple[int, int]) -> None:
        node = self._node(virtual.template, virtual.name, requirements, chosen)
        self._fork.snapshot.update_node(**node_columns(node))

    def _join(self, virtual: VirtualNode, pod: Pod, asking: _Asking, fit: _Fit) -> None:
        virtual.requirements, virtual.open, virtual.requests = fit.requirements, fit.open, fit.requests
        virtual.pods.append(pod)
        self._fork.assume(asking.view, virtual.index)
        # Its filters have passed; the amounts of what it may become are looked at by `fitting`.
        self._look_like(virtual, virtual.requirements, self._offers.cheapest(virtual.open))

    def _node(self, template: ClaimTemplate, name: str, requirements: Requirements, chosen: tuple[int, int]) -> Node:
        row, column = chosen
        labels = {**custom_labels(requirements), **template.labels, **self._offers.labels(row, column)}
        allocatable = self._offers.types[row].allocatable
        return Node(
            metadata=ObjectMeta(name=name, labels={**labels, HOSTNAME: name}),
            spec=NodeSpec(taints=template.taints),
            status=NodeStatus(capacity=self._offers.types[row].capacity, allocatable=allocatable),
        )

    def _add_ghosts(self) -> None:
        """A node without room in each zone that a NodePool offers: the domains that there could be count as empty.

        Source: provisioning/scheduling/topology.go buildDomainGroups.
        """
        self._ghosts = True
        nothing = {"cpu": count_quantity(0), "memory": count_quantity(0), "pods": count_quantity(0)}
        for template in self._templates:
            for index in np.flatnonzero(template.open.any(axis=0)).tolist():
                only = np.zeros_like(template.open)
                only[:, index] = template.open[:, index]
                name = f"{template.name}/domain-{index}"
                node = self._node(template, name, template.requirements, self._offers.cheapest(only))
                self._fork.add_node(replace(node, status=NodeStatus(capacity=nothing, allocatable=nothing)))

    def _why(self, template: ClaimTemplate, open_: Bool, asking: _Asking) -> str:
        """Source: nodeclaim.go CanAdd."""
        taints = refusals.of_taints(asking.pod, template.taints)
        if taints:
            return taints
        label = template.requirements.conflict(asking.required)
        if label:
            return refusals.of_requirements(template.requirements, asking.required, label)
        requirements = template.requirements.plus(asking.required)
        fits = self._offers.fitting(asking.amounts, template.overhead)
        found = open_ & self._offers.meeting(asking.required) & fits
        if not found.any() or not self._offers.enough_values(requirements, found):
            names = self._fork.snapshot.tables.rows.names
            amounts = zip(names, asking.amounts[:-1].tolist(), strict=False)
            shown = {name: str(refusals.quantity_of(name, amount)) for name, amount in amounts if amount}
            return refusals.of_types(self._offers, open_, requirements, fits, shown)
        if asking.keys:
            return f"unsatisfiable topology constraint, key={', '.join(asking.keys)}"
        return "no instance type passed the scheduler's filters"


def custom_labels(requirements: Requirements) -> dict[str, str]:
    """Values for labels that only the NodePool knows. Source: resolveCustomLabelsFromRequirements."""
    found = {item.key: item.any_value for item in requirements if item.key not in WELL_KNOWN and item.key != HOSTNAME}
    return {key: value for key, value in found.items() if value}


def _topologies(snapshot: Snapshot, view: PodView) -> tuple[tuple[str, ...], tuple[TopologySpread, ...]]:
    """(topology keys besides the host's, constraints of spreading on them)."""
    constraints = constraints_of(view.cls)
    keys: dict[str, None] = {}
    for item in constraints.cluster:
        match item:
            case TopologySpread():
                keys[item.key] = None
            case Affinity():
                keys.update(dict.fromkeys(item.keys))
            case AntiAffinity():
                keys.update(dict.fromkeys(key for key, _ in item.terms))
    terms = snapshot.tables.affinity_terms.terms
    keys.update(dict.fromkeys(terms[number].key for number in constraints.repelling))
    if view.cls.footprint.claims:
        keys[ZONE] = None
    keys.pop(HOSTNAME, None)
    spreads = tuple(item for item in constraints.cluster if isinstance(item, TopologySpread) and item.key != HOSTNAME)
    return tuple(keys), spreads


def _plus(requests: Int64, more: Int64) -> Int64:
    """The last entry is of GPUs; rows may have come since."""
    width = max(len(requests), len(more))
    out = np.zeros(width, dtype=np.int64)
    out[: len(requests) - 1] += requests[:-1]
    out[: len(more) - 1] += more[:-1]
    out[-1] = requests[-1] + more[-1]
    return out
