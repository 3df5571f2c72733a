"""The official Python client, unmodified: what its users' programs do all day."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")
pytest.importorskip("kubernetes", reason="the Python client is not installed")

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException

from tests.apiserver.live import Live, live

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("python-client")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster: Live, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = cluster.write_kubeconfig(tmp_path_factory.mktemp("client") / "kubeconfig")
    return config.new_client_from_config(config_file=str(path))


def pod(name: str, **labels: str) -> Any:
    container = client.V1Container(
        name="c",
        image="busybox",
        env=[client.V1EnvVar(name="A", value="1")],
        liveness_probe=client.V1Probe(_exec=client.V1ExecAction(command=["true"])),
        volume_mounts=[client.V1VolumeMount(name="v", mount_path="/v")],
    )
    volume = client.V1Volume(name="v", empty_dir=client.V1EmptyDirVolumeSource(medium="Memory"))
    spec = client.V1PodSpec(containers=[container], volumes=[volume])
    return client.V1Pod(metadata=client.V1ObjectMeta(name=name, labels=labels), spec=spec)


def test_pods_come_and_go(api: Any) -> None:
    core = client.CoreV1Api(api)
    made = core.create_namespaced_pod("default", pod("p", app="a"))
    assert made.status.phase == "Pending"
    assert made.spec.volumes[0].empty_dir.medium == "Memory"
    assert made.spec.containers[0].liveness_probe._exec.command == ["true"]
    found = core.list_namespaced_pod("default", label_selector="app=a", limit=10)
    assert [item.metadata.name for item in found.items] == ["p"]
    core.patch_namespaced_pod("p", "default", {"metadata": {"labels": {"app": None, "b": "c"}}})
    assert core.read_namespaced_pod("p", "default").metadata.labels == {"b": "c"}
    core.delete_namespaced_pod("p", "default")
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_pod("p", "default")
    assert gone.value.status == 404


def test_deployments_scale_and_conflict(api: Any) -> None:
    apps = client.AppsV1Api(api)
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "d"}),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="i")]),
    )
    selector = client.V1LabelSelector(match_labels={"app": "d"})
    spec = client.V1DeploymentSpec(replicas=2, selector=selector, template=template)
    made = apps.create_namespaced_deployment(
        "default", client.V1Deployment(metadata=client.V1ObjectMeta(name="d"), spec=spec)
    )
    assert made.spec.strategy.rolling_update.max_surge == "25%"
    scale = apps.patch_namespaced_deployment_scale("d", "default", {"spec": {"replicas": 5}})
    assert scale.spec.replicas == 5
    with pytest.raises(ApiException) as conflict:
        apps.replace_namespaced_deployment("d", "default", made)
    assert conflict.value.status == 409
    with pytest.raises(ApiException) as invalid:
        apps.patch_namespaced_deployment("d", "default", {"spec": {"replicas": -1}})
    assert invalid.value.status == 422
    apps.delete_namespaced_deployment("d", "default")


def test_a_watch_follows_what_happens(api: Any) -> None:
    core = client.CoreV1Api(api)
    start = core.list_namespaced_pod("default").metadata.resource_version
    seen: list[tuple[str, str]] = []
    ready = threading.Event()

    def follow() -> None:
        ready.set()
        for event in watch.Watch().stream(
            core.list_namespaced_pod, "default", resource_version=start, timeout_seconds=10
        ):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                return

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    assert ready.wait(5)
    core.create_namespaced_pod("default", pod("w"))
    core.patch_namespaced_pod("w", "default", {"metadata": {"labels": {"x": "y"}}})
    core.delete_namespaced_pod("w", "default")
    follower.join(15)
    assert seen == [("ADDED", "w"), ("MODIFIED", "w"), ("DELETED", "w")]


def test_a_watch_too_far_back_raises_410(api: Any, cluster: Live) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c")))
    cluster.driver_queue.submit(lambda server: server.compact()).result(10)
    with pytest.raises(ApiException) as expired:
        list(watch.Watch().stream(core.list_namespaced_config_map, "default", resource_version="1", timeout_seconds=5))
    assert expired.value.status == 410


def test_binding_cordon_and_eviction(api: Any) -> None:
    core = client.CoreV1Api(api)
    core.create_node(client.V1Node(metadata=client.V1ObjectMeta(name="n")))
    core.patch_node("n", {"spec": {"unschedulable": True, "taints": [{"key": "a", "effect": "NoSchedule"}]}})
    assert core.read_node("n").spec.taints[0].effect == "NoSchedule"
    core.create_namespaced_pod("default", pod("b"))
    binding = client.V1Binding(
        metadata=client.V1ObjectMeta(name="b"), target=client.V1ObjectReference(kind="Node", name="n")
    )
    core.create_namespaced_pod_binding("b", "default", binding, _preload_content=False)
    assert core.read_namespaced_pod("b", "default").spec.node_name == "n"
    on_node = core.list_pod_for_all_namespaces(field_selector="spec.nodeName=n")
    assert [item.metadata.name for item in on_node.items] == ["b"]
    options = client.V1DeleteOptions(grace_period_seconds=0)
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="b"), delete_options=options)
    core.create_namespaced_pod_eviction("b", "default", eviction)
    assert not core.list_pod_for_all_namespaces(field_selector="spec.nodeName=n").items
    core.delete_node("n")


def test_every_kind_that_is_listed_decodes(api: Any) -> None:
    """Fields that the client insists on are there, even when they are zero."""
    scheduling = client.SchedulingV1Api(api)
    low = client.V1PriorityClass(metadata=client.V1ObjectMeta(name="zero"), value=0)
    scheduling.create_priority_class(low)
    assert scheduling.read_priority_class("zero").value == 0
    discovery = client.DiscoveryV1Api(api)
    slices = client.V1EndpointSlice(metadata=client.V1ObjectMeta(name="e"), address_type="IPv4", endpoints=[])
    discovery.create_namespaced_endpoint_slice("default", slices)
    assert discovery.list_namespaced_endpoint_slice("default").items[0].endpoints == []
    policy = client.PolicyV1Api(api)
    budget = client.V1PodDisruptionBudget(
        metadata=client.V1ObjectMeta(name="b"), spec=client.V1PodDisruptionBudgetSpec(min_available=1)
    )
    assert policy.create_namespaced_pod_disruption_budget("default", budget).status.disruptions_allowed == 0
    scaling = client.AutoscalingV2Api(api)
    target = client.V2CrossVersionObjectReference(kind="Deployment", name="d", api_version="apps/v1")
    scaler = client.V2HorizontalPodAutoscaler(
        metadata=client.V1ObjectMeta(name="h"),
        spec=client.V2HorizontalPodAutoscalerSpec(max_replicas=3, scale_target_ref=target),
    )
    made = scaling.create_namespaced_horizontal_pod_autoscaler("default", scaler)
    assert made.spec.metrics[0].resource.target.average_utilization == 80
    assert made.status.desired_replicas == 0
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(name="e"),
        involved_object=client.V1ObjectReference(kind="Pod", name="p", namespace="default"),
        reason="Tested",
    )
    client.CoreV1Api(api).create_namespaced_event("default", event)
    assert client.CoreV1Api(api).list_namespaced_event("default").items[0].reason == "Tested"


def test_manifests_and_the_dynamic_client(api: Any) -> None:
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "default"},
        "spec": {"podSelector": {}},
    }
    utils.create_from_dict(api, manifest)
    policies = dynamic.DynamicClient(api).resources.get(api_version="networking.k8s.io/v1", kind="NetworkPolicy")
    found = policies.get(name="deny", namespace="default")
    assert found.spec.podSelector.to_dict() == {}
    assert found.spec.policyTypes == ["Ingress"]
    policies.delete(name="deny", namespace="default")
