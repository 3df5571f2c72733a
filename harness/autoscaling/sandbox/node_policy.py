"""Around somebody else's node policy: its component is asked as any other, and what it does wrong is a fault.

A step that raises, never returns or changes what it was shown is a fault of the component (see harness.engine.guard,
which starts it again). An effect that nobody could follow is left out, and the others are done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

import msgspec

from harness.autoscaling.policy import NodePolicy
from harness.autoscaling.pool import NodePool
from harness.autoscaling.sandbox.calls import DEADLINE_S, Calls, Copies, illegal, is_shipped, mutation
from harness.autoscaling.sandbox.effects import Machines
from harness.engine.component import Component, Effect, Event, Instant, Outcome, Relist, Watch
from harness.engine.guard import Misbehaved, fault_of
from harness.model.errors import UserError
from harness.model.objects import KINDS
from harness.scheduling.sandbox.guard import stable_text

MOST_EFFECTS = 100_000
"""Of one step: more than a node policy has to do for ten thousand nodes, and an end to an endless answer."""

replaced = msgspec.structs.replace


class ContainedNodePolicy:
    """The component of a node policy. What it may not watch lazily it watches from the beginning: it acts the same."""

    def __init__(self, component: Component, pools: tuple[NodePool, ...], calls: Calls, copies: Copies) -> None:
        self.name = component.name
        self.watches = tuple(component.watches)
        self._component = component
        self._machines = Machines(pools)
        self._calls = calls
        self._pools = pools
        self._copies = copies

    @property
    def overruns(self) -> int:
        """Also those of what it is made of, such as the shipped autoscaler with an expander of others."""
        inner = getattr(self._component, "overruns", 0)
        return self._calls.overruns + (inner if isinstance(inner, int) else 0)

    @property
    def handled_failures(self) -> int:
        counted = getattr(self._component, "handled_failures", 0)
        return counted if isinstance(counted, int) else 0

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """Raises Misbehaved."""
        if self._calls.given_up:
            return []
        shown = [self._shown(event) for event in events]
        try:
            effects = self._calls.ask(_step, self._component, now, shown, whose=self._component.step)
        finally:
            changed = self._copies.changed((*self._pools, *(item for event in events for item in _objects(event))))
        if changed is not None:
            raise mutation(changed, self._component.step)
        if len(effects) > MOST_EFFECTS:
            raise illegal(f"more than {MOST_EFFECTS} effects in one step, and no end of them", self._component.step)
        out: list[Effect] = []
        for effect in effects:
            problem = self._machines.problem(effect)
            if problem:
                fault = fault_of(self.name, illegal(problem, self._component.step), key=type(effect).__name__)
                out.append(fault.observation())
            else:
                out.append(effect)
        return out

    def _shown(self, event: Event) -> Event:
        copy = self._copies.of
        match event:
            case Watch():
                return replaced(event, obj=copy(event.obj), old=None if event.old is None else copy(event.old))
            case Relist():
                return replaced(event, objects=tuple(map(copy, event.objects)))
            case Outcome() if event.obj is not None:
                return replaced(event, obj=copy(event.obj))
            case _:
                return event


def contain_node_policy(
    policy: NodePolicy,
    pools: tuple[NodePool, ...],
    rng: Random,
    set_up: Callable[[Component], Component],
    deadline_s: float | None = DEADLINE_S,
    taken: Collection[str] = (),
) -> Component:
    """The component that sizes `pools`, contained where it is not shipped. `set_up`: what is done to components when a
    cluster is put together. `taken`: names of others. Raises UserError where there is none to be had."""
    if is_shipped(policy):
        return set_up(policy.component(pools, rng))
    calls, copies = Calls(deadline_s), Copies()
    try:
        component = calls.ask(policy.component, tuple(map(copies.of, pools)), rng)
        calls.ask(set_up, component, whose=policy.component)
        return _checked(component, pools, calls, copies, taken)
    except Misbehaved as fault:
        what = f"the node policy {type(policy).__name__} makes no component"
        raise UserError(what, found=f"{fault} (in {fault.where})") from fault


def _checked(
    component: Any, pools: tuple[NodePool, ...], calls: Calls, copies: Copies, taken: Collection[str]
) -> ContainedNodePolicy:
    name, watches = getattr(component, "name", None), getattr(component, "watches", None)
    if not callable(getattr(component, "step", None)) or not isinstance(name, str):
        problem = f"it has a name and step(now, events), not {stable_text(component)}"
    elif name in taken or name in ("scheduler", "workload", "faults", "auditor"):
        problem = f"another component is called {name!r}"
    elif not isinstance(watches, list | tuple) or not all(isinstance(kind, str) and kind in KINDS for kind in watches):
        problem = f"it watches kinds by name, not {stable_text(watches)}"
    else:
        return ContainedNodePolicy(component, pools, calls, copies)
    raise UserError("the component of a node policy", found=problem, expected="name, watches, step(now, events)")


def _step(component: Component, now: Instant, events: Sequence[Event]) -> list[Any]:
    made = component.step(now, events)
    return list(islice(iter(made), MOST_EFFECTS + 1))


def _objects(event: Event) -> Iterator[Any]:
    match event:
        case Watch():
            yield event.obj
            if event.old is not None:
                yield event.old
        case Relist():
            yield from event.objects
        case Outcome() if event.obj is not None:
            yield event.obj
