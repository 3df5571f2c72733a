"""ResourceQuota and LimitRange: what they let in, what they say, and what makes room again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.apiserver.kinds import usage_of
from harness.controllers.policy.resource_quota import ResourceQuotaController
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.model.objects import from_wire, to_wire
from harness.model.status import ApiError
from tests.controllers.rig import Rig
from tests.examples import examples


def quota(hard: dict[str, str], name: str = "q", **spec: Any) -> Any:
    meta = {"name": name, "namespace": "default"}
    return from_wire({"kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard, **spec}})


def pod(name: str, requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **spec: Any) -> Any:
    container = {"name": "c", "image": "i", "resources": {"requests": requests or {}, "limits": limits or {}}}
    meta = {"name": name, "namespace": "default"}
    return from_wire({"kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}})


@pytest.fixture
def rig() -> Rig:
    return Rig(ResourceQuotaController(), ReplicaSetController())


def used(rig: Rig, name: str = "q") -> dict[str, str]:
    status: dict[str, str] = to_wire(rig.server.get("ResourceQuota", "default", name))["status"]["used"]
    return status


def refusal(rig: Rig, obj: Any) -> str:
    with pytest.raises(ApiError) as caught:
        rig.server.create(obj)
    assert caught.value.code == 403
    return caught.value.message


def settle(rig: Rig, seconds: float = 1) -> None:
    rig.api.flush(rig.loop.now)
    rig.run(seconds)


def test_what_comes_is_charged_and_too_much_is_forbidden_in_kubernetes_words(rig: Rig) -> None:
    rig.server.create(quota({"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi"}))
    settle(rig)
    assert used(rig) == {"pods": "0", "requests.cpu": "0", "limits.memory": "0"}
    rig.server.create(pod("a", {"cpu": "600m"}, {"memory": "512Mi"}))
    assert used(rig) == {"pods": "1", "requests.cpu": "600m", "limits.memory": "512Mi"}
    message = 'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, '
    assert refusal(rig, pod("b", {"cpu": "600m"}, {"memory": "1Mi"})) == message + "limited: requests.cpu=1"
    message = 'pods "b" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c'
    assert refusal(rig, pod("b")) == message
    settle(rig)
    assert used(rig) == {"pods": "1", "requests.cpu": "600m", "limits.memory": "512Mi"}


def test_nothing_is_let_in_before_the_quota_is_counted(rig: Rig) -> None:
    rig.server.create(pod("there", {"cpu": "1"}))
    rig.server.create(quota({"pods": "2"}))
    rig.server.create(pod("early"))  # the quota's status is empty: Kubernetes does not hold it against anybody yet
    settle(rig)
    assert used(rig) == {"pods": "2"}
    assert "exceeded quota" in refusal(rig, pod("late"))


def test_what_goes_or_ends_makes_room(rig: Rig) -> None:
    rig.server.create(quota({"pods": "1", "count/pods": "5"}))
    settle(rig)
    rig.server.create(pod("a"))
    assert "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1" in refusal(rig, pod("b"))
    rig.server.delete("Pod", "default", "a")
    settle(rig)
    assert used(rig) == {"pods": "0", "count/pods": "0"}
    done = rig.server.create(pod("b"))
    ended = to_wire(done)
    ended["status"] = {**ended["status"], "phase": "Succeeded"}
    rig.server.patch_status(from_wire(ended))
    settle(rig)
    assert used(rig) == {"pods": "0", "count/pods": "1"}


def test_a_replica_set_gets_the_rest_when_the_quota_grows(rig: Rig) -> None:
    """What a quota does to the scheduling queue: pods are not there to be scheduled before there is room."""
    rig.server.create(quota({"pods": "2"}))
    settle(rig)
    labels = {"app": "web"}
    rig.server.create(
        from_wire(
            {
                "kind": "ReplicaSet",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {
                    "replicas": 4,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
                },
            }
        )
    )
    settle(rig, 5)
    assert len(rig.server.objects("Pod")) == 2
    wire = to_wire(rig.server.get("ResourceQuota", "default", "q"))
    wire["spec"]["hard"]["pods"] = "4"
    rig.server.update(from_wire(wire))
    settle(rig, 60)
    assert len(rig.server.objects("Pod")) == 4
    assert used(rig) == {"pods": "4"}


@pytest.mark.parametrize(
    ("spec", "counted"),
    [
        ({"scopes": ["BestEffort"]}, {"plain"}),
        ({"scopes": ["NotBestEffort"]}, {"asks", "short"}),
        ({"scopes": ["Terminating"]}, {"short"}),
        ({"scopes": ["NotTerminating"]}, {"asks", "plain"}),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}},
            {"asks"},
        ),
    ],
)
def test_scopes(rig: Rig, spec: dict[str, Any], counted: set[str]) -> None:
    name = "system-cluster-critical"
    pods = {
        "plain": pod("plain"),
        "asks": pod("asks", {"cpu": "1"}, priorityClassName=name),
        "short": pod("short", {"cpu": "1"}, activeDeadlineSeconds=60),
    }
    rig.server.create(quota({"pods": "9"}, **spec))
    settle(rig)
    for item in pods.values():
        rig.server.create(item)
    assert used(rig) == {"pods": str(len(counted))}
    settle(rig)
    assert used(rig) == {"pods": str(len(counted))}


def test_objects_of_any_kind_are_counted(rig: Rig) -> None:
    rig.server.create(quota({"count/configmaps": "1", "count/replicasets.apps": "0", "services.nodeports": "3"}))
    settle(rig)
    made = {"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
    rig.server.create(from_wire(made))
    assert "count/configmaps=1" in refusal(rig, from_wire({**made, "metadata": {"name": "b", "namespace": "default"}}))
    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    rig.server.create(
        from_wire(
            {
                "kind": "Service",
                "metadata": {"name": "s", "namespace": "default"},
                "spec": {"type": "NodePort", "ports": ports, "selector": {"a": "b"}},
            }
        )
    )
    assert used(rig)["services.nodeports"] == "2"


AMOUNTS = st.sampled_from([("cpu", "100m"), ("cpu", "1500m"), ("memory", "64Mi"), ("memory", "1Gi")])
STEPS = st.lists(
    st.tuples(st.sampled_from(["create", "delete", "end", "wait"]), st.integers(0, 7), AMOUNTS), max_size=25
)


def in_use(rig: Rig, names: Iterable[str]) -> dict[str, int]:
    live = dict.fromkeys(names, 0)
    for item in rig.server.objects("Pod").values():
        for key, milli in usage_of(item, rig.server.now).items():
            if key in live:
                live[key] += milli
    return live


@settings(max_examples=examples(60), deadline=None)
@given(STEPS)
def test_at_rest_a_quota_says_what_is_used_and_it_is_never_exceeded(steps: list[tuple[str, int, Any]]) -> None:
    rig = Rig(ResourceQuotaController())
    hard = {"pods": 3_000, "requests.cpu": 2_000, "requests.memory": (2 << 30) * 1000}
    rig.server.create(quota({"pods": "3", "requests.cpu": "2", "requests.memory": "2Gi"}))
    settle(rig)
    for action, number, (resource, amount) in steps:
        name = f"p{number}"
        try:
            match action:
                case "create":
                    rig.server.create(pod(name, {"cpu": "0", "memory": "0", resource: amount}))
                case "delete":
                    rig.server.delete("Pod", "default", name)
                case "end":
                    wire = to_wire(rig.server.get("Pod", "default", name))
                    rig.server.patch_status(from_wire({**wire, "status": {**wire["status"], "phase": "Failed"}}))
                case _:
                    settle(rig, 0.02)
        except ApiError as error:
            if error.code not in (403, 404, 409):
                raise
        live = in_use(rig, hard)
        assert all(live[key] <= hard[key] for key in hard)
    settle(rig, 2)
    told = {key: amount.milli for key, amount in rig.server.get("ResourceQuota", "default", "q").status.used.items()}
    assert told == in_use(rig, hard)


def limit_range(*items: dict[str, Any]) -> Any:
    meta = {"name": "limits", "namespace": "default"}
    return from_wire({"kind": "LimitRange", "metadata": meta, "spec": {"limits": list(items)}})


def test_a_limit_range_fills_in_and_holds_containers_to_its_range(rig: Rig) -> None:
    rig.server.create(
        limit_range(
            {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "200m"}, "max": {"cpu": "1"}},
            {"type": "Pod", "max": {"memory": "1Gi"}},
        )
    )
    made = to_wire(rig.server.create(pod("a", limits={"memory": "1Gi"}, requests={"memory": "1Gi"})))
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"memory": "1Gi", "cpu": "200m"},
        "limits": {"memory": "1Gi", "cpu": "500m"},
    }
    annotation = "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    assert made["metadata"]["annotations"] == {"kubernetes.io/limit-ranger": annotation}
    assert refusal(rig, pod("b", limits={"cpu": "2", "memory": "2Gi"})) == (
        'pods "b" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, '
        "maximum memory usage per Pod is 1Gi, but limit is 2Gi]"
    )


@pytest.mark.parametrize(
    ("item", "requests", "limits", "said"),
    [
        ({"min": {"cpu": "1"}}, {}, {"memory": "1Gi"}, None),  # min becomes the default request
        ({"min": {"cpu": "1"}}, {"cpu": "1m"}, {}, "minimum cpu usage per Container is 1, but request is 1m"),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "1"},
            {"cpu": "3"},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "1"},
            {},
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
    ],
)
def test_limit_range_words(
    rig: Rig, item: dict[str, Any], requests: dict[str, str], limits: dict[str, str], said: str | None
) -> None:
    """As in Kubernetes' own limitranger tests."""
    rig.server.create(limit_range({"type": "Container", **item}))
    if said is None:
        rig.server.create(pod("a", requests, limits))
    else:
        assert refusal(rig, pod("a", requests, limits)) == f'pods "a" is forbidden: {said}'
