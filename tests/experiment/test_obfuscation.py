"""Made-up names: all that decides where pods go is as before, and no name of the dump is left."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.experiment.obfuscation import Renaming, obfuscate
from harness.model.core import Namespace, Node, Pod
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire, to_wire
from harness.scheduling.feasibility.fit_error import diagnose, reasons_on_node
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.registry import load
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind
from tests.examples import examples
from tests.experiment.dumps import dumped
from tests.scheduling import filter_worlds as worlds
from tests.scheduling import naive
from tests.scheduling.test_filters_model import clusters

TEXTS = st.text("aAbZ019-./_:é", max_size=12)


@given(st.lists(TEXTS, max_size=12))
@example(["kube-system", "ip-10-0-1-23", "10.0.1.23", "data-web-0", "web", "web-0", "a/b:latest", "1234567"])
def test_the_same_text_has_the_same_name_and_others_have_others(texts: list[str]) -> None:
    rename = Renaming(texts)
    made = {text: rename(text) for text in texts}
    assert len(set(made.values())) == len(made)
    assert all(len(name) <= 63 for name in made.values())


@given(st.lists(st.from_regex(r"[x-z]{1,4}(-[x-z]{1,4}){0,2}(-[0-9])?", fullmatch=True), max_size=12))
def test_names_keep_their_order(texts: list[str]) -> None:
    rename = Renaming(texts)
    assert sorted(texts) == sorted(texts, key=rename)


def test_a_name_within_a_name_is_renamed_alike() -> None:
    address, image = "ip-10-1-2-3.acme.com", "registry.acme.com/shop:1.2"
    rename = Renaming(["web", "web-0", "data-web-0", "acme.com/team", address, image])
    web = rename("web")
    assert rename("web-0") == f"{web}-0"
    assert rename("data-web-0").endswith(f"-{web}-0")
    assert rename(image).endswith(":1.2")
    assert not {"10", "1", "2", "3"} & set(re.findall(r"\w+", rename(address)))
    for kept in (
        "kubernetes.io/hostname",
        "kube-system",
        "registry.k8s.io/pause:3.10",
        "nvidia.com/gpu",
        "linux",
        "17",
    ):
        assert rename(kept) == kept


def test_texts_of_many_short_words_still_fit() -> None:
    text = "-".join("abcdefghijklmnopqrstuvwxyz"[:22])
    rename = Renaming([text, text + "-y"])
    assert len(rename(text)) <= 63
    assert rename(text) != rename(text + "-y")


def built(objects: list[Any], waiting: int) -> tuple[Snapshot, list[Pod]]:
    """The last `waiting` objects are pods that wait."""
    on = Snapshot()
    for obj in objects:
        if isinstance(obj, Namespace):
            on.tables.put_namespace(obj.metadata.name, obj.metadata.labels)
    for obj in objects:
        if isinstance(obj, Node):
            on.add_node(**node_columns(obj))
    for obj in objects[: len(objects) - waiting]:
        if isinstance(obj, Pod):
            on.assume(on.classes.view(obj), on.node_table.index[obj.spec.node_name])
    return on, objects[len(objects) - waiting :]


@pytest.mark.parametrize("theme", worlds.THEMES)
def test_verdicts_and_places_are_the_same_up_to_renaming(theme: str) -> None:
    kube = load("kube")

    @given(clusters(theme))
    @settings(max_examples=examples(40), deadline=None)
    def held_against_each_other(case: tuple[naive.World, list[Pod]]) -> None:
        world, wanting = case
        spaces = [Namespace(metadata=ObjectMeta(name=name, labels=of)) for name, of in world.namespaces.items()]
        placed = [
            Pod(metadata=pod.metadata, spec=_on(pod, at), status=pod.status) for pod, at in world.running.values()
        ]
        objects = [to_wire(obj) for obj in (*spaces, *world.nodes.values(), *placed, *wanting)]
        hidden = obfuscate(objects)
        before, waits = built([from_wire(data) for data in objects], len(wanting))
        after, waits_hidden = built([from_wire(data) for data in hidden.objects], len(wanting))
        assert [hidden.rename(name) for name in before.node_table.names] == list(after.node_table.names)
        for pod, other in zip(waits, waits_hidden, strict=True):
            said = []
            for on, item in ((before, pod), (after, other)):
                view = on.classes.view(item)
                cls = on.classes.class_now(view)
                each = [sorted(reasons_on_node(on, cls, at)) for at in range(len(world.nodes))]
                chosen = [d.node for d in kube().place([view], on, np.random.default_rng(0)) if isinstance(d, Bind)]
                said.append(
                    (
                        on.feasible(view).tolist(),
                        [len(r) for r in each],
                        sum(diagnose(on, view).reasons.values()),
                        chosen,
                    )
                )
            assert said[0] == said[1], pod.metadata.key

    held_against_each_other()


def _on(pod: Pod, node: str) -> Any:
    from msgspec.structs import replace

    return replace(pod.spec, node_name=node)


def test_no_name_of_a_dump_is_left() -> None:
    """Neither in what is written nor in notices; what Kubernetes defines stays."""
    secret = {"metadata": {"name": "acme-key"}, "kind": "Secret", "apiVersion": "v1", "data": {"acme": "YWNtZQ=="}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "acme-shop-0",
            "namespace": "acme",
            "labels": {"acme.com/team": "Acme_1", "app": "acme"},
            "annotations": {"acme.com/owner": "jane@acme.com", "podyard.dev/duration.acme": "3s"},
        },
        "spec": {
            "nodeName": "ip-10-1-2-3.acme.com",
            "hostname": "acme",
            "containers": [
                {
                    "name": "acme",
                    "image": "registry.acme.com/acme/shop:v3",
                    "command": ["sh", "-c", "echo acme; sleep 5; exit 3"],
                    "args": ["--acme"],
                    "env": [{"name": "ACME", "value": "acme"}],
                    "ports": [{"name": "acme-a-b-c", "containerPort": 80}],
                    "readinessProbe": {"httpGet": {"path": "/acme/healthz", "port": "acme-a-b-c"}},
                    "resources": {"requests": {"cpu": "1500m", "acme.com/fpga": "1"}},
                }
            ],
            "tolerations": [{"key": "acme.com/only", "operator": "Exists"}],
            "volumes": [{"name": "acme", "hostPath": {"path": "/var/acme"}}],
        },
        "status": {"phase": "Running", "hostIP": "10.1.2.3", "message": "acme"},
    }
    hidden = obfuscate([secret, pod])
    assert "acme" not in json.dumps(hidden.objects).lower()
    assert "10.1.2" not in json.dumps(hidden.objects)
    (container,) = hidden.objects[1]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "1500m"
    assert container["ports"][0]["name"] == container["readinessProbe"]["httpGet"]["port"]
    assert len(container["ports"][0]["name"]) <= 15
    assert hidden.names[hidden.objects[1]["metadata"]["name"]] == "acme-shop-0"


def test_commands_take_as_long_and_end_alike() -> None:
    def made(*argv: str) -> Any:
        pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "command": [*argv]}]}}
        return obfuscate([pod]).objects[0]["spec"]["containers"][0].get("command")

    assert made("sh", "-c", "echo hi; sleep 5; exit 3") == ["sh", "-c", "sleep 5s; exit 3"]
    assert made("sleep", "infinity") == ["sleep", "infinity"]
    assert made("acme-server", "--port=1") is None
    assert made("true") == ["true"]


def test_a_whole_dump_still_belongs_together() -> None:
    hidden = obfuscate(dumped())
    uids = {item["metadata"]["uid"] for item in hidden.objects}
    owners = [owner["uid"] for item in hidden.objects for owner in item["metadata"].get("ownerReferences", ())]
    assert owners
    assert set(owners) <= uids
    assert len(hidden.objects) == len([item for item in dumped() if item["kind"] not in hidden.left_out])
