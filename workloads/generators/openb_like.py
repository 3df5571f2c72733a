"""Pods and nodes like those of the openb trace, of any number, from its marginals alone: needs no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.model.errors import UserError
from workloads.generators import exact
from workloads.generators.facts import KINDS, MIB, PERMILLE, Facts, task_kinds
from workloads.generators.openb_facts import OPENB
from workloads.generators.streams import streams
from workloads.table import FOREVER, Int64, NodeTable, Provenance, Workload

DAY_NS = 86_400 * 10**9


# size: each parameter is a knob of the generator with a default, given by name.
def openb_like(
    pods: int,
    nodes: int,
    seed: int,
    *,
    cpu_nodes: bool = True,
    load_percent: int | None = None,
    span_ns: int | None = None,
    longest_ns: int = DAY_NS,
    constrained_percent: int = 0,
    zones: int = 0,
    pods_per_node: int = 1001,
    facts: Facts = OPENB,
) -> tuple[Workload, NodeTable]:
    """`pods` tasks and `nodes` nodes.

    Tasks: task type, GPU share, CPU and memory drawn together; lifetimes by task type, at most `longest_ns`; gaps
    between arrivals as in the trace, for a cluster of this size; or all stretched alike, so that what runs asks for
    `load_percent` of the GPUs on average while pods arrive, or so that the last pod arrives at `span_ns`.
    `constrained_percent` of the tasks with GPUs name the models they accept (33 in production, by the paper's section
    6.5). Nodes: the trace's mix as near as `nodes` allows, in random order; without `cpu_nodes` only those with GPUs;
    dealt to `zones` zones in turn. Raises UserError for what cannot be.
    """
    for what, value, least in (
        ("pods", pods, 1),
        ("nodes", nodes, 1),
        ("zones", zones, 0),
        ("longest_ns", longest_ns, 1),
        ("span_ns", 0 if span_ns is None else span_ns, 0),
        ("load_percent", 1 if load_percent is None else load_percent, 1),
    ):
        if value < least:
            raise UserError(f"{what}: too small", found=value, expected=f"at least {least}")
    if load_percent is not None and span_ns is not None:
        raise UserError(
            "openb_like: both load_percent and span_ns set the pace",
            found=f"load_percent {load_percent}, span_ns {span_ns}",
            expected="one of them",
        )
    stream = streams(seed)
    table = _nodes(facts, nodes, cpu_nodes, pods_per_node, stream("openb-like/nodes"))
    if zones:
        table = table.in_zones(zones)
    workload = _tasks(facts, pods, stream("openb-like/requests"))
    models = _models(facts, workload, constrained_percent, stream("openb-like/models"))
    duration = np.minimum(_lifetimes(facts, workload, stream("openb-like/lifetimes")), longest_ns)
    gaps_ms = _drawn(facts.gaps_ms, stream("openb-like/gaps").random(pods))
    arrival = (np.cumsum(gaps_ms) - gaps_ms[0]) * 10**6
    if load_percent is not None:
        arrival = at_load(arrival, duration, workload.gpu_total_milli, table.gpu_total_milli * load_percent // 100)
    elif span_ns is not None:
        arrival = over(arrival, span_ns)
    else:
        arrival = _for_nodes(arrival, sum(shape.count for shape in facts.nodes), nodes)
    made = Workload.of(
        workload.name,
        arrival_ns=arrival,
        duration_ns=duration,
        cpu_milli=workload.cpu_milli,
        memory_bytes=workload.memory_bytes,
        gpu_count=workload.gpu_count,
        gpu_milli=workload.gpu_milli,
        gpu_models=models,
        provenance=Provenance(f"drawn from the marginals of {facts.source}", citation=CITATION),
    )
    return made, table


def _for_nodes(arrival_ns: Int64, traced: int, nodes: int) -> Int64:
    """The trace's own pace for a cluster of another size."""
    last = int(arrival_ns[-1]) * traced // nodes
    if last >= 1 << 62:
        raise UserError(
            f"openb_like: {len(arrival_ns)} pods at the trace's pace for {nodes} nodes take over a century",
            hint="load_percent says how busy the cluster is to be, and sets the pace",
        )
    whole, rest = np.divmod(arrival_ns, nodes)
    stretched: Int64 = whole * traced + rest * traced // nodes
    return stretched


CITATION = "Weng et al., Beware of Fragmentation, USENIX ATC 2023"


def _drawn(quantiles: Sequence[int], uniform: exact.Float64) -> Int64:
    """Inverse of a distribution function given by its quantiles at PERMILLE, geometric between them; whole ms."""
    at = np.array(PERMILLE) / 1000.0
    value = exact.log(np.array(quantiles) + 1.0)
    right = np.clip(np.searchsorted(at, uniform, side="right"), 1, len(at) - 1)
    left = right - 1
    share = (uniform - at[left]) / (at[right] - at[left])
    drawn = exact.exp(value[left] + share * (value[right] - value[left])) - 1.0
    # Midway between two whole numbers a last bit could decide; the grid is moved so that none lies on one.
    return np.floor(drawn + 0.499_999).astype(np.int64)


def _pick(counts: Sequence[int], rows: int, rng: np.random.Generator) -> Int64:
    """Indices drawn in proportion to whole counts."""
    bounds = np.cumsum(np.array(counts, dtype=np.int64))
    return np.searchsorted(bounds, rng.integers(0, bounds[-1], rows), side="right").astype(np.int64)


def _tasks(facts: Facts, pods: int, rng: np.random.Generator) -> Workload:
    kind = _pick([request.count for request in facts.requests], pods, rng)

    def column(values: Sequence[int]) -> Int64:
        return np.array(values, dtype=np.int64)[kind]

    requests = facts.requests
    return Workload.of(
        [f"task-{row:06d}" for row in range(pods)],
        cpu_milli=column([request.cpu_milli for request in requests]),
        memory_bytes=column([request.memory_mib * MIB for request in requests]),
        gpu_count=column([request.gpu_count for request in requests]),
        gpu_milli=column([request.gpu_milli for request in requests]),
    )


def _lifetimes(facts: Facts, workload: Workload, rng: np.random.Generator) -> Int64:
    uniform = rng.random(len(workload))
    kind = task_kinds(workload)
    out = np.zeros(len(workload), dtype=np.int64)
    for code in range(len(KINDS)):
        these = kind == code
        out[these] = _drawn(facts.lifetimes_ms[code], uniform[these])
    return out * 10**6


def _models(facts: Facts, workload: Workload, percent: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    named = (rng.integers(0, 100, len(workload)) < percent) & (workload.gpu_count > 0)
    which = _pick([count for count, _ in facts.models], len(workload), rng).tolist()
    return [facts.models[at][1] if chosen else () for at, chosen in zip(which, named.tolist(), strict=True)]


def _nodes(facts: Facts, nodes: int, cpu_nodes: bool, pods_per_node: int, rng: np.random.Generator) -> NodeTable:
    shapes = [shape for shape in facts.nodes if cpu_nodes or shape.gpu_count]
    counts = apportioned([shape.count for shape in shapes], nodes)
    kind = np.repeat(np.arange(len(shapes)), counts)[rng.permutation(nodes)]
    return NodeTable.of(
        [f"node-{row:05d}" for row in range(nodes)],
        cpu_milli=np.array([shape.cpu_milli for shape in shapes])[kind],
        memory_bytes=np.array([shape.memory_mib * MIB for shape in shapes])[kind],
        pods=pods_per_node,
        gpu_count=np.array([shape.gpu_count for shape in shapes])[kind],
        gpu_model=[shapes[at].gpu_model for at in kind.tolist()],
        provenance=Provenance(f"the node mix of {facts.source}", citation=CITATION),
    )


def apportioned(counts: Sequence[int], seats: int) -> list[int]:
    """Whole shares of `seats` in proportion to `counts`: largest remainder, ties to the earlier."""
    total = sum(counts)
    shares = [count * seats // total for count in counts]
    order = sorted(range(len(counts)), key=lambda at: (-(counts[at] * seats % total), at))
    for at in order[: seats - sum(shares)]:
        shares[at] += 1
    return shares


def mean_demand(arrival_ns: Int64, duration_ns: Int64, amount: Int64) -> int:
    """What pods would hold on average between the first and the last arrival, if each started as it arrived."""
    span = int(arrival_ns[-1] - arrival_ns[0]) if len(arrival_ns) else 0
    if not span:
        return int(amount.sum())
    left = arrival_ns[-1] - arrival_ns
    held = np.where(duration_ns == FOREVER, left, np.minimum(duration_ns, left))
    # In microseconds and Python's integers at the end: ns times milli would leave int64.
    total: int = sum((held // 1000 * amount // 1000).tolist())
    return total * 10**6 // span


def at_load(arrival_ns: Int64, duration_ns: Int64, amount: Int64, target: int) -> Int64:
    """Arrivals stretched or squeezed, evenly, so that `mean_demand` comes to `target`, as near as it can."""
    if len(arrival_ns) < 2 or not int(amount.sum()) or target <= 0 or not int(arrival_ns[-1]):
        return arrival_ns
    # Demand falls as the span grows: bisection over the span, in whole ms.
    low, high = 1, max(1, 2 * int(sum((duration_ns // 10**6 * amount).tolist())) // target)
    position = arrival_ns / float(arrival_ns[-1])

    def spread(span_ms: int) -> Int64:
        return np.floor(position * span_ms).astype(np.int64) * 10**6

    while low < high:
        middle = (low + high) // 2
        if mean_demand(spread(middle), duration_ns, amount) > target:
            low = middle + 1
        else:
            high = middle
    return spread(low)


def over(arrival_ns: Int64, span_ns: int) -> Int64:
    """Ascending arrivals from 0 on, stretched or squeezed so that the last one is at `span_ns`; whole us."""
    last = int(arrival_ns[-1]) if len(arrival_ns) else 0
    if not last:
        return arrival_ns
    return np.floor(arrival_ns / float(last) * (span_ns // 1000)).astype(np.int64) * 1000


def named(workload: Workload, prefix: str) -> Workload:
    """The same with other names, for two workloads in one run."""
    return replace(workload, name=[f"{prefix}-{name}" for name in workload.name])
