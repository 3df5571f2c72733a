"""What makes and exposes pods, in columns. Source: printers.go printDeployment, printReplicaSet, printJob, .."""

from __future__ import annotations

from typing import Any

from harness.apiserver.http.tables.cells import (
    NONE,
    UNKNOWN,
    UNSET,
    Json,
    Moment,
    containers,
    created,
    duration,
    labels,
    name_of,
    number,
    part,
    selector,
)

_TEMPLATE = ("Containers*", "Images*", "Selector*")


def _template(obj: Json) -> list[Any]:
    names, images = containers(obj)
    return [names, images, selector(part(obj, "spec", "selector"))]


def _deployment(obj: Json, moment: Moment) -> list[Any]:
    return [
        name_of(obj),
        f"{number(obj, 'status', 'readyReplicas')}/{number(obj, 'spec', 'replicas')}",
        number(obj, "status", "updatedReplicas"),
        number(obj, "status", "availableReplicas"),
        moment.age(created(obj)),
        *_template(obj),
    ]


def _replica_set(obj: Json, moment: Moment) -> list[Any]:
    return [
        name_of(obj),
        number(obj, "spec", "replicas"),
        number(obj, "status", "replicas"),
        number(obj, "status", "readyReplicas"),
        moment.age(created(obj)),
        *_template(obj),
    ]


def _stateful_set(obj: Json, moment: Moment) -> list[Any]:
    ready = f"{number(obj, 'status', 'readyReplicas')}/{number(obj, 'spec', 'replicas')}"
    return [name_of(obj), ready, moment.age(created(obj)), *containers(obj)]


def _daemon_set(obj: Json, moment: Moment) -> list[Any]:
    return [
        name_of(obj),
        number(obj, "status", "desiredNumberScheduled"),
        number(obj, "status", "currentNumberScheduled"),
        number(obj, "status", "numberReady"),
        number(obj, "status", "updatedNumberScheduled"),
        number(obj, "status", "numberAvailable"),
        labels(part(obj, "spec", "template", "spec", "nodeSelector")),
        moment.age(created(obj)),
        *_template(obj),
    ]


def _job(obj: Json, moment: Moment) -> list[Any]:
    wanted, done = part(obj, "spec", "completions"), number(obj, "status", "succeeded")
    if wanted is not None:
        completions = f"{done}/{wanted}"
    elif (parallel := number(obj, "spec", "parallelism")) > 1:
        completions = f"{done}/1 of {parallel}"
    else:
        completions = f"{done}/1"
    held = {item["type"] for item in part(obj, "status", "conditions") or [] if item.get("status") == "True"}
    if "Complete" in held:
        state = "Complete"
    elif "Failed" in held:
        state = "Failed"
    elif part(obj, "metadata", "deletionTimestamp"):
        state = "Terminating"
    elif "Suspended" in held:
        state = "Suspended"
    elif "FailureTarget" in held:
        state = "FailureTarget"
    elif "SuccessCriteriaMet" in held:
        state = "SuccessCriteriaMet"
    else:
        state = "Running"
    begun, ended = part(obj, "status", "startTime"), part(obj, "status", "completionTime")
    took = ""
    if begun:
        took = duration((moment.instant(ended) - moment.instant(begun)) // 10**9) if ended else moment.age(begun)
    return [name_of(obj), state, completions, took, moment.age(created(obj)), *_template(obj)]


def _cron_job(obj: Json, moment: Moment) -> list[Any]:
    last = part(obj, "status", "lastScheduleTime")
    template = {"spec": part(obj, "spec", "jobTemplate", "spec") or {}}
    return [
        name_of(obj),
        part(obj, "spec", "schedule") or "",
        part(obj, "spec", "timeZone") or NONE,
        "True" if part(obj, "spec", "suspend") else "False",
        len(part(obj, "status", "active") or []),
        moment.age(last) if last else NONE,
        moment.age(created(obj)),
        *_template(template),
    ]


def _autoscaler(obj: Json, moment: Moment) -> list[Any]:
    target = part(obj, "spec", "scaleTargetRef") or {}
    least = part(obj, "spec", "minReplicas")
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _targets(obj),
        UNSET if least is None else str(least),
        number(obj, "spec", "maxReplicas"),
        number(obj, "status", "currentReplicas"),
        moment.age(created(obj)),
    ]


def _targets(obj: Json) -> str:
    """Source: printers.go formatHPAMetrics, for resource metrics; others show what is wanted of them."""
    v1 = part(obj, "spec", "targetCPUUtilizationPercentage")
    if v1 is not None:
        now = part(obj, "status", "currentCPUUtilizationPercentage")
        return f"cpu: {UNKNOWN if now is None else f'{now}%'}/{v1}%"
    shown = []
    current = {
        part(item, "resource", "name"): part(item, "resource", "current") or {}
        for item in part(obj, "status", "currentMetrics") or []
    }
    for metric in part(obj, "spec", "metrics") or []:
        source = metric.get("resource") or metric.get("containerResource") or {}
        target = source.get("target") or part(metric, "pods", "target") or part(metric, "external", "target") or {}
        now = current.get(source.get("name"), {})
        label = f"{source['name']}: " if source.get("name") else ""
        if target.get("averageUtilization") is not None:
            used = now.get("averageUtilization")
            shown.append(f"{label}{UNKNOWN if used is None else f'{used}%'}/{target['averageUtilization']}%")
        else:
            wanted = target.get("averageValue") or target.get("value") or "<auto>"
            used = now.get("averageValue") or now.get("value")
            shown.append(f"{label}{UNKNOWN if used is None else used}/{wanted}")
    if not shown:
        return NONE
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more


def _service(obj: Json, moment: Moment) -> list[Any]:
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


def _ingress(obj: Json, moment: Moment) -> list[Any]:
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


def _endpoint_slice(obj: Json, moment: Moment) -> list[Any]:
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


def _budget(obj: Json, moment: Moment) -> list[Any]:
    least, most = part(obj, "spec", "minAvailable"), part(obj, "spec", "maxUnavailable")
    return [
        name_of(obj),
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        number(obj, "status", "disruptionsAllowed"),
        moment.age(created(obj)),
    ]


WORKLOADS = {
    "Deployment": (("Name", "Ready", "Up-to-date", "Available", "Age", *_TEMPLATE), _deployment),
    "ReplicaSet": (("Name", "Desired", "Current", "Ready", "Age", *_TEMPLATE), _replica_set),
    "StatefulSet": (("Name", "Ready", "Age", "Containers*", "Images*"), _stateful_set),
    "DaemonSet": (
        ("Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", *_TEMPLATE),
        _daemon_set,
    ),
    "Job": (("Name", "Status", "Completions", "Duration", "Age", *_TEMPLATE), _job),
    "CronJob": (
        ("Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age", *_TEMPLATE),
        _cron_job,
    ),
    "HorizontalPodAutoscaler": (
        ("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"),
        _autoscaler,
    ),
    "Service": (("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector*"), _service),
    "Ingress": (("Name", "Class", "Hosts", "Address", "Ports", "Age"), _ingress),
    "EndpointSlice": (("Name", "AddressType", "Ports", "Endpoints", "Age"), _endpoint_slice),
    "PodDisruptionBudget": (
        ("Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"),
        _budget,
    ),
}
