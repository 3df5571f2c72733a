"""Actions that are under way: whose timers and outcomes are whose, and what measures are told of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from harness.engine.component import SECOND, Delete, Effect, EvictPod, InjectFault, Instant, Observe, Outcome, WakeAt
from harness.faults.action import STEP, Action
from harness.faults.targets import Targets

replaced = msgspec.structs.replace


class ActionToken(msgspec.Struct, frozen=True):
    """A token of an action: which of the faults it is, and its own."""

    cause: int
    token: Any


class RunningActions:
    def __init__(self) -> None:
        self._actions: dict[int, Action] = {}  # by cause

    # size: the instant, the fault and how it is told, and what actions are made from.
    def begin(
        self, now: Instant, fault: Any, about: tuple[int, str], cause: int, targets: Targets, rng: Random
    ) -> list[Effect]:
        """The first steps of a fault with `begin`, with the events that `timeline.with_fault_events` adds."""
        action = self._actions[cause] = fault.begin(targets, rng)
        steps = list(action.start(now, targets))
        many = sum(not isinstance(step, Observe) for step in steps)
        return [Observe("fault", (*about, many, cause)), *self._with_cause(cause, steps)]

    def on_timer(self, now: Instant, token: ActionToken, targets: Targets) -> list[Effect]:
        action = self._actions.get(token.cause)
        return [] if action is None else self._with_cause(token.cause, action.on_timer(now, token.token, targets))

    def on_outcome(self, now: Instant, outcome: Outcome, targets: Targets) -> list[Effect]:
        """What the server could not take is sent again; every other answer is the action's to see to."""
        token, error = outcome.effect.token, outcome.error
        if error is not None and error.code >= 500 and error.reason != "InternalError":
            return [WakeAt(now + SECOND, outcome.effect)]
        action = self._actions.get(token.cause)
        return (
            [] if action is None else self._with_cause(token.cause, action.on_outcome(now, token.token, error, targets))
        )

    def _with_cause(self, cause: int, steps: Sequence[Effect]) -> list[Effect]:
        """With its tokens marked, and what measures go by."""
        out: list[Effect] = []
        for step in steps:
            match step:
                case Observe(topic, data) if topic == STEP:
                    out.append(Observe(STEP, (cause, *data)))
                    continue
                case EvictPod(namespace, name) | Delete("Pod", namespace, name):
                    out.append(Observe("evictionAsked", (namespace, name, cause)))
                case InjectFault():
                    step = replaced(step, cause=cause)
                case _:
                    pass
            own = getattr(step, "token", None)
            out.append(step if own is None else replaced(step, token=ActionToken(cause, own)))
        if self._actions[cause].done:
            failed = "; ".join(getattr(self._actions.pop(cause), "failed", ()))
            out.append(Observe(STEP, (cause, "failed" if failed else "done", "", failed)))
        return out
