"""Nodes leave the cluster for good: with or without notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from harness.engine.component import Delete, Effect, InjectFault, ReclaimMachine, StopMachine, WakeAt
from harness.faults.action import Action, ActionForm, NodeChanges, marked, said, unschedulable
from harness.faults.drain import Draining
from harness.faults.node_drain import DrainOptions
from harness.faults.node_selection import NodeSelection
from harness.faults.targets import Targets
from harness.model.faults import Crash
from harness.model.status import ApiError
from harness.model.times import SCHEMA, parse_duration


class NodeLeave(ActionForm, frozen=True, kw_only=True):
    """The machines are gone at once. Their Node objects go `deletedAfter`: by whoever took the machine away (0s), or as
    the cloud's node lifecycle controller finds out; with `deletedAfter: never` nobody deletes them."""

    select: Annotated[NodeSelection, Meta(description="which nodes", examples=[{"names": ["n-0"]}])] = NodeSelection()
    deleted_after: Annotated[
        str, Meta(description="until their Node objects are deleted, or never", examples=["1m"])
    ] = "0s"

    def begin(self, targets: Targets, rng: Random) -> Leaving:
        names = self.select.nodes(targets, rng)
        return Leaving(names, 0, _until_deleted(self.deleted_after), {})

    def lasts_ns(self) -> int | None:
        return None


class SpotReclaim(ActionForm, frozen=True, kw_only=True):
    """The provider takes machines back: after `notice` they are gone. `onNotice: drain`: a handler cordons the node and
    drains it when the notice comes, past controllers and emptyDir, as AWS's node termination handler; `cordon`: the
    node takes no new pods; `deleteNodeClaim`: its NodeClaim is deleted, as Karpenter's interruption controller does, so
    that just-in-time nodes replace it while it is drained; `nothing`: nobody listens. AWS gives 120 s of notice, GCP
    and Azure 30 s."""

    watches: ClassVar[tuple[str, ...]] = ("DaemonSet",)
    select: Annotated[NodeSelection, Meta(description="which nodes", examples=[{"labels": {"capacity": "spot"}}])] = (
        NodeSelection()
    )
    notice: Annotated[
        str, Meta(description="from the notice until the machine is gone", examples=["30s"], extra_json_schema=SCHEMA)
    ] = "120s"
    on_notice: Annotated[
        Literal["drain", "cordon", "deleteNodeClaim", "nothing"],
        Meta(description="what is done when the notice comes", examples=["drain"]),
    ] = "drain"
    drawn: Annotated[
        int,
        Meta(
            ge=0,
            description="so many of those selected, drawn at random; 0: all",
            examples=[1],
            extra_json_schema={"x-unit": "nodes"},
        ),
    ] = 0
    deleted_after: Annotated[
        str, Meta(description="from then until the Node object is deleted, or never", examples=["1m"])
    ] = "0s"

    def begin(self, targets: Targets, rng: Random) -> Leaving:
        names = self.select.nodes(targets, rng)
        if self.drawn:
            few = len(names) <= self.drawn
            names = targets.first(names, self.drawn) if few else targets.sample(names, self.drawn, rng)
        notice_ns = parse_duration(self.notice)
        options = DrainOptions(force=True, ignore_daemon_sets=True, delete_empty_dir_data=True, timeout_ns=notice_ns)
        handlers: dict[str, Action] = {}
        if self.on_notice == "drain":
            handlers = {name: Draining([name], options) for name in names}
        elif self.on_notice == "cordon":
            handlers = {name: NodeChanges([name], "cordoned", unschedulable(True)) for name in names}
        elif self.on_notice == "deleteNodeClaim":
            handlers = {name: ClaimDeletion(name) for name in names}
        return Leaving(names, notice_ns, _until_deleted(self.deleted_after), handlers)

    def lasts_ns(self) -> int | None:
        return None


class ClaimDeletion:
    """The NodeClaim of a node is deleted: whoever made the node drains it, and buys no other such machine for a while.

    Source: karpenter-provider-aws pkg/controllers/interruption/utils.go (1.14), on a spot interruption warning.
    """

    def __init__(self, name: str) -> None:
        self.done = False
        self._name = name

    def start(self, now: int, targets: Targets) -> list[Effect]:
        return [
            said("node claim deleted", self._name),
            ReclaimMachine(self._name),
            Delete("NodeClaim", "", self._name, token=("claim", self._name)),
        ]

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        return self.start(now, targets)

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        self.done = True  # deleted, or there is none
        return []


def _until_deleted(text: str) -> int:
    """ns, -1 for never. Raises ValueError."""
    return -1 if text == "never" else parse_duration(text)


class Leaving:
    """`handlers`: what is done with each node when the notice comes, by name."""

    def __init__(
        self, names: Sequence[str], notice_ns: int, deleted_after_ns: int, handlers: Mapping[str, Action]
    ) -> None:
        self.failed: list[str] = []
        self._there = dict.fromkeys(names)
        self._notice_ns = notice_ns
        self._deleted_after_ns = deleted_after_ns
        self._handlers = dict(handlers)

    @property
    def done(self) -> bool:
        return not self._there

    def start(self, now: int, targets: Targets) -> list[Effect]:
        out: list[Effect] = []
        if not self._notice_ns:
            return [effect for name in self._there.copy() for effect in self._gone(now, name, targets)]
        for name in self._there:
            out += [said("notice", name), WakeAt(now + self._notice_ns, ("gone", name, None))]
            if name in self._handlers:
                out += marked(self._handlers[name].start(now, targets), "handler", name)
        return out

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        what, name, inner = token
        if what == "handler":
            handler = self._handlers.get(name)
            return [] if handler is None else marked(handler.on_timer(now, inner, targets), "handler", name)
        if what == "delete":
            return self._delete(name, inner)
        return self._gone(now, name, targets)

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        what, name, inner = token
        handler = self._handlers.get(name) if what == "handler" else None
        return [] if handler is None else marked(handler.on_outcome(now, inner, error, targets), "handler", name)

    # -- within --------------------------------------------------------------------------------------------------------

    def _gone(self, now: int, name: str, targets: Targets) -> list[Effect]:
        self._handlers.pop(name, None)
        node = targets.nodes.get(name)
        uid = "" if node is None else node.metadata.uid  # another machine may be called so by then
        out: list[Effect] = [said("gone", name), InjectFault((name,), Crash(0)), StopMachine(name)]
        if self._deleted_after_ns > 0:
            return [*out, WakeAt(now + self._deleted_after_ns, ("delete", name, uid))]
        if self._deleted_after_ns < 0:
            del self._there[name]
            return out
        return out + self._delete(name, uid)

    def _delete(self, name: str, uid: str) -> list[Effect]:
        del self._there[name]
        return [Delete("Node", "", name, uid=uid, token=("deleted", name, None)), said("node deleted", name)]
