"""Files as people have them: subfolders, lists of one kind, exports, Helm's output, kinds that nothing here knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.experiment.manifests import Notices, read_checked_manifests
from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from tests.experiment.scenarios import written

POD: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
NODE: dict[str, Any] = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "4", "pods": "9"}}}


def named(kind: str, item: dict[str, Any], version: str = "v1") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, **item}


def test_subfolders_are_read_and_hidden_files_are_not(tmp_path: Path) -> None:
    for where, name in (("a", "one"), ("a/b/c", "two"), (".git", "hidden"), ("a/.x", "hidden")):
        (tmp_path / where).mkdir(parents=True, exist_ok=True)
        pod = named("Pod", {**POD, "metadata": {"name": name}})
        (tmp_path / where / "pod.yaml").write_text(yaml.safe_dump(pod))
    (tmp_path / "a" / "values.yaml").write_text("replicas: 3\n")
    (tmp_path / "a" / "b" / "list.json").write_text("[1, 2]")
    notices = Notices()
    found = read_checked_manifests([tmp_path], notices)
    assert [item.object.metadata.name for item in found] == ["two", "one"]
    (notice,) = notices
    assert "no Kubernetes object, and is left out (and 1 more)" in notice
    with pytest.raises(UserError, match="kind is missing"):
        read_checked_manifests([tmp_path / "a" / "values.yaml"])


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_lists_of_one_kind_need_not_say_it_again(tmp_path: Path, suffix: str) -> None:
    """What `kubectl get --raw /api/v1/pods` answers."""
    file = tmp_path / f"pods{suffix}"
    file.write_text(json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [POD]}, indent=1))
    (found,) = read_checked_manifests([file])
    assert (found.kind, found.object.metadata.name) == ("Pod", "p")
    wrong = {"kind": "PodList", "apiVersion": "v1", "items": [POD, {**POD, "spek": {}}]}
    file.write_text(json.dumps(wrong, indent=1))
    with pytest.raises(UserError, match="did you mean 'spec'") as told:
        read_checked_manifests([file])
    assert "spek" in file.read_text().splitlines()[(told.value.line or 1) - 1]


def test_exports_of_the_scheduler_simulator(tmp_path: Path) -> None:
    data: dict[str, Any] = {
        "pods": [POD], "nodes": [NODE], "pvs": [], "pvcs": None, "storageClasses": [], "namespaces": [],
        "priorityClasses": [{"metadata": {"name": "high"}, "value": 5}], "schedulerConfig": {"profiles": []},
    }  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(data))
    notices = Notices()
    found = read_checked_manifests([tmp_path / "export.json"], notices)
    assert [item.kind for item in found] == ["PriorityClass", "Node", "Pod"]
    assert "schedulerConfig is left out" in next(iter(notices))


HELM = """\
---
# Source: chart/templates/tests.yaml

---
# Source: chart/templates/pod.yaml
apiVersion: v1
kind: Pod
metadata:
  name: p
  labels: {helm.sh/chart: "chart-1.0", app.kubernetes.io/version: "1.16.0", eq: =}
  annotations: {"helm.sh/hook": test, checksum/config: 8f9e45}
spec:
  containers: [{name: c, image: i}]
---
"""


def test_output_of_helm(tmp_path: Path) -> None:
    (tmp_path / "out.yaml").write_text(HELM.replace("eq: =", 'eq: ""'))
    (found,) = read_checked_manifests([tmp_path / "out.yaml"])
    assert found.object.metadata.annotations["checksum/config"] == "8f9e45"
    (tmp_path / "raw.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {{- include x . }}\n")
    with pytest.raises(UserError, match="helm template"):
        read_checked_manifests([tmp_path / "raw.yaml"])


def test_an_equals_sign_is_a_text(tmp_path: Path) -> None:
    config = named("ConfigMap", {"metadata": {"name": "c"}, "data": {"a": "="}})
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config).replace("'='", "="))
    (found,) = read_checked_manifests([tmp_path / "c.yaml"])
    assert found.object.data == {"a": "="}


@pytest.mark.parametrize(
    ("kind", "version", "words"),
    [
        ("Rollout", "argoproj.io/v1alpha1", "what its controller would make of it"),
        ("PrometheusRule", "monitoring.coreos.com/v1", "what its controller would make of it"),
        ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1", "nothing here looks at it"),
        ("FlowSchema", "flowcontrol.apiserver.k8s.io/v1", "nothing here looks at it"),
    ],
)
def test_unknown_kinds_are_left_out_with_a_notice(tmp_path: Path, kind: str, version: str, words: str) -> None:
    documents = [named(kind, {"metadata": {"name": "x"}, "spec": {"any": 1}}, version), named("Pod", POD)]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(documents))
    notices = Notices()
    (found,) = read_checked_manifests([tmp_path / "all.yaml"], notices)
    assert found.kind == "Pod"
    (notice,) = notices
    assert f"{kind} x is left out: " in notice
    assert words in notice


@pytest.mark.parametrize(
    ("kind", "version"), [("Pdo", "v1"), ("Deploymentt", "apps/v1"), ("StorageClas", "storage.k8s.io/v1")]
)
def test_a_typo_in_a_kind_is_an_error(tmp_path: Path, kind: str, version: str) -> None:
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(named(kind, POD, version)))
    with pytest.raises(UserError, match="did you mean"):
        read_checked_manifests([tmp_path / "x.yaml"])


def test_what_was_left_out_is_in_the_result(tmp_path: Path) -> None:
    documents = [named("Rollout", {"metadata": {"name": "x"}}, "argoproj.io/v1alpha1"), named("Pod", POD)]
    (tmp_path / "m.yaml").write_text(yaml.safe_dump_all(documents))
    path = written(tmp_path, duration="10s", bound=False, workload=[{"manifests": ["m.yaml"]}])
    (notice,) = run_once(read_scenario(path), "greedy", 1).notices
    assert "Rollout x is left out" in notice
