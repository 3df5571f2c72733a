"""Pods that name ConfigMaps and Secrets: what they wait for where one is missing, and how they go on."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from harness.engine.component import SECOND, RestoreSnapshot, StopMachine, TakeSnapshot
from harness.model.core import ConfigMap, Container, Pod, PodSpec
from harness.model.faults import Crash
from harness.model.meta import ObjectMeta
from harness.model.objects import Unstructured, from_wire
from harness.node.backend import FIRST_NODE_ADDRESS
from tests.node.rig import IMAGE, Rig


def env(kind: str = "configMapKeyRef", name: str = "settings", key: str = "colour", **more: Any) -> dict[str, Any]:
    return {"env": [{"name": "COLOUR", "valueFrom": {kind: {"name": name, "key": key, **more}}}]}


def env_from(kind: str = "configMapRef", name: str = "settings", **more: Any) -> dict[str, Any]:
    return {"envFrom": [{kind: {"name": name, **more}}]}


def start(rig: Rig, extra: dict[str, Any], volumes: list[dict[str, Any]] | None = None, *, name: str = "a") -> None:
    made = rig.server.create(
        Pod(
            metadata=ObjectMeta(name=name, namespace="default"),
            spec=PodSpec(
                restart_policy="Always",
                containers=(Container(name="main", image=IMAGE, extra=extra),),
                extra={"volumes": volumes} if volumes else None,
            ),
        )
    )
    rig.server.bind("default", name, made.metadata.uid, "n0", {})
    rig.cluster.api.flush(rig.server.now)


def create(rig: Rig, *objects: ConfigMap | Unstructured) -> None:
    for obj in objects:
        rig.server.create(obj)
    rig.cluster.api.flush(rig.server.now)


def settings(**data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="settings", namespace="default"), data=data)


def secret(name: str = "login", **data: str) -> Unstructured:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    made: Unstructured = from_wire(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": encoded}
    )
    return made


def waiting(rig: Rig, name: str = "a") -> tuple[str, str]:
    pod = rig.get(name)
    assert pod is not None
    state = pod.status.container_statuses[0].state.waiting
    return ("", "") if state is None else (state.reason, state.message)


def told(rig: Rig, reason: str) -> list[tuple[str, int]]:
    return [
        (event.message, event.count or 1) for event in rig.server.listed("Event") if event.reason == reason
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        (env(), 'configmap "settings" not found'),
        (env("secretKeyRef", "login"), 'secret "login" not found'),
        (env_from(), 'configmap "settings" not found'),
        (env_from("secretRef", "login"), 'secret "login" not found'),
    ],
)
def test_a_variable_from_nowhere_holds_its_container(extra: dict[str, Any], why: str) -> None:
    rig = Rig(references=True)
    start(rig, extra)
    rig.run(60)
    assert waiting(rig) == ("CreateContainerConfigError", why)
    pod = rig.get()
    assert pod is not None
    assert pod.status.phase == "Pending"
    ((message, count),) = told(rig, "Failed")
    assert message == f"Error: {why}"
    assert 4 <= count <= 6  # looked at again after 10 to 15 s
    create(rig, settings(colour="red"), secret(colour="red"))
    rig.run(76)
    assert rig.ready()


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_a_key_that_is_missing(kind: str) -> None:
    rig = Rig(references=True)
    create(rig, settings(shape="round"), secret("settings", shape="round"))
    start(rig, env("configMapKeyRef" if kind == "ConfigMap" else "secretKeyRef"))
    rig.run(5)
    assert waiting(rig) == ("CreateContainerConfigError", f"couldn't find key colour in {kind} default/settings")


@pytest.mark.parametrize("extra", [env(optional=True), env_from(optional=True), env("secretKeyRef", optional=True)])
def test_what_is_optional_may_be_missing(extra: dict[str, Any]) -> None:
    rig = Rig(references=True)
    start(rig, extra)
    rig.run(5)
    assert rig.ready()


MOUNT = {"volumeMounts": [{"name": "files", "mountPath": "/etc/files"}]}


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"configMap": {"name": "settings"}}, 'configmap "settings" not found'),
        ({"secret": {"secretName": "login"}}, 'secret "login" not found'),
        (
            {"projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "login"}}]}},
            '[configmap "settings" not found, secret "login" not found]',
        ),
    ],
)
def test_a_volume_from_nowhere_holds_the_pod(volume: dict[str, Any], why: str) -> None:
    rig = Rig(references=True)
    start(rig, MOUNT, [{"name": "files", **volume}])
    rig.run(140)
    assert waiting(rig) == ("ContainerCreating", "")
    # Tried after 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5 and 127.5 s.
    said = dict(told(rig, "FailedMount"))
    assert said[f'MountVolume.SetUp failed for volume "files" : {why}'] == 9
    gave_up = (
        "Unable to attach or mount volumes: unmounted volumes=[files], unattached volumes=[], "
        "failed to process volumes=[]: context deadline exceeded"
    )
    assert said[gave_up] == 1
    create(rig, settings(colour="red"), secret(colour="red"))
    rig.run(245)
    assert not rig.ready()  # until the next attempt, as long waits are
    rig.run(252)
    assert rig.ready()


def test_volumes_that_need_not_be_there() -> None:
    """Optional ones, and those that nobody mounts."""
    rig = Rig(references=True)
    start(rig, MOUNT, [{"name": "files", "configMap": {"name": "settings", "optional": True}}])
    start(rig, {}, [{"name": "files", "configMap": {"name": "settings"}}], name="b")
    rig.run(5)
    assert rig.ready("a")
    assert rig.ready("b")


@pytest.mark.parametrize(("kind", "word"), [("configMap", "config"), ("secret", "secret")])
def test_a_key_that_a_volume_names(kind: str, word: str) -> None:
    rig = Rig(references=True)
    create(rig, settings(shape="round"), secret("settings", shape="round"))
    named = {"name" if kind == "configMap" else "secretName": "settings", "items": [{"key": "colour", "path": "c"}]}
    start(rig, MOUNT, [{"name": "files", kind: named}])
    rig.run(2)
    assert told(rig, "FailedMount")[0][0].endswith(f"references non-existent {word} key: colour")


def test_a_pod_that_waits_can_be_deleted() -> None:
    rig = Rig(references=True)
    start(rig, env())
    start(rig, MOUNT, [{"name": "files", "secret": {"secretName": "login"}}], name="b")
    rig.run(5)
    rig.delete("a")
    rig.delete("b")
    rig.run(7)
    assert rig.get("a") is None
    assert rig.get("b") is None


def test_it_waits_again_after_the_node_lost_power() -> None:
    """Nothing is remembered, and all is told again."""
    rig = Rig(references=True)
    create(rig, settings(colour="red"))
    start(rig, env())
    start(rig, env("secretKeyRef", "login"), name="b")
    rig.run(5)
    assert rig.ready("a")
    rig.server.delete("ConfigMap", "default", "settings")
    rig.cluster.api.flush(rig.server.now)
    rig.run(6)
    assert rig.ready("a")  # what runs goes on
    rig.disturb(Crash(10 * SECOND))
    rig.run(30)
    assert waiting(rig, "a") == ("CreateContainerConfigError", 'configmap "settings" not found')
    create(rig, settings(colour="red"), secret(colour="red"))
    rig.run(60)
    assert rig.ready("a")
    assert rig.ready("b")


def test_a_run_asks_nobody() -> None:
    """Dumps seldom have the ConfigMaps of their pods."""
    rig = Rig()
    start(rig, env(), [{"name": "files", "secret": {"secretName": "login"}}])
    rig.run(5)
    assert rig.ready()


def test_a_restored_store_is_told_again() -> None:
    """What was created after the snapshot is gone, for kubelets too."""
    rig = Rig(references=True)
    start(rig, env())
    rig.run(5)
    rig.cluster._machines(rig.cluster.now, TakeSnapshot("before"))
    create(rig, settings(colour="red"))
    rig.run(30)
    assert rig.ready()
    rig.cluster._machines(rig.cluster.now, RestoreSnapshot("before", SECOND))
    rig.run(40)
    start(rig, env(), name="b")
    rig.run(50)
    assert waiting(rig, "b") == ("CreateContainerConfigError", 'configmap "settings" not found')


def test_a_pod_that_left_is_watched_for_no_longer() -> None:
    rig = Rig(references=True, nodes=2)
    start(rig, env())
    start(rig, env("secretKeyRef", "login"), name="b")
    references = rig.cluster.api._watches._references
    assert references is not None
    assert references.addresses("ConfigMap", "default/settings") == [FIRST_NODE_ADDRESS]
    rig.run(3)
    rig.delete("a")
    rig.run(6)
    assert references.addresses("ConfigMap", "default/settings") == []
    rig.cluster._machines(rig.cluster.now, StopMachine("n0"))
    assert references._watched == {}
