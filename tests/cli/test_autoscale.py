"""podyard autoscale: the dry run, from manifests or a dump, with pools, a load and the autoscaler's own flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.model.errors import UserError
from tests.experiment.dumps import controller, dumped

NP = "name=np,max=12,price=0.2"
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "api"},
    "spec": {"selector": {"run": "api"}, "ports": [{"port": 80}]},
}
APP = [controller("Deployment", "api", "1", replicas=6), SERVICE]


def called(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["autoscale", *arguments], input=given)


def told(*arguments: str, given: str | None = None) -> dict[str, Any]:
    result = called(*arguments, "-o", "json", given=given)
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def wrong(*arguments: str) -> UserError:
    result = called(*arguments)
    assert isinstance(result.exception, UserError), result.output
    return result.exception


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("dump") / "dump.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(dumped())}))
    return str(path)


@pytest.fixture
def manifests(tmp_path: Path) -> str:
    path = tmp_path / "app.yaml"
    path.write_text(yaml.safe_dump_all(APP))
    return str(path)


def test_pending_pods_of_a_dump_grow_the_pool_that_its_nodes_are_of(dump: str) -> None:
    """The pool's shape is that of its nodes, whose provider's label says which pool they are of."""
    found = told("-f", dump, "--pool", NP, "--duration", "5m")
    (growth,) = [item for item in found["happened"] if item["kind"] == "scaleUp"]
    assert (growth["pool"], growth["from"], growth["to"]) == ("np", 3, 5)
    assert all(pod.startswith("default/big-") for pod in growth["pods"])
    assert len(growth["pods"]) == 2
    assert growth["nodesReadySeconds"][0] - growth["atSeconds"] == pytest.approx(45, abs=0.1)
    (pool,) = found["pools"]
    assert (pool["start"], pool["end"], pool["max"]) == (3, 5, 12)
    assert found["cost"] == pytest.approx(0.2 * found["nodeHours"])


def test_a_dump_comes_from_standard_input(dump: str) -> None:
    given = Path(dump).read_text()
    found = told("-f", "-", "--pool", NP, "--duration", "2m", given=given)
    assert found["happened"] == told("-f", dump, "--pool", NP, "--duration", "2m")["happened"]


def test_each_pool_says_why_it_does_not_help(manifests: str) -> None:
    found = told(
        *("-f", manifests, "--duration", "5m"),
        *("--pool", "name=small,max=5,cpu=500m,memory=4Gi"),
        *("--pool", "name=tainted,max=5,cpu=4,taint.dedicated=gpu:NoSchedule"),
        *("--pool", "name=full,max=1,cpu=4,memory=4Gi"),
    )
    assert len(found["waiting"]) == 2  # a node of 4 CPUs takes four
    for item in found["waiting"]:
        assert item["pools"] == {
            "small": ["Insufficient cpu"],
            "tainted": ["node(s) had untolerated taint {dedicated: gpu}"],
            "full": ["max node group size reached"],
        }
    text = called("-f", manifests, "--pool", "name=small,max=5,cpu=500m,memory=4Gi", "--duration", "5m").stdout
    assert "Insufficient cpu" in text
    assert "nothing scales" in text


def node_pool(name: str, **spec: Any) -> dict[str, Any]:
    """Of two small types of EC2, on demand."""
    template = spec.pop("template", {})
    values = spec.pop("types", ["c6a.large", "c6a.xlarge"])
    requirements = [
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": values},
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
    ]
    ref = {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"nodeClassRef": ref, "requirements": requirements, **template}}, **spec},
    }


def with_node_pools(folder: Path, *pools: dict[str, Any]) -> str:
    path = folder / "karpenter.yaml"
    path.write_text(yaml.safe_dump_all([*APP, *pools]))
    return str(path)


def test_node_pools_of_the_files_grow_as_karpenter_grows_them(tmp_path: Path) -> None:
    found = told("-f", with_node_pools(tmp_path, node_pool("general")), "--duration", "5m")
    assert found["autoscaler"] == "just-in-time"
    (growth,) = [item for item in found["happened"] if item["kind"] == "scaleUp"]
    assert (growth["pool"], growth["from"], growth["to"]) == ("general", 0, len(growth["machines"]))
    assert len(growth["pods"]) == 6
    assert {item["capacityType"] for item in growth["machines"]} == {"on-demand"}
    assert {item["instanceType"] for item in growth["machines"]} <= {"c6a.large", "c6a.xlarge"}
    assert all(at > growth["atSeconds"] + 40 for at in growth["nodesReadySeconds"])
    (pool,) = found["pools"]
    assert (pool["start"], pool["end"], pool["max"]) == (0, growth["to"], None)
    assert found["cost"] == pytest.approx(pool["cost"])
    assert found["cost"] > 0


def test_each_node_pool_says_why_it_does_not_help(tmp_path: Path) -> None:
    taint = {"taints": [{"key": "dedicated", "effect": "NoSchedule"}]}
    path = with_node_pools(
        tmp_path,
        node_pool("full", limits={"cpu": "1"}),
        node_pool("nothing", types=["no.such"]),
        node_pool("tainted", template=taint),
    )
    found = told("-f", path, "--duration", "2m")
    assert len(found["waiting"]) == 6
    for item in found["waiting"]:
        assert item["pools"] == {
            "full": ["all available instance types exceed limits for nodepool (NodePool=full)"],
            "nothing": ["NodePool requirements filtered out all compatible available instance types"],
            "tainted": ["did not tolerate taint (taint=dedicated:NoSchedule)"],
        }
    text = called("-f", path, "--duration", "2m").stdout
    assert "did not tolerate taint" in text
    assert "cpu 1" in text


def test_settings_of_karpenter_go_by_their_own_names(tmp_path: Path) -> None:
    path = with_node_pools(tmp_path, node_pool("general"))
    slow = told("-f", path, "--duration", "3m", "--provisioning=90s", "--batch-idle-duration", "5s")
    assert slow["autoscaler"] == "just-in-time?provisioning=90s&batch-idle-duration=5s"
    (growth,) = [item for item in slow["happened"] if item["kind"] == "scaleUp"]
    assert growth["atSeconds"] > 5
    assert growth["nodesReadySeconds"][0] == pytest.approx(growth["atSeconds"] + 90, abs=0.5)
    assert "is not modelled" in str(wrong("-f", path, "--node-repair=true"))
    assert "has no such setting" in str(wrong("-f", path, "--scan-interval=5s"))


def test_mistakes_about_node_pools(manifests: str) -> None:
    assert "goes by NodePools, and there are none" in str(wrong("-f", manifests, "--autoscaler", "just-in-time"))
    about = wrong("-f", manifests, "--pool", NP, "--batch-idle-duration=1s")
    assert "is a setting of just-in-time" in str(about)


def test_a_load_scales_replicas_and_then_nodes(dump: str) -> None:
    load = "web={step: {at: 2m, before: 30, after: 1500}}"
    found = told("-f", dump, "--pool", NP, "--load", load, "--duration", "12m")
    replicas = [item for item in found["happened"] if item["kind"] == "replicas"]
    assert replicas[0]["atSeconds"] > 120
    assert replicas[-1]["to"] > 10
    assert any(item["kind"] == "scaleUp" and item["atSeconds"] > 120 for item in found["happened"])
    assert found["requests"]["default/web"]["sloAttainment"] < 1


def test_loads_and_pools_come_from_files(tmp_path: Path, manifests: str) -> None:
    (tmp_path / "loads.yaml").write_text("api:\n  load: {constant: {rps: 10}}\n  cpuPerRequest: 2m\n")
    (tmp_path / "pools.yaml").write_text("pools:\n- {name: a, max: 3, cpu: 4, memory: 8Gi, price: 1}\n")
    (tmp_path / "rates.csv").write_text("time,rate\n0,5\n60,20\n")
    pools, minutes = ("--pools", str(tmp_path / "pools.yaml")), ("--duration", "3m")
    for load in (str(tmp_path / "loads.yaml"), f"api={tmp_path / 'rates.csv'}", "api=20"):
        found = told("-f", manifests, *pools, "--load", load, *minutes)
        assert found["requests"]["default/api"]["sent"] > 0
        assert found["pools"][0]["end"] == 2


def test_flags_of_the_cluster_autoscaler_go_by_their_own_names(dump: str) -> None:
    """Its whole command line can be given: what decides nothing is said to change nothing."""
    asked = ("-f", dump, "--pool", f"{NP},min=3", "--duration", "20m")
    flags = ("--scale-down-unneeded-time", "1m", "--scale-down-delay-after-add=1m", "--balance-similar-node-groups")
    items = json.loads(Path(dump).read_text())["items"]
    calm = [item for item in items if item["metadata"].get("name", "").partition("-")[0] != "big"]
    empty = Path(dump).with_name("calm.json")
    empty.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": calm}))
    asked = ("-f", str(empty), "--pool", f"{NP},min=1", "--duration", "8m")
    assert [item for item in told(*asked)["happened"] if item["kind"] == "scaleDown"] == []
    found = told(*asked, *flags)
    assert [item["pool"] for item in found["happened"] if item["kind"] == "scaleDown"] == ["np", "np"]
    assert found["flags"]["scale-down-unneeded-time"] == "1m"
    result = called(*asked, "--cloud-provider=aws", "--v=4")
    assert result.stderr.splitlines() == [
        "note: --cloud-provider changes nothing here",
        "note: --v changes nothing here",
    ]


def test_mistakes_are_told_where_they_were_made(tmp_path: Path, manifests: str) -> None:
    one = ("-f", manifests, "--pool", "name=a,max=2,cpu=4")
    assert wrong("-f", manifests).hint == "--pool name=general,max=10,cpu=4,memory=16Gi"
    assert wrong().what == "no cluster is given"
    assert wrong(*one, "--scal-interval=3s").hint == "did you mean 'scan-interval'?"
    assert wrong(*one, "--scan-interval").what == "--scan-interval has no value"
    assert wrong(*one, "--scan-interval=abc").what.startswith("--scan-interval=abc: ")
    assert wrong(*one, "stray").found == "stray"
    assert wrong(*one, "--load", "apy=3").hint == "did you mean 'default/api'?"
    assert wrong("-f", manifests, "--pool", "name=a,max=2,cpus=4").hint == "did you mean 'cpu'?"
    assert wrong("-f", manifests, "--pool", "name=a,max=2,cpu=4x").what.startswith("--pool name=a,max=2,cpu=4x: cpu: ")
    (tmp_path / "pools.yaml").write_text("pools:\n- name: a\n  max: 3\n  cpu: 4\n  memry: 3Gi\n")
    told_at = wrong("-f", manifests, "--pools", str(tmp_path / "pools.yaml"))
    assert (told_at.file, told_at.line) == (str(tmp_path / "pools.yaml"), 5)
    (tmp_path / "loads.yaml").write_text("api:\n  constant:\n    rpss: 3\n")
    told_at = wrong(*one, "--load", str(tmp_path / "loads.yaml"))
    assert (told_at.file, told_at.line) == (str(tmp_path / "loads.yaml"), 2)
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump_all(APP).replace("replicas: 6", "replicas: many"))
    told_at = wrong("-f", str(tmp_path / "bad.yaml"), "--pool", "name=a,max=2,cpu=4")
    assert "many" in (tmp_path / "bad.yaml").read_text().splitlines()[(told_at.line or 1) - 1]


def test_pools_that_the_dump_has_are_named_where_none_is_given(dump: str) -> None:
    told_of = wrong("-f", dump)
    assert told_of.found == "pools of nodes in the dump: np (3 nodes)"
    assert told_of.hint == "--pool name=np,max=6"


def test_the_scenario_can_be_kept_and_run(tmp_path: Path, dump: str) -> None:
    kept = tmp_path / "kept.yaml"
    found = told("-f", dump, "--pool", NP, "--duration", "2m", "--save", str(kept))
    again = told("--scenario", str(kept))
    assert again["digest"] == found["digest"]
    ran = CliRunner().invoke(
        app, ["run", str(kept), "--out", str(tmp_path / "out"), "-o", "json", "-q", "--nodes", "inline"]
    )
    assert json.loads(ran.stdout)[0]["digest"] == found["digest"]
    assert wrong("-f", dump, "--pool", NP, "--save", str(kept)).what == "the file is there already"
