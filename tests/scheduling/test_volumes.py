"""Volumes in the scheduler: kube-scheduler's published cases, and a model of all of it, node by node."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from harness.engine.component import Outcome
from harness.model.core import Container, Node, NodeSpec, NodeStatus, Pod, PodSpec
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire
from harness.model.quantity import parse_quantity
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from harness.scheduling.cycle.volume_binder import VolumeBinder
from harness.scheduling.feasibility.dry_run import DryRun
from harness.scheduling.feasibility.fit_error import diagnose, reasons_on_node
from harness.scheduling.feasibility.legality import Refused, apply
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind, BindTogether
from tests.scheduling import naive_volumes as naive

ZONE, OLD_ZONE = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"
REGION, OLD_REGION = "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"
DONE = {"pv.kubernetes.io/bind-completed": "yes"}
IN_USE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


def node(name: str, **labels: str) -> Node:
    there = {"cpu": parse_quantity("100"), "memory": parse_quantity("8Gi"), "pods": parse_quantity("110")}
    return Node(
        metadata=ObjectMeta(name=name, labels={"kubernetes.io/hostname": name, **labels}),
        status=NodeStatus(allocatable=there),
    )


def pod(name: str, *claims: str, namespace: str = "default") -> Pod:
    volumes = [{"name": f"v{i}", "persistentVolumeClaim": {"claimName": name}} for i, name in enumerate(claims)]
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, uid=name),
        spec=PodSpec(containers=(Container(name="c"),), extra={"volumes": volumes}),
    )


def storage_class(name: str, provisioner: str, mode: str = "WaitForFirstConsumer", *zones: str) -> StorageClass:
    terms = [{"matchLabelExpressions": [{"key": ZONE, "values": list(zones)}]}] if zones else []
    wire = {"kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner}
    found: StorageClass = from_wire({**wire, "volumeBindingMode": mode, "allowedTopologies": terms})
    return found


def claim(name: str, of: str = "late", storage: str = "1Gi", volume: str = "", **meta: Any) -> PersistentVolumeClaim:
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": of, "resources": {"requests": {"storage": storage}}}
    wire = {"kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default", "uid": name, **meta}}
    if volume:
        wire["metadata"] = {**wire["metadata"], "annotations": DONE}  # type: ignore[dict-item]
    found: PersistentVolumeClaim = from_wire({**wire, "spec": {**spec, "volumeName": volume}})
    return found


def volume(
    name: str, of: str = "late", storage: str = "1Gi", *, labels: Any = None, at: Any = None, **spec: Any
) -> PersistentVolume:
    """`at`: {label: values} of its node affinity."""
    made: dict[str, Any] = {"capacity": {"storage": storage}, "accessModes": ["ReadWriteOnce"], "storageClassName": of}
    if at is not None:
        expressions = [{"key": key, "operator": "In", "values": list(values)} for key, values in at.items()]
        made["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}
    wire = {"kind": "PersistentVolume", "metadata": {"name": name, "labels": labels or {}}, "spec": {**made, **spec}}
    found: PersistentVolume = from_wire({**wire, "status": {"phase": "Available"}})
    return found


def snapshot(*items: Any) -> Snapshot:
    on = Snapshot()
    for item in items:
        if isinstance(item, Node):
            on.add_node(**node_columns(item))
        else:
            assert on.tables.learn_volumes(item)
    return on


def fits(on: Snapshot, item: Pod) -> list[str]:
    feasible = on.feasible(on.classes.view(item))
    return [name for name in on.names if name and feasible[on.node_table.index[name]]]


def why_not(on: Snapshot, item: Pod) -> str:
    return str(diagnose(on, on.classes.view(item)))


def place(on: Snapshot, item: Pod, name: str) -> str:
    """'' or why it is refused."""
    done = apply(on, Bind(on.classes.view(item), on.node_table.index[name]))
    return done.reason if isinstance(done, Refused) else ""


LOST = {"status": {"phase": "Lost"}}


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ([], 'persistentvolumeclaim "c" not found'),
        ([claim("c", volume="pv")], 'persistentvolume "pv" not found'),
        ([claim("c", "")], "pod has unbound immediate PersistentVolumeClaims"),
        ([claim("c", "unheard-of")], "pod has unbound immediate PersistentVolumeClaims"),
        ([claim("c", "now"), storage_class("now", "x", "Immediate")],
         "pod has unbound immediate PersistentVolumeClaims"),
        ([claim("c", deletionTimestamp="2025-01-01T00:00:10Z"), storage_class("late", "x")],
         'persistentvolumeclaim "c" is being deleted'),
    ],
)  # fmt: skip
def test_what_is_amiss_with_claims(there: list[Any], why: str) -> None:
    on = snapshot(node("a"), node("b"), *there)
    assert fits(on, pod("p", "c")) == []
    assert why_not(on, pod("p", "c")) == f"0/2 nodes are available: {why}."
    assert place(on, pod("p", "c"), "a") == f"a: {why}", "whatever a strategy answers"


def test_a_claim_belongs_to_its_namespace() -> None:
    on = snapshot(node("a"), claim("c", volume="pv"), volume("pv"))
    assert fits(on, pod("p", "c")) == ["a"]
    elsewhere = pod("p", "c", namespace="other")
    assert fits(on, elsewhere) == []
    twin = Pod(metadata=elsewhere.metadata, spec=pod("p", "c").spec)
    assert on.classes.view(twin).cls is not on.classes.view(pod("p", "c")).cls


@pytest.mark.parametrize(
    ("of_volume", "of_node", "fine"),
    [
        ({OLD_ZONE: "us-west1-a"}, {}, True),
        ({OLD_ZONE: "us-west1-a"}, {OLD_ZONE: "us-west1-a", "uselessLabel": "none"}, True),
        ({OLD_REGION: "us-west1", "uselessLabel": "none"}, {OLD_REGION: "us-west1"}, True),
        ({OLD_REGION: "us-west1"}, {OLD_REGION: "no_us-west1"}, False),
        ({OLD_ZONE: "us-west1-a"}, {OLD_ZONE: "no_us-west1-a"}, False),
        ({ZONE: "us-west1-a"}, {ZONE: "us-west1-a"}, True),
        ({REGION: "us-west1"}, {REGION: "us-west1"}, True),
        ({REGION: "us-west1"}, {REGION: "no_us-west1"}, False),
        ({ZONE: "us-west1-a"}, {ZONE: "no_us-west1-a"}, False),
        ({ZONE: "us-west1-a", REGION: "us-west1-a"}, {ZONE: "us-west1-a"}, False),
        ({ZONE: "us-west1-a"}, {OLD_ZONE: "us-west1-a"}, False),
        ({OLD_ZONE: "us-west1-a"}, {ZONE: "us-west1-a"}, True),
        ({OLD_ZONE: "us-west1-a"}, {ZONE: "us-west1-b"}, False),
        ({OLD_ZONE: "us-west1-c__us-west1-a"}, {}, True),
        ({OLD_ZONE: "us-west1-c__us-west1-a"}, {OLD_ZONE: "us-west1-a"}, True),
        ({ZONE: "us-west1-c__us-west1-a"}, {ZONE: "us-west1-a"}, True),
        ({ZONE: "us-west1-c__us-west1-a"}, {ZONE: "us-west1-b"}, False),
    ],
)
def test_zone_labels_by_the_published_cases(of_volume: dict[str, str], of_node: dict[str, str], fine: bool) -> None:
    """The cases of plugins/volumezone volume_zone_test.go."""
    on = snapshot(node("host1", **of_node), claim("c", volume="pv"), volume("pv", labels=of_volume))
    assert fits(on, pod("p", "c")) == (["host1"] if fine else [])
    if not fine:
        assert why_not(on, pod("p", "c")) == "0/1 nodes are available: 1 node(s) had no available volume zone."
        assert place(on, pod("p", "c"), "host1") == "host1: node(s) had no available volume zone"


def test_bound_volumes_are_reached_from_their_nodes_alone() -> None:
    on = snapshot(
        *(node(name, **{ZONE: name[0]}) for name in ("a1", "b1", "b2")),
        claim("c", volume="pv"),
        volume("pv", at={ZONE: "b"}),
    )
    assert fits(on, pod("p", "c")) == ["b1", "b2"]
    assert place(on, pod("p", "c"), "a1") == "a1: node(s) had volume node affinity conflict"
    for name in ("b1", "b2"):
        on.update_node(**node_columns(node(name, **{ZONE: "a"})))
    assert why_not(on, pod("p", "c")) == "0/3 nodes are available: 3 node(s) had volume node affinity conflict."


def test_of_volumes_that_fit_the_smallest_is_promised_once() -> None:
    large, small, tiny = volume("large", storage="9Gi"), volume("small", storage="2Gi"), volume("tiny", storage="1Gi")
    on = snapshot(
        node("a"), storage_class("late", "kubernetes.io/no-provisioner"), large, small, tiny,
        *(claim(name, storage="2Gi") for name in ("c1", "c2", "c3")),
    )  # fmt: skip
    for name, given in (("c1", "small"), ("c2", "large")):
        assert place(on, pod(f"p-{name}", name), "a") == ""
        promise = on.volumes.reservation_of(f"default/p-{name}")
        assert promise is not None
        assert [found.metadata.name for _, found in promise.bindings] == [given]
    message = "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."
    assert why_not(on, pod("p-c3", "c3")) == message
    first = on.classes.view(pod("p-c1", "c1"))
    with DryRun(on, 0) as dry_run:
        dry_run.remove(first)
    assert why_not(on, pod("p-c3", "c3")) == message, "who was only tried without keeps what it was promised"
    on.forget("default/p-c1")
    assert fits(on, pod("p-c3", "c3")) == ["a"]


def test_two_claims_of_a_pod_take_two_volumes() -> None:
    shared = volume("both", storage="5Gi", at={ZONE: ["a", "b"]})
    on = snapshot(
        node("a1", **{ZONE: "a"}), node("b1", **{ZONE: "b"}), storage_class("late", "kubernetes.io/no-provisioner"),
        shared, volume("in-b", storage="5Gi", at={ZONE: "b"}), claim("c1"), claim("c2"),
    )  # fmt: skip
    assert fits(on, pod("one", "c1")) == ["a1", "b1"]
    assert fits(on, pod("two", "c1", "c2")) == ["b1"]


def test_the_smallest_claim_chooses_first() -> None:
    on = snapshot(
        node("a"), storage_class("late", "kubernetes.io/no-provisioner"), volume("v2", storage="2Gi"),
        volume("v3", storage="3Gi"), claim("large", storage="2Gi"), claim("small", storage="1Gi"),
    )  # fmt: skip
    assert place(on, pod("p", "large", "small"), "a") == ""
    promise = on.volumes.reservation_of("default/p")
    assert promise is not None
    given = {asked.metadata.name: found.metadata.name for asked, found in promise.bindings}
    assert given == {"small": "v2", "large": "v3"}


def test_what_prefilter_refuses_is_said_before_what_a_node_lacks() -> None:
    cordoned = msgspec.structs.replace(node("a"), spec=NodeSpec(unschedulable=True))
    assert place(snapshot(cordoned), pod("p", "c"), "a") == 'a: persistentvolumeclaim "c" not found'


def test_a_provisioner_makes_volumes_where_its_class_allows() -> None:
    on = snapshot(
        *(node(name, **{ZONE: name[0]}) for name in ("a1", "b1", "c1")), node("nowhere"),
        storage_class("late", "disk.csi", "WaitForFirstConsumer", "a", "b"), claim("c"),
    )  # fmt: skip
    assert fits(on, pod("p", "c")) == ["a1", "b1"]
    assert place(on, pod("p", "c"), "b1") == ""
    assert fits(on, pod("q", "c")) == ["b1"], "the volume will be made for that node"
    on.forget("default/p")
    on.tables.learn_volumes(claim("c", annotations={naive.SELECTED: "a1"}))
    assert fits(on, pod("q", "c")) == ["a1"]


def test_a_claim_for_one_pod_alone() -> None:
    alone = from_wire(
        {
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "c", "namespace": "default", "annotations": DONE},
            "spec": {"accessModes": ["ReadWriteOncePod"], "volumeName": "pv"},
        }
    )
    on = snapshot(node("a"), node("b"), alone, volume("pv"))
    assert place(on, pod("first", "c"), "a") == ""
    found = diagnose(on, on.classes.view(pod("second", "c")))
    assert str(found) == f"0/2 nodes are available: 2 {IN_USE}."
    assert found.resolvable.tolist() == [0, 1], "a preemptor could have it"
    on.forget("default/first")
    assert fits(on, pod("second", "c")) == ["a", "b"]


def test_volumes_are_not_counted_where_no_driver_says_how_many() -> None:
    names = [f"c{index}" for index in range(300)]
    on = snapshot(
        node("a"), *(claim(name, volume=f"pv-{name}") for name in names), *(volume(f"pv-{name}") for name in names)
    )
    assert fits(on, pod("p", *names)) == ["a"]


def csi_node(name: str, **limits: int | None) -> Any:
    drivers = [
        {"name": driver, "nodeID": name, **({} if count is None else {"allocatable": {"count": count}})}
        for driver, count in limits.items()
    ]
    wire = {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": name}}
    return from_wire({**wire, "spec": {"drivers": drivers}})


def test_a_node_takes_as_many_volumes_as_its_csinode_says() -> None:
    """Source: kube-scheduler 1.32 plugins/nodevolumelimits/csi.go."""
    names = ("c0", "c1", "c2")
    on = snapshot(
        *(node(name) for name in ("none", "two", "zero", "unlimited")),
        csi_node("two", ebs=2, fs=0),
        csi_node("zero", ebs=0),
        csi_node("unlimited", ebs=None),
        *(claim(name, volume=f"pv-{name}") for name in names),
        *(volume(f"pv-{name}", csi={"driver": "ebs", "volumeHandle": name}) for name in names),
        storage_class("late", "ebs"),
        claim("unbound"),
    )
    assert fits(on, pod("p", "c0", "c1")) == ["none", "two", "unlimited"]
    assert fits(on, pod("p", *names)) == ["none", "unlimited"]
    on.assume(on.classes.view(pod("first", "c0", "c1")), on.node_table.index["two"])
    assert fits(on, pod("p", "c1")) == ["none", "two", "unlimited"], "a volume that is attached already counts once"
    assert fits(on, pod("p", "c2")) == ["none", "unlimited"]
    assert fits(on, pod("p", "unbound")) == ["none", "unlimited"], "what its class would provision"
    view = on.classes.view(pod("p", "c2"))
    assert reasons_on_node(on, on.classes.class_now(view), on.node_table.index["two"]) == (
        "node(s) exceed max volume count",
    )
    on.forget("default/first")
    assert fits(on, pod("p", "c2")) == ["none", "two", "unlimited"]


def test_an_unbound_claim_in_two_volumes_asks_for_two() -> None:
    """Source: kube-scheduler 1.32 plugins/volumebinding binder.go: each mention finds a volume of its own."""
    local = storage_class("late", "kubernetes.io/no-provisioner")
    one = snapshot(node("a"), local, claim("c"), volume("pv0"))
    assert fits(one, pod("p", "c")) == ["a"]
    assert fits(one, pod("p", "c", "c")) == []
    two = snapshot(node("a"), local, claim("c"), volume("pv0"), volume("pv1"))
    assert fits(two, pod("p", "c", "c")) == ["a"]
    view = two.classes.view(pod("p", "c", "c"))
    assert not isinstance(apply(two, Bind(view, 0)), Refused)


def test_a_gang_of_which_one_finds_no_volume_gives_back_the_others() -> None:
    on = snapshot(
        node("a"), storage_class("late", "kubernetes.io/no-provisioner"), volume("pv"), claim("c1"), claim("c2")
    )
    views = [on.classes.view(pod(name, name)) for name in ("c1", "c2")]
    assert isinstance(apply(on, BindTogether(tuple(Bind(view, 0) for view in views))), Refused)
    assert on.volumes.reservation_of("default/c1") is None
    assert fits(on, pod("c2", "c2")) == ["a"]


def test_a_claim_that_is_made_for_one_pod_is_awaited_and_serves_no_other() -> None:
    on = snapshot(node("a"), storage_class("late", "disk.csi"))
    item = pod("p")
    item = msgspec.structs.replace(item, spec=PodSpec(extra={"volumes": [{"name": "scratch", "ephemeral": {}}]}))
    assert why_not(on, item) == (
        "0/1 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim"
        ' "p-scratch".'
    )
    on.tables.learn_volumes(claim("p-scratch"))
    assert why_not(on, item) == (
        "0/1 nodes are available: PVC default/p-scratch was not created for pod default/p (pod is not owner)."
    )
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p", "controller": True}
    on.tables.learn_volumes(claim("p-scratch", ownerReferences=[owner]))
    assert fits(on, item) == ["a"]
    other = msgspec.structs.replace(item, metadata=ObjectMeta(name="q", namespace="default", uid="q"))
    assert fits(on, other) == [], "the same template, another pod"


def test_a_copy_of_the_snapshot_promises_for_itself() -> None:
    on = snapshot(
        node("a"), storage_class("late", "kubernetes.io/no-provisioner"), volume("pv"), claim("c"), claim("d")
    )
    twin = on.copy()
    assert place(twin, pod("p", "c"), "a") == ""
    assert fits(twin, pod("q", "d")) == []
    assert fits(on, pod("q", "d")) == ["a"]


def test_the_list_that_an_earlier_process_asked_for_is_not_this_ones() -> None:
    """Seed 2205 of podyard simulate: the scheduler was started again while the answer was on its way, took that for its
    own list of claims, and knew of none of them for good."""
    old, new = VolumeBinder(Snapshot(), 1), VolumeBinder(Snapshot(), 1, process=1)
    assert old.must_wait("d/a")
    (asked,) = old.subscription()
    assert new.must_wait("d/a")
    assert new.answered(Outcome(asked)) == []
    assert new.must_wait("d/a"), "nothing is known yet"
    (again,) = new.subscription()
    assert new.answered(Outcome(again)) == ["d/a"]
    assert not new.must_wait("d/a")
