"""What a scenario comes to with one seed: nodes, pools, workload, latencies, faults; and the plan of its cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.autoscaling.horizontal.metrics_adapter import MetricsAdapter
from harness.autoscaling.policy import NODE_POLICIES
from harness.autoscaling.pool import NodePool
from harness.autoscaling.provisioning.catalogue import Catalogue, shipped_catalogue
from harness.autoscaling.provisioning.templates import example_nodes
from harness.cluster.assembly import ClusterPlan
from harness.cluster.cluster import ClusterSettings
from harness.cluster.controllers import check_controllers, controllers
from harness.controllers.workloads.rounds.scheduler import RoundScheduler
from harness.engine.component import SECOND, Component, Instant
from harness.engine.latency import Latencies
from harness.experiment.accounting import read_accounting
from harness.experiment.catalogues import read_catalogue
from harness.experiment.constants import read_constants
from harness.experiment.dump import GATEWAY, read_dump
from harness.experiment.fault_checks import check_faults, with_objects
from harness.experiment.gates import check_gates
from harness.experiment.idle_inputs import idle_inputs
from harness.experiment.latencies import latencies, latency
from harness.experiment.metric_series import check_autoscalers, metrics_adapter, needs_requests
from harness.experiment.nodes import Machines, gateway, machines, pool_template
from harness.experiment.scenario import LoadedScenario, duration
from harness.experiment.workload import SETTLE_NS, PlannedWorkload, Training, plan
from harness.faults.apply import Apply
from harness.faults.node_join import NodeJoin
from harness.faults.node_upgrade import NodeUpgrade
from harness.faults.object_change import ObjectChange
from harness.faults.timeline import Planned, parse
from harness.jobs.rounds import check_job
from harness.measure.accounting import Accounting
from harness.measure.demand import Demand
from harness.model.constants import Constants, doubts
from harness.model.core import Pod
from harness.model.cron_jobs import CronJob
from harness.model.dependencies import ESTIMATE
from harness.model.errors import UserError
from harness.model.gpu import gpus_of
from harness.model.karpenter import NodePool as KarpenterNodePool
from harness.model.times import parse_duration
from harness.model.wire import parse_time
from harness.node.settings import NodeSettings, Route
from harness.scheduling.cycle.settings import SchedulerSettings
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.outside import OutsideFilters
from harness.scheduling.registry import load, load_filter_plugins
from harness.scheduling.sandbox.filter_plugins import ContainedFilterPlugin
from workloads.manifests import DURATION


@dataclass(frozen=True, slots=True)
class Prepared:
    """`metrics`: what autoscalers may ask for besides CPU and memory; `reports_requests`: kubelets tell of requests
    whenever they change. `duration_ns` None: until everything that ends by itself has ended."""

    loaded: LoadedScenario
    seed: int
    machines: Machines
    workload: PlannedWorkload
    metrics: MetricsAdapter
    reports_requests: bool
    accounting: Accounting
    latencies: Latencies
    constants: Constants
    autoscaler_flags: Mapping[str, Any]
    pools: tuple[NodePool, ...]
    catalogue: Catalogue
    faults: tuple[Planned, ...]
    scheduling: SchedulerSettings
    epoch_unix_ns: int
    duration_ns: int | None
    idle: tuple[str, ...] = ()
    """What the scenario asks for and nothing acts on."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What is asked for and not modelled, though it bears on what is simulated."""
        return tuple(
            dict.fromkeys((*self.machines.notices, *self.workload.notices, *self.idle, *doubts(self.constants)))
        )

    @property
    def _leases_last(self) -> bool:
        """Whether a lease that is renewed on time cannot run out; else all renewals are played."""
        return self.constants.node_monitor_grace_period_ns >= 2 * self.constants.lease_renewal_ns

    def _controllers(self) -> tuple[str, ...]:
        """Beside those that every cluster has."""
        needed = ("dependency-controller",) if self.workload.has_dependencies else ()
        return tuple(dict.fromkeys((*self.loaded.scenario.spec.controllers, *needed)))

    def cluster_plan(
        self,
        strategy: Any,
        settings: dict[str, Any],
        *,
        workload: Iterable[tuple[Instant, Any]] | None = None,
        snapshot: Snapshot | None = None,
        components: tuple[Component, ...] = (),
    ) -> ClusterPlan:
        """`settings`: those of the cluster that are not the scenario's (where nodes live, on which clock). `workload`:
        the scenario's, where somebody takes note of it."""
        if self.workload.training is not None:
            training = self.workload.training
            rounds = RoundScheduler(strategy, training.speeds, self.gpus(), SETTLE_NS, training.rules)
            components = (rounds, *components)
            strategy = load("greedy")()  # of other pods; there are none
        return ClusterPlan(
            settings=ClusterSettings(
                seed=self.seed,
                latencies=self.latencies,
                constants=self.constants,
                record_events=self.loaded.scenario.spec.events,
                settings_for=self._settings_for if self.workload.traffic else None,
                epoch_unix_ns=self.epoch_unix_ns,
                **{**settings, "folded": settings.get("folded", True) and self._leases_last},
            ),
            nodes=(*self.machines.nodes, *((gateway(),) if self.workload.traffic else ())),
            strategy=strategy,
            scheduling=self.scheduling,
            snapshot=snapshot,
            controllers=self._controllers(),
            pools=self.pools,
            autoscaler=self.loaded.scenario.spec.autoscaler,
            autoscaler_flags=self.autoscaler_flags,
            autoscaler_deadline_s=self.scheduling.deadline_s,
            adopted=self.workload.adopted,
            catalogue=self.catalogue,
            faults=self.faults,
            workload=self.workload.stream() if workload is None else workload,
            metrics=self.metrics,
            components=components,
        )

    def gpus(self) -> list[str]:
        """For each GPU of the cluster the name of its node, in the order of the nodes."""
        return [node.metadata.name for node in self.machines.nodes for _ in range(gpus_of(node.status.allocatable))]

    def demand(self) -> Demand:
        """What the nodes, and those that pools may add, are asked for: nothing yet."""
        more = [(pool.template, pool.most) for pool in self.pools]
        nodes = {node.metadata.name: node for node in self.machines.nodes}
        unknown = self.workload.requests_unknown
        if any(isinstance(obj, KarpenterNodePool) for obj in self.workload.objects()):
            unknown = "NodePools make nodes of many types, as many as are asked for"
        for planned in self.faults:
            fault = planned.fault
            if isinstance(fault, NodeJoin) and fault.like in nodes:
                more.append((nodes[fault.like], fault.count))
            elif isinstance(fault, NodeJoin) or (isinstance(fault, NodeUpgrade) and fault.surge):
                unknown = "an action adds nodes, and which, depends on the run"
            elif isinstance(fault, Apply | ObjectChange):
                unknown = "an action may change what nodes offer, or what is asked for"
        return Demand(self.machines.nodes, more, unknown)

    def _settings_for(self, name: str, settings: NodeSettings) -> NodeSettings:
        if name != GATEWAY:
            return msgspec.structs.replace(settings, reports_requests=True) if self.reports_requests else settings
        routes = tuple(
            Route(service=item.service, curve=item.curve, ingress=item.ingress, host=item.host, path=item.path)
            for item in self.workload.traffic
        )
        return msgspec.structs.replace(settings, routes=routes)


def _starts_at(loaded: LoadedScenario) -> int:
    text = loaded.scenario.spec.starts_at
    try:
        return parse_time(text, 0)
    except (ValueError, OverflowError):
        what = "not a point in time"
        raise loaded.error("spec.startsAt", what, found=text, expected="such as 2025-03-30T00:00:00Z") from None


def prepare(loaded: LoadedScenario, seed: int, *, endless: bool = False) -> Prepared:
    """`endless`: somebody will stop it. Raises UserError for what is wrong with the scenario."""
    spec = loaded.scenario.spec
    _check_plugins(loaded)
    constants, flags = read_constants(loaded)
    check_gates(loaded)
    accounting = read_accounting(loaded)
    dump = read_dump(loaded)
    found = machines(loaded, seed, dump)
    hops = latencies(loaded)
    workload = plan(loaded, found.tables, seed, dump)
    if spec.duration is None and workload.traffic and not endless:
        raise loaded.error("spec", "the load of a service has no end, so the run needs one", hint="duration: 30m")
    if spec.duration is None and not endless and any(isinstance(obj, CronJob) for obj in workload.objects()):
        raise loaded.error("spec", "the Jobs of a CronJob have no end, so the run needs one", hint="duration: 24h")
    deadline_s = duration(loaded, spec.scheduling.deadline, "spec.scheduling.deadline") / SECOND or None
    adapter = metrics_adapter(loaded, workload.traffic, SETTLE_NS)
    check_autoscalers(loaded, workload.objects(), adapter, constants)
    catalogue = _catalogue(loaded)
    pools, faults = _pools(loaded, catalogue), _faults(loaded)
    ends = None if spec.duration is None else duration(loaded, spec.duration, "spec.duration")
    idle = idle_inputs(loaded, workload.objects(), pools, faults, endless=endless)
    made = example_nodes((obj for obj in workload.objects() if isinstance(obj, KarpenterNodePool)), catalogue)
    check_faults(loaded, faults, (*found.nodes, *made), pools, workload, ends, catalogue)
    if workload.training is not None:
        _check_training(loaded, workload.training, sum(gpus_of(node.status.allocatable) for node in found.nodes))
    return Prepared(
        loaded=loaded,
        seed=seed,
        machines=found,
        workload=workload,
        metrics=adapter,
        reports_requests=needs_requests(workload.objects()),
        accounting=accounting,
        latencies=hops,
        constants=constants,
        autoscaler_flags=flags,
        pools=pools,
        catalogue=catalogue,
        faults=faults,
        scheduling=SchedulerSettings(
            latency=hops.scheduling,
            batch_size=spec.scheduling.batch,
            retry=spec.scheduling.retry,
            preemption=spec.scheduling.preemption,
            deadline_s=deadline_s,
            filters=filter_plugins(loaded, deadline_s),
            clock=time.perf_counter,
            lifetime_of=_LIFETIMES[spec.scheduling.lifetimes],
        ),
        epoch_unix_ns=_starts_at(loaded),
        duration_ns=ends,
        idle=tuple(idle),
    )


def filter_plugins(loaded: LoadedScenario, deadline_s: float | None) -> tuple[ContainedFilterPlugin, ...]:
    """New Filter plugins of others that the scenario names. Raises UserError with the line of one that is wrong."""
    made: list[ContainedFilterPlugin] = []
    for index, spec in enumerate(loaded.scenario.spec.scheduling.filters):
        try:
            made += load_filter_plugins((spec,), deadline_s)
            OutsideFilters(made)
        except UserError as error:
            path = f"spec.scheduling.filters[{index}]"
            raise loaded.error(path, error.what, found=error.found, expected=error.expected, hint=error.hint) from None
    return tuple(made)


def _check_training(loaded: LoadedScenario, training: Training, gpus: int) -> None:
    """No job waits for GPUs that are not there, nor goes at a speed that nobody knows."""
    where = "spec.workload[0].training"
    form = loaded.scenario.spec.workload[0].training
    rows = {} if form is None else {row.id: f"{where}.jobs[{index}]" for index, row in enumerate(form.jobs or ())}
    for job in training.jobs:
        with loaded.told_at(rows.get(job.id, where)):
            check_job(job, training.speeds, gpus, training.rules)


def _check_plugins(loaded: LoadedScenario) -> None:
    """Names of controllers and autoscalers are told with their line before anything is made."""
    spec = loaded.scenario.spec
    for index, error in check_controllers(spec.controllers):
        about = {"found": error.found, "expected": error.expected, "hint": error.hint}
        raise loaded.error(f"spec.controllers[{index}]", error.what, **about)
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("spec.controllers", lambda: controllers(tuple(spec.controllers))),
        ("spec.autoscaler", lambda: NODE_POLICIES.make(spec.autoscaler)),
    )
    for path, make in checks:
        try:
            make()
        except UserError as error:
            raise loaded.error(path, error.what, found=error.found, expected=error.expected, hint=error.hint) from None


def _pools(loaded: LoadedScenario, catalogue: Catalogue) -> tuple[NodePool, ...]:
    templates = [pool_template(loaded, pool, f"spec.pools[{at}]") for at, pool in enumerate(loaded.scenario.spec.pools)]
    first: dict[str, int] = {}
    for index, pool in enumerate(loaded.scenario.spec.pools):
        if first.setdefault(pool.name, index) != index:
            found = f"{pool.name}, as spec.pools[{first[pool.name]}]"
            raise loaded.error(f"spec.pools[{index}].name", "two pools have one name", found=found, expected="another")
    return tuple(
        NodePool(
            name=pool.name,
            template=templates[index],
            least=pool.min,
            most=pool.max,
            provisioning=latency(loaded, pool.provisioning, f"spec.pools[{index}].provisioning"),
            boot=latency(loaded, pool.boot, f"spec.pools[{index}].boot"),
            quota=pool.quota,
            stock=pool.stock,
            lost_percent=pool.lost,
            price=catalogue.price_of(templates[index].metadata.labels) if pool.price is None else pool.price,
        )
        for index, pool in enumerate(loaded.scenario.spec.pools)
    )


def _catalogue(loaded: LoadedScenario) -> Catalogue:
    text, where = loaded.scenario.spec.catalogue, "spec.catalogue"
    if text.endswith(".csv") or "/" in text:
        return read_catalogue(loaded.find(text, where))
    with loaded.told_at(where):
        return shipped_catalogue(text)


def _faults(loaded: LoadedScenario) -> tuple[Planned, ...]:
    try:
        return parse(with_objects(loaded), "spec.faults")
    except UserError as error:
        path, _, what = error.what.partition(": ")
        raise loaded.error(path, what, found=error.found, expected=error.expected, hint=error.hint) from None


def _declared(pod: Pod) -> int | None:
    text = pod.metadata.annotations.get(DURATION)
    return None if text is None else parse_duration(text)


def _estimated(pod: Pod) -> int | None:
    """What its user said, and where nobody did, how long it runs."""
    text = pod.metadata.annotations.get(ESTIMATE)
    return _declared(pod) if text is None else parse_duration(text)


_LIFETIMES = {False: None, True: _declared, "estimates": _estimated}
