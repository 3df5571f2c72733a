"""The conformance kit: what every strategy owes the harness, tried on generated clusters and shrunk where it fails."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.sandbox.guard import Guard, contained, stable_text
from harness.testing import hashed
from harness.testing.another_time import another_time
from harness.testing.global_randomness import GlobalRandomness
from harness.testing.trial import Factory, Trial, call, trial
from harness.testing.worlds import World, seeded, worlds

EXAMPLES = 60
DEADLINE_S = 10.0

_ROUNDS = 40  # of the memory property, three times
_PODS_A_ROUND = 16
_MINUTES = 60  # of the liveness property
_KEPT_BYTES = 128  # for each pod that was ever handed over: less than its name in a dict


class Broken(AssertionError):
    """A property does not hold; the message says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one property. `ok` None: it could not be tried, for `reason`. `world`: the smallest that was found to fail."""

    name: str
    ok: bool | None
    reason: str = ""
    world: World | None = None
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked: a factory, and how to name it in another process (None: it cannot be named)."""

    factory: Factory
    spec: str | None
    deadline_s: float

    def trial(self, world: World, **how: object) -> Trial:
        return trial(self.factory, world, deadline_s=self.deadline_s, **how)  # type: ignore[arg-type]


Property: TypeAlias = Callable[[Subject, World], None]
"""Raises Broken."""


def check(
    factory: Factory,
    *,
    spec: str | None = None,
    examples: int = EXAMPLES,
    deadline_s: float = DEADLINE_S,
    write_to: Path | None = None,
) -> list[Verdict]:
    """A verdict for each property.

    `factory` makes a fresh strategy; `spec` names it as --scheduler would (needed for other processes, to try unlike
    hash seeds). A failing example is written into `write_to` as a scenario file.
    """
    return list(verdicts(factory, spec=spec, examples=examples, deadline_s=deadline_s, write_to=write_to))


def verdicts(
    factory: Factory,
    *,
    spec: str | None = None,
    examples: int = EXAMPLES,
    deadline_s: float = DEADLINE_S,
    write_to: Path | None = None,
    only: Collection[str] = (),
) -> Iterator[Verdict]:
    """`check`, one verdict at a time; of the properties called `only`, where there are any."""
    unknown = sorted(set(only) - {*PROPERTIES, *ONCE})
    if unknown:
        raise ValueError(f"no property is called {unknown[0]!r}; there are {', '.join([*PROPERTIES, *ONCE])}")
    subject = Subject(factory, spec, deadline_s)
    late = False
    for name, (property_, sizes) in PROPERTIES.items():
        if only and name not in only:
            continue
        if late:
            yield Verdict(name, None, "not tried: its calls do not end")
            continue
        found = _tried(name, property_, subject, examples, sizes)
        late = name == "deadline" and not found.ok
        yield _written(found, write_to)
    for name, once in ONCE.items():
        if only and name not in only:
            continue
        if late:
            yield Verdict(name, None, "not tried: its calls do not end")
        else:
            yield _written(once(subject), write_to)


def _written(verdict: Verdict, folder: Path | None) -> Verdict:
    if folder is None or verdict.ok is not False or verdict.world is None:
        return verdict
    file = folder / f"{verdict.name.replace(' ', '-')}.yaml"
    verdict.world.write(file, verdict.name.replace(" ", "-"), verdict.reason.partition("\n")[0])
    return replace(verdict, file=file)


def _tried(name: str, property_: Property, subject: Subject, examples: int, sizes: dict[str, bool]) -> Verdict:
    """Hypothesis looks for a world where the property does not hold, and for the smallest such world."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Flaky

    last: list[tuple[World, str]] = []
    skipped: list[str] = []

    @settings(
        max_examples=examples if name != "deadline" else min(examples, 5),
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink] if name != "deadline" else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(worlds(**sizes))
    def holds(world: World) -> None:
        try:
            property_(subject, world)
        except Broken as broken:
            last.append((world, str(broken)))
            raise
        except _Skipped as skip:
            skipped.append(str(skip))

    try:
        holds()
    except (Broken, Flaky):
        world, reason = last[-1]
        return Verdict(name, False, reason, world)
    if skipped:
        return Verdict(name, None, skipped[0])
    return Verdict(name, True)


def try_on(name: str, subject: Subject, some: Iterable[World]) -> Verdict:
    """One of PROPERTIES on these worlds, in their order, without a search: the first where it does not hold."""
    property_, _ = PROPERTIES[name]
    skipped = ""
    for world in some:
        try:
            property_(subject, world)
        except Broken as broken:
            return Verdict(name, False, str(broken), world)
        except _Skipped as skip:
            skipped = str(skip)
    return Verdict(name, None, skipped) if skipped else Verdict(name, True)


class _Skipped(Exception):
    """The property says nothing about such a strategy."""


# -- the properties ----------------------------------------------------------------------------------------------------


def deadline(subject: Subject, world: World) -> None:
    """Each call of place() ends in time."""
    for fault in subject.trial(world).faults:
        if fault.kind == "deadline":
            raise Broken(fault.reason)


def legality(subject: Subject, world: World) -> None:
    """It answers with decisions that hold: it raises nothing, binds what it was handed, where it fits, once."""
    fault = subject.trial(world).fault()
    if fault:
        raise Broken(fault)


def liveness(subject: Subject, world: World) -> None:
    """Where a pod fits, something is placed: not at once, perhaps, but within an hour of asking each minute."""
    on = world.snapshot()
    guard = Guard(subject.factory(), subject.deadline_s)
    rng = np.random.default_rng(7)
    waiting = world.views(on)
    fits = next(((view.key, node) for view in waiting for node in np.flatnonzero(on.feasible(view)).tolist()), None)
    if fits is None:
        return
    done = Trial()
    for minute in range(_MINUTES):
        on.now_ns = minute * 60 * 10**9
        if call(guard, waiting, on, rng, done) or done.faults:
            return  # faults are another property's matter
    raise Broken(f"it placed nothing in an hour, though {fits[0]} fits on {on.node_table.names[fits[1]]}")


def gangs(subject: Subject, world: World) -> None:
    """The same with gangs: all of a group's minimum, or none; and never a rest that is too small."""
    done = subject.trial(world)
    if done.faults:
        raise Broken(done.fault())
    for pod in world.pods:
        placed = done.snapshot.placed_in_group(f"default/{pod.group}") if pod.group else 0
        if 0 < placed < pod.group_min:
            raise Broken(f"gang {pod.group}: {placed} of at least {pod.group_min} placed")


def repeatable(subject: Subject, world: World) -> None:
    """The same world and the same random stream: the same decisions, by a fresh strategy and at another time of day.

    The time of day is the one that the module `time` tells; a clock read elsewhere is not seen.
    """
    first = subject.trial(world).binds
    second = subject.trial(world).binds
    if first != second:
        raise Broken(f"twice the same, and yet {_differ(first, second)}")
    with another_time():
        third = subject.trial(world).binds
    if first != third:
        raise Broken(f"it looks at the clock: at another time of day {_differ(first, third)}")


def order(subject: Subject, world: World) -> None:
    """Ranks decide between equal nodes, and names between nothing.

    Nodes added in another order under the same ranks: the same decisions. Pods under other names, which is also to say
    pods alike handed over the other way round: the same decisions, place by place in the queue.
    A strategy that draws from `rng` is not held to this.
    """
    first = subject.trial(world)
    if first.drew:
        raise _Skipped("it draws from rng, so the order may matter")
    back = list(range(len(world.nodes)))[::-1]
    second = subject.trial(world, order=back)
    if first.binds != second.binds:
        raise Broken(f"nodes added in reverse, ranks the same, and yet {_differ(first.binds, second.binds)}")
    names = {f"default/{pod.name}": f"default/{_renamed(index)}" for index, pod in enumerate(world.pods)}
    others = replace(world, pods=tuple(replace(pod, name=_renamed(i)) for i, pod in enumerate(world.pods)))
    third = subject.trial(others).binds
    wanted = [(names[pod], node, devices) for pod, node, devices in first.binds]
    if wanted != third:
        raise Broken(f"the names of pods decide: under other names {_differ(wanted, third)}")


def _renamed(index: int) -> str:
    """Names that sort the other way round, and whose last letters differ in parity."""
    return f"x{999 - index}"


def purity(subject: Subject, world: World) -> None:
    """It leaves what it was shown as it was, and draws no numbers but from the `rng` that it is handed."""
    global_randomness = GlobalRandomness()
    done = subject.trial(world)
    for fault in done.faults:
        if fault.kind == "mutation":
            raise Broken(fault.reason)
    for stream in global_randomness.drawn_from():
        raise Broken(f"it draws from {stream}; its own stream is the argument rng")
    if done.faults:
        return  # what was broken off is another property's matter
    wanted = world.snapshot()
    views = {view.key: view for view in world.views(wanted)}
    for pod, node, devices in done.binds:
        wanted.assume(views[pod], wanted.node_table.index[node], devices or None)
    for what, read in _BOOKS.items():
        if read(wanted) != read(done.snapshot):
            raise Broken(f"{what} is not what its decisions explain")


_BOOKS: dict[str, Callable[[Snapshot], object]] = {
    "free": lambda on: (on.free.tolist(), on.free_of),
    "capacity": lambda on: (on.capacity.tolist(), on.capacity_of),
    "gpu_free": lambda on: (on.gpu_free.tolist(), on.devices_of),
    "where pods run": lambda on: {key: on.where(key) for key in sorted(on.placements.node_of)},
    "the nodes": lambda on: (on.names, on.rank.tolist(), on.alive.tolist(), on.node_table.labels),
}


def explains(subject: Subject, world: World) -> None:
    """explain(pod, cluster), where it has one: float columns [nodes] by name, numbers where the pod fits."""
    strategy = subject.factory()
    explain = getattr(strategy, "explain", None)
    if explain is None:
        raise _Skipped("it has no explain()")
    on = world.snapshot()
    view = Guard(strategy).view(on)
    said: list[object] = []
    for pod in world.views(on):
        fault = contained(lambda pod=pod: said.append(explain(pod, view)))  # type: ignore[misc]
        if fault is not None:
            raise Broken(f"explain() {fault.kind} {fault.reason}")
        if not isinstance(said[-1], Mapping):
            raise Broken(f"explain() answers with columns by name, not {stable_text(said[-1])}")
        for name, column in said[-1].items():
            values = np.asarray(column)
            if not isinstance(name, str) or values.shape != (len(world.nodes),) or values.dtype.kind not in "fiub":
                raise Broken(
                    f"explain()[{name!r}] is {values.dtype} {values.shape}, expected float ({len(world.nodes)},)"
                )


def _differ(first: list[tuple[str, str, tuple[int, ...]]], second: list[tuple[str, str, tuple[int, ...]]]) -> str:
    one, other = ({pod: (node, devices) for pod, node, devices in binds} for binds in (first, second))
    for pod in sorted({*one, *other}):
        if one.get(pod) != other.get(pod):
            return f"{pod} goes to {_place(other.get(pod))}, not to {_place(one.get(pod))}"
    return "the decisions come in another order"


def _place(at: tuple[str, tuple[int, ...]] | None) -> str:
    if at is None:
        return "no node"
    return at[0] + (f" devices {list(at[1])}" if at[1] else "")


PROPERTIES: dict[str, tuple[Property, dict[str, bool]]] = {
    "deadline": (deadline, {}),
    "legality": (legality, {"gangs": False}),
    "liveness": (liveness, {"gangs": False}),
    "gang atomicity": (gangs, {"gangs": True}),
    "determinism": (repeatable, {}),
    "input order": (order, {"gangs": False}),
    "purity": (purity, {}),
    "explain": (explains, {"gangs": False}),
}
"""On generated worlds. The deadline comes first: what never ends cannot be tried for anything else."""


# -- tried once --------------------------------------------------------------------------------------------------------


def hash_seed(subject: Subject) -> Verdict:
    """The same decisions whatever PYTHONHASHSEED is: sets and hashes decide nothing."""
    name = "hash seed"
    if subject.spec is None:
        return Verdict(name, None, "not tried: another process needs a name or module:object")
    lines = []
    for seed in ("0", "1", "4711"):
        ran = subprocess.run(
            [sys.executable, "-m", hashed.__name__, subject.spec],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
            },
            capture_output=True,
            text=True,
            timeout=60 + 20 * subject.deadline_s,
            check=False,
        )
        if ran.returncode:
            return Verdict(name, False, f"in another process: {(ran.stderr.strip() or 'ended').splitlines()[-1]}")
        lines.append(ran.stdout.splitlines())
    for index, found in enumerate(zip(*lines, strict=True)):
        if len(set(found)) > 1:
            world = seeded(index)
            return Verdict(name, False, "another PYTHONHASHSEED, and other decisions", world)
    return Verdict(name, True)


def memory(subject: Subject) -> Verdict:
    """What it keeps does not grow with the number of pods that it has seen."""
    name = "memory"
    world = seeded(1, gangs=False)
    on = world.snapshot()
    strategy = subject.factory()
    guard = Guard(strategy, subject.deadline_s)
    rng = np.random.default_rng(7)
    shapes = world.views(on)
    sizes = []
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        for number in range(3 * _ROUNDS):
            pods = [replace(shapes[i % len(shapes)], key=f"default/pod-{number}-{i}") for i in range(_PODS_A_ROUND)]
            call(guard, pods, on, rng, Trial())
            for key in list(on.placements.node_of):
                on.forget(key)
            del pods
            if (number + 1) % _ROUNDS == 0:
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        if not tracing:
            tracemalloc.stop()
    grown = min(later - sooner for sooner, later in pairwise(sizes)) / (_ROUNDS * _PODS_A_ROUND)
    if grown > _KEPT_BYTES:
        return Verdict(name, False, f"it keeps {grown:.0f} bytes for each pod that it has ever seen", world)
    return Verdict(name, True)


ONCE: dict[str, Callable[[Subject], Verdict]] = {"hash seed": hash_seed, "memory": memory}
