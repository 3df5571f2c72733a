"""'25%' or 3: amounts that may be given as a share. Source: apimachinery pkg/util/intstr."""

from __future__ import annotations

from harness.model.whole_numbers import whole_number


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """A count: `value` itself, or its share of `total`, rounded up or down. What is neither counts as 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    digits = value.removesuffix("%")
    percent = whole_number(digits)
    if digits == value or percent is None:
        return 0
    share = percent * total
    return -(-share // 100) if up else share // 100
