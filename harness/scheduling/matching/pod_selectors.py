"""Which pods a term speaks of: by namespace, by the namespace's labels, by the pod's labels; and an index over such
selectors, so that a pod finds those that select it without asking each.

Source of the semantics: k8s.io/apimachinery/pkg/apis/meta/v1 LabelSelectorAsSelector (v1.32): no selector selects
nothing, an empty one everything; kube-scheduler 1.32 framework/types.go AffinityTerm.Matches.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from harness.model.core import PodAffinityTerm
from harness.model.meta import LabelSelector
from harness.scheduling.matching.label_rules import well_formed

Requirements: TypeAlias = tuple[tuple[str, str, tuple[str, ...]], ...]
"""(label key, operator, values), all of which must hold, in order of key: a label selector as a value. No operator: the
requirement is malformed, and holds for nobody."""

Labels: TypeAlias = Mapping[str, str]

MALFORMED: Requirements = (("", "", ()),)
"""Of a selector that does not parse: it selects nobody, and a pending pod that has it is not placed (malformed.py)."""

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def requirements(selector: LabelSelector) -> Requirements:
    """matchLabels are In with one value; the order in which requirements are written says nothing."""
    found: set[tuple[str, str, tuple[str, ...]]] = {(k, "In", (v,)) for k, v in selector.match_labels.items()}
    found.update((r.key, r.operator, tuple(sorted(set(r.values)))) for r in selector.match_expressions)
    if all(operator in _OPERATORS and well_formed(key, operator, values) for key, operator, values in found):
        return tuple(sorted(found))
    return MALFORMED


def hold(wanted: Requirements, labels: Labels) -> bool:
    """Whether `labels` meet all of `wanted`."""
    for key, operator, values in wanted:
        match operator:
            case "In":
                if labels.get(key) not in values:
                    return False
            case "NotIn":
                if key in labels and labels[key] in values:
                    return False
            case "Exists":
                if key not in labels:
                    return False
            case "DoesNotExist":
                if key in labels:
                    return False
            case _:
                return False
    return True


class Meets(Protocol):
    def meets(self, name: str, wanted: Requirements) -> bool:
        """Whether a namespace has such labels."""


class Namespaces:
    """The labels of the namespaces that are known. A namespace nobody told of meets the empty selector only.

    That is how a pod's own terms see it: their selectors are turned into a list of namespaces first. The terms of
    running pods take it for one without labels: `assumed`. Source: kube-scheduler 1.32 plugins/interpodaffinity
    mergeAffinityTermNamespacesIfNotEmpty, GetNamespaceLabelsSnapshot.
    """

    def __init__(self) -> None:
        self._labels: dict[str, dict[str, str]] = {}
        self.version = 0
        self.assumed: Meets = _Assumed(self._labels)

    def set_labels(self, name: str, labels: Labels | None) -> bool:
        """Its labels, None when it is gone; whether that is news."""
        new = None if labels is None else dict(labels)
        if self._labels.get(name) == new:
            return False
        if new is None:
            del self._labels[name]
        else:
            self._labels[name] = new
        self.version += 1
        return True

    def meets(self, name: str, wanted: Requirements) -> bool:
        if not wanted:
            return True
        labels = self._labels.get(name)
        return labels is not None and hold(wanted, labels)


class _Assumed:
    def __init__(self, labels: Mapping[str, Labels]) -> None:
        self._labels = labels

    def meets(self, name: str, wanted: Requirements) -> bool:
        return hold(wanted, self._labels.get(name, {}))


@dataclass(frozen=True, slots=True)
class PodSelector:
    """Pods of the named namespaces, or of namespaces with the right labels, whose own labels meet `labels`."""

    namespaces: tuple[str, ...]
    namespace_labels: Requirements | None  # None: by name only
    labels: Requirements | None  # None: no pod

    @property
    def malformed(self) -> bool:
        return MALFORMED[0] in (self.labels or ()) or MALFORMED[0] in (self.namespace_labels or ())

    def selects(self, namespace: str, labels: Labels, known: Meets) -> bool:
        if self.labels is None or not hold(self.labels, labels):
            return False
        if namespace in self.namespaces:
            return True
        return self.namespace_labels is not None and known.meets(namespace, self.namespace_labels)


def of_term(term: PodAffinityTerm, namespace: str, labels: Labels) -> PodSelector:
    """What an affinity term of a pod with this namespace and these labels speaks of.

    Its own namespace unless it says otherwise; matchLabelKeys and mismatchLabelKeys join the label selector, as the API
    server of 1.32 does when the pod is created (a key that the pod lacks is left out).
    """
    wanted = None if term.label_selector is None else requirements(term.label_selector)
    if wanted is not None:
        same = {(key, "In", (labels[key],)) for key in term.match_label_keys if key in labels}
        other = {(key, "NotIn", (labels[key],)) for key in term.mismatch_label_keys if key in labels}
        if same or other:
            wanted = tuple(sorted({*wanted, *same, *other}))
    by_labels = None if term.namespace_selector is None else requirements(term.namespace_selector)
    names = term.namespaces
    if not names and by_labels is None:
        names = (namespace,)
    return PodSelector(tuple(sorted(set(names))), by_labels, wanted)


Item = TypeVar("Item", bound=Hashable)


class SelectorIndex(Generic[Item]):
    """Items by the selector that each has: found by a label that it asks for, else among the few that ask for none."""

    def __init__(self) -> None:
        self._by_label: dict[tuple[str, str], list[tuple[PodSelector, Item]]] = {}
        self._rest: list[tuple[PodSelector, Item]] = []

    def add(self, selector: PodSelector, item: Item) -> None:
        if selector.labels is None:
            return
        anchors = anchors_of(selector)
        if anchors is None:
            self._rest.append((selector, item))
            return
        for anchor in anchors:
            self._by_label.setdefault(anchor, []).append((selector, item))

    def selecting(self, namespace: str, labels: Labels, known: Meets) -> Iterator[Item]:
        """Items whose selector selects such a pod, each once."""
        by_label = self._by_label
        for pair in labels.items():
            for selector, item in by_label.get(pair, ()):
                if selector.selects(namespace, labels, known):
                    yield item
        for selector, item in self._rest:
            if selector.selects(namespace, labels, known):
                yield item


def anchors_of(selector: PodSelector) -> list[tuple[str, str]] | None:
    """(label, value) pairs of which a selected pod has exactly one; None when the selector asks for no label so."""
    for key, operator, values in selector.labels or ():
        if operator == "In":
            return [(key, value) for value in values]
    return None
