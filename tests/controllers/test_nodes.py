"""Nodes that fall silent: detection, taints, rates by zone, eviction; whole clusters in virtual time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import ClusterSettings
from harness.controllers.nodes.node_lifecycle import NodeLifecycleController
from harness.controllers.nodes.pod_gc import PodGarbageCollector
from harness.engine.component import SECOND, Delete, InjectFault, PatchStatus, Update
from harness.model.constants import parse_constants
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, PodTemplateSpec, ResourceRequirements
from harness.model.faults import Crash, Freeze, NodeFault
from harness.model.meta import Condition, LabelSelector, ObjectMeta, condition
from harness.model.quantity import count_quantity, parse_quantity
from harness.model.status import ApiError
from harness.model.wire import MicroTime
from harness.model.workloads import Lease, LeaseSpec, ReplicaSet, ReplicaSetSpec
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.greedy import least_allocated
from tests.controllers.rig import Rig, template

ZONE = "topology.kubernetes.io/zone"
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "pod-garbage-collector",
    "garbage-collector",
)


class Story:
    """Nodes in zones, the node controllers, a ReplicaSet controller and a scheduler."""

    def __init__(self, nodes: int, zones: str = "a", *, folded: bool = True) -> None:
        capacity = {"cpu": parse_quantity("8"), "memory": parse_quantity("8Gi"), "pods": count_quantity(50)}
        plan = ClusterPlan(
            settings=ClusterSettings(folded=folded),
            nodes=tuple(
                Node(
                    metadata=ObjectMeta(name=f"n{i:02}", labels={ZONE: zones[i % len(zones)]}),
                    status=NodeStatus(capacity=capacity, allocatable=capacity),
                )
                for i in range(nodes)
            ),
            controllers=CONTROLLERS,
            strategy=least_allocated(),
        )
        self.cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        self.server = self.cluster.server
        self.ready: list[tuple[float, str, str]] = []
        self.taints: list[tuple[float, str, tuple[str, ...]]] = []
        self.server.listeners.append(self._write)
        self.run(1)

    def _write(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind != "Node" or change == "DELETED":
            return
        at, name = self.server.now / SECOND, obj.metadata.name
        known = condition(obj.status.conditions, "Ready")
        status = known.status if known is not None else ""
        if not any(n == name and s == status for _, n, s in self.ready[-1:]):
            self.ready.append((at, name, status))
        keys = tuple(f"{taint.key.rpartition('/')[2]}:{taint.effect}" for taint in obj.spec.taints)
        self.taints.append((at, name, keys))

    def run(self, until_s: float) -> None:
        self.cluster.run(round(until_s * SECOND))
        self.server.now = max(self.server.now, round(until_s * SECOND))

    def replicas(self, count: int) -> None:
        labels = {"app": "web"}
        template = PodTemplateSpec(
            metadata=ObjectMeta(labels=labels),
            spec=PodSpec(
                containers=(
                    Container(
                        name="c",
                        image="i:1",
                        resources=ResourceRequirements(requests={"cpu": parse_quantity("1")}),
                    ),
                )
            ),
        )
        self.server.create(
            ReplicaSet(
                metadata=ObjectMeta(name="web", namespace="default"),
                spec=ReplicaSetSpec(replicas=count, selector=LabelSelector(match_labels=labels), template=template),
            )
        )
        self.cluster.api.flush(self.server.now)

    def disturb(self, fault: NodeFault, *nodes: int) -> None:
        self.cluster._machines(self.cluster.now, InjectFault(tuple(f"n{i:02}" for i in nodes), fault))

    def unknown_at(self, name: str) -> float | None:
        return next((at for at, node, status in self.ready if node == name and status == "Unknown"), None)

    def no_execute_at(self, name: str) -> float | None:
        return next(
            (at for at, node, taints in self.taints if node == name and "unreachable:NoExecute" in taints), None
        )

    def pods(self) -> list[Pod]:
        return [pod for pod in self.server.listed("Pod") if pod.metadata.deletion_timestamp is None]


def test_silence_is_noticed_on_the_first_tick_after_the_grace_period() -> None:
    story = Story(3)
    story.run(103)
    story.disturb(Crash(), 1)
    story.run(400)
    at = story.unknown_at("n01")
    assert at is not None
    # Renewed at 100 s for the last time (power-on was at 5 ms), good for 50 s, looked at every 5 s.
    assert 150 < at <= 155.1
    assert story.unknown_at("n00") is None


def test_folded_and_unfolded_leases_lead_to_the_same_instants() -> None:
    said = []
    for folded in (True, False):
        story = Story(4, "ab", folded=folded)
        story.replicas(8)
        story.run(63)
        story.disturb(Crash(down_ns=400 * SECOND), 1)
        story.run(90)
        story.disturb(Freeze(for_ns=100 * SECOND), 2)
        story.run(700)
        said.append((story.ready, story.taints, sorted((p.metadata.name, p.spec.node_name) for p in story.pods())))
    assert said[0] == said[1]


def test_pods_of_a_silent_node_go_after_their_toleration_and_are_replaced_elsewhere() -> None:
    story = Story(3)
    story.replicas(6)
    story.run(60)
    hit = [pod.metadata.name for pod in story.pods() if pod.spec.node_name == "n01"]
    assert len(hit) == 2
    story.disturb(Crash(), 1)
    story.run(180)
    lost = [pod for pod in story.pods() if pod.metadata.name in hit]
    assert [condition(pod.status.conditions, "Ready").status for pod in lost] == ["False", "False"]  # type: ignore[union-attr]
    assert len(story.pods()) == 6
    story.run(480)
    now = story.pods()
    assert len(now) == 6
    assert not {pod.metadata.name for pod in now} & set(hit)
    assert all(pod.spec.node_name in ("n00", "n02") and pod.status.phase == "Running" for pod in now)
    reasons = {event.reason for event in story.server.listed("Event")}
    assert {"NodeNotReady", "TaintManagerEviction"} <= reasons


def test_a_node_that_returns_in_time_keeps_its_pods() -> None:
    story = Story(3)
    story.replicas(6)
    story.run(60)
    before = sorted((pod.metadata.uid, pod.spec.node_name) for pod in story.pods())
    story.disturb(Freeze(for_ns=120 * SECOND), 1)
    story.run(600)
    assert sorted((pod.metadata.uid, pod.spec.node_name) for pod in story.pods()) == before
    assert all(condition(pod.status.conditions, "Ready").status == "True" for pod in story.pods())  # type: ignore[union-attr]
    node = story.server.get("Node", "", "n01")
    assert node.spec.taints == ()
    assert condition(node.status.conditions, "Ready").status == "True"  # type: ignore[union-attr]


def test_nodes_of_a_zone_are_tainted_one_in_ten_seconds() -> None:
    story = Story(8)
    story.run(60)
    story.disturb(Crash(), 0, 1, 2)
    story.run(200)
    at = sorted(t for i in range(3) if (t := story.no_execute_at(f"n{i:02}")) is not None)
    assert len(at) == 3
    assert [round(later - at[0]) for later in at] == [0, 10, 20]


def test_a_small_zone_that_is_mostly_down_evicts_nobody() -> None:
    story = Story(6)
    story.run(60)
    story.disturb(Crash(), 0, 1, 2, 3)  # 4 of 6, more than 55 % and more than 2
    story.run(400)
    tainted = [i for i in range(4) if story.no_execute_at(f"n{i:02}") is not None]
    # Until the third silence was noticed the zone counted as healthy, and one turn may have been taken.
    assert len(tainted) <= 1
    assert all(story.unknown_at(f"n{i:02}") is not None for i in range(4))


def test_when_every_zone_is_down_evictions_stop() -> None:
    """Leases run out one after the other, so some nodes are tainted before all are down; then they lose it again."""
    story = Story(4, "ab")
    story.replicas(4)
    story.run(60)
    story.disturb(Crash(), 0, 1, 2, 3)
    story.run(1200)
    for node in story.server.listed("Node"):
        assert [taint.effect for taint in node.spec.taints] == ["NoSchedule"], node.metadata.name
    assert len(story.pods()) == len(story.server.listed("Pod")) == 4


def test_evictions_go_on_when_a_node_is_back() -> None:
    story = Story(4, "ab")
    story.replicas(4)
    story.run(60)
    story.disturb(Crash(down_ns=400 * SECOND), 0)
    story.disturb(Crash(), 1, 2, 3)
    story.run(1200)
    tainted = [
        n.metadata.name for n in story.server.listed("Node") if any(t.effect == "NoExecute" for t in n.spec.taints)
    ]
    assert tainted == ["n01", "n02", "n03"]
    assert all(pod.spec.node_name in ("n00", "") for pod in story.pods())


def test_nodes_that_are_excluded_count_for_no_zone() -> None:
    """The clients' node is no part of the cluster: it does not keep a cluster alive that is down."""
    story = Story(4, "ab")
    node = story.server.get("Node", "", "n00")
    labels = {**node.metadata.labels, "node.kubernetes.io/exclude-disruption": ""}
    story.server.update(msgspec.structs.replace(node, metadata=msgspec.structs.replace(node.metadata, labels=labels)))
    story.run(60)
    story.disturb(Crash(), 1, 2, 3)
    story.run(900)
    for name in ("n01", "n02", "n03"):
        node = story.server.get("Node", "", name)
        assert [taint.effect for taint in node.spec.taints] == ["NoSchedule"]


def test_a_cordon_is_a_taint_as_long_as_it_lasts() -> None:
    """`kubectl describe node` shows node.kubernetes.io/unschedulable:NoSchedule beside SchedulingDisabled."""

    def cordon(on: bool) -> None:
        node = story.server.get("Node", "", "n00")
        story.server.update(msgspec.structs.replace(node, spec=msgspec.structs.replace(node.spec, unschedulable=on)))
        story.cluster.api.flush(story.server.now)

    story = Story(2)
    cordon(True)
    story.run(2)
    assert story.taints[-1][1:] == ("n00", ("unschedulable:NoSchedule",))
    story.disturb(Crash(), 0)
    story.run(60)
    assert set(story.taints[-1][2]) >= {"unschedulable:NoSchedule", "unreachable:NoSchedule"}
    cordon(False)
    story.run(70)
    assert "unschedulable:NoSchedule" not in story.taints[-1][2]


def test_pods_of_a_node_that_was_deleted_are_collected_after_their_quarantine() -> None:
    story = Story(2)
    story.replicas(4)
    story.run(30)
    from harness.engine.component import StopMachine

    story.cluster._machines(story.cluster.now, StopMachine("n01"))
    story.server.delete("Node", "", "n01")
    story.cluster.api.flush(story.server.now)
    story.run(60)
    assert any(pod.spec.node_name == "n01" for pod in story.server.listed("Pod"))
    story.run(130)
    pods = story.pods()
    assert len(pods) == 4
    assert {pod.spec.node_name for pod in pods} == {"n00"}


@pytest.mark.parametrize("propagation", ["", "Background", "Foreground"])
def test_what_a_deleted_owner_owned_goes(propagation: str) -> None:
    story = Story(2)
    story.replicas(4)
    story.run(20)
    story.server.delete("ReplicaSet", "default", "web", propagation=propagation)
    story.cluster.api.flush(story.server.now)
    story.run(60)
    assert story.server.listed("Pod") == []
    assert story.server.listed("ReplicaSet") == []


def test_orphans_stay_without_their_owner() -> None:
    story = Story(2)
    story.replicas(4)
    story.run(20)
    story.server.delete("ReplicaSet", "default", "web", propagation="Orphan")
    story.cluster.api.flush(story.server.now)
    story.run(60)
    assert story.server.listed("ReplicaSet") == []
    pods = story.pods()
    assert len(pods) == 4
    assert all(pod.metadata.owner_references == () for pod in pods)


def test_of_too_many_ended_pods_the_oldest_go() -> None:
    collector = PodGarbageCollector()
    collector.constants = parse_constants({"terminated-pod-gc-threshold": 3})
    rig = Rig(collector)
    for index in range(6):
        pod = rig.create(Pod(metadata=ObjectMeta(name=f"p{index}", namespace="default"), spec=template().spec))
        rig.run(1)
        if index != 1:  # the second still runs
            rig.finish(pod)
    rig.run(41)
    assert sorted(rig.server.objects("Pod")) == [f"default/p{i}" for i in (1, 3, 4, 5)]
    rig.finish(rig.get("Pod", "p1"))
    rig.run(41)
    assert sorted(rig.server.objects("Pod")) == [f"default/p{i}" for i in (3, 4, 5)]


# -- by hand -----------------------------------------------------------------------------------------------------------


def by_hand(*names: str, heard: tuple[str, ...] = ()) -> Rig:
    """Nodes of one zone that were ready when they came; those of `heard` go on renewing their leases."""
    rig = Rig(NodeLifecycleController())
    for name in names:
        conditions = (Condition(type="Ready", status="True"), Condition(type="DiskPressure", status="False"))
        rig.create(Node(metadata=ObjectMeta(name=name, labels={ZONE: "a"}), status=NodeStatus(conditions=conditions)))
    for name in heard:
        meta = ObjectMeta(name=name, namespace="kube-node-lease")
        rig.create(Lease(metadata=meta, spec=LeaseSpec(holder_identity=name, renew_time=MicroTime(10**6 * SECOND))))
    return rig


def ready(rig: Rig, name: str) -> str:
    found = condition(rig.get("Node", name, "").status.conditions, "Ready")
    return "" if found is None else found.status


def tainted(rig: Rig, effect: str = "NoExecute") -> list[str]:
    return sorted(
        node.metadata.name for node in rig.server.listed("Node") if any(t.effect == effect for t in node.spec.taints)
    )


def test_a_node_that_was_never_heard_of_is_unknown_after_a_grace_period() -> None:
    rig = by_hand("n", "well", heard=("well",))
    rig.run(50)
    assert ready(rig, "n") == "True"
    rig.run(5.1)
    assert ready(rig, "n") == "Unknown"
    assert ready(rig, "well") == "True"
    conditions = {item.type: item.status for item in rig.get("Node", "n", "").status.conditions}
    assert conditions == dict.fromkeys(("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"), "Unknown")
    assert len(rig.events("NodeNotReady")) == 1
    rig.run(600)
    assert len(rig.events("NodeNotReady")) == 1
    assert ready(rig, "well") == "True"


def test_a_status_that_could_not_be_written_is_written_later() -> None:
    rig = by_hand("n", "well", heard=("well",))
    rig.refuse = lambda name, effect: ApiError(500, "InternalError", "no") if isinstance(effect, Update) else None
    rig.run(70)
    assert ready(rig, "n") == "True"
    rig.refuse = lambda name, effect: None
    rig.run(30)
    assert ready(rig, "n") == "Unknown"
    assert tainted(rig) == ["n"]


def test_a_kubelet_that_says_not_ready_gets_the_other_taint() -> None:
    rig = by_hand("n", "well", heard=("n", "well"))
    node = rig.get("Node", "n", "")
    down = Condition(type="Ready", status="False", reason="KubeletNotReady")
    rig.do(PatchStatus(msgspec.structs.replace(node, status=NodeStatus(conditions=(down,)))))
    rig.run(1)
    keys = [(t.key, t.effect) for t in rig.get("Node", "n", "").spec.taints]
    assert keys == [("node.kubernetes.io/not-ready", "NoSchedule"), ("node.kubernetes.io/not-ready", "NoExecute")]
    up = Condition(type="Ready", status="True", reason="KubeletReady")
    rig.do(PatchStatus(msgspec.structs.replace(rig.get("Node", "n", ""), status=NodeStatus(conditions=(up,)))))
    rig.run(1)
    assert rig.get("Node", "n", "").spec.taints == ()


def test_nodes_that_leave_a_zone_count_no_longer_for_its_state() -> None:
    """Four of six down: nobody is evicted. With three of them gone one of three is down: it is."""
    rig = by_hand("n0", "n1", "n2", "n3", "n4", "n5", heard=("n4", "n5"))
    rig.run(120)
    assert tainted(rig, "NoSchedule") == ["n0", "n1", "n2", "n3"]
    assert tainted(rig) == []
    rig.do(Delete("Node", "", "n0"))
    rig.run(30)
    assert tainted(rig) == [], "three of five, which is still most of them"
    for name in ("n1", "n2"):
        rig.do(Delete("Node", "", name))
    rig.run(1)
    assert tainted(rig) == ["n3"]


def test_a_node_that_comes_again_under_its_name_is_another_one() -> None:
    rig = by_hand("n", "well", heard=("well",))
    rig.run(60)
    assert tainted(rig) == ["n"]
    rig.do(Delete("Node", "", "n"))
    rig.run(1)
    rig.create(
        Node(
            metadata=ObjectMeta(name="n", labels={ZONE: "b"}),
            status=NodeStatus(conditions=(Condition(type="Ready", status="True"),)),
        )
    )
    rig.run(49)
    assert ready(rig, "n") == "True"
    assert rig.get("Node", "n", "").spec.taints == ()
    rig.run(7)
    assert ready(rig, "n") == "Unknown"


def test_a_large_zone_that_is_mostly_down_evicts_one_in_a_hundred_seconds() -> None:
    names = tuple(f"n{i:02}" for i in range(52))
    rig = by_hand(*names, heard=names[:20])
    rig.run(60)
    assert len(tainted(rig, "NoSchedule")) == 32
    assert len(tainted(rig)) == 1
    rig.run(90)
    assert len(tainted(rig)) == 1
    rig.run(10)
    assert len(tainted(rig)) == 2


def test_pods_of_a_node_that_comes_back_within_the_quarantine_stay() -> None:
    rig = Rig(PodGarbageCollector())
    pod = rig.create(Pod(metadata=ObjectMeta(name="p", namespace="default"), spec=template().spec))
    rig.set_ready(pod)
    rig.run(5)
    rig.do(Delete("Node", "", "n"))
    rig.run(30)
    rig.node("n")
    rig.run(120)
    assert sorted(rig.server.objects("Pod")) == ["default/p"]
    rig.do(Delete("Node", "", "n"))
    rig.run(38)
    assert sorted(rig.server.objects("Pod")) == ["default/p"], "its quarantine begins anew"
    rig.run(22)
    assert sorted(rig.server.objects("Pod")) == []


def test_an_orphan_that_runs_has_failed_before_it_goes_and_one_that_ended_has_not() -> None:
    rig = Rig(PodGarbageCollector())
    for name in ("runs", "done"):
        rig.set_ready(rig.create(Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=template().spec)))
    rig.finish(rig.get("Pod", "done"))
    seen: list[tuple[str, str, list[str]]] = []
    rig.server.listeners.append(
        lambda kind, change, obj, old, revision: (
            seen.append((obj.metadata.name, obj.status.phase, [c.type for c in obj.status.conditions]))
            if kind.kind == "Pod" and change == "MODIFIED"
            else None
        )
    )
    rig.do(Delete("Node", "", "n"))
    rig.run(61)
    assert sorted(rig.server.objects("Pod")) == []
    assert seen == [("runs", "Failed", ["PodScheduled", "Ready", "DisruptionTarget"])]


def test_when_the_last_node_that_is_well_leaves_nobody_is_evicted_any_more() -> None:
    rig = by_hand("n", "well", heard=("well",))
    rig.run(60)
    assert tainted(rig) == ["n"]
    rig.do(Delete("Node", "", "well"))
    rig.run(10)
    assert tainted(rig) == []
    assert tainted(rig, "NoSchedule") == ["n"]
    other = Node(
        metadata=ObjectMeta(name="other", labels={ZONE: "b"}),
        status=NodeStatus(conditions=(Condition(type="Ready", status="True"),)),
    )
    rig.create(other)
    rig.run(10)
    assert tainted(rig) == ["n"]


def test_an_orphan_that_somebody_deletes_first_does_not_keep_the_others() -> None:
    rig = Rig(PodGarbageCollector())
    for name in ("first", "second"):
        rig.set_ready(rig.create(Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=template().spec)))
    rig.do(Delete("Node", "", "n"))
    rig.run(10)
    rig.kubelet_kills(rig.get("Pod", "first"))
    rig.run(29)
    assert sorted(rig.server.objects("Pod")) == ["default/second"]
    rig.run(22)
    assert sorted(rig.server.objects("Pod")) == []
