"""Column generation: prices from a linear program, better patterns from those prices, until both agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.measure.bound.certificate import Certificate, Certifier, Prices
from harness.measure.bound.instance import Instance
from harness.measure.bound.master import OverClasses, OverPatterns
from harness.measure.bound.packing import Load, Packing, Unfinished, repaired
from harness.measure.bound.pattern import Pattern

CLOSE = 1e-6
"""Prices are good enough when the bound exceeds the linear program by this share: 6 GPU milli of openb's 6,212,000."""

STEP = 0.4
"""How far prices move from the best ones known to the program's, which calms them: Wentges, "Weighted Dantzig-Wolfe
decomposition for linear mixed-integer programming", International Transactions in Operational Research 4 (1997)."""

REAL_STEPS = 4
"""How much finer the grid is for patterns that must really fit: what rounding up wastes, no average makes good."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work a bound may take, counted in work and not in time, so that it comes out equal everywhere.

    `rounds`: of column generation, and half as many for the packing. `steps`: width of the patterns' grid.
    `exact_size`: pods x devices up to which CP-SAT tries to settle it. `exact_work`: its limit, in CP-SAT's
    deterministic seconds.
    """

    rounds: int = 400
    steps: int = 256
    exact_size: int = 4000
    exact_work: float = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """What column generation found: the best certificate, its prices, all patterns per node class, and the rounds."""

    classes: Certificate
    best: Certificate
    prices: Prices
    patterns: Sequence[tuple[int, Pattern]]
    rounds: int


def generate(certifier: Certifier, effort: Effort, known: Sequence[tuple[int, Pattern]] = ()) -> Generated:
    """Certificates from the LP over classes and from the LP over patterns, which starts with the `known` ones."""
    instance = certifier.instance
    zero = Prices(0.0, np.zeros(len(instance.pod_count)), np.zeros(instance.capacity.shape))
    best_prices = OverClasses(instance, certifier.fits, certifier.penalty).solve() or zero
    classes, found = certifier.certify(best_prices, effort.steps)
    best, best_value = classes, certifier.value(classes)
    master = OverPatterns(instance, certifier.penalty)
    patterns: list[tuple[int, Pattern]] = []

    def add(node: int, pattern: Pattern) -> bool:
        new = master.add(node, pattern.counts)
        if new:
            patterns.append((node, pattern))
        return new

    for node in range(len(instance.node_count)):
        add(node, Pattern(0, np.zeros(len(instance.pod_count)), ()))
    for node, pattern in (*known, *enumerate(found)):
        add(node, pattern)
    rounds, step = 0, STEP
    while rounds < effort.rounds:
        rounds += 1
        proposal = master.solve()
        # The value is a multiple of the grain, so a bound within one of the program is as low as it can get.
        if proposal is None or best_value - proposal.worth < max(CLOSE * abs(best_value), certifier.grain):
            break
        prices = best_prices.towards(proposal, step)
        certificate, found = certifier.certify(prices, effort.steps)
        news = [add(node, pattern) for node, pattern in enumerate(found)]
        value = certifier.value(certificate)
        if value < best_value:
            best, best_value, best_prices = certificate, value, prices
        elif not any(news):
            if step == 1.0:
                break
            step = 1.0
            continue
        step = STEP
    return Generated(classes, best, best_prices, patterns, rounds)


def attain(certifier: Certifier, generated: Generated, effort: Effort) -> Packing:
    """A legal packing made of patterns that really fit, near the optimum of the program over these.

    Diving: what the program wants whole is done; then it is asked again about the rest, with patterns made for it.
    """
    instance = certifier.instance
    master = OverPatterns(instance, certifier.penalty)
    packing = Unfinished(instance)
    loads: list[Load] = []

    def add(node: int, pattern: Pattern) -> bool:
        real = repaired(instance, node, pattern)
        news = [load for load in (real, packing.cut(real)) if master.add(node, load.counts.astype(float))]
        loads.extend(news)
        return len(news) > 0

    def price(prices: Prices) -> bool:
        found = certifier.real_patterns(prices, REAL_STEPS * effort.steps)
        return sum(add(node, pattern) for node, pattern in found) > 0

    for node, pattern in generated.patterns:
        add(node, pattern)
    prices, step, converged = generated.prices, STEP, False
    price(prices)
    for asked in range(effort.rounds // 2 + sum(instance.node_count.tolist())):
        master.limit(packing.pods, packing.nodes, packing.owed)
        proposal = master.solve()
        if proposal is None or not loads or not packing.nodes.any():
            break
        share = master.solution()
        prices = prices.towards(proposal, step)
        new = price(prices)
        if not converged:
            converged = asked >= effort.rounds // 2 or (not new and step == 1.0)
            step = STEP if new else 1.0
            continue
        whole = np.floor(share + 1e-6).astype(np.int64)
        if not whole.any():
            whole[int(np.argmax(share))] = 1
        used = [packing.use(loads[index], int(whole[index])) for index in np.flatnonzero(whole).tolist()]
        if not any(used):
            break
    return packing.finished()


def greedy(instance: Instance) -> Packing:
    """A legal packing by best fit, the most valuable pods first: what needs no program."""
    return Unfinished(instance).finished()
