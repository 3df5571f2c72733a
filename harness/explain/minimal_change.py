"""The least of a set of changes that still flips a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

C = TypeVar("C")


def smallest(changes: Sequence[C], holds: Callable[[Sequence[C]], bool]) -> list[C]:
    """Without the parts that are not needed, the first ones tried first, and each `amount` as little as does it.

    `holds` must hold for all of `changes`. An amount of 0 or 1 is left alone.
    """
    kept = list(changes)
    again = True
    while again:  # a part may become superfluous only when another one is gone
        again = False
        for change in list(kept):
            rest = [item for item in kept if item is not change]
            if holds(rest):
                kept, again = rest, True
    for index, change in enumerate(kept):
        amount = getattr(change, "amount", 0)
        if abs(amount) <= 1:
            continue
        made: Any = change
        sign = 1 if amount > 0 else -1
        near, far = 0, abs(amount)
        while far - near > 1:
            middle = (near + far) // 2
            if holds([*kept[:index], replace(made, amount=sign * middle), *kept[index + 1 :]]):
                far = middle
            else:
                near = middle
        kept[index] = replace(made, amount=sign * far)
    return kept
