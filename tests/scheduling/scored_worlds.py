"""Small random clusters for scores: everything that a score plugin of kube-scheduler looks at, in few values each."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from harness.model.core import (
    Container,
    ContainerImage,
    Node,
    NodeAffinity,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeSpec,
    NodeStatus,
    Pod,
    PodAffinity,
    PodSpec,
    PreferredSchedulingTerm,
    ResourceList,
    ResourceRequirements,
    Taint,
    Toleration,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference
from harness.model.quantity import parse_quantity
from tests.scheduling import worlds

GPU = "nvidia.com/gpu"
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
FPGA, PAGES = "example.com/fpga", "hugepages-2Mi"

Amounts = dict[str, str]


def quantities(amounts: Amounts) -> ResourceList:
    return {name: parse_quantity(text) for name, text in amounts.items()}


# -- nodes ------------------------------------------------------------------------------------------------------------

IMAGES = (("app:1",), ("registry.example:5000/base:latest", "registry.example:5000/base@sha256:0f"), ("tiny:latest",))
SIZES = {"app:1": 700 << 20, "registry.example:5000/base:latest": 2500 << 20, "tiny:latest": 20 << 20}
"""One size an image: kube-scheduler takes the first node's word for all, which a test of its own holds."""

SOFT = "PreferNoSchedule"
TAINTS = (
    Taint(key="soft", value="v", effect=SOFT),
    Taint(key="soft", value="w", effect=SOFT),
    Taint(key="other", effect=SOFT),
    Taint(key="hard", value="v"),
    Taint(key="gone", effect="NoExecute"),
)


@dataclass(frozen=True)
class MadeNode:
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    amounts: Amounts
    images: tuple[tuple[str, ...], ...]


nodes = st.builds(
    MadeNode,
    st.one_of(
        st.fixed_dictionaries(
            {"zone": st.sampled_from(["z1", "z2", "z3"])},
            optional={
                "rack": st.sampled_from(["r1", "r2", ""]),
                "host": st.sampled_from(["h1", "h2", "h3"]),
                "size": st.sampled_from(["1", "2", "big"]),
                ZONE: st.sampled_from(["z1", "z2", "", "z1"]),
                HOST: st.sampled_from([None, None, None, "shared"]),  # None: the node's name
            },
        ),
        st.just({}),
    ),
    st.lists(st.sampled_from((*TAINTS[:3], *TAINTS)), max_size=2, unique=True).map(tuple),
    st.fixed_dictionaries(
        {"cpu": st.sampled_from(["2", "4", "3900m"]), "memory": st.sampled_from(["8Gi", "7333Mi"])},
        optional={
            "ephemeral-storage": st.sampled_from(["10Gi", "30Gi"]),
            FPGA: st.sampled_from(["4", "6", "0"]),
            PAGES: st.just("1Gi"),
            GPU: st.sampled_from(["2", "4", "0"]),
        },
    )
    | st.sampled_from([{"cpu": "0", "memory": "8Gi"}, {"cpu": "2", "memory": "0"}, {}]),
    st.lists(st.sampled_from(IMAGES), unique=True).map(tuple),
)


def node(name: str, made: MadeNode) -> Node:
    labels = {key: name if value is None else value for key, value in made.labels.items()}
    if labels and HOST not in labels:
        labels[HOST] = name
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        spec=NodeSpec(taints=made.taints),
        status=NodeStatus(
            allocatable=quantities({**made.amounts, "pods": "30"}),
            images=tuple(ContainerImage(names=names, size_bytes=SIZES[names[0]]) for names in made.images),
        ),
    )


# -- pods -------------------------------------------------------------------------------------------------------------

requests = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.sampled_from(["0", "100m", "500m", "1500m", "1"]),
        "memory": st.sampled_from(["0", "64Mi", "1Gi", "3Gi"]),
        "ephemeral-storage": st.sampled_from(["1Gi", "0"]),
        FPGA: st.sampled_from(["1", "2", "0"]),
        PAGES: st.just("2Mi"),
        GPU: st.sampled_from(["1", "0"]),
    },
)
names = st.sampled_from(["", "app:1", "registry.example:5000/base", "tiny", "tiny:latest", "elsewhere:3"])


def container(image: str, amounts: Amounts, sidecar: bool = False) -> Container:
    return Container(
        name="c",
        image=image,
        resources=ResourceRequirements(requests=quantities(amounts)),
        restart_policy="Always" if sidecar else None,
    )


containers = st.lists(st.builds(container, names, requests), min_size=1, max_size=2).map(tuple)
inits = st.one_of(
    st.just(()), st.just(()), st.lists(st.builds(container, names, requests, st.booleans()), max_size=2).map(tuple)
)
overheads = st.sampled_from([{}, {}, {"cpu": "250m"}, {"memory": "100Mi", "cpu": "10m"}]).map(quantities)
preferred_groups = st.one_of(
    st.none(),
    st.builds(
        lambda terms, required: PodAffinity(
            preferred_during_scheduling_ignored_during_execution=tuple(
                WeightedPodAffinityTerm(weight=weight, pod_affinity_term=term) for weight, term in terms
            ),
            required_during_scheduling_ignored_during_execution=tuple(required),
        ),
        st.lists(st.tuples(st.integers(1, 100), worlds.pod_terms), max_size=2),
        st.one_of(st.just([]), st.just([]), st.lists(worlds.pod_terms, max_size=1)),
    ),
)


def on_label(key: str, operator: str, *values: str) -> NodeSelectorTerm:
    return NodeSelectorTerm(match_expressions=(NodeSelectorRequirement(key=key, operator=operator, values=values),))


node_terms = st.sampled_from(
    [
        on_label("zone", "In", "z1"),
        on_label("zone", "In", "z1", "z2"),
        on_label("zone", "NotIn", "z1"),
        on_label("rack", "Exists"),
        on_label("rack", "DoesNotExist"),
        on_label("size", "Gt", "1"),
        on_label("size", "Lt", "2"),
        NodeSelectorTerm(
            match_fields=(NodeSelectorRequirement(key="metadata.name", operator="NotIn", values=("n1",)),)
        ),
        NodeSelectorTerm(
            match_expressions=on_label("zone", "Exists").match_expressions,
            match_fields=(NodeSelectorRequirement(key="metadata.name", operator="In", values=("n2",)),),
        ),
        NodeSelectorTerm(),
    ]
)
node_preferences = st.lists(
    st.builds(PreferredSchedulingTerm, weight=st.sampled_from([0, 1, 7, 50, 100]), preference=node_terms), max_size=3
).map(tuple)
node_affinities = st.one_of(
    st.none(),
    st.builds(NodeAffinity, preferred_during_scheduling_ignored_during_execution=node_preferences),
    worlds.node_affinities,
)
soft_spreads = st.lists(
    st.builds(
        TopologySpreadConstraint,
        max_skew=st.integers(1, 3),
        topology_key=st.sampled_from(["zone", "rack", HOST]),
        when_unsatisfiable=st.sampled_from(["ScheduleAnyway", "ScheduleAnyway", "ScheduleAnyway", "DoNotSchedule"]),
        label_selector=worlds.selectors | st.just(LabelSelector()),
        node_affinity_policy=st.sampled_from([None, "Honor", "Ignore"]),
        node_taints_policy=st.sampled_from([None, "Honor", "Ignore"]),
        match_label_keys=worlds.label_keys,
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda constraint: (constraint.topology_key, constraint.when_unsatisfiable),
).map(tuple)
tolerations = st.lists(
    st.sampled_from(
        [
            Toleration(key="soft", operator="Exists"),
            Toleration(key="soft", value="v", effect=SOFT),
            Toleration(key="soft", operator="Equal", value="w"),
            Toleration(key="soft", operator="Exists", effect="NoSchedule"),  # not of what only scores
            Toleration(operator="Exists", effect=SOFT),
            Toleration(operator="Exists", effect="NoExecute"),
            Toleration(key="hard", operator="Exists"),
            Toleration(operator="Exists"),
        ]
    ),
    max_size=2,
).map(tuple)
specs = st.builds(
    PodSpec,
    containers=containers,
    init_containers=inits,
    overhead=overheads,
    node_selector=st.sampled_from([{}, {}, {}, {"zone": "z1"}]),
    affinity=st.builds(worlds.affinity, node_affinities, preferred_groups, preferred_groups),
    tolerations=tolerations,
    topology_spread_constraints=st.one_of(st.just(()), st.just(()), soft_spreads),
)
CONTROLLERS = (("ReplicaSet", "apps/v1"), ("StatefulSet", "apps/v1"), ("ReplicationController", "v1"))
OWNERS = (None, None, *CONTROLLERS, ("Job", "batch/v1"), ("ReplicaSet", "example.com/v1"))
owners = st.sampled_from(OWNERS)
metas = st.tuples(st.sampled_from(["a", "a", "b"]), worlds.labels, owners)

Meta = tuple[str, dict[str, str], tuple[str, str] | None]


def pod(name: str, meta: Meta, spec: PodSpec, deleted: bool = False) -> Pod:
    namespace, labels, owner = meta
    references = () if owner is None else (_controller(*owner),)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            labels=labels,
            owner_references=references,
            deletion_timestamp=1 if deleted else None,  # type: ignore[arg-type]
        ),
        spec=spec,
    )


def _controller(kind: str, api_version: str) -> OwnerReference:
    return OwnerReference(api_version=api_version, kind=kind, name="own", uid="u", controller=True)
