"""Service, EndpointSlice, Ingress, NetworkPolicy.

Source: pkg/apis/core and pkg/apis/{discovery,networking}: validation and v1/defaults.go.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.admission.quota import Usage
from harness.apiserver.admission.service_addresses import ServiceAddresses
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.fields import attribute
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    NONE,
    UNSET,
    Moment,
    created,
    labels,
    name_of,
    part,
)
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import duplicate, immutable, required, unsupported, wrong
from harness.apiserver.validation.ingresses import ingress_problems, ingress_warnings
from harness.model.core import Service, ServicePort
from harness.model.objects import KINDS, Unstructured
from harness.model.status import Cause
from harness.model.wire import Json
from harness.model.workloads import EndpointSlice


def _default_service(obj: Service) -> Service:
    spec = obj.spec
    return replaced(
        obj,
        spec=replaced(
            spec,
            type=spec.type or "ClusterIP",
            session_affinity=spec.session_affinity or "None",
            ports=tuple(map(_default_port, spec.ports)),
            extra=_untyped_defaults(spec.type or "ClusterIP", spec.extra or {}),
        ),
    )


def _default_port(port: ServicePort) -> ServicePort:
    return replaced(
        port,
        protocol=port.protocol or "TCP",
        target_port=port.port if port.target_port in (None, 0, "") else port.target_port,
    )


def _untyped_defaults(kind: str, extra: Json) -> Json:
    """`kind`: the service's type."""
    out: Json = {"internalTrafficPolicy": "Cluster"}
    if kind == "ExternalName":
        out = {}
    else:
        out |= {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    if kind in ("NodePort", "LoadBalancer"):
        out["externalTrafficPolicy"] = "Cluster"
    if kind == "LoadBalancer":
        out["allocateLoadBalancerNodePorts"] = True
    return {**out, **extra}


_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def _service_problems(new: Service, old: Service | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if spec.type not in _SERVICE_TYPES:
        found.append(unsupported("spec.type", spec.type, _SERVICE_TYPES))
    if not spec.ports and spec.type != "ExternalName" and spec.cluster_ip != "None":
        found.append(required("spec.ports"))
    if spec.type == "ExternalName" and not (spec.extra or {}).get("externalName"):
        found.append(required("spec.externalName"))
    named: set[str] = set()
    claimed: set[tuple[int, str]] = set()
    for index, port in enumerate(spec.ports):
        at = f"spec.ports[{index}]"
        if not port.name and len(spec.ports) > 1:
            found.append(required(f"{at}.name"))
        elif port.name:
            if why := names.label_problem(port.name):
                found.append(wrong(f"{at}.name", port.name, why))
            elif port.name in named:
                found.append(duplicate(f"{at}.name", port.name))
            named.add(port.name)
        names.port_problems(found, f"{at}.port", port.port)
        names.protocol_problems(found, f"{at}.protocol", port.protocol)
        if isinstance(port.target_port, int):
            names.port_problems(found, f"{at}.targetPort", port.target_port)
        elif port.target_port and (why := names.port_name_problem(port.target_port)):
            found.append(wrong(f"{at}.targetPort", port.target_port, why))
        if (port.port, port.protocol) in claimed:
            found.append(duplicate(at, f"{port.protocol}/{port.port}"))
        claimed.add((port.port, port.protocol))
    found += names.label_problems(spec.selector, "spec.selector")
    if spec.session_affinity not in ("", "None", "ClientIP"):
        found.append(unsupported("spec.sessionAffinity", spec.session_affinity, ("ClientIP", "None")))
    if old is not None and "ExternalName" not in (old.spec.type, spec.type):
        was = old.spec.cluster_ip
        if was and spec.cluster_ip != was:
            # Source: pkg/apis/core/validation/validation.go validateUpgradeDowngradeClusterIPs.
            if spec.cluster_ip:
                found.append(wrong("spec.clusterIPs[0]", [spec.cluster_ip], "may not change once set"))
            else:
                found.append(wrong("spec.clusterIPs[0]", None, "primary clusterIP can not be unset"))
    return found


def _service_cells(obj: Json, moment: Moment) -> list[Any]:
    spec = obj.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    ports = []
    for port in spec.get("ports") or []:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    external = ",".join(spec.get("externalIPs") or [])
    if kind == "LoadBalancer":
        given = [i.get("ip") or i.get("hostname") for i in part(obj, "status", "loadBalancer", "ingress") or []]
        external = ",".join([*filter(None, given), *(spec.get("externalIPs") or [])]) or "<pending>"
    elif kind == "ExternalName":
        external = spec.get("externalName") or ""
    return [
        name_of(obj),
        kind,
        spec.get("clusterIP") or NONE,
        external or NONE,
        ",".join(ports) or NONE,
        moment.age(created(obj)),
        labels(spec.get("selector")),
    ]


def _service_usage(service: Service, now: int) -> Usage:
    """Source: evaluator/core/services.go."""
    used: Usage = {"services": 1000}
    kind = service.spec.type
    if kind == "LoadBalancer":
        used["services.loadbalancers"] = 1000
    if kind in ("NodePort", "LoadBalancer"):
        used["services.nodeports"] = len(service.spec.ports) * 1000
    return used


def _default_slice(obj: EndpointSlice) -> EndpointSlice:
    if all(port.name is not None and port.protocol is not None for port in obj.ports):
        return obj
    ports = tuple(replaced(port, name=port.name or "", protocol=port.protocol or "TCP") for port in obj.ports)
    return replaced(obj, ports=ports)


def _slice_problems(new: EndpointSlice, old: EndpointSlice | None) -> list[Cause]:
    found: list[Cause] = []
    known = ("FQDN", "IPv4", "IPv6")
    if not new.address_type:
        found.append(required("addressType"))
    elif new.address_type not in known:
        found.append(unsupported("addressType", new.address_type, known))
    if len(new.endpoints) > 1000:
        found.append(wrong("endpoints", len(new.endpoints), "must have at most 1000 items"))
    for index, endpoint in enumerate(new.endpoints):
        if not endpoint.addresses:
            found.append(required(f"endpoints[{index}].addresses", "must contain at least 1 address"))
    if old is not None and new.address_type != old.address_type:
        found.append(immutable("addressType", new.address_type))
    return found


def _slice_cells(obj: Json, moment: Moment) -> list[Any]:
    ports = [UNSET if port.get("port") is None else str(port["port"]) for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    more = f" + {len(addresses) - 3} more..." if len(addresses) > 3 else ""
    return [
        name_of(obj),
        obj.get("addressType", ""),
        ",".join(ports[:3]) + (f" + {len(ports) - 3} more..." if len(ports) > 3 else "") if ports else UNSET,
        ",".join(addresses[:3]) + more if addresses else UNSET,
        moment.age(created(obj)),
    ]


def _complete_slice(data: Json) -> None:
    """Fields without omitempty. Source: discovery/v1 types.go."""
    data.setdefault("endpoints", [])
    data.setdefault("ports", [])
    data.setdefault("addressType", "IPv4")


def _ingress_cells(obj: Json, moment: Moment) -> list[Any]:
    rules = part(obj, "spec", "rules") or []
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    given = [i.get("ip") or i.get("hostname") for i in part(obj, "status", "loadBalancer", "ingress") or []]
    return [
        name_of(obj),
        part(obj, "spec", "ingressClassName") or NONE,
        ",".join(hosts) or "*",
        ",".join(filter(None, given)),
        "80, 443" if part(obj, "spec", "tls") else "80",
        moment.age(created(obj)),
    ]


def _policy_types(extra: Json) -> Json:
    spec = extra.get("spec")
    if not isinstance(spec, dict) or spec.get("policyTypes"):
        return extra
    types = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return {**extra, "spec": {**spec, "policyTypes": types}}


def _default_network_policy(obj: Unstructured) -> Unstructured:
    before = obj.extra or {}
    after = _policy_types(before)
    return obj if after == before else replaced(obj, extra=after)


def _complete_load_balancer(data: Json) -> None:
    """Source: core/v1 ServiceStatus, networking/v1 IngressStatus: a struct, no pointer."""
    data["status"].setdefault("loadBalancer", {})


def _endpoints_problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    found: list[Cause] = []
    for index, subset in enumerate((new.extra or {}).get("subsets") or []):
        for part_, field in (("addresses", "ip"), ("notReadyAddresses", "ip"), ("ports", "port")):
            for place, item in enumerate(subset.get(part_) or []):
                if not item.get(field):
                    found.append(required(f"subsets[{index}].{part_}[{place}].{field}"))
    return found


def _endpoints_cells(obj: Json, moment: Moment) -> list[Any]:
    """Source: printers.go formatEndpoints: three at most, then how many more."""
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or []
        for port in subset.get("ports") or []
        for address in subset.get("addresses") or []
    ]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return [name_of(obj), ",".join(found[:3]) + more if found else NONE, moment.age(created(obj))]


RULES = (
    KindRules(
        kind=KINDS["Endpoints"],
        validate=_endpoints_problems,
        table=Table(("Name", "Endpoints", "Age"), _endpoints_cells),
    ),
    KindRules(
        kind=KINDS["Service"],
        defaults=_default_service,
        admission=(ServiceAddresses,),
        name_problem=names.label_1035_problem,
        validate=_service_problems,
        returned_when_deleted=True,
        quota_name="services",
        usage=_service_usage,
        table=Table(("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector*"), _service_cells),
        fields={"spec.clusterIP": attribute("spec", "cluster_ip"), "spec.type": attribute("spec", "type")},
        complete_wire=_complete_load_balancer,
        merge_keys={"spec.ports": "port"},
    ),
    KindRules(
        kind=KINDS["EndpointSlice"],
        defaults=_default_slice,
        validate=_slice_problems,
        counts_generation=True,
        counted=False,
        table=Table(("Name", "AddressType", "Ports", "Endpoints", "Age"), _slice_cells),
        complete_wire=_complete_slice,
    ),
    KindRules(
        kind=KINDS["Ingress"],
        validate=ingress_problems,
        warnings=ingress_warnings,
        counts_generation=True,
        table=Table(("Name", "Class", "Hosts", "Address", "Ports", "Age"), _ingress_cells),
        complete_wire=_complete_load_balancer,
    ),
    KindRules(
        kind=KINDS["NetworkPolicy"],
        defaults=_default_network_policy,
        counts_generation=True,
        merge_keys={"status.conditions": None},
    ),
)
