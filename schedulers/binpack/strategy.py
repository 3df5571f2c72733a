"""BinPack: the queue's batch as one packing problem; a greedy warm start, improved by CP-SAT where that can help."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

import numpy as np

from harness.scheduling import gangs
from harness.scheduling.scoring import NOWHERE, what_if
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
from schedulers.binpack.board import NEVER, Window, choose_devices
from schedulers.binpack.greedy import one_by_one, queue_order, whole_devices_first
from schedulers.binpack.greedy import take_back as take_plan_back
from schedulers.binpack.mix_prices import MixPrices
from schedulers.binpack.plan import Gang, PlacementPlan, Problem, objective_named
from schedulers.binpack.solve import Effort, contended, improve, regret
from schedulers.binpack.stranding import COST

REGRET_WORTH_SOLVING = COST // 1000
"""A plan that cost less than this above its pods' own optima is left alone: a thousandth of a device."""

OPENING = COST // 10
"""Surcharge of the warm start for a node where nothing runs, when the objective is fewest nodes."""

SECONDS_A_WINDOW, SECONDS_A_POD, SECONDS_A_POD_AND_NODE = 3e-4, 4e-4, 2.5e-8
SECONDS_A_NEIGHBOURHOOD, PODS_A_NEIGHBOURHOOD = 9e-3, 5
"""What `modelled_seconds` adds up: measured on openb's pods with 200, 1523 and 5000 nodes, windows of 1, 8 and 64, on
one core; the means lie within a factor of 1.6 of it. Beyond the pods' own, so many share one search of CP-SAT."""


class BinPack(MixPrices):
    """A window of the queue as one packing problem, solved by CP-SAT from a greedy start; never worse than that.

    It learns the pod mix as it goes (or from `fit`), and keeps nothing else of the past.

    `objective`: a name of `plan.OBJECTIVES`. `batch_size`: the window of the queue. `neighbourhoods`: most parts of a
    window that CP-SAT decides again, each for `deterministic_seconds` of its own deterministic time; 0 leaves the
    warm start as it is. `migrations`: pods that may be evicted to make room for others, as a part of the pods bound
    so far (0.01: one in a hundred); 0 never evicts. `move_bare_pods`: also those without a controller, which nobody
    makes anew in a cluster; for runs where what is evicted comes back by itself.
    """

    def __init__(
        self,
        objective: str = "priority",
        batch_size: int = 64,
        neighbourhoods: int = 12,
        deterministic_seconds: float = 0.05,
        migrations: float = 0.0,
        move_bare_pods: bool = False,
    ) -> None:
        self.objective = objective_named(objective)
        self.batch_size = batch_size
        self.effort = Effort(neighbourhoods, deterministic_seconds=deterministic_seconds)
        self.migrations = migrations
        super().__init__(migrations, move_bare_pods)

    def fit(self, history: Iterable[PodView]) -> None:
        """Take the pod mix from `history`, and keep to it."""
        self._give_mix(history)

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        if not self._given:
            self._mix.observe(pods)
        kept: set[str] = set()
        for answer in self._migrations.coming_back(pods, cluster, lambda: self._current_stranding().worth):
            kept.add(answer.pod.key)
            yield self._record_bind(answer) if type(answer) is Bind else answer
        if kept:
            pods = [pod for pod in pods if pod.key not in kept]
        if not pods:
            return
        if not cluster.alive.any():  # the scheduler has just started, and has heard of no node yet
            yield from (Wait(pod, NOWHERE) for pod in pods)
            return
        self._board.sync(cluster, self._current_stranding())
        problem = self._problem(pods, cluster)
        plan = self.plan(problem)
        waits = yield from self._carry_out(problem, plan, cluster)
        placed: set[str] = set()
        if self.migrations and waits:
            for decision in self._migrations.make_room(
                waits, lambda: self._synced(cluster), cluster, self.objective.value
            ):
                if type(decision) is Bind:
                    placed.add(decision.pod.key)
                    self._record_bind(decision)
                yield decision
        yield from (wait for wait in waits if wait.pod.key not in placed)

    def modelled_seconds(self, pods: int, nodes: int) -> float:
        """Time to charge for one `place`, from the sizes alone, so that a run stays replayable."""
        searches = min(self.effort.neighbourhoods, pods // PODS_A_NEIGHBOURHOOD)
        per_pod = SECONDS_A_POD + nodes * SECONDS_A_POD_AND_NODE
        return SECONDS_A_WINDOW + pods * per_pod + searches * SECONDS_A_NEIGHBOURHOOD

    def plan(self, problem: Problem) -> PlacementPlan:
        """The warm start, or something better; lies on the problem's window."""
        best = self.warm_start(problem)
        if len(problem.pods) > 1 and self._worth_solving(problem, best):
            best = improve(problem, best, self.effort)
        return best

    def _worth_solving(self, problem: Problem, plan: PlacementPlan) -> bool:
        if self.objective.fewest_nodes and len({s.node for s in plan.spots.values() if problem.empty[s.node]}) > 1:
            return True
        return contended(problem, plan) or regret(problem, plan) > REGRET_WORTH_SOLVING

    def warm_start(self, problem: Problem) -> PlacementPlan:
        """Pods one by one in the order of the queue, and with the largest first: the better of the two."""
        best = one_by_one(problem, whole_devices_first(problem.pods))
        order = queue_order(problem.pods)
        if order != whole_devices_first(problem.pods):
            take_plan_back(problem, best)
            other = one_by_one(problem, order)
            if problem.score(other) >= problem.score(best):
                return other
            take_plan_back(problem, other)
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

    def _problem(self, pods: PodBatch, cluster: ClusterView) -> Problem:
        board = self._board
        empty = (cluster.capacity[PODS] == cluster.free[PODS])[board.order]
        surcharge = empty * np.int64(OPENING) if self.objective.fewest_nodes else None
        window = Window(board, pods, cluster, surcharge)
        return Problem(window, pods, self.objective, _gangs(pods, cluster), empty)

    def _carry_out(
        self, problem: Problem, plan: PlacementPlan, cluster: ClusterView
    ) -> Generator[Decision, None, list[Wait]]:
        """The plan, checked against the live view before each bind: constraints between pods move with every bind.

        The answer is what is left to say: the pods that wait, and why.
        """
        pods, order = problem.pods, self._board.order.copy()
        bound: set[int] = set()
        passed: set[int] = set()
        for index, spot in plan.spots.items():
            gang = problem.gangs.get(index)
            if index in passed:
                continue
            if gang is None:
                if self._still_open(pods[index], int(order[spot.node]), spot.devices, cluster):
                    bound.add(index)
                    yield self._bind(pods[index], int(order[spot.node]), spot.devices)
                continue
            passed.update(gang.members)
            spots = {
                m: (int(order[plan.spots[m].node]), plan.spots[m].devices) for m in gang.members if m in plan.spots
            }
            binds = self._together(pods, gang, spots, cluster)
            if binds:
                bound.update(binds)
                yield BindTogether(tuple(self._record_bind(bind) for bind in binds.values()))
        yield from self._open_after_all(problem, bound, cluster)
        return [Wait(pod, _why_not(problem, index)) for index, pod in enumerate(pods) if index not in bound]

    def _open_after_all(self, problem: Problem, bound: set[int], cluster: ClusterView) -> Iterator[Decision]:
        """Constraints between pods open and close nodes with every bind: whoever is left out, but fits by now.

        `bound`: whom the plan placed; grows.
        """
        pods = problem.pods
        left = [index for index in range(len(pods)) if index not in bound]
        progress = True
        while progress:  # a pod may have waited for one that stands behind it in the queue
            progress = False
            for index in left:
                gang = problem.gangs.get(index)
                if index in bound:
                    continue
                if gang is None or gang.quorum < 2 or not bound.isdisjoint(gang.members):
                    if cluster.feasible(pods[index]).any():
                        bound.add(index)
                        yield self._record_bind(self._second_choice(pods[index], cluster))
                        progress = True
                elif index == gang.members[0] and any(cluster.feasible(pods[m]).any() for m in gang.members):
                    binds = self._together(pods, gang, {}, cluster)
                    if binds:
                        bound.update(binds)
                        yield BindTogether(tuple(self._record_bind(bind) for bind in binds.values()))
                        progress = True
            left = [index for index in left if index not in bound]

    def _together(
        self, pods: PodBatch, gang: Gang, spots: Mapping[int, tuple[int, tuple[int, ...]]], cluster: ClusterView
    ) -> dict[int, Bind]:
        """The gang's members that fit beside each other, at their spots (the cluster's node, devices) or else where
        that costs least; none when they are fewer than the quorum.

        Tried on the snapshot, one after another, and taken back: what one member closes to the next (anti-affinity,
        spread, ports) is known to the snapshot alone. Where too few fit, other orders are tried, and first fit.
        """
        binds = self._tried(pods, gang.members, spots, cluster)
        if len(binds) >= gang.quorum:
            return binds
        index_of = {pods[member].key: member for member in gang.members}
        for order in gangs.other_orders([pods[member] for member in gang.members], cluster):
            binds = self._tried(pods, [index_of[pod.key] for pod in order], spots, cluster)
            if len(binds) >= gang.quorum:
                return binds
        binds = {index_of[bind.pod.key]: bind for bind in gangs.first_fit([pods[m] for m in gang.members], cluster)}
        return binds if len(binds) >= gang.quorum else {}

    def _tried(
        self,
        pods: PodBatch,
        members: Sequence[int],
        spots: Mapping[int, tuple[int, tuple[int, ...]]],
        cluster: ClusterView,
    ) -> dict[int, Bind]:
        binds: dict[int, Bind] = {}
        with what_if(cluster) as trial:
            for member in members:
                pod, spot = pods[member], spots.get(member)
                if spot is not None and self._still_open(pod, *spot, cluster):
                    bind = Bind(pod, spot[0], spot[1] or None)
                elif cluster.feasible(pod).any():
                    bind = self._second_choice(pod, cluster)
                else:
                    continue
                if isinstance(trial.bind(bind.pod, bind.node, bind.devices), Bind):
                    binds[member] = bind
        return binds

    def _still_open(self, pod: PodView, node: int, devices: tuple[int, ...], cluster: ClusterView) -> bool:
        idle = cluster.gpu_free[node]
        return bool(cluster.feasible(pod)[node]) and all(idle[device] >= pod.gpu.milli for device in devices)

    def _bind(self, pod: PodView, node: int, devices: tuple[int, ...]) -> Bind:
        """`node`: the cluster's index."""
        return self._record_bind(Bind(pod, node, devices or None))

    def _at(self, pod: PodView, node: int, cluster: ClusterView) -> Bind:
        """On the devices that lose least worth as the node stands now."""
        idle = np.asarray(cluster.gpu_free[node])
        return Bind(pod, node, choose_devices(pod.cls, idle, self._current_stranding().worth) or None)

    def _second_choice(self, pod: PodView, cluster: ClusterView) -> Bind:
        """The cheapest node as the cluster stands now."""
        self._board.sync(cluster, self._current_stranding())
        window = Window(self._board, [pod], cluster)
        node = window.best(0)
        assert node is not None, f"{pod.key} is feasible somewhere, yet fits nowhere"
        return self._at(pod, int(self._board.order[node]), cluster)


def _why_not(problem: Problem, index: int) -> str:
    gang = problem.gangs.get(index)
    if gang is not None and gang.quorum > 1:
        return f"its group needs {gang.quorum} pods placed together, and fewer fit"
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
        quorum = pods[members[0]].group_min - cluster.placed_in_group(group)
        gang = Gang(tuple(members), max(quorum, 1))
        found.update(dict.fromkeys(members, gang))
    return found
