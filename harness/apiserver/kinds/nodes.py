"""Node, and the Lease by which its kubelet says that it is alive. Source: pkg/apis/{core,coordination}/validation."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    NONE,
    UNKNOWN,
    Moment,
    created,
    name_of,
    part,
)
from harness.apiserver.validation import names
from harness.apiserver.validation.amounts import node_amount_problems
from harness.apiserver.validation.causes import (
    at_least,
    duplicate,
    forbidden,
    required,
    unsupported,
    wrong,
)
from harness.apiserver.validation.pods import EFFECTS
from harness.model.core import Node, Taint
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json
from harness.model.workloads import Lease


def _node_problems(new: Node, old: Node | None) -> list[Cause]:
    found: list[Cause] = [] if old is not None else _status_problems(new, None)
    if old is not None and new.spec is old.spec:
        return found
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(new.spec.taints):
        at = f"spec.taints[{index}]"
        if why := names.qualified_problem(taint.key):
            found.append(wrong(f"{at}.key", taint.key, why))
        if why := names.label_value_problem(taint.value):
            found.append(wrong(f"{at}.value", taint.value, why))
        if not taint.effect:
            found.append(required(f"{at}.effect"))
        elif taint.effect not in EFFECTS:
            found.append(unsupported(f"{at}.effect", taint.effect, EFFECTS))
        if (taint.key, taint.effect) in seen:
            found.append(duplicate(at, f"{taint.key}:{taint.effect}"))
        seen.add((taint.key, taint.effect))
    if old is not None:
        if old.spec.pod_cidr and new.spec.pod_cidr != old.spec.pod_cidr:
            found.append(forbidden("spec.podCIDR", 'node updates may not change podCIDR except from "" to valid'))
        if old.spec.provider_id and new.spec.provider_id != old.spec.provider_id:
            why = 'node updates may not change providerID except from "" to valid'
            found.append(forbidden("spec.providerID", why))
    return found


def _defaulted(node: Node) -> Node:
    """What is allocatable is all of the capacity, where the node does not say.

    Source: Kubernetes 1.32 pkg/apis/core/v1/defaults.go SetDefaults_NodeStatus.
    """
    if node.status.allocatable or not node.status.capacity:
        return node
    return replaced(node, status=replaced(node.status, allocatable=node.status.capacity))


def _status_problems(new: Node, old: Node | None) -> list[Cause]:
    """Source: ValidateNodeResources, for the signs."""
    found: list[Cause] = []
    for field in ("capacity", "allocatable"):
        amounts = getattr(new.status, field)
        if old is None or amounts is not getattr(old.status, field):
            node_amount_problems(found, amounts, f"status.{field}")
    return found


NOT_READY = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")


def _not_ready(node: Node) -> Node:
    """A node that a client creates takes no pods until it is ready. Source: plugin/pkg/admission/nodetaint."""
    if any((taint.key, taint.effect) == (NOT_READY.key, NOT_READY.effect) for taint in node.spec.taints):
        return node
    return replaced(node, spec=replaced(node.spec, taints=(*node.spec.taints, NOT_READY)))


def _on_create(node: Node, meta: ObjectMeta) -> Node:
    """The kubelet registers with its status."""
    return replaced(node, metadata=meta)


def _complete(data: Json) -> None:
    """What a kubelet says of its machine, where nobody has: simulated, and called so."""
    status = data["status"]
    name = part(data, "metadata", "name") or ""
    identity = blake2b(name.encode(), digest_size=16).hexdigest()
    info = {
        "machineID": identity,
        "systemUUID": _dashed(identity),
        "bootID": _dashed(blake2b(f"{name}/boot".encode(), digest_size=16).hexdigest()),
        "kernelVersion": "6.1.0-podyard",
        "osImage": "Podyard (simulated)",
        "containerRuntimeVersion": "containerd://2.0.0-podyard",
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": KUBELET_VERSION,
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
    status["nodeInfo"] = info | (status.get("nodeInfo") or {})
    status.setdefault("daemonEndpoints", {"kubeletEndpoint": {"Port": 10250}})
    for item in status.get("conditions") or ():
        # A kubelet writes both together here.
        if "lastTransitionTime" in item:
            item.setdefault("lastHeartbeatTime", item["lastTransitionTime"])


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


KUBELET_VERSION = "v1.32.0"

_ROLE = "node-role.kubernetes.io/"


def _node_cells(obj: Json, moment: Moment) -> list[Any]:
    held = {item["type"]: item["status"] for item in part(obj, "status", "conditions") or []}
    ready = {"True": "Ready", None: "Unknown"}.get(held.get("Ready"), "NotReady")
    state = ready + (",SchedulingDisabled" if part(obj, "spec", "unschedulable") else "")
    names = part(obj, "metadata", "labels") or {}
    roles = sorted({key[len(_ROLE) :] for key in names if key.startswith(_ROLE) and len(key) > len(_ROLE)})
    addresses = {item["type"]: item["address"] for item in reversed(part(obj, "status", "addresses") or [])}
    info = part(obj, "status", "nodeInfo") or {}
    return [
        name_of(obj),
        state,
        ",".join(roles) or NONE,
        moment.age(created(obj)),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _lease_problems(new: Lease, old: Lease | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if spec.lease_duration_seconds is not None and spec.lease_duration_seconds <= 0:
        found.append(wrong("spec.leaseDurationSeconds", spec.lease_duration_seconds, "must be greater than 0"))
    at_least(found, "spec.leaseTransitions", spec.lease_transitions)
    return found


def _lease_cells(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), part(obj, "spec", "holderIdentity") or "", moment.age(created(obj))]


_COLUMNS = (
    "Name", "Status", "Roles", "Age", "Version",
    "Internal-IP*", "External-IP*", "OS-Image*", "Kernel-Version*", "Container-Runtime*",
)  # fmt: skip

RULES = (
    KindRules(
        kind=KINDS["Node"],
        defaults=_defaulted,
        validate=_node_problems,
        on_create=_on_create,
        status_problems=_status_problems,
        complete_wire=_complete,
        from_client=_not_ready,
        table=Table(_COLUMNS, _node_cells),
        fields={"spec.unschedulable": lambda node: "true" if node.spec.unschedulable else "false"},
        merge_keys={"status.addresses": "type"},
    ),
    KindRules(
        kind=KINDS["Lease"],
        validate=_lease_problems,
        counted=False,
        table=Table(("Name", "Holder", "Age"), _lease_cells),
    ),
)
