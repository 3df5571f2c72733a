"""What others plug in to decide how many nodes or replicas there should be; the entry-point group is GROUP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from harness.model.core import Node
from harness.scheduling.strategy import PodView

GROUP = "podyard.autoscalers"


@dataclass(frozen=True, slots=True)
class ScaleUpOption:
    """`count` more nodes like `template` in `pool` would take `pods`."""

    pool: str
    template: Node
    count: int
    pods: tuple[PodView, ...]


class Expander(Protocol):
    """Which pool of the cluster autoscaler grows. Source: cluster-autoscaler/expander/expander.go, Filter (1.32)."""

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        """Those of `options` (at least one, in the order of the pools) that are best and equally good."""
        ...
