"""Taint eviction: how long a pod may stay on a node with NoExecute taints."""

from __future__ import annotations

from msgspec.structs import replace

from harness.controllers.nodes.taint_eviction import TaintEvictionController
from harness.engine.component import Delete, Update
from harness.model.core import Pod, Taint, Toleration
from harness.model.meta import ObjectMeta, condition
from harness.model.status import ApiError
from tests.controllers.rig import Rig, template

A, B = Taint(key="a", effect="NoExecute"), Taint(key="b", effect="NoExecute")


def stays(key: str, seconds: int | None) -> Toleration:
    return Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)


def town() -> Rig:
    rig = Rig(TaintEvictionController())
    rig.node("n")
    return rig


def put(rig: Rig, name: str, *tolerations: Toleration) -> Pod:
    spec = replace(template().spec, tolerations=tolerations)
    pod: Pod = rig.create(Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
    return rig.set_ready(pod)


def taint(rig: Rig, *taints: Taint) -> None:
    node = rig.get("Node", "n", "")
    rig.do(Update(replace(node, spec=replace(node.spec, taints=taints))))


def here(rig: Rig) -> list[str]:
    return sorted(pod.metadata.name for pod in rig.server.listed("Pod") if pod.metadata.deletion_timestamp is None)


def test_the_shortest_of_its_tolerations_counts() -> None:
    rig = town()
    put(rig, "never", Toleration(key="other", operator="Exists", effect="NoExecute"))
    put(rig, "always", stays("a", None), stays("b", None))
    put(rig, "ten", stays("a", 10), stays("b", 30))
    put(rig, "thirty", stays("a", None), stays("b", 30))
    put(rig, "negative", stays("a", -5), stays("b", None))
    rig.run(1)
    taint(rig, A, B)
    rig.run(0.5)
    assert here(rig) == ["always", "ten", "thirty"]
    rig.run(9)
    assert here(rig) == ["always", "ten", "thirty"]
    rig.run(1)
    assert here(rig) == ["always", "thirty"]
    rig.run(19)
    assert here(rig) == ["always", "thirty"]
    rig.run(1)
    assert here(rig) == ["always"]
    rig.run(3600)
    assert here(rig) == ["always"]
    (gone,) = [pod for pod in rig.server.listed("Pod") if pod.metadata.name == "ten"]
    target = condition(gone.status.conditions, "DisruptionTarget")
    assert target is not None
    assert (target.status, target.reason) == ("True", "DeletionByTaintManager")


def test_a_taint_that_goes_in_time_gives_the_pod_its_whole_time_again() -> None:
    rig = town()
    put(rig, "p", stays("a", 60), stays("b", 60))
    taint(rig, A)
    rig.run(40)
    taint(rig)
    rig.run(1)
    assert [event.message for event in rig.events("TaintManagerEviction")] == ["Cancelling deletion of Pod default/p"]
    taint(rig, A)
    rig.run(50)
    assert here(rig) == ["p"]
    rig.run(11)
    assert here(rig) == []


def test_another_taint_in_between_does_not_start_the_time_anew() -> None:
    rig = town()
    put(rig, "p", stays("a", 60), stays("b", 60))
    taint(rig, A)
    rig.run(40)
    taint(rig, A, B)
    rig.run(19)
    assert here(rig) == ["p"]
    rig.run(2)
    assert here(rig) == []
    assert [event.message for event in rig.events("TaintManagerEviction")] == ["Marking for deletion Pod default/p"]


def test_a_pod_of_the_same_name_has_its_own_time() -> None:
    rig = town()
    first = put(rig, "p", stays("a", 60))
    taint(rig, A)
    rig.run(40)
    rig.do(Delete("Pod", "default", "p", grace_s=0))
    rig.run(1)
    assert put(rig, "p", stays("a", 60)).metadata.uid != first.metadata.uid
    rig.run(50)
    assert here(rig) == ["p"]
    rig.run(11)
    assert here(rig) == []


def test_pods_that_come_to_a_tainted_node_go_and_those_that_ended_stay() -> None:
    rig = town()
    ended = put(rig, "ended")
    rig.finish(ended)
    taint(rig, A, Taint(key="c", effect="NoSchedule"))
    rig.run(1)
    put(rig, "late")
    put(rig, "short", stays("a", 5))
    rig.run(1)
    assert here(rig) == ["ended", "short"]
    rig.run(5)
    assert here(rig) == ["ended"]


def test_a_node_that_is_gone_evicts_nobody() -> None:
    rig = town()
    put(rig, "p", stays("a", 30))
    taint(rig, A)
    rig.run(10)
    rig.do(Delete("Node", "", "n"))
    rig.run(60)
    assert here(rig) == ["p"], "the pod garbage collector's"


def test_an_eviction_that_failed_is_done_again() -> None:
    rig = town()
    put(rig, "p")
    rig.refuse = lambda name, effect: ApiError(500, "InternalError", "no") if isinstance(effect, Delete) else None
    taint(rig, A)
    rig.run(3)
    assert here(rig) == ["p"]
    rig.refuse = lambda name, effect: None
    rig.run(60)
    assert here(rig) == []
