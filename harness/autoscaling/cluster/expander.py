"""The shipped expanders. Source: cluster-autoscaler/expander/{waste,mostpods,leastnodes,random,price} (1.32)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from harness.autoscaling.policy import EXPANDERS, Expander, ScaleUpOption
from harness.autoscaling.sandbox.expander import ContainedExpander, contain_expander
from harness.engine.component import Effect, Record
from harness.engine.guard import Misbehaved
from harness.model.core import ConfigMap
from harness.model.errors import UserError
from harness.model.loading import load_one


class LeastWaste:
    """The least idle CPU and memory after the scale-up, as shares of the new nodes."""

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        return _lowest(options, waste)


class MostPods:
    """The most pods placed."""

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        return _lowest(options, lambda option: -len(option.pods))


class LeastNodes:
    """The fewest new nodes."""

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        return _lowest(options, lambda option: option.count)


class RandomPool:
    """Any."""

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        return (options[rng.randrange(len(options))],)


POD_CPU_PRICE, POD_GIB_PRICE = 0.033174, 0.004446
"""Of a CPU and of a GiB of memory that pods ask for, for an hour. Source: cloudprovider/gce/gce_price_info.go
cpuPricePerHour, memoryPricePerHourPerGb (1.34)."""


class Price:
    """The least money for new nodes for what their pods would cost by CPU and memory; pools without a price pass alone
    where no pool has one.

    Source: cluster-autoscaler/expander/price/price.go. Its preference for a size of nodes is not modelled, nor is its
    stabilization of small differences.
    """

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        priced = [option for option in options if option.price is not None]
        return _lowest(priced, self._ratio) if priced else list(options)

    @staticmethod
    def _ratio(option: ScaleUpOption) -> float:
        asked = sum(
            view.cls.amounts[0] / 1000 * POD_CPU_PRICE + view.cls.amounts[1] / (1 << 30) * POD_GIB_PRICE
            for view in option.pods
        )
        return (option.price or 0.0) * option.count / asked if asked else float("inf")


PRIORITY_CONFIG = ("kube-system", "cluster-autoscaler-priority-expander")
"""Namespace and name of the ConfigMap, whose `priorities` are lists of regular expressions by priority. Source:
expander/priority/priority.go PriorityConfigMapName; the namespace is the autoscaler's own."""


LOWEST = -1
"""Lower priorities are as none. Source: priority.go BestOptions, where the search for the highest begins."""


class Priority:
    """Pools whose names match a pattern of the highest priority in the ConfigMap cluster-autoscaler-priority-expander.

    Where no pool's name matches any, all pass, and so they do without a ConfigMap that can be read; an Event says so.
    Source: cluster-autoscaler/expander/priority/priority.go (1.32 to 1.37).
    """

    def __init__(self) -> None:
        self.learn(None)

    def learn(self, config: ConfigMap | None) -> None:
        """The ConfigMap as it is now; None: it is gone."""
        self._patterns: dict[int, list[re.Pattern[str]]] = {}
        self._config = config
        self._untold = ""
        if config is None:
            return
        try:
            self._patterns = _priorities(config)
        except (UserError, ValueError, re.error) as error:
            self._untold = f"Wrong configuration for priority expander: {error}. Ignoring update."

    def warn(self, effects: list[Effect]) -> None:
        """Of a ConfigMap that cannot be read, once."""
        if self._untold and self._config is not None:
            effects.append(Record(self._config, "Warning", "PriorityConfigMapInvalid", self._untold))
            self._untold = ""

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        found = {option.pool: self._priority(option.pool) for option in options}
        most = max((priority for priority in found.values() if priority is not None), default=None)
        return [option for option in options if found[option.pool] == most]

    def _priority(self, pool: str) -> int | None:
        matching = [at for at, patterns in self._patterns.items() if any(item.search(pool) for item in patterns)]
        return max((at for at in matching if at >= LOWEST), default=None)


def _priorities(config: ConfigMap) -> dict[int, list[re.Pattern[str]]]:
    """Raises UserError, ValueError and re.error."""
    text = config.data.get("priorities")
    if not text:
        raise ValueError("it has no priorities")
    data = load_one(text, "priorities").data
    if not isinstance(data, dict) or not all(isinstance(item, list) for item in data.values()):
        raise ValueError("expected lists of regular expressions by priority")
    return {int(priority): [re.compile(str(item)) for item in items] for priority, items in data.items()}


class ExpanderChain:
    """One expander after the other, each among what the one before found equally good.

    Source: cluster-autoscaler/expander/factory/chain.go (1.32).
    """

    def __init__(self, expanders: Sequence[Expander]) -> None:
        self.expanders = tuple(expanders)

    def best(self, options: Sequence[ScaleUpOption], rng: Random) -> Sequence[ScaleUpOption]:
        for expander in self.expanders:
            if len(options) <= 1 and not isinstance(expander, Priority):
                break
            options = expander.best(options, rng)
        return options


def waste(option: ScaleUpOption) -> float:
    """Idle CPU and memory after the scale-up, as shares of what the machines have, added: 0 to 2. Source: waste.go
    resourcesForNode, which takes the capacity."""
    there = option.template.status.capacity
    total = 0.0
    for row, name in ((0, "cpu"), (1, "memory")):
        amount = there.get(name)
        if amount is None or not amount.milli:
            continue
        size = amount.milli if name == "cpu" else amount.milli // 1000
        total += 1.0 - sum(view.cls.amounts[row] for view in option.pods) / (size * option.count)
    return total


def _lowest(options: Sequence[ScaleUpOption], of: Callable[[ScaleUpOption], float]) -> list[ScaleUpOption]:
    scores = [of(option) for option in options]
    least = min(scores)
    return [option for option, score in zip(options, scores, strict=True) if score == least]


def expander(spec: str) -> Expander:
    """`least-waste`, or several names with commas, each asked of what the one before left; those of others contained.
    Raises UserError."""
    made = [contain_expander(EXPANDERS.make(name.strip())) for name in spec.split(",")]
    return made[0] if len(made) == 1 else ExpanderChain(made)


def priority_expanders(expander: Expander) -> list[Priority]:
    members = expander.expanders if isinstance(expander, ExpanderChain) else (expander,)
    return [item for item in members if isinstance(item, Priority)]


def contained(expander: Expander) -> list[ContainedExpander]:
    """Those in `expander` that are others'."""
    members = expander.expanders if isinstance(expander, ExpanderChain) else (expander,)
    return [item for item in members if isinstance(item, ContainedExpander)]


def take_faults(expanders: Sequence[ContainedExpander]) -> list[Misbehaved]:
    """What they did wrong since the last time."""
    found = [fault for item in expanders for fault in item.faults]
    for item in expanders:
        item.faults.clear()
    return found
