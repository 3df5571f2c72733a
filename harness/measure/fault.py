"""Faults that hit the cluster, and the pods that each of them hit: the terms of recovery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from harness.measure.pods import NEVER, PodTimes

OUTAGES = ("Restart", "Restore", "Outage", "Watches")
"""Faults of the control plane: they hit no pod."""

REGISTRY_OUTAGE = "Registry"
"""It hits no pod that runs, and everything is decided as ever: pods wait for their images."""

API_SERVER_TARGET = "apiserver"
"""What its outages call the API server."""

LASTING_FAULTS = ("Crash", "Freeze", "Partition")
"""Faults of nodes that last, and let go of them when they are over."""

FOR_EVER = 1 << 62


class MeasuredFault(msgspec.Struct, eq=False):
    """`lasts_ns`: until it is undone by itself, FOR_EVER or 0. `injected`: in how many steps. `spared`: targets that
    were down already."""

    at_ns: int
    kind: str
    lasts_ns: int = 0
    injected: int = 1
    targets: list[str] = []
    spared: list[str] = []
    hits: list[Hit] = []
    before: int = 0  # pods on its targets that an earlier fault had hit, and that were not back
    prolonged: int = 0  # of those, which the earlier one alone would have let go sooner
    detected: dict[str, int] = {}  # by node
    noticed: list[str] = []  # nodes that were NotReady already, or became so by an earlier fault
    unpulled: dict[str, None] = {}  # uids of pods whose images could not be pulled
    steps: list[Step] = []  # of an action
    short: tuple[int, int] | None = None  # (targets asked for, targets found), where there were too few
    refused: list[str] = []  # what the API server said of its writes that failed for good
    ended: str = ""  # an action's end: done, or failed
    why: str = ""  # it failed

    @property
    def until_ns(self) -> int:
        return self.at_ns + self.lasts_ns


class Step(NamedTuple):
    """A step of an action: what was done, or its result. `about`: a node, a pod (namespace/name), or 'Kind
    namespace/name'."""

    at_ns: int
    what: str
    about: str
    detail: str


class ObservedFault(Protocol):
    """What `FaultList` fills in: `kind` and `at_ns` are set again with the first target; `targets`: what it hit;
    `steps`: of an action; `lasts_ns`: until it ends by itself."""

    at_ns: int
    kind: str
    lasts_ns: int
    targets: list[str]
    steps: list[Step]


F = TypeVar("F", bound=ObservedFault)


class FaultList(Generic[F]):
    """The faults of a run, from its observations: `listed` in order, planned ones and others."""

    def __init__(self, make: Callable[[int, str], F]) -> None:
        """`make`: creates one from its instant and kind."""
        self.listed: list[F] = []
        self._make = make
        self._by_cause: dict[int, F] = {}

    def plan(self, at_ns: int, kind: str, cause: int) -> F:
        """A fault of the timeline begins: from now on it disturbs its targets."""
        fault = self._by_cause[cause] = self._make(at_ns, kind)
        self.listed.append(fault)
        return fault

    def caused_by(self, cause: int) -> F | None:
        return self._by_cause.get(cause)

    def disturb(self, at_ns: int, target: str, kind: str, cause: int) -> F:
        """The fault that disturbs `target`: the planned one with this cause, or else an unplanned one, as when a
        process is killed. Unplanned disturbances of one instant and kind are one fault."""
        fault = self._by_cause.get(cause)
        if fault is None:
            last = self.listed[-1] if self.listed else None
            if last is None or (last.at_ns, last.kind) != (at_ns, kind):
                last = self._make(at_ns, kind)
                self.listed.append(last)
            fault = last
        if not fault.targets:
            fault.at_ns, fault.kind = at_ns, kind
        if target not in fault.targets:
            fault.targets.append(target)
        return fault

    def step(self, cause: int, step: Step) -> F:
        """Adds a step of the action with this cause; if the step is about a node, that is one of its targets."""
        fault = self._by_cause[cause]
        if step.about and "/" not in step.about and step.about not in fault.targets:
            fault.targets.append(step.about)
        fault.steps.append(step)
        return fault


class Hit(msgspec.Struct, eq=False):
    """A pod that a fault befell. `needed`: whether its owner wants another in its place."""

    life: PodTimes
    fault: MeasuredFault
    served: bool  # it was an endpoint
    lost_before: dict[str, int]  # requests lost on the way to it until then, by service (milli-rps x ns)
    lost_after: dict[str, int] | None = None  # until another fault befell it
    unready_ns: int = NEVER
    back_ns: int = NEVER
    left_ns: int = NEVER
    evicted: bool = False
    needed: bool = False
    new: PodTimes | None = None
