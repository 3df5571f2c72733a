"""Pods by their labels, and which autoscalers lay claim to them, without looking at every pod or every autoscaler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.model.core import Pod
from harness.model.meta import LabelSelector

_Pair = tuple[str, str, str]  # namespace, label, value


class PodIndex:
    def __init__(self) -> None:
        self._known: dict[str, Pod] = {}
        self._by_pair: dict[_Pair, dict[str, Pod]] = {}
        self._claims: dict[str, tuple[str, LabelSelector]] = {}  # autoscaler: namespace, selector of its target
        self._claims_by_pair: dict[_Pair | tuple[str], dict[str, LabelSelector]] = {}

    def clear(self) -> None:
        """Of pods."""
        self._known.clear()
        self._by_pair.clear()

    def hear(self, pod: Pod, *, gone: bool) -> None:
        meta = pod.metadata
        before = self._known.get(meta.key)
        if before is not None and (gone or before.metadata.labels is not meta.labels):
            for pair in _pairs(before):
                self._by_pair[pair].pop(meta.key, None)
        if gone:
            self._known.pop(meta.key, None)
            return
        self._known[meta.key] = pod
        for pair in _pairs(pod):
            self._by_pair.setdefault(pair, {})[meta.key] = pod

    @property
    def all(self) -> Iterable[Pod]:
        return self._known.values()

    def get(self, key: str) -> Pod | None:
        return self._known.get(key)

    def selected(self, namespace: str, selector: LabelSelector) -> tuple[Pod, ...]:
        """In order of key."""
        pairs = sorted(selector.match_labels.items())
        candidates: Iterable[Pod]
        if pairs:
            candidates = self._by_pair.get((namespace, *pairs[0]), {}).values()
        else:
            candidates = (pod for pod in self._known.values() if pod.metadata.namespace == namespace)
        found = {pod.metadata.key: pod for pod in candidates if selector.matches(pod.metadata.labels)}
        return tuple(found[key] for key in sorted(found))

    # -- claims --------------------------------------------------------------------------------------------------------

    def claimed_by(self, key: str, selector: LabelSelector, pods: Sequence[Pod]) -> list[str]:
        """Autoscalers whose targets' selectors match any of `pods`, as far as they are known: that of `key`, which is
        `selector` from now on, and those of others that asked before. Source: hpaSelectors, a BiMultimap."""
        namespace = key.partition("/")[0]
        if self._claims.get(key) != (namespace, selector):
            self.unclaim(key)
            self._claims[key] = (namespace, selector)
            self._claims_by_pair.setdefault(_place(namespace, selector), {})[key] = selector
        found: dict[str, None] = {}
        seen: set[int] = set()
        for pod in pods:
            labels = pod.metadata.labels
            if id(labels) not in seen:  # pods of a template share theirs
                seen.add(id(labels))
                found.update((other, None) for other, at in self._near(namespace, labels) if at.matches(labels))
        return sorted(found)

    def unclaim(self, key: str) -> None:
        held = self._claims.pop(key, None)
        if held is not None:
            self._claims_by_pair[_place(*held)].pop(key, None)

    def _near(self, namespace: str, labels: dict[str, str]) -> Iterator[tuple[str, LabelSelector]]:
        yield from self._claims_by_pair.get((namespace,), {}).items()
        for name, value in labels.items():
            yield from self._claims_by_pair.get((namespace, name, value), {}).items()


def _pairs(pod: Pod) -> list[_Pair]:
    namespace = pod.metadata.namespace
    return [(namespace, name, value) for name, value in pod.metadata.labels.items()]


def _place(namespace: str, selector: LabelSelector) -> _Pair | tuple[str]:
    """A label that whatever it matches has, if it asks for one."""
    pairs = sorted(selector.match_labels.items())
    return (namespace, *pairs[0]) if pairs else (namespace,)
