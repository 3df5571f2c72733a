"""Every flag of the cluster autoscaler: modelled, taken without effect, or refused by its name with a reason."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.autoscaling.cluster.autoscaler import ClusterAutoscaler, ClusterAutoscaling
from harness.autoscaling.cluster.balancing import are_similar
from harness.autoscaling.cluster.expander import Priority
from harness.autoscaling.cluster.settings import FLAGS, REFUSED, ClusterAutoscalerSettings, parse_flags
from harness.autoscaling.policy import ScaleUpOption
from harness.autoscaling.pool import NodePool
from harness.engine.component import MINUTE, SECOND, Observe, Start, Timer, WakeAt, Watch
from harness.engine.latency import Constant
from harness.experiment.asked_scenario import WITHOUT_EFFECT
from harness.model.core import ConfigMap, Node, NodeSpec, NodeStatus, Taint
from harness.model.errors import UserError
from harness.model.meta import ObjectMeta
from harness.model.times import duration_text
from tests.autoscaling.test_cluster_autoscaler_slo import CAPACITY, READY, pod

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cluster-autoscaler-flags.md"


def table() -> str:
    rows = [
        (name, "modelled", f"default `{_text(item.name, item.default)}`" if item.default != "" else "")
        for name, item in FLAGS.items()
    ]
    rows += [(name, "without effect", "changes nothing about what is decided") for name in WITHOUT_EFFECT]
    rows += [(name, "refused", why) for name, why in REFUSED.items()]
    lines = [f"| `{name}` | {what} | {about} |" for name, what, about in sorted(rows)]
    return "\n".join(("| flag | here | |", "|---|---|---|", *lines, ""))


def _text(name: str, default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return duration_text(default) if name.endswith("_ns") else f"{default}"


HEAD = """\
# Flags of the cluster autoscaler

Each flag of cluster-autoscaler's FAQ.md (2026), and what it is here: modelled under its own name, taken without effect,
or refused with the reason. Flags that can be given more than once take their values with commas. They stand in
`autoscaler: cluster-autoscaler?flag=value`, in `spec.constants`, and on the command line of `podyard autoscale`.

"""


def test_the_page_has_every_flag(rewrite_golden: bool) -> None:
    assert not set(FLAGS) & set(REFUSED)
    assert not WITHOUT_EFFECT & (set(FLAGS) | set(REFUSED))
    if rewrite_golden:
        PAGE.write_text(HEAD + table())
    assert PAGE.read_text() == HEAD + table(), "pytest --rewrite-golden writes the page"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_flag_that_is_not_modelled_says_why(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is not modelled"):
        ClusterAutoscaling(**{name: "1"})


def test_one_way_of_comparing_pools_at_a_time() -> None:
    with pytest.raises(ValueError, match="cannot be combined with balancing-ignore-label"):
        parse_flags({"balancing-label": "a", "balancing-ignore-label": "b"})


def node(labels: dict[str, str], *, taints: tuple[Taint, ...] = (), size: Any = CAPACITY) -> Node:
    status = NodeStatus(capacity=size, allocatable=size, conditions=READY)
    return Node(metadata=ObjectMeta(labels=labels), spec=NodeSpec(taints=taints), status=status)


@pytest.mark.parametrize(
    ("flags", "similar"),
    [
        ({}, False),
        ({"balancing-ignore-label": "team"}, True),
        ({"balancing-ignore-label": "other"}, False),
        ({"balancing-label": "tier"}, True),
        ({"balancing-label": "tier,team"}, False),
        ({"balancing-label": "nowhere"}, False),
    ],
)
def test_labels_that_pools_are_compared_by(flags: dict[str, str], similar: bool) -> None:
    one, other = node({"tier": "web", "team": "a"}), node({"tier": "web", "team": "b"})
    assert are_similar(one, other, parse_flags(flags)) == similar


def scanned(autoscaler: ClusterAutoscaler, *events: Watch, until_ns: int = 30 * SECOND) -> list[tuple[str, int]]:
    """Pools that were asked to grow within so long, and by how many nodes."""
    found = []
    effects = autoscaler.step(0, [Start(), *events])
    while True:
        found += [(item.data[0], item.data[2]) for item in effects if isinstance(item, Observe)]
        wakes = [item for item in effects if isinstance(item, WakeAt) and not isinstance(item.token, tuple)]
        if not wakes or wakes[0].at > until_ns:
            return found
        effects = autoscaler.step(wakes[0].at, [Timer(wakes[0].token)])


def pool(name: str, *, taints: tuple[Taint, ...] = (), most: int = 5) -> NodePool:
    template = node({"podyard.dev/pool": name}, taints=taints)
    return NodePool(name=name, template=template, most=most, provisioning=Constant(MINUTE))


@pytest.mark.parametrize(
    ("flags", "grown"),
    [
        ({}, []),
        ({"startup-taint": "cni/starting"}, [("p", 1)]),
        ({"startup-taint-prefix": "cni/"}, [("p", 1)]),
        ({"ignore-taint": "cni/starting"}, [("p", 1)]),
        ({"status-taint": "other,cni/starting"}, [("p", 1)]),
        ({"startup-taint": "cni"}, []),
    ],
)
def test_taints_that_templates_are_without(flags: dict[str, str], grown: list[tuple[str, int]]) -> None:
    taint = Taint(key="cni/starting", effect="NoSchedule")
    made = ClusterAutoscaler((pool("p", taints=(taint,)),), Random(1), parse_flags(flags))
    assert scanned(made, Watch("ADDED", pod("a", "", 1000))) == grown


def test_a_node_with_a_startup_taint_is_still_coming() -> None:
    """Its pods are placed there, and buy no other node."""
    taint = Taint(key="cni/starting", effect="NoSchedule")
    flags = parse_flags({"startup-taint": "cni/starting"})
    made = ClusterAutoscaler((one := pool("p", taints=(taint,)),), Random(1), flags)
    assert scanned(made, Watch("ADDED", pod("a", "", 3900))) == [("p", 1)]
    effects = made.step(40 * SECOND, [Watch("ADDED", one.node("p-0"))])
    (wake,) = [item for item in effects if isinstance(item, WakeAt)] or [WakeAt(0)]
    assert not [item for item in made.step(wake.at, [Timer(wake.token)]) if isinstance(item, Observe)]


# -- the priority expander ---------------------------------------------------------------------------------------------


def config(text: str | None) -> ConfigMap:
    meta = ObjectMeta(namespace="kube-system", name="cluster-autoscaler-priority-expander")
    return ConfigMap(metadata=meta, data={} if text is None else {"priorities": text})


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("10: [.*]\n50: [spot]", ["spot-a", "spot-b"]),
        ("10: ['.*demand.*']\n50: [nothing]", ["on-demand"]),
        ("10: [^spot-a$]\n5: [on]", ["spot-a"]),
        ("10: [nothing]", ["spot-a", "on-demand", "spot-b"]),
        ("-2: [spot]", ["spot-a", "on-demand", "spot-b"]),
        ("-1: [spot]", ["spot-a", "spot-b"]),
        ("", None),
        (None, None),
        ("10: [(]", None),
        ("10: spot", None),
        ("- spot", None),
        ("high: [spot]", None),
    ],
)
def test_pools_by_priority(text: str | None, best: list[str] | None) -> None:
    """None: the ConfigMap cannot be read, all pass. priority_test.go
    TestPriorityExpanderCorrecltySkipsBadChangeConfig."""
    names = ["spot-a", "on-demand", "spot-b"]
    options = [ScaleUpOption(name, node({}), 1, (), None) for name in names]
    expander = Priority()
    assert list(expander.best(options, Random(1))) == options  # there is no ConfigMap yet
    expander.learn(config(text))
    assert [option.pool for option in expander.best(options, Random(1))] == (names if best is None else best)
    told: list[Any] = []
    expander.warn(told)
    expander.warn(told)
    assert [item.reason for item in told] == (["PriorityConfigMapInvalid"] if best is None else [])


def test_the_config_map_is_followed() -> None:
    made = ClusterAutoscaling(expander="priority,least-waste").component((pool("a"), pool("b")), Random(1))
    assert "ConfigMap" in made.watches
    waiting = Watch("ADDED", pod("x", "", 1000))
    assert scanned(made, waiting, Watch("ADDED", config("1: [a]\n2: [b]"))) == [("b", 1)]
    made = ClusterAutoscaling(expander="priority").component((pool("a"), pool("b")), Random(1))
    assert scanned(made, waiting) == [("a", 1)]  # there is none


# -- scans of what has not changed -------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(
    nodes=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([300, 900, 1800])), min_size=1, max_size=8),
    change=st.integers(1, 20),
    waiting=st.integers(0, 2),
)
def test_nodes_stay_unneeded_while_nothing_changes(nodes: list[tuple[int, int]], change: int, waiting: int) -> None:
    """And a pod that comes to one of them is seen at the next scan, as by an autoscaler that has just started."""
    flags = ClusterAutoscalerSettings(max_bulk_soft_taint_count=0, scale_down_unneeded_time_ns=2 * 60 * MINUTE)
    template = node({"podyard.dev/pool": "p"})
    one = NodePool(name="p", template=template, least=0, most=len(nodes), provisioning=Constant(MINUTE))
    made = ClusterAutoscaler((one,), Random(1), flags)
    events: list[Any] = [Start()]
    for index, (count, cpu) in enumerate(nodes):
        events.append(Watch("ADDED", one.node(f"p-{index}")))
        events += [Watch("ADDED", pod(f"p-{index}-{i}", f"p-{index}", cpu)) for i in range(min(count, 3900 // cpu))]
    events += [Watch("ADDED", pod(f"w-{i}", "", 9000)) for i in range(waiting)]
    effects = made.step(0, events)
    told: list[int] = []
    while (wake := next((item for item in effects if isinstance(item, WakeAt)), None)) is not None:
        if len(told) == change:
            break
        effects = made.step(wake.at, [Timer(wake.token)])
        told.append(len(made._planner.unneeded))
    assert told == sorted(told)
    assert wake is not None
    for index in range(len(nodes)):  # every node is full from now on
        made.step(wake.at - 1, [Watch("ADDED", pod(f"more-{index}", f"p-{index}", 3900))])
    made.step(wake.at, [Timer(wake.token)])
    assert made._planner.unneeded == ()
