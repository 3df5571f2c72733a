"""Rewards by the name of a measure: the return of an episode is the measure of the run.

The reward of a step is the change of a level that is known at each instant; measures without such a level give a
reward at the end only. The last step adds the difference, so that the return equals the number in the record, negative
where less is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.measure.catalogue import Catalogue, number_paths
from harness.measure.occupancy import NAMES, Occupancy
from harness.model.errors import UserError


class PodTotals:
    """How many pods exist, wait and were placed, over time; a fold beside an Occupancy.

    Sums over time are of levels times nanoseconds since `since_ns`, the first arrival.
    """

    def __init__(self, occupancy: Occupancy) -> None:
        self.occupancy = occupancy
        self.arrived = self.bound = self.waiting = 0
        self.waited_ns = 0
        self.allocated_ns = [0.0] * len(NAMES)
        self.busy_ns = 0
        self.fragments_ns = 0.0
        self._until_ns: int | None = None
        self._state: dict[str, bool] = {}  # by uid: whether it is bound

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind != "Pod":
            return
        if self._until_ns is None:
            self._until_ns = at_ns
        uid = obj.metadata.uid
        known = self._state.get(uid)
        if change == "DELETED":
            if self._state.pop(uid, None) is False:
                self.waiting -= 1
        elif known is None and obj.status.phase not in ("Succeeded", "Failed"):
            self._state[uid] = bool(obj.spec.node_name)
            self.arrived += 1
            self.waiting += not obj.spec.node_name
            self.bound += bool(obj.spec.node_name)
        elif known is False and (obj.spec.node_name or obj.status.phase in ("Succeeded", "Failed")):
            self._state[uid] = True
            self.waiting -= 1
            self.bound += bool(obj.spec.node_name)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def advance(self, at_ns: int) -> None:
        """Advances to `at_ns` with the present state; call it before what happens at that instant."""
        if self._until_ns is None or at_ns <= self._until_ns:
            return
        spent = at_ns - self._until_ns
        occupancy = self.occupancy
        self.waited_ns += self.waiting * spent
        self.busy_ns += occupancy.busy_nodes * spent
        for index, total in enumerate(occupancy.total):
            if total:
                self.allocated_ns[index] += occupancy.allocated[index] / total * spent
        if occupancy.meter is not None:
            self.fragments_ns += occupancy.meter.amount_milli / 1000 * spent
        self._until_ns = at_ns


@dataclass(frozen=True, slots=True)
class Goal:
    """The measure that the return equals: `path` of its number in a run's metrics, `sign` 1 where more is better."""

    path: str
    sign: int


def read_goal(text: str, known: Catalogue) -> Goal:
    """Reads a path of `podyard measures`. A measure of which neither more nor less is better needs a sign:
    "-placement.nodesUsed".

    Raises UserError.
    """
    path = text.removeprefix("-").removeprefix("+")
    measure = known.get(path)
    if path != text and measure.sign:
        raise UserError("the sign is the measure's own", found=text, expected=f"{path}: {measure.better} is better")
    if path == text and not measure.sign:
        expected = f"-{path} where less is better, +{path} where more is"
        raise UserError("the measure is better neither way", found=text, expected=expected)
    return Goal(path, measure.sign or (-1 if text.startswith("-") else 1))


class Reward:
    """`horizon_ns`, `pods`: what averages are divided by while the end is not known: the window's length, and how many
    pods will arrive."""

    def __init__(self, goal: Goal, tally: PodTotals, horizon_ns: int, pods: int) -> None:
        self.path, self.sign = goal.path, goal.sign
        self._tally = tally
        self._horizon_ns = max(1, horizon_ns)
        self._pods = max(1, pods)
        self._paid = 0.0

    def step(self) -> float:
        """The reward since the last call."""
        level = self.sign * self._level()
        earned = level - self._paid
        self._paid = level
        return earned

    def settle(self, metrics: dict[str, Any]) -> float:
        """The rest of the return, once the run's metrics are known. A run without the number (as when nothing ever
        waited) has 0."""
        found = {path: value for path, value, _ in number_paths(metrics)}
        level = self.sign * float(found.get(self.path, 0.0))
        earned = level - self._paid
        self._paid = level
        return earned

    def _level(self) -> float:
        tally, occupancy = self._tally, self._tally.occupancy
        head, _, name = self.path.rpartition(".")
        index = NAMES.index(name) if name in NAMES else -1
        if head == "placement.allocation" and index >= 0:
            return tally.allocated_ns[index] / self._horizon_ns
        if head == "placement.allocationAtEnd" and index >= 0:
            return occupancy.allocated[index] / occupancy.total[index] if occupancy.total[index] else 0.0
        if self.path == "placement.pendingSeconds.mean":
            return tally.waited_ns / self._pods / 1e9
        if self.path == "placement.podsNeverBound":
            return float(tally.arrived - tally.bound)
        if self.path == "placement.podsBound":
            return float(tally.bound)
        if self.path == "placement.nodesUsed":
            return tally.busy_ns / self._horizon_ns
        if self.path == "placement.fragmentation.gpus":
            return tally.fragments_ns / self._horizon_ns
        return 0.0  # given at the end
