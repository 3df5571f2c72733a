"""By what a pod's class is found: every field that can matter, those that somebody will add included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.core import (
    Affinity,
    Container,
    ContainerPort,
    NodeAffinity,
    NodeSelector,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSchedulingGate,
    PodSpec,
    Toleration,
    TopologySpreadConstraint,
)
from harness.model.gpu import GPU_MILLI
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters import order
from harness.scheduling.filters.filter import Scope
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.pods.spec_key import IRRELEVANT_FIELDS, key_fields, visible_pod
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool

CONTAINERS = (Container(name="c"),)

# Of each relevant field, two values that make two classes.
TWO_VALUES: dict[str, tuple[Any, Any]] = {
    "extra": (None, {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}),
    "containers": (CONTAINERS, (Container(name="c", ports=(ContainerPort(container_port=1, host_port=80),)),)),
    "init_containers": ((), (Container(name="i", image="big:1"),)),
    "node_name": ("", "n1"),
    "node_selector": ({}, {"disk": "ssd"}),
    "affinity": (
        None,
        Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=NodeSelector())),
    ),
    "tolerations": ((), (Toleration(key="t"),)),
    "topology_spread_constraints": (
        (),
        (TopologySpreadConstraint(max_skew=1, topology_key="zone", when_unsatisfiable="DoNotSchedule"),),
    ),
    "scheduler_name": ("default-scheduler", "mine"),
    "priority": (None, 7),
    "overhead": ({}, {"cpu": parse_quantity("1")}),
}

OTHER_VALUES: dict[str, Any] = {
    "scheduling_gates": (PodSchedulingGate(name="example.com/gate"),),
    "priority_class_name": "high",
    "preemption_policy": "Never",
    "restart_policy": "Never",
    "termination_grace_period_seconds": 5,
    "active_deadline_seconds": 5,
    "service_account_name": "builder",
}


def pod(spec: PodSpec, **meta: Any) -> Pod:
    return Pod(metadata=ObjectMeta(**{"name": "p", "namespace": "d", **meta}), spec=spec)


def test_each_field_of_a_pod_spec_counts_or_is_named_with_its_reason() -> None:
    counted, named = set(key_fields(PodSpec).names), set(IRRELEVANT_FIELDS)
    assert counted | named == set(PodSpec.__struct_fields__)
    assert not counted & named
    assert all(IRRELEVANT_FIELDS.values())
    assert counted == set(TWO_VALUES), "give the new field two values here, or name it as irrelevant"
    assert named == set(OTHER_VALUES)


@given(st.sampled_from(sorted(TWO_VALUES)), st.sets(st.sampled_from(sorted(TWO_VALUES))))
def test_pods_that_differ_in_one_field_are_told_apart(field: str, others: set[str]) -> None:
    """Whatever their other fields say; all parts but one are the same objects."""
    classes = PodClasses()
    shared = {name: values[name in others] for name, values in TWO_VALUES.items() if name != field}
    one, other = (classes.view(pod(PodSpec(**{**shared, field: value}))) for value in TWO_VALUES[field])
    assert (one.cls.id, one.preferences) != (other.cls.id, other.preferences)
    again = classes.view(pod(PodSpec(**{**shared, field: TWO_VALUES[field][0]})))
    assert (again.cls, again.preferences) == (one.cls, one.preferences)


@pytest.mark.parametrize("field", sorted(OTHER_VALUES))
def test_an_irrelevant_field_makes_no_other_class_and_nobody_sees_it(field: str) -> None:
    classes = PodClasses()
    plain, other = PodSpec(containers=CONTAINERS), PodSpec(**{"containers": CONTAINERS, field: OTHER_VALUES[field]})
    assert classes.class_of(pod(plain)) is classes.class_of(pod(other))
    assert visible_pod(pod(other)) == visible_pod(pod(plain))


class NewerSpec(PodSpec, frozen=True, kw_only=True):
    """PodSpec of a release to come: one field more, which a filter of that release reads."""

    runtime_class_name: str = ""
    host_aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeClass:
    """The node's label `runtime` is what the pod asks for."""

    wanted: str

    plugin = "RuntimeClass"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        every = range(len(state.node_table))
        return np.array([self.holds(state, node) for node in every], dtype=np.bool_)[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return state.node_table.labels[node].get("runtime", "") == self.wanted

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return ("node(s) had another runtime",)


def runtime_filters(pod: Pod) -> tuple[RuntimeClass, ...]:
    spec = pod.spec
    return (RuntimeClass(spec.runtime_class_name),) if isinstance(spec, NewerSpec) else ()


@pytest.mark.parametrize("field", ["runtime_class_name", "host_aliases"])
def test_a_field_that_is_added_to_the_pod_spec_counts_at_once(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert field in key_fields(NewerSpec).names
    plugin = order.Plugin("RuntimeClass", "a plugin that somebody adds", runtime_filters)
    monkeypatch.setattr(order, "FILTER_PLUGINS", (*order.FILTER_PLUGINS, plugin))
    on = Snapshot()
    on.add_node("plain", {"cpu": 4000, "pods": 110})
    on.add_node("sandboxed", {"cpu": 4000, "pods": 110}, labels={"runtime": "gvisor"})
    runc = pod(NewerSpec(containers=CONTAINERS))
    gvisor = pod(NewerSpec(containers=CONTAINERS, runtime_class_name="gvisor"))
    assert on.feasible(on.classes.view(runc)).tolist() == [True, False]
    assert on.feasible(on.classes.view(gvisor)).tolist() == [False, True]
    assert on.classes.class_of(gvisor) is on.classes.class_of(
        pod(NewerSpec(containers=CONTAINERS, runtime_class_name="gvisor"))
    )


def test_who_makes_a_class_sees_of_the_metadata_what_the_key_holds() -> None:
    annotations = {"note": "x", GPU_MILLI: "500"}
    meta = {"labels": {"app": "x"}, "annotations": annotations, "uid": "u", "resource_version": "7"}
    plain = visible_pod(pod(PodSpec(containers=CONTAINERS), **meta)).metadata
    assert plain == ObjectMeta(annotations={GPU_MILLI: "500"})
    term = PodAffinityTerm(topology_key="zone", label_selector=LabelSelector(match_labels={"app": "x"}))
    away = PodAffinity(required_during_scheduling_ignored_during_execution=(term,))
    looks = visible_pod(pod(PodSpec(containers=CONTAINERS, affinity=Affinity(pod_anti_affinity=away)), **meta)).metadata
    assert looks == ObjectMeta(namespace="d", labels={"app": "x"}, annotations={GPU_MILLI: "500"})
    scratch = {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}
    owns = visible_pod(pod(PodSpec(containers=CONTAINERS, extra=scratch), **meta)).metadata
    assert (owns.name, owns.namespace, owns.uid, owns.labels) == ("p", "d", "u", {})


def test_the_identity_of_a_part_that_is_gone_is_not_taken_for_another() -> None:
    classes = PodClasses()
    for turn in range(10_000):
        spec = PodSpec(containers=(Container(name="c", ports=(ContainerPort(container_port=1, host_port=turn + 1),)),))
        assert classes.class_of(pod(spec)).footprint.ports == (("TCP", turn + 1, "0.0.0.0"),)


def test_keys_of_decoded_pods_are_values_where_parts_are_not_shared() -> None:
    """What came over the wire shares no parts: the classes are equal all the same."""
    classes = PodClasses()
    spec = PodSpec(containers=CONTAINERS, node_selector={"disk": "ssd"}, tolerations=(Toleration(key="t"),))
    copied = msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=PodSpec)
    assert copied.containers is not spec.containers
    assert classes.class_of(pod(copied)) is classes.class_of(pod(spec))
