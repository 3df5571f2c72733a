"""The bounds themselves: from the cheapest argument to the strongest, each rung kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from harness.measure.bound.certificate import Certificate, Certifier
from harness.measure.bound.exact import settle, size
from harness.measure.bound.generation import Effort, attain, generate, greedy
from harness.measure.bound.instance import Instance
from harness.measure.bound.packing import Packing
from harness.measure.bound.volume import volume

Method: TypeAlias = Literal["volume", "lp", "columns", "exact"]
"""One resource of the whole cluster; LP over node and pod classes; LP over patterns per node class; CP-SAT."""


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """No placement does better than `value`, in units of the objective (or nodes, for `nodes_needed`).

    `lower`: whether less is better, as with nodes.
    `method`: the cheapest argument that gives `value`. `attained`: what `packing` reaches, a legal placement that was
    found on the way; None where none was. `ladder`: what each method gave. `certificate`: the prices that prove it,
    for other counts of the same classes; None where the value is not by prices. `seconds` are for reports only, None
    without a clock.
    """

    value: int
    method: Method
    attained: int | None
    ladder: tuple[tuple[Method, int], ...]
    rounds: int
    packing: Packing | None
    certificate: Certificate
    seconds: float | None = None
    lower: bool = False

    def gap(self, reached: int) -> float:
        """How far a scheduler that `reached` so much is from the bound, as a share of the bound.

        Error: ValueError where it did better than the bound: then the run did something that the instance forbids.
        """
        short = reached - self.value if self.lower else self.value - reached
        if short < 0:
            raise ValueError(f"{reached} was reached, but no legal placement does better than {self.value}")
        return short / self.value if self.value else 0.0

    @property
    def proven_optimal(self) -> bool:
        """Whether the packing that was found reaches the bound, so that both are the optimum."""
        return self.attained == self.value


def upper_bound(instance: Instance, effort: Effort | None = None, clock: Callable[[], float] | None = None) -> Bound:
    """What any scheduler, even clairvoyant, can have allocated at most, in units of `instance.value`.

    Resources, devices, GPU models and `feasible` are respected; affinity and spreading are not, which can only make
    the bound higher. `clock`: seconds, to fill in `Bound.seconds`.
    """
    effort = Effort() if effort is None else effort
    begun = clock() if clock else 0.0
    certifier = Certifier(instance)
    ladder: list[tuple[Method, int]] = [("volume", volume(instance) // certifier.grain * certifier.grain)]
    generated = generate(certifier, effort)
    ladder.append(("lp", certifier.value(generated.classes)))
    ladder.append(("columns", certifier.value(generated.best)))
    packing = _best(instance, [attain(certifier, generated, effort)]) or _best(instance, [greedy(instance)])
    value = min(value for _, value in ladder)
    if size(instance) <= effort.exact_size and (packing is None or packing.worth(instance) < value):
        exact = settle(instance, packing, effort.exact_work)
        if exact is not None:
            ladder.append(("exact", exact.bound))
            value = min(value, exact.bound)
            packing = _best(instance, [packing, exact.packing])
    method = next(method for method, reached in ladder if reached == value)
    return Bound(
        value=value,
        method=method,
        attained=None if packing is None else packing.worth(instance),
        ladder=tuple(ladder),
        rounds=generated.rounds,
        packing=packing,
        certificate=generated.best,
        seconds=clock() - begun if clock else None,
    )


def nodes_needed(instance: Instance, effort: Effort | None = None, clock: Callable[[], float] | None = None) -> Bound:
    """How many of the instance's nodes it takes at least to place all its pods; `attained`: how many suffice.

    Where the pods do not fit on all nodes together the value holds nonetheless (it may exceed the number of nodes,
    which proves that they do not fit), and nothing is attained.
    """
    nothing = np.zeros_like(instance.value)
    ones = np.ones_like(instance.node_count)
    bound = upper_bound(instance.valued(nothing).costing(ones).placing(instance.pod_count), effort, clock)
    return replace(
        bound,
        value=-bound.value,
        attained=None if bound.attained is None else -bound.attained,
        ladder=tuple((method, -value) for method, value in bound.ladder),
        lower=True,
    )


def _best(instance: Instance, packings: Sequence[Packing | None]) -> Packing | None:
    legal = [packing for packing in packings if packing is not None and not packing.faults(instance)]
    return max(legal, key=lambda packing: packing.worth(instance), default=None)
