"""An HTTP scheduler extender as a strategy: a scheduler in any language filters, prioritizes and binds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from harness.model.errors import UserError
from harness.scheduling.scoring import NOWHERE, PerNode
from harness.scheduling.strategy import Bind, ClusterView, Decision, Int64, PodBatch, PodView, StrategyFault, Wait
from schedulers.extender.client import MAX_PRIORITY, Client, ExtenderFailed
from schedulers.extender.objects import node_object, pod_object
from schedulers.extender.settings import Settings, settings

__all__ = ["ExtenderChain", "ExtenderStrategy", "Settings", "extender", "settings"]

_MAX_SCORE = 100
"""Source: kube-scheduler 1.32 framework MaxNodeScore: an extender's 10 counts as 100, times its weight."""


class ExtenderChain:
    """Extenders one after another, as kube-scheduler asks them. `faults`: what went wrong with the last pod."""

    def __init__(self, extenders: Sequence[Settings]) -> None:
        self._clients = [Client(each) for each in extenders]
        self._nodes: PerNode[dict[str, Any]] = PerNode(node_object)
        self.faults: list[StrategyFault] = []

    def filter(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        """Of `nodes` those that every extender lets through.

        Source: kube-scheduler 1.32 schedule_one.go findNodesThatPassExtenders: an ignorable extender that fails is
        passed over; any other failure means that the pod is not placed now.
        """
        for client in self._interested(pod, cluster):
            if not client.settings.filter_verb or not len(nodes):
                continue
            try:
                passed = client.filter(*self._args(client, pod, cluster, nodes)).names
            except ExtenderFailed as error:
                if client.settings.ignorable:
                    continue
                self.faults.append(StrategyFault("extender", pod.key, str(error)))
                return nodes[:0]
            nodes = np.array([node for node in nodes.tolist() if cluster.names[node] in passed], dtype=np.int64)
        return nodes

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        """What they add to the scores of `nodes`, int64 [len(nodes)].

        Source: kube-scheduler 1.32 schedule_one.go prioritizeNodes: an extender that fails adds nothing; here that is
        a fault all the same, unless it is ignorable.
        """
        total = np.zeros(len(nodes), dtype=np.int64)
        for client in self._interested(pod, cluster):
            if not client.settings.prioritize_verb or not len(nodes):
                continue
            try:
                scores = client.prioritize(*self._args(client, pod, cluster, nodes))
            except ExtenderFailed as error:
                if not client.settings.ignorable:
                    self.faults.append(StrategyFault("extender", pod.key, str(error)))
                continue
            weight = client.settings.weight * (_MAX_SCORE // MAX_PRIORITY)
            total += weight * np.array([scores[cluster.names[node]] for node in nodes.tolist()], dtype=np.int64)
        return total

    def bind(self, pod: PodView, cluster: ClusterView, node: int) -> bool:
        """Tell the first that binds; whether it agrees. The binding itself is the harness's, as every binding is."""
        for client in self._interested(pod, cluster):
            if client.settings.bind_verb:
                namespace, _, name = pod.key.rpartition("/")
                try:
                    client.bind(namespace, name, pod.key, cluster.names[node])
                except ExtenderFailed as error:
                    self.faults.append(StrategyFault("extender", pod.key, str(error)))
                    return False
                break
        return True

    def bound(self, decisions: Iterator[Decision], cluster: ClusterView) -> Iterator[Decision]:
        """The same decisions, those who bind asked about each pod; what went wrong before each of them."""
        for decision in decisions:
            binds = (decision,) if isinstance(decision, Bind) else getattr(decision, "binds", ())
            agreed = all(self.bind(bind.pod, cluster, bind.node) for bind in binds)
            reasons = [fault.reason for fault in self.faults]
            yield from self.faults  # type: ignore[misc]  # the guard takes them: they stand for another program's
            self.faults.clear()
            if not agreed:
                yield from (Wait(bind.pod, reasons[-1]) for bind in binds)
            elif isinstance(decision, Wait) and reasons:
                yield Wait(decision.pod, reasons[0])
            else:
                yield decision

    def _interested(self, pod: PodView, cluster: ClusterView) -> list[Client]:
        asked = frozenset(
            name for name, amount in zip(cluster.resources, pod.requests.tolist(), strict=False) if amount
        )
        return [client for client in self._clients if client.settings.interested(asked)]

    def _args(
        self, client: Client, pod: PodView, cluster: ClusterView, nodes: Int64
    ) -> tuple[dict[str, Any], list[str], list[dict[str, Any]]]:
        names = [cluster.names[node] for node in nodes.tolist()]
        if client.settings.node_cache_capable:
            return pod_object(pod, cluster), names, []
        known = self._nodes.sync(cluster)
        return pod_object(pod, cluster), names, [known[node] for node in nodes.tolist()]


class ExtenderStrategy:
    """Every pod to the node that the extenders like best, the lowest rank of those; gangs are not placed."""

    def __init__(self, extenders: Sequence[Settings], *, batch_size: int = 64) -> None:
        self.batch_size = batch_size
        self._chain = ExtenderChain(extenders)

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        return self._chain.bound(self._decide(pods, cluster), cluster)

    def _decide(self, pods: PodBatch, cluster: ClusterView) -> Iterator[Decision]:
        for pod in pods:
            if pod.group is not None and pod.group_min > 1:
                yield Wait(pod, "an extender is asked about one pod at a time, and gangs go together")
                continue
            fits = np.flatnonzero(cluster.feasible(pod))
            nodes = self._chain.filter(pod, cluster, fits)
            if len(nodes):
                totals = self._chain.score(pod, cluster, nodes)
                ties = nodes[totals == totals.max()]
                yield Bind(pod, int(ties[cluster.rank[ties].argmin()]))
            else:
                yield Wait(pod, NOWHERE if not len(fits) else "the extender lets it on no node")


def extender(url: str, batch_size: int = 64, **words: Any) -> ExtenderStrategy:
    """An HTTP scheduler extender at `url`; filterVerb, prioritizeVerb, bindVerb, weight, .. as kube-scheduler's.

    Where no verb is named: filter and prioritize. Raises UserError.
    """
    if not re.match("https?://", str(url)):
        raise UserError("an extender is at a URL", found=url, expected="as extender:http://127.0.0.1:8888/scheduler")
    if not any(word.endswith("Verb") for word in words):
        words |= {"filterVerb": "filter", "prioritizeVerb": "prioritize"}
    if words.get("prioritizeVerb"):
        words.setdefault("weight", 1)
    managed = words.pop("managedResources", "")
    named = [{"name": name} for name in str(managed).split("+") if name]
    return ExtenderStrategy([settings({"urlPrefix": url, "managedResources": named, **words})], batch_size=batch_size)
