"""What a scenario would run, without running it: nodes, pods, runs, and roughly how long and in how much memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.engine.component import HOUR, SECOND
from harness.experiment.prepared import Prepared, prepare
from harness.experiment.strategies import load_strategy
from harness.experiment.strategy_fit import unfitted
from harness.experiment.sweep import Job
from harness.model.core import Pod
from harness.model.workloads import HorizontalPodAutoscaler

BASE_S = 0.3
POD_S = 0.0008
NODE_S = 0.0002
SCALED_HOUR_S = 0.5
BASE_MIB = 85.0
POD_MIB = 0.007
NODE_MIB = 0.008
"""CPU seconds and MiB of a run with `greedy`, its nodes in the same process, virtual time, without the bound: to begin
with, and for each pod, node, and hour of a load that an autoscaler follows. Measured in November 2026 on one core of a
cloud machine, with process_time and ru_maxrss: openb-like tasks, 500 on 100 nodes 0.34 s and 85 MiB, 3000 on 100 nodes
2.65 s and 106 MiB, 500 on 1000 nodes 0.49 s and 92 MiB; a service for 4 h 0.31 s and 96 MiB, with an autoscaler under a
diurnal load 2.2 s and 110 MiB. Good to a factor of three; a strategy that searches takes what it takes on top."""

ROUGHLY = "greedy on one core, nodes in the same process, without the bound; good to a factor of three"


@dataclass(frozen=True, slots=True)
class Size:
    """Of one run. `most_nodes`, `most_pods`: with all that autoscalers may add. `duration_s` None: until all ended."""

    nodes: int
    most_nodes: int
    pods: int
    most_pods: int
    faults: int
    duration_s: float | None
    seconds: float
    mib: float
    notices: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        return {
            "nodes": self.nodes,
            "mostNodes": self.most_nodes,
            "pods": self.pods,
            "mostPods": self.most_pods,
            "faults": self.faults,
            "durationSeconds": self.duration_s,
            "roughSeconds": round(self.seconds, 1),
            "roughMiB": round(self.mib),
        }


@dataclass(slots=True)
class Linted:
    """A size for each value of the variables and seed, in the order of the runs."""

    scenario: str
    schedulers: list[str]
    seeds: list[int]
    sizes: list[tuple[dict[str, str], int, Size]] = field(default_factory=list)

    @property
    def runs(self) -> int:
        return len(self.sizes) * len(self.schedulers)

    @property
    def notices(self) -> list[str]:
        return list(dict.fromkeys(note for _, _, size in self.sizes for note in size.notices))

    def to_data(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "schedulers": self.schedulers,
            "seeds": self.seeds,
            "runs": self.runs,
            "roughSeconds": round(sum(size.seconds for _, _, size in self.sizes) * len(self.schedulers), 1),
            "roughMiB": round(max(size.mib for _, _, size in self.sizes)),
            "roughly": ROUGHLY,
            "notices": self.notices,
            "of": [{"variables": chosen, "seed": seed, **size.to_data()} for chosen, seed, size in self.sizes],
        }


def lint(todo: Sequence[Job]) -> Linted:
    """Of the runs of a sweep; everything is read and resolved, nothing is run. Raises UserError as a run would."""
    names = list(dict.fromkeys(job.scheduler for job in todo))
    found = Linted(todo[0].loaded.scenario.metadata.name, names, list(dict.fromkeys(job.seed for job in todo)))
    for job in todo:
        if job.scheduler == names[0]:
            prepared = prepare(job.loaded, job.seed)
            size = size_of(prepared)
            learners = [(name, load_strategy(job.loaded, name)()) for name in names]
            told = [text for name, strategy in learners for text in unfitted(job.loaded, name, strategy)]
            size = replace(size, notices=(*size.notices, *told))
            found.sizes.append((dict(job.loaded.chosen), job.seed, size))
    return found


def size_of(prepared: Prepared) -> Size:
    plan = prepared.workload
    nodes = len(prepared.machines.nodes)
    nodes_least = nodes + sum(pool.least for pool in prepared.pools)
    nodes_most = nodes + sum(pool.most for pool in prepared.pools)
    objects = [*(obj for obj in plan.adopted if isinstance(obj, Pod)), *plan.created()]
    in_tables = sum(len(table) for table in plan.tables)
    pods = in_tables + sum(_pods(obj) for obj in objects)
    scalers = [obj for obj in objects if isinstance(obj, HorizontalPodAutoscaler)]
    targets = {
        (obj.metadata.namespace or "default", obj.spec.scale_target_ref.name): obj.spec.max_replicas for obj in scalers
    }
    more = sum(
        max(0, targets.get((obj.metadata.namespace or "default", obj.metadata.name), 0) - _pods(obj))
        for obj in objects
        if hasattr(getattr(obj, "spec", None), "replicas")
    )
    hours = (prepared.duration_ns or 0) / HOUR
    scaled = SCALED_HOUR_S * hours * len(scalers)
    return Size(
        nodes=nodes_least,
        most_nodes=nodes_most,
        pods=pods,
        most_pods=pods + more,
        faults=len(prepared.faults),
        duration_s=None if prepared.duration_ns is None else prepared.duration_ns / SECOND,
        seconds=BASE_S + POD_S * (pods + more) + NODE_S * nodes_most + scaled,
        mib=BASE_MIB + POD_MIB * (pods + more) + NODE_MIB * nodes_most,
        notices=prepared.notices,
    )


def _pods(obj: Any) -> int:
    """That an object of the workload is, or makes to begin with."""
    if isinstance(obj, Pod):
        return 1
    spec = getattr(obj, "spec", None)
    if not hasattr(spec, "template"):
        return 0
    for name in ("replicas", "completions", "parallelism"):
        count = getattr(spec, name, None)
        if count is not None:
            return int(count)
    return 1
