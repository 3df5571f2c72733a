"""Preemption: which pods of lower priority must go, and on which node, for a pod that fits nowhere.

Source: kube-scheduler 1.32 framework/preemption/preemption.go, plugins/defaultpreemption/default_preemption.go. Decides
only: the scheduler (scheduler.py) carries out what is decided here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import numpy as np

from harness.model.core import Pod
from harness.scheduling.feasibility.dry_run import DryRun
from harness.scheduling.feasibility.fit_error import Diagnosis
from harness.scheduling.feasibility.nominations import only_amounts
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.preemption.disruption_budgets import Budgets
from harness.scheduling.state.change_log import ChangeLog
from harness.scheduling.strategy import PODS, Bool, Int64, PodClass, PodView

MIN_CANDIDATES_PERCENT, MIN_CANDIDATES = 10, 100
"""Source: DefaultPreemptionArgs minCandidateNodesPercentage, minCandidateNodesAbsolute."""

REASON = "PreemptionByScheduler"
"""Source: core/v1 PodReasonPreemptionByScheduler, of the condition DisruptionTarget."""

NO_VICTIMS = "No preemption victims found for incoming pod"
NO_HELP = "Preemption is not helpful for scheduling"
NEVER = "not eligible due to preemptionPolicy=Never."
WAITING = "not eligible due to a terminating pod on the nominated node."
"""Source of the words: default_preemption.go SelectVictimsOnNode, PodEligibleToPreemptOthers; preemption.go Preempt."""

_NOT_YET = 1 << 62  # start of a pod that has not started: later than every other
_SPAN = 1 << 31  # added to each priority before they are summed, so that more victims never weigh less
_CLASSES = 64  # whose dry runs are remembered


@dataclass(frozen=True, slots=True)
class Victims:
    """Of one node: who would go, the most important first; `violations`: how many of them break a budget."""

    node: int
    pods: tuple[PodView, ...]
    violations: int
    rank: tuple[int, int, int, int, int]  # kube-scheduler's five criteria, the least is best


@dataclass(frozen=True, slots=True)
class NoPreemption:
    """Why nobody goes. `keep`: a nomination made before stands."""

    reason: str
    keep: bool


Verdict: TypeAlias = Victims | NoPreemption

_Why: TypeAlias = tuple[str, ...]
_Ranked: TypeAlias = list[tuple[int, int, str, PodView]]


class _Board:
    """The dry runs of one class on every node, done again only for nodes that changed.

    `open`: bool [nodes], where victims would make room, with their `ranks`, int64 [criteria, nodes]. `why`: of the
    others that evictions could open, how often what.
    """

    __slots__ = ("by_node", "epoch", "open", "ranks", "seen", "why")

    def __init__(self, room: int, seen: int, epoch: tuple[int, int, int]) -> None:
        self.by_node: dict[int, Victims | _Why] = {}
        self.open: Bool = np.zeros(room, dtype=np.bool_)
        self.ranks: Int64 = np.zeros((5, room), dtype=np.int64)
        self.why: Counter[_Why] = Counter()
        self.seen = seen
        self.epoch = epoch

    def put(self, node: int, found: Victims | _Why | None) -> None:
        """None: evictions cannot open it."""
        old = self.by_node.pop(node, None)
        if isinstance(old, tuple):
            self.why[old] -= 1
        self.open[node] = isinstance(found, Victims)
        if found is not None:
            self.by_node[node] = found
            if isinstance(found, Victims):
                self.ranks[:, node] = found.rank
            else:
                self.why[found] += 1

    def best(self, first: int, enough: int) -> Victims | None:
        """Among the first `enough` open nodes from node `first` on, round the end; and one that breaks no budget."""
        there = np.flatnonzero(self.open)
        if not len(there):
            return None
        at = int(there.searchsorted(first))
        near = there[at : at + enough]
        if len(near) < enough:
            near = np.concatenate((near, there[: min(at, enough - len(near))]))
        if self.ranks[0][near].all():  # further on, until one breaks none
            there = np.concatenate((there[at:], there[:at]))
            kind = np.flatnonzero(self.ranks[0][there] == 0)
            near = there[: int(kind[0]) + 1] if len(kind) else there
        there = near
        for criterion in self.ranks:
            of_these = criterion[there]
            there = there[of_these == of_these.min()]
            if len(there) == 1:
                break
        found = self.by_node[int(there[0])]
        assert isinstance(found, Victims)
        return found

    def told(self) -> Counter[str]:
        out: Counter[str] = Counter()
        for reasons, nodes in self.why.items():
            for reason in reasons:
                out[reason] += nodes
        return out


class Preemption:
    """`pods`: the placed pods as last seen, by key. `offsets` draws where the search for candidates begins."""

    def __init__(self, snapshot: Snapshot, offsets: Random, pending: Mapping[str, Pod]) -> None:
        self.budgets = Budgets()
        self.pods: dict[str, Pod] = {}
        self.doomed: set[str] = set()  # victims that were told to go and are still there
        self._snapshot = snapshot
        self._offsets = offsets
        self._pending = pending
        self._ranked: dict[int, _Ranked] = {}  # pods by node, most important first
        self._log = ChangeLog()  # nodes whose pods, or what is known of them, changed
        self._seen = 0
        self._epoch = 0
        self._ranked_at = (0, 0)
        self._boards: dict[int, _Board] = {}

    def look_at(self, snapshot: Snapshot) -> None:
        """The snapshot was made anew: its log too."""
        self._snapshot = snapshot
        self._seen = snapshot.log.version
        self._epoch += 1
        self._boards.clear()

    # -- what is known -------------------------------------------------------------------------------------------------

    def update_pod(self, pod: Pod) -> None:
        """A placed pod as it is now."""
        key = pod.metadata.key
        old = self.pods.get(key)
        self.pods[key] = pod
        if not self._ranked:
            return
        if old is None or old.status.start_time != pod.status.start_time:
            node = self._snapshot.where(key)
            if node is not None:
                self._log.add(node)

    def remove_pod(self, key: str) -> None:
        self.pods.pop(key, None)
        self.doomed.discard(key)

    def could_help(self, cls: PodClass, node: int) -> bool:
        """Whether evictions on one node may open it for a pod of `cls`, as far as amounts go."""
        self._sync()
        if only_amounts(cls) and constraints_of(cls).node_names is None:
            return bool(self._board(cls).open[node])
        return self._snapshot.verdicts.spec_verdicts(cls)[node] != 0 and isinstance(
            self._reckoned(cls, "", node), Victims
        )

    # -- deciding ------------------------------------------------------------------------------------------------------

    def verdict(self, view: PodView, pod: Pod, why: Diagnosis) -> Verdict:
        """Of a pod that fits nowhere now, as `why` says."""
        if pod.spec.preemption_policy == "Never":
            return NoPreemption(NEVER, keep=True)
        snapshot = self._snapshot
        nominated = snapshot.nominations.node_of(view.key)
        if (
            nominated is not None
            and bool((why.resolvable == nominated).any())
            and self.is_being_cleared(nominated, view.priority)
        ):
            return NoPreemption(WAITING, keep=True)
        found, told = self._best(snapshot.classes.class_now(view), view.key, why.resolvable)
        if found is not None:
            return found
        told[NO_HELP] += why.nodes - len(why.resolvable)
        reasons = sorted(f"{count} {reason}" for reason, count in told.items() if count)
        text = f" {', '.join(reasons)}." if reasons else ""
        return NoPreemption(f"0/{why.nodes} nodes are available:{text}", keep=False)

    def candidates(self, view: PodView, why: Diagnosis) -> list[Victims]:
        """Every node that victims could open for a pod, by index: what `verdict` chooses among."""
        self._sync()
        cls = self._snapshot.classes.class_now(view)
        tried = self._reckoned if only_amounts(cls) else self._tried
        found = (tried(cls, view.key, node) for node in why.resolvable.tolist())
        return [item for item in found if isinstance(item, Victims)]

    def is_being_cleared(self, node: int, priority: int) -> bool:
        """A pod of lower priority is on its way off the node because of preemption."""
        return any(
            pod.priority < priority and (pod.key in self.doomed or is_being_preempted(self.pods.get(pod.key)))
            for pod in self._snapshot.pods_on(node)
        )

    def _best(self, cls: PodClass, key: str, potential: Int64) -> tuple[Victims | None, Counter[str]]:
        """Of the nodes (ascending) that victims could open; else why they do not, counted over nodes."""
        told: Counter[str] = Counter()
        count = len(potential)
        if not count:
            return None, told
        enough = min(max(count * MIN_CANDIDATES_PERCENT // 100, MIN_CANDIDATES), count)
        offset = self._offsets.randrange(count)
        self._sync()
        if (
            only_amounts(cls)
            and constraints_of(cls).node_names is None
            and self._snapshot.nominations.node_of(key) is None
        ):
            board = self._board(cls)
            chosen = board.best(int(potential[offset]), enough)
            return chosen, told if chosen is not None else board.told()
        best: Victims | None = None
        tried = self._reckoned if only_amounts(cls) else self._tried
        candidates, kind = 0, False
        for node in np.roll(potential, -offset).tolist():
            found = tried(cls, key, node)
            if isinstance(found, tuple):
                told.update(found)
                continue
            candidates += 1
            kind = kind or not found.violations
            if best is None or found.rank < best.rank:
                best = found
            if kind and candidates >= enough:
                break
        return best, told

    def _board(self, cls: PodClass) -> _Board:
        snapshot = self._snapshot
        epoch = (self._epoch, self.budgets.version, snapshot.epoch)
        log = self._log
        board = self._boards.pop(cls.id, None)
        changed = log.since(board.seen) if board is not None and board.epoch == epoch else None
        if board is None or changed is None:
            board = _Board(snapshot.room, log.version, epoch)
            changed = list(range(len(snapshot.node_table)))
        board.seen = log.version
        while len(self._boards) >= _CLASSES:
            del self._boards[next(iter(self._boards))]
        self._boards[cls.id] = board
        if changed:
            spec = snapshot.verdicts.spec_verdicts(cls)
            for node in dict.fromkeys(changed):
                board.put(node, self._reckoned(cls, "", node) if spec[node] else None)
        return board

    def _sync(self) -> None:
        log = self._snapshot.log
        changed = log.since(self._seen)
        self._seen = log.version
        if changed is None:
            self._epoch += 1
        else:
            for node in changed:
                self._log.add(node)
        self._forget_ranked()

    def _forget_ranked(self) -> None:
        """Lists of pods are made again for nodes that changed; few are, so what changed is looked up in the log."""
        changed = None if self._ranked_at[0] != self._epoch else self._log.since(self._ranked_at[1])
        if changed is None:
            self._ranked.clear()
        else:
            for node in changed:
                self._ranked.pop(node, None)
        self._ranked_at = (self._epoch, self._log.version)

    def _lower(self, node: int, priority: int) -> list[PodView]:
        """Pods of lower priority there, the most important first: by priority, then by who started earlier."""
        ranked = self._ranked.get(node)
        if ranked is None:
            ranked = [(-pod.priority, self._started(pod.key), pod.key, pod) for pod in self._snapshot.pods_on(node)]
            ranked.sort(key=lambda item: item[:3])
            self._ranked[node] = ranked
        return [pod for minus, _, _, pod in ranked if -minus < priority]

    def _started(self, key: str) -> int:
        pod = self.pods.get(key)
        start = None if pod is None else pod.status.start_time
        return _NOT_YET if start is None else int(start)

    # -- one node ------------------------------------------------------------------------------------------------------

    def _reckoned(self, cls: PodClass, key: str, node: int) -> Victims | _Why:
        """For a class that looks at amounts alone."""
        lower = self._lower(node, cls.priority)
        if not lower:
            return (NO_VICTIMS,)
        snapshot = self._snapshot
        needs: tuple[tuple[int, int], ...] = cls.footprint.amounts
        free = snapshot.free_of[node]
        ahead = snapshot.nominations.ahead_of(cls, node, key)
        # What would be left for the victims to keep, of the resources that the pod asks for.
        left = {row: free[row] - amount for row, amount in needs}
        for pod in ahead:
            for row, amount in pod.cls.footprint.amounts:
                if row in left:
                    left[row] -= amount
        for pod in lower:
            for row, amount in pod.cls.footprint.amounts:
                if row in left:
                    left[row] += amount
        if min(left.values()) < 0:
            short = [row for row, amount in left.items() if amount < 0]
            out = ["Too many pods"] if PODS in short else []
            return (*out, *(f"Insufficient {snapshot.resources[row]}" for row in short if row != PODS))

        def keeps(pod: PodView) -> bool:
            amounts = pod.cls.footprint.amounts
            for row, amount in amounts:
                if row in left and amount > left[row]:
                    return False
            for row, amount in amounts:
                if row in left:
                    left[row] -= amount
            return True

        return self._reprieved(node, lower, keeps)

    def _tried(self, cls: PodClass, key: str, node: int) -> Victims | _Why:
        """For a class with any other constraint: the pods are taken off and put back on the snapshot itself."""
        lower = self._lower(node, cls.priority)
        if not lower:
            return (NO_VICTIMS,)
        snapshot = self._snapshot
        ahead = snapshot.nominations.ahead_of(cls, node, key)
        with DryRun(snapshot, node) as dry_run:

            def fits() -> bool:
                """With those nominated there and, if there are any, without them."""
                for pod in ahead:
                    dry_run.add(pod)
                beside = dry_run.passes(cls)
                for pod in ahead:
                    dry_run.remove(pod)
                return beside and (not ahead or dry_run.passes(cls))

            for pod in lower:
                dry_run.remove(pod)
            if not fits():
                for pod in ahead:
                    dry_run.add(pod)
                return next(
                    (
                        tuple(t.reasons(snapshot, node))
                        for t in constraints_of(cls).filters
                        if not t.holds(snapshot, node)
                    ),
                    (NO_HELP,),
                )

            def keeps(pod: PodView) -> bool:
                dry_run.add(pod)
                if fits():
                    return True
                dry_run.remove(pod)
                return False

            return self._reprieved(node, lower, keeps)

    def _reprieved(self, node: int, lower: Sequence[PodView], keeps: Callable[[PodView], bool]) -> Victims | _Why:
        """As many as possible stay: first those whose going breaks a budget, the most important of them first."""
        breaking = self.budgets.violating(lower) if self.budgets else set()
        must_go: set[str] = set()
        violations = 0
        if breaking:
            for pod in lower:
                if pod.key in breaking and not keeps(pod):
                    must_go.add(pod.key)
                    violations += 1
        for pod in lower:
            if pod.key not in breaking and not keeps(pod):
                must_go.add(pod.key)
        if not must_go:  # it would fit as it is: others keep it away
            return (NO_VICTIMS,)
        victims = tuple(pod for pod in lower if pod.key in must_go)
        highest = victims[0].priority
        earliest = min(self._started(pod.key) for pod in victims if pod.priority == highest)
        weight = sum(pod.priority + _SPAN for pod in victims)
        return Victims(node, victims, violations, (violations, highest, weight, len(victims), -earliest))


def is_being_preempted(pod: Pod | None) -> bool:
    """Deletion was asked for, by preemption."""
    if pod is None or pod.metadata.deletion_timestamp is None:
        return False
    return any(
        item.type == "DisruptionTarget" and item.status == "True" and item.reason == REASON
        for item in pod.status.conditions
    )
