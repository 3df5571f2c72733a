"""Numbers beyond what can be meant, in any field of any form, are told before anything is made from them."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.experiment.forms import Form, Scenario
from harness.experiment.manifests import read_checked_manifests
from harness.experiment.prepared import prepare
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from harness.model.quantity import parse_quantity
from tests.experiment.scenarios import scenario

FULL: dict[str, Any] = {
    "nodes": [
        {"group": {"name": "n", "count": 3, "cpu": 4, "memory": "16Gi", "pods": 10, "gpus": 2,
                   "resources": {"a.b/c": 1}}},
        {"openbLike": {"count": 4, "zones": 2}},
    ],
    "pools": [{"name": "p", "min": 1, "max": 2, "cpu": 4, "memory": "1Gi", "pods": 9, "gpus": 1, "provisioning": "1m"}],
    "workload": [
        {"openbLike": {"pods": 5, "load": 50, "constrained": 3, "longest": "1h", "start": "1s"}},
        {"trace": {"path": "x", "first": 5, "together": 2, "every": "2s", "load": 80, "compress": 2.5}},
        {"service": {"name": "s", "replicas": 2, "cpu": 1, "memory": "1Gi", "cpuPerRequest": "1m", "readyAfter": "1s",
                     "minAvailable": 1, "load": {"constant": {"rps": 1}},
                     "autoscaler": {"min": 1, "max": 3, "targetCpu": 50}}},
    ],
    "scheduling": {"batch": 3, "deadline": "5s"},
    "duration": "5m",
    "seed": 7,
}  # fmt: skip


def numbers(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all numbers, amounts and durations."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, (*path, index))
    elif isinstance(value, int) or str(value)[:1].isdigit():
        yield path


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    data = yaml.safe_load(yaml.safe_dump(scenario(**FULL)))
    at = data["spec"]
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    made: dict[str, Any] = data
    return made


def test_the_scenario_itself_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(changed(("seed",), 7)))
    read_scenario(tmp_path / "s.yaml")


@pytest.mark.parametrize("path", list(numbers(FULL)), ids=lambda path: ".".join(map(str, path)))
def test_a_number_out_of_range_is_told_with_its_line(tmp_path: Path, path: tuple[str | int, ...]) -> None:
    file = tmp_path / "s.yaml"
    for value in (-1, 2**63, "1e30", ".inf", "9" * 5000, "-3", "1e999999999", "99999999h", 1.5e300):
        if path[-1] in ("rps", "seed") and value != -1:
            continue
        file.write_text(yaml.safe_dump(changed(path, value)).replace("'.inf'", ".inf"))
        with pytest.raises(UserError) as told:
            read_scenario(file)
        row = file.read_text().splitlines()[(told.value.line or 1) - 1]
        assert str(path[-1]) in row


def fields(kind: Any) -> Iterator[tuple[str, Any]]:
    seen: set[Any] = set()
    todo = [kind]
    while todo:
        form = todo.pop()
        for name, hint in typing.get_type_hints(form, include_extras=True).items():
            yield f"{form.__name__}.{name}", hint
            for part in (hint, *typing.get_args(hint)):
                if isinstance(part, type) and issubclass(part, Form) and part not in seen:
                    seen.add(part)
                    todo.append(part)


def _is_bare(kind: Any) -> bool:
    return kind is int or (int in typing.get_args(kind) and typing.get_origin(kind) is not typing.Annotated)


def test_every_whole_number_of_a_form_has_a_range() -> None:
    bare = [name for name, kind in fields(Scenario) if _is_bare(kind)]
    assert [name for name in bare if not name.endswith(("cpu", "memory", "cpu_per_request", "image_bytes"))] == []


def test_quantities_beyond_64_bits_are_refused() -> None:
    assert parse_quantity("7Ei").value == 7 << 60
    for text in ("8Ei", "9223372036854775808", "1e30", "1e999999999", "1e-999999999", "9" * 5000, "-9E3E"):
        with pytest.raises(ValueError, match=r"out of range|not a quantity"):
            parse_quantity(text)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("spec.containers[0].resources.requests.cpu", "9223372036854775807"),
        ("spec.containers[0].resources.requests.memory", "8Pi"),
        ("spec.containers[0].resources.requests.cpu", "1e30"),
        ("spec.terminationGracePeriodSeconds", 2**63),
    ],
)
def test_manifests_beyond_what_can_be_simulated_are_told(tmp_path: Path, where: str, text: object) -> None:
    requests: dict[str, object] = {"cpu": 1, "memory": "1Gi"}
    container = {"name": "c", "image": "i", "resources": {"requests": requests}}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [container]},
    }
    if "requests" in where:
        requests[where.rpartition(".")[2]] = text
    else:
        pod["spec"]["terminationGracePeriodSeconds"] = text
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump(pod))
    with pytest.raises(UserError) as told:
        read_checked_manifests([file])
    assert where.rpartition(".")[2] in file.read_text().splitlines()[(told.value.line or 1) - 1]


SERVICE: dict[str, Any] = {"name": "s", "replicas": 1, "cpu": 1, "load": {"constant": {"rps": 1}}}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"workload": [{"openbLike": {"pods": 3, "longest": "0s"}}]}, "no run time"),
        ({"workload": [{"openbLike": {"pods": 0}}]}, "pods: too small"),
        ({"nodes": [{"openbLike": {"count": 0}}]}, "nodes: too small"),
        ({"workload": [{"manifests": []}]}, "names no file"),
        ({"workload": [{"service": {**SERVICE, "slo": {"latency": "0s"}}}]}, "no request is answered in no time"),
        ({"workload": [{"service": {**SERVICE, "timeout": "0s"}}]}, "no request is answered in no time"),
        (
            {
                "workload": [
                    {"service": {**SERVICE, "load": {"ramp": {"from": 1, "to": 2, "start": "2m", "end": "1m"}}}}
                ]
            },
            "start 120 s, end 60 s",
        ),
        ({"latencies": {"watch": {"median": "50ms", "p99": "5ms"}}}, "p99 not below it"),
        ({"latencies": {"apiCall": {"median": "0s", "p99": "5ms"}}}, "a median over 0s"),
        ({"gates": [{"metric": "placement.podsBound", "atLeast": 5, "atMost": 1}]}, "no value can hold this gate"),
    ],
)
def test_what_is_empty_or_upside_down_is_told_with_its_line(tmp_path: Path, spec: dict[str, Any], told: str) -> None:
    given = {"nodes": FULL["nodes"][:1], "workload": [{"service": SERVICE}], "duration": "1m", **spec}
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(scenario(**given), sort_keys=False))
    with pytest.raises(UserError) as error:
        prepare(read_scenario(file), 1)
    assert told in str(error.value)
    assert error.value.line
