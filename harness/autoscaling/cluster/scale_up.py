"""Scale-up: which pools grow, and by how many nodes, for pods that fit nowhere.

Source: cluster-autoscaler core/scaleup/orchestrator and estimator/binpacking_estimator.go (1.32).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.policy import Expander, ScaleUpOption
from harness.autoscaling.pool import NodePool
from harness.engine.component import Effect, Record
from harness.model.core import Pod
from harness.scheduling.feasibility import legality
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind, PodView


class ScaleUp:
    """`request`: orders nodes of a pool and returns their names; what it does is appended to the effects."""

    def __init__(
        self,
        state: ClusterState,
        expander: Expander,
        rng: Random,
        request: Callable[[int, NodePool, int, list[Effect]], list[str]],
    ) -> None:
        self._state = state
        self._expander = expander
        self._rng = rng
        self._request = request
        self._recorded: dict[str, None] = {}  # pods with an Event that says what was done about them

    def forget(self, key: str) -> None:
        """The pod is bound or gone."""
        self._recorded.pop(key, None)

    def forget_all(self) -> None:
        self._recorded.clear()

    def scan(self, now: int, effects: list[Effect]) -> None:
        """First what exists and what is coming; for the rest the pool that the expander likes, pool after pool."""
        state = self._state
        what_if = state.snapshot.copy()
        for pool in state.pools.values():
            for name in pool.requested:
                what_if.add_node(**node_columns(pool.pool.node(name)))
        waiting = [state.view(pod) for _, pod in sorted(state.pending.items(), key=_oldest_first)]
        left = [view for view in waiting if not place(what_if, view)]
        while left:
            options = self._options(now, left)
            if not options:
                break
            chosen = self._expander.best(options, self._rng)[0]
            pool = state.pools[chosen.pool]
            before = pool.size
            for name in self._request(now, pool.pool, chosen.count, effects):
                what_if.add_node(**node_columns(pool.pool.node(name)))
            text = f"pod triggered scale-up: [{{{chosen.pool} {before}->{pool.size} (max: {pool.pool.most})}}]"
            self._record(chosen.pods, "TriggeredScaleUp", text, effects)
            keys = {view.key for view in chosen.pods}
            left = [view for view in left if view.key not in keys]
        self._record(left, "NotTriggerScaleUp", "pod didn't trigger scale-up: no node pool would help", effects)

    def _options(self, now: int, pods: list[PodView]) -> list[ScaleUpOption]:
        out = []
        for pool in self._state.pools.values():
            if pool.room <= 0 or now < pool.backoff_until_ns:
                continue
            count, placed = self._estimate(pool.pool, pods, pool.room)
            if placed:
                out.append(ScaleUpOption(pool.pool.name, pool.pool.template, count, tuple(placed)))
        return out

    def _estimate(self, pool: NodePool, pods: list[PodView], room: int) -> tuple[int, list[PodView]]:
        """Nodes of the pool that the pods need, at most `room`, and who would fit. Source: BinpackingNodeEstimator:
        first fit, biggest first."""
        empty = Snapshot(self._state.snapshot.classes)
        cpu = max((a.milli for name, a in pool.template.status.allocatable.items() if name == "cpu"), default=1)
        order = sorted(pods, key=lambda view: (-view.cls.amounts[0] / max(cpu, 1), -view.cls.amounts[1], view.key))
        placed: list[PodView] = []
        refused: set[int] = set()
        count = 0
        for view in order:
            if view.cls.id in refused:
                continue
            if count and place(empty, view):
                placed.append(view)
                continue
            if count < room:
                empty.add_node(**node_columns(pool.node(f"{pool.name}-estimate-{count}")))
                if place(empty, view):
                    count += 1
                    placed.append(view)
                    continue
                empty.remove_node(f"{pool.name}-estimate-{count}")
            refused.add(view.cls.id)
        return count, placed

    def _record(self, views: Sequence[PodView], reason: str, text: str, effects: list[Effect]) -> None:
        for view in views:
            if view.key not in self._recorded:
                self._recorded[view.key] = None
                effects.append(Record(self._state.pending[view.key], "Normal", reason, text))


def place(on: Snapshot, view: PodView) -> bool:
    """On the first node, in order, that takes it; whether there was one."""
    feasible = on.feasible(view)
    for node in on.order():
        if node >= 0 and feasible[node]:
            return not isinstance(legality.apply_alone(on, Bind(view, node)), legality.Refused)
    return False


def _oldest_first(item: tuple[str, Pod]) -> tuple[int, int, str]:
    """By priority, then by age."""
    key, pod = item
    return (-(pod.spec.priority or 0), pod.metadata.creation_timestamp or 0, key)
