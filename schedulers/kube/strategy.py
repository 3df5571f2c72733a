"""kube-scheduler's default strategy: score the feasible nodes by the plugins of a profile and take the best.

Ties go to the lowest rank, where kube-scheduler draws one at random. Where a share of the nodes is scored, the search
goes round them from where the last one ended, zone by zone in turn, as one worker of kube-scheduler does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.scheduling.scores import Grouping, NodeSearch, NodeSelection, ScoreFramework, scheduler_name
from harness.scheduling.scoring import one_by_one
from harness.scheduling.strategy import ClusterView, Decision, Float64, PodBatch, PodView
from schedulers.extender import ExtenderChain, Settings
from schedulers.kube.profile import Profile


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
        self._search = NodeSearch()
        self._chain = ExtenderChain(extenders) if extenders else None
        self._selections = {
            profile.name: NodeSelection(
                ScoreFramework(profile.plugins(), grouping), self._search, profile.percentage, self._chain
            )
            for profile in self.profiles
        }
        self._first = self._selections[self.profiles[0].name]

    @property
    def scheduler_names(self) -> tuple[str, ...]:
        """Whose pods these profiles schedule."""
        return tuple(profile.name for profile in self.profiles)

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        decisions = one_by_one(pods, cluster, lambda pod: self._of(pod).choose(pod, cluster))
        return decisions if self._chain is None else self._chain.bound(decisions, cluster)

    def state(self) -> str:
        """Where the next search begins, by the node's place in the round."""
        return str(self._search.start)

    def restore(self, state: str) -> None:
        self._search.start = int(state or 0)

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """Each plugin's weighted score over all feasible nodes, float64 [nodes], NaN elsewhere."""
        return self._of(pod).explain(pod, cluster)

    def _of(self, pod: PodView) -> NodeSelection:
        return self._selections.get(scheduler_name(pod), self._first)
