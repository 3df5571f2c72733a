"""The whole problem node by node and device by device, for CP-SAT: settles what is small enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.measure.bound.instance import Instance, fits_alone
from harness.measure.bound.packing import Load, Packing


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """`bound`: nothing is worth more; `packing`: the best found, None where none was."""

    bound: int
    packing: Packing | None


def size(instance: Instance) -> int:
    """How many integer variables the model has at most."""
    return int(len(instance.pod_count) * (instance.node_count * (1 + instance.devices)).sum())


def settle(instance: Instance, hint: Packing | None, work: float) -> Exact | None:
    """CP-SAT's bound and packing after at most `work` deterministic seconds; None where no bound was proven.

    One worker and a limit on work instead of time make it repeatable. The bound is CP-SAT's own: it reasons in
    integers, and its objective bound is an integer below 2 ** 53 that a float carries unharmed.
    """
    from ortools.sat.python import cp_model

    model = _Model(instance, cp_model.CpModel())
    if hint is not None:
        model.hint(hint)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.catch_sigint_signal = False  # Ctrl-C is for the whole run
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = work
    status = solver.Solve(model.model)
    if status in (cp_model.INFEASIBLE, cp_model.MODEL_INVALID):
        return None
    bound = round(solver.BestObjectiveBound())
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return Exact(bound, model.packing(solver) if found else None)


class _Model:
    """Pods of each class on each node, and their pieces on each device."""

    def __init__(self, instance: Instance, model: Any) -> None:
        self.model = model
        self._instance = instance
        self._held: list[dict[int, Any]] = []  # per node: pod class -> number
        self._pieces: list[dict[tuple[int, int], Any]] = []  # per node: pod class, device -> number
        self._node: list[int] = []
        fits = fits_alone(instance)
        worth: list[Any] = []
        for node, number in enumerate(instance.node_count.tolist()):
            before = None
            for _ in range(number):
                worth.extend(self._add_node(node, np.flatnonzero(fits[:, node]).tolist()))
                load = sum((1 + int(instance.value[pod])) * held for pod, held in self._held[-1].items())
                if before is not None:
                    # Equal nodes are interchangeable: the fuller come first.
                    model.Add(before >= load)
                before = load
        for pod, count in enumerate(instance.pod_count.tolist()):
            placed = sum(held[pod] for held in self._held if pod in held)
            model.Add(placed <= count)
            model.Add(placed >= int(instance.least[pod]))
        model.Maximize(sum(worth))

    def _add_node(self, node: int, pods: list[int]) -> list[Any]:
        """Adds one node; returns its terms of the objective."""
        instance, model = self._instance, self.model
        held = {pod: model.NewIntVar(0, int(instance.pod_count[pod]), "") for pod in pods}
        pieces: dict[tuple[int, int], Any] = {}
        devices = range(int(instance.devices[node]))
        for r, capacity in enumerate(instance.capacity[node].tolist()):
            model.Add(sum(int(instance.request[pod, r]) * held[pod] for pod in pods) <= capacity)
        for pod in pods:
            if instance.gpu_total[pod]:
                for device in devices:
                    pieces[pod, device] = model.NewIntVar(0, int(instance.pod_count[pod]), "")
                    model.Add(pieces[pod, device] <= held[pod])
                model.Add(sum(pieces[pod, d] for d in devices) == int(instance.gpu_count[pod]) * held[pod])
        loads = [
            sum(int(instance.gpu_milli[pod]) * number for (pod, d), number in pieces.items() if d == device)
            for device in devices
        ]
        for device in devices:
            model.Add(loads[device] <= int(instance.device_milli[node]))
            if device:
                model.Add(loads[device - 1] >= loads[device])
        self._held.append(held)
        self._pieces.append(pieces)
        self._node.append(node)
        terms = [int(instance.value[pod]) * number for pod, number in held.items()]
        if cost := int(instance.node_cost[node]):
            used = model.NewBoolVar("")
            for pod, number in held.items():
                model.Add(number <= int(instance.pod_count[pod]) * used)
            terms.append(-cost * used)
        return terms

    def hint(self, packing: Packing) -> None:
        """Starts the search from a packing."""
        loads = [load for load in packing.loads for _ in range(load.number)]
        loads.sort(key=lambda load: -int(load.counts @ (1 + self._instance.value)))
        for held, node in zip(self._held, self._node, strict=True):
            mine = next((load for load in loads if load.node == node), None)
            if mine is not None:
                loads.remove(mine)
            for pod, number in held.items():
                self.model.AddHint(number, int(mine.counts[pod]) if mine is not None else 0)

    def packing(self, solver: Any) -> Packing:
        loads = []
        for held, pieces, node in zip(self._held, self._pieces, self._node, strict=True):
            counts = np.zeros(len(self._instance.pod_count), np.int64)
            for pod, number in held.items():
                counts[pod] = solver.Value(number)
            devices = tuple(
                tuple(pod for (pod, d), number in pieces.items() if d == device for _ in range(solver.Value(number)))
                for device in range(int(self._instance.devices[node]))
            )
            if counts.any():
                loads.append(Load(node, 1, counts, devices))
        return Packing(tuple(loads))
