"""The strategy `kube`: facts from kube-scheduler's documentation and published tests, and its configuration file."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

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
from harness.model.errors import UserError
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.matching.pod_selectors import requirements
from harness.scheduling.registry import load
from harness.scheduling.scores import SYSTEM_SPREAD, NodeSearch
from harness.scheduling.strategy import Bind, PodView
from schedulers.kube import Kube, Profile, kube, nodes_to_find, parse
from schedulers.kube.profile import OTHERS, SCORERS

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


# -- the configuration file -------------------------------------------------------------------------------------------

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


def profiles(text: str) -> tuple[Profile, ...]:
    return parse(HEAD + dedent(text))


def test_an_empty_configuration_is_the_default_profile() -> None:
    assert profiles("") == (Profile(),)
    assert profiles("profiles: [{}]") == (Profile(),)
    assert dict(Profile().weights) == dict(SCORERS)
    assert Profile().spread == SYSTEM_SPREAD


def test_a_configuration_of_the_documentation() -> None:
    text = """
        percentageOfNodesToScore: 50
        profiles:
        - schedulerName: default-scheduler
          plugins:
            score:
              disabled: [{name: PodTopologySpread}]
              enabled: [{name: NodeResourcesFit, weight: 5}]
        - schedulerName: no-scoring-scheduler
          percentageOfNodesToScore: 100
          plugins:
            preScore: {disabled: [{name: '*'}]}
            score: {disabled: [{name: '*'}]}
        - schedulerName: packing
          pluginConfig:
          - name: NodeResourcesFit
            args:
              apiVersion: kubescheduler.config.k8s.io/v1
              kind: NodeResourcesFitArgs
              scoringStrategy:
                type: RequestedToCapacityRatio
                resources: [{name: intel.com/foo, weight: 3}, {name: intel.com/bar, weight: 5}]
                requestedToCapacityRatio:
                  shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]
          - name: PodTopologySpread
            args:
              defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
              defaultingType: List
          - name: InterPodAffinity
            args: {hardPodAffinityWeight: 7}
    """
    first, bare, packing = profiles(text)
    weights = {name: weight for name, weight in SCORERS.items() if name != "PodTopologySpread"}
    assert (first.percentage, dict(first.weights)) == (50, weights | {"NodeResourcesFit": 5})
    assert (bare.name, bare.percentage, dict(bare.weights)) == ("no-scoring-scheduler", 100, {})
    assert (packing.fit, packing.shape) == ("RequestedToCapacityRatio", ((0, 0), (100, 100)))
    assert packing.resources == (("intel.com/foo", 3), ("intel.com/bar", 5))
    assert [(item.key, item.max_skew) for item in packing.spread] == [("zone", 1)]
    assert (packing.system_spread, packing.hard_pod_affinity_weight) == (False, 7)


def test_multi_point_comes_first_and_the_score_point_overrides_it() -> None:
    text = """
        profiles:
        - plugins:
            multiPoint:
              disabled: [{name: '*'}]
              enabled: [{name: NodeAffinity, weight: 4}, {name: TaintToleration}, {name: NodePorts}%s]
            filter:
              enabled: [{name: NodeResourcesFit}, {name: InterPodAffinity}, {name: PodTopologySpread}]
            score:
              enabled: [{name: NodeAffinity, weight: 9}]
    """
    others = "".join(f", {{name: {name}}}" for name in OTHERS if name not in ("NodePorts", "DynamicResources"))
    (profile,) = profiles(text % others)
    assert dict(profile.weights) == {"NodeAffinity": 9, "TaintToleration": 1}
    with pytest.raises(UserError, match="harness holds every constraint, so SchedulingGates cannot be disabled"):
        profiles(text % "")


def test_a_plugin_enabled_anew_has_the_weight_that_is_written_there() -> None:
    """default_plugins.go mergePluginSet: what is given takes the default's place, and no weight counts as 1."""
    text = """
        profiles:
        - plugins:
            multiPoint:
              disabled: [{name: ImageLocality}]
              enabled:
              - {name: TaintToleration}
              - {name: NodeResourcesFit, weight: 0}
              - {name: InterPodAffinity, weight: 7}
            score:
              disabled: [{name: NodeAffinity}, {name: PodTopologySpread}]
              enabled: [{name: NodeAffinity, weight: 3}]
    """
    (profile,) = profiles(text)
    assert dict(profile.weights) == {
        "TaintToleration": 1,
        "NodeResourcesFit": 1,
        "InterPodAffinity": 7,
        "NodeResourcesBalancedAllocation": 1,
        "NodeAffinity": 3,
    }


def args(plugin: str, given: str) -> str:
    return f"profiles:\n- pluginConfig:\n  - name: {plugin}\n    args: {given}"


SOFT_ZONE = "{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}"


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("profiles: [{plugins: {score: {enabled: [{name: NodeAfinity}]}}}]", 3, "no such plugin", "'NodeAffinity'"),
        ("profiles:\n- plugins:\n    scores: {}", 5, "no such field", "'score'"),
        ("profiles:\n- plugins:\n    filter:\n      disabled: [{name: NodePorts}]", 6, "holds every constraint", None),
        ("profiles:\n- {}\n- schedulerName: default-scheduler", 5, "two profiles have one schedulerName", None),
        ("percentageOfNodesToScore: 101", 3, "out of range", None),
        ("extenders: [{urlPrefix: 'x'}]", 3, "an extender needs a urlPrefix", None),
        (
            "profiles:\n- plugins:\n    multiPoint:\n      disabled: [{name: PodTopologySpread}]",
            6,
            "so PodTopologySpread cannot be disabled",
            "at the extension point score",
        ),
        (
            "profiles:\n- plugins:\n    score: {enabled: [{name: NodeAffinity},\n      {name: NodeAffinity}]}",
            6,
            "NodeAffinity is enabled twice",
            None,
        ),
        ("podMaxBackoffSeconds: 20", 3, "podMaxBackoffSeconds cannot be changed", None),
        (args("NodeAffinity", "{addedAffinity: {a: 1}}"), 6, "no such field", None),
        (
            args("NodeAffinity", "{addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {}}}"),
            6,
            "is not modelled, its preferences are",
            None,
        ),
        (args("NodeAffinity", "{kind: InterPodAffinityArgs}"), 6, "no arguments of NodeAffinity", None),
        (args("NodePorts", "{a: 1}"), 6, "NodePorts takes no arguments", None),
        (args("NodeAffinity", "{}") + "\n  - name: NodeAffinity", 7, "configured twice", None),
        (args("DefaultPreemption", "{minCandidateNodesPercentage: 50}"), 6, "cannot be changed", None),
        (args("InterPodAffinity", "{hardPodAffinityWeight: 101}"), 6, "out of range", None),
        (args("NodeResourcesFit", "{scoringStrategy: {resources: []}}"), 6, "needs a type", None),
        (args("NodeResourcesFit", "{scoringStrategy: {type: Least}}"), 6, "no such scoring strategy", "LeastAllocated"),
        (args("NodeResourcesFit", "{scoringStrategy: {type: RequestedToCapacityRatio}}"), 6, "needs a shape", None),
        (args("NodeResourcesBalancedAllocation", "{resources: [{name: cpu, weight: 2}]}"), 6, "no weights", None),
        (args("NodeResourcesBalancedAllocation", "{resources: [{name: cpu}, {name: cpu}]}"), 6, "named twice", None),
        (args("PodTopologySpread", "{defaultingType: Lists}"), 6, "no such defaultingType", "'List'"),
        (
            args("PodTopologySpread", "{defaultConstraints: [{topologyKey: zone}]}"),
            6,
            "System takes no defaultConstraints",
            "defaultingType: List",
        ),
        (
            args("PodTopologySpread", f"{{defaultingType: List, defaultConstraints: [{SOFT_ZONE}, {SOFT_ZONE}]}}"),
            6,
            "two default constraints have one topologyKey",
            None,
        ),
    ],
)
def test_what_cannot_be_honored_is_told_with_its_line(text: str, line: int, what: str, hint: str | None) -> None:
    with pytest.raises(UserError, match=what) as told:
        parse(HEAD + text, "sched.yaml")
    assert (told.value.file, told.value.line) == ("sched.yaml", line)
    assert hint is None or hint in (told.value.hint or "")


def test_another_kind_of_file_is_told_apart() -> None:
    with pytest.raises(UserError, match="no scheduler configuration"):
        parse("apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration")
    with pytest.raises(UserError, match="malformed YAML"):
        parse("a: [")


def test_kube_is_found_by_name_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "profiles: [{schedulerName: packing, plugins: {score: {disabled: [{name: '*'}]}}}]")
    strategy = load(f"schedulers.kube:kube?config={file}&percentage=70")()
    assert isinstance(strategy, Kube)
    assert [(p.name, p.percentage, dict(p.weights)) for p in strategy.profiles] == [("packing", 70, {})]
    with pytest.raises(UserError, match="cannot be read"):
        load("schedulers.kube:kube?config=nowhere.yaml")()
    with pytest.raises(UserError, match="no such share"):
        load("schedulers.kube:kube?percentage=101")()


def test_a_pod_goes_by_the_profile_that_it_names() -> None:
    on = cluster((4000, 8 * GIB), (4000, 8 * GIB))
    bind(on, pod("a", "1000m", "2Gi"), 1)
    both = Kube([Profile(), Profile(name="packing", weights={"NodeResourcesFit": 1}, fit="MostAllocated")])
    assert chosen(on, pod("p", "1000m", "2Gi", scheduler_name="default-scheduler"), both) == 0
    assert chosen(on, pod("q", "1000m", "2Gi", scheduler_name="packing"), both) == 1
    assert chosen(on, pod("r", "1000m", "2Gi", scheduler_name="unheard-of"), both) == 0
