"""The snapshot against a model of itself: whatever happens, columns, lists and cached verdicts tell the same story."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.core import (
    Affinity,
    Container,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeSpec,
    NodeStatus,
    Pod,
    PodSpec,
    ResourceRequirements,
    Taint,
    Toleration,
)
from harness.model.meta import ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.fit_error import diagnose, reasons_on_node
from harness.scheduling.feasibility.legality import Refused, apply
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.requests import requests_of
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import CPU, Bind, BindTogether


def node(
    name: str,
    *,
    labels: dict[str, str] | None = None,
    taints: tuple[Taint, ...] = (),
    cordoned: bool = False,
    allocatable: dict[str, str] | None = None,
) -> Node:
    there = {"cpu": "4", "memory": "8Gi", "pods": "110"} | (allocatable or {})
    return Node(
        metadata=ObjectMeta(name=name, labels=labels or {}),
        spec=NodeSpec(taints=taints, unschedulable=cordoned or None),
        status=NodeStatus(allocatable={key: parse_quantity(value) for key, value in there.items()}),
    )


def container(requests: dict[str, str] | None = None, **rest: object) -> Container:
    wanted = {key: parse_quantity(value) for key, value in (requests or {}).items()}
    return Container(name="c", resources=ResourceRequirements(requests=wanted), **rest)  # type: ignore[arg-type]


def pod(
    name: str = "p",
    *,
    annotations: dict[str, str] | None = None,
    requests: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    **spec: object,
) -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", annotations=annotations or {}, labels=labels or {}),
        spec=PodSpec(**{"containers": (container(requests),), **spec}),  # type: ignore[arg-type]
    )


def snapshot(*nodes: Node) -> Snapshot:
    out = Snapshot()
    for item in nodes:
        out.add_node(**node_columns(item))
    return out


def fits(on: Snapshot, item: Pod) -> list[str]:
    return [on.names[i] for i in np.flatnonzero(on.feasible(on.classes.view(item))).tolist()]


def why_not(on: Snapshot, item: Pod) -> str:
    return str(diagnose(on, on.classes.view(item)))


def required(*terms: NodeSelectorTerm) -> Affinity:
    selector = NodeSelector(node_selector_terms=terms)
    return Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=selector))


def expression(key: str, operator: str, *values: str) -> NodeSelectorTerm:
    return NodeSelectorTerm(match_expressions=(NodeSelectorRequirement(key=key, operator=operator, values=values),))


def named(operator: str, *values: str) -> NodeSelectorTerm:
    requirement = NodeSelectorRequirement(key="metadata.name", operator=operator, values=values)
    return NodeSelectorTerm(match_fields=(requirement,))


# -- constraints, in kube-scheduler's semantics and words ----------------------------------------------------------


def test_reasons_are_counted_by_the_first_constraint_that_fails_and_sorted_as_text() -> None:
    on = snapshot(
        node("full", allocatable={"cpu": "1"}),
        node("small", allocatable={"cpu": "1", "memory": "1Mi"}),
        node("tainted", taints=(Taint(key="dedicated", value="infra"),)),
        node("evicting", taints=(Taint(key="bad", effect="NoExecute"),)),
        node("cordoned", cordoned=True, allocatable={"cpu": "1"}),
    )
    wish = pod(requests={"cpu": "2", "memory": "1Gi"})
    assert why_not(on, wish) == (
        "0/5 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint {bad: }, "
        "1 node(s) had untolerated taint {dedicated: infra}, 1 node(s) were unschedulable, 2 Insufficient cpu."
    )
    assert diagnose(on, on.classes.view(wish)).resolvable.tolist() == [0, 1]


def test_without_nodes_nothing_is_available() -> None:
    assert why_not(Snapshot(), pod()) == "no nodes available to schedule pods"


def test_a_cordon_yields_to_its_toleration_only() -> None:
    on = snapshot(node("a", cordoned=True))
    assert fits(on, pod()) == []
    cordon = Toleration(key="node.kubernetes.io/unschedulable", operator="Exists", effect="NoSchedule")
    assert fits(on, pod(tolerations=(cordon,))) == ["a"]


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration(key="k", operator="Equal", value="v", effect="NoSchedule"), True),
        (Toleration(key="k", value="v"), True),
        (Toleration(key="k", value="w"), False),
        (Toleration(key="k", operator="Exists", effect="NoExecute"), False),
        (Toleration(key="k", operator="Exists"), True),
        (Toleration(operator="Exists"), True),
        (Toleration(value="v"), True),  # any key, as the code has it; the API server lets none pass
        (Toleration(value="w"), False),
        (Toleration(key="other", operator="Exists"), False),
    ],
)
def test_tolerations(toleration: Toleration, tolerated: bool) -> None:
    on = snapshot(node("a", taints=(Taint(key="k", value="v"), Taint(key="soft", effect="PreferNoSchedule"))))
    assert fits(on, pod(tolerations=(toleration,))) == (["a"] if tolerated else [])


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (expression("disk", "In", "ssd", "nvme"), ["ssd", "nvme"]),
        (expression("disk", "NotIn", "ssd"), ["nvme", "plain"]),  # an absent label is not in the list
        (expression("disk", "Exists"), ["ssd", "nvme"]),
        (expression("disk", "DoesNotExist"), ["plain"]),
        (expression("cores", "Gt", "8"), ["nvme"]),
        (expression("cores", "Lt", "16"), ["ssd"]),
        (expression("cores", "Gt", "many"), []),
        (expression("disk", "Gt", "1"), []),  # the label is no integer
        (named("In", "plain"), ["plain"]),
        (named("In", "plain", "ssd"), []),  # a field takes one value
        (named("NotIn", "plain", "ssd"), []),
        (named("Exists"), []),  # no operator for fields
        (named("NotIn", "plain"), ["ssd", "nvme"]),
        (NodeSelectorTerm(), []),  # an empty term matches nothing
    ],
)
def test_required_node_affinity(term: NodeSelectorTerm, expected: list[str]) -> None:
    on = snapshot(
        node("ssd", labels={"disk": "ssd", "cores": "8"}),
        node("nvme", labels={"disk": "nvme", "cores": "16"}),
        node("plain"),
    )
    assert fits(on, pod(affinity=required(term))) == expected


def test_terms_are_alternatives_and_the_selector_must_hold_besides() -> None:
    on = snapshot(
        node("a", labels={"zone": "1", "disk": "ssd"}), node("b", labels={"zone": "2", "disk": "ssd"}), node("c")
    )
    either = required(expression("zone", "In", "1"), expression("zone", "In", "2"))
    assert fits(on, pod(affinity=either)) == ["a", "b"]
    assert fits(on, pod(affinity=either, node_selector={"zone": "2", "disk": "ssd"})) == ["b"]
    wrong = pod(node_selector={"zone": "3"})
    assert why_not(on, wrong) == "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."


def test_a_pod_that_names_its_nodes_is_held_against_them_alone() -> None:
    on = snapshot(node("a", allocatable={"cpu": "1"}), node("b"), node("c"))
    wish = pod(affinity=required(named("In", "a")), requests={"cpu": "2"})
    assert fits(on, wish) == []
    expected = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    assert why_not(on, wish) == expected
    both = NodeSelectorTerm(match_fields=(*named("In", "a").match_fields, *named("In", "b").match_fields))
    assert why_not(on, pod(affinity=required(both))) == "0/3 nodes are available: pod affinity terms conflict."


def test_an_unknown_extended_resource_is_insufficient_until_a_node_brings_it() -> None:
    on = snapshot(node("a"))
    wish = pod(requests={"example.com/fpga": "1"})
    assert why_not(on, wish) == "0/1 nodes are available: 1 Insufficient example.com/fpga."
    on.add_node(**node_columns(node("b", allocatable={"example.com/fpga": "2"})))
    assert fits(on, wish) == ["b"]
    assert on.free.shape == (4, 2)
    assert on.classes.view(pod()).requests.tolist() == [0, 0, 1, 0]


def test_too_many_pods_comes_first() -> None:
    on = snapshot(node("a", allocatable={"pods": "0", "cpu": "1"}))
    wish = on.classes.view(pod(requests={"cpu": "2"}))
    assert reasons_on_node(on, wish.cls, 0) == ("Too many pods", "Insufficient cpu")


def test_a_zero_request_fits_an_overfull_node() -> None:
    on = snapshot(node("a", allocatable={"cpu": "1"}))
    on.assume(on.classes.view(pod("big", requests={"cpu": "3"})), 0)
    assert on.free[CPU].tolist() == [-2000]
    assert fits(on, pod()) == ["a"]
    assert fits(on, pod(requests={"cpu": "1m"})) == []


def test_requests_count_init_containers_sidecars_and_overhead() -> None:
    spec = PodSpec(
        containers=(container({"cpu": "500m"}), container({"cpu": "300m", "memory": "1Ki"})),
        init_containers=(
            container({"cpu": "100m"}, restart_policy="Always"),
            container({"cpu": "1"}),
            container({"cpu": "50m"}, restart_policy="Always"),
        ),
        overhead={"cpu": parse_quantity("10m")},
    )
    # Running: 500 + 300 + 100 + 50; while the init container runs: 1000 + the first sidecar's 100.
    assert requests_of(spec) == ({"cpu": 1110, "memory": 1024}, 0)


def test_fractions_add_up_before_they_are_rounded() -> None:
    asked = PodSpec(containers=(container({"memory": "500m"}), container({"memory": "500m"}), container({"cpu": "1m"})))
    assert requests_of(asked) == ({"memory": 1, "cpu": 1}, 0)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("example.com/fpga", True),
        ("hugepages-2Mi", True),
        ("attachable-volumes-csi", True),
        ("kubernetes.io/batch-cpu", True),
        ("ephemeral-storage", True),
        ("storage", False),  # no slash: Kubernetes' own, and none that is scheduled by
        ("requests.example.com/fpga", False),  # the quota's name
        ("example.com/no such", False),
    ],
)
def test_requests_of_names_that_scheduling_does_not_know_say_nothing(name: str, counts: bool) -> None:
    assert fits(snapshot(node("a")), pod(requests={name: "1"})) == ([] if counts else ["a"])


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (pod(extra={"resourceClaims": [{"name": "gpu"}]}), "DynamicResources"),
        (pod(extra={"volumes": [{"name": "v", "gcePersistentDisk": {"pdName": "d"}}]}), "VolumeRestrictions"),
    ],
)
def test_what_is_not_modelled_is_refused_by_name(item: Pod, name: str) -> None:
    on = snapshot(node("a"))
    assert fits(on, item) == []
    assert why_not(on, item) == f"0/1 nodes are available: {name} not modelled, so the pod is not placed."


def test_volumes_without_a_choice_are_no_constraint() -> None:
    on = snapshot(node("a"))
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}}]
    assert fits(on, pod(extra={"volumes": volumes})) == ["a"]


# -- GPUs ----------------------------------------------------------------------------------------------------------


def gpu_node(name: str, count: int, model: str) -> Node:
    return node(name, labels={"alibaba.com/gpu-card-model": model}, allocatable={"nvidia.com/gpu": str(count)})


def share(name: str, milli: int, models: str = "") -> Pod:
    return pod(name, annotations={"alibaba.com/gpu-milli": str(milli), "alibaba.com/gpu-card-model": models})


def test_gpu_devices_and_models() -> None:
    on = snapshot(node("none"), gpu_node("t4", 2, "T4"), gpu_node("a10", 1, "A10"))
    assert fits(on, share("s", 300)) == ["t4", "a10"]
    assert fits(on, share("s", 300, "A10|V100")) == ["a10"]
    assert fits(on, pod(requests={"nvidia.com/gpu": "2"})) == ["t4"]
    assert (
        why_not(on, pod(requests={"nvidia.com/gpu": "4"})) == "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    )
    assert why_not(on, share("s", 300, "H100")) == (
        "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) didn't match Pod's GPU card model."
    )
    on.assume(on.classes.view(share("s", 700)), 1)
    assert on.gpu_free.tolist() == [[0, 0], [300, 1000], [1000, 0]]
    assert fits(on, pod(requests={"nvidia.com/gpu": "2"})) == []
    # A share goes to the tightest device that takes it.
    on.assume(on.classes.view(share("t", 300)), 1)
    assert on.gpu_free[1].tolist() == [0, 1000]
    assert on.devices("default/t") == (0,)
    on.forget("default/s")
    assert on.gpu_free[1].tolist() == [700, 1000]


def test_a_bad_gpu_annotation_is_refused_with_its_text() -> None:
    on = snapshot(gpu_node("t4", 2, "T4"))
    broken = pod(annotations={"alibaba.com/gpu-milli": "lots"})
    expected = "0/1 nodes are available: annotation alibaba.com/gpu-milli: 'lots' is not a whole number."
    assert why_not(on, broken) == expected


# -- what is bound, legally or not ---------------------------------------------------------------------------------


def test_a_decision_is_applied_or_refused_with_its_reason() -> None:
    on = snapshot(node("a", allocatable={"cpu": "1"}), gpu_node("g", 2, "T4"))
    small, big = on.classes.view(pod("small")), on.classes.view(pod("big", requests={"cpu": "2"}))
    gpu = on.classes.view(share("gpu", 600))

    def refusal(bind: Bind) -> str:
        version, free = on.version, on.free.copy()
        done = apply(on, bind)
        assert isinstance(done, Refused)
        assert on.version == version
        assert (on.free == free).all()
        return done.reason

    assert refusal(Bind(small, 7)) == "unknown node: 7"
    assert refusal(Bind(small, -1)) == "unknown node: -1"
    assert refusal(Bind(small, "a")) == "unknown node: 'a'"  # type: ignore[arg-type]
    assert refusal(Bind(big, 0)) == "a: Insufficient cpu"
    assert refusal(Bind(gpu, 1, (0, 1))) == "g: asks for 1 devices, and was given [0, 1]"
    assert refusal(Bind(gpu, 1, (2,))) == "g: no device 2"
    numpys = Bind(gpu, np.int64(1), (np.int64(0),))  # type: ignore[arg-type]
    done = apply(on, numpys)
    assert done == (Bind(gpu, 1, (0,)),)
    assert isinstance(done[0].node, int)
    on.forget("default/gpu")
    assert apply(on, Bind(gpu, 1)) == (Bind(gpu, 1, (0,)),)
    assert refusal(Bind(gpu, 1)) == "already placed on g"
    other = on.classes.view(share("other", 600))
    assert refusal(Bind(other, 1, (0,))) == "g: device 0 has 400 milli idle, needs 600"
    on.remove_node("a")
    assert refusal(Bind(small, 0)) == "unknown node: 0"


def test_a_gang_is_bound_whole_or_not_at_all() -> None:
    on = snapshot(node("a", allocatable={"cpu": "2"}), node("b", allocatable={"cpu": "1"}))
    label = {"scheduling.x-k8s.io/pod-group": "g"}
    members = [on.classes.view(pod(f"m{i}", requests={"cpu": "1"}, labels=label), group_min=3) for i in range(4)]
    alone = apply(on, Bind(members[0], 0))
    assert isinstance(alone, Refused)
    assert alone.reason == "gang default/g: 1 of at least 3 placed together"
    crowded = apply(on, BindTogether(tuple(Bind(member, 0) for member in members[:3])))
    assert isinstance(crowded, Refused)
    assert crowded.reason == "a: Insufficient cpu"
    assert on.free[CPU].tolist() == [2000, 1000]
    together = BindTogether((Bind(members[0], 0), Bind(members[1], 0), Bind(members[2], 1)))
    assert apply(on, together) == together.binds
    on.add_node(**node_columns(node("c")))
    assert apply(on, Bind(members[3], 2)) == (Bind(members[3], 2),)  # the minimum runs: one more may go alone


def test_pods_wait_for_their_node_and_outlive_it() -> None:
    on = Snapshot()
    early = on.classes.view(pod("early", requests={"cpu": "1"}))
    on.assume_on(early, "a")
    on.add_node(**node_columns(node("a")))
    assert on.free[CPU].tolist() == [3000]
    on.remove_node("a")
    assert on.alive.tolist() == [False]
    assert on.capacity[:, 0].tolist() == [0, 0, 0]
    on.add_node(**node_columns(node("a")))
    assert on.free[CPU].tolist() == [3000]
    on.forget("default/early")
    assert on.free[CPU].tolist() == [4000]


def test_a_heartbeat_leaves_no_trace() -> None:
    item = node("a", labels={"x": "y"}, taints=(Taint(key="k", time_added=1),))  # type: ignore[arg-type]
    on = snapshot(item)
    version = on.version
    later = node("a", labels={"x": "y"}, taints=(Taint(key="k", time_added=2),))  # type: ignore[arg-type]
    on.update_node(**node_columns(later))
    assert on.version == version
    on.update_node(**node_columns(node("a", labels={"x": "z"})))
    assert on.version > version


def test_a_rank_can_be_given_by_annotation_and_change() -> None:
    def ranked(name: str, rank: str) -> Node:
        return Node(metadata=ObjectMeta(name=name, annotations={"podyard.dev/rank": rank}))

    on = snapshot(ranked("a", "5"), ranked("b", "3"), node("c"))
    assert [on.names[i] for i in on.order()] == ["b", "a", "c"]
    on.update_node(**node_columns(ranked("a", "1")))
    on.update_node(**node_columns(Node(metadata=ObjectMeta(name="b"))))  # says nothing: keeps its place
    assert [on.names[i] for i in on.order()] == ["a", "b", "c"]


def test_columns_are_read_only_and_live() -> None:
    on = snapshot(node("a"))
    free = on.free
    on.assume(on.classes.view(pod(requests={"cpu": "1"})), 0)
    assert free[CPU].tolist() == [3000]
    for column in (
        on.free,
        on.capacity,
        on.gpu_free,
        on.gpu_capacity,
        on.gpu_model,
        on.alive,
        on.rank,
        on.zone,
        on.feasible(on.classes.view(pod("q"))),
        on.classes.view(pod("q")).requests,
    ):
        with pytest.raises(ValueError, match="read-only"):
            column[...] = 0


def test_the_log_forgets_and_says_so() -> None:
    on = snapshot(node("a"))
    start = on.version
    view = on.classes.view(pod())
    for _ in range(70_000):
        on.assume(view, 0)
        on.forget(view.key)
    assert on.changed_since(start) is None
    assert on.changed_since(on.version).tolist() == []  # type: ignore[union-attr]
    assert on.changed_since(on.version - 3).tolist() == [0]  # type: ignore[union-attr]


def test_equal_specs_share_a_class_whatever_objects_they_are() -> None:
    on = Snapshot()
    one, two = (
        on.classes.class_of(pod("a", requests={"cpu": "1"})),
        on.classes.class_of(pod("b", requests={"cpu": "1000m"})),
    )
    assert one is two
    assert on.classes.class_of(pod("c", requests={"cpu": "1"}, node_selector={"a": "b"})) is not one
    assert on.classes.class_of(pod("d", requests={"cpu": "1"}, priority=5)) is not one


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True))
def test_verdicts_do_not_depend_on_how_often_they_are_asked_for(order: list[str]) -> None:
    """A class asked for after each change, and one asked for at the end, see the same."""
    on = Snapshot()
    wish = on.classes.view(pod(node_selector={"zone": "a"}, requests={"cpu": "1"}))
    for name in order:
        on.add_node(**node_columns(node(name, labels={"zone": "a" if name < "d" else "b"})))
        on.feasible(wish)
    fresh = Snapshot()
    for name in order:
        fresh.add_node(**node_columns(node(name, labels={"zone": "a" if name < "d" else "b"})))
    late = fresh.classes.view(pod(node_selector={"zone": "a"}, requests={"cpu": "1"}))
    assert on.feasible(wish).tolist() == fresh.feasible(late).tolist() == [name < "d" for name in order]
