"""Properties of whole clusters: what is claimed of every moment of a run, and generated scenarios that shrink.

    @given(scenarios())
    def test_a_crash_is_forgotten_in_ten_minutes(scenario):
        holds(scenario, "greedy", within(600, all_ready, after=a_node_is_down))

A claim is checked after each write of the API server, so on every state that a client could have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from harness.experiment.run import Home, Run
from harness.experiment.scenario import from_data
from harness.experiment.strategies import load_strategy
from harness.model.core import Node, Pod
from harness.model.meta import is_ready
from harness.model.pod_amounts import resource_amounts
from harness.scheduling.pods.requests import requests_of
from harness.simulation.generated import Scenario, document, scenarios
from harness.simulation.safety import ENDED

__all__ = [
    "Claim",
    "Moment",
    "Scenario",
    "a_node_is_down",
    "all_ready",
    "always",
    "document",
    "eventually",
    "holds",
    "nothing_waits_beside_room",
    "ready",
    "scenarios",
    "within",
]


@dataclass(frozen=True, slots=True)
class Moment:
    """The cluster between two writes, read-only: `pods` by "namespace/name", `nodes` by name; `seconds` since t=0.
    `objects(kind)`: those of any other kind, as `pods` are."""

    seconds: float
    pods: Mapping[str, Pod]
    nodes: Mapping[str, Node]
    objects: Callable[[str], Mapping[str, Any]]


Check: TypeAlias = Callable[[Moment], bool]


class Claim(Protocol):
    """About a whole run. `see` is handed each moment in order and says what is broken, '' for nothing; `end` the same
    after the last one."""

    def see(self, moment: Moment) -> str: ...

    def end(self, moment: Moment) -> str: ...


@dataclass
class Always:
    check: Check

    def see(self, moment: Moment) -> str:
        return "" if self.check(moment) else f"{_name(self.check)} does not hold at {moment.seconds:g} s"

    def end(self, moment: Moment) -> str:
        return self.see(moment)


@dataclass
class Eventually:
    check: Check
    held: bool = False

    def see(self, moment: Moment) -> str:
        self.held = self.held or self.check(moment)
        return ""

    def end(self, moment: Moment) -> str:
        self.see(moment)
        return "" if self.held else f"{_name(self.check)} did not hold once in {moment.seconds:g} s"


@dataclass
class Within:
    """`since`: when `after` held and `check` did not; None while nothing is owed."""

    seconds: float
    check: Check
    after: Check
    since: float | None = None

    def see(self, moment: Moment) -> str:
        if self.check(moment):
            late = self._late(moment)
            self.since = None
            return late
        if self.since is None and self.after(moment):
            self.since = moment.seconds
        return self._late(moment)

    def end(self, moment: Moment) -> str:
        return self.see(moment)

    def _late(self, moment: Moment) -> str:
        if self.since is None or moment.seconds - self.since <= self.seconds:
            return ""
        return f"{_name(self.check)} was due {self.seconds:g} s after {self.since:g} s, and did not hold in that time"


def always(check: Check) -> Claim:
    """At every moment."""
    return Always(check)


def eventually(check: Check) -> Claim:
    """At one moment at least."""
    return Eventually(check)


def within(seconds: float, check: Check, *, after: Check = lambda _: True) -> Claim:
    """Whenever `after` holds and `check` does not, `check` holds so many seconds later at the latest. What is not due
    when the run ends is not held against it."""
    return Within(seconds, check, after)


def holds(scenario: Scenario, scheduler: Any, *claims: Claim, seed: int | None = None) -> None:
    """Plays the scenario, which needs a duration, on virtual time. `scheduler`: a name, module:object, or what makes a
    strategy. Claims remember what they saw: make them anew for each call. Raises AssertionError for the first claim
    that is broken, or for a strategy that misbehaves (raises, binds illegally, ..), UserError for a scenario that is
    wrong."""
    loaded = from_data(scenario, "the scenario")
    strategy = load_strategy(loaded, scheduler)() if isinstance(scheduler, str) else scheduler()
    run = Run(loaded, strategy, loaded.scenario.spec.seed if seed is None else seed, Home())
    server = run.cluster.server
    broken: list[str] = []

    def moment() -> Moment:
        return Moment(server.now / 1e9, server.objects("Pod"), server.objects("Node"), server.objects)

    def written(*_: Any) -> None:
        if not broken:
            now = moment()
            broken.extend(filter(None, (claim.see(now) for claim in claims)))

    server.listeners.append(written)
    try:
        run.play()
        if not broken:
            last = Moment(run.end_ns / 1e9, server.objects("Pod"), server.objects("Node"), server.objects)
            broken.extend(filter(None, (claim.end(last) for claim in claims)))
            broken.extend(map(_misbehaviour, run.scheduler.tally.violations[:1]))
    finally:
        run.close()
    assert not broken, broken[0]


def _misbehaviour(violation: tuple[int, str, str, str]) -> str:
    at, kind, pod, reason = violation
    return f"the strategy misbehaved at {at / 1e9:g} s: {kind} {pod}: {reason}"


def _name(check: Check) -> str:
    return getattr(check, "__name__", repr(check))


# -- what a cluster has ------------------------------------------------------------------------------------------------


def ready(pod: Pod) -> bool:
    """Whether it serves: its condition Ready is true, and it is not being deleted."""
    return is_ready(pod.status.conditions) and pod.metadata.deletion_timestamp is None


def all_ready(moment: Moment) -> bool:
    """Each pod is ready, or has ended."""
    return all(ready(pod) or pod.status.phase in ENDED for pod in moment.pods.values())


def a_node_is_down(moment: Moment) -> bool:
    """A node is not Ready."""
    return any(not is_ready(node.status.conditions) for node in moment.nodes.values())


def nothing_waits_beside_room(moment: Moment) -> bool:
    """No pod is without a node while one has the CPU and memory for it. What pods ask for besides, as labels of nodes,
    is not looked at; a node with any taint has no room."""
    waiting = [pod for pod in moment.pods.values() if not pod.spec.node_name and pod.status.phase not in ENDED]
    if not waiting:
        return True
    rooms = free(moment).values()
    return not any(cpu <= idle[0] and memory <= idle[1] for cpu, memory in map(_asks, waiting) for idle in rooms)


def free(moment: Moment) -> dict[str, tuple[int, int]]:
    """Milli-CPU and bytes of memory that no pod has asked for, by node, of those that take pods."""
    rooms = {
        name: _cpu_and_memory(resource_amounts(node.status.allocatable))
        for name, node in moment.nodes.items()
        if not node.spec.taints and not node.spec.unschedulable
    }
    for pod in moment.pods.values():
        if pod.spec.node_name in rooms and pod.status.phase not in ENDED:
            cpu, memory = _asks(pod)
            had = rooms[pod.spec.node_name]
            rooms[pod.spec.node_name] = (had[0] - cpu, had[1] - memory)
    return rooms


def _asks(pod: Pod) -> tuple[int, int]:
    return _cpu_and_memory(requests_of(pod.spec)[0])


def _cpu_and_memory(amounts: Mapping[str, int]) -> tuple[int, int]:
    return amounts.get("cpu", 0), amounts.get("memory", 0)
