"""One container of a pod as the API server knows it: its status, its command and what surrounds it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from harness.apiserver.server import ApiServer
from harness.model.commands import Surroundings, reads_stdin
from harness.model.core import Container, ContainerState, Pod
from harness.model.shell_commands import Network
from harness.model.status import ApiError, bad_request
from harness.model.wire import Json, encode, time_text

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class Known:
    """`state`, `last_state`: of its status; both empty before the kubelet has said anything."""

    pod: Pod
    name: str
    spec: Json
    state: ContainerState
    last_state: ContainerState

    @property
    def argv(self) -> list[str]:
        """What it runs, as far as the pod says; empty where that is the image's own."""
        return [str(item) for item in (*(self.spec.get("command") or ()), *(self.spec.get("args") or ()))]

    @property
    def interactive(self) -> bool:
        """It reads from whoever attaches, until that ends."""
        return bool(self.spec.get("stdin")) and reads_stdin(self.argv)

    @property
    def identity(self) -> str:
        """Of this run of the container: its files are those of no other one."""
        running = self.state.running
        return f"{self.pod.metadata.uid}/{self.name}/{running.started_at if running is not None else ''}"

    @property
    def ports(self) -> list[int]:
        return [int(port["containerPort"]) for port in self.spec.get("ports") or () if "containerPort" in port]


def listens(pod: Pod, port: int) -> bool:
    """Whether one of its containers takes connections there; one that declares no port takes them on any."""
    return any(not item.ports or any(one.container_port == port for one in item.ports) for item in pod.spec.containers)


def find(server: ApiServer, namespace: str, pod_name: str, asked: str) -> Known:
    """Raises ApiError NotFound, BadRequest (no such container, or several to choose from), InternalError (the node
    cannot be reached)."""
    pod: Pod = server.get("Pod", namespace, pod_name)
    specs = specs_of(pod)
    names = [spec["name"] for spec in specs]
    mains = [container.name for container in pod.spec.containers]
    if not asked:
        if len(mains) > 1:
            # Source: pkg/registry/core/pod/strategy.go LogLocation, podContainer.
            inits = [container.name for container in pod.spec.init_containers]
            more = f" or one of the init containers: [{' '.join(inits)}]" if inits else ""
            raise bad_request(
                f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(mains)}]{more}"
            )
        asked = mains[0]
    if asked not in names:
        raise bad_request(f"container {asked} is not valid for pod {pod_name}")
    if pod.spec.node_name:
        _check_reachable(server, pod)
    spec = specs[names.index(asked)]
    held = pod.status
    for status in (*held.container_statuses, *held.init_container_statuses, *held.ephemeral_container_statuses):
        if status.name == asked:
            return Known(pod, asked, spec, status.state, status.last_state)
    return Known(pod, asked, spec, ContainerState(), ContainerState())


def specs_of(pod: Pod) -> list[Json]:
    """Of all containers, in the words of the wire; the init containers last, as the first is the default."""
    ephemeral = (pod.spec.extra or {}).get("ephemeralContainers") or []
    return [*(_spec(item) for item in (*pod.spec.containers, *pod.spec.init_containers)), *ephemeral]


def _spec(container: Container) -> Json:
    ports = [{"containerPort": port.container_port} for port in container.ports]
    return {**(container.extra or {}), "name": container.name, "image": container.image, "ports": ports}


def _check_reachable(server: ApiServer, pod: Pod) -> None:
    """A node that does not answer has no logs to show. Source: the error that kube-apiserver gives then."""
    node = server.objects("Node").get(pod.spec.node_name)
    if node is None or any(item.type == "Ready" and item.status == "Unknown" for item in node.status.conditions):
        address = pod.status.host_ip or pod.spec.node_name
        where = f"https://{address}:10250"
        raise ApiError(500, "InternalError", f'Get "{where}": dial tcp {address}:10250: connect: no route to host')


def running(known: Known) -> None:
    """Raises ApiError where nothing can run in it now. Source: pkg/kubelet/server/server.go, "container not found"."""
    if not known.pod.spec.node_name:
        raise bad_request(f"pod {known.pod.metadata.name} does not have a host assigned")
    if known.pod.status.phase in ("Succeeded", "Failed"):
        what = f"cannot exec into a container in a completed pod; current phase is {known.pod.status.phase}"
        raise bad_request(what)
    if known.state.running is None:
        raise ApiError(500, "InternalError", f'unable to upgrade connection: container not found ("{known.name}")')


# -- what surrounds it -------------------------------------------------------------------------------------------------


def surroundings_of(
    server: ApiServer, known: Known, epoch_unix_ns: int, network: Network | None = None
) -> Surroundings:
    """Variables and files that the pod's spec gives, from the ConfigMaps and Secrets that there are now."""
    pod = known.pod
    hostname = (pod.spec.extra or {}).get("hostname") or pod.metadata.name
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": hostname}
    for source in known.spec.get("envFrom") or ():
        for kind, part in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if part in source:
                data = _data(server, kind, pod.metadata.namespace, source[part].get("name", ""))
                env |= {f"{source.get('prefix', '')}{name}": text for name, text in data.items()}
    for item in known.spec.get("env") or ():
        value = item.get("value", "")
        if "valueFrom" in item:
            found = _value_from(server, known, item["valueFrom"])
            if found is None:
                continue
            value = found
        env[item["name"]] = value
    env |= {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOME": "/root"}
    files = {
        "/etc/hostname": f"{hostname}\n",
        "/etc/hosts": f"127.0.0.1\tlocalhost\n{pod.status.pod_ip}\t{hostname}\n",
        "/etc/resolv.conf": (
            f"search {pod.metadata.namespace}.svc.cluster.local svc.cluster.local cluster.local\n"
            "nameserver 10.96.0.10\noptions ndots:5\n"
        ),
    }
    files |= _mounted(server, known)
    return Surroundings(hostname, env, files, time_text(server.now, epoch_unix_ns), network)


def _data(server: ApiServer, kind: str, namespace: str, name: str) -> dict[str, str]:
    obj = server.objects(kind).get(f"{namespace}/{name}")
    if obj is None:
        return {}
    if kind == "ConfigMap":
        return dict(obj.data)
    held = (obj.extra or {}).get("data") or {}
    return {key: base64.b64decode(text).decode("utf-8", "replace") for key, text in held.items()}


def _value_from(server: ApiServer, known: Known, source: Json) -> str | None:
    pod = known.pod
    for kind, part in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if part in source:
            held = _data(server, kind, pod.metadata.namespace, source[part].get("name", ""))
            return held.get(source[part].get("key", ""))
    return _field(pod, (source.get("fieldRef") or {}).get("fieldPath", ""))


def _field(pod: Pod, path: str) -> str | None:
    """What the downward API says at a path of fields."""
    meta = pod.metadata
    match path.partition("['"):
        case ["metadata.labels", _, key]:
            return meta.labels.get(key.rstrip("']"), "")
        case ["metadata.annotations", _, key]:
            return meta.annotations.get(key.rstrip("']"), "")
    return {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name or "default",
        "status.podIP": pod.status.pod_ip,
        "status.podIPs": pod.status.pod_ip,
        "status.hostIP": pod.status.host_ip,
    }.get(path)


def _mounted(server: ApiServer, known: Known) -> dict[str, str]:
    return {
        f"{folder}/{path}": text
        for folder, source in _sources_of(known)
        for path, text in _files_of(server, known.pod, source).items()
    }


def _sources_of(known: Known) -> Iterator[tuple[str, Json]]:
    """(folder, volume or one source of a projected volume) of each mount."""
    volumes = {item["name"]: item for item in encode(known.pod.spec).get("volumes") or () if "name" in item}
    for mount in known.spec.get("volumeMounts") or ():
        volume = volumes.get(mount.get("name", ""), {})
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield mount["mountPath"].rstrip("/"), source


def token_files(known: Known) -> dict[str, Json]:
    """By path: what the pod's spec says of each token that is mounted (core/v1 ServiceAccountTokenProjection)."""
    return {
        f"{folder}/{source['serviceAccountToken'].get('path', '')}": source["serviceAccountToken"]
        for folder, source in _sources_of(known)
        if "serviceAccountToken" in source
    }


def _files_of(server: ApiServer, pod: Pod, source: Json) -> dict[str, str]:
    """Of a volume, or of one source of a projected volume, by path; `token_files` are others."""
    files: dict[str, str] = {}
    for kind, part in (("ConfigMap", "configMap"), ("Secret", "secret")):
        if part in source:
            held = source[part]
            data = _data(server, kind, pod.metadata.namespace, held.get("name") or held.get("secretName") or "")
            chosen = {item["key"]: item["path"] for item in held.get("items") or ()}
            files |= {chosen.get(key, key): text for key, text in data.items() if not chosen or key in chosen}
    for item in (source.get("downwardAPI") or {}).get("items") or ():
        text = _field(pod, (item.get("fieldRef") or {}).get("fieldPath", ""))
        if text is not None:
            files[item.get("path", "")] = text
    return files
