"""What the proxy knows of Ingresses: to which Service each sends its clients' requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.model.core import Service
from harness.model.ingress import backend_of, port_matches
from harness.model.objects import kind_of
from harness.node.settings import Route


class IngressRoutes:
    """Ingresses and Services of `namespaces`, those that clients of an Ingress are in."""

    __slots__ = ("_ingresses", "_services", "namespaces")

    def __init__(self, namespaces: Iterable[str]) -> None:
        self.namespaces = frozenset(namespaces)
        self._ingresses: dict[str, dict[str, Any]] = {}  # by 'namespace/name': JSON without metadata
        self._services: dict[str, Service] = {}

    def clear(self) -> None:
        self._ingresses.clear()
        self._services.clear()

    def relisted(self, kind: str, objects: Iterable[Any]) -> bool:
        """All there are of a kind; whether that concerns routes."""
        if not self.namespaces or kind not in ("Ingress", "Service"):
            return False
        (self._ingresses if kind == "Ingress" else self._services).clear()
        for obj in objects:
            self.heard(obj, gone=False)
        return True

    def heard(self, obj: Any, *, gone: bool) -> bool:
        """An object was written or is gone; whether that concerns routes."""
        meta = obj.metadata
        if meta.namespace not in self.namespaces:
            return False
        held: dict[str, Any]
        if isinstance(obj, Service):
            held = self._services
            value: Any = obj
        elif kind_of(obj) == "Ingress":
            held = self._ingresses
            value = obj.extra or {}
        else:
            return False
        if gone:
            held.pop(meta.key, None)
        else:
            held[meta.key] = value
        return True

    def backend(self, route: Route) -> str:
        """'namespace/name' of the Service; empty where the Ingress is gone, has no rule for what is asked for, or names
        a Service or a port of it that is not there."""
        namespace = route.service.partition("/")[0]
        found = backend_of(self._ingresses.get(f"{namespace}/{route.ingress}", {}), route.host, route.path)
        if found is None:
            return ""
        key = f"{namespace}/{found.service}"
        service = self._services.get(key)
        ports = service.spec.ports if service is not None else ()
        return key if any(port_matches(found.port, port.port, port.name) for port in ports) else ""
