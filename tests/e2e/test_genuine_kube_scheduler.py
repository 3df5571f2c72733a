"""A kube-scheduler binary, where one is installed: it attaches, and schedules what only it knows how to."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from tests.e2e.test_kubectl import Kubectl, runner
from tests.e2e.test_up import eventually, podyard_up

SCHEDULER = shutil.which("kube-scheduler")
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.xdist_group("kube-scheduler"),
    pytest.mark.skipif(SCHEDULER is None, reason="kube-scheduler is not installed"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kubectl, Path]]:
    folder = tmp_path_factory.mktemp("genuine")
    config, log = folder / "config", folder / "scheduler.log"
    assert SCHEDULER is not None
    with podyard_up(config, "--nodes", "2", "--cpu", "2", "--scheduler", "none"), log.open("w") as errors:
        where = [f"--{name}kubeconfig={config}" for name in ("", "authentication-", "authorization-")]
        process = subprocess.Popen([SCHEDULER, *where, "--secure-port=0"], stdout=errors, stderr=errors)
        try:
            yield runner(config, folder), log
            wrong = [line for line in log.read_text().splitlines() if line.startswith("E")]
        finally:
            process.terminate()
            process.wait(30)
    assert not wrong, wrong[:5]


def manifest(kind: str, name: str, spec: dict[str, Any], version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec, **more}


def apply(kubectl: Kubectl, *objects: dict[str, Any]) -> None:
    kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def pod(name: str, cpu: str = "100m", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "nginx", "resources": {"requests": {"cpu": cpu}}, **spec.pop("container", {})}
    return manifest("Pod", name, {"containers": [container], **spec})


def phase(kubectl: Kubectl, name: str) -> str:
    return kubectl("get", "pod", name, "--ignore-not-found", "-o", "jsonpath={.status.phase}")


def test_pods_run_and_one_that_fits_nowhere_is_told_why(cluster: tuple[Kubectl, Path]) -> None:
    kubectl, _ = cluster
    apply(kubectl, pod("small"), pod("big", "8"))
    eventually(lambda: phase(kubectl, "small") == "Running", "the small one runs")
    why = '-o=jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}'
    told = eventually(lambda: kubectl("get", "pod", "big", why), "why the big one does not")
    assert told.startswith("0/2 nodes are available: 2 Insufficient cpu.")
    eventually(lambda: "FailedScheduling" in kubectl("get", "events"), "its event")
    kubectl("delete", "pod", "small", "big")


def test_a_pod_of_higher_priority_takes_a_place(cluster: tuple[Kubectl, Path]) -> None:
    kubectl, _ = cluster
    apply(kubectl, *(pod(f"low-{i}", "1500m") for i in range(2)))
    eventually(lambda: all(phase(kubectl, f"low-{i}") == "Running" for i in range(2)), "both run")
    apply(kubectl, pod("high", "1500m", priorityClassName="system-node-critical"))
    eventually(lambda: phase(kubectl, "high") == "Running", "it runs in a victim's place")
    assert sorted(phase(kubectl, f"low-{i}") for i in range(2)) == ["", "Running"]
    kubectl("delete", "pod", "--all")


def test_a_volume_is_made_where_its_pod_goes(cluster: tuple[Kubectl, Path]) -> None:
    kubectl, _ = cluster
    late = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volume = {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}
    apply(
        kubectl,
        {**late, "provisioner": "disks.example.com", "volumeBindingMode": "WaitForFirstConsumer"},
        manifest("PersistentVolumeClaim", "data", {**claim, "storageClassName": "late"}),
        pod("db", volumes=[volume]),
    )
    eventually(lambda: phase(kubectl, "db") == "Running", "it runs with its volume")
    assert "Bound" in kubectl("get", "pvc", "data")
    kubectl("delete", "pod", "db")


def test_devices_are_claimed_by_template_and_freed(cluster: tuple[Kubectl, Path]) -> None:
    kubectl, _ = cluster
    version = "resource.k8s.io/v1"
    devices = {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}
    pool = {"name": "node-1", "generation": 1, "resourceSliceCount": 1}
    has = {"driver": "gpu.example.com", "nodeName": "node-1", "pool": pool, "devices": [{"name": "gpu-0"}]}
    of_driver = [{"cel": {"expression": "device.driver == 'gpu.example.com'"}}]
    wants: dict[str, Any] = {
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one"}],
        "container": {"resources": {"claims": [{"name": "gpu"}]}},
    }
    apply(
        kubectl,
        manifest("DeviceClass", "gpu.example.com", {"selectors": of_driver}, version),
        manifest("ResourceSlice", "node-1-gpus", has, version),
        manifest("ResourceClaimTemplate", "one", {"spec": {"devices": devices}}, version),
        pod("first", **wants),
    )
    eventually(lambda: phase(kubectl, "first") == "Running", "it has the device")
    assert kubectl("get", "pod", "first", "-o", "jsonpath={.spec.nodeName}") == "node-1"
    apply(kubectl, pod("second", **wants))
    eventually(lambda: "cannot allocate all claims" in kubectl("describe", "pod", "second"), "there is one device")
    kubectl("delete", "pod", "first")
    eventually(lambda: phase(kubectl, "second") == "Running", "the device is free again")
    kubectl("delete", "pod", "second")
    eventually(lambda: "No resources" in kubectl("get", "resourceclaims"), "claims go with their pods")
