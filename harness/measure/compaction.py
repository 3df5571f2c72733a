"""Cell compaction: how many nodes can be taken away until the load no longer fits.

From Verma et al., "Large-scale cluster management at Google with Borg", EuroSys 2015, section 5.1: nodes are removed in
random order, the load is packed anew from scratch for each size, and the size is reported at which it just still fits,
over 11 orders, the 90th percentile standing for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Int64: TypeAlias = npt.NDArray[np.int64]

TRIALS = 11
"""Orders of removal; the paper's number."""

PENDING_SHARE = 0.002
"""Pods that may stay pending in a load that "fits": the paper lets 0.2 % of the tasks wait if they are very picky."""

Fits: TypeAlias = Callable[[Int64], bool]
"""Whether the whole load fits on these nodes (indices, rising, int64 [kept]), packed from scratch."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """Of `nodes` nodes, the fewest on which the load still fitted: one number for each order, all of them at least 1.

    `kept` is empty when the load does not fit on all nodes together. `probes`: how often the load was packed.
    """

    nodes: int
    kept: tuple[int, ...]
    probes: int

    @property
    def fits_at_all(self) -> bool:
        return bool(self.kept)

    @property
    def percentile_90(self) -> int:
        """The size that suffices in nine of ten orders (nearest rank). Error: ValueError where nothing fits."""
        if not self.kept:
            raise ValueError(
                f"the load does not fit on all {self.nodes} nodes together, so there is nothing to compact"
            )
        return sorted(self.kept)[-(-9 * len(self.kept) // 10) - 1]

    @property
    def removable(self) -> int:
        """How many nodes can go, at that size."""
        return self.nodes - self.percentile_90


def cell_compaction(nodes: int, fits: Fits, *, seed: int, trials: int = TRIALS) -> Compaction:
    """Search for the smallest part of `nodes` nodes that still holds the load, for each of `trials` random orders.

    Each order is searched by halving, so a load is packed about log2(nodes) times. What is found is a boundary: the
    load fits on the first k nodes of the order and not on the first k - 1. A placing that is not monotone (it may fit
    on fewer nodes and not on more) can have several; halving finds one of them, the same one for the same seed.
    """
    if nodes < 1 or trials < 1:
        raise ValueError(f"compaction needs at least one node and one trial, found {nodes} and {trials}")
    if not fits(np.arange(nodes, dtype=np.int64)):
        return Compaction(nodes, (), 1)
    found = [_boundary(order, fits) for order in _orders(nodes, seed, trials)]
    return Compaction(nodes, tuple(kept for kept, _ in found), 1 + sum(probes for _, probes in found))


def _orders(nodes: int, seed: int, trials: int) -> Sequence[Int64]:
    """One stream a trial, so that more trials leave the first ones as they were."""
    streams = np.random.SeedSequence(seed).spawn(trials)
    return [np.random.default_rng(stream).permutation(nodes).astype(np.int64) for stream in streams]


def _boundary(order: Int64, fits: Fits) -> tuple[int, int]:
    """(nodes kept, probes): fits on that many of the order, and not on one fewer (nothing fits on none)."""
    too_few, enough, probes = 0, len(order), 0
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        probes += 1
        if fits(np.sort(order[:middle])):
            enough = middle
        else:
            too_few = middle
    return enough, probes
