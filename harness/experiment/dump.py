"""The state of a cluster as `kubectl get -o yaml` wrote it, made ready to go on from: nothing in it begins anew.

Objects keep their uids, owners and what their status says; instants are counted from the newest one among them. The
containers of pods that ran start again at instant 0, as after a reboot, for nobody knows what they were about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from harness.apiserver.admission.priority import SYSTEM_PRIORITIES
from harness.apiserver.kinds import defaulted
from harness.autoscaling.pool import POOL_LABEL
from harness.experiment.dump_owners import with_owners
from harness.experiment.dump_revisions import with_known_revisions
from harness.experiment.manifests import VERSIONS, Notices, read_checked_manifests
from harness.experiment.scenario import LoadedScenario
from harness.model.core import Node, Pod, PodStatus
from harness.model.loading import STDIN
from harness.model.meta import ObjectMeta, condition
from harness.model.objects import KINDS, Namespace, PriorityClass, from_wire
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS, parse_time
from workloads.readers.manifests import Manifest

POOL_LABELS = (
    POOL_LABEL,
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "kubernetes.azure.com/agentpool",
    "agentpool",
    "kops.k8s.io/instancegroup",
    "karpenter.sh/nodepool",
    "doks.digitalocean.com/node-pool",
)
"""Labels by which providers tell the nodes of one pool from those of another: a node belongs to the pool that is called
as one of them says. Sources: the providers' documentation of their node pools."""

GATEWAY = "gateway"
"""The node that clients of services sit on: cordoned, and no target of faults unless named."""

LEFT_OUT = ("Event", "Lease", "PodMetrics", "NodeMetrics", "ComponentStatus", "Endpoints")
"""Made anew by those who write them."""

_INSTANTS = ("creationTimestamp", "lastTransitionTime", "lastHeartbeatTime", "lastUpdateTime", "startedAt")
_DONE = ("Succeeded", "Failed")


@dataclass(slots=True)
class Dump:
    """`objects`: as they are, in the order in which they may be written; `added`: what was given without a uid, which
    somebody creates; `nodes`: those that are up, `off`: those that are not ready, and stay so."""

    nodes: list[Node] = field(default_factory=list)
    off: list[Node] = field(default_factory=list)
    objects: list[Any] = field(default_factory=list)
    added: list[Any] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def adopted(self) -> tuple[Any, ...]:
        """All that is there at instant 0, nodes first."""
        return (*self.nodes, *self.off, *self.objects)


def read_dump(loaded: LoadedScenario) -> Dump:
    """Of all `dump` entries of the workload. Raises UserError."""
    files = [
        Path("-") if path == str(STDIN) else loaded.find(path, f"spec.workload[{index}].dump[{at}]")
        for index, task in enumerate(loaded.scenario.spec.workload)
        for at, path in enumerate(task.dump or ())
    ]
    if not files:
        return Dump()
    return dump_of(files, [pool.name for pool in loaded.scenario.spec.pools])


def dump_of(files: Sequence[Path], pools: Iterable[str] = ()) -> Dump:
    """Raises UserError for what cannot be read, and for what the API server would refuse."""
    told = Notices(lenient=True)
    manifests = read_checked_manifests(files, told)
    out = Dump()
    epoch = _epoch(manifests)
    nodes: dict[str, Node] = {}
    kept: list[Any] = []
    for manifest in manifests:
        if manifest.kind in LEFT_OUT:
            continue
        was_there = bool(manifest.object.metadata.uid)
        obj = _decoded(manifest, epoch) if was_there else manifest.object
        if isinstance(obj, Node) and obj.metadata.name == GATEWAY:
            continue  # of a cluster of Podyard's own; clients get another one
        if isinstance(obj, Node):
            nodes[obj.metadata.name] = _in_pool(obj, frozenset(pools))
        elif was_there:
            kept.append(obj)
        else:
            out.added.append(obj)
    for node in nodes.values():
        ready = condition(node.status.conditions, "Ready")
        (out.nodes if ready is None or ready.status == "True" else out.off).append(node)
    settled, astray = _settled(kept, nodes)
    if astray:
        out.notices.append(f"{astray} pods are left out: their nodes are not in the dump")
    objects = with_known_revisions(with_owners(settled, nodes.values(), out.notices))
    out.objects = [*_namespaces(kept), *_priorities(kept), *objects]
    out.notices.extend(told)
    return out


def _epoch(manifests: Iterable[Manifest]) -> int:
    """The newest instant that anything in the dump speaks of, in ns since 1970."""
    newest = 0
    for manifest in manifests:
        for text in _instants(manifest.document.data, 0):
            try:
                newest = max(newest, parse_time(text, 0))
            except ValueError:
                continue
    return newest or VIRTUAL_EPOCH_UNIX_NS


def _instants(data: Any, depth: int) -> Iterator[str]:
    if depth > 8:
        return
    if isinstance(data, dict):
        for key, value in data.items():
            if key in _INSTANTS and isinstance(value, str):
                yield value
            elif key not in ("spec", "annotations", "managedFields"):
                yield from _instants(value, depth + 1)
    elif isinstance(data, list):
        for item in data:
            yield from _instants(item, depth + 1)


def _decoded(manifest: Manifest, epoch_unix_ns: int) -> Any:
    data = manifest.document.data
    convert = VERSIONS.get((manifest.kind, str(data.get("apiVersion"))))
    obj = from_wire(data if convert is None else convert(data), epoch_unix_ns=epoch_unix_ns)
    obj = defaulted(KINDS[manifest.kind], obj)
    meta = obj.metadata
    extra = {name: value for name, value in (meta.extra or {}).items() if name != "managedFields"}
    return replace(obj, metadata=replace(meta, resource_version="", extra=extra or None))


def _in_pool(node: Node, pools: frozenset[str]) -> Node:
    labels = node.metadata.labels
    pool = next((labels[name] for name in POOL_LABELS if labels.get(name) in pools), None)
    if pool is None:
        return node
    return replace(node, metadata=replace(node.metadata, labels={**labels, POOL_LABEL: pool}))


def _settled(objects: Iterable[Any], nodes: Mapping[str, Node]) -> tuple[list[Any], int]:
    """(objects with pods that begin to run where they are, how many pods are on nodes that are not there)."""
    out, astray = [], 0
    for obj in objects:
        if isinstance(obj, Pod) and obj.status.phase not in _DONE:
            if obj.spec.node_name and obj.spec.node_name not in nodes:
                astray += 1
                continue
            if obj.metadata.deletion_timestamp is None:
                bound = condition(obj.status.conditions, "PodScheduled")
                conditions = (bound,) if bound is not None and obj.spec.node_name else ()
                obj = replace(obj, status=PodStatus(phase="Pending", conditions=conditions))
        out.append(obj)
    return out, astray


def _namespaces(objects: Iterable[Any]) -> list[Any]:
    """Those that are spoken of and not given."""
    there = {obj.metadata.name for obj in objects if isinstance(obj, Namespace)}
    wanted = dict.fromkeys(obj.metadata.namespace for obj in objects if obj.metadata.namespace)
    return [Namespace(metadata=ObjectMeta(name=name, uid=f"namespace-{name}")) for name in wanted if name not in there]


def _priorities(objects: Iterable[Any]) -> list[Any]:
    """Classes that pods have and that are not given, with the priority that admission gave those pods."""
    known = {*SYSTEM_PRIORITIES, *(obj.metadata.name for obj in objects if isinstance(obj, PriorityClass))}
    found: dict[str, int] = {}
    for obj in objects:
        if isinstance(obj, Pod) and obj.spec.priority_class_name not in ("", None, *known):
            found.setdefault(obj.spec.priority_class_name, obj.spec.priority or 0)
    return [
        PriorityClass(metadata=ObjectMeta(name=name, uid=f"priority-{name}"), value=value)
        for name, value in found.items()
    ]


def check_nodes(loaded: LoadedScenario, dump: Dump, names: Iterable[str]) -> None:
    """Raises UserError where a node of the dump is there already."""
    both = {node.metadata.name for node in (*dump.nodes, *dump.off)} & set(names)
    if both:
        raise loaded.error("spec.nodes", "a node of this name is in the dump, too", found=min(both))
