"""Whole numbers in text that others wrote: annotations, queries, names."""

from __future__ import annotations

MOST_DIGITS = 18
"""So that every number fits 64 bits."""


def whole_number(text: str) -> int | None:
    """Of 1 to 18 ASCII digits; None of anything else: `int` reads other scripts' digits and underscores too, and raises
    ValueError beyond 4300 digits, where `isdecimal` holds."""
    return int(text) if len(text) <= MOST_DIGITS and text.isascii() and text.isdigit() else None
