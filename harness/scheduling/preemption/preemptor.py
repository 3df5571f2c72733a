"""Preemption carried out: what is written through the API when pods are to go for another, and what is known for it.

Source: kube-scheduler 1.32 framework/preemption PreemptPod, prepareCandidate; schedule_one.go handleSchedulingFailure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import assert_never

from msgspec.structs import replace

from harness.engine.component import DELETED, Delete, Effect, PatchStatus, Record
from harness.model.core import Pod
from harness.model.meta import Condition
from harness.model.objects import PodDisruptionBudget
from harness.model.wire import Time
from harness.scheduling.feasibility.fit_error import Diagnosis
from harness.scheduling.feasibility.legality import needs_gang
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption.gang_victims import GangPlan, plan
from harness.scheduling.preemption.victims import REASON, NoPreemption, Preemption, Victims
from harness.scheduling.strategy import PodView


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it. `message`: why nobody goes, '' when somebody does. `released`: pods that lost their node."""

    message: str = ""
    effects: tuple[Effect, ...] = ()
    released: tuple[str, ...] = ()
    victims: int = 0


class Preemptor:
    """`wanted`: True always, False never, None as soon as two pods differ in priority: before that none could gain."""

    def __init__(self, snapshot: Snapshot, wanted: bool | None, rng: Random, pending: Mapping[str, Pod]) -> None:
        self.active = wanted is True
        self.wanted = wanted
        self._snapshot = snapshot
        self._pending = pending
        # A stream of its own, that one draw more here moves nothing elsewhere.
        twin = Random()
        twin.setstate(rng.getstate())
        self.preemption = Preemption(snapshot, Random(twin.getrandbits(64)), pending)
        self._common: int | None = None  # the priority of every pod seen so far

    def look_at(self, snapshot: Snapshot) -> None:
        """The snapshot was made anew."""
        self._snapshot = snapshot
        self.preemption.look_at(snapshot)

    # -- what is known -------------------------------------------------------------------------------------------------

    def observe_priority(self, priority: int | None) -> None:
        if self.active or self.wanted is False:
            return
        if self._common is None:
            self._common = priority or 0
        elif self._common != (priority or 0):
            self.active = True

    def observe_budget(self, change: str, budget: PodDisruptionBudget) -> None:
        if change == DELETED:
            self.preemption.budgets.remove(budget.metadata.namespace, budget.metadata.name)
        else:
            self.preemption.budgets.put(budget)

    def observe_nomination(self, pod: Pod, view: PodView, old: Pod | None) -> None:
        """What somebody else wrote into status.nominatedNodeName, or this scheduler before it was started again."""
        name = pod.status.nominated_node_name
        was = "" if old is None else old.status.nominated_node_name
        if name == was:
            return
        nominations, nodes = self._snapshot.nominations, self._snapshot.node_table.index
        known = nominations.node_of(view.key)
        if name:
            if known is None and name in nodes:
                nominations.nominate(view, nodes[name])
        elif known is not None and known == nodes.get(was):
            nominations.remove(view.key)

    # -- what is done --------------------------------------------------------------------------------------------------

    def attempt(self, now: int, view: PodView, pod: Pod, why: Diagnosis) -> Attempt:
        """For a pod that fits nowhere. The nomination is made in the snapshot; in the API it is up to the caller."""
        nominations = self._snapshot.nominations
        verdict = self.preemption.verdict(view, pod, why)
        match verdict:
            case NoPreemption(reason, keep):
                if not keep:
                    nominations.remove(view.key)
                return Attempt(f"preemption: {reason}")
            case Victims(node, victims):
                effects: list[Effect] = []
                name = self._snapshot.node_table.names[node]
                for victim in victims:
                    self._send_away(now, victim, pod, name, effects)
                released = tuple(self._release(node, view, effects))
                nominations.nominate(view, node)
                return Attempt("", tuple(effects), released, len(victims))
            case _:
                assert_never(verdict)

    def attempt_gangs(self, now: int, unplaced: Iterable[PodView]) -> Iterator[tuple[list[PodView], Attempt]]:
        """For the gangs among the pods that were not placed, each as one."""
        if not self.active:
            return
        gangs: dict[str, list[PodView]] = {}
        for view in unplaced:
            if view.group is not None:
                gangs.setdefault(view.group, []).append(view)
        for members in gangs.values():
            if 1 < needs_gang(self._snapshot, members[0]) <= len(members):
                yield members, self.attempt_gang(now, members)

    def attempt_gang(self, now: int, members: Sequence[PodView]) -> Attempt:
        """For a gang that was not placed: `members` are those of it that wait, at least as many as are wanted."""
        nominations = self._snapshot.nominations
        found = plan(self._snapshot, self.preemption, members, self._pending)
        match found:
            case NoPreemption(reason):
                return Attempt(f"preemption: {reason}")
            case GangPlan(places, victims):
                if not victims:  # it would fit: the strategy did not want that, or did not see how
                    return Attempt()
                effects: list[Effect] = []
                names, node_of = self._snapshot.node_table.names, {member.key: node for member, node in places}
                for victim, member in victims:
                    self._send_away(now, victim, self._pending[member.key], names[node_of[member.key]], effects)
                released = [key for member, node in places for key in self._release(node, member, effects)]
                for member, node in places:
                    nominations.nominate(member, node)
                return Attempt("", tuple(effects), tuple(released), len(victims))
            case _:
                assert_never(found)

    def _send_away(self, now: int, victim: PodView, preemptor: Pod, node: str, effects: list[Effect]) -> None:
        found = self.preemption.pods.get(victim.key) or self._pending.get(victim.key)
        if found is not None and victim.key not in self.preemption.doomed:
            self.preemption.doomed.add(victim.key)
            effects += _evict(now, found, preemptor, node)

    def _release(self, node: int, view: PodView, effects: list[Effect]) -> Iterable[str]:
        """Pods of lower priority that were to come here look for another place."""
        nominations = self._snapshot.nominations
        for other in nominations.pods_on(node):
            if other.priority < view.priority and (view.group is None or other.group != view.group):
                nominations.remove(other.key)
                pod = self._pending.get(other.key)
                if pod is not None:
                    unnominated = replace(pod, status=replace(pod.status, nominated_node_name=""))
                    effects.append(PatchStatus(unnominated, pod))
                yield other.key

    def handle_delete_failure(self, effect: Delete) -> int | None:
        """A victim could not be told to go; the node that it is on, None when it is none of ours."""
        key = f"{effect.namespace}/{effect.name}"
        if effect.kind != "Pod" or key not in self.preemption.doomed:
            return None
        self.preemption.doomed.discard(key)
        return self._snapshot.where(key)


def _evict(now: int, victim: Pod, preemptor: Pod, node: str) -> list[Effect]:
    """Marked, deleted with the grace of its own, and told why. No budget is asked: preemption may break one."""
    meta = victim.metadata
    target = Condition(
        type="DisruptionTarget",
        status="True",
        reason=REASON,
        message=f"{preemptor.spec.scheduler_name}: preempting to accommodate a higher priority pod",
        last_transition_time=Time(now),
    )
    message = f"Preempted by pod {preemptor.metadata.uid} on node {node}"
    return [
        PatchStatus(replace(victim, status=replace(victim.status, conditions=(target,))), victim),
        Delete("Pod", meta.namespace, meta.name, uid=meta.uid),
        Record(victim, "Normal", "Preempted", message),
    ]
