"""One world under one strategy, behind the guard, and what the strategy decided: what the properties look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from harness.scheduling.feasibility.legality import Refused, apply
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.sandbox.guard import Guard
from harness.scheduling.strategy import Bind, BindTogether, PodView, Strategy, StrategyFault
from harness.testing.worlds import World

Factory: TypeAlias = Callable[[], Strategy]


@dataclass(slots=True)
class Trial:
    """`binds`: (pod, node name, devices) in order of decision. `drew`: whether it took numbers from `rng`."""

    binds: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)
    faults: list[StrategyFault] = field(default_factory=list)
    drew: bool = False
    snapshot: Snapshot = field(default_factory=Snapshot)

    def fault(self) -> str:
        """The first one in words; empty when there is none."""
        if not self.faults:
            return ""
        first = self.faults[0]
        return f"{first.kind}{f' {first.pod}' if first.pod else ''}: {first.reason}"


def trial(
    factory: Factory,
    world: World,
    *,
    order: Sequence[int] | None = None,
    deadline_s: float = 5.0,
) -> Trial:
    """Hand over the pending pods of `world` until nothing more is placed."""
    strategy = factory()
    on = world.snapshot(order)
    waiting = world.views(on)
    out = Trial(snapshot=on)
    guard = Guard(strategy, deadline_s)
    rng = np.random.default_rng(7)
    before = rng.bit_generator.state
    size = int(getattr(strategy, "batch_size", 64))
    while waiting and not out.faults:
        bound = False
        for start in range(0, len(waiting), size):
            bound |= call(guard, waiting[start : start + size], on, rng, out)
        waiting = [view for view in waiting if on.where(view.key) is None]
        if not bound:
            break
    out.drew = rng.bit_generator.state != before
    return out


def call(guard: Guard, batch: Sequence[PodView], on: Snapshot, rng: np.random.Generator, out: Trial) -> bool:
    """One place(); whether it bound anything."""
    handed = {view.key for view in batch}
    bound = False
    for answer in guard.place(list(batch), on, rng):
        if isinstance(answer, StrategyFault):
            out.faults.append(answer)
        elif isinstance(answer, Bind | BindTogether):
            for bind in (answer,) if isinstance(answer, Bind) else answer.binds:
                if bind.pod.key not in handed:
                    out.faults.append(StrategyFault("illegal bind", bind.pod.key, "this pod was placed already"))
                    return bound
            done = apply(on, answer)
            if isinstance(done, Refused):
                out.faults.append(StrategyFault("illegal bind", done.pod.key, done.reason))
                continue
            for bind in done:
                handed.discard(bind.pod.key)
                out.binds.append((bind.pod.key, on.node_table.names[bind.node], bind.devices or ()))
                bound = True
    return bound
