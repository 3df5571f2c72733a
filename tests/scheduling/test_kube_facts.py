"""Facts from Kubernetes' documentation and kube-scheduler's own test tables, one constraint or score at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from harness.engine.component import ADDED, Watch
from harness.engine.streams import array_stream, stream
from harness.model.core import (
    Affinity,
    Container,
    ContainerPort,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeStatus,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSpec,
    PreferredSchedulingTerm,
    ResourceRequirements,
    Service,
    ServiceSpec,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from harness.model.meta import LabelSelector, LabelSelectorRequirement, ObjectMeta
from harness.model.quantity import parse_quantity
from harness.scheduling.cycle.scheduler import Scheduler
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.matching.owner_selectors import OwnerSelectors
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.state.images import NodeImages
from harness.scheduling.strategy import Bind, GpuRequest, PodView
from schedulers.kube import Kube, Profile, kube, parse

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
GIB = 1 << 30


def cluster(*zones: str) -> Snapshot:
    on = Snapshot()
    for index, zone in enumerate(zones, 1):
        labels = {HOST: f"node{index}", "zone": zone, "node": f"node{index}", "size": str(index)}
        on.add_node(f"node{index}", {"cpu": 4000, "memory": 8 * GIB, "pods": 110}, labels=labels)
    return on


def pod(name: str, labels: dict[str, str] | None = None, **spec: object) -> Pod:
    spec.setdefault("containers", (Container(name="c"),))
    return Pod(
        metadata=ObjectMeta(name=name, namespace="d", labels=labels or {}),
        spec=PodSpec(**spec),  # type: ignore[arg-type]
    )


def fits(on: Snapshot, item: Pod) -> list[str]:
    return [on.node_table.names[i] for i in np.flatnonzero(on.feasible(on.classes.view(item)))]


def bind(on: Snapshot, item: Pod, *nodes: str) -> None:
    for index, name in enumerate(nodes):
        meta = ObjectMeta(name=f"{item.metadata.name}-{index}", namespace="d", labels=item.metadata.labels)
        on.assume(on.classes.view(Pod(metadata=meta, spec=item.spec)), on.node_table.index[name])


def test_a_pod_that_names_its_node_goes_there_or_nowhere() -> None:
    on = cluster("a", "a", "b")
    assert fits(on, pod("p", node_name="node2")) == ["node2"]
    assert fits(on, pod("p", node_name="node9")) == []
    assert "didn't match the requested node name" in str(diagnose(on, on.classes.view(pod("p", node_name="node9"))))


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("Gt", ("1",), ["node2", "node3"]),
        ("Lt", ("3",), ["node1", "node2"]),
        ("Gt", ("one",), []),  # not an integer
        ("Gt", ("1_0",), []),
        ("Gt", ("-1",), []),  # no label value
        ("Lt", ("9" * 20,), []),  # beyond 64 bits
        ("Gt", ("0", "1"), []),
        ("Near", ("1",), []),  # no such operator
        ("In", (), []),
        ("NotIn", (), []),
        ("NotIn", ("no label!",), []),
        ("Exists", ("1",), []),
        ("DoesNotExist", ("1",), []),
    ],
)
def test_a_malformed_requirement_makes_its_term_match_nothing(
    operator: str, values: tuple[str, ...], expected: list[str]
) -> None:
    term = NodeSelectorTerm(match_expressions=(NodeSelectorRequirement(key="size", operator=operator, values=values),))
    required = NodeSelector(node_selector_terms=(term,))
    wants = Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=required))
    assert fits(cluster("a", "a", "b"), pod("p", affinity=wants)) == expected


@pytest.mark.parametrize(
    ("key", "value", "well_formed"),
    [
        ("k" * 63, "v" * 63, True),
        ("k" * 64, "v", False),
        ("k", "v" * 64, False),
        (f"{'p' * 253}/{'k' * 63}", "v", True),
        (f"{'p' * 254}/k", "v", False),
    ],
)
def test_names_and_values_of_labels_have_a_longest(key: str, value: str, well_formed: bool) -> None:
    """Source: util/validation LabelValueMaxLength, qualifiedNameMaxLength, DNS1123SubdomainMaxLength (1.32)."""
    on = cluster("a")
    on.add_node("it", {"cpu": 4000, "memory": 8 * GIB, "pods": 110}, labels={HOST: "it", key: value})
    term = NodeSelectorTerm(match_expressions=(NodeSelectorRequirement(key=key, operator="In", values=(value,)),))
    required = NodeSelector(node_selector_terms=(term,))
    wants = Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=required))
    assert fits(on, pod("p", affinity=wants)) == (["it"] if well_formed else [])


def test_affinity_to_a_zone_and_a_node_follows_the_pods() -> None:
    """Both terms must hold, after each pod that comes and goes: what was known of two terms together is told anew."""
    on = cluster("a", "a", "b")
    selector = LabelSelector(match_labels={"app": "x"})
    near = PodAffinity(
        required_during_scheduling_ignored_during_execution=tuple(
            PodAffinityTerm(topology_key=key, label_selector=selector) for key in ("zone", HOST)
        )
    )
    wants = pod("p", affinity=Affinity(pod_affinity=near))
    assert fits(on, wants) == []
    bind(on, pod("first", {"app": "x"}), "node1")
    assert fits(on, wants) == ["node1"]
    bind(on, pod("second", {"app": "x"}), "node3")
    assert fits(on, wants) == ["node1", "node3"]
    on.forget("d/first-0")
    assert fits(on, wants) == ["node3"]
    bind(on, pod("third", {"app": "x"}), "node2")
    assert fits(on, wants) == ["node2", "node3"]


def test_spread_follows_the_least_loaded_zone() -> None:
    """A pod in the emptiest zone makes room in the others, of which nothing has changed."""
    on = cluster("a", "b", "c")
    wants = spread("zone")
    assert fits(on, wants) == ["node1", "node2", "node3"]
    for index, (node, left) in enumerate(
        (
            ("node1", ["node2", "node3"]),
            ("node2", ["node3"]),
            ("node3", ["node1", "node2", "node3"]),
            ("node3", ["node1", "node2"]),
        )
    ):
        bind(on, pod(f"x{index}", {"foo": "bar"}), node)
        assert fits(on, wants) == left
    on.forget("d/x0-0")  # zone a is the emptiest now
    assert fits(on, wants) == ["node1"]


def test_a_selector_that_does_not_parse_keeps_the_pod_from_every_node() -> None:
    odd = LabelSelector(match_expressions=(LabelSelectorRequirement(key="app", operator="Exists", values=("x",)),))
    away = PodAffinity(
        required_during_scheduling_ignored_during_execution=(PodAffinityTerm(topology_key="zone", label_selector=odd),)
    )
    for item, words in (
        (pod("p", affinity=Affinity(pod_anti_affinity=away)), "parsing pod"),
        (spread("zone", label_selector=odd), "get constraints from pod"),
    ):
        on = cluster("a")
        assert fits(on, item) == []
        text = f"0/1 nodes are available: {words}: a label selector does not parse."
        assert str(diagnose(on, on.classes.view(item))) == text
    bind(on, pod("p", {"app": "x"}, affinity=Affinity(pod_anti_affinity=away)), "node1")
    assert fits(on, pod("p", {"app": "x"})) == ["node1"]  # of a pod that runs, such a term says nothing


def test_the_first_plugin_that_keeps_a_pod_from_every_node_says_why() -> None:
    """runtime/framework.go RunPreFilterPlugins goes by filter order. Found by a random cluster: a pod whose affinity
    terms are at odds and whose selector does not parse was told of the selector."""
    named = [NodeSelectorRequirement(key="metadata.name", operator="In", values=(name,)) for name in ("n1", "n2")]
    at_odds = NodeAffinity(
        required_during_scheduling_ignored_during_execution=NodeSelector(
            node_selector_terms=(NodeSelectorTerm(match_fields=tuple(named)),)
        )
    )
    odd = LabelSelector(match_expressions=(LabelSelectorRequirement(key="app", operator="Exists", values=("x",)),))
    away = PodAffinity(
        required_during_scheduling_ignored_during_execution=(PodAffinityTerm(topology_key="zone", label_selector=odd),)
    )
    spreading = spread("zone", label_selector=odd).spec.topology_spread_constraints
    claim = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    on = cluster("a")

    def told(**spec: Any) -> str:
        return diagnose(on, on.classes.view(pod("p", **spec))).pre_filter_message

    both = Affinity(node_affinity=at_odds, pod_anti_affinity=away)
    assert told(affinity=both, topology_spread_constraints=spreading, extra=claim) == "pod affinity terms conflict"
    of_pods = Affinity(pod_anti_affinity=away)
    missing = 'persistentvolumeclaim "data" not found'
    assert told(affinity=of_pods, topology_spread_constraints=spreading, extra=claim) == missing
    assert told(affinity=of_pods, topology_spread_constraints=spreading).startswith("get constraints from pod")
    assert told(affinity=of_pods).startswith("parsing pod")


def test_a_selector_that_only_scores_keeps_the_pod_from_no_node() -> None:
    """podtopologyspread/common.go filterTopologySpreadConstraints: the filter parses constraints that forbid. Found
    by a course of random events: a ScheduleAnyway constraint whose selector does not parse."""
    odd = LabelSelector(match_expressions=(LabelSelectorRequirement(key="app", operator="Exists", values=("x",)),))
    soft = TopologySpreadConstraint(
        max_skew=1, topology_key="zone", when_unsatisfiable="ScheduleAnyway", label_selector=odd
    )
    on = cluster("a", "b")
    item = pod("p", {"app": "x"}, topology_spread_constraints=(soft,))
    assert fits(on, item) == ["node1", "node2"]
    bind(on, item, "node1")
    chosen = list(kube().place([on.classes.view(item)], on, array_stream(0, "test")))
    assert [type(decision) for decision in chosen] == [Bind]  # it counts nobody, and so prefers no node


def test_match_label_keys_select_alone_where_there_is_no_selector() -> None:
    """common.go mergeLabelSetWithSelector; no selector and no key that the pod has select nobody."""
    on = cluster("a", "b")
    bind(on, pod("p", {"foo": "bar"}), "node1", "node1")
    assert fits(on, spread("zone", label_selector=None)) == ["node1", "node2"]
    assert fits(on, spread("zone", label_selector=None, match_label_keys=("other",))) == ["node1", "node2"]
    assert fits(on, spread("zone", label_selector=None, match_label_keys=("foo",))) == ["node2"]


def test_a_namespace_nobody_told_of_has_no_labels_for_those_who_run_and_is_in_no_list_for_others() -> None:
    plain = LabelSelector(match_expressions=(LabelSelectorRequirement(key="team", operator="DoesNotExist"),))
    term = PodAffinityTerm(
        topology_key="zone", label_selector=LabelSelector(match_labels={"foo": "bar"}), namespace_selector=plain
    )
    away = Affinity(pod_anti_affinity=PodAffinity(required_during_scheduling_ignored_during_execution=(term,)))
    beside = Affinity(pod_affinity=PodAffinity(required_during_scheduling_ignored_during_execution=(term,)))
    on = cluster("a", "b")
    bind(on, pod("p", {"foo": "bar"}, affinity=away), "node1")
    assert fits(on, pod("q", {"foo": "bar"})) == ["node2"]  # kept away
    assert fits(on, pod("q", affinity=away)) == ["node1", "node2"]  # keeps away from nobody
    assert fits(on, pod("q", {"foo": "bar"}, affinity=beside)) == []  # not even the first of its kind
    on.tables.put_namespace("d", {})
    assert fits(on, pod("q", affinity=away)) == ["node2"]
    assert fits(on, pod("q", {"other": "x"}, affinity=beside)) == ["node1"]
    on.tables.put_namespace("d", {"team": "one"})
    assert fits(on, pod("q", {"foo": "bar"})) == ["node1", "node2"]


def on_port(name: str, *ports: tuple[str, int, str]) -> Pod:
    told = tuple(
        ContainerPort(container_port=1, host_port=port, host_ip=address, protocol=protocol)
        for address, port, protocol in ports
    )
    return pod(name, containers=(Container(name="c", ports=told),))


@pytest.mark.parametrize(
    # Cases of plugins/nodeports/node_ports_test.go: (wanted, held, whether it fits).
    ("wanted", "held", "expected"),
    [
        ([], [], True),
        ([("127.0.0.1", 8080, "UDP")], [("127.0.0.1", 9090, "UDP")], True),
        ([("127.0.0.1", 8080, "UDP")], [("127.0.0.1", 8080, "UDP")], False),
        ([("127.0.0.1", 8080, "TCP")], [("127.0.0.1", 8080, "UDP")], True),
        ([("127.0.0.1", 8080, "TCP")], [("127.0.0.2", 8080, "TCP")], True),
        ([("127.0.0.1", 8080, "TCP")], [("0.0.0.0", 8080, "TCP")], False),
        ([("", 8080, "TCP")], [("127.0.0.1", 8080, "TCP")], False),
        ([("0.0.0.0", 8001, "TCP"), ("0.0.0.0", 8080, "UDP")], [("0.0.0.0", 8001, "UDP")], True),
        ([("0.0.0.0", 8001, "TCP"), ("0.0.0.0", 8001, "UDP")], [("0.0.0.0", 8001, "UDP")], False),
    ],
)
def test_host_ports_by_the_published_cases(
    wanted: list[tuple[str, int, str]], held: list[tuple[str, int, str]], expected: bool
) -> None:
    on = cluster("a")
    bind(on, on_port("there", *held), "node1")
    assert fits(on, on_port("new", *wanted)) == (["node1"] if expected else [])


def spread(*keys: str, skew: int = 1, **rest: object) -> Pod:
    constraints = tuple(
        TopologySpreadConstraint(
            max_skew=skew,
            topology_key=key,
            when_unsatisfiable="DoNotSchedule",
            **{"label_selector": LabelSelector(match_labels={"foo": "bar"}), **rest},  # type: ignore[arg-type]
        )
        for key in keys
    )
    return pod("mypod", {"foo": "bar"}, topology_spread_constraints=constraints)


def test_hard_spreading_by_the_published_cases() -> None:
    """The examples of kubernetes.io/docs, "Pod Topology Spread Constraints"."""
    mine = pod("p", {"foo": "bar"})
    on = cluster("zoneA", "zoneA", "zoneB", "zoneB")
    bind(on, mine, "node1", "node2", "node3")
    assert fits(on, spread("zone")) == ["node3", "node4"]
    assert fits(on, spread("zone", skew=2)) == ["node1", "node2", "node3", "node4"]
    assert fits(on, spread("zone", "node")) == ["node4"]
    conflict = cluster("zoneA", "zoneA", "zoneB")  # "conflicting topology spread constraints"
    bind(conflict, mine, "node1", "node1", "node2", "node3", "node3")
    assert fits(conflict, spread("zone", "node")) == []
    assert fits(conflict, spread("node")) == ["node2"]
    few = cluster("zoneA", "zoneB")
    bind(few, mine, "node1", "node2")
    assert fits(few, spread("zone")) == ["node1", "node2"]
    assert fits(few, spread("zone", min_domains=3)) == []  # the global minimum counts as 0


def wishes(app: str) -> PodAffinity:
    term = PodAffinityTerm(topology_key="zone", label_selector=LabelSelector(match_labels={"app": app}))
    weighted = WeightedPodAffinityTerm(weight=50, pod_affinity_term=term)
    return PodAffinity(preferred_during_scheduling_ignored_during_execution=(weighted,))


def only(plugin: str, **args: object) -> Kube:
    return Kube([Profile(weights={plugin: 1}, **args)])  # type: ignore[arg-type]


def scores(on: Snapshot, item: Pod, plugin: str, strategy: Kube) -> list[int]:
    return [int(x) for x in strategy.explain(on.classes.view(item), on)[plugin]]


def test_preferences_of_running_pods_can_be_ignored() -> None:
    on = cluster("a", "b")
    bind(on, pod("web", {"app": "web"}, affinity=Affinity(pod_affinity=wishes("db"))), "node2")
    plain = pod("db", {"app": "db"})
    assert scores(on, plain, "InterPodAffinity", only("InterPodAffinity")) == [0, 100]
    ignoring = only("InterPodAffinity", ignore_preferred_of_existing=True)
    assert scores(on, plain, "InterPodAffinity", ignoring) == [0, 0]
    own = pod("db", {"app": "db"}, affinity=Affinity(pod_affinity=wishes("web")))
    assert scores(on, own, "InterPodAffinity", ignoring) == [0, 100]


def test_three_resources_are_balanced_by_their_standard_deviation() -> None:
    """balanced_allocation.go: of more than two shares 1 less their standard deviation, in percent, rounded down."""
    on = Snapshot()
    on.add_node("n", {"cpu": 4000, "memory": 8000, "pods": 9, "example.com/f": 4})
    requests = {"cpu": parse_quantity("3"), "memory": parse_quantity("4000"), "example.com/f": parse_quantity("1")}
    asks = pod("p", containers=(Container(name="c", resources=ResourceRequirements(requests=requests)),))
    name = "NodeResourcesBalancedAllocation"
    three = only(name, balanced=("cpu", "memory", "example.com/f"))
    # Shares 0.75, 0.5, 0.25: mean 0.5, deviation sqrt(0.125 / 3) = 0.2041.
    assert scores(on, asks, name, three) == [79]


def test_what_the_scheduler_watches_reaches_the_scores() -> None:
    """A Service makes kube spread its pods by default; without it the roomier node wins."""

    def where(*more: object) -> str:
        scheduler = Scheduler(kube(), stream(1, "s"), array_stream(1, "s"))
        nodes = []
        for index, cpu in enumerate((90, 4)):
            amounts = {
                "cpu": parse_quantity(str(cpu)),
                "memory": parse_quantity(f"{2 * cpu}Gi"),
                "pods": parse_quantity("9"),
            }
            labels = {HOST: f"n{index}", ZONE: f"z{index}"}
            meta = ObjectMeta(name=f"n{index}", labels=labels)
            nodes.append(Node(metadata=meta, status=NodeStatus(allocatable=amounts, capacity=amounts)))
        labels = {"app": "web"}
        held = [
            Pod(
                metadata=ObjectMeta(name=f"there-{i}", namespace="d", uid=f"t{i}", labels=labels),
                spec=PodSpec(containers=(Container(name="c"),), node_name="n0", scheduler_name="default-scheduler"),
            )
            for i in range(2)
        ]
        new = Pod(
            metadata=ObjectMeta(name="new", namespace="d", uid="n", labels=labels),
            spec=PodSpec(containers=(Container(name="c"),), scheduler_name="default-scheduler"),
        )
        scheduler.step(1, [Watch(ADDED, item) for item in (*nodes, *more, *held, new)])
        at = scheduler.snapshot.where("d/new")
        assert at is not None
        return scheduler.snapshot.node_table.names[at]

    assert where() == "n0"
    service = Service(metadata=ObjectMeta(name="web", namespace="d"), spec=ServiceSpec(selector={"app": "web"}))
    assert where(service) == "n1"


def test_an_empty_selector_spreads_from_nobody() -> None:
    """common.go countPodsMatchSelector: a selector without requirements counts no pod, and forbids nothing."""
    on = cluster("a", "b")
    bind(on, pod("p", {"foo": "bar"}), "node1", "node1", "node1")
    assert fits(on, spread("zone", label_selector=LabelSelector())) == ["node1", "node2"]
    soft = TopologySpreadConstraint(
        max_skew=1, topology_key="zone", when_unsatisfiable="ScheduleAnyway", label_selector=LabelSelector()
    )
    wish = pod("q", {"foo": "bar"}, topology_spread_constraints=(soft,))
    assert scores(on, wish, "PodTopologySpread", only("PodTopologySpread")) == [100, 100]
    keyed = msgspec.structs.replace(soft, match_label_keys=("foo",))
    wish = pod("q", {"foo": "bar"}, topology_spread_constraints=(keyed,))
    assert scores(on, wish, "PodTopologySpread", only("PodTopologySpread")) == [0, 100]


def test_only_what_is_a_resource_of_the_scheduler_is_scored() -> None:
    """resource_allocation.go: `pods`, and names that are no extended resource, have no allocatable amount there."""
    on = Snapshot()
    on.add_node("n", {"cpu": 4000, "memory": 8000, "pods": 2, "plain": 4, "example.com/f": 4})
    fit = only("NodeResourcesFit", resources=(("pods", 9), ("plain", 9), ("example.com/f", 9), ("cpu", 1)))
    asks = PodView("d/p", on.classes.intern({"cpu": 1000, "plain": 1}))
    assert fit.explain(asks, on)["NodeResourcesFit"].tolist() == [75]


def test_a_node_that_has_an_image_alone_says_its_size_anew() -> None:
    """cache.go UpdateNode: a node's images are taken out and put in; the first to report one says its size."""
    book = NodeImages()
    book.set_node(0, [(("a:1", "a:2"), 100), (("a:1",), 300)])
    assert (book.size_of("a:1"), book.size_of("a:2")) == (100, 100)
    book.set_node(0, [(("a:1",), 200)])
    assert (book.size_of("a:1"), book.size_of("a:2")) == (200, 0)
    book.set_node(1, [(("a:1",), 900)])
    book.set_node(0, [(("a:1",), 800)])  # the other node had it all the while
    assert (book.size_of("a:1"), list(book.nodes_with("a:1"))) == (200, [1, 0])


def test_preferences_added_by_the_profile_count_for_every_pod() -> None:
    """node_affinity.go Score: addedAffinity's terms and the pod's own, added, then a share of the highest."""
    text = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        preferredDuringSchedulingIgnoredDuringExecution:
        - {weight: 20, preference: {matchExpressions: [{key: zone, operator: In, values: [b]}]}}
        - {weight: 99, preference: {}}
"""
    on = cluster("a", "b", "c")
    strategy = Kube(parse(text))
    assert scores(on, pod("p"), "NodeAffinity", strategy) == [0, 200, 0]
    term = NodeSelectorTerm(match_expressions=(NodeSelectorRequirement(key="zone", operator="In", values=("a",)),))
    own = NodeAffinity(
        preferred_during_scheduling_ignored_during_execution=(PreferredSchedulingTerm(weight=10, preference=term),)
    )
    assert scores(on, pod("p", affinity=Affinity(node_affinity=own)), "NodeAffinity", strategy) == [100, 200, 0]
    (decision,) = strategy.place([on.classes.view(pod("p"))], on, np.random.default_rng(0))
    assert isinstance(decision, Bind)
    assert decision.node == 1


def test_the_selector_of_a_replication_controller_wins_over_a_services() -> None:
    """helper/spread.go DefaultSelector: maps of labels are merged; a ReplicaSet's requirements are added."""
    found = OwnerSelectors()
    found.put_service("d", "svc", {"app": "x", "tier": "f"})
    labels = {"app": "x", "tier": "f"}
    for kind in ("ReplicationController", "ReplicaSet"):
        found.put_controller(kind, "d", "own", (("app", "In", ("y",)),))
    cls = PodClasses().intern({})
    of = PodView("d/p", cls, labels, owner=("ReplicationController", "own"))
    assert found.requirements_of(of) == (("app", "In", ("y",)), ("tier", "In", ("f",)))
    of = PodView("d/p", cls, labels, owner=("ReplicaSet", "own"))
    assert found.requirements_of(of) == (("app", "In", ("x",)), ("app", "In", ("y",)), ("tier", "In", ("f",)))


def test_nodes_without_a_zone_are_a_zone_of_their_own_where_the_system_spreads() -> None:
    """scoring.go initPreScoreState: a label that a node lacks reads as empty, and shares the domain of an empty one."""
    on = Snapshot()
    for name, labels in (("n0", {ZONE: ""}), ("n1", {}), ("n2", {ZONE: "z"}), ("n3", {ZONE: "z"})):
        on.add_node(name, {"cpu": 4000, "memory": GIB, "pods": 9}, labels={HOST: name, **labels})
    on.tables.owner_selectors.put_service("d", "svc", {"app": "x"})
    bind(on, pod("p", {"app": "x"}), "n1", "n1", "n1", "n2")
    # Hosts 0, 3, 1, 0 times log(4 + 2) and 2 more; zones 3 (of n0), none, 1, 1 times log(2 + 2) and 4 more:
    # 10.2, 7.4, 9.2, 7.4 make 10, 7, 9, 7; then 100 * (10 + 7 - score) // 10.
    got = scores(on, pod("q", {"app": "x"}), "PodTopologySpread", only("PodTopologySpread"))
    assert got == [70, 100, 80, 100]


def test_gpus_are_scored_by_their_devices() -> None:
    """As the extended resource nvidia.com/gpu; a share of a device counts as such, which Kubernetes does not know."""
    on = Snapshot()
    for name, devices in (("n0", 4), ("n1", 8)):
        on.add_node(name, {"cpu": 4000, "memory": GIB, "pods": 9}, gpu_devices=devices)
    most = only("NodeResourcesFit", fit="MostAllocated", resources=(("nvidia.com/gpu", 3), ("cpu", 1)))
    requests = {"nvidia.com/gpu": parse_quantity("1"), "cpu": parse_quantity("1")}
    asks = pod("p", containers=(Container(name="c", resources=ResourceRequirements(requests=requests)),))
    assert scores(on, asks, "NodeResourcesFit", most) == [(3 * 25 + 25) // 4, (3 * 12 + 25) // 4]
    on.assume(on.classes.view(asks), 0)
    assert scores(on, asks, "NodeResourcesFit", most) == [50, 15]
    half = on.classes.intern({"cpu": 1000}, GpuRequest(1, 500))
    got = most.explain(PodView("d/h", half), on)["NodeResourcesFit"]
    assert got.tolist() == [(3 * 37 + 50) // 4, (3 * 6 + 25) // 4]
