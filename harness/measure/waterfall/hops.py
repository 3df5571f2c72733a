"""A waterfall: the chain of hops from what happened to the first request served, each with the timer that it waits for.

Hops follow each other without gaps: they add up to the total exactly, in integer nanoseconds.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from harness.measure.waterfall.timers import is_constant

Rule: TypeAlias = Literal["fixed", "until", "wait", "tick", "resync", "renewal", "grace", "backoff", "since"]
"""How a hop ends: after a time that no constant bears on; at an instant that is settled; after the timer's value; at
the `count`-th tick of component `of`; at its first tick after something was seen (`since_ns`); when the lease of
node `of` was to be renewed; when that lease runs out; when the `count`-th backoff of a pod is over; so long after the
end of hop `of`, whatever came between."""


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """`timer`: the constant, or the setting of the scenario, that decides how long it takes; empty: none is known.
    `of`: the node, or the component whose ticks are meant. `since_ns`: what a backoff or a lease counts from. `note`:
    what a person should know. `node`: whose kubelet ends it, '' where none does."""

    name: str
    start_ns: int
    end_ns: int
    timer: str = ""
    rule: Rule = "fixed"
    count: int = 1
    of: str = ""
    since_ns: int = 0
    note: str = ""
    node: str = ""

    @property
    def ns(self) -> int:
        return self.end_ns - self.start_ns


class Bound(NamedTuple):
    """What must hold for a chain of hops to be the one with other constants; `why`: what happens else. The end of `hop`
    (and `timer` after that), or when the silence of `node` is noticed, is before the instant `at_ns`, or not `before`.
    """

    at_ns: int
    why: str
    before: bool = True
    hop: str = ""
    timer: str = ""
    node: str = ""


class Waterfall(msgspec.Struct, kw_only=True):
    """`start_ns`: when it began. `subject`: the pod that was served last, whose way this is. `unended`: what had not
    happened when the run was over; the total is a lower bound then. `others`: (pod, total) of the rest; `ways`: the
    hops of each pod, this one included. `bounds`: what must hold for this chain to be the one with other constants."""

    kind: Literal["recovery", "scale-up"]
    number: int
    title: str
    start_ns: int
    subject: str = ""
    hops: list[Hop] = []
    unended: str = ""
    others: list[tuple[str, int]] = []
    ways: list[list[Hop]] = []
    bounds: list[Bound] = []
    notes: list[str] = []

    @property
    def end_ns(self) -> int:
        return self.hops[-1].end_ns if self.hops else self.start_ns

    @property
    def total_ns(self) -> int:
        return self.end_ns - self.start_ns

    @property
    def timers(self) -> dict[str, int]:
        """ns by timer, the longest first."""
        out: dict[str, int] = {}
        for hop in self.hops:
            if hop.timer:
                out[hop.timer] = out.get(hop.timer, 0) + hop.ns
        return dict(sorted(out.items(), key=lambda item: -item[1]))

    @property
    def dominant_constant(self) -> tuple[str, int]:
        """The same among Kubernetes' constants."""
        return next((item for item in self.timers.items() if is_constant(item[0])), ("", 0))

    @property
    def dominant(self) -> tuple[str, int]:
        """The timer that most of the time went to, and how much; ('', 0) where none is known."""
        return next(iter(self.timers.items()), ("", 0))

    def to_data(self) -> dict[str, Any]:
        timer, ns = self.dominant
        total = self.total_ns
        return {
            "kind": self.kind,
            "number": self.number,
            "title": self.title,
            "atSeconds": self.start_ns / 1e9,
            "pod": self.subject,
            "totalNs": total,
            "totalSeconds": total / 1e9,
            **({"unended": self.unended} if self.unended else {}),
            "dominant": _share(timer, ns, total),
            "dominantConstant": _share(*self.dominant_constant, total),
            "hops": [
                {
                    "name": hop.name,
                    "startNs": hop.start_ns,
                    "ns": hop.ns,
                    "timer": hop.timer,
                    **({"note": hop.note} if hop.note else {}),
                }
                for hop in self.hops
            ],
            "others": [{"pod": pod, "totalNs": ns} for pod, ns in self.others],
            "notes": self.notes,
        }


def _share(timer: str, ns: int, total_ns: int) -> dict[str, Any]:
    return {"timer": timer, "ns": ns, "share": ns / total_ns if total_ns else 0.0, "constant": is_constant(timer)}


class HopChain:
    """Hops as they are put together; none goes back in time."""

    def __init__(self, start_ns: int) -> None:
        self.hops: list[Hop] = []
        self.at_ns = start_ns
        self.unended = ""
        self.bounds: list[Bound] = []
        self.node = ""
        """Whose kubelet ends the hops that are put together now."""

    # size: the fields of a hop, each with its default.
    def to(
        self,
        instant_ns: int,
        name: str,
        timer: str = "",
        rule: Rule = "fixed",
        *,
        count: int = 1,
        of: str = "",
        since_ns: int = 0,
        note: str = "",
    ) -> None:
        """A hop up to an instant; one that no timer waits for and that took no time is left out."""
        end_ns = max(self.at_ns, instant_ns)
        if end_ns > self.at_ns or rule != "fixed":
            self.hops.append(
                Hop(
                    name=name,
                    start_ns=self.at_ns,
                    end_ns=end_ns,
                    timer=timer,
                    rule=rule,
                    count=count,
                    of=of,
                    since_ns=since_ns,
                    note=note,
                    node=self.node,
                )
            )
        self.at_ns = end_ns

    def copy(self) -> HopChain:
        other = HopChain(self.at_ns)
        other.hops = list(self.hops)
        other.bounds = list(self.bounds)
        other.node = self.node
        return other

    def open(self, until_ns: int, what: str, timer: str, note: str = "") -> None:
        """What comes next had not happened when the run was over; `timer`: what it waited for."""
        self.to(until_ns, f"not yet {what}", timer, note=note)
        self.unended = what
