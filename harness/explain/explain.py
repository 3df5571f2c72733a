"""Why this node, why not that one: what each constraint says, what each scorer gives, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.experiment.record import whole_record
from harness.explain.node_changes import Change, columns_of, to_fit, to_win
from harness.explain.pod_changes import PodChange, to_fit_by_pod
from harness.explain.recorded_decision import Case, RecordNotes
from harness.model.core import Pod
from harness.model.errors import UserError, did_you_mean
from harness.model.vertical import UPDATES
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.filter import CountsReasons
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.strategy import PodView, Strategy


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What one constraint says: nodes that it is the first to reject, by reason, and how many are left after it."""

    plugin: str
    rejected: dict[str, int]
    left: int


@dataclass(frozen=True, slots=True)
class Option:
    """A node with the pod's score there: `parts` by scorer, `total` their sum; empty where the strategy tells none."""

    node: str
    parts: dict[str, float]
    total: float | None
    rank: int | None  # 1 for the highest total among the nodes that fit


@dataclass(frozen=True, slots=True)
class OnNode:
    """One node in detail. `rejects`: (constraint, reasons) of each that does not hold. `changes`: alternatives after
    each of which it could take the pod, or, where it can already, would be picked; each of parts that all are needed.
    """

    node: str
    fits: bool
    rejects: tuple[tuple[str, tuple[str, ...]], ...]
    option: Option | None
    picked: bool
    changes: tuple[tuple[Change | PodChange, ...], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    pod: str
    scheduler: str
    at_ns: int
    node: str  # "" for nowhere
    again: str | None
    how: str
    nodes: int
    feasible: int
    verdicts: tuple[FilterResult, ...]
    picked: Option | None
    runner_up: Option | None
    on_node: OnNode | None = None
    message: str = ""
    requests: str = ""  # who set them, and to what, where a VerticalPodAutoscaler did

    def to_data(self) -> dict[str, Any]:
        def option(item: Option | None) -> dict[str, Any] | None:
            if item is None:
                return None
            return {"node": item.node, "score": item.total, "rank": item.rank, "scores": item.parts}

        here = self.on_node
        return {
            "pod": self.pod,
            "scheduler": self.scheduler,
            "atSeconds": self.at_ns / 1e9,
            "node": self.node or None,
            "askedAgain": self.again,
            "decided": self.how,
            "nodes": self.nodes,
            "feasible": self.feasible,
            "constraints": [{"plugin": v.plugin, "rejected": v.rejected, "left": v.left} for v in self.verdicts],
            "picked": option(self.picked),
            "runnerUp": option(self.runner_up),
            "message": self.message,
            **({"requests": self.requests} if self.requests else {}),
            **(
                {}
                if here is None
                else {
                    "onNode": {
                        "node": here.node,
                        "fits": here.fits,
                        "picked": here.picked,
                        "rejectedBy": [{"plugin": p, "reasons": list(reasons)} for p, reasons in here.rejects],
                        "option": option(here.option),
                        "changes": [[str(change) for change in way] for way in here.changes],
                    }
                }
            ),
        }


def explain(folder: Path, pod: str, node: str | None = None) -> Explanation:
    """The last decision about a pod. Raises UserError for what the record does not know."""
    with whole_record(folder):
        recorded = RecordNotes(folder)
        case = recorded.case(recorded.key_of(pod))
    return explained(case, node)


def explained(case: Case, node: str | None = None) -> Explanation:
    on, view = case.on, case.view
    at = None if node is None else _index(on, node)
    verdicts = _verdicts(on, view)
    feasible = np.flatnonzero(on.feasible(view))
    scores = _scores(case.strategy, on, view)
    picked = on.node_table.index.get(case.again) if case.again is not None else None
    runner_up = None
    if picked is not None and len(feasible) > 1:
        # Black box: what would be picked if the first choice took no pods, whatever the strategy is.
        with _full(on, picked):
            second = case.ask(on, on.classes.current(view))
        runner_up = second if second >= 0 else None
    return Explanation(
        pod=view.key,
        scheduler=case.scheduler,
        at_ns=case.at_ns,
        node=case.node,
        again=case.again,
        how=case.how,
        nodes=int(np.count_nonzero(on.alive)),
        feasible=len(feasible),
        verdicts=verdicts,
        picked=None if picked is None else _option(on, picked, scores),
        runner_up=None if runner_up is None else _option(on, runner_up, scores),
        on_node=None if at is None else _on_node(case, at, scores, picked),
        message="" if case.node else str(diagnose(on, view)),
        requests=_resized(case.pod),
    )


def _resized(pod: Pod) -> str:
    """What the VPA's admission says of the pod, with the requests that it was given; '' where it did nothing."""
    updates = pod.metadata.annotations.get(UPDATES, "")
    if not updates:
        return ""
    given = []
    for container in pod.spec.containers:
        amounts = (f"{name} {amount}" for name, amount in sorted(container.resources.requests.items()))
        given.append(f"{container.name} {', '.join(amounts)}")
    return f"{updates}. Requests: {'; '.join(given)}"


def _index(on: Snapshot, node: str) -> int:
    found = on.node_table.index.get(node)
    if found is None:
        raise UserError(
            f"there was no node {node!r} at the decision",
            hint=did_you_mean(node, on.node_table.index) or "nodes.parquet",
        )
    return found


@contextmanager
def _full(on: Snapshot, node: int) -> Iterator[None]:
    """Within the block the node takes no pods."""
    before = columns_of(on, node)
    on.update_node(**{**before, "capacity": {**before["capacity"], "pods": 0}})
    try:
        yield
    finally:
        on.update_node(**before)


def _verdicts(on: Snapshot, view: PodView) -> tuple[FilterResult, ...]:
    """Each constraint in kube-scheduler's order, over the nodes that those before it left."""
    cls = on.classes.class_now(view)
    n = len(on.node_table)
    left = on.node_table.alive[:n].copy()
    out = []
    for term in constraints_of(cls).filters:
        mask = term.mask(on, slice(0, n))
        rejected = np.flatnonzero(left & ~mask)
        reasons: dict[str, int] = {}
        if isinstance(term, CountsReasons):
            for reason, count in term.count_reasons(on, rejected):
                if count:
                    reasons[reason] = reasons.get(reason, 0) + count
        else:
            for node in rejected.tolist():
                for reason in term.reasons(on, node):
                    reasons[reason] = reasons.get(reason, 0) + 1
        left &= mask
        out.append(FilterResult(term.plugin, dict(sorted(reasons.items())), int(np.count_nonzero(left))))
    return tuple(out)


def _scores(strategy: Strategy, on: Snapshot, view: PodView) -> dict[str, Any]:
    """Each scorer's part by node; empty where the strategy explains nothing."""
    tell = getattr(strategy, "explain", None)
    found: Mapping[str, Any] = tell(view, on) if tell is not None else {}
    return {name: np.asarray(column, dtype=np.float64) for name, column in found.items()}


def _option(on: Snapshot, node: int, scores: Mapping[str, Any]) -> Option:
    name = on.node_table.names[node]
    if not scores:
        return Option(name, {}, None, None)
    parts = {scorer: float(column[node]) for scorer, column in scores.items()}
    if any(math.isnan(part) for part in parts.values()):
        return Option(name, parts, None, None)
    total = np.sum(list(scores.values()), axis=0)
    rank = 1 + int(np.count_nonzero(total > total[node] + 1e-12))  # NaN where a node does not fit is never more
    return Option(name, parts, float(total[node]), rank)


def _on_node(case: Case, node: int, scores: Mapping[str, Any], picked: int | None) -> OnNode:
    on, view = case.on, case.view
    cls = on.classes.class_now(view)
    rejects = tuple(
        (term.plugin, tuple(term.reasons(on, node))) for term in constraints_of(cls).filters if not term.holds(on, node)
    )
    fits = not rejects and not constraints_of(cls).refusal
    ways: list[tuple[Change | PodChange, ...]] = []
    if not fits:
        ways += to_fit(on, view, node)
        by_pod = to_fit_by_pod(on, case.pod, view, node)
        ways += [tuple(by_pod)] if by_pod else []
    elif node != picked:
        ways += to_win(on, view, node, case.ask)
    return OnNode(
        node=on.node_table.names[node],
        fits=fits,
        rejects=rejects,
        option=_option(on, node, scores) if fits else None,
        picked=node == picked,
        changes=tuple(ways),
    )
