"""A node policy that only says how many: what it is shown, and the component that does what it says.

The component is the cluster autoscaler without its own decisions: its snapshot, machines, backoff and drains are the
same (harness.autoscaling.cluster); which pools grow and which nodes go is asked of the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from types import MappingProxyType
from typing import Any

from harness.autoscaling.cluster.autoscaler import ClusterAutoscaler
from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.drainability import Blocked, is_daemon
from harness.autoscaling.cluster.estimator import add_template_node
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.cluster.scale_down import ScaleDownPlanner
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.autoscaling.policy import AddNodes, NodeOffer, PoolNode, RemoveNode, SizingPolicy
from harness.autoscaling.pool import POOL_LABEL, NodePool, replaced
from harness.autoscaling.provisioning.catalogue import Catalogue
from harness.autoscaling.sandbox.calls import DEADLINE_S, Calls, illegal, is_shipped
from harness.engine.component import SECOND, Component, Effect, Event, Instant
from harness.engine.guard import Misbehaved, fault_of
from harness.engine.latency import Latency
from harness.model.core import Node, NodeStatus
from harness.model.karpenter import CAPACITY_TYPE, ZONE
from harness.model.meta import ObjectMeta
from harness.model.pod_amounts import resource_amounts
from harness.scheduling.sandbox.guard import stable_text
from harness.scheduling.strategy import PodView

MOST_ANSWERS = 100_000
"""Of one call: an end to an endless answer."""
PERIOD_NS = 10 * SECOND
MOST_OF_OFFERING = 1000
"""Nodes of one offering of a catalogue: machines are always delivered."""


class WhatIf:
    """What a sizing policy is shown, for one call: nodes, offers, and what would fit where. Nothing that it asks
    changes anything; whatever it is handed is read-only."""

    __slots__ = ("__fork", "__going", "__planner", "__state", "nodes", "now_ns", "offers")

    def __init__(
        self, now: int, fork: Fork, state: ClusterState, planner: ScaleDownPlanner, going: frozenset[str]
    ) -> None:
        self.now_ns = now
        self.__fork = fork
        self.__state = state
        self.__planner = planner
        self.__going = going
        self.offers = tuple(_offer(item.pool, item.room) for item in state.pools.values())
        self.nodes = tuple(self._node(name) for pool in state.pools.values() for name in pool.members)

    @property
    def running(self) -> tuple[PodView, ...]:
        return tuple(pod for name in self.__state.nodes for pod in self.__pods_on(name))

    def fit(self, pods: Iterable[PodView], offer: str, count: int = 1) -> tuple[PodView, ...]:
        """Those of `pods`, in order, that would fit on `count` new nodes of `offer` with their DaemonSet pods, by all
        constraints of the scheduler, beside everything that runs or is coming. Raises KeyError for an unknown offer."""
        fork, pool = self.__fork, self.__state.pools[offer].pool
        mark = fork.mark
        try:
            made = [
                add_template_node(fork, pool, f"{offer}/what-if-{at}", self.__state.daemon_pods) for at in range(count)
            ]
            return tuple(pod for pod in pods if fork.place_on(pod, made) is not None)
        finally:
            fork.revert(mark)

    def room(self, pod: PodView, most: int, without: Collection[str] = ()) -> int:
        """How many more pods like this one, up to `most`, fit on what there is and is coming, `without` some nodes."""
        fork = self.__fork
        left_out = {*without, *self.__going}
        nodes = [at for name, at in fork.snapshot.node_table.index.items() if name not in left_out]
        mark = fork.mark
        try:
            for found in range(most):
                if fork.place_on(replace(pod, key=f"{pod.key}/what-if-{found}"), nodes) is None:
                    return found
            return most
        finally:
            fork.revert(mark)

    def can_go(self, node: str) -> bool:
        """Whether the pods of a node would find places elsewhere, and nothing keeps them: budgets, annotations, local
        storage (as the cluster autoscaler asks). Raises KeyError for an unknown node."""
        state, fork = self.__state, self.__fork
        index = fork.snapshot.node_table.index[node]
        pods = self.__planner.pods_to_move(self.now_ns, node, state.remaining_budgets())
        if isinstance(pods, Blocked) or node in self.__going or self.__planner.has_completing(self.now_ns, node):
            return False
        mark = fork.mark
        try:
            others = [at for name, at in fork.snapshot.node_table.index.items() if at != index and name in state.nodes]
            for pod in pods:
                fork.forget(state.view(pod))
            return all(fork.place_on(state.unbound_view(pod), others) is not None for pod in pods)
        finally:
            fork.revert(mark)

    def _node(self, name: str) -> PoolNode:
        state = self.__state
        node = state.nodes[name]
        pool = state.pool_of(node)
        assert pool is not None, name
        return PoolNode(
            name=name,
            offer=pool.pool.name,
            price=pool.pool.price,
            created_ns=node.metadata.creation_timestamp or 0,
            ready=name not in state.starting and name not in state.unready,
            going=name in self.__going,
            pods=self.__pods_on(name),
        )

    def __pods_on(self, name: str) -> tuple[PodView, ...]:
        """As they would come to the scheduler again."""
        state = self.__state
        return tuple(shown(state.unbound_view(pod)) for pod in state.pods_on(name) if not is_daemon(pod))


def shown(pod: PodView) -> PodView:
    """The pod with labels that nobody can write to."""
    return replace(pod, labels=MappingProxyType(dict(pod.labels)))


def _offer(pool: NodePool, room: int) -> NodeOffer:
    template = pool.template
    return NodeOffer(
        name=pool.name,
        price=pool.price,
        allocatable=MappingProxyType(resource_amounts(template.status.allocatable)),
        labels=MappingProxyType(dict(template.metadata.labels)),
        room=max(room, 0),
    )


class Sizer(ClusterAutoscaler):
    """The component of a sizing policy. What it does wrong is told, and its answer of that time is none."""

    name = "node-sizer"

    def __init__(
        self, pools: tuple[NodePool, ...], rng: Random, policy: SizingPolicy, deadline_s: float | None = DEADLINE_S
    ) -> None:
        # Backoff, drains and time limits are the cluster autoscaler's; it marks no candidates, and has no thresholds.
        super().__init__(pools, rng, ClusterAutoscalerSettings(scan_interval_ns=PERIOD_NS))
        self._policy = policy
        self._policy_rng = Random(rng.getrandbits(64))
        self._calls = Calls(deadline_s)
        self._trusted = is_shipped(policy)
        self._faults: list[Misbehaved] = []

    @property
    def overruns(self) -> int:
        return self._calls.overruns

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects = super().step(now, events)
        faults, self._faults = self._faults, []
        effects.extend(fault_of(self.name, fault, key="resize").observation() for fault in faults)
        return effects

    # -- within --------------------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        """A policy may want nodes that nobody asks for yet."""
        return not self._calls.given_up

    def _simulate(self, now: int, fork: Fork, effects: list[Effect]) -> bool:
        """Never the same twice: a policy is asked at each scan."""
        state = self._state
        self._look_ahead(fork)
        left, _ = self._pending.place(now, fork)
        try:
            cluster = WhatIf(now, fork, state, self._planner, frozenset(self._actuator.going))
            checked = self._checked(self._ask(tuple(map(shown, left)), cluster))
        except Misbehaved as fault:
            self._faults.append(fault)
            return False
        for pool_name, count in checked[0].items():
            self._provider.order(now, state.pools[pool_name].pool, count, effects)
        for name in checked[1]:
            self._actuator.start(now, name, bool(state.pods_on(name)), effects)
        return False

    def _ask(self, pending: tuple[PodView, ...], cluster: WhatIf) -> list[object]:
        def asked() -> list[object]:
            return list(islice(iter(self._policy.resize(pending, cluster, self._policy_rng)), MOST_ANSWERS + 1))

        if self._trusted:
            return asked()
        if self._calls.given_up:
            return []
        found = self._calls.ask(asked, whose=self._policy.resize)
        assert isinstance(found, list)
        return found

    def _checked(self, answers: Sequence[object]) -> tuple[Mapping[str, int], list[str]]:
        """(nodes to add by pool, nodes to remove). Raises Misbehaved."""
        method, state = self._policy.resize, self._state
        if len(answers) > MOST_ANSWERS:
            raise illegal(f"more than {MOST_ANSWERS} answers, and no end of them", method)
        more: dict[str, int] = {}
        gone: dict[str, None] = {}
        for item in answers:
            match item:
                case AddNodes(offer, count) if isinstance(offer, str) and type(count) is int and count >= 0:
                    pool = state.pools.get(offer)
                    if pool is None:
                        raise illegal(f"there is no offer {offer!r} (expected one of {', '.join(state.pools)})", method)
                    more[offer] = more.get(offer, 0) + count
                    if more[offer] > pool.room:
                        raise illegal(f"{offer} has room for {pool.room} more nodes, not for {more[offer]}", method)
                case RemoveNode(name) if isinstance(name, str):
                    if name not in state.nodes or state.pool_of(state.nodes[name]) is None:
                        raise illegal(f"{name!r} is no node of a pool: it cannot be removed", method)
                    gone[name] = None
                case _:
                    raise illegal(f"resize answers with AddNodes and RemoveNode, not {stable_text(item)}", method)
        return more, [name for name in gone if name not in self._actuator.going]


def sized(
    policy: Any,
    pools: tuple[NodePool, ...],
    rng: Random,
    set_up: Callable[[Component], Component],
    deadline_s: float | None = DEADLINE_S,
) -> Component:
    """The component of a sizing policy. `set_up`: what is done to components when a cluster is put together."""
    return set_up(Sizer(pools, rng, policy, deadline_s))


def pools_of(catalogue: Catalogue, provisioning: Latency) -> tuple[NodePool, ...]:
    """A pool for each offering of the catalogue, named as m5.large.us-east-1a.spot."""
    out = []
    for item in catalogue.types:
        for offering in item.offerings:
            name = ".".join(filter(None, (item.name, offering.zone, offering.capacity_type)))
            labels = {**item.labels, CAPACITY_TYPE: offering.capacity_type, POOL_LABEL: name}
            if offering.zone:
                labels[ZONE] = offering.zone
            template = Node(
                metadata=ObjectMeta(labels=labels),
                status=NodeStatus(capacity=item.capacity, allocatable=item.allocatable),
            )
            made = NodePool(name=name, template=template, most=MOST_OF_OFFERING, provisioning=provisioning)
            out.append(replaced(made, price=offering.price))
    return tuple(out)
