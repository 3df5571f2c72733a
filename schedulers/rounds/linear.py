"""Policies of shares that are linear programmes: max-min-fairness, max-sum-throughput, min-total-duration, and
finish-time-fairness. Shares of `m` jobs: 0 <= x <= 1 and the sum of gang * x at most the number of GPUs.

`solver`: `ortools` (GLOP, exact to its tolerance), or `ecos` with the extra `[rounds]`, the interior-point solver of
the published code. The optima are degenerate, and which of them a solver returns decides the schedule: another solver
gives another schedule, as good in its objective. Only `ecos` gives the published rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.jobs.protocol import JobView
from harness.model.errors import UserError
from schedulers.rounds.gavel import GavelRounds, SharePolicy, Shares

Float64: TypeAlias = npt.NDArray[np.float64]


class Solver(Protocol):
    """Each answers with shares [jobs], None where nothing is feasible. `gangs`, `speeds`: [jobs]."""

    def max_min(self, gangs: Float64, gpus: int) -> Float64 | None:
        """The largest least gang * x."""

    def max_sum(self, gangs: Float64, gpus: int, speeds: Float64) -> Float64 | None:
        """The largest sum of speed * x."""

    def at_least(self, gangs: Float64, gpus: int, speeds: Float64, needed: Float64) -> Float64 | None:
        """Any x with speed * x >= needed."""

    def min_max_rho(
        self, gangs: Float64, gpus: int, speeds: Float64, age: Float64, left: Float64, isolated: Float64
    ) -> Float64 | None:
        """The least greatest (age + left / (speed * x)) / isolated."""


def _arrays(jobs: Sequence[JobView]) -> tuple[Float64, Float64, Float64]:
    """Gangs, speeds, steps left: float64 [jobs]."""
    return (
        np.array([job.gang for job in jobs], dtype=np.float64),
        np.array([job.steps_per_s for job in jobs], dtype=np.float64),
        np.array([job.steps_left for job in jobs], dtype=np.float64),
    )


def _shares(jobs: Sequence[JobView], x: Float64 | None) -> Shares:
    if x is None:
        return dict.fromkeys((job.id for job in jobs), 0.0)
    return {job.id: float(value) for job, value in zip(jobs, np.clip(x, 0.0, 1.0), strict=True)}


class _MaxMinFairness:
    def __init__(self, solver: Solver) -> None:
        self._solver = solver

    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        gangs, _, _ = _arrays(jobs)
        return _shares(jobs, self._solver.max_min(gangs, gpus))


class _MaxSumThroughput:
    def __init__(self, solver: Solver) -> None:
        self._solver = solver

    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        gangs, speeds, _ = _arrays(jobs)
        return _shares(jobs, self._solver.max_sum(gangs, gpus, speeds))


class _MinTotalDuration:
    """Bisection over the total duration: the least one, to 5 %, in which all work left can be done."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver

    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        gangs, speeds, left = _arrays(jobs)
        low, high = 100.0, 1_000_000.0
        kept: Float64 | None = None
        while kept is None:
            end = high
            while 1.05 * low < high:
                duration = (low + high) / 2.0
                x = self._solver.at_least(gangs, gpus, speeds, left / duration)
                if x is None:
                    low = duration
                else:
                    high, kept = duration, x
            low, high = end, end * 10.0
        return _shares(jobs, kept)


class _FinishTimeFairness:
    """Themis (Mahajan et al., NSDI 2020): the least greatest ratio of time taken to time on a part of the cluster."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._isolated_s: dict[int, float] = {}  # time on its own part that the work done so far would have taken
        self._last: dict[int, tuple[int, float]] = {}  # steps left and speed on its own part, last time

    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        gangs, speeds, left = _arrays(jobs)
        isolated_speed = [job.steps_per_s * min(1.0, gpus / (len(jobs) * job.gang)) for job in jobs]
        isolated = []
        for job, speed in zip(jobs, isolated_speed, strict=True):
            past = self._isolated_s.get(job.id, 0.0)
            if job.id in self._last:
                before, at = self._last[job.id]
                past += (before - job.steps_left) / at
            self._isolated_s[job.id] = past
            self._last[job.id] = (job.steps_left, speed)
            rest = max(job.steps_left, 0) / speed
            # A smaller batch size makes more steps of the same work: the past may come out negative.
            isolated.append(past + rest if past + rest > 0 else max(rest, 1.0))
        age = np.array([now_s - job.arrival_s for job in jobs])
        # A job that its new batch size has brought beyond its last step has nothing left.
        left = np.maximum(left, 0.0)
        return _shares(jobs, self._solver.min_max_rho(gangs, gpus, speeds, age, left, np.array(isolated)))


def _cvxpy() -> Any:
    """Slow to import, and only there with the extra [rounds]."""
    return import_module("cvxpy")


class _Ecos:
    """The published code's way: CVXPY with ECOS and its default tolerances, constraints in the published order."""

    def max_min(self, gangs: Float64, gpus: int) -> Float64 | None:
        cvxpy = _cvxpy()

        x = self._variable(gangs)
        column = gangs.reshape(-1, 1)
        objective = cvxpy.Maximize(cvxpy.min(cvxpy.sum(cvxpy.multiply(column, x), axis=1)))
        return self._solved(x, objective, self._polytope(x, column, gpus))

    def max_sum(self, gangs: Float64, gpus: int, speeds: Float64) -> Float64 | None:
        cvxpy = _cvxpy()

        x = self._variable(gangs)
        objective = cvxpy.Maximize(cvxpy.sum(cvxpy.sum(cvxpy.multiply(speeds.reshape(-1, 1), x), axis=1)))
        return self._solved(x, objective, self._polytope(x, gangs.reshape(-1, 1), gpus))

    def at_least(self, gangs: Float64, gpus: int, speeds: Float64, needed: Float64) -> Float64 | None:
        cvxpy = _cvxpy()

        x = self._variable(gangs)
        done = cvxpy.sum(cvxpy.multiply(speeds.reshape(-1, 1), x), axis=1)
        constraints = [*self._polytope(x, gangs.reshape(-1, 1), gpus), done >= needed]
        return self._solved(x, cvxpy.Maximize(1), constraints, statuses=("optimal",))

    def min_max_rho(
        self, gangs: Float64, gpus: int, speeds: Float64, age: Float64, left: Float64, isolated: Float64
    ) -> Float64 | None:
        cvxpy = _cvxpy()

        x = self._variable(gangs)
        rho = [
            (age[at] + left[at] * cvxpy.inv_pos(cvxpy.sum(cvxpy.multiply(speeds[at : at + 1], x[at])))) / isolated[at]
            for at in range(len(gangs))
        ]
        objective = cvxpy.Minimize(rho[0] if len(rho) == 1 else cvxpy.maximum(*rho))
        return self._solved(x, objective, self._polytope(x, gangs.reshape(-1, 1), gpus))

    def _variable(self, gangs: Float64) -> Any:
        cvxpy = _cvxpy()

        return cvxpy.Variable((len(gangs), 1))

    def _polytope(self, x: Any, gangs: Float64, gpus: int) -> list[Any]:
        cvxpy = _cvxpy()

        return [
            x >= 0,
            cvxpy.sum(cvxpy.multiply(gangs, x), axis=0) <= np.array([gpus]),
            cvxpy.sum(x, axis=1) <= 1,
        ]

    def _solved(
        self,
        x: Any,
        objective: Any,
        constraints: list[Any],
        statuses: tuple[str, ...] = ("optimal", "optimal_inaccurate"),
    ) -> Float64 | None:
        cvxpy = _cvxpy()

        problem = cvxpy.Problem(objective, constraints)
        problem.solve(solver="ECOS")
        if problem.status not in statuses:
            return None
        values: Float64 = np.asarray(x.value).reshape(-1)
        return values


class _Glop:
    """OR-Tools' simplex; finish-time-fairness by bisection, as a ratio says at once what each job needs."""

    def max_min(self, gangs: Float64, gpus: int) -> Float64 | None:
        program = _Program(gangs, gpus)
        level = program.solver.NumVar(0.0, program.solver.infinity(), "level")
        for gang, x in zip(gangs, program.x, strict=True):
            program.solver.Add(float(gang) * x >= level)
        program.solver.Maximize(level)
        return program.solved()

    def max_sum(self, gangs: Float64, gpus: int, speeds: Float64) -> Float64 | None:
        program = _Program(gangs, gpus)
        program.solver.Maximize(sum(float(speed) * x for speed, x in zip(speeds, program.x, strict=True)))
        return program.solved()

    def at_least(self, gangs: Float64, gpus: int, speeds: Float64, needed: Float64) -> Float64 | None:
        program = _Program(gangs, gpus)
        for speed, x, least in zip(speeds, program.x, needed, strict=True):
            program.solver.Add(float(speed) * x >= float(least))
        return program.solved()

    def min_max_rho(
        self, gangs: Float64, gpus: int, speeds: Float64, age: Float64, left: Float64, isolated: Float64
    ) -> Float64 | None:
        run = left / speeds
        todo = run > 0  # the others need no GPU, whatever their ratio

        def shares(rho: float) -> Float64 | None:
            spare = rho * isolated - age
            x = np.divide(run, spare, out=np.where(todo, np.inf, 0.0), where=todo & (spare > 0))
            return x if bool((x <= 1.0).all()) and float((gangs * x).sum()) <= gpus else None

        low, high = 0.0, 1.0
        while shares(high) is None:
            high *= 2.0
        while high - low > 1e-9 * high:
            middle = (low + high) / 2.0
            low, high = (low, middle) if shares(middle) is not None else (middle, high)
        return shares(high)


class _Program:
    """The polytope of shares: `x`, one variable a job."""

    def __init__(self, gangs: Float64, gpus: int) -> None:
        from ortools.linear_solver import pywraplp  # slow to import, and only a strategy that runs needs it

        self.solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        self._optimal = pywraplp.Solver.OPTIMAL
        self.x: list[Any] = [self.solver.NumVar(0.0, 1.0, "") for _ in gangs]
        self.solver.Add(sum(float(gang) * x for gang, x in zip(gangs, self.x, strict=True)) <= float(gpus))

    def solved(self) -> Float64 | None:
        if self.solver.Solve() != self._optimal:
            return None
        return np.array([x.solution_value() for x in self.x])


def _solver(name: str) -> Solver:
    if name == "ortools":
        return _Glop()
    if name != "ecos":
        raise UserError("there is no such solver", found=name, expected="ortools or ecos")
    if find_spec("cvxpy") is None or find_spec("ecos") is None:
        raise UserError(
            "the solver of the published code is not installed",
            found="solver=ecos",
            expected="the packages cvxpy and ecos (ecos is under the GPL)",
            hint="pip install 'podyard[rounds]', or solver=ortools",
        )
    return _Ecos()


def policy_of(name: str, solver: str) -> SharePolicy:
    """By the name of its strategy; a new one at each call, as some keep state."""
    return _POLICIES[name](_solver(solver))


_POLICIES: dict[str, Callable[[Solver], SharePolicy]] = {
    "max-min-fairness": _MaxMinFairness,
    "max-sum-throughput": _MaxSumThroughput,
    "min-total-duration": _MinTotalDuration,
    "finish-time-fairness": _FinishTimeFairness,
}


def max_min_fairness(solver: str = "ortools") -> GavelRounds:
    """Gavel: the least of gang times share is as large as can be."""
    return GavelRounds(_MaxMinFairness(_solver(solver)))


def max_sum_throughput(solver: str = "ortools") -> GavelRounds:
    """The most steps a second, whoever makes them."""
    return GavelRounds(_MaxSumThroughput(_solver(solver)))


def min_total_duration(solver: str = "ortools") -> GavelRounds:
    """The least time, to 5 %, in which everything that is there now can be done."""
    return GavelRounds(_MinTotalDuration(_solver(solver)))


def finish_time_fairness(solver: str = "ortools") -> GavelRounds:
    """Themis: the least greatest ratio of a job's time to that on its own part of the cluster."""
    return GavelRounds(_FinishTimeFairness(_solver(solver)))
