"""The core group: Pod, Node, Namespace, Service, Event, ConfigMap and their parts.

Field names and defaults: Kubernetes API reference v1.32, core/v1. Unmodelled fields ride in `extra`.
"""

from __future__ import annotations

from msgspec import field

from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.quantity import Quantity
from harness.model.wire import MicroTime, Time, Wire

ResourceList = dict[str, Quantity]


class ResourceRequirements(Wire, frozen=True, kw_only=True):
    requests: ResourceList = {}
    limits: ResourceList = {}


class ContainerPort(Wire, frozen=True, kw_only=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int | None = None
    host_ip: str = field(default="", name="hostIP")


class Probe(Wire, frozen=True, kw_only=True):
    """The timing that the kubelet models; the handler (httpGet, exec, ..) rides in `extra`."""

    initial_delay_seconds: int | None = None
    timeout_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    failure_threshold: int | None = None


class Container(Wire, frozen=True, kw_only=True):
    name: str
    image: str = ""
    resources: ResourceRequirements = ResourceRequirements()
    ports: tuple[ContainerPort, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    restart_policy: str | None = None  # Always marks a sidecar among initContainers
    image_pull_policy: str = ""


class Toleration(Wire, frozen=True, kw_only=True):
    key: str = ""
    operator: str = ""  # Equal when empty
    value: str = ""
    effect: str = ""  # empty matches all
    toleration_seconds: int | None = None

    def tolerates(self, taint: Taint) -> bool:
        """Source: k8s.io/api/core/v1/toleration.go ToleratesTaint."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator in ("", "Equal"):
            return self.value == taint.value  # of any key where the toleration has none: the API server lets none pass
        return self.operator == "Exists"


class Taint(Wire, frozen=True, kw_only=True):
    key: str
    value: str = ""
    effect: str = "NoSchedule"
    time_added: Time | None = None


NAME_FIELD = "metadata.name"
"""The only field that matchFields knows."""


class NodeSelectorRequirement(Wire, frozen=True, kw_only=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class NodeSelectorTerm(Wire, frozen=True, kw_only=True):
    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSelector(Wire, frozen=True, kw_only=True):
    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredSchedulingTerm(Wire, frozen=True, kw_only=True):
    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(Wire, frozen=True, kw_only=True):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = ()


class PodAffinityTerm(Wire, frozen=True, kw_only=True):
    topology_key: str
    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()


class WeightedPodAffinityTerm(Wire, frozen=True, kw_only=True):
    weight: int
    pod_affinity_term: PodAffinityTerm


class PodAffinity(Wire, frozen=True, kw_only=True):
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()


class Affinity(Wire, frozen=True, kw_only=True):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpreadConstraint(Wire, frozen=True, kw_only=True):
    max_skew: int
    topology_key: str
    when_unsatisfiable: str
    label_selector: LabelSelector | None = None
    min_domains: int | None = None
    node_affinity_policy: str | None = None  # Honor when absent
    node_taints_policy: str | None = None  # Ignore when absent
    match_label_keys: tuple[str, ...] = ()


class PodSchedulingGate(Wire, frozen=True, kw_only=True):
    name: str


class PodSpec(Wire, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    scheduler_name: str = ""
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    priority: int | None = None
    priority_class_name: str = ""
    preemption_policy: str | None = None
    overhead: ResourceList = {}
    restart_policy: str = ""
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    service_account_name: str = ""


class ContainerState(Wire, frozen=True, kw_only=True):
    """Of one container: exactly one of waiting, running, terminated on the wire."""

    running: ContainerStateRunning | None = None
    waiting: ContainerStateWaiting | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStateRunning(Wire, frozen=True, kw_only=True):
    started_at: Time | None = None


class ContainerStateWaiting(Wire, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class ContainerStateTerminated(Wire, frozen=True, kw_only=True):
    exit_code: int
    reason: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None


class ContainerStatus(Wire, frozen=True, kw_only=True):
    name: str
    ready: bool | None = None
    started: bool | None = None
    restart_count: int | None = None
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(Wire, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    reason: str = ""
    message: str = ""
    nominated_node_name: str = ""
    host_ip: str = field(default="", name="hostIP")
    pod_ip: str = field(default="", name="podIP")
    start_time: Time | None = None
    qos_class: str = ""
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodTemplateSpec(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


class NodeSpec(Wire, frozen=True, kw_only=True):
    taints: tuple[Taint, ...] = ()
    unschedulable: bool | None = None
    pod_cidr: str = field(default="", name="podCIDR")
    provider_id: str = field(default="", name="providerID")


class ContainerImage(Wire, frozen=True, kw_only=True):
    names: tuple[str, ...] = ()
    size_bytes: int | None = None


class NodeAddress(Wire, frozen=True, kw_only=True):
    type: str
    address: str


class AttachedVolume(Wire, frozen=True, kw_only=True):
    name: str
    device_path: str = ""


class NodeStatus(Wire, frozen=True, kw_only=True):
    capacity: ResourceList = {}
    allocatable: ResourceList = {}
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    images: tuple[ContainerImage, ...] = ()
    phase: str = ""
    volumes_attached: tuple[AttachedVolume, ...] = ()
    volumes_in_use: tuple[str, ...] = ()


class Node(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class NamespaceSpec(Wire, frozen=True, kw_only=True):
    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Wire, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Namespace(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


class ServicePort(Wire, frozen=True, kw_only=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    node_port: int | None = None


class ServiceSpec(Wire, frozen=True, kw_only=True):
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = field(default=(), name="clusterIPs")
    type: str = ""
    session_affinity: str = ""


class Service(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()


class ConfigMap(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = {}


class ObjectReference(Wire, frozen=True, kw_only=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class EventSource(Wire, frozen=True, kw_only=True):
    component: str = ""
    host: str = ""


class Event(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    source: EventSource = EventSource()
    type: str = ""  # Normal, Warning
    count: int | None = None
    first_timestamp: Time | None = None
    last_timestamp: Time | None = None
    event_time: MicroTime | None = None
    reporting_component: str = ""
    reporting_instance: str = ""
    action: str = ""
