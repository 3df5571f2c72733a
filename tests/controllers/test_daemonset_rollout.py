"""DaemonSets by hand: which pods go in which order, and what the status counts."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.controllers.workloads.daemonset import DaemonSetController
from harness.engine.component import Delete, Update
from harness.model.core import NodeSpec, Pod, Taint
from harness.model.daemon_sets import target_of
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError
from harness.model.workloads import DaemonSetUpdateStrategy
from tests.controllers.rig import Rig
from tests.controllers.test_daemonset import CAPACITY, by_hand, daemon_set, live

ON_DELETE = DaemonSetUpdateStrategy(type="OnDelete")


def test_pods_that_go_already_are_not_deleted_again_nor_counted_as_available() -> None:
    """Each look at a node with a NoExecute taint would ask for the deletion once more."""
    rig = by_hand("a", "b")
    for pod in rig.pods():
        rig.set_ready(pod, node=target_of(pod))
    found = rig.get("Node", "a", "")
    rig.do(Update(replace(found, spec=replace(found.spec, taints=(Taint(key="mine", effect="NoExecute"),)))))
    rig.run(1)
    rig.node("c")
    rig.run(1)
    gone = [effect for _, effect in rig.sent if isinstance(effect, Delete) and effect.kind == "Pod"]
    assert len(gone) == len({effect.name for effect in gone}) == 1


def test_a_pod_that_goes_makes_its_node_unavailable_in_a_rollout() -> None:
    rig = by_hand("a", "b", "c")
    for pod in rig.pods():
        rig.set_ready(pod, node=target_of(pod))
    rig.run(1)
    going = max(rig.pods(), key=target_of)
    rig.delete("Pod", going.metadata.name)
    rig.run(1)
    rig.change("DaemonSet", "agent", template=daemon_set("agent:2").spec.template)
    rig.run(1)
    assert len(live(rig)) == 2, "one is unavailable already, and no more may be"
    rig.kubelet_kills(going)
    rig.run(1)
    (new,) = [pod for pod in rig.pods() if pod.spec.containers[0].image == "agent:2"]
    assert target_of(new) == "c"
    assert len(live(rig)) == 3
    rig.set_ready(new, node="c")
    rig.run(1)
    assert len(live(rig)) == 2, "then the next one goes"


def test_old_pods_that_are_not_available_go_at_once_and_available_ones_in_turn() -> None:
    rig = by_hand("a", "b", "c", "d", strategy={"rollingUpdate": {"maxUnavailable": 2}})
    for pod in rig.pods():
        if target_of(pod) != "d":
            rig.set_ready(pod, node=target_of(pod))
    rig.run(1)
    strategy = {"rollingUpdate": {"maxUnavailable": 2}}
    rig.change("DaemonSet", "agent", template=daemon_set("agent:2", strategy).spec.template)
    rig.run(1)
    images = {(target_of(pod), pod.spec.containers[0].image) for pod in rig.pods()}
    assert images == {("a", "agent:1"), ("b", "agent:1"), ("c", "agent:1"), ("d", "agent:2")}
    assert len(live(rig)) == 3, "one of the available ones, since one is unavailable"


def test_the_status_counts_nodes_and_the_oldest_pod_of_each() -> None:
    rig = by_hand("a", "b", "c", min_ready_s=10)
    for name, pod in zip("ab", sorted(rig.pods(), key=target_of), strict=False):
        rig.set_ready(pod, node=name)
    rig.run(1)

    def counts() -> tuple[int | None, ...]:
        status = rig.get("DaemonSet", "agent").status
        return (
            status.desired_number_scheduled,
            status.current_number_scheduled,
            status.number_ready,
            status.number_available,
            status.number_unavailable,
            status.updated_number_scheduled,
        )

    assert counts() == (3, 3, 2, None, 3, 3)
    rig.run(8)
    assert counts() == (3, 3, 2, None, 3, 3)
    rig.run(2)
    assert counts() == (3, 3, 2, 2, 1, 3), "they have been ready for ten seconds, and nothing else happened"
    rig.change("DaemonSet", "agent", template=daemon_set("agent:2").spec.template, update_strategy=ON_DELETE)
    rig.run(1)
    assert counts() == (3, 3, 2, 2, 1, None)


def test_a_failed_pod_whose_deletion_is_refused_is_tried_again() -> None:
    rig = by_hand("a")
    (pod,) = rig.pods()
    refused: list[str] = []

    def refuse(name: str, effect: Any) -> ApiError | None:
        if isinstance(effect, Delete) and len(refused) < 2:
            refused.append(effect.name)
            return ApiError(500, "InternalError", "no")
        return None

    rig.refuse = refuse
    rig.finish(rig.bind(pod, "a"), "Failed")
    rig.run(60)
    assert len(refused) == 2
    assert pod.metadata.name not in live(rig)
    assert rig.events("FailedDelete")


def test_a_set_that_names_a_node_or_asks_for_labels_has_no_pod_elsewhere() -> None:
    rig = by_hand("a", "b", nodeName="b")
    assert [target_of(pod) for pod in rig.pods()] == ["b"]
    rig = by_hand("a", "b", nodeSelector={"disk": "ssd"})
    assert rig.pods() == []
    found = rig.get("Node", "a", "")
    rig.do(Update(replace(found, metadata=replace(found.metadata, labels={"disk": "ssd"}))))
    rig.run(1)
    assert [target_of(pod) for pod in rig.pods()] == ["a"]
    rig.do(Update(replace(rig.get("Node", "a", ""), metadata=replace(found.metadata, labels={}, resource_version=""))))
    rig.run(1)
    assert rig.pods() == []


def test_a_heartbeat_of_a_node_makes_nobody_look() -> None:
    controller = DaemonSetController()
    rig = Rig(controller)
    rig.create(daemon_set())
    rig.node("a")
    rig.run(1)
    seen: list[str] = []
    reconcile = controller.reconcile

    def seen_by(now: int, key: str) -> None:
        seen.append(key)
        reconcile(now, key)

    controller.reconcile = seen_by  # type: ignore[method-assign]
    found = rig.get("Node", "a", "")
    status = replace(found.status, capacity=CAPACITY)
    rig.do(Update(replace(found, status=status), "status"))
    rig.run(1)
    assert seen == []
    rig.do(Update(replace(rig.get("Node", "a", ""), spec=NodeSpec(unschedulable=True))))
    rig.run(1)
    assert seen != []


def test_deleting_a_set_lets_nobody_adopt_its_pods_for_it() -> None:
    rig = by_hand("a")
    rig.delete("DaemonSet", "agent")
    rig.run(1)
    labels = {"app": "agent"}
    rig.create(Pod(metadata=ObjectMeta(name="bare", namespace="default", labels=labels), spec=rig.pods()[0].spec))
    rig.run(1)
    assert rig.get("Pod", "bare").metadata.controller() is None
