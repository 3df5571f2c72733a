"""The eviction subresource: whether the disruption budgets let a pod go, and what a budget is when one is spent.

Source: pkg/registry/core/pod/storage/eviction.go; policy/v1 PodDisruptionBudget.
"""

from __future__ import annotations

from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.watch_cache import WatchCache
from harness.model.objects import Pod, PodDisruptionBudget
from harness.model.status import ApiError
from harness.model.wire import Time


def spent_budget(cache: WatchCache, pod: Pod, now: int) -> PodDisruptionBudget | None:
    """The budget to write when `pod` is evicted, one disruption less; None where none is touched.

    Raises ApiError TooManyRequests (429) when the budget allows none.
    """
    if pod.metadata.deletion_timestamp is not None or not _running(pod):
        return None  # going anyway, or disturbing nobody
    budgets: list[PodDisruptionBudget] = [
        budget
        for budget in cache.listed("PodDisruptionBudget", pod.metadata.namespace)
        if budget.spec.selector is not None and budget.spec.selector.matches(pod.metadata.labels)
    ]
    if len(budgets) > 1:
        raise ApiError(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )
    return _spent(budgets[0], pod, now) if budgets and _healthy(pod) else None


def _running(pod: Pod) -> bool:
    return bool(pod.spec.node_name) and pod.status.phase not in ("Succeeded", "Failed", "Pending")


def _healthy(pod: Pod) -> bool:
    return any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions)


def _spent(budget: PodDisruptionBudget, pod: Pod, now: int) -> PodDisruptionBudget:
    status = budget.status
    name = budget.metadata.name
    observed = status.observed_generation or 0
    allowed = (status.disruptions_allowed or 0) if observed >= (budget.metadata.generation or 0) else 0
    if allowed <= 0:
        raise ApiError(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
            kind="poddisruptionbudgets",
            name=name,
            retry_after_s=10,
        )
    spent = replaced(
        status,
        disruptions_allowed=allowed - 1,
        disrupted_pods={**status.disrupted_pods, pod.metadata.name: Time(now)},
    )
    return replaced(budget, status=spent)
