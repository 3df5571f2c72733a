"""What a NodePool allows, ready for the simulation: requirements, offerings, DaemonSet pods, limits.

Source: kubernetes-sigs/karpenter pkg/controllers/provisioning/scheduling/nodeclaimtemplate.go, scheduler.go
(NewScheduler, buildDaemonOverheadGroups, filterByRemainingResources, subtractMax), pkg/apis/v1 nodepool.go Hash (1.14).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.autoscaling.provisioning.catalogue import Catalogue
from harness.autoscaling.provisioning.offers import Offers
from harness.autoscaling.provisioning.preferences import required_of
from harness.autoscaling.provisioning.requirements import Requirements, of_pool, requirement
from harness.model.core import Node, Pod, ResourceList, Taint
from harness.model.karpenter import INITIALIZED, NODEPOOL, REGISTERED, NodePool
from harness.model.meta import ObjectMeta
from harness.model.wire import encode
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.state.resource_rows import ResourceRows
from harness.scheduling.strategy import Bool, Int64

NODES = "nodes"
"""A limit on how many. Source: resources.Node."""


@dataclass(frozen=True)
class ClaimTemplate:
    """`open`: offerings that a node of the pool may be; `overhead`: what DaemonSet pods take on each type, int64
    [types, rows + 1]."""

    pool: NodePool
    requirements: Requirements
    open: Bool
    overhead: Int64

    @property
    def name(self) -> str:
        return self.pool.metadata.name

    @property
    def taints(self) -> tuple[Taint, ...]:
        return self.pool.spec.template.spec.taints

    @property
    def labels(self) -> Mapping[str, str]:
        return {**self.pool.spec.template.metadata.labels, NODEPOOL: self.name}


def tolerates(pod: Pod, taints: Iterable[Taint]) -> bool:
    """Source: pkg/scheduling/taints.go ToleratesPod: of any effect, PreferNoSchedule, too."""
    return all(any(item.tolerates(taint) for item in pod.spec.tolerations) for taint in taints)


def by_weight(pools: Iterable[NodePool]) -> list[NodePool]:
    """The heaviest first; of equal ones the last by name. Source: pkg/utils/nodepool OrderByWeight."""
    return sorted(pools, key=lambda pool: (pool.spec.weight or 0, pool.metadata.name), reverse=True)


def template_of(pool: NodePool, offers: Offers, daemons: Sequence[Pod], classes: PodClasses) -> ClaimTemplate | None:
    """None where no instance type meets the pool's requirements."""
    requirements = pool_requirements(pool)
    open_ = offers.meeting(requirements)
    if not open_.any() or not offers.enough_values(requirements, open_):
        return None
    overhead = np.zeros_like(offers.allocatable)
    simulated = requirements.plus((requirement(REGISTERED, "In", ("true",)), requirement(INITIALIZED, "In", ("true",))))
    for pod in daemons:
        wanted = required_of(pod)
        if not tolerates(pod, pool.spec.template.spec.taints) or simulated.conflict(wanted):
            continue
        fits = np.flatnonzero((offers.meeting(wanted) & open_).any(axis=1))
        overhead[fits] += offers.amounts(classes.view(pod).cls)
    return ClaimTemplate(pool, requirements, open_, overhead)


def pool_requirements(pool: NodePool) -> Requirements:
    template = pool.spec.template
    return of_pool(template.spec.requirements, {**template.metadata.labels, NODEPOOL: pool.metadata.name})


def example_nodes(pools: Iterable[NodePool], catalogue: Catalogue) -> list[Node]:
    """A node of each zone and capacity type that each pool may make, by its labels: what could be there."""
    offers = Offers(catalogue, ResourceRows())
    out = []
    for pool in pools:
        open_ = offers.meeting(pool_requirements(pool))
        name = pool.metadata.name
        for column in np.flatnonzero(open_.any(axis=0)).tolist():
            row = int(np.flatnonzero(open_[:, column])[0])
            labels = {**pool.spec.template.metadata.labels, **offers.labels(row, column), NODEPOOL: name}
            out.append(Node(metadata=ObjectMeta(name=f"{name}-example-{column}", labels=labels)))
    return out


class Limits:
    """What the pools' limits leave, in thousandths by resource; `nodes` counts nodes."""

    def __init__(self, pools: Iterable[NodePool], used: Mapping[str, Iterable[ResourceList]]) -> None:
        """`used`: capacities of the nodes of each pool that count."""
        self._left: dict[str, dict[str, int]] = {}
        for pool in pools:
            left = {name: quantity.milli for name, quantity in pool.spec.limits.items()}
            for capacity in used.get(pool.metadata.name, ()):
                self._take(left, {name: capacity[name].milli for name in left if name in capacity})
            self._left[pool.metadata.name] = left

    @staticmethod
    def _take(left: dict[str, int], amounts: Mapping[str, int]) -> None:
        for name, amount in amounts.items():
            left[name] -= amount
        if NODES in left:
            left[NODES] -= 1000

    def nodes_exhausted(self, pool: str) -> bool:
        return self._left[pool].get(NODES, 1000) < 1000

    def within(self, pool: str, offers: Offers, open_: Bool) -> Bool:
        """Of `open_` the types of which one more does not exceed a limit."""
        left = self._left[pool]
        if not left:
            return open_
        if self.nodes_exhausted(pool):
            return np.zeros_like(open_)
        fits = [
            all(item.capacity[name].milli <= most for name, most in left.items() if name in item.capacity)
            for item in offers.types
        ]
        return open_ & np.array(fits, dtype=np.bool_)[:, None]

    def spend(self, pool: str, offers: Offers, open_: Bool) -> None:
        """As the largest of the types that are still open would. Source: subtractMax."""
        left = self._left[pool]
        rows = np.flatnonzero(open_.any(axis=1)).tolist()
        found = [offers.types[row].capacity for row in rows]
        self._take(left, {n: max(c[n].milli for c in found if n in c) for n in left if any(n in c for c in found)})


def hash_of(pool: NodePool) -> str:
    """Of what makes its nodes drift when it changes: the template without requirements. Source: nodepool.go Hash."""
    template = encode(pool.spec.template)
    spec = dict(template.get("spec") or {})
    spec.pop("requirements", None)
    for name in ("taints", "startupTaints"):
        if name in spec:
            spec[name] = sorted(spec[name], key=lambda taint: json.dumps(taint, sort_keys=True))
    text = json.dumps([template.get("metadata") or {}, spec], sort_keys=True)
    return str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
