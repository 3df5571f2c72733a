"""Migrating: any strategy, and running pods moved aside for those that it finds no node for, within a budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from harness.model.errors import UserError
from harness.scheduling.registry import load
from harness.scheduling.strategy import (
    Bind,
    BindTogether,
    ClusterView,
    Decision,
    Float64,
    PodBatch,
    PodView,
    Strategy,
    Wait,
)
from schedulers.binpack.mix_prices import MixPrices
from schedulers.binpack.plan import OBJECTIVES

WANTED = OBJECTIVES["priority"].value


class Migrating(MixPrices):
    """A strategy's own placements; what it leaves waiting gets room by moves as `binpack` makes them.

    `base`: a strategy as `--scheduler` takes it, or one ready made. `migrations`: pods that may be evicted to make
    room for others, as a part of the pods bound so far (0.01: one in a hundred). `move_bare_pods`: also those without
    a controller, which nobody makes anew in a cluster; for runs where what is evicted comes back by itself. Where a
    moved pod goes, and what a move costs, follows from the pod mix seen so far (or given by `fit`).
    """

    def __init__(self, base: str | Strategy = "fgd", migrations: float = 0.01, move_bare_pods: bool = False) -> None:
        if not 0 <= migrations <= 1:
            raise UserError(
                "no such budget of migrations", found=repr(migrations), expected="a part of the pods bound, 0 to 1"
            )
        self.base = load(base)() if isinstance(base, str) else base
        self.batch_size = int(getattr(self.base, "batch_size", 64))
        super().__init__(migrations, move_bare_pods)

    def fit(self, history: Iterable[PodView]) -> None:
        """Take the pod mix from `history`, and let the base have it too."""
        pods = list(history)
        self._give_mix(pods)
        fit = getattr(self.base, "fit", None)
        if fit is not None:
            fit(pods)

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        if not self._given:
            self._mix.observe(pods)
        kept: set[str] = set()
        for answer in self._migrations.coming_back(pods, cluster, lambda: self._current_stranding().worth):
            kept.add(answer.pod.key)
            yield self._record_bind(answer) if type(answer) is Bind else answer
        waits: list[Wait] = []
        spoken_for = self._migrations.spoken_for
        rest = [pod for pod in pods if pod.key not in kept] if kept else pods
        for decision in self.base.place(rest, cluster, rng) if rest else ():
            match decision:
                case Wait():
                    waits.append(decision)
                    continue
                case Bind(pod, node, _) if node in spoken_for:
                    # The base does not know what is kept there, and for whom; it takes seconds until they are back.
                    yield Wait(pod, f"room on {cluster.names[node]} is kept for pods that are on the move")
                    continue
                case Bind():
                    self._record_bind(decision)
                case BindTogether(binds):
                    for bind in binds:
                        self._record_bind(bind)
            yield decision
        placed: set[str] = set()
        if waits:
            for decision in self._migrations.make_room(waits, lambda: self._synced(cluster), cluster, WANTED):
                if type(decision) is Bind:
                    placed.add(decision.pod.key)
                    self._record_bind(decision)
                yield decision
        yield from (wait for wait in waits if wait.pod.key not in placed)

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """The base's own, if it has any."""
        explain = getattr(self.base, "explain", None)
        found: Mapping[str, Float64] = {} if explain is None else explain(pod, cluster)
        return found
