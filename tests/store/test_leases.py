"""Leases as a store finds them when it is opened, and as they end."""

from __future__ import annotations

from harness.store.leases import Leases


def test_of_those_that_were_there_the_first_to_end_comes_first() -> None:
    ends = {1: 300, 2: 200, 3: 500, 4: 100, 5: 400}
    leases = Leases({lease: (50, at) for lease, at in ends.items()}, next_id=6)
    found = []
    while (first := leases.first()) is not None:
        found.append(first)
        leases.end(first[1])
    assert found == sorted((at, lease) for lease, at in ends.items())
