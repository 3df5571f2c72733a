"""Cell compaction of a scenario: on how few of its nodes each strategy still places the load."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.experiment.nodes import machines
from harness.experiment.prepared import filter_plugins
from harness.experiment.scenario import LoadedScenario
from harness.experiment.strategy_fit import fit_strategy, history_for
from harness.experiment.workload import PlannedWorkload, plan
from harness.measure.bound import Bound, Nodes, Pods, aggregate, nodes_needed
from harness.measure.compaction import PENDING_SHARE, Compaction, Int64, cell_compaction
from harness.model.core import Pod
from harness.model.errors import UserError
from harness.model.objects import Deployment, Job, ReplicaSet
from harness.model.times import parse_duration
from harness.scheduling.cycle import watched_objects
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import fill
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.registry import load
from harness.scheduling.sandbox.guard import DEADLINE_S
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import CPU, PodView
from workloads.manifests import DURATION

WINDOW = 64
"""Pods handed over at once where a strategy names no batch size."""


@dataclass(frozen=True, slots=True)
class Row:
    """`found`: nodes kept, by order of removal. `needed`: nodes that any scheduler needs, however it chooses them."""

    scheduler: str
    pods: int
    found: Compaction
    needed: Bound | None
    seconds: float

    def to_data(self) -> dict[str, Any]:
        kept = self.found.kept
        return {
            "scheduler": self.scheduler,
            "pods": self.pods,
            "nodes": self.found.nodes,
            "kept": list(kept),
            "keptMedian": float(np.median(kept)) if kept else None,
            "kept90": self.found.percentile_90 if kept else None,
            "removable": self.found.removable if kept else None,
            "provenNodesNeeded": None if self.needed is None else self.needed.value,
            "seconds": round(self.seconds, 1),
        }


class Cell:
    """The nodes of a scenario, and the load that stands at its busiest instant.

    Pods that end count from their arrival for as long as they declare; those of a service with the replicas that it
    starts with. `percent`: only as many of them, in order of arrival, as ask for so much of the nodes' GPUs (of their
    CPU where there are none).
    """

    def __init__(self, loaded: LoadedScenario, seed: int, percent: int | None = None) -> None:
        for index, task in enumerate(loaded.scenario.spec.workload):
            if task.dump:
                expected = "nodes and a workload that is placed from nothing"
                raise loaded.error(f"spec.workload[{index}].dump", "a dump is not packed anew", expected=expected)
        there = machines(loaded, seed)
        self.made: PlannedWorkload = plan(loaded, there.tables, seed)
        self.classes = PodClasses(filters=filter_plugins(loaded, DEADLINE_S))
        self.columns = [node_columns(node) for node in there.nodes]
        self.whole = self.snapshot(np.arange(len(self.columns), dtype=np.int64))
        tasks = [(at, pod) for at, obj in self.made.stream() for pod in self._pods(obj)]
        if not tasks:
            raise UserError("this scenario has no pods to pack", file=loaded.file)
        standing = _busiest([(at, _ends(at, pod), self.classes.view(pod)) for at, pod in tasks])
        self.pods = standing if percent is None else self._first(standing, percent)

    def _pods(self, obj: Any) -> list[Pod]:
        if isinstance(obj, Pod):
            return [obj]
        if isinstance(obj, Deployment | ReplicaSet | Job):
            template, count = obj.spec.template, 1
            if not isinstance(obj, Job):
                count = 1 if obj.spec.replicas is None else obj.spec.replicas
            meta = template.metadata
            return [
                Pod(
                    metadata=type(meta)(
                        name=f"{obj.metadata.name}-{at}",
                        namespace=obj.metadata.namespace or "default",
                        labels=meta.labels,
                        annotations=meta.annotations,
                    ),
                    spec=template.spec,
                )
                for at in range(count)
            ]
        watched_objects.observe(self.classes, obj)
        return []

    def _first(self, pods: list[PodView], percent: int) -> list[PodView]:
        whole = int(self.whole.gpu_capacity.sum())
        asked = [pod.gpu.total_milli if whole else int(pod.requests[CPU]) for pod in pods]
        room = (whole or int(self.whole.capacity[CPU].sum())) * percent // 100
        return pods[: int(np.searchsorted(np.cumsum(asked), room, side="right"))]

    def snapshot(self, nodes: Int64) -> Snapshot:
        """Of these nodes alone, empty."""
        on = Snapshot(self.classes)
        for node in nodes.tolist():
            on.add_node(**self.columns[node])
        return on

    def fits(self, scheduler: str, seed: int) -> Callable[[Int64], bool]:
        """Whether a fresh strategy places the load, but for the 0.2 % of the pods that the paper lets wait."""
        make = load(scheduler)
        least = len(self.pods) - int(PENDING_SHARE * len(self.pods))

        def packed(nodes: Int64) -> bool:
            strategy = make()
            fit_strategy(strategy, history_for(strategy, self.made))
            window = int(getattr(strategy, "batch_size", WINDOW))
            done = fill(strategy, self.snapshot(nodes), self.pods, seed, window)
            if done.violations:
                pod, why = done.violations[0]
                raise UserError(f"{scheduler} decided what is not legal", found=f"{pod}: {why}")
            return done.placed >= least

        return packed

    def needed(self) -> Bound:
        """A lower bound on the nodes that it takes, chosen freely; affinity and spreading left aside."""
        on = self.whole
        models = [on.gpu_models[model] if model >= 0 else "" for model in on.gpu_model.tolist()]
        views = [self.classes.current(pod) for pod in self.pods]
        return nodes_needed(
            aggregate(
                Nodes(np.array(on.capacity), np.array(on.gpu_capacity), models),
                Pods(
                    np.array([pod.requests for pod in views]).T,
                    np.array([pod.gpu.count for pod in views]),
                    np.array([pod.gpu.milli for pod in views]),
                    [pod.gpu.models for pod in views],
                ),
            )
        )


def compact(
    cell: Cell,
    schedulers: Sequence[str],
    *,
    seed: int,
    trials: int,
    bound: bool = True,
    told: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """A row a strategy, all over the same orders of removal. Raises UserError."""
    needed = cell.needed() if bound else None
    rows = []
    for scheduler in schedulers:
        began = time.perf_counter()
        found = cell_compaction(len(cell.columns), cell.fits(scheduler, seed), seed=seed, trials=trials)
        rows.append(Row(scheduler, len(cell.pods), found, needed, time.perf_counter() - began))
        told(f"{scheduler}: {rows[-1].seconds:.1f} s")
    return rows


def _ends(at: int, pod: Pod) -> int | None:
    text = pod.metadata.annotations.get(DURATION)
    return None if text is None else at + parse_duration(text)


def _busiest(tasks: Sequence[tuple[int, int | None, PodView]]) -> list[PodView]:
    """Those that stand, in order of arrival, when most GPU is asked for (most CPU where nobody asks for GPU)."""
    gpu = any(view.gpu.count for _, _, view in tasks)
    amount = [view.gpu.total_milli if gpu else int(view.requests[CPU]) for _, _, view in tasks]
    changes = [(at, 1, amount[i]) for i, (at, _, _) in enumerate(tasks)]
    changes += [(end, 0, -amount[i]) for i, (_, end, _) in enumerate(tasks) if end is not None]
    best = now = 0
    when = tasks[0][0]
    for at, _, change in sorted(changes):
        now += change
        if now > best:
            best, when = now, at
    return [
        view for at, end, view in sorted(tasks, key=lambda task: task[0]) if at <= when and (end is None or end > when)
    ]
