"""Processes that start again and watches that break: what is heard, what is not, and that nothing is lost for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.engine.component import (
    DELETED,
    SECOND,
    Create,
    DisturbWatches,
    Effect,
    Event,
    Outcome,
    Relist,
    RestartApiServer,
    RestartProcess,
    Start,
    Timer,
    WakeAt,
    Watch,
)
from harness.engine.latency import Constant, Latencies, LogNormal
from harness.model.objects import from_wire
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.convergence.story import POD_SPEC, Story, deployment, manifest


class Listener:
    """Tells what it heard, and once creates a ConfigMap."""

    name = "listener"
    watches: tuple[str, ...] = ("ConfigMap",)
    handled_failures = 0

    def __init__(self) -> None:
        self.heard: list[tuple[float, str]] = []

    def step(self, now: int, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            self.heard.append((now // SECOND, self._word(event)))
            if type(event) is Start and now < SECOND:
                own = from_wire(manifest("ConfigMap", "own"))
                effects += [Create(own, token="mine"), WakeAt(30 * SECOND, "late")]
        return effects

    @staticmethod
    def _word(event: Event) -> str:
        match event:
            case Watch(type_, obj):
                return f"{'-' if type_ == DELETED else '+'}{obj.metadata.name}"
            case Relist(_, objects):
                return "=" + ",".join(obj.metadata.name for obj in objects)
            case Timer(token):
                return f"timer {token}"
            case Outcome():
                return f"answer {event.token}"
            case _:
                return type(event).__name__

    def since(self, second: float) -> list[str]:
        return [word for at, word in self.heard if at >= second]


@pytest.fixture
def listener() -> Listener:
    return Listener()


def cluster_of(listener: Listener, watch_s: int) -> Cluster:
    latencies = Latencies(watch=Constant(watch_s * SECOND))
    settings = ClusterSettings(latencies=latencies, record_events=False)
    plan = ClusterPlan(settings=settings, controllers=(), components=(listener,))
    return assemble(MemoryStore(ObjectCodec()), plan).cluster


def at(cluster: Cluster, second: float, *effects: Effect) -> None:
    cluster.run(round(second * SECOND))
    cluster.server.now = round(second * SECOND)
    for effect in effects:
        cluster._machines(cluster.now, effect)


def put(cluster: Cluster, name: str) -> None:
    cluster.server.create(from_wire(manifest("ConfigMap", name)))
    cluster.api.flush(cluster.now)


def remove(cluster: Cluster, name: str) -> None:
    cluster.server.delete("ConfigMap", "default", name)
    cluster.api.flush(cluster.now)


def test_what_is_on_its_way_to_a_process_that_stops_reaches_nobody(listener: Listener) -> None:
    """Neither watch events, nor answers, nor timers: connections and memory are gone. What it sent arrives, and what
    there is in the store is listed."""
    cluster = cluster_of(listener, watch_s=10)
    at(cluster, 1)
    put(cluster, "before")
    at(cluster, 2, RestartProcess("listener", 1 * SECOND))
    at(cluster, 60)
    (began, _), *_ = heard = listener.heard[1:]
    assert began in (2, 3)
    assert [word for _, word in heard] == ["Start", "+before", "+own"]


def test_what_was_deleted_meanwhile_is_never_heard_of(listener: Listener) -> None:
    cluster = cluster_of(listener, watch_s=10)
    at(cluster, 1)
    put(cluster, "gone")
    at(cluster, 2, RestartProcess("listener", 5 * SECOND))
    at(cluster, 3)
    remove(cluster, "gone")
    at(cluster, 60)
    assert listener.since(2) == ["Start", "+own"]


def test_a_process_that_starts_while_the_api_server_is_away_lists_when_it_is_back(listener: Listener) -> None:
    cluster = cluster_of(listener, watch_s=0)
    at(cluster, 2, RestartApiServer(20 * SECOND), RestartProcess("listener", 5 * SECOND))
    at(cluster, 21)
    assert listener.since(2) == ["Start"]
    at(cluster, 60)
    assert listener.since(2) == ["Start", "+own"]


def test_watches_that_break_go_on_where_they_were(listener: Listener) -> None:
    cluster = cluster_of(listener, watch_s=0)
    at(cluster, 2, DisturbWatches("listener", 10 * SECOND))
    put(cluster, "a")
    put(cluster, "b")
    remove(cluster, "a")
    at(cluster, 11)
    assert listener.since(2) == []
    at(cluster, 60)
    assert listener.since(2) == ["+a", "+b", "-a", "timer late"]


def test_watches_that_cannot_go_on_list_everything(listener: Listener) -> None:
    cluster = cluster_of(listener, watch_s=0)
    at(cluster, 2, DisturbWatches("listener", 10 * SECOND, expired=True))
    put(cluster, "a")
    at(cluster, 20)
    assert listener.since(2) == ["=a,own"]
    put(cluster, "c")
    at(cluster, 21)
    assert listener.since(20) == ["+c"]


def test_an_outage_longer_than_the_history_lists_everything(listener: Listener) -> None:
    cluster = cluster_of(listener, watch_s=0)
    at(cluster, 100, DisturbWatches("listener", 400 * SECOND))
    put(cluster, "a")
    at(cluster, 350)
    cluster.server.compact()
    at(cluster, 600)
    assert listener.since(100) == ["=a,own"]


def test_overlapping_outages_of_watches_end_with_the_later_one(listener: Listener) -> None:
    cluster = cluster_of(listener, watch_s=0)
    at(cluster, 2, DisturbWatches("listener", 20 * SECOND))
    at(cluster, 5, DisturbWatches("listener", 5 * SECOND, expired=True))
    put(cluster, "a")
    at(cluster, 21)
    assert listener.since(2) == []
    at(cluster, 29)
    assert listener.since(2) == ["=a,own"]


def test_late_watches_keep_their_order(listener: Listener) -> None:
    cluster = cluster_of(listener, watch_s=0)
    at(cluster, 2, DisturbWatches("listener", 10 * SECOND, late_ns=8 * SECOND))
    at(cluster, 11)
    put(cluster, "a")
    at(cluster, 13)
    put(cluster, "b")  # sent when they are no longer late, and it does not overtake
    at(cluster, 18)
    assert listener.since(2) == []
    at(cluster, 20)
    assert listener.since(2) == ["+a", "+b"]
    put(cluster, "c")
    at(cluster, 21)
    assert listener.since(20) == ["+c"]


class TwoKinds(Listener):
    name = "listener"
    watches = ("ConfigMap", "Secret")


def test_what_starts_while_watches_are_broken_hears_of_all_kinds_at_once() -> None:
    """Seed 5676 of podyard simulate: the Job controller, started anew, heard of a Job past its deadline before it heard
    of its pods; it failed the Job, and the pods ran on."""
    listener = TwoKinds()
    settings = ClusterSettings(latencies=Latencies(watch=LogNormal(SECOND, 8 * SECOND)))
    plan = ClusterPlan(settings=settings, controllers=(), components=(listener,))
    cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
    at(cluster, 1)
    put(cluster, "a")
    cluster.server.create(from_wire(manifest("Secret", "s")))
    at(cluster, 60, RestartProcess("listener", 5 * SECOND), DisturbWatches("listener", 30 * SECOND))
    at(cluster, 300)
    heard = [(second, word) for second, word in listener.heard if second >= 70]
    assert [word for _, word in heard] == ["+a", "+own", "+s"]
    assert len({second for second, _ in heard}) == 1


# -- what components make of a list ------------------------------------------------------------------------------------


def cut_off(story: Story, of: str, second: float) -> None:
    story.at(second)
    story.cluster._machines(story.cluster.now, DisturbWatches(of, 20 * SECOND, expired=True))


def member(name: str) -> dict[str, Any]:
    pod = manifest("Pod", name, spec=POD_SPEC)
    pod["metadata"]["labels"] = {"scheduling.x-k8s.io/pod-group": "gang"}
    return pod


def test_a_gang_whose_group_vanished_from_the_list_waits_no_longer() -> None:
    group = manifest("PodGroup", "gang", spec={"minMember": 3})
    story = Story(group, member("a"), member("b"))
    cut_off(story, "default-scheduler", 10)
    story.cluster.server.delete("PodGroup", "default", "gang")
    story.at(70)
    assert all(pod.spec.node_name for pod in story.cluster.server.objects("Pod").values())


@pytest.mark.parametrize("where", ["", "n2"])
def test_a_pod_that_took_the_place_of_another_of_its_name_is_another(where: str) -> None:
    """Bound it was; the list has one of the same name that waits, or that somebody bound elsewhere."""
    story = Story(manifest("Pod", "a", spec={**POD_SPEC, "nodeName": "n1"}))
    cut_off(story, "default-scheduler", 10)
    server = story.cluster.server
    server.delete("Pod", "default", "a", grace_s=0)
    story.create(manifest("Pod", "a", spec={**POD_SPEC, "nodeName": where} if where else POD_SPEC))
    story.at(40)
    assert server.get("Pod", "default", "a").spec.node_name == (where or "n0")
    story.create(*(manifest("Pod", f"p{index}", spec=_big("4" if index < 2 else "3500m")) for index in range(3)))
    story.at(60)
    assert all(pod.spec.node_name for pod in server.objects("Pod").values()), "room is kept for a pod that is gone"


def _big(cpu: str) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}]}


@pytest.mark.parametrize("of", ["default-scheduler", "kube-controller-manager", "kube-scheduler"])
@pytest.mark.parametrize("expired", [False, True])
def test_a_rollout_that_is_not_heard_of_is_made_up_for(of: str, expired: bool) -> None:
    story = Story(deployment())
    story.at(20)
    story.cluster._machines(story.cluster.now, DisturbWatches(of, 60 * SECOND, expired=expired))
    story.create(deployment("other", 3))
    story.cluster.server.delete("Deployment", "default", "web")
    story.assert_converged()
    assert len(story.cluster.server.objects("Pod")) == 3
