"""What a pod names: its ServiceAccount with the token, its RuntimeClass with overhead and nodes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.objects import from_wire, to_wire
from harness.model.status import ApiError
from tests.controllers.test_statefulset import Story

CONTAINERS = [{"name": "c", "image": "busybox"}]


def pod(name: str, **spec: Any) -> dict[str, Any]:
    body = {"containers": CONTAINERS, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": body}


def runtime_class(**more: Any) -> Any:
    body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "kata"}, "handler": "kata"}
    return from_wire({**body, **more})


def test_a_runtime_class_adds_its_overhead_and_its_nodes() -> None:
    server = Story(0).server
    toleration = {"key": "kata", "operator": "Exists", "effect": "NoSchedule"}
    scheduling = {"nodeSelector": {"runtime": "kata"}, "tolerations": [toleration]}
    overhead = {"podFixed": {"cpu": "250m", "memory": "120Mi"}}
    first = server.create(from_wire(pod("before", runtimeClassName="kata")))
    assert not first.spec.overhead, "a run's manifests may leave the class out"
    server.create(runtime_class(overhead=overhead, scheduling=scheduling))
    made = to_wire(server.create(from_wire(pod("after", runtimeClassName="kata"))))["spec"]
    assert made["overhead"] == {"cpu": "250m", "memory": "120Mi"}
    assert made["nodeSelector"] == {"runtime": "kata"}
    assert toleration in made["tolerations"]
    with pytest.raises(ApiError, match=r"conflict: runtimeClass.scheduling.nodeSelector"):
        server.create(from_wire(pod("other", runtimeClassName="kata", nodeSelector={"runtime": "runc"})))
    with pytest.raises(ApiError, match="doesn't match RuntimeClass's defined Overhead"):
        server.create(from_wire(pod("more", runtimeClassName="kata", overhead={"cpu": "1"})))


@pytest.fixture
def serving() -> Any:
    server = Story(0).server
    server.admission.serve_clients()
    for name in ("default", "quiet"):
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}
        more = {"automountServiceAccountToken": False} if name == "quiet" else {"imagePullSecrets": [{"name": "pull"}]}
        server.create(from_wire({**body, **more}))
    return server


def test_a_pod_runs_as_the_default_account_with_its_token_mounted(serving: Any) -> None:
    first, second = (serving.create(from_wire(pod(name))) for name in ("a", "b"))
    spec = to_wire(first)["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"], spec["enableServiceLinks"]) == ("default",) * 2 + (
        True,
    )
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    (volume,) = spec["volumes"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["name"].startswith("kube-api-access-")
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    shared = from_wire(pod("c"))
    twins = [serving.create(from_wire(pod(name)).__class__(metadata=shared.metadata.__class__(name=name, namespace="default"), spec=shared.spec)) for name in ("d", "e")]  # fmt: skip  # noqa: E501
    assert twins[0].spec is twins[1].spec, "pods of one template go on sharing one spec"
    assert second.spec == first.spec


def test_what_was_completed_once_is_not_completed_again(serving: Any) -> None:
    made = serving.create(from_wire(pod("a")))
    body = to_wire(made)["spec"]
    again = to_wire(serving.create(from_wire({**pod("b"), "spec": body})))["spec"]
    assert again == body


def test_no_token_where_the_pod_or_its_account_wants_none(serving: Any) -> None:
    for name, spec in (("a", {"automountServiceAccountToken": False}), ("b", {"serviceAccountName": "quiet"})):
        assert "volumes" not in to_wire(serving.create(from_wire(pod(name, **spec))))["spec"]
    wanted = serving.create(from_wire(pod("c", serviceAccountName="quiet", automountServiceAccountToken=True)))
    assert to_wire(wanted)["spec"]["volumes"]


def test_what_is_not_there_is_refused_by_name(serving: Any) -> None:
    with pytest.raises(ApiError, match=r'error looking up service account default/ghost: serviceaccount "ghost" not'):
        serving.create(from_wire(pod("a", serviceAccountName="ghost")))
    with pytest.raises(ApiError, match='pod rejected: RuntimeClass "ghost" not found'):
        serving.create(from_wire(pod("a", runtimeClassName="ghost")))
