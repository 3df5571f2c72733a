"""Small random clusters in which constraints between pods meet: few labels, few values, few nodes."""

from __future__ import annotations

from hypothesis import strategies as st

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
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSpec,
    Taint,
    Toleration,
    TopologySpreadConstraint,
)
from harness.model.meta import LabelSelector, LabelSelectorRequirement, ObjectMeta
from harness.model.quantity import parse_quantity

SPACES = ("a", "b")
KEYS = ("zone", "rack", "host")
TAINTS = (Taint(key="t", value="v"), Taint(key="soft", value="v", effect="PreferNoSchedule"))

labels = st.sampled_from(
    # Mostly the same application: terms that speak of nobody show nothing.
    [{"app": "x"}, {"app": "x", "hash": "1"}, {"app": "x", "hash": "2"}, {"app": "x", "tier": "f"}, {"app": "y"}, {}]
)
label_requirements = st.builds(
    lambda key, operator, values: LabelSelectorRequirement(
        key=key, operator=operator, values=tuple(values) if operator in ("In", "NotIn") else ()
    ),
    st.sampled_from(["app", "tier"]),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    st.lists(st.sampled_from(["x", "y", "f"]), min_size=1, max_size=2),
)
app_x = LabelSelector(match_labels={"app": "x"})
selectors = st.one_of(
    st.sampled_from([app_x, app_x, app_x, LabelSelector(match_labels={"app": "y"}), None]),
    st.just(app_x),
    st.builds(
        lambda match, items: LabelSelector(match_labels=match, match_expressions=tuple(items)),
        st.sampled_from([{}, {}, {"app": "x"}]),
        st.lists(label_requirements, max_size=2),
    ),
)
label_keys = st.sampled_from([(), (), ("hash",), ("tier",)])
pod_terms = st.builds(
    PodAffinityTerm,
    topology_key=st.sampled_from(KEYS),
    label_selector=selectors,
    namespaces=st.sampled_from([(), (), ("a",), ("a", "b")]),
    namespace_selector=st.sampled_from([None, None, LabelSelector(), LabelSelector(match_labels={"team": "one"})]),
    match_label_keys=label_keys,
    mismatch_label_keys=st.sampled_from([(), (), ("hash",)]),
)


groups = st.one_of(
    st.none(),
    st.none(),
    st.builds(
        lambda terms: PodAffinity(required_during_scheduling_ignored_during_execution=tuple(terms)),
        st.lists(pod_terms, min_size=1, max_size=2),
    ),
)
node_affinities = st.sampled_from(
    [None] * 6
    + [
        NodeAffinity(
            required_during_scheduling_ignored_during_execution=NodeSelector(
                node_selector_terms=(
                    NodeSelectorTerm(
                        match_expressions=(NodeSelectorRequirement(key="zone", operator=operator, values=values),)
                    ),
                )
            )
        )
        for operator, values in (("In", ("z1", "z2")), ("NotIn", ("z1",)), ("Exists", ()))
    ]
)
spreads = st.lists(
    st.builds(
        TopologySpreadConstraint,
        max_skew=st.integers(1, 2),
        topology_key=st.sampled_from(KEYS),
        when_unsatisfiable=st.just("DoNotSchedule"),
        label_selector=selectors,
        min_domains=st.sampled_from([None, None, 1, 2, 4]),
        node_affinity_policy=st.sampled_from([None, "Honor", "Ignore"]),
        node_taints_policy=st.sampled_from([None, "Honor", "Ignore"]),
        match_label_keys=label_keys,
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda constraint: constraint.topology_key,
).map(tuple)
ports = st.lists(
    st.builds(
        ContainerPort,
        container_port=st.just(80),
        host_port=st.sampled_from([None, 80, 81]),
        host_ip=st.sampled_from(["", "0.0.0.0", "10.0.0.1", "10.0.0.2"]),
        protocol=st.sampled_from(["TCP", "UDP"]),
    ),
    min_size=1,
    max_size=2,
).map(tuple)
tolerations = st.sampled_from([(), (), (Toleration(key="t", operator="Exists"),)])


def affinity(node: NodeAffinity | None, pod: PodAffinity | None, anti: PodAffinity | None) -> Affinity | None:
    if node is None and pod is None and anti is None:
        return None
    return Affinity(node_affinity=node, pod_affinity=pod, pod_anti_affinity=anti)


pod_specs = st.builds(
    lambda ports, **rest: PodSpec(containers=(Container(name="c", ports=ports),), **rest),
    ports=st.one_of(st.just(()), st.just(()), ports),
    node_selector=st.sampled_from([{}, {}, {}, {"zone": "z1"}]),
    affinity=st.builds(affinity, node_affinities, groups, groups),
    tolerations=tolerations,
    topology_spread_constraints=st.one_of(st.just(()), spreads),
)
metas = st.tuples(st.sampled_from(["a", "a", "b"]), labels)
node_labels: st.SearchStrategy[dict[str, str]] = st.fixed_dictionaries(
    {"zone": st.sampled_from(["z1", "z2", "z3"])},
    optional={
        "rack": st.sampled_from(["r1", "r2"]),
        "host": st.sampled_from([f"h{i}" for i in range(6)]),
    },
) | st.just({})


def node(name: str, labels: dict[str, str], tainted: bool, pods: int = 20) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        spec=NodeSpec(taints=TAINTS[:1] if tainted else ()),
        status=NodeStatus(
            allocatable={
                "cpu": parse_quantity("8"),
                "memory": parse_quantity("8Gi"),
                "pods": parse_quantity(str(pods)),
            }
        ),
    )


def pod(name: str, meta: tuple[str, dict[str, str]], spec: PodSpec, deleted: bool = False) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=meta[0],
            labels=meta[1],
            deletion_timestamp=1 if deleted else None,  # type: ignore[arg-type]
        ),
        spec=spec,
    )
