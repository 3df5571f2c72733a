"""The smallest change after which a node could take a pod, or would be picked: found by asking again.

Each change is made on the snapshot as it was at the decision and taken back afterwards. What is found is minimal in
this sense, and held to it by a property test: with the change the verdict flips; with any one of its parts left out, or
its amount one unit less, it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

from harness.explain.amounts import shown
from harness.explain.minimal_change import smallest
from harness.model.core import Taint
from harness.model.whole_numbers import whole_number
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.filter import Filter
from harness.scheduling.filters.gpu_devices import GpuDevices, GpuModel
from harness.scheduling.filters.node_affinity import NodeAffinity
from harness.scheduling.filters.node_resources_fit import NodeResourcesFit
from harness.scheduling.filters.node_unschedulable import NodeUnschedulable
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.filters.taint_toleration import TaintToleration
from harness.scheduling.state.node_selectors import Requirement
from harness.scheduling.strategy import CPU, MEMORY, PodView


@dataclass(frozen=True, slots=True)
class Allocatable:
    """The node had `amount` more (or, negative, less) of a resource, in milli-CPU, bytes, pods or units."""

    resource: str
    amount: int

    def __str__(self) -> str:
        more = "more" if self.amount > 0 else "less"
        return f"{shown(self.resource, abs(self.amount))} {more} allocatable {self.resource}"


@dataclass(frozen=True, slots=True)
class Devices:
    """The node had so many more GPUs, idle ones, of `model` where it has none yet."""

    amount: int
    model: str

    def __str__(self) -> str:
        return f"{self.amount} more {self.model or 'GPU'} device{'s' if self.amount > 1 else ''}"


@dataclass(frozen=True, slots=True)
class WithoutTaint:
    taint: Taint

    def __str__(self) -> str:
        value = f"={self.taint.value}" if self.taint.value else ""
        return f"without the taint {self.taint.key}{value}:{self.taint.effect}"


@dataclass(frozen=True, slots=True)
class Uncordoned:
    def __str__(self) -> str:
        return "uncordoned"


@dataclass(frozen=True, slots=True)
class Label:
    """`value` None: without the label."""

    key: str
    value: str | None

    def __str__(self) -> str:
        return f"without the label {self.key}" if self.value is None else f"with the label {self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class Without:
    """A pod that runs were not there."""

    pod: str

    def __str__(self) -> str:
        return f"without the pod {self.pod}"


@dataclass(frozen=True, slots=True)
class Full:
    """Another node took no more pods."""

    node: str

    def __str__(self) -> str:
        return f"with {self.node} full"


Change: TypeAlias = Full | Allocatable | Devices | WithoutTaint | Uncordoned | Label | Without
Verdict: TypeAlias = Callable[[Snapshot], bool]

MOST_NODES = 64
"""Nodes that are filled up one after another, at most, until the one asked about is picked."""

MOST_PODS = 64
"""Pods that are tried one by one, at most; of more the later ones stay."""


# -- making changes and taking them back -------------------------------------------------------------------------------


@contextmanager
def changed(on: Snapshot, node: int, changes: Sequence[Change]) -> Iterator[None]:
    """`on` with the changes, within the block."""
    before = columns_of(on, node)
    gone: list[tuple[PodView, int, tuple[int, ...]]] = []
    filled: list[dict[str, Any]] = []
    try:
        after = before
        for change in changes:
            if isinstance(change, Without):
                at = on.where(change.pod)
                assert at is not None, f"{change.pod} does not run"
                pod = next(item for item in on.pods_on(at) if item.key == change.pod)
                gone.append((pod, at, on.devices(change.pod)))
                on.forget(change.pod)
            elif isinstance(change, Full):
                other = columns_of(on, on.node_table.index[change.node])
                filled.append(other)
                on.update_node(**{**other, "capacity": {**other["capacity"], "pods": 0}})
            else:
                after = _with(after, change)
        if after != before:
            on.update_node(**after)
        yield
    finally:
        if after != before:
            on.update_node(**before)
        for other in filled:
            on.update_node(**other)
        for pod, at, devices in reversed(gone):
            on.assume(pod, at, devices or None)


def columns_of(on: Snapshot, node: int) -> dict[str, Any]:
    """The arguments of update_node for the node as it is."""
    facts = on.node_table
    model = on.model_of[node]
    capacity = dict(zip(on.resources, on.capacity_of[node], strict=True))
    return {
        "name": facts.names[node],
        "capacity": capacity,
        "gpu_devices": len(on.devices_of[node]),
        "gpu_model": on.gpu_models[model] if model >= 0 else "",
        "labels": dict(facts.labels[node]),
        "taints": tuple(facts.taints(node)),
        "unschedulable": facts.unschedulable[node],
        "images": on.images.images_of(node),
    }


def _with(columns: dict[str, Any], change: Change) -> dict[str, Any]:
    match change:
        case Allocatable(resource, amount):
            capacity = dict(columns["capacity"])
            capacity[resource] = capacity.get(resource, 0) + amount
            return {**columns, "capacity": capacity}
        case Devices(amount, model):
            more = columns["gpu_devices"] + amount
            return {**columns, "gpu_devices": more, "gpu_model": columns["gpu_model"] or model}
        case WithoutTaint(taint):
            return {**columns, "taints": tuple(item for item in columns["taints"] if item != taint)}
        case Uncordoned():
            return {**columns, "unschedulable": False}
        case Label(key, value):
            labels = {name: text for name, text in columns["labels"].items() if name != key}
            return {**columns, "labels": labels if value is None else {**labels, key: value}}
        case Without() | Full():
            return columns
        case _:
            assert_never(change)


def holds(on: Snapshot, node: int, changes: Sequence[Change], verdict: Verdict) -> bool:
    with changed(on, node, changes):
        return verdict(on)


# -- so that the node can take the pod ---------------------------------------------------------------------------------


def to_fit(on: Snapshot, view: PodView, node: int) -> list[tuple[Change, ...]]:
    """Alternatives after each of which every constraint holds on the node, the first by its own columns alone where
    that is possible, another by pods that leave. Empty where no change of these kinds does it, or none is needed.
    """

    def fits(at: Snapshot) -> bool:
        return at.verdicts.holds(at.classes.class_now(view), node)

    if fits(on):
        return []
    out = []
    for leaving in (False, True):
        found = _towards(on, view, node, leaving)
        if found is not None and holds(on, node, found, fits):
            least = tuple(smallest(found, lambda part: holds(on, node, part, fits)))
            if least not in out:
                out.append(least)
    return out


def _towards(on: Snapshot, view: PodView, node: int, leaving: bool) -> list[Change] | None:
    """Changes that together make every term hold, not yet the least; None where a term cannot be helped."""
    found: list[Change] = []
    for term in constraints_of(on.classes.class_now(view)).filters:
        with changed(on, node, found):
            if term.holds(on, node):
                continue
            helped = _help(term, on, node, leaving)
        if helped is None:
            return None
        found += [change for change in helped if change not in found]
    refusal = constraints_of(on.classes.class_now(view)).refusal
    return None if refusal else found


def _help(term: Filter, on: Snapshot, node: int, leaving: bool) -> list[Change] | None:
    match term:
        case NodeUnschedulable():
            return [Uncordoned()]
        case TaintToleration():
            return [WithoutTaint(taint) for taint in on.node_table.taints(node)]
        case NodeAffinity():
            return _labels(term, on, node)
        case GpuModel(models):
            if on.devices_of[node]:
                return None  # a node's devices are all of one model
            return [Devices(1, models[0] if models else (on.gpu_models[0] if on.gpu_models else "GPU"))]
        case NodeResourcesFit(needs) if not leaving:
            free = on.free_of[node]
            return [Allocatable(on.resources[row], want - free[row]) for row, want in needs if want > free[row]]
        case GpuDevices(count, milli) if not leaving:
            enough = sum(idle >= milli for idle in on.devices_of[node])
            model = on.model_of[node]
            other = on.gpu_models[0] if on.gpu_models else "GPU"
            return [Devices(count - enough, on.gpu_models[model] if model >= 0 else other)]
        case _:
            return _leaving(term, on, node)


def _leaving(term: Filter, on: Snapshot, node: int) -> list[Change] | None:
    """Pods whose leaving makes the term hold: those of the node, and of other nodes where the term looks there."""
    here = [pod.key for pod in on.pods_on(node)]
    elsewhere: list[str] = []
    if not isinstance(term, NodeResourcesFit | GpuDevices):
        elsewhere = [
            pod.key
            for at, pods in enumerate(on.placements.pods)
            if at != node
            for pod in pods
            if _looked_at(on, node, at)
        ]
    gone: list[Change] = []
    for key in [*here, *elsewhere][:MOST_PODS]:
        gone.append(Without(key))
        with changed(on, node, gone):
            if term.holds(on, node):
                return gone
    return None


def _looked_at(on: Snapshot, node: int, other: int) -> bool:
    """Whether the two share a value of some label: whatever topology a term speaks of, it is one of these."""
    mine, theirs = on.node_table.labels[node], on.node_table.labels[other]
    return any(theirs.get(key) == value for key, value in mine.items())


def _labels(term: NodeAffinity, on: Snapshot, node: int) -> list[Change] | None:
    name, labels = on.node_table.names[node], on.node_table.labels[node]

    def help_one(requirement: Requirement) -> Label | None:
        if requirement.field:
            return None  # a node cannot have another name
        match requirement.operator:
            case "In":
                return Label(requirement.key, requirement.values[0]) if requirement.values else None
            case "NotIn" | "DoesNotExist":
                return Label(requirement.key, None)
            case "Exists":
                return Label(requirement.key, "")
            case "Gt" | "Lt" if requirement.values and _is_int(requirement.values[0]):
                step = 1 if requirement.operator == "Gt" else -1
                return Label(requirement.key, str(int(requirement.values[0]) + step))
            case _:
                return None

    def help_all(requirements: Sequence[Requirement]) -> list[Change] | None:
        found = [help_one(item) for item in requirements if not item.holds_on(name, labels)]
        known = [item for item in found if item is not None]
        return list(known) if len(known) == len(found) else None

    selector = help_all(term.required.selector)
    if selector is None:
        return None
    if term.required.terms is None or any(items and help_all(items) == [] for items in term.required.terms):
        return selector
    ways = [way for items in term.required.terms if items and (way := help_all(items)) is not None]
    return [*selector, *min(ways, key=len)] if ways else None


def _is_int(text: str) -> bool:
    return whole_number(text.removeprefix("-")) is not None


# -- so that the node is picked ----------------------------------------------------------------------------------------


def to_win(
    on: Snapshot, view: PodView, node: int, picks: Callable[[Snapshot, PodView], int]
) -> list[tuple[Change, ...]]:
    """Alternatives after each of which the strategy picks the node, on which the pod fits already: more or less of one
    resource, pods of the node that leave, and the nodes that are preferred to it full."""

    def wins(at: Snapshot) -> bool:
        return picks(at, at.classes.current(view)) == node

    if wins(on):
        return []
    out: list[tuple[Change, ...]] = []
    for row in (CPU, MEMORY):
        resource = on.resources[row]
        free = on.free_of[node][row] - view.cls.amounts[row]
        for most in (-free, max(on.capacity[row].max().item(), 1)):
            if not most:
                continue
            found = _bisected(on, node, resource, int(most), wins)
            if found is not None:
                out.append((found,))
    here: list[Change] = [*(Without(pod.key) for pod in on.pods_on(node)[:MOST_PODS])]
    if here and holds(on, node, here, wins):
        out.append(tuple(smallest(here, lambda part: holds(on, node, part, wins))))
    preferred: list[Change] = []
    while len(preferred) < MOST_NODES:
        with changed(on, node, preferred):
            first = picks(on, on.classes.current(view))
        if first == node:
            out.append(tuple(smallest(preferred, lambda part: holds(on, node, part, wins))))
            break
        if first < 0:
            break
        preferred.append(Full(on.node_table.names[first]))
    return out


def _bisected(on: Snapshot, node: int, resource: str, most: int, verdict: Verdict) -> Allocatable | None:
    """The least amount towards `most` at which the verdict flips, where it holds at `most` or at a part of it."""
    sign = 1 if most > 0 else -1
    far = next(
        (
            amount
            for part in (64, 16, 8, 4, 2, 1)
            if (amount := abs(most) // part) and holds(on, node, (Allocatable(resource, sign * amount),), verdict)
        ),
        0,
    )
    if not far:
        return None
    near = 0  # the verdict does not hold here, and holds at `far`
    while far - near > 1:
        middle = (near + far) // 2
        if holds(on, node, (Allocatable(resource, sign * middle),), verdict):
            far = middle
        else:
            near = middle
    return Allocatable(resource, sign * far)
