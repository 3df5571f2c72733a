"""One run: a scenario under one strategy with one seed, from nothing to a record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.cluster.assembly import assemble
from harness.engine.component import ADDED, HOUR, SECOND, Instant
from harness.engine.wall import WallClock, drive
from harness.experiment.accounting import unfound
from harness.experiment.audit import SETTLED_NS, Auditor, miscounted
from harness.experiment.autoscaler_notes import AutoscalerNotes
from harness.experiment.collection import collecting_rarely
from harness.experiment.completion import Completion
from harness.experiment.gates import failed_gates
from harness.experiment.measures import Measures
from harness.experiment.prepared import Prepared, prepare
from harness.experiment.record import folder_of, write_record
from harness.experiment.result import EndState, Result, versions
from harness.experiment.scenario import LoadedScenario
from harness.experiment.scheduler_notes import Noted, NotedSnapshot, Notes
from harness.experiment.source import source_of
from harness.experiment.strategies import full_name, load_strategy
from harness.experiment.strategy_fit import fit_strategy, fitted_on, history_for, unfitted
from harness.experiment.waterfalls import run_waterfalls
from harness.experiment.workload import SETTLE_NS
from harness.measure.job_lives import JobLives
from harness.measure.outage import was_away
from harness.measure.recovery import faults_refused, faults_short_of_targets, faults_without_effect, victims
from harness.model.constants import SCHEDULER
from harness.model.objects import KINDS, kind_of
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.sandbox.round_guard import RoundGuard
from harness.scheduling.strategy import StrategyFault
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

LOOK_NS = 10 * SECOND
"""How often a run without a duration is looked at: is there anything left to happen?"""

LONGEST_NS = 400 * 24 * HOUR
"""A run without a duration ends here at the latest."""

Progress = Callable[[str, Instant, int], None]
"""(what is going on, instant, pods that have ended)."""


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


# size: what to run, then where, and what to do with the outcome; each by name, with a default.
@collecting_rarely()
def run_once(
    loaded: LoadedScenario,
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
    strategy = load_strategy(loaded, scheduler)()
    run = Run(loaded, strategy, seed, home or Home(), clock, Notes() if out is not None and journal else None)
    try:
        built = time.perf_counter()
        if begun is not None:
            begun(run)
        run.play(progress)
        played = time.perf_counter()
        result = run.result(scheduler)
        prometheus = run.scheduler.prometheus()
        result.end_state = run.end_state()
    finally:
        run.close()
    result.timing |= {
        "buildSeconds": built - started,
        "runSeconds": played - built,
        "measureSeconds": time.perf_counter() - played,
    }
    if out is not None:
        folder = folder_of(out, loaded.scenario.metadata.name, scheduler, seed, loaded.chosen)
        record = {
            **result.to_data(),
            "constants": run.prepared.constants.texts,
            "victims": victims(run.measures.recovery),
            "scenario": loaded.data,
            "scenarioFile": Path(loaded.file).name,
            "source": source_of(loaded, scheduler),
            "fittedOn": fitted_on(loaded, strategy, run.history),
        }
        entries = iter(run.measures.journal) if journal else None
        write_record(
            folder,
            record,
            entries,
            {
                "pods": run.measures.pod_columns(),
                "nodes": run.measures.node_columns(),
                "jobs": run.measures.job_columns(run.end_ns),
                "autoscalers": {} if run.autoscaler_notes is None else run.autoscaler_notes.columns(),
            },
            prometheus,
            run.notes,
        )
        result.folder = folder
    return result


class Run:
    """A cluster with everything that a scenario asks for, ready to be played."""

    def __init__(
        self,
        loaded: LoadedScenario,
        strategy: Any,
        seed: int,
        home: Home,
        clock: Clock | None = None,
        notes: Notes | None = None,
    ) -> None:
        """`notes`: takes down what the scheduler sees, for those who ask why afterwards."""
        self.loaded = loaded
        self.notes = notes
        self.autoscaler_notes = None if notes is None else AutoscalerNotes()
        self.clock = clock or Clock()
        self.seed = seed
        self.prepared: Prepared = prepare(loaded, seed)
        self._round_guard: RoundGuard | None = None
        if self.prepared.workload.training is not None:
            deadline_s = self.prepared.scheduling.deadline_s
            strategy = self._round_guard = RoundGuard(strategy, self._take_round_fault, deadline_s)
        classes = PodClasses(filters=self.prepared.scheduling.filters)
        self.history = history_for(strategy, self.prepared.workload)
        unfit = fit_strategy(strategy, self.history)
        self.strategy = strategy
        demand, jobs = self.prepared.demand(), JobLives(self.prepared.accounting)
        adopted = self.prepared.workload.adopted
        self.auditor = Auditor()
        plan = self.prepared.cluster_plan(
            strategy if notes is None or self.prepared.workload.training is not None else Noted(strategy, notes),
            {
                "nodes": home.nodes,
                "actors": home.actors,
                "ray_address": home.ray_address,
                "folded": not self.clock.wall,
                "wall": self.clock.wall,
            },
            workload=self.prepared.workload.noted_stream(demand, jobs),
            snapshot=None if notes is None else NotedSnapshot(notes, classes),
            components=(self.auditor,),
        )
        assembled = assemble(MemoryStore(ObjectCodec()), plan)
        self.cluster, self.scheduler, self.driver = assembled.cluster, assembled.scheduler, assembled.driver
        server = self.cluster.server
        folds = tuple(each for each in (notes, self.autoscaler_notes) if each is not None)
        self.measures = Measures(self.prepared, demand, jobs, lambda: server.now, folds)
        if self.autoscaler_notes is not None:
            self.autoscaler_notes.attach(self.cluster.components.values())
        for obj in adopted:  # as the store has them
            kind = kind_of(obj)
            there = server.objects(kind)[obj.metadata.key]
            self.measures.journal.written(KINDS[kind], ADDED, there, None, int(there.metadata.resource_version))
        server.listeners.append(self.measures.journal.written)
        self.cluster.api.observers.append(self.measures.journal.observed)
        if unfit is not None:
            self.scheduler.tally.violations.append((0, unfit.kind, unfit.pod, unfit.reason))
            self.scheduler.tally.tracebacks[unfit.reason] = unfit.traceback

    def _take_round_fault(self, at_s: float, fault: StrategyFault) -> None:
        tally = self.scheduler.tally
        tally.violations.append((SETTLE_NS + round(at_s * SECOND), fault.kind, fault.pod, fault.reason))
        if fault.traceback:
            tally.tracebacks[fault.reason] = fault.traceback

    # -- playing -------------------------------------------------------------------------------------------------------

    def play(self, progress: Progress | None = None) -> None:
        """To the end: the scenario's duration, or until everything that ends by itself has."""
        cluster = self.cluster
        until = self.prepared.duration_ns
        if self.clock.wall:
            if until is None:
                raise self.loaded.error(
                    "spec", "on the wall clock a run needs a duration", hint="--set spec.duration=5m"
                )
            told = (lambda at: progress("running", at, self.measures.lives.ended)) if progress is not None else None
            drive(cluster.run, lambda: cluster.next_due, WallClock(0, self.clock.scale), until, told)
            self.end_ns = until
            return
        completion = Completion(cluster, self.driver, self.measures.lives, self.scheduler)
        at = 0
        while True:
            at = min(at + LOOK_NS, until) if until is not None else self._next_look(at)
            cluster.run(at)
            if progress is not None:
                progress("running", at, self.measures.lives.ended)
            if until is not None:
                if at >= until:
                    break
            elif completion.over() or at >= LONGEST_NS:
                break
            elif self._round_guard is not None and self._round_guard.given_up:
                break  # nobody starts a job any more
        self.end_ns = at

    def _next_look(self, at: int) -> int:
        """A multiple of LOOK_NS; where nothing happens for long, the first after what comes next."""
        due = self.cluster.next_due
        ahead = at if due is None else max(at, due)
        return min((ahead // LOOK_NS + 1) * LOOK_NS, LONGEST_NS)

    # -- what came out -------------------------------------------------------------------------------------------------

    def result(self, scheduler: str) -> Result:
        loaded, measures = self.loaded, self.measures
        end = self.end_ns
        tally = self.scheduler.tally
        pods = self.cluster.server.objects("Pod")
        settled = end - SETTLED_NS - self.prepared.latencies.watch.most_ns
        differences = self.auditor.differences(self.cluster.server, measures.last_writes.at_ns, settled)
        if not was_away(measures.recovery.faults, SCHEDULER, settled):
            differences += self._scheduler_differences(settled)
        differences += miscounted(self.scheduler.snapshot)
        measures.invariants.finish(pods, self.driver.pods, differences)
        measured = measures.metrics(end)
        metrics: dict[str, Any] = {
            "durationSeconds": end / 1e9,
            "placement": measured.pop("placement"),
            "scheduling": {
                "decisions": tally.decisions,
                "unschedulableAttempts": tally.unschedulable,
                "cycles": tally.cycles,
                "batch": self.scheduler.batch_size,
            },
            **measured,
        }
        if not self.clock.wall:
            falls = run_waterfalls(loaded, self.seed, measures.journal, measures.recovery, metrics, end)
            metrics |= {"waterfalls": falls} if falls else {}
        broken = list(measures.invariants.broken)
        if measures.placement.beaten:
            broken.append(measures.placement.beaten)
        lost = [] if self.clock.wall else self.cluster.lost_actors
        decided = tally.decisions + tally.unschedulable
        return Result(
            scenario=loaded.scenario.metadata.name,
            scheduler=scheduler,
            scheduler_version=full_name(loaded, scheduler),
            seed=self.seed,
            digest="" if self.clock.wall or self._ended_by_deadline() or lost else measures.journal.digest(),
            metrics=metrics,
            broken=broken,
            component_faults=list(self.cluster.component_faults),
            refused=self.driver.refused[:10],
            lost_actors=list(lost),
            measures_failed=[item.broken for item in measures.extras if item.broken],
            violations=list(tally.violations),
            tracebacks=dict(tally.tracebacks),
            timing={
                "decidingSeconds": tally.deciding_s,
                "decisionMicroseconds": tally.deciding_s / decided * 1e6 if decided else 0.0,
                "boundSeconds": measures.placement.bound_seconds,
            },
            missed=failed_gates(loaded, metrics),
            versions=versions(),
            variables=loaded.chosen,
            notices=[
                *self.prepared.notices,
                *unfitted(loaded, scheduler, self.strategy),
                *faults_without_effect(measures.recovery),
                *faults_refused(measures.recovery),
                *faults_short_of_targets(measures.recovery),
                *unfound(loaded, measures.jobs),
            ],
            accounts=measures.placement.occupancy.accounts(end),
        )

    def _ended_by_deadline(self) -> bool:
        """Whether a call of a strategy or an autoscaling policy was: when, depends on the machine."""
        components = (*self.cluster.components.values(), *self.prepared.scheduling.filters)
        guards = (self.scheduler.guard, *((self._round_guard,) if self._round_guard is not None else ()))
        return any(guard.overruns for guard in guards) or any(getattr(item, "overruns", 0) for item in components)

    def _scheduler_differences(self, settled: Instant) -> list[str]:
        """Where the scheduler's snapshot has a pod elsewhere than the store, of those not written since `settled`."""
        snapshot, written_ns = self.scheduler.snapshot, self.measures.last_writes.at_ns
        pods = self.cluster.server.objects("Pod")
        out = []
        for key, pod in sorted(pods.items()):
            if written_ns[("Pod", key)] > settled or pod.status.phase in ("Succeeded", "Failed"):
                continue
            node = snapshot.where(key)
            believed = "" if node is None else snapshot.node_table.names[node]
            if believed != pod.spec.node_name and pod.spec.node_name in snapshot.node_table.index:
                out.append(f"the scheduler has {key} on {believed or 'no node'}, the store on {pod.spec.node_name}")
        gone = sorted(snapshot.placements.node_of.keys() - pods.keys())
        return out + [
            f"the scheduler has {key} on a node, the store has no such pod"
            for key in gone
            if written_ns[("Pod", key)] <= settled
        ]

    def end_state(self) -> EndState | None:
        """Whether the cluster has converged; the last that is asked of a run, as the cluster may go on meanwhile, and
        neither journal nor notes take that down. None: there were no faults."""
        if not self.prepared.faults:
            return None
        from harness.experiment.end_state import end_state  # the checkers, which most runs do not need

        self.cluster.server.listeners.remove(self.measures.journal.written)
        self.cluster.api.observers.remove(self.measures.journal.observed)
        rows, pods = (len(self.notes.rows), len(self.notes.pods)) if self.notes is not None else (0, 0)
        found = end_state(self.prepared, self.cluster, self.end_ns, wall=self.clock.wall)
        if self.notes is not None:
            del self.notes.rows[rows:], self.notes.pods[pods:]
        return found

    def close(self) -> None:
        self.cluster.close()
