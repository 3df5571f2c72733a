"""Systematic outages: each write of each component, in ten small scenarios, goes wrong once; all must come to rest.

    python -m benchmarks.outages --sample 200
    python -m benchmarks.outages --all --scenario rollout
    python -m benchmarks.outages --pairs 100

A point is a scenario, a component (or the kubelet of n0), the number of one of its writes, and what goes wrong at it:

`refused`           the API server answers 500 and does nothing
`conflict`          it answers 409, as if another writer had been there first
`timeout`           it does what was asked and answers 504
`api restart`       it stops before the write, and is back 15 s later
`component restart` the component's process is started again, its memory lost, what was on its way to it lost, too
`watch delayed`     the component's watches fall 8 s behind, for 20 s
`watch cut`         its watches are broken for 20 s, then list everything
`watch replayed`    its watches tell again everything that they have told before

At the end the convergence checkers must find nothing, and no component may have raised or left a failed write
unhandled. These are the patterns of Sieve (Sun et al., OSDI 2022: intermediate state, stale state, unobserved state).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any

import typer

from benchmarks.outage_scenarios import SCENARIOS, OutageScenario
from harness.cluster.cluster import Cluster
from harness.cluster.control_plane import is_machine
from harness.convergence.checkers import converged
from harness.convergence.cluster_state import Autoscaled
from harness.engine.component import (
    SECOND,
    BindPod,
    Create,
    Delete,
    EvictPod,
    Outcome,
    PatchStatus,
    Relist,
    RestartApiServer,
    StandingLease,
    Subscribe,
    Update,
    Watch,
)
from harness.engine.messages import API_ADDRESS, BeginWatches
from harness.model.status import ApiError
from harness.node.backend import FIRST_NODE_ADDRESS

WRITES = (Create, Update, PatchStatus, Delete, BindPod, EvictPod, StandingLease)
OUTAGES = (
    "refused",
    "conflict",
    "timeout",
    "api restart",
    "component restart",
    "watch delayed",
    "watch cut",
    "watch replayed",
)
_CUT_NS, _DELAY_NS, _DOWN_NS, _AWAY_NS = 20 * SECOND, 8 * SECOND, 15 * SECOND, SECOND
KUBELET = "kubelet n0"


@dataclass(frozen=True, order=True)
class Point:
    scenario: str
    component: str
    write: int  # counted from 0
    outage: str

    def __str__(self) -> str:
        return f"{self.scenario}: {self.outage} at write {self.write} of {self.component}"


class Injector:
    """Between the components of a cluster and its API server. `writes`: how many each component has sent."""

    def __init__(self, cluster: Cluster, points: Sequence[Point]) -> None:
        self.cluster = cluster
        self.writes: Counter[str] = Counter()
        self.hit: list[Point] = []
        self._points = {(point.component, point.write): point for point in points}
        self._names = dict(enumerate(cluster.components, 1))
        self._names[FIRST_NODE_ADDRESS] = KUBELET
        self._addresses = {name: address for address, name in self._names.items()}
        self._told: dict[int, list[Watch]] = {}
        self._kinds: dict[int, dict[str, None]] = {
            address: dict.fromkeys(cluster.components[name].watches) if name != KUBELET else {"Pod": None}
            for address, name in self._names.items()
        }
        self._cut_until: dict[int, int] = {}
        self._delayed_until: dict[int, int] = {}
        self._held: dict[int, int] = {}  # when the last delayed event lands
        self._serve = cluster.loop.handlers[API_ADDRESS]
        cluster.loop.handlers[API_ADDRESS] = self._api
        self._replays = any(point.outage == "watch replayed" for point in points)
        watched = {self._addresses[point.component] for point in points if point.component in self._addresses}
        for address in watched - {FIRST_NODE_ADDRESS}:
            self._wrap(address)
        self._watched = watched

    # -- what components say -------------------------------------------------------------------------------------------

    def _api(self, now: int, batch: list[Any]) -> None:
        if FIRST_NODE_ADDRESS in self._watched and FIRST_NODE_ADDRESS in self.cluster.loop.handlers:
            self._watched.discard(FIRST_NODE_ADDRESS)
            self._wrap(FIRST_NODE_ADDRESS)
        passed: list[Any] = []
        for source, effect in batch:
            name = self._name_at(source)
            if type(effect) is BeginWatches and name is not None:
                self._follow(name, effect)
            if name is not None and type(effect) is Subscribe:
                self._kinds.setdefault(source, {}).update(dict.fromkeys(effect.kinds))
            if name is None or type(effect) not in WRITES:
                passed.append((source, effect))
                continue
            number = self.writes[name]
            self.writes[name] += 1
            point = self._points.get((name, number))
            if point is None:
                passed.append((source, effect))
                continue
            self._serve(now, passed)
            passed = []
            self.hit.append(point)
            self._strike(now, source, effect, point.outage)
        self._serve(now, passed)

    def _strike(self, now: int, address: int, effect: Any, outage: str) -> None:
        post, later = self.cluster.loop.post, now + 5 * 10**6
        if outage == "refused":
            post(later, address, Outcome(effect, None, ApiError(500, "InternalError", "injected")))
            return
        if outage == "conflict":
            post(later, address, Outcome(effect, None, ApiError(409, "Conflict", "injected")))
            return
        if outage == "timeout":
            self._serve(now, [(-1, effect)])  # the answer goes nowhere
            post(later, address, Outcome(effect, None, ApiError(504, "Timeout", "injected")))
            return
        if outage == "api restart":
            self.cluster._machines(now, RestartApiServer(_DOWN_NS))
        self._serve(now, [(address, effect)])
        if outage == "component restart":
            self.cluster.restart(now, self._names[address], _AWAY_NS)
        elif outage == "watch delayed":
            self._delayed_until[address] = now + _CUT_NS
        elif outage == "watch cut":
            self._cut_until[address] = now + _CUT_NS
            for kind in self._kinds[address]:
                post(now + _CUT_NS + 1, address, _ListNow(kind))
        elif outage == "watch replayed":
            post(later, address, _Replay())

    def _name_at(self, address: int) -> str | None:
        """A component that was started again has another address."""
        return self._names.get(address) or (None if is_machine(address) else self.cluster.component_at(address))

    def _follow(self, name: str, begins: BeginWatches) -> None:
        """The component was started again: whatever befalls its watches befalls them here."""
        self._names[begins.address] = name
        self._kinds[begins.address] = dict.fromkeys(begins.kinds)
        if any(self._names[address] == name for address in self._watched):
            self._watched.add(begins.address)
            self._wrap(begins.address)

    # -- what components hear ------------------------------------------------------------------------------------------

    def _wrap(self, address: int) -> None:
        inner = self.cluster.loop.handlers[address]
        loop, server = self.cluster.loop, self.cluster.server

        def handle(now: int, events: list[Any]) -> None:
            heard: list[Any] = []
            for event in events:
                kind = type(event)
                if kind is Watch and self._replays:
                    self._told.setdefault(address, []).append(event)
                if kind is Watch and now < self._cut_until.get(address, 0):
                    continue
                if kind is Watch and (now < self._delayed_until.get(address, 0) or now < self._held.get(address, 0)):
                    at = self._held[address] = max(now + _DELAY_NS, self._held.get(address, 0))
                    loop.post(at, address, _Again(event))
                    continue
                if kind is _Replay:
                    heard += self._told.get(address, ())  # all of it, so that it ends where the watch is
                    continue
                if kind is _Again:
                    event = event.event
                elif kind is _ListNow:
                    event = Relist(event.kind, tuple(server.listed(event.kind)))
                heard.append(event)
            if heard:
                inner(now, heard)

        loop.handlers[address] = handle


class _ListNow:
    """The watch of a kind is made anew."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Replay:
    """The watch was resumed at its beginning."""


class _Again:
    """A watch event that comes late, or a second time."""

    def __init__(self, event: Watch) -> None:
        self.event = event


# -- points ------------------------------------------------------------------------------------------------------------


def scenario(name: str) -> OutageScenario:
    return next(item for item in SCENARIOS if item.name == name)


def points_of(one: OutageScenario) -> list[Point]:
    """All of a scenario, found by playing it without any."""
    cluster = one.cluster()
    injector = Injector(cluster, ())
    one.play(cluster)
    return [
        Point(one.name, component, number, outage)
        for component, count in sorted(injector.writes.items())
        for number in range(count)
        for outage in OUTAGES
        if not (component == KUBELET and outage == "component restart")  # that is a crash, which the scenarios have
    ]


def failures(points: Sequence[Point]) -> list[str]:
    """What is wrong at the end of a scenario in which these (of one scenario) happen; empty: all came to rest."""
    one = scenario(points[0].scenario)
    cluster = one.cluster()
    injector = Injector(cluster, points)
    one.play(cluster)
    bounds = Autoscaled({pool.name: (pool.least, pool.most) for pool in one.pools})
    found = [str(item) for item in converged(cluster, autoscaled=bounds)]
    found += cluster.component_faults
    if len(points) == 1 and not injector.hit:
        found.append("the point was not reached")
    return found


def all_points(names: Sequence[str] = ()) -> Iterator[Point]:
    for one in SCENARIOS:
        if not names or one.name in names:
            yield from points_of(one)


def pairs(points: Sequence[Point], count: int, rng: Random) -> list[tuple[Point, Point]]:
    """Two outages in one run, drawn; those of other writes of one scenario."""
    by_scenario: dict[str, list[Point]] = {}
    for point in points:
        by_scenario.setdefault(point.scenario, []).append(point)
    names = sorted(by_scenario)
    out: list[tuple[Point, Point]] = []
    while len(out) < count:
        one, other = rng.sample(by_scenario[rng.choice(names)], 2)
        if (one.component, one.write) != (other.component, other.write):
            out.append((one, other))
    return out


def main(
    all_: Annotated[bool, typer.Option("--all", help="Every point.")] = False,
    sample: Annotated[int, typer.Option(help="So many points, drawn.")] = 0,
    pairs_: Annotated[int, typer.Option("--pairs", help="So many pairs of points, drawn.")] = 0,
    only: Annotated[list[str] | None, typer.Option("--scenario", help="Of this scenario; may be repeated.")] = None,
    outage: Annotated[list[str] | None, typer.Option("--outage", help="Of this kind; may be repeated.")] = None,
    component: Annotated[list[str] | None, typer.Option(help="At writes of this component; may be repeated.")] = None,
    seed: int = 1,
    show: Annotated[int, typer.Option(help="At most so many failures are shown.")] = 20,
) -> None:
    rng = Random(seed)
    every = [
        point
        for point in all_points(only or ())
        if (not outage or point.outage in outage) and (not component or point.component in component)
    ]
    chosen: list[tuple[Point, ...]] = []
    if all_:
        chosen += [(point,) for point in every]
    elif sample:
        chosen += [(point,) for point in sorted(rng.sample(every, min(sample, len(every))))]
    if pairs_:
        chosen += pairs(every, pairs_, rng)
    began, open_ = time.monotonic(), 0
    ran: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for index, points in enumerate(chosen):
        found = failures(points)
        name = " + ".join(point.outage for point in points) if len(points) == 1 else "two at once"
        ran[name] += 1
        if found:
            failed[name] += 1
            open_ += 1
            if open_ <= show:
                print(" and ".join(map(str, points)))
                for text in found[:4]:
                    print(f"    {text}")
        if index % 200 == 199:
            print(f"{index + 1} of {len(chosen)}, {open_} open, {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(f"{len(every)} points in {len(only or SCENARIOS)} scenarios; {len(chosen)} run, {open_} open")
    for name in sorted(ran):
        print(f"  {name:18} {ran[name]:6} run {failed[name]:6} open")
    raise typer.Exit(1 if open_ else 0)


if __name__ == "__main__":
    typer.run(main)
