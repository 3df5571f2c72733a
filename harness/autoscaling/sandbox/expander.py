"""Around somebody else's expander: what it does wrong is a fault that is told, and all options pass.

Source: cluster-autoscaler/expander/grpcplugin/grpc_client.go (1.32): an expander outside that fails filters nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from random import Random

from harness.autoscaling.policy import Expander, ScaleUpOption
from harness.autoscaling.sandbox.calls import DEADLINE_S, Calls, illegal, is_shipped, mutation
from harness.engine.guard import Misbehaved
from harness.scheduling.sandbox.guard import stable_text


class ContainedExpander:
    """`faults`: until somebody takes them."""

    def __init__(self, expander: Expander, deadline_s: float | None = DEADLINE_S) -> None:
        self.faults: list[Misbehaved] = []
        self._expander = expander
        self._calls = Calls(deadline_s)

    @property
    def overruns(self) -> int:
        return self._calls.overruns

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        if self._calls.given_up:
            return options
        try:
            return self._ask(options, rng)
        except Misbehaved as fault:
            self.faults.append(fault)
            return options

    def _ask(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        best = self._expander.best
        shown = tuple(replace(option, template=deepcopy(option.template)) for option in options)
        answer = self._calls.ask(best, shown, rng)
        if any(one.template != other.template for one, other in zip(options, shown, strict=True)):
            raise mutation(options[0].template, best)
        if not isinstance(answer, list | tuple) or not answer:
            raise illegal(f"at least one of the options is the answer, not {stable_text(answer)}", best)
        chosen = []
        for item in answer:
            found = next((i for i, option in enumerate(shown) if option is item or option == item), None)
            if found is None:
                raise illegal(f"this is none of the options: {_pool(item)}", best)
            chosen.append(options[found])
        return chosen


def contain_expander(expander: Expander, deadline_s: float | None = DEADLINE_S) -> Expander | ContainedExpander:
    """The shipped ones are trusted."""
    return expander if is_shipped(expander) else ContainedExpander(expander, deadline_s)


def _pool(item: object) -> str:
    return f"{item.count} of pool {item.pool}" if isinstance(item, ScaleUpOption) else stable_text(item)
