"""Clients that people use besides kubectl and the official one: lightkube, kr8s, and kopf's operators."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.cli.remote import call
from harness.model.errors import UserError
from tests.e2e.test_fault import WEB
from tests.e2e.test_up import STOP_S, eventually, podyard_up

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("up")]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("up") / "config"
    with podyard_up(path, "--nodes", "2", "--time-scale", "10"):
        yield path


def test_lightkube(config: Path) -> None:
    """Created, awaited, applied, patched, watched, its log read, deleted; refusals are told."""
    lightkube = pytest.importorskip("lightkube", reason="lightkube is not installed")
    from lightkube.codecs import from_dict
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Node, Pod

    client = lightkube.Client(config=lightkube.KubeConfig.from_file(str(config)), field_manager="lightkube-test")
    assert [node.metadata.name for node in client.list(Node)] == ["node-0", "node-1"]
    client.create(from_dict(WEB))
    assert client.wait(Deployment, "web", for_conditions=["Available"]).status.readyReplicas == 3
    pods = list(client.list(Pod, namespace="default", labels={"app": "web"}))
    assert {pod.status.phase for pod in pods} == {"Running"}
    assert "".join(client.log(pods[0].metadata.name))
    client.patch(Deployment, "web", {"spec": {"replicas": 2}})
    applied = {**WEB, "metadata": {"name": "web", "labels": {"applied": "yes"}}}
    assert client.apply(from_dict(applied), force=True).metadata.labels == {"applied": "yes"}
    assert client.get(Deployment, "web").spec.replicas == 3
    seen = []
    for change, pod in client.watch(Pod, labels={"app": "web"}, server_timeout=20):
        seen.append(change)
        if pod.metadata.name == pods[0].metadata.name and change == "ADDED":
            client.delete(Pod, pod.metadata.name)
        elif change == "DELETED":
            break
    assert "DELETED" in seen
    client.delete(Deployment, "web")
    with pytest.raises(lightkube.ApiError) as refused:
        client.get(Deployment, "web")
    assert refused.value.status.code == 404


def test_kr8s(config: Path) -> None:
    kr8s = pytest.importorskip("kr8s", reason="kr8s is not installed")
    from kr8s.objects import Deployment

    api = kr8s.api(kubeconfig=str(config))
    assert sorted(node.name for node in api.get("nodes")) == ["node-0", "node-1"]
    body = {**WEB, "metadata": {"name": "kr8s", "namespace": "default"}}
    deployment = Deployment(body, api=api)
    deployment.create()
    deployment.wait("condition=Available", timeout=60)
    deployment.scale(2)
    pods = eventually(lambda: (found := list(deployment.pods())) and len(found) == 2 and found, "two pods")
    assert list(pods[0].logs())
    assert pods[0].ready()
    deployment.label({"touched": "yes"})
    deployment.refresh()
    assert deployment.labels["touched"] == "yes"
    node = next(iter(api.get("nodes", "node-1")))
    node.cordon()
    node.uncordon()
    deployment.delete()
    deployment.wait("delete", timeout=60)
    assert not deployment.exists()
    assert api.version()["gitVersion"].startswith("v1.")


OPERATOR = """
import os
import pathlib

import kopf

from harness.cli.remote import call

@kopf.on.create("greetings.example.com")
def made(spec, name, namespace, body, **_):
    whole = body
    body = {"metadata": {"name": f"{name}-text"}, "data": {"text": spec["text"]}}
    kopf.adopt(body)
    kopf.info(whole, reason="Greeted", message=f"made {name}-text")
    call(pathlib.Path(os.environ["KUBECONFIG"]), "POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
    return {"said": spec["text"]}

@kopf.on.update("greetings.example.com", field="spec.text")
def changed(old, new, **_):
    return {"was": old, "is": new}

@kopf.on.delete("greetings.example.com")
def gone(**_):
    pass
"""

GREETINGS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "greetings.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "greetings", "kind": "Greeting"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"text": {"type": "string"}}},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def test_kopf(config: Path, tmp_path: Path) -> None:
    """An operator: handlers, finalizers, status, events, what it made gone with its owner."""
    pytest.importorskip("kopf", reason="kopf is not installed")
    path = "/apis/example.com/v1/namespaces/default/greetings"

    def got(where: str) -> Any:
        try:
            return json.loads(call(config, "GET", where))
        except UserError:
            return None

    call(config, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", GREETINGS)
    eventually(lambda: got(path), "the kind is served")
    (tmp_path / "greeter.py").write_text(OPERATOR)
    environment = {**os.environ, "KUBECONFIG": str(config), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", "default", "greeter.py"]
    log = tmp_path / "log"
    with log.open("wb") as out:
        operator = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=out)
    try:
        call(config, "POST", path, {"metadata": {"name": "hello"}, "spec": {"text": "good day"}})
        maps = "/api/v1/namespaces/default/configmaps/hello-text"
        eventually(lambda: got(maps), "the operator has made something")
        eventually(lambda: (got(f"{path}/hello") or {}).get("status", {}).get("made"), "and said so")
        assert got(f"{path}/hello")["metadata"]["finalizers"]
        patch = {"spec": {"text": "good night"}}
        call(config, "PATCH", f"{path}/hello", patch, "application/merge-patch+json")
        told = eventually(lambda: got(f"{path}/hello")["status"].get("changed/spec.text"), "it is handled")
        assert told == {"was": "good day", "is": "good night"}
        call(config, "DELETE", f"{path}/hello")
        eventually(lambda: got(f"{path}/hello") is None, "its finalizer is taken away")
        eventually(lambda: got(maps) is None, "what it owned goes with it")
        said = {item["involvedObject"]["kind"] for item in got("/api/v1/events")["items"]}
        assert "Greeting" in said, said
        assert operator.poll() is None, log.read_text()
    except AssertionError:
        print(log.read_text())
        raise
    finally:
        operator.send_signal(signal.SIGTERM)
        operator.wait(STOP_S)
