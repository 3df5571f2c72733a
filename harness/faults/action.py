"""Actions: what somebody does to a cluster in several steps, each when the one before has had its effect.

An action is a fault as any other (same entry-point group, same place in a scenario, measured the same way), with a
method `begin` besides: the steps that follow are told of their timers and of what became of their writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from msgspec.structs import replace

from harness.engine.component import MS, Effect, Observe, Update, WakeAt
from harness.faults.fault import FaultForm
from harness.faults.targets import Targets
from harness.model.core import Node
from harness.model.status import ApiError

STEP = "actionStep"
"""Topic of the observations of steps: (cause, what, about, detail)."""

CONFLICT_RETRY_NS = 10 * MS
"""Source: client-go util/retry DefaultRetry, 10 ms."""


class Action(Protocol):
    """`done`: nothing follows any more. Tokens of effects are the action's own."""

    @property
    def done(self) -> bool: ...

    def start(self, now: int, targets: Targets) -> Sequence[Effect]: ...

    def on_timer(self, now: int, token: Any, targets: Targets) -> Sequence[Effect]:
        """A WakeAt of this action came due."""
        ...

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> Sequence[Effect]:
        """Of each write that has a token; errors of the server (500 and above) are tried again by the timeline."""
        ...


class ActionForm(FaultForm, frozen=True, kw_only=True):
    """Base of what the shipped actions are written as."""

    def begin(self, targets: Targets, rng: Random) -> Action:
        """Raises ValueError for a field that cannot be read."""
        raise NotImplementedError

    def effects(self, targets: Targets, rng: Random) -> Sequence[Effect]:
        """What it would begin with; nothing where there is nothing that it could be done to."""
        return [effect for effect in self.begin(targets, rng).start(0, targets) if not isinstance(effect, Observe)]

    def lasts_ns(self) -> int | None:
        return 0


def said(what: str, about: str = "", detail: str = "") -> Observe:
    """A step, for the journal; the timeline adds whose it is."""
    return Observe(STEP, (what, about, detail))


def marked(effects: Sequence[Effect], *mark: str) -> list[Effect]:
    """Of an action that is part of another: its tokens behind `mark`."""
    return [
        effect if getattr(effect, "token", None) is None else replace(effect, token=(*mark, effect.token))  # type: ignore
        for effect in effects
    ]


class NodeChange:
    """One change of one node, made again of its newest version where somebody else wrote it meanwhile. `change`: the
    node as it is to be, None where nothing is left to do."""

    def __init__(self, name: str, change: Callable[[Node], Node | None]) -> None:
        self.name = name
        self.done = False
        self._change = change

    @property
    def token(self) -> tuple[str, str]:
        return ("node", self.name)

    def start(self, now: int, targets: Targets) -> list[Effect]:
        node = targets.nodes.get(self.name)
        changed = None if node is None else self._change(node)
        self.done = changed is None
        return [] if changed is None else [Update(changed, token=self.token)]

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        return self.start(now, targets)

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        if error is not None and error.reason == "Conflict":
            return [WakeAt(now + CONFLICT_RETRY_NS, self.token)]
        self.done = True  # written, or gone
        return []


class NodeChanges:
    """The same change of several nodes. `what`: what it is called in the journal."""

    def __init__(self, names: Sequence[str], what: str, change: Callable[[Node], Node | None]) -> None:
        self._changes: Mapping[str, NodeChange] = {name: NodeChange(name, change) for name in names}
        self._what = what

    @property
    def done(self) -> bool:
        return all(change.done for change in self._changes.values())

    def start(self, now: int, targets: Targets) -> list[Effect]:
        out: list[Effect] = []
        for name, change in self._changes.items():
            out += [said(self._what, name), *change.start(now, targets)]
        return out

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        return self._changes[token[1]].on_timer(now, token, targets)

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        return self._changes[token[1]].on_outcome(now, token, error, targets)


def unschedulable(value: bool) -> Callable[[Node], Node | None]:
    """As kubectl cordon and uncordon: a node that is so already is left alone."""

    def change(node: Node) -> Node | None:
        if bool(node.spec.unschedulable) == value:
            return None
        return replace(node, spec=replace(node.spec, unschedulable=True if value else None))

    return change
