"""The same ranker compiled by Numba, for training alone: tens of times as many decisions a second, the same ones.

Whole numbers throughout, so that each pod goes where the strategy itself would put it; a test holds the two together.
CPU, memory, devices and models are looked at; training lists have no other constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from harness.model.fragmentation import Fragmentation
from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.offline import snapshot_of_nodes
from harness.scheduling.strategy import CPU, MEMORY, Int64
from schedulers.ranked.features import NAMES, SURPLUS_MICRO, kind_of
from schedulers.ranked.lists import TrainingList
from schedulers.ranked.mix import RequestMix, count
from schedulers.ranked.waste import (
    CPU_STEP_MILLI,
    CPU_STEPS,
    DEVICE_STEP_MILLI,
    MEMORY_STEP_BYTES,
    MEMORY_STEPS,
    MICRO,
    POOL_STEP_MILLI,
    Waste,
)
from workloads.manifests import to_nodes, to_pods

_FEATURES = len(NAMES)

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Numba's njit, which keeps the signature."""
    return cast(F, numba.njit(function))


class Tables(NamedTuple):
    """What potentials are looked up in. `steps`, `marks`, `weight`, `total`: of Fragmentation. Waste: see there."""

    steps: Int64
    marks: Int64
    weight: Int64
    total: int
    device: Int64
    cpu: Int64
    memory: Int64
    picky_device: Int64
    picky_cpu: Int64
    picky_memory: Int64
    mix_cpu: int
    mix_gpu: int


class Pods(NamedTuple):
    """By class, int64: `cpu`, `memory`, `devices`, `milli`, `kind`, `accepts` [classes, models]. `order`: arrivals."""

    cpu: Int64
    memory: Int64
    devices: Int64
    milli: Int64
    kind: Int64
    accepts: Int64
    order: Int64


class ClusterArrays(NamedTuple):
    """`cpu`, `memory`, `model` [nodes], `idle` [nodes, devices], all empty; nodes in the order that breaks ties."""

    cpu: Int64
    memory: Int64
    model: Int64
    idle: Int64


@compiled
def _potentials(
    tables: Tables, cpu: int, memory: int, all_cpu: int, all_memory: int, idle: Int64, model: int, out: Int64
) -> None:
    """As `Features` has them, of one state, into `out` [features]."""
    out[1] = out[9] = 0
    cpu_step = min(cpu // CPU_STEP_MILLI, CPU_STEPS)
    memory_step = min(memory // MEMORY_STEP_BYTES, MEMORY_STEPS)
    total = unused = used = 0
    for milli in idle:
        total += milli
        if milli == DEVICE_MILLI:
            unused += 1
        elif milli:
            used += 1
        out[1] += tables.device[milli // DEVICE_STEP_MILLI, cpu_step]
        out[9] += tables.picky_device[milli // DEVICE_STEP_MILLI, cpu_step]
    fragment = total * tables.total
    if model >= 0 and total:
        bucket = 0
        while bucket < len(tables.steps) and tables.steps[bucket] <= cpu:
            bucket += 1
        for at in range(len(tables.marks)):
            reach = offer = 0
            for milli in idle:
                enough = int(milli >= tables.marks[at])
                reach += enough
                offer += enough * milli
            fragment -= tables.weight[bucket, model, at, reach] * offer
    pool = total // POOL_STEP_MILLI
    out[0] = fragment * 1000 // tables.total
    out[2] = tables.cpu[pool, cpu_step]
    out[3] = tables.memory[pool, memory_step]
    out[4] = max(cpu - total * tables.mix_cpu // tables.mix_gpu, 0) * SURPLUS_MICRO
    out[5] = total * total // 8
    out[6] = unused * MICRO
    out[7] = (cpu * 1000 // max(all_cpu, 1)) ** 2
    out[8] = (memory * 1000 // max(all_memory, 1)) ** 2
    out[10] = tables.picky_cpu[pool, cpu_step]
    out[11] = tables.picky_memory[pool, memory_step]
    out[12] = (total - unused * DEVICE_MILLI) * 1000
    out[13] = used * MICRO


@compiled
def _fits(pods: Pods, cls: int, cpu: int, memory: int, idle: Int64) -> bool:
    if cpu < pods.cpu[cls] or memory < pods.memory[cls]:
        return False
    devices = 0
    for milli in idle:
        if milli >= pods.milli[cls]:
            devices += 1
    return bool(devices >= pods.devices[cls])


@compiled
def _take(idle: Int64, count: int, milli: int) -> None:
    for at in range(len(idle)):
        if count and idle[at] >= milli:
            idle[at] -= milli
            count -= 1


@compiled
def _fill(weights: Int64, tables: Tables, pods: Pods, empty: ClusterArrays) -> tuple[Int64, Int64]:
    """(node, device) of each arrival, -1 for none."""
    nodes, classes = len(empty.cpu), len(pods.cpu)
    cpu, memory, idle = empty.cpu.copy(), empty.memory.copy(), empty.idle.copy()
    now = np.zeros((nodes, _FEATURES), np.int64)
    for node in range(nodes):
        _potentials(tables, cpu[node], memory[node], cpu[node], memory[node], idle[node], empty.model[node], now[node])
    then, after = np.zeros(_FEATURES, np.int64), np.zeros(idle.shape[1], np.int64)
    version = np.zeros(nodes, np.int64)
    seen = np.full((classes, nodes), -1, np.int64)
    score = np.zeros((classes, nodes), np.int64)
    device = np.full((classes, nodes), -1, np.int64)
    # What does not fit today never will: nothing leaves.
    left = np.zeros((classes, nodes), np.int64)
    many = np.zeros(classes, np.int64)
    for cls in range(classes):
        for node in range(nodes):
            model = empty.model[node]
            if not pods.devices[cls] or (model >= 0 and pods.accepts[cls, model]):
                left[cls, many[cls]] = node
                many[cls] += 1
    where, which = np.full(len(pods.order), -1, np.int64), np.full(len(pods.order), -1, np.int64)
    for arrival in range(len(pods.order)):
        cls = pods.order[arrival]
        wants, milli = pods.devices[cls], pods.milli[cls]
        share = wants == 1 and milli < DEVICE_MILLI
        mine = weights[pods.kind[cls]]
        best, kept = -1, 0
        for at in range(many[cls]):
            node = left[cls, at]
            if seen[cls, node] != version[node]:
                if not _fits(pods, cls, cpu[node], memory[node], idle[node]):
                    continue
                seen[cls, node] = version[node]
                top, top_device = np.iinfo(np.int64).min, -1
                for option in range(idle.shape[1] if share else 1):
                    after[:] = idle[node]
                    if share:
                        same = False  # as an earlier device, which goes first
                        for earlier in range(option):
                            same = same or after[earlier] == after[option]
                        if same or after[option] < milli:
                            continue
                        after[option] -= milli
                    else:
                        _take(after, wants, milli)
                    _potentials(
                        tables,
                        cpu[node] - pods.cpu[cls],
                        memory[node] - pods.memory[cls],
                        empty.cpu[node],
                        empty.memory[node],
                        after,
                        empty.model[node],
                        then,
                    )
                    value = 0
                    for feature in range(_FEATURES):
                        value += mine[feature] * (now[node, feature] - then[feature])
                    if value > top:
                        top, top_device = value, option if share else -1
                score[cls, node], device[cls, node] = top, top_device
            left[cls, kept] = node
            kept += 1
            if best < 0 or score[cls, node] > score[cls, best]:
                best = node
        many[cls] = kept
        if best < 0:
            continue
        where[arrival], which[arrival] = best, device[cls, best]
        cpu[best] -= pods.cpu[cls]
        memory[best] -= pods.memory[cls]
        if share:
            idle[best, which[arrival]] -= milli
        else:
            _take(idle[best], wants, milli)
        version[best] += 1
        _potentials(
            tables,
            cpu[best],
            memory[best],
            empty.cpu[best],
            empty.memory[best],
            idle[best],
            empty.model[best],
            now[best],
        )
    return where, which


@dataclass(frozen=True, slots=True, eq=False)
class CompiledList:
    """A training list, ready to be filled. `asked`: GPU milli of each arrival."""

    tables: Tables
    pods: Pods
    empty: ClusterArrays
    asked: Int64
    gpu_milli: int

    @classmethod
    def of(cls, made: TrainingList) -> CompiledList:
        snapshot = snapshot_of_nodes(to_nodes(made.nodes))
        mix = RequestMix.of(count(snapshot.classes.view(pod) for _, pod in to_pods(made.original)))
        assert mix is not None, "a training list without GPUs"
        width = snapshot.gpu_free.shape[1]
        fragments = Fragmentation(mix.typical, snapshot.gpu_models, width)
        waste = Waste.of(mix, width)
        tables = Tables(
            fragments.cpu_steps,
            fragments.thresholds,
            fragments.weight,
            fragments.total,
            waste.device,
            waste.cpu,
            waste.memory,
            waste.picky_device,
            waste.picky_cpu,
            waste.picky_memory,
            sum(r.cpu_milli * n for r, n in mix.wanted),
            sum(r.gpu_milli * n for r, n in mix.wanted),
        )
        views = [snapshot.classes.view(pod) for _, pod in to_pods(made.arrivals)]
        first = {view.cls.id: view for view in reversed(views)}
        known = {id: at for at, id in enumerate(sorted(first))}
        kinds = [first[id] for id in known]

        def column(values: Iterable[int]) -> Int64:
            return np.fromiter(values, np.int64)

        pods = Pods(
            column(view.cls.amounts[CPU] for view in kinds),
            column(view.cls.amounts[MEMORY] for view in kinds),
            column(view.gpu.count for view in kinds),
            column(view.gpu.milli if view.gpu.count else 0 for view in kinds),
            column(kind_of(view) for view in kinds),
            np.array(
                [[not v.gpu.models or model in v.gpu.models for model in snapshot.gpu_models] for v in kinds],
                dtype=np.int64,
            ),
            column(known[view.cls.id] for view in views),
        )
        # Columns in the order of ranks, so that the first of equals is the one of the lowest rank.
        by_rank = np.argsort(snapshot.rank)
        cluster = ClusterArrays(
            *(
                np.ascontiguousarray(x[by_rank])
                for x in (snapshot.free[CPU], snapshot.free[MEMORY], snapshot.gpu_model, snapshot.gpu_free)
            )
        )
        return cls(
            tables, pods, cluster, column(view.gpu.total_milli for view in views), int(snapshot.gpu_capacity.sum())
        )

    def fill(self, weights: Int64) -> tuple[Int64, Int64]:
        """(node by rank, device of a share) of each arrival, -1 for none; `weights` int64 [kinds, features]."""
        where, which = _fill(np.ascontiguousarray(weights), self.tables, self.pods, self.empty)
        return where, which

    def allocated_percent(self, weights: Int64, load_percents: Sequence[int]) -> list[float]:
        """GPU allocated, mean over the arrivals at each load, as the published cells are."""
        where, _ = self.fill(weights)
        arrived = np.rint(100 * np.cumsum(self.asked) / self.gpu_milli)
        allocated = np.cumsum(np.where(where >= 0, self.asked, 0))
        out = []
        for load in load_percents:
            there = allocated[arrived == load]
            if not len(there):  # a small cluster may go past it with one pod
                there = allocated[arrived < load][-1:]
            out.append(float(100 * there.mean() / self.gpu_milli))
        return out
