"""What happened in a run, as lines that a person reads: a fold over the entries of a journal.

Events keep kubectl's words (`kubectl get events`). Between them are changes of objects for which no event is
recorded: a pod's node, phase and readiness, a node's conditions and taints, replicas, endpoints, faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from harness.experiment.record import read_journal, read_record, whole_record
from harness.measure.journal import JournalEntry

STATUS = "Status"
"""Type of a line about a change that no event was recorded for; the others are an event's: Normal, Warning."""
FAULT = "Fault"
WARNING = "Warning"

Found: TypeAlias = tuple[str, str, str]
"""(type, reason, message) of one line."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """`node`: of the pod that the line is about; empty for other objects."""

    at_ns: int
    type: str
    reason: str
    kind: str
    namespace: str
    name: str
    message: str
    node: str = ""

    @property
    def object(self) -> str:
        return f"{self.kind.lower()}/{self.name}" if self.kind else self.name

    def to_data(self) -> dict[str, Any]:
        return {
            "atSeconds": self.at_ns / 1e9,
            "type": self.type,
            "reason": self.reason,
            "object": {"kind": self.kind, "namespace": self.namespace, "name": self.name},
            "message": self.message,
        }


class Transcript:
    """Takes the entries in order; `lines` returns the lines of one entry. Keeps the last essential fields of each
    object."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._owners: dict[str, str] = {}  # kind/name by uid
        self._node_of: dict[str, str] = {}  # by the pod's key, as long as the pod is there
        self._serving: dict[str, int] = {}

    def lines(self, entry: JournalEntry) -> Iterator[Line]:
        match entry.kind:
            case "observed":
                yield from self._observed(entry)
            case "Event":
                if entry.change != "DELETED":  # its time to live is over, and nothing happens
                    yield self._event(entry)
            case _:
                yield from self._write(entry)

    def _write(self, entry: JournalEntry) -> Iterator[Line]:
        namespace, _, name = entry.key.rpartition("/")
        old = self._last.get((entry.kind, entry.key))
        node = str(entry.data[1]) if entry.kind == "Pod" else ""
        self._keep(entry, name, node)
        if entry.kind in _QUIET:
            return
        for type_, reason, message in self._changes(entry, old, namespace, name):
            yield _line(entry, type_, reason, message, (entry.kind, namespace, name), node)

    def _keep(self, entry: JournalEntry, name: str, node: str) -> None:
        at = (entry.kind, entry.key)
        if entry.change == "DELETED":
            self._last.pop(at, None)
            self._node_of.pop(entry.key, None)
            return
        self._last[at] = entry.data
        if entry.kind == "Pod":
            self._node_of[entry.key] = node
        elif entry.data and isinstance(entry.data[0], str):
            self._owners[entry.data[0]] = f"{entry.kind.lower()}/{name}"

    def _changes(self, entry: JournalEntry, old: tuple[Any, ...] | None, namespace: str, name: str) -> Iterator[Found]:
        of_deployment = ("Deployment", f"{namespace}/{name.rpartition('-')[0]}")
        if entry.kind == "ReplicaSet" and of_deployment in self._last and entry.change == "MODIFIED":
            return  # its Deployment tells
        if entry.change == "ADDED":
            yield STATUS, "Created", self._created(entry)
        elif old is not None and entry.kind in _CHANGES:
            yield from _CHANGES[entry.kind](old, entry.data)
        if entry.change == "DELETED":
            yield STATUS, "Deleted", ""

    def _created(self, entry: JournalEntry) -> str:
        match entry.kind:
            case "Pod":
                _, node, phase, *_, owner = entry.data[:8]
                by = [f"by {self._owners[owner]}"] if owner in self._owners else []
                return ", ".join([*by, phase, *([f"on {node}"] if node else [])])
            case "Node":
                _, ready, unschedulable, taints = entry.data[:4]
                cordoned = ["unschedulable"] if unschedulable else []
                return ", ".join([f"Ready is {ready or 'not told'}", *cordoned, *taints])
            case "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController":
                return _replicas_of(entry.data[1])
        return ""

    def _event(self, entry: JournalEntry) -> Line:
        type_, reason, kind, name, message, count = entry.data[:6]
        namespace = "" if kind == "Node" else entry.key.rpartition("/")[0]
        node = self._node_of.get(f"{namespace}/{name}", "") if kind == "Pod" else ""
        words = f"{message} (x{count})" if count > 1 else message
        return _line(entry, type_, reason, words, (kind, namespace, name), node)

    def _observed(self, entry: JournalEntry) -> Iterator[Line]:
        source, data = entry.key, entry.data
        match entry.change:
            case "fault":
                yield _line(entry, FAULT, data[1], "" if data[2] else "nobody to hit", ("", "", "-"))
            case "actionStep":
                _, what, about, detail = data
                yield _line(entry, FAULT, "Action", f"{what}{': ' if detail else ''}{detail}", ("", "", about or "-"))
            case "disturbed":
                kind = "Node" if ("Node", data[0]) in self._last else ""
                yield _line(entry, FAULT, data[1], "", (kind, "", data[0]))
            case "autoscaling":
                pool, way, count = data
                reason, verb = ("ScaleUp", "asked for") if way == "up" else ("ScaleDown", "given back")
                nodes = "1 node" if count == 1 else f"{count} nodes"
                yield _line(entry, STATUS, reason, f"{nodes} {verb}", ("NodePool", "", pool))
            case "serving":
                key, _, able = data
                namespace, _, name = key.rpartition("/")
                if self._serving.get(key) != able:
                    self._serving[key] = able
                    reason, words = ("Serving", "takes requests") if able else ("NotServing", "takes no requests")
                    yield _line(entry, STATUS, reason, words, ("Pod", namespace, name), source)
            case "violation":
                scheduler, what, key, why = data
                namespace, _, name = str(key).rpartition("/")
                about = ("Pod", namespace, name) if name else ("", "", scheduler)
                yield _line(entry, WARNING, "StrategyViolation", f"{what}: {why}", about)
            case "componentFault" if not data[2]:  # of an object there is an Event, too
                yield _line(entry, WARNING, "ComponentFault", f"{data[3]} ({data[4]})", ("", "", data[0]))
            case "unhandledOutcome":
                yield _line(entry, WARNING, "UnhandledOutcome", str(data[1]), ("", "", data[0]))


def _line(
    entry: JournalEntry, type_: str, reason: str, message: str, about: tuple[str, str, str], node: str = ""
) -> Line:
    kind, namespace, name = map(str, about)
    return Line(
        at_ns=entry.at_ns,
        type=type_,
        reason=str(reason),
        kind=kind,
        namespace=namespace,
        name=name,
        message=message,
        node=node,
    )


def transcript(entries: Iterable[JournalEntry]) -> list[Line]:
    """The lines of a whole journal by their instants; at one instant in the journal's order.

    An observation may come later in the journal than writes that were made before it arrived.
    """
    told = Transcript()
    return sorted((line for entry in entries for line in told.lines(entry)), key=lambda line: line.at_ns)


def read_lines(folder: Path) -> list[Line]:
    """The lines of a record. Raises UserError for a folder that is no record, or a record without a journal."""
    read_record(folder)
    frame = read_journal(folder)
    decode = msgspec.json.Decoder(tuple[Any, ...]).decode
    with whole_record(folder):
        return transcript(
            JournalEntry(at_ns, revision, kind, change, key, decode(data))
            for at_ns, revision, kind, change, key, data in frame.iter_rows()
        )


# -- what changed in an object, from its essence before and after (harness/measure/journal.py) -------------------------


def _pod(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    _, node_before, phase_before, _, ready_before, restarts_before, going_before, _ = old[:8]
    _, node, phase, why, ready, restarts, going, _ = new[:8]
    if node != node_before:
        yield STATUS, "Scheduled", f"to {node}"
    if restarts != restarts_before:
        yield STATUS, "Restarted", f"{restarts} restart{'s' if restarts != 1 else ''}"
    if phase != phase_before:
        yield STATUS, phase, f"was {phase_before}" + (f": {why}" if why else "")
    if ready != ready_before and phase not in ("Succeeded", "Failed"):
        yield STATUS, "Ready" if ready else "NotReady", ""
    if going != going_before and going >= 0:
        yield STATUS, "Terminating", f"gone by {seconds(going)}"


def _node(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    _, ready_before, cordoned_before, taints_before = old[:4]
    _, ready, cordoned, taints = new[:4]
    if ready != ready_before:
        reason = {"True": "Ready", "False": "NotReady"}.get(ready, "NotReady")
        yield STATUS, reason, f"Ready is {ready}, was {ready_before or 'not told'}"
    if cordoned != cordoned_before:
        yield STATUS, "Cordoned" if cordoned else "Uncordoned", ""
    for taint in taints:
        if taint not in taints_before:
            yield STATUS, "Tainted", taint
    for taint in taints_before:
        if taint not in taints:
            yield STATUS, "TaintRemoved", taint


def _replicas_of(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _replicas(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    _, wanted_before, _, ready_before = old[:4]
    _, wanted, _, ready = new[:4]
    if wanted != wanted_before:
        yield STATUS, "Scaled", f"{_replicas_of(wanted)}, was {wanted_before}"
    if ready != ready_before:
        yield STATUS, "Replicas", f"{ready}/{wanted} ready"


def _job(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    if old[1:4] != new[1:4]:
        active, succeeded, failed = new[1:4]
        yield STATUS, "Pods", f"{active} active, {succeeded} succeeded, {failed} failed"


def _cron_job(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    _, active_before, last_before = old[:3]
    _, active, last = new[:3]
    if last != last_before:
        yield STATUS, "Scheduled", f"for {seconds(last)}, {active} active"
    elif active != active_before:
        yield STATUS, "Jobs", f"{active} active"


def _slice(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    if (old[0], len(old[1])) != (new[0], len(new[1])):
        yield STATUS, "Endpoints", f"{len(new[1])}/{new[0]} ready"


def _autoscaler(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    if old[:2] != new[:2]:
        yield STATUS, "Replicas", f"{new[0]} there, {new[1]} wanted"


def _budget(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    if old[0] != new[0]:
        yield STATUS, "DisruptionsAllowed", f"{new[0]}, with {new[1]} healthy"


_CHANGES: dict[str, Callable[[tuple[Any, ...], tuple[Any, ...]], Iterator[Found]]] = {
    "Pod": _pod,
    "Node": _node,
    "Deployment": _replicas,
    "ReplicaSet": _replicas,
    "StatefulSet": _replicas,
    "ReplicationController": _replicas,
    "Job": _job,
    "CronJob": _cron_job,
    "EndpointSlice": _slice,
    "HorizontalPodAutoscaler": _autoscaler,
    "PodDisruptionBudget": _budget,
}

_QUIET = frozenset({"PodMetrics", "NodeMetrics", "Lease"})
"""Kinds that are written all the time and decide nothing by themselves."""


# -- as text -----------------------------------------------------------------------------------------------------------

HEADS = ("AT", "TYPE", "REASON", "OBJECT", "MESSAGE")


def seconds(at_ns: int) -> str:
    return f"{at_ns / 1e9:.3f}s"


def text(lines: Iterable[Line]) -> str:
    """Text in columns, as kubectl prints them; empty if there are no lines."""
    rows = [(seconds(line.at_ns), line.type, line.reason, line.object, line.message) for line in lines]
    if not rows:
        return ""
    rows.insert(0, HEADS)
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADS) - 1)]
    out = []
    for row in rows:
        cells = [
            row[0].rjust(widths[0]),
            *(cell.ljust(width) for cell, width in zip(row[1:4], widths[1:], strict=True)),
        ]
        out.append("  ".join([*cells, row[4]]).rstrip())
    return "\n".join(out) + "\n"
