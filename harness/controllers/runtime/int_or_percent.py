"""'25%' or 3: amounts that may be given as a share. Source: apimachinery pkg/util/intstr."""

from __future__ import annotations


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """A count: `value` itself, or its share of `total`, rounded up or down. What is neither counts as 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    digits = value.removesuffix("%")
    if digits == value or not (digits.isascii() and digits.isdigit()):
        return 0
    share = int(digits) * total
    return -(-share // 100) if up else share // 100
