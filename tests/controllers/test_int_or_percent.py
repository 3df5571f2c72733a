"""Amounts that may be shares, as apimachinery pkg/util/intstr rounds them."""

from __future__ import annotations

import pytest

from harness.controllers.runtime.int_or_percent import scaled


@pytest.mark.parametrize(
    ("value", "total", "up", "down"),
    [
        (None, 10, 0, 0),
        (3, 10, 3, 3),
        ("25%", 10, 3, 2),
        ("25%", 4, 1, 1),
        ("100%", 7, 7, 7),
        ("1%", 100, 1, 1),  # exactly one: a hundredth, not a hundred-and-first
        ("50%", 202, 101, 101),
        ("1%", 1, 1, 0),
        ("0%", 9, 0, 0),
        ("25", 10, 0, 0),  # a text without a percent sign is no amount
        ("x%", 10, 0, 0),
        ("%", 10, 0, 0),
    ],
)
def test_whole_numbers_and_shares(value: int | str | None, total: int, up: int, down: int) -> None:
    assert scaled(value, total, up=True) == up
    assert scaled(value, total, up=False) == down
