"""The one list of Filter plugins: kube-scheduler's order and names, a file each, and a plugin that is added."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pytest

from harness.model.core import Container, Pod, PodSpec
from harness.model.meta import ObjectMeta
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters import order
from harness.scheduling.filters.filter import Scope
from harness.scheduling.filters.order import FILTER_PLUGINS, Plugin, in_order
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool

# Source: kube-scheduler 1.32 apis/config/v1/default_plugins.go getDefaultPlugins, those that filter.
KUBE_SCHEDULER = (
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
)


def test_plugins_stand_in_kube_schedulers_order_each_with_its_reason_and_its_file() -> None:
    names = [plugin.name for plugin in FILTER_PLUGINS]
    of_kubernetes = [name for name in names if name in KUBE_SCHEDULER]
    assert of_kubernetes == list(KUBE_SCHEDULER)
    assert set(names) - set(KUBE_SCHEDULER) == {"GpuDevices"}
    for plugin in FILTER_PLUGINS:
        assert len(plugin.why_here) > 20
        file = re.sub(r"(?<!^)(?=[A-Z])", "_", plugin.name).lower()
        module = import_module(f"harness.scheduling.filters.{file}")
        assert any(getattr(found, "plugin", None) == plugin.name for found in vars(module).values())


@dataclass(frozen=True, slots=True)
class HasBattery:
    """The node's label `battery` says yes."""

    plugin = "Battery"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return np.array([self.holds(state, n) for n in range(len(state.node_table))], dtype=np.bool_)[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return state.node_table.labels[node].get("battery") == "yes"

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return ("node(s) had no battery",)


def test_a_plugin_that_is_added_is_asked_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """After NodeUnschedulable, and before NodeName, whose reason a node without a battery is not given."""
    battery = Plugin("Battery", "a node that may go dark is none of the pod's business", lambda pod: (HasBattery(),))
    plugins = (FILTER_PLUGINS[0], battery, *FILTER_PLUGINS[1:])
    monkeypatch.setattr(order, "FILTER_PLUGINS", plugins)
    monkeypatch.setattr(order, "_PLACE", {plugin.name: place for place, plugin in enumerate(plugins)})
    on = Snapshot()
    for name, labels in (("a", {"battery": "yes"}), ("b", {}), ("c", {"battery": "yes"})):
        on.add_node(name, {"cpu": 1000, "pods": 10}, labels=labels, unschedulable=name == "c")
    spec = PodSpec(containers=(Container(name="x"),), node_name="elsewhere")
    pod = Pod(metadata=ObjectMeta(name="p", namespace="d"), spec=spec)
    found = diagnose(on, on.classes.view(pod))
    assert found.reasons == {
        "node(s) didn't match the requested node name": 1,
        "node(s) had no battery": 1,
        "node(s) were unschedulable": 1,
    }


def test_filters_of_a_plugin_that_is_not_listed_come_last() -> None:
    listed = [item for plugin in FILTER_PLUGINS for item in plugin.make_filters(Pod(spec=PodSpec(node_name="n")))]
    assert in_order([HasBattery(), *reversed(listed)]) == (*listed, HasBattery())
