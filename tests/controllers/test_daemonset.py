"""DaemonSets: one pod on each node that should have one, through the scheduler and the kubelets."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from harness.cluster.assembly import ClusterPlan, assemble
from harness.controllers.workloads.daemonset import HASH, DaemonSetController
from harness.engine.component import SECOND, Delete, Update
from harness.model.constants import DEFAULTS
from harness.model.core import Node, NodeSpec, NodeStatus, Pod, Taint
from harness.model.daemon_sets import target_of
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire, to_wire
from harness.model.quantity import count_quantity, parse_quantity
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.greedy import least_allocated
from tests.controllers.rig import Rig

CAPACITY = {"cpu": parse_quantity("4"), "memory": parse_quantity("8Gi"), "pods": count_quantity(50)}


def node(name: str, *taints: Taint, **labels: str) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        spec=NodeSpec(taints=taints),
        status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY),
    )


def daemon_set(image: str = "agent:1", strategy: dict[str, Any] | None = None, min_ready_s: int = 0, **pod: Any) -> Any:
    container = {"name": "c", "image": image, "resources": {"requests": {"cpu": "100m"}}}
    return from_wire(
        {
            "kind": "DaemonSet",
            "metadata": {"name": "agent", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "minReadySeconds": min_ready_s,
                "updateStrategy": strategy or {},
                "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [container], **pod}},
            },
        }
    )


class Story:
    def __init__(self, *nodes: Node) -> None:
        self.cluster = assemble(
            MemoryStore(ObjectCodec()), ClusterPlan(nodes=nodes, strategy=least_allocated())
        ).cluster
        self.server = self.cluster.server
        self.run(1)

    def run(self, seconds: float) -> None:
        self.cluster.api.flush(self.cluster.now)
        self.cluster.run(self.cluster.now + round(seconds * SECOND))

    def where(self) -> list[str]:
        """Nodes with a running pod of the set."""
        pods = self.server.objects("Pod").values()
        return sorted(pod.spec.node_name for pod in pods if pod.status.phase == "Running")

    def status(self) -> dict[str, int]:
        found: dict[str, int] = to_wire(self.server.get("DaemonSet", "default", "agent"))["status"]
        return found


def test_every_node_gets_one_and_a_new_node_too() -> None:
    story = Story(node("a"), node("b"), node("c"))
    story.server.create(daemon_set())
    story.run(30)
    assert story.where() == ["a", "b", "c"]
    assert story.status() == {
        "currentNumberScheduled": 3,
        "desiredNumberScheduled": 3,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
        "numberMisscheduled": 0,
    }
    story.cluster.start_nodes([node("d")])
    story.run(30)
    assert story.where() == ["a", "b", "c", "d"]


def test_a_pod_that_goes_is_replaced_on_its_node() -> None:
    story = Story(node("a"), node("b"))
    story.server.create(daemon_set())
    story.run(30)
    gone = next(pod for pod in story.server.objects("Pod").values() if pod.spec.node_name == "b")
    story.server.delete("Pod", "default", gone.metadata.name)
    story.run(60)
    assert story.where() == ["a", "b"]
    assert gone.metadata.uid not in {pod.metadata.uid for pod in story.server.objects("Pod").values()}


def test_selector_taints_and_cordons_count_as_in_kubernetes() -> None:
    """A cordon keeps no daemon away; NoSchedule keeps new ones off and lets old ones stay; NoExecute ends them."""
    mine = Taint(key="mine", effect="NoSchedule")
    story = Story(node("a", disk="ssd"), node("b", mine, disk="ssd"), node("c"), node("d", disk="ssd"))
    story.server.update(replace(story.server.get("Node", "", "d"), spec=NodeSpec(unschedulable=True)))
    story.server.create(daemon_set(nodeSelector={"disk": "ssd"}))
    story.run(30)
    assert story.where() == ["a", "d"]
    for name, effect in (("a", "NoSchedule"), ("d", "NoExecute")):
        found = story.server.get("Node", "", name)
        taints = (*found.spec.taints, Taint(key="mine", effect=effect))
        story.server.update(replace(found, spec=replace(found.spec, taints=taints)))
    story.run(60)
    assert story.where() == ["a"]
    assert story.status()["desiredNumberScheduled"] == 0
    assert story.status()["numberMisscheduled"] == 1


@pytest.mark.parametrize(("most", "least_running"), [(1, 5), ("50%", 3)])
def test_a_new_template_rolls_out_within_max_unavailable(most: int | str, least_running: int) -> None:
    story = Story(*(node(f"n{i}") for i in range(6)))
    story.server.create(daemon_set(strategy={"rollingUpdate": {"maxUnavailable": most}}))
    story.run(30)
    found = story.server.get("DaemonSet", "default", "agent")
    new = daemon_set("agent:2", strategy={"rollingUpdate": {"maxUnavailable": most}})
    story.server.update(replace(found, spec=new.spec))
    running: list[int] = []
    for _ in range(600):
        story.run(0.5)
        running.append(len(story.where()))
        if story.status().get("updatedNumberScheduled") == 6 and running[-1] == 6:
            break
    assert min(running) == least_running
    assert {pod.spec.containers[0].image for pod in story.server.objects("Pod").values()} == {"agent:2"}


def test_on_delete_waits_for_somebody_to_delete() -> None:
    story = Story(node("a"), node("b"))
    story.server.create(daemon_set(strategy={"type": "OnDelete"}))
    story.run(30)
    found = story.server.get("DaemonSet", "default", "agent")
    story.server.update(replace(found, spec=daemon_set("agent:2", strategy={"type": "OnDelete"}).spec))
    story.run(60)
    assert {pod.spec.containers[0].image for pod in story.server.objects("Pod").values()} == {"agent:1"}
    story.server.delete("Pod", "default", next(iter(story.server.objects("Pod").values())).metadata.name)
    story.run(60)
    images = sorted(pod.spec.containers[0].image for pod in story.server.objects("Pod").values())
    assert images == ["agent:1", "agent:2"]


def test_what_is_created_names_its_node_and_tolerates_its_troubles() -> None:
    rig = Rig(DaemonSetController())
    rig.node("a")
    rig.create(daemon_set())
    rig.run(1)
    (pod,) = rig.pods(app="agent")
    assert target_of(pod) == "a"
    assert pod.metadata.labels[HASH]
    told = {(t.key.rpartition("/")[2], t.effect) for t in pod.spec.tolerations}
    assert told == {
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    }


def test_after_a_restart_nothing_is_created_twice() -> None:
    controller = DaemonSetController()
    rig = Rig(controller)
    for name in "abc":
        rig.node(name)
    rig.create(daemon_set())
    rig.run(2)
    rig.start(controller)
    rig.run(2)
    assert sorted(map(target_of, rig.pods(app="agent"))) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("first_s", "most_s", "least", "most"),
    [(1, 900, 5, 9), (1, 4, 20, 30), (30, 900, 2, 3)],
)
def test_failed_pods_are_replaced_ever_more_slowly(first_s: int, most_s: int, least: int, most: int) -> None:
    controller = DaemonSetController()
    controller.constants = dataclasses.replace(
        DEFAULTS, daemon_failed_pods_backoff_ns=first_s * 10**9, daemon_max_failed_pods_backoff_ns=most_s * 10**9
    )
    rig = Rig(controller)
    rig.node("a")
    rig.create(daemon_set())
    seen: list[str] = []
    for _ in range(200):
        rig.run(0.5)
        for pod in rig.pods(app="agent"):
            if pod.status.phase == "Pending" and pod.metadata.uid not in seen:
                seen.append(pod.metadata.uid)
                rig.finish(rig.bind(pod, "a"), "Failed")
            elif pod.metadata.deletion_timestamp is not None:
                rig.kubelet_kills(pod)
    assert least <= len(seen) <= most  # within 100 s, doubling
    assert rig.events("FailedDaemonPod")


def test_surge_is_refused_by_name() -> None:
    rig = Rig(DaemonSetController())
    with pytest.raises(ApiError, match="surge updates of DaemonSets are not modelled"):
        rig.create(daemon_set(strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}))


# -- by hand -----------------------------------------------------------------------------------------------------------


def by_hand(*nodes: str, **pod: Any) -> Rig:
    rig = Rig(DaemonSetController())
    rig.create(daemon_set(**pod))
    for name in nodes:
        rig.node(name)
    rig.run(1)
    return rig


def another(rig: Rig, name: str) -> Pod:
    """As one that the controller had made before and lost sight of."""
    there = rig.pods()[0]
    meta = ObjectMeta(
        name=name, namespace="default", labels=there.metadata.labels, owner_references=there.metadata.owner_references
    )
    made: Pod = rig.create(Pod(metadata=meta, spec=there.spec))
    return made


def live(rig: Rig) -> list[str]:
    return [pod.metadata.name for pod in rig.pods() if pod.metadata.deletion_timestamp is None]


def test_of_two_on_a_node_the_older_stays() -> None:
    rig = by_hand("a")
    (first,) = live(rig)
    another(rig, "second")
    rig.run(1)
    assert live(rig) == [first]


def test_of_two_on_a_node_one_that_is_bound_stays() -> None:
    rig = by_hand("a")
    second = another(rig, "second")
    rig.bind(second, "a")
    rig.run(1)
    assert live(rig) == ["second"]


def test_pods_whose_node_goes_before_they_are_bound_go_with_it() -> None:
    rig = by_hand("a", "b")
    bound = next(pod for pod in rig.pods() if target_of(pod) == "b")
    rig.bind(bound, "b")
    for name in ("a", "b"):
        rig.do(Delete("Node", "", name))
    rig.run(1)
    assert live(rig) == [bound.metadata.name], "the other one is the pod garbage collector's"


def test_a_pod_that_fails_is_replaced_ever_later() -> None:
    rig = by_hand("a")
    at: list[float] = []
    for wait in (0, 2, 4, 8):
        (pod,) = [pod for pod in rig.pods() if pod.metadata.deletion_timestamp is None]
        began = rig.now
        rig.finish(rig.bind(pod, "a"), "Failed")
        while pod.metadata.uid in {p.metadata.uid for p in rig.pods() if p.metadata.deletion_timestamp is None}:
            rig.run(0.5)
            assert rig.now - began < 60 * SECOND
        at.append((rig.now - began) / SECOND)
        for gone in rig.pods():
            if gone.metadata.deletion_timestamp is not None:
                rig.kubelet_kills(gone)
        rig.run(0.1)
        assert wait - 1 <= at[-1] <= wait + 1, at
    assert len(rig.events("FailedDaemonPod")) == 4
    assert "will try to kill it" in rig.events("FailedDaemonPod")[0].message


def test_a_deleted_daemon_set_makes_no_pods_any_more() -> None:
    rig = by_hand("a")
    found = rig.get("DaemonSet", "agent")
    rig.do(Update(replace(found, metadata=replace(found.metadata, finalizers=("x/y",)))))
    rig.delete("DaemonSet", "agent")
    rig.node("b")
    rig.run(1)
    assert len(live(rig)) == 1


def test_a_taint_of_no_execute_ends_its_pod_and_one_of_no_schedule_does_not() -> None:
    rig = by_hand("a", "b", "c")
    for name, effect in (("a", "NoExecute"), ("b", "NoSchedule"), ("c", "PreferNoSchedule")):
        found = rig.get("Node", name, "")
        rig.do(Update(replace(found, spec=replace(found.spec, taints=(Taint(key="mine", effect=effect),)))))
    rig.run(1)
    assert sorted(target_of(pod) for pod in rig.pods() if pod.metadata.deletion_timestamp is None) == ["b", "c"]
    status = rig.get("DaemonSet", "agent").status
    assert (status.desired_number_scheduled, status.number_misscheduled) == (1, 1)
    rig.delete("Pod", next(pod.metadata.name for pod in rig.pods() if target_of(pod) == "b"))
    rig.run(1)
    assert sorted(target_of(pod) for pod in rig.pods()) == ["c"], "a new one is not started there"


def test_nodes_and_pods_are_not_watched_before_there_is_a_daemon_set() -> None:
    assert DaemonSetController().watches == ("DaemonSet",)


def revisions(story: Story) -> list[tuple[int, str]]:
    """(number, image of the template) of the ControllerRevisions."""
    found = story.server.objects("ControllerRevision").values()
    held = [(item.revision, item.data["spec"]["template"]["spec"]["containers"][0]["image"]) for item in found]
    return sorted(held)


def test_each_template_is_kept_in_a_revision() -> None:
    """`kubectl rollout history` and `undo` read them: a template that comes back has the newest number."""
    story = Story(node("a"))
    server = story.server
    server.create(daemon_set("agent:1"))
    story.run(10)
    assert revisions(story) == [(1, "agent:1")]
    (first,) = server.objects("ControllerRevision").values()
    (pod,) = server.objects("Pod").values()
    assert first.metadata.name == f"agent-{pod.metadata.labels[HASH]}"
    assert first.metadata.labels == {"app": "agent", HASH: pod.metadata.labels[HASH]}
    assert first.metadata.controller().kind == "DaemonSet"
    for image in ("agent:2", "agent:1"):
        held = server.objects("DaemonSet")["default/agent"]
        server.update(replace(held, spec=replace(held.spec, template=daemon_set(image).spec.template)))
        story.run(60)
    assert revisions(story) == [(2, "agent:2"), (3, "agent:1")]


def test_old_revisions_go_beyond_the_limit() -> None:
    story = Story(node("a"))
    first = daemon_set("agent:0")
    story.server.create(replace(first, spec=replace(first.spec, revision_history_limit=2)))
    story.run(10)
    for number in range(1, 6):
        held = story.server.objects("DaemonSet")["default/agent"]
        template = daemon_set(f"agent:{number}").spec.template
        story.server.update(replace(held, spec=replace(held.spec, template=template)))
        story.run(60)
    assert [image for _, image in revisions(story)] == ["agent:3", "agent:4", "agent:5"]


def test_a_revision_that_was_deleted_is_made_again() -> None:
    story = Story(node("a"))
    story.server.create(daemon_set())
    story.run(10)
    (name,) = (item.metadata.name for item in story.server.objects("ControllerRevision").values())
    story.server.delete("ControllerRevision", "default", name)
    story.run(10)
    assert revisions(story) == [(1, "agent:1")]


def test_the_revision_of_an_orphaned_set_is_adopted_by_the_next() -> None:
    """`kubectl delete --cascade=orphan` leaves its revision: the next set of the name waited for that for ever, and
    made no pods."""
    story = Story(node("a"))
    story.server.create(daemon_set())
    story.run(10)
    story.server.delete("DaemonSet", "default", "agent", propagation="Orphan")
    story.run(10)
    made = story.server.create(daemon_set())
    story.run(10)
    (held,) = story.server.objects("ControllerRevision").values()
    assert held.metadata.controller().uid == made.metadata.uid
    assert story.status()["numberReady"] == 1


def test_a_revision_of_another_kind_of_owner_keeps_its_name() -> None:
    """A StatefulSet of the same name and template has a revision of that name."""
    story = Story(node("a"))
    story.server.create(daemon_set())
    story.run(10)
    (held,) = story.server.objects("ControllerRevision").values()
    story.server.delete("DaemonSet", "default", "agent")
    story.run(60)
    owner = replace(held.metadata.controller(), kind="StatefulSet", uid="other")
    story.server.create(replace(held, metadata=replace(held.metadata, owner_references=(owner,), resource_version="")))
    story.server.create(daemon_set())
    story.run(5)
    assert story.status()["numberReady"] == 1


def test_pods_that_were_orphaned_are_adopted_and_those_not_selected_any_more_let_go() -> None:
    story = Story(node("a"), node("b"))
    story.server.create(daemon_set())
    story.run(30)
    uids = {pod.metadata.uid for pod in story.server.objects("Pod").values()}
    story.server.delete("DaemonSet", "default", "agent", propagation="Orphan")
    story.run(30)
    assert all(pod.metadata.controller() is None for pod in story.server.objects("Pod").values())
    made = story.server.create(daemon_set())
    story.run(30)
    pods = story.server.objects("Pod")
    assert {pod.metadata.uid for pod in pods.values()} == uids  # the same ones, none beside them
    assert {pod.metadata.controller().uid for pod in pods.values()} == {made.metadata.uid}
    assert story.status()["numberReady"] == 2
    one = min(pods.values(), key=lambda pod: pod.spec.node_name)
    story.server.update(replace(one, metadata=replace(one.metadata, labels={"app": "debugged"})))
    story.run(30)
    assert story.server.get("Pod", "default", one.metadata.name).metadata.controller() is None
    assert story.where() == ["a", "a", "b"]  # its place was taken


def test_an_orphan_that_is_one_too_many_goes() -> None:
    """A pod of nobody with its labels is adopted; of two on a node one stays. Source: podsShouldBeOnNode."""
    story = Story(node("a"))
    story.server.create(daemon_set())
    story.run(30)
    (pod,) = story.server.objects("Pod").values()
    bare = ObjectMeta(name="bare", namespace="default", labels=pod.metadata.labels)
    story.server.create(Pod(metadata=bare, spec=replace(pod.spec, node_name="")))
    story.run(60)
    assert list(story.server.objects("Pod")) == [pod.metadata.key]
