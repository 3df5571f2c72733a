"""Watches: over HTTP, and what a selector makes of a history."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.answers import SharedObjects
from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.negotiate import ObjectForm
from harness.apiserver.http.selectors import parse
from harness.apiserver.http.watch import Hub
from harness.apiserver.server import ApiServer
from harness.model.core import ConfigMap
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.apiserver.live import Live, live

pytestmark = pytest.mark.live

MAPS = "/api/v1/namespaces/default/configmaps"
OWN = "fieldSelector=metadata.name%21%3Dkube-root-ca.crt"
"""Those that the test has made."""
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


@pytest.fixture(autouse=True)
def clean(cluster: Live) -> None:
    cluster.request("DELETE", MAPS)


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def told(events: Any) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def test_a_watch_goes_on_from_a_list(cluster: Live) -> None:
    cluster.request("POST", MAPS, config("before"))
    _, listed = cluster.request("GET", MAPS)
    cluster.request("POST", MAPS, config("between"))
    events = cluster.watch(
        f"{MAPS}?watch=true&resourceVersion={listed['metadata']['resourceVersion']}&timeoutSeconds=8"
    )
    assert told([next(events)]) == [("ADDED", "between")]
    cluster.request("PATCH", MAPS + "/before", {"data": {"a": "b"}}, headers=MERGE)
    changed = next(events)
    assert told([changed]) == [("MODIFIED", "before")]
    _, now = cluster.request("GET", MAPS + "/before")
    assert changed["object"] == now
    cluster.request("DELETE", MAPS + "/between")
    gone = next(events)
    assert told([gone]) == [("DELETED", "between")]
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(now["metadata"]["resourceVersion"])


def test_without_a_revision_it_begins_with_what_is_there_and_ends_on_time(cluster: Live) -> None:
    for name in ("a", "b"):
        cluster.request("POST", MAPS, config(name))
    assert told(cluster.watch(f"{MAPS}?watch=1&timeoutSeconds=1&{OWN}")) == [("ADDED", "a"), ("ADDED", "b")]
    assert told(cluster.watch(f"{MAPS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Db")) == [("ADDED", "b")]


def test_a_revision_that_is_gone_or_not_there_yet(cluster: Live) -> None:
    cluster.request("POST", MAPS, config("x"))
    cluster.driver_queue.submit(lambda server: server.compact()).result(10)
    (event,) = cluster.watch(f"{MAPS}?watch=true&resourceVersion=1")
    assert (event["type"], event["object"]["reason"], event["object"]["code"]) == ("ERROR", "Expired", 410)
    code, status = cluster.request("GET", f"{MAPS}?watch=true&resourceVersion=99999999")
    assert (code, status["reason"]) == (504, "Timeout")


@pytest.mark.parametrize("yes", ["true", "True"])
def test_initial_events_end_with_a_bookmark(cluster: Live, yes: str) -> None:
    """The Python client writes True, which was taken for false: no initial events came, and no bookmark."""
    cluster.request("POST", MAPS, config("x"))
    query = f"watch={yes}&sendInitialEvents={yes}&resourceVersionMatch=NotOlderThan&allowWatchBookmarks={yes}"
    events = list(cluster.watch(f"{MAPS}?{query}&timeoutSeconds=1&{OWN}"))
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(events[1]["object"]["metadata"]["resourceVersion"]) >= int(
        events[0]["object"]["metadata"]["resourceVersion"]
    )


def test_a_watch_that_wants_no_initial_events_begins_now(cluster: Live) -> None:
    cluster.request("POST", MAPS, config("x"))
    query = "watch=true&sendInitialEvents=False&resourceVersionMatch=NotOlderThan&resourceVersion=0"
    assert list(cluster.watch(f"{MAPS}?{query}&timeoutSeconds=1&{OWN}")) == []


def test_tables_of_a_watch_name_their_columns_once(cluster: Live) -> None:
    for name in ("a", "b"):
        cluster.request("POST", MAPS, config(name))
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    events = list(cluster.watch(f"{MAPS}?watch=true&timeoutSeconds=1&{OWN}", headers=accept))
    tables = [event["object"] for event in events]
    assert [len(table["columnDefinitions"]) for table in tables] == [3, 0]
    assert [table["rows"][0]["cells"][0] for table in tables] == ["a", "b"]


def test_a_client_that_leaves_is_forgotten(cluster: Live) -> None:
    hub = cluster.http._hub
    with cluster.open("GET", f"{MAPS}?watch=true&timeoutSeconds=60"):
        assert cluster.driver_queue.submit(lambda _: hub.watches).result(10) == 1
    left = threading.Event()
    for _ in range(100):
        if cluster.driver_queue.submit(lambda _: hub.watches).result(10) == 0:
            left.set()
            break
        left.wait(0.05)
    assert left.is_set(), "the watch of a client that has gone is still fed"


# -- the history and its view ------------------------------------------------------------------------------------------

KIND = KINDS["ConfigMap"]

steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["red", "green", ""]),
        st.integers(0, 2),
    ),
    max_size=30,
)


@settings(max_examples=examples(150), deadline=None)
@given(steps, st.integers(0, 30), st.sampled_from(["colour=red", "colour!=red", "colour", ""]), st.booleans())
def test_a_watcher_sees_at_last_what_a_list_shows(
    history: list[tuple[str, str, str, int]], joins: int, selector: str, resume: bool
) -> None:
    """Whenever it joins, from a list or by an older revision, and whatever it selects."""
    server = ApiServer(MemoryStore(ObjectCodec()))
    loop = asyncio.new_event_loop()
    try:
        hub = Hub(loop, DriverQueue(server))
        hub.attach(server)
        chosen = parse(KIND, selector, "")
        view: dict[str, str] = {}
        feed = None
        since = 0
        events = []
        for index, step in enumerate(history):
            if index == joins // 2:
                since = server.revision
                view = shown(server, chosen)
            if index == joins:
                feed, first = hub.open(server, KIND, "default", chosen, since if resume else 0)
                view = view if resume else {}
                events += first
            play(server, *step)
        if feed is None:
            feed, first = hub.open(server, KIND, "default", chosen, 0)
            view, events = {}, first
        events += loop.run_until_complete(feed.take(0))
        for event in events:
            meta = event.obj.metadata
            match event.type:
                case "ADDED":
                    assert meta.name not in view
                    view[meta.name] = meta.resource_version
                case "MODIFIED":
                    assert meta.name in view
                    view[meta.name] = meta.resource_version
                case _:
                    del view[meta.name]
        assert view == shown(server, chosen)
    finally:
        loop.close()


def shown(server: ApiServer, chosen: Any) -> dict[str, str]:
    return {
        obj.metadata.name: obj.metadata.resource_version
        for obj in server.listed("ConfigMap", "default")
        if chosen.matches(KIND, obj)
    }


def play(server: ApiServer, what: str, name: str, colour: str, value: int) -> None:
    labels = {"colour": colour} if colour else {}
    there = f"default/{name}" in server.objects("ConfigMap")
    obj = ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels=labels), data={"v": str(value)})
    if what == "delete":
        if there:
            server.delete("ConfigMap", "default", name)
    elif there:
        server.update(obj)
    else:
        server.create(obj)


# -- the queue of the driver -------------------------------------------------------------------------------------------


def test_the_queue_runs_in_order_and_carries_errors() -> None:
    server = ApiServer(MemoryStore(ObjectCodec()))
    queue = DriverQueue(server)
    order: list[int] = []
    futures = [queue.submit(partial(lambda i, _: order.append(i), i)) for i in range(5)]
    futures[3].cancel()
    failing = queue.submit(lambda s: s.get("Pod", "default", "ghost"))
    assert queue.wait(0)
    assert queue.run_pending() == 5
    assert order == [0, 1, 2, 4]
    with pytest.raises(ApiError, match="not found"):
        failing.result(0)
    assert not queue.wait(0)
    assert queue.run_pending() == 0


def test_a_closed_queue_answers_at_once() -> None:
    queue = DriverQueue(ApiServer(MemoryStore(ObjectCodec())))
    waiting = queue.submit(lambda _: 1)
    queue.close()
    for future in (waiting, queue.submit(lambda _: 2)):
        with pytest.raises(ApiError) as refused:
            future.result(0)
        assert refused.value.code == 503


def test_a_call_that_submits_waits_for_the_next_round() -> None:
    queue = DriverQueue(ApiServer(MemoryStore(ObjectCodec())))
    later: list[Any] = []
    queue.submit(lambda _: later.append(queue.submit(lambda _: "done")))
    assert queue.run_pending() == 1
    assert not later[0].done()
    assert queue.run_pending() == 1
    assert later[0].result(0) == "done"


def test_an_event_is_encoded_once_for_all_its_watchers() -> None:
    """And each watcher is told in its own words what happened: its view may be another one."""
    made: list[str] = []
    shared = SharedObjects()
    obj, other = ConfigMap(metadata=ObjectMeta(name="a")), ConfigMap(metadata=ObjectMeta(name="b"))

    def get(value: ConfigMap, version: str = "v1", form: ObjectForm = ObjectForm.OBJECT) -> bytes:
        def make() -> dict[str, Any]:
            made.append(value.metadata.name)
            return {"name": value.metadata.name}

        return shared.get(value, version, form, make)

    assert get(obj) == get(obj) == b'{"name":"a"}'
    assert get(other) == b'{"name":"b"}'
    assert made == ["a", "b"]
    get(obj, form=ObjectForm.METADATA)
    get(obj, version="v2")
    assert made == ["a", "b", "a", "a"]
