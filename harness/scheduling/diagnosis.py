"""Why a pod fits nowhere, in kube-scheduler's words.

Source: kube-scheduler 1.32 framework/types.go FitError.Error: reasons counted over nodes, each node giving those of
the first plugin that rejects it; "<count> <reason>" sorted as text.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.scheduling.constraints.term import Forecloses, Moves, Tallies
from harness.scheduling.nominations import only_amounts
from harness.scheduling.strategy import Int64

if TYPE_CHECKING:
    from harness.scheduling.snapshot import Snapshot
    from harness.scheduling.strategy import PodClass, PodView

NO_NODES = "no nodes available to schedule pods"
"""Source: kube-scheduler 1.32 schedule_one.go ErrNoNodesAvailable."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`reasons`: nodes by reason. `resolvable`: nodes (indices) that evictions could open, for preemption."""

    nodes: int
    reasons: dict[str, int]
    resolvable: Int64 = field(compare=False)  # ascending
    before: str = ""  # what kept the pod from being held against any node

    def __str__(self) -> str:
        if not self.nodes:
            return NO_NODES
        head = f"0/{self.nodes} nodes are available:"
        if self.before:
            return f"{head} {self.before}."
        if not self.reasons:
            return head
        return f"{head} {', '.join(sorted(f'{count} {reason}' for reason, count in self.reasons.items()))}."


def diagnose(on: Snapshot, cls: PodClass) -> Diagnosis:
    """Of every node, the reasons of the first constraint that does not hold there."""
    n = len(on.facts)
    here = on.facts.alive[:n]
    count = int(np.count_nonzero(here))
    if cls.constraints.refusal:
        return Diagnosis(count, {}, np.zeros(0, dtype=np.int64), cls.constraints.refusal)
    for term in cls.constraints.cluster:
        if isinstance(term, Forecloses) and (why := term.before(on)):
            return Diagnosis(count, {}, np.zeros(0, dtype=np.int64), why)
    left = here.copy()
    reasons: Counter[str] = Counter()
    narrowing = sorted({term.plugin for term in cls.constraints.terms if term.only is not None})
    if narrowing:
        named = np.zeros(n, dtype=np.bool_)
        named[[on.facts.index[name] for name in cls.constraints.only if name in on.facts.index]] = True
        # Source: schedule_one.go findNodesThatFitPod, the status of nodes that PreFilter left out.
        reasons[f"node(s) didn't satisfy plugin(s) [{' '.join(narrowing)}]"] = int(np.count_nonzero(left & ~named))
        left &= named
    resolvable = np.zeros(n, dtype=np.bool_)
    beside: Any = on
    if on.nominations.by_node:
        # Nodes that are kept for others: judged with those there, as kube-scheduler's first pass does.
        if only_amounts(cls):
            beside = _Beside(on.nominations.free_beside(cls.priority), on.resources)
        else:
            for node in on.nominations.by_node:
                failed = on.nominations.first_failure(cls, node) if left[node] else None
                if failed is not None:
                    reasons.update(on.nominations.reasons(cls, node))
                    resolvable[node] = failed.resolvable
                    left[node] = False
    for term in cls.constraints.terms:
        seen = on if term.moves is not Moves.LOAD else beside
        holds = term.mask(seen, slice(0, n))
        rejects = left & ~holds
        rejected = np.flatnonzero(rejects)
        if not len(rejected):
            continue
        if isinstance(term, Tallies):
            for reason, nodes in term.tally(seen, rejected):
                reasons[reason] += nodes
        else:
            for node in rejected.tolist():
                reasons.update(term.reasons(seen, node))
        if term.resolvable:
            resolvable |= rejects
        left &= holds
    told = {reason: nodes for reason, nodes in sorted(reasons.items()) if nodes}
    return Diagnosis(count, told, np.flatnonzero(resolvable))


@dataclass(frozen=True, slots=True)
class _Beside:
    """What NodeResourcesFit looks at, less what is kept for others."""

    free: Int64
    resources: tuple[str, ...]


def reasons(on: Snapshot, cls: PodClass, node: int) -> tuple[str, ...]:
    """Of one node; empty when everything holds."""
    if cls.constraints.refusal:
        return (cls.constraints.refusal,)
    if node in on.nominations.by_node:
        found = on.nominations.reasons(cls, node)
        if found:
            return found
    for term in cls.constraints.terms:
        if not term.holds(on, node):
            return tuple(term.reasons(on, node))
    return ()


class Diagnoses:
    """Found once for all pods of a class as long as no node changes."""

    def __init__(self) -> None:
        self._of: dict[int, Diagnosis] = {}
        self._version = -1

    def of(self, on: Snapshot, pod: PodView) -> Diagnosis:
        if self._version != on.version:
            self._version = on.version
            self._of.clear()
        known = self._of.get(pod.cls.id)
        if known is None:
            known = self._of[pod.cls.id] = on.diagnose(pod)
        return known
