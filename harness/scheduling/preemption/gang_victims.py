"""Preemption for a gang: who must go so that enough of its members fit together; nobody, where they still would not.

kube-scheduler 1.32 knows no gangs, and kubernetes-sigs/scheduler-plugins' coscheduling lets each member preempt for
itself, also for a gang that will never be whole. Here a gang is looked at as one: the members of highest priority
first, each where it fits beside those before it, or else where DefaultPreemption would put it. Only a plan for all
that are wanted is carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod
from harness.scheduling.feasibility import legality
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption.victims import WAITING, NoPreemption, Preemption, Victims
from harness.scheduling.strategy import Bind, BindTogether, PodView

CLAIMS = "not considered for a gang with volume claims."


@dataclass(frozen=True, slots=True)
class GangPlan:
    """`places`: of as many members as are wanted, the node of each. `victims`: with the member that each goes for."""

    places: tuple[tuple[PodView, int], ...]
    victims: tuple[tuple[PodView, PodView], ...]


def plan(
    snapshot: Snapshot, preemption: Preemption, members: Sequence[PodView], pending: Mapping[str, Pod]
) -> GangPlan | NoPreemption:
    """For a gang of which too few fit. Tried on the snapshot itself, which is as before afterwards.

    Places that were kept for members before are given up, unless somebody is on the way off one of them.
    """
    if any(member.cls.footprint.claims for member in members):
        return NoPreemption(CLAIMS, keep=True)
    kept = [(member, snapshot.nominations.node_of(member.key)) for member in members]
    if any(node is not None and preemption.is_being_cleared(node, member.priority) for member, node in kept):
        return NoPreemption(WAITING, keep=True)
    for member, _ in kept:
        snapshot.nominations.remove(member.key)
    wanted = legality.needs_gang(snapshot, members[0])
    with _Attempt(snapshot) as attempt:
        for member in sorted(members, key=lambda member: -member.priority):
            if len(attempt.places) < wanted and member.key in pending:
                _place(attempt, preemption, member, pending[member.key])
        if len(attempt.places) >= wanted:
            return GangPlan(tuple(attempt.places), tuple(attempt.victims))
        return NoPreemption(
            f"gang {members[0].group}: {len(attempt.places)} of at least {wanted} would fit.", keep=False
        )


def _place(attempt: _Attempt, preemption: Preemption, member: PodView, pod: Pod) -> None:
    snapshot = attempt.snapshot
    open_nodes = np.flatnonzero(snapshot.feasible(member))
    if len(open_nodes):
        attempt.put(member, int(min(open_nodes.tolist(), key=lambda node: snapshot.rank[node])))
        return
    match preemption.verdict(member, pod, diagnose(snapshot, member)):
        case Victims(node, victims):
            if all(victim.group != member.group for victim in victims):  # it would be no larger for that
                for victim in victims:
                    attempt.take(victim, member)
                attempt.put(member, node)
        case NoPreemption():
            pass


class _Attempt:
    """Members put and victims taken, all undone at the end of the `with`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.places: list[tuple[PodView, int]] = []
        self.victims: list[tuple[PodView, PodView]] = []
        self._had: list[tuple[PodView, int, tuple[int, ...] | None]] = []
        self._before: dict[int, tuple[PodView, ...]] = {}

    def __enter__(self) -> _Attempt:
        return self

    def __exit__(self, *_: object) -> None:
        snapshot = self.snapshot
        for member, _node in self.places:
            snapshot.forget(member.key)
        for victim, node, devices in self._had:
            snapshot.assume(victim, node, devices)
        for node, pods in self._before.items():
            snapshot.rewind(node, pods, snapshot.version)  # only the order of its pods: the log tells of what was tried

    def put(self, member: PodView, node: int) -> None:
        self._before.setdefault(node, tuple(self.snapshot.pods_on(node)))
        self.snapshot.assume(member, node)
        self.places.append((member, node))

    def take(self, victim: PodView, member: PodView) -> None:
        node = self.snapshot.where(victim.key)
        assert node is not None, f"{victim.key} is a victim, yet nowhere"
        self._before.setdefault(node, tuple(self.snapshot.pods_on(node)))
        self._had.append((victim, node, self.snapshot.devices(victim.key) if victim.cls.gpu.count else None))
        self.snapshot.forget(victim.key)
        self.victims.append((victim, member))


def to_kept_places(
    snapshot: Snapshot, members: Sequence[PodView], clearing: Callable[[int, int], bool]
) -> BindTogether | None:
    """A gang's way onto the nodes that were kept for it, once enough of its members fit there; None until then.

    When that will not be, as nobody is on the way off them (`clearing`: node, priority), they are given up.
    """
    nominations = snapshot.nominations
    kept = [(member, node) for member in members if (node := nominations.node_of(member.key)) is not None]
    if not kept:
        return None
    for member, _ in kept:
        nominations.remove(member.key)
    binds: list[Bind] = []
    for member, node in kept:
        done = legality.apply_alone(snapshot, Bind(member, node))
        if isinstance(done, Bind):
            binds.append(done)
    enough = len(binds) == len(kept) and not legality.needs_gang(snapshot, members[0])
    legality.take_back(snapshot, tuple(binds))
    if enough:
        return BindTogether(tuple(Bind(member, node) for member, node in kept))
    if any(clearing(node, member.priority) for member, node in kept):
        for member, node in kept:
            nominations.nominate(member, node)
    return None
