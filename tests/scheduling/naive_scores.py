"""kube-scheduler 1.32's scores in plain loops over objects, plugin by plugin, as its Go source computes them.

What the strategy `kube` is held against; nothing here is shared with it but the model's types. Go's integer division
is written `towards_zero`, its conversion of a float to an integer is `int`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.model.core import (
    Container,
    Node,
    NodeSelectorTerm,
    Pod,
    PreferredSchedulingTerm,
    Toleration,
    TopologySpreadConstraint,
)
from harness.model.meta import LabelSelector
from tests.scheduling.naive import CPU_ASSUMED, MEMORY_ASSUMED, World, counted, matching, selects, speaks_of

MOST = 100
MIB = 1024 * 1024

WEIGHTS = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodeResourcesFit": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}
"""apis/config/v1/default_plugins.go getDefaultPlugins."""


@dataclass(frozen=True)
class Setting:
    """What a profile says, in the words of its plugins' arguments."""

    fit: str = "LeastAllocated"
    resources: tuple[tuple[str, int], ...] = (("cpu", 1), ("memory", 1))
    shape: tuple[tuple[int, int], ...] = ()  # (utilization 0..100, score 0..10)
    balanced: tuple[str, ...] = ("cpu", "memory")
    hard_pod_affinity_weight: int = 1
    ignore_preferred_terms_of_existing_pods: bool = False
    added: tuple[PreferredSchedulingTerm, ...] = ()
    constraints: tuple[tuple[str, int], ...] | None = None  # (topologyKey, maxSkew); None: the system's


@dataclass
class Cluster(World):
    """A world with what spreads pods by default."""

    services: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)  # (namespace, name): selector
    controllers: dict[tuple[str, str, str], LabelSelector] = field(default_factory=dict)  # (kind, namespace, name)


def towards_zero(a: int, b: int) -> int:
    return a // b if (a < 0) == (b < 0) else -(abs(a) // abs(b))


# -- plugins/noderesources --------------------------------------------------------------------------------------------


def is_scalar(name: str) -> bool:
    """util.IsScalarResourceName, of the names that occur here."""
    return "/" in name or name.startswith("hugepages-")


def pod_requests(pod: Pod, name: str, assumed: int) -> int:
    """resource.PodRequests of one resource, where `assumed` stands in for a container's missing request."""

    def of(container: Container) -> int:
        found = container.resources.requests.get(name)
        return assumed if found is None else found.milli if name == "cpu" else found.value

    total = sum(map(of, pod.spec.containers))
    running, highest = 0, 0
    for container in pod.spec.init_containers:
        if container.restart_policy == "Always":
            total += of(container)
            running += of(container)
            highest = max(highest, running)
        else:
            highest = max(highest, of(container) + running)
    overhead = pod.spec.overhead.get(name)
    more = 0 if overhead is None else overhead.milli if name == "cpu" else overhead.value
    return max(total, highest) + more


def allocatable_and_requested(pod: Pod, node: Node, world: World, name: str, nonzero: bool) -> tuple[int, int]:
    """resource_allocation.go calculateResourceAllocatableRequest."""
    assumed = {"cpu": CPU_ASSUMED, "memory": MEMORY_ASSUMED}.get(name, 0) if nonzero else 0
    wanted = pod_requests(pod, name, assumed)
    if is_scalar(name):
        if wanted == 0:
            return 0, 0
    elif name not in ("cpu", "memory", "ephemeral-storage"):
        return 0, 0
    there = node.status.allocatable.get(name)
    if there is None:
        return 0, 0
    running = sum(pod_requests(other, name, assumed) for other in world.pods_on(node.metadata.name))
    return there.milli if name == "cpu" else there.value, running + wanted


def fit(pod: Pod, node: Node, world: World, setting: Setting) -> int:
    total = weights = 0
    for name, weight in setting.resources:
        allocatable, requested = allocatable_and_requested(pod, node, world, name, nonzero=True)
        if allocatable == 0:
            continue
        if setting.fit == "LeastAllocated":
            score = 0 if requested > allocatable else (allocatable - requested) * MOST // allocatable
        elif setting.fit == "MostAllocated":
            score = min(requested, allocatable) * MOST // allocatable
        else:
            score = broken_line(setting.shape, 100 if requested > allocatable else requested * 100 // allocatable)
            if score <= 0:
                continue
        total += score * weight
        weights += weight
    if weights == 0:
        return 0
    if setting.fit == "RequestedToCapacityRatio":
        return math.floor(total / weights + 0.5)
    return total // weights


def broken_line(shape: Sequence[tuple[int, int]], at: int) -> int:
    """helper/shape_score.go BuildBrokenLinearFunction; custom scores of 0..10 are stretched to 0..100."""
    points = [(utilization, 10 * score) for utilization, score in shape]
    for i, (utilization, score) in enumerate(points):
        if at <= utilization:
            if i == 0:
                return score
            left, low = points[i - 1]
            return low + towards_zero((score - low) * (at - left), utilization - left)
    return points[-1][1]


def balanced(pod: Pod, node: Node, world: World, setting: Setting) -> int:
    shares = []
    for name in setting.balanced:
        allocatable, requested = allocatable_and_requested(pod, node, world, name, nonzero=False)
        if allocatable:
            shares.append(min(requested / allocatable, 1.0))
    deviation = 0.0
    if len(shares) == 2:
        deviation = abs((shares[0] - shares[1]) / 2)
    elif len(shares) > 2:
        total = 0.0
        for share in shares:
            total += share
        mean, squares = total / len(shares), 0.0
        for share in shares:
            squares += (share - mean) * (share - mean)
        deviation = math.sqrt(squares / len(shares))
    return int((1 - deviation) * MOST)


# -- plugins/nodeaffinity, plugins/tainttoleration --------------------------------------------------------------------


def term_matches(term: NodeSelectorTerm, node: Node) -> bool:
    """component-helpers nodeaffinity: every requirement, on labels and on the name."""
    labels = node.metadata.labels

    def met(value: str | None, operator: str, values: Sequence[str]) -> bool:
        if operator in ("Gt", "Lt"):
            if value is None or not value.isdecimal():
                return False
            return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
        return {
            "In": value is not None and value in values,
            "NotIn": value is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[operator]

    return all(met(labels.get(r.key), r.operator, r.values) for r in term.match_expressions) and all(
        met(node.metadata.name, r.operator, r.values) for r in term.match_fields
    )


def preferred_nodes(pod: Pod, node: Node, world: World, setting: Setting) -> int:
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    own = affinity.preferred_during_scheduling_ignored_during_execution if affinity else ()
    return sum(
        term.weight
        for term in (*setting.added, *own)
        if (term.preference.match_expressions or term.preference.match_fields) and term_matches(term.preference, node)
    )


def soft_taints(pod: Pod, node: Node, world: World, setting: Setting) -> int:
    """taint_toleration.go getAllTolerationPreferNoSchedule, countIntolerableTaintsPreferNoSchedule."""

    def tolerates(toleration: Toleration, key: str, value: str) -> bool:
        if toleration.effect not in ("", "PreferNoSchedule") or toleration.key not in ("", key):
            return False
        return toleration.operator == "Exists" or toleration.value == value

    return sum(
        taint.effect == "PreferNoSchedule"
        and not any(tolerates(toleration, taint.key, taint.value) for toleration in pod.spec.tolerations)
        for taint in node.spec.taints
    )


def by_highest(raw: Mapping[str, int], reverse: bool) -> dict[str, int]:
    """helper/normalize_score.go DefaultNormalizeScore."""
    most = max(raw.values(), default=0)
    if most == 0:
        return dict.fromkeys(raw, MOST if reverse else 0)
    return {name: MOST - MOST * score // most if reverse else MOST * score // most for name, score in raw.items()}


# -- plugins/interpodaffinity -----------------------------------------------------------------------------------------


def pod_affinity(pod: Pod, feasible: Sequence[Node], world: World, setting: Setting) -> dict[str, int]:
    """scoring.go: a score for each topology pair, made by the pods that run, then summed for each node."""
    affinity = pod.spec.affinity
    mine = (
        [
            (sign * weighted.weight, weighted.pod_affinity_term)
            for sign, group in ((1, affinity.pod_affinity), (-1, affinity.pod_anti_affinity))
            if group
            for weighted in group.preferred_during_scheduling_ignored_during_execution
        ]
        if affinity
        else []
    )
    zero = {node.metadata.name: 0 for node in feasible}
    if setting.ignore_preferred_terms_of_existing_pods and not mine:
        return zero
    pairs: dict[tuple[str, str], int] = {}

    def process(weight: int, key: str, at: Node) -> None:
        if key in at.metadata.labels:
            pair = (key, at.metadata.labels[key])
            pairs[pair] = pairs.get(pair, 0) + weight

    for other, where in world.running.values():
        at = world.nodes[where]
        for weight, term in mine:
            if speaks_of(term, pod, other, world):
                process(weight, term.topology_key, at)
        theirs = other.spec.affinity
        for sign, group in ((1, theirs.pod_affinity), (-1, theirs.pod_anti_affinity)) if theirs else ():
            if group is None:
                continue
            for weighted in group.preferred_during_scheduling_ignored_during_execution:
                if speaks_of(weighted.pod_affinity_term, other, pod, world, running=True):
                    process(sign * weighted.weight, weighted.pod_affinity_term.topology_key, at)
            if sign > 0 and setting.hard_pod_affinity_weight > 0:
                for term in group.required_during_scheduling_ignored_during_execution:
                    if speaks_of(term, other, pod, world, running=True):
                        process(setting.hard_pod_affinity_weight, term.topology_key, at)
    raw = {
        node.metadata.name: sum(
            score for (key, value), score in pairs.items() if node.metadata.labels.get(key) == value
        )
        for node in feasible
    }
    least, most = min(raw.values(), default=0), max(raw.values(), default=0)
    if not pairs or least == most:
        return zero
    return {name: int(100.0 * ((score - least) / (most - least))) for name, score in raw.items()}


# -- plugins/imagelocality --------------------------------------------------------------------------------------------


def images(pod: Pod, node: Node, world: World, setting: Setting) -> int:
    there = {name: image.size_bytes or 0 for image in node.status.images for name in image.names}
    all_containers = (*pod.spec.init_containers, *pod.spec.containers)
    total = 0
    for container in all_containers:
        name = container.image
        if name.rfind(":") <= name.rfind("/"):
            name += ":latest"
        if name in there:
            having = sum(any(name in image.names for image in other.status.images) for other in world.nodes.values())
            total += int(there[name] * (having / len(world.nodes)))
    most = 1000 * MIB * len(all_containers)
    return MOST * (min(max(total, 23 * MIB), most) - 23 * MIB) // (most - 23 * MIB)


# -- plugins/podtopologyspread ----------------------------------------------------------------------------------------


def default_requirements(pod: Pod, world: Cluster) -> list[LabelSelector]:
    """helper/spread.go DefaultSelector, as selectors that must all select."""
    namespace, labels = pod.metadata.namespace, pod.metadata.labels
    merged: dict[str, str] = {}
    for (space, _), selector in world.services.items():
        if space == namespace and all(labels.get(key) == value for key, value in selector.items()):
            merged |= selector
    more: list[LabelSelector] = []
    owner = next((reference for reference in pod.metadata.owner_references if reference.controller), None)
    if owner is not None:
        kind = {("ReplicaSet", "apps/v1"), ("StatefulSet", "apps/v1"), ("ReplicationController", "v1")}
        found = world.controllers.get((owner.kind, namespace, owner.name))
        if (owner.kind, owner.api_version) in kind and found is not None:
            if owner.kind == "ReplicationController":
                merged |= found.match_labels
            else:
                more = [found]
    return [item for item in (LabelSelector(match_labels=merged), *more) if item.match_labels or item.match_expressions]


def spread(pod: Pod, feasible: Sequence[Node], world: Cluster, setting: Setting) -> dict[str, int]:
    own = pod.spec.topology_spread_constraints
    strict = bool(own) or setting.constraints is not None
    wanted = default_requirements(pod, world)

    def count(constraint: TopologySpreadConstraint, node: Node) -> int:
        if own:
            return matching(pod, constraint, node.metadata.name, world)
        return sum(
            other.metadata.namespace == pod.metadata.namespace
            and other.metadata.deletion_timestamp is None
            and all(selects(selector, other.metadata.labels) for selector in wanted)
            for other in world.pods_on(node.metadata.name)
        )

    if own:
        soft = [constraint for constraint in own if constraint.when_unsatisfiable == "ScheduleAnyway"]
    else:
        given = setting.constraints
        if given is None:
            given = (("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5))
        soft = [
            TopologySpreadConstraint(max_skew=skew, topology_key=key, when_unsatisfiable="ScheduleAnyway")
            for key, skew in given
            if wanted
        ]
    out = {node.metadata.name: 0 for node in feasible}
    if not soft:
        return out
    keys = [constraint.topology_key for constraint in soft]
    scored = [node for node in feasible if not strict or all(key in node.metadata.labels for key in keys)]
    sums: list[dict[str, int]] = []  # by constraint: pods by value of the label, "" where there is none
    weights: list[float] = []
    for constraint in soft:
        key = constraint.topology_key
        values = {node.metadata.labels.get(key, "") for node in scored}
        sums.append(dict.fromkeys(values, 0))
        size = len(scored) if key == "kubernetes.io/hostname" else len(values)
        weights.append(math.log(size + 2))
        for node in world.nodes.values():
            value = node.metadata.labels.get(key, "")
            if value in values and counted(pod, constraint, node, keys if strict else ()):
                sums[-1][value] += count(constraint, node)
    raw: dict[str, int] = {}
    for node in scored:
        score = 0.0
        for constraint, by_value, weight in zip(soft, sums, weights, strict=True):
            key = constraint.topology_key
            if key not in node.metadata.labels:
                continue
            host = key == "kubernetes.io/hostname"
            number = count(constraint, node) if host else by_value[node.metadata.labels[key]]
            score += number * weight + float(constraint.max_skew - 1)
        whole = math.floor(score)  # math.Round: half away from zero
        raw[node.metadata.name] = whole + (score - whole >= 0.5)
    if raw:
        least, most = min(raw.values()), max(raw.values())
        for name, score in raw.items():
            out[name] = MOST if most == 0 else MOST * (most + least - score) // most
    return out


def scores(
    pod: Pod, feasible: Iterable[Node], world: Cluster, setting: Setting, weights: Mapping[str, int] = WEIGHTS
) -> dict[str, dict[str, int]]:
    """Weighted scores by plugin and node name."""
    nodes = list(feasible)

    def each(score) -> dict[str, int]:  # type: ignore[no-untyped-def]
        return {node.metadata.name: score(pod, node, world, setting) for node in nodes}

    normal = {
        "TaintToleration": by_highest(each(soft_taints), reverse=True),
        "NodeAffinity": by_highest(each(preferred_nodes), reverse=False),
        "NodeResourcesFit": each(fit),
        "PodTopologySpread": spread(pod, nodes, world, setting),
        "InterPodAffinity": pod_affinity(pod, nodes, world, setting),
        "NodeResourcesBalancedAllocation": each(balanced),
        "ImageLocality": each(images),
    }
    return {plugin: {name: weights[plugin] * score for name, score in normal[plugin].items()} for plugin in weights}
