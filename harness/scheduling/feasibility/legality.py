"""What makes a decision legal, and its effect on the snapshot: the one check that every strategy's answer passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import index
from typing import TypeAlias

from harness.scheduling.feasibility.fit_error import reasons_on_node
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.volume_fit import choose_volumes
from harness.scheduling.state.gpu_devices import choose_devices
from harness.scheduling.strategy import Bind, BindTogether, PodView


@dataclass(frozen=True, slots=True)
class Refused:
    """The decision was not carried out; the snapshot is as it was. `pod` is the one at fault."""

    pod: PodView
    reason: str


Outcome: TypeAlias = tuple[Bind, ...] | Refused
"""What was bound, each with its devices filled in."""


def apply(snapshot: Snapshot, decision: Bind | BindTogether) -> Outcome:
    """Assume the pods of a legal decision on their nodes, or refuse it whole."""
    if type(decision) is Bind:
        done = apply_alone(snapshot, decision)
        if isinstance(done, Refused):
            return done
        return _whole_groups(snapshot, (done,))
    assert isinstance(decision, BindTogether)
    bound: list[Bind] = []
    for bind in decision.binds:
        done = apply_alone(snapshot, bind)
        if isinstance(done, Refused):
            take_back(snapshot, tuple(bound))
            return done
        bound.append(done)
    return _whole_groups(snapshot, tuple(bound))


def take_back(snapshot: Snapshot, binds: tuple[Bind, ...]) -> None:
    for bind in binds:
        snapshot.forget(bind.pod.key)
        snapshot.nominations.note_placement(bind.pod.key)


def refusal(snapshot: Snapshot, bind: Bind) -> str | None:
    """Why `bind` is not legal now; None when it is. Gangs aside."""
    pod, node, devices = bind.pod, bind.node, bind.devices
    node_table = snapshot.node_table
    if not isinstance(node, int) or not 0 <= node < len(node_table) or not node_table.alive[node]:
        return f"unknown node: {node!r}"
    at = snapshot.where(pod.key)
    if at is not None:
        return f"already placed on {node_table.names[at]}"
    cls = snapshot.classes.class_now(pod)
    if not snapshot.verdicts.holds(cls, node):
        return f"{node_table.names[node]}: {', '.join(reasons_on_node(snapshot, cls, node))}"
    if devices is not None:
        return _wrong_devices(snapshot, bind, devices)
    return None


def apply_alone(snapshot: Snapshot, bind: Bind) -> Bind | Refused:
    """One bind, gangs aside: for trying the members of a gang one after another."""
    if type(bind.node) is not int or bind.devices is not None:
        bind = plain(bind)
    reason = refusal(snapshot, bind)
    if reason is not None:
        return Refused(bind.pod, reason)
    gpu = bind.pod.cls.gpu
    if gpu.count and bind.devices is None:
        devices = choose_devices(gpu, snapshot.devices_of[bind.node])
        assert devices is not None, f"{bind.pod.key} fits, yet on no devices"
        bind = replace(bind, devices=devices)
    claims = bind.pod.cls.footprint.claims
    if claims:  # before it is there itself: who uses a claim keeps it from others
        promise = choose_volumes(snapshot, snapshot.volumes.pod_volume_claims(claims), bind.node)
        assert promise is not None, f"{bind.pod.key} fits, yet its claims find nothing"
        snapshot.volumes.reserve(bind.pod.key, promise)
    snapshot.assume(bind.pod, bind.node, bind.devices)
    snapshot.nominations.note_placement(bind.pod.key)
    return bind


def plain(bind: Bind) -> Bind:
    """numpy's integers, which strategies like to answer with, as plain ones; what is no integer stays to be refused."""
    try:
        node = index(bind.node)
        devices = None if bind.devices is None else tuple(index(device) for device in bind.devices)
    except TypeError:
        return bind
    return Bind(bind.pod, node, devices)


def _wrong_devices(snapshot: Snapshot, bind: Bind, devices: tuple[int, ...]) -> str | None:
    gpu = bind.pod.cls.gpu
    name = snapshot.node_table.names[bind.node]
    idle = snapshot.devices_of[bind.node]
    if len(devices) != gpu.count or len(set(devices)) != len(devices):
        return f"{name}: asks for {gpu.count} devices, and was given {list(devices)}"
    for device in devices:
        if not isinstance(device, int) or not 0 <= device < len(idle):
            return f"{name}: no device {device!r}"
        if idle[device] < gpu.milli:
            return f"{name}: device {device} has {idle[device]} milli idle, needs {gpu.milli}"
    return None


def _whole_groups(snapshot: Snapshot, binds: tuple[Bind, ...]) -> Outcome:
    """All or none: after a decision a gang has its minimum running, or nothing of this decision stands."""
    for bind in binds:
        pod = bind.pod
        if pod.group is not None and pod.group_min > 1:
            placed = snapshot.placed_in_group(pod.group)
            if placed < pod.group_min:
                take_back(snapshot, binds)
                return Refused(pod, f"gang {pod.group}: {placed} of at least {pod.group_min} placed together")
    return binds


def needs_gang(snapshot: Snapshot, pod: PodView) -> int:
    """How many pods of its group, this one included, must be placed together; 0 or 1: it may go alone."""
    if pod.group is None or pod.group_min <= 1:
        return 0
    return max(0, pod.group_min - snapshot.placed_in_group(pod.group))
