"""Somebody drains nodes: `kubectl drain`, over the eviction API, one node after the other."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from harness.engine.component import Effect
from harness.faults.action import ActionForm, NodeChanges, unschedulable
from harness.faults.node_drain import DrainOptions, NodeDrain
from harness.faults.node_selection import NodeSelection
from harness.faults.targets import Targets
from harness.model.status import ApiError
from harness.model.times import SCHEMA, parse_duration


class DrainForm(ActionForm, frozen=True, kw_only=True):
    """The flags of `kubectl drain`, with its defaults."""

    watches: ClassVar[tuple[str, ...]] = ("DaemonSet",)
    select: Annotated[NodeSelection, Meta(description="which nodes", examples=[{"names": ["n-0"]}])] = NodeSelection()
    force: Annotated[bool, Meta(description="also pods that no controller makes anew", examples=[True])] = False
    ignore_daemonsets: Annotated[
        bool, Meta(description="leave pods of DaemonSets; else they keep the node from being drained", examples=[True])
    ] = False
    delete_emptydir_data: Annotated[bool, Meta(description="also pods with an emptyDir", examples=[True])] = False
    disable_eviction: Annotated[bool, Meta(description="delete instead, past all budgets", examples=[True])] = False
    grace_period: Annotated[
        int, Meta(ge=-1, description="seconds to end in; -1: the pods' own", examples=[30],
                  extra_json_schema={"x-unit": "seconds"})
    ] = -1  # fmt: skip
    timeout: Annotated[
        str, Meta(description="of each node; 0s: as long as it takes", examples=["5m"], extra_json_schema=SCHEMA)
    ] = "0s"
    skip_wait_for_delete_timeout: Annotated[
        int, Meta(ge=0, description="pods that have been going for longer are not waited for; 0: all are",
                  examples=[60], extra_json_schema={"x-unit": "seconds"})
    ] = 0  # fmt: skip
    pod_selector: Annotated[
        dict[str, str], Meta(description="labels of the pods that are evicted; none: all", examples=[{"app": "web"}])
    ] = {}

    def options(self) -> DrainOptions:
        """Raises ValueError."""
        return DrainOptions(
            force=self.force,
            ignore_daemon_sets=self.ignore_daemonsets,
            delete_empty_dir_data=self.delete_emptydir_data,
            disable_eviction=self.disable_eviction,
            grace_s=self.grace_period,
            timeout_ns=parse_duration(self.timeout),
            skip_wait_s=self.skip_wait_for_delete_timeout,
            pod_selector=self.pod_selector,
        )

    def lasts_ns(self) -> int | None:
        return parse_duration(self.timeout)


class Drain(DrainForm, frozen=True, kw_only=True):
    """Nodes are cordoned, then drained one after the other as by `kubectl drain`: pods are evicted, those that a budget
    holds every 5 s again, and waited for."""

    def begin(self, targets: Targets, rng: Random) -> Draining:
        return Draining(self.select.nodes(targets, rng), self.options())


class Draining:
    """Cordons all, then drains each."""

    def __init__(self, nodes: Sequence[str], options: DrainOptions) -> None:
        self._cordons = NodeChanges(nodes, "cordoned", unschedulable(True))
        self._drains = [NodeDrain(name, options) for name in nodes]
        self._at = -1

    @property
    def done(self) -> bool:
        return self._at >= len(self._drains)

    @property
    def failed(self) -> list[str]:
        return [text for drain in self._drains for text in drain.failed]

    def start(self, now: int, targets: Targets) -> list[Effect]:
        return [*self._cordons.start(now, targets), *self._go_on(now, targets)]

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        return [*self._of(token).on_timer(now, token, targets), *self._go_on(now, targets)]

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        return [*self._of(token).on_outcome(now, token, error, targets), *self._go_on(now, targets)]

    def _of(self, token: Any) -> NodeChanges | NodeDrain:
        if token[0] == "node":
            return self._cordons
        return next(drain for drain in self._drains if drain.node == token[1])

    def _go_on(self, now: int, targets: Targets) -> list[Effect]:
        out: list[Effect] = []
        if not self._cordons.done:
            return out
        while not self.done and (self._at < 0 or self._drains[self._at].done):
            self._at += 1
            if not self.done:
                out += self._drains[self._at].start(now, targets)
        return out
