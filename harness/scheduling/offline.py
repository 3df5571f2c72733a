"""A strategy over a list of arrivals, directly on a snapshot: the control plane left out, the legality check not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from harness.model.core import Node
from harness.scheduling.feasibility.legality import Refused, apply
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind, BindTogether, Decision, Evict, PodView, Strategy, Wait

__all__ = ["Placements", "Snapshot", "fill", "snapshot_of_nodes"]


def snapshot_of_nodes(nodes: Iterable[Node]) -> Snapshot:
    """A cluster with nothing running; `classes.view(pod)` of it makes the views of its pods."""
    snapshot = Snapshot()
    for node in nodes:
        snapshot.add_node(**node_columns(node))
    return snapshot


@dataclass(slots=True)
class Placements:
    """What became of each arrival. `node`: column index by arrival, -1 where it runs nowhere."""

    node: list[int]
    devices: dict[int, tuple[int, ...]] = field(default_factory=dict)  # by arrival, of pods with GPUs
    waits: dict[int, str] = field(default_factory=dict)  # by arrival, the reason that the strategy gave
    violations: list[tuple[str, str]] = field(default_factory=list)  # (pod, reason) of decisions that were not legal
    evictions: int = 0
    left_out: tuple[int, ...] = ()  # arrivals that ran nowhere once all had been handed over
    retried: int = 0  # placed by the second offer

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
    retry: bool = False,
) -> Placements:
    """Hand `pods` over in order, `window` at a time; what a window does not place is not offered again.

    `retry`: after the last one what was left out is offered once more, `window` at a time.

    `after(last, binds)` is called after each window with the index of its last arrival and what it bound. Only
    arrivals may be evicted; they join the next window ahead of its arrivals (after the last one a window of their own,
    once). Their keys must differ.
    """
    run = _Fill(snapshot, pods)
    rng = np.random.default_rng(seed)
    for start in range(0, len(pods), window):
        batch = [snapshot.classes.current(pod) for pod in pods[start : start + window]]
        run.window(strategy.place([*run.back(), *batch], snapshot, rng))
        if after is not None:
            after(min(start + window, len(pods)) - 1, run.binds)
    if run.evicted:
        run.window(strategy.place(run.back(), snapshot, rng))
        if after is not None:
            after(len(pods) - 1, run.binds)
    run.out.left_out = tuple(at for at, node in enumerate(run.out.node) if node < 0)
    if retry:
        before = run.out.placed
        left = [pods[at] for at in run.out.left_out]
        for start in range(0, len(left), window):
            batch = [snapshot.classes.current(pod) for pod in left[start : start + window]]
            run.window(strategy.place([*run.back(), *batch], snapshot, rng))
        if run.evicted:
            run.window(strategy.place(run.back(), snapshot, rng))
        run.out.retried = run.out.placed - before
    return run.out


class _Fill:
    """One run: the snapshot, and the books kept beside it."""

    def __init__(self, snapshot: Snapshot, pods: Sequence[PodView]) -> None:
        self.snapshot = snapshot
        self.pods = pods
        self.out = Placements([-1] * len(pods))
        self.evicted: list[PodView] = []
        self.binds: tuple[Bind, ...] = ()
        self._index = {pod.key: i for i, pod in enumerate(pods)}
        assert len(self._index) == len(pods), "two arrivals share a key"

    def back(self) -> list[PodView]:
        """Those who were evicted in the window before."""
        return [self.snapshot.classes.current(pod) for pod in self.evicted]

    def window(self, decisions: Iterable[Decision]) -> None:
        """Carry out what the strategy says of one window."""
        self.evicted = []
        self.binds = ()
        for decision in decisions:
            match decision:
                case Bind() | BindTogether():
                    self._bind(decision)
                case Wait(pod, reason):
                    self.out.waits[self._index[pod.key]] = reason
                case Evict(key, _):
                    self._evict(key)
                case _:
                    assert_never(decision)

    def _bind(self, decision: Bind | BindTogether) -> None:
        done = apply(self.snapshot, decision)
        if isinstance(done, Refused):
            self.out.violations.append((done.pod.key, done.reason))
            return
        self.binds += done
        for bind in done:
            at = self._index[bind.pod.key]
            self.out.node[at] = bind.node
            self.out.waits.pop(at, None)
            if bind.devices:
                self.out.devices[at] = bind.devices

    def _evict(self, key: str) -> None:
        at = self._index.get(key)
        if at is None or self.out.node[at] < 0:
            self.out.violations.append((key, "evicted, but it is no arrival that runs"))
            return
        self.snapshot.forget(key)
        self.out.evictions += 1
        self.out.node[at] = -1
        self.out.devices.pop(at, None)
        self.evicted.append(self.pods[at])
