"""Planted bugs: does Hypothesis end at the least scenario that shows each? `python -m benchmarks.planted_bugs`.

Thirteen bugs, in strategies and in components, planted from outside. For each seed of Hypothesis' search: whether the
bug is found, and whether what is printed is the least: fewest parts, then fewest pods, then the smallest numbers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisException

from harness.controllers.nodes.node_lifecycle import NodeLifecycleController
from harness.controllers.policy import disruption
from harness.controllers.services.endpointslice.controller import EndpointSliceController
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.model.core import Node
from harness.node.kubelet import Kubelet
from harness.scheduling.cycle.queue import SchedulingQueue
from harness.scheduling.scoring import Scored
from harness.scheduling.strategy import CPU, Bind, ClusterView, Decision, Evict, PodBatch, Wait
from harness.simulation import generated
from harness.simulation.generated import FIRST_FAULT_S, NODE_CPU, Fault, Part, Service
from harness.simulation.properties import (
    Claim,
    Moment,
    Scenario,
    a_node_is_down,
    always,
    free,
    holds,
    nothing_waits_beside_room,
    ready,
    scenarios,
    within,
)

Size: TypeAlias = tuple[int, int, int]
"""Parts, of which a budget is one; pods; the sum of all numbers."""


# -- bugs of strategies ------------------------------------------------------------------------------------------------


def fullest() -> Scored:
    """Puts everything where something is."""
    return Scored(lambda pod, cluster: -cluster.free[CPU].astype(float))


class ShyOfLarge:
    """Leaves pods of 3 CPUs and more waiting."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            nodes = np.flatnonzero(cluster.feasible(pod))
            if len(nodes) and pod.requests[CPU] < 3000:
                yield Bind(pod, int(nodes[0]))
            else:
                yield Wait(pod, "not now")


class ThreeToANode:
    """Puts three pods on a node and no more."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            nodes = [n for n in np.flatnonzero(cluster.feasible(pod)).tolist() if len(cluster.pods_on(n)) < 3]
            yield Bind(pod, nodes[0]) if nodes else Wait(pod, "not now")


class FirstNodeForEver:
    """Asks no node but the one that it used first."""

    def __init__(self) -> None:
        self.node = -1

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            nodes = np.flatnonzero(cluster.feasible(pod)).tolist()
            if self.node < 0 and nodes:
                self.node = nodes[0]
            yield Bind(pod, self.node) if self.node in nodes else Wait(pod, "not now")


class MakesRoom:
    """Evicts a pod where more than 2 CPUs are in use."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            nodes = np.flatnonzero(cluster.feasible(pod)).tolist()
            if not nodes:
                yield Wait(pod, "not now")
                continue
            node = nodes[0]
            yield Bind(pod, node)
            if cluster.capacity[CPU][node] - cluster.free[CPU][node] > 2000:
                yield Evict(cluster.pods_on(node)[0].key, "makes room")


# -- bugs of components ------------------------------------------------------------------------------------------------


@contextmanager
def pods_of_a_dead_node_stay_ready() -> Iterator[None]:
    with patch.object(NodeLifecycleController, "_mark_pods", lambda self, now, key, health: None):
        yield


@contextmanager
def taints_stay() -> Iterator[None]:
    sync = NodeLifecycleController._sync_taints

    def planted(self: Any, now: int, key: str, node: Node, health: Any) -> None:
        if not any(taint.key == "node.kubernetes.io/unreachable" for taint in node.spec.taints):
            sync(self, now, key, node, health)

    with patch.object(NodeLifecycleController, "_sync_taints", planted):
        yield


@contextmanager
def one_of_several_is_not_made_again() -> Iterator[None]:
    create = ReplicaSetController._create

    def planted(self: Any, now: int, key: str, replica_set: Any, count: int) -> None:
        if count == replica_set.spec.replicas or replica_set.spec.replicas == 1:
            create(self, now, key, replica_set, count)

    with patch.object(ReplicaSetController, "_create", planted):
        yield


@contextmanager
def restarts_once() -> Iterator[None]:
    leave = Kubelet.exit

    def planted(self: Any, now: int, worker: Any, code: int, effects: Any, ended_ns: int = -1) -> None:
        leave(self, now, worker, code, effects, ended_ns)
        if worker.restarts > 0:
            worker.turn = -1

    with patch.object(Kubelet, "exit", planted):
        yield


@contextmanager
def endpoints_stay() -> Iterator[None]:
    with patch.object(EndpointSliceController, "_pod_changed", _only_there(EndpointSliceController._pod_changed)):
        yield


def _only_there(handler: Any) -> Any:
    return lambda self, old, new: None if new is None else handler(self, old, new)


@contextmanager
def the_end_of_a_pod_wakes_nobody() -> Iterator[None]:
    with patch.object(SchedulingQueue, "wake_where", lambda *a, **k: None):
        yield


@contextmanager
def every_pod_counts_as_healthy() -> Iterator[None]:
    with patch.object(disruption, "_healthy", lambda pod: True):
        yield


@contextmanager
def a_minute_and_it_failed() -> Iterator[None]:
    ended = Kubelet._ended

    def planted(self: Any, now: int, worker: Any, code: int, effects: Any) -> None:
        ended(self, now, worker, 1 if now - worker.started_ns > 60 * 10**9 else code, effects)

    with patch.object(Kubelet, "_ended", planted):
        yield


# -- what is claimed ---------------------------------------------------------------------------------------------------


def spread_out(moment: Moment) -> bool:
    """No two pods on one node while another has none."""
    used = [pod.spec.node_name for pod in moment.pods.values() if pod.spec.node_name]
    return len(used) == len(set(used)) or set(free(moment)) <= set(used)


def replicas_are_there(moment: Moment) -> bool:
    """As many pods as each ReplicaSet wants, or more."""
    wanted = sum(item.spec.replicas or 0 for item in moment.objects("ReplicaSet").values())
    there = [pod for pod in moment.pods.values() if pod.metadata.owner_references]
    return sum(pod.metadata.deletion_timestamp is None for pod in there) >= wanted


def what_has_a_node_is_ready(moment: Moment) -> bool:
    """Where the node is."""
    down = {name for name, node in moment.nodes.items() if _down(node)}
    return all(
        ready(pod) or pod.status.phase in ("Succeeded", "Failed") or pod.metadata.deletion_timestamp is not None
        for pod in moment.pods.values()
        if pod.spec.node_name and pod.spec.node_name not in down
    )


def nothing_is_deleted(moment: Moment) -> bool:
    return not any(pod.metadata.deletion_timestamp is not None for pod in moment.pods.values())


def _down(node: Node) -> bool:
    return not any(item.type == "Ready" and item.status == "True" for item in node.status.conditions)


def nothing_serves_from_a_dead_node(moment: Moment) -> bool:
    down = {name for name, node in moment.nodes.items() if _down(node)}
    return not any(ready(pod) and pod.spec.node_name in down for pod in moment.pods.values())


def no_taint_on_a_sound_node(moment: Moment) -> bool:
    tainted = [node for name, node in moment.nodes.items() if name != "gateway" and not _down(node)]
    return not any(taint.effect == "NoExecute" for node in tainted for taint in node.spec.taints)


def endpoints_exist(moment: Moment) -> bool:
    named = {
        f"{item.metadata.namespace}/{end.target_ref.name}"
        for item in moment.objects("EndpointSlice").values()
        for end in item.endpoints
        if end.target_ref is not None
    }
    return named <= set(moment.pods)


def budgets_count_right(moment: Moment) -> bool:
    """No more healthy ones than pods that are ready."""
    sound = sum(ready(pod) for pod in moment.pods.values())
    return all((item.status.current_healthy or 0) <= sound for item in moment.objects("PodDisruptionBudget").values())


def none_failed(moment: Moment) -> bool:
    return not any(pod.status.phase == "Failed" for pod in moment.pods.values())


# -- the bugs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bug:
    claim: Callable[[], Claim]
    strategy: Any = "greedy"
    planted: Callable[[], AbstractContextManager[None]] = nullcontext
    drawn: dict[str, Any] = field(default_factory=dict)
    """What `scenarios` is asked for besides its defaults and 120 s."""
    sound: str = "greedy"
    """A strategy under which the claim holds, where nothing is planted."""

    def scenarios(self) -> Any:
        return scenarios(**{"duration_s": 120, **self.drawn})


LOSSES = ("podDeletion", "containerCrash", "nodeCrash")

BUGS: dict[str, Bug] = {
    "two pods on one node": Bug(
        lambda: always(spread_out),
        fullest,
        drawn={"most_faults": 0, "most_tasks": 0, "small_nodes": False},
        sound="least-allocated",
    ),
    "large pods wait": Bug(lambda: within(60, nothing_waits_beside_room), ShyOfLarge),
    # Without faults: one replica that is scaled to four shows it, too, and neither form is a step from the other.
    "three pods to a node": Bug(lambda: within(60, nothing_waits_beside_room), ThreeToANode, drawn={"most_faults": 0}),
    # Without faults: a drained node shows it too, in as many parts, and neither form is a step away from the other.
    "one node for ever": Bug(lambda: within(60, nothing_waits_beside_room), FirstNodeForEver, drawn={"most_faults": 0}),
    "a strategy that evicts": Bug(lambda: always(nothing_is_deleted), MakesRoom, drawn={"most_faults": 0}),
    "ready on a dead node": Bug(
        lambda: within(10, nothing_serves_from_a_dead_node, after=a_node_is_down),
        planted=pods_of_a_dead_node_stay_ready,
    ),
    "taints stay": Bug(
        lambda: within(60, no_taint_on_a_sound_node), planted=taints_stay, drawn={"duration_s": 600, "faults": LOSSES}
    ),
    # No more than these faults: a service that is scaled up shows it, too, and neither form is a step from the other.
    "not made again": Bug(
        lambda: within(20, replicas_are_there),
        planted=one_of_several_is_not_made_again,
        drawn={"faults": LOSSES},
    ),
    "the second restart": Bug(lambda: within(60, what_has_a_node_is_ready), planted=restarts_once),
    "endpoints stay": Bug(lambda: within(20, endpoints_exist), planted=endpoints_stay),
    "nobody is woken": Bug(lambda: within(30, nothing_waits_beside_room), planted=the_end_of_a_pod_wakes_nobody),
    "healthy without being ready": Bug(lambda: within(20, budgets_count_right), planted=every_pod_counts_as_healthy),
    # No more than these faults: pods of a node that leaves have failed.
    "fails after a minute": Bug(
        lambda: always(none_failed), planted=a_minute_and_it_failed, drawn={"duration_s": 200, "faults": LOSSES}
    ),
}


LEAST: dict[str, list[Part]] = {
    "two pods on one node": [generated.Node(), generated.Node(), Service(replicas=2)],
    "large pods wait": [Service(cpu=3)],
    "three pods to a node": [Service(replicas=4)],
    "a strategy that evicts": [Service(replicas=3)],
    "nobody is woken": [generated.Node(1), Fault("podDeletion")],
    "healthy without being ready": [Service(budget=True), Fault("nodeCrash")],
    "the second restart": [Fault("containerCrash"), Fault("containerCrash", at=32)],
    "endpoints stay": [Fault("podDeletion")],
    "fails after a minute": [generated.Task(lasts=61)],
    "ready on a dead node": [Fault("nodeCrash")],
    "taints stay": [generated.Node(), generated.Node(), Fault("nodeCrash")],  # where all are down, none is tainted
    "not made again": [Service(replicas=2), Fault("podDeletion")],
    "one node for ever": [generated.Node(1), generated.Node(), Service(replicas=2)],
}
"""By hand, as parts of `document`."""


# -- how large a scenario is -------------------------------------------------------------------------------------------


def size(scenario: Scenario) -> Size:
    """See the head of this module. Numbers count from their simplest value: CPUs that a node is short of, seconds after
    the earliest fault."""
    spec = scenario["spec"]
    workload, planned = spec.get("workload", []), spec.get("faults", [])
    services = [item["service"] for item in workload if "service" in item]
    tasks = [item["objects"][0] for item in workload if "objects" in item]
    tasks += [item["apply"]["objects"][0] for item in planned if "apply" in item]
    numbers = sum(NODE_CPU - node["group"]["cpu"] for node in spec["nodes"]) + sum(item["cpu"] for item in services)
    for task in tasks:
        numbers += task["spec"]["containers"][0]["resources"]["requests"]["cpu"]
        numbers += int(task["metadata"]["annotations"]["podyard.dev/duration"][:-1])
    for fault in planned:
        numbers += int(fault["at"][:-1]) - (0 if "apply" in fault else FIRST_FAULT_S)
        numbers += _which(fault)
    pods = sum(item["replicas"] for item in services) + len(tasks)
    nodes = [node["group"]["cpu"] for node in spec["nodes"]]
    parts = len(nodes) if nodes != [NODE_CPU] else 0  # one with room for everything needs no part
    budgets = sum("minAvailable" in item for item in services)
    alone = [(item["replicas"], item["cpu"]) for item in services] == [(1, 1)] and not tasks and not budgets
    parts += len(planned) + budgets + (0 if alone else len(workload))
    return parts, pods, numbers


def _which(fault: dict[str, Any]) -> int:
    """The index of the node or service that it hits."""
    for form in fault.values():
        if isinstance(form, dict) and "app" in form:
            return int(form["app"].split("-")[1])
        if isinstance(form, dict) and "select" in form:
            return int(form["select"]["names"][0].split("-")[1])
    return 0


# -- searching ---------------------------------------------------------------------------------------------------------


@dataclass
class Search:
    """Scenarios of one bug that have been played, by their text: another seed meets many of them again."""

    bug: Bug
    verdicts: dict[str, bool]
    runs: int = 0
    last: Scenario | None = None

    def fails(self, scenario: Scenario) -> bool:
        text = repr(scenario)
        self.runs += 1
        if text not in self.verdicts:
            try:
                holds(scenario, self.bug.strategy, self.bug.claim())
                self.verdicts[text] = False
            except AssertionError:
                self.verdicts[text] = True
        if self.verdicts[text]:
            self.last = scenario
        return self.verdicts[text]

    def least(self, number: int, examples: int) -> tuple[Scenario | None, int]:
        """(what Hypothesis prints with this seed, None where it finds nothing; runs)."""
        self.last, self.runs = None, 0

        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        @given(self.bug.scenarios())
        def claimed(scenario: Scenario) -> None:
            assert not self.fails(scenario)

        with self.bug.planted(), suppress(AssertionError, HypothesisException):
            claimed()
        return self.last, self.runs


def sound(bug: Bug) -> Bug:
    """Without the bug."""
    return replace(bug, strategy=bug.sound, planted=nullcontext)


def measure(
    name: str, seeds: int, examples: int, planted: bool = True
) -> list[tuple[Size | None, Scenario | None, int]]:
    search = Search(BUGS[name] if planted else sound(BUGS[name]), {})
    found = [search.least(number, examples) for number in range(seeds)]
    return [(None if scenario is None else size(scenario), scenario, runs) for scenario, runs in found]


def options(about: str | None, bugs: Iterable[str], examples: int) -> argparse.Namespace:
    """Of the command line: `seeds`, `examples`, `bug` (names, or None for all), `show`, `sound`."""
    asked = argparse.ArgumentParser(description=about)
    asked.add_argument("--seeds", type=int, default=10)
    asked.add_argument("--examples", type=int, default=examples)
    asked.add_argument("--bug", choices=list(bugs), action="append")
    asked.add_argument("--show", action="store_true", help="what was found, too")
    asked.add_argument("--sound", action="store_true", help="plant nothing: nothing is to be found")
    return asked.parse_args()


def main() -> None:
    given_ = options(__doc__, BUGS, examples=400)
    right = total = 0
    for name in given_.bug or BUGS:
        begun = time.process_time()
        found = measure(name, given_.seeds, given_.examples, not given_.sound)
        sizes = [item[0] for item in found if item[0] is not None]
        least = min(sizes, default=None)
        hits = sum(item == least for item in sizes)
        right, total = right + hits, total + len(found)
        runs = sorted(item[2] for item in found)[len(found) // 2]
        spent = time.process_time() - begun
        others = sorted(set(sizes) - {least})
        print(f"{name:28} {hits:2} of {len(found)}  least {least}, others {others}, {runs} runs, {spent:.0f} s")
        if given_.show:
            for what in {repr(item[1]): item for item in found}.values():
                print("   ", what[0], (what[1] or {"spec": {}})["spec"])
    print(f"{right} of {total}")


if __name__ == "__main__":
    main()
