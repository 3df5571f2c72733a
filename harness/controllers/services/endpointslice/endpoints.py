"""A pod as an endpoint of a Service: address, ports, conditions, where it runs.

Source: staging/src/k8s.io/endpointslice utils.go podToEndpoint, ShouldPodBeInEndpoints, FindPort.
"""

from __future__ import annotations

from harness.controllers.runtime.pods import ready_since
from harness.model.core import Pod, Service, ServicePort
from harness.model.workloads import Endpoint, EndpointConditions, EndpointPort, TargetRef

ZONE = "topology.kubernetes.io/zone"

Ports = tuple[EndpointPort, ...]


def belongs(pod: Pod) -> bool:
    """Has an address and has not ended; those on their way out are listed until they are gone."""
    return bool(pod.status.pod_ip) and pod.status.phase not in ("Succeeded", "Failed")


def unready_too(service: Service) -> bool:
    return bool((service.spec.extra or {}).get("publishNotReadyAddresses"))


def endpoint_of(pod: Pod, zone: str | None, *, unready_too: bool) -> Endpoint:
    meta = pod.metadata
    serving = ready_since(pod) is not None
    terminating = meta.deletion_timestamp is not None
    return Endpoint(
        addresses=(pod.status.pod_ip,),
        conditions=_CONDITIONS[unready_too or (serving and not terminating), serving, terminating],
        target_ref=TargetRef(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid),
        node_name=pod.spec.node_name or None,
        zone=zone,
    )


_CONDITIONS = {
    (ready, serving, terminating): EndpointConditions(ready=ready, serving=serving, terminating=terminating)
    for ready in (False, True)
    for serving in (False, True)
    for terminating in (False, True)
}


def fixed_ports(service: Service) -> Ports | None:
    """The ports of every pod, None when they depend on how the pod names its own."""
    if any(isinstance(port.target_port, str) for port in service.spec.ports):
        return None
    return tuple(_port(port, _number(port)) for port in service.spec.ports)


def ports_of(service: Service, pod: Pod) -> Ports:
    """Ports that the pod does not have are left out."""
    out = []
    for port in service.spec.ports:
        wanted = port.target_port
        if not isinstance(wanted, str):
            out.append(_port(port, _number(port)))
            continue
        for container in pod.spec.containers:
            named = next((p for p in container.ports if p.name == wanted and p.protocol == port.protocol), None)
            if named is not None:
                out.append(_port(port, named.container_port))
                break
    return tuple(out)


def _number(port: ServicePort) -> int:
    return port.target_port if isinstance(port.target_port, int) and port.target_port else port.port


def _port(port: ServicePort, number: int) -> EndpointPort:
    protocol = (port.extra or {}).get("appProtocol")
    return EndpointPort(
        name=port.name, protocol=port.protocol, port=number, extra={"appProtocol": protocol} if protocol else None
    )
