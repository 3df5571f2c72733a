"""The scores that look beyond a node's resources: affinity to nodes and pods, taints, spreading, images.

Each is raw and then normalised over the nodes that are scored, as integers of 0..100.
Source: kube-scheduler 1.32 plugins/{nodeaffinity,tainttoleration,interpodaffinity,podtopologyspread,imagelocality},
plugins/helper/normalize_score.go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import TypeAlias

import numpy as np

from harness.model.core import Taint, Toleration
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.node_affinity import Requirement, all_hold
from harness.scheduling.filters.pod_topology_spread import Eligible
from harness.scheduling.matching.affinity_terms import AffinityKind
from harness.scheduling.matching.pod_selectors import PodSelector
from harness.scheduling.pods.preferences import SoftSpread, Wishes
from harness.scheduling.state.node_table import Codes
from harness.scheduling.state.pod_counts import DomainCounts, PodCount, PodSelection
from harness.scheduling.strategy import Bool, Int64, PodView
from schedulers.kube.profile import DefaultSpread, Profile
from schedulers.kube.resources import MOST

HOSTNAME = "kubernetes.io/hostname"

MIB = 1 << 20
IMAGES_LEAST, IMAGES_MOST = 23 * MIB, 1000 * MIB
"""Source: kube-scheduler 1.32 plugins/imagelocality minThreshold, maxContainerThreshold."""

_DOMAINS = 256  # of a key, up to which counts are looked up by domain instead of kept by node
_HEAVY = 1 << 20  # sum of weights from which totals are no longer ordered in one integer with the node's position

NO_WISHES = Wishes((), (), (), (), (), 0, "", False, False)

Score: TypeAlias = Callable[[Snapshot, PodView, Int64], "Int64 | None"]
"""(snapshot, pod, nodes) -> int64 [len(nodes)], or None where it gives every node the same."""


def wishes(pod: PodView) -> Wishes:
    found: Wishes = NO_WISHES if pod.preferences is None else pod.preferences.wishes
    return found


def share_of_highest(raw: Int64, *, reverse: bool = False) -> Int64:
    """Source: normalize_score.go DefaultNormalizeScore."""
    highest = int(raw.max(initial=0))
    if highest == 0:
        return np.full(len(raw), MOST if reverse else 0, dtype=np.int64)
    out: Int64 = raw * MOST // highest
    return MOST - out if reverse else out


class Columns:
    """Raw scores of all nodes that only change with the nodes themselves, kept for the pods lately asked about."""

    _KEPT = 64

    def __init__(self) -> None:
        self._columns: OrderedDict[tuple[object, ...], Int64] = OrderedDict()

    def get(self, key: tuple[object, ...], make: Callable[[], Int64]) -> Int64:
        found = self._columns.get(key)
        if found is None:
            found = self._columns[key] = make()
            if len(self._columns) > self._KEPT:
                self._columns.popitem(last=False)
        return found


class OtherScores:
    """The scorers of one profile but those of resources, by plugin name; `snapshot` may change between calls."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.weights = profile.weights
        self._columns = Columns()
        self._snapshot: Snapshot | None = None
        self._soft = (0, False)  # lists of taints looked through, whether one has a PreferNoSchedule taint
        made: dict[str, Score] = {
            "TaintToleration": self.taints,
            "NodeAffinity": self.node_affinity,
            "PodTopologySpread": self.spread,
            "InterPodAffinity": self.pod_affinity,
            "ImageLocality": self.images,
        }
        self.scorers = tuple((name, weight, made[name]) for name, weight in profile.weights.items() if name in made)

    def watch(self, snapshot: Snapshot) -> None:
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._soft = (0, False)
            self._columns = Columns()

    def matter(self, snapshot: Snapshot, pod: PodView) -> bool:
        """Whether any of these scores could tell one node from another."""
        wanted = wishes(pod)
        return bool(
            wanted.nodes
            or self._profile.added
            or wanted.pods
            or wanted.spread
            or (wanted.images and snapshot.images)
            or self._soft_taints(snapshot)
            or (snapshot.classes.owner_selectors and self.constraints(snapshot, pod)[0])
            or any(tally.on_node for tally, _, _ in self.terms(snapshot, pod))
        )

    def _soft_taints(self, snapshot: Snapshot) -> bool:
        sets = snapshot.node_table.taint_sets
        if len(sets) != self._soft[0]:
            self._soft = (len(sets), any(taint.effect == "PreferNoSchedule" for taints in sets for taint in taints))
        return self._soft[1]

    # -- taints, node affinity, images ------------------------------------------------------------------------------

    def taints(self, snapshot: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """Fewer PreferNoSchedule taints that the pod does not tolerate are better."""
        raw = self._intolerable(snapshot, pod)
        return None if raw is None else self.scaled("TaintToleration", raw[snapshot.node_table.taint_code[nodes]])

    def _intolerable(self, snapshot: Snapshot, pod: PodView) -> Int64 | None:
        """How many such taints, by list of taints; None where there are none at all."""
        if not self._soft_taints(snapshot):
            return None
        tolerations = wishes(pod).tolerations

        def intolerable(taint: Taint) -> bool:
            if taint.effect != "PreferNoSchedule":
                return False
            return not any(
                Toleration(key=k, operator=o, value=v, effect=e).tolerates(taint) for k, o, v, e in tolerations
            )

        return np.array([sum(map(intolerable, taints)) for taints in snapshot.node_table.taint_sets], dtype=np.int64)

    def node_affinity(self, snapshot: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        raw = self._preferred(snapshot, pod)
        return None if raw is None else self.scaled("NodeAffinity", raw[nodes])

    def _preferred(self, snapshot: Snapshot, pod: PodView) -> Int64 | None:
        terms = self._profile.added + wishes(pod).nodes
        if not terms:
            return None
        return self._columns.get(("nodes", terms, snapshot.spec_log.version), lambda: _weigh(snapshot, terms))

    def images(self, snapshot: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        found = self._images(snapshot, pod)
        return None if found is None else found[nodes]

    def _images(self, snapshot: Snapshot, pod: PodView) -> Int64 | None:
        """More bytes of the pod's images there already, each counted by the share of nodes that have it."""
        wanted = wishes(pod)
        if not wanted.images or not snapshot.images:
            return None
        key = (
            "images",
            wanted.images,
            wanted.containers,
            snapshot.images.version,
            len(snapshot),
            len(snapshot.node_table),
        )
        return self._columns.get(key, lambda: _image_scores(snapshot, wanted))

    def static(self, snapshot: Snapshot, pod: PodView) -> list[tuple[str, Int64]]:
        """What only changes with the nodes themselves: (plugin, int64 [nodes]), to be `scaled`."""
        n, out = len(snapshot.node_table), []
        if "TaintToleration" in self.weights and (by_set := self._intolerable(snapshot, pod)) is not None:
            out.append(("TaintToleration", by_set[snapshot.node_table.taint_code[:n]]))
        if "NodeAffinity" in self.weights and (raw := self._preferred(snapshot, pod)) is not None:
            out.append(("NodeAffinity", raw[:n]))
        if "ImageLocality" in self.weights and (raw := self._images(snapshot, pod)) is not None:
            out.append(("ImageLocality", raw[:n]))
        return out

    def scaled(self, name: str, raw: Int64) -> Int64 | None:
        """Normalised over all of `raw`; None where it tells none from another."""
        if name == "ImageLocality":
            return raw
        if name == "NodeAffinity":
            return share_of_highest(raw)
        return share_of_highest(raw, reverse=True) if raw.any() else None

    # -- pods ---------------------------------------------------------------------------------------------------------

    def pod_affinity(self, snapshot: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """The pod's own preferences, and those of running pods towards it; affinity that they require counts too."""
        parts = [part for part in self.terms(snapshot, pod) if part[0].on_node]
        if not parts:
            return None
        raw: Int64 = np.zeros(len(nodes), dtype=np.int64)
        for tally, key, weight in parts:
            raw += weight * _at(snapshot, snapshot.pod_counts.domains(tally, key), nodes)
        return stretched(raw)

    def terms(self, snapshot: Snapshot, pod: PodView) -> list[tuple[PodCount, str, int]]:
        """(tally, topology key, weight) of every term that bears on the pod, whether anyone runs or not."""
        if "InterPodAffinity" not in self.weights:
            return []
        relations, table = snapshot.pod_counts, snapshot.classes.affinity_terms
        out = [(relations.count(PodSelection((item.selector,))), item.key, item.weight) for item in wishes(pod).pods]
        if self._profile.ignore_preferred_of_existing and not out:
            return []  # Source: plugins/interpodaffinity/scoring.go PreScore: such a pod skips the plugin
        if table.terms and table.repelling < len(table.terms):
            for number in table.against(pod.namespace, pod.labels)[1]:
                weight = self._weight_of(table.terms[number].kind, table.terms[number].weight)
                tally = relations.carriers(number)
                if weight:
                    out.append((tally, table.terms[number].key, weight))
        return out

    def _weight_of(self, kind: AffinityKind, weight: int) -> int:
        match kind:
            case AffinityKind.DRAWS:
                return self._profile.hard_pod_affinity_weight
            case AffinityKind.PREFERS:
                return weight
            case AffinityKind.AVOIDS:
                return -weight
            case AffinityKind.REPELS:
                return 0

    # -- spreading --------------------------------------------------------------------------------------------------

    def spread(self, snapshot: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """Fewer matching pods in the node's domains are better; rare domains weigh less than common ones."""
        constraints, strict = self.constraints(snapshot, pod)
        if not constraints:
            return None
        facts = snapshot.node_table
        codes = [facts.label_column(item.key).codes[nodes] for item in constraints]
        scored: Bool = np.ones(len(nodes), dtype=np.bool_)
        if strict:  # nodes without all of the labels are left out
            for column in codes:
                scored &= column >= 0
        rows = []
        for (item, tally, domains), column in zip(self.counted(snapshot, constraints, strict), codes, strict=True):
            if domains is None:
                size = int(np.count_nonzero(scored))
                counts = tally.column(snapshot.room)[nodes]
            else:
                counts = _at(snapshot, domains, nodes)
                found, empty = column[scored], facts.label_column(item.key).values.get("")
                if empty is not None and not strict:  # nodes without the label are in the domain of the empty value
                    found = np.where(found == empty, -1, found)
                    counts = counts + np.where(column == empty, _lacking(snapshot, item.key, tally, item.eligible), 0)
                size = int(np.count_nonzero(np.bincount(found + 1)))
            rows.append(SpreadRow(column >= 0, counts, item.max_skew, size))
        return spread_score(rows, scored)

    def counted(
        self, snapshot: Snapshot, constraints: tuple[SoftSpread, ...], strict: bool
    ) -> list[tuple[SoftSpread, PodCount, DomainCounts | None]]:
        """Each constraint with the pods that it counts, by node, and by domain unless it counts on the node itself."""
        keys = tuple(sorted(item.key for item in constraints)) if strict else ()
        relations = snapshot.pod_counts
        out: list[tuple[SoftSpread, PodCount, DomainCounts | None]] = []
        for item in constraints:
            tally = relations.count(item.selection)
            which = Eligible(keys, item.eligible.affinity, item.eligible.taints)
            out.append((item, tally, None if item.key == HOSTNAME else relations.domains(tally, item.key, which)))
        return out

    def possible(self, snapshot: Snapshot, pod: PodView, most: int) -> bool:
        """Whether each domain of the pod's soft constraints can be a group: at most so many of a key."""
        constraints, strict = self.constraints(snapshot, pod)
        for item in constraints:
            values = snapshot.node_table.label_column(item.key).values
            if item.key != HOSTNAME and (len(values) > most or (not strict and "" in values)):
                return False
        return sum(self.weights.values()) < _HEAVY

    def constraints(self, snapshot: Snapshot, pod: PodView) -> tuple[tuple[SoftSpread, ...], bool]:
        """The pod's own soft constraints, else the default ones where a service or controller selects it."""
        wanted = wishes(pod)
        if "PodTopologySpread" not in self.weights:
            return (), True
        if wanted.constrained or not self._profile.spread or not snapshot.classes.owner_selectors:
            return wanted.spread, True
        selector = snapshot.classes.owner_selectors.of(pod)
        if not selector:
            return (), True
        affinity = next((term for term in pod.cls.constraints.terms if term.plugin == "NodeAffinity"), None)
        pick = PodSelection((PodSelector((pod.namespace,), None, selector),), living=True)

        def soft(item: DefaultSpread) -> SoftSpread:
            return SoftSpread(item.key, pick, item.max_skew, 1, Eligible((), affinity, None))

        return tuple(map(soft, self._profile.spread)), not self._profile.system_spread


def stretched(raw: Int64) -> Int64 | None:
    """Lowest to 0, highest to 100; None where all are the same. Source: interpodaffinity/scoring.go NormalizeScore."""
    least, most = int(raw.min()), int(raw.max())
    if least == most:
        return None
    found: Int64 = (MOST * ((raw - least) / (most - least))).astype(np.int64)
    return found


@dataclass(frozen=True, slots=True)
class SpreadRow:
    """One soft constraint over what is scored: who has its label, the pods counted there, the size of the topology."""

    has: Bool
    counts: Int64
    max_skew: int
    size: int


def spread_score(rows: Sequence[SpreadRow], scored: Bool) -> Int64:
    """Source: podtopologyspread/scoring.go Score, NormalizeScore; what is not `scored` gets 0 and bears on nothing."""
    raw = np.zeros(len(scored))
    for row in rows:
        weighed = row.counts * log(row.size + 2) + float(row.max_skew - 1)
        raw = raw + np.where(row.has, weighed, 0.0)
    whole = np.floor(raw)
    rounded: Int64 = (whole + (raw - whole >= 0.5)).astype(np.int64)
    candidates = rounded[scored]
    if not len(candidates):
        return np.zeros(len(scored), dtype=np.int64)
    least, most = int(candidates.min()), int(candidates.max())
    if most == 0:
        return np.where(scored, MOST, 0)
    return np.where(scored, MOST * (most + least - rounded) // most, 0)


def _at(snapshot: Snapshot, domains: DomainCounts, nodes: Int64) -> Int64:
    """The count of each node's domain, int64 [len(nodes)]; 0 where the node lacks the label."""
    labels = domains.index.column
    if len(labels.values) > _DOMAINS:
        return snapshot.pod_counts.column(domains).now()[nodes]
    return by_domain(domains, labels.codes[nodes])


def by_domain(domains: DomainCounts, codes: Codes | Int64) -> Int64:
    """The counts of domains by their code, 0 for code -1."""
    domains.sync()
    counts = np.zeros(max(len(domains.counts), len(domains.index.column.values)) + 1, dtype=np.int64)
    counts[: len(domains.counts)] = domains.counts
    found: Int64 = counts[codes]
    return found


def _lacking(snapshot: Snapshot, key: str, tally: PodCount, which: Eligible) -> int:
    """Pods of `tally` on nodes without the label `key`."""
    labels = snapshot.node_table.labels
    return sum(
        count for node, count in tally.on_node.items() if key not in labels[node] and which.holds(snapshot, node)
    )


def _weigh(snapshot: Snapshot, terms: tuple[tuple[int, tuple[Requirement, ...]], ...]) -> Int64:
    everywhere = slice(0, len(snapshot.node_table))
    raw = np.zeros(len(snapshot.node_table), dtype=np.int64)
    for weight, requirements in terms:
        raw += weight * all_hold(requirements, snapshot.node_table, everywhere)
    return raw


def _image_scores(snapshot: Snapshot, wanted: Wishes) -> Int64:
    """Source: plugins/imagelocality sumImageScores, scaledImageScore, calculatePriority."""
    raw = np.zeros(len(snapshot.node_table), dtype=np.int64)
    for name in wanted.images:
        where = list(snapshot.images.where(name))
        if where:
            raw[where] += int(snapshot.images.size(name) * (len(where) / len(snapshot)))
    most = IMAGES_MOST * wanted.containers
    out: Int64 = MOST * (np.clip(raw, IMAGES_LEAST, most) - IMAGES_LEAST) // (most - IMAGES_LEAST)
    return out
