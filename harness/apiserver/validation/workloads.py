"""What is wrong with what makes, scales, protects and exposes pods.

Source: pkg/apis/{apps,batch,policy,autoscaling}/validation/validation.go, core ValidateService.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import (
    at_least,
    duplicate,
    forbidden,
    immutable,
    required,
    unsupported,
    wrong,
)
from harness.apiserver.validation.pods import pod_spec_problems
from harness.model.core import PodTemplateSpec, Service
from harness.model.meta import LabelSelector
from harness.model.status import Cause
from harness.model.wire import encode
from harness.model.workloads import (
    DaemonSet,
    Deployment,
    EndpointSlice,
    HorizontalPodAutoscaler,
    Job,
    PodDisruptionBudget,
    ReplicaSet,
)

_PERCENT = re.compile(r"[0-9]+%")


def replica_set(new: ReplicaSet, old: ReplicaSet | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    at_least(found, "spec.replicas", spec.replicas)
    at_least(found, "spec.minReadySeconds", spec.min_ready_seconds)
    _selected_template(found, spec.selector, spec.template, None if old is None else old.spec.template)
    if old is not None and spec.selector != old.spec.selector:
        found.append(immutable("spec.selector", encode(spec.selector)))
    return found


def deployment(new: Deployment, old: Deployment | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    at_least(found, "spec.replicas", spec.replicas)
    at_least(found, "spec.minReadySeconds", spec.min_ready_seconds)
    at_least(found, "spec.revisionHistoryLimit", spec.revision_history_limit)
    at_least(found, "spec.progressDeadlineSeconds", spec.progress_deadline_seconds)
    deadline, ready = spec.progress_deadline_seconds, spec.min_ready_seconds or 0
    if deadline is not None and 0 <= deadline <= ready:
        found.append(wrong("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    _strategy(found, new)
    _selected_template(found, spec.selector, spec.template, None if old is None else old.spec.template)
    if old is not None and spec.selector != old.spec.selector:
        found.append(immutable("spec.selector", encode(spec.selector)))
    return found


def daemon_set(new: DaemonSet, old: DaemonSet | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    at_least(found, "spec.minReadySeconds", spec.min_ready_seconds)
    at_least(found, "spec.revisionHistoryLimit", spec.revision_history_limit)
    strategy = spec.update_strategy
    at = "spec.updateStrategy"
    if strategy.type == "RollingUpdate":
        rolling = strategy.rolling_update
        if rolling is None:
            found.append(required(f"{at}.rollingUpdate"))
        else:
            most = int_or_percent(found, rolling.max_unavailable, f"{at}.rollingUpdate.maxUnavailable", whole=True)
            if rolling.max_surge not in (None, 0, "0%"):
                why = "surge updates of DaemonSets are not modelled"
                found.append(forbidden(f"{at}.rollingUpdate.maxSurge", why))
            elif most == 0:
                why = "cannot be 0 when `maxSurge` is 0"
                found.append(wrong(f"{at}.rollingUpdate.maxUnavailable", rolling.max_unavailable, why))
    elif strategy.type != "OnDelete":
        found.append(unsupported(f"{at}.type", strategy.type, ("OnDelete", "RollingUpdate")))
    _selected_template(found, spec.selector, spec.template, None if old is None else old.spec.template)
    if old is not None and spec.selector != old.spec.selector:
        found.append(immutable("spec.selector", encode(spec.selector)))
    return found


def _strategy(found: list[Cause], obj: Deployment) -> None:
    strategy = obj.spec.strategy
    at = "spec.strategy"
    match strategy.type:
        case "Recreate":
            if strategy.rolling_update is not None:
                why = "may not be specified when strategy `type` is 'Recreate'"
                found.append(forbidden(f"{at}.rollingUpdate", why))
        case "RollingUpdate":
            rolling = strategy.rolling_update
            if rolling is None:
                found.append(required(f"{at}.rollingUpdate", "this should be defaulted and never be nil"))
                return
            most = int_or_percent(found, rolling.max_unavailable, f"{at}.rollingUpdate.maxUnavailable", whole=True)
            surge = int_or_percent(found, rolling.max_surge, f"{at}.rollingUpdate.maxSurge")
            if most == 0 and surge == 0:
                why = "may not be 0 when `maxSurge` is 0"
                found.append(wrong(f"{at}.rollingUpdate.maxUnavailable", rolling.max_unavailable, why))
        case other:
            found.append(unsupported(f"{at}.type", other, ("Recreate", "RollingUpdate")))


def int_or_percent(found: list[Cause], value: int | str | None, field: str, *, whole: bool = False) -> int | None:
    """The number; `whole`: not more than all of it."""
    if value is None:
        return None
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            found.append(
                wrong(field, value, "a valid percent string must be a numeric string followed by an ending '%'")
            )
            return None
        percent = int(value[:-1])
        if whole and percent > 100:
            found.append(wrong(field, value, "must not be greater than 100%"))
        return percent
    at_least(found, field, value)
    return value


def _selected_template(
    found: list[Cause], selector: LabelSelector, template: PodTemplateSpec, old: PodTemplateSpec | None
) -> None:
    unsound = names.selector_problems(selector, "spec.selector")
    found += unsound
    if selector.empty:
        found.append(required("spec.selector"))
    elif not unsound and not selector.matches(template.metadata.labels):
        why = "`selector` does not match template `labels`"
        found.append(wrong("spec.template.metadata.labels", dict(template.metadata.labels), why))
    if template is old:
        return
    _template(found, template, ("Always",))
    if template.spec.active_deadline_seconds is not None:
        found.append(forbidden("spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported"))  # fmt: skip  # noqa: E501


def _template(found: list[Cause], template: PodTemplateSpec, policies: tuple[str, ...]) -> None:
    found += names.part_problems(template.metadata, "spec.template.metadata")
    found += pod_spec_problems(template.spec, "spec.template.spec")
    if template.spec.restart_policy not in policies and template.spec.restart_policy in (
        "Always",
        "OnFailure",
        "Never",
    ):
        found.append(unsupported("spec.template.spec.restartPolicy", template.spec.restart_policy, policies))


def job(new: Job, old: Job | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    for field, value in (
        ("parallelism", spec.parallelism),
        ("completions", spec.completions),
        ("backoffLimit", spec.backoff_limit),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
    ):
        at_least(found, f"spec.{field}", value)
    if spec.completion_mode not in (None, "NonIndexed", "Indexed"):
        found.append(unsupported("spec.completionMode", spec.completion_mode, ("NonIndexed", "Indexed")))
    if spec.completion_mode == "Indexed" and spec.completions is None:
        found.append(required("spec.completions", "when completion mode is Indexed"))
    if old is None or spec.template is not old.spec.template:
        _template(found, spec.template, ("OnFailure", "Never"))
    if old is not None:
        was = old.spec
        if spec.selector != was.selector:
            found.append(immutable("spec.selector", None if spec.selector is None else encode(spec.selector)))
        if spec.completion_mode != was.completion_mode:
            found.append(immutable("spec.completionMode", spec.completion_mode))
        elastic = spec.completion_mode == "Indexed" and spec.completions == spec.parallelism
        if spec.completions != was.completions and not elastic:
            found.append(immutable("spec.completions", spec.completions))
        if spec.template != was.template and not (was.suspend and old.status.start_time is None):
            found.append(immutable("spec.template", "the pod template"))
    return found


def budget(new: PodDisruptionBudget, old: PodDisruptionBudget | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if spec.min_available is not None and spec.max_unavailable is not None:
        found.append(wrong("spec", encode(spec), "minAvailable and maxUnavailable cannot be both set"))
    int_or_percent(found, spec.min_available, "spec.minAvailable", whole=True)
    int_or_percent(found, spec.max_unavailable, "spec.maxUnavailable", whole=True)
    found += names.selector_problems(spec.selector, "spec.selector")
    return found


def autoscaler(new: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    at_least(found, "spec.minReplicas", spec.min_replicas, 1)
    if spec.max_replicas < 1:
        found.append(wrong("spec.maxReplicas", spec.max_replicas, "must be greater than 0"))
    if spec.min_replicas is not None and spec.max_replicas < spec.min_replicas:
        why = "must be greater than or equal to `minReplicas`"
        found.append(wrong("spec.maxReplicas", spec.max_replicas, why))
    for field, value in (("kind", spec.scale_target_ref.kind), ("name", spec.scale_target_ref.name)):
        if not value:
            found.append(required(f"spec.scaleTargetRef.{field}"))
    known = ("ContainerResource", "External", "Object", "Pods", "Resource")
    for index, metric in enumerate(spec.metrics):
        at = f"spec.metrics[{index}]"
        if metric.type not in known:
            found.append(unsupported(f"{at}.type", metric.type, known))
        elif metric.type == "Resource":
            if metric.resource is None:
                found.append(required(f"{at}.resource", "must populate the given metric source"))
            elif metric.resource.target.average_utilization is not None:
                where = f"{at}.resource.target.averageUtilization"
                if metric.resource.target.average_utilization < 1:
                    found.append(wrong(where, metric.resource.target.average_utilization, "must be greater than 0"))
    return found


_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def service(new: Service, old: Service | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if spec.type not in _SERVICE_TYPES:
        found.append(unsupported("spec.type", spec.type, _SERVICE_TYPES))
    if not spec.ports and spec.type != "ExternalName" and spec.cluster_ip != "None":
        found.append(required("spec.ports"))
    if spec.type == "ExternalName" and not (spec.extra or {}).get("externalName"):
        found.append(required("spec.externalName"))
    named: set[str] = set()
    claimed: set[tuple[int, str]] = set()
    for index, port in enumerate(spec.ports):
        at = f"spec.ports[{index}]"
        if not port.name and len(spec.ports) > 1:
            found.append(required(f"{at}.name"))
        elif port.name:
            if why := names.label_problem(port.name):
                found.append(wrong(f"{at}.name", port.name, why))
            elif port.name in named:
                found.append(duplicate(f"{at}.name", port.name))
            named.add(port.name)
        names.port_problems(found, f"{at}.port", port.port)
        names.protocol_problems(found, f"{at}.protocol", port.protocol)
        if isinstance(port.target_port, int):
            names.port_problems(found, f"{at}.targetPort", port.target_port)
        elif port.target_port and (why := names.port_name_problem(port.target_port)):
            found.append(wrong(f"{at}.targetPort", port.target_port, why))
        if (port.port, port.protocol) in claimed:
            found.append(duplicate(at, f"{port.protocol}/{port.port}"))
        claimed.add((port.port, port.protocol))
    found += names.label_problems(spec.selector, "spec.selector")
    if spec.session_affinity not in ("", "None", "ClientIP"):
        found.append(unsupported("spec.sessionAffinity", spec.session_affinity, ("ClientIP", "None")))
    if old is not None and "ExternalName" not in (old.spec.type, spec.type):
        was = old.spec.cluster_ip
        if was and spec.cluster_ip != was:
            found.append(immutable("spec.clusterIPs[0]", spec.cluster_ip))
    return found


def endpoint_slice(new: EndpointSlice, old: EndpointSlice | None) -> list[Cause]:
    found: list[Cause] = []
    known = ("FQDN", "IPv4", "IPv6")
    if not new.address_type:
        found.append(required("addressType"))
    elif new.address_type not in known:
        found.append(unsupported("addressType", new.address_type, known))
    if len(new.endpoints) > 1000:
        found.append(wrong("endpoints", len(new.endpoints), "must have at most 1000 items"))
    for index, endpoint in enumerate(new.endpoints):
        if not endpoint.addresses:
            found.append(required(f"endpoints[{index}].addresses", "must contain at least 1 address"))
    if old is not None and new.address_type != old.address_type:
        found.append(immutable("addressType", new.address_type))
    return found


Check = Callable[..., list[Cause]]

WORKLOADS: dict[str, Check] = {
    "ReplicaSet": replica_set,
    "Deployment": deployment,
    "DaemonSet": daemon_set,
    "Job": job,
    "PodDisruptionBudget": budget,
    "HorizontalPodAutoscaler": autoscaler,
    "Service": service,
    "EndpointSlice": endpoint_slice,
}
