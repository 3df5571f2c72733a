"""The affinity terms that pods carry towards others, numbered: a running pod's terms judge those who come after it.

A pod with required anti-affinity keeps matching pods out of its domain, whatever those ask for themselves; required
affinity and preferences of running pods move the scores of matching pods. Both need "which terms speak of this pod",
asked once for each combination of namespace and labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from harness.model.core import Pod, PodAffinityTerm
from harness.scheduling.matching.pod_selectors import Labels, Namespaces, PodSelector, SelectorIndex, of_term

_CACHE_SIZE = 65_536  # combinations of namespace and labels whose terms are known by heart


class AffinityKind(IntEnum):
    """What a running pod's term does to the pods that it speaks of."""

    REPELS = 0  # required anti-affinity: keeps them out
    DRAWS = 1  # required affinity: scored with hardPodAffinityWeight
    PREFERS = 2  # preferred affinity
    AVOIDS = 3  # preferred anti-affinity


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    kind: AffinityKind
    selector: PodSelector
    key: str  # topology key
    weight: int = 0  # of a preference


LabelKey: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


def label_key(namespace: str, labels: Labels) -> LabelKey:
    """Equal for pods that no term can tell apart (labels in another order make another key, which costs a look-up)."""
    return namespace, tuple(labels.items())


class AffinityTerms:
    """Every term heard of, by number, in the order of first hearing."""

    def __init__(self, namespaces: Namespaces) -> None:
        self.terms: list[AffinityTerm] = []
        self.repelling = 0  # terms of kind REPELS
        self._namespaces = namespaces
        self._numbers: dict[AffinityTerm, int] = {}
        self._index: SelectorIndex[int] = SelectorIndex()
        self._known: dict[LabelKey, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._known_at = (0, 0)

    def id_of(self, term: AffinityTerm) -> int:
        found = self._numbers.get(term)
        if found is None:
            found = self._numbers[term] = len(self.terms)
            self.terms.append(term)
            self._index.add(term.selector, found)
            self.repelling += term.kind is AffinityKind.REPELS
        return found

    def ids_of(self, pod: Pod) -> tuple[int, ...]:
        """Numbers of the terms that a pod carries."""
        affinity = pod.spec.affinity
        if affinity is None or (affinity.pod_affinity is None and affinity.pod_anti_affinity is None):
            return ()
        out: list[int] = []
        for kinds, group in (
            ((AffinityKind.DRAWS, AffinityKind.PREFERS), affinity.pod_affinity),
            ((AffinityKind.REPELS, AffinityKind.AVOIDS), affinity.pod_anti_affinity),
        ):
            if group is None:
                continue
            required = [pod_term(kinds[0], pod, t) for t in group.required_during_scheduling_ignored_during_execution]
            preferred = [
                pod_term(kinds[1], pod, weighted.pod_affinity_term, weighted.weight)
                for weighted in group.preferred_during_scheduling_ignored_during_execution
            ]
            for terms in (required, preferred):
                # Source: framework/types.go NewPodInfo: a list with a selector that does not parse is no list at all.
                if not any(term.selector.malformed for term in terms):
                    out += map(self.id_of, terms)
        return tuple(out)

    def matching(self, namespace: str, labels: Labels) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of the terms that speak of such a pod, ascending: those that repel it, and those that are scored."""
        now = (len(self.terms), self._namespaces.version)
        if now != self._known_at or len(self._known) > _CACHE_SIZE:
            self._known.clear()
            self._known_at = now
        key = label_key(namespace, labels)
        found = self._known.get(key)
        if found is None:
            numbers = sorted(self._index.selecting(namespace, labels, self._namespaces.assumed))
            repels = tuple(n for n in numbers if self.terms[n].kind is AffinityKind.REPELS)
            found = self._known[key] = (
                repels,
                tuple(n for n in numbers if self.terms[n].kind is not AffinityKind.REPELS),
            )
        return found


def pod_term(kind: AffinityKind, pod: Pod, term: PodAffinityTerm, weight: int = 0) -> AffinityTerm:
    return AffinityTerm(kind, of_term(term, pod.metadata.namespace, pod.metadata.labels), term.topology_key, weight)
