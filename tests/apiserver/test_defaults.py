"""What the API server fills in, and that pods of one template keep sharing what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.http.auth import kubeconfig
from harness.apiserver.server import ApiServer
from harness.model.errors import UserError
from harness.model.meta import ObjectMeta
from harness.model.objects import Pod, from_wire, to_wire
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore


def server() -> ApiServer:
    return ApiServer(MemoryStore(ObjectCodec()))


def created(manifest: dict[str, Any], on: ApiServer | None = None) -> dict[str, Any]:
    return to_wire((on or server()).create(from_wire(manifest)))


def test_pods_of_one_template_share_one_spec() -> None:
    """What makes a pod cost microseconds: nothing of a shared spec is made twice."""
    on = server()
    template = from_wire(
        {"kind": "Pod", "metadata": {"name": "t"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    pods = [
        on.create(Pod(metadata=ObjectMeta(name=f"p{i}", namespace="default"), spec=template.spec)) for i in range(3)
    ]
    assert pods[0].spec is pods[1].spec is pods[2].spec
    assert pods[0].spec is not template.spec


def test_a_priority_class_made_later_counts_for_later_pods() -> None:
    on = server()
    spec = from_wire(
        {"kind": "Pod", "metadata": {"name": "t"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    ).spec
    first = on.create(Pod(metadata=ObjectMeta(name="a", namespace="default"), spec=spec))
    on.create(from_wire({"kind": "PriorityClass", "metadata": {"name": "high"}, "value": 7, "globalDefault": True}))
    second = on.create(Pod(metadata=ObjectMeta(name="b", namespace="default"), spec=spec))
    assert (first.spec.priority, second.spec.priority, second.spec.priority_class_name) == (0, 7, "high")


@pytest.mark.parametrize(
    ("image", "policy"),
    [("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1", "IfNotPresent"), ("r:5000/nginx", "Always"),
     ("nginx@sha256:00", "IfNotPresent")],
)  # fmt: skip
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    pod = created({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": image}]}})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_requests_follow_limits_and_ports_the_hosts() -> None:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "2"}}}
    spec = {"hostNetwork": True, "containers": [container]}
    found = created({"kind": "Pod", "metadata": {"name": "p"}, "spec": spec})["spec"]["containers"][0]
    assert found["resources"]["requests"] == {"cpu": "2"}
    assert found["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


def test_a_namespace_can_be_selected_by_its_name() -> None:
    made = created({"kind": "Namespace", "metadata": {"name": "team"}})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    assert made["spec"]["finalizers"] == ["kubernetes"]


def test_a_job_selects_its_own_pods_alone() -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    on = server()
    jobs = [created({"kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}, on) for name in "ab"]
    for job in jobs:
        selector = job["spec"]["selector"]["matchLabels"]
        assert selector == {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert selector.items() <= labels.items()
        assert labels["job-name"] == job["metadata"]["name"]


def test_secrets_are_written_in_text_and_kept_encoded() -> None:
    made = created({"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}})
    assert made["data"] == {"a": "Yg==", "c": "ZA=="}
    assert "stringData" not in made


pieces = st.fixed_dictionaries(
    {},
    optional={
        "restartPolicy": st.sampled_from(["Always", "OnFailure", "Never"]),
        "terminationGracePeriodSeconds": st.integers(0, 90),
        "priorityClassName": st.just("system-node-critical"),
        "hostNetwork": st.booleans(),
        "tolerations": st.just([{"operator": "Exists"}]),
        "volumes": st.sampled_from([[{"name": "v"}], [{"name": "v", "secret": {"secretName": "s"}}]]),
        "nodeSelector": st.just({"a": "b"}),
    },
)


@given(pieces, st.booleans())
def test_defaults_are_stable_and_take_nothing_away(spec: dict[str, Any], probe: bool) -> None:
    """Writing back what was read changes nothing, and what was asked for is there."""
    container: dict[str, Any] = {"name": "c", "image": "i"}
    if probe:
        container["livenessProbe"] = {"httpGet": {"port": 80}}
    on = server()
    asked = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {**spec, "containers": [container]}}
    made = on.create(from_wire(asked))
    again = on.update(from_wire(to_wire(made)))
    assert again is made
    found = to_wire(made)["spec"]
    for name, value in spec.items():
        if name in ("tolerations", "volumes"):
            assert len(found[name]) >= len(value)
        else:
            assert found[name] == value


def test_the_kubeconfig_never_replaces_somebody_elses(tmp_path: Path) -> None:
    path = tmp_path / "config"
    ours = kubeconfig.kubeconfig("https://127.0.0.1:1", b"pem", "token")
    kubeconfig.write(path, ours)
    kubeconfig.write(path, ours)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("apiVersion: v1\nclusters: [{name: production}]\n")
    with pytest.raises(UserError, match="somebody else's"):
        kubeconfig.write(path, ours)
    assert "production" in path.read_text()
    assert list(tmp_path.iterdir()) == [path], "nothing is left lying about"
