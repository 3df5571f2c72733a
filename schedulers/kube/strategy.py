"""kube-scheduler's default strategy: score the feasible nodes by the plugins of a profile and take the best.

Ties go to the lowest rank, where kube-scheduler draws one at random. Where a share of the nodes is scored, the search
goes round them from where the last one ended, zone by zone in turn, as one worker of kube-scheduler does (ring.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.ranking.score_table import ScoreTable
from harness.scheduling.sandbox.read_only_view import snapshot_of
from harness.scheduling.scoring import one_by_one
from harness.scheduling.strategy import Bind, ClusterView, Decision, Float64, Int64, PodBatch, PodView
from schedulers.extender import Chain, Settings
from schedulers.kube.groups import Grouping, Kinds
from schedulers.kube.profile import Profile, nodes_to_find
from schedulers.kube.resources import MOST, ResourceScore
from schedulers.kube.ring import Ring
from schedulers.kube.scores import OtherScores, wishes


class _Scorer:
    """One profile at work."""

    def __init__(self, profile: Profile, grouping: Grouping) -> None:
        self.profile = profile
        self.resources = ResourceScore(profile)
        self.others = OtherScores(profile)
        self.kinds = Kinds(self.others, grouping)
        self._table: ScoreTable | None = None

    def table(self, snapshot: Snapshot) -> ScoreTable:
        if self._table is None or self._table.snapshot is not snapshot:
            self._table = ScoreTable(self.resources, snapshot)
            self.others.watch(snapshot)
        return self._table

    def besides(self, snapshot: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """The other scores, weighted and added, int64 [len(nodes)]; None where they tell no node from another."""
        snapshot.pod_counts.trim()
        total: Int64 | None = None
        for _, weight, score in self.others.scorers:
            found = score(snapshot, pod, nodes)
            if found is not None:
                total = weight * found if total is None else total + weight * found
        return total


class Kube:
    """A strategy of profiles; a pod goes by the one that its schedulerName names, by the first where none does."""

    batch_size = 64

    def __init__(
        self,
        profiles: Sequence[Profile] = (Profile(),),
        extenders: Sequence[Settings] = (),
        grouping: Grouping = Grouping(),  # noqa: B008  a frozen value
    ) -> None:
        self.profiles = tuple(profiles)
        self._scorers = {profile.name: _Scorer(profile, grouping) for profile in self.profiles}
        self._first = self._scorers[self.profiles[0].name]
        self._ring = Ring()
        self._chain = Chain(extenders) if extenders else None

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        snapshot = snapshot_of(cluster)
        assert snapshot is not None, "kube scores the harness's own snapshot"
        decisions = one_by_one(pods, cluster, lambda pod: self._choose(pod, snapshot))
        return decisions if self._chain is None else self._chain.bound(decisions, cluster)

    def state(self) -> str:
        """Where the next search begins, by the node's place in the round."""
        return str(self._ring.start)

    def restore(self, state: str) -> None:
        self._ring.start = int(state or 0)

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """Each plugin's weighted score over all feasible nodes, float64 [nodes], NaN elsewhere."""
        snapshot = snapshot_of(cluster)
        assert snapshot is not None
        scorer = self._of(pod)
        scorer.table(snapshot)
        nodes = np.flatnonzero(snapshot.feasible(pod))
        wanted = scorer.resources.wanted(pod.cls, snapshot)
        out: dict[str, Float64] = {}
        for name, weight in scorer.profile.weights.items():
            column = np.full(len(snapshot.names), np.nan)
            if len(nodes):
                if name == "NodeResourcesFit":
                    found: Int64 | None = scorer.resources.fit(wanted, snapshot, nodes)
                elif name == "NodeResourcesBalancedAllocation":
                    found = scorer.resources.balanced(wanted, snapshot, nodes)
                else:
                    score = next(score for known, _, score in scorer.others.scorers if known == name)
                    found = score(snapshot, pod, nodes)
                column[nodes] = weight * (found if found is not None else MOST * (name == "TaintToleration"))
            out[name] = column
        return out

    def _of(self, pod: PodView) -> _Scorer:
        return self._scorers.get(wishes(pod).scheduler, self._first)

    def _choose(self, pod: PodView, snapshot: Snapshot) -> Bind | None:
        scorer = self._of(pod)
        table = scorer.table(snapshot)
        enough = nodes_to_find(scorer.profile.percentage, len(snapshot))
        if not scorer.profile.weights and self._chain is None:
            enough = 1  # the first that fits. Source: schedule_one.go findNodesThatPassFilters, HasScorePlugins
        named = pod.cls.constraints.node_names
        if named is not None:
            if enough < len(snapshot):
                self._ring.sync(snapshot)
                self._ring.passed_by(sum(name in snapshot.node_table.index for name in named))
            nodes = np.array(snapshot.verdicts.among(pod.cls), dtype=np.int64)
        elif enough >= len(snapshot):
            if self._chain is None and not scorer.others.matter(snapshot, pod):
                best = table.best(pod)
                return None if best < 0 else Bind(pod, best)
            if self._chain is None:
                snapshot.pod_counts.trim()
                found = scorer.kinds.best(snapshot, pod, table)
                if found is not None:
                    return None if found < 0 else Bind(pod, found)
            nodes = np.flatnonzero(snapshot.feasible(pod))
        else:
            self._ring.sync(snapshot)
            nodes = self._ring.search(snapshot.feasible(pod), enough)
        if self._chain is not None:
            nodes = self._chain.filter(pod, snapshot, nodes)
        if len(nodes) < 2:
            return Bind(pod, int(nodes[0])) if len(nodes) else None
        totals = table.values(pod, nodes)
        besides = scorer.besides(snapshot, pod, nodes)
        if besides is not None:
            totals = totals + besides
        if self._chain is not None:
            totals = totals + self._chain.score(pod, snapshot, nodes)
        ties = nodes[totals == totals.max()]
        return Bind(pod, int(ties[snapshot.rank[ties].argmin()]) if len(ties) > 1 else int(ties[0]))
