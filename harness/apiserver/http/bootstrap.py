"""What every cluster has that clients talk to: the `kubernetes` Service, whom it trusts, `default` ServiceAccounts.

Source: pkg/controlplane/controller/kubernetesservice/controller.go;
pkg/controller/serviceaccount/serviceaccounts_controller.go.
"""

from __future__ import annotations

from harness.apiserver.admission.priority import SYSTEM_PRIORITIES
from harness.apiserver.http.auth import certs
from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.server_listener import ServerListener
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.engine.component import ADDED, DELETED
from harness.model.core import ConfigMap, Service, ServicePort, ServiceSpec
from harness.model.meta import ApiObject, ObjectMeta
from harness.model.objects import Kind, Unstructured
from harness.model.workloads import Endpoint, EndpointConditions, EndpointPort, EndpointSlice, PriorityClass

KUBERNETES = "kubernetes"
SERVICE_IP, SERVICE_PORT = "10.96.0.1", 443
"""The first address of the service range, as kubeadm's clusters have it."""

DEFAULT = "default"

ROOT_CA = "kube-root-ca.crt"
"""The ConfigMap by which the pods of a namespace know the API server."""
_DESCRIBED, _DESCRIPTION = (
    "kubernetes.io/description",
    "Holds the certificate of the authority that has signed the API server's.",
)

AUTHENTICATION = "extension-apiserver-authentication"
"""In kube-system: whom this API server trusts, for servers that check credentials themselves (kube-scheduler's does).
Source: pkg/controlplane/controller/clusterauthenticationtrust/cluster_authentication_trust_controller.go."""


PROXY_AUTHORITY, PROXY_NAME = "requestheader-client-ca-file", "front-proxy-ca"

_OF_PROXIES = {
    "requestheader-allowed-names": '["front-proxy-client"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-username-headers": '["X-Remote-User"]',
}
"""As kubeadm's clusters have them."""


def ensure_kubernetes_service(server: ApiServer, host: str, port: int) -> None:
    """The Service and the slice that says where the API server listens now."""
    at = ObjectMeta(name=KUBERNETES, namespace=DEFAULT, labels={"component": "apiserver", "provider": KUBERNETES})
    if f"{DEFAULT}/{KUBERNETES}" not in server.objects("Service"):
        ports = (ServicePort(name="https", port=SERVICE_PORT, target_port=port),)
        server.create(Service(metadata=at, spec=ServiceSpec(cluster_ip=SERVICE_IP, ports=ports)))
    slice_ = EndpointSlice(
        metadata=ObjectMeta(name=KUBERNETES, namespace=DEFAULT, labels={"kubernetes.io/service-name": KUBERNETES}),
        address_type="IPv6" if ":" in host else "IPv4",
        endpoints=(Endpoint(addresses=(host,), conditions=EndpointConditions(ready=True)),),
        ports=(EndpointPort(name="https", port=port, protocol="TCP"),),
    )
    held = server.objects("EndpointSlice").get(f"{DEFAULT}/{KUBERNETES}")
    if held is None:
        server.create(slice_)
    elif (held.address_type, held.endpoints, held.ports) != (slice_.address_type, slice_.endpoints, slice_.ports):
        if held.address_type != slice_.address_type:
            server.delete("EndpointSlice", DEFAULT, KUBERNETES)
            server.create(slice_)
        else:
            server.update(replaced(held, endpoints=slice_.endpoints, ports=slice_.ports))


class KubernetesService(ServerListener):
    """Makes the Service and its slice again when somebody has deleted one of them."""

    def __init__(self, driver: DriverQueue) -> None:
        super().__init__(driver)
        self._at = ("", 0)

    def attach(self, host: str, port: int) -> None:
        self._at = (host, port)
        ensure_kubernetes_service(self._driver.server, host, port)
        self.listen()

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject, revision: int) -> None:
        if (
            change == DELETED
            and kind.kind in ("Service", "EndpointSlice")
            and obj.metadata.key == f"{DEFAULT}/{KUBERNETES}"
        ):
            self._driver.submit(lambda server: ensure_kubernetes_service(server, *self._at))


def ensure_authentication(server: ApiServer, authority: str) -> None:
    """`authority`: PEM.

    There is no proxy in front of this server: nobody has the key of the authority of proxies, which is made for the
    servers that wait for one (kube-scheduler logs an error for each attempt where there is none).
    """
    meta = ObjectMeta(name=AUTHENTICATION, namespace="kube-system")
    held = server.objects("ConfigMap").get(meta.key)
    if held is None:
        data = {"client-ca-file": authority, PROXY_AUTHORITY: certs.make_authority(PROXY_NAME).certificate}
        server.create(ConfigMap(metadata=meta, data={**data, **_OF_PROXIES}))
        return
    data = {**held.data, "client-ca-file": authority, **_OF_PROXIES}
    if not data.get(PROXY_AUTHORITY):
        data[PROXY_AUTHORITY] = certs.make_authority(PROXY_NAME).certificate
    if data != held.data:
        server.update(replaced(held, data=data))


def ensure_priority_classes(server: ApiServer) -> None:
    """Source: pkg/registry/scheduling/rest/storage_scheduling.go AddSystemPriorityClasses (1.32)."""
    for name, value in SYSTEM_PRIORITIES.items():
        if name not in server.objects("PriorityClass"):
            about = f"For pods that {_CRITICAL[name]}."
            server.create(PriorityClass(metadata=ObjectMeta(name=name), value=value, description=about))


_CRITICAL = {
    "system-cluster-critical": "the cluster cannot do without, wherever they run",
    "system-node-critical": "their node cannot do without: above all others",
}


class DefaultServiceAccounts(ServerListener):
    """What each namespace has: the account `default`, and the ConfigMap with the authority (PEM) that pods trust.

    Source: pkg/controller/certificates/rootcacertpublisher/publisher.go.
    """

    def __init__(self, driver: DriverQueue, authority: str) -> None:
        super().__init__(driver)
        self._authority = authority

    def attach(self) -> None:
        server = self._driver.server
        for name in sorted(server.objects("Namespace")):
            self._ensure(server, name)
        self.listen()

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject, revision: int) -> None:
        meta = obj.metadata
        if kind.kind == "Namespace" and change == ADDED:
            self._submit(meta.name)
        elif (kind.kind == "ServiceAccount" and change == DELETED and meta.name == DEFAULT) or (
            kind.kind == "ConfigMap" and change != ADDED and meta.name == ROOT_CA
        ):
            self._submit(meta.namespace)

    def _submit(self, namespace: str) -> None:
        self._driver.submit(lambda server: self._ensure(server, namespace))

    def _ensure(self, server: ApiServer, namespace: str) -> None:
        found = server.objects("Namespace").get(namespace)
        if found is not None and found.metadata.deletion_timestamp is None:
            _ensure_account(server, namespace)
            _ensure_root_ca(server, namespace, self._authority)


def _ensure_root_ca(server: ApiServer, namespace: str, authority: str) -> None:
    made = ConfigMap(
        metadata=ObjectMeta(name=ROOT_CA, namespace=namespace, annotations={_DESCRIBED: _DESCRIPTION}),
        data={"ca.crt": authority},
    )
    held = server.objects("ConfigMap").get(made.metadata.key)
    if held is None:
        server.create(made)
    elif held.data != made.data:
        server.update(replaced(held, data=made.data))


def _ensure_account(server: ApiServer, namespace: str) -> None:
    if f"{namespace}/{DEFAULT}" not in server.objects("ServiceAccount"):
        server.create(
            Unstructured(
                metadata=ObjectMeta(name=DEFAULT, namespace=namespace),
                extra={"apiVersion": "v1", "kind": "ServiceAccount"},
            )
        )
