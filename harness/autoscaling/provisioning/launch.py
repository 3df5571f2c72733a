"""Machines are ordered for NodeClaims: which offering, and what happens where the provider has none.

Source: karpenter-provider-aws (1d92708, 1.14) pkg/providers/instance/instance.go (Create, launchInstance,
updateUnavailableOfferingsCache, combineFleetErrors), filter/filter.go SpotOfferingFilter, pkg/cache/cache.go and
unavailableofferings.go; kubernetes-sigs/karpenter (2266468, 1.14) pkg/controllers/nodeclaim/lifecycle/launch.go,
events.go. A request names offerings of one capacity type, and the provider delivers the cheapest that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np
from msgspec.structs import replace

from harness.autoscaling.provisioning.provider import PREVENTING, MachineProvider, error_of
from harness.autoscaling.provisioning.requirements import Requirements, of_pool
from harness.autoscaling.provisioning.simulation import custom_labels
from harness.autoscaling.provisioning.state import ProvisioningState
from harness.engine.component import MINUTE, SECOND, Effect, Observe, Record, WakeAt
from harness.engine.latency import Latency
from harness.model.karpenter import CAPACITY_TYPE, INSTANCE_TYPE, NODEPOOL, ON_DEMAND, SPOT, ZONE, NodeClaim
from harness.model.pod_amounts import resource_amounts
from harness.scheduling.strategy import Bool

UNAVAILABLE_NS, CLEANUP_NS = 3 * MINUTE, 10 * SECOND
"""An offering of which there was no machine is asked for no more for so long, until the cache is next cleaned. Source:
cache.go UnavailableOfferingsTTL, UnavailableOfferingsCleanupInterval (instance types are resolved anew when it is)."""
MOST_TYPES = 60
"""Of instance types in one request, the cheapest. Source: instance.go maxInstanceTypes."""
MOST_TEXT = 300
"""Source: launch.go truncateMessage."""
ALL_UNAVAILABLE = "insufficient capacity, all requested instance types were unavailable during launch"
"""Source: instance.go filterInstanceTypes."""

Place = tuple[int, int]
"""(row of the instance type, column of the zone and capacity type) of an offering."""


class Refused(Exception):
    """There is no machine for a claim, in the provider's words."""


class NoAnswer(Exception):
    """The provider's API fails."""


class Launcher:
    """`rng`: how long machines take, and which of equally cheap offerings is delivered."""

    def __init__(self, state: ProvisioningState, provider: MachineProvider, provisioning: Latency, rng: Random) -> None:
        self._state = state
        self._provider = provider
        self._provisioning = provisioning
        self._rng = rng

    def choose(self, claim: NodeClaim) -> NodeClaim | None:
        """The claim with the labels of the offering that is bought for it, as far as is known; None where there is
        none."""
        requirements = of_pool(claim.spec.requirements, claim.metadata.labels)
        open_ = self._open(claim, requirements)
        if not open_.any():
            return None
        ties = self._state.offers.ties(open_)
        chosen = ties[self._rng.randrange(len(ties))]
        return self._bought(claim, requirements, chosen)

    def launch(self, now: int, claim: NodeClaim, effects: list[Effect]) -> NodeClaim:
        """A machine is ordered; the claim with the labels of the one that comes. Raises Refused and NoAnswer."""
        labels = claim.metadata.labels
        pool = labels.get(NODEPOOL, "")
        disturbed = self._provider.disturbance(now, pool, labels)
        chosen = self._place(labels)
        if (disturbed is None or disturbed.kind not in PREVENTING) and self._state.offers.available[chosen]:
            self.order(now, claim, effects)
            return claim
        own = {key: value for key, value in labels.items() if key not in self._state.offers.labels(*chosen)}
        requirements = of_pool(claim.spec.requirements, own)
        open_ = self._open(claim, requirements)
        if not open_.any():
            raise Refused(ALL_UNAVAILABLE)
        failed: dict[Place, str] = {}
        for place in self._requested(open_, chosen):
            offered = self._state.offers.labels(*place)
            what = self._provider.disturbance(now, pool, offered)
            if what is None or what.kind not in PREVENTING:
                self._withdraw(now, failed)
                bought = self._bought(replace(claim, metadata=replace(claim.metadata, labels=own)), requirements, place)
                self.order(now, bought, effects)
                return bought
            if what.kind == "error":
                raise NoAnswer
            failed[place] = error_of(what.kind, offered)
        self._withdraw(now, failed)
        raise Refused(f"insufficient capacity, with fleet error(s), {'; '.join(dict.fromkeys(failed.values()))}")

    def order(self, now: int, claim: NodeClaim, effects: list[Effect]) -> None:
        """Once. It comes when it has been provisioned, unless the provider is late, or never makes it."""
        name, labels = claim.metadata.name, claim.metadata.labels
        machines, pool = self._provider.machines, labels.get(NODEPOOL, "")
        if name in machines:
            return
        machines[name] = False
        due = now + self._provisioning.draw(self._rng)
        disturbed = self._provider.disturbance(now, pool, labels)
        if disturbed is not None and disturbed.kind == "late":
            due += disturbed.late_ns
        if disturbed is None or disturbed.kind != "silent":
            effects.append(WakeAt(due, ("machine", name)))
        effects.append(Observe("autoscaling", (pool, "up", 1)))

    def record_refusal(self, claim: NodeClaim, why: str, effects: list[Effect]) -> None:
        meta = claim.metadata
        text = why if len(why) < MOST_TEXT else f"{why[:MOST_TEXT]}..."
        effects.append(Record(claim, "Warning", "InsufficientCapacityError", f"NodeClaim {meta.name} event: {text}"))
        effects.append(Observe("autoscaling", (meta.labels.get(NODEPOOL, ""), "refused", 1)))

    def reclaimed(self, now: int, claim: NodeClaim) -> None:
        """The provider takes a spot machine back: there will be no more of the kind for a while. Source:
        karpenter-provider-aws pkg/controllers/interruption/utils.go markUnavailableOfferings."""
        labels = claim.metadata.labels
        if labels.get(CAPACITY_TYPE) == SPOT and labels.get(INSTANCE_TYPE) in self._state.catalogue.by_name:
            self._withdraw(now, {self._place(labels): ""})

    # -- within --------------------------------------------------------------------------------------------------------

    def _place(self, labels: Mapping[str, str]) -> Place:
        offers = self._state.offers
        column = (labels.get(ZONE, ""), labels.get(CAPACITY_TYPE, ON_DEMAND))
        known = offers.columns.index(column) if column in offers.columns else 0
        return offers.row(labels[INSTANCE_TYPE]), known

    def _open(self, claim: NodeClaim, requirements: Requirements) -> Bool:
        """Offerings that may be asked for; spot that costs more than on demand is not, where both are allowed."""
        offers = self._state.offers
        open_ = offers.meeting(requirements)
        wanted = np.zeros(offers.allocatable.shape[1], dtype=np.int64)
        names = self._state.snapshot.tables.rows.names
        for name, amount in resource_amounts(claim.spec.resources.requests).items():
            if name in names:
                wanted[names.index(name)] = amount
        open_ = open_ & offers.fitting(wanted, np.zeros_like(offers.allocatable))
        if any(item.min_values is not None for item in requirements):
            return open_
        on_demand = open_ & ~offers.is_spot
        if on_demand.any() and (open_ & offers.is_spot).any():
            most = float(offers.price[on_demand].min())
            open_ = open_ & ~(offers.is_spot & (offers.price > most))
        return open_

    def _requested(self, open_: Bool, chosen: Place) -> list[Place]:
        """Of one capacity type, spot where it is open: the cheapest first, of equal ones what was chosen, then by the
        order of the catalogue."""
        offers = self._state.offers
        spot = open_ & offers.is_spot
        asked = spot if spot.any() else open_
        price = np.where(asked, offers.price, np.inf)
        rows = np.argsort(price.min(axis=1), kind="stable")[:MOST_TYPES].tolist()
        found = [(row, column) for row in rows for column in np.flatnonzero(asked[row]).tolist()]
        return sorted(found, key=lambda place: (float(price[place]), place != chosen, place))

    def _withdraw(self, now: int, failed: Mapping[Place, str]) -> None:
        if failed:
            until = -(-(now + UNAVAILABLE_NS) // CLEANUP_NS) * CLEANUP_NS
            self._state.offers.withdraw(failed, until)
            self._state.offers_changed()

    def _bought(self, claim: NodeClaim, requirements: Requirements, place: Place) -> NodeClaim:
        offered = self._state.offers.labels(*place)
        labels = {**custom_labels(requirements), **offered, **claim.metadata.labels}
        return replace(claim, metadata=replace(claim.metadata, labels=labels))
