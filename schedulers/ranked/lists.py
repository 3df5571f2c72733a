"""The lists that the ranker is trained on, all generated, and the split: what results are judged by is refused.

A list is one of openb-like pods whose mix is drawn anew: every request's frequency is jittered, and as in the published
variants of the trace the share of pods without a GPU, with shares, with several GPUs, or that name GPU models differs.
Arrivals follow the protocol of the FGD experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.model.errors import UserError
from harness.model.whole_numbers import whole_number
from workloads.generators.facts import Facts, TaskRequest
from workloads.generators.openb_facts import OPENB
from workloads.generators.openb_like import openb_like
from workloads.readers.fgd import draw_order, draw_ranks
from workloads.table import NodeTable, Workload

TEST_SEEDS = frozenset(range(42, 52))
"""Seeds of the published arrival orders (FGD, USENIX ATC 2023): results are judged by them, nobody trains on them."""

LEAST_SEED = 2000
MOST_SEEDS = 100_000
"""Training lists begin here, far from any seed that a person would judge by."""

LOAD_PERCENT = 130
"""GPU milli that arrives, in percent of what the nodes have; copies of pods fill up from ORIGINAL_PERCENT."""

ORIGINAL_PERCENT = 98

JITTER = 0.4
"""Standard deviation of the logarithm of each request's frequency, relative to the trace's."""

_PODS_A_NODE = 9  # more than ORIGINAL_PERCENT takes


@dataclass(frozen=True, slots=True, eq=False)
class TrainingList:
    """`original`: the pods that the mix is learned from. `nodes`: in the order in which ties are broken."""

    original: Workload
    arrivals: Workload
    nodes: NodeTable


def parse_seeds(text: str) -> tuple[int, ...]:
    """Of "2000-2039,2050". Raises UserError for what is none, or what results are judged by."""
    seeds: list[int] = []
    for part in text.split(","):
        left, dash, right = part.strip().partition("-")
        first, last = whole_number(left), whole_number(right if dash else left)
        if first is None or last is None or last - first > MOST_SEEDS:
            raise UserError(
                "training lists are generated, and named by their seeds: a list of a trace is a test list",
                found=part.strip(),
                expected=f"seeds from {LEAST_SEED} on, as {LEAST_SEED}-{LEAST_SEED + 9}",
            )
        seeds.extend(range(first, last + 1))
    if not seeds:
        raise UserError("no training lists", found=text, expected=f"as {LEAST_SEED}-{LEAST_SEED + 9}")
    for seed in seeds:
        refuse_test_seed(seed)
    return tuple(seeds)


def refuse_test_seed(seed: int) -> None:
    """Raises UserError for a seed that results are judged by, or may be."""
    if seed in TEST_SEEDS:
        raise UserError(
            f"list {seed} is a test list: a model trained on it could not be judged by it",
            found=f"seed {seed}",
            expected=f"a seed from {LEAST_SEED} on; {min(TEST_SEEDS)}..{max(TEST_SEEDS)} are those of the test lists",
        )
    if seed < LEAST_SEED:
        raise UserError(
            f"list {seed} is not a training list: seeds below {LEAST_SEED} are kept for judging",
            found=f"seed {seed}",
            expected=f"a seed from {LEAST_SEED} on",
        )


def training_list(seed: int, nodes: int) -> TrainingList:
    """Raises UserError for a seed that results are judged by."""
    refuse_test_seed(seed)
    rng = np.random.default_rng(seed)
    facts, constrained = _mixed(OPENB, rng)
    made, table = openb_like(
        nodes * _PODS_A_NODE, nodes, seed, cpu_nodes=False, constrained_percent=constrained, facts=facts
    )
    capacity = table.gpu_total_milli
    last = int(np.searchsorted(np.cumsum(made.gpu_total_milli), capacity * ORIGINAL_PERCENT // 100))
    original = made.take(slice(0, last + 1))
    arrivals = draw_order(original, capacity, rng, load_percent=LOAD_PERCENT)
    return TrainingList(original, arrivals, draw_ranks(table, rng))


def _mixed(facts: Facts, rng: np.random.Generator) -> tuple[Facts, int]:
    """Other frequencies of the same requests, and the percentage of pods with GPUs that name models."""
    factor = np.ones(4)  # no GPU, a share, one, several
    constrained = 0
    match int(rng.integers(0, 6)):
        case 1:
            factor[0] = rng.choice([0.3, 0.5, 2.0, 2.5])
        case 2:
            factor[1] = rng.uniform(0.8, 6)
        case 3:
            factor[3] = rng.uniform(2, 10)
        case 4:
            factor = np.exp(rng.normal(0, 0.5, 4))
        case 5:
            constrained = int(rng.choice([10, 20, 25, 33]))
        case _:
            pass
    kinds = np.array([_kind(request.gpu_count, request.gpu_milli) for request in facts.requests])
    counts = np.array([request.count for request in facts.requests])
    drawn = counts * factor[kinds] * np.exp(rng.normal(0, JITTER, len(counts)))
    return replace(facts, requests=_recounted(facts, drawn.tolist())), constrained


def _recounted(facts: Facts, drawn: Sequence[float]) -> tuple[TaskRequest, ...]:
    return tuple(replace(r, count=max(1, round(n))) for r, n in zip(facts.requests, drawn, strict=True))


def _kind(count: int, milli: int) -> int:
    return 0 if not count else 3 if count > 1 else 1 if milli < 1000 else 2
