"""Endpoints beside EndpointSlices, for clients that still read them.

Source: pkg/controller/endpoint/endpoints_controller.go; the API is deprecated from Kubernetes 1.33 on. Only clients
read Endpoints, so they are made where clients are served, of the slices that the controller keeps.
"""

from __future__ import annotations

from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.server_listener import ServerListener
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.engine.component import DELETED
from harness.model.meta import ApiObject, ObjectMeta
from harness.model.objects import Kind, Unstructured
from harness.model.wire import Json
from harness.model.workloads import Endpoint, EndpointSlice

SERVICE_NAME = "kubernetes.io/service-name"

MOST_ADDRESSES = 1000
"""Source: endpoints_controller.go maxCapacity."""


class EndpointsMirror(ServerListener):
    def __init__(self, driver: DriverQueue) -> None:
        super().__init__(driver)
        self._waiting: set[str] = set()

    def attach(self) -> None:
        server = self._driver.server
        for slice_ in server.listed("EndpointSlice"):
            self._later(slice_)
        self.listen()

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject, revision: int) -> None:
        if kind.kind == "EndpointSlice":
            self._later(obj)
        elif kind.kind == "Service" and change == DELETED:
            self._submit(obj.metadata.key)

    def _later(self, slice_: EndpointSlice) -> None:
        service = slice_.metadata.labels.get(SERVICE_NAME)
        if service:
            self._submit(f"{slice_.metadata.namespace}/{service}")

    def _submit(self, key: str) -> None:
        """Slices that change together are read once."""
        if key not in self._waiting:
            self._waiting.add(key)
            self._driver.submit(lambda server: self._sync(server, key))

    def _sync(self, server: ApiServer, key: str) -> None:
        self._waiting.discard(key)
        namespace, _, name = key.partition("/")
        held = server.objects("Endpoints").get(key)
        service = server.objects("Service").get(key)
        if service is None:
            if held is not None:
                server.delete("Endpoints", namespace, name)
            return
        slices = [
            item
            for item in server.listed("EndpointSlice", namespace)
            if item.metadata.labels.get(SERVICE_NAME) == name and item.address_type != "FQDN"
        ]
        body: Json = {"apiVersion": "v1", "kind": "Endpoints"}
        if subsets := subsets_of(slices):
            body["subsets"] = subsets
        if held is None:
            space = server.objects("Namespace").get(namespace)
            if space is None or space.metadata.deletion_timestamp is not None:
                return
            meta = ObjectMeta(name=name, namespace=namespace, labels=dict(service.metadata.labels))
            server.create(Unstructured(metadata=meta, extra=body))
        else:
            server.update(replaced(held, extra=body))


def subsets_of(slices: list[EndpointSlice]) -> list[Json]:
    """A subset for each set of ports, its addresses in order."""
    by_ports: dict[str, tuple[list[Json], list[Endpoint]]] = {}
    for slice_ in slices:
        ports: list[Json] = []
        for port in slice_.ports:
            said = {"name": port.name or None, "port": port.port, "protocol": port.protocol or "TCP"}
            ports.append({field: value for field, value in said.items() if value is not None})
        by_ports.setdefault(repr(ports), (ports, []))[1].extend(slice_.endpoints)
    out: list[Json] = []
    for ports, endpoints in by_ports.values():
        ready = [item for item in endpoints if item.conditions.ready is not False]
        waiting = [item for item in endpoints if item.conditions.ready is False]
        subset: Json = {}
        for field, chosen in (("addresses", ready), ("notReadyAddresses", waiting)):
            if addresses := [_address(item, text) for item in chosen for text in item.addresses]:
                subset[field] = sorted(addresses, key=lambda item: item["ip"])[:MOST_ADDRESSES]
        if subset:
            out.append({**subset, "ports": ports} if ports else subset)
    return out


def _address(endpoint: Endpoint, address: str) -> Json:
    out: Json = {"ip": address}
    if endpoint.node_name:
        out["nodeName"] = endpoint.node_name
    target = endpoint.target_ref
    if target is not None:
        out["targetRef"] = {
            "kind": target.kind,
            "namespace": target.namespace,
            "name": target.name,
            "uid": target.uid,
        }
    return out
