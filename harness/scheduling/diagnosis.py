"""Why a pod fits nowhere, in kube-scheduler's words.

Source: kube-scheduler 1.32 framework/types.go FitError.Error: reasons counted over nodes, each node giving those of
the first plugin that rejects it; "<count> <reason>" sorted as text.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from harness.scheduling.constraints.term import Tallies
from harness.scheduling.strategy import Int64

if TYPE_CHECKING:
    from harness.scheduling.snapshot import Snapshot
    from harness.scheduling.strategy import PodClass

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
    for term in cls.constraints.terms:
        holds = term.mask(on, slice(0, n))
        rejects = left & ~holds
        rejected = np.flatnonzero(rejects)
        if not len(rejected):
            continue
        if isinstance(term, Tallies):
            for reason, nodes in term.tally(on, rejected):
                reasons[reason] += nodes
        else:
            for node in rejected.tolist():
                reasons.update(term.reasons(on, node))
        if term.resolvable:
            resolvable |= rejects
        left &= holds
    for node in np.flatnonzero(left).tolist() if on.nominations.by_node else ():
        if node in on.nominations.by_node:  # it would fit, were the node not kept for others
            reasons.update(on.nominations.reasons(cls, node))
            resolvable[node] = True
    told = {reason: nodes for reason, nodes in sorted(reasons.items()) if nodes}
    return Diagnosis(count, told, np.flatnonzero(resolvable))


def reasons(on: Snapshot, cls: PodClass, node: int) -> tuple[str, ...]:
    """Of one node; empty when everything holds."""
    if cls.constraints.refusal:
        return (cls.constraints.refusal,)
    for term in cls.constraints.terms:
        if not term.holds(on, node):
            return tuple(term.reasons(on, node))
    return on.nominations.reasons(cls, node) if node in on.nominations.by_node else ()
