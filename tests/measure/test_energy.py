"""Energy of nodes: by hand, over faults and pools, and where there is no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.experiment.run import run_once
from harness.measure.registry import catalogue
from harness.model.errors import UserError
from harness.report.tables import families
from tests.autoscaling.just_in_time import node_pool, on
from tests.experiment.scenarios import loaded

GROUP: dict[str, Any] = {"name": "n", "count": 2, "cpu": 4, "memory": "16Gi", "power": {"cpuWatts": [10, 30]}}


def task(cpu: int, lasts: str, **more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    annotations = {"podyard.dev/duration": lasts, **more}
    meta = {"name": f"t{cpu}", "annotations": annotations}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": meta,
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }  # fmt: skip


def energy(objects: list[dict[str, Any]], group: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    made = loaded(
        nodes=[{"group": group or GROUP}], workload=[{"objects": objects}], bound=False, duration="1000s", **spec
    )
    found: dict[str, Any] = run_once(made, "greedy", 1).metrics
    return found


def test_idle_nodes_and_what_pods_request_by_hand() -> None:
    """Two nodes of 4 vCPUs, 10 W each when idle, and 20 W more for each vCPU in use: 80 W, and 60 W for 500 s."""
    found = energy([task(3, "500s")])
    window = found["placement"]["window"]
    seconds = window["toSeconds"] - window["fromSeconds"]
    assert found["energy"]["idleKwh"] == pytest.approx(80 * seconds / 3.6e6)
    assert found["energy"]["kwh"] == pytest.approx((80 * seconds + 60 * 500) / 3.6e6, rel=1e-3)
    assert found["energy"]["wattsAtEnd"] == pytest.approx(80)
    assert found["energy"]["poweredHours"] == pytest.approx(2 * seconds / 3600)


def test_a_node_without_power_draws_nothing() -> None:
    fault = {"at": "400s", "nodeCrash": {"select": {"names": ["n-1"]}, "downFor": "300s"}}
    whole, less = (energy([task(1, "10s")], faults=faults)["energy"]["idleKwh"] for faults in ([], [fault]))
    assert (whole - less) * 3.6e6 == pytest.approx(40 * 300)


def test_a_pool_draws_for_as_long_as_its_nodes_are_there() -> None:
    pool = {"name": "p", "max": 1, "cpu": 8, "memory": "16Gi", "provisioning": "40s"}
    found = energy([task(7, "200s")], pools=[{**pool, "power": {"cpuModel": "epyc-2"}}])
    window = found["placement"]["window"]
    seconds = window["toSeconds"] - window["fromSeconds"]
    nodes = (found["energy"]["idleKwh"] * 3.6e6 - 80 * seconds) / (8 * 0.47)
    assert 700 < nodes < 960  # seconds that it was there: asked for soon, and not empty for ten minutes before the end
    assert (found["energy"]["kwh"] - found["energy"]["idleKwh"]) * 3.6e6 == pytest.approx(7 * 1.22 * 200, rel=0.01)
    without = energy([task(7, "200s")], pools=[pool])["energy"]
    assert without == {"saysNothing": "pool p has no power model"}


def test_gpus_by_their_model_and_where_there_is_none_the_cell_says_so() -> None:
    group = {**GROUP, "gpus": 2, "gpuModel": "T4"}
    found = energy([task(1, "10s")], group)
    window = found["placement"]["window"]
    seconds = window["toSeconds"] - window["fromSeconds"]
    assert found["energy"]["idleKwh"] == pytest.approx((80 + 4 * 8) * seconds / 3.6e6)
    own = energy([task(1, "10s")], {**group, "gpuModel": "G2", "power": {"cpuModel": "broadwell", "gpuWatts": [1, 2]}})
    assert own["energy"]["idleKwh"] == pytest.approx((8 * 0.71 + 4) * seconds / 3.6e6)
    made = loaded(nodes=[{"group": {**group, "gpuModel": "G2"}}], duration="20s", bound=False)
    result = run_once(made, "greedy", 1)
    assert result.metrics["energy"] == {"saysNothing": "there is no power model of GPU G2, as of node n-0"}
    rows = families([result], catalogue())[0][2]
    assert ["energy, kWh", "no power model"] in rows


def test_it_is_off_where_no_node_has_a_model(tmp_path: Path) -> None:
    assert "energy" not in energy([task(1, "10s")], {**GROUP, "power": None})
    gate = {"metric": "energy.kwh", "atMost": 0.01}
    made = loaded(nodes=[{"group": GROUP}], duration="1000s", gates=[gate])
    assert "energy.kwh" in run_once(made, "greedy", 1, out=tmp_path).missed[0]


@pytest.mark.parametrize(
    ("power", "where"),
    [
        ({"cpuModel": "brodwell"}, "did you mean 'broadwell'"),
        ({}, "cpuModel or cpuWatts"),
        ({"cpuModel": "haswell", "cpuWatts": [1, 2]}, "cpuModel or cpuWatts"),
        ({"cpuWatts": [3, 2]}, "less is drawn when fully used than idle"),
        ({"cpuModel": "haswell", "gpuWatts": [3, 2]}, "gpuWatts"),
    ],
)
def test_what_is_no_model_is_told(power: dict[str, Any], where: str) -> None:
    with pytest.raises(UserError) as told:
        energy([], {**GROUP, "power": power})
    assert where in str(told.value)
    assert "spec.nodes[0].group.power" in str(told.value)


def with_node_pool(**pool: Any) -> dict[str, Any]:
    """Three CPUs for 400 s on a node that a NodePool makes, besides two nodes that it may not use."""
    selector = {"nodeSelector": {"karpenter.sh/nodepool": "p"}}
    pod = task(3, "400s")
    pod["spec"] |= selector
    found = energy([pod, node_pool(**pool)], autoscaler="just-in-time")
    window = found["placement"]["window"]
    found["static"] = 80 * (window["toSeconds"] - window["fromSeconds"])
    return found


FAMILY = "karpenter.k8s.aws/instance-family"
FREE = [on("karpenter.sh/capacity-type", "on-demand")]


@pytest.mark.parametrize(("family", "idle", "busy"), [("m5", 0.65, 3.61), ("c6g", 0.47, 1.22), ("c5", 0.645, 3.47)])
def test_just_in_time_nodes_draw_what_their_instance_type_does(family: str, idle: float, busy: float) -> None:
    found = with_node_pool(requirements=[*FREE, on(FAMILY, family)])
    drawn = found["energy"]
    hours = drawn["poweredHours"] - found["static"] / 80 * 2 / 3600
    assert 300 < hours * 3600 < 900
    assert drawn["idleKwh"] * 3.6e6 - found["static"] == pytest.approx(4 * idle * hours * 3600, rel=1e-6)
    assert (drawn["kwh"] - drawn["idleKwh"]) * 3.6e6 == pytest.approx(3 * busy * 400, rel=0.01)
    rent = found["autoscaling"]["pool p"]
    price = {"m5": 0.192, "c6g": 0.136, "c5": 0.17}[family]  # of an xlarge for an hour
    assert rent["nodeHours"] == pytest.approx(hours, rel=0.05)
    assert rent["cost"] == pytest.approx(price * rent["nodeHours"])


def test_a_just_in_time_node_without_a_model_says_so_and_a_label_gives_it_one() -> None:
    unknown = with_node_pool(requirements=[*FREE, on(FAMILY, "m7i")])["energy"]
    assert unknown["saysNothing"].startswith("instance type m7i.")
    label = {"podyard.dev/power-model": "epyc-3"}
    named = with_node_pool(requirements=[*FREE, on(FAMILY, "m7i")], labels=label)["energy"]
    assert (named["kwh"] - named["idleKwh"]) * 3.6e6 == pytest.approx(3 * 1.57 * 400, rel=0.01)
    wrong = with_node_pool(requirements=FREE, labels={"podyard.dev/power-model": "epyc-9"})["energy"]
    assert "podyard.dev/power-model epyc-9" in wrong["saysNothing"]
