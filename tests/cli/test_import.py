"""podyard import: a dump of a cluster, in any form that people have, becomes a scenario that runs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from tests.experiment.dumps import dumped


def listed() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": [*dumped()]}


def called(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)], input=given)


def imported(tmp_path: Path, *arguments: str | Path, given: str | None = None) -> dict[str, Any]:
    result = called(*arguments, "--out", tmp_path / "out", "-o", "json", given=given)
    assert result.exit_code == 0, result.output + repr(result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _as_yaml(folder: Path) -> Path:
    path = folder / "dump.yaml"
    path.write_text(yaml.safe_dump(listed()), encoding="utf-8")
    return path


def _as_json(folder: Path) -> Path:
    path = folder / "dump.json"
    path.write_text(json.dumps(listed(), indent=4))
    return path


def _packed(folder: Path) -> Path:
    path = folder / "dump.json.gz"
    path.write_bytes(gzip.compress(json.dumps(listed()).encode()))
    return path


def _lines(folder: Path) -> Path:
    path = folder / "dump.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in dumped()))
    return path


def _by_powershell(folder: Path) -> Path:
    path = folder / "dump.yaml"
    path.write_bytes(yaml.safe_dump(listed()).replace("\n", "\r\n").encode("utf-16"))
    return path


def _of_kinds(folder: Path) -> Path:
    """What `kubectl get --raw` answers, a list of one kind per file, in folders; besides what one finds there."""
    for item in dumped():
        kind = item["kind"]
        path = folder / "lists" / item["metadata"].get("namespace", "_") / f"{kind}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        found = json.loads(path.read_text()) if path.exists() else {}
        bare = {name: value for name, value in item.items() if name not in ("apiVersion", "kind")}
        items = [*found.get("items", []), bare]
        path.write_text(json.dumps({"apiVersion": item["apiVersion"], "kind": f"{kind}List", "items": items}))
    (folder / "lists" / "README.txt").write_text("of Friday")
    (folder / "lists" / "values.yaml").write_text("replicas: 3\n")
    return folder / "lists"


def _cluster_info(folder: Path) -> Path:
    """As `kubectl cluster-info dump` writes to standard output: lists with logs among them."""
    path = folder / "dump.txt"
    parts = []
    for item in dumped():
        parts.append(json.dumps({"apiVersion": "v1", "kind": "List", "items": [item]}, indent=4))
        parts.append(f"==== START logs for container c of pod {item['metadata']['name']} ====")
        parts.append('{"level": "info"\n---\n[1]')
        parts.append(f"==== END logs for container c of pod {item['metadata']['name']} ====")
    path.write_text("\n".join(parts) + "\n")
    return path


@pytest.mark.parametrize("form", [_as_yaml, _as_json, _packed, _lines, _by_powershell, _of_kinds, _cluster_info])
def test_a_dump_of_any_form_is_the_same_scenario(tmp_path: Path, form: Any) -> None:
    found = imported(tmp_path, form(tmp_path))
    assert {kind: found["objects"][kind] for kind in ("Node", "Pod", "Deployment")} == {
        "Node": 3,
        "Pod": 12,
        "Deployment": 2,
    }
    loaded = read_scenario(Path(found["scenario"]), {"spec.duration": "1m"})
    result = run_once(loaded, "kube", 1)
    assert result.ok
    assert result.metrics["placement"]["podsBound"] == 9


def test_standard_input(tmp_path: Path) -> None:
    assert imported(tmp_path, "-", given=json.dumps(listed()))["objects"]["Node"] == 3


def test_made_up_names_place_the_same(tmp_path: Path) -> None:
    dump = _as_json(tmp_path)
    made = tmp_path / "hidden"
    assert called(dump, "--out", made, "--obfuscate", "--names", tmp_path / "names.json").exit_code == 0
    imported(tmp_path, dump)
    names = json.loads((tmp_path / "names.json").read_text())
    assert "big" not in "".join(file.read_text() for file in made.rglob("*.yaml"))
    placed = []
    for folder in (tmp_path / "out", made):
        metrics = run_once(read_scenario(folder / "scenario.yaml", {"spec.duration": "1m"}), "kube", 1).metrics
        placed.append({name: metrics["placement"][name] for name in ("podsBound", "podsNeverBound", "allocation")})
    assert placed[0] == placed[1]
    nodes = ["np-0", "np-1", "np-2"]
    written = yaml.safe_load_all((made / "cluster" / "nodes.yaml").read_text())
    assert [names.get(item["metadata"]["name"], item["metadata"]["name"]) for item in written] == nodes


def test_what_is_not_modelled_stands_in_the_scenario(tmp_path: Path) -> None:
    items = [
        *dumped(),
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"}, "spec": {}},
        {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "probes"}},
    ]
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({**listed(), "items": items}))
    found = imported(tmp_path, path)
    assert any("Rollout web is left out" in text for text in found["notices"])
    text = Path(found["scenario"]).read_text()
    assert "# Not as in the cluster:" in text
    assert "Rollout web is left out: what its controller would make of it" in text
    assert "FlowSchema probes is left out: nothing here looks at it" in text


def test_pods_without_nodes_get_nodes_as_they_stand(tmp_path: Path) -> None:
    pods = [item for item in dumped() if item["kind"] in ("Pod", "Service")]
    path = tmp_path / "pods.json"
    path.write_text(json.dumps({**listed(), "items": pods}))
    found = imported(tmp_path, path)
    assert found["objects"]["Node"] == len({item["spec"]["nodeName"] for item in pods if item["spec"].get("nodeName")})
    assert any("no Node is in the dump" in text for text in found["notices"])
    assert run_once(read_scenario(Path(found["scenario"]), {"spec.duration": "1m"}), "kube", 1).ok


def test_manifests_without_a_cluster_get_nodes_that_hold_them(tmp_path: Path) -> None:
    pod: dict[str, Any] = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    fpga = {"example.com/fpga": "2"}
    resources = {"requests": {"cpu": "20", "memory": "100Gi", **fpga}, "limits": fpga}
    pod["spec"]["containers"][0]["resources"] = resources
    spec = {"replicas": 5, "selector": {"matchLabels": {"a": "b"}}, "template": pod}
    path = tmp_path / "web.yaml"
    path.write_text(
        yaml.safe_dump({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
    )
    found = imported(tmp_path, path)
    result = run_once(read_scenario(Path(found["scenario"]), {"spec.duration": "1m"}), "kube", 1)
    assert (result.ok, result.metrics["placement"]["podsBound"]) == (True, 5)


def test_secrets_keep_nothing_but_their_names(tmp_path: Path) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "uid": "1"},
        "data": {"a": "aHVudGVyMg=="},
    }
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({**listed(), "items": [*dumped(), secret]}))
    imported(tmp_path, path)
    assert "aHVudGVyMg" not in "".join(file.read_text() for file in (tmp_path / "out").rglob("*.yaml"))


def test_dumps_that_overlap_count_an_object_once(tmp_path: Path) -> None:
    first, second = tmp_path / "one.json", tmp_path / "two.json"
    first.write_text(json.dumps(listed()))
    second.write_text(json.dumps(listed()))
    found = imported(tmp_path, first, second)
    assert found["objects"]["Pod"] == 12
    assert any("is given twice, with the same uid" in text for text in found["notices"])


def test_a_folder_that_is_not_empty_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(UserError, match="not empty"):
        CliRunner().invoke(
            app, ["import", str(_as_json(tmp_path)), "--out", str(tmp_path / "out")], catch_exceptions=False
        )
    result = called(_as_json(tmp_path), "--names", tmp_path / "n.json")
    assert isinstance(result.exception, UserError)


def test_many_objects_are_written_as_json(tmp_path: Path) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": "i"}]}}
    items = [{**pod, "metadata": {"name": f"p{index}"}} for index in range(401)]
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({**listed(), "items": items}))
    assert imported(tmp_path, path)["objects"]["Pod"] == 401
    assert (tmp_path / "out" / "cluster" / "pods.json").exists()


def test_pods_of_daemon_sets_and_stateful_sets_stay_where_they_are(tmp_path: Path) -> None:
    """Their labels hold a hash of Kubernetes' own; found in a dump with made-up names, whose DaemonSet was rolled."""
    items = json.loads(json.dumps(dumped()))
    daemon = next(item for item in items if item["kind"] == "DaemonSet")
    for item in items:
        if daemon["metadata"]["uid"] in [owner["uid"] for owner in item["metadata"].get("ownerReferences", ())]:
            item["metadata"]["labels"]["controller-revision-hash"] = "6b7f9c4d8"
    template: dict[str, Any] = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1m"}}}]},
    }
    meta = {"name": "db", "namespace": "default", "uid": "db", "generation": 1}
    status = {"replicas": 1, "currentRevision": "db-74f", "updateRevision": "db-74f", "currentReplicas": 1}
    spec = {"replicas": 1, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "db", "controller": True}
    labels = {"app": "db", "controller-revision-hash": "db-74f", "statefulset.kubernetes.io/pod-name": "db-0"}
    node = next(item["metadata"]["name"] for item in items if item["kind"] == "Node")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "db-0",
            "namespace": "default",
            "uid": "db-0",
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {**template["spec"], "nodeName": node},
        "status": {"phase": "Running"},
    }
    items += [{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec, "status": status}, pod]
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({**listed(), "items": items}))
    found = imported(tmp_path, path)
    result = run_once(read_scenario(Path(found["scenario"]), {"spec.duration": "3m"}), "kube", 1)
    assert result.metrics["placement"]["podsBound"] == 10
    assert result.metrics["placement"]["podsNeverBound"] == 3
