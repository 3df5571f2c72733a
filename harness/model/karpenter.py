"""NodePool and NodeClaim (karpenter.sh/v1): which nodes may be made just in time, and the nodes that were asked for.

Field names: kubernetes-sigs/karpenter pkg/apis/v1 nodepool.go, nodeclaim.go, labels.go, taints.go (1.14). Unmodelled
fields ride in `extra`.
"""

from __future__ import annotations

from msgspec import field

from harness.model.core import ResourceList, Taint
from harness.model.meta import Condition, ObjectMeta
from harness.model.wire import Time, Wire

NODEPOOL = "karpenter.sh/nodepool"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
REGISTERED = "karpenter.sh/registered"
INITIALIZED = "karpenter.sh/initialized"
"""Labels. Source: labels.go."""

DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
NODEPOOL_HASH = "karpenter.sh/nodepool-hash"
NODEPOOL_HASH_VERSION = "karpenter.sh/nodepool-hash-version"
"""Annotations. Source: labels.go."""

TERMINATION = "karpenter.sh/termination"
"""Finalizer. Source: labels.go TerminationFinalizer."""

DISRUPTED = Taint(key="karpenter.sh/disrupted", effect="NoSchedule")
UNREGISTERED = Taint(key="karpenter.sh/unregistered", effect="NoExecute")
"""Source: taints.go."""

ON_DEMAND, SPOT = "on-demand", "spot"
"""Values of CAPACITY_TYPE. `reserved` is not modelled."""

INSTANCE_TYPE, ARCH, OS = "node.kubernetes.io/instance-type", "kubernetes.io/arch", "kubernetes.io/os"
ZONE, REGION, HOSTNAME = "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "kubernetes.io/hostname"

AWS = "karpenter.k8s.aws/instance-"
OF_INSTANCE_TYPES = tuple(
    f"{AWS}{name}"
    for name in (
        "category", "family", "generation", "size", "cpu", "memory", "gpu-count", "gpu-name", "gpu-manufacturer",
    )
)  # fmt: skip
"""Labels that say what an instance type is. Source: karpenter-provider-aws pkg/apis/v1/labels.go (1.6)."""

WELL_KNOWN = frozenset({NODEPOOL, CAPACITY_TYPE, INSTANCE_TYPE, ARCH, OS, ZONE, REGION, *OF_INSTANCE_TYPES})
"""Labels that every instance type has a value of, or none of: a requirement that a NodePool does not name can hold.
Source: labels.go WellKnownLabels."""

WHEN_EMPTY, WHEN_UNDERUTILIZED = "WhenEmpty", "WhenEmptyOrUnderutilized"
EMPTY, UNDERUTILIZED, DRIFTED = "Empty", "Underutilized", "Drifted"
"""Consolidation policies, and reasons of a disruption. Source: nodepool.go."""

NEVER = "Never"


class NodeClassReference(Wire, frozen=True, kw_only=True):
    group: str = ""
    kind: str = ""
    name: str = ""


class MinValuesRequirement(Wire, frozen=True, kw_only=True):
    """NodeSelectorRequirementWithMinValues: `min_values` so many different values must stay open."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    min_values: int | None = None


class NodeClaimTemplateMeta(Wire, frozen=True, kw_only=True):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class NodeClaimTemplateSpec(Wire, frozen=True, kw_only=True):
    taints: tuple[Taint, ...] = ()
    startup_taints: tuple[Taint, ...] = ()
    requirements: tuple[MinValuesRequirement, ...] = ()
    node_class_ref: NodeClassReference | None = None
    termination_grace_period: str | None = None
    expire_after: str | None = None


class NodeClaimTemplate(Wire, frozen=True, kw_only=True):
    metadata: NodeClaimTemplateMeta = NodeClaimTemplateMeta()
    spec: NodeClaimTemplateSpec = NodeClaimTemplateSpec()


class DisruptionBudget(Wire, frozen=True, kw_only=True):
    """So many `nodes` ('10%', '3') may go at a time for `reasons` (none: for any), from each instant of the cron
    `schedule` for `duration`."""

    nodes: str = "10%"
    reasons: tuple[str, ...] | None = None
    schedule: str | None = None
    duration: str | None = None


class Disruption(Wire, frozen=True, kw_only=True):
    consolidate_after: str = ""
    consolidation_policy: str = ""
    budgets: tuple[DisruptionBudget, ...] | None = None


class NodePoolSpec(Wire, frozen=True, kw_only=True):
    template: NodeClaimTemplate = NodeClaimTemplate()
    disruption: Disruption = Disruption()
    limits: ResourceList = {}
    weight: int | None = None
    replicas: int | None = None


class NodePoolStatus(Wire, frozen=True, kw_only=True):
    resources: ResourceList = {}
    nodes: int | None = None
    conditions: tuple[Condition, ...] = ()


class NodePool(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: NodePoolSpec = NodePoolSpec()
    status: NodePoolStatus = NodePoolStatus()


class ClaimResources(Wire, frozen=True, kw_only=True):
    requests: ResourceList = {}


class NodeClaimSpec(Wire, frozen=True, kw_only=True):
    taints: tuple[Taint, ...] = ()
    startup_taints: tuple[Taint, ...] = ()
    requirements: tuple[MinValuesRequirement, ...] = ()
    resources: ClaimResources = ClaimResources()
    node_class_ref: NodeClassReference | None = None
    termination_grace_period: str | None = None
    expire_after: str | None = None


class NodeClaimStatus(Wire, frozen=True, kw_only=True):
    node_name: str = ""
    provider_id: str = field(default="", name="providerID")
    capacity: ResourceList = {}
    allocatable: ResourceList = {}
    conditions: tuple[Condition, ...] = ()
    last_pod_event_time: Time | None = None


class NodeClaim(Wire, frozen=True, kw_only=True):
    """Its conditions Launched, Registered and Initialized say how far its machine is."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NodeClaimSpec = NodeClaimSpec()
    status: NodeClaimStatus = NodeClaimStatus()
