"""The cloud provider as the cluster autoscaler meets it: machines ordered, refused, late, lost; and its backoff.

Source: cluster-autoscaler 1.32: core/scaleup/orchestrator/executor.go (executeScaleUp), clusterstate/clusterstate.go
(updateScaleRequests, handleInstanceCreationErrors), core/static_autoscaler.go (removeOldUnregisteredNodes,
deleteCreatedNodesWithErrors), utils/backoff/exponential_backoff.go; Events in their words, about the status ConfigMap.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from msgspec.structs import replace

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.pool_state import PoolState, Trouble
from harness.autoscaling.pool import NodePool
from harness.engine.component import (
    SECOND,
    DisturbProvider,
    Effect,
    KeepPlace,
    Observe,
    Record,
    StartMachine,
    StopMachine,
    WakeAt,
)
from harness.model.core import ConfigMap
from harness.model.meta import ObjectMeta
from harness.model.node_labels import BOOT

STATUS = ConfigMap(metadata=ObjectMeta(namespace="kube-system", name="cluster-autoscaler-status"))
"""What the autoscaler's own events are about. Source: clusterstate/utils/logging.go."""
OUT_OF_STOCK = ("OutOfResourcesErrorClass.RESOURCE_POOL_EXHAUSTED", "the provider has no machine of this kind left")
"""Source: cloudprovider/gce/autoscaling_gce_client.go ErrorCodeResourcePoolExhausted, cloudprovider.go errorClass."""
API_ERROR = "failed to increase node group size: the provider's API answers with an error"
"""Source: core/scaleup/orchestrator/executor.go executeScaleUp."""
REFUSED = "quota exceeded: {size} nodes asked for, {most} granted"


class Provider:
    """`rng`: of how long machines take, and which never come."""

    def __init__(self, state: ClusterState, rng: Random) -> None:
        self._state = state
        self._rng = rng

    def order(self, now: int, pool: NodePool, count: int, effects: list[Effect]) -> bool:
        """Whether the provider takes the order; else the pool is backed off. Each machine that comes is there, and its
        kubelet starts, when it has been provisioned."""
        state = self._state.pools[pool.name]
        trouble = _now(state, now)
        if trouble is not None and trouble.kind == "error":
            self._refuse(now, state, count, API_ERROR, effects)
            return False
        most = state.size if trouble is not None and trouble.kind == "quota" else pool.quota
        if most is not None and state.size + count > most:
            self._refuse(now, state, count, REFUSED.format(size=state.size + count, most=most), effects)
            return False
        stock = 0 if trouble is not None and trouble.kind == "outOfStock" else pool.stock
        left = count if stock is None else max(stock - state.size, 0)
        late_ns = trouble.late_ns if trouble is not None and trouble.kind == "late" else 0
        for index in range(count):
            name = state.next_name()
            state.requested[name] = now
            if index >= left:
                state.failing[name] = ": ".join(OUT_OF_STOCK)
                continue
            due = now + late_ns + pool.provisioning.draw(self._rng)
            lost = bool(pool.lost_percent) and self._rng.randrange(100) < pool.lost_percent
            if not lost and (trouble is None or trouble.kind != "silent"):
                effects.append(WakeAt(due, ("machine", pool.name, name)))
        state.increase += count
        state.last_scale_up_ns = now
        effects.append(Observe("autoscaling", (pool.name, "up", count)))
        return True

    def _refuse(self, now: int, state: PoolState, count: int, why: str, effects: list[Effect]) -> None:
        name = state.pool.name
        effects.append(Record(STATUS, "Warning", "FailedToScaleUpGroup", f"Scale-up failed for group {name}: {why}"))
        effects.append(Observe("autoscaling", (name, "refused", count)))
        self.back_off(now, state)

    def deliver(self, token: tuple[str, ...], effects: list[Effect]) -> None:
        """A machine has been provisioned: its kubelet starts, unless it was given up meanwhile."""
        _, pool_name, name = token
        state = self._state.pools[pool_name]
        if name not in state.requested:
            return
        node, boot_ns = state.pool.node(name), state.pool.boot.draw(self._rng)
        if boot_ns:
            meta = node.metadata
            node = replace(node, metadata=replace(meta, annotations={**meta.annotations, BOOT: str(boot_ns)}))
        effects.append(StartMachine(node))

    def disturb(self, now: int, what: DisturbProvider) -> None:
        for name, state in self._state.pools.items():
            if what.hits(name, state.expected.template.metadata.labels):
                state.trouble = Trouble(what.kind, now + what.for_ns, what.late_ns)

    def keep_place(self, what: KeepPlace) -> None:
        """As of a managed instance group that makes an instance again, or one more while another is replaced: its
        target size counts it before there is a node, and it may be late from when it is due."""
        pool = self._state.pool_of(what.node)
        if pool is None:
            return
        if what.due_ns is None:
            pool.requested.pop(what.node.metadata.name, None)
        else:
            pool.requested[what.node.metadata.name] = what.due_ns

    def give_up(self, now: int, effects: list[Effect]) -> None:
        """Instances that could not be made go at the next look; machines that have not registered in time, too. Their
        pool is left alone for a while, so that another one is tried."""
        limit = self._state.settings.max_node_provision_time_ns
        for pool in self._state.pools.values():
            name = pool.pool.name
            for words, many in sorted(Counter(pool.failing.values()).items()):
                code, _, why = words.partition(": ")
                text = f"Failed adding {many} nodes to group {name} due to {code}; source errors: {why}"
                effects.append(Record(STATUS, "Warning", "ScaleUpFailed", text))
                effects.append(Observe("autoscaling", (name, "refused", many)))
                self.back_off(now, pool)
                pool.increase = max(pool.increase - many, 0)
            for instance in pool.failing:
                pool.requested.pop(instance, None)
            pool.failing.clear()
            for instance in [name for name, since in pool.requested.items() if name in pool.members and since <= now]:
                del pool.requested[instance]  # its place was kept, and it never went
            slow = any(member in self._state.starting for member in pool.members)
            if pool.increase and not pool.coming and not slow:
                pool.increase = 0
                self._reset_backoff(pool)
            late = {instance: since for instance, since in pool.requested.items() if now - since > limit}
            overdue = (
                slow and pool.increase and pool.last_scale_up_ns is not None and now - pool.last_scale_up_ns > limit
            )
            if not late and not overdue:
                continue
            since = min(late.values(), default=pool.last_scale_up_ns or 0)
            text = f"Nodes added to group {name} failed to register within {_in_go(now - since)}"
            effects.append(Record(STATUS, "Warning", "ScaleUpTimedOut", text))
            pool.increase = 0
            for instance in late:
                del pool.requested[instance]
                effects.append(StopMachine(instance))
                effects.append(Record(STATUS, "Normal", "DeleteUnregistered", f"Removed unregistered node {instance}"))
            self.back_off(now, pool)

    @staticmethod
    def _reset_backoff(pool: PoolState) -> None:
        """A scale-up has ended well: what failed before is forgotten. Source: clusterstate.go updateScaleRequests,
        RemoveBackoff."""
        pool.failed_ns, pool.backoff_ns, pool.backoff_until_ns = None, 0, 0

    def back_off(self, now: int, pool: PoolState) -> None:
        """Twice as long as the last time, unless it is backed off still, that was long ago, or one ended well since."""
        settings = self._state.settings
        failed = pool.failed_ns
        if failed is None or now - failed > settings.node_group_backoff_reset_timeout_ns:
            pool.backoff_ns = settings.initial_node_group_backoff_duration_ns
        elif pool.backoff_until_ns <= now:
            pool.backoff_ns = min(2 * pool.backoff_ns, settings.max_node_group_backoff_duration_ns)
        pool.failed_ns = now
        pool.backoff_until_ns = now + pool.backoff_ns


def _in_go(ns: int) -> str:
    """As Go prints a duration of minutes, in whole seconds."""
    minutes, seconds = divmod(ns // SECOND, 60)
    return f"{minutes}m{seconds}s"


def _now(pool: PoolState, now: int) -> Trouble | None:
    return pool.trouble if pool.trouble is not None and now < pool.trouble.until_ns else None
