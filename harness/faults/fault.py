"""The protocol of a fault: how it is written in a scenario, what it does, how long it lasts.

A fault is a msgspec struct, its fields what stands under its name in the scenario, registered as an entry point of the
group `podyard.faults` under that name, or written as `package.module:object`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

import msgspec

from harness.engine.component import Effect
from harness.faults.targets import Targets
from harness.model.times import parse_duration

GROUP = "podyard.faults"


class FaultForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of what the shipped faults are written as; a trailing underscore of a field (`for_`) is left out.

    With a `for` of 0s nothing would happen: an error, as a fault that hits nobody is. Raises ValueError.
    """

    def __post_init__(self) -> None:
        text = getattr(self, "for_", None)
        if text is not None and parse_duration(text) == 0:
            raise ValueError(f"for: a fault that lasts, found {text}: nothing would happen")


class Fault(Protocol):
    """A class attribute `watches` names kinds of objects, besides nodes and pods, that it wants to see in the targets.
    A write that the API server refuses has failed; one that it could not take is sent again a second later."""

    def effects(self, targets: Targets, rng: Random) -> Sequence[Effect]:
        """What happens now; nothing where there is no target. Raises ValueError for a field that cannot be read (with
        no targets at all, too: it is called once when the scenario is read)."""
        ...

    def lasts_ns(self) -> int | None:
        """After so long it is undone by itself: 0 at once, None never. Raises ValueError."""
        ...
