"""What `podyard explain RECORD` says of autoscalers: what they did, for whom, what they refused, why nodes stayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.run import run_once
from harness.experiment.scenario import from_data
from harness.explain.autoscaling import Autoscaling, autoscaling
from tests.experiment.scenarios import scenario

POOL = {"name": "burst", "max": 3, "cpu": 4, "memory": "16Gi", "provisioning": "40s"}
NODES = [{"group": {"name": "base", "count": 1, "cpu": 4, "memory": "16Gi"}}]
FAST = "cluster-autoscaler?scale-down-unneeded-time=2m&scale-down-delay-after-add=1m"
SERVICE: dict[str, Any] = {
    "name": "web", "replicas": 2, "cpu": 1,
    "load": {"spike": {"at": "3m", "base": 40, "peak": 900, "rise": "1s", "hold": "5m", "fall": "1s"}},
    "autoscaler": {"min": 2, "max": 9, "targetCpu": 50},
}  # fmt: skip


def pod(name: str, cpu: int, **annotations: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": str(cpu)}}}]}
    meta = {"name": name, "namespace": "default", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def record(tmp_path: Path, *objects: dict[str, Any], **spec: Any) -> Path:
    plain = {"nodes": NODES, "bound": False, "duration": "20m", "workload": [{"objects": list(objects)}]}
    result = run_once(from_data(scenario(**{**plain, **spec}), "small.yaml"), "greedy", 1, out=tmp_path)
    assert result.ok
    assert result.folder is not None
    return result.folder


def of(found: Autoscaling, kind: str) -> list[tuple[str, str, str]]:
    return [(item.by, item.about, item.what) for item in found.decisions if item.kind == kind]


@pytest.fixture
def burst(tmp_path: Path) -> Path:
    return record(tmp_path, pools=[POOL], autoscaler=FAST, workload=[{"service": SERVICE}])


def test_a_burst_from_the_first_replica_to_the_last_node(burst: Path) -> None:
    found = autoscaling(burst)
    grown = [item for item in found.decisions if item.kind == "scaleUp"]
    assert {(item.by, item.about) for item in grown} == {("cluster-autoscaler", "burst")}
    assert [item.what for item in grown][-1].endswith("-> 2 nodes (max 3)")
    assert all(item.why == "pods that fit nowhere" and item.pods for item in grown)
    rescaled = [item.what for item in found.decisions if item.kind == "rescale"]
    assert rescaled[0].startswith("2 -> ")
    assert rescaled[-1].endswith("-> 3 replicas")  # at the end of the run, minutes after the load has gone
    removed = [item for item in found.decisions if item.kind == "scaleDown"]
    assert {item.about for item in removed} == {"burst-0", "burst-1"}
    assert all(item.why.startswith("not needed since ") for item in removed)
    for item in removed:  # removed as long after that as the flag says, at the next scan
        since = int(item.why.removeprefix("not needed since ").removesuffix(" s"))
        assert 120 <= item.at_ns / 1e9 - since <= 140


def test_why_a_node_stayed_is_a_story_without_a_gap(burst: Path) -> None:
    found = autoscaling(burst).of_node("burst-0")
    assert found.stays is not None
    reasons = [item.reason for item in found.stays]
    assert "NotUnderutilized" in reasons
    assert reasons[-1] == "NotUnneededLongEnough"
    assert {item.group for item in found.stays} == {"burst"}
    assert all(a.until_ns <= b.from_ns for a, b in zip(found.stays, found.stays[1:], strict=False))
    assert [item.kind for item in found.decisions] == ["scaleDown"]


def test_a_cooldown_is_no_break_in_the_time_that_a_node_was_not_needed(tmp_path: Path) -> None:
    """It was told as not needed since the end of the cooldown that another pool's growth began."""
    ends, grows = pod("ends", 4, **{"podyard.dev/duration": "30s"}), pod("grows", 8, **{"podyard.dev/arrival": "4m"})
    ends["spec"]["restartPolicy"] = "Never"
    flags = "cluster-autoscaler?scale-down-unneeded-time=6m&scale-down-delay-after-add=1m"
    pools = [POOL, {**POOL, "name": "large", "cpu": 8, "memory": "32Gi"}]
    found = autoscaling(record(tmp_path, pod("base", 4), ends, grows, pools=pools, autoscaler=flags)).of_node("burst-0")
    reasons = [item.reason for item in found.stays or ()]
    assert reasons.index("ScaleDownInCooldown: scale-down-delay-after-add") > 0
    (removed,) = found.decisions
    assert 360 <= removed.at_ns / 1e9 - int(removed.why.removeprefix("not needed since ").removesuffix(" s")) <= 380


def test_a_node_that_waits_while_others_are_drained_says_so(tmp_path: Path) -> None:
    """Two nodes that are not needed, each with a pod: they go one after the other."""
    ends = [pod(f"ends-{index}", 3, **{"podyard.dev/duration": "3m"}) for index in range(3)]
    for item in ends:
        item["spec"]["restartPolicy"] = "Never"
    labels = {"app": "web"}
    small = {"metadata": {"labels": labels}, "spec": pod("small", 1)["spec"]}
    web = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": small},
    }  # fmt: skip
    found = autoscaling(record(tmp_path, *ends, web, pools=[POOL], autoscaler=FAST))
    first, second = [item for item in found.decisions if item.kind == "scaleDown"]
    (waited,) = [item for item in found.stays or () if item.reason == "max-drain-parallelism=1"]
    assert waited.name == second.about
    assert first.at_ns < waited.until_ns < second.at_ns
    assert first.why == second.why


def test_what_held_the_horizontal_autoscaler_back(burst: Path) -> None:
    stays = autoscaling(burst).stays
    assert stays is not None
    held = {(item.group, item.reason) for item in stays if item.kind == "HorizontalPodAutoscaler"}
    assert ("AbleToScale", "ScaleDownStabilized") in held
    assert ("ScalingLimited", "TooManyReplicas") in held


def test_what_no_pool_helps_is_refused_once_with_who_refused_it(tmp_path: Path) -> None:
    found = autoscaling(record(tmp_path, pod("big", 64), pools=[POOL]))
    assert not found.decisions
    refused = {item.by: item for item in found.refusals}
    assert list(refused["cluster-autoscaler"].about) == ["default/big"]
    assert refused["cluster-autoscaler"].reason == "NotTriggerScaleUp"
    assert "1 Insufficient cpu" in refused["cluster-autoscaler"].message
    assert refused["scheduler"].reason == "FailedScheduling"


@pytest.mark.parametrize(
    ("flags", "annotation", "reason"),
    [
        ("cluster-autoscaler?scale-down-enabled=false", "", "scale-down-enabled=false"),
        (FAST, "true", "NoPlaceToMovePods"),
        (FAST, "", "BlockedByPod: default/second is not replicated"),
    ],
)
def test_a_node_that_stays_to_the_end_says_why(tmp_path: Path, flags: str, annotation: str, reason: str) -> None:
    says = {"cluster-autoscaler.kubernetes.io/safe-to-evict": annotation} if annotation else {}
    first, second = pod("first", 4), pod("second", 1, **says)
    found = autoscaling(record(tmp_path, first, second, pools=[POOL], autoscaler=flags)).of_node("burst-0")
    assert found.stays is not None
    assert (found.stays[-1].reason, found.stays[-1].until_ns) == (reason, -1)


def test_just_in_time_nodes_say_for_whom_and_why_they_went(tmp_path: Path) -> None:
    pool = {
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "default"},
        "spec": {
            "template": {
                "spec": {
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
                    "requirements": [
                        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c6a.xlarge"]}
                    ],
                }
            },
            "disruption": {"consolidateAfter": "1m"},
        },
    }  # fmt: skip
    work = [{"objects": [pool]}, {"service": SERVICE}]
    found = autoscaling(record(tmp_path, autoscaler="just-in-time", workload=work, duration="30m"))
    grown = [item for item in found.decisions if item.kind == "scaleUp"]
    assert grown
    assert all(item.what == f"NodeClaim {item.about}, launched" and item.pods for item in grown)
    gone = [item for item in found.decisions if item.kind == "scaleDown"]
    assert {item.about for item in gone} <= {item.about for item in grown}
    assert {item.why for item in gone} <= {"Underutilized", "Empty"}
    assert gone
    assert found.stays is not None
    assert any("consolidateAfter" in item.reason for item in found.stays if item.kind == "Node")


def test_a_provider_that_refuses_is_told(tmp_path: Path) -> None:
    found = autoscaling(record(tmp_path, pod("a", 4), pod("b", 4), pools=[POOL | {"quota": 0}]))
    said = [item for item in found.decisions if item.kind == "event"]
    assert ("FailedToScaleUpGroup", "cluster-autoscaler") in {(item.what, item.by) for item in said}
    assert any("quota exceeded" in item.why for item in said)


def test_the_command_shows_them(burst: Path) -> None:
    whole = CliRunner().invoke(app, ["explain", str(burst), "-o", "json"])
    data = json.loads(whole.stdout)
    assert {"recoveries", "scaleUps", "decisions", "refusals", "stays"} == set(data)
    table = CliRunner().invoke(app, ["explain", str(burst)]).stdout
    assert "What autoscalers decided" in table
    assert "Nodes of pools that stayed" in table
    one = CliRunner().invoke(app, ["explain", str(burst), "--node", "burst-0", "-o", "json"])
    assert {item["name"] for item in json.loads(one.stdout)["stays"]} == {"burst-0"}
    wrong = CliRunner().invoke(app, ["explain", str(burst), "--node", "burst-9"])
    assert wrong.exit_code != 0
    assert "no autoscaler decided anything about node 'burst-9'" in str(wrong.exception)


def test_a_record_without_the_notes_says_so(burst: Path) -> None:
    (burst / "autoscalers.parquet").unlink()
    assert autoscaling(burst).stays is None
    assert "is not in this record" in CliRunner().invoke(app, ["explain", str(burst)]).stdout
