"""The eviction subresource: whether the disruption budgets let a pod go, and what a budget is when one is spent.

Source: pkg/registry/core/pod/storage/eviction.go; policy/v1 PodDisruptionBudget.
"""

from __future__ import annotations

from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.watch_cache import WatchCache
from harness.model.meta import condition, is_ready
from harness.model.objects import Pod, PodDisruptionBudget
from harness.model.status import ApiError, Cause, forbidden
from harness.model.wire import Time

MOST_DISRUPTED = 2000
"""Evictions that the disruption controller has not confirmed. Source: MaxDisruptedPodSize."""


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
    if not budgets:
        return None
    (budget,) = budgets
    if not is_ready(pod.status.conditions) and _may_go_unhealthy(budget):
        return None
    return _spent(budget, pod, now)


def _may_go_unhealthy(budget: PodDisruptionBudget) -> bool:
    """Whether a pod that is not ready is let go without asking the budget: always, or while enough others are."""
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return True
    status = budget.status
    desired = status.desired_healthy or 0
    return 0 < desired <= (status.current_healthy or 0)


def _running(pod: Pod) -> bool:
    return bool(pod.spec.node_name) and pod.status.phase not in ("Succeeded", "Failed", "Pending")


def _spent(budget: PodDisruptionBudget, pod: Pod, now: int) -> PodDisruptionBudget:
    status = budget.status
    name = budget.metadata.name
    if (status.observed_generation or 0) < (budget.metadata.generation or 0):
        raise _blocked(name, f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.disruptions_allowed or 0
    if allowed <= 0:
        failed = condition(status.conditions, "DisruptionAllowed")
        if failed is not None and failed.reason == "SyncFailed":
            why = f"does not allow evicting pods currently because it failed sync: {failed.message}"
        else:
            desired, current = status.desired_healthy or 0, status.current_healthy or 0
            why = f"needs {desired} healthy pods and has {current} currently"
        raise _blocked(name, f"The disruption budget {name} {why}", None)
    if len(status.disrupted_pods) > MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise forbidden("poddisruptionbudgets.policy", name, why)
    spent = replaced(
        status,
        disruptions_allowed=allowed - 1,
        disrupted_pods={**status.disrupted_pods, pod.metadata.name: Time(now)},
    )
    return replaced(budget, status=spent)


def _blocked(name: str, why: str, retry_after_s: int | None) -> ApiError:
    """Without a time to wait for, a client is not made to wait: `kubectl drain` tries again by itself, and gives up."""
    return ApiError(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        causes=(Cause("", "DisruptionBudget", why),),
        retry_after_s=retry_after_s,
    )
