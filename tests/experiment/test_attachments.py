"""Disks that are attached to one node at a time: what a pod waits for when its node is lost, and what is left."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.convergence.checkers import check, converged
from harness.convergence.cluster_state import ClusterState
from harness.engine.component import SECOND, InjectFault, RestartApiServer
from harness.experiment.run import Home, Run, run_once
from harness.experiment.scenario import LoadedScenario
from harness.experiment.waterfalls import waterfalls
from harness.measure.waterfall.hops import Hop
from harness.model.attachments import OUT_OF_SERVICE, attachment_of, may_be_shared, place_of
from harness.model.core import Taint
from harness.model.faults import Crash, Partition
from harness.model.meta import condition
from harness.model.objects import KINDS, from_wire, to_wire
from harness.scheduling.registry import load
from tests.controllers.test_statefulset import CLAIM, CLASS, Story, stateful_set
from tests.examples import examples
from tests.experiment.scenarios import loaded

CRASH = {"at": "2m", "nodeCrash": {"select": {"app": "db"}}}


def scenario_of(faults: list[dict[str, Any]], *, disk: bool = True, **spec: Any) -> LoadedScenario:
    """A StatefulSet of one pod on two nodes."""
    claims: dict[str, Any] = {"volumeClaimTemplates": [CLAIM]} if disk else {}
    given = {
        "duration": "30m",
        "bound": False,
        "nodes": [{"group": {"name": "n", "count": 2, "cpu": 4, "memory": "8Gi"}}],
        "workload": [{"objects": [CLASS, to_wire(stateful_set(replicas=1, **claims))]}],
        **spec,
    }
    return loaded(faults=faults, **given)


def recovered(*faults: dict[str, Any], disk: bool = True, **spec: Any) -> float:
    """Seconds from the crash to when the pod runs again."""
    run = Run(scenario_of([CRASH, *faults], disk=disk, **spec), load("least-allocated")(), 1, Home())
    run.play()
    result = run.result("least-allocated")
    assert not any(result.wrong()), list(result.wrong())
    (pod,) = run.cluster.server.listed("Pod")
    ready = condition(pod.status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, pod.spec.node_name) == ("True", "n-1")
    assert ready.last_transition_time is not None
    return float(ready.last_transition_time / SECOND - 120)


OUT = {"at": "4m", "nodeTaint": {"key": OUT_OF_SERVICE, "effect": "NoExecute", "select": {"names": ["n-0"]}}}
GONE = {"at": "4m", "objectDeletion": {"kind": "Node", "name": "n-0"}}


def test_a_pod_whose_node_is_deleted_waits_six_minutes_for_its_disk() -> None:
    """The pods of a node that is gone go after 40 to 60 s; the disk stays there for six minutes more, and the kubelet
    of the other node, which looks for it at longer and longer intervals, finds it at most 2 minutes 2 s later."""
    without = recovered(GONE, disk=False)
    assert 120 + 40 < without < 120 + 60 + 10
    assert without + 360 < recovered(GONE) < without + 360 + 122 + 10


def test_with_the_taint_out_of_service_the_disk_comes_at_once() -> None:
    without = recovered(OUT, disk=False)
    assert 120 < without < 120 + 20 + 10
    assert recovered(OUT) < without + 10 + 5, "but for the next status of its node"


def test_the_wait_is_a_constant_and_the_driver_takes_its_time() -> None:
    short = recovered(GONE, constants={"maxWaitForUnmountDuration": "1m"})
    assert short < recovered(GONE, disk=False) + 60 + 64 + 10
    slow = {"volumeAttach": {"constant": "20s"}, "volumeDetach": {"constant": "10s"}}
    assert recovered(OUT, latencies=slow) > recovered(OUT, disk=False) + 30


def watched(story: Story) -> list[str]:
    """What goes wrong from now on: a volume for one node that is attached to two."""
    wrong: list[str] = []

    def look(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind != "VolumeAttachment":
            return
        nodes: dict[str, set[str]] = {}
        for each in story.server.objects("VolumeAttachment").values():
            volume, node, _ = place_of(each)
            nodes.setdefault(volume, set()).add(node)
        for name, where in nodes.items():
            volume_there: Any = story.server.objects("PersistentVolume").get(name)
            if len(where) > 1 and volume_there is not None and not may_be_shared(volume_there):
                wrong.append(f"{name} at {revision}: {sorted(where)}")

    story.server.listeners.append(look)
    return wrong


def test_the_checker_finds_a_disk_in_two_places_and_one_that_nobody_uses() -> None:
    story = Story(2)
    story.server.create(from_wire(CLASS))
    story.server.create(stateful_set(replicas=1, volumeClaimTemplates=[CLAIM]))
    story.run(30)
    assert converged(story.cluster, only=("attachments",)) == []
    (volume,) = story.server.listed("PersistentVolume")
    held = {kind: dict(story.server.objects(kind)) for kind in KINDS}
    state = ClusterState(held.__getitem__, story.cluster.now)
    twice = attachment_of(volume, "n1")
    held["VolumeAttachment"][twice.metadata.name] = twice
    found = {item.what for item in check(state, ("attachments",)) if item.subject.endswith(volume.metadata.name)}
    assert "attached to n1, where no pod uses it" in found
    assert found & {"attached to n0 and to n1", "attached to n1 and to n0"}


def act(story: Story, what: str, rng: Random) -> None:
    server, cluster = story.server, story.cluster
    names, nodes = sorted(story.pods()), sorted(server.objects("Node"))
    for_ns = rng.choice((5, 30, 120, 700)) * SECOND
    if what in ("kill", "force") and names:
        server.delete("Pod", "default", rng.choice(names), grace_s=0 if what == "force" else None)
    elif what == "scale":
        story.change(replicas=rng.randint(0, 3))
    elif what in ("crash", "cut"):
        fault = Crash(for_ns) if what == "crash" else Partition(for_ns)
        cluster._machines(cluster.now, InjectFault((rng.choice(nodes),), fault))
    elif what in PROCESSES:
        cluster.restart(cluster.now, PROCESSES[what], rng.choice((1, 30)) * SECOND)
    elif what == "api":
        cluster._machines(cluster.now, RestartApiServer(rng.choice((1, 30)) * SECOND))
    elif what == "taint":
        node = server.get("Node", "", rng.choice(nodes))
        if not any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints):
            taint = Taint(key=OUT_OF_SERVICE, effect="NoExecute")
            server.update(replace(node, spec=replace(node.spec, taints=(*node.spec.taints, taint))))


def calm(story: Story) -> None:
    """Whoever said that a node is out of service takes it back."""
    for node in story.server.listed("Node"):
        kept = tuple(taint for taint in node.spec.taints if taint.key != OUT_OF_SERVICE)
        story.server.update(replace(node, spec=replace(node.spec, taints=kept)))


PROCESSES = {"manager": "kube-controller-manager", "attacher": "external-attacher", "scheduler": "kube-scheduler"}

STEP = st.tuples(
    st.sampled_from(("kill", "force", "force", "scale", "crash", "crash", "cut", *PROCESSES, "api", "taint")),
    st.integers(0, 1 << 16),
    st.sampled_from((0, 1, 12, 60, 400)),
)


@settings(max_examples=examples(60), deadline=None)
@example(steps=[("kill", 0, 0)])  # its successor came before it was told that the disk was unmounted: never looked for
@example(steps=[("crash", 0, 60), ("force", 0, 12)])  # the disk is on a node that is lost, and the next pod elsewhere
@example(steps=[("crash", 0, 60), ("force", 0, 12), ("manager", 0, 400)])  # who waits to detach it starts again
@given(steps=st.lists(STEP, min_size=1, max_size=8))
def test_whatever_goes_wrong_no_disk_is_in_two_places_and_none_is_left_attached(
    steps: list[tuple[str, int, int]],
) -> None:
    story = Story(3)
    wrong = watched(story)
    story.server.create(from_wire(CLASS))
    story.server.create(stateful_set(replicas=2, volumeClaimTemplates=[CLAIM], podManagementPolicy="Parallel"))
    story.run(20)
    for what, number, seconds in steps:
        act(story, what, Random(number))
        story.run(seconds)
    story.run(60)
    calm(story)
    story.run(1200)
    assert wrong == []
    assert converged(story.cluster, only=("attachments", "volumes", "stateful-sets")) == []
    sets: Any = story.server.get("StatefulSet", "default", "db")
    assert len(story.ready()) == sets.spec.replicas
    story.server.delete("StatefulSet", "default", "db")
    story.run(60)
    assert story.server.listed("VolumeAttachment") == []
    assert all(node.status.volumes_attached == () for node in story.server.listed("Node"))
    assert all(node.status.volumes_in_use == () for node in story.server.listed("Node"))
    assert wrong == []


def test_a_waterfall_says_what_the_disk_waited_for(tmp_path: Any) -> None:
    def hops(name: str, *faults: dict[str, Any]) -> dict[str, Hop]:
        plan = scenario_of([CRASH, *faults])
        result = run_once(plan, "least-allocated", 1, out=tmp_path / name)
        assert result.folder is not None
        fall = waterfalls(result.folder).recoveries[0]
        assert sum(hop.ns for hop in fall.hops) == fall.total_ns
        return {hop.name: hop for hop in fall.hops}

    gone = hops("gone", GONE)
    left = gone["volume leaves another node"]
    assert left.timer == "maxWaitForUnmountDuration"
    assert 359 < left.ns / SECOND < 361
    assert gone["volume found"].timer == "the kubelet's looks for a volume"
    out = hops("out", OUT)
    assert out["volume attached"].timer == "spec.latencies.volumeAttach"
    assert out["volume found"].timer == "nodeStatusUpdateFrequency"
    assert out["image pulled"].ns == 2 * SECOND
