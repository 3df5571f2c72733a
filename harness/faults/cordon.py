"""Somebody cordons nodes, or lets pods on them again."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated

from msgspec import Meta

from harness.engine.component import Effect, Update
from harness.faults.action import ActionForm, NodeChanges, unschedulable
from harness.faults.node_selection import NodeSelection
from harness.faults.targets import Targets


class Cordon(ActionForm, frozen=True, kw_only=True):
    """No new pods on nodes, as by `kubectl cordon`."""

    select: Annotated[NodeSelection, Meta(description="which nodes", examples=[{"names": ["n-0"]}])] = NodeSelection()

    def begin(self, targets: Targets, rng: Random) -> NodeChanges:
        return NodeChanges(self.select.nodes(targets, rng), "cordoned", unschedulable(True))


class Uncordon(ActionForm, frozen=True, kw_only=True):
    """New pods on nodes again, as by `kubectl uncordon`. Nodes that take pods anyway are left alone."""

    select: Annotated[NodeSelection, Meta(description="which nodes", examples=[{"names": ["n-0"]}])] = NodeSelection()

    def begin(self, targets: Targets, rng: Random) -> NodeChanges:
        return NodeChanges(self.select.nodes(targets, rng), "uncordoned", unschedulable(False))

    def effects(self, targets: Targets, rng: Random) -> Sequence[Effect]:
        """Of nodes that there are; which of them are cordoned then nobody knows before."""
        return [Update(targets.nodes[name]) for name in self.select.nodes(targets, rng)]
