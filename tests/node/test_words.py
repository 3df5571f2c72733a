"""What a kubelet says when the API server was away: the latest, in order, once; and what it says at all."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from harness.engine.component import SECOND, RestartApiServer
from harness.model.core import Node, NodeStatus
from harness.model.faults import Crash, Partition
from harness.model.meta import ObjectMeta, condition
from tests.node.rig import Rig


def down(rig: Rig, seconds: float) -> None:
    rig.cluster._machines(rig.cluster.now, RestartApiServer(round(seconds * SECOND)))


def said(rig: Rig, name: str = "a") -> list[str]:
    return [phase for _, pod, phase in rig.statuses if pod == name]


def test_a_status_that_failed_does_not_overtake_a_newer_one() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/duration": "700ms"})
    rig.run(1.4)
    down(rig, 0.5)  # over when the container has ended, but not when it started
    rig.run(20)
    assert said(rig)[-1] == "Succeeded"
    assert said(rig).count("Succeeded") == 1
    assert "Running" not in said(rig)[said(rig).index("Succeeded") :]


def test_a_last_status_survives_an_outage() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/duration": "5s"})
    rig.run(4)
    down(rig, 60)
    rig.run(80)
    pod = rig.get()
    assert pod is not None
    assert pod.status.phase == "Succeeded"
    state = pod.status.container_statuses[0].state.terminated
    assert state is not None
    assert state.finished_at is not None
    assert 6 * SECOND < state.finished_at < 7 * SECOND  # when it ended, not when that could be told


def test_a_pod_that_stopped_in_an_outage_goes_after_it() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/stop-after": "2s"})
    rig.run(4)
    rig.delete()
    rig.run(5)
    down(rig, 30)
    rig.run(60)
    assert rig.get() is None


@pytest.mark.parametrize("folded", [True, False])
def test_a_node_that_boots_in_an_outage_registers_after_it(folded: bool) -> None:
    rig = Rig(folded=folded)
    down(rig, 30)
    capacity = rig.server.get("Node", "", "n0").status.capacity
    late = Node(metadata=ObjectMeta(name="late"), status=NodeStatus(capacity=capacity, allocatable=capacity))
    rig.cluster.start_nodes([late])
    rig.run(29)
    assert "late" not in rig.server.objects("Node")
    rig.run(50)
    node = rig.server.get("Node", "", "late")
    ready = condition(node.status.conditions, "Ready")
    assert ready is not None
    assert ready.status == "True"
    if folded:
        renewed = rig.cluster.api.renewed_ns("late")
    else:
        renewed = rig.server.get("Lease", "kube-node-lease", "late").spec.renew_time
    assert renewed is not None
    assert renewed > 38 * SECOND


def renewals(rig: Rig) -> list[float]:
    out: list[float] = []

    def note(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Lease":
            out.append(round(obj.spec.renew_time / SECOND, 1))

    rig.server.listeners.append(note)
    return out


def test_renewals_go_on_after_an_outage_one_every_ten_seconds() -> None:
    rig = Rig(folded=False)
    found = renewals(rig)
    down(rig, 25)
    rig.run(27)
    rig.run(100)
    assert len(found) in (7, 8)
    # What could not be said is said again; after that each is ten seconds after the one before, at the node's phase.
    assert {round((later - earlier), 1) for earlier, later in pairwise(found[-5:])} == {10.0}


def test_after_a_partition_the_lease_is_renewed_once_and_then_on_time() -> None:
    rig = Rig(folded=False)
    found = renewals(rig)
    rig.run(5)
    rig.disturb(Partition(for_ns=63 * SECOND))
    rig.run(100)
    after = [at for at in found if at > 5]
    assert round(after[0]) == 68  # when the network is back
    assert 0 < after[1] - after[0] <= 10
    assert {round(later - earlier, 1) for earlier, later in pairwise(after[1:])} == {10.0}


def test_a_deadline_holds_in_back_off_and_the_pod_is_not_ready() -> None:
    rig = Rig()
    made = rig.pod(restart="Always", deadline_s=20, annotations={"podyard.dev/duration": "1s"})
    rig.run(60)
    pod = rig.get()
    assert pod is not None
    assert (pod.status.phase, pod.status.reason) == ("Failed", "DeadlineExceeded")
    ended = next(at for at, _, phase in rig.statuses if phase == "Failed")
    assert abs(ended - 21) < 0.1
    assert not rig.ready()
    assert pod.metadata.uid == made.metadata.uid


def test_a_pod_with_a_finalizer_says_how_it_ended() -> None:
    rig = Rig()
    rig.pod(finalizers=("example.com/hold",))
    rig.run(4)
    rig.delete()
    rig.run(10)
    pod = rig.get()
    assert pod is not None
    assert pod.status.phase == "Failed"
    state = pod.status.container_statuses[0].state.terminated
    assert state is not None
    assert state.exit_code == 143
    assert not rig.ready()


def test_a_second_deletion_shortens_the_grace() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/stop-after": "25s"})
    rig.run(4)
    rig.delete()
    rig.run(6)
    rig.delete(grace_s=4)
    rig.run(9)
    assert rig.get() is not None
    rig.run(10.5)
    assert rig.get() is None


def test_after_a_crash_what_is_never_restarted_has_failed_and_the_rest_is_not_ready_until_it_runs() -> None:
    rig = Rig()
    rig.pod("task", restart="Never", annotations={"podyard.dev/duration": "100s"})
    rig.pod("server", restart="Always", annotations={"podyard.dev/ready-after": "5s"})
    rig.run(10)
    rig.disturb(Crash(down_ns=20 * SECOND))
    rig.run(32)
    task = rig.get("task")
    assert task is not None
    assert task.status.phase == "Failed"
    state = task.status.container_statuses[0].state.terminated
    assert state is not None
    assert (state.exit_code, state.reason) == (137, "ContainerStatusUnknown")
    assert not rig.ready("server")
    rig.run(37)
    assert rig.ready("server")
    server = rig.get("server")
    assert server is not None
    assert server.status.container_statuses[0].restart_count == 1
    assert server.status.start_time is not None
    assert server.status.start_time < 2 * SECOND


def test_normal_events_are_told_only_when_asked_for() -> None:
    rig = Rig(cached=False, record_events=True)
    rig.pod("a")
    rig.run(10)
    rig.pod("b")
    rig.run(12)
    rig.delete("b")
    rig.run(15)
    about = {name: [e.reason for e in rig.server.listed("Event") if e.involved_object.name == name] for name in "ab"}
    assert about["a"] == ["Pulling", "Pulled", "Created", "Started"]
    assert about["b"] == ["Pulled", "Created", "Started", "Killing"]
    quiet = Rig(record_events=False)
    quiet.pod("a")
    quiet.run(10)
    quiet.delete("a")
    quiet.run(15)
    assert quiet.events() == []


def test_nodes_have_addresses_of_their_own() -> None:
    rig = Rig(nodes=3)
    hosts = set()
    for index in range(3):
        rig.pod(f"p{index}", node=f"n{index}")
    rig.run(5)
    pods = [rig.get(f"p{index}") for index in range(3)]
    for pod in pods:
        assert pod is not None
        hosts.add(pod.status.host_ip)
    assert len(hosts) == 3
    assert len({pod.status.pod_ip for pod in pods if pod is not None}) == 3
