"""A worked example: a Filter plugin from outside is one file and its registration.

`Licences` keeps pods that need a licence on nodes that have one left. Every strategy is held to it, and so are
preemption, what-if, the cluster autoscaler, `podyard explain` and `podyard verdicts`, and the check of the end state.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli.app import app
from harness.convergence.checkers import check
from harness.convergence.cluster_state import ClusterState
from harness.engine.component import SECOND
from harness.experiment.result import Result
from harness.experiment.run import Home, Run, run_once
from harness.explain.explain import explain
from harness.model.core import Container, Pod, PodSpec, ResourceRequirements
from harness.model.errors import UserError
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filter_plugin import Asked
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.registry import load, load_filter_plugins
from harness.scheduling.sandbox.filter_plugins import ContainedFilterPlugin
from harness.scheduling.scoring import what_if
from harness.scheduling.strategy import Bool, DependsOn, Int64, NodesView
from schedulers.kube import parse
from tests.conftest import Install
from tests.experiment.scenarios import loaded

LICENCES = '''
"""A Filter plugin from outside: nodes have licences (a label says how many), and pods of an annotation take one."""
import numpy as np
from harness.scheduling.strategy import DependsOn

class Licences:
    name = "Licences"
    depends_on = DependsOn.NODE

    def __init__(self, label="licences"):
        self.label = label

    def asks(self, pod):
        return True if "licensed" in pod.metadata.labels else None

    def holds(self, asked, cluster, nodes):
        return np.array([self._left(cluster, node) > 0 for node in nodes.tolist()], dtype=bool)

    def reason(self, asked, cluster, node):
        return "node(s) had no licence left"

    def _left(self, cluster, node):
        taken = sum("licensed" in pod.labels for pod in cluster.pods_on(node))
        return int(cluster.label(node, self.label) or 0) - taken
'''
REASON = "node(s) had no licence left"


def manifest(name: str, priority: int = 0, licensed: bool = True, cpu: str = "1") -> dict[str, Any]:
    labels = {"licensed": "yes"} if licensed else {}
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}
    if priority:
        spec["priorityClassName"] = f"p{priority}"
    meta = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


HIGH = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "p9"}, "value": 9}
NODES = [
    {"group": {"name": "plain", "count": 2, "cpu": 8}},
    {"group": {"name": "cad", "count": 1, "cpu": 8, "labels": {"licences": "2"}}},
]
PODS = [manifest(name) for name in ("a", "b", "c")]
NAMES = ["licences", "outside_licences:Licences", "licences?label=licences"]


def spec(filters: list[str], objects: list[dict[str, Any]], **more: Any) -> Any:
    return loaded(
        nodes=NODES,
        workload=[{"objects": objects}],
        duration="4m",
        bound=False,
        scheduling={"filters": filters, **more.pop("scheduling", {})},
        **more,
    )


def played(
    filters: list[str], objects: list[dict[str, Any]], strategy: str = "greedy", **more: Any
) -> tuple[Run, Result]:
    run = Run(spec(filters, objects, **more), load(strategy)(), 1, Home())
    run.play()
    return run, run.result(strategy)


def placed(run: Run) -> dict[str, str]:
    pods = run.cluster.server.objects("Pod").values()
    return {pod.metadata.name: pod.spec.node_name.partition("-")[0] for pod in pods}


def message(run: Run, name: str) -> str:
    pod = run.cluster.server.get("Pod", "default", name)
    return str(next(item.message for item in pod.status.conditions if item.type == "PodScheduled"))


@pytest.fixture
def licences(install: Install) -> Install:
    install("outside_licences", LICENCES, "podyard.filter_plugins", **{"licences-v1": "Licences"})
    return install


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", ["greedy", "kube", "binpack", "ranked"])
def test_every_strategy_is_held_to_it(licences: Install, name: str, strategy: str) -> None:
    run, result = played([name], PODS, strategy)
    assert result.broken == []
    assert result.violations == []
    assert sorted(placed(run).values()) == ["", "cad", "cad"]
    (waiting,) = (pod for pod, node in placed(run).items() if not node)
    assert message(run, waiting).startswith(f"0/3 nodes are available: 3 {REASON}.")
    without, _ = played([], PODS, strategy)
    assert set(placed(without).values()) <= {"cad", "plain"}


def test_pods_of_which_it_asks_nothing_go_anywhere(licences: Install) -> None:
    run, _ = played(["licences"], [*PODS[:2], *(manifest(f"free-{i}", licensed=False, cpu="4") for i in range(4))])
    assert "" not in placed(run).values()


def test_its_reason_is_counted_after_kubernetes_own(licences: Install) -> None:
    run, _ = played(["licences"], [manifest("large", cpu="9"), *PODS])
    assert message(run, "large") == "0/3 nodes are available: 3 Insufficient cpu."


def test_evictions_make_room_for_it(licences: Install) -> None:
    run = Run(spec(["licences"], [*PODS[:2], HIGH], scheduling={"preemption": True}), load("greedy")(), 1, Home())
    run.cluster.run(30 * SECOND)
    assert placed(run) == {"a": "cad", "b": "cad"}
    run.cluster.server.create(from_wire(manifest("high", priority=9)))
    run.cluster.api.flush(run.cluster.now)
    run.cluster.run(120 * SECOND)
    (stays,) = placed(run).keys() - {"high"}
    assert placed(run) == {stays: "cad", "high": "cad"}


def test_the_autoscaler_grows_the_pool_that_helps(licences: Install) -> None:
    pools = [
        {"name": "more", "max": 3, "cpu": 4},
        {"name": "dear", "max": 3, "cpu": 4, "labels": {"licences": "1"}},
    ]
    run, _ = played(["licences"], [*PODS, manifest("d")], pools=pools)
    names = sorted(run.cluster.server.objects("Node"))
    assert [name.partition("-")[0] for name in names] == ["cad", "dear", "dear", "plain", "plain"]
    assert sorted(placed(run).values()) == ["cad", "cad", "dear", "dear"]


def test_the_end_state_is_judged_by_it(licences: Install) -> None:
    run, _ = played(["licences"], PODS)
    objects, now = run.cluster.server.objects, run.cluster.now
    filters = run.prepared.scheduling.filters
    assert check(ClusterState(objects, now, filters=filters), ["pending"]) == []
    (found,) = check(ClusterState(objects, now), ["pending"])
    assert "waits, though it fits on" in str(found)


def test_explain_and_verdicts_say_the_same(licences: Install, tmp_path: Path) -> None:
    result = run_once(spec(["licences"], PODS), "kube", 1, out=tmp_path)
    assert result.folder is not None
    waiting = next(key for key in ("a", "b", "c") if not explain(result.folder, key).node)
    told = explain(result.folder, waiting).to_data()
    assert {"plugin": "Licences", "rejected": {REASON: 3}, "left": 0} in told["constraints"]

    amounts = {"cpu": "8", "memory": "8Gi", "pods": "20"}
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "status": {"capacity": amounts, "allocatable": amounts},
        }
        for name, labels in (("plain", {}), ("cad", {"licences": "1"}))
    ]
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump_all([*nodes, manifest("p")]))
    ran = CliRunner().invoke(app, ["verdicts", "-f", str(file), "--filter-plugin", "licences", "-o", "json"])
    answer = json.loads(ran.stdout)
    (judged,) = answer["pods"]
    assert judged["node"] == "cad"
    (rejected,) = [item for item in judged["byNode"] if not item["feasible"]]
    assert (rejected["node"], rejected["plugin"], rejected["reasons"]) == ("plain", "Licences", [REASON])


# -- on a snapshot -----------------------------------------------------------------------------------------------------


class Few:
    """At most `most` pods of a team on a node or on all of them together, or none where a label says that it is closed:
    by `depends_on`."""

    def __init__(self, name: str, depends_on: DependsOn, most: int = 2) -> None:
        self.name = name
        self.depends_on = depends_on
        self.most = most

    def asks(self, pod: Pod) -> Asked | None:
        return pod.metadata.labels.get("team")

    def holds(self, asked: Asked, cluster: NodesView, nodes: Int64) -> Bool:
        return np.array([self._count(asked, cluster, int(node)) < self.most for node in nodes], dtype=np.bool_)

    def reason(self, asked: Asked, cluster: NodesView, node: int) -> str:
        return f"{self.name} of {asked}"

    def _count(self, asked: Asked, cluster: NodesView, node: int) -> int:
        if self.depends_on is DependsOn.NODE_SPEC:
            return self.most if cluster.label(node, "closed") == asked else 0
        there = [node] if self.depends_on is DependsOn.NODE else np.flatnonzero(cluster.alive).tolist()
        return sum(pod.labels.get("team") == asked for at in there for pod in cluster.pods_on(at))


def pod(name: str, team: str = "", priority: int = 0) -> Pod:
    labels = {"team": team} if team else {}
    container = Container(name="c", resources=ResourceRequirements(requests={"cpu": parse_quantity("1")}))
    meta = ObjectMeta(name=name, namespace="d", labels=labels)
    return Pod(metadata=meta, spec=PodSpec(containers=(container,), priority=priority))


def snapshot(*plugins: Any, nodes: int = 2) -> Snapshot:
    on = Snapshot(PodClasses(filters=[ContainedFilterPlugin(plugin) for plugin in plugins]))
    for number in range(nodes):
        on.add_node(f"n{number}", {"cpu": 9000, "pods": 9})
    return on


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "forget", "label", "add", "remove"]),
        st.integers(0, 5),
        st.sampled_from(["", "a", "b"]),
    ),
    max_size=25,
)


@given(st.sampled_from(DependsOn), STEPS)
def test_kept_verdicts_are_those_of_asking_again(depends_on: DependsOn, steps: list[tuple[str, int, str]]) -> None:
    """Through whatever happens, and for every pod: what is kept is what a snapshot made anew says."""
    few = Few("Few", depends_on)
    on = snapshot(few, nodes=3)
    kept = {team: on.classes.view(pod(f"asks-{team}", team)) for team in ("", "a", "b")}
    for number, (step, at, team) in enumerate(steps):
        names = sorted(on.node_table.index)
        name = names[at % len(names)] if names else ""
        if step == "place" and names:
            on.assume(on.classes.view(pod(f"p{number}", team)), on.node_table.index[name])
        elif step == "forget":
            on.forget(f"d/p{at}")
        elif step == "label" and names:
            on.update_node(name, {"cpu": 9000, "pods": 9}, labels={"closed": team} if team else {})
        elif step == "add":
            on.add_node(f"m{number}", {"cpu": 9000, "pods": 9})
        elif step == "remove" and len(names) > 1:
            on.remove_node(name)
        cold = on.copy()
        for view in kept.values():
            mask = on.feasible(view)
            assert mask.tolist() == cold.feasible(view).tolist()
            assert [on.verdicts.holds(view.cls, node) for node in range(len(mask))] == mask.tolist()
            if view.labels:
                plain = on.alive & (on.free[0] >= 1000) & (on.free[2] >= 1)
                alone = few.holds(view.labels["team"], on, np.arange(len(mask), dtype=np.int64))
                assert mask.tolist() == (plain & alone).tolist()


def test_what_if_asks_it() -> None:
    on = snapshot(Few("Few", DependsOn.CLUSTER, most=1))
    first, second = on.classes.view(pod("p", "a")), on.classes.view(pod("q", "a"))
    with what_if(on) as trial:
        trial.bind(first, 0)
        assert not on.feasible(second).any()
        assert trial.bind(second, 1) == "n1: Few of a"
    assert on.feasible(second).all()
    assert not on.is_independent(first)
    by_node = snapshot(Few("Few", DependsOn.NODE))
    assert not by_node.is_independent(by_node.classes.view(pod("p", "a")))
    assert by_node.is_independent(by_node.classes.view(pod("p")))


def test_pods_are_told_apart_by_what_it_may_look_at_and_the_pod_is_a_copy() -> None:
    class Writes(Few):
        def asks(self, pod: Pod) -> Asked | None:
            pod.metadata.labels["team"] = "mine"
            return pod.metadata.annotations.get("a"), pod.metadata.namespace  # type: ignore[return-value]

    on = snapshot(Writes("Writes", DependsOn.NODE_SPEC))
    theirs = pod("p", "a")
    on.classes.view(theirs)
    assert theirs.metadata.labels == {"team": "a"}
    few = snapshot(Few("Few", DependsOn.NODE))
    assert few.classes.view(pod("p", "a")).cls is few.classes.view(pod("q", "a")).cls
    assert few.classes.view(pod("p", "a")).cls is not few.classes.view(pod("q", "b")).cls
    plain = snapshot()
    assert plain.classes.view(pod("p", "a")).cls is plain.classes.view(pod("q", "b")).cls


# -- what it does wrong ------------------------------------------------------------------------------------------------


def wrong(asks: Callable[..., Any] | None = None, holds: Any = None, reason: Any = None) -> Any:
    few = Few("Few", DependsOn.NODE, most=0)
    for name, method in (("asks", asks), ("holds", holds), ("reason", reason)):
        if method is not None:
            setattr(few, name, method)
    return few


def raises(*_: Any) -> Any:
    raise RuntimeError("no idea")


def spins(*_: Any) -> Any:
    while True:
        pass


def writes(asked: Asked, cluster: Any, nodes: Int64) -> Bool:
    cluster.assume(None, 0)
    return np.ones(len(nodes), dtype=np.bool_)


def hides(asked: Asked, cluster: Any, nodes: Int64) -> Bool:
    with suppress(Exception):
        cluster.assume(None, 0)
    return np.ones(len(nodes), dtype=np.bool_)


def scribbles(asked: Asked, cluster: Any, nodes: Int64) -> Bool:
    cluster.free[:] = 0
    return np.ones(len(nodes), dtype=np.bool_)


@pytest.mark.parametrize(
    ("plugin", "kind", "told"),
    [
        (wrong(asks=raises), "raised", "no idea"),
        (wrong(asks=lambda pod: [1]), "no answer", "asks() answers a text"),
        (wrong(asks=lambda pod: pod), "no answer", "asks() answers a text"),
        (wrong(holds=raises), "raised", "no idea"),
        (wrong(holds=lambda *_: True), "no answer", "holds() answers bool [1]"),
        (wrong(holds=lambda *_: np.ones(7, dtype=np.bool_)), "no answer", "holds() answers bool [1]"),
        (wrong(holds=lambda asked, cluster, nodes: np.ones(len(nodes))), "no answer", "holds() answers bool [1]"),
        (wrong(holds=writes), "mutation", "assume() is the harness's own"),
        (wrong(holds=hides), "mutation", "called assume()"),
        (wrong(holds=scribbles), "mutation", "read-only"),
        (wrong(reason=raises), "raised", "no idea"),
        (wrong(reason=lambda *_: None), "no answer", "reason() answers a text"),
    ],
)
def test_what_it_does_wrong_rejects_the_node_and_is_told(plugin: Any, kind: str, told: str) -> None:
    contained = ContainedFilterPlugin(plugin)
    on = Snapshot(PodClasses(filters=[contained]))
    on.add_node("n0", {"cpu": 9000, "pods": 9})
    free = on.free.copy()
    view = on.classes.view(pod("p", "a"))
    assert not on.feasible(view).any()
    words = str(diagnose(on, view))
    assert words.startswith('0/1 nodes are available: 1 running "Few" filter plugin: ')
    fault, *_ = contained.take_faults()
    assert (fault.kind, told in fault.reason, told in words) == (kind, True, True)
    assert np.array_equal(on.free, free)
    assert contained.take_faults() == ()


def test_a_call_that_never_ends_is_ended_and_after_three_it_is_asked_no_more() -> None:
    contained = ContainedFilterPlugin(wrong(holds=spins), 0.02)
    on = Snapshot(PodClasses(filters=[contained]))
    on.add_node("n0", {"cpu": 9000, "pods": 9})
    view = on.classes.view(pod("p", "a"))
    for _ in range(5):
        assert not on.verdicts.holds(view.cls, 0)
    assert contained.overruns == 3
    assert [fault.kind for fault in contained.take_faults()] == ["deadline"]


@pytest.mark.parametrize("strategy", ["greedy", "binpack"])
def test_a_run_counts_what_it_did_wrong(install: Install, strategy: str) -> None:
    install("outside_licences", LICENCES.replace("return int(", "return 1 // int("))
    run, result = played(["outside_licences:Licences"], PODS, strategy)
    assert result.broken == []
    assert set(placed(run).values()) == {""}
    (violation, *_) = result.violations
    assert violation[1] == "raised"
    assert violation[3].startswith("Licences: ZeroDivisionError")
    assert "outside_licences.py" in violation[3]


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (["licenses"], "did you mean 'licences'?"),
        (["nowhere:Licences"], "module 'nowhere' does not load"),
        (["outside_licences:np"], "is no Filter plugin"),
        (["licences?lable=x"], "did you mean 'label'?"),
        (["licences", "outside_licences:Licences"], "two Filter plugins are called Licences"),
        ([f"{__name__}:TAKEN"], "two Filter plugins are called NodeName"),
    ],
)
def test_what_is_wrong_with_its_name_is_told(licences: Install, filters: list[str], told: str) -> None:
    with pytest.raises(UserError, match=r"spec\.scheduling\.filters\[") as error:
        played(filters, [])
    assert told in str(error.value)


TAKEN = Few("NodeName", DependsOn.NODE)


def test_a_name_that_two_distributions_claim_is_an_error(licences: Install) -> None:
    licences("other_licences", LICENCES, "podyard.filter_plugins", **{"licences-v1": "Licences"})
    with pytest.raises(UserError, match="registered more than once"):
        load_filter_plugins(["licences"])


@pytest.mark.parametrize("name", ["licences-v1", "outside_licences:Licences"])
def test_a_configuration_of_kube_scheduler_says_where_it_belongs(licences: Install, name: str) -> None:
    text = (
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
        f"profiles:\n  - plugins:\n      filter:\n        enabled:\n          - name: {name}\n"
    )
    with pytest.raises(UserError) as error:
        parse(text, "config.yaml")
    assert f"spec.scheduling.filters: [{name}]" in str(error.value)
