"""How many more of a pod fit into a cluster as it stands, on which nodes, and what stops the next one.

The question of kubernetes-sigs/cluster-capacity, answered by placing copies one after another until none fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from harness.explain.from_manifests import FromManifests, OnNode
from harness.explain.preemption import PreemptionAnswer
from harness.model.core import Pod, PodStatus
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.legality import Refused, apply, take_back
from harness.scheduling.pods.pod_classes import GROUP_LABEL
from harness.scheduling.strategy import Bind, BindTogether, Strategy

MOST = 10_000
"""Copies that are tried, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Room:
    """`by_node`: how many each node took, where it took any; `stops`: of each node what keeps the next one away, empty
    where `most` was reached or `skipped` says why none is tried. `declined`: the strategy placed no more though nodes
    fit."""

    pod: str
    by_node: dict[str, int] = field(default_factory=dict)
    stops: tuple[OnNode, ...] = ()
    message: str = ""
    skipped: str = ""
    declined: bool = False
    preemption: PreemptionAnswer | None = None

    @property
    def count(self) -> int:
        return sum(self.by_node.values())

    def to_data(self) -> dict[str, Any]:
        if self.skipped:
            return {"pod": self.pod, "skipped": self.skipped}
        stops = [
            {
                "node": item.node,
                "fit": self.by_node.get(item.node, 0),
                "plugin": item.plugin,
                "reasons": [*item.reasons],
            }
            for item in self.stops
        ]
        told: dict[str, Any] = {"pod": self.pod, "fit": self.count, "byNode": self.by_node, "stops": stops}
        if self.message:
            told["message"] = self.message
        if self.declined:
            told["declined"] = True
        if not self.stops:
            told["reachedMost"] = True
        if self.preemption is not None:
            told["preemption"] = self.preemption.to_data()
        return told


def room_for(cluster: FromManifests, key: str, strategy: Strategy, most: int = MOST) -> Room:
    """Of a pod that waits or runs. The cluster is as before when this returns."""
    pod = _copy_of(cluster.pod(key))
    skipped = cluster.skips(pod, strategy)
    if skipped:
        return Room(key, skipped=skipped)
    on, rng = cluster.on, np.random.default_rng(0)
    nominated = on.nominations.remove(key)  # of itself; copies are to have the room
    placed: list[Bind] = []
    by_node: dict[str, int] = {}
    try:
        while len(placed) < most:
            view = cluster.view(_named(pod, len(placed) + 1))
            done = _placed(strategy.place([view], on, rng), on)
            if not done:
                diagnosis = diagnose(on, view)
                stops = cluster.by_node(strategy, view)
                fits = bool(on.feasible(view).any())
                preemption = None if fits else cluster.preemption_of(view, pod, diagnosis)
                ordered = dict(sorted(by_node.items(), key=lambda item: (-item[1], item[0])))
                return Room(key, ordered, stops, "" if fits else str(diagnosis), "", fits, preemption)
            placed += done
            for bind in done:
                name = on.node_table.names[bind.node]
                by_node[name] = by_node.get(name, 0) + 1
    finally:
        take_back(on, tuple(placed))
        if nominated is not None:
            on.nominations.nominate(cluster.view(cluster.pod(key)), nominated)
    return Room(key, by_node)


def _placed(decisions: Any, on: Any) -> list[Bind]:
    out: list[Bind] = []
    for decision in decisions:
        if isinstance(decision, Bind | BindTogether):
            done = apply(on, decision)
            out += [] if isinstance(done, Refused) else done
    return out


def _copy_of(pod: Pod) -> Pod:
    """As it was before it had a node, and alone: of a gang, one member."""
    meta = pod.metadata
    labels = {name: value for name, value in meta.labels.items() if name != GROUP_LABEL}
    return replace(
        pod,
        metadata=replace(meta, labels=labels, deletion_timestamp=None),
        spec=replace(pod.spec, node_name=""),
        status=PodStatus(),
    )


def _named(pod: Pod, number: int) -> Pod:
    return replace(pod, metadata=replace(pod.metadata, name=f"{pod.metadata.name}-more-{number}"))


def grouped(room: Room) -> list[tuple[Sequence[str], int, str]]:
    """(nodes, how many fit on each, what stops the next) of nodes that have the same to say, most first."""
    groups: dict[tuple[int, str], list[str]] = {}
    for item in room.stops:
        why = f"{item.plugin}: {', '.join(item.reasons)}" if item.plugin else "the strategy placed no more"
        groups.setdefault((room.by_node.get(item.node, 0), why), []).append(item.node)
    return [
        (nodes, fit, why) for (fit, why), nodes in sorted(groups.items(), key=lambda item: (-item[0][0], item[0][1]))
    ]
