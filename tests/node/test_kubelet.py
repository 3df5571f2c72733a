"""What a kubelet does with the pods of its node: stories in virtual time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import ClusterSettings
from harness.engine.component import SECOND
from harness.model.core import Node, Probe
from harness.model.faults import ContainerCrash, Crash, Freeze, Partition
from harness.model.meta import ObjectMeta
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.examples import examples
from tests.node.rig import Rig

HANDLER = {"httpGet": {"port": 8080}}


def phases(rig: Rig, name: str = "a") -> list[str]:
    out: list[str] = []
    for _, pod, phase in rig.statuses:
        if pod == name and (not out or out[-1] != phase):
            out.append(phase)
    return out


def test_a_node_registers_ready_and_its_lease_stands() -> None:
    rig = Rig()
    node = rig.server.get("Node", "", "n0")
    assert {c.type: c.status for c in node.status.conditions}["Ready"] == "True"
    lease = rig.server.get("Lease", "kube-node-lease", "n0")
    assert lease.spec.lease_duration_seconds == 40
    rig.run(3600)
    renewed = rig.cluster.api.renewed_ns("n0")
    assert renewed is not None
    assert 3590 <= renewed / SECOND < 3600  # at a phase of its own


def test_unfolded_the_lease_is_renewed_every_ten_seconds() -> None:
    rig = Rig(folded=False)
    rig.run(35)
    lease = rig.server.get("Lease", "kube-node-lease", "n0")
    assert 25 <= lease.spec.renew_time / SECOND < 35


def test_nodes_renew_at_phases_that_are_the_seeds() -> None:
    """Spread over the whole period, the same for the same seed; every node of a cluster that is powered on at once."""
    nodes = [Node(metadata=ObjectMeta(name=f"n{index}")) for index in range(200)]

    def phases_of(seed: int) -> list[int]:
        plan = ClusterPlan(settings=ClusterSettings(seed=seed), nodes=nodes, controllers=())
        cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        cluster.run(60 * SECOND)
        cluster.server.now = 60 * SECOND
        found = [cluster.api.renewed_ns(node.metadata.name) for node in nodes]
        return [at % (10 * SECOND) for at in found if at is not None]

    first = phases_of(1)
    assert len(first) == 200
    assert phases_of(1) == first != phases_of(2)
    tenths = Counter(at // SECOND for at in first)
    assert len(tenths) == 10
    assert max(tenths.values()) < 40  # 20 are expected; 40 are 4.6 deviations off


def test_a_pod_starts_runs_its_duration_and_succeeds() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/duration": "30s"})
    rig.run(3)
    assert rig.ready()
    rig.run(40)
    assert phases(rig) == ["Pending", "Running", "Succeeded"]
    running = next(at for at, _, phase in rig.statuses if phase == "Running")
    ended = next(at for at, _, phase in rig.statuses if phase == "Succeeded")
    assert abs(ended - running - 30) < 0.01


def test_an_image_that_is_not_cached_is_pulled_once() -> None:
    rig = Rig(cached=False)
    rig.pod("a")
    rig.pod("b")
    rig.run(10)
    start = {name: at for at, name, phase in reversed(rig.statuses) if phase == "Running"}
    assert start["a"] > 1 + 2.0  # half a second and 150 MB at 100 MB/s, then half a second to start
    assert start["b"] == start["a"]  # it waited for the same pull
    rig.pod("c")
    rig.run(12)
    assert phases(rig, "c")[-1] == "Running"  # in the node's cache by now


def test_what_does_not_fit_is_refused_in_kubernetes_words() -> None:
    rig = Rig(cpu="4")
    rig.pod("a", cpu="3")
    rig.pod("b", cpu="2")
    rig.run(5)
    refused = rig.get("b")
    assert refused is not None
    assert (refused.status.phase, refused.status.reason) == ("Failed", "OutOfcpu")
    assert "requested: 2000, used: 3000, capacity: 4000" in refused.status.message
    rig.delete("a")
    rig.run(10)
    rig.pod("c", cpu="4")
    rig.run(15)
    assert phases(rig, "c")[-1] == "Running"


def test_deletion_takes_its_grace_and_frees_the_node() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/stop-after": "7s"})
    rig.run(5)
    rig.delete()
    rig.run(11)
    assert rig.get() is not None
    rig.run(13)
    assert rig.get() is None


def test_grace_ends_a_container_that_takes_longer() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/stop-after": "1000s"})
    rig.run(5)
    rig.delete(grace_s=3)
    rig.run(9)
    assert rig.get() is None


def test_a_container_that_keeps_failing_backs_off_as_kubernetes_does() -> None:
    rig = Rig(record_events=True)
    rig.pod(restart="Always", annotations={"podyard.dev/duration": "1s", "podyard.dev/exit-code": "1"})
    rig.run(200)
    starts: list[float] = []
    for at, _, phase in rig.statuses:
        pod = rig.get()
        assert pod is not None
        if phase == "Running" and (not starts or at - starts[-1] > 1.2):
            starts.append(at)
    gaps = [int(b - a) for a, b in pairwise(starts)]
    # A second of running, half a one to start; at once, then 10, 20, 40, 80 s; seen within a second each.
    assert all(least <= gap <= least + 1 for gap, least in zip(gaps[:5], (1, 11, 21, 41, 81), strict=True))
    pod = rig.get()
    assert pod is not None
    waiting = pod.status.container_statuses[0].state.waiting
    assert waiting is None or waiting.reason in ("CrashLoopBackOff", "ContainerCreating")
    assert "BackOff" in rig.events()


def test_readiness_waits_for_its_probe() -> None:
    rig = Rig()
    rig.pod(readiness_probe=Probe(initial_delay_seconds=5, period_seconds=2, extra=HANDLER))
    rig.run(4)
    assert phases(rig)[-1] == "Running"
    assert not rig.ready()
    rig.run(8)
    assert rig.ready()


def test_liveness_restarts_what_no_longer_answers() -> None:
    rig = Rig()
    rig.pod(
        restart="Always",
        annotations={"podyard.dev/unhealthy-after": "20s"},
        liveness_probe=Probe(period_seconds=5, failure_threshold=3, extra=HANDLER),
    )
    rig.run(60)
    pod = rig.get()
    assert pod is not None
    assert (pod.status.container_statuses[0].restart_count or 0) >= 1
    assert "Unhealthy" in rig.events()


def test_a_crashed_container_is_restarted_or_not_as_the_policy_says() -> None:
    rig = Rig()
    rig.pod("always", restart="Always")
    rig.pod("never", restart="Never")
    rig.run(5)
    rig.hit(ContainerCrash(pod="default/always"))
    rig.hit(ContainerCrash(pod="default/never"))
    rig.run(10)
    always, never = rig.get("always"), rig.get("never")
    assert always is not None
    assert never is not None
    assert always.status.container_statuses[0].restart_count == 1
    assert rig.ready("always")
    assert never.status.phase == "Failed"
    terminated = never.status.container_statuses[0].state.terminated
    assert terminated is not None
    assert terminated.exit_code == 137


def test_where_people_look_on_a_pod_is_told_to_be_begun() -> None:
    """Live clusters: kubectl shows ContainerCreating from the kubelet's first look, as everywhere."""
    rig = Rig(wall=True, cached=False)
    rig.pod()
    rig.run(2)
    pod = rig.get()
    assert pod is not None
    assert (pod.status.phase, pod.status.pod_ip) == ("Pending", "")
    assert pod.status.start_time is not None
    waiting = pod.status.container_statuses[0].state.waiting
    assert waiting is not None
    assert waiting.reason == "ContainerCreating"
    rig.run(5)
    assert rig.ready()


def test_a_restart_counts_when_it_happens() -> None:
    """While it waits its count is that of the container that has ended. Source: kuberuntime_container.go
    startContainer: the new container's count is the last one's and 1 (1.32)."""
    rig = Rig()
    annotations = {"podyard.dev/duration": "20s", "podyard.dev/exit-code": "1"}
    rig.pod(restart="Always", annotations=annotations)
    rig.pod("b", restart="Always", annotations=annotations, startup_probe=Probe(extra=HANDLER))
    seen: dict[str, list[tuple[str, int]]] = {"a": [], "b": []}
    for second in range(3, 120):
        rig.run(second)
        for name, states in seen.items():
            pod = rig.get(name)
            assert pod is not None
            status = pod.status.container_statuses[0]
            waiting = status.state.waiting
            state = "running" if waiting is None else waiting.reason
            if states[-1:] != [(state, status.restart_count or 0)]:
                states.append((state, status.restart_count or 0))
    for states in seen.values():
        assert [item for item in states if item[0] != "ContainerCreating"][:6] == [
            ("running", 0),
            ("running", 1),
            ("CrashLoopBackOff", 1),
            ("running", 2),
            ("CrashLoopBackOff", 2),
            ("running", 3),
        ]


@pytest.mark.parametrize("probe", [None, Probe(extra=HANDLER)])
def test_a_restart_counts_once_where_the_node_lost_power_meanwhile(probe: Probe | None) -> None:
    """A pod that waits in its backoff has ended once; its next start is one restart."""
    rig = Rig()
    annotations = {"podyard.dev/duration": "20s", "podyard.dev/exit-code": "1"}
    rig.pod(restart="Always", startup_probe=probe, annotations=annotations)
    until = 3
    rig.run(until)
    while "BackOff" not in rig.events():
        until += 1
        rig.run(until)
    rig.disturb(Crash(down_ns=20 * SECOND))
    rig.run(until + 30)
    pod = rig.get()
    assert pod is not None
    assert pod.status.container_statuses[0].state.running is not None
    assert pod.status.container_statuses[0].restart_count == 2


def test_after_a_crash_the_node_is_silent_and_back_it_starts_its_pods_again() -> None:
    rig = Rig()
    rig.pod(restart="Always")
    rig.run(5)
    rig.disturb(Crash(down_ns=60 * SECOND))
    rig.run(30)
    assert rig.cluster.api.renewed_ns("n0") is None
    lease = rig.server.get("Lease", "kube-node-lease", "n0")
    assert lease.spec.renew_time < 6 * SECOND
    rig.run(80)
    assert rig.cluster.api.renewed_ns("n0") is not None
    pod = rig.get()
    assert pod is not None
    assert pod.status.container_statuses[0].restart_count == 1


def test_a_freeze_makes_containers_last_as_much_longer() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/duration": "20s"})
    rig.run(5)
    rig.disturb(Freeze(for_ns=30 * SECOND))
    rig.run(60)
    ended = next(at for at, _, phase in rig.statuses if phase == "Succeeded")
    running = next(at for at, _, phase in rig.statuses if phase == "Running")
    assert abs(ended - running - 50) < 0.1


def test_cut_off_a_pod_ends_and_its_status_arrives_when_the_network_is_back() -> None:
    rig = Rig()
    rig.pod(annotations={"podyard.dev/duration": "20s"})
    rig.run(5)
    rig.disturb(Partition(for_ns=60 * SECOND))
    rig.run(60)
    pod = rig.get()
    assert pod is not None
    assert pod.status.phase == "Running"
    rig.run(70)
    pod = rig.get()
    assert pod is not None
    assert pod.status.phase == "Succeeded"
    assert phases(rig) == ["Pending", "Running", "Succeeded"]


POD = st.tuples(st.integers(1, 4), st.integers(0, 20), st.integers(1, 15), st.booleans())
FAULT: Any = st.one_of(
    st.builds(Crash, st.integers(1, 20).map(lambda s: s * SECOND)),
    st.builds(Freeze, st.integers(1, 20).map(lambda s: s * SECOND)),
    st.builds(Partition, st.integers(1, 20).map(lambda s: s * SECOND)),
    st.just(ContainerCrash()),
)


@given(pods=st.lists(POD, max_size=12), faults=st.lists(st.tuples(st.integers(1, 30), FAULT), max_size=3))
@example(pods=[(1, 0, 1, False)], faults=[(1, Freeze(SECOND)), (1, Crash(SECOND))])  # the crash waited for the thaw
@settings(deadline=None, max_examples=examples(60))
def test_whatever_happens_a_node_is_never_overfull_and_what_ends_stays_ended(
    pods: list[tuple[int, int, int, bool]], faults: list[tuple[int, Any]]
) -> None:
    rig = Rig(cpu="6")
    running: dict[str, int] = {}
    ended: set[str] = set()

    def check(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind != "Pod":
            return
        name, phase = obj.metadata.name, obj.status.phase
        if change == "DELETED" or phase in ("Succeeded", "Failed"):
            running.pop(name, None)
        elif phase == "Running":
            assert name not in ended, f"{name} came back"
            running[name] = int(name.split("-")[1])
            assert sum(running.values()) <= 6
        if phase in ("Succeeded", "Failed"):
            ended.add(name)

    rig.server.listeners.append(check)
    happenings: list[tuple[int, Any]] = [
        (at, ("pod", n, cpu, lasts, gone)) for n, (cpu, at, lasts, gone) in enumerate(pods)
    ]
    happenings += [(at, ("fault", fault)) for at, fault in faults]
    for at, what in sorted(happenings, key=lambda item: item[0]):
        rig.run(1 + at)
        if what[0] == "fault":
            rig.disturb(what[1])
            continue
        _, number, cpu, lasts, gone = what
        rig.pod(f"p{number}-{cpu}", cpu=str(cpu), annotations={"podyard.dev/duration": f"{lasts}s"})
        if gone:
            rig.delete(f"p{number}-{cpu}")
    rig.run(200)
    for pod in rig.server.listed("Pod"):
        assert pod.status.phase in ("Succeeded", "Failed"), pod.metadata.name
