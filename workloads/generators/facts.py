"""What `openb_like` knows of a trace: its marginals, and how they are measured, so that anyone can measure again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from workloads.table import DEVICE_MILLI, FOREVER, Int64, NodeTable, Workload

MIB = 1 << 20

PERMILLE = (0, 5, 10, 25, *range(50, 951, 50), 975, 990, 995, 1000)
"""Where quantiles are kept, in thousandths."""

KINDS = ("cpu", "share", "one", "several")
"""Task types: no GPU, a share of one, one whole GPU, more than one."""

RARE = 8
"""Requests seen less often are counted with the most common one of the same GPUs."""


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """`count` tasks ask for the same."""

    count: int
    gpu_count: int
    gpu_milli: int
    cpu_milli: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class NodeShape:
    """`count` nodes are the same."""

    count: int
    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_model: str


@dataclass(frozen=True, slots=True)
class Facts:
    """`lifetimes_ms`: by task type (KINDS), the quantiles of PERMILLE. `gaps_ms`: of the time between arrivals.

    `models`: (count, accepted models) of tasks with GPUs that name their models.
    """

    source: str
    requests: tuple[TaskRequest, ...]
    nodes: tuple[NodeShape, ...]
    lifetimes_ms: tuple[tuple[int, ...], ...]
    gaps_ms: tuple[int, ...]
    models: tuple[tuple[int, tuple[str, ...]], ...]


def measured(workload: Workload, nodes: NodeTable, models: Workload, source: str, *, busy_from_ns: int = 0) -> Facts:
    """The facts of a trace; `models` is a variant of it whose tasks name their GPU models.

    Gaps count from `busy_from_ns` on: before it a trace may hold only what was there when it began.
    """
    arrivals = np.sort(workload.arrival_ns[workload.arrival_ns >= busy_from_ns])
    kind = task_kinds(workload)
    return Facts(
        source,
        _requests(workload),
        _nodes(nodes),
        tuple(
            _quantiles(workload.duration_ns[(kind == code) & (workload.duration_ns != FOREVER)])
            for code in range(len(KINDS))
        ),
        _quantiles(np.diff(arrivals)),
        _models(models),
    )


def task_kinds(workload: Workload) -> Int64:
    """Index into KINDS, int64 [n]."""
    shared = np.where(workload.gpu_milli < DEVICE_MILLI, 1, 2)
    kind = np.where(workload.gpu_count == 0, 0, np.where(workload.gpu_count == 1, shared, 3))
    return kind.astype(np.int64)


def _quantiles(values_ns: Int64) -> tuple[int, ...]:
    """Order statistics, in whole ms: exact, no interpolation."""
    ordered = np.sort(values_ns) // 10**6
    last = len(ordered) - 1
    return tuple(int(ordered[last * permille // 1000]) for permille in PERMILLE)


def _requests(workload: Workload) -> tuple[TaskRequest, ...]:
    columns = (workload.gpu_count, workload.gpu_milli, workload.cpu_milli, workload.memory_bytes // MIB)
    seen = Counter(zip(*(column.tolist() for column in columns), strict=True))
    by_size = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    common: dict[tuple[int, int], tuple[int, int, int, int]] = {}
    kept: Counter[tuple[int, int, int, int]] = Counter()
    for shape, count in by_size:
        first = common.setdefault(shape[:2], shape)
        kept[shape if count >= RARE or first == shape else first] += count
    ordered = sorted(kept.items(), key=lambda item: (-item[1], item[0]))
    return tuple(TaskRequest(count, *shape) for shape, count in ordered)


def _nodes(nodes: NodeTable) -> tuple[NodeShape, ...]:
    models = [nodes.gpu_model[row] for row in range(len(nodes))]
    columns = (nodes.cpu_milli.tolist(), (nodes.memory_bytes // MIB).tolist(), nodes.gpu_count.tolist(), models)
    seen = Counter(zip(*columns, strict=True))
    return tuple(
        NodeShape(count, *shape) for shape, count in sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    )


def _models(workload: Workload) -> tuple[tuple[int, tuple[str, ...]], ...]:
    counts = np.bincount(workload.gpu_models.codes, minlength=len(workload.gpu_models.values)).tolist()
    found: Counter[tuple[str, ...]] = Counter()
    for count, models in zip(counts, workload.gpu_models.values, strict=True):
        # A trace may repeat a model in a list; drawn tasks name each once.
        found[tuple(dict.fromkeys(models))] += count if models else 0
    return tuple(
        sorted(((count, models) for models, count in found.items() if count), key=lambda item: (-item[0], item[1]))
    )
