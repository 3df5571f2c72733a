"""What a pod or a volume requires of a node's labels and fields: nodeSelector, node affinity, as values over columns.

Source of the semantics: k8s.io/component-helpers/scheduling/corev1/nodeaffinity (v1.32): terms are ORed, the
requirements of a term ANDed; a term without any requirement matches nothing, nor does one with a malformed requirement;
an absent label fails In, Exists, Gt and Lt, and satisfies NotIn and DoesNotExist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.model.core import NAME_FIELD, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PodSpec
from harness.scheduling.matching.label_rules import integer, well_formed
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.node_table import NodeTable
from harness.scheduling.strategy import Bool


@dataclass(frozen=True, slots=True)
class Requirement:
    """On a label, or (`field`) on a field of the node: its name; any other field is the empty text.

    No operator: it is malformed, and holds nowhere.
    """

    key: str
    operator: str
    values: tuple[str, ...]
    field: bool = False

    def matches(self, value: str | None) -> bool:
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                return self._compares(value)
            case _:
                return False

    def _compares(self, value: str | None) -> bool:
        """Both sides must parse as integers; what does not parse does not match."""
        left, right = integer(value or ""), integer(self.values[0])
        if left is None or right is None:
            return False
        return left > right if self.operator == "Gt" else left < right

    def mask(self, node_table: NodeTable, nodes: Nodes) -> Bool:
        if self.field:
            names, labels = node_table.names, node_table.labels
            asked = np.arange(len(node_table))[nodes].tolist()
            return np.array([self.holds_on(names[node], labels[node]) for node in asked], dtype=np.bool_)
        column = node_table.label_column(self.key)
        # One verdict a distinct value; code -1 (no such label) picks the last entry.
        verdicts = np.array([self.matches(value) for value in (*column.values, None)], dtype=np.bool_)
        found: Bool = verdicts[column.codes[nodes]]
        return found

    def holds_on(self, name: str, labels: Mapping[str, str]) -> bool:
        """Of a node of this name and these labels."""
        if self.field:
            return len(self.values) == 1 and self.matches(name if self.key == NAME_FIELD else "")
        return self.matches(labels.get(self.key))


@dataclass(frozen=True, slots=True)
class RequiredNodeAffinity:
    """A pod's nodeSelector and required node affinity (component-helpers has it under the same name)."""

    selector: tuple[Requirement, ...]  # nodeSelector: all must match
    terms: tuple[tuple[Requirement, ...], ...] | None  # required affinity: any must match; None when there is none

    @property
    def node_names(self) -> tuple[str, ...] | None:
        """Names of the only nodes where it can hold; None when that is open, () when its terms are at odds.

        As kube-scheduler's PreFilter finds it: every term must name its nodes, by In on metadata.name.
        """
        if not self.terms:
            return None
        names: dict[str, None] = {}
        for term in self.terms:
            named = [r.values for r in term if r.field and r.key == NAME_FIELD and r.operator == "In"]
            if not named:
                return None
            names.update((name, None) for name in named[0] if all(name in values for values in named))
        return tuple(names)

    def mask(self, node_table: NodeTable, nodes: Nodes) -> Bool:
        """Where it holds, bool, one entry for each of `nodes`."""
        out = all_hold(self.selector, node_table, nodes)
        if self.terms is not None:
            any_term = np.zeros_like(out)
            for term in self.terms:
                if term:
                    any_term |= all_hold(term, node_table, nodes)
            out &= any_term
        return out

    def holds(self, node_table: NodeTable, node: int) -> bool:
        return self.holds_on(node_table.names[node], node_table.labels[node])

    def holds_on(self, name: str, labels: Mapping[str, str]) -> bool:
        """Of a node of this name and these labels."""
        if not all(requirement.holds_on(name, labels) for requirement in self.selector):
            return False
        if self.terms is None:
            return True
        return any(term and all(requirement.holds_on(name, labels) for requirement in term) for term in self.terms)


def required_node_affinity(spec: PodSpec) -> RequiredNodeAffinity | None:
    """None for a pod that may go to any node."""
    selector = tuple(Requirement(key, "In", (value,)) for key, value in sorted(spec.node_selector.items()))
    affinity = spec.affinity.node_affinity if spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    if not selector and required is None:
        return None
    return RequiredNodeAffinity(
        selector, None if required is None else tuple(map(requirements_of, required.node_selector_terms))
    )


def all_hold(requirements: Sequence[Requirement], node_table: NodeTable, nodes: Nodes) -> Bool:
    """Where each of `requirements` is met, bool, one entry for each of `nodes`."""
    out = np.ones(
        len(range(*nodes.indices(len(node_table)))) if isinstance(nodes, slice) else len(nodes), dtype=np.bool_
    )
    for requirement in requirements:
        out &= requirement.mask(node_table, nodes)
    return out


def preferred_terms(affinity: NodeAffinity) -> tuple[tuple[int, tuple[Requirement, ...]], ...]:
    """(weight, requirements) of what it prefers.

    Source: component-helpers/nodeaffinity NewPreferredSchedulingTerms: no weight or no requirement, no term.
    """
    return tuple(
        (term.weight, found)
        for term in affinity.preferred_during_scheduling_ignored_during_execution
        if term.weight and (found := requirements_of(term.preference))
    )


def requirements_of(term: NodeSelectorTerm) -> tuple[Requirement, ...]:
    return (*map(_on_label, term.match_expressions), *map(_on_field, term.match_fields))


def _on_label(requirement: NodeSelectorRequirement) -> Requirement:
    key, operator, values = requirement.key, requirement.operator, tuple(requirement.values)
    return Requirement(key, operator if well_formed(key, operator, values) else "", values)


def _on_field(requirement: NodeSelectorRequirement) -> Requirement:
    # With more values than one it names nodes (`only`) and holds on none, as the term around it does not parse.
    operator = requirement.operator if requirement.operator in ("In", "NotIn") else ""
    return Requirement(requirement.key, operator, tuple(requirement.values), True)
