"""Columns become Kubernetes objects that the API server takes, and that still say what the columns said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.server import ApiServer
from harness.model.core import Namespace, Pod
from harness.model.errors import UserError
from harness.model.gpu import GPU_COUNT, GPU_MILLI, GPU_MODEL, WHOLE_GPU
from harness.model.meta import ObjectMeta
from harness.model.objects import PriorityClass, from_wire, to_wire
from harness.model.times import parse_duration
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from workloads.generators.openb_like import openb_like
from workloads.manifests import DURATION, GROUP_LABEL, HOSTNAME, RANK, ZONE, to_nodes, to_pods, to_prerequisites
from workloads.table import FOREVER, Coded, NodeTable, Workload

SHAPES = ((0, 0), (1, 250), (1, 1000), (2, 500), (8, 1000))
"""Devices, milli of each."""

rows = st.fixed_dictionaries(
    {
        "arrival_ns": st.integers(0, 10**15),
        "duration_ns": st.just(FOREVER) | st.integers(0, 10**15),
        "cpu_milli": st.integers(0, 10**7),
        "memory_bytes": st.integers(0, 1 << 45),
        "gpu": st.integers(0, 4),
        "models": st.sampled_from([(), ("T4",), ("T4", "G2")]),
        "priority": st.sampled_from([0, 0, 7, -3]),
        "group": st.sampled_from(["", "g", "h"]),
        "app": st.sampled_from(["", "web"]),
        "max_per_node": st.sampled_from([0, 2]),
        "disk": st.integers(0, 1 << 40),
        "rdma": st.sampled_from([0, 25]),
    }
)


def workload_of(made: list[dict[str, Any]]) -> Workload:
    def column(name: str) -> list[int]:
        return [row[name] for row in made]

    gpus = [SHAPES[at] for at in column("gpu")]
    return Workload.of(
        [f"p-{row}" for row in range(len(made))],
        arrival_ns=column("arrival_ns"),
        duration_ns=column("duration_ns"),
        cpu_milli=column("cpu_milli"),
        memory_bytes=column("memory_bytes"),
        priority=column("priority"),
        gpu_count=[count for count, _ in gpus],
        gpu_milli=[milli for _, milli in gpus],
        gpu_models=[row["models"] for row in made],
        group=[row["group"] for row in made],
        app=[row["app"] for row in made],
        namespace="batch",
        max_per_node=column("max_per_node"),
        extra={"ephemeral-storage": column("disk"), "koordinator.sh/rdma": column("rdma")},
    )


@given(made=st.lists(rows, min_size=1, max_size=12))
def test_pods_say_what_the_columns_say(made: list[dict[str, Any]]) -> None:
    """After a way over the wire; and the API server takes them all."""
    workload = workload_of(made)
    server = ApiServer(MemoryStore(ObjectCodec()))
    for needed in to_prerequisites(workload):
        server.create(needed)
    instants = []
    for instant, made_pod in to_pods(workload):
        instants.append(instant)
        pod = from_wire(to_wire(made_pod))
        row = made[int(pod.metadata.name[2:])]
        requests = pod.spec.containers[0].resources.requests
        asked = {name: quantity.value for name, quantity in requests.items() if name != "cpu"}
        expected = {"memory": row["memory_bytes"], "ephemeral-storage": row["disk"], "koordinator.sh/rdma": row["rdma"]}
        assert asked == {name: amount for name, amount in expected.items() if amount}
        assert (requests["cpu"].milli if "cpu" in requests else 0) == row["cpu_milli"]
        count, milli = SHAPES[row["gpu"]]
        notes = pod.metadata.annotations
        assert (int(notes.get(GPU_COUNT, 0)), int(notes.get(GPU_MILLI, 0))) == (count, milli)
        assert notes.get(GPU_MODEL, "") == ("|".join(row["models"]) if count else "")
        lasts = row["duration_ns"] == FOREVER
        assert pod.spec.restart_policy == ("Always" if lasts else "Never")
        assert lasts or parse_duration(notes[DURATION]) == row["duration_ns"]
        assert pod.metadata.labels.get(GROUP_LABEL, "") == row["group"]
        assert len(pod.spec.topology_spread_constraints) == (1 if row["max_per_node"] and row["app"] else 0)
        assert server.create(made_pod).spec.priority == row["priority"]
    assert instants == sorted(instants)
    assert len(server.objects("Pod")) == len(made)


def test_pods_that_ask_for_the_same_share_their_spec() -> None:
    """What makes a pod cheap: the caches of server and scheduler know a spec by its identity."""
    pods = [pod for _, pod in to_pods(Workload.of(["a", "b", "c"], cpu_milli=[1, 2, 1]))]
    assert pods[0].spec is pods[2].spec
    assert pods[0].spec is not pods[1].spec


def test_what_pods_need_is_named_once() -> None:
    workload = Workload.of(
        ["a", "b", "c"], priority=[5, 0, 5], group=["g", "g", ""], namespace="batch", gpu_count=1, gpu_milli=1000
    )
    space, priority, gang = to_prerequisites(workload)
    assert space == Namespace(metadata=ObjectMeta(name="batch"))
    assert isinstance(priority, PriorityClass)
    assert (priority.metadata.name, priority.value) == ("workload-5", 5)
    assert to_wire(gang)["kind"] == "PodGroup"
    assert to_wire(gang)["spec"] == {"minMember": 2}
    assert list(to_prerequisites(Workload.of(["a"]))) == []


def test_whole_devices_in_the_words_of_the_device_plugin() -> None:
    whole = Workload.of(["a"], gpu_count=2, gpu_milli=1000)
    ((_, pod),) = to_pods(whole, gpu_words="device-plugin")
    resources = pod.spec.containers[0].resources
    assert resources.requests[WHOLE_GPU].value == resources.limits[WHOLE_GPU].value == 2
    assert GPU_COUNT not in pod.metadata.annotations
    with pytest.raises(UserError, match="whole devices only"):
        list(to_pods(Workload.of(["a"], gpu_count=1, gpu_milli=500), gpu_words="device-plugin"))


def test_nodes_say_what_the_columns_say() -> None:
    table = NodeTable.of(
        ["m", "n"],
        cpu_milli=[32_500, 96_000],
        memory_bytes=[1 << 36, 1 << 37],
        gpu_count=[0, 8],
        gpu_model=["", "G2"],
        labels=[(), (("tier", "gpu"),)],
        extra={"koordinator.sh/rdma": [0, 100]},
    ).in_zones(2)
    server = ApiServer(MemoryStore(ObjectCodec()))
    m, n = (server.create(node) for node in to_nodes(table))
    assert m.status.allocatable["cpu"].milli == 32_500
    assert m.status.allocatable["memory"].value == 1 << 36
    assert GPU_COUNT not in m.status.allocatable
    assert n.status.capacity[GPU_COUNT].value == 8
    assert n.status.allocatable["koordinator.sh/rdma"].value == 100
    assert n.metadata.labels == {HOSTNAME: "n", "tier": "gpu", GPU_MODEL: "G2", ZONE: "zone-1"}
    assert [node.metadata.annotations[RANK] for node in (m, n)] == ["0", "1"]


def test_a_drawn_workload_is_taken_whole() -> None:
    workload, nodes = openb_like(300, 30, 1, constrained_percent=33, zones=3)
    workload = replace(workload, namespace=Coded.all("batch", len(workload)))
    server = ApiServer(MemoryStore(ObjectCodec()))
    for obj in (*to_prerequisites(workload), *to_nodes(nodes)):
        server.create(obj)
    created: list[Pod] = [server.create(pod) for _, pod in to_pods(workload)]
    assert len({pod.metadata.uid for pod in created}) == 300
    assert {pod.metadata.namespace for pod in created} == {"batch"}
