"""One run: a scenario under one strategy with one seed, from nothing to a record."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from harness.cluster.cluster import Cluster, ClusterSettings
from harness.cluster.controllers import control_plane
from harness.engine.component import HOUR, SECOND, Instant
from harness.engine.latency import Constant, Empirical, Latencies, Latency, LogNormal
from harness.engine.streams import array_stream, stream
from harness.engine.wall import WallClock, drive
from harness.experiment.audit import SETTLED_NS, Auditor, LastWrites
from harness.experiment.ending import Ending
from harness.experiment.nodes import GATEWAY, Machines, gateway, machines
from harness.experiment.record import folder_of, read_record, write_record
from harness.experiment.scenario import LatencyForm, Loaded, duration
from harness.experiment.scheduler_notes import Noted, NotedSnapshot, Notes
from harness.experiment.workload import Feeder, Plan, plan
from harness.measure.elasticity import Elasticity, Target
from harness.measure.filling import Filling
from harness.measure.invariants import Invariants
from harness.measure.journal import Journal
from harness.measure.placement import Placement, typical_of
from harness.measure.pods import PodLives
from harness.measure.recovery import Recovery
from harness.measure.traffic import Traffic
from harness.model.core import Pod
from harness.model.times import parse_duration
from harness.node.settings import NodeSettings, Route
from harness.scheduling.cycle.scheduler import Scheduler
from harness.scheduling.cycle.settings import SchedulerSettings
from harness.scheduling.registry import load
from harness.scheduling.sandbox.guard import contained
from harness.scheduling.strategy import StrategyFault
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from workloads.manifests import DURATION

LOOK_NS = 10 * SECOND
"""How often a run without a duration is looked at: is there anything left to happen?"""

LONGEST_NS = 400 * 24 * HOUR
"""A run without a duration ends here at the latest."""

Progress = Callable[[str, Instant, int], None]
"""(what is going on, instant, pods that have ended or settled)."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where nodes live. What is set here changes no bit of the result."""

    nodes: Literal["inline", "ray"] = "inline"
    actors: int = 2
    ray_address: str | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """`scale` 0: virtual time. Else the wall clock, so many times as fast; then a run cannot be replayed."""

    scale: float = 0.0

    @property
    def wall(self) -> bool:
        return self.scale > 0


@dataclass(slots=True)
class Result:
    """`metrics` by family; `timing` is measured and differs between runs. `digest` of the journal, empty on the wall
    clock and where a strategy was ended by its deadline: such runs cannot be replayed."""

    scenario: str
    scheduler: str
    seed: int
    digest: str
    metrics: dict[str, Any]
    broken: list[str]
    violations: list[tuple[int, str, str, str]]
    timing: dict[str, float]
    missed: list[str] = field(default_factory=list)
    folder: Path | None = None
    versions: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)  # those of the scenario that were chosen

    @property
    def ok(self) -> bool:
        return not self.broken and not self.violations and not self.missed

    def to_data(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "scheduler": self.scheduler,
            "seed": self.seed,
            **({"variables": self.variables} if self.variables else {}),
            "digest": self.digest,
            "metrics": self.metrics,
            "invariantsBroken": self.broken,
            "violations": [
                {"atSeconds": at / 1e9, "kind": kind, "pod": pod, "reason": reason}
                for at, kind, pod, reason in self.violations
            ],
            "gatesMissed": self.missed,
            "timing": self.timing,
            "versions": self.versions,
        }


def from_record(folder: Path) -> Result:
    """What a record says came out. Raises UserError for what is no record, or a damaged one."""
    data = read_record(folder)
    scenario = data["scenario"]
    return Result(
        scenario=str(scenario.get("metadata", {}).get("name", "")) if isinstance(scenario, dict) else str(scenario),
        scheduler=data["scheduler"],
        seed=data["seed"],
        digest=data["digest"],
        metrics=data.get("metrics", {}),
        broken=data.get("invariantsBroken", []),
        violations=[
            (round(item["atSeconds"] * 1e9), item["kind"], item["pod"], item["reason"])
            for item in data.get("violations", [])
        ],
        timing=data.get("timing", {}),
        missed=data.get("gatesMissed", []),
        folder=folder,
        versions=data.get("versions", {}),
        variables=data.get("variables", {}),
    )


def run_once(
    loaded: Loaded,
    scheduler: str,
    seed: int,
    home: Home | None = None,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    begun: Callable[[Run], None] | None = None,
    journal: bool = True,
) -> Result:
    """`begun` is told of the run before it is played. `journal`: whether the record holds its entries; its digest is
    there all the same. Raises UserError for what is wrong with the scenario or the name of the scheduler."""
    clock = clock or Clock()
    started = time.perf_counter()
    strategy = load(scheduler)()
    run = Run(loaded, strategy, seed, home or Home(), clock, Notes() if out is not None and journal else None)
    try:
        built = time.perf_counter()
        if begun is not None:
            begun(run)
        run.play(progress)
        played = time.perf_counter()
        result = run.result(scheduler)
    finally:
        run.close()
    result.timing |= {
        "buildSeconds": built - started,
        "runSeconds": played - built,
        "measureSeconds": time.perf_counter() - played,
    }
    if out is not None:
        folder = folder_of(out, loaded.scenario.metadata.name, scheduler, seed, loaded.chosen)
        record = {**result.to_data(), "scenario": loaded.data, "scenarioFile": Path(loaded.file).name}
        entries = iter(run.journal) if journal else None
        write_record(
            folder, record, entries, run.lives.columns(), run.node_columns(), run.scheduler.prometheus(), run.notes
        )
        result.folder = folder
    return result


class Run:
    """A cluster with everything that a scenario asks for, ready to be played."""

    def __init__(
        self,
        loaded: Loaded,
        strategy: Any,
        seed: int,
        home: Home,
        clock: Clock | None = None,
        notes: Notes | None = None,
    ) -> None:
        """`notes`: takes down what the scheduler sees, for those who ask why afterwards."""
        self.loaded = loaded
        self.notes = notes
        self.clock = clock or Clock()
        self.seed = seed
        spec = loaded.scenario.spec
        self.machines: Machines = machines(loaded, seed)
        self.plan: Plan = plan(loaded, self.machines.tables, seed)
        self.latencies = latencies(loaded)
        self.duration_ns = None if spec.duration is None else duration(loaded, spec.duration, "spec.duration")
        unfit = fit(strategy, self.plan)

        settings = ClusterSettings(
            seed=seed,
            latencies=self.latencies,
            nodes=home.nodes,
            actors=home.actors,
            ray_address=home.ray_address,
            folded=not self.clock.wall,
            wall=self.clock.wall,
            record_events=spec.events,
            settings_for=self._settings_for if self.plan.traffic else None,
        )
        self.cluster = Cluster(MemoryStore(ObjectCodec()), settings)
        self.lives = PodLives()
        self.traffic = Traffic()
        self.placement = self._placement()
        fills = [task.trace is not None and task.trace.mode == "fill" for task in spec.workload]
        self.filling = Filling(self.placement.occupancy) if fills and all(fills) else None
        self.recovery = Recovery(self.lives, self.traffic)
        self.elasticity = Elasticity(self._targets())
        self.invariants = Invariants(self.lives, self.placement.occupancy)
        self.last_writes = LastWrites()
        self.auditor = Auditor()
        folds = (
            self.lives,
            *self.placement.folds,
            *((self.filling,) if self.filling is not None else ()),
            self.traffic,
            self.recovery,
            self.elasticity,
            self.invariants,
            self.last_writes,
            *((notes,) if notes is not None else ()),
        )
        self.journal = Journal(lambda: self.cluster.server.now, folds)
        self.cluster.server.listeners.append(self.journal.written)
        self.cluster.api.observers.append(self.journal.observed)
        self.feeder = Feeder(self.plan.stream())
        self.scheduler = Scheduler(
            strategy if notes is None else Noted(strategy, notes),
            stream(seed, "scheduler"),
            array_stream(seed, "strategy"),
            SchedulerSettings(
                latency=self.latencies.scheduling,
                batch_size=spec.scheduling.batch,
                retry=spec.scheduling.retry,
                preemption=spec.scheduling.preemption,
                deadline_s=duration(loaded, spec.scheduling.deadline, "spec.scheduling.deadline") / SECOND or None,
                clock=time.perf_counter,
                lifetime_of=_declared if spec.scheduling.lifetimes else None,
            ),
            None if notes is None else NotedSnapshot(notes),
        )
        if unfit is not None:
            self.scheduler.tally.violations.append((0, unfit.kind, unfit.pod, unfit.reason))
        self.cluster.start_nodes(self.machines.nodes)
        if self.plan.traffic:
            self.cluster.start_nodes((gateway(),))
        for component in control_plane(loaded, seed):
            self.cluster.add(component)
        self.cluster.add(self.scheduler)
        self.cluster.add(self.feeder)
        self.cluster.add(self.auditor)

    def _settings_for(self, name: str, settings: NodeSettings) -> NodeSettings:
        if name != GATEWAY:
            return settings
        routes = tuple(Route(service=item.service, curve=item.curve) for item in self.plan.traffic)
        return msgspec.structs.replace(settings, routes=routes)

    def _placement(self) -> Placement:
        asked = [
            item
            for table in self.plan.originals
            for item in zip(
                table.cpu_milli.tolist(),
                table.gpu_milli.tolist(),
                table.gpu_count.tolist(),
                ("|".join(table.gpu_models[row]) for row in range(len(table))),
                strict=True,
            )
        ]
        models: dict[str, None] = {}
        width = 0
        for table in self.machines.tables:
            width = max(width, int(table.gpu_count.max(initial=0)))
            models.update((table.gpu_model[row], None) for row in range(len(table)) if table.gpu_count[row])
        typical = typical_of(asked) if asked and width else None
        return Placement(self.lives, typical, tuple(models), width)

    def _targets(self) -> tuple[Target, ...]:
        services = {
            f"default/{task.service.name}": task.service
            for task in self.loaded.scenario.spec.workload
            if task.service is not None and task.service.autoscaler is not None
        }
        return tuple(
            Target(
                service=item.service,
                curve=item.curve,
                cpu_us=item.cpu_per_request_us,
                request_milli=item.request_milli,
                percent=item.target_percent or 100,
                least=scaler.min,
                most=scaler.max,
            )
            for item in self.plan.traffic
            if (form := services.get(item.service)) is not None and (scaler := form.autoscaler) is not None
        )

    # -- playing -------------------------------------------------------------------------------------------------------

    def play(self, progress: Progress | None = None) -> None:
        """To the end: the scenario's duration, or until everything that ends by itself has."""
        cluster = self.cluster
        until = self.duration_ns
        if self.clock.wall:
            if until is None:
                raise self.loaded.error(
                    "spec", "on the wall clock a run needs a duration", hint="--set spec.duration=5m"
                )
            told = (lambda at: progress("running", at, self._settled())) if progress is not None else None
            drive(cluster.run, lambda: cluster.next_due, WallClock(0, self.clock.scale), until, told)
            self.end_ns = until
            return
        ending = Ending(cluster, self.feeder, self.lives, self.scheduler)
        at = 0
        while True:
            at = min(at + LOOK_NS, until) if until is not None else self._next_look(at)
            cluster.run(at)
            if progress is not None:
                progress("running", at, self._settled())
            if until is not None:
                if at >= until:
                    break
            elif ending.over() or at >= LONGEST_NS:
                break
        self.end_ns = at

    def _next_look(self, at: int) -> int:
        """A multiple of LOOK_NS; where nothing happens for long, the first after what comes next."""
        due = self.cluster.next_due
        ahead = at if due is None else max(at, due)
        return min((ahead // LOOK_NS + 1) * LOOK_NS, LONGEST_NS)

    def _settled(self) -> int:
        return len(self.lives.all) - len(self.lives.alive)

    # -- what came out -------------------------------------------------------------------------------------------------

    def result(self, scheduler: str) -> Result:
        loaded = self.loaded
        end = self.end_ns
        tally = self.scheduler.tally
        pods = self.cluster.server.objects("Pod")
        believed = self.auditor.differences(self.cluster.server, self.last_writes.at_ns, end)
        arrived = self.feeder.pods - len(self.feeder.refused)
        self.invariants.finish(pods, arrived, believed + self._scheduler_differences(end))
        placement = self.placement.metrics(end, bound=loaded.scenario.spec.bound, clock=time.perf_counter)
        metrics: dict[str, Any] = {
            "durationSeconds": end / 1e9,
            "placement": placement,
            "scheduling": {
                "decisions": tally.decisions,
                "unschedulableAttempts": tally.unschedulable,
                "cycles": tally.cycles,
                "batch": self.scheduler.batch_size,
            },
        }
        if self.filling is not None:
            metrics["filling"] = self.filling.metrics()
        if self.elasticity.targets:
            metrics["autoscaling"] = self.elasticity.metrics(end)
        if self.traffic.services:
            metrics["requests"] = self.traffic.metrics(end)
        if self.recovery.faults:
            metrics["recovery"] = self.recovery.metrics(end)
        broken = list(self.invariants.broken)
        if self.placement.beaten:
            broken.append(self.placement.beaten)
        broken.extend(f"refused: {text}" for text in self.feeder.refused[:10])
        decided = tally.decisions + tally.unschedulable
        return Result(
            scenario=loaded.scenario.metadata.name,
            scheduler=scheduler,
            seed=self.seed,
            digest="" if self.clock.wall or self.scheduler.guard.overruns else self.journal.digest(),
            metrics=metrics,
            broken=broken,
            violations=list(tally.violations),
            timing={
                "decidingSeconds": tally.deciding_s,
                "decisionMicroseconds": tally.deciding_s / decided * 1e6 if decided else 0.0,
                "boundSeconds": self.placement.bound_seconds,
            },
            missed=missed(loaded, metrics),
            versions=versions(),
            variables=loaded.chosen,
        )

    def _scheduler_differences(self, now: Instant) -> list[str]:
        """Where the scheduler's snapshot has a pod elsewhere than the store."""
        snapshot = self.scheduler.snapshot
        out = []
        for key, pod in sorted(self.cluster.server.objects("Pod").items()):
            if self.last_writes.at_ns[("Pod", key)] > now - SETTLED_NS or pod.status.phase in ("Succeeded", "Failed"):
                continue
            node = snapshot.where(key)
            believed = "" if node is None else snapshot.facts.names[node]
            if believed != pod.spec.node_name and pod.spec.node_name in snapshot.facts.index:
                out.append(f"the scheduler has {key} on {believed or 'no node'}, the store on {pod.spec.node_name}")
        return out

    def node_columns(self) -> dict[str, Any]:
        occupancy = self.placement.occupancy
        capacity = np.array(occupancy.capacity, dtype=np.int64).reshape(-1, 4)
        used = np.array(occupancy.used, dtype=np.int64).reshape(-1, 4)
        out: dict[str, Any] = {"name": occupancy.names}
        for index, name in enumerate(("cpu_milli", "memory_bytes", "gpu_milli", "pods")):
            out[f"{name}_capacity"] = capacity[:, index]
            out[f"{name}_used"] = used[:, index]
        return out

    def close(self) -> None:
        self.cluster.close()


def _declared(pod: Pod) -> int | None:
    text = pod.metadata.annotations.get(DURATION)
    return None if text is None else parse_duration(text)


def fit(strategy: Any, made: Plan) -> StrategyFault | None:
    """Strategies that learn from a workload's mix are shown what the scenario declares, before anything arrives."""
    learn = getattr(strategy, "fit", None)
    if learn is None or not made.originals:
        return None
    from harness.scheduling.pods.pod_classes import PodClasses
    from workloads.manifests import to_pods

    classes = PodClasses()
    mix = [classes.view(pod) for table in made.originals for _, pod in to_pods(table)]
    return contained(lambda: learn(mix))


def latencies(loaded: Loaded) -> Latencies:
    """The scenario's hops over the defaults. Raises UserError."""
    form = loaded.scenario.spec.latencies
    made = Latencies()
    changes: dict[str, Any] = {}
    for ours, theirs in (
        ("api_call", form.api_call),
        ("watch", form.watch),
        ("network", form.network),
        ("scheduling", form.scheduling),
        ("container_start", form.container_start),
        ("image_pull_base", form.image_pull),
    ):
        if theirs is not None:
            where = "spec.latencies." + {"api_call": "apiCall", "container_start": "containerStart"}.get(ours, ours)
            changes[ours] = _latency(loaded, theirs, where)
    made = replace(made, **changes)
    if made.window_ns <= 0:
        raise loaded.error("spec.latencies", "apiCall, watch and network must take some time", expected="over 0s")
    return made


def _latency(loaded: Loaded, form: LatencyForm, where: str) -> Latency:
    if form.constant is not None:
        return Constant(duration(loaded, form.constant, f"{where}.constant"))
    if form.samples:
        return Empirical(tuple(duration(loaded, text, f"{where}.samples") for text in form.samples))
    if form.median is None or form.p99 is None:
        raise loaded.error(where, "says nothing", expected="constant, median and p99, or samples")
    return LogNormal(
        duration(loaded, form.median, f"{where}.median"),
        duration(loaded, form.p99, f"{where}.p99"),
        duration(loaded, form.least, f"{where}.least"),
    )


def missed(loaded: Loaded, metrics: dict[str, Any]) -> list[str]:
    """Gates that the run did not pass, in words. Raises UserError for a gate on a metric that is not there."""
    out = []
    for index, gate in enumerate(loaded.scenario.spec.gates):
        value = dig(metrics, gate.metric)
        if not isinstance(value, (int, float)):
            raise loaded.error(
                f"spec.gates[{index}].metric",
                "there is no such number in this run",
                found=gate.metric,
                expected=", ".join(sorted(numbers(metrics))[:12]) + ", ..",
            )
        if gate.at_least is not None and value < gate.at_least:
            out.append(f"{gate.metric} is {value:g}, not at least {gate.at_least:g}")
        if gate.at_most is not None and value > gate.at_most:
            out.append(f"{gate.metric} is {value:g}, not at most {gate.at_most:g}")
    return out


def dig(data: Any, path: str) -> Any:
    """'placement.allocation.gpu' in nested data; None when it leads nowhere."""
    for part in path.split("."):
        if isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        elif isinstance(data, dict):
            data = data.get(part)
        else:
            return None
    return data


def numbers(data: Any, path: str = "") -> Iterable[str]:
    """The paths of all numbers."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        below = f"{path}.{key}" if path else str(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield below
        else:
            yield from numbers(value, below)


def versions() -> dict[str, str]:
    return {
        "podyard": version("podyard"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "ortools", "ray", "polars", "msgspec")},
        "platform": sys.platform,
    }
