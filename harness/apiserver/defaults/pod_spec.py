"""What a pod's spec gets where a manifest is silent; shared by every kind that has pods or a pod template.

Source: pkg/apis/core/v1/defaults.go. Pods of one template share their PodSpec; a shared spec is defaulted once.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.registry.identity_memo import IdentityMemo
from harness.apiserver.registry.lifecycle import replaced
from harness.model.core import Container, ContainerPort, PodSpec, PodTemplateSpec, Probe
from harness.model.wire import Json

_specs: IdentityMemo[PodSpec] = IdentityMemo()


def default_pod_spec(spec: PodSpec) -> PodSpec:
    known = _specs.held.get(id(spec))
    if known is not None:
        return known[1]
    made = _completed(spec)
    if made == spec:
        made = spec
    _specs.put(spec, made)
    if made is not spec:
        _specs.put(made, made)
    return made


def _completed(spec: PodSpec) -> PodSpec:
    extra = {**_POD_EXTRA, **(spec.extra or {})}
    if "volumes" in extra:
        extra["volumes"] = _volumes(extra["volumes"])
    on_host = bool(extra.get("hostNetwork"))
    return replaced(
        spec,
        containers=tuple(_container(container, on_host) for container in spec.containers),
        init_containers=tuple(_container(container, on_host) for container in spec.init_containers),
        restart_policy=spec.restart_policy or "Always",
        termination_grace_period_seconds=(
            30 if spec.termination_grace_period_seconds is None else spec.termination_grace_period_seconds
        ),
        scheduler_name=spec.scheduler_name or "default-scheduler",
        extra=extra,
    )


_POD_EXTRA = {"dnsPolicy": "ClusterFirst", "securityContext": {}}


def _container(container: Container, on_host: bool) -> Container:
    requests = container.resources.requests
    # A limit without a request is the request. Source: SetDefaults_Pod.
    missing = {name: amount for name, amount in container.resources.limits.items() if name not in requests}
    resources = container.resources
    if missing:
        resources = replaced(resources, requests={**requests, **missing})
    image = container.image.rpartition("/")[2]
    latest = "@" not in image and (":" not in image or image.endswith(":latest"))
    return replaced(
        container,
        resources=resources,
        image_pull_policy=container.image_pull_policy or ("Always" if latest else "IfNotPresent"),
        liveness_probe=_probe(container.liveness_probe),
        readiness_probe=_probe(container.readiness_probe),
        startup_probe=_probe(container.startup_probe),
        ports=tuple(_container_port(port, on_host) for port in container.ports),
        extra={**_CONTAINER_EXTRA, **_environment(container.extra or {})},
    )


def _container_port(port: ContainerPort, on_host: bool) -> ContainerPort:
    """On the host's network a container's port is the host's."""
    protocol = port.protocol or "TCP"
    host_port = port.container_port if on_host and port.host_port is None else port.host_port
    if protocol == port.protocol and host_port == port.host_port:
        return port
    return replaced(port, protocol=protocol, host_port=host_port)


_CONTAINER_EXTRA = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}


def _probe(probe: Probe | None) -> Probe | None:
    """Source: SetDefaults_Probe: timeout 1, period 10, success 1, failure 3."""
    if probe is None:
        return None
    return replaced(
        probe,
        timeout_seconds=probe.timeout_seconds or 1,
        period_seconds=probe.period_seconds or 10,
        success_threshold=probe.success_threshold or 1,
        failure_threshold=probe.failure_threshold or 3,
        extra=_handler(probe.extra),
    )


def default_template(template: PodTemplateSpec) -> PodTemplateSpec:
    spec = default_pod_spec(template.spec)
    return template if spec is template.spec else replaced(template, spec=spec)


MODE = 0o644
"""Of files in a volume made from an object. Source: core/v1 ConfigMapVolumeSourceDefaultMode."""


_WITH_MODE = ("configMap", "secret", "downwardAPI", "projected")


def _volumes(found: Any) -> Any:
    """Every volume has a source, and files from objects have a mode."""
    if not isinstance(found, list):
        return found
    return [_volume(item) if isinstance(item, dict) else item for item in found]


def _volume(volume: Json) -> Json:
    if set(volume) == {"name"}:
        return {**volume, "emptyDir": {}}
    out = dict(volume)
    for field in _WITH_MODE:
        if isinstance(out.get(field), dict):
            out[field] = {"defaultMode": MODE, **out[field]}
    if isinstance(out.get("hostPath"), dict):
        out["hostPath"] = {"type": "", **out["hostPath"]}
    return out


def _environment(extra: Json) -> Json:
    """Environment variables from fields name the version."""
    env = extra.get("env")
    if not isinstance(env, list):
        return extra
    return {**extra, "env": [_variable(item) if isinstance(item, dict) else item for item in env]}


def _variable(variable: Json) -> Json:
    source = variable.get("valueFrom")
    reference = source.get("fieldRef") if isinstance(source, dict) else None
    if not isinstance(reference, dict) or reference.get("apiVersion"):
        return variable
    return {**variable, "valueFrom": {**source, "fieldRef": {"apiVersion": "v1", **reference}}}  # type: ignore[dict-item]


def _handler(extra: Json | None) -> Json | None:
    """Of a probe."""
    if not extra:
        return extra
    if isinstance(extra.get("httpGet"), dict):
        found = extra["httpGet"]
        wanted = {**found, "path": found.get("path") or "/", "scheme": found.get("scheme") or "HTTP"}
        return extra if wanted == found else {**extra, "httpGet": wanted}
    if isinstance(extra.get("grpc"), dict) and "service" not in extra["grpc"]:
        return {**extra, "grpc": {**extra["grpc"], "service": ""}}
    return extra
