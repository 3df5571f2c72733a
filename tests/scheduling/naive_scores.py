"""The scores of kube-scheduler's default profile in plain loops: what the strategy `kube` is held against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from harness.model.core import Node, Pod, PodAffinity, WeightedPodAffinityTerm
from tests.scheduling.naive import (
    CPU_ASSUMED,
    MEMORY_ASSUMED,
    World,
    counted,
    matching,
    required,
    requirement_met,
    speaks_of,
    tolerated,
)

WEIGHTS = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodeResourcesFit": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}


def requested(pod: Pod, name: str, assumed: int = 0) -> int:
    """Milli-CPU or bytes; pods here have no init containers and no overhead."""
    total = 0
    for container in pod.spec.containers:
        amount = container.resources.requests.get(name)
        total += assumed if amount is None else amount.milli if name == "cpu" else amount.value
    return total


def allocatable(node: Node, name: str) -> int:
    amount = node.status.allocatable[name]
    return amount.milli if name == "cpu" else amount.value


def least_allocated(pod: Pod, node: Node, world: World) -> int:
    total = 0
    for name, assumed in (("cpu", CPU_ASSUMED), ("memory", MEMORY_ASSUMED)):
        there = allocatable(node, name)
        used = sum(requested(other, name, assumed) for other in [*world.pods_on(node.metadata.name), pod])
        total += 0 if used > there else (there - used) * 100 // there
    return total // 2


def balanced(pod: Pod, node: Node, world: World) -> int:
    shares = []
    for name in ("cpu", "memory"):
        used = sum(requested(other, name) for other in [*world.pods_on(node.metadata.name), pod])
        shares.append(min(used / allocatable(node, name), 1.0))
    return int((1 - abs((shares[0] - shares[1]) / 2)) * 100)


def preferred_nodes(pod: Pod, node: Node, world: World) -> int:
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    return sum(
        term.weight
        for term in (affinity.preferred_during_scheduling_ignored_during_execution if affinity else ())
        if term.preference.match_expressions
        and all(requirement_met(r, node.metadata.labels.get(r.key)) for r in term.preference.match_expressions)
    )


def soft_taints(pod: Pod, node: Node, world: World) -> int:
    return sum(taint.effect == "PreferNoSchedule" and not tolerated(pod, taint) for taint in node.spec.taints)


def preferred(group: PodAffinity | None) -> Sequence[WeightedPodAffinityTerm]:
    return group.preferred_during_scheduling_ignored_during_execution if group else ()


def pod_affinity(pod: Pod, node: Node, world: World) -> int:
    score = 0
    for other, at in world.running.values():

        def near(key: str, at: str = at) -> bool:
            value = world.nodes[at].metadata.labels.get(key)
            return value is not None and value == node.metadata.labels.get(key)

        for owner, target in ((pod, other), (other, pod)):
            affinity = owner.spec.affinity
            if affinity is None:
                continue
            for sign, group in ((1, affinity.pod_affinity), (-1, affinity.pod_anti_affinity)):
                for weighted in preferred(group):
                    term = weighted.pod_affinity_term
                    if near(term.topology_key) and speaks_of(term, owner, target, world, running=owner is other):
                        score += sign * weighted.weight
            if owner is other:
                for term in required(affinity.pod_affinity):
                    if near(term.topology_key) and speaks_of(term, owner, target, world, running=owner is other):
                        score += 1  # hardPodAffinityWeight
    return score


def images(pod: Pod, node: Node, world: World) -> int:
    there = {name: image.size_bytes or 0 for image in node.status.images for name in image.names}
    total = 0
    for container in pod.spec.containers:
        name = container.image
        if name in there:
            having = sum(any(name in image.names for image in other.status.images) for other in world.nodes.values())
            total += int(there[name] * (having / len(world.nodes)))
    mib = 1024 * 1024
    most = 1000 * mib * len(pod.spec.containers)
    return 100 * (min(max(total, 23 * mib), most) - 23 * mib) // (most - 23 * mib)


def spread(pod: Pod, feasible: Sequence[Node], world: World) -> dict[str, int]:
    soft = [c for c in pod.spec.topology_spread_constraints if c.when_unsatisfiable == "ScheduleAnyway"]
    if not soft:
        return {node.metadata.name: 0 for node in feasible}
    keys = [c.topology_key for c in soft]
    complete = [node for node in feasible if all(key in node.metadata.labels for key in keys)]
    raw: dict[str, int] = {}
    for node in complete:
        score = 0.0
        for constraint in soft:
            key = constraint.topology_key
            value = node.metadata.labels[key]
            if key == "kubernetes.io/hostname":
                size = len(complete)
                count = matching(pod, constraint, node.metadata.name, world)
            else:
                size = len({other.metadata.labels[key] for other in complete})
                count = sum(
                    matching(pod, constraint, other.metadata.name, world)
                    for other in world.nodes.values()
                    if counted(pod, constraint, other, keys) and other.metadata.labels[key] == value
                )
            score += count * math.log(size + 2) + (constraint.max_skew - 1)
        raw[node.metadata.name] = math.floor(score + 0.5)
    out = {node.metadata.name: 0 for node in feasible}
    if raw:
        least, most = min(raw.values()), max(raw.values())
        for name, score in raw.items():
            out[name] = 100 if most == 0 else 100 * (most + least - score) // most
    return out


def by_highest(raw: Mapping[str, int], reverse: bool) -> dict[str, int]:
    most = max(raw.values(), default=0)
    if most == 0:
        return dict.fromkeys(raw, 100 if reverse else 0)
    return {name: 100 - 100 * score // most if reverse else 100 * score // most for name, score in raw.items()}


def between(raw: Mapping[str, int]) -> dict[str, int]:
    least, most = min(raw.values(), default=0), max(raw.values(), default=0)
    if least == most:
        return dict.fromkeys(raw, 0)
    return {name: int(100 * ((score - least) / (most - least))) for name, score in raw.items()}


def scores(pod: Pod, feasible: Iterable[Node], world: World) -> dict[str, dict[str, int]]:
    """Weighted scores by plugin and node name."""
    nodes = list(feasible)

    def each(score) -> dict[str, int]:  # type: ignore[no-untyped-def]
        return {node.metadata.name: score(pod, node, world) for node in nodes}

    normal = {
        "TaintToleration": by_highest(each(soft_taints), reverse=True),
        "NodeAffinity": by_highest(each(preferred_nodes), reverse=False),
        "NodeResourcesFit": each(least_allocated),
        "PodTopologySpread": spread(pod, nodes, world),
        "InterPodAffinity": between(each(pod_affinity)),
        "NodeResourcesBalancedAllocation": each(balanced),
        "ImageLocality": each(images),
    }
    return {
        plugin: {name: WEIGHTS[plugin] * score for name, score in found.items()} for plugin, found in normal.items()
    }
