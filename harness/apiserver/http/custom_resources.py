"""Serves what CustomResourceDefinitions define, from the moment that they are there until their last object is gone.

Source: apiextensions-apiserver pkg/controller/{status,establish,finalizer}.
"""

from __future__ import annotations

from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.server_listener import ServerListener
from harness.apiserver.kinds import register, unregister
from harness.apiserver.kinds.custom.definitions import Defined, defined, spec_of
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.engine.component import DELETED
from harness.model.meta import ApiObject
from harness.model.objects import KINDS, Kind, Unstructured
from harness.model.wire import Json, time_text

DEFINITION = "CustomResourceDefinition"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Source: apiextensions/v1 CustomResourceCleanupFinalizer."""


class CustomResources(ServerListener):
    def __init__(self, driver: DriverQueue, epoch_unix_ns: int) -> None:
        super().__init__(driver)
        self._epoch = epoch_unix_ns
        self._served: dict[str, Defined] = {}  # by the definition's name
        self._specs: dict[str, Json] = {}  # what each was made of

    def attach(self) -> None:
        server = self._driver.server
        self.listen()
        for name in sorted(server.objects(DEFINITION)):
            self._sync(server, name)

    def detach(self) -> None:
        super().detach()
        for held in self._served.values():
            unregister(held.kind.kind)
        self._served.clear()

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject, revision: int) -> None:
        if kind.kind == DEFINITION:
            self._submit(obj.metadata.name)
        elif kind.wire_name:
            if change == DELETED:
                self._driver.submit(lambda server: _delete_dependents(server, obj.metadata.uid))
                self._submit(f"{kind.plural}.{kind.group}")
        elif kind.kind == "Namespace" and obj.metadata.deletion_timestamp is not None:
            namespace = obj.metadata.name
            self._driver.submit(lambda server: self._delete_within(server, namespace))

    def _submit(self, name: str) -> None:
        self._driver.submit(lambda server: self._sync(server, name))

    def _sync(self, server: ApiServer, name: str) -> None:
        obj = server.objects(DEFINITION).get(name)
        held = self._served.get(name)
        if obj is None:
            if held is not None:
                del self._served[name]
                server.cache.by_kind.pop(held.kind.kind, None)
                unregister(held.kind.kind)
            return
        if obj.metadata.deletion_timestamp is not None:
            self._finalize(server, obj, held)
            return
        conflict = self._conflict(obj)
        if not conflict:
            made = defined(obj)
            if held is None or spec_of(obj) != self._specs.get(held.kind.kind):
                if held is not None:
                    unregister(held.kind.kind)
                register(made.rules)
                if held is None:
                    server.cache.add(made.kind)
                    server.admission.add(made.kind.kind)
                self._served[name] = made
                self._specs[made.kind.kind] = spec_of(obj)
        self._write_status(server, obj, conflict)

    def _conflict(self, obj: Unstructured) -> str:
        """Which of its names another resource of the group has already."""
        spec = spec_of(obj)
        said = spec["names"]
        mine = f"{said['kind']}.{spec['group']}"
        if any(held.kind.kind == mine for name, held in self._served.items() if name != obj.metadata.name):
            return f'"{said["kind"]}" is already in use'
        for kind in KINDS.values():
            if kind.group != spec["group"] or kind.kind == mine:
                continue
            if kind.plural == said["plural"]:
                return f'"{said["plural"]}" is already in use'
            if kind.wire == said["kind"]:
                return f'"{said["kind"]}" is already in use'
        if mine in KINDS and not KINDS[mine].wire_name:
            return f'"{said["kind"]}" is already in use'
        return ""

    def _write_status(self, server: ApiServer, obj: Unstructured, conflict: str) -> None:
        """The status: accepted names, conditions, stored versions."""
        spec, extra = spec_of(obj), dict(obj.extra or {})
        before = extra.get("status") or {}
        was = {item["type"]: item for item in before.get("conditions") or ()}
        wanted = (
            (
                ("NamesAccepted", "False", "KindConflict", conflict),
                ("Established", "False", "NotAccepted", "not all names are accepted"),
            )
            if conflict
            else (
                ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
                ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
            )
        )
        conditions = []
        for type_, status, reason, message in wanted:
            old = was.get(type_, {})
            at = old.get("lastTransitionTime") if old.get("status") == status else None
            conditions.append(
                {
                    "type": type_,
                    "status": status,
                    "lastTransitionTime": at or time_text(server.now, self._epoch),
                    "reason": reason,
                    "message": message,
                }
            )
        stored = list(before.get("storedVersions") or ())
        storing = next(version["name"] for version in spec["versions"] if version.get("storage"))
        if storing not in stored:
            stored.append(storing)
        told = {
            "conditions": conditions,
            "acceptedNames": {} if conflict else spec["names"],
            "storedVersions": stored,
        }
        if before != told:
            server.update(replaced(obj, extra={**extra, "status": told}), "status")
        current = server.objects(DEFINITION)[obj.metadata.name]
        if CLEANUP not in current.metadata.finalizers:
            meta = replaced(current.metadata, finalizers=(*current.metadata.finalizers, CLEANUP))
            server.update(replaced(current, metadata=meta))

    def _finalize(self, server: ApiServer, obj: Unstructured, held: Defined | None) -> None:
        if held is not None:
            left = server.listed(held.kind.kind)
            for item in left:
                if item.metadata.deletion_timestamp is None:
                    server.delete(held.kind.kind, item.metadata.namespace, item.metadata.name)
            if server.objects(held.kind.kind):
                return  # something holds them; looked at again when one is gone
        if CLEANUP in obj.metadata.finalizers:
            current = server.objects(DEFINITION)[obj.metadata.name]
            kept = tuple(item for item in current.metadata.finalizers if item != CLEANUP)
            server.update(replaced(current, metadata=replaced(current.metadata, finalizers=kept)))

    def _delete_within(self, server: ApiServer, namespace: str) -> None:
        for held in self._served.values():
            if not held.kind.namespaced:
                continue
            for item in server.listed(held.kind.kind, namespace):
                if item.metadata.deletion_timestamp is None:
                    server.delete(held.kind.kind, namespace, item.metadata.name)


def _delete_dependents(server: ApiServer, uid: str) -> None:
    """The garbage collector follows the kinds that there were when it began; what owners of others leave goes here."""
    for kind in list(KINDS.values()):
        for item in server.listed(kind.kind):
            meta = item.metadata
            owners = {owner.uid for owner in meta.owner_references}
            if owners == {uid} and meta.deletion_timestamp is None:
                server.delete(kind.kind, meta.namespace, meta.name, propagation="Background")
