"""Somebody taints nodes, or takes taints away."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from harness.engine.component import Effect, Update
from harness.faults.action import ActionForm, NodeChanges
from harness.faults.node_selection import NodeSelection
from harness.faults.targets import Targets
from harness.model.core import Node, Taint


class NodeTaint(ActionForm, frozen=True, kw_only=True):
    """Nodes get a taint, as by `kubectl taint --overwrite`; with `remove` it goes, of any value (and of any effect,
    where none is said)."""

    key: Annotated[str, Meta(min_length=1, description="key of the taint", examples=["maintenance"])]
    value: Annotated[str, Meta(description="value of the taint", examples=["now"])] = ""
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
        Meta(description="none: NoSchedule, or any that is to be removed", examples=["NoExecute"]),
    ] = None
    remove: Annotated[bool, Meta(description="take it away", examples=[True])] = False
    select: Annotated[NodeSelection, Meta(description="which nodes", examples=[{"names": ["n-0"]}])] = NodeSelection()

    def begin(self, targets: Targets, rng: Random) -> NodeChanges:
        what = "untainted" if self.remove else "tainted"
        return NodeChanges(self.select.nodes(targets, rng), what, self._changed)

    def effects(self, targets: Targets, rng: Random) -> Sequence[Effect]:
        """Of nodes that there are; which of them have the taint then nobody knows before."""
        return [Update(targets.nodes[name]) for name in self.select.nodes(targets, rng)]

    def _changed(self, node: Node) -> Node | None:
        taints = node.spec.taints
        if self.remove:
            kept = tuple(
                t for t in taints if t.key != self.key or (self.effect is not None and t.effect != self.effect)
            )
        else:
            new = Taint(key=self.key, value=self.value, effect=self.effect or "NoSchedule")
            kept = (*(t for t in taints if (t.key, t.effect) != (new.key, new.effect)), new)
        return None if kept == taints else replace(node, spec=replace(node.spec, taints=kept))
