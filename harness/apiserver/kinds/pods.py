"""Pod. Source: pkg/registry/core/pod/strategy.go, pkg/apis/core/v1/defaults.go, printers.go printPod."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from itertools import chain
from typing import Any

from harness.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from harness.apiserver.admission.limit_ranger import LimitRanger
from harness.apiserver.admission.pod_specs import PodSpecs
from harness.apiserver.admission.priority import Priority
from harness.apiserver.admission.quota import Usage, has_ended, pod_usage
from harness.apiserver.admission.runtime_class import RuntimeClass, RuntimeClassExists
from harness.apiserver.admission.service_account import ServiceAccount
from harness.apiserver.admission.vertical_pod_autoscaler import VerticalPodAutoscaling
from harness.apiserver.defaults.pod_spec import default_pod_spec
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.fields import attribute
from harness.apiserver.registry.identity_memo import IdentityMemo
from harness.apiserver.registry.lifecycle import qos_class, replaced
from harness.apiserver.registry.table_cells import NONE, Moment, created, name_of, part
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import wrong
from harness.apiserver.validation.pods import pod_spec_problems, pod_update_problems
from harness.model.core import Pod, PodSpec, PodStatus
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json


class PodSpecDefaults(PodSpecs):
    plugins = (Priority, DefaultTolerationSeconds, RuntimeClass)


def _defaults(pod: Pod) -> Pod:
    spec = default_pod_spec(pod.spec)
    if spec is pod.spec:
        return pod
    return replaced(pod, spec=spec)


# -- what is wrong -----------------------------------------------------------------------------------------------------

_FINE: tuple[Cause, ...] = ()
_first_status: IdentityMemo[PodStatus] = IdentityMemo()
"""Of a new pod, by its spec; a spec that is here has been found sound."""
_sound_labels: IdentityMemo[bool] = IdentityMemo()


def _problems(pod: Pod, old: Pod | None, name: str) -> tuple[Cause, ...]:
    """The path of every pod: nothing is looked at twice that is the same object."""
    meta, spec = pod.metadata, pod.spec
    labels = meta.labels
    quick = (
        (not labels or id(labels) in _sound_labels.held or _labels_sound(labels))
        and not meta.annotations
        and not meta.finalizers
        and (old is not None or (name != "" and names.is_subdomain(name)))
    )
    found: list[Cause] = []
    if not quick:
        found = names.meta_problems(meta, name) if old is None else names.part_problems(meta)
    elif meta.owner_references:
        found = names.owner_problems(meta.owner_references, "metadata.ownerReferences")
    if old is None:
        known = _first_status.held.get(id(spec))
        if known is None:
            found += pod_spec_problems(spec, "spec")
    elif spec is not old.spec:
        # What it already was is not held against an update.
        found += pod_update_problems(spec, old.spec) or pod_spec_problems(spec, "spec")
    return tuple(found) if found else _FINE


def _labels_sound(labels: dict[str, str]) -> bool:
    return not names.label_problems(labels, "") and _sound_labels.put(labels, True)


# -- its life ----------------------------------------------------------------------------------------------------------


def _on_create(pod: Pod, meta: ObjectMeta) -> Pod:
    spec = pod.spec
    known = _first_status.held.get(id(spec))
    status = known[1] if known is not None else _first_status.put(spec, _pending(spec))
    return replaced(pod, metadata=meta, status=status)


_PENDING_BY_QOS = {qos: PodStatus(phase="Pending", qos_class=qos) for qos in ("Guaranteed", "Burstable", "BestEffort")}


def _pending(spec: PodSpec) -> PodStatus:
    return _PENDING_BY_QOS[qos_class(spec)]


MOST_GRACE_S = 10**9
"""31 years: so long is for ever, and an instant so far away can still be told in nanoseconds of 64 bits."""


def _grace_s(pod: Pod, asked: int | None) -> int:
    """Source: pkg/registry/core/pod/strategy.go CheckGracefulDelete: none for what is bound nowhere or has ended."""
    grace = asked
    if grace is None:
        grace = 30 if pod.spec.termination_grace_period_seconds is None else pod.spec.termination_grace_period_seconds
    if not pod.spec.node_name or pod.status.phase in ("Succeeded", "Failed"):
        return 0
    return min(max(grace, 0), MOST_GRACE_S)


def _usage(pod: Pod, now: int) -> Usage:
    """A pod that has ended counts as an object alone."""
    return {} if has_ended(pod, now) else {"pods": 1000, **pod_usage(pod.spec)}


_TERMINAL = ("Succeeded", "Failed")


def _status_problems(new: Pod, old: Pod) -> list[Cause]:
    """A pod that has ended stays so. In Kubernetes the kubelet's status manager sees to it (pkg/kubelet/status,
    updateStatusInternal); here it is a rule of the door, for whoever writes."""
    was, phase = old.status.phase, new.status.phase
    if was in _TERMINAL and phase != was:
        return [wrong("status.phase", phase, f"a pod that is {was} stays {was}")]
    return []


# -- what kubectl prints -----------------------------------------------------------------------------------------------

_COLUMNS = ("Name", "Ready", "Status", "Restarts", "Age", "IP*", "Node*", "Nominated Node*", "Readiness Gates*")


def _cells(obj: Json, moment: Moment) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    reason, restarts, ready = _state(spec, status, moment)
    total = len(spec.get("containers") or []) + sum(map(_sidecar, spec.get("initContainers") or []))
    if part(obj, "metadata", "deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    gates = spec.get("readinessGates") or []
    gate = NONE
    if gates:
        held = {item["type"]: item["status"] for item in status.get("conditions") or []}
        gate = f"{sum(held.get(item.get('conditionType')) == 'True' for item in gates)}/{len(gates)}"
    return [
        name_of(obj),
        f"{ready}/{total}",
        reason,
        restarts,
        moment.age(created(obj)),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        gate,
    ]


def _sidecar(container: Json) -> bool:
    return container.get("restartPolicy") == "Always"


def _state(spec: Json, status: Json, moment: Moment) -> tuple[str, str, int]:
    """(what the STATUS column says, RESTARTS, how many containers are ready)."""
    reason = status.get("reason") or status.get("phase") or "Unknown"
    for item in status.get("conditions") or []:
        if item.get("type") == "PodScheduled" and item.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    restarts = ready = of_sidecars = 0
    last = of_sidecars_last = ""
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if _sidecar(c)}
    starting = False
    inits = status.get("initContainerStatuses") or []
    for index, container in enumerate(inits):
        restarts += container.get("restartCount") or 0
        last = max(last, _ended(container))
        if container.get("name") in sidecars:
            of_sidecars += container.get("restartCount") or 0
            of_sidecars_last = max(of_sidecars_last, _ended(container))
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if ended is not None:
            reason = "Init:" + (ended.get("reason") or _exit(ended))
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            reason = f"Init:{waiting['reason']}"
        else:
            reason = f"Init:{index}/{len(spec.get('initContainers') or [])}"
        starting = True
        break
    if not starting or _holds(status, "Initialized"):
        # A sidecar that was stopped after all others is no failed start; of what came before it, sidecars' restarts
        # alone count on. Source: printPod, isPodInitializedConditionTrue (1.34).
        restarts, last = of_sidecars, of_sidecars_last
        running = False
        for container in reversed(status.get("containerStatuses") or []):
            restarts += container.get("restartCount") or 0
            last = max(last, _ended(container))
            state = container.get("state") or {}
            ended, waiting = state.get("terminated"), state.get("waiting") or {}
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif ended is not None:
                reason = ended.get("reason") or _exit(ended)
            elif container.get("ready") and state.get("running") is not None:
                running = True
                ready += 1
        if reason == "Completed" and running:
            reason = "Running" if _holds(status, "Ready") else "NotReady"
    shown = f"{restarts} ({moment.age(last)} ago)" if restarts and last else str(restarts)
    return reason, shown, ready


def _holds(status: Json, condition: str) -> bool:
    return any(
        item.get("type") == condition and item.get("status") == "True" for item in status.get("conditions") or []
    )


def _exit(ended: Json) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _ended(container: Json) -> str:
    return part(container, "lastState", "terminated", "finishedAt") or ""


# -- on the wire -------------------------------------------------------------------------------------------------------


_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def _complete_wire(data: Json) -> None:
    """What a kubelet reports besides what is kept here: addresses as lists, the ids of containers and of their images.

    Source: core/v1 PodStatus; ContainerStatus, of which ready, restartCount, image and imageID are always there.
    """
    status = data["status"]
    for one, many in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
        if status.get(one):
            status[many] = [{"ip": status[one]}]
    _tell_sandbox(status)
    uid = data["metadata"].get("uid", "")
    for container in chain.from_iterable(status.get(each, ()) for each in _STATUSES):
        container.setdefault("ready", False)
        count = container.setdefault("restartCount", 0)
        image = container.setdefault("image", "")
        state = container.get("state") or {}
        begun = "running" in state or "terminated" in state
        container.setdefault("imageID", f"{image.partition('@')[0]}@sha256:{_digest(image)}" if begun else "")
        if begun:
            container.setdefault("containerID", "containerd://" + _digest(f"{uid}/{container['name']}/{count}"))


_SANDBOX = "PodReadyToStartContainers"


def _tell_sandbox(status: Json) -> None:
    """The condition PodReadyToStartContainers, where the kubelet's plain path leaves it out: a pod has its sandbox from
    its start, and none once it has ended. Nothing for a pod that no kubelet has started.

    Source: pkg/kubelet/status/generate.go GeneratePodReadyToStartContainersCondition (1.34).
    """
    conditions = [item for item in status.get("conditions", ()) if item.get("type") != _SANDBOX]
    held = {item["type"]: item for item in conditions}
    over = status.get("phase") in _TERMINAL
    was = next((item["status"] for item in status.get("conditions", ()) if item.get("type") == _SANDBOX), "")
    if "Initialized" not in held or was == "False" or (was and not over):
        return
    since = held.get("ContainersReady", held["Initialized"]) if over else held["Initialized"]
    told = {
        "lastTransitionTime": since.get("lastTransitionTime"),
        "status": "False" if over else "True",
        "type": _SANDBOX,
    }
    place = list(held).index("Initialized")
    status["conditions"] = [*conditions[:place], told, *conditions[place:]]


@lru_cache(maxsize=16384)
def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


RULES = (
    KindRules(
        kind=KINDS["Pod"],
        defaults=_defaults,
        admission=(LimitRanger, ServiceAccount, RuntimeClassExists, PodSpecDefaults, VerticalPodAutoscaling),
        problems=_problems,
        on_create=_on_create,
        status_problems=_status_problems,
        grace_s=_grace_s,
        returned_when_deleted=True,
        quota_name="pods",
        usage=_usage,
        table=Table(_COLUMNS, _cells),
        fields={
            "spec.host": attribute("spec", "node_name"),
            "spec.hostNetwork": lambda pod: str(bool((pod.spec.extra or {}).get("hostNetwork"))).lower(),
            "spec.nodeName": attribute("spec", "node_name"),
            "spec.restartPolicy": attribute("spec", "restart_policy"),
            "spec.schedulerName": attribute("spec", "scheduler_name"),
            "spec.serviceAccountName": attribute("spec", "service_account_name"),
            "status.phase": attribute("status", "phase"),
            "status.podIP": attribute("status", "pod_ip"),
            "status.podIPs": attribute("status", "pod_ip"),
            "status.nominatedNodeName": attribute("status", "nominated_node_name"),
        },
        complete_wire=_complete_wire,
        subresources=("attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward"),
    ),
)
