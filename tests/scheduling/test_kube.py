"""The strategy `kube`: facts from kube-scheduler's documentation and published tests, and its configuration file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.core import (
    Affinity,
    Container,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSpec,
    ResourceRequirements,
    TopologySpreadConstraint,
)
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.matching.pod_selectors import requirements
from harness.scheduling.scores import NodeSearch
from harness.scheduling.strategy import Bind, PodView
from schedulers.kube import Kube, Profile, kube, nodes_to_find

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
GIB = 1 << 30


def cluster(*nodes: tuple[int, int], zones: int = 0) -> Snapshot:
    """Nodes of (milli-CPU, bytes)."""
    on = Snapshot()
    for i, (cpu, memory) in enumerate(nodes):
        labels = {HOST: f"n{i}"} | ({ZONE: f"z{i % zones}"} if zones else {})
        on.add_node(f"n{i}", {"cpu": cpu, "memory": memory, "pods": 110}, labels=labels)
    return on


def pod(name: str, cpu: str = "", memory: str = "", labels: dict[str, str] | None = None, **rest: object) -> Pod:
    wanted = {key: parse_quantity(value) for key, value in (("cpu", cpu), ("memory", memory)) if value}
    owner = rest.pop("owner", ())
    containers = (Container(name="c", resources=ResourceRequirements(requests=wanted)),)
    return Pod(
        metadata=ObjectMeta(name=name, namespace="d", labels=labels or {}, owner_references=owner),  # type: ignore[arg-type]
        spec=PodSpec(containers=containers, **rest),  # type: ignore[arg-type]
    )


def bind(on: Snapshot, item: Pod, node: int) -> None:
    on.assume(on.classes.view(item), node)


def scores(on: Snapshot, item: Pod, plugin: str, strategy: Kube | None = None) -> list[int]:
    """Of one plugin on each node, its weight taken out."""
    strategy = strategy or kube()
    weight = strategy.profiles[0].weights[plugin]
    return [int(x) // weight for x in strategy.explain(on.classes.view(item), on)[plugin]]


def only(plugin: str, **args: object) -> Kube:
    return Kube([Profile(weights={plugin: 1}, **args)])  # type: ignore[arg-type]


def chosen(on: Snapshot, item: Pod | PodView, strategy: Kube) -> int:
    view = on.classes.view(item) if isinstance(item, Pod) else item
    (decision,) = strategy.place([view], on, np.random.default_rng(0))
    assert isinstance(decision, Bind)
    return decision.node


# -- resources: cases of plugins/noderesources/{least_allocated,most_allocated,balanced_allocation}_test.go -----------


def test_least_allocated_by_the_published_cases() -> None:
    on = cluster((4000, 10000), (4000, 10000))
    # "nothing scheduled, resources requested, differently sized nodes" is (37, 50) on 4000 and 6000 milli-CPU.
    assert scores(cluster((4000, 10000), (6000, 10000)), pod("p", "3000m", "5000"), "NodeResourcesFit") == [37, 50]
    # "resources requested, pods scheduled with resources": 6000 of 10000 milli on each, 5000 and 10000 of 20000 bytes.
    on = cluster((10000, 20000), (10000, 20000))
    bind(on, pod("a", "3000m", "0"), 0)
    bind(on, pod("b", "3000m", "5000"), 1)
    assert scores(on, pod("p", "3000m", "5000"), "NodeResourcesFit") == [57, 45]


def test_most_allocated_is_the_mirror() -> None:
    most = only("NodeResourcesFit", fit="MostAllocated")
    assert scores(cluster((4000, 10000), (6000, 10000)), pod("p", "3000m", "5000"), "NodeResourcesFit", most) == [
        62,
        50,
    ]


def test_requested_to_capacity_ratio_follows_its_shape() -> None:
    # The shape of the documentation's example: bin packing, 0 at 0 %, 10 at 100 %.
    packing = only("NodeResourcesFit", fit="RequestedToCapacityRatio", shape=((0, 0), (100, 100)))
    assert scores(cluster((4000, 10000), (6000, 10000)), pod("p", "3000m", "5000"), "NodeResourcesFit", packing) == [
        63,
        50,
    ]
    # Falling from 10 to 0: Go divides towards zero. "nothing scheduled, resources requested" is (38, 50).
    falling = only("NodeResourcesFit", fit="RequestedToCapacityRatio", shape=((0, 100), (100, 0)))
    assert scores(cluster((4000, 10000), (6000, 10000)), pod("p", "3000m", "5000"), "NodeResourcesFit", falling) == [
        38,
        50,
    ]


def test_balanced_allocation_by_the_published_cases() -> None:
    # "nothing scheduled, resources requested, differently sized nodes": 75 % against 50 %, and 50 % against 50 %.
    on = cluster((4000, 10000), (6000, 10000))
    assert scores(on, pod("p", "3000m", "5000"), "NodeResourcesBalancedAllocation") == [87, 100]
    on = cluster((10000, 20000), (10000, 20000))
    bind(on, pod("a", "3000m", "0"), 0)
    bind(on, pod("b", "3000m", "5000"), 1)
    assert scores(on, pod("p", "3000m", "5000"), "NodeResourcesBalancedAllocation") == [82, 95]


def test_what_asks_for_nothing_counts_as_100m_and_200_mebibytes_for_fit_alone() -> None:
    on = cluster((1000, 2000 << 20), (1000, 2000 << 20))
    bind(on, pod("a"), 0)
    assert scores(on, pod("p"), "NodeResourcesFit") == [80, 90]
    assert scores(on, pod("p"), "NodeResourcesBalancedAllocation") == [100, 100]


def test_an_extended_resource_counts_for_pods_that_ask_for_it() -> None:
    on = Snapshot()
    for i, there in enumerate((4, 8)):
        on.add_node(f"n{i}", {"cpu": 4000, "memory": GIB, "pods": 9, "example.com/f": there})
    scarce = only("NodeResourcesFit", resources=(("example.com/f", 5), ("cpu", 1)))
    asks = on.classes.intern({"example.com/f": 2, "cpu": 0})
    assert [int(x) for x in scarce.explain(PodView("p", asks), on)["NodeResourcesFit"]] == [(50 * 5 + 100) // 6, 79]
    plain = on.classes.intern({"cpu": 2000})
    assert [int(x) for x in scarce.explain(PodView("p", plain), on)["NodeResourcesFit"]] == [50, 50]


# -- pods that look at each other -------------------------------------------------------------------------------------


def beside(app: str, key: str = ZONE) -> PodAffinity:
    term = PodAffinityTerm(topology_key=key, label_selector=LabelSelector(match_labels={"app": app}))
    return PodAffinity(required_during_scheduling_ignored_during_execution=(term,))


def test_required_affinity_of_running_pods_draws_those_whom_it_wants() -> None:
    on = cluster((4000, GIB), (4000, GIB), (4000, GIB), zones=2)
    bind(on, pod("web", labels={"app": "web"}, affinity=Affinity(pod_affinity=beside("db"))), 1)
    assert scores(on, pod("db", labels={"app": "db"}), "InterPodAffinity") == [0, 100, 0]
    assert scores(on, pod("other"), "InterPodAffinity") == [0, 0, 0]
    indifferent = only("InterPodAffinity", hard_pod_affinity_weight=0)
    assert scores(on, pod("db", labels={"app": "db"}), "InterPodAffinity", indifferent) == [0, 0, 0]


def test_soft_spreading_counts_only_nodes_with_all_of_the_labels() -> None:
    on = cluster((4000, GIB), (4000, GIB), zones=2)
    on.add_node("bare", {"cpu": 4000, "memory": GIB, "pods": 9}, labels={ZONE: "z0"})
    bind(on, pod("a", labels={"app": "x"}), 2)  # in zone z0, on a node without rack
    for i in range(2):
        on.update_node(f"n{i}", {"cpu": 4000, "memory": GIB, "pods": 110}, labels={ZONE: f"z{i}", "rack": f"r{i}"})
    app = LabelSelector(match_labels={"app": "x"})
    constraints = tuple(
        TopologySpreadConstraint(max_skew=1, topology_key=key, when_unsatisfiable="ScheduleAnyway", label_selector=app)
        for key in (ZONE, "rack")
    )
    wish = pod("p", labels={"app": "x"}, topology_spread_constraints=constraints)
    assert scores(on, wish, "PodTopologySpread") == [100, 100, 0]
    bind(on, pod("b", labels={"app": "x"}), 0)
    assert scores(on, wish, "PodTopologySpread") == [0, 100, 0]


def replica(name: str) -> Pod:
    owner = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="rs", uid="u", controller=True)
    return pod(name, labels={"app": "x"}, owner=(owner,))


def test_pods_of_a_controller_or_service_are_spread_by_default() -> None:
    on = cluster((4000, GIB), (4000, GIB), (4000, GIB), zones=2)
    assert scores(on, replica("p"), "PodTopologySpread") == [0, 0, 0]  # nothing known selects it
    selector = LabelSelector(match_labels={"app": "x"})
    on.tables.owner_selectors.put_controller("ReplicaSet", "d", "rs", requirements(selector))
    bind(on, replica("a"), 0)
    # Hosts 1, 0, 0 and zones 1, 0, 1 with weights log(3 + 2) and log(2 + 2), plus maxSkew - 1 = 2 and 4:
    # 9.0, 6, 7.4 make 9, 6, 7; then 100 * (9 + 6 - score) // 9.
    assert scores(on, replica("p"), "PodTopologySpread") == [66, 100, 88]
    assert scores(on, pod("q", labels={"app": "x"}), "PodTopologySpread") == [0, 0, 0]  # not of the controller
    on.tables.owner_selectors.put_service("d", "svc", {"app": "x"})
    assert scores(on, pod("q", labels={"app": "x"}), "PodTopologySpread") == [66, 100, 88]
    without = only("PodTopologySpread", spread=(), system_spread=False)
    assert scores(on, replica("p"), "PodTopologySpread", without) == [0, 0, 0]


def test_default_spread_counts_only_the_nodes_that_the_pod_selects() -> None:
    """A pod with a node selector that a service selects made the strategy raise."""
    on = cluster((4000, GIB), (4000, GIB), (4000, GIB), zones=2)
    on.tables.owner_selectors.put_service("d", "svc", {"app": "x"})
    bind(on, replica("a"), 0)
    asking = on.classes.view(pod("p", labels={"app": "x"}, node_selector={ZONE: "z0"}))
    found = kube().explain(asking, on)["PodTopologySpread"]
    assert found[0] < found[2]
    assert np.isnan(found[1])


# -- which nodes are scored -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    # Cases of schedule_one_test.go TestNumFeasibleNodesToFind.
    ("percentage", "nodes", "expected"),
    [
        (None, 10, 10),
        (40, 10, 10),
        (None, 1000, 420),
        (40, 1000, 400),
        (None, 6000, 300),
        (40, 6000, 2400),
        (40, 200, 100),
    ],
)
def test_how_many_nodes_are_enough(percentage: int | None, nodes: int, expected: int) -> None:
    assert nodes_to_find(percentage, nodes) == expected


def test_the_search_goes_round_zone_by_zone() -> None:
    on = Snapshot()
    for i, zone in enumerate("aaabbc"):  # three in a, two in b, one in c
        on.add_node(f"n{i}", {"cpu": 1, "memory": 1, "pods": 1}, labels={ZONE: zone})
    ring = NodeSearch()
    ring.sync(on)
    assert ring.nodes.tolist() == [0, 3, 5, 1, 4, 2]
    fits = np.ones(6, dtype=np.bool_)
    assert ring.search(fits, 2).tolist() == [0, 3]
    assert ring.search(fits, 2).tolist() == [5, 1]
    fits[4] = False
    assert ring.search(fits, 2).tolist() == [2, 0]
    on.remove_node("n5")
    ring.sync(on)
    assert ring.nodes.tolist() == [0, 3, 1, 4, 2]


def test_nodes_and_zones_keep_the_places_in_which_they_came() -> None:
    """node_tree.go: a node that moves goes to the end of its new zone, a zone without nodes loses its place."""
    on = Snapshot()
    old = "failure-domain.beta.kubernetes.io/zone"

    def put(name: str, labels: dict[str, str]) -> None:
        change = on.update_node if name in on.node_table.index else on.add_node
        change(name, {"cpu": 1, "memory": 1, "pods": 1}, labels=labels)

    def ring_now() -> list[str]:
        ring.sync(on)
        return [on.names[node] for node in ring.nodes]

    ring = NodeSearch()
    for name, zone in (("n0", "a"), ("n1", "b"), ("n2", "a"), ("n3", "b"), ("n4", "c")):
        put(name, {ZONE: zone})
    assert ring_now() == ["n0", "n1", "n4", "n2", "n3"]
    put("n5", {ZONE: "b", old: "a"})  # the old label goes first
    assert ring_now() == ["n0", "n1", "n4", "n2", "n3", "n5"]
    on.remove_node("n0")
    put("n0", {ZONE: "a"})
    assert ring_now() == ["n2", "n1", "n4", "n5", "n3", "n0"]
    put("n1", {ZONE: "c"})
    put("n3", {ZONE: "c"})
    assert ring_now() == ["n2", "n4", "n5", "n1", "n0", "n3"]
    put("n3", {ZONE: "b"})
    put("n6", {ZONE: ""})
    put("n7", {})  # no zone and an empty one are the same
    assert ring_now() == ["n2", "n4", "n3", "n6", "n5", "n1", "n7", "n0"]


def test_where_nothing_scores_the_first_that_fits_is_taken() -> None:
    on = cluster(*[(4000, 8 * GIB)] * 6, zones=2)
    bare = Kube([Profile(weights={})])
    assert [chosen(on, pod(f"p{i}", "1000m"), bare) for i in range(4)] == [0, 1, 2, 3]


def test_a_pod_that_names_its_nodes_moves_the_search_on() -> None:
    on = cluster(*[(4000, 8 * GIB)] * 400)
    share = kube()
    field = NodeSelectorRequirement(key="metadata.name", operator="In", values=("n7",))
    wanted = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(field,)),))
    there = Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=wanted))
    assert [chosen(on, pod(f"d{i}", affinity=there), share) for i in range(2)] == [7, 7]
    assert chosen(on, pod("p"), share) == 2


@given(st.lists(st.booleans(), min_size=1, max_size=2000), st.integers(1, 400), st.data())
def test_a_search_finds_what_one_worker_would(fitting: list[bool], enough: int, data: st.DataObject) -> None:
    on = Snapshot()
    for i in range(len(fitting)):
        on.add_node(f"n{i}", {})
    ring = NodeSearch()
    ring.sync(on)
    start = ring.start = data.draw(st.integers(0, len(fitting) - 1))
    found: list[int] = []
    checked = 0
    for step in range(len(fitting)):
        node = (start + step) % len(fitting)
        if fitting[node]:
            if len(found) == enough:
                break
            found.append(node)
        checked += 1
    assert ring.search(np.array(fitting), enough).tolist() == found
    assert ring.start == (start + checked) % len(fitting)


def test_a_share_of_the_nodes_is_scored_the_rest_is_not_looked_at() -> None:
    on = cluster(*[(4000, 8 * GIB)] * 400)
    for i in range(399):
        bind(on, pod(f"b{i}", "1000m", "2Gi"), i)  # the last node is the emptiest
    assert chosen(on, pod("p", "1000m", "1Gi"), kube(percentage=100)) == 399
    share = kube()
    nodes = [chosen(on, pod(f"p{i}", "1000m", "1Gi"), share) for i in range(3)]
    assert nodes[0] == 0
    assert nodes[1] == nodes_to_find(None, 400) == 188
    assert nodes[2] == 399  # 376 to 399, then 0 to 163
