"""What is wrong with a pod's spec, new or changed.

Source: pkg/apis/core/validation/validation.go ValidatePodSpec, ValidatePodUpdate.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.validation import names
from harness.apiserver.validation.affinity import affinity_problems, spread_problems
from harness.apiserver.validation.amounts import amount_problems
from harness.apiserver.validation.causes import (
    at_least,
    duplicate,
    forbidden,
    not_there,
    required,
    unsupported,
    wrong,
)
from harness.apiserver.validation.claims import claim_spec_problems
from harness.model.core import Container, PodSpec, Probe, ResourceList, Toleration
from harness.model.meta import ObjectMeta
from harness.model.status import Cause
from harness.model.storage import PersistentVolumeClaimSpec
from harness.model.wire import DecodeError, Json, decode

RESTART_POLICIES = ("Always", "OnFailure", "Never")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")

_NATIVE = frozenset({"cpu", "memory", "ephemeral-storage", "pods"})


def pod_spec_problems(spec: PodSpec, path: str) -> list[Cause]:
    found: list[Cause] = []
    volumes = _volumes(found, spec, path)
    if not spec.containers:
        found.append(required(f"{path}.containers"))
    seen: set[str] = set()
    host_ports: set[tuple[str, str, int]] = set()
    for group, containers in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for index, container in enumerate(containers):
            at = f"{path}.{group}[{index}]"
            # Init containers run one by one, so that each is held against itself alone.
            # Source: Kubernetes 1.32 pkg/apis/core/validation/validation.go validateInitContainers.
            ports = host_ports if group == "containers" else set()
            _container(found, container, at, seen, volumes, ports)
            if group == "containers":
                if container.restart_policy is not None:
                    found.append(forbidden(f"{at}.restartPolicy", "may not be set for non-init containers"))
            elif container.restart_policy not in (None, "Always"):
                found.append(unsupported(f"{at}.restartPolicy", container.restart_policy, ("Always",)))
            if group == "initContainers" and container.restart_policy != "Always":
                why = "may not be set for init containers without restartPolicy=Always"
                set_ones = [field for field, name in _ATTRIBUTES.items() if getattr(container, name) is not None]
                found += [forbidden(f"{at}.{field}", why) for field in set_ones]
    if spec.restart_policy not in RESTART_POLICIES:
        found.append(unsupported(f"{path}.restartPolicy", spec.restart_policy, RESTART_POLICIES))
    at_least(found, f"{path}.terminationGracePeriodSeconds", spec.termination_grace_period_seconds)
    at_least(found, f"{path}.activeDeadlineSeconds", spec.active_deadline_seconds, 1)
    found += names.label_problems(spec.node_selector, f"{path}.nodeSelector")
    if spec.node_name and (why := names.subdomain_problem(spec.node_name)):
        found.append(wrong(f"{path}.nodeName", spec.node_name, why))
    for index, toleration in enumerate(spec.tolerations):
        _toleration(found, toleration, f"{path}.tolerations[{index}]")
    found += affinity_problems(spec.affinity, f"{path}.affinity")
    found += spread_problems(spec.topology_spread_constraints, f"{path}.topologySpreadConstraints")
    extra = spec.extra or {}
    for field in ("hostname", "subdomain"):
        name = extra.get(field)
        if isinstance(name, str) and name and (why := names.label_problem(name)):
            found.append(wrong(f"{path}.{field}", name, why))
    if extra.get("hostNetwork"):
        _host_network(found, spec, path)
    gates = [gate.name for gate in spec.scheduling_gates]
    for index, gate in enumerate(gates):
        if why := names.qualified_problem(gate):
            found.append(wrong(f"{path}.schedulingGates[{index}]", gate, why))
        if gate in gates[:index]:
            found.append(duplicate(f"{path}.schedulingGates[{index}]", gate))
    if gates and spec.node_name:
        found.append(forbidden(f"{path}.nodeName", "cannot be set until all schedulingGates have been cleared"))
    _amounts(found, spec.overhead, f"{path}.overhead")
    if spec.preemption_policy not in (None, "", "PreemptLowerPriority", "Never"):
        known = ("PreemptLowerPriority", "Never")
        found.append(unsupported(f"{path}.preemptionPolicy", spec.preemption_policy, known))
    return found


_ATTRIBUTES = {
    "livenessProbe": "liveness_probe",
    "readinessProbe": "readiness_probe",
    "startupProbe": "startup_probe",
}


def _container(
    found: list[Cause],
    container: Container,
    at: str,
    seen: set[str],
    volumes: set[str],
    host_ports: set[tuple[str, str, int]],
) -> None:
    name = container.name
    if not name:
        found.append(required(f"{at}.name"))
    elif why := names.label_problem(name):
        found.append(wrong(f"{at}.name", name, why))
    elif name in seen:
        found.append(duplicate(f"{at}.name", name))
    seen.add(name)
    if not container.image:
        found.append(required(f"{at}.image"))
    elif container.image != container.image.strip():
        found.append(wrong(f"{at}.image", container.image, "must not have leading or trailing whitespace"))
    if container.image_pull_policy not in ("", *PULL_POLICIES):
        found.append(unsupported(f"{at}.imagePullPolicy", container.image_pull_policy, PULL_POLICIES))
    _ports(found, container, at, host_ports)
    requests, limits = container.resources.requests, container.resources.limits
    _amounts(found, limits, f"{at}.resources.limits")
    _amounts(found, requests, f"{at}.resources.requests")
    for resource, amount in requests.items():
        limit = limits.get(resource)
        where = f"{at}.resources.requests"
        # Source: validation.go ValidateResourceRequirements.
        overcommitted = "/" not in resource and not resource.startswith("hugepages-")
        if limit is None and not overcommitted:
            why = "Limit must be set for non overcommitable resources"
            found.append(required(f"{at}.resources.limits", why))
        elif limit is not None and limit.milli < amount.milli:
            found.append(wrong(where, str(amount), f"must be less than or equal to {resource} limit of {limit}"))
        elif limit is not None and not overcommitted and limit.milli != amount.milli:
            found.append(wrong(where, str(amount), f"must be equal to {resource} limit of {limit}"))
    asked = {*requests, *limits}
    if any(name.startswith("hugepages-") for name in asked) and not asked & {"cpu", "memory"}:
        found.append(forbidden(f"{at}.resources", "HugePages require cpu or memory"))
    for field, attribute in _ATTRIBUTES.items():
        probe: Probe | None = getattr(container, attribute)
        if probe is not None:
            _probe(found, probe, f"{at}.{field}", once=field != "readinessProbe")
    extra = container.extra or {}
    for index, mount in enumerate(_list(extra.get("volumeMounts"))):
        where = f"{at}.volumeMounts[{index}]"
        if not mount.get("name"):
            found.append(required(f"{where}.name"))
        elif mount["name"] not in volumes:
            found.append(not_there(f"{where}.name", mount["name"]))
        if not mount.get("mountPath"):
            found.append(required(f"{where}.mountPath"))
    for index, variable in enumerate(_list(extra.get("env"))):
        if not variable.get("name"):
            found.append(required(f"{at}.env[{index}].name"))
        if variable.get("value") and variable.get("valueFrom"):
            found.append(wrong(f"{at}.env[{index}].valueFrom", "", "may not be specified when `value` is not empty"))


def _list(value: Any) -> list[Json]:
    """What is not modelled may have any shape."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _volumes(found: list[Cause], spec: PodSpec, path: str) -> set[str]:
    seen: set[str] = set()
    for index, volume in enumerate(_list((spec.extra or {}).get("volumes"))):
        name = volume.get("name")
        at = f"{path}.volumes[{index}].name"
        if not isinstance(name, str) or not name:
            found.append(required(at))
            continue
        _ephemeral(found, volume, f"{path}.volumes[{index}].ephemeral")
        sources = sorted(volume.keys() - {"name"})
        why = "may not specify more than 1 volume type"
        found += [forbidden(f"{path}.volumes[{index}].{source}", why) for source in sources[1:]]
        if why := names.label_problem(name):
            found.append(wrong(at, name, why))
        elif name in seen:
            found.append(duplicate(at, name))
        seen.add(name)
    return seen


def _ephemeral(found: list[Cause], volume: Json, at: str) -> None:
    """A claim will be made of it, so it must be one. Source: validateEphemeralVolumeSource."""
    source = volume.get("ephemeral")
    if source is None:
        return
    template = source.get("volumeClaimTemplate") if isinstance(source, dict) else None
    if not isinstance(template, dict):
        found.append(required(f"{at}.volumeClaimTemplate"))
        return
    at += ".volumeClaimTemplate"
    try:
        meta = decode(ObjectMeta, template.get("metadata"), path=f"{at}.metadata")
        spec = decode(PersistentVolumeClaimSpec, template.get("spec"), path=f"{at}.spec")
    except DecodeError as error:
        found.append(Cause(error.path, "FieldValueInvalid", error.message))
        return
    found += names.part_problems(meta, f"{at}.metadata")
    found += claim_spec_problems(spec, f"{at}.spec")


def _ports(found: list[Cause], container: Container, at: str, host_ports: set[tuple[str, str, int]]) -> None:
    named: set[str] = set()
    for index, port in enumerate(container.ports):
        where = f"{at}.ports[{index}]"
        names.port_problems(found, f"{where}.containerPort", port.container_port)
        if port.name:
            if why := names.port_name_problem(port.name):
                found.append(wrong(f"{where}.name", port.name, why))
            elif port.name in named:
                found.append(duplicate(f"{where}.name", port.name))
            named.add(port.name)
        names.protocol_problems(found, f"{where}.protocol", port.protocol)
        if port.host_port:
            names.port_problems(found, f"{where}.hostPort", port.host_port)
            claim = (port.protocol, port.host_ip, port.host_port)
            if claim in host_ports:
                found.append(duplicate(f"{where}.hostPort", f"{port.protocol}/{port.host_ip}/{port.host_port}"))
            host_ports.add(claim)


def _host_network(found: list[Cause], spec: PodSpec, path: str) -> None:
    """A container's port is the host's. Source: validation.go validateHostNetwork."""
    for index, container in enumerate(spec.containers):
        for at, port in enumerate(container.ports):
            if port.host_port and port.host_port != port.container_port:
                why = "must match `hostPort` when `hostNetwork` is true"
                where = f"{path}.containers[{index}].ports[{at}].containerPort"
                found.append(wrong(where, port.container_port, why))


def _amounts(found: list[Cause], amounts: ResourceList, path: str) -> None:
    amount_problems(found, amounts, path)
    for resource, amount in amounts.items():
        where = f"{path}[{resource}]"
        if why := names.qualified_problem(resource):
            found.append(wrong(where, resource, why))
        elif "/" not in resource and resource not in _NATIVE and not resource.startswith("hugepages-"):
            found.append(wrong(where, resource, "must be a standard resource type or fully qualified"))
        if amount.milli > 0 and amount.milli % 1000 and "/" in resource:
            found.append(wrong(where, str(amount), "must be an integer"))


def _probe(found: list[Cause], probe: Probe, at: str, *, once: bool) -> None:
    handlers = [name for name in HANDLERS if name in (probe.extra or {})]
    if not handlers:
        found.append(required(at, "must specify a handler type"))
    found += [forbidden(f"{at}.{name}", "may not specify more than 1 handler type") for name in handlers[1:]]
    at_least(found, f"{at}.initialDelaySeconds", probe.initial_delay_seconds)
    at_least(found, f"{at}.timeoutSeconds", probe.timeout_seconds, 1)
    at_least(found, f"{at}.periodSeconds", probe.period_seconds, 1)
    at_least(found, f"{at}.successThreshold", probe.success_threshold, 1)
    at_least(found, f"{at}.failureThreshold", probe.failure_threshold, 1)
    if once and probe.success_threshold not in (None, 1):
        found.append(wrong(f"{at}.successThreshold", probe.success_threshold, "must be 1"))


def _toleration(found: list[Cause], toleration: Toleration, at: str) -> None:
    if toleration.key and (why := names.qualified_problem(toleration.key)):
        found.append(wrong(f"{at}.key", toleration.key, why))
    if not toleration.key and toleration.operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        found.append(wrong(f"{at}.operator", toleration.operator, why))
    match toleration.operator:
        case "" | "Equal":
            if why := names.label_value_problem(toleration.value):
                found.append(wrong(f"{at}.operator", toleration.value, why))
        case "Exists":
            if toleration.value:
                found.append(
                    wrong(f"{at}.operator", toleration.value, "value must be empty when `operator` is 'Exists'")
                )
        case other:
            found.append(unsupported(f"{at}.operator", other, ("Equal", "Exists")))
    if toleration.effect and toleration.effect not in EFFECTS:
        found.append(unsupported(f"{at}.effect", toleration.effect, EFFECTS))
    if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        found.append(wrong(f"{at}.effect", toleration.effect, why))


# -- updates -----------------------------------------------------------------------------------------------------------

_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_update_problems(new: PodSpec, old: PodSpec) -> list[Cause]:
    found: list[Cause] = []
    if len(new.containers) != len(old.containers):
        return [forbidden("spec.containers", "pod updates may not add or remove containers")]
    if len(new.init_containers) != len(old.init_containers):
        return [forbidden("spec.initContainers", "pod updates may not add or remove containers")]
    kept = {
        (t.key, t.operator, t.value, t.effect): t.toleration_seconds for t in new.tolerations
    }  # seconds may change, nothing else
    if any((t.key, t.operator, t.value, t.effect) not in kept for t in old.tolerations):
        found.append(
            forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        )
    deadline, before = new.active_deadline_seconds, old.active_deadline_seconds
    if before is not None and (deadline is None or deadline > before):
        found.append(
            wrong("spec.activeDeadlineSeconds", deadline, f"must be less than or equal to previous value {before}")
        )
    gates = {gate.name for gate in old.scheduling_gates}
    for index, gate in enumerate(new.scheduling_gates):
        if gate.name not in gates:
            at = f"spec.schedulingGates[{index}]"
            found.append(forbidden(at, "only deletion is allowed, but found new scheduling gate '" + gate.name + "'"))
    gated = bool(old.scheduling_gates)
    same = replaced(
        new,
        containers=_with_images(new.containers, old.containers),
        init_containers=_with_images(new.init_containers, old.init_containers),
        tolerations=old.tolerations,
        active_deadline_seconds=old.active_deadline_seconds,
        scheduling_gates=old.scheduling_gates,
        # A gated pod may still be told more narrowly where to go.
        node_selector=old.node_selector if gated else new.node_selector,
        affinity=old.affinity if gated else new.affinity,
    )
    if same != old:
        found.append(forbidden("spec", _MUTABLE))
    return found


def _with_images(new: tuple[Container, ...], old: tuple[Container, ...]) -> tuple[Container, ...]:
    return tuple(replaced(now, image=was.image) for now, was in zip(new, old, strict=True))
