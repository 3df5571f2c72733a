"""What Kubernetes fills in where a manifest is silent, one function a kind.

Source: pkg/apis/*/v1/defaults.go. Pods of one template share their PodSpec; a shared spec is defaulted once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.apiserver.lifecycle import replaced
from harness.model.core import Container, Pod, PodSpec, PodTemplateSpec, Probe, Service, ServicePort
from harness.model.objects import Kind
from harness.model.workloads import (
    Deployment,
    DeploymentStrategy,
    HorizontalPodAutoscaler,
    Job,
    ReplicaSet,
    RollingUpdateDeployment,
)

_REMEMBERED = 4096


def defaulted(kind: Kind, obj: Any) -> Any:
    """The object with the defaults of its kind; the same object when none were missing."""
    make = _DEFAULTS.get(kind.kind)
    return obj if make is None else make(obj)


_specs: dict[int, tuple[PodSpec, PodSpec]] = {}


def _pod(pod: Pod) -> Pod:
    spec = pod_spec(pod.spec)
    if spec is pod.spec:
        return pod
    return Pod(metadata=pod.metadata, spec=spec, status=pod.status, extra=pod.extra)


def pod_spec(spec: PodSpec) -> PodSpec:
    known = _specs.get(id(spec))
    if known is not None and known[0] is spec:
        return known[1]
    made = _pod_spec(spec)
    if made == spec:
        made = spec
    if len(_specs) >= _REMEMBERED:
        _specs.clear()
    _specs[id(spec)] = (spec, made)  # holding the spec keeps its identity from being used again
    if made is not spec:
        _specs[id(made)] = (made, made)
    return made


def _pod_spec(spec: PodSpec) -> PodSpec:
    return replaced(
        spec,
        containers=tuple(map(_container, spec.containers)),
        init_containers=tuple(map(_container, spec.init_containers)),
        restart_policy=spec.restart_policy or "Always",
        termination_grace_period_seconds=(
            30 if spec.termination_grace_period_seconds is None else spec.termination_grace_period_seconds
        ),
        scheduler_name=spec.scheduler_name or "default-scheduler",
        extra={**_POD_EXTRA, **(spec.extra or {})},
    )


_POD_EXTRA = {"dnsPolicy": "ClusterFirst", "securityContext": {}}


def _container(container: Container) -> Container:
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
        extra={**_CONTAINER_EXTRA, **(container.extra or {})},
    )


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
    )


def _template(template: PodTemplateSpec) -> PodTemplateSpec:
    spec = pod_spec(template.spec)
    return template if spec is template.spec else replaced(template, spec=spec)


def _replica_set(obj: ReplicaSet) -> ReplicaSet:
    spec = replaced(
        obj.spec,
        replicas=1 if obj.spec.replicas is None else obj.spec.replicas,
        template=_template(obj.spec.template),
    )
    return replaced(obj, spec=spec)


def _deployment(obj: Deployment) -> Deployment:
    strategy = obj.spec.strategy
    if strategy.type in ("", "RollingUpdate"):
        rolling = strategy.rolling_update or RollingUpdateDeployment()
        strategy = DeploymentStrategy(
            type="RollingUpdate",
            rolling_update=replaced(
                rolling,
                max_unavailable="25%" if rolling.max_unavailable is None else rolling.max_unavailable,
                max_surge="25%" if rolling.max_surge is None else rolling.max_surge,
            ),
            extra=strategy.extra,
        )
    spec = replaced(
        obj.spec,
        replicas=1 if obj.spec.replicas is None else obj.spec.replicas,
        strategy=strategy,
        revision_history_limit=10 if obj.spec.revision_history_limit is None else obj.spec.revision_history_limit,
        progress_deadline_seconds=(
            600 if obj.spec.progress_deadline_seconds is None else obj.spec.progress_deadline_seconds
        ),
        template=_template(obj.spec.template),
    )
    return replaced(obj, spec=spec)


def _job(obj: Job) -> Job:
    spec = obj.spec
    completions, parallelism = spec.completions, spec.parallelism
    if completions is None and parallelism is None:
        completions = parallelism = 1
    if parallelism is None:
        parallelism = 1
    spec = replaced(
        spec,
        completions=completions,
        parallelism=parallelism,
        backoff_limit=6 if spec.backoff_limit is None else spec.backoff_limit,
        completion_mode=spec.completion_mode or "NonIndexed",
        suspend=bool(spec.suspend),
        template=_template(spec.template),
    )
    return replaced(obj, spec=spec)


def _service(obj: Service) -> Service:
    spec = obj.spec
    return replaced(
        obj,
        spec=replaced(
            spec,
            type=spec.type or "ClusterIP",
            session_affinity=spec.session_affinity or "None",
            ports=tuple(map(_service_port, spec.ports)),
            extra={"internalTrafficPolicy": "Cluster", **(spec.extra or {})},
        ),
    )


def _service_port(port: ServicePort) -> ServicePort:
    return replaced(
        port,
        protocol=port.protocol or "TCP",
        target_port=port.port if port.target_port in (None, 0, "") else port.target_port,
    )


def _autoscaler(obj: HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    if obj.spec.min_replicas is not None:
        return obj
    return replaced(obj, spec=replaced(obj.spec, min_replicas=1))


_DEFAULTS: dict[str, Callable[[Any], Any]] = {
    "Pod": _pod,
    "ReplicaSet": _replica_set,
    "Deployment": _deployment,
    "Job": _job,
    "Service": _service,
    "HorizontalPodAutoscaler": _autoscaler,
}
