"""Where a hop waits for a process of the control plane, or a kubelet, that is away: that part is the fault's, not the
timer's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from harness.measure.fault import API_SERVER_TARGET, FOR_EVER, LASTING_FAULTS, OUTAGES, ObservedFault
from harness.measure.waterfall.hops import Hop
from harness.model.constants import API_SERVER, MANAGER, SCHEDULER

F = TypeVar("F", bound=ObservedFault)

_PROCESSES = {API_SERVER_TARGET: API_SERVER}
"""By the name that a fault tells its target with."""

HOPS: dict[str, frozenset[str]] = {
    SCHEDULER: frozenset({"scheduled", "first attempt fails", "no node has room", "strategy waits", "backoff"}),
    MANAGER: frozenset(
        {
            "NotReady written", "seen to be NotReady", "tainted", "its turn for the taint", "evicted",
            "collected as a pod of no node", "its controller removes it", "replaced", "pod made",
            "replicas written", "scraped and decided", "endpoint",
        }
    ),
}  # fmt: skip
"""What a process does, by the hop that ends when it has done it. All of them, and what kubelets tell, wait for the API
server."""
TOLD = frozenset(
    {
        "told to go", "told to go by somebody", "preempted", "evicted to be resized", "its node given back",
        "image pulled", "container started", "pulled and started", "seen to run", "status told", "ready",
        "node ready again", "seen to have failed",
    }
)  # fmt: skip

NOT_YET = "not yet "
ENDS_IT = {
    "an endpoint": "endpoint", "bound to a node": "scheduled", "tainted NoExecute": "tainted", "running": "seen to run",
}  # fmt: skip
"""By what had not happened: the hop that ends when it has, where that has another name."""

RETRY = "back-off of what is tried again"
SOON_NS = 100 * 10**6
"""What follows so soon is a matter of latencies."""


class Away(NamedTuple):
    """`process`: of the control plane, or the node whose kubelet it is. `timer`: what a hop that waits for it is said
    to wait for."""

    process: str
    start_ns: int
    end_ns: int
    timer: str

    def stops(self, hop: Hop) -> bool:
        """Whether `hop` cannot end while it lasts."""
        if hop.node and hop.node == self.process:
            return True
        name = hop.name.removeprefix(NOT_YET)
        return self.stops_named(name if name == hop.name else ENDS_IT.get(name, name))

    def stops_named(self, name: str) -> bool:
        """The same of hops of a name."""
        if self.process == API_SERVER:
            return name in TOLD or any(name in names for names in HOPS.values())
        return name in HOPS.get(self.process, ())


class Held(NamedTuple, Generic[F]):
    """How long a fault holds one node."""

    fault: F
    end_ns: int


def held(faults: Iterable[F], node: str) -> list[Held[F]]:
    """The faults that hold a node, in order: who loses power stands still no longer, and what is down cannot."""
    out: list[Held[F]] = []
    down_ns, frozen = -1, list[int]()
    for fault in sorted(faults, key=lambda each: each.at_ns):
        if fault.kind not in LASTING_FAULTS or node not in fault.targets:
            continue
        end = FOR_EVER if fault.lasts_ns < 0 else fault.at_ns + fault.lasts_ns
        if fault.kind == "Freeze" and fault.at_ns < down_ns:
            continue
        if fault.kind == "Crash":
            down_ns = max(down_ns, end)
            for at in frozen:
                out[at] = Held(out[at].fault, min(out[at].end_ns, fault.at_ns))
            frozen.clear()
        elif fault.kind == "Freeze":
            frozen.append(len(out))
        out.append(Held(fault, end))
    return out


def outages(faults: Iterable[ObservedFault]) -> list[Away]:
    """Of the control plane and of nodes, in the order in which they began."""
    known, out = list(faults), []
    for node in sorted({node for fault in known if fault.kind in LASTING_FAULTS for node in fault.targets}):
        for fault, end in held(known, node):
            out.append(Away(node, fault.at_ns, end, f"{fault.kind} of its node"))
    for fault in known:
        if fault.kind not in OUTAGES:
            continue
        end = FOR_EVER if fault.lasts_ns < 0 else fault.at_ns + fault.lasts_ns
        what = "watches of" if fault.kind == "Watches" else "outage of"
        for target in fault.targets:
            process = _PROCESSES.get(target, target)
            out.append(Away(process, fault.at_ns, end, f"{what} {process}"))
    return sorted(out, key=lambda item: (item.start_ns, item.end_ns))


def away_at(known: Sequence[Away], process: str, at_ns: int) -> Away | None:
    """The outage of `process`, or of the API server without which it can do nothing, that an instant is in."""
    both = (process, API_SERVER)
    return next((each for each in known if each.process in both and each.start_ns <= at_ns < each.end_ns), None)


def split(hops: Sequence[Hop], known: Sequence[Away], told_again_ns: int) -> list[Hop]:
    """The same way: a hop that a process was away in is what came before, the outage, and what came after it.
    `told_again_ns`: when a kubelet tells again, at the latest, what it could not tell the API server."""
    out = list(hops)
    for away in known:
        out = [part for hop in out for part in _parts(hop, away, told_again_ns)]
    return out


def _parts(hop: Hop, away: Away, told_again_ns: int) -> list[Hop]:
    start, end = max(hop.start_ns, away.start_ns), min(hop.end_ns, away.end_ns)
    if end <= start or not away.stops(hop):
        return [hop]
    if hop.node and away.process == API_SERVER and hop.end_ns - end > told_again_ns + SOON_NS:
        return [hop]  # its kubelet worked on meanwhile, and had more to do
    who = "its node" if away.process == hop.node else away.process
    missing = Hop(name=f"{who} away", start_ns=start, end_ns=end, timer=away.timer, rule="until")
    before = [replace(hop, end_ns=start, rule="fixed")] if start > hop.start_ns else []
    after = [replace(hop, start_ns=end, rule="fixed")] if hop.end_ns > end else []
    if away.process == API_SERVER and hop.end_ns - end > SOON_NS:
        after = [Hop(name="tried again", start_ns=end, end_ns=hop.end_ns, timer=RETRY)]
    return [*before, missing, *after]
