"""What makes pods: ReplicaSet, ReplicationController, Deployment, StatefulSet, Job; what scales and protects them."""

from __future__ import annotations

from typing import Any

from harness.model.core import PodTemplateSpec, ResourceList
from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.quantity import Quantity
from harness.model.storage import PersistentVolumeClaim
from harness.model.wire import MicroTime, Time, Wire


class ReplicaSetSpec(Wire, frozen=True, kw_only=True):
    replicas: int | None = None
    min_ready_seconds: int | None = None
    selector: LabelSelector = LabelSelector()
    template: PodTemplateSpec = PodTemplateSpec()


class ReplicaSetStatus(Wire, frozen=True, kw_only=True):
    replicas: int | None = None
    fully_labeled_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    observed_generation: int | None = None
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class ReplicationControllerSpec(Wire, frozen=True, kw_only=True):
    replicas: int | None = None
    min_ready_seconds: int | None = None
    selector: dict[str, str] = {}
    template: PodTemplateSpec = PodTemplateSpec()


class ReplicationControllerStatus(ReplicaSetStatus, frozen=True, kw_only=True):
    pass


class ReplicationController(Wire, frozen=True, kw_only=True):
    """core/v1: what a ReplicaSet is, with a map of labels for its selector."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicationControllerSpec = ReplicationControllerSpec()
    status: ReplicationControllerStatus = ReplicationControllerStatus()


class RollingUpdateDeployment(Wire, frozen=True, kw_only=True):
    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class DeploymentStrategy(Wire, frozen=True, kw_only=True):
    type: str = ""
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Wire, frozen=True, kw_only=True):
    replicas: int | None = None
    selector: LabelSelector = LabelSelector()
    template: PodTemplateSpec = PodTemplateSpec()
    strategy: DeploymentStrategy = DeploymentStrategy()
    min_ready_seconds: int | None = None
    revision_history_limit: int | None = None
    paused: bool | None = None
    progress_deadline_seconds: int | None = None


class DeploymentStatus(Wire, frozen=True, kw_only=True):
    observed_generation: int | None = None
    replicas: int | None = None
    updated_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    unavailable_replicas: int | None = None
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()


class Deployment(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class RollingUpdateStatefulSetStrategy(Wire, frozen=True, kw_only=True):
    partition: int | None = None
    max_unavailable: int | str | None = None


class StatefulSetUpdateStrategy(Wire, frozen=True, kw_only=True):
    type: str = ""  # RollingUpdate, OnDelete
    rolling_update: RollingUpdateStatefulSetStrategy | None = None


class StatefulSetPersistentVolumeClaimRetentionPolicy(Wire, frozen=True, kw_only=True):
    when_deleted: str = ""  # Retain, Delete
    when_scaled: str = ""


class StatefulSetOrdinals(Wire, frozen=True, kw_only=True):
    start: int | None = None


class StatefulSetSpec(Wire, frozen=True, kw_only=True):
    replicas: int | None = None
    selector: LabelSelector = LabelSelector()
    template: PodTemplateSpec = PodTemplateSpec()
    volume_claim_templates: tuple[PersistentVolumeClaim, ...] = ()
    service_name: str = ""
    pod_management_policy: str = ""  # OrderedReady, Parallel
    update_strategy: StatefulSetUpdateStrategy = StatefulSetUpdateStrategy()
    revision_history_limit: int | None = None
    min_ready_seconds: int | None = None
    persistent_volume_claim_retention_policy: StatefulSetPersistentVolumeClaimRetentionPolicy | None = None
    ordinals: StatefulSetOrdinals | None = None


class StatefulSetStatus(Wire, frozen=True, kw_only=True):
    observed_generation: int | None = None
    replicas: int | None = None
    ready_replicas: int | None = None
    current_replicas: int | None = None
    updated_replicas: int | None = None
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()
    available_replicas: int | None = None


class StatefulSet(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()


class ControllerRevision(Wire, frozen=True, kw_only=True):
    """A version of what a controller makes; `data`: a patch that brings it back."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, Any] = {}
    revision: int = 0


class PodFailurePolicyOnExitCodesRequirement(Wire, frozen=True, kw_only=True):
    container_name: str | None = None
    operator: str = ""  # In, NotIn
    values: tuple[int, ...] = ()


class PodFailurePolicyOnPodConditionsPattern(Wire, frozen=True, kw_only=True):
    type: str = ""
    status: str = ""  # True, False, Unknown


class PodFailurePolicyRule(Wire, frozen=True, kw_only=True):
    action: str = ""  # FailJob, FailIndex, Ignore, Count
    on_exit_codes: PodFailurePolicyOnExitCodesRequirement | None = None
    on_pod_conditions: tuple[PodFailurePolicyOnPodConditionsPattern, ...] = ()


class PodFailurePolicy(Wire, frozen=True, kw_only=True):
    rules: tuple[PodFailurePolicyRule, ...] = ()


class SuccessPolicyRule(Wire, frozen=True, kw_only=True):
    succeeded_indexes: str | None = None
    succeeded_count: int | None = None


class SuccessPolicy(Wire, frozen=True, kw_only=True):
    rules: tuple[SuccessPolicyRule, ...] = ()


class JobSpec(Wire, frozen=True, kw_only=True):
    parallelism: int | None = None
    completions: int | None = None
    backoff_limit: int | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    completion_mode: str | None = None
    suspend: bool | None = None
    manual_selector: bool | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = PodTemplateSpec()
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    pod_failure_policy: PodFailurePolicy | None = None
    pod_replacement_policy: str | None = None  # TerminatingOrFailed, Failed
    success_policy: SuccessPolicy | None = None
    managed_by: str | None = None


class UncountedTerminatedPods(Wire, frozen=True, kw_only=True):
    """Uids of pods that have ended and whose finalizer is still to be removed before they count for good."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class JobStatus(Wire, frozen=True, kw_only=True):
    active: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    ready: int | None = None
    terminating: int | None = None
    start_time: Time | None = None
    completion_time: Time | None = None
    conditions: tuple[Condition, ...] = ()
    completed_indexes: str = ""
    failed_indexes: str | None = None
    uncounted_terminated_pods: UncountedTerminatedPods | None = None


class Job(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


COMPLETE, FAILED = "Complete", "Failed"
"""Conditions of a Job that is over. Source: batch/v1 JobConditionType."""


def finished_condition(job: Job) -> Condition | None:
    for item in job.status.conditions:
        if item.type in (COMPLETE, FAILED) and item.status == "True":
            return item
    return None


class EndpointConditions(Wire, frozen=True, kw_only=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(Wire, frozen=True, kw_only=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class Endpoint(Wire, frozen=True, kw_only=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetRef | None = None
    node_name: str | None = None
    zone: str | None = None


class EndpointPort(Wire, frozen=True, kw_only=True):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    address_type: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class LeaseSpec(Wire, frozen=True, kw_only=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: MicroTime | None = None
    renew_time: MicroTime | None = None
    lease_transitions: int | None = None


class Lease(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()


class PriorityClass(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    value: int = 0
    global_default: bool | None = None
    description: str = ""
    preemption_policy: str | None = None


class PodDisruptionBudgetSpec(Wire, frozen=True, kw_only=True):
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str | None = None  # IfHealthyBudget when absent


class PodDisruptionBudgetStatus(Wire, frozen=True, kw_only=True):
    disruptions_allowed: int | None = None
    current_healthy: int | None = None
    desired_healthy: int | None = None
    expected_pods: int | None = None
    observed_generation: int | None = None
    disrupted_pods: dict[str, Time] = {}
    conditions: tuple[Condition, ...] = ()


class PodDisruptionBudget(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


class CrossVersionObjectReference(Wire, frozen=True, kw_only=True):
    kind: str
    name: str
    api_version: str = ""


class MetricTarget(Wire, frozen=True, kw_only=True):
    type: str = ""  # Utilization, Value or AverageValue
    value: Quantity | None = None
    average_value: Quantity | None = None
    average_utilization: int | None = None


class MetricIdentifier(Wire, frozen=True, kw_only=True):
    name: str = ""
    selector: LabelSelector | None = None


class ResourceMetricSource(Wire, frozen=True, kw_only=True):
    name: str = ""
    target: MetricTarget = MetricTarget()


class ContainerResourceMetricSource(Wire, frozen=True, kw_only=True):
    name: str = ""
    container: str = ""
    target: MetricTarget = MetricTarget()


class PodsMetricSource(Wire, frozen=True, kw_only=True):
    metric: MetricIdentifier = MetricIdentifier()
    target: MetricTarget = MetricTarget()


class ObjectMetricSource(Wire, frozen=True, kw_only=True):
    described_object: CrossVersionObjectReference
    metric: MetricIdentifier = MetricIdentifier()
    target: MetricTarget = MetricTarget()


class ExternalMetricSource(Wire, frozen=True, kw_only=True):
    metric: MetricIdentifier = MetricIdentifier()
    target: MetricTarget = MetricTarget()


class MetricSpec(Wire, frozen=True, kw_only=True):
    """One of the sources, as `type` says: Resource, ContainerResource, Pods, Object or External."""

    type: str = ""
    resource: ResourceMetricSource | None = None
    container_resource: ContainerResourceMetricSource | None = None
    pods: PodsMetricSource | None = None
    object: ObjectMetricSource | None = None
    external: ExternalMetricSource | None = None


class HPAScalingPolicy(Wire, frozen=True, kw_only=True):
    type: str
    value: int
    period_seconds: int


class HPAScalingRules(Wire, frozen=True, kw_only=True):
    stabilization_window_seconds: int | None = None
    select_policy: str | None = None
    policies: tuple[HPAScalingPolicy, ...] | None = None  # none at all is wrong, and is not left out
    tolerance: Quantity | None = None


class HorizontalPodAutoscalerBehavior(Wire, frozen=True, kw_only=True):
    scale_up: HPAScalingRules | None = None
    scale_down: HPAScalingRules | None = None


class HorizontalPodAutoscalerSpec(Wire, frozen=True, kw_only=True):
    scale_target_ref: CrossVersionObjectReference
    min_replicas: int | None = None
    max_replicas: int
    metrics: tuple[MetricSpec, ...] = ()
    behavior: HorizontalPodAutoscalerBehavior | None = None


class HorizontalPodAutoscalerStatus(Wire, frozen=True, kw_only=True):
    observed_generation: int | None = None
    last_scale_time: Time | None = None
    current_replicas: int | None = None
    desired_replicas: int | None = None
    conditions: tuple[Condition, ...] = ()


class HorizontalPodAutoscaler(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: HorizontalPodAutoscalerSpec
    status: HorizontalPodAutoscalerStatus = HorizontalPodAutoscalerStatus()


class ContainerMetrics(Wire, frozen=True, kw_only=True):
    name: str
    usage: ResourceList = {}


class PodMetrics(Wire, frozen=True, kw_only=True):
    """metrics.k8s.io/v1beta1: what a kubelet measured over `window`, ending at `timestamp`."""

    metadata: ObjectMeta = ObjectMeta()
    timestamp: Time | None = None
    window: str = ""
    containers: tuple[ContainerMetrics, ...] = ()


class NodeMetrics(Wire, frozen=True, kw_only=True):
    """metrics.k8s.io/v1beta1: the same of a node."""

    metadata: ObjectMeta = ObjectMeta()
    timestamp: Time | None = None
    window: str = ""
    usage: ResourceList = {}


class RollingUpdateDaemonSet(Wire, frozen=True, kw_only=True):
    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class DaemonSetUpdateStrategy(Wire, frozen=True, kw_only=True):
    type: str = ""
    rolling_update: RollingUpdateDaemonSet | None = None


class DaemonSetSpec(Wire, frozen=True, kw_only=True):
    selector: LabelSelector = LabelSelector()
    template: PodTemplateSpec = PodTemplateSpec()
    update_strategy: DaemonSetUpdateStrategy = DaemonSetUpdateStrategy()
    min_ready_seconds: int | None = None
    revision_history_limit: int | None = None


class DaemonSetStatus(Wire, frozen=True, kw_only=True):
    current_number_scheduled: int | None = None
    number_misscheduled: int | None = None
    desired_number_scheduled: int | None = None
    number_ready: int | None = None
    observed_generation: int | None = None
    updated_number_scheduled: int | None = None
    number_available: int | None = None
    number_unavailable: int | None = None
    conditions: tuple[Condition, ...] = ()


class DaemonSet(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class PodGroupSpec(Wire, frozen=True, kw_only=True):
    min_member: int | None = None
    min_resources: ResourceList = {}
    schedule_timeout_seconds: int | None = None


class PodGroupStatus(Wire, frozen=True, kw_only=True):
    phase: str = ""
    occupied_by: str = ""
    running: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    schedule_start_time: Time | None = None


class PodGroup(Wire, frozen=True, kw_only=True):
    """Pods that are placed together or not at all. Source: kubernetes-sigs/scheduler-plugins v0.30,
    apis/scheduling/v1alpha1/types.go."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodGroupSpec = PodGroupSpec()
    status: PodGroupStatus = PodGroupStatus()
