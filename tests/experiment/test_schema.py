"""The schema of a scenario against its loader: what editors are told is what is read."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.field_notes import note_of, superfluous
from harness.experiment.latencies import latencies, latency
from harness.experiment.prepared import prepare
from harness.experiment.scenario import built_in, from_data
from harness.experiment.schema import DRAFT, fault_forms, scenario_schema, shipped_forms
from harness.experiment.services import service
from harness.faults.timeline import parse
from harness.model.errors import UserError
from harness.report.reference import markdown
from tests.experiment.scenarios import SERVICE, scenario
from workloads.generators.load import FORMS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = scenario_schema()
CHECKER = jsonschema.Draft7Validator(SCHEMA)
SEEDS = sorted((ROOT / "tests" / "seeds").glob("*.yaml"))


def valid(data: Any) -> bool:
    return bool(CHECKER.is_valid(data))


def read(data: Any) -> str:
    """What the loader says; '' when it reads it."""
    try:
        loaded = from_data(copy.deepcopy(data), "small.yaml")
        parse(loaded.scenario.spec.faults)
        latencies(loaded)
        for index, pool in enumerate(loaded.scenario.spec.pools):
            for name, said in (("provisioning", pool.provisioning), ("boot", pool.boot)):
                latency(loaded, said, f"spec.pools[{index}].{name}")
        for index, task in enumerate(loaded.scenario.spec.workload):
            if task.service is not None:
                service(loaded, task.service, f"spec.workload[{index}].service", 0)
    except UserError as error:
        return str(error)
    return ""


def test_it_is_a_schema_of_the_draft_that_editors_know() -> None:
    assert SCHEMA["$schema"] == DRAFT
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    printed = CliRunner().invoke(app, ["schema"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == SCHEMA


@pytest.mark.parametrize("path", [*built_in().values(), *SEEDS], ids=lambda path: path.stem)
def test_each_shipped_scenario_is_valid(path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or data.get("kind") != "Scenario":
        pytest.skip("no scenario")
    assert [error.message for error in CHECKER.iter_errors(data)] == []


GROUP = {"name": "n", "count": 2, "cpu": 4}
WEB = SERVICE["service"]


def of(**spec: Any) -> Any:
    return scenario(**spec)


WRONG: dict[str, Any] = {
    "unknown key": of(duratoin="3m"),
    "unknown key below": of(nodes=[{"group": {**GROUP, "cont": 3}}]),
    "no count": of(nodes=[{"group": {"name": "n", "cpu": 4}}]),
    "wrong type": of(seed="one"),
    "negative": of(seed=-1),
    "too many": of(nodes=[{"group": {**GROUP, "count": 10**7}}]),
    "no duration": of(duration="3 minutes"),
    "a number for a duration": of(duration=180),
    "negative quantity": of(nodes=[{"group": {**GROUP, "memory": "-1Gi"}}]),
    "no quantity": of(nodes=[{"group": {**GROUP, "memory": "4GB"}}]),
    "two sources in one": of(nodes=[{"group": GROUP, "openbLike": {"count": 2}}]),
    "no source": of(workload=[{}]),
    "null source": of(workload=[{"service": None}]),
    "no load curve": of(workload=[{"service": {**WEB, "load": {"constnt": {"rps": 3}}}}]),
    "a curve without its field": of(workload=[{"service": {**WEB, "load": {"ramp": {"start": "1s"}}}}]),
    "an unknown field of a curve": of(workload=[{"service": {**WEB, "load": {"constant": {"rps": 1, "x": 1}}}}]),
    "a negative rate": of(workload=[{"service": {**WEB, "load": {"constant": {"rps": -1}}}}]),
    "no curves": of(workload=[{"service": {**WEB, "load": []}}]),
    "a mode that there is not": of(workload=[{"trace": {"path": "x", "mode": "full"}}]),
    "an objective of 100": of(workload=[{"service": {**WEB, "slo": {"objective": 100}}}]),
    "a fault that there is not": of(faults=[{"at": "1m", "nodeCarsh": {}}]),
    "a fault without an instant": of(faults=[{"nodeCrash": {}}]),
    "a fault at and every": of(faults=[{"at": "1m", "every": "1m", "nodeCrash": {}}]),
    "until without every": of(faults=[{"at": "1m", "until": "1m", "nodeCrash": {}}]),
    "two faults in one": of(faults=[{"at": "1m", "nodeCrash": {}, "apiServerRestart": {}}]),
    "a field that a fault has not": of(faults=[{"at": "1m", "nodeCrash": {"downfor": "1m"}}]),
    "a fault's duration": of(faults=[{"at": "1m", "nodeCrash": {"downFor": "1 m"}}]),
    "a fault without its field": of(faults=[{"at": "1m", "zonePartition": {"zone": "a"}}]),
    "a count of none": of(faults=[{"at": "1m", "podDeletion": {"app": "web", "count": -1}}]),
    "a gate that asks for nothing": of(gates=[{"metric": "placement.podsBound"}]),
    "no strategies": of(schedulers=[]),
    "another kind": {**scenario(), "kind": "Scenery"},
    "another version": {**scenario(), "apiVersion": "podyard.dev/v2"},
    "no spec": {key: value for key, value in scenario().items() if key != "spec"},
    "no name": {**scenario(), "metadata": {}},
    "a name with spaces": {**scenario(), "metadata": {"name": "my scenario"}},
    "a list": [],
    "variables without values": of(variables={"n": []}),
    "a variable called seed": of(variables={"seed": [1]}),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_wrong_is_refused_by_both(name: str) -> None:
    assert read(WRONG[name]), "the loader"
    assert not valid(WRONG[name]), "the schema"


def test_constants_are_completed_and_others_refused_by_both() -> None:
    data = of(constants={"node-monitor-grace-periode": "40s"})
    assert not valid(data)
    with pytest.raises(UserError, match="node-monitor-grace-period"):
        prepare(from_data(data, "small.yaml"), 1)
    assert valid(of(constants={"node-monitor-grace-period": "40s", "scale-down-unneeded-time": "5m"}))


RIGHT: dict[str, Any] = {
    "variables": of(
        variables={"n": [2, 3], "at": ["1m"]}, nodes=[{"group": {**GROUP, "count": "{n}"}}], duration="{at}"
    ),
    "a variable as YAML reads it": of(variables={"n": [2]}, nodes=[{"group": {**GROUP, "count": {"n": None}}}]),
    "a variable in a fault": of(variables={"t": [3]}, faults=[{"at": "{t}m", "nodeCrash": {"downFor": "{t}m"}}]),
    "null for none": of(nodes=[{"group": GROUP, "trace": None}], duration=None),
    "a sum of loads": of(workload=[{"service": {**WEB, "load": [{"constant": {"rps": 1}}, WEB["load"]]}}]),
    "faults that come again": of(faults=[{"every": "2m", "until": "9m", "podDeletion": {"app": "web"}}]),
    "percent": of(workload=[{"service": {**WEB, "minAvailable": "50%"}}]),
    "quantities": of(nodes=[{"group": {**GROUP, "cpu": "1500m", "memory": 1e9, "resources": {"a.b/c": ".5k"}}}]),
    "time in words": of(workload=[{"service": {**WEB, "serviceTime": "exponential"}}], duration="1h30m0.5s"),
    "nothing but what must be": of(nodes=[], pools=[{"name": "p", "max": 3, "cpu": 2}], workload=[]),
}


@pytest.mark.parametrize("name", list(RIGHT))
def test_what_is_right_is_read_by_both(name: str) -> None:
    assert read(RIGHT[name]) == "", "the loader"
    assert [error.message for error in CHECKER.iter_errors(RIGHT[name])] == [], "the schema"


WHOLE = of(
    duration="10m",
    pools=[{"name": "p", "max": 3, "cpu": 2, "provisioning": "30s", "taints": [{"key": "k"}]}],
    workload=[{"openbLike": {"pods": 9, "load": 50}}, {"service": {**WEB, "autoscaler": {"max": 9}, "slo": {}}}],
    faults=[{"at": "1m", "nodeCrash": {"select": {"count": 1}, "downFor": "1m"}}],
    latencies={"apiCall": {"median": "2ms", "p99": "9ms"}},
    scheduling={"batch": 4},
    gates=[{"metric": "placement.podsBound", "atLeast": 1}],
    compare={"within": "2%"},
)
"""Something of each form, to be spoiled at any place."""


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


VALUES = st.sampled_from(
    [None, True, 0, -1, 1, 2.5, 10**7, "", "1m", "5", "-5m", "1Gi", "50%", "a", [], {}, [1], {"a": 1}]
)


def put(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    out = copy.deepcopy(data)
    below = out
    for key in path[:-1]:
        below = below[key]
    below[path[-1]] = value
    return out


MORE = (
    "min and max do not fit", "high is below low", "not a regular", "too long a duration", "is not a measure",
    "there are no nodes", "too often", "end before they begin", "more than can be simulated", "no number of replicas",
    "requests cost CPU", "too many workers", "no distribution",
)  # fmt: skip
"""What the loader alone knows: it takes two fields, or the world."""


@settings(max_examples=150, deadline=None)
@example(("spec", "workload", 1, "service", "cpu"), 0)  # the limit was divided by
@example(("spec", "workload", 1, "service", "cpu"), 10**9)  # a queue of a worker for each CPU took 24 GB
@example(("spec", "latencies", "apiCall", "median"), "1m")  # above the p99 beside it
@example(("spec", "pools", 0, "provisioning"), {})  # a distribution of nothing: told when the pool is made
@given(st.sampled_from(list(places(WHOLE))), VALUES)
def test_they_agree_wherever_a_value_is_replaced(path: tuple[Any, ...], value: Any) -> None:
    data = put(WHOLE, path, value)
    said = read(data)
    if not said:
        assert valid(data), [error.message for error in CHECKER.iter_errors(data)]
    elif not any(words in said for words in MORE):
        assert not valid(data), said


@given(st.sampled_from(list(places(WHOLE))), st.text("abcxyz", min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_they_agree_about_keys_that_there_are_not(path: tuple[Any, ...], key: str) -> None:
    below = WHOLE
    for step in path:
        below = below[step]
    if isinstance(below, dict):
        data = put(WHOLE, path, {**below, key: 1})
        assert bool(read(data)) == (not valid(data))


def test_each_field_says_what_it_is_and_its_example_is_valid() -> None:
    assert superfluous() == []
    for form in shipped_forms():
        for field in msgspec.structs.fields(form):
            assert note_of(form, field.encode_name).says, f"{form.__name__}.{field.encode_name}"
    definitions = {"Scenario": SCHEMA, **SCHEMA["definitions"]}
    for name, schema in definitions.items():
        for key, field in schema.get("properties", {}).items():
            if name == "Fault" and key in fault_forms():
                continue
            assert field.get("description"), f"{name}.{key}"
            for value in field["examples"] if name != "Scenario" else ():
                one = {**field, "definitions": SCHEMA["definitions"]}
                assert jsonschema.Draft7Validator(one).is_valid(value), f"{name}.{key}: {value}"


def test_the_page_of_reference_is_as_the_types_are() -> None:
    """Made by `podyard schema --markdown > docs/reference/scenario.md`."""
    page = (ROOT / "docs" / "reference" / "scenario.md").read_text(encoding="utf-8")
    assert page == markdown(SCHEMA)
    for form in shipped_forms():
        for field in msgspec.structs.fields(form):
            assert f"| `{field.encode_name}` |" in page, f"{form.__name__}.{field.encode_name}"
    for name in (*fault_forms(), *FORMS):
        assert f"### {name}\n" in page
