"""What answers HTTP inside the cluster: Services by name, address and node port, Ingresses by host, pods by address.

Nothing runs in a simulated container, so the answer says who was asked: namespace, pod, port, method and path.
Source of the names: kubernetes.io/docs/concepts/services-networking/dns-pod-service.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.apiserver.http.containers.container import listens
from harness.apiserver.server import ApiServer
from harness.apiserver.validation import names
from harness.model.core import Pod, Service, ServicePort
from harness.model.ingress import backend_of, host_matches, hosts_of, port_matches
from harness.model.workloads import Endpoint, EndpointSlice

SERVICE_NAME = "kubernetes.io/service-name"

DOMAIN = "svc.cluster.local"

INGRESS_ADDRESS = "10.96.0.2"
"""Where every Ingress of a live cluster is reached. The Services' addresses begin behind it."""

NO_ROUTE = "default backend - 404\n"
"""What an Ingress answers that has no rule for a request, or whose Service has no endpoints. Source: ingress-nginx's
defaultbackend."""

NETWORK_COMMANDS = ("curl", "wget", "nslookup")


def answer_of(pod: Pod, port: int, method: str, path: str) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name} port {port}: {method} {path}\n"


def slices_of(server: ApiServer, namespace: str, service: str) -> list[EndpointSlice]:
    found = server.listed("EndpointSlice", namespace)
    return [item for item in found if item.metadata.labels.get(SERVICE_NAME) == service]


def backends(slices: list[EndpointSlice], port: ServicePort) -> list[tuple[Endpoint, int]]:
    """Endpoints that take requests, each with the port that stands behind `port`."""
    return [
        (endpoint, target.port)
        for slice_ in slices
        for target in slice_.ports
        if (target.name or "") == port.name and target.port is not None
        for endpoint in slice_.endpoints
        if endpoint.conditions.ready is not False
    ]


class ClusterNetwork:
    """The cluster's network as a pod of `namespace` sees it, read on the thread that drives the server."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._namespace = namespace
        self._services: dict[str, Service] = dict(server.objects("Service"))
        self._pods: dict[str, Pod] = dict(server.objects("Pod"))
        self._slices: dict[str, list[EndpointSlice]] = {}
        for slice_ in server.listed("EndpointSlice"):
            key = f"{slice_.metadata.namespace}/{slice_.metadata.labels.get(SERVICE_NAME, '')}"
            self._slices.setdefault(key, []).append(slice_)
        self._nodes = {address.address for node in server.listed("Node") for address in node.status.addresses}
        self._ingresses = [(obj.metadata.namespace, obj.extra or {}) for obj in server.listed("Ingress")]
        self._turn = server.revision

    def resolve(self, host: str) -> tuple[str, tuple[str, ...]] | None:
        if names.is_ip_address(host):
            return host, (host,)
        found = self._named(host)
        if found is None:
            hosts = {pattern for _, ingress in self._ingresses for pattern in hosts_of(ingress)}
            return (host, (INGRESS_ADDRESS,)) if any(host_matches(pattern, host) for pattern in hosts) else None
        service, only = found
        meta = service.metadata
        addresses = tuple(item.addresses[0] for item in self._endpoints(service) if not only or _name(item) == only)
        if service.spec.cluster_ip not in ("", "None"):
            addresses = (service.spec.cluster_ip,)
        full = f"{meta.name}.{meta.namespace}.{DOMAIN}"
        return (f"{only}.{full}" if only else full, addresses) if addresses else None

    def get(self, host: str, port: int, path: str, asked_host: str = "") -> str | None:
        """`asked_host`: of the request's Host header, where that is not `host`."""
        if self._ingresses and port == 80 and (host == INGRESS_ADDRESS or not names.is_ip_address(host)):
            resolved = self.resolve(host)
            if resolved is not None and resolved[1] == (INGRESS_ADDRESS,):
                return self._through_ingress(asked_host or host, path)
        return self._get(host, port, path)

    def _through_ingress(self, host: str, path: str) -> str:
        """By the Ingress that names the host most closely; of two, by the older name."""
        for named in (True, False):
            for namespace, ingress in self._ingresses:
                if named is any(host_matches(pattern, host) for pattern in hosts_of(ingress)):
                    backend = backend_of(ingress, host, path)
                    service = None if backend is None else self._services.get(f"{namespace}/{backend.service}")
                    if backend is None or service is None:
                        continue
                    for known in service.spec.ports:
                        if port_matches(backend.port, known.port, known.name):
                            return self._served(service, known, path) or NO_ROUTE
        return NO_ROUTE

    def _served(self, service: Service, port: ServicePort, path: str) -> str | None:
        found = backends(self._slices.get(service.metadata.key, []), port)
        if not found:
            return None
        endpoint, target = found[self._turn % len(found)]
        ref = endpoint.target_ref
        pod = self._pods.get(f"{ref.namespace}/{ref.name}") if ref is not None else None
        return None if pod is None else answer_of(pod, target, "GET", path)

    def _get(self, host: str, port: int, path: str) -> str | None:
        for service, only in self._services_at(host, port):
            for known in service.spec.ports:
                headless = service.spec.cluster_ip in ("", "None")
                if known.port != port and known.node_port != port and not headless:
                    continue
                found = backends(self._slices.get(service.metadata.key, []), known)
                found = [item for item in found if not only or _name(item[0]) == only]
                if headless:  # its addresses are the pods' own, and so are the ports
                    found = [item for item in found if item[1] == port]
                if found:
                    endpoint, target = found[self._turn % len(found)]
                    ref = endpoint.target_ref
                    pod = self._pods.get(f"{ref.namespace}/{ref.name}") if ref is not None else None
                    return None if pod is None else answer_of(pod, target, "GET", path)
        for pod in self._pods.values():
            if pod.status.pod_ip == host and pod.status.phase == "Running" and listens(pod, port):
                return answer_of(pod, port, "GET", path)
        return None

    def _services_at(self, host: str, port: int) -> Iterator[tuple[Service, str]]:
        if not names.is_ip_address(host):
            found = self._named(host)
            if found is not None:
                yield found
            return
        for service in self._services.values():
            if service.spec.cluster_ip == host or (
                host in self._nodes and any(item.node_port == port for item in service.spec.ports)
            ):
                yield service, ""

    def _named(self, host: str) -> tuple[Service, str] | None:
        """(Service, the one of its pods that is named)."""
        parts = host.rstrip(".").removesuffix(f".{DOMAIN}").removesuffix(".svc").split(".")
        for own in ((*parts, self._namespace), tuple(parts)):
            if len(own) == 2 and (service := self._services.get(f"{own[1]}/{own[0]}")) is not None:
                return service, ""
            if len(own) == 3 and (service := self._services.get(f"{own[2]}/{own[1]}")) is not None:
                return service, own[0]
        return None

    def _endpoints(self, service: Service) -> list[Endpoint]:
        slices = self._slices.get(service.metadata.key, [])
        return [item for slice_ in slices for item in slice_.endpoints if item.conditions.ready is not False]


def _name(endpoint: Endpoint) -> str:
    return endpoint.target_ref.name if endpoint.target_ref is not None else ""
