"""kube-scheduler's default strategy: score the feasible nodes by the plugins of a profile and take the best.

Ties go to the lowest rank, where kube-scheduler draws one at random. Where a share of the nodes is scored, the search
goes round the nodes from where the last one ended, zone by zone in turn, as kube-scheduler's does with one worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.scheduling.score_table import ScoreTable
from harness.scheduling.scoring import one_by_one
from harness.scheduling.snapshot import Snapshot
from harness.scheduling.strategy import Bind, Bool, ClusterView, Decision, Float64, Int64, PodBatch, PodView
from harness.scheduling.view import snapshot_of
from schedulers.extender import Chain, Settings
from schedulers.kube.profile import Profile, nodes_to_find
from schedulers.kube.resources import MOST, ResourceScore
from schedulers.kube.scores import OtherScores, wishes

_NONE: Int64 = np.zeros(0, dtype=np.int64)


class _Scorer:
    """One profile at work."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.resources = ResourceScore(profile)
        self.others = OtherScores(profile)
        self._table: ScoreTable | None = None

    def table(self, on: Snapshot) -> ScoreTable:
        if self._table is None or self._table.on is not on:
            self._table = ScoreTable(self.resources, on)
            self.others.watch(on)
        return self._table

    def besides(self, on: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """The other scores, weighted and added, int64 [len(nodes)]; None where they tell no node from another."""
        on.relations.trim()
        total: Int64 | None = None
        for _, weight, score in self.others.scorers:
            found = score(on, pod, nodes)
            if found is not None:
                total = weight * found if total is None else total + weight * found
        return total


class Ring:
    """The nodes in the order in which they are searched: one of each zone in turn.

    Source: kube-scheduler 1.32 backend/cache/node_tree.go.
    """

    def __init__(self) -> None:
        self._on: Snapshot | None = None
        self._seen = (-1, -1)
        self.nodes: Int64 = _NONE
        self._twice: Int64 = _NONE
        self.start = 0  # where the next search begins

    def sync(self, on: Snapshot) -> None:
        order = on.order_column()
        seen = (on.spec_log.version, on.epoch)
        if on is self._on and seen == self._seen:
            return
        self._on, self._seen = on, seen
        nodes = order[order >= 0]
        region = on.facts.label_column("topology.kubernetes.io/region").codes[nodes].astype(np.int64)
        zone = on.facts.label_column("topology.kubernetes.io/zone").codes[nodes].astype(np.int64)
        _, first, place = np.unique((region << 32) + zone, return_index=True, return_inverse=True)
        turn = np.argsort(np.argsort(first))[place]  # zones in order of their first node
        by_zone = np.argsort(turn, kind="stable")
        starts = np.concatenate(([0], np.cumsum(np.bincount(turn))[:-1])) if len(nodes) else _NONE
        within = np.empty(len(nodes), dtype=np.int64)
        within[by_zone] = np.arange(len(nodes)) - starts[turn[by_zone]]
        self.nodes = nodes[np.lexsort((turn, within))]
        self._twice = np.concatenate((self.nodes, self.nodes))
        if len(nodes):
            self.start %= len(nodes)

    def search(self, fits: Bool, enough: int) -> Int64:
        """The first `enough` nodes that fit, from where the last search ended; fits: bool [nodes]."""
        n = len(self.nodes)
        nodes = self._twice[self.start : self.start + n]
        found: list[Int64] = []
        count = at = 0
        while at < n and count <= enough:  # one more than enough tells where the search ends
            window = nodes[at : at + 2 * (enough - count) + 512]
            here = np.flatnonzero(fits[window])
            found.append(window[here])
            if count + len(here) > enough:
                self.start = (self.start + at + int(here[enough - count])) % n
            count += len(here)
            at += len(window)
        return np.concatenate(found)[:enough] if found else _NONE


class Kube:
    """A strategy of profiles; a pod goes by the one that its schedulerName names, by the first where none does."""

    batch_size = 64

    def __init__(self, profiles: Sequence[Profile] = (Profile(),), extenders: Sequence[Settings] = ()) -> None:
        self.profiles = tuple(profiles)
        self._scorers = {profile.name: _Scorer(profile) for profile in self.profiles}
        self._first = self._scorers[self.profiles[0].name]
        self._ring = Ring()
        self._chain = Chain(extenders) if extenders else None

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        on = snapshot_of(cluster)
        assert on is not None, "kube scores the harness's own snapshot"
        decisions = one_by_one(pods, cluster, lambda pod: self._choose(pod, on))
        return decisions if self._chain is None else self._chain.bound(decisions, cluster)

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """Each plugin's weighted score over all feasible nodes, float64 [nodes], NaN elsewhere."""
        on = snapshot_of(cluster)
        assert on is not None
        scorer = self._of(pod)
        scorer.table(on)
        nodes = np.flatnonzero(on.feasible(pod))
        wanted = scorer.resources.wanted(pod.cls, on)
        out: dict[str, Float64] = {}
        for name, weight in scorer.profile.weights.items():
            column = np.full(len(on.names), np.nan)
            if len(nodes):
                if name == "NodeResourcesFit":
                    found: Int64 | None = scorer.resources.fit(wanted, on, nodes)
                elif name == "NodeResourcesBalancedAllocation":
                    found = scorer.resources.balanced(wanted, on, nodes)
                else:
                    score = next(score for known, _, score in scorer.others.scorers if known == name)
                    found = score(on, pod, nodes)
                column[nodes] = weight * (found if found is not None else MOST * (name == "TaintToleration"))
            out[name] = column
        return out

    def _of(self, pod: PodView) -> _Scorer:
        return self._scorers.get(wishes(pod).scheduler, self._first)

    def _choose(self, pod: PodView, on: Snapshot) -> Bind | None:
        scorer = self._of(pod)
        table = scorer.table(on)
        enough = nodes_to_find(scorer.profile.percentage, len(on))
        if pod.cls.constraints.only is not None:
            nodes = np.array(on.feasibility.among(pod.cls), dtype=np.int64)
        elif enough >= len(on):
            if self._chain is None and not scorer.others.matter(on, pod):
                best = table.best(pod)
                return None if best < 0 else Bind(pod, best)
            nodes = np.flatnonzero(on.feasible(pod))
        else:
            self._ring.sync(on)
            nodes = self._ring.search(on.feasible(pod), enough)
        if self._chain is not None:
            nodes = self._chain.filter(pod, on, nodes)
        if len(nodes) < 2:
            return Bind(pod, int(nodes[0])) if len(nodes) else None
        totals = table.values(pod, nodes)
        besides = scorer.besides(on, pod, nodes)
        if besides is not None:
            totals = totals + besides
        if self._chain is not None:
            totals = totals + self._chain.score(pod, on, nodes)
        ties = nodes[totals == totals.max()]
        return Bind(pod, int(ties[on.rank[ties].argmin()]) if len(ties) > 1 else int(ties[0]))
