"""The eviction subresource: whether the disruption budgets let a pod go, and the budget spent when they do.

Source: pkg/registry/core/pod/storage/eviction.go; policy/v1 PodDisruptionBudget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.apiserver.registry.lifecycle import replaced
from harness.model.objects import Pod, PodDisruptionBudget
from harness.model.status import ApiError
from harness.model.wire import Time

if TYPE_CHECKING:
    from harness.apiserver.server import ApiServer


def permit(server: ApiServer, pod: Pod, *, dry_run: bool = False) -> None:
    """Spend the budget of a healthy pod. Raises ApiError TooManyRequests (429) when there is none left."""
    if pod.metadata.deletion_timestamp is not None or not _running(pod):
        return  # going anyway, or disturbing nobody
    budgets = [
        budget
        for budget in server.listed("PodDisruptionBudget", pod.metadata.namespace)
        if budget.spec.selector is not None and budget.spec.selector.matches(pod.metadata.labels)
    ]
    if len(budgets) > 1:
        raise ApiError(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )
    if budgets and _healthy(pod):
        _spend(server, budgets[0], pod, dry_run)


def _running(pod: Pod) -> bool:
    return bool(pod.spec.node_name) and pod.status.phase not in ("Succeeded", "Failed", "Pending")


def _healthy(pod: Pod) -> bool:
    return any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions)


def _spend(server: ApiServer, budget: PodDisruptionBudget, pod: Pod, dry_run: bool) -> None:
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
        disrupted_pods={**status.disrupted_pods, pod.metadata.name: Time(server.now)},
    )
    server.update(replaced(budget, status=spent), "status", dry_run=dry_run)
