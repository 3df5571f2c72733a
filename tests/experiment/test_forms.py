"""Every form can be built from its defaults: only what it demands is said, and the rest is as it says itself.

The forms are found by the test: those of the scenario by its types, faults by their entry points, load curves and
generators where they are defined.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import workloads.generators
from harness.experiment.forms import Form, NodeSource, Scenario, TaskSource
from harness.experiment.run import run_once
from harness.faults.registry import FAULTS
from tests.experiment.dumps import controller
from tests.experiment.scenarios import SERVICE, loaded
from workloads.generators.batch import Batch, Every, Fixed, Shape
from workloads.generators.load import FORMS as CURVES
from workloads.generators.load import load_curve
from workloads.generators.rigid import RigidJob
from workloads.generators.streams import streams
from workloads.table import Provenance

VALUES: dict[str, Any] = {
    "name": "x", "count": 4, "cpu": 4, "max": 3, "pods": 20, "path": "x", "replicas": 2, "key": "k",
    "metric": "placement.podsBound", "load": {"constant": {"rps": 5}}, "zone": "a", "for": "5s", "app": "web",
    "at": "10s", "start": "1s", "end": "9s", "rps": 3, "from": 1, "to": 2, "before": 1, "after": 2, "base": 1,
    "like": "n-0", "image": "i:2", "service": "x", "peak": 3, "low": 1, "high": 2, "kind": "Deployment", "speeds": "x",
    "jobs": 12, "id": 0, "model": "LM", "batchSize": 10, "steps": 6000, "patch": {"metadata": {"labels": {"a": "b"}}},
    "does": "late",
}  # fmt: skip
"""For what a form demands; whatever has a default keeps it."""

SERVED: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]},
    },
    controller("Deployment", "x", "100m"),
]
SERVED[1]["spec"]["template"]["metadata"]["labels"]["app"] = "x"
"""What clients are of."""

NODES = {"group": {"name": "n", "count": 4, "cpu": 8, "memory": "32Gi", "gpus": 2, "zones": ["a", "b"]}}


def demanded(form: Any) -> dict[str, Any]:
    return {field.encode_name: VALUES[field.encode_name] for field in msgspec.structs.fields(form) if field.required}


def sources(kind: Any) -> Iterator[tuple[str, Any]]:
    """(key, form) of each thing that a source can be, but for files."""
    hints = typing.get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        form = next(
            (arg for arg in typing.get_args(hints[field.name]) if inspect.isclass(arg) and arg is not type(None)), None
        )
        if inspect.isclass(form) and issubclass(form, Form) and not demanded(form).keys() & {"path", "speeds"}:
            yield field.encode_name, form


@pytest.mark.parametrize(("key", "form"), list(sources(NodeSource)))
def test_nodes(key: str, form: Any) -> None:
    result = run_once(
        loaded(duration="30s", bound=False, nodes=[{key: demanded(form)}], workload=[SERVICE]), "greedy", 1
    )
    assert result.ok, result.broken


@pytest.mark.parametrize(("key", "form"), list(sources(TaskSource)))
def test_workloads(key: str, form: Any) -> None:
    ends = {"duration": "1m"} if key in ("service", "clients") else {}  # the rest ends by itself
    others = [{"objects": SERVED}] if key == "clients" else []
    result = run_once(
        loaded(**ends, bound=False, nodes=[NODES], workload=[*others, {key: demanded(form)}]), "greedy", 1
    )
    assert result.ok, result.broken
    assert result.metrics["placement"]["podsBound"] > 0


@pytest.mark.parametrize("name", FAULTS.names())
def test_faults(name: str) -> None:
    spec = {"duration": "2m", "bound": False, "nodes": [NODES], "workload": [SERVICE]}
    given = demanded(FAULTS.load(name))
    if name == "providerOutage":
        spec["pools"] = [{"name": "p", "max": 2, "cpu": 4}]
    if name == "apply":
        meta = {"name": "c"}
        given = {"objects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}]}
    if name == "etcdRestore":
        given["age"] = "20s"  # its backup is taken after the run began
    if "name" in given and name != "nodeJoin":
        given["name"] = "web"  # an object that is there
    fault = {"at": "30s", name: given}
    result = run_once(loaded(**spec, faults=[fault]), "greedy", 1)
    assert result.broken == []


@pytest.mark.parametrize("name", sorted(CURVES))
def test_load_curves(name: str) -> None:
    required, _ = CURVES[name]
    curve = load_curve({name: {field: VALUES[field] for field in required}})
    assert curve.rate_milli_rps(5 * 10**9) >= 0


def forms(kind: Any, seen: set[Any]) -> Iterator[Any]:
    if inspect.isclass(kind) and issubclass(kind, Form) and kind not in seen:
        seen.add(kind)
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from forms(hint, seen)
    else:
        for arg in typing.get_args(kind):
            yield from forms(arg, seen)


@pytest.mark.parametrize("form", list(forms(Scenario, set())), ids=lambda form: form.__name__)
def test_every_default_is_of_its_own_type(form: Any) -> None:
    """msgspec does not look at defaults: one of a wrong type, or out of its range, would be found by a user."""
    made = msgspec.convert(
        {field.encode_name: _least(field) for field in msgspec.structs.fields(form) if field.required}, form
    )
    assert msgspec.convert(msgspec.to_builtins(made), form) == made


def _least(field: Any) -> Any:
    if field.encode_name in VALUES:
        return VALUES[field.encode_name]
    return {"apiVersion": "v", "kind": "k", "metadata": {"name": "x"}, "spec": {"nodes": [], "workload": []}}.get(
        field.encode_name, []
    )


def test_durations_by_default_can_be_read() -> None:
    """openbLike's longest was '1d', which is no duration."""
    from harness.model.times import parse_duration

    words = ("longest", "start", "every", "provisioning", "ready_after", "least", "deadline")
    found = [
        (form.__name__, field.name, field.default)
        for form in forms(Scenario, set())
        for field in msgspec.structs.fields(form)
        if isinstance(field.default, str) and (field.name in words or field.default[:1].isdigit())
    ]
    assert len(found) >= 7
    for _, name, text in found:
        if name not in ("memory", "cpu_per_request", "within", "starts_at"):
            parse_duration(text)


def generators() -> Iterator[Any]:
    """What workloads.generators offers."""
    folder = Path(workloads.generators.__file__).parent
    for file in sorted(folder.glob("*.py")):
        module = __import__(f"workloads.generators.{file.stem}", fromlist=["x"])
        for name, value in sorted(vars(module).items()):
            public = isinstance(value, types.FunctionType) and not name.startswith("_")
            if public and value.__module__ == module.__name__ and _makes_a_workload(value):
                yield value


def _makes_a_workload(function: Any) -> bool:
    signature = inspect.signature(function)
    return "Workload" in str(signature.return_annotation) and "workload" not in signature.parameters


ARGUMENTS: dict[str, Any] = {
    "pods": 20, "nodes": 4, "seed": 1, "stream": streams(1),
    "batch": Batch(pods=20, arrivals=Every(10**9), durations=Fixed(10**9), shapes=(Shape(500, 1 << 30),)),
    "jobs": [RigidJob(0, 60, 3, 1)], "provenance": Provenance("a test"),
}  # fmt: skip


@pytest.mark.parametrize("generator", list(generators()), ids=lambda generator: generator.__name__)
def test_generators(generator: Any) -> None:
    needed = [p for p in inspect.signature(generator).parameters.values() if p.default is p.empty]
    made = generator(**{p.name: ARGUMENTS[p.name] for p in needed})
    workload = made[0] if isinstance(made, tuple) else made
    assert len(workload) > 0
