"""Spells: what was told at each look, as intervals."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from harness.autoscaling.cluster.autoscaler import ClusterAutoscaler
from harness.autoscaling.spells import Spells
from harness.experiment.run import Home, Run
from harness.experiment.scenario import from_data
from harness.experiment.scheduler_notes import Notes
from harness.experiment.strategies import load_strategy
from tests.experiment.scenarios import scenario

NAMES = st.sampled_from("abc")
STEPS = st.lists(st.one_of(st.dictionaries(NAMES, st.sampled_from(("small", "large"))), NAMES), max_size=8)
"""A look with what holds then, or one of them that is gone."""


@given(STEPS)
# A node was gone, and the look after it found no reason for any: the other's went on to the end.
@example([{"a": "small", "b": "small"}, "a", {}])
def test_what_holds_between_two_looks_is_what_was_told_at_the_first(steps: list[dict[str, str] | str]) -> None:
    spells, holds = Spells(), {}
    history: list[dict[str, str]] = []
    for now, step in enumerate(steps):
        if isinstance(step, dict):
            spells.observe(now, step, str.upper)
            holds = dict(step)
        else:
            spells.tell(now, step, "")
            holds = {name: reason for name, reason in holds.items() if name != step}
        history.append(holds)
    found = spells.all()
    for now, expected in enumerate(history):
        there = [each for each in found if each.from_ns <= now and (now < each.until_ns or each.until_ns < 0)]
        assert sorted((each.name, each.reason) for each in there) == sorted(expected.items())
    assert all(each.group == each.name.upper() for each in found)


def test_node_autoscalers_note_nothing_where_there_is_no_record() -> None:
    pools = [{"name": "burst", "max": 3, "cpu": 4, "memory": "16Gi"}]
    loaded = from_data(scenario(pools=pools, duration="1m", bound=False), "small.yaml")
    for notes in (None, Notes()):
        run = Run(loaded, load_strategy(loaded, "greedy")(), 1, Home(), notes=notes)
        try:
            node_autoscaler = next(it for it in run.cluster.components.values() if isinstance(it, ClusterAutoscaler))
            assert (node_autoscaler.stays is None) == (notes is None)
        finally:
            run.close()
