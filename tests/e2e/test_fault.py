"""podyard fault against podyard up: broken on demand, told, measured, undone; only by who may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.remote import call
from harness.model.errors import UserError
from tests.e2e.test_up import eventually, podyard_up

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("up")]

WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m"}}}]},
        },
    },
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("up") / "config"
    with podyard_up(path, "--nodes", "3", "--time-scale", "120"):
        call(path, "POST", "/apis/apps/v1/namespaces/default/deployments", WEB)
        eventually(lambda: len(running(path)) == 3, "the pods run")
        yield path


def got(config: Path, path: str) -> Any:
    return json.loads(call(config, "GET", path))


def running(config: Path) -> list[Any]:
    pods = got(config, "/api/v1/namespaces/default/pods?labelSelector=app%3Dweb")["items"]
    return [
        pod for pod in pods if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def podyard(config: Path, *words: str, code: int = 0) -> str:
    found = CliRunner().invoke(app, ["fault", *words, "--kubeconfig", str(config)])
    assert found.exit_code == code, (found.output, found.exception)
    return found.stdout


def refused(config: Path, *words: str) -> str:
    found = CliRunner().invoke(app, ["fault", *words, "--kubeconfig", str(config)])
    assert isinstance(found.exception, UserError), found.output
    return str(found.exception)


def test_a_node_loses_power_and_its_pods_come_back(config: Path) -> None:
    """Each victim's way back is measured as in a run: detected, evicted, recreated, running."""
    node = running(config)[0]["spec"]["nodeName"]
    on_it = sum(pod["spec"]["nodeName"] == node for pod in running(config))
    told = podyard(config, "node-crash", "--node", node, "--for", "10m", "--wait", "60", "--as", "crash", "-o", "json")
    (fault,) = json.loads(told)
    assert (fault["phase"], fault["target"], fault["recovered"]) == ("Ended", node, f"{on_it}/{on_it}")
    phases = fault["recovery"]["phases"]
    assert 40 <= phases["detected"]["last"] <= 60
    assert phases["detected"]["last"] < phases["evicted"]["last"] <= phases["running"]["last"] < 600
    events = got(config, "/api/v1/events?fieldSelector=involvedObject.kind%3DFault")["items"]
    said = [item["reason"] for item in events if item["involvedObject"]["name"] == "crash"]
    assert said == ["FaultInjected", "FaultEnded"]


def test_it_is_undone(config: Path) -> None:
    podyard(config, "scheduler-outage", "--down-for", "9h", "--as", "outage")
    call(
        config,
        "PATCH",
        "/apis/apps/v1/namespaces/default/deployments/web",
        {"spec": {"replicas": 5}},
        "application/merge-patch+json",
    )
    eventually(lambda: got(config, "/apis/apps/v1/namespaces/default/deployments/web")["status"]["replicas"] == 5, "5")
    assert len(running(config)) == 3
    podyard(config, "undo", "outage")
    eventually(lambda: len(running(config)) == 5, "somebody schedules again")
    assert "Undone" in podyard(config, "list")
    assert "does not last" in refused(config, "undo", "outage")


def test_nobody_answers_while_the_api_server_is_away(config: Path) -> None:
    podyard(config, "api-server-restart", "--down-for", "3m", "--as", "away")
    seen = []

    def back() -> bool:
        try:
            got(config, "/api/v1/nodes")
        except UserError as error:
            seen.append(str(error))
            return False
        return True

    eventually(back, "it is back")
    eventually(lambda: got(config, "/apis/podyard.dev/v1/faults/away")["status"]["phase"] == "Ended", "it is told")
    eventually(lambda: len(running(config)) >= 3, "all is as before")


def test_a_fault_is_an_object_like_any_other(config: Path) -> None:
    """kubectl can make one; what is not understood is told in its status."""
    body = {"metadata": {"name": "wrong"}, "spec": {"nodeCrash": {"downfor": "3s"}}}
    call(config, "POST", "/apis/podyard.dev/v1/faults", body)
    status = eventually(lambda: got(config, "/apis/podyard.dev/v1/faults/wrong").get("status"), "it is told")
    assert status["phase"] == "Refused"
    assert "downfor" in status["message"]
    freeze = {"metadata": {"name": "cold"}, "spec": {"nodeFreeze": {"for": "5h", "select": {"names": ["node-0"]}}}}
    call(config, "POST", "/apis/podyard.dev/v1/faults", freeze)

    def ready() -> str:
        conditions = got(config, "/api/v1/nodes/node-0")["status"]["conditions"]
        return str(next(item["status"] for item in conditions if item["type"] == "Ready"))

    eventually(lambda: ready() == "Unknown", "it stands still")
    call(config, "DELETE", "/apis/podyard.dev/v1/faults/cold")
    eventually(lambda: ready() == "True", "a fault that is deleted ends")


def test_who_may_not_create_faults_breaks_nothing(config: Path) -> None:
    """Rights to faults are RBAC's, as to any kind: an editor of every namespace has none."""
    review = {"spec": {"user": "eve", "groups": [], "resourceAttributes": {"verb": "create", "group": "podyard.dev"}}}
    review["spec"]["resourceAttributes"]["resource"] = "faults"  # type: ignore[index]
    binding = {
        "metadata": {"name": "eve"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}],
    }
    call(config, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert json.loads(call(config, "POST", path, review))["status"]["allowed"] is False
    role = {
        "metadata": {"name": "breaker"},
        "rules": [{"apiGroups": ["podyard.dev"], "resources": ["faults"], "verbs": ["create", "get"]}],
    }
    call(config, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
    binding["metadata"] = {"name": "breaker"}
    binding["roleRef"]["name"] = "breaker"  # type: ignore[index]
    call(config, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    assert json.loads(call(config, "POST", path, review))["status"]["allowed"] is True


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nod-crash",), "did you mean 'node-crash'"),
        (("node-crash", "--nod", "x"), "did you mean 'node'"),
        (("node-crash", "--for", "soon"), "soon"),
        (("node-freeze", "--node", "x"), "for"),
        (("pod-deletion", "--app", "web", "--count", "0"), ">= 1"),
        (("object-change", "--kind", "Nod", "--name", "x", "--patch", "{}"), "Node"),
        (("undo",), "which fault?"),
        (("undo", "nobody"), "not found"),
    ],
)
def test_what_is_wrong_is_told_before_anything_breaks(config: Path, words: tuple[str, ...], told: str) -> None:
    assert told in refused(config, *words)
