"""Small random clusters and pods in which every rule of the filters meets every other: few keys, values, nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st
from msgspec import structs

from harness.model.core import (
    Affinity,
    Container,
    ContainerPort,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeSpec,
    NodeStatus,
    PodAffinity,
    PodAffinityTerm,
    PodSpec,
    ResourceRequirements,
    Taint,
    Toleration,
    TopologySpreadConstraint,
)
from harness.model.meta import LabelSelector, LabelSelectorRequirement, ObjectMeta
from harness.model.quantity import parse_quantity

T = TypeVar("T")

NAMES = tuple(f"n{i}" for i in range(1, 7))
SPACES = ("a", "b", "nowhere")
KEYS = ("zone", "rack", "host")


def seldom(of: st.SearchStrategy[T], otherwise: T, *, one_in: int = 4) -> st.SearchStrategy[T]:
    return st.integers(1, one_in).flatmap(lambda turn: of if turn == one_in else st.just(otherwise))


def lists(of: st.SearchStrategy[T], *sizes: int, by: Callable[[T], object] | None = None) -> st.SearchStrategy[list[T]]:
    """One of `sizes`, each as likely as the next (Hypothesis' own lists are mostly short)."""
    return st.sampled_from(sizes).flatmap(lambda n: st.lists(of, min_size=n, max_size=n, unique_by=by))


def some(of: st.SearchStrategy[T], most: int = 2, least: int = 0) -> st.SearchStrategy[tuple[T, ...]]:
    return lists(of, *range(least, most + 1)).map(tuple)


# -- selectors --------------------------------------------------------------------------------------------------------

pod_labels = st.sampled_from(
    # Mostly the same application: terms that speak of nobody show nothing.
    [{"app": "x"}, {"app": "x", "hash": "1"}, {"app": "x", "hash": "2"}, {"app": "y"}, {"app": "y"}, {}]
)
label_requirements = st.sampled_from(
    [
        LabelSelectorRequirement(key=key, operator=operator, values=values)
        for key, operator, values in (
            ("app", "In", ("x",)),
            ("app", "In", ("x", "y")),
            ("app", "NotIn", ("y",)),
            ("hash", "Exists", ()),
            ("hash", "DoesNotExist", ()),
            ("hash", "NotIn", ("1",)),
        )
    ]
)
malformed = st.sampled_from(
    [
        LabelSelectorRequirement(key="app", operator="Exists", values=("x",)),
        LabelSelectorRequirement(key="app", operator="In"),
        LabelSelectorRequirement(key="app", operator="Gt", values=("1",)),
        LabelSelectorRequirement(key="no key!", operator="Exists"),
    ]
)
app_x = LabelSelector(match_labels={"app": "x"})
selectors = st.one_of(
    st.just(app_x),
    st.just(app_x),
    st.just(app_x),
    st.sampled_from([app_x, LabelSelector(match_labels={"app": "y"}), LabelSelector(), None]),
    st.builds(
        lambda match, items: LabelSelector(match_labels=match, match_expressions=items),
        st.sampled_from([{}, {}, {"app": "x"}]),
        some(seldom(malformed, LabelSelectorRequirement(key="app", operator="Exists"), one_in=40)),
    ),
    st.builds(lambda items: LabelSelector(match_expressions=items), some(label_requirements, least=1)),
)
label_keys = st.sampled_from([(), (), ("hash",), ("absent",)])
pod_terms = st.builds(
    PodAffinityTerm,
    topology_key=st.sampled_from(KEYS),
    label_selector=selectors,
    namespaces=st.sampled_from([(), (), ("a",), ("a", "b")]),
    namespace_selector=st.sampled_from(
        [
            None,
            None,
            None,
            LabelSelector(),
            LabelSelector(match_labels={"team": "one"}),
            LabelSelector(match_expressions=(LabelSelectorRequirement(key="team", operator="DoesNotExist"),)),
        ]
    ),
    match_label_keys=label_keys,
    mismatch_label_keys=st.sampled_from([(), (), (), ("hash",)]),
)
groups = st.one_of(
    st.none(),
    st.none(),
    st.builds(
        lambda terms: PodAffinity(required_during_scheduling_ignored_during_execution=terms), some(pod_terms, least=1)
    ),
)

# -- nodes that a pod asks for ----------------------------------------------------------------------------------------

on_labels = st.sampled_from(
    [
        NodeSelectorRequirement(key=key, operator=operator, values=values)
        for key, operator, values in (
            ("zone", "In", ("z1", "z2")),
            ("zone", "In", ("z1",)),
            ("zone", "NotIn", ("z1",)),
            ("rack", "NotIn", ("r1",)),
            ("rack", "Exists", ()),
            ("rack", "DoesNotExist", ()),
            ("cores", "Gt", ("4",)),
            ("cores", "Lt", ("10",)),
            ("zone", "Lt", ("5",)),
        )
    ]
)
on_no_labels = st.sampled_from(
    [
        NodeSelectorRequirement(key="cores", operator="Gt", values=("-1",)),
        NodeSelectorRequirement(key="zone", operator="NotIn"),
        NodeSelectorRequirement(key="zone", operator="Exists", values=("z1",)),
        NodeSelectorRequirement(key="zone", operator="Near", values=("z1",)),
    ]
)
on_labels = st.one_of(*7 * [on_labels], on_no_labels)
on_fields = st.one_of(
    *3
    * [
        st.builds(
            lambda operator, name: NodeSelectorRequirement(key="metadata.name", operator=operator, values=(name,)),
            st.sampled_from(["In", "In", "NotIn"]),
            st.sampled_from(NAMES[:3]),
        ),
    ],
    st.sampled_from(
        [
            NodeSelectorRequirement(key="metadata.name", operator="In", values=NAMES[:2]),
            NodeSelectorRequirement(key="metadata.name", operator="Exists"),
            NodeSelectorRequirement(key="metadata.uid", operator="NotIn", values=("u",)),
        ]
    ),
)
node_terms = st.one_of(
    st.builds(lambda items: NodeSelectorTerm(match_expressions=items), some(on_labels, least=1)),
    st.builds(lambda items: NodeSelectorTerm(match_fields=items), some(on_fields, least=1)),
    st.builds(
        lambda items, fields: NodeSelectorTerm(match_expressions=items, match_fields=fields),
        some(on_labels),
        some(on_fields, 1),
    ),
)
at_odds = NodeSelectorTerm(
    match_fields=tuple(
        NodeSelectorRequirement(key="metadata.name", operator="In", values=(name,)) for name in NAMES[:2]
    )
)
node_selectors = st.builds(
    lambda terms: NodeSelector(node_selector_terms=terms),
    st.one_of(*5 * [some(node_terms)], st.just((at_odds,)), some(st.one_of(st.just(at_odds), node_terms), 3, 1)),
)
node_affinities = st.one_of(
    st.none(),
    st.builds(lambda wanted: NodeAffinity(required_during_scheduling_ignored_during_execution=wanted), node_selectors),
)
tolerations = some(
    st.builds(
        Toleration,
        key=st.sampled_from(["", "t", "t", "node.kubernetes.io/unschedulable"]),
        operator=st.sampled_from(["", "Equal", "Exists", "Exists", "Lt"]),
        value=st.sampled_from(["", "v", "v"]),
        effect=st.sampled_from(["", "", "NoSchedule", "NoExecute"]),
    ),
    3,
)

# -- what a pod takes ------------------------------------------------------------------------------------------------

amounts = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.sampled_from(["0", "500m", "1", "2", "2"]),
        "memory": st.sampled_from(["1Gi", "2Gi", "500m"]),
        "ephemeral-storage": st.sampled_from(["1Gi", "0"]),
        "example.com/a": st.sampled_from(["0", "1", "2"]),
        "other.org/b": st.just("1"),
        "hugepages-2Mi": st.just("2Mi"),
        "storage": st.just("1Gi"),
    },
).map(lambda found: {key: parse_quantity(value) for key, value in found.items()})
little = seldom(amounts, {}, one_in=2)
ports = some(
    st.builds(
        ContainerPort,
        container_port=st.just(80),
        host_port=st.sampled_from([None, 80, 80, 80, 81]),
        host_ip=st.sampled_from(["", "0.0.0.0", "10.0.0.1", "10.0.0.1", "10.0.0.2"]),
        protocol=st.sampled_from(["TCP", "TCP", "UDP", ""]),
    ),
    least=1,
)
containers = st.builds(
    lambda asked, ports: Container(name="c", resources=ResourceRequirements(requests=asked), ports=ports),
    little,
    seldom(ports, (), one_in=2),
)
init_containers = st.builds(
    lambda asked, policy, ports: Container(
        name="i", resources=ResourceRequirements(requests=asked), restart_policy=policy, ports=ports
    ),
    amounts,
    st.sampled_from([None, None, "Always"]),
    seldom(ports, (), one_in=5),
)

# -- spreading --------------------------------------------------------------------------------------------------------

spreads = some(
    st.builds(
        TopologySpreadConstraint,
        max_skew=st.integers(1, 2),
        topology_key=st.sampled_from(KEYS),
        when_unsatisfiable=st.sampled_from(["DoNotSchedule", "DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"]),
        label_selector=selectors,
        min_domains=st.sampled_from([None, None, 1, 2, 4]),
        node_affinity_policy=st.sampled_from([None, "Honor", "Ignore"]),
        node_taints_policy=st.sampled_from([None, "Honor", "Ignore"]),
        match_label_keys=label_keys,
    ),
    least=1,
)
spreads = st.one_of(
    spreads,
    spreads,
    spreads.map(  # with no selector at all, which the API server lets nobody do who names matchLabelKeys
        lambda items: tuple(
            structs.replace(item, label_selector=None, match_label_keys=("hash", "app")) for item in items
        )
    ),
)


def affinity(node: NodeAffinity | None, pod: PodAffinity | None, anti: PodAffinity | None) -> Affinity | None:
    if node is None and pod is None and anti is None:
        return None
    return Affinity(node_affinity=node, pod_affinity=pod, pod_anti_affinity=anti)


THEMES = ("node", "load", "spread", "pods", "all")
"""What a case is about: with everything in every pod, the first plugins would decide nearly all."""

_EMPTY_CONTAINERS = (Container(name="c"),)


def pod_specs(theme: str) -> st.SearchStrategy[PodSpec]:
    def about(themes: str, of: st.SearchStrategy[T], otherwise: T, one_in: int = 6) -> st.SearchStrategy[T]:
        if theme in themes.split():
            return of
        return seldom(of, otherwise, one_in=one_in) if theme == "all" else st.just(otherwise)

    return st.builds(
        PodSpec,
        containers=about("load", some(containers, least=1), _EMPTY_CONTAINERS),
        init_containers=about("load", seldom(some(init_containers, 3), (), one_in=3), ()),
        overhead=about("load", seldom(overheads, {}, one_in=6), {}, 20),
        node_name=about("", st.sampled_from([*NAMES[:2], "elsewhere"]), "", 10),
        node_selector=about("node", seldom(named_labels, {}), {}),
        affinity=st.builds(
            affinity,
            about("node spread", node_affinities, None),
            about("pods", groups, None),
            about("pods", groups, None),
        ),
        tolerations=about("node spread", tolerations, (), 2),
        topology_spread_constraints=about("spread", spreads, (), 3),
    )


overheads = st.just({"cpu": parse_quantity("100m"), "example.com/a": parse_quantity("1")})
named_labels = st.sampled_from([{"zone": "z1"}, {"rack": "r1", "zone": "z2"}])
metas = st.tuples(st.sampled_from(["a", "a", "a", "b", "nowhere"]), pod_labels)
namespace_labels = st.sampled_from([None, {}, {"team": "one"}, {"team": "two"}])

# -- nodes ------------------------------------------------------------------------------------------------------------

taints = seldom(
    some(
        st.builds(
            Taint,
            key=st.sampled_from(["t", "t", "node.kubernetes.io/unschedulable"]),
            value=st.sampled_from(["", "v"]),
            effect=st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"]),
        )
    ),
    (),
    one_in=3,
)
allocatable = st.fixed_dictionaries(
    {"cpu": st.sampled_from(["2", "4", "4"]), "memory": st.sampled_from(["2Gi", "4Gi"])},
    optional={
        "ephemeral-storage": st.just("3Gi"),
        "example.com/a": st.sampled_from(["0", "1", "3"]),
        "other.org/b": st.just("1"),
        "hugepages-2Mi": st.just("4Mi"),
    },
).flatmap(
    lambda found: st.sampled_from([{}, {"pods": "2"}, {"pods": "20"}, {"pods": "20"}, {"pods": "20"}]).map(
        lambda pods: {key: parse_quantity(value) for key, value in {**found, **pods}.items()}
    )
)
roomy = {key: parse_quantity(value) for key, value in (("cpu", "90"), ("memory", "90Gi"), ("pods", "90"))}
node_labels = st.fixed_dictionaries(
    {
        "zone": st.sampled_from([*["z1", "z2", "z3"] * 3, None]),
        "rack": st.sampled_from([*["r1", "r1", "r2"] * 2, None]),
        "host": st.sampled_from([None, *(f"h{i}" for i in range(5))]),
        "cores": st.sampled_from([None, None, "2", "8", "16", "many", "1_0"]),
    }
).map(lambda found: {key: value for key, value in found.items() if value is not None})


def node(name: str, labels: dict[str, str], taints: tuple[Taint, ...], cordoned: bool | None, amounts: dict) -> Node:  # type: ignore[type-arg]
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        spec=NodeSpec(taints=taints, unschedulable=cordoned),
        status=NodeStatus(allocatable=amounts),
    )


def node_parts(theme: str) -> st.SearchStrategy[tuple[dict[str, str], tuple[Taint, ...], bool | None, dict]]:  # type: ignore[type-arg]
    rough = theme in ("node", "all")
    return st.tuples(
        node_labels,
        taints if rough or theme == "spread" else seldom(taints, (), one_in=10),
        st.sampled_from([None, None, None, None, None, False, True]) if rough else st.none(),
        allocatable if theme == "load" else seldom(allocatable, roomy, one_in=12),
    )
