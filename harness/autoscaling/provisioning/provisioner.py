"""Pending pods in batches, and the NodeClaims that are made for them.

Source: kubernetes-sigs/karpenter pkg/controllers/provisioning/{batcher,controller,provisioner}.go,
provisioning/scheduling/events.go (1.14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np

from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.provisioning.launch import Launcher
from harness.autoscaling.provisioning.refusals import quantity_of
from harness.autoscaling.provisioning.requirements import requirement, written
from harness.autoscaling.provisioning.settings import ProvisioningSettings
from harness.autoscaling.provisioning.simulation import Simulation, Solution, VirtualNode
from harness.autoscaling.provisioning.state import ProvisioningState, owned_by
from harness.autoscaling.provisioning.templates import Limits, hash_of, pool_requirements
from harness.engine.component import MINUTE, SECOND, Create, Effect, Record, WakeAt
from harness.model.core import Pod
from harness.model.karpenter import (
    CAPACITY_TYPE,
    INSTANCE_TYPE,
    NODEPOOL_HASH,
    NODEPOOL_HASH_VERSION,
    TERMINATION,
    ZONE,
    ClaimResources,
    NodeClaim,
    NodeClaimSpec,
    NodePool,
)
from harness.model.meta import ObjectMeta, OwnerReference
from harness.scheduling.strategy import Int64

AGAIN_NS = 10 * SECOND
"""Pods that are still pending, and nodes that are still going, ask again. Source: controller.go RequeueAfter."""
REPEAT_NS, POOL_REPEAT_NS = 5 * MINUTE, MINUTE
"""The same Event about the same pod, or NodePool, is not told again within. Source: events.go DedupeTimeout."""
NO_TYPES = "NodePool requirements filtered out all compatible available instance types"
"""Source: scheduling/events.go NoCompatibleInstanceTypes."""
NO_POOLS, NO_OFFERS = "no nodepools found", "nodepool requirements filtered out all available instance types"
"""Source: provisioner.go ErrNodePoolsNotFound, scheduler.go add."""
HASH_VERSION = "v3"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Source: apimachinery pkg/util/rand."""


class Provisioner:
    def __init__(
        self, state: ProvisioningState, launcher: Launcher, settings: ProvisioningSettings, rng: Random
    ) -> None:  # fmt: skip
        self._state = state
        self._launcher = launcher
        self._settings = settings
        self._rng = rng
        self._batch: set[str] = set()  # what has asked since the window opened
        self._opened_ns = self._due_ns = self._asks_ns = -1
        self._told: dict[str, tuple[str, int]] = {}
        self._told_pools: dict[str, int] = {}
        self.failed: Mapping[str, str] = {}
        """Pods for which the last batch found no place, and why."""
        self.parts: Mapping[str, Mapping[str, str]] = {}
        """Of each such text, what it says of each NodePool."""

    def trigger(self, now: int, what: str, effects: list[Effect]) -> None:
        """`what` (a pod's uid, a node's) opens the window, or keeps it open; once a window. Source: batcher.go."""
        if what in self._batch:
            return
        self._batch.add(what)
        if self._opened_ns < 0:
            self._opened_ns = now
        most = self._opened_ns + self._settings.batch_max_duration_ns
        self._due_ns = min(now + self._settings.batch_idle_duration_ns, most)
        effects.append(WakeAt(self._due_ns, ("batch", self._due_ns)))

    def on_batch(self, now: int, due: int, effects: list[Effect]) -> None:
        """The window that was to close at `due` does, unless it was kept open."""
        if due != self._due_ns or self._opened_ns < 0:
            return
        asked_ns = self._opened_ns
        self._batch.clear()
        self._opened_ns = self._due_ns = -1
        self._provision(now, effects)
        if self._asks_ns <= now and self._wanting():
            self._asks_ns = max(asked_ns + AGAIN_NS, now + 1)
            effects.append(WakeAt(self._asks_ns, ("again",)))

    def on_again(self, now: int, effects: list[Effect]) -> None:
        for what in self._wanting():
            self.trigger(now, what, effects)

    def _wanting(self) -> list[str]:
        going = [name for name in self._state.claims if self._state.is_going(name)]
        return [*(pod.metadata.uid for pod in self._state.provisionable()), *going]

    # -- a batch -------------------------------------------------------------------------------------------------------

    def _provision(self, now: int, effects: list[Effect]) -> None:
        state = self._state
        pods = state.provisionable()
        going = [name for name in state.lookups.going if name in state.nodes]
        moving = [pod for name in going for pod in state.reschedulable(now, name)]
        if not pods and not moving:
            return
        for pool in state.pools.values():
            self.record_pool(now, pool, effects)
        fork = Fork(state.snapshot)
        try:
            solution = self.simulate(fork, [*pods, *map(state.unbound, moving)], moving, frozenset())
            self._record_results(now, {pod.metadata.key: pod for pod in pods}, solution, effects)
            for name in set(solution.placed.values()):
                state.nominated_until_ns[name] = now + self._settings.nomination_ns
            made = [(virtual, self.claim_of(virtual)) for virtual in solution.new]
        finally:
            fork.revert()
        for virtual, claim in made:
            self.create(now, claim, virtual.pods, effects)

    def simulate(
        self,
        fork: Fork,
        pods: Sequence[Pod],
        moving: Sequence[Pod],
        without: frozenset[str],
        cautious: Mapping[str, Int64] | None = None,
    ) -> Solution:
        """Where `pods` would go if `moving` ran no longer and the nodes `without` took none. The fork keeps it."""
        state = self._state
        for pod in moving:
            fork.forget(state.view(pod))
        self._add_daemons(fork)
        pools = [template.pool for template in state.templates()]
        limits = Limits(pools, state.capacities(without) if any(pool.spec.limits for pool in pools) else {})
        existing = state.existing(without)
        nothing = NO_OFFERS if state.pools else NO_POOLS
        return Simulation(fork, state.offers, state.templates(), limits, existing, cautious, nothing).solve(pods)

    def _add_daemons(self, fork: Fork) -> None:
        """DaemonSet pods that nodes which are coming will have. Source: calculateExistingNodeClaims."""
        state = self._state
        for name in state.lookups.coming:
            column = state.column(name)
            if column is None:
                continue
            daemons = (pod for pod in state.pods_on(name) if owned_by(pod, "DaemonSet"))
            there = {owner.name for pod in daemons for owner in pod.metadata.owner_references}
            for view in state.daemon_pods.of_node(name):
                if view.key.rpartition("/")[2].removesuffix(f"-{name}") not in there:
                    fork.place_on(view, (column,))

    # -- claims --------------------------------------------------------------------------------------------------------

    def claim_of(self, virtual: VirtualNode) -> NodeClaim:
        """Source: nodeclaimtemplate.go ToNodeClaim."""
        state, offers = self._state, self._state.offers
        pool, template = virtual.template.pool, virtual.template.pool.spec.template
        rows = np.flatnonzero(virtual.open.any(axis=1)).tolist()
        columns = np.flatnonzero(virtual.open.any(axis=0)).tolist()
        requirements = virtual.requirements.plus(
            (
                requirement(INSTANCE_TYPE, "In", [offers.types[row].name for row in rows]),
                requirement(CAPACITY_TYPE, "In", {offers.columns[column][1] for column in columns}),
                *(
                    (requirement(ZONE, "In", zones),)
                    if (zones := {offers.columns[column][0] for column in columns} - {""})
                    else ()
                ),
            )
        )
        owner = OwnerReference(
            api_version="karpenter.sh/v1", kind="NodePool", name=pool.metadata.name, uid=pool.metadata.uid,
            block_owner_deletion=True,
        )  # fmt: skip
        meta = ObjectMeta(
            name=self._name(pool.metadata.name),
            labels=dict(virtual.template.labels),
            annotations={
                **template.metadata.annotations, NODEPOOL_HASH: hash_of(pool), NODEPOOL_HASH_VERSION: HASH_VERSION,
            },
            owner_references=(owner,),
            finalizers=(TERMINATION,),
        )  # fmt: skip
        names = state.snapshot.tables.rows.names
        amounts = zip(names, virtual.requests[:-1].tolist(), strict=False)
        requests = {name: quantity_of(name, amount) for name, amount in amounts if amount}
        spec = NodeClaimSpec(
            taints=template.spec.taints,
            startup_taints=template.spec.startup_taints,
            requirements=written(requirements),
            resources=ClaimResources(requests=requests),
            node_class_ref=template.spec.node_class_ref,
            termination_grace_period=template.spec.termination_grace_period,
            expire_after=template.spec.expire_after,
        )
        return NodeClaim(metadata=meta, spec=spec)

    def _name(self, pool: str) -> str:
        while True:
            name = f"{pool}-{''.join(self._rng.choice(_LETTERS) for _ in range(5))}"
            if name not in self._state.claims and name not in self._state.nodes:
                return name

    def create(self, now: int, claim: NodeClaim, pods: Sequence[Pod], effects: list[Effect]) -> str:
        """Its name; it counts as coming at once."""
        chosen = self._launcher.choose(claim) or claim
        name = chosen.metadata.name
        self._state.put_claim(chosen)
        self._state.nominated_until_ns[name] = now + self._settings.nomination_ns
        effects.append(Create(chosen, token=("create", name)))
        for pod in pods:
            if pod.metadata.key in self._state.pending:
                text = f"Pod should schedule on: nodeclaim/{name}"
                self._record(now, self._state.pending[pod.metadata.key], "Normal", "Nominated", text, effects)
        return name

    # -- events --------------------------------------------------------------------------------------------------------

    def forget(self, key: str) -> None:
        """The pod is bound or gone."""
        self._told.pop(key, None)

    def record_pool(self, now: int, pool: NodePool, effects: list[Effect]) -> None:
        """That nothing can be made of it, where that is so. Source: scheduler.go NewScheduler."""
        name = pool.metadata.name
        if all(template.name != name for template in self._state.templates()):
            last = self._told_pools.get(name)
            if last is None or now - last >= POOL_REPEAT_NS:
                self._told_pools[name] = now
                few = bool(self._state.offers.meeting(pool_requirements(pool)).any())
                text = f"{NO_TYPES} due to minValues incompatibility" if few else NO_TYPES
                effects.append(Record(pool, "Warning", "NoCompatibleInstanceTypes", text))

    def _record_results(self, now: int, pods: dict[str, Pod], solution: Solution, effects: list[Effect]) -> None:
        self.failed, self.parts = solution.failed, solution.parts
        for key, why in solution.failed.items():
            if key in pods:
                self._record(now, pods[key], "Warning", "FailedScheduling", f"Failed to schedule pod, {why}", effects)
        for key, name in solution.placed.items():
            if key in pods:
                both = [f"nodeclaim/{name}"] if name in self._state.claims else []
                both += [f"node/{name}"] if name in self._state.nodes else []
                text = f"Pod should schedule on: {', '.join(both)}"
                self._record(now, pods[key], "Normal", "Nominated", text, effects)

    def _record(self, now: int, pod: Pod, kind: str, reason: str, text: str, effects: list[Effect]) -> None:
        last = self._told.get(pod.metadata.key)
        if last is not None and last[0] == text and now - last[1] < REPEAT_NS:
            return
        self._told[pod.metadata.key] = (text, now)
        effects.append(Record(pod, kind, reason, text))
