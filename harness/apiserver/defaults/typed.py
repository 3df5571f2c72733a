"""What Kubernetes fills in where a manifest is silent, one function a kind.

Source: pkg/apis/*/v1/defaults.go. Pods of one template share their PodSpec; a shared spec is defaulted once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.apiserver.defaults import untyped
from harness.apiserver.registry.lifecycle import replaced
from harness.model.core import (
    Container,
    ContainerPort,
    Namespace,
    Pod,
    PodSpec,
    PodTemplateSpec,
    Probe,
    Service,
    ServicePort,
)
from harness.model.objects import Kind, Unstructured
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from harness.model.workloads import (
    DaemonSet,
    DaemonSetUpdateStrategy,
    Deployment,
    DeploymentStrategy,
    EndpointSlice,
    HorizontalPodAutoscaler,
    Job,
    MetricSpec,
    MetricTarget,
    PriorityClass,
    ReplicaSet,
    ResourceMetricSource,
    RollingUpdateDaemonSet,
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
    extra = {**_POD_EXTRA, **(spec.extra or {})}
    if "volumes" in extra:
        extra["volumes"] = untyped.volumes(extra["volumes"])
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
        extra={**_CONTAINER_EXTRA, **untyped.container(container.extra or {})},
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
        extra=untyped.handler(probe.extra),
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
        extra={"podReplacementPolicy": "TerminatingOrFailed", **(spec.extra or {})},
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
            extra=untyped.service(spec.type or "ClusterIP", spec.extra or {}),
        ),
    )


def _service_port(port: ServicePort) -> ServicePort:
    return replaced(
        port,
        protocol=port.protocol or "TCP",
        target_port=port.port if port.target_port in (None, 0, "") else port.target_port,
    )


_CPU_80 = MetricSpec(
    type="Resource",
    resource=ResourceMetricSource(name="cpu", target=MetricTarget(type="Utilization", average_utilization=80)),
)
"""Source: pkg/apis/autoscaling/v2/defaults.go, autoscaling.DefaultCPUUtilization."""


def _autoscaler(obj: HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    spec = obj.spec
    if spec.min_replicas is not None and spec.metrics:
        return obj
    return replaced(
        obj,
        spec=replaced(
            spec,
            min_replicas=1 if spec.min_replicas is None else spec.min_replicas,
            metrics=spec.metrics or (_CPU_80,),
        ),
    )


NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def _namespace(obj: Namespace) -> Namespace:
    """Every namespace can be selected by its name. Source: pkg/apis/core/v1/defaults.go SetDefaults_Namespace."""
    meta = obj.metadata
    if not meta.name or meta.labels.get(NAMESPACE_LABEL) == meta.name:
        return obj
    return replaced(obj, metadata=replaced(meta, labels={**meta.labels, NAMESPACE_LABEL: meta.name}))


def _priority_class(obj: PriorityClass) -> PriorityClass:
    return obj if obj.preemption_policy else replaced(obj, preemption_policy="PreemptLowerPriority")


def _endpoint_slice(obj: EndpointSlice) -> EndpointSlice:
    if all(port.name is not None and port.protocol is not None for port in obj.ports):
        return obj
    ports = tuple(replaced(port, name=port.name or "", protocol=port.protocol or "TCP") for port in obj.ports)
    return replaced(obj, ports=ports)


def _unstructured(kind: str) -> Callable[[Unstructured], Unstructured]:
    fill = untyped.KINDS[kind]

    def make(obj: Unstructured) -> Unstructured:
        before = obj.extra or {}
        after = fill(before)
        return obj if after == before else replaced(obj, extra=after)

    return make


def _daemon_set(obj: DaemonSet) -> DaemonSet:
    strategy = obj.spec.update_strategy
    if strategy.type in ("", "RollingUpdate"):
        rolling = strategy.rolling_update or RollingUpdateDaemonSet()
        rolling = replaced(
            rolling,
            max_unavailable=1 if rolling.max_unavailable is None else rolling.max_unavailable,
            max_surge=0 if rolling.max_surge is None else rolling.max_surge,
        )
        strategy = DaemonSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling, extra=strategy.extra)
    limit = obj.spec.revision_history_limit
    spec = replaced(
        obj.spec,
        template=_template(obj.spec.template),
        update_strategy=strategy,
        revision_history_limit=10 if limit is None else limit,
    )
    return replaced(obj, spec=spec)


def _persistent_volume(obj: PersistentVolume) -> PersistentVolume:
    spec = obj.spec
    policy = spec.persistent_volume_reclaim_policy or "Retain"
    mode = spec.volume_mode or "Filesystem"
    return replaced(obj, spec=replaced(spec, persistent_volume_reclaim_policy=policy, volume_mode=mode))


def _persistent_volume_claim(obj: PersistentVolumeClaim) -> PersistentVolumeClaim:
    return replaced(obj, spec=replaced(obj.spec, volume_mode=obj.spec.volume_mode or "Filesystem"))


def _storage_class(obj: StorageClass) -> StorageClass:
    return replaced(
        obj,
        reclaim_policy=obj.reclaim_policy or "Delete",
        volume_binding_mode=obj.volume_binding_mode or "Immediate",
    )


_DEFAULTS: dict[str, Callable[[Any], Any]] = {
    "Pod": _pod,
    "ReplicaSet": _replica_set,
    "Deployment": _deployment,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "Service": _service,
    "HorizontalPodAutoscaler": _autoscaler,
    "Namespace": _namespace,
    "PriorityClass": _priority_class,
    "EndpointSlice": _endpoint_slice,
    "PersistentVolume": _persistent_volume,
    "PersistentVolumeClaim": _persistent_volume_claim,
    "StorageClass": _storage_class,
    **{kind: _unstructured(kind) for kind in untyped.KINDS},
}
