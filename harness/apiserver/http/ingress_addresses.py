"""Where a live cluster's Ingresses are reached: one address for all, which their status says.

In Kubernetes an Ingress controller says so; here the cluster's own data path answers every class of Ingress.
"""

from __future__ import annotations

from harness.apiserver.http.containers.network import INGRESS_ADDRESS
from harness.apiserver.http.server_listener import ServerListener
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import part
from harness.apiserver.server import ApiServer
from harness.engine.component import DELETED
from harness.model.meta import ApiObject
from harness.model.objects import Kind, Unstructured
from harness.model.status import ApiError


class IngressAddresses(ServerListener):
    def attach(self) -> None:
        server = self._driver.server
        self.listen()
        for key in sorted(server.objects("Ingress")):
            _ensure(server, key)

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject, revision: int) -> None:
        if kind.kind == "Ingress" and change != DELETED and _is_silent(obj):
            key = obj.metadata.key
            self._driver.submit(lambda server: _ensure(server, key))


def _is_silent(obj: Unstructured) -> bool:
    return not part(obj.extra or {}, "status", "loadBalancer", "ingress")


def _ensure(server: ApiServer, key: str) -> None:
    obj = server.objects("Ingress").get(key)
    if obj is None or obj.metadata.deletion_timestamp is not None or not _is_silent(obj):
        return
    status = {"loadBalancer": {"ingress": [{"ip": INGRESS_ADDRESS}]}}
    try:
        server.update(replaced(obj, extra={**(obj.extra or {}), "status": status}), "status")
    except ApiError:
        return  # it has changed or gone: what was written then is heard of as well
