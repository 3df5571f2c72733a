"""The `proxy` part of Services, pods and nodes: a request handed on to what stands behind the name.

Source: pkg/registry/core/{service/storage,pod,node} ResourceLocation (Kubernetes 1.32): `[scheme:]name[:port]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.apiserver.http.auth import rbac
from harness.apiserver.http.auth.rbac import Action, User
from harness.apiserver.http.containers.container import listens
from harness.apiserver.http.containers.network import answer_of, backends, slices_of
from harness.apiserver.server import ApiServer
from harness.model.objects import to_wire
from harness.model.status import ApiError, unavailable
from harness.model.whole_numbers import whole_number

KUBELET_PORT = 10250
"""Source: pkg/cluster/ports/ports.go."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """`what`: services, pods or nodes; `path`: what is asked of it."""

    what: str
    namespace: str
    name: str
    port: str
    path: str


def proxied(path: str) -> Proxied | None:
    """None for a path that is no proxy's."""
    parts = path.split("/")
    match parts:
        case ["", "api", "v1", "namespaces", namespace, ("services" | "pods") as what, name, "proxy", *rest]:
            return Proxied(what, namespace, *_named(name), "/" + "/".join(rest))
        case ["", "api", "v1", "nodes", name, "proxy", *rest]:
            return Proxied("nodes", "", *_named(name), "/" + "/".join(rest))
        case _:
            return None


def _named(text: str) -> tuple[str, str]:
    pieces = text.split(":")
    if len(pieces) == 1:
        return text, ""
    return (pieces[-2], pieces[-1]) if len(pieces) in (2, 3) else (text, "")


def answered(server: ApiServer, user: User, asked: Proxied, method: str, epoch_unix_ns: int) -> tuple[bytes, str]:
    """(body, its content type). Raises ApiError."""
    verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, "get")
    rbac.check(server, user, Action(verb, "", asked.what, "proxy", asked.namespace, asked.name))
    match asked.what:
        case "services":
            text = _service(server, asked, method)
        case "pods":
            text = _pod(server, asked, method)
        case _:
            return _node(server, asked, epoch_unix_ns)
    return text.encode(), "text/plain"


def _service(server: ApiServer, asked: Proxied, method: str) -> str:
    service = server.get("Service", asked.namespace, asked.name)
    ports = [item for item in service.spec.ports if asked.port in (item.name, str(item.port))]
    if not asked.port and len(service.spec.ports) == 1:
        ports = list(service.spec.ports)
    if not ports:
        raise unavailable(f'no service port "{asked.port}" found for service "{asked.name}"')
    for endpoint, port in backends(slices_of(server, asked.namespace, asked.name), ports[0]):
        ref = endpoint.target_ref
        pod = server.objects("Pod").get(f"{ref.namespace}/{ref.name}") if ref is not None else None
        if pod is not None:
            return answer_of(pod, port, method, asked.path)
    raise unavailable(f'no endpoints available for service "{asked.name}"')


def _pod(server: ApiServer, asked: Proxied, method: str) -> str:
    pod = server.get("Pod", asked.namespace, asked.name)
    declared = [port for container in pod.spec.containers for port in container.ports]
    named = [item.container_port for item in declared if item.name == asked.port]
    number = whole_number(asked.port)
    if number is not None:
        named = [number]
    elif not asked.port:
        named = [item.container_port for item in declared] or [80]
    if not named:
        raise ApiError(404, "NotFound", f'pod "{asked.name}" has no port "{asked.port}"')
    port = named[0]
    if pod.status.phase != "Running" or not listens(pod, port):
        at = f"{pod.status.pod_ip}:{port}"
        raise unavailable(f"error trying to reach service: dial tcp {at}: connect: connection refused")
    return answer_of(pod, port, method, asked.path)


def _node(server: ApiServer, asked: Proxied, epoch_unix_ns: int) -> tuple[bytes, str]:
    """A kubelet's own server. Source: pkg/kubelet/server/server.go: /healthz, /pods."""
    node = server.get("Node", "", asked.name)
    if any(item.type == "Ready" and item.status == "Unknown" for item in node.status.conditions):
        at = f"{node.status.addresses[0].address if node.status.addresses else asked.name}:{KUBELET_PORT}"
        raise unavailable(f"error trying to reach service: dial tcp {at}: connect: no route to host")
    match asked.path.rstrip("/"):
        case "/healthz":
            return b"ok", "text/plain"
        case "/pods":
            mine = [pod for pod in server.listed("Pod") if pod.spec.node_name == asked.name]
            items = [to_wire(pod, epoch_unix_ns=epoch_unix_ns, whole=True) for pod in mine]
            body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
            return msgspec.json.encode(body), "application/json"
        case other:
            raise ApiError(404, "NotFound", f"the kubelet of {asked.name} does not serve {other} in this simulation")
