"""StatefulSet and ControllerRevision. Source: pkg/apis/apps: validation and v1/defaults.go (master); printers.go."""

from __future__ import annotations

from typing import Any

from harness.apiserver.defaults.pod_spec import default_template
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of, number, part, template_cells
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import (
    at_least,
    forbidden,
    immutable,
    pod_count,
    required,
    unsupported,
    wrong,
)
from harness.apiserver.validation.templates import selected_template_problems
from harness.model.core import PodTemplateSpec
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json, encode
from harness.model.workloads import (
    ControllerRevision,
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicy,
    StatefulSetSpec,
)


def _default(obj: StatefulSet) -> StatefulSet:
    strategy = obj.spec.update_strategy
    if not strategy.type:
        rolling = strategy.rolling_update or RollingUpdateStatefulSetStrategy()
        strategy = replaced(strategy, type="RollingUpdate", rolling_update=rolling)
    if strategy.type == "RollingUpdate" and strategy.rolling_update is not None:
        partition = strategy.rolling_update.partition or 0
        strategy = replaced(strategy, rolling_update=replaced(strategy.rolling_update, partition=partition))
    limit, kept = obj.spec.revision_history_limit, obj.spec.persistent_volume_claim_retention_policy
    kept = kept or StatefulSetPersistentVolumeClaimRetentionPolicy()
    spec = replaced(
        obj.spec,
        replicas=1 if obj.spec.replicas is None else obj.spec.replicas,
        template=default_template(obj.spec.template),
        pod_management_policy=obj.spec.pod_management_policy or "OrderedReady",
        update_strategy=strategy,
        revision_history_limit=10 if limit is None else limit,
        persistent_volume_claim_retention_policy=replaced(
            kept, when_deleted=kept.when_deleted or "Retain", when_scaled=kept.when_scaled or "Retain"
        ),
    )
    return replaced(obj, spec=spec)


def _problems(new: StatefulSet, old: StatefulSet | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if spec.pod_management_policy not in ("OrderedReady", "Parallel"):
        why = "must be 'OrderedReady' or 'Parallel'"
        found.append(wrong("spec.podManagementPolicy", spec.pod_management_policy, why))
    _strategy_problems(found, spec)
    kept = spec.persistent_volume_claim_retention_policy
    for name in ("when_deleted", "when_scaled") if kept is not None else ():
        at = f"spec.persistentVolumeClaimRetentionPolicy.{name.replace('_d', 'D').replace('_s', 'S')}"
        if getattr(kept, name) not in ("Delete", "Retain"):
            found.append(unsupported(at, getattr(kept, name), ("Delete", "Retain")))
    pod_count(found, "spec.replicas", spec.replicas)
    at_least(found, "spec.minReadySeconds", spec.min_ready_seconds)
    at_least(found, "spec.revisionHistoryLimit", spec.revision_history_limit)
    if spec.ordinals is not None:
        at_least(found, "spec.ordinals.start", spec.ordinals.start)
    if old is None or spec.template is not old.spec.template:
        selected_template_problems(found, spec.selector, _with_claims(spec), None, kind="StatefulSet")
    for index, claim in enumerate(spec.volume_claim_templates):
        if not claim.metadata.name:
            found.append(required(f"spec.volumeClaimTemplates[{index}].metadata.name"))
    if old is not None and _fixed(spec) != _fixed(old.spec):
        why = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        found.append(forbidden("spec", why))
    return found


def _with_claims(spec: StatefulSetSpec) -> PodTemplateSpec:
    """The template with the volumes that its pods will have. Kubernetes looks at a StatefulSet's pod spec only when it
    makes a pod, and then says FailedCreate; here what is wrong is told at once, as of other controllers."""
    template = spec.template
    if not spec.volume_claim_templates:
        return template
    own = {claim.metadata.name: {"claimName": claim.metadata.name} for claim in spec.volume_claim_templates}
    extra = template.spec.extra or {}
    kept = [volume for volume in extra.get("volumes") or [] if volume.get("name") not in own]
    volumes = [*kept, *({"name": name, "persistentVolumeClaim": claim} for name, claim in own.items())]
    return replaced(template, spec=replaced(template.spec, extra={**extra, "volumes": volumes}))


def _fixed(spec: StatefulSetSpec) -> tuple[Any, ...]:
    """What an update cannot change. Source: ValidateStatefulSetUpdate."""
    return spec.selector, spec.service_name, spec.pod_management_policy, spec.volume_claim_templates


def _strategy_problems(found: list[Cause], spec: StatefulSetSpec) -> None:
    strategy = spec.update_strategy
    at, rolling = "spec.updateStrategy", strategy.rolling_update
    match strategy.type:
        case "RollingUpdate":
            if rolling is not None:
                at_least(found, f"{at}.rollingUpdate.partition", rolling.partition)
                if rolling.max_unavailable is not None:
                    why = "more than one unavailable pod (feature gate MaxUnavailableStatefulSet) is not modelled"
                    found.append(forbidden(f"{at}.rollingUpdate.maxUnavailable", why))
        case "OnDelete":
            if rolling is not None:
                found.append(
                    wrong(f"{at}.rollingUpdate", encode(rolling), "only allowed for updateStrategy 'OnDelete'")
                )
        case other:
            found.append(wrong(at, other, "must be 'RollingUpdate' or 'OnDelete'"))


def _cells(obj: Json, moment: Moment) -> list[Any]:
    ready = f"{number(obj, 'status', 'readyReplicas')}/{number(obj, 'spec', 'replicas')}"
    return [name_of(obj), ready, moment.age(created(obj)), *template_cells(obj)[:2]]


def _complete(data: Json) -> None:
    data["status"].setdefault("replicas", 0)
    data["status"].setdefault("availableReplicas", 0)


def _revision_problems(new: ControllerRevision, old: ControllerRevision | None) -> list[Cause]:
    found: list[Cause] = []
    if not new.data:
        found.append(required("data", "data is mandatory"))
    at_least(found, "revision", new.revision)
    if old is not None and new.data != old.data:
        found.append(immutable("data", new.data))
    return found


def _revision_cells(obj: Json, moment: Moment) -> list[Any]:
    owners = part(obj, "metadata", "ownerReferences") or []
    owner = next((item for item in owners if item.get("controller")), None)
    controller = "<none>"
    if owner is not None:
        group = str(owner["apiVersion"]).rpartition("/")[0]
        controller = f"{owner['kind'].lower()}{'.' if group else ''}{group}/{owner['name']}"
    return [name_of(obj), controller, obj.get("revision", 0), moment.age(created(obj))]


RULES = (
    KindRules(
        kind=KINDS["StatefulSet"],
        defaults=_default,
        name_problem=names.label_problem,
        validate=_problems,
        counts_generation=True,
        table=Table(("Name", "Ready", "Age", "Containers*", "Images*"), _cells),
        complete_wire=_complete,
    ),
    KindRules(
        kind=KINDS["ControllerRevision"],
        validate=_revision_problems,
        table=Table(("Name", "Controller", "Revision", "Age"), _revision_cells),
        complete_wire=lambda data: data.setdefault("revision", 0),
    ),
)
