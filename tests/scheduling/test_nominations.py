"""What is kept for nominated pods, whatever else comes, goes or is heard of meanwhile."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from harness.experiment.audit import miscounted
from harness.model.core import Container, Pod, PodSpec, ResourceRequirements
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire
from harness.model.quantity import parse_quantity
from harness.scheduling.feasibility.fit_error import diagnose, reasons_on_node
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.feasibility.tentative import Tentative


def pod(name: str, cpu: int, priority: int = 0, **more: int) -> Pod:
    requests = {"cpu": parse_quantity(str(cpu))} | {
        key.replace("_", "/"): parse_quantity(str(n)) for key, n in more.items()
    }
    containers = (Container(name="c", resources=ResourceRequirements(requests=requests)),)
    return Pod(metadata=ObjectMeta(name=name, namespace="d"), spec=PodSpec(containers=containers, priority=priority))


@pytest.mark.parametrize("seed", range(12))
def test_the_amounts_kept_are_those_of_the_nominated_pods(seed: int) -> None:
    """Counted again from the pods after each step, though nodes come and resources are heard of.

    The amounts kept once went negative: a pod that was dropped after the columns had grown was counted off twice.
    """
    random, on = Random(seed), Snapshot()
    pods: dict[str, tuple[Pod, str]] = {}
    for step in range(60):
        match random.randrange(5):
            case 0:
                name = f"n{len(on.names)}"
                on.add_node(name, {"cpu": 64_000, "memory": 1 << 40, "pods": 99, f"example.com/r{step}": 4})
            case 1 | 2 if len(on.names):
                view = on.classes.view(pod(f"p{step}", random.randrange(1, 9), random.randrange(3)))
                on.nominations.nominate(view, random.randrange(len(on.names)))
                pods[view.key] = (pod(view.key, 1), "")
            case 3 if pods:
                key = random.choice(sorted(pods))
                on.nominations.remove(key)
                del pods[key]
            case _:
                on.classes.view(pod("other", 1, **{f"example.com_x{step}": 1}))
        kept = np.zeros(len(on.names), dtype=np.int64)
        for priority in (2, 1, 0):
            for node in range(len(on.names)):
                kept[node] += sum(
                    item.cls.amounts[0] for item in on.nominations.pods_on(node) if item.priority == priority
                )
            assert (on.free[0] - on.nominations.free_beside(priority, 0)).tolist() == kept.tolist(), step


def test_a_pods_own_nomination_does_not_bear_on_it() -> None:
    """Source: kube-scheduler 1.32 framework/runtime addNominatedPods: other pods than the one that is judged."""
    on = Snapshot()
    on.add_node("a", {"cpu": 4000, "memory": 1 << 40, "pods": 2})
    on.assume(on.classes.view(pod("running", 3)), 0)
    waits = on.classes.view(pod("waits", 3, priority=9))
    on.nominations.nominate(waits, 0)
    assert str(diagnose(on, waits)) == "0/1 nodes are available: 1 Insufficient cpu.", "one more pod would still fit"
    other = on.classes.view(pod("other", 3, priority=9))
    assert str(diagnose(on, other)) == "0/1 nodes are available: 1 Insufficient cpu, 1 Too many pods."


def test_gpus_lack_beside_other_resources_and_can_be_freed() -> None:
    on = Snapshot()
    on.add_node("full", {"cpu": 2000, "memory": 1 << 40, "pods": 9}, 2, "T4")
    on.add_node("none", {"cpu": 8000, "memory": 1 << 40, "pods": 9})
    on.assume(on.classes.view(pod("running", 2, **{"nvidia.com_gpu": 2})), 0)
    waits = on.classes.view(pod("waits", 1, priority=9, **{"nvidia.com_gpu": 1}))
    cls = on.classes.class_now(waits)
    assert reasons_on_node(on, cls, 0) == ("Insufficient cpu", "Insufficient nvidia.com/gpu")
    assert reasons_on_node(on, cls, 1) == ("Insufficient nvidia.com/gpu",)
    found = diagnose(on, waits)
    assert str(found) == "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient nvidia.com/gpu."
    assert found.resolvable.tolist() == [0, 1], "Unschedulable, as any other resource: 1.32 tries both"


def test_a_nominee_that_is_tried_elsewhere_leaves_no_trace() -> None:
    """Seed 1238 of podyard simulate: a member was assumed beside its gang, and once more, with the pods nominated to
    another node, while the next member was looked at. Then its first node counted it for ever."""
    on = Snapshot()
    for name in ("a", "b"):
        on.add_node(name, {"cpu": 4000, "memory": 1 << 40, "pods": 9}, labels={"kubernetes.io/hostname": name})
    spread = from_wire(
        {
            "kind": "Pod",
            "metadata": {"name": "second", "namespace": "d", "labels": {"app": "x"}},
            "spec": {
                "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}],
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": {"matchLabels": {"app": "x"}},
                    }
                ],
            },
        }
    )
    first, second = on.classes.view(pod("first", 4)), on.classes.view(spread)
    on.nominations.nominate(first, 0)
    assert on.feasible(second).tolist() == [False, True]
    with Tentative(on) as trial:
        trial.bind(first, 1)
        assert on.feasible(second).tolist() == [True, False], "node a is no longer kept for it"
    assert on.free[0].tolist() == [4000, 4000]
    assert on.feasible(second).tolist() == [False, True]
    assert miscounted(on) == []
