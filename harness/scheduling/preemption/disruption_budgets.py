"""Disruption budgets as preemption looks at them: which pods cannot go without breaking one.

Source: kube-scheduler 1.32 plugins/defaultpreemption filterPodsWithPDBViolation.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.model.objects import PodDisruptionBudget
from harness.scheduling.matching.pod_selectors import Labels
from harness.scheduling.strategy import PodView


class Budgets:
    """By namespace, then by name. `version` grows when one comes, goes or selects others; see `put`."""

    def __init__(self) -> None:
        self._by_space: dict[str, dict[str, PodDisruptionBudget]] = {}
        self.version = 0

    def put(self, budget: PodDisruptionBudget) -> bool:
        """Whether anything changed that preemption looks at."""
        meta = budget.metadata
        held = self._by_space.setdefault(meta.namespace, {})
        old = held.get(meta.name)
        held[meta.name] = budget
        if old is not None and old.spec == budget.spec:
            was, now = old.status, budget.status
            if (was.disruptions_allowed, was.disrupted_pods) == (now.disruptions_allowed, now.disrupted_pods):
                return False
        self.version += 1
        return True

    def remove(self, namespace: str, name: str) -> None:
        held = self._by_space.get(namespace, {})
        if held.pop(name, None) is not None:
            self.version += 1

    def clear(self) -> None:
        self._by_space.clear()
        self.version += 1

    def __bool__(self) -> bool:
        return any(self._by_space.values())

    def violating(self, pods: Iterable[PodView]) -> set[str]:
        """Keys of those whose going breaks a budget, were they to go in this order."""
        out: set[str] = set()
        allowed: dict[str, int] = {}
        for pod in pods:
            for budget in self._of(pod.namespace, pod.labels):
                if pod.key.rpartition("/")[2] in budget.status.disrupted_pods:
                    continue  # the API server has counted it already
                key = budget.metadata.key
                left = allowed.get(key, budget.status.disruptions_allowed or 0) - 1
                allowed[key] = left
                if left < 0:
                    out.add(pod.key)
        return out

    def _of(self, namespace: str, labels: Labels) -> list[PodDisruptionBudget]:
        """In order of name. An empty selector selects nobody here, though the API says everybody."""
        held = self._by_space.get(namespace)
        if not held or not labels:
            return []
        out = []
        for name in sorted(held):
            selector = held[name].spec.selector
            if selector is None or selector.empty:
                continue
            if selector.matches(labels):
                out.append(held[name])
        return out
