"""The folds over a run's journal, set up for what its scenario asks, and the metrics that they come to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from harness.engine.component import Instant
from harness.experiment.audit import LastWrites
from harness.experiment.prepared import Prepared
from harness.experiment.workload import SETTLE_NS
from harness.faults.apply import Apply
from harness.measure.accounting import DIMENSIONS
from harness.measure.demand import Demand
from harness.measure.elasticity import Elasticity, Target
from harness.measure.energy import Energy
from harness.measure.fairness import Hold
from harness.measure.filling import Filling
from harness.measure.invariants import Invariants
from harness.measure.job_lives import JobLives, job_columns
from harness.measure.job_metrics import job_metrics
from harness.measure.journal import Fold, Journal
from harness.measure.node_hours import Prices
from harness.measure.placement import Placement, typical_of
from harness.measure.pods import PodLives
from harness.measure.recovery import Recovery
from harness.measure.registry import PREFIX, Contained, Extra, extras
from harness.measure.rounds import Rounds
from harness.measure.traffic import Traffic
from harness.measure.vertical import VerticalScaling
from harness.model.gpu import GPU_COUNT, GPU_MODEL
from harness.model.karpenter import NodePool
from harness.model.power import POWER_MODEL
from harness.model.vertical import VerticalPodAutoscaler


class Measures:
    """`demand`: told up to the first arrival, at least. `now`: the instant of what is being written. `others`: folds
    that somebody else reads."""

    def __init__(
        self,
        prepared: Prepared,
        demand: Demand,
        jobs: JobLives,
        now: Callable[[], Instant],
        others: Iterable[Fold] = (),
    ) -> None:
        self.extras = [
            Contained(item) for item in extras(prepared.loaded.scenario.spec.measures) if isinstance(item, Extra)
        ]
        self._bound = prepared.loaded.scenario.spec.bound
        self.lives = PodLives()
        self.jobs = jobs
        self._demand = demand
        clients = prepared.workload.traffic
        self.traffic = Traffic(
            {item.service: item.model for item in clients}, {item.service: item.warm_up_ns for item in clients}
        )
        self.placement = placement_of(prepared, self.lives, demand)
        fills = [
            task.trace is not None and task.trace.mode == "fill" for task in prepared.loaded.scenario.spec.workload
        ]
        self.filling = Filling(self.placement.occupancy) if fills and all(fills) else None
        training = prepared.workload.training
        self.rounds = None if training is None else Rounds(training.jobs, training.speeds, len(prepared.gpus()))
        told = bool(prepared.machines.powers) or any(
            POWER_MODEL in obj.spec.template.metadata.labels
            for obj in prepared.workload.objects()
            if isinstance(obj, NodePool)
        )
        self.energy = Energy(prepared.machines.powers, told=told)
        self.recovery = Recovery(self.lives, self.traffic)
        self.elasticity = Elasticity(
            elastic_targets(prepared), [pool.name for pool in prepared.pools], _prices(prepared)
        )
        self.vertical = VerticalScaling() if has_vertical_scaling(prepared) else None
        self.invariants = Invariants(self.lives, self.placement.occupancy)
        self.last_writes = LastWrites()
        self.journal = Journal(
            now,
            (
                self.lives,
                self.jobs,
                *self.placement.folds,
                *((self.filling,) if self.filling is not None else ()),
                *((self.rounds,) if self.rounds is not None else ()),
                self.traffic,
                *((self.energy,) if told else ()),
                self.recovery,
                self.elasticity,
                *((self.vertical,) if self.vertical is not None else ()),
                self.invariants,
                self.last_writes,
                *self.extras,
                *others,
            ),
        )

    def metrics(self, end: Instant) -> dict[str, Any]:
        """By family; those that the scenario has nothing of are left out."""
        out: dict[str, Any] = {
            "placement": self.placement.metrics(end, bound=self._bound, clock=time.perf_counter),
        }
        if self.filling is not None:
            out["filling"] = self.filling.metrics()
        since = min(self.placement.occupancy.since_ns or 0, end)
        energy = self.energy.metrics(self.lives.all, since, end)
        if energy:
            out["energy"] = energy
        if self.rounds is not None:
            out["jobs"] = self.rounds.metrics(max(0.0, (end - SETTLE_NS) / 1e9))
            out["jobs"] |= self.rounds.work_hours(self.lives.all.values(), SETTLE_NS)
        else:
            out |= self._job_metrics(end)
        if self.elasticity.seen:
            out["autoscaling"] = self.elasticity.metrics(end)
        if self.vertical is not None:
            out["vertical"] = self.vertical.metrics(end)
        if self.traffic.services:
            out["requests"] = self.traffic.metrics(end)
        if self.recovery.faults:
            out["recovery"] = self.recovery.metrics(end)
        found = {item.path.removeprefix(PREFIX): item.value(end) for item in self.extras}
        if found:
            out["extra"] = {name: value for name, value in found.items() if value is not None}
        return out

    def _job_metrics(self, end: Instant) -> dict[str, Any]:
        occupancy, accounts = self.placement.occupancy, self.jobs.account_of
        holds = [
            (accounts[uid], Hold(life.bound_ns, life.ended_ns, life.cpu_milli, life.memory_bytes, life.gpu_milli))
            for uid, life in self.lives.all.items()
        ]
        since = min(occupancy.since_ns or 0, end)
        rows = self.jobs.rows(self.lives.all, end)
        return job_metrics(rows, holds, occupancy.steps, self._demand.capacity, since, end)

    def pod_columns(self) -> dict[str, Any]:
        """One row a pod: its life, and whose it was."""
        accounts = [self.jobs.account_of[uid] for uid in self.lives.all]
        columns: dict[str, Any] = self.lives.columns()
        return columns | {name: [account[at] for account in accounts] for at, name in enumerate(DIMENSIONS)}

    def job_columns(self, end: Instant) -> dict[str, Any]:
        """One row a job; empty where there are none, and of training jobs, which the rounds' measures are about."""
        rows = self.jobs.rows(self.lives.all, end) if self.rounds is None else []
        return job_columns(rows) if rows else {}

    def node_columns(self) -> dict[str, Any]:
        """Capacity and use of each node at the end, for the record."""
        occupancy = self.placement.occupancy
        capacity = np.array(occupancy.capacity, dtype=np.int64).reshape(-1, 4)
        used = np.array(occupancy.used, dtype=np.int64).reshape(-1, 4)
        out: dict[str, Any] = {"name": occupancy.names}
        for index, name in enumerate(("cpu_milli", "memory_bytes", "gpu_milli", "pods")):
            out[f"{name}_capacity"] = capacity[:, index]
            out[f"{name}_used"] = used[:, index]
        return out


def has_vertical_scaling(prepared: Prepared) -> bool:
    """Whether the scenario has VerticalPodAutoscalers, from the beginning or among its faults."""
    if any(isinstance(obj, VerticalPodAutoscaler) for obj in prepared.workload.objects()):
        return True
    kind = VerticalPodAutoscaler.__name__
    return any(isinstance(item.fault, Apply) and kind in item.fault.watches for item in prepared.faults)


def placement_of(prepared: Prepared, lives: PodLives, demand: Demand) -> Placement:
    """The measures of placement of a scenario, as yet without a pod."""
    asked = [
        item
        for table in prepared.workload.originals
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
    for table in prepared.machines.tables:
        width = max(width, int(table.gpu_count.max(initial=0)))
        models.update((table.gpu_model[row], None) for row in range(len(table)) if table.gpu_count[row])
    for pool in prepared.pools:  # whose nodes are not there yet
        devices = pool.template.status.allocatable.get(GPU_COUNT)
        if devices is not None and devices.milli:
            width = max(width, devices.milli // 1000)
            models[pool.template.metadata.labels.get(GPU_MODEL, "")] = None
    typical = typical_of(asked) if asked and width else None
    return Placement(lives, typical, tuple(models), width, demand)


def elastic_targets(prepared: Prepared) -> tuple[Target, ...]:
    scaled = {
        f"default/{task.service.name}"
        for task in prepared.loaded.scenario.spec.workload
        if task.service is not None and task.service.autoscaler is not None
    }
    return tuple(
        Target(item.service, item.curve, item.model, item.service in scaled, item.warm_up_ns)
        for item in prepared.workload.traffic
    )


def _prices(prepared: Prepared) -> Prices:
    pools = prepared.loaded.scenario.spec.pools
    priced = {pool.name: pool.price for pool in pools if pool.price is not None}
    return Prices(priced, prepared.machines.prices, prepared.catalogue.price_of)
