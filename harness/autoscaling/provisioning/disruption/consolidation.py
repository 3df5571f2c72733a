"""What would become of the pods of some nodes if these went, and whether that would be cheaper.

Source: kubernetes-sigs/karpenter pkg/controllers/disruption/{consolidation,multinodeconsolidation}.go, helpers.go
SimulateScheduling (1.14). The time limits of a search (1 and 3 minutes of their process) are not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.provisioning.disruption.candidates import Candidate, Candidates
from harness.autoscaling.provisioning.offers import Float64, Offers
from harness.autoscaling.provisioning.provisioner import Provisioner
from harness.autoscaling.provisioning.settings import ProvisioningSettings
from harness.autoscaling.provisioning.simulation import VirtualNode
from harness.autoscaling.provisioning.state import ProvisioningState
from harness.model.core import Pod
from harness.model.karpenter import INSTANCE_TYPE, SPOT
from harness.scheduling.strategy import Bool, Int64

MOST_TOGETHER = 100
"""Source: multinodeconsolidation.go maxParallel."""
SPOT_CHOICES = 15
"""Cheaper types that a spot node needs before another takes its place. Source:
MinInstanceTypesForSpotToSpotConsolidation."""


@dataclass(frozen=True, slots=True)
class Command:
    """Nodes that go; `replacements`: those to come first (none: they are deleted)."""

    candidates: tuple[Candidate, ...]
    replacements: tuple[VirtualNode, ...] = ()
    reason: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.candidates)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a simulation: nodes to come, and why it is no way ('' where it is one)."""

    new: tuple[VirtualNode, ...]
    why: str


class Consolidation:
    def __init__(
        self,
        state: ProvisioningState,
        provisioner: Provisioner,
        candidates: Candidates,
        settings: ProvisioningSettings,
    ) -> None:
        self._state = state
        self._provisioner = provisioner
        self._candidates = candidates
        self._settings = settings
        self._young: tuple[tuple[int, int], frozenset[str]] = ((-1, -1), frozenset())

    # -- simulation ----------------------------------------------------------------------------------------------------

    def simulate(self, now: int, candidates: Sequence[Candidate], *, cautious: bool = True) -> Outcome:
        """The pods of `candidates`, those that are pending, and those of nodes that are going, without these nodes.

        `cautious`: pods of candidates do not go onto nodes whose consolidateAfter has not passed.
        """
        state = self._state
        going = [name for name in state.lookups.going if name in state.nodes]
        leaving = [pod for name in going for pod in state.reschedulable(now, name)]
        moving = [pod for item in candidates for pod in state.reschedulable(now, item.name)]
        pending = state.provisionable()
        fork = Fork(state.snapshot)
        try:
            for pod in moving:
                fork.forget(state.view(pod))
            for item in candidates:
                self._remove(fork, item.name)
            kept = self._kept(now, frozenset(item.name for item in candidates)) if cautious else None
            solution = self._provisioner.simulate(
                fork,
                [*pending, *map(state.unbound, (*moving, *leaving))],
                leaving,
                frozenset((*going, *(item.name for item in candidates))),
                None if kept is None else {pod.metadata.key: kept for pod in moving if pod.status.phase != "Pending"},
            )
        finally:
            fork.revert()
        return Outcome(solution.new, self._why(pending, leaving, solution.failed, solution.placed))

    def _why(
        self, pending: Sequence[Pod], leaving: Sequence[Pod], failed: Mapping[str, str], placed: Mapping[str, str]
    ) -> str:
        """Source: AllNonPendingPodsScheduled, UninitializedNodeError."""
        asking, going = {pod.metadata.key for pod in pending}, {pod.metadata.key for pod in leaving}
        for key, why in failed.items():
            if key not in asking:
                return f"not all pods would schedule, {key} => {why}"
        for key, name in placed.items():
            if key not in going and not self._state.is_initialized(name):
                return f"not all pods would schedule, {key} => would schedule against uninitialized nodeclaim/{name}"
        return ""

    def _remove(self, fork: Fork, name: str) -> None:
        column = self._state.column(name)
        assert column is not None, name
        for view in tuple(fork.snapshot.pods_on(column)):
            fork.forget(view)
        fork.remove_node(self._state.nodes[name])

    def _kept(self, now: int, without: frozenset[str]) -> Int64:
        """Nodes that may take pods which run elsewhere."""
        key = (now, self._state.changes)
        if self._young[0] != key:
            names = self._state.claims
            young = frozenset(name for name in names if self._candidates.under_consolidate_after(now, name))
            self._young = (key, young)
        return self._state.existing(self._young[1] | without)

    # -- commands ------------------------------------------------------------------------------------------------------

    def compute(self, now: int, candidates: Sequence[Candidate]) -> Command | str:
        """How they could go, or why they cannot. Source: computeConsolidation."""
        outcome = self.simulate(now, candidates)
        if outcome.why:
            return outcome.why
        if not outcome.new:
            return Command(tuple(candidates))
        if len(outcome.new) > 1:
            return f"Can't remove without creating {len(outcome.new)} candidates"
        new, offers = outcome.new[0], self._state.offers
        price = sum(item.price for item in candidates)
        spot = new.open & offers.is_spot
        all_spot = all(item.capacity_type == SPOT for item in candidates)
        if all_spot and spot.any():
            return self._spot_to_spot(candidates, new, spot, price)
        cheaper = new.open & (worst_prices(offers, new.open) < price)[:, None]
        if not cheaper.any() or not offers.enough_values(new.requirements, cheaper):
            return "Can't replace with a cheaper node"
        # Filtered by the price of spot: where that is not to be had, a dearer node must not come in its place.
        new.open = cheaper & offers.is_spot if (cheaper & offers.is_spot).any() else cheaper
        return Command(tuple(candidates), (new,))

    def _spot_to_spot(
        self, candidates: Sequence[Candidate], new: VirtualNode, spot: Bool, price: float
    ) -> Command | str:
        offers = self._state.offers
        if not self._settings.spot_to_spot_consolidation:
            return "SpotToSpotConsolidation is disabled, can't replace a spot node with a spot node"
        worst = worst_prices(offers, spot)
        cheaper = spot & (worst < price)[:, None]
        if not cheaper.any() or not offers.enough_values(new.requirements, cheaper):
            return "Can't replace with a cheaper node"
        if len(candidates) == 1:
            rows = np.flatnonzero(cheaper.any(axis=1))
            if len(rows) < SPOT_CHOICES:
                return (
                    f"SpotToSpotConsolidation requires {SPOT_CHOICES} cheaper instance type options than the current "
                    f"candidate to consolidate, got {len(rows)}"
                )
            best = np.where(cheaper, offers.price, np.inf).min(axis=1)
            order = rows[np.argsort(best[rows], kind="stable")]
            kept = np.zeros_like(cheaper)
            for count, row in enumerate(order.tolist(), 1):
                kept[row] = cheaper[row]
                if count >= SPOT_CHOICES and offers.enough_values(new.requirements, kept):
                    break
            cheaper = kept
        new.open = cheaper
        return Command(tuple(candidates), (new,))

    def multi(self, now: int, candidates: Sequence[Candidate]) -> Command | None:
        """The longest run of `candidates`, from the first, that can go together: by halving. Source:
        firstNConsolidationOption."""
        if len(candidates) < 2:
            return None
        low, high = 1, min(len(candidates) - 1, MOST_TOGETHER)
        best: Command | None = None
        while low <= high:
            middle = (low + high) // 2
            chosen = candidates[: middle + 1]
            found = self.compute(now, chosen)
            if isinstance(found, Command) and (not found.replacements or self._makes_sense(found)):
                best, low = found, middle + 1
            else:
                high = middle - 1
        return best

    def _makes_sense(self, command: Command) -> bool:
        """A node of a type that goes is no replacement: it could stay. Source: filterOutSameInstanceType."""
        state, offers, new = self._state, self._state.offers, command.replacements[0]
        open_rows = {offers.types[row].name for row in np.flatnonzero(new.open.any(axis=1)).tolist()}
        types = [(state.claims[item.name].metadata.labels.get(INSTANCE_TYPE, ""), item) for item in command.candidates]
        most = min((item.price for name, item in types if name in open_rows), default=np.inf)
        new.open = new.open & (worst_prices(offers, new.open) < most)[:, None]
        return bool(new.open.any()) and offers.enough_values(new.requirements, new.open)

    def still_valid(self, now: int, command: Command) -> bool:
        """Whether it comes out again as it was computed. Source: validation.go validateCommand."""
        outcome = self.simulate(now, command.candidates)
        if outcome.why or len(outcome.new) != len(command.replacements):
            return False
        return all(
            bool((new.open.any(axis=1) | ~old.open.any(axis=1)).all())
            for old, new in zip(command.replacements, outcome.new, strict=True)
        )


def worst_prices(offers: Offers, open_: Bool) -> Float64:
    """Of each type the most that it may cost: spot where spot is open. Source: WorstLaunchPrice."""
    spot = open_ & offers.is_spot
    has_spot = spot.any(axis=1)
    of_spot = np.where(spot, offers.price, -np.inf).max(axis=1)
    others = np.where(open_, offers.price, -np.inf).max(axis=1)
    out: Float64 = np.where(has_spot, of_spot, others)
    return np.where(open_.any(axis=1), out, np.inf)
