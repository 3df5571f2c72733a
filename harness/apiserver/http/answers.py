"""Typed objects as the JSON that a client asked for: whole, as a Table, or their metadata alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, assert_never

import msgspec

from harness.apiserver.http import protobuf_answers, tables
from harness.apiserver.http.bodies import JSON, PROTOBUF
from harness.apiserver.http.call import Call, Objects, shown
from harness.apiserver.http.negotiate import ObjectForm
from harness.apiserver.http.watch import Happened, at_revision
from harness.apiserver.registry.table_cells import Moment
from harness.engine.component import DELETED
from harness.model.meta import ApiObject
from harness.model.status import ApiError, bad_request
from harness.model.wire import Json

SHARED, SHARED_BYTES = 4096, 16 << 20
"""Objects that are kept as bytes, at most, for watchers that are behind the first and for who reads them next."""

AT_ONCE = 200
"""Objects turned into JSON before others get their turn on the HTTP thread."""


class SharedObjects:
    """Objects as bytes, in one version and form: made once, sent to each who writes, reads or watches it."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, str, ObjectForm], tuple[Any, bytes]] = {}
        self._bytes = 0

    def get(self, obj: ApiObject, api_version: str, form: ObjectForm, make: Callable[[], Json]) -> bytes:
        """`make` gives the JSON of `obj` in that version and form."""
        key = (id(obj), api_version, form)
        found = self._held.get(key)
        if found is None:
            # The object is held, so that its id is not used again meanwhile.
            found = (obj, in_bytes(make(), form))
            self._bytes += len(found[1])
            if len(self._held) >= SHARED or self._bytes > SHARED_BYTES:
                self._held.clear()
                self._bytes = len(found[1])
            self._held[key] = found
        return found[1]

    def known(self, obj: ApiObject, api_version: str, form: ObjectForm) -> bytes | None:
        """What somebody has been sent already."""
        found = self._held.get((id(obj), api_version, form))
        return None if found is None else found[1]


def in_bytes(value: Json, form: ObjectForm) -> bytes:
    """What is answered. Raises ApiError NotAcceptable for what has no form in protobuf."""
    return protobuf_answers.encode(value) if form is ObjectForm.PROTOBUF else msgspec.json.encode(value)


def media_type(form: ObjectForm, *, stream: bool = False) -> str:
    if form is not ObjectForm.PROTOBUF:
        return JSON
    return f"{PROTOBUF};stream=watch" if stream else PROTOBUF


class Encoder:
    """For one call. Used on the HTTP thread. `shared`: what others are sent, too."""

    def __init__(self, call: Call, form: ObjectForm, shared: SharedObjects) -> None:
        self._shared = shared
        self._resource = call.resource
        self._kind = call.resource.kind.kind
        self._wire = call.resource.kind.wire
        self._epoch = call.epoch_unix_ns
        self._form = form
        self._shape = (call.resource.api_version, form)
        self._include = call.query.get("includeObject", "Metadata")
        if self._include not in ("None", "Metadata", "Object"):
            raise bad_request(f"unrecognized includeObject value: {self._include!r}")
        self._columns_told = False
        self.media_type = media_type(form, stream=call.verb == "watch")
        if form is ObjectForm.PROTOBUF and not protobuf_answers.is_known(call.resource.api_version, self._wire):
            told = f"{self._wire} of {call.resource.api_version} has no form in {PROTOBUF} here: accept {JSON}"
            raise ApiError(406, "NotAcceptable", told)

    def answer(self, obj: ApiObject, now: int) -> bytes:
        if self._form is ObjectForm.TABLE:
            return in_bytes(self.one(obj, now), self._form)
        return self._shared.get(obj, self._resource.api_version, self._form, lambda: self.one(obj, now))

    def one(self, obj: ApiObject, now: int) -> Json:
        data = shown(self._resource, obj, self._epoch)
        match self._form:
            case ObjectForm.OBJECT | ObjectForm.PROTOBUF:
                return data
            case ObjectForm.METADATA:
                return tables.partial(data)
            case ObjectForm.TABLE:
                row = tables.row(self._kind, data, Moment(now, self._epoch), self._include)
                meta = {"resourceVersion": data["metadata"].get("resourceVersion", "")}
                return tables.table(meta, tables.columns(self._kind), [row])
            case _:
                assert_never(self._form)

    async def page(self, page: Objects) -> Json:
        items: list[Any] = []
        moment = Moment(page.now, self._epoch)
        in_json = self._form in (ObjectForm.OBJECT, ObjectForm.METADATA)
        for index, obj in enumerate(page.objects):
            if index % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            known = self._shared.known(obj, self._resource.api_version, self._form) if in_json else None
            if known is not None:
                items.append(msgspec.Raw(known))
                continue
            data = shown(self._resource, obj, self._epoch)
            match self._form:
                case ObjectForm.OBJECT | ObjectForm.PROTOBUF:
                    items.append(data)
                case ObjectForm.METADATA:
                    items.append(tables.partial(data))
                case ObjectForm.TABLE:
                    items.append(tables.row(self._kind, data, moment, self._include))
                case _:
                    assert_never(self._form)
        meta: Json = {"resourceVersion": str(page.revision)}
        if page.next_token:
            meta["continue"] = page.next_token
        if page.remaining is not None:
            meta["remainingItemCount"] = page.remaining
        if self._form is ObjectForm.TABLE:
            return tables.table(meta, tables.columns(self._kind), items)
        if self._form is ObjectForm.METADATA:
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        else:
            head = {"kind": f"{self._wire}List", "apiVersion": self._resource.api_version}
        return {**head, "metadata": meta, "items": items}

    def event(self, happened: Happened) -> bytes:
        """One line of a watch."""
        if self._form is ObjectForm.TABLE:
            return self._own_event(happened)
        line = happened.lines.get(self._shape)
        if line is None:
            line = happened.lines[self._shape] = self._shared_event(happened)
        return line

    def _shared_event(self, happened: Happened) -> bytes:
        obj = happened.obj
        if happened.type == DELETED:
            obj = at_revision(obj, happened.revision)
        body = self.answer(obj, happened.now)
        if self._form is ObjectForm.PROTOBUF:
            return protobuf_answers.frame(happened.type, body)
        return b'{"type":"' + happened.type.encode() + b'","object":' + body + b"}\n"

    def _own_event(self, happened: Happened) -> bytes:
        obj = happened.obj
        if happened.type == DELETED:
            obj = at_revision(obj, happened.revision)
        data = self.one(obj, happened.now)
        if self._form is ObjectForm.TABLE:
            if self._columns_told:
                data["columnDefinitions"] = []
            self._columns_told = True
        return self._line(happened.type, data)

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        meta: Json = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        match self._form:
            case ObjectForm.OBJECT | ObjectForm.PROTOBUF:
                data: Json = {"kind": self._wire, "apiVersion": self._resource.api_version, "metadata": meta}
                if self._kind in ("Pod", "Deployment", "ReplicaSet", "Node", "Service", "Job", "Namespace"):
                    data |= {"spec": _EMPTY_SPECS.get(self._kind, {}), "status": {}}
            case ObjectForm.METADATA:
                data = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
            case ObjectForm.TABLE:
                row = {"cells": [], "object": tables.partial({"metadata": meta})}
                data = tables.table({"resourceVersion": str(revision)}, [], [row])
            case _:
                assert_never(self._form)
        return self._line("BOOKMARK", data)

    def error(self, error: ApiError) -> bytes:
        return self._line("ERROR", error.to_wire())

    def _line(self, change: str, data: Json) -> bytes:
        if self._form is ObjectForm.PROTOBUF:
            return protobuf_answers.frame(change, protobuf_answers.encode(data))
        return msgspec.json.encode({"type": change, "object": data}) + b"\n"


_EMPTY_SPECS: dict[str, Json] = {"Pod": {"containers": None}}
