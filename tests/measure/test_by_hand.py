"""The page of waterfalls worked out by hand: each scenario is run, each hop held against the arithmetic."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from harness.experiment.run import run_once
from harness.experiment.scenario import from_data
from harness.experiment.waterfalls import waterfalls
from harness.measure.waterfall.hops import Waterfall

PAGE = (Path(__file__).resolve().parents[2] / "harness" / "measure" / "waterfall" / "BY_HAND.md").read_text()
MESSAGES_S = 0.1
"""For what the arithmetic leaves out: calls, watches, decisions."""


class ByHand(NamedTuple):
    """`rows`: (hop, least, most) in seconds."""

    title: str
    kind: str
    number: int
    spec: dict[str, Any]
    rows: tuple[tuple[str, float, float], ...]


def parse() -> tuple[dict[str, Any], list[ByHand]]:
    head, *sections = re.split(r"^## (?=\d)", PAGE, flags=re.MULTILINE)
    (common,) = re.findall(r"```yaml\n(.*?)```", head, re.DOTALL)
    found = []
    for section in sections:
        title = section.partition("\n")[0]
        which = re.search(r"\((fault|scale-up) (\d+)\)$", title)
        assert which is not None, title
        (spec,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
        cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", section, re.M)]
        rows = tuple((name, float(least), float(most)) for name, _, least, most in cells[2:])
        found.append(ByHand(title, which[1], int(which[2]), yaml.safe_load(spec), rows))
    return yaml.safe_load(common), found


COMMON, SCENARIOS = parse()


def run(by_hand: ByHand, seed: int, **more: Any) -> Waterfall:
    data = {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "by-hand"},
        "spec": {**COMMON, **by_hand.spec, **more},
    }
    with tempfile.TemporaryDirectory() as folder:
        result = run_once(from_data(data, "by-hand.yaml"), "least-allocated", seed, out=Path(folder))
        assert result.folder is not None
        falls = waterfalls(result.folder)
    return (falls.recoveries if by_hand.kind == "fault" else falls.scale_ups)[by_hand.number - 1]


def check(by_hand: ByHand, fall: Waterfall) -> None:
    took: dict[str, float] = {}
    for hop in fall.hops:
        took[hop.name] = took.get(hop.name, 0.0) + hop.ns / 1e9
    told = ", ".join(f"{name} {seconds:.3f}" for name, seconds in took.items())
    assert not fall.unended, f"not yet {fall.unended}: {told}"
    expected = {name: (least, most) for name, least, most in by_hand.rows}
    least, most = expected.pop("total")
    assert least <= fall.total_ns / 1e9 <= most + MESSAGES_S, told
    for name, (least, most) in expected.items():
        seconds = took.pop(name, 0.0)
        assert least - MESSAGES_S <= seconds <= most + MESSAGES_S, f"{name}: {told}"
    assert all(seconds <= MESSAGES_S for name, seconds in took.items() if name not in UNNAMED), told


UNNAMED = ("lease not renewed", "monitor looks", "image pulled", "changes gathered", "lease runs out")
"""Hops that a scenario's rows may leave out, where another of its rows is about them."""


def test_there_are_twelve() -> None:
    assert len(SCENARIOS) == 12


@pytest.mark.parametrize("by_hand", SCENARIOS, ids=lambda item: item.title[:30])
def test_each_hop_is_as_the_arithmetic_says(by_hand: ByHand) -> None:
    for seed in (1, 2):
        check(by_hand, run(by_hand, seed))


def spread(number: int, *names: str, **more: Any) -> list[np.ndarray]:
    """Of each hop, over 200 seeds."""
    falls = [run(SCENARIOS[number - 1], seed, **more) for seed in range(200)]
    return [np.array([next(h.ns for h in fall.hops if h.name == name) / 1e9 for fall in falls]) for name in names]


def is_uniform(values: np.ndarray, most: float, slack: float = 0.0) -> bool:
    """Not told apart from even at one in a thousand; the seeds are these, so the verdict is always the same. `slack`:
    what messages may add."""
    from scipy import stats  # slow to import

    within = bool(values.min() >= 0) and bool(values.max() <= most + slack)
    return within and stats.kstest(values, "uniform", args=(0, most)).pvalue > 0.001


@pytest.mark.slow
def test_detection_spreads_as_the_phases_do() -> None:
    missed, looked = spread(1, "lease not renewed", "monitor looks", duration="2m")
    assert is_uniform(missed, 10)
    assert is_uniform(looked, 5)
    assert abs(np.corrcoef(missed, looked)[0, 1]) < 0.25
    detected = 40 + missed + looked
    assert detected.mean() == pytest.approx(47.5, abs=0.7)  # three standard errors
    assert detected.std() == pytest.approx(3.23, abs=0.5)


@pytest.mark.slow
def test_syncs_and_scans_spread_as_their_phases_do() -> None:
    scraped, synced = spread(10, "usage scraped", "autoscaler syncs", duration="4m")
    assert is_uniform(scraped, 15.1)
    assert is_uniform(synced, 15.1)
    (scanned,) = spread(11, "pool decision", duration="2m")
    assert is_uniform(scanned, 10.1)


SEEDS = 200
LEASE, MONITOR, PLEG = {"lease not renewed": 10.0}, {"monitor looks": 5.0}, {"seen to run": 1.0}
EVEN: dict[int, dict[str, float]] = {
    1: {**LEASE, **MONITOR, **PLEG},
    2: {**LEASE, **MONITOR, **PLEG},
    3: {"lease not renewed": 5, **MONITOR, **PLEG},
    4: PLEG,
    5: {},
    6: {**LEASE, **MONITOR},
    7: {**LEASE, **MONITOR},
    8: {"seen to have ended": 1},
    9: {"seen to have ended": 1},
    10: {"usage scraped": 15, "autoscaler syncs": 15, **PLEG},
    11: {"pool decision": 10, **PLEG},
    12: {**LEASE, **MONITOR, **PLEG},
}
"""By scenario: the hops whose length is a phase that is drawn evenly, and its period. Where the way is that of
the later of two nodes (4) its lease and its turn are not even: they come of which was the later."""


@pytest.mark.exhaustive
@pytest.mark.parametrize("by_hand", SCENARIOS, ids=lambda item: item.title[:30])
def test_hops_over_two_hundred_seeds(by_hand: ByHand) -> None:
    number = SCENARIOS.index(by_hand) + 1
    found: dict[str, list[float]] = {"total": []}
    for seed in range(SEEDS):
        fall = run(by_hand, seed)
        check(by_hand, fall)
        found["total"].append(fall.total_ns / 1e9)
        for name in {hop.name for hop in fall.hops}:
            found.setdefault(name, []).append(sum(hop.ns for hop in fall.hops if hop.name == name) / 1e9)
    for name, values in found.items():
        low, middle, high = np.percentile(values, [5, 50, 95])
        print(f"{number} {name}: {min(values):.3f} {low:.3f} {middle:.3f} {high:.3f} {max(values):.3f}, {len(values)}")
    for name, period in EVEN[number].items():
        assert len(found[name]) == SEEDS, name
        assert is_uniform(np.array(found[name]), period, MESSAGES_S), name
