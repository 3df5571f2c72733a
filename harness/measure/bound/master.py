"""The linear programs that propose prices: one over node and pod classes, one over patterns (column generation).

Nothing here needs to be exact: what these programs say is believed only after `certificate` has added it up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.measure.bound.certificate import Float64, Prices
from harness.measure.bound.instance import Bool, Instance, Int64

CUTS = (1, 2, 3)
"""Which dual feasible functions cut the LP over classes: k = 1 counts pods of more than half a device, and so on.

u_k(x) = x if (k + 1) x is an integer, else floor((k + 1) x) / k, from Fekete and Schepers, "New classes of fast lower
bounds for bin packing problems", Mathematical Programming 91 (2001).
"""


class _Program:
    """A maximisation by GLOP whose rows are the pods to place, the nodes at hand, and the room on each node class."""

    def __init__(self, instance: Instance, penalty: float) -> None:
        # Loaded here: the command line must start without waiting for the solvers.
        from ortools.linear_solver import pywraplp

        self._instance = instance
        self._solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        parameters = pywraplp.MPSolverParameters
        self._cold: Any = parameters()
        self._cold.SetIntegerParam(parameters.INCREMENTALITY, parameters.INCREMENTALITY_OFF)
        self._supply = [
            self._solver.Constraint(float(least) if least else -self._solver.infinity(), float(count))
            for least, count in zip(instance.least, instance.pod_count, strict=True)
        ]
        self._nodes = [self._at_most(float(count)) for count in instance.node_count]
        # Only nodes that are used bring room, so each takes 1 off its rows and what it holds comes on top.
        self._room = [[self._at_most(0.0) for _ in range(instance.capacity.shape[1])] for _ in instance.node_count]
        self._objective = self._solver.Objective()
        self._objective.SetMaximization()
        for pod in np.flatnonzero(instance.least):
            # A pod that had to be placed and was not: so dear that it happens only where it must.
            missing = self._column(-penalty)
            self._supply[pod].SetCoefficient(missing, 1.0)

    def solve(self) -> Prices | None:
        """The optimum and its prices; None where GLOP gives up."""
        # A warm start can lead GLOP astray; a cold one mostly does not.
        best = self._solver.OPTIMAL
        if self._solver.Solve() != best and self._solver.Solve(self._cold) != best:
            return None
        room = [[row.dual_value() for row in rows] for rows in self._room]
        return Prices(
            self._objective.Value(),
            np.array([row.dual_value() for row in self._supply]),
            np.array(room).reshape(self._instance.capacity.shape),
        )

    def _at_most(self, limit: float) -> Any:
        return self._solver.Constraint(-self._solver.infinity(), limit)

    def _column(self, worth: float) -> Any:
        variable = self._solver.NumVar(0.0, self._solver.infinity(), "")
        self._objective.SetCoefficient(variable, worth)
        return variable

    def _used_node(self, node: int, worth: float) -> Any:
        variable = self._column(worth - float(self._instance.node_cost[node]))
        self._nodes[node].SetCoefficient(variable, 1.0)
        return variable

    def _use_room(self, variable: Any, node: int, use: Float64, brought: float = 0.0) -> None:
        shares = use / np.maximum(self._instance.capacity[node], 1) - brought
        for row, share in zip(self._room[node], shares.tolist(), strict=True):
            if share:
                row.SetCoefficient(variable, share)


class OverClasses(_Program):
    """How many pods of each class lie on each node class: resources, GPU volume, and cuts on devices."""

    def __init__(self, instance: Instance, fits: Bool, penalty: float) -> None:
        """`fits` is `fits_alone(instance)`."""
        super().__init__(instance, penalty)
        volume = []
        nothing = np.zeros(instance.capacity.shape[1])
        for node, devices in enumerate(instance.devices.tolist()):
            used = self._used_node(node, 0.0)
            self._use_room(used, node, nothing, brought=1.0)
            volume.append([self._at_most(0.0) for _ in range(len(CUTS) + 1)])
            for row in volume[node]:
                row.SetCoefficient(used, -float(devices))
        for pod, node in zip(*np.nonzero(fits), strict=True):
            variable = self._column(float(instance.value[pod]))
            self._supply[pod].SetCoefficient(variable, 1.0)
            self._use_room(variable, node, instance.request[pod].astype(float))
            milli, size = int(instance.gpu_milli[pod]), int(instance.device_milli[node])
            for row, share in zip(volume[node], _device_shares(milli, size), strict=True):
                if share and instance.gpu_count[pod]:
                    row.SetCoefficient(variable, share * int(instance.gpu_count[pod]))


def _device_shares(milli: int, size: int) -> list[float]:
    """How much of a device `milli` takes: by volume, and by each of the cuts."""
    if not milli:
        return [0.0] * (len(CUTS) + 1)
    shares = [milli / size]
    for k in CUTS:
        whole, rest = divmod((k + 1) * milli, size)
        shares.append(milli / size if rest == 0 else whole / k)
    return shares


class OverPatterns(_Program):
    """How many nodes of each class hold which pattern; grows by one pattern at a time.

    Patterns may overstep a resource that their own program left out; the rows for the room of each node class keep
    the average right.
    """

    def __init__(self, instance: Instance, penalty: float) -> None:
        super().__init__(instance, penalty)
        self._known: set[tuple[int, bytes]] = set()
        self._variables: list[Any] = []

    def add(self, node: int, counts: Float64) -> bool:
        """Let nodes hold `counts` [P]; whether that was new."""
        key = (node, counts.tobytes())
        if key in self._known:
            return False
        self._known.add(key)
        variable = self._used_node(node, float(counts @ self._instance.value))
        for pod in np.flatnonzero(counts):
            self._supply[pod].SetCoefficient(variable, float(counts[pod]))
        self._use_room(variable, node, counts @ self._instance.request, brought=1.0)
        self._variables.append(variable)
        return True

    def limit(self, pods: Int64, nodes: Int64, least: Int64) -> None:
        """From now on for so many pods [P] and nodes [N], `least` [P] of which must be placed."""
        for row, count, must in zip(self._supply, pods.tolist(), least.tolist(), strict=True):
            row.SetBounds(float(must) if must else -self._solver.infinity(), float(count))
        for row, count in zip(self._nodes, nodes.tolist(), strict=True):
            row.SetUb(float(count))

    def solution(self) -> Float64:
        """How many nodes hold each pattern, in the order in which they were added; valid right after `solve`."""
        return np.array([variable.solution_value() for variable in self._variables])
