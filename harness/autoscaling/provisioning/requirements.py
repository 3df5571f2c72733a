"""Sets of label values that narrow as pods join a node that does not exist yet.

Source: kubernetes-sigs/karpenter pkg/scheduling/requirement.go, requirements.go (1.14).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from harness.model.core import NodeSelectorTerm
from harness.model.karpenter import WELL_KNOWN, MinValuesRequirement
from harness.scheduling.matching.label_rules import integer

_NORMALIZED = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}
"""Source: labels.go NormalizedLabels."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Values of a label that are allowed: `values`, or (`complement`) all but `values` that lie within `least` and
    `most`. `min_values`: so many different ones must stay open.

    In [] is DoesNotExist; a complement of nothing is Exists.
    """

    key: str
    values: frozenset[str] = frozenset()
    complement: bool = False
    least: int | None = None
    most: int | None = None
    min_values: int | None = None

    def has(self, value: str) -> bool:
        if (value in self.values) == self.complement:
            return False
        if self.least is None and self.most is None:
            return True
        number = integer(value)
        if number is None:
            return False
        return (self.least is None or number >= self.least) and (self.most is None or number <= self.most)

    @property
    def allows_absence(self) -> bool:
        """NotIn or DoesNotExist: a node without the label satisfies it."""
        if not self.complement:
            return not self.values
        return bool(self.values) and self.least is None and self.most is None

    @property
    def is_empty(self) -> bool:
        return not self.complement and not self.values

    @property
    def any_value(self) -> str:
        """A value that holds, '' where none is known: the first of those that are named, or a number of the range."""
        if not self.complement:
            return min(self.values, default="")
        if self.least is None and self.most is None:
            return ""
        low = 0 if self.least is None else self.least
        high = low + len(self.values) + 1 if self.most is None else self.most
        return next((str(at) for at in range(low, high + 1) if str(at) not in self.values), "")

    def intersection(self, other: Requirement) -> Requirement:
        least = max((item for item in (self.least, other.least) if item is not None), default=None)
        most = min((item for item in (self.most, other.most) if item is not None), default=None)
        least_values = max((m for m in (self.min_values, other.min_values) if m is not None), default=None)
        if self.complement and other.complement:
            if least is not None and most is not None and least > most:
                return Requirement(self.key, min_values=least_values)
            return Requirement(self.key, self.values | other.values, True, least, most, least_values)
        if not self.complement:
            kept = (value for value in self.values if other.has(value))
        else:
            kept = (value for value in other.values if self.has(value))
        return Requirement(self.key, frozenset(kept), min_values=least_values)


def requirement(key: str, operator: str, values: Iterable[str] = (), min_values: int | None = None) -> Requirement:
    """Source: NewRequirementWithFlexibility."""
    key = _NORMALIZED.get(key, key)
    listed = tuple(values)
    match operator:
        case "In":
            return Requirement(key, frozenset(listed), min_values=min_values)
        case "NotIn":
            return Requirement(key, frozenset(listed), True, min_values=min_values)
        case "Exists":
            return Requirement(key, complement=True, min_values=min_values)
        case "Gt" | "Gte":
            number = int(listed[0]) + (operator == "Gt")
            return Requirement(key, complement=True, least=number, min_values=min_values)
        case "Lt" | "Lte":
            number = int(listed[0]) - (operator == "Lt")
            return Requirement(key, complement=True, most=number, min_values=min_values)
        case _:
            return Requirement(key, min_values=min_values)


class Requirements:
    """One requirement a key. A value: what changes is a copy."""

    __slots__ = ("_by_key",)

    def __init__(self, items: Iterable[Requirement] = ()) -> None:
        self._by_key: dict[str, Requirement] = {}
        for item in items:
            known = self._by_key.get(item.key)
            self._by_key[item.key] = item if known is None else known.intersection(item)

    def __iter__(self) -> Iterator[Requirement]:
        return iter(self._by_key.values())

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def get(self, key: str) -> Requirement:
        """Any value where nothing is required."""
        return self._by_key.get(key) or Requirement(key, complement=True)

    def plus(self, items: Iterable[Requirement]) -> Requirements:
        return Requirements((*self, *items))

    def without_min_values(self) -> Requirements:
        return Requirements(replace(item, min_values=None) for item in self)

    def conflict(self, others: Iterable[Requirement]) -> str:
        """The label because of which pods with `others` cannot go here, '' for none. Source: Compatible with
        AllowUndefinedWellKnownLabels, Intersects."""
        for other in others:
            own = self._by_key.get(other.key)
            if own is None:
                if other.key not in WELL_KNOWN and not other.allows_absence:
                    return other.key
                continue
            both = own.intersection(other)
            if both.is_empty and not (own.allows_absence and other.allows_absence):
                return other.key
        return ""

    def holds_for(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels meets all of them."""
        return all(
            item.has(labels[item.key]) if item.key in labels else item.allows_absence or item.is_empty for item in self
        )


def of_pool(items: Iterable[MinValuesRequirement], labels: Mapping[str, str]) -> Requirements:
    """A NodePool's requirements and labels."""
    named = [requirement(item.key, item.operator, item.values, item.min_values) for item in items]
    return Requirements([*named, *(requirement(key, "In", (value,)) for key, value in labels.items())])


def of_term(term: NodeSelectorTerm) -> list[Requirement]:
    return [requirement(item.key, item.operator, item.values) for item in term.match_expressions]


def written(requirements: Requirements) -> tuple[MinValuesRequirement, ...]:
    """As a NodeClaim's spec has them, in order of their keys. Source: NodeSelectorRequirements."""
    out: list[MinValuesRequirement] = []
    for item in sorted(requirements, key=lambda one: one.key):
        least = item.min_values
        if not item.complement:
            operator = "In" if item.values else "DoesNotExist"
            out.append(MinValuesRequirement(key=item.key, operator=operator, values=tuple(sorted(item.values)), min_values=least))  # fmt: skip  # noqa: E501
            continue
        if item.values:
            out.append(MinValuesRequirement(key=item.key, operator="NotIn", values=tuple(sorted(item.values)), min_values=least))  # fmt: skip  # noqa: E501
        for operator, bound in (("Gte", item.least), ("Lte", item.most)):
            if bound is not None:
                out.append(MinValuesRequirement(key=item.key, operator=operator, values=(str(bound),), min_values=least))  # fmt: skip  # noqa: E501
        if not item.values and item.least is None and item.most is None:
            out.append(MinValuesRequirement(key=item.key, operator="Exists", min_values=least))
    return tuple(out)
