"""The arrival lists of the FGD experiment: which pod arrives when, copies included, and how ties between nodes fall.

Protocol: Weng et al., USENIX ATC 2023, simulator pkg/simulator/core.go (Simulate) and simulator.go
(SortClusterPods, TunePodsByNodeTotalResource). The published orders come from Go's math/rand, so they are read from
files; without one, `draw_order` and `draw_ranks` do the same with a numpy Generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.model.errors import UserError
from harness.model.whole_numbers import whole_number
from workloads.lint import Lint
from workloads.readers.text import lines
from workloads.table import NodeTable, Workload

TUNED = "-tuned-"
"""`<pod>-tuned-<k>` is the k-th copy, of `<pod>`."""


def read_order(path: Path) -> tuple[tuple[int, str], ...]:
    """(line, pod name) of each arrival. Raises UserError for an empty file or a line of several words."""
    out = []
    for block in lines(path, Lint(path.name, strict=True)):
        for number, text in zip(block.numbers, block.texts, strict=True):
            name = text.strip()
            if len(name.split()) != 1:
                raise UserError("an arrival is one pod name", file=path, line=number, found=name, expected="<pod>")
            out.append((number, name))
    if not out:
        raise UserError("the file is empty", file=path, expected="one pod name a line")
    return tuple(out)


def read_ranks(path: Path) -> dict[str, int]:
    """Tie-break rank by node name. Raises UserError for a line that is not `<node> <rank>`, or a rank given twice."""
    ranks: dict[str, int] = {}
    taken: dict[int, int] = {}
    for block in lines(path, Lint(path.name, strict=True)):
        for number, text in zip(block.numbers, block.texts, strict=True):
            words = text.split()
            rank = whole_number(words[1]) if len(words) == 2 else None
            if rank is None:
                raise UserError("not a rank", file=path, line=number, found=text[:80], expected="<node> <rank>")
            node = words[0]
            if node in ranks:
                raise UserError("this node has a rank already", file=path, line=number, found=node)
            if rank in taken:
                raise UserError(f"rank {rank} is taken", file=path, line=number, found=text, expected="each rank once")
            ranks[node] = rank
            taken[rank] = number
    if not ranks:
        raise UserError("the file is empty", file=path, expected="<node> <rank> a line")
    return ranks


def arrive(workload: Workload, order: Path, *, gap_ns: int = 10**9) -> Workload:
    """The pods of `workload` in the order of a file, one each `gap_ns`, for good.

    Raises UserError for a name that is neither a pod of the workload nor a copy of one.
    """
    row_of = {name: row for row, name in enumerate(workload.name)}
    names: dict[str, int] = {}
    rows = []
    for line, name in read_order(order):
        row = row_of.get(name.partition(TUNED)[0])
        if row is None:
            raise UserError(
                "this pod is not in the pod list",
                file=order,
                line=line,
                found=name,
                expected=f"one of {len(row_of)} pods, such as {workload.name[0] if len(workload) else '?'}",
                hint="the order and the pod list must be of the same variant",
            )
        if name in names:
            raise UserError(
                f"this pod arrived at line {names[name]} already",
                file=order,
                line=line,
                found=name,
                expected=f"copies named <pod>{TUNED}<k>",
            )
        names[name] = line
        rows.append(row)
    return _in_order(workload, list(names), rows, gap_ns, f"arrival order of {order.name}")


def ranked(nodes: NodeTable, ranks: Path) -> NodeTable:
    """Nodes in the order in which ties are broken, from a file. Raises UserError where a node has no rank."""
    rank = read_ranks(ranks)
    missing = [name for name in nodes.name if name not in rank]
    if missing:
        raise UserError(f"{len(missing)} nodes have no rank", file=ranks, found=f"none for {missing[0]}")
    return nodes.ranked(rank)


def draw_order(
    workload: Workload,
    gpu_capacity_milli: int,
    rng: np.random.Generator,
    *,
    load_percent: int = 130,
    gap_ns: int = 10**9,
) -> Workload:
    """An arrival order by the same protocol: pods by name, shuffled; then copies of random pods up to
    `load_percent` of the GPUs, or random pods taken away down to it.
    """
    by_name = sorted(range(len(workload)), key=lambda row: workload.name[row])
    total_milli = workload.gpu_total_milli.tolist()
    device_milli = workload.gpu_milli.tolist()
    target = gpu_capacity_milli * load_percent // 100
    rows = [by_name[at] for at in rng.permutation(len(by_name)).tolist()]
    names = [workload.name[row] for row in rows]
    total = sum(total_milli)
    if total and total <= target:
        copies = 0
        while True:
            row = by_name[int(rng.integers(len(by_name)))]
            # The published simulator compares with the share of one device, whatever the number of devices.
            if total + device_milli[row] > target:
                break
            total += total_milli[row]
            rows.append(row)
            names.append(f"{workload.name[row]}{TUNED}{copies}")
            copies += 1
    overfull = sum(total_milli) > target
    while overfull and total > target:
        at = int(rng.integers(len(rows)))
        total -= total_milli[rows[at]]
        del rows[at], names[at]
    return _in_order(workload, names, rows, gap_ns, f"arrival order drawn, {load_percent} % of the GPUs")


def draw_ranks(nodes: NodeTable, rng: np.random.Generator) -> NodeTable:
    """Ties between nodes broken by a random order, drawn over the nodes by name."""
    order = sorted(range(len(nodes)), key=lambda row: nodes.name[row])
    drawn = rng.permutation(len(order)).tolist()
    return nodes.ranked({nodes.name[row]: rank for row, rank in zip(order, drawn, strict=True)})


def _in_order(workload: Workload, names: Sequence[str], rows: Sequence[int], gap_ns: int, how: str) -> Workload:
    out = workload.take(np.array(rows, dtype=np.int64))
    out = replace(out, name=list(names), provenance=out.provenance.and_then(how))
    return out.one_by_one(gap_ns)
