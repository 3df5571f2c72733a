"""Autoscaling policies that misbehave: each is contained, its author's function is named, the run fails and goes on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.result import Result
from harness.experiment.run import Home, Run
from harness.model.errors import UserError
from schedulers.greedy import greedy
from tests.experiment.scenarios import SERVICE, loaded

pytestmark = pytest.mark.component_faults

POLICIES = '''
"""Each behaves but for one thing."""
import time
from msgspec.structs import replace
from harness.autoscaling.cluster.autoscaler import ClusterAutoscaling
from harness.autoscaling.policy import Proposal
from harness.engine.component import Delete, InjectFault, StartMachine, StopMachine, WakeAt, Watch
from harness.model.faults import Crash


class Replicas:
    def __init__(self):
        self.calls = 0

    def propose(self, target, metric):
        self.calls += 1
        if self.calls == 2:
            return self.misbehave(target, metric)
        return Proposal(5, "five", {"type": metric.type})


class Raises(Replicas):
    def misbehave(self, target, metric):
        raise RuntimeError("lost its head")


class Exits(Replicas):
    def misbehave(self, target, metric):
        raise SystemExit(3)


class Loops(Replicas):
    def misbehave(self, target, metric):
        while True:
            pass


class AlwaysLoops:
    def propose(self, target, metric):
        while True:
            pass


class Negative(Replicas):
    def misbehave(self, target, metric):
        return Proposal(-3, "minus", {})


class NotANumber(Replicas):
    def misbehave(self, target, metric):
        return Proposal(float("nan"), "nan", {})


class TooMany(Replicas):
    def misbehave(self, target, metric):
        return Proposal(2**31, "many", {})


class Babbles(Replicas):
    def misbehave(self, target, metric):
        return "more"


class Opaque(Replicas):
    def misbehave(self, target, metric):
        return Proposal(5, "five", {"type": object()})


class Relabels(Replicas):
    def misbehave(self, target, metric):
        target.pods[0].metadata.labels["app"] = "mine"
        return Proposal(5, "five", {})


class Overwrites(Replicas):
    def misbehave(self, target, metric):
        target.replicas = 9


class Nodes(ClusterAutoscaling):
    """The shipped one but for `more`, at the third step that it takes."""

    def component(self, pools, rng):
        self.pools, self.steps, inner = pools, 0, super().component(pools, rng)
        shipped, policy = inner.step, self

        class Component:
            name = "outside"
            watches = inner.watches
            handled_failures = property(lambda self: inner.handled_failures)

            def step(self, now, events):
                policy.steps += 1
                effects = list(shipped(now, events))
                return effects + list(policy.more(now, events) or ()) if policy.steps == 3 else effects

        return Component()


class NodesRaise(Nodes):
    def more(self, now, events):
        raise RuntimeError("lost its head")


class NodesLoop(Nodes):
    def more(self, now, events):
        while True:
            pass


class NodesSleep(Nodes):
    def more(self, now, events):
        time.sleep(3600)


class OverMax(Nodes):
    def more(self, now, events):
        return [StartMachine(self.pools[0].node(f"extra-{n}")) for n in range(9)]


class NoSuchPool(Nodes):
    def more(self, now, events):
        node = self.pools[0].node("x")
        return [StartMachine(replace(node, metadata=replace(node.metadata, labels={})))]


class NoSuchNode(Nodes):
    def more(self, now, events):
        return [StopMachine("n-0")]


class Bigger(Nodes):
    def more(self, now, events):
        node = self.pools[0].node("x")
        return [StartMachine(replace(node, status=replace(node.status, allocatable={}, capacity={})))]


class Saboteur(Nodes):
    def more(self, now, events):
        return [InjectFault(("n-0",), Crash(0))]


class NodesBabble(Nodes):
    def more(self, now, events):
        return ["grow", None, WakeAt(float("nan")), Delete("Nodes", "", "n-0")]


class Endless:
    def component(self, pools, rng):
        class Component:
            name, watches = "outside", ()

            def step(self, now, events):
                while True:
                    yield WakeAt(now + 1)

        return Component()


class NodesWrite(Nodes):
    def more(self, now, events):
        self.pools[0].template.metadata.labels["zone"] = "mine"


class CannotBeMade:
    def component(self, pools, rng):
        raise OSError("its model is missing")


class NoComponent:
    def component(self, pools, rng):
        return "a component"


class Elsewhere:
    def best(self, options, rng):
        return ["the blue one"]


class Undecided:
    def best(self, options, rng):
        raise KeyError(options[0].pool)


class Nowhere:
    def best(self, options, rng):
        return []
'''

SCALED = {"service": {**SERVICE["service"], "autoscaler": {"min": 1, "max": 9}}}
PENDING: dict[str, Any] = {
    "nodes": [{"group": {"name": "n", "count": 1, "cpu": 1}}],
    "workload": [SERVICE],
    "duration": "4m",
}
POOLS = [{"name": name, "max": 4, "cpu": 4, "memory": "16Gi"} for name in ("a", "b")]


@pytest.fixture(autouse=True)
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "bad_policies.py").write_text(POLICIES)
    monkeypatch.delitem(sys.modules, "bad_policies", raising=False)


ENDLESS = ("Loops", "AlwaysLoops", "NodesLoop", "NodesSleep")


def played(name: str = "", **spec: Any) -> tuple[Run, Result]:
    scheduling = {"deadline": "300ms" if name in ENDLESS else "60s"}
    run = Run(loaded(**{"bound": False, "scheduling": scheduling, **spec}), greedy(), 1, Home())
    run.play()
    return run, run.result("greedy")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Raises", "raised: RuntimeError: lost its head (in bad_policies.Raises.misbehave"),
        ("Exits", "raised: SystemExit: 3 (in bad_policies.Exits.misbehave"),
        ("Loops", "deadline: propose() took longer than 0.3 s (in bad_policies.Loops.misbehave"),
        ("Negative", "illegal: replicas are a whole number from 0 to 2147483647, not -3 (in bad_policies.Replicas.pro"),
        ("NotANumber", "not nan (in bad_policies.Replicas.propose"),
        ("TooMany", "not 2147483648 (in"),
        ("Babbles", "illegal: a Proposal is the answer, not 'more' (in"),
        ("Opaque", "illegal: current of a Proposal is no JSON"),
        ("Relabels", "mutation: Pod default/web-"),
        ("Overwrites", "mutation: FrozenInstanceError"),
    ],
)
def test_a_replica_policy_is_contained(name: str, told: str) -> None:
    controllers = ["*", f"horizontal-pod-autoscaler?policy=bad_policies:{name}"]
    run, result = played(name, workload=[SCALED], duration="2m", controllers=controllers)
    (fault,) = result.component_faults
    assert fault.startswith("component horizontal-pod-autoscaler failed on HorizontalPodAutoscaler default/web: ")
    assert told in fault
    assert not result.ok
    assert run.cluster.server.get("Deployment", "default", "web").spec.replicas == 5, "the run went on"
    assert not result.broken
    assert bool(result.digest) == (name != "Loops"), "what a deadline ended cannot be replayed"
    labels = {pod.metadata.labels.get("app") for pod in run.cluster.server.objects("Pod").values()}
    assert "mine" not in labels


def test_a_replica_policy_that_always_loops_is_given_up() -> None:
    controllers = ["*", "horizontal-pod-autoscaler?policy=bad_policies:AlwaysLoops"]
    _, result = played("AlwaysLoops", workload=[SCALED], duration="5m", controllers=controllers)
    assert [("asked no more after 3" in fault) for fault in result.component_faults] == [False, True]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("NodesRaise", ["raised: RuntimeError: lost its head (in bad_policies.NodesRaise.more"]),
        ("NodesLoop", ["deadline: step() took longer than 0.3 s (in bad_policies.NodesLoop.more"]),
        ("NodesSleep", ["deadline: step() took longer than 0.3 s (in bad_policies.NodesSleep.more"]),
        ("Endless", ["illegal: more than 100000 effects in one step"]),
        ("OverMax", ["illegal: pool a has 4 machines, and may not have more (in bad_policies.Nodes.component."]),
        ("NoSuchPool", ["illegal: machine 'x' is of no pool"]),
        ("NoSuchNode", ["illegal: 'n-0' is no machine of a pool: it cannot be stopped"]),
        ("Bigger", ["illegal: machine 'x' is not like the template of pool a"]),
        ("Saboteur", ["illegal: a node policy answers with API writes, machines of its pools and timers, not Inject"]),
        ("NodesBabble", ["not 'grow'", "not None", "not nan", "there is no kind 'Nodes'"]),
        ("NodesWrite", ["mutation: what it was shown was changed; it was a copy"]),
    ],
)
def test_a_node_policy_is_contained(name: str, told: list[str]) -> None:
    run, result = played(name, **PENDING, pools=POOLS, autoscaler=f"bad_policies:{name}")
    assert result.component_faults
    assert all(any(text in fault for fault in result.component_faults) for text in told), result.component_faults
    assert not result.ok
    assert not result.broken
    assert all("zone" not in pool.template.metadata.labels for pool in run.prepared.pools)
    nodes = run.cluster.server.objects("Node")
    assert "n-0" in nodes
    assert sum(name.startswith(("a-", "extra-")) for name in nodes) <= 4
    waiting = [pod for pod in run.cluster.server.objects("Pod").values() if not pod.spec.node_name]
    assert waiting == [] or name in ("OverMax", "Endless"), "it went on, and nodes came"


@pytest.mark.parametrize(
    ("name", "told"), [("CannotBeMade", "its model is missing"), ("NoComponent", "not 'a component'")]
)
def test_a_node_policy_without_a_component_is_told_before_anything_runs(name: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        played(**PENDING, pools=POOLS, autoscaler=f"bad_policies:{name}")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Elsewhere", "illegal: this is none of the options: 'the blue one' (in bad_policies.Elsewhere.best"),
        ("Undecided", "raised: KeyError: 'a' (in bad_policies.Undecided.best"),
        ("Nowhere", "illegal: at least one of the options is the answer, not []"),
    ],
)
def test_an_expander_is_contained(name: str, told: str) -> None:
    run, result = played(**PENDING, pools=POOLS, autoscaler=f"cluster-autoscaler?expander=bad_policies:{name}")
    assert told in result.component_faults[0]
    assert result.component_faults[0].startswith("component cluster-autoscaler failed on its expander: ")
    assert {name[0] for name in run.cluster.server.objects("Node")} == {"a", "g", "n"}, "all options passed"
