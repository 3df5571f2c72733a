"""Preemption as kube-scheduler's documentation and code tell it, in plain loops over objects, tried on copies.

Shares nothing with the implementation but the model's types. The order of what is equal is fixed where kube-scheduler
leaves it open: pods that started together by name, nodes of equal rank by their turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from harness.model.core import Node, Pod
from harness.model.objects import PodDisruptionBudget
from tests.scheduling import naive

UNRESOLVABLE = (
    "node(s) had untolerated taint",
    "node(s) didn't match Pod's node affinity/selector",
    "node(s) didn't match pod topology spread constraints (missing required label)",
    "node(s) didn't match pod affinity rules",
)
"""What no eviction mends. Source: kube-scheduler's plugins, UnschedulableAndUnresolvable."""

NO_VICTIMS = "No preemption victims found for incoming pod"
NO_HELP = "Preemption is not helpful for scheduling"


@dataclass
class Case:
    world: naive.World
    order: list[str]  # nodes by index
    budgets: list[PodDisruptionBudget] = field(default_factory=list)
    nominated: list[tuple[Pod, str]] = field(default_factory=list)


def priority(pod: Pod) -> int:
    return pod.spec.priority or 0


def cpu(pod: Pod) -> int:
    return sum(c.resources.requests["cpu"].milli for c in pod.spec.containers if "cpu" in c.resources.requests)


def failures(pod: Pod, node: Node, world: naive.World) -> tuple[str, ...]:
    """The reasons of the first constraint that rejects the pod; amounts stand where the number of pods does."""
    before = naive.reason(pod, node, replace_pods_limit(world))
    first = ("node(s) had untolerated", "node(s) didn't match Pod's", "node(s) didn't have free ports")
    if before is not None and before.startswith(first):
        return (before,)
    here = world.pods_on(node.metadata.name)
    short = []
    if len(here) >= node.status.allocatable["pods"].value:
        short.append("Too many pods")
    if cpu(pod) and cpu(pod) > node.status.allocatable["cpu"].milli - sum(map(cpu, here)):
        short.append("Insufficient cpu")
    return tuple(short) or (() if before is None else (before,))


def replace_pods_limit(world: naive.World) -> naive.World:
    """The same, with room for any number of pods, which `failures` counts itself."""
    return naive.World({name: roomy(node) for name, node in world.nodes.items()}, world.running, world.namespaces)


def roomy(node: Node) -> Node:
    allocatable = {**node.status.allocatable, "pods": node.status.allocatable["memory"]}
    status = msgspec.structs.replace(node.status, allocatable=allocatable)
    return msgspec.structs.replace(node, status=status)


def status(pod: Pod, name: str, case: Case, world: naive.World) -> tuple[str, ...]:
    """With those nominated there, of the pod's priority or above, and then without."""
    ahead = [p for p, at in case.nominated if at == name and priority(p) >= priority(pod)]
    ahead = [p for p in ahead if p.metadata.key != pod.metadata.key]
    node = world.nodes[name]
    if ahead:
        running = {**world.running, **{p.metadata.key: (p, name) for p in ahead}}
        found = failures(pod, node, replace(world, running=running))
        if found:
            return found
    return failures(pod, node, world)


def started(pod: Pod) -> float:
    return float("inf") if pod.status.start_time is None else pod.status.start_time


def importance(pod: Pod) -> tuple[int, float, str]:
    return (-priority(pod), started(pod), pod.metadata.key)


def breaking(pods: Sequence[Pod], budgets: Sequence[PodDisruptionBudget]) -> set[str]:
    left = {b.metadata.key: b.status.disruptions_allowed or 0 for b in budgets}
    out = set()
    for pod in pods:
        for budget in budgets:
            selector = budget.spec.selector
            if budget.metadata.namespace != pod.metadata.namespace or not pod.metadata.labels or selector is None:
                continue
            if not selector.match_labels and not selector.match_expressions:
                continue
            if not naive.selects(selector, pod.metadata.labels) or pod.metadata.name in budget.status.disrupted_pods:
                continue
            left[budget.metadata.key] -= 1
            if left[budget.metadata.key] < 0:
                out.add(pod.metadata.key)
    return out


def victims(pod: Pod, name: str, case: Case) -> tuple[list[Pod], int] | tuple[str, ...]:
    world = replace(case.world, running=dict(case.world.running))
    lower = sorted((p for p in world.pods_on(name) if priority(p) < priority(pod)), key=importance)
    if not lower:
        return (NO_VICTIMS,)
    for other in lower:
        del world.running[other.metadata.key]
    found = status(pod, name, case, world)
    if found:
        return found
    bad = breaking(lower, case.budgets)
    out = []
    violations = 0
    for other in [p for p in lower if p.metadata.key in bad] + [p for p in lower if p.metadata.key not in bad]:
        world.running[other.metadata.key] = (other, name)
        if status(pod, name, case, world):
            del world.running[other.metadata.key]
            out.append(other)
            violations += other.metadata.key in bad
    if not out:
        return (NO_VICTIMS,)
    return sorted(out, key=importance), violations


def rank(found: tuple[list[Pod], int]) -> tuple[float, ...]:
    pods, violations = found
    highest = priority(pods[0])
    earliest = min(started(p) for p in pods if priority(p) == highest)
    return (violations, highest, sum(priority(p) + 2**31 for p in pods), len(pods), -earliest)


def preempt(pod: Pod, case: Case, offset_of: object, least: int = 100) -> tuple[str, list[str]] | str:
    """(node, keys of the victims), or the message. `offset_of(n)`: where the search among n nodes begins."""
    why = {name: status(pod, name, case, case.world) for name in case.order}
    assert all(why.values()), "it fits"
    potential = [name for name in case.order if not why[name][0].startswith(UNRESOLVABLE) or exact(why[name][0])]
    counts: dict[str, int] = {}
    if potential:
        enough = min(max(len(potential) * 10 // 100, least), len(potential))
        offset = offset_of(len(potential))  # type: ignore[operator]
        found: dict[str, tuple[list[Pod], int]] = {}
        for i in range(len(potential)):
            name = potential[(offset + i) % len(potential)]
            tried = victims(pod, name, case)
            if isinstance(tried[0], str):
                for reason in tried:
                    counts[str(reason)] = counts.get(str(reason), 0) + 1
                continue
            found[name] = tried
            if len(found) >= enough and any(v[1] == 0 for v in found.values()):
                break
        if found:
            kind = [n for n, v in found.items() if not v[1]] + [n for n, v in found.items() if v[1]]
            best = min(kind, key=lambda n: rank(found[n]))
            return best, [p.metadata.key for p in found[best][0]]
    counts[NO_HELP] = len(case.order) - len(potential)
    told = sorted(f"{n} {reason}" for reason, n in counts.items() if n)
    return f"0/{len(case.order)} nodes are available: {', '.join(told)}."


def exact(reason: str) -> bool:
    """The reason of a spread that evictions may mend begins like the one that they cannot."""
    return reason == "node(s) didn't match pod topology spread constraints"
