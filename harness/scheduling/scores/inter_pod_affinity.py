"""Score of InterPodAffinity: the pod's own preferences for other pods' domains, and running pods' towards it.

Affinity that running pods require counts as well, with hardPodAffinityWeight.
Source: kube-scheduler 1.32 plugins/interpodaffinity/scoring.go PreScore, Score, NormalizeScore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.matching.affinity_terms import AffinityKind
from harness.scheduling.pods.preferences import preferences_of
from harness.scheduling.scores.domains import counts_by_code, domain_code, domain_count, looked_up_by_code
from harness.scheduling.scores.plugin import Feature, RowsPlugin
from harness.scheduling.state.domain_counts import DomainCounts, PodCount
from harness.scheduling.state.pod_counts import PodSelection
from harness.scheduling.strategy import MAX_NODE_SCORE, DependsOn, Int64, PodView


class InterPodAffinity(RowsPlugin):
    """`ignore_preferred_of_existing`: InterPodAffinityArgs ignorePreferredTermsOfExistingPods."""

    name = "InterPodAffinity"
    depends_on = DependsOn.CLUSTER

    def __init__(self, hard_pod_affinity_weight: int = 1, ignore_preferred_of_existing: bool = False) -> None:
        self._hard_weight = hard_pod_affinity_weight
        self._ignore_existing = ignore_preferred_of_existing

    def skips(self, pod: PodView, snapshot: Snapshot) -> bool:
        return not preferences_of(pod).pods and not any(count.on_node for count, _, _ in self._terms(pod, snapshot))

    def rows(self, pod: PodView, snapshot: Snapshot, *, grouped: bool) -> _AffinityRows | None:
        terms = self._terms(pod, snapshot)
        if not grouped:
            terms = [term for term in terms if term[0].on_node]
        if not terms:
            return None
        features: list[Feature] = []
        parts: list[tuple[int, DomainCounts | None]] = []
        for count, key, weight in terms:
            domains = snapshot.pod_counts.count_by_domain(count, key)
            labels = snapshot.node_table.label_column(key)
            if looked_up_by_code(labels, grouped=grouped):
                features.append(domain_code(labels, key))
                parts.append((weight, domains))
            else:
                features.append(domain_count(snapshot, domains, labels))
                parts.append((weight, None))
        return _AffinityRows(tuple(features), tuple(parts))

    def _terms(self, pod: PodView, snapshot: Snapshot) -> list[tuple[PodCount, str, int]]:
        """(pods, topology key, weight) of every term that bears on the pod, whether any such pod runs or not."""
        counts, table = snapshot.pod_counts, snapshot.tables.affinity_terms
        wanted = preferences_of(pod).pods
        out = [(counts.count_selected(PodSelection((item.selector,))), item.key, item.weight) for item in wanted]
        if self._ignore_existing and not out:
            return []  # Source: plugins/interpodaffinity/scoring.go PreScore: such a pod skips the plugin
        if table.terms and table.repelling < len(table.terms):
            for number in table.matching(pod.namespace, pod.labels)[1]:
                weight = self._weight_of(table.terms[number].kind, table.terms[number].weight)
                carriers = counts.count_with_affinity_term(number)
                if weight:
                    out.append((carriers, table.terms[number].key, weight))
        return out

    def _weight_of(self, kind: AffinityKind, weight: int) -> int:
        match kind:
            case AffinityKind.DRAWS:
                return self._hard_weight
            case AffinityKind.PREFERS:
                return weight
            case AffinityKind.AVOIDS:
                return -weight
            case AffinityKind.REPELS:
                return 0
            case _:
                assert_never(kind)


@dataclass(frozen=True, slots=True)
class _AffinityRows:
    """`parts`: by feature (weight, the counts of its codes; None where the feature is the count itself)."""

    features: tuple[Feature, ...]
    parts: tuple[tuple[int, DomainCounts | None], ...]
    groupable: bool = True

    def score(self, values: Sequence[Int64], nodes_in_row: Int64) -> Int64 | None:
        raw: Int64 = np.zeros(len(nodes_in_row), dtype=np.int64)
        for (weight, domains), column in zip(self.parts, values, strict=True):
            raw += weight * (column if domains is None else counts_by_code(domains, column))
        least, most = int(raw.min()), int(raw.max())
        if least == most:
            return None
        found: Int64 = (MAX_NODE_SCORE * ((raw - least) / (most - least))).astype(np.int64)
        return found
