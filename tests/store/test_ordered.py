"""Keys in chunks against a sorted set, with chunks so short that they split and empty all the time."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.store import ordered
from harness.store.ordered import OrderedKeys
from tests.examples import examples

KEYS = st.integers(0, 60).map("k{:02}".format)
STEPS = st.lists(st.tuples(KEYS, st.booleans(), KEYS, st.none() | KEYS, st.booleans()), max_size=80)


@given(start=st.sets(KEYS, min_size=16), load=st.integers(1, 3), steps=STEPS)
@settings(max_examples=examples(200), deadline=None)
def test_a_stretch_is_the_sorted_set_between_its_bounds(
    start: set[str], load: int, steps: list[tuple[str, bool, str, str | None, bool]]
) -> None:
    with patch.object(ordered, "_LOAD", load):
        keys, there = OrderedKeys(start), set(start)
        for key, look, low, high, after in [*steps, ("k00", True, "", None, False)]:
            if key in there:
                keys.discard(key)
                there.remove(key)
            else:
                keys.add(key)
                there.add(key)
            if look:
                found = [item for piece in keys.stretch(low, high, after=after) for item in piece]
                within = {item for item in there if (item > low if after else item >= low)}
                assert found == sorted(item for item in within if high is None or item < high)


def test_every_key_of_split_chunks_can_be_found_again() -> None:
    with patch.object(ordered, "_LOAD", 2):
        names = [f"k{i * 37 % 101:03}" for i in range(101)]
        keys = OrderedKeys(names[:20])
        for name in names[20:]:
            keys.add(name)
            list(keys.stretch("", None))
        for left, name in enumerate(names, start=1):
            keys.discard(name)
            assert sum(map(len, keys.stretch("", None))) == len(names) - left
