"""The Filter plugins in order: a node is rejected for the reasons of the first one that rejects it.

The order decides no placement. It decides what a pod is told (FitError counts each node under the first plugin that
rejects it), and with that which nodes preemption looks at: those whose first rejection evictions can resolve.

Source of the order: kube-scheduler 1.32 apis/config/v1/default_plugins.go getDefaultPlugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.model.core import Pod
from harness.scheduling.filters import (
    inter_pod_affinity,
    node_affinity,
    node_name,
    node_ports,
    node_unschedulable,
    node_volume_limits,
    pod_topology_spread,
    taint_toleration,
    volume_binding,
    volume_restrictions,
    volume_zone,
)
from harness.scheduling.filters.filter import Filter


def _none_of_spec(pod: Pod) -> tuple[Filter, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Plugin:
    """`why_here`: the reason of its place. `make_filters`: from the pod; what follows from its class comes besides."""

    name: str
    why_here: str
    make_filters: Callable[[Pod], Sequence[Filter]] = _none_of_spec


FILTER_PLUGINS: tuple[Plugin, ...] = (
    Plugin(
        "NodeUnschedulable",
        "a cordon is somebody's decision about the node: it is told before anything that the node lacks",
        node_unschedulable.make_filters,
    ),
    Plugin(
        "NodeName",
        "a pod that names its node is told of that node alone, whatever the others lack",
        node_name.make_filters,
    ),
    Plugin(
        "TaintToleration",
        "repelled by the node, before what the pod itself asks of nodes",
        taint_toleration.make_filters,
    ),
    Plugin(
        "NodeAffinity",
        "what the pod asks of the node's own labels: up to here evictions cannot help",
        node_affinity.make_filters,
    ),
    Plugin(
        "NodePorts",
        "a conflict with single pods of the node, found without adding up",
        node_ports.make_filters,
    ),
    Plugin(
        "NodeResourcesFit",
        "amounts: the usual reason, after those that more room would not help; every class has it (pod_classes.py)",
    ),
    Plugin(
        "GpuDevices",
        "not Kubernetes': devices, looked at right after the other resources (pod_classes.py)",
    ),
    Plugin(
        "VolumeRestrictions",
        "a claim that is in use can become free by eviction: before the two that evictions cannot resolve",
        volume_restrictions.make_filters,
    ),
    Plugin(
        "NodeVolumeLimits",
        "volumes that are attached can become fewer by eviction: before the two that evictions cannot resolve",
        node_volume_limits.make_filters,
    ),
    Plugin(
        "VolumeBinding",
        "where the volumes are or can be made",
        volume_binding.make_filters,
    ),
    Plugin(
        "VolumeZone",
        "zones of volumes that VolumeBinding has found bound",
        volume_zone.make_filters,
    ),
    Plugin(
        "PodTopologySpread",
        "looks at pods of all nodes, so it comes after what one node decides",
        pod_topology_spread.make_filters,
    ),
    Plugin(
        "InterPodAffinity",
        "the dearest one to evaluate in kube-scheduler, so last; running pods' anti-affinity comes with the class",
        inter_pod_affinity.make_filters,
    ),
)

_PLACE = {plugin.name: place for place, plugin in enumerate(FILTER_PLUGINS)}


def filters_of(pod: Pod) -> tuple[Filter, ...]:
    """What the pod's own spec asks for, in order."""
    return tuple(item for plugin in FILTER_PLUGINS for item in plugin.make_filters(pod))


def in_order(filters: Iterable[Filter]) -> tuple[Filter, ...]:
    """By plugin; those of one plugin as they come, those of a plugin that is not listed last."""
    return tuple(sorted(filters, key=lambda item: _PLACE.get(item.plugin, len(_PLACE))))
