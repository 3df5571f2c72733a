"""ReplicaSet, Deployment, DaemonSet. Source: pkg/apis/apps: validation and v1/defaults.go; printers.go."""

from __future__ import annotations

from typing import Any

from harness.apiserver.defaults.pod_spec import default_template
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    TEMPLATE_COLUMNS,
    Moment,
    created,
    labels,
    name_of,
    number,
    part,
    template_cells,
)
from harness.apiserver.validation.causes import (
    at_least,
    forbidden,
    immutable,
    pod_count,
    required,
    unsupported,
    wrong,
)
from harness.apiserver.validation.templates import int_or_percent, selected_template_problems
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json, encode
from harness.model.workloads import (
    DaemonSet,
    Deployment,
    ReplicaSet,
    RollingUpdateDaemonSet,
    RollingUpdateDeployment,
)


def _default_replica_set(obj: ReplicaSet) -> ReplicaSet:
    spec = replaced(
        obj.spec,
        replicas=1 if obj.spec.replicas is None else obj.spec.replicas,
        template=default_template(obj.spec.template),
    )
    return replaced(obj, spec=spec)


def _replica_set_problems(new: ReplicaSet, old: ReplicaSet | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    pod_count(found, "spec.replicas", spec.replicas)
    at_least(found, "spec.minReadySeconds", spec.min_ready_seconds)
    selected_template_problems(found, spec.selector, spec.template, None if old is None else old.spec.template)
    if old is not None and spec.selector != old.spec.selector:
        found.append(immutable("spec.selector", encode(spec.selector)))
    return found


def _replica_set_cells(obj: Json, moment: Moment) -> list[Any]:
    return [
        name_of(obj),
        number(obj, "spec", "replicas"),
        number(obj, "status", "replicas"),
        number(obj, "status", "readyReplicas"),
        moment.age(created(obj)),
        *template_cells(obj),
    ]


def _complete_replica_set(data: Json) -> None:
    data["status"].setdefault("replicas", 0)


def _default_deployment(obj: Deployment) -> Deployment:
    strategy = obj.spec.strategy
    if strategy.type in ("", "RollingUpdate"):
        rolling = strategy.rolling_update or RollingUpdateDeployment()
        strategy = replaced(
            strategy,
            type="RollingUpdate",
            rolling_update=replaced(
                rolling,
                max_unavailable="25%" if rolling.max_unavailable is None else rolling.max_unavailable,
                max_surge="25%" if rolling.max_surge is None else rolling.max_surge,
            ),
        )
    spec = replaced(
        obj.spec,
        replicas=1 if obj.spec.replicas is None else obj.spec.replicas,
        strategy=strategy,
        revision_history_limit=10 if obj.spec.revision_history_limit is None else obj.spec.revision_history_limit,
        progress_deadline_seconds=(
            600 if obj.spec.progress_deadline_seconds is None else obj.spec.progress_deadline_seconds
        ),
        template=default_template(obj.spec.template),
    )
    return replaced(obj, spec=spec)


def _deployment_problems(new: Deployment, old: Deployment | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    pod_count(found, "spec.replicas", spec.replicas)
    at_least(found, "spec.minReadySeconds", spec.min_ready_seconds)
    at_least(found, "spec.revisionHistoryLimit", spec.revision_history_limit)
    at_least(found, "spec.progressDeadlineSeconds", spec.progress_deadline_seconds)
    deadline, ready = spec.progress_deadline_seconds, spec.min_ready_seconds or 0
    if deadline is not None and 0 <= deadline <= ready:
        found.append(wrong("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    _strategy_problems(found, new)
    selected_template_problems(found, spec.selector, spec.template, None if old is None else old.spec.template)
    if old is not None and spec.selector != old.spec.selector:
        found.append(immutable("spec.selector", encode(spec.selector)))
    return found


def _strategy_problems(found: list[Cause], obj: Deployment) -> None:
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


def _deployment_cells(obj: Json, moment: Moment) -> list[Any]:
    return [
        name_of(obj),
        f"{number(obj, 'status', 'readyReplicas')}/{number(obj, 'spec', 'replicas')}",
        number(obj, "status", "updatedReplicas"),
        number(obj, "status", "availableReplicas"),
        moment.age(created(obj)),
        *template_cells(obj),
    ]


def _default_daemon_set(obj: DaemonSet) -> DaemonSet:
    strategy = obj.spec.update_strategy
    if strategy.type in ("", "RollingUpdate"):
        rolling = strategy.rolling_update or RollingUpdateDaemonSet()
        rolling = replaced(
            rolling,
            max_unavailable=1 if rolling.max_unavailable is None else rolling.max_unavailable,
            max_surge=0 if rolling.max_surge is None else rolling.max_surge,
        )
        strategy = replaced(strategy, type="RollingUpdate", rolling_update=rolling)
    limit = obj.spec.revision_history_limit
    spec = replaced(
        obj.spec,
        template=default_template(obj.spec.template),
        update_strategy=strategy,
        revision_history_limit=10 if limit is None else limit,
    )
    return replaced(obj, spec=spec)


def _daemon_set_problems(new: DaemonSet, old: DaemonSet | None) -> list[Cause]:
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
    selected_template_problems(found, spec.selector, spec.template, None if old is None else old.spec.template)
    if old is not None and spec.selector != old.spec.selector:
        found.append(immutable("spec.selector", encode(spec.selector)))
    return found


def _daemon_set_cells(obj: Json, moment: Moment) -> list[Any]:
    return [
        name_of(obj),
        number(obj, "status", "desiredNumberScheduled"),
        number(obj, "status", "currentNumberScheduled"),
        number(obj, "status", "numberReady"),
        number(obj, "status", "updatedNumberScheduled"),
        number(obj, "status", "numberAvailable"),
        labels(part(obj, "spec", "template", "spec", "nodeSelector")),
        moment.age(created(obj)),
        *template_cells(obj),
    ]


def _complete_daemon_set(data: Json) -> None:
    for name in ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"):
        data["status"].setdefault(name, 0)


_DAEMON_SET_COLUMNS = (
    "Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", *TEMPLATE_COLUMNS,
)  # fmt: skip

RULES = (
    KindRules(
        kind=KINDS["ReplicaSet"],
        defaults=_default_replica_set,
        validate=_replica_set_problems,
        counts_generation=True,
        table=Table(("Name", "Desired", "Current", "Ready", "Age", *TEMPLATE_COLUMNS), _replica_set_cells),
        fields={"status.replicas": lambda replica_set: str(replica_set.status.replicas or 0)},
        complete_wire=_complete_replica_set,
    ),
    KindRules(
        kind=KINDS["Deployment"],
        defaults=_default_deployment,
        validate=_deployment_problems,
        counts_generation=True,
        table=Table(("Name", "Ready", "Up-to-date", "Available", "Age", *TEMPLATE_COLUMNS), _deployment_cells),
    ),
    KindRules(
        kind=KINDS["DaemonSet"],
        defaults=_default_daemon_set,
        validate=_daemon_set_problems,
        counts_generation=True,
        table=Table(_DAEMON_SET_COLUMNS, _daemon_set_cells),
        complete_wire=_complete_daemon_set,
    ),
)
