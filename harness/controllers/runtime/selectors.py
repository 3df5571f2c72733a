"""Who selects whom by labels, without looking at every pod: pods of equal labels are one group.

Pods of a template share their labels, so a namespace of ten thousand pods has a handful of groups; selectors are
matched against groups, found by one of the labels that they ask for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.model.meta import LabelSelector

_CACHE_SIZE = 4096

LabelKey = tuple[tuple[str, str], ...]


class LabelKeys:
    """Labels as a value that can be compared and hashed; computed once for a dict that objects share."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[dict[str, str], LabelKey]] = {}

    def of(self, labels: dict[str, str]) -> LabelKey:
        known = self._known.get(id(labels))
        if known is not None and known[0] is labels:
            return known[1]
        key = tuple(sorted(labels.items()))
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        self._known[id(labels)] = (labels, key)  # holding the dict keeps its identity from being used again
        return key


class Group:
    """The objects of one namespace that have exactly these labels, by key, in order of arrival."""

    __slots__ = ("labels", "members", "namespace", "selected_by", "version")

    def __init__(self, namespace: str, labels: dict[str, str]) -> None:
        self.namespace = namespace
        self.labels = labels
        self.members: dict[str, Any] = {}
        self.selected_by: tuple[str, ...] = ()
        self.version = -1  # of the selectors that `selected_by` was found among


class Groups:
    """Objects by namespace and labels, and the groups that a selector selects."""

    def __init__(self) -> None:
        self._keys = LabelKeys()
        self._groups: dict[tuple[str, LabelKey], Group] = {}
        # By namespace, then by each label of theirs; None: all of the namespace.
        self._by_label: dict[str, dict[tuple[str, str] | None, dict[LabelKey, Group]]] = {}

    def add(self, key: str, namespace: str, labels: dict[str, str], member: Any) -> Group:
        """Add, or replace, a member."""
        label_key = self._keys.of(labels)
        group = self._groups.get((namespace, label_key))
        if group is None:
            group = self._groups[namespace, label_key] = Group(namespace, labels)
            by_label = self._by_label.setdefault(namespace, {})
            for label in (None, *label_key):
                by_label.setdefault(label, {})[label_key] = group
        group.members[key] = member
        return group

    def get(self, namespace: str, labels: dict[str, str]) -> Group | None:
        return self._groups.get((namespace, self._keys.of(labels)))

    def remove(self, key: str, namespace: str, labels: dict[str, str]) -> Group | None:
        """The group that it was in, perhaps empty now."""
        label_key = self._keys.of(labels)
        group = self._groups.get((namespace, label_key))
        if group is None:
            return None
        group.members.pop(key, None)
        if not group.members:
            del self._groups[namespace, label_key]
            by_label = self._by_label[namespace]
            for label in (None, *label_key):
                del by_label[label][label_key]
                if not by_label[label]:
                    del by_label[label]
            if not by_label:
                del self._by_label[namespace]
        return group

    def selected(self, namespace: str, selector: LabelSelector) -> Iterator[Group]:
        """The groups whose labels match."""
        by_label = self._by_label.get(namespace)
        if not by_label:
            return
        candidates: Mapping[LabelKey, Group] = by_label.get(None, {})
        for label in selector.match_labels.items():
            narrower = by_label.get(label)
            if narrower is None:
                return
            if len(narrower) < len(candidates):
                candidates = narrower
        for group in candidates.values():
            if selector.matches(group.labels):
                yield group

    def clear(self) -> None:
        self._groups.clear()
        self._by_label.clear()


class Selectors:
    """Named selectors by namespace, and those that select given labels."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[str, tuple[str, str] | None, LabelSelector]] = {}
        # By namespace, then by one label that the selector asks for; None: it asks for none in particular.
        self._by_label: dict[str, dict[tuple[str, str] | None, dict[str, LabelSelector]]] = {}
        self._version = 0

    def put(self, name: str, namespace: str, selector: LabelSelector | None) -> None:
        """`selector` under `name`, in place of the one before; None: it selects nothing any more."""
        before = self._by_name.pop(name, None)
        if before is not None:
            if before[2] == selector and before[0] == namespace:
                self._by_name[name] = before
                return
            by_label = self._by_label[before[0]]
            del by_label[before[1]][name]
            if not by_label[before[1]]:
                del by_label[before[1]]
                if not by_label:
                    del self._by_label[before[0]]
        elif selector is None:
            return
        self._version += 1
        if selector is not None:
            label = min(selector.match_labels.items(), default=None)
            self._by_name[name] = (namespace, label, selector)
            self._by_label.setdefault(namespace, {}).setdefault(label, {})[name] = selector

    def matching(self, namespace: str, labels: dict[str, str]) -> tuple[str, ...]:
        """The names of the selectors that select `labels`, sorted."""
        by_label = self._by_label.get(namespace)
        if not by_label:
            return ()
        found = []
        for label in (None, *labels.items()):
            for name, selector in by_label.get(label, _NONE).items():
                if selector.matches(labels):
                    found.append(name)
        return tuple(sorted(found))

    def of(self, group: Group) -> tuple[str, ...]:
        """Those that select a group; remembered until a selector changes."""
        if group.version != self._version:
            group.selected_by = self.matching(group.namespace, group.labels)
            group.version = self._version
        return group.selected_by

    def clear(self) -> None:
        self._by_name.clear()
        self._by_label.clear()
        self._version += 1


_NONE: dict[str, LabelSelector] = {}
