"""Nodes are upgraded one after the other: drained, taken away, and back as new machines."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta
from msgspec.structs import replace

from harness.engine.component import Delete, Effect, KeepPlace, StartMachine, StopMachine, WakeAt
from harness.faults.action import marked, said
from harness.faults.drain import DrainForm, Draining
from harness.faults.node_drain import DrainOptions
from harness.faults.node_join import LOOK_NS, is_ready, machine_like
from harness.faults.targets import Targets
from harness.model.core import Node
from harness.model.node_labels import REPLACES
from harness.model.status import ApiError
from harness.model.times import SCHEMA, parse_duration


class NodeUpgrade(DrainForm, frozen=True, kw_only=True):
    """Nodes are upgraded, `maxUnavailable` at a time: drained with kubectl's flags, taken away, and after `boot` there
    again under their names; the next one's turn comes when they are ready. With `surge` the new machine (`name`-next)
    is ready before the old one is drained. A node that cannot be drained is `onDrainFailure`: stop, or goOn. One that
    leaves before its new machine is ordered stays away: whoever sizes the group has seen it go. A pool's size counts
    what is away, and the new machine beside the old one, so that nobody buys another. A just-in-time node whose
    NodeClaim has gone by the end of `boot` stays away, too."""

    watches: ClassVar[tuple[str, ...]] = ("DaemonSet", "NodeClaim")

    max_unavailable: Annotated[
        int, Meta(ge=1, description="nodes at a time", examples=[1], extra_json_schema={"x-unit": "nodes"})
    ] = 1
    boot: Annotated[
        str, Meta(description="until a new machine's kubelet registers", examples=["90s"], extra_json_schema=SCHEMA)
    ] = "90s"
    surge: Annotated[bool, Meta(description="the new machine before the old one is drained", examples=[True])] = False
    on_drain_failure: Annotated[
        Literal["stop", "goOn"], Meta(description="what becomes of the upgrade when a drain fails", examples=["goOn"])
    ] = "stop"

    def begin(self, targets: Targets, rng: Random) -> Upgrading:
        nodes = [targets.nodes[name] for name in self.select.nodes(targets, rng) if name in targets.nodes]
        options, boot_ns = self.options(), parse_duration(self.boot)
        upgrades = [OneUpgrade(node, options, boot_ns, surge=self.surge) for node in nodes]
        return Upgrading(upgrades, self.max_unavailable, stops=self.on_drain_failure == "stop")

    def lasts_ns(self) -> int | None:
        return parse_duration(self.timeout) + parse_duration(self.boot)


class OneUpgrade:
    """One node. `stage`: what is waited for."""

    def __init__(self, node: Node, options: DrainOptions, boot_ns: int, *, surge: bool) -> None:
        self.name = node.metadata.name
        self.done = False
        self._uid = node.metadata.uid
        self._new = machine_like(node, f"{self.name}-next" if surge else self.name)
        if surge:
            self._new = replacing(self._new, node)
        self._claim = ""
        self._drain = Draining([self.name], options)
        self._boot_ns = boot_ns
        self._surge = surge
        self._drained = False
        self._ordered = False

    @property
    def failed(self) -> list[str]:
        return self._drain.failed

    def start(self, now: int, targets: Targets) -> list[Effect]:
        if self._has_left(targets):
            return self._leave_away()
        return self._boot(now) if self._surge else self._begin_drain(now, targets)

    def drain_failed(self, now: int, targets: Targets, *, goes_on: bool) -> list[Effect]:
        """Called when the drain has failed."""
        if goes_on:
            return self._take_away(now, targets)
        self.done = True
        return []

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        what, inner = token
        if what == "drain":
            return marked(self._drain.on_timer(now, inner, targets), "drain")
        if what == "boot":
            if self._surge and self._has_left(targets):  # the order is called back
                return self._leave_away()
            if self._claim and not _has_claim(targets, self.name, self._claim):
                return self._leave_away()  # whoever made it has seen it go
            return [StartMachine(self._new), WakeAt(now + LOOK_NS, ("ready", None))]
        if not is_ready(targets.nodes.get(self._new.metadata.name)):
            return [WakeAt(now + LOOK_NS, token)]
        ready = said("ready", self._new.metadata.name)
        if self._surge and not self._drained:
            return [ready, *self._begin_drain(now, targets)]
        self.done = True
        return [ready]

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        what, inner = token
        return marked(self._drain.on_outcome(now, inner, error, targets), "drain") if what == "drain" else []

    def go_on(self, now: int, targets: Targets) -> list[Effect]:
        """After the drain: what follows."""
        if self.done or self._drained or not self._drain.done or self.failed:
            return []
        return self._take_away(now, targets)

    @property
    def has_failed(self) -> bool:
        """Its drain is over and did not drain it, and nobody has decided what becomes of that."""
        return bool(self._drain.done and self.failed and not self._drained and not self.done)

    # -- within --------------------------------------------------------------------------------------------------------

    def _begin_drain(self, now: int, targets: Targets) -> list[Effect]:
        return marked(self._drain.start(now, targets), "drain")

    def _has_left(self, targets: Targets) -> bool:
        """Somebody else has taken the node away; another may be called so by now."""
        node = targets.nodes.get(self.name)
        return node is None or node.metadata.uid != self._uid

    def _leave_away(self) -> list[Effect]:
        self.done = True
        left = said("has left", self.name)
        return [left, KeepPlace(self._new, None)] if self._ordered else [left]

    def _take_away(self, now: int, targets: Targets) -> list[Effect]:
        if self._has_left(targets):
            return self._leave_away()
        self._drained = True
        claim = None if self._surge else targets.objects.get("NodeClaim", {}).get(self.name)
        self._claim = "" if claim is None else claim.metadata.uid
        out: list[Effect] = [
            said("taken away", self.name),
            StopMachine(self.name),
            Delete("Node", "", self.name, uid=self._uid, token=("deleted", None)),
        ]
        if self._surge:
            self.done = True
            return out
        return out + self._boot(now)

    def _boot(self, now: int) -> list[Effect]:
        self._ordered = True
        due_ns = now + self._boot_ns
        place = KeepPlace(self._new, due_ns)
        return [said("ordered", self._new.metadata.name), place, WakeAt(due_ns, ("boot", None))]


def replacing(new: Node, old: Node) -> Node:
    """It is there beside the old one, and beside what that was to replace, if that is there still."""
    names = ",".join(filter(None, (old.metadata.name, old.metadata.annotations.get(REPLACES, ""))))
    return replace(new, metadata=replace(new.metadata, annotations={**new.metadata.annotations, REPLACES: names}))


def _has_claim(targets: Targets, name: str, uid: str) -> bool:
    """Whether the NodeClaim is there still, and is not going."""
    claim = targets.objects.get("NodeClaim", {}).get(name)
    return claim is not None and claim.metadata.uid == uid and claim.metadata.deletion_timestamp is None


class Upgrading:
    """Tokens: (node, its own)."""

    def __init__(self, upgrades: Sequence[OneUpgrade], at_once: int, *, stops: bool) -> None:
        self._waiting = list(upgrades)
        self._under_way: dict[str, OneUpgrade] = {}
        self._at_once = at_once
        self._stops = stops
        self.failed: list[str] = []

    @property
    def done(self) -> bool:
        return not self._waiting and not self._under_way

    def start(self, now: int, targets: Targets) -> list[Effect]:
        return self._go_on(now, targets)

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        name, inner = token
        one = self._under_way.get(name)
        out = [] if one is None else marked(one.on_timer(now, inner, targets), name)
        return [*out, *self._go_on(now, targets)]

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        name, inner = token
        one = self._under_way.get(name)
        out = [] if one is None else marked(one.on_outcome(now, inner, error, targets), name)
        return [*out, *self._go_on(now, targets)]

    def _go_on(self, now: int, targets: Targets) -> list[Effect]:
        """Until nothing more can be done at once."""
        out: list[Effect] = []
        while more := self._one_round(now, targets):
            out += more
        return out

    def _one_round(self, now: int, targets: Targets) -> list[Effect]:
        out: list[Effect] = []
        for name, one in list(self._under_way.items()):
            if one.has_failed:
                self.failed += one.failed
                out += marked(one.drain_failed(now, targets, goes_on=not self._stops), name)
                if self._stops:
                    out += [said("left as it is", other.name) for other in self._waiting]
                    self._waiting.clear()
            out += marked(one.go_on(now, targets), name)
            if one.done:
                del self._under_way[name]
        while self._waiting and len(self._under_way) < self._at_once:
            one = self._waiting.pop(0)
            self._under_way[one.name] = one
            out += marked(one.start(now, targets), one.name)
        return out
