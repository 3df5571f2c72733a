"""The kinds: each with its group, version, plural, scope and type; every other kind is kept whole as Unstructured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.model.core import (
    Affinity,
    ConfigMap,
    Container,
    ContainerPort,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Event,
    EventSource,
    Namespace,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    ObjectReference,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    Probe,
    ResourceList,
    ResourceRequirements,
    Service,
    ServicePort,
    ServiceSpec,
    Taint,
    Toleration,
)
from harness.model.cron_jobs import CronJob
from harness.model.karpenter import NodeClaim, NodePool
from harness.model.meta import Condition, LabelSelector, ObjectMeta, OwnerReference, condition, with_condition
from harness.model.policy import LimitRange, ResourceQuota
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from harness.model.vertical import VerticalPodAutoscaler, VerticalPodAutoscalerCheckpoint
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS, Wire, decode, encode
from harness.model.workloads import (
    ControllerRevision,
    DaemonSet,
    Deployment,
    EndpointSlice,
    HorizontalPodAutoscaler,
    Job,
    Lease,
    NodeMetrics,
    PodDisruptionBudget,
    PodGroup,
    PodMetrics,
    PriorityClass,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
)


class Unstructured(Wire, frozen=True, kw_only=True):
    """An object of a kind that nothing here interprets; spec, status and the rest ride in `extra`."""

    metadata: ObjectMeta = ObjectMeta()


Object: TypeAlias = (
    Pod
    | Node
    | Namespace
    | Service
    | ConfigMap
    | Event
    | ReplicaSet
    | ReplicationController
    | Deployment
    | DaemonSet
    | StatefulSet
    | ControllerRevision
    | Job
    | CronJob
    | EndpointSlice
    | Lease
    | PriorityClass
    | PodDisruptionBudget
    | HorizontalPodAutoscaler
    | PodGroup
    | PodMetrics
    | ResourceQuota
    | LimitRange
    | PersistentVolume
    | PersistentVolumeClaim
    | StorageClass
    | NodePool
    | NodeClaim
    | VerticalPodAutoscaler
    | VerticalPodAutoscalerCheckpoint
    | Unstructured
)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind is named on the wire, and its scope. What the API server does for it: `harness.apiserver.kinds`."""

    kind: str
    api_version: str
    plural: str
    type: type[Any]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False  # has a status subresource
    scale: bool = False
    collected: bool = True  # followed by the garbage collector
    wire_name: str = ""
    """What clients call it, where that is not `kind`: of kinds that users define, as two groups may have one name."""
    wire_singular: str = ""

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @property
    def wire(self) -> str:
        """Its name in `kind:` of an object's JSON."""
        return self.wire_name or self.kind

    @property
    def singular(self) -> str:
        return self.wire_singular or self.kind.lower()


_EXTENSIONS = ("api-extensions",)
_ALL = ("all",)
_KINDS = (
    Kind("Namespace", "v1", "namespaces", Namespace, namespaced=False, short_names=("ns",), status=True),
    Kind("Node", "v1", "nodes", Node, namespaced=False, short_names=("no",), status=True),
    Kind("Pod", "v1", "pods", Pod, short_names=("po",), categories=_ALL, status=True),
    Kind("Service", "v1", "services", Service, short_names=("svc",), categories=_ALL, status=True),
    Kind("ConfigMap", "v1", "configmaps", ConfigMap, short_names=("cm",)),
    Kind("Event", "v1", "events", Event, short_names=("ev",), collected=False),
    Kind(
        "ReplicaSet",
        "apps/v1",
        "replicasets",
        ReplicaSet,
        short_names=("rs",),
        categories=_ALL,
        status=True,
        scale=True,
    ),
    Kind(
        "Deployment",
        "apps/v1",
        "deployments",
        Deployment,
        short_names=("deploy",),
        categories=_ALL,
        status=True,
        scale=True,
    ),
    Kind("DaemonSet", "apps/v1", "daemonsets", DaemonSet, short_names=("ds",), categories=_ALL, status=True),
    Kind("Job", "batch/v1", "jobs", Job, categories=_ALL, status=True),
    Kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices", EndpointSlice),
    Kind("Lease", "coordination.k8s.io/v1", "leases", Lease, collected=False),
    Kind("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", PriorityClass, False, ("pc",)),
    Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", PodDisruptionBudget, True, ("pdb",), status=True),
    Kind(
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        "horizontalpodautoscalers",
        HorizontalPodAutoscaler,
        short_names=("hpa",),
        categories=_ALL,
        status=True,
    ),
    Kind("PodMetrics", "metrics.k8s.io/v1beta1", "pods", PodMetrics),
    Kind("NodeMetrics", "metrics.k8s.io/v1beta1", "nodes", NodeMetrics, namespaced=False, collected=False),
    Kind("ResourceQuota", "v1", "resourcequotas", ResourceQuota, True, ("quota",), status=True),
    Kind("LimitRange", "v1", "limitranges", LimitRange, True, ("limits",)),
    Kind("PersistentVolume", "v1", "persistentvolumes", PersistentVolume, False, ("pv",), status=True),
    Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims", PersistentVolumeClaim, True, ("pvc",), status=True),
    Kind("StorageClass", "storage.k8s.io/v1", "storageclasses", StorageClass, False, ("sc",)),
    Kind(
        "StatefulSet",
        "apps/v1",
        "statefulsets",
        StatefulSet,
        short_names=("sts",),
        categories=_ALL,
        status=True,
        scale=True,
    ),
    Kind(
        "ReplicationController",
        "v1",
        "replicationcontrollers",
        ReplicationController,
        short_names=("rc",),
        categories=_ALL,
        status=True,
        scale=True,
    ),
    Kind("CronJob", "batch/v1", "cronjobs", CronJob, short_names=("cj",), categories=_ALL, status=True),
    Kind("ControllerRevision", "apps/v1", "controllerrevisions", ControllerRevision),
    Kind("PodGroup", "scheduling.x-k8s.io/v1alpha1", "podgroups", PodGroup, True, ("pg",), status=True),
    Kind("NodePool", "karpenter.sh/v1", "nodepools", NodePool, False, categories=("karpenter",), status=True),
    Kind("NodeClaim", "karpenter.sh/v1", "nodeclaims", NodeClaim, False, categories=("karpenter",), status=True),
    Kind(
        "VerticalPodAutoscaler",
        "autoscaling.k8s.io/v1",
        "verticalpodautoscalers",
        VerticalPodAutoscaler,
        short_names=("vpa",),
        status=True,
    ),
    Kind(
        "VerticalPodAutoscalerCheckpoint",
        "autoscaling.k8s.io/v1",
        "verticalpodautoscalercheckpoints",
        VerticalPodAutoscalerCheckpoint,
        short_names=("vpacheckpoint",),
    ),
    # Kept whole, interpreted by nobody yet.
    Kind("Secret", "v1", "secrets", Unstructured),
    Kind(
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        Unstructured,
        False,
        ("crd", "crds"),
        status=True,
        collected=False,
    ),
    Kind("Endpoints", "v1", "endpoints", Unstructured, short_names=("ep",), collected=False),
    Kind("ComponentStatus", "v1", "componentstatuses", Unstructured, False, ("cs",), collected=False),
    Kind("ServiceAccount", "v1", "serviceaccounts", Unstructured, short_names=("sa",)),
    Kind("PodTemplate", "v1", "podtemplates", Unstructured),
    Kind(
        "CertificateSigningRequest",
        "certificates.k8s.io/v1",
        "certificatesigningrequests",
        Unstructured,
        False,
        ("csr",),
        status=True,
    ),
    Kind("RuntimeClass", "node.k8s.io/v1", "runtimeclasses", Unstructured, False),
    Kind("IngressClass", "networking.k8s.io/v1", "ingressclasses", Unstructured, False),
    Kind("Ingress", "networking.k8s.io/v1", "ingresses", Unstructured, True, ("ing",), status=True),
    Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", Unstructured, True, ("netpol",)),
    Kind("Role", "rbac.authorization.k8s.io/v1", "roles", Unstructured),
    Kind("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings", Unstructured),
    Kind("ClusterRole", "rbac.authorization.k8s.io/v1", "clusterroles", Unstructured, False),
    Kind("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", "clusterrolebindings", Unstructured, False),
    # What a scheduler or a chart from outside lists. Of CSINodes the limits are respected, of CSIDrivers whether they
    # attach, and VolumeAttachments are made and carried out (harness/controllers/storage); nothing acts on the others.
    Kind("CSINode", "storage.k8s.io/v1", "csinodes", Unstructured, False),
    Kind("CSIDriver", "storage.k8s.io/v1", "csidrivers", Unstructured, False),
    Kind("CSIStorageCapacity", "storage.k8s.io/v1", "csistoragecapacities", Unstructured),
    Kind("VolumeAttachment", "storage.k8s.io/v1", "volumeattachments", Unstructured, False, status=True),
    Kind("DeviceClass", "resource.k8s.io/v1", "deviceclasses", Unstructured, False),
    Kind("ResourceClaim", "resource.k8s.io/v1", "resourceclaims", Unstructured, status=True),
    Kind("ResourceClaimTemplate", "resource.k8s.io/v1", "resourceclaimtemplates", Unstructured),
    Kind("ResourceSlice", "resource.k8s.io/v1", "resourceslices", Unstructured, False),
    # What an API server itself goes by: see LIVE_ONLY.
    Kind(
        "MutatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
        Unstructured,
        False,
        categories=_EXTENSIONS,
    ),
    Kind(
        "ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        Unstructured,
        False,
        categories=_EXTENSIONS,
    ),
    Kind(
        "ValidatingAdmissionPolicy",
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        Unstructured,
        False,
        categories=_EXTENSIONS,
        status=True,
    ),
    Kind(
        "ValidatingAdmissionPolicyBinding",
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        Unstructured,
        False,
        categories=_EXTENSIONS,
    ),
    Kind(
        "APIService",
        "apiregistration.k8s.io/v1",
        "apiservices",
        Unstructured,
        False,
        categories=_EXTENSIONS,
        collected=False,
    ),
    Kind("FlowSchema", "flowcontrol.apiserver.k8s.io/v1", "flowschemas", Unstructured, False, status=True),
    Kind(
        "PriorityLevelConfiguration",
        "flowcontrol.apiserver.k8s.io/v1",
        "prioritylevelconfigurations",
        Unstructured,
        False,
        status=True,
    ),
)
LIVE_ONLY = frozenset(
    {
        "APIService",
        "FlowSchema",
        "MutatingWebhookConfiguration",
        "PriorityLevelConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)
"""Kinds about how an API server treats requests: a live cluster serves them, and refuses by name what it does not do;
files of a run are read without them, as nobody asks there."""

KINDS: dict[str, Kind] = {item.kind: item for item in _KINDS}
BY_TYPE: dict[type[Any], Kind] = {item.type: item for item in _KINDS if item.type is not Unstructured}


def register_kind(kind: Kind) -> None:
    """Make a kind from outside known; see `harness.apiserver.kinds.register`. Raises ValueError where one is."""
    if kind.kind in KINDS or (kind.type is not Unstructured and kind.type in BY_TYPE):
        raise ValueError(f"a kind {kind.kind}, or one of type {kind.type.__name__}, is known already")
    if any((kind.group, kind.plural) == (known.group, known.plural) for known in KINDS.values()):
        raise ValueError(f"{kind.plural} of group {kind.group!r} are served already")
    KINDS[kind.kind] = kind
    if kind.type is not Unstructured:
        BY_TYPE[kind.type] = kind


def unregister_kind(name: str) -> None:
    kind = KINDS.pop(name)
    if kind.type is not Unstructured:
        BY_TYPE.pop(kind.type, None)


def kind_of(value: Any) -> str:
    """The kind's name; Unstructured says its own."""
    known = BY_TYPE.get(type(value))
    return known.kind if known is not None else str((value.extra or {}).get("kind", ""))


def from_wire(data: dict[str, Any], *, epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS) -> Any:
    """A typed object from a manifest. Raises KeyError for an unknown kind, DecodeError for a wrong shape."""
    kind = KINDS[data["kind"]]
    body = dict(data)
    if kind.type is not Unstructured:
        body.pop("kind", None)
        body.pop("apiVersion", None)
    else:
        body["apiVersion"] = data.get("apiVersion", kind.api_version)
    return decode(kind.type, body, epoch_unix_ns=epoch_unix_ns)


def to_wire(value: Any, *, epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS, whole: bool = False) -> dict[str, Any]:
    """The manifest of a typed object, unmodelled fields included; `whole`: with the empty objects that Go sends."""
    kind = KINDS[kind_of(value)]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        **encode(value, epoch_unix_ns=epoch_unix_ns, whole=whole),
    }


__all__ = [
    "BY_TYPE",
    "KINDS",
    "Affinity",
    "Condition",
    "ConfigMap",
    "Container",
    "ContainerPort",
    "ContainerState",
    "ContainerStateRunning",
    "ContainerStateTerminated",
    "ContainerStateWaiting",
    "ContainerStatus",
    "ControllerRevision",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "EndpointSlice",
    "Event",
    "EventSource",
    "HorizontalPodAutoscaler",
    "Job",
    "Kind",
    "LabelSelector",
    "Lease",
    "LimitRange",
    "Namespace",
    "Node",
    "NodeAddress",
    "NodeSpec",
    "NodeStatus",
    "Object",
    "ObjectMeta",
    "ObjectReference",
    "OwnerReference",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "PodGroup",
    "PodMetrics",
    "PodSpec",
    "PodStatus",
    "PodTemplateSpec",
    "PriorityClass",
    "Probe",
    "ReplicaSet",
    "ReplicationController",
    "ResourceList",
    "ResourceQuota",
    "ResourceRequirements",
    "Service",
    "ServicePort",
    "ServiceSpec",
    "StatefulSet",
    "StorageClass",
    "Taint",
    "Toleration",
    "Unstructured",
    "Wire",
    "condition",
    "from_wire",
    "kind_of",
    "register_kind",
    "to_wire",
    "unregister_kind",
    "with_condition",
]
