"""The scores that look beyond a node's resources: affinity to nodes and pods, taints, spreading, images.

Each is raw and then normalised over the nodes that are scored, as integers of 0..100.
Source: kube-scheduler 1.32 plugins/{nodeaffinity,tainttoleration,interpodaffinity,podtopologyspread,imagelocality},
plugins/helper/normalize_score.go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import log
from typing import TypeAlias

import numpy as np

from harness.model.core import Taint, Toleration
from harness.scheduling.constraints.node_affinity import Requirement, all_hold
from harness.scheduling.constraints.pod_topology_spread import Eligible
from harness.scheduling.pod_terms import Kind
from harness.scheduling.preferences import SoftSpread, Wishes
from harness.scheduling.relations import Pick, Tally
from harness.scheduling.selecting import PodSelector
from harness.scheduling.snapshot import Snapshot
from harness.scheduling.strategy import Bool, Int64, PodView
from schedulers.kube.profile import DefaultSpread, Profile
from schedulers.kube.resources import MOST

HOSTNAME = "kubernetes.io/hostname"

MIB = 1 << 20
IMAGES_LEAST, IMAGES_MOST = 23 * MIB, 1000 * MIB
"""Source: kube-scheduler 1.32 plugins/imagelocality minThreshold, maxContainerThreshold."""

NO_WISHES = Wishes((), (), (), (), (), 0, "", False, False)

Score: TypeAlias = Callable[[Snapshot, PodView, Int64], "Int64 | None"]
"""(snapshot, pod, nodes) -> int64 [len(nodes)], or None where it gives every node the same."""


def wishes(pod: PodView) -> Wishes:
    found: Wishes = NO_WISHES if pod.prefers is None else pod.prefers.wishes
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
    """The scorers of one profile but those of resources, by plugin name; `on` may change between calls."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._columns = Columns()
        self._on: Snapshot | None = None
        self._soft = (0, False)  # lists of taints looked through, whether one has a PreferNoSchedule taint
        made: dict[str, Score] = {
            "TaintToleration": self.taints,
            "NodeAffinity": self.node_affinity,
            "PodTopologySpread": self.spread,
            "InterPodAffinity": self.pod_affinity,
            "ImageLocality": self.images,
        }
        self.scorers = tuple((name, weight, made[name]) for name, weight in profile.weights.items() if name in made)

    def watch(self, on: Snapshot) -> None:
        if on is not self._on:
            self._on = on
            self._soft = (0, False)
            self._columns = Columns()

    def matter(self, on: Snapshot, pod: PodView) -> bool:
        """Whether any of these scores could tell one node from another."""
        wanted = wishes(pod)
        return bool(
            wanted.nodes
            or self._profile.added
            or wanted.pods
            or wanted.spread
            or (wanted.images and on.images)
            or self._soft_taints(on)
            or (on.classes.workload_selectors and self._constraints(on, pod)[0])
            or self._pod_terms(on, pod)
        )

    def _soft_taints(self, on: Snapshot) -> bool:
        sets = on.facts.taint_sets
        if len(sets) != self._soft[0]:
            self._soft = (len(sets), any(taint.effect == "PreferNoSchedule" for taints in sets for taint in taints))
        return self._soft[1]

    # -- taints, node affinity, images ------------------------------------------------------------------------------

    def taints(self, on: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """Fewer PreferNoSchedule taints that the pod does not tolerate are better."""
        if not self._soft_taints(on):
            return None
        sets = on.facts.taint_sets
        tolerations = wishes(pod).tolerations

        def intolerable(taint: Taint) -> bool:
            if taint.effect != "PreferNoSchedule":
                return False
            return not any(
                Toleration(key=k, operator=o, value=v, effect=e).tolerates(taint) for k, o, v, e in tolerations
            )

        by_set = np.array([sum(map(intolerable, taints)) for taints in sets], dtype=np.int64)
        raw = by_set[on.facts.taint_code[nodes]]
        return share_of_highest(raw, reverse=True) if raw.any() else None

    def node_affinity(self, on: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        terms = self._profile.added + wishes(pod).nodes
        if not terms:
            return None
        raw = self._columns.get(("nodes", terms, on.spec_log.version), lambda: _weigh(on, terms))
        return share_of_highest(raw[nodes])

    def images(self, on: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """More bytes of the pod's images there already, each counted by the share of nodes that have it."""
        wanted = wishes(pod)
        if not wanted.images or not on.images:
            return None
        key = ("images", wanted.images, wanted.containers, on.images.version, len(on), len(on.facts))
        return self._columns.get(key, lambda: _image_scores(on, wanted))[nodes]

    # -- pods ---------------------------------------------------------------------------------------------------------

    def pod_affinity(self, on: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """The pod's own preferences, and those of running pods towards it; affinity that they require counts too."""
        parts = self._pod_terms(on, pod)
        if not parts:
            return None
        raw = np.zeros(len(nodes), dtype=np.int64)
        relations = on.relations
        for tally, key, weight in parts:
            raw += weight * relations.column(relations.domains(tally, key)).now()[nodes]
        least, most = int(raw.min()), int(raw.max())
        if least == most:
            return None
        scaled: Int64 = (MOST * ((raw - least) / (most - least))).astype(np.int64)
        return scaled

    def _pod_terms(self, on: Snapshot, pod: PodView) -> list[tuple[Tally, str, int]]:
        """(tally, topology key, weight) of every term that bears on the pod and on anyone who runs."""
        relations, table = on.relations, on.classes.pod_terms
        out = [(relations.tally(Pick((item.selector,))), item.key, item.weight) for item in wishes(pod).pods]
        if self._profile.ignore_preferred_of_existing and not out:
            return []  # Source: plugins/interpodaffinity/scoring.go PreScore: such a pod skips the plugin
        if table.terms and table.repelling < len(table.terms):
            for number in table.against(pod.namespace, pod.labels)[1]:
                weight = self._weight_of(table.terms[number].kind, table.terms[number].weight)
                tally = relations.carriers(number)
                if weight and tally.on_node:
                    out.append((tally, table.terms[number].key, weight))
        return [part for part in out if part[0].on_node]

    def _weight_of(self, kind: Kind, weight: int) -> int:
        match kind:
            case Kind.DRAWS:
                return self._profile.hard_pod_affinity_weight
            case Kind.PREFERS:
                return weight
            case Kind.AVOIDS:
                return -weight
            case Kind.REPELS:
                return 0

    # -- spreading --------------------------------------------------------------------------------------------------

    def spread(self, on: Snapshot, pod: PodView, nodes: Int64) -> Int64 | None:
        """Fewer matching pods in the node's domains are better; rare domains weigh less than common ones."""
        constraints, strict = self._constraints(on, pod)
        if not constraints:
            return None
        facts, relations = on.facts, on.relations
        codes = [facts.label_column(item.key).codes[nodes] for item in constraints]
        scored: Bool = np.ones(len(nodes), dtype=np.bool_)
        if strict:  # nodes without all of the labels are left out
            for column in codes:
                scored &= column >= 0
        keys = tuple(sorted(item.key for item in constraints)) if strict else ()
        raw = np.zeros(len(nodes))
        for item, column in zip(constraints, codes, strict=True):
            tally = relations.tally(item.pick)
            if item.key == HOSTNAME:
                size = int(np.count_nonzero(scored))
                counts = tally.column(on.room)[nodes]
            else:
                which = Eligible(keys, item.eligible.affinity, item.eligible.taints)
                counts = relations.column(relations.domains(tally, item.key, which)).now()[nodes]
                found, empty = column[scored], facts.label_column(item.key).values.get("")
                if empty is not None and not strict:  # nodes without the label are in the domain of the empty value
                    found = np.where(found == empty, -1, found)
                    counts = counts + np.where(column == empty, _lacking(on, tally, item.key, which), 0)
                size = int(np.count_nonzero(np.bincount(found + 1)))
            weighed = counts * log(size + 2) + float(item.max_skew - 1)
            raw = raw + np.where(column >= 0, weighed, 0.0)
        whole = np.floor(raw)
        rounded: Int64 = (whole + (raw - whole >= 0.5)).astype(np.int64)
        candidates = rounded[scored]
        if not len(candidates):
            return np.zeros(len(nodes), dtype=np.int64)
        least, most = int(candidates.min()), int(candidates.max())
        if most == 0:
            return np.where(scored, MOST, 0)
        return np.where(scored, MOST * (most + least - rounded) // most, 0)

    def _constraints(self, on: Snapshot, pod: PodView) -> tuple[tuple[SoftSpread, ...], bool]:
        """The pod's own soft constraints, else the default ones where a service or controller selects it."""
        wanted = wishes(pod)
        if wanted.constrained or not self._profile.spread or not on.classes.workload_selectors:
            return wanted.spread, True
        selector = on.classes.workload_selectors.of(pod)
        if not selector:
            return (), True
        affinity = next((term for term in pod.cls.constraints.terms if term.plugin == "NodeAffinity"), None)
        pick = Pick((PodSelector((pod.namespace,), None, selector),), living=True)

        def soft(item: DefaultSpread) -> SoftSpread:
            return SoftSpread(item.key, pick, item.max_skew, 1, Eligible((), affinity, None))

        return tuple(map(soft, self._profile.spread)), not self._profile.system_spread


def _lacking(on: Snapshot, tally: Tally, key: str, which: Eligible) -> int:
    """Pods of `tally` on nodes without the label `key`."""
    labels = on.facts.labels
    return sum(count for node, count in tally.on_node.items() if key not in labels[node] and which.holds(on, node))


def _weigh(on: Snapshot, terms: tuple[tuple[int, tuple[Requirement, ...]], ...]) -> Int64:
    everywhere = slice(0, len(on.facts))
    raw = np.zeros(len(on.facts), dtype=np.int64)
    for weight, requirements in terms:
        raw += weight * all_hold(requirements, on.facts, everywhere)
    return raw


def _image_scores(on: Snapshot, wanted: Wishes) -> Int64:
    """Source: plugins/imagelocality sumImageScores, scaledImageScore, calculatePriority."""
    raw = np.zeros(len(on.facts), dtype=np.int64)
    for name in wanted.images:
        where = list(on.images.where(name))
        if where:
            raw[where] += int(on.images.size(name) * (len(where) / len(on)))
    most = IMAGES_MOST * wanted.containers
    out: Int64 = MOST * (np.clip(raw, IMAGES_LEAST, most) - IMAGES_LEAST) // (most - IMAGES_LEAST)
    return out
