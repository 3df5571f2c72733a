"""Why a pod fits nowhere, in kube-scheduler's words.

Source: kube-scheduler 1.32 framework/types.go FitError.Error: reasons counted over nodes, each node giving those of
the first plugin that rejects it; "<count> <reason>" sorted as text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from harness.scheduling.feasibility.nominations import only_amounts
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.filter import Filter, Scope, counts_reasons
from harness.scheduling.filters.node_resources_fit import NodeResourcesFit
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.strategy import Bool, Int64, PodClass, PodView

_CLASSES = 64  # of which what the nodes' specs say is remembered

NO_NODES = "no nodes available to schedule pods"
"""Source: kube-scheduler 1.32 schedule_one.go ErrNoNodesAvailable."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`reasons`: nodes by reason. `resolvable`: nodes (indices) that evictions could open, for preemption."""

    nodes: int
    reasons: dict[str, int]
    resolvable: Int64 = field(compare=False)  # ascending
    pre_filter_message: str = ""  # what kept the pod from being held against any node
    _message: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_message", self._text())  # asked for by each pod of the class that waits

    def __str__(self) -> str:
        return self._message

    def _text(self) -> str:
        if not self.nodes:
            return NO_NODES
        head = f"0/{self.nodes} nodes are available:"
        if self.pre_filter_message:
            return f"{head} {self.pre_filter_message}."
        if not self.reasons:
            return head
        return f"{head} {', '.join(sorted(f'{count} {reason}' for reason, count in self.reasons.items()))}."


@dataclass(frozen=True, slots=True)
class _Specs:
    """What the nodes' own specs say of a class: nodes by reason, where there is `left` to ask on, which filters are."""

    nodes: int
    reasons: Counter[str]
    left: Bool
    resolvable: Bool
    filters: tuple[Filter, ...]


def left_out_by(cls: PodClass) -> str:
    """What FitError says of nodes that PreFilter left out, where the class names its nodes; '' where it does not."""
    plugins = sorted({item.plugin for item in constraints_of(cls).filters if item.node_names is not None})
    return f"node(s) didn't satisfy plugin(s) [{' '.join(plugins)}]" if plugins else ""


def _of_specs(snapshot: Snapshot, cls: PodClass) -> _Specs:
    """Good until the next change of a node's spec."""
    n = len(snapshot.node_table)
    left = snapshot.node_table.alive[:n].copy()
    count = int(np.count_nonzero(left))
    reasons: Counter[str] = Counter()
    filters = constraints_of(cls).filters
    narrowed = left_out_by(cls)
    if narrowed:
        named, index = np.zeros(n, dtype=np.bool_), snapshot.node_table.index
        named[[index[name] for name in constraints_of(cls).node_names or () if name in index]] = True
        # Source: schedule_one.go findNodesThatFitPod, the status of nodes that PreFilter left out.
        reasons[narrowed] = int(np.count_nonzero(left & ~named))
        left &= named
    resolvable = np.zeros(n, dtype=np.bool_)
    first = next((at for at, item in enumerate(filters) if item.scope is not Scope.NODE), len(filters))
    for item in filters[:first]:
        _ask(item, snapshot, reasons, left, resolvable)
    return _Specs(count, reasons, left, resolvable, filters[first:])


def _ask(item: Filter, snapshot: Snapshot, reasons: Counter[str], left: Bool, resolvable: Bool) -> None:
    """Of the nodes that are `left`, those where `item` does not hold, and why."""
    rejected = _reject(item, item.mask(snapshot, slice(0, len(left))), left, resolvable)
    if not len(rejected):
        return
    if counts_reasons(item):
        _add(reasons, item.count_reasons(snapshot, rejected))
    else:
        for node in rejected.tolist():
            reasons.update(item.reasons(snapshot, node))


def _reject(item: Filter, holds: Bool, left: Bool, resolvable: Bool) -> Int64:
    """Take what `item` rejects out of `left`; indices of those nodes."""
    rejects = left & ~holds
    rejected = np.flatnonzero(rejects)
    if len(rejected):
        if item.resolvable:
            resolvable |= rejects
        left &= holds
    return rejected


def _add(reasons: Counter[str], counted: Iterable[tuple[str, int]]) -> None:
    for reason, nodes in counted:
        reasons[reason] += nodes


def run_pre_filters(snapshot: Snapshot, cls: PodClass) -> tuple[str, str] | None:
    """(plugin, reason) of what keeps the class from being held against any node; None where nothing does.

    No plugin ('') where this scheduler refuses the pod. Source: runtime/framework.go RunPreFilterPlugins: in order, the
    first that rejects ends it.
    """
    if constraints_of(cls).refusal:
        return "", constraints_of(cls).refusal
    for plugin, item in constraints_of(cls).pre_filters:
        if why := item.pre_filter(snapshot):
            return plugin, why
    return None


def diagnose(snapshot: Snapshot, pod: PodView) -> Diagnosis:
    """Of every node, the reasons of the first filter that rejects it; as text, FitError's words."""
    return _diagnose(snapshot, snapshot.classes.class_now(pod), pod.key)


def _diagnose(snapshot: Snapshot, cls: PodClass, key: str, specs: _Specs | None = None) -> Diagnosis:
    """`key`: of the pod, whose own nomination does not bear on it. `specs`: where known already."""
    rejected = run_pre_filters(snapshot, cls)
    if rejected:
        return Diagnosis(len(snapshot), {}, np.zeros(0, dtype=np.int64), rejected[1])
    specs = specs or _of_specs(snapshot, cls)
    reasons, left, resolvable = specs.reasons.copy(), specs.left.copy(), specs.resolvable.copy()
    beside: _FreeBeside | None = None
    if snapshot.nominations.by_node:
        # Nodes that are kept for others: judged with those there, as kube-scheduler's first pass does.
        if only_amounts(cls):
            beside = _FreeBeside(snapshot, cls.priority, key)
        else:
            for node in snapshot.nominations.by_node:
                failed = snapshot.nominations.first_failure(cls, node, key) if left[node] else None
                if failed is not None:
                    reasons.update(failed[1])
                    resolvable[node] = failed[0].resolvable
                    left[node] = False
    for item in specs.filters:
        if beside is not None and isinstance(item, NodeResourcesFit):
            short = _reject(item, item.fits(beside, slice(0, len(left))), left, resolvable)
            _add(reasons, item.count_short(beside, snapshot.resources, short))
        else:
            _ask(item, snapshot, reasons, left, resolvable)
    told = {reason: nodes for reason, nodes in sorted(reasons.items()) if nodes}
    return Diagnosis(specs.nodes, told, np.flatnonzero(resolvable))


class _FreeBeside:
    """`nominations.free_beside` of one priority, by row, int64 [nodes]: only of the rows that are asked for."""

    __slots__ = ("_except_pod", "_priority", "_rows", "_snapshot")

    def __init__(self, snapshot: Snapshot, priority: int, except_pod: str) -> None:
        self._snapshot = snapshot
        self._priority = priority
        self._except_pod = except_pod
        self._rows: dict[int, Int64] = {}

    def __getitem__(self, row: int) -> Int64:
        found = self._rows.get(row)
        if found is None:
            found = self._rows[row] = self._snapshot.nominations.free_beside(self._priority, row, self._except_pod)
        return found


def reasons_on_node(snapshot: Snapshot, cls: PodClass, node: int) -> tuple[str, ...]:
    """Of one node; empty when everything holds."""
    rejected = run_pre_filters(snapshot, cls)
    if rejected:
        return (rejected[1],)
    if node in snapshot.nominations.by_node:
        failed = snapshot.nominations.first_failure(cls, node)
        if failed is not None:
            return failed[1]
    for term in constraints_of(cls).filters:
        if not term.holds(snapshot, node):
            return tuple(term.reasons(snapshot, node))
    return ()


class Diagnoses:
    """Found once for all pods of a class as long as no node changes; what nodes' specs say, as long as no spec does."""

    def __init__(self) -> None:
        self._of: dict[int, Diagnosis] = {}
        self._version = -1
        self._specs: dict[int, _Specs] = {}
        self._spec_version = -1

    def diagnose(self, snapshot: Snapshot, pod: PodView) -> Diagnosis:
        if self._version != snapshot.version:
            self._version = snapshot.version
            self._of.clear()
            if self._spec_version != snapshot.spec_log.version:
                self._spec_version = snapshot.spec_log.version
                self._specs.clear()
        nominated = snapshot.nominations.node_of(pod.key) is not None  # judged without itself, so not like its class
        known = None if nominated else self._of.get(pod.cls.id)
        if known is None:
            cls = snapshot.classes.class_now(pod)
            specs = self._specs.get(cls.id)
            if specs is None:
                if len(self._specs) >= _CLASSES:
                    self._specs.clear()
                specs = self._specs[cls.id] = _of_specs(snapshot, cls)
            known = _diagnose(snapshot, cls, pod.key, specs)
            if not nominated:
                self._of[pod.cls.id] = known
        return known


def rejecting_plugins(snapshot: Snapshot, cls: PodClass) -> list[str]:
    """Plugins that reject some node for the class, each node counted by the first that does."""
    if constraints_of(cls).refusal:
        return []
    left = snapshot.alive.copy()
    out: dict[str, None] = {}
    for item in constraints_of(cls).filters:
        holds = item.mask(snapshot, slice(0, len(left)))
        if (left & ~holds).any():
            out[item.plugin] = None
        left &= holds
    return list(out)
