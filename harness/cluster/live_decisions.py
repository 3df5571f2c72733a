"""The last decisions of a live cluster's strategy, with the scores that it says it had: for people who look on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from harness.engine.component import SECOND, Instant
from harness.scheduling.strategy import (
    Bind,
    BindTogether,
    ClusterView,
    Decision,
    Evict,
    PodBatch,
    PodView,
    Strategy,
    Wait,
)

KEPT = 200
"""Decisions that are remembered."""

SCORED_NODES = 5
"""Nodes of each of them whose scores are told: the chosen one and the best others."""

EXPLAINED_EVERY_NS: Instant = SECOND // 5
"""Of the cluster's time: `explain` scores every node, so a burst of pods is told without scores, but for the first."""


class RecentDecisions:
    """A strategy whose decisions are remembered; in everything else it is the one it wraps."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._number = 0
        self._explained_ns: Instant = -EXPLAINED_EVERY_NS

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        decided: Iterable[Decision] = self._strategy.place(pods, cluster, rng)
        for decision in decided:
            for one in decision.binds if isinstance(decision, BindTogether) else (decision,):
                self._remember(one, cluster)
            yield decision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def after(self, number: int) -> list[dict[str, Any]]:
        """Those with a higher number, the oldest first."""
        return [item for item in self._kept if item["number"] > number]

    def _remember(self, decision: Any, cluster: ClusterView) -> None:
        self._number += 1
        told: dict[str, Any] = {"number": self._number, "atNs": cluster.now_ns}
        match decision:
            case Bind(pod, node) if 0 <= node < len(cluster.names):
                told |= {"does": "bind", "pod": pod.key, "node": cluster.names[node]}
                told |= self._scores(pod, node, cluster)
            case Wait(pod, reason):
                told |= {"does": "wait", "pod": pod.key, "reason": str(reason)}
            case Evict(pod, reason):
                told |= {"does": "evict", "pod": pod, "reason": str(reason)}
            case _:  # illegal: the scheduler counts it
                told |= {"does": "illegal", "reason": repr(decision)[:200]}
        self._kept.append(told)

    def _scores(self, pod: PodView, chosen: int, cluster: ClusterView) -> dict[str, Any]:
        """Totals and parts of the best nodes; {} where the strategy has no `explain`, or was asked just now."""
        explain = getattr(self._strategy, "explain", None)
        if explain is None or cluster.now_ns - self._explained_ns < EXPLAINED_EVERY_NS:
            return {}
        self._explained_ns = cluster.now_ns
        try:
            parts: Mapping[str, Any] = {
                name: np.asarray(scores, dtype=np.float64) for name, scores in explain(pod, cluster).items()
            }
            total = np.sum(list(parts.values()), axis=0)
            feasible = np.flatnonzero(np.isfinite(total))
        except Exception as error:  # a stranger's code; the decision stands
            return {"unexplained": f"{type(error).__name__}: {error}"[:200]}
        best = feasible[np.argsort(-total[feasible], kind="stable")][:SCORED_NODES].tolist()
        shown = best if chosen in best else [chosen, *best[: SCORED_NODES - 1]]
        return {
            "feasible": len(feasible),
            "scores": [
                {
                    "node": cluster.names[node],
                    "total": _number(total[node]),
                    "parts": {name: _number(scores[node]) for name, scores in parts.items()},
                }
                for node in shown
            ],
        }


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
