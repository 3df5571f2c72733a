"""A yardstick for nodes: it knows the load to come, and buys the least that serves it, ahead of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from harness.autoscaling.horizontal.metrics_adapter import MetricsAdapter, ServiceLoad
from harness.autoscaling.policy import AddNodes, NodeSituation, RemoveNode
from harness.engine.component import SECOND
from harness.measure.queueing import most_in_time
from harness.model.errors import UserError
from harness.model.times import parse_duration
from harness.scheduling.strategy import PodView

STEP_NS = 5 * SECOND
"""Between two looks at the load to come."""


class NodeOracle:
    """A yardstick, no autoscaler: nodes for the load to come, bought `ahead`, for the least money.

    What is needed is what meets the SLO (replicas of `service` tasks, from now to `ahead`), whatever a horizontal pod
    autoscaler asks for. The new nodes are the cheapest set of offers that holds what does not fit yet: exact for one
    service, one service after the other for several. Nodes that the load to come does not need go at once, the dearest
    first. Other pods are not foreseen: they get the offer that costs the least for each of them.
    """

    def __init__(self, ahead: str = "2m") -> None:
        """`ahead`: how long a replica takes to serve, its node's provisioning included. Raises UserError."""
        try:
            self._ahead_ns = parse_duration(ahead)
        except ValueError:
            raise UserError("ahead is no duration", found=ahead, expected="ahead=90s, 5m, ..") from None
        self.adapter = MetricsAdapter()

    def resize(
        self, pending: Sequence[PodView], cluster: NodeSituation, rng: Random
    ) -> Iterator[AddNodes | RemoveNode]:  # fmt: skip
        bought = False
        needs: list[tuple[PodView, int]] = []
        for load in self.adapter.loads:
            pods = self._replicas(load, pending, cluster)
            if not pods:
                continue
            needed = self._needed(load, cluster.now_ns)
            needs.append((pods[0], needed))
            running = sum(pod.key not in {item.key for item in pending} for pod in pods)
            short = needed - running - cluster.room(pods[0], needed)
            if short > 0:
                for name, count in self._cheapest(pods[0], short, cluster):
                    bought = True
                    yield AddNodes(name, count)
        known = {load.service.partition("/")[2] for load in self.adapter.loads}
        others = [pod for pod in pending if pod.labels.get("app") not in known]
        if others:
            bought = True
            yield from self._for_others(others, cluster)
        if not bought:
            yield from self._not_needed(needs, cluster)

    # -- within --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _replicas(load: ServiceLoad, pending: Sequence[PodView], cluster: NodeSituation) -> list[PodView]:
        space, _, service = load.service.partition("/")
        found = [*cluster.running, *pending]
        return [pod for pod in found if pod.key.startswith(f"{space}/") and pod.labels.get("app") == service]

    def _needed(self, load: ServiceLoad, now: int) -> int:
        """The most from now to `ahead`."""
        instants = range(now, now + self._ahead_ns + STEP_NS, STEP_NS)
        rate_milli = max(load.curve.rate_milli_rps(at) for at in instants)
        return max(1, math.ceil(rate_milli / 1000 / most_in_time(load.model) - 1e-9))

    @staticmethod
    def _cheapest(pod: PodView, count: int, cluster: NodeSituation) -> list[tuple[str, int]]:
        """The set of offers that holds `count` more such pods for the least: unbounded knapsack cover, exact."""
        copies = [replace(pod, key=f"{pod.key}/{index}") for index in range(count)]
        holds = []
        for offer in cluster.offers:
            taken = len(cluster.fit(copies, offer.name)) if offer.room and offer.price is not None else 0
            if taken:
                holds.append((offer.price or 0.0, offer.name, taken))
        if not holds:
            return []
        best: list[tuple[float, int, str]] = [(0.0, 0, "")]  # to hold so many: money, nodes, the last offer
        for most in range(1, count + 1):
            best.append(
                min(
                    (best[max(0, most - taken)][0] + price, best[max(0, most - taken)][1] + 1, name)
                    for price, name, taken in holds
                )
            )
        sizes = {name: taken for _, name, taken in holds}
        chosen: dict[str, int] = {}
        left = count
        while left > 0:
            name = best[left][2]
            chosen[name] = chosen.get(name, 0) + 1
            left -= sizes[name]
        rooms = {offer.name: offer.room for offer in cluster.offers}
        return [(name, min(many, rooms[name])) for name, many in sorted(chosen.items())]

    @staticmethod
    def _for_others(pods: Sequence[PodView], cluster: NodeSituation) -> Iterator[AddNodes]:
        left = list(pods)
        rooms = {offer.name: offer.room for offer in cluster.offers}
        while left:
            choices = []
            for offer in cluster.offers:
                taken = cluster.fit(left, offer.name) if rooms[offer.name] else ()
                if taken:
                    choices.append(((offer.price or 0.0) / len(taken), offer.name, taken))
            if not choices:
                return
            _, name, taken = min(choices, key=lambda item: item[:2])
            rooms[name] -= 1
            yield AddNodes(name)
            gone = {pod.key for pod in taken}
            left = [pod for pod in left if pod.key not in gone]

    @staticmethod
    def _not_needed(needs: Sequence[tuple[PodView, int]], cluster: NodeSituation) -> Iterator[RemoveNode]:
        """The dearest node without which the load to come is served all the same; one at a time, as each changes what
        the next may do."""
        running = [pod.labels.get("app") for pod in cluster.running]
        for node in sorted(cluster.nodes, key=lambda item: (-(item.price or 0.0), item.name)):
            if node.going or not node.ready or not cluster.can_go(node.name):
                continue
            mine = [pod.labels.get("app") for pod in node.pods]
            if all(
                running.count(pod.labels.get("app"))
                - mine.count(pod.labels.get("app"))
                + cluster.room(pod, needed, without=(node.name,))
                >= needed
                for pod, needed in needs
            ):
                yield RemoveNode(node.name)
                return
