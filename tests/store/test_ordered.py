"""Keys in chunks against a sorted set, with chunks so short that they split and empty all the time."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.store import ordered
from harness.store.ordered import OrderedKeys

KEYS = st.integers(0, 60).map("k{:02}".format)
STEPS = st.lists(st.tuples(st.sampled_from(["toggle", "toggle", "toggle", "look"]), KEYS, KEYS, st.booleans()))


@given(start=st.sets(KEYS), load=st.integers(1, 4), steps=STEPS)
@settings(max_examples=200, deadline=None)
def test_a_stretch_is_the_sorted_set_between_its_bounds(
    start: set[str], load: int, steps: list[tuple[str, str, str, bool]]
) -> None:
    with patch.object(ordered, "_LOAD", load):
        keys, there = OrderedKeys(start), set(start)
        for what, key, high, after in [*steps, ("look", "", None, False)]:
            if what == "look":
                found = [item for piece in keys.stretch(key, high, after=after) for item in piece]
                assert found == sorted(
                    item for item in there if (item > key if after else item >= key) and (high is None or item < high)
                )
            elif key in there:
                keys.discard(key)
                there.remove(key)
            else:
                keys.add(key)
                there.add(key)
