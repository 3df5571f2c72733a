"""The conformance kit finds what is wrong with a strategy, makes it small, and passes those that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.scheduling.registry import load
from harness.testing.conformance import Verdict, check, verdicts
from harness.testing.worlds import World, seeded, worlds
from tests.examples import examples

BAD = "tests.testing.bad"


def verdict(name: str, property_: str, **how: Any) -> Verdict:
    """Of one property, the others not tried."""
    spec = f"{BAD}:{name}"
    (found,) = verdicts(load(spec), spec=spec, only=(property_,), **{"examples": 40, "deadline_s": 5.0, **how})
    return found


@pytest.mark.parametrize(
    "name", ["greedy", *(pytest.param(name, marks=pytest.mark.slow) for name in ("random", "least-allocated"))]
)
def test_those_that_come_along_conform(name: str) -> None:
    found = check(load(name), spec=name, examples=examples(30))
    assert [(v.name, v.reason) for v in found if v.ok is False] == []
    assert {v.name for v in found if v.ok is None} == ({"input order", "explain"} if name == "random" else set())


@pytest.mark.parametrize(
    ("name", "property_", "reason"),
    [
        ("Overfills", "legality", "illegal bind default/p0: n0: "),
        ("HalfGangs", "gang atomicity", "1 of at least"),
        ("Writes", "purity", "forget()"),
        ("column_order", "input order", "nodes added in reverse"),
        ("by_name", "input order", "under other names"),
        ("global_random", "purity", "module random"),
        ("numpy_random", "purity", "numpy.random"),
        ("clock", "determinism", "at another time of day"),
        ("hashes", "hash seed", "another PYTHONHASHSEED"),
        ("Hoards", "memory", "bytes for each pod"),
        ("Babbles", "explain", "expected float"),
    ],
)
def test_what_is_wrong_is_named(name: str, property_: str, reason: str) -> None:
    found = verdict(name, property_)
    assert found.ok is False
    assert reason in found.reason


def test_a_property_that_there_is_not_is_told() -> None:
    with pytest.raises(ValueError, match="no property is called 'legal'; there are deadline, legality"):
        verdict("good", "legal")


def test_what_keeps_the_rules_passes() -> None:
    found = check(load(f"{BAD}:good"), spec=f"{BAD}:good", examples=examples(40), deadline_s=5.0)
    assert [verdict.name for verdict in found if verdict.ok is False] == []


def test_a_loop_is_ended_and_the_rest_not_tried() -> None:
    deadline, *rest = check(load(f"{BAD}:Loops"), spec=f"{BAD}:Loops", examples=40, deadline_s=0.1)
    assert (deadline.name, deadline.ok) == ("deadline", False)
    assert {verdict.ok for verdict in rest} == {None}


def test_the_example_is_small_and_is_a_scenario(tmp_path: Path) -> None:
    """The smallest overfill: one node, one pod that it does not take; played, it is the same violation."""
    found = verdict("Overfills", "legality", write_to=tmp_path)
    assert found.world is not None
    assert found.file is not None
    assert len(found.world.nodes) == len(found.world.pods) == 1
    result = run_once(read_scenario(found.file), f"{BAD}:Overfills", 0)
    assert [kind for _, kind, _, _ in result.violations][:1] == ["illegal bind"]
    assert run_once(read_scenario(found.file), "greedy", 0).ok


def test_every_gang_and_share_survives_the_way_through_a_scenario(tmp_path: Path) -> None:
    """Placed by the kit, and placed by a whole cluster from the file: as many pods."""
    from harness.testing.trial import trial

    for seed in range(6):
        world = seeded(seed)
        world.write(tmp_path / "w.yaml", "w", "")
        result = run_once(read_scenario(tmp_path / "w.yaml"), "greedy", 0)
        assert result.ok, result.broken
        assert result.metrics["placement"]["podsBound"] == len(trial(load("greedy"), world).binds), world.text()


@given(worlds(gangs=False, nodes=3, pods=2))
def test_worlds_are_as_large_as_asked(world: World) -> None:
    assert 1 <= len(world.nodes) <= 3
    assert 1 <= len(world.pods) <= 2
    assert not any(pod.group for pod in world.pods)
    assert len(world.snapshot()) == len(world.nodes)
