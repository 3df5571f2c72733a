"""`podyard up` as a user runs it: a whole cluster behind the real kubectl and the official Python client."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.cli.app import app
from harness.cli.remote import call
from harness.model.errors import UserError
from tests.e2e.test_kubectl import WEB, Kubectl, runner

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("up")]
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

START_S, STOP_S, SETTLE_S = 180, 60, 180
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CONFIGURATION = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": "1"}}
"""What the pods of WEB mount."""

ROOT = Path(__file__).parents[2]


@contextmanager
def podyard_up(config: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, until the block ends."""
    command = [
        sys.executable,
        "-c",
        "from harness.cli import main; main()",
        "up",
        "--kubeconfig",
        str(config),
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = config.with_name("up.log")
    with log.open("a") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = first_line(process)
        assert line == f"export KUBECONFIG={config}\n", f"{line!r}\n{log.read_text()}"
        yield process
    finally:
        killed = process.poll() == -signal.SIGKILL  # by the block
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
            raise
    assert killed or code == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def first_line(process: subprocess.Popen[str]) -> str:
    """Bounded: the process is ended when it says nothing."""
    assert process.stdout is not None
    alarm = time.monotonic() + START_S
    os.set_blocking(process.stdout.fileno(), False)
    while time.monotonic() < alarm and process.poll() is None:
        line = process.stdout.readline()
        if line:
            return line
        time.sleep(0.05)
    return ""


def eventually(what: Callable[[], Any], why: str) -> Any:
    deadline = time.monotonic() + SETTLE_S
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"never came: {why}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("up") / "kubeconfig"
    with podyard_up(path, "--nodes", "3", "--time-scale", "4"):
        call(path, "POST", CONFIG_MAPS, CONFIGURATION)
        yield path


@pytest.fixture
def kubectl(config: Path, tmp_path: Path) -> Kubectl:
    return runner(config, tmp_path)


def running(kubectl: Kubectl, selector: str = "app=web") -> dict[str, Any]:
    """Pods that are Running and stay, by name."""
    pods = json.loads(kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
    return {
        pod["metadata"]["name"]: pod
        for pod in pods
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    }


@needs_kubectl
def test_the_life_of_a_deployment(kubectl: Kubectl, config: Path) -> None:
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    eventually(lambda: kubectl("get", "nodes", "--no-headers").count(" Ready ") == 3, "three nodes ready")

    kubectl("delete", "configmap", "web")
    kubectl("apply", "-f", "-", given=WEB)
    told = "MountVolume.SetUp failed for volume"
    eventually(lambda: told in kubectl("events"), "its ConfigMap is missing")
    kubectl("create", "configmap", "web", "--from-literal=a=1")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", f"--timeout={SETTLE_S}s")
    pods = running(kubectl)
    assert len(pods) == 3
    asked = yaml.safe_load(WEB)["spec"]["template"]
    for pod in pods.values():
        assert not list(lost(asked["spec"], pod["spec"])), "a pod carries all that its template says"
        assert pod["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
        assert pod["spec"]["nodeName"]
    found = json.loads(kubectl("get", "deploy", "web", "-o", "json"))
    assert not list(lost(yaml.safe_load(WEB), found))
    assert found["status"]["readyReplicas"] == 3
    assert kubectl("get", "deploy", "web", "--no-headers").split()[:4] == ["web", "3/3", "3", "3"]

    kubectl("scale", "deploy/web", "--replicas=5")
    eventually(lambda: len(running(kubectl)) == 5, "two more pods")
    kubectl("scale", "deploy/web", "--replicas=2")
    eventually(lambda: len(running(kubectl)) == 2, "three pods fewer")

    victim, survivor = sorted(running(kubectl))
    kubectl("delete", "pod", victim, "--wait=true")
    replaced = eventually(lambda: set(running(kubectl)) - {victim, survivor}, "a replacement")
    assert len(replaced) == 1
    assert victim not in running(kubectl)

    kubectl("set", "image", "deploy/web", "web=nginx:2")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", f"--timeout={SETTLE_S}s")
    images = {pod["spec"]["containers"][0]["image"] for pod in running(kubectl).values()}
    assert images == {"nginx:2"}
    kubectl("rollout", "undo", "deploy/web")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", f"--timeout={SETTLE_S}s")
    described = kubectl("describe", "deploy", "web")
    assert "ScalingReplicaSet" in described
    assert "nginx:1.25" in described

    kubectl("delete", "deploy", "web")
    eventually(lambda: "No resources found" in kubectl("get", "rs,pods", "-l", "app=web"), "all of it gone")


def lost(asked: Any, found: Any, path: str = "") -> Iterator[str]:
    """What was asked and did not come back."""
    if isinstance(asked, dict) and isinstance(found, dict):
        for name, value in asked.items():
            yield from lost(value, found.get(name), f"{path}.{name}")
    elif isinstance(asked, list) and isinstance(found, list) and len(asked) <= len(found):
        for index, value in enumerate(asked):
            yield from lost(value, found[index], f"{path}[{index}]")
    elif asked != found:
        yield f"{path}: {asked!r} became {found!r}"


@needs_kubectl
def test_a_pod_that_fits_nowhere_is_told_why(kubectl: Kubectl) -> None:
    big = '{"spec":{"containers":[{"name":"big","image":"x","resources":{"requests":{"cpu":"100"}}}]}}'
    kubectl("run", "big", "--image=x", f"--overrides={big}")
    said = eventually(
        lambda: [
            event["message"]
            for event in json.loads(
                kubectl(
                    "get", "events", "--field-selector", "involvedObject.name=big,reason=FailedScheduling", "-o", "json"
                )
            )["items"]
        ],
        "a FailedScheduling event",
    )
    assert said[0].startswith("0/3 nodes are available: 3 Insufficient cpu")
    assert "FailedScheduling" in kubectl("describe", "pod", "big")
    assert kubectl("get", "pod", "big", "--no-headers").split()[2] == "Pending"
    kubectl("delete", "pod", "big")


@needs_kubectl
def test_prometheus_can_scrape_the_scheduler(kubectl: Kubectl) -> None:
    text = kubectl("get", "--raw", "/metrics")
    assert 'scheduler_pending_pods{queue="active"} ' in text
    assert "# TYPE scheduler_schedule_attempts_total counter" in text


@needs_kubectl
def test_drain_moves_pods_to_other_nodes(kubectl: Kubectl) -> None:
    kubectl(
        "apply",
        "-f",
        "-",
        given=WEB.replace("name: web\n  labels", "name: moved\n  labels").replace("app: web", "app: moved"),
    )
    eventually(lambda: len(running(kubectl, "app=moved")) == 3, "three pods")
    node = next(iter(running(kubectl, "app=moved").values()))["spec"]["nodeName"]
    kubectl("drain", node, "--force", "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={SETTLE_S}s")
    assert "SchedulingDisabled" in kubectl("get", "node", node)
    eventually(
        lambda: (
            len(pods := running(kubectl, "app=moved")) == 3
            and all(pod["spec"]["nodeName"] != node for pod in pods.values())
        ),
        "the pods on other nodes",
    )
    kubectl("uncordon", node)
    kubectl("delete", "deploy", "moved")


@needs_kubectl
def test_a_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given="apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n")
    kubectl("apply", "-n", "team", "-f", "-", given=WEB)
    eventually(lambda: kubectl("get", "pods", "-n", "team", "-o", "name").count("pod/") == 3, "pods of the team")
    kubectl("delete", "namespace", "team", f"--timeout={SETTLE_S}s")
    kubectl("get", "namespace", "team", code=1)
    assert "No resources found" in kubectl("get", "all", "-n", "team")


def test_the_python_client_sees_a_replacement(config: Path) -> None:
    kubernetes = pytest.importorskip("kubernetes", reason="the Python client is not installed")
    api = kubernetes.config.new_client_from_config(config_file=str(config))
    core = kubernetes.client.CoreV1Api(api)
    manifest = yaml.safe_load(WEB.replace("app: web", "app: seen"))
    manifest["metadata"]["name"] = "seen"
    apps = kubernetes.client.AppsV1Api(api)
    apps.create_namespaced_deployment("default", manifest)

    def ready() -> list[str]:
        pods = core.list_namespaced_pod("default", label_selector="app=seen").items
        return sorted(
            pod.metadata.name
            for pod in pods
            if pod.metadata.deletion_timestamp is None
            and any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions or [])
        )

    eventually(lambda: len(ready()) == 3, "three ready pods")
    victim = ready()[0]
    revision = core.list_namespaced_pod("default", label_selector="app=seen").metadata.resource_version
    core.delete_namespaced_pod(victim, "default")
    kinds = []
    follow = kubernetes.watch.Watch()
    for event in follow.stream(
        core.list_namespaced_pod,
        "default",
        label_selector="app=seen",
        resource_version=revision,
        timeout_seconds=SETTLE_S,
    ):
        kinds.append((event["type"], event["object"].metadata.name))
        if any(kind == "ADDED" for kind, _ in kinds) and ("DELETED", victim) in kinds:
            follow.stop()
    assert ("DELETED", victim) in kinds
    assert any(kind == "ADDED" and name != victim for kind, name in kinds)
    eventually(lambda: len(ready()) == 3 and victim not in ready(), "three ready pods again")
    apps.delete_namespaced_deployment("seen", "default")
    eventually(lambda: not core.list_namespaced_pod("default", label_selector="app=seen").items, "all gone")


@needs_kubectl
def test_a_durable_cluster_is_found_as_it_was_left(tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    options = ("--nodes", "2", "--store", f"sqlite:{tmp_path / 'cluster.db'}", "--time-scale", "4")
    kubectl = runner(config, tmp_path)
    with podyard_up(config, *options):
        kubectl("create", "configmap", "web", "--from-literal=a=1")
        kubectl("apply", "-f", "-", given=WEB)
        eventually(lambda: len(running(kubectl)) == 3, "three pods")
        before = json.loads(kubectl("get", "deploy", "web", "-o", "json"))
    with podyard_up(config, *options):
        after = json.loads(kubectl("get", "deploy", "web", "-o", "json"))
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["metadata"]["creationTimestamp"] == before["metadata"]["creationTimestamp"]
        assert after["spec"] == before["spec"]
        eventually(lambda: len(running(kubectl)) == 3, "three pods again")
        kubectl("scale", "deploy/web", "--replicas=4")
        eventually(lambda: len(running(kubectl)) == 4, "a fourth pod")


def test_a_killed_cluster_is_the_same_to_its_clients(tmp_path: Path) -> None:
    kubernetes = pytest.importorskip("kubernetes", reason="the Python client is not installed")
    config, store = tmp_path / "kubeconfig", tmp_path / "cluster.db"
    options = ("--nodes", "1", "--store", f"sqlite:{store}")

    def name_space(name: str) -> Any:
        return kubernetes.client.V1Namespace(metadata=kubernetes.client.V1ObjectMeta(name=name))

    with podyard_up(config, *options) as first:
        core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(config_file=str(config)))
        core.create_namespace(name_space("kept"))
        asked = kubernetes.client.AuthenticationV1TokenRequest(
            spec=kubernetes.client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600)
        )
        token = core.create_namespaced_service_account_token("default", "kept", asked).status.token
        given = config.read_bytes()
        first.kill()
        first.wait(STOP_S)
    assert stat.S_IMODE(store.with_name("cluster.db-identity").stat().st_mode) == 0o600
    with podyard_up(config, *options):
        assert config.read_bytes() == given
        assert core.read_namespace("kept").status.phase == "Active"
        settings = kubernetes.client.Configuration(host=core.api_client.configuration.host)
        settings.ssl_ca_cert = core.api_client.configuration.ssl_ca_cert
        settings.api_key = {"authorization": f"Bearer {token}"}
        own = kubernetes.client.ApiClient(settings)
        review = kubernetes.client.AuthenticationV1Api(own).create_self_subject_review({})
        assert review.status.user_info.username == "system:serviceaccount:kept:default"
        for wanted, told in ((options, "the store is in use"), ((), "another cluster's")):
            assert told in refused(config, *wanted)
        assert config.read_bytes() == given


def refused(config: Path, *options: str) -> str:
    """What `podyard up` says when it is a mistake to ask for it: told before it has a thread or a socket, so that it
    needs no process of its own."""
    done = CliRunner().invoke(app, ["up", "--kubeconfig", str(config), *options])
    assert isinstance(done.exception, UserError)
    assert done.exception.exit_code == 2
    assert not done.stdout
    return str(done.exception)
