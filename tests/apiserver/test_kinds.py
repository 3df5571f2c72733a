"""A kind is described once: everything else follows from its rules, also for a kind that comes from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from harness.apiserver.http.selectors import parse
from harness.apiserver.kinds import RULES, KindRules, Table, counted_kinds, register, unregister, usage_of
from harness.apiserver.server import ApiServer
from harness.controllers.objects.garbage_collector import GarbageCollector
from harness.controllers.objects.namespace import NamespaceController
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS, Kind, from_wire, to_wire
from harness.model.status import ApiError, Cause
from harness.model.wire import Wire
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.apiserver.live import live

MERGE = {"Content-Type": "application/merge-patch+json"}


class RocketSpec(Wire, frozen=True, kw_only=True):
    stages: int | None = None
    fuel: str = ""


class RocketStatus(Wire, frozen=True, kw_only=True):
    phase: str = ""


class Rocket(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: RocketSpec = RocketSpec()
    status: RocketStatus = RocketStatus()


def _defaults(rocket: Rocket) -> Rocket:
    return rocket if rocket.spec.stages else replace(rocket, spec=replace(rocket.spec, stages=2))


def _problems(new: Rocket, old: Rocket | None) -> list[Cause]:
    known = ("kerosene", "methane")
    if new.spec.fuel in known:
        return []
    return [Cause("spec.fuel", "FieldValueNotSupported", f'Unsupported value: "{new.spec.fuel}": {", ".join(known)}')]


def _cells(obj: dict[str, Any], moment: Any) -> list[Any]:
    return [obj["metadata"]["name"], obj["spec"]["stages"], obj["spec"]["fuel"]]


def _complete(obj: dict[str, Any]) -> None:
    obj["status"].setdefault("phase", "Grounded")


ROCKET = KindRules(
    kind=Kind(
        "Rocket", "space.example.com/v1", "rockets", Rocket, short_names=("rkt",), categories=("all",), status=True
    ),
    defaults=_defaults,
    validate=_problems,
    counts_generation=True,
    quota_name="rockets",
    table=Table(("Name", "Stages", "Fuel"), _cells),
    fields={"spec.fuel": lambda rocket: str(rocket.spec.fuel)},
    complete_wire=_complete,
)


@pytest.fixture
def rockets() -> Iterator[None]:
    register(ROCKET)
    try:
        yield
    finally:
        unregister("Rocket")


def rocket(name: str = "r", **spec: Any) -> Any:
    return from_wire({"kind": "Rocket", "metadata": {"name": name}, "spec": {"fuel": "methane", **spec}})


def test_every_kind_has_rules() -> None:
    assert RULES.keys() == KINDS.keys()
    assert all(rules.kind is KINDS[name] for name, rules in RULES.items())


@pytest.mark.usefixtures("rockets")
def test_a_kind_from_outside_is_served_in_process() -> None:
    server = ApiServer(MemoryStore(ObjectCodec()))
    made = server.create(rocket())
    assert (made.metadata.namespace, made.metadata.generation, made.spec.stages) == ("default", 1, 2)
    assert server.update(replace(made, spec=replace(made.spec, stages=3))).metadata.generation == 2
    with pytest.raises(ApiError, match=r'Rocket.space.example.com "r" is invalid: spec.fuel: Unsupported value: "tea"'):
        server.update(rocket(fuel="tea"))
    assert from_wire(to_wire(made)) == made
    kind = KINDS["Rocket"]
    assert parse(kind, "", "spec.fuel=methane").matches(kind, made)
    assert usage_of(made, 0) == {"count/rockets.space.example.com": 1000, "rockets": 1000}
    assert "Rocket" in counted_kinds()
    server.recover()
    assert server.listed("Rocket") == [server.get("Rocket", "default", "r")]


@pytest.mark.usefixtures("rockets")
def test_its_objects_go_with_their_namespace_and_their_owner() -> None:
    assert "Rocket" in NamespaceController().watches
    assert "Rocket" in GarbageCollector().watches


@pytest.mark.usefixtures("rockets")
def test_a_store_on_disk_holds_a_kind_from_outside(tmp_path: Path) -> None:
    from harness.store.sqlite import SqliteStore

    path = tmp_path / "state.db"
    store = SqliteStore(path, ObjectCodec())
    made = ApiServer(store).create(rocket())
    store.close()
    store = SqliteStore(path, ObjectCodec())
    assert ApiServer(store).get("Rocket", "default", "r") == made
    store.close()


@pytest.mark.live
@pytest.mark.usefixtures("rockets")
def test_a_kind_from_outside_is_served_over_http() -> None:
    pytest.importorskip("uvicorn", reason="the live extra is not installed")
    with live() as cluster:
        base = "/apis/space.example.com/v1/namespaces/default/rockets"
        code, made = cluster.request("POST", base, to_wire(rocket()))
        assert (code, made["spec"]["stages"], made["status"]["phase"]) == (201, 2, "Grounded")
        code, refused = cluster.request("POST", base, to_wire(rocket("s", fuel="tea")))
        assert (code, refused["details"]["causes"][0]["field"]) == (422, "spec.fuel")
        code, found = cluster.request("GET", f"{base}?fieldSelector=spec.fuel=methane")
        assert (code, [item["metadata"]["name"] for item in found["items"]]) == (200, ["r"])
        code, table = cluster.request("GET", base, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Stages", "Fuel"]
        assert table["rows"][0]["cells"] == ["r", 2, "methane"]
        code, listed = cluster.request("GET", "/apis/space.example.com/v1")
        assert [(item["name"], item.get("shortNames")) for item in listed["resources"]] == [
            ("rockets", ["rkt"]),
            ("rockets/status", None),
        ]
        code, paths = cluster.request("GET", "/openapi/v3")
        assert "apis/space.example.com/v1" in json.dumps(paths)
        code, _ = cluster.request("PATCH", f"{base}/r/status", {"status": {"phase": "Flying"}}, headers=MERGE)
        assert code == 200
        assert cluster.request("GET", f"{base}/r")[1]["status"] == {"phase": "Flying"}
        assert cluster.request("DELETE", f"{base}/r")[0] == 200


@pytest.mark.usefixtures("rockets")
def test_a_kind_is_registered_once() -> None:
    with pytest.raises(ValueError, match="a kind Rocket, or one of type Rocket, is known already"):
        register(ROCKET)
    with pytest.raises(ValueError, match=r"rockets of group 'space\.example\.com' are served already"):
        register(KindRules(kind=Kind("Rakete", "space.example.com/v2", "rockets", RocketSpec)))
