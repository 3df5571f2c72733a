"""What a write costs at the one door, and what HTTP adds to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL, note
from harness.apiserver.http.selectors import parse
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.model.meta import Condition, ObjectMeta, OwnerReference
from harness.model.objects import KINDS, Pod, PodStatus, from_wire, to_wire
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

PODS = 50_000 if FULL else 2_000
REQUESTS = 2_000 if FULL else 100

TEMPLATE = {
    "kind": "Pod",
    "metadata": {"labels": {"app": "web", "tier": "front"}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "ports": [{"containerPort": 80}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }
        ]
    },
}
RUNNING = PodStatus(phase="Running", conditions=(Condition(type="Ready", status="True"),))


def filled(pods: int) -> tuple[ApiServer, list[Pod]]:
    """A server with one node, and pods of one template that it does not have yet."""
    server = ApiServer(MemoryStore(ObjectCodec()))
    server.create(from_wire({"kind": "Node", "metadata": {"name": "n"}}))
    template = from_wire(TEMPLATE)
    owner = (OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="rs", uid="u", controller=True),)
    made = []
    for index in range(pods):
        name = ObjectMeta(
            name=f"web-{index}", namespace="default", labels=template.metadata.labels, owner_references=owner
        )
        made.append(Pod(metadata=name, spec=template.spec))
    return server, made


def create(server: ApiServer, pods: list[Pod]) -> None:
    for pod in pods:
        server.create(pod)


def bind(server: ApiServer, pods: list[Pod]) -> None:
    for pod in pods:
        server.bind("default", pod.metadata.name, "", "n", {})


def run(server: ApiServer, pods: list[Pod]) -> None:
    for pod in pods:
        server.patch_status(replaced(server.get("Pod", "default", pod.metadata.name), status=RUNNING))


def delete(server: ApiServer, pods: list[Pod]) -> None:
    for pod in pods:
        server.delete("Pod", "default", pod.metadata.name, grace_s=0)


STEPS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "create": (lambda server, pods: None, create),
    "bind": (create, bind),
    "status": (create, run),
    "delete": (create, delete),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_pods_writes(benchmark: BenchmarkFixture, step: str) -> None:
    before, measured = STEPS[step]

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        server, pods = filled(PODS)
        before(server, pods)
        return (server, pods), {}

    benchmark.pedantic(measured, setup=setup, rounds=5)
    note(benchmark, us_per_write=lambda s: round(1e6 * s / PODS, 2))


@pytest.mark.parametrize("selector", ["labels", "fields"])
def test_a_selective_list(benchmark: BenchmarkFixture, selector: str) -> None:
    server, pods = filled(PODS)
    create(server, pods)
    kind = KINDS["Pod"]
    chosen = parse(kind, "tier in (front),!canary", "") if selector == "labels" else parse(kind, "", "spec.nodeName=n")
    found = benchmark(lambda: sum(chosen.matches(kind, pod) for pod in server.listed("Pod", "default")))
    assert found == (PODS if selector == "labels" else 0)


def test_a_pod_to_json_and_back(benchmark: BenchmarkFixture) -> None:
    server, pods = filled(1)
    pod = server.create(pods[0])
    assert benchmark(lambda: from_wire(to_wire(pod))) == pod


@pytest.mark.live
def test_requests_over_https(benchmark: BenchmarkFixture) -> None:
    """One client, one connection kept alive: create, read, patch and delete a pod."""
    pytest.importorskip("uvicorn", reason="the live extra is not installed")
    import http.client
    import ssl

    from harness.apiserver.http.driver_queue import DriverQueue
    from harness.apiserver.http.serve import HttpServer

    driver_queue = DriverQueue(ApiServer(MemoryStore(ObjectCodec())))
    server = HttpServer(driver_queue, epoch_unix_ns=0)
    server.start()
    stopping = threading.Event()

    def drive() -> None:
        while not stopping.is_set():
            driver_queue.wait(0.05)
            driver_queue.run_pending()

    driver = threading.Thread(target=drive, daemon=True)
    driver.start()
    trust = ssl.create_default_context(cadata=server.authority.decode())
    address, _, port = server.url.removeprefix("https://").rpartition(":")
    connection = http.client.HTTPSConnection(address, int(port), context=trust, timeout=20)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/merge-patch+json"}

    def ask(method: str, path: str, body: Any = None) -> None:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status < 300, (method, path, answer.status)

    pods = "/api/v1/namespaces/default/pods"

    def work() -> None:
        for index in range(REQUESTS // 4):
            body = {**TEMPLATE, "metadata": {"name": f"p{index}"}}
            ask("POST", pods, body)
            ask("GET", f"{pods}/p{index}")
            ask("PATCH", f"{pods}/p{index}", {"metadata": {"labels": {"a": "b"}}})
            ask("DELETE", f"{pods}/p{index}")

    try:
        benchmark.pedantic(work, rounds=3, warmup_rounds=1)
        note(benchmark, us_per_request=lambda s: round(1e6 * s / REQUESTS, 1))
    finally:
        connection.close()
        stopping.set()
        driver_queue.wake()
        driver.join(10)
        server.stop()
