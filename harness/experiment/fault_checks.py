"""Faults that can hit nothing, told before the run: targets that no node, pool or workload of the scenario has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from harness.autoscaling.policy import stands_alone
from harness.autoscaling.pool import NodePool
from harness.autoscaling.provisioning.catalogue import Catalogue
from harness.engine.component import ADDED, Effect, Watch
from harness.experiment.manifests import read_checked_manifests
from harness.experiment.scenario import LoadedScenario
from harness.experiment.workload import PlannedWorkload
from harness.faults.apply import Apply
from harness.faults.fault import Fault, FaultForm
from harness.faults.node_join import NodeJoin
from harness.faults.node_leave import NodeLeave, SpotReclaim
from harness.faults.node_selection import NodeSelection
from harness.faults.node_upgrade import NodeUpgrade
from harness.faults.object_change import ObjectChange
from harness.faults.object_deletion import ObjectDeletion
from harness.faults.provider_outage import ProviderOutage
from harness.faults.targets import Targets
from harness.faults.timeline import WHEN, Planned
from harness.model.core import Node, Pod, PodSpec, PodStatus
from harness.model.errors import did_you_mean
from harness.model.karpenter import CAPACITY_TYPE, INSTANCE_TYPE, NODEPOOL, ZONE
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS, kind_of

MOST_NAMES = 20

_BRING_NODES = (Apply, NodeJoin, NodeUpgrade)
_TAKE_NODES = (NodeLeave, SpotReclaim)

MADE_BY_USERS = (
    "CronJob", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "LimitRange", "PodDisruptionBudget",
    "PriorityClass", "ReplicationController", "ResourceQuota", "Service", "StatefulSet", "StorageClass",
)  # fmt: skip
"""Kinds of which no controller makes an object: which there are can be told before the run."""


def with_objects(loaded: LoadedScenario) -> list[Any]:
    """The entries of spec.faults, those that apply files with the objects of these. Raises UserError."""
    out = []
    for index, item in enumerate(loaded.scenario.spec.faults):
        form = item.get("apply") if isinstance(item, dict) else None
        paths = form.get("manifests") if isinstance(form, dict) else None
        if form is not None and isinstance(paths, list) and paths and all(isinstance(path, str) for path in paths):
            where = f"spec.faults[{index}].apply"
            if form.get("objects"):
                raise loaded.error(where, "manifests and objects are two things", expected="one of them")
            files = [loaded.find(path, f"{where}.manifests[{at}]") for at, path in enumerate(paths)]
            item = {**item, "apply": {"objects": [found.document.data for found in read_checked_manifests(files)]}}
        out.append(item)
    return out


def check_faults(
    loaded: LoadedScenario,
    faults: tuple[Planned, ...],
    nodes: Iterable[Node],
    pools: tuple[NodePool, ...],
    workload: PlannedWorkload,
    duration_ns: int | None,
    catalogue: Catalogue,
) -> None:
    """Raises UserError for a fault that would hit nothing though every node were
    there, one of each pool, and a pod of each kind ran; for a name that no node can have; and for one after the end."""
    if not faults:
        return
    everything = list(nodes)
    everything += [pool.node(f"{pool.name}-0") for pool in pools]
    targets = _targets(everything, workload)
    fixed = not _nodes_may_come(loaded, faults, targets, pools, workload)
    for index, planned in enumerate(faults):
        if isinstance(planned.fault, NodeJoin):
            _check_join(loaded, planned.fault, f"spec.faults[{index}].nodeJoin", faults, targets, pools)
            everything += planned.fault.machines(targets)
            targets = _targets(everything, workload)
    applied = any(isinstance(item.fault, Apply) or not isinstance(item.fault, FaultForm) for item in faults)
    for index, planned in enumerate(faults):
        where = f"spec.faults[{index}]"
        _check_names(loaded, planned, where, targets, pools)
        if isinstance(planned.fault, ProviderOutage):
            _check_outage(loaded, planned.fault, f"{where}.{_key(loaded, where)}", pools, everything, catalogue)
        try:
            effects = () if isinstance(planned.fault, NodeJoin) else planned.fault.effects(targets, Random(0))
        except Exception as error:  # somebody else's code
            found = f"{type(error).__name__}: {error}"
            raise loaded.error(where, f"{type(planned.fault).__name__} fails", found=found) from error
        if _known_nothing(planned.fault, effects, targets, applied):
            raise loaded.error(where, "this fault can hit nothing", **_about(planned, targets))
        if fixed:
            _check_number(loaded, planned, where, targets)
        if duration_ns is not None and planned.at_ns >= duration_ns and not planned.every_ns:
            found = f"at {planned.at_ns / 1e9:g} s, the run ends at {duration_ns / 1e9:g} s"
            raise loaded.error(where, "this fault comes after the end", found=found, expected="a longer duration")


def _known_nothing(fault: Fault, effects: Sequence[Effect], targets: Targets, applied: bool) -> bool:
    """Whether a fault can hit nothing. `applied`: other objects than the workload's may be there by then."""
    if isinstance(fault, NodeJoin):
        return False  # _check_join tells it
    if isinstance(fault, ObjectDeletion):
        there = targets.objects.get(fault.kind, {})
        key = f"{fault.namespace}/{fault.name}" if KINDS[fault.kind].namespaced else fault.name
        return fault.kind in MADE_BY_USERS and not applied and key not in there
    if isinstance(fault, ObjectChange) and (applied or fault.kind == "Pod"):
        return False  # a pod's name is its controller's choice
    return not effects


def _check_join(
    loaded: LoadedScenario,
    join: NodeJoin,
    where: str,
    faults: Iterable[Planned],
    targets: Targets,
    pools: tuple[NodePool, ...],
) -> None:
    """Raises UserError for a node that it cannot be like, and for names that nodes have which nothing takes away."""
    if join.name in {pool.name for pool in pools}:
        raise loaded.error(f"{where}.name", "the nodes of a pool are called so", found=join.name)
    if join.like not in targets.nodes:
        known = sorted(targets.nodes)
        found, hint = f"no node {join.like}", did_you_mean(join.like, known)
        raise loaded.error(
            f"{where}.like", "there is no node of this name", found=found, expected=_one_of(known), hint=hint
        )
    if any(isinstance(item.fault, _TAKE_NODES) or not isinstance(item.fault, FaultForm) for item in faults):
        return
    if all(name in targets.nodes for name in join.names()):
        found = ", ".join(join.names()[:MOST_NAMES])
        raise loaded.error(f"{where}.name", "there are nodes of these names", found=found, expected="another name")


def _check_outage(
    loaded: LoadedScenario,
    fault: ProviderOutage,
    where: str,
    pools: tuple[NodePool, ...],
    nodes: Iterable[Node],
    catalogue: Catalogue,
) -> None:
    """Raises UserError for a pool that is none, and for machines that no pool is made of. `nodes`: some of each pool
    and of what each NodePool may make are among them."""
    labels = [pool.node(f"{pool.name}-0").metadata.labels for pool in pools]
    claimed = [node.metadata.labels for node in nodes if NODEPOOL in node.metadata.labels]
    applied = any("apply" in entry for entry in loaded.scenario.spec.faults)
    if not pools and not claimed and not applied:
        raise loaded.error(where, "this fault can hit nothing", found="no pools", expected="spec.pools, or NodePools")
    known = [pool.name for pool in pools] + list(dict.fromkeys(item[NODEPOOL] for item in claimed))
    named: dict[str, tuple[Sequence[str], list[str]]] = {"pools": (fault.pools, known)}
    narrowed: tuple[tuple[str, str, Sequence[str]], ...] = (
        ("zones", ZONE, fault.zones),
        ("instanceTypes", INSTANCE_TYPE, fault.instance_types),
        ("capacityTypes", CAPACITY_TYPE, fault.capacity_types),
    )
    for field, label, values in narrowed:
        named[field] = (values, list(dict.fromkeys(item[label] for item in (*labels, *claimed) if label in item)))
    if claimed:
        named["instanceTypes"][1].extend(catalogue.by_name)
    for field, (asked, there) in named.items():
        for at, name in enumerate(asked):
            if name not in there:
                what = f"there is no such {'pool' if field == 'pools' else 'machine in any pool'}"
                hint = did_you_mean(name, there)
                raise loaded.error(f"{where}.{field}[{at}]", what, found=name, expected=_one_of(there), hint=hint)


def _targets(nodes: list[Node], workload: PlannedWorkload) -> Targets:
    targets = Targets()
    for node in nodes:
        targets.observe(Watch(ADDED, node))
    for obj in workload.objects():
        if not isinstance(obj, Node | Pod):
            known = KINDS.get(kind_of(obj))
            of_none = known is not None and not known.namespaced
            meta = replace(obj.metadata, namespace="" if of_none else obj.metadata.namespace or "default")
            targets.observe(Watch(ADDED, replace(obj, metadata=meta)))
    for index, of_pod in enumerate(workload.pod_labels()):
        pod = Pod(metadata=ObjectMeta(name=f"p{index}", namespace="default", labels=dict(of_pod)))
        home = nodes[0].metadata.name if nodes else "n"
        targets.observe(Watch(ADDED, replace(pod, spec=PodSpec(node_name=home), status=PodStatus(phase="Running"))))
    return targets


def _check_names(
    loaded: LoadedScenario, planned: Planned, where: str, targets: Targets, pools: tuple[NodePool, ...]
) -> None:
    """Raises UserError for a name that neither a node, nor one of a pool, nor one that joins has."""
    names = getattr(getattr(planned.fault, "select", None), "names", ())
    for index, name in enumerate(names):
        if name in targets.nodes or any(name.startswith(f"{pool.name}-") for pool in pools):
            continue
        known = sorted(set(targets.nodes) - {f"{pool.name}-0" for pool in pools})
        expected, hint = ", ".join(known[:MOST_NAMES]), did_you_mean(name, known)
        item = f"{where}.{_key(loaded, where)}.select.names[{index}]"
        raise loaded.error(item, "there is no node of this name", found=name, expected=expected, hint=hint)


def _nodes_may_come(
    loaded: LoadedScenario,
    faults: Iterable[Planned],
    targets: Targets,
    pools: tuple[NodePool, ...],
    workload: PlannedWorkload,
) -> bool:
    """Whether other nodes than those of the beginning may be there when a fault strikes."""
    if pools or stands_alone(loaded.scenario.spec.autoscaler):
        return True
    if any(isinstance(obj, Node) and obj.metadata.name not in targets.nodes for obj in workload.objects()):
        return True
    return any(isinstance(item.fault, _BRING_NODES) or not isinstance(item.fault, FaultForm) for item in faults)


def _check_number(loaded: LoadedScenario, planned: Planned, where: str, targets: Targets) -> None:
    """Raises UserError where more nodes are asked for than can match."""
    key = f"{where}.{_key(loaded, where)}"
    select = getattr(planned.fault, "select", None)
    if not isinstance(select, NodeSelection):
        return
    most, what = select.most(targets), "more nodes are asked for than there are"
    if most is not None and select.count is not None and select.count > most:
        expected = f"{most} or less: so many nodes match"
        raise loaded.error(f"{key}.select.count", what, found=select.count, expected=expected)
    drawn = getattr(planned.fault, "drawn", 0)
    selected = len(select.nodes(targets, Random(0)))
    if drawn > selected and not select.app:
        expected = f"{selected} or less: so many nodes are selected"
        raise loaded.error(f"{key}.drawn", what, found=drawn, expected=expected, hint="select: {count: ..}, or labels")


def _key(loaded: LoadedScenario, where: str) -> str:
    """The fault's name as the entry has it."""
    entry = loaded.scenario.spec.faults[int(where.partition("[")[2].rstrip("]"))]
    return next(str(key) for key in entry if key not in WHEN)


def _about(planned: Planned, targets: Targets) -> dict[str, Any]:
    """What it asks for, and what there is."""
    fault = planned.fault
    select = getattr(fault, "select", fault)
    zone, app = getattr(select, "zone", ""), getattr(select, "app", "")
    if zone:
        known = targets.zones()
        return {"found": f"zone {zone}", "expected": _one_of(known), "hint": did_you_mean(zone, known)}
    if app:
        known = targets.apps()
        return {"found": f"app {app}", "expected": _one_of(known), "hint": did_you_mean(app, known)}
    name = getattr(fault, "name", "")
    kind = getattr(fault, "kind", "")
    if kind and name:
        held = targets.nodes if kind == "Node" else targets.objects.get(kind, {})
        known = sorted(held)
        key = name if kind == "Node" or name in held else f"{getattr(fault, 'namespace', '')}/{name}"
        return {"found": f"no {kind} {key}", "expected": _one_of(known), "hint": did_you_mean(key, known)}
    return {"found": f"{type(fault).__name__} of {name}" if name else type(fault).__name__}


def _one_of(known: list[str]) -> str:
    return "one of " + ", ".join(known[:MOST_NAMES]) if known else "there is none to be hit"
