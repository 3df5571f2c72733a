"""BinPack: the queue's batch as one packing problem; a greedy warm start, improved by CP-SAT where that can help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from harness.scheduling.strategy import (
    PODS,
    Bind,
    BindTogether,
    ClusterView,
    Decision,
    Float64,
    PodBatch,
    PodView,
    Wait,
)
from schedulers.binpack.board import NEVER, Board, Spot, Window
from schedulers.binpack.greedy import one_by_one, queue_order, take_back, whole_devices_first
from schedulers.binpack.mix import Mix
from schedulers.binpack.plan import Gang, Plan, Problem, objective_named
from schedulers.binpack.solve import Effort, improve, regret
from schedulers.binpack.stranding import COST, Stranding

REGRET_WORTH_SOLVING = COST // 1000
"""A plan that cost less than this above its pods' own optima is left alone: a thousandth of a device."""


class BinPack:
    """Batch strategy. Keeps what it has learned of the pod mix, and nothing else that a fresh one would not rebuild.

    `objective`: a name of `plan.OBJECTIVES`. `batch_size`: the window of the queue. `effort`: how hard CP-SAT
    searches; Effort(neighbourhoods=0) is the warm start alone.
    """

    def __init__(self, objective: str = "priority", batch_size: int = 64, effort: Effort | None = None) -> None:
        self.objective = objective_named(objective)
        self.batch_size = batch_size
        self.effort = Effort() if effort is None else effort
        self._mix = Mix()
        self._fitted_at = 0
        self._stranding: Stranding | None = None
        self._board = Board()

    def fit(self, history: Iterable[PodView]) -> None:
        """Learn the pod mix from pods of the past, before the first window."""
        for pod in history:
            self._mix.add(pod.cls)
        self._stranding = None

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        if not pods:
            return
        self._mix.observe(pods)
        self._board.sync(cluster, self._current_stranding())
        problem = self._problem(pods, cluster)
        plan = self.plan(problem)
        yield from self._decisions(problem, plan, cluster)

    def plan(self, problem: Problem) -> Plan:
        """The warm start, or something better; lies on the problem's window."""
        best = self.warm_start(problem)
        fits_nowhere_else = all(
            index in best.spots or problem.window.start[kind].min() == problem.window.cost[kind].min()
            for index, kind in enumerate(problem.window.kind)
        )
        if len(problem.pods) > 1 and (not fits_nowhere_else or regret(problem, best) > REGRET_WORTH_SOLVING):
            best = improve(problem, best, self.effort)
        return best

    def warm_start(self, problem: Problem) -> Plan:
        """Pods one by one in the order of the queue, and with the largest first: the better of the two."""
        best = one_by_one(problem, whole_devices_first(problem.pods))
        order = queue_order(problem.pods)
        if order != whole_devices_first(problem.pods):
            take_back(problem, best)
            other = one_by_one(problem, order)
            if problem.score(other) >= problem.score(best):
                return other
            take_back(problem, other)
            best = one_by_one(problem, whole_devices_first(problem.pods))
        return best

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """Both parts of the cost per node, in devices, negated so that higher is better; NaN where it does not fit."""
        self._board.sync(cluster, self._current_stranding())
        window = Window(self._board, [pod], cluster)
        cost = np.empty(len(self._board.order), dtype=np.float64)
        touch = np.empty_like(cost)
        fits = window.allowed[0] & (window.cost[0] < NEVER)
        cost[self._board.order] = np.where(fits, -(window.cost[0] - self._board.touch) / COST, np.nan)
        touch[self._board.order] = np.where(fits, -self._board.touch / COST, np.nan)
        return {"stranding": cost, "tightness": touch}

    def _current_stranding(self) -> Stranding:
        """Fitted again each time the number of pods seen has doubled: prices move slowly, and cost a few LPs."""
        if self._stranding is None or self._mix.seen >= 2 * self._fitted_at:
            self._stranding = Stranding.of(self._mix.means())
            self._fitted_at = self._mix.seen
        return self._stranding

    def _problem(self, pods: PodBatch, cluster: ClusterView) -> Problem:
        board = self._board
        used = cluster.capacity[PODS] - cluster.free[PODS]
        return Problem(
            Window(board, pods, cluster), pods, self.objective, _gangs(pods, cluster), used[board.order] == 0
        )

    def _decisions(self, problem: Problem, plan: Plan, cluster: ClusterView) -> Iterator[Decision]:
        """The plan, checked against the live view before each bind: constraints between pods move with every bind."""
        pods = problem.pods
        bound: set[int] = set()
        passed: set[int] = set()
        for index in plan.spots:
            gang = problem.gangs.get(index)
            if index in passed:
                continue
            members = [index] if gang is None else [m for m in gang.members if m in plan.spots]
            passed.update(members)
            ready = [m for m in members if self._still_open(pods[m], plan.spots[m], cluster)]
            if not ready or (gang is not None and len(ready) < gang.quorum):
                continue
            bound.update(ready)
            for member in ready:
                self._mix.bound(pods[member].key)
            binds = tuple(self._bind(pods[m], plan.spots[m]) for m in ready)
            yield binds[0] if gang is None else BindTogether(binds)
        for index, pod in enumerate(pods):
            if index in bound:
                continue
            gang = problem.gangs.get(index)
            if gang is not None and gang.quorum > 1:
                yield Wait(pod, f"its group needs {gang.quorum} pods placed together, and fewer fit")
            elif cluster.feasible(pod).any():
                # A constraint between pods opened or closed nodes while the plan was carried out.
                self._mix.bound(pod.key)
                yield self._second_choice(pod, cluster)
            else:
                yield Wait(pod, _why_not(problem, index))

    def _still_open(self, pod: PodView, spot: Spot, cluster: ClusterView) -> bool:
        node = int(self._board.order[spot.node])
        idle = cluster.gpu_free[node]
        return bool(cluster.feasible(pod)[node]) and all(idle[device] >= pod.gpu.milli for device in spot.devices)

    def _bind(self, pod: PodView, spot: Spot) -> Bind:
        return Bind(pod, int(self._board.order[spot.node]), spot.devices or None)

    def _second_choice(self, pod: PodView, cluster: ClusterView) -> Bind:
        """The cheapest node as the cluster stands now."""
        self._board.sync(cluster, self._current_stranding())
        window = Window(self._board, [pod], cluster)
        node = window.best(0)
        assert node is not None, f"{pod.key} is feasible somewhere, yet fits nowhere"
        return self._bind(pod, window.place(0, node)[0])


def _why_not(problem: Problem, index: int) -> str:
    kind = problem.window.kind[index]
    if int(problem.window.start[kind].min()) < NEVER:
        return "the nodes that it fitted went to pods that are worth more to the objective"
    if not problem.window.allowed[kind].any():
        return "no node meets its constraints and has room"
    return "no node has its devices idle"


def _gangs(pods: PodBatch, cluster: ClusterView) -> dict[int, Gang]:
    """Members of each group in the batch, and how many of them must be placed for the group to have its minimum."""
    together: dict[str, list[int]] = {}
    for index, pod in enumerate(pods):
        if pod.group is not None and pod.group_min > 1:
            together.setdefault(pod.group, []).append(index)
    found: dict[int, Gang] = {}
    for group, members in together.items():
        quorum = pods[members[0]].group_min
        if len(members) < quorum:  # the others may be running already, or not be there yet
            quorum -= _running(group, cluster)
        gang = Gang(tuple(members), max(quorum, 1))
        found.update(dict.fromkeys(members, gang))
    return found


def _running(group: str, cluster: ClusterView) -> int:
    nodes = np.flatnonzero(cluster.alive & (cluster.free[PODS] < cluster.capacity[PODS]))
    return sum(pod.group == group for node in nodes.tolist() for pod in cluster.pods_on(node))
