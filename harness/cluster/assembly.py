"""The one way to put a cluster together: for runs, for live clusters, for tests and for benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import dropwhile
from typing import Any

from harness.apiserver.adoption import adopt
from harness.autoscaling.horizontal.controller import HorizontalController
from harness.autoscaling.horizontal.metrics_adapter import MetricsAdapter
from harness.autoscaling.policy import NODE_POLICIES, NodePolicy, SizingPolicy, stands_alone
from harness.autoscaling.pool import NodePool
from harness.autoscaling.provisioning.catalogue import Catalogue, shipped_catalogue
from harness.autoscaling.sandbox.calls import DEADLINE_S
from harness.autoscaling.sandbox.node_policy import contain_node_policy
from harness.autoscaling.sizing import pools_of, sized
from harness.autoscaling.vertical.recommender import VerticalRecommender
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.cluster.controllers import DEFAULT, NOT_THE_MANAGERS, STARTED_LAST, controllers
from harness.cluster.workload_driver import WorkloadDriver
from harness.controllers.storage.attacher import AttacherController
from harness.engine.component import Calendared, Component, Configured, Instant, Periodic
from harness.engine.scrapes import scrapes_of
from harness.engine.streams import array_stream, phase_of, stream
from harness.faults.timeline import Planned, Timeline
from harness.model.constants import MANAGER, SCHEDULER, Constants
from harness.model.core import Node
from harness.model.meta import ApiObject
from harness.model.training import ROUND_SCHEDULER
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS
from harness.scheduling.cycle.scheduler import Scheduler
from harness.scheduling.cycle.settings import SchedulerSettings
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filter_plugin import FilterPlugin, UsesFilterPlugins
from harness.scheduling.strategy import Strategy
from harness.store.interface import Store

UNHEEDED = "{kind} does nothing here: only clusters whose scenario says autoscaler: just-in-time go by it"


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """All that a cluster consists of.

    `strategy`: None where pods are bound by hand. `controllers`: as `harness.cluster.controllers` takes them.
    `autoscaler`: the node policy that sizes `pools`, `autoscaler_flags`: parameters besides those that it names;
    `autoscaler_deadline_s`: of one call of a policy of others, on the wall clock (None: no limit). `catalogue`: the
    instance types that a provider offers, and their prices (None: the shipped ones).
    `adopted`: objects that are there before anything happens, as another cluster had them.
    `faults`: a timeline of them. `workload`: objects in the order of the instants at which they are created.
    `metrics`: what autoscalers may ask for besides CPU and memory. `components`: others, started last. `snapshot`:
    the scheduler's, when somebody listens in.
    """

    settings: ClusterSettings = field(default_factory=ClusterSettings)
    nodes: Sequence[Node] = ()
    strategy: Strategy | None = None
    scheduling: SchedulerSettings = field(default_factory=SchedulerSettings)
    snapshot: Snapshot | None = None
    controllers: Sequence[str] = ("*",)
    pools: tuple[NodePool, ...] = ()
    autoscaler: str = "cluster-autoscaler"
    autoscaler_flags: Mapping[str, Any] = field(default_factory=dict)
    autoscaler_deadline_s: float | None = DEADLINE_S
    catalogue: Catalogue | None = None
    adopted: Sequence[ApiObject] = ()
    faults: tuple[Planned, ...] = ()
    workload: Iterable[tuple[Instant, ApiObject]] | None = None
    metrics: MetricsAdapter = field(default_factory=MetricsAdapter)
    components: Sequence[Component] = ()


@dataclass(frozen=True, slots=True)
class Assembled:
    """`started`: the scheduler and the driver of the workload, where the plan has them."""

    cluster: Cluster
    started: tuple[Scheduler | None, WorkloadDriver | None]

    @property
    def scheduler(self) -> Scheduler:
        scheduler = self.started[0]
        assert scheduler is not None, "the plan has no strategy"
        return scheduler

    @property
    def driver(self) -> WorkloadDriver:
        driver = self.started[1]
        assert driver is not None, "the plan has no workload"
        return driver


def set_up(
    component: Component,
    seed: int,
    constants: Constants,
    filters: Sequence[FilterPlugin] = (),
    catalogue: Catalogue | None = None,
    epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS,
) -> Component:
    """What looks at intervals does so at a phase of its own: a fault finds it anywhere in its period. `filters`: the
    cluster's Filter plugins of others."""
    if filters and isinstance(component, UsesFilterPlugins):
        component.use_filter_plugins(filters)
    if isinstance(component, Configured):
        component.constants = constants
    if catalogue is not None and hasattr(component, "catalogue"):
        component.catalogue = catalogue
    if isinstance(component, Calendared):
        component.epoch_unix_ns = epoch_unix_ns
    if isinstance(component, Periodic):
        component.phase_ns = phase_of(seed, f"{component.name}/phase", component.period_ns)
    return component


def assemble(store: Store, plan: ClusterPlan, start: Instant = 0) -> Assembled:
    """A cluster whose clock stands at `start`; nothing has happened in it yet. Raises UserError for names of plug-ins.

    What the workload and the timeline of faults had before `start` has happened. The order of components is part of a
    run's digest: nodes, controllers, autoscaler, faults, scheduler, workload, the others, and STARTED_LAST.
    """
    seed, constants = plan.settings.seed, plan.settings.constants
    adopt(store, plan.adopted)
    cluster = Cluster(store, plan.settings)
    cluster.loop.now = cluster.server.now = start
    cluster.start_nodes(plan.nodes)
    last: list[Component] = []
    for component in controllers(plan.controllers):
        if component.name in STARTED_LAST:
            last.append(component)
            continue
        if isinstance(component, HorizontalController):
            component.adapter = plan.metrics
            component.scrapes = scrapes_of(seed, constants)
            component.contain(plan.autoscaler_deadline_s)
        elif isinstance(component, VerticalRecommender):
            component.scrapes = scrapes_of(seed, constants)
        managed = component.name in DEFAULT and component.name not in NOT_THE_MANAGERS
        set_up(component, seed, constants, plan.scheduling.filters, epoch_unix_ns=plan.settings.epoch_unix_ns)
        cluster.add(component, MANAGER if managed else "")
    scaler: Component | None = None
    if plan.pools or stands_alone(plan.autoscaler):
        policy: NodePolicy | SizingPolicy = NODE_POLICIES.factory(plan.autoscaler, plan.autoscaler_flags)()
        rng_of_nodes, deadline_s = stream(seed, "cluster-autoscaler"), plan.autoscaler_deadline_s
        set_up_part = partial(
            set_up, seed=seed, constants=constants, filters=plan.scheduling.filters, catalogue=plan.catalogue
        )
        if hasattr(policy, "resize"):
            if hasattr(policy, "adapter"):
                policy.adapter = plan.metrics
            latency = plan.settings.latencies.node_provisioning
            pools = plan.pools or pools_of(plan.catalogue or shipped_catalogue(), latency)
            made = sized(policy, pools, rng_of_nodes, set_up_part, deadline_s)
        else:
            made = contain_node_policy(policy, plan.pools, rng_of_nodes, set_up_part, deadline_s, cluster.components)
        cluster.add(made)
        scaler = made
    if scaler is None or "NodePool" not in scaler.watches:
        cluster.server.unheeded |= {kind: UNHEEDED.format(kind=kind) for kind in ("NodePool", "NodeClaim")}
    if plan.faults:
        cluster.add(Timeline(plan.faults, stream(seed, "faults"), start))
    scheduler: Scheduler | None = None
    if plan.strategy is not None:
        rng, array_rng = stream(seed, "scheduler"), array_stream(seed, "strategy")
        scheduling = replace(plan.scheduling, constants=constants)
        scheduler = Scheduler(plan.strategy, rng, array_rng, scheduling, plan.snapshot)
        cluster.add(scheduler, SCHEDULER)
    driver: WorkloadDriver | None = None
    if plan.workload is not None:
        driver = WorkloadDriver(dropwhile(lambda item: item[0] < start, plan.workload))
        cluster.add(driver)
    for component in plan.components:
        cluster.add(component, SCHEDULER if component.name == ROUND_SCHEDULER else "")
    for component in last:
        if isinstance(component, AttacherController):
            hops = plan.settings.latencies
            component.take_time(hops.volume_attach, hops.volume_detach, stream(seed, component.name))
        set_up(component, seed, constants)
        cluster.add(component, "" if component.name in NOT_THE_MANAGERS else MANAGER)
    return Assembled(cluster, (scheduler, driver))
