"""Planted bugs of the kinds that reports describe: from how many seeds does Hypothesis find each?
`python -m benchmarks.reported_bugs`.

Nobody tuned the generator for them. Each is looked for with 100 examples, Hypothesis' own default.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from benchmarks.planted_bugs import Bug, Search, options, sound
from harness.apiserver.registry import eviction
from harness.controllers.nodes import taint_eviction
from harness.controllers.nodes.pod_gc import PodGarbageCollector
from harness.controllers.nodes.taint_eviction import TaintEvictionController
from harness.controllers.workloads.deployment import rollout
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.model.meta import condition, is_ready
from harness.scheduling.strategy import CPU, Bind, ClusterView, Decision, PodBatch, Wait
from harness.simulation.properties import Moment, a_node_is_down, always, nothing_waits_beside_room, within

MINUTE_NS = 60 * 10**9


# -- bugs of strategies ------------------------------------------------------------------------------------------------


class StopsAfterALoss:
    """Places nothing more once a pod that it placed is gone from a node that takes no pods any more."""

    def __init__(self) -> None:
        self.placed: dict[str, int] = {}
        self.lost = False

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            nodes = np.flatnonzero(cluster.feasible(pod)).tolist()
            there = {item.key for node in range(len(cluster.names)) for item in cluster.pods_on(node)}
            self.lost |= any(key not in there and node not in nodes for key, node in self.placed.items())
            if nodes and not self.lost:
                self.placed[pod.key] = nodes[0]
                yield Bind(pod, nodes[0])
            else:
                yield Wait(pod, "not now")


class LeaksRoom:
    """Keeps its own account of what is free, and never takes back what pods that are gone had."""

    def __init__(self) -> None:
        self.used: dict[str, int] = {}

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            asked = int(pod.requests[CPU])
            for node in np.flatnonzero(cluster.feasible(pod)).tolist():
                name = cluster.names[node]
                if self.used.get(name, 0) + asked <= cluster.capacity[CPU][node]:
                    self.used[name] = self.used.get(name, 0) + asked
                    yield Bind(pod, node)
                    break
            else:
                yield Wait(pod, "not now")


class NoLateComers:
    """Leaves pods waiting that came after two minutes."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            nodes = np.flatnonzero(cluster.feasible(pod)).tolist()
            yield Bind(pod, nodes[0]) if nodes and pod.created_ns < 2 * MINUTE_NS else Wait(pod, "not now")


# -- bugs of components ------------------------------------------------------------------------------------------------


@contextmanager
def nobody_is_evicted() -> Iterator[None]:
    with patch.object(TaintEvictionController, "_evict", lambda *_: None):
        yield


@contextmanager
def nothing_is_tolerated() -> Iterator[None]:
    with patch.object(taint_eviction, "_stays_s", lambda pod, taints: 0 if taints else None):
        yield


@contextmanager
def budgets_are_not_asked() -> Iterator[None]:
    with patch.object(eviction, "spent_budget", lambda *_: None):
        yield


@contextmanager
def old_replicas_stay() -> Iterator[None]:
    with patch.object(rollout, "old_sizes", lambda *_: []):
        yield


@contextmanager
def nothing_is_scaled_down() -> Iterator[None]:
    with patch.object(ReplicaSetController, "_delete", lambda *_: None):
        yield


@contextmanager
def orphans_stay() -> Iterator[None]:
    with patch.object(PodGarbageCollector, "_collect_orphan", lambda *_: None):
        yield


# -- what is claimed ---------------------------------------------------------------------------------------------------


def dead_nodes_are_left(moment: Moment) -> bool:
    """Every pod on a node that is not ready is told to go."""
    down = {name for name, node in moment.nodes.items() if not is_ready(node.status.conditions)}
    on = [pod for pod in moment.pods.values() if pod.spec.node_name in down]
    return all(pod.metadata.deletion_timestamp is not None for pod in on if pod.metadata.owner_references)


def nobody_goes_early(moment: Moment) -> bool:
    """Taints evict nobody in the first five and a half minutes."""
    gone = [condition(pod.status.conditions, "DisruptionTarget") for pod in moment.pods.values()]
    return moment.seconds > 330 or not any(why and why.reason == "DeletionByTaintManager" for why in gone)


def one_eviction_at_a_time(moment: Moment) -> bool:
    """A budget leaves out one replica at most: no more are going from cordoned nodes."""
    cordoned = {name for name, node in moment.nodes.items() if node.spec.unschedulable}
    going = [pod for pod in moment.pods.values() if pod.metadata.deletion_timestamp and pod.spec.node_name in cordoned]
    return all(
        sum(item.spec.selector.match_labels.items() <= pod.metadata.labels.items() for pod in going) <= 1
        for item in moment.objects("PodDisruptionBudget").values()
    )


def no_more_than_wanted(moment: Moment) -> bool:
    wanted = sum(item.spec.replicas or 0 for item in moment.objects("Deployment").values())
    there = [pod for pod in moment.pods.values() if pod.metadata.owner_references]
    return sum(pod.metadata.deletion_timestamp is None for pod in there) <= wanted


def nodes_of_pods_exist(moment: Moment) -> bool:
    return all(pod.spec.node_name in moment.nodes for pod in moment.pods.values() if pod.spec.node_name)


WHOLE = {"duration_s": 600}

BUGS: dict[str, Bug] = {
    "stops after a loss": Bug(lambda: within(60, nothing_waits_beside_room), StopsAfterALoss, drawn=WHOLE),
    "leaks room": Bug(lambda: within(60, nothing_waits_beside_room), LeaksRoom, drawn=WHOLE),
    "no late comers": Bug(lambda: within(60, nothing_waits_beside_room), NoLateComers, drawn=WHOLE),
    "nobody is evicted": Bug(
        lambda: within(320, dead_nodes_are_left, after=a_node_is_down), planted=nobody_is_evicted, drawn=WHOLE
    ),
    "nothing is tolerated": Bug(lambda: always(nobody_goes_early), planted=nothing_is_tolerated, drawn=WHOLE),
    "budgets are not asked": Bug(lambda: always(one_eviction_at_a_time), planted=budgets_are_not_asked, drawn=WHOLE),
    "old replicas stay": Bug(lambda: within(60, no_more_than_wanted), planted=old_replicas_stay, drawn=WHOLE),
    "nothing is scaled down": Bug(lambda: within(60, no_more_than_wanted), planted=nothing_is_scaled_down, drawn=WHOLE),
    "orphans stay": Bug(lambda: within(120, nodes_of_pods_exist), planted=orphans_stay, drawn=WHOLE),
}


def main() -> None:
    given = options(__doc__, BUGS, examples=100)
    for name in given.bug or BUGS:
        begun = time.process_time()
        search = Search(sound(BUGS[name]) if given.sound else BUGS[name], {})
        found = [search.least(number, given.examples)[0] for number in range(given.seeds)]
        hits = sum(item is not None for item in found)
        print(f"{name:28} {hits:2} of {len(found)}  {time.process_time() - begun:.0f} s", flush=True)
        if given.show:
            for text in sorted({repr(item) for item in found}):
                print("   ", text)


if __name__ == "__main__":
    main()
