"""Min-cost flow, after Firmament and Quincy: all pods that wait are placed at once, where that costs least in all.

Sources: Isard et al., Quincy: Fair Scheduling for Distributed Computing Clusters, SOSP 2009 (the flow network: a unit
of flow for each task, to the sink over a machine or over the unscheduled aggregator of its job); Gog et al.,
Firmament: Fast, Centralized Cluster Scheduling at Scale, OSDI 2016; and Firmament's code (camsas/firmament,
src/scheduling/flow): `cpu-mem` is cpu_mem_cost_model.cc: tasks that ask for the same are one equivalence class, with
an arc for the first, second, ... copy on each machine, whose cost is the machine's use ahead of that copy, in whole
thousandths of its capacity, summed over CPU and memory; `octopus` is octopus_cost_model.cc, a load balance: the pods
that run there. Staying unscheduled costs more than any machine.

Own choices. In `octopus` each further copy of one solution costs one pod more: the authors' arcs have one cost for all
that flows over them, so that there only the next solution sees what this one placed. GPUs count as CPU and memory do.
Flow knows one capacity a machine and pods take several resources: a machine takes as many pods of one solution as it
could of each class that has an arc to it, so that any mix fits; what is left over is solved again with what is free
then. A unit that waits costs one more with each second that it waits, so that the oldest go first (Quincy's wait-time
factor). A higher priority is solved before a lower one, a gang on its own and all or none.

Not modelled: preemption and migration of what runs, locality of data, Quincy's bounds of fairness between jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from harness.model.errors import UserError, did_you_mean
from harness.scheduling.scoring import NOWHERE, what_if
from harness.scheduling.strategy import (
    CPU,
    MEMORY,
    Bind,
    BindTogether,
    ClusterView,
    Decision,
    Int64,
    PodBatch,
    PodView,
    Wait,
)

OMEGA = 1000
"""Cost of a whole resource of a machine (omega_ of cpu_mem_cost_model)."""

COPIES = 50
"""Of one class on one machine in one solution (max_multi_arcs_for_cpu)."""

UNSCHEDULED = 2_560_000
"""Cost of a task that is not placed (cpu_mem_cost_model, TaskToUnscheduledAgg)."""

LONGEST_WAIT_S = 10**6

MODELS = ("cpu-mem", "octopus")


class MinCostFlow:
    def __init__(self, model: str, batch_size: int) -> None:
        self.batch_size = batch_size
        self._octopus = model == "octopus"

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        passed: set[str] = set()
        for (_, gang), run in groupby(pods, key=lambda pod: (pod.priority, _gang_of(pod))):
            if gang is None:
                yield from self._singles(list(run), cluster)
            elif gang not in passed:
                passed.add(gang)
                yield from self._together(gang, [pod for pod in pods if pod.group == gang], cluster)

    def _singles(self, left: list[PodView], cluster: ClusterView) -> Iterator[Decision]:
        while left:
            bound: set[str] = set()
            for pod, node in self._solve(left, cluster):
                if cluster.feasible(pod)[node]:
                    bound.add(pod.key)
                    yield Bind(pod, node)
            left = [pod for pod in left if pod.key not in bound]
            if not bound:
                break
        for pod in left:
            yield Wait(pod, NOWHERE)

    def _together(self, gang: str, members: list[PodView], cluster: ClusterView) -> Iterator[Decision]:
        wanted = max(members[0].group_min - cluster.placed_in_group(gang), 1)
        binds: list[Bind] = []
        with what_if(cluster) as trial:
            left = members
            while left:
                tried = [trial.bind(pod, node) for pod, node in self._solve(left, cluster)]
                done = [each for each in tried if isinstance(each, Bind)]
                binds += done
                keys = {bind.pod.key for bind in done}
                left = [pod for pod in left if pod.key not in keys]
                if not done:
                    break
        enough = len(binds) >= wanted
        if enough:
            yield BindTogether(tuple(binds))
        bound = {bind.pod.key for bind in binds} if enough else set()
        for pod in members:
            if pod.key not in bound:
                yield Wait(pod, NOWHERE if enough else f"gang {gang}: {len(binds)} of at least {wanted} fit")

    # -- the network ---------------------------------------------------------------------------------------------------

    def _solve(self, pods: Sequence[PodView], cluster: ClusterView) -> list[tuple[PodView, int]]:
        """Pods and their nodes in a flow of least cost, in the order of `pods`."""
        classes: dict[int, list[PodView]] = {}
        for pod in pods:
            classes.setdefault(pod.cls.id, []).append(pod)
        room = {cls: self._room(members[0], cluster) for cls, members in classes.items()}
        most = np.full(len(cluster.names), COPIES, dtype=np.int64)
        for fits in room.values():
            most = np.where(fits > 0, np.minimum(most, fits), most)
        arcs: list[tuple[int, int, int]] = []  # class, node, cost: each for one pod
        for cls, members in classes.items():
            for node, costs in self._costs(members[0], np.minimum(room[cls], most), len(pods), cluster):
                arcs += [(cls, node, cost) for cost in costs[: len(members)]]
        if not arcs:
            return []
        taken = _flow(classes, arcs, most, cluster)
        out = [(pod, node) for cls, nodes in taken.items() for pod, node in zip(nodes[0], nodes[1], strict=False)]
        order = {pod.key: at for at, pod in enumerate(pods)}
        return sorted(out, key=lambda each: order[each[0].key])

    def _room(self, pod: PodView, cluster: ClusterView) -> Int64:
        """How many of its class each node takes, by amounts; 0 where it is not feasible. int64 [nodes]."""
        feasible = cluster.feasible(pod)
        if not cluster.is_independent(pod):  # the next one may not fit beside the first
            return feasible.astype(np.int64)
        room = np.full(len(feasible), COPIES, dtype=np.int64)
        for row, wanted in enumerate(pod.cls.amounts[: len(cluster.resources)]):
            if wanted:
                room = np.minimum(room, cluster.free[row] // wanted)
        if pod.gpu.total_milli:
            room = np.minimum(room, cluster.gpu_free.sum(axis=1) // pod.gpu.total_milli)
        return np.where(feasible, np.maximum(room, 1), 0)

    def _costs(self, pod: PodView, room: Int64, pods: int, cluster: ClusterView) -> Iterator[tuple[int, list[int]]]:
        """Of the first, second, ... copy on each node. Of nodes that cost alike the lowest rank; no more nodes than
        there are pods: the others can keep no more than that from it, and none further on is better."""
        nodes = np.flatnonzero(room)
        if self._octopus:
            there = np.array([len(cluster.pods_on(int(node))) for node in nodes], dtype=np.int64)
            uses = [(there, 1, np.ones(len(nodes), dtype=np.int64))]
        else:
            uses = _uses(pod, nodes, cluster)
        base = sum((OMEGA * used // capacity for used, _, capacity in uses), np.zeros(len(nodes), dtype=np.int64))
        order = np.lexsort((cluster.rank[nodes], base))[:pods]
        for at in order.tolist():
            of_node = [(int(used[at]), wanted, int(capacity[at])) for used, wanted, capacity in uses]
            copies = range(int(room[nodes[at]]))
            # Each resource in whole thousandths, rounded down, as int64_t cpu_cost and ram_cost are.
            costs = [
                sum(OMEGA * (used + copy * more) // capacity for used, more, capacity in of_node) for copy in copies
            ]
            yield int(nodes[at]), costs


def _uses(pod: PodView, nodes: Int64, cluster: ClusterView) -> list[tuple[Int64, int, Int64]]:
    """Of each resource: how much of it is in use on each node, how much more with each of the pod, and of how much."""
    out = []
    for row in (CPU, MEMORY):
        there = cluster.capacity[row][nodes]
        out.append((there - cluster.free[row][nodes], int(pod.cls.amounts[row]), np.maximum(there, 1)))
    if cluster.gpu_free.shape[1]:
        there = cluster.gpu_capacity[nodes].sum(axis=1)
        free = cluster.gpu_free[nodes].sum(axis=1)
        out.append((there - free, int(pod.gpu.total_milli), np.maximum(there, 1)))
    return out


def _flow(
    classes: dict[int, list[PodView]], arcs: list[tuple[int, int, int]], most: Int64, cluster: ClusterView
) -> dict[int, tuple[list[PodView], list[int]]]:
    """By class, the pods that flow to machines and as many nodes."""
    from ortools.graph.python import min_cost_flow as solver  # slow to import, and only a run of this strategy needs it

    pods = [pod for members in classes.values() for pod in members]
    sink, aggregator = 0, 1
    class_at = {cls: 2 + at for at, cls in enumerate(classes)}
    first_pod = 2 + len(classes)
    # By rank, as numbers of nodes follow the order in which they came, and the solver breaks ties by its own numbers.
    machines = sorted({node for _, node, _ in arcs}, key=lambda node: int(cluster.rank[node]))
    machine_at = {node: first_pod + len(pods) + at for at, node in enumerate(machines)}
    rows = [(class_at[cls], machine_at[node], 1, cost) for cls, node, cost in arcs]
    for at, pod in enumerate(pods):
        waited_s = min(max(cluster.now_ns - pod.created_ns, 0) // 10**9, LONGEST_WAIT_S)
        rows.append((first_pod + at, class_at[pod.cls.id], 1, 0))
        rows.append((first_pod + at, aggregator, 1, UNSCHEDULED + waited_s))
    rows += [(machine_at[node], sink, int(most[node]), 0) for node in machines]
    rows.append((aggregator, sink, len(pods), 0))
    network: Any = solver.SimpleMinCostFlow()
    columns = np.array(rows, dtype=np.int64)
    made = network.add_arcs_with_capacity_and_unit_cost(columns[:, 0], columns[:, 1], columns[:, 2], columns[:, 3])
    supplies = np.zeros(first_pod + len(pods) + len(machines), dtype=np.int64)
    supplies[first_pod : first_pod + len(pods)] = 1
    supplies[sink] = -len(pods)
    network.set_nodes_supplies(np.arange(len(supplies)), supplies)
    status = network.solve()
    assert status == network.OPTIMAL, status  # all may stay unscheduled
    flows = network.flows(made)
    out: dict[int, tuple[list[PodView], list[int]]] = {cls: ([], []) for cls in classes}
    for (cls, node, _), flow in zip(arcs, flows[: len(arcs)].tolist(), strict=True):
        if flow:
            out[cls][1].append(node)
    for pod, flow in zip(pods, flows[len(arcs) : len(arcs) + 2 * len(pods) : 2].tolist(), strict=True):
        if flow:
            out[pod.cls.id][0].append(pod)
    return out


def _gang_of(pod: PodView) -> str | None:
    return pod.group if pod.group is not None and pod.group_min > 1 else None


def min_cost_flow(model: str = "cpu-mem", batch_size: int = 256) -> MinCostFlow:
    """`model`: of costs, cpu-mem (the emptiest machines, by CPU and memory) or octopus (the fewest pods)."""
    if model not in MODELS:
        raise UserError(
            "there is no such cost model", found=model, expected=" or ".join(MODELS), hint=did_you_mean(model, MODELS)
        )
    return MinCostFlow(model, int(batch_size))
