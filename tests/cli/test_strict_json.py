"""What is written as JSON is read by every program, though a measure is no number."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app
from harness.measure.catalogue import Measure
from harness.measure.registry import Extra
from harness.model.strict_json import strict_json
from tests.experiment.scenarios import scenario


class Nowhere:
    """A measure that divides nothing by nothing."""

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None: ...

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None: ...

    def value(self, until_ns: int) -> float:
        return math.nan


nowhere = Extra(Measure("extra.nowhere", "nowhere", "", "less", "0 / 0"), Nowhere)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_what_is_no_finite_number_is_null() -> None:
    assert strict(strict_json({"a": [1.5, math.nan, (math.inf, -math.inf)], "b": 1e300})) == {
        "a": [1.5, None, [None, None]],
        "b": 1e300,
    }


def test_records_runs_and_comparisons_with_such_a_measure(tmp_path: Path) -> None:
    """NaN stood in all three, and in a comparison where one side had no number at all."""
    file, out = tmp_path / "small.yaml", tmp_path / "out"
    spec = scenario(duration="1m", bound=False, measures=[f"{__name__}:nowhere"])
    file.write_text(yaml.safe_dump(spec))
    common = ["--nodes", "inline", "-o", "json", "-q"]
    (ran,) = strict(CliRunner().invoke(app, ["run", str(file), *common, "--out", str(out)]).stdout)
    assert ran["metrics"]["extra"] == {"nowhere": None}
    (record,) = out.rglob("record.json")
    assert strict(record.read_text())["metrics"]["extra"] == {"nowhere": None}
    asked = ["--seeds", "1-2", "--metric", "extra.nowhere", "-s", "greedy,random", "-o", "json", "-q"]
    (row,) = strict(CliRunner().invoke(app, ["compare", str(file), *asked, "--out", str(out)]).stdout)
    assert row["baseMean"] is None
    assert row["verdict"].startswith("no verdict")
