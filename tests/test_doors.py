"""What others add from outside, each in one file: a fault, a controller, autoscaling policies; by both doors."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.autoscaling.policy import EXPANDERS, NODE_POLICIES, REPLICA_POLICIES
from harness.cluster.controllers import CONTROLLERS, DEFAULT, controllers
from harness.engine.component import Effect
from harness.experiment.result import Result
from harness.experiment.run import Home, Run
from harness.faults.fault import FaultForm
from harness.faults.registry import FAULTS
from harness.faults.targets import Targets
from harness.model.errors import UserError
from harness.scheduling.registry import load
from harness.scheduling.scoring import Scored
from tests.conftest import Install
from tests.experiment.scenarios import SERVICE, loaded

FAULT = '''
"""A fault from outside: pods of an app are deleted, as a careless user would."""
from harness.engine.component import Delete
from harness.faults.fault import FaultForm

class PodDeletion(FaultForm, frozen=True, kw_only=True):
    app: str

    def effects(self, targets, rng):
        return [Delete("Pod", *key.split("/")) for _, key in targets.pods_of(self.app)]

    def lasts_ns(self):
        return 0
'''

READER = '''
"""A trace format from outside: one pod per line, its name and its milli-CPU."""
import polars as pl
from workloads.readers.text import lines
from workloads.rows import SECOND_NS, Rows
from workloads.table import Provenance

class TwoWords:
    PROVENANCE = Provenance(source="a test", licence="none", url="", citation="", changes=())

    def sniff(self, name, head):
        return name.endswith(".two")

    def pods(self, path, lint, *, gap_s: int = 1):
        for block in lines(path, lint):
            words = [text.split() for text in block.texts]
            frame = pl.DataFrame({"line": block.numbers, "n": [w[0] for w in words], "c": [w[1] for w in words]})
            rows = Rows(frame, lint)
            rows["name"] = rows.text("n")
            rows["cpu_milli"] = rows.integer("c")
            rows["arrival_ns"] = pl.int_range(0, frame.height, dtype=pl.Int64) * gap_s * SECOND_NS
            rows["duration_ns"] = pl.lit(60 * SECOND_NS, pl.Int64)
            yield rows.pods()

two = TwoWords()
'''

CONTROLLER = '''
"""A controller from outside: each Service gets a label that says who looked at it."""
from msgspec.structs import replace
from harness.engine.component import Update, Watch

class Labeller:
    name = "labeller"
    watches = ("Service",)

    def __init__(self, label="seen"):
        self.label = label

    def step(self, now, events):
        for event in events:
            if isinstance(event, Watch) and event.type != "DELETED" and self.label not in event.obj.metadata.labels:
                meta = event.obj.metadata
                labels = {**meta.labels, self.label: "yes"}
                yield Update(replace(event.obj, metadata=replace(meta, labels=labels)))
'''

POLICIES = '''
"""Autoscaling policies from outside: always five replicas; the pool whose name comes last; and no node ever."""
from harness.autoscaling.policy import Proposal

class Five:
    def propose(self, target, metric):
        return Proposal(5, "five", {"type": metric.type})

class Last:
    def best(self, options, rng):
        return [max(options, key=lambda option: option.pool)]

class Never:
    def component(self, pools, rng):
        return Idle()

class Idle:
    name = "never"
    watches = ()

    def step(self, now, events):
        return ()
'''

SCALED = {"service": {**SERVICE["service"], "autoscaler": {"min": 1, "max": 9}}}
PENDING = {"nodes": [{"group": {"name": "n", "count": 1, "cpu": 1}}], "workload": [SERVICE], "duration": "4m"}
POOLS = [{"name": name, "max": 4, "cpu": 4, "memory": "16Gi"} for name in ("a", "b")]


def played(**spec: Any) -> tuple[Run, Result]:
    run = Run(loaded(**{"bound": False, **spec}), _greedy(), 1, Home())
    run.play()
    return run, run.result("greedy")


def _greedy() -> Any:
    from schedulers.greedy import greedy

    return greedy()


@pytest.mark.parametrize("name", ["carelessUser", "outside_fault:PodDeletion"])
def test_a_fault(install: Install, name: str) -> None:
    install("outside_fault", FAULT, "podyard.faults", carelessUser="PodDeletion")
    run, result = played(workload=[SERVICE], duration="2m", faults=[{"at": "1m", name: {"app": "web"}}])
    assert result.broken == []
    pods = run.measures.lives.all.values()
    assert sum(life.deleted_ns >= 0 for life in pods) == 4
    assert len(run.measures.lives.alive) == 4


@pytest.mark.parametrize("name", ["labeller?label=read", "outside_controller:Labeller?label=read"])
def test_a_controller(install: Install, name: str) -> None:
    install("outside_controller", CONTROLLER, "podyard.controllers", labeller="Labeller")
    run, _ = played(workload=[SERVICE], duration="10s", controllers=["*", "-job-controller", name])
    assert run.cluster.server.get("Service", "default", "web").metadata.labels["read"] == "yes"
    assert "job-controller" not in run.cluster.components


def test_a_replica_policy(install: Install) -> None:
    install("outside_policies", POLICIES, "podyard.autoscalers", five="Five")
    run, _ = played(workload=[SCALED], duration="2m", controllers=["*", "horizontal-pod-autoscaler?policy=five"])
    assert run.cluster.server.get("Deployment", "default", "web").spec.replicas == 5


def test_an_expander(install: Install) -> None:
    install("outside_policies", POLICIES)
    shipped, _ = played(**PENDING, pools=POOLS)
    assert {name[0] for name in shipped.cluster.server.objects("Node")} == {"a", "g", "n"}
    ours, _ = played(**PENDING, pools=POOLS, autoscaler="cluster-autoscaler?expander=outside_policies:Last")
    assert {name[0] for name in ours.cluster.server.objects("Node")} == {"b", "g", "n"}


def test_a_node_policy(install: Install) -> None:
    install("outside_policies", POLICIES, "podyard.autoscalers", never="Never")
    run, _ = played(**PENDING, pools=POOLS, autoscaler="never")
    assert {name[0] for name in run.cluster.server.objects("Node")} == {"g", "n"}


@pytest.mark.parametrize("format", [None, "two-words", "outside_reader:two"])
def test_a_trace_reader(install: Install, tmp_path: Path, format: str | None) -> None:
    registered = {} if format == "outside_reader:two" else {"two-words": "two"}
    install("outside_reader", READER, "podyard.trace_readers", **registered)
    (tmp_path / "t.two").write_text("a 500\nb 1500\n")
    form = {"path": str(tmp_path / "t.two"), "format": format, "options": {"gap_s": 5}}
    run, result = played(workload=[{"trace": form}])
    assert result.broken == []
    assert sorted(life.key for life in run.measures.lives.all.values()) == ["default/a", "default/b"]


def test_a_trace_format_that_two_distributions_claim_is_an_error(install: Install, tmp_path: Path) -> None:
    install("outside_reader", READER, "podyard.trace_readers", swf="two")
    (tmp_path / "t.two").write_text("a 500\n")
    with pytest.raises(UserError, match="registered more than once"):
        played(workload=[{"trace": {"path": str(tmp_path / "t.two"), "format": "swf"}}])


def test_what_is_no_trace_reader_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.two").write_text("a 500\n")
    for format, told in (("json:loads", "is no trace format"), ("opneb", "did you mean 'openb'?")):
        with pytest.raises(UserError) as error:
            played(workload=[{"trace": {"path": str(tmp_path / "t.two"), "format": format}}])
        assert told in str(error.value)


def test_a_score_function_is_a_strategy_and_a_file_without_an_object_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "emptiest.py").write_text("def score(pod, cluster):\n    return cluster.free[0].astype(float)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = load("emptiest:score")()
    assert isinstance(made, Scored)
    for name in ("emptiest", "emptiest.py"):
        with pytest.raises(UserError) as error:
            load(name)
        assert error.value.hint == "emptiest:score"


def test_a_name_that_two_distributions_claim_is_an_error(install: Install) -> None:
    install("outside_fault", FAULT, "podyard.faults", nodeCrash="PodDeletion")
    with pytest.raises(UserError, match="registered more than once") as error:
        played(faults=[{"at": "1m", "nodeCrash": {}}])
    assert "outside_fault: outside_fault:PodDeletion" in str(error.value)


class Careless(FaultForm, frozen=True, kw_only=True):
    def effects(self, targets: Targets, rng: Random) -> list[Effect]:
        node: Any = targets.nodes.get("n-0")
        return [node.nonsense] if node is not None else []

    def lasts_ns(self) -> int | None:
        return 0


def test_a_fault_that_fails_is_told_before_anything_runs() -> None:
    with pytest.raises(UserError, match="Careless fails") as error:
        played(faults=[{"at": "1m", "tests.test_doors:Careless": {}}])
    assert "nonsense" in str(error.value)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"controllers": ["*", "jobcontroller"]}, "did you mean 'job-controller'?"),
        ({"controllers": ["*", "-jobs-controller"]}, "there is no controller 'jobs-controller' to leave out"),
        ({"controllers": ["job-controller?name=a&nam=b"]}, "has no parameter 'nam'"),
        ({"controllers": ["*", "job-controller?name=namespace-controller"]}, "two components are called"),
        ({"autoscaler": "least-waste"}, "least-waste is no node policy"),
        ({"autoscaler": "cluster-autoscaler?expander=most-waste"}, "there is no expander 'most-waste'"),
        ({"faults": [{"at": "1m", "nowhere:Fault": {}}]}, "module 'nowhere' does not load"),
        ({"faults": [{"at": "1m", "harness.faults.timeline:Timeline": {}}]}, "is no fault"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(spec: Any, told: str) -> None:
    with pytest.raises(UserError, match=r"spec\.") as error:
        played(**spec)
    assert told in str(error.value)


def test_all_that_is_registered_loads() -> None:
    for group in (FAULTS, CONTROLLERS, NODE_POLICIES):
        assert [item for item in group.available() if not item.loads] == []
    assert [component.name for component in controllers()] == list(DEFAULT)
    # It runs where a scenario has jobs that wait for others, and nowhere else.
    assert sorted((*DEFAULT, "dependency-controller")) == sorted(name for name in CONTROLLERS.names())
    for name in FAULTS.names():
        FAULTS.load(name)
    for name in ("least-waste", "most-pods", "least-nodes", "random"):
        EXPANDERS.make(name)
    REPLICA_POLICIES.make("utilization")
    NODE_POLICIES.make("cluster-autoscaler?expander=most-pods,random")
