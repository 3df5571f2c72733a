"""Faults on demand in a live cluster: objects of kind Fault become faults, and tell what became of them."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.cluster.cluster import Cluster
from harness.engine.component import ADDED, DELETED, SECOND, Instant, Record
from harness.engine.streams import stream
from harness.faults.definition import KIND, NAME, definition
from harness.faults.on_demand import FaultsOnDemand, Injected, Order, Recall
from harness.faults.timeline import read_fault_on_demand
from harness.measure.pods import PodLives
from harness.measure.recovery import Recovery, victims
from harness.measure.traffic import Traffic
from harness.model.core import EventSource
from harness.model.errors import UserError
from harness.model.meta import ApiObject
from harness.model.objects import KINDS, Kind, Unstructured, from_wire
from harness.model.status import ApiError
from harness.model.wire import Json, time_text

LOOK_NS = SECOND
"""Between two looks at what has recovered."""

PATIENCE_NS = 3600 * SECOND
"""After that a fault that has ended is looked at no more."""

REPORTER = EventSource(component="podyard-faults")


class LiveFaults:
    """A listener of the server; `act` does what is to be done, between two events. It writes the status of Faults."""

    def __init__(self, cluster: Cluster, epoch_unix_ns: int) -> None:
        self._cluster = cluster
        self._epoch = epoch_unix_ns
        self._injector = FaultsOnDemand(stream(cluster.settings.seed, "faults-on-demand"))
        cluster.add(self._injector)
        self._heard: list[tuple[str, Unstructured]] = []
        self._begun = False
        self._lasting: dict[str, int | None] = {}  # of those that are asked for, how long
        self._ends: dict[str, Instant | None] = {}  # of those that last, by name; None: for ever
        self._measured: dict[str, int] = {}  # cause, by name, of those whose recovery is awaited
        self._measures = FaultMeasures(cluster)
        self._looked: Instant = 0
        cluster.server.listeners.append(self._written)
        self._define()

    def act(self, now: Instant) -> None:
        if not self._begun:
            if KIND not in KINDS:
                return  # nobody serves it yet
            self._begun = True
            self._adopt()
        heard, self._heard = self._heard, []
        for change, obj in heard:
            self._hear(change, obj)
        for injected in self._injector.take():
            self._report_injected(injected, now)
        for name, end in [item for item in self._ends.items() if item[1] is not None]:
            if end is not None and now >= end:
                self._ended(name, "Ended")
        if self._measured and now - self._looked >= LOOK_NS:
            self._looked = now
            self._measure(now)

    # -- what is asked for ---------------------------------------------------------------------------------------------

    def restored(self) -> None:
        """The store is another: what lasts goes on, whether the Fault is still there or not."""
        self._measured.clear()
        self._measures.stop()
        self._define()
        self._begun = False

    def _define(self) -> None:
        server, wanted = self._cluster.server, from_wire(definition())
        held = server.objects("CustomResourceDefinition").get(NAME)
        if held is None:
            server.create(wanted)
        elif (held.extra or {}).get("spec") != wanted.extra["spec"]:
            extra = {**(held.extra or {}), "spec": wanted.extra["spec"]}
            server.update(msgspec.structs.replace(held, extra=extra))

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject | None, revision: int) -> None:
        if kind.kind == KIND:
            self._heard.append((change, obj))

    def _adopt(self) -> None:
        """What an earlier process injected ended with it; what nobody has injected yet is asked for."""
        for obj in self._cluster.server.listed(KIND):
            if _status(obj).get("phase") == "Active" and obj.metadata.name not in self._ends:
                self._write_status(obj.metadata.name, {"phase": "Ended", "message": "the cluster was started again"})
            else:
                self._heard.append((ADDED, obj))

    def _hear(self, change: str, obj: Unstructured) -> None:
        name, spec = obj.metadata.name, dict((obj.extra or {}).get("spec") or {})
        undo = bool(spec.pop("undo", False)) or change == DELETED
        if undo and name in self._ends:
            self._undo(name)
        if undo or name in self._lasting or self._status_of(name).get("phase"):
            return
        try:
            if len(spec) != 1:
                raise UserError("spec: one fault", found=", ".join(sorted(spec)) or "none", expected="as nodeCrash: {}")
            ((fault, data),) = spec.items()
            order = Order(name, read_fault_on_demand(fault, data, f"spec.{fault}"))
        except UserError as error:
            self._write_status(name, {"phase": "Refused", "message": str(error)})
            return
        self._lasting[name] = order.fault.lasts_ns()
        self._cluster.tell(self._injector.name, order)

    def _undo(self, name: str) -> None:
        if name in self._ends:
            self._cluster.tell(self._injector.name, Recall(name))
            self._ended(name, "Undone")

    # -- what became of it ---------------------------------------------------------------------------------------------

    def _report_injected(self, injected: Injected, now: Instant) -> None:
        name, lasts = injected.name, self._lasting.pop(injected.name)
        if not injected.effects:
            self._write_status(name, {"phase": "Missed", "message": "nothing was there to be hit"})
            return
        if lasts != 0:
            self._ends[name] = None if lasts is None else now + lasts
        told: Json = {
            "phase": "Active" if name in self._ends else "Ended",
            "injectedAt": self._time(now),
            "targets": list(injected.targets),
            "target": ", ".join(injected.targets[:3]) + (", .." if len(injected.targets) > 3 else ""),
        }
        self._measured[name] = injected.cause
        self._write_status(name, told)
        self._record(name, "Warning", "FaultInjected", f"Injected into {told['target'] or 'the cluster'}")
        obj = self._object(name)
        if obj is None or ((obj.extra or {}).get("spec") or {}).get("undo"):
            self._undo(name)  # asked for meanwhile

    def _ended(self, name: str, phase: str) -> None:
        self._ends.pop(name, None)
        self._write_status(name, {"phase": phase, "endedAt": self._time(self._cluster.now)})
        self._record(
            name, "Normal", f"Fault{phase}", f"The fault has {'been undone' if phase == 'Undone' else 'ended'}"
        )

    def _measure(self, now: Instant) -> None:
        for name, cause in list(self._measured.items()):
            found = self._measures.of(cause, now)
            if found is None:
                continue
            told, waiting = found
            over = name not in self._ends and not waiting
            if self._status_of(name).get("recovery") != told:
                self._write_status(
                    name, {"recovery": told, "recovered": f"{told['victims'] - waiting}/{told['victims']}"}
                )
            if over or (name not in self._ends and now - self._measures.begun_ns > PATIENCE_NS):
                del self._measured[name]
        if not self._measured and not self._ends:
            self._measures.stop()

    # -- writing -------------------------------------------------------------------------------------------------------

    def _object(self, name: str) -> Unstructured | None:
        found: Unstructured | None = self._cluster.server.objects(KIND).get(name)
        return found

    def _status_of(self, name: str) -> Json:
        obj = self._object(name)
        return {} if obj is None else _status(obj)

    def _write_status(self, name: str, more: Json) -> None:
        obj = self._object(name)
        if obj is None:
            return  # somebody has deleted it
        kind = next((key for key in (obj.extra or {}).get("spec") or {} if key != "undo"), "")
        extra = {**(obj.extra or {}), "status": {"fault": kind, **_status(obj), **more}}
        try:
            self._cluster.server.update(msgspec.structs.replace(obj, extra=extra), "status")
        except ApiError:
            return  # the API server does not serve: told at the next change

    def _record(self, name: str, type_: str, reason: str, text: str) -> None:
        obj = self._object(name)
        if obj is not None:
            self._cluster.api.record(Record(obj, type_, reason, text), REPORTER)

    def _time(self, at: Instant) -> str:
        return time_text(at, self._epoch)


class FaultMeasures:
    """Recovery from faults, as `podyard run` measures it, from the first fault on; nothing is kept between faults."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._folds: tuple[PodLives, Traffic, Recovery] | None = None
        self._places: dict[int, int] = {}  # cause: place among the faults of Recovery
        self.begun_ns: Instant = 0
        cluster.server.listeners.append(self._written)
        cluster.api.observers.append(self._observed)

    def of(self, cause: int, now: Instant) -> tuple[Json, int] | None:
        """(what is measured of a fault, victims that are not back yet)."""
        if self._folds is None or cause not in self._places:
            return None
        recovery = self._folds[2]
        place = self._places[cause]
        told = recovery.metrics(now)[place]
        told = {key: value for key, value in told.items() if key not in ("atSeconds", "targets")}
        waiting = sum(
            item["outcome"] == "waiting" or _on_its_way(item, self._folds[0]) for item in victims(recovery)[place]
        )
        if waiting:
            told.pop("phases")  # they grow until all are back
        return told, waiting

    def stop(self) -> None:
        self._folds = None
        self._places.clear()

    def _begin(self, now: Instant) -> None:
        lives, traffic = PodLives(), Traffic()
        self._folds = (lives, traffic, Recovery(lives, traffic))
        self.begun_ns = now
        for kind in ("Node", "ReplicaSet", "Pod", "EndpointSlice"):
            for obj in self._cluster.server.listed(kind):
                for fold in self._folds:
                    fold.write(now, kind, ADDED, obj, None)

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject | None, revision: int) -> None:
        if self._folds is not None:
            for fold in self._folds:
                fold.write(self._cluster.server.now, kind.kind, change, obj, old)

    def _observed(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic == "fault" and self._folds is None:
            self._begin(at_ns)
        if self._folds is not None:
            for fold in self._folds:
                fold.observe(at_ns, source, topic, data)
            if topic == "fault":
                self._places[data[3]] = len(self._folds[2].faults) - 1


def _on_its_way(victim: Json, lives: PodLives) -> bool:
    """Another pod is there in its place, and does not run yet."""
    new = lives.all.get(victim.get("replacedBy", ""))
    return new is not None and new.running_ns < 0 and new.deleted_ns < 0


def _status(obj: Unstructured) -> Json:
    found = (obj.extra or {}).get("status")
    return found if isinstance(found, dict) else {}
