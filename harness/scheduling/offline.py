"""A strategy over a list of arrivals, directly on a snapshot: the control plane left out, the legality check not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from harness.scheduling.legality import Refused, apply
from harness.scheduling.snapshot import Snapshot
from harness.scheduling.strategy import Bind, BindTogether, Evict, PodView, Strategy, Wait


@dataclass(slots=True)
class Placements:
    """What became of each arrival: `node` column index or -1, `devices` of pods with GPUs, both by arrival."""

    node: list[int]
    devices: dict[int, tuple[int, ...]] = field(default_factory=dict)
    waits: dict[int, str] = field(default_factory=dict)  # reason that the strategy gave
    violations: list[Refused] = field(default_factory=list)  # decisions that were not legal
    evictions: int = 0

    @property
    def placed(self) -> int:
        return sum(node >= 0 for node in self.node)


def fill(
    strategy: Strategy,
    snapshot: Snapshot,
    pods: Sequence[PodView],
    seed: int,
    window: int = 1,
    after: Callable[[int, tuple[Bind, ...]], None] | None = None,
) -> Placements:
    """Hand `pods` over in order, `window` at a time; what a window does not place is not offered again.

    `after(last, binds)` is called after each window with the index of its last arrival and what it bound. A pod that
    the strategy evicts joins the next window, ahead of the arrivals (after the last one, a window of its own).
    """
    rng = np.random.default_rng(seed)
    out = Placements([-1] * len(pods))
    index = {pod.key: i for i, pod in enumerate(pods)}
    again: list[PodView] = []
    arrived = 0
    while arrived < len(pods) or again:
        batch = [*again, *pods[arrived : arrived + window]]
        arrived = min(arrived + window, len(pods))
        again = []
        binds: tuple[Bind, ...] = ()
        for decision in strategy.place(batch, snapshot, rng):
            match decision:
                case Bind() | BindTogether():
                    done = apply(snapshot, decision)
                    if isinstance(done, Refused):
                        out.violations.append(done)
                        continue
                    binds += done
                    for bind in done:
                        at = index[bind.pod.key]
                        out.node[at] = bind.node
                        if bind.devices:
                            out.devices[at] = bind.devices
                case Wait(pod, reason):
                    out.waits[index[pod.key]] = reason
                case Evict(key, _):
                    if snapshot.forget(key) is not None and key in index:
                        out.evictions += 1
                        out.node[index[key]] = -1
                        out.devices.pop(index[key], None)
                        again.append(pods[index[key]])
                case _:
                    assert_never(decision)
        if after is not None:
            after(arrived - 1, binds)
    return out
