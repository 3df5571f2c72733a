"""Fields of manifests against Kubernetes' schema: a typo is an error, and what is not modelled is refused or told."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from harness.experiment.manifests import Notices, read_checked_manifests
from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.experiment.unmodelled import REFUSED, TOLD, WITHOUT_EFFECT
from harness.model.errors import UserError
from harness.model.field_table import json_fields, kind_messages
from harness.model.objects import KINDS, Unstructured
from harness.model.schema import Problem, is_known, walk
from harness.model.wire import Wire
from tests.experiment.scenarios import SERVICE, loaded, written

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"app": "a"}},
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": 1}}}]},
}


def test_every_kind_has_its_fields() -> None:
    unknown = {name for name, kind in KINDS.items() if not is_known(kind.api_version, name)}
    assert unknown == {"PodMetrics", "NodeMetrics"}  # metrics.k8s.io is in a repository of its own


def changed(path: str, value: Any) -> dict[str, Any]:
    """POD with one more field; numbers of the path are indices."""
    data: dict[str, Any] = yaml.safe_load(yaml.safe_dump(POD))
    at: Any = data
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    at[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.nodeSelecter", {}, "did you mean 'nodeSelector'?"),
        ("spec.containers.0.resource", {}, "did you mean 'resources'?"),
        ("spec.containers.0.resources.request", {}, "did you mean 'requests'?"),
        ("spec.containers.0.resources.limits", ["cpu"], "wrong type"),
        ("spec.affinity", {"nodeAfinity": {}}, "did you mean 'nodeAffinity'?"),
        ("spec.tolerations", [{"efect": "NoSchedule"}], "did you mean 'effect'?"),
        ("spec.volumes", ["v"], "spec.volumes[0]: wrong type"),
        ("spec.volumes", [{"name": "v", "emptyDirr": {}}], "did you mean 'emptyDir'?"),
        ("spec.volumes", {"name": "v"}, "wrong type"),
        ("spec.hostname", 7, 'quotes around it: "7"'),
        ("spec.hostNetwork", "yes", "true or false"),
        ("spec.activeDeadlineSeconds", "5", "a whole number"),
        ("metadata.label", {}, "did you mean 'labels'?"),
        ("metadata.labels", {"tier": 1}, 'quotes around it: "1"'),
        ("metadata.annotations", {"podyard.dev/durration": "5s"}, "did you mean 'podyard.dev/duration'?"),
        ("stauts", {}, "did you mean 'status'?"),
    ],
)
def test_a_field_that_is_not_in_the_schema_is_told_with_its_line(
    tmp_path: Path, path: str, value: Any, words: str
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump(changed(path, value), sort_keys=False))
    with pytest.raises(UserError) as told:
        read_checked_manifests([file])
    assert words in str(told.value)
    row = file.read_text().splitlines()[(told.value.line or 1) - 1]
    assert any(word in row for word in (path.rpartition(".")[2], *words_of(value)))


def words_of(value: Any) -> Iterator[str]:
    """Keys and texts."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from words_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from words_of(item)
    else:
        yield str(value)


def test_a_pod_group_with_a_word_for_a_number_is_told(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text(
        "apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nmetadata: {name: g}\nspec: {minMember: many}\n"
    )
    with pytest.raises(UserError, match="minMember: wrong type") as told:
        read_checked_manifests([file])
    assert told.value.line == 4


TARGET = {"type": "Utilization", "averageUtilization": 50}
HPA: dict[str, Any] = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "h"},
    "spec": {
        "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            }
        ],
    },
}
JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "j"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
}


@pytest.mark.parametrize(
    ("base", "field", "value"),
    [
        (JOB, "scheduling", {"schedulingPolicy": {"gang": {"minCount": 2}}}),
        (POD, "resourceClaims", [{"name": "gpu"}]),
        (POD, "resources", {"requests": {"cpu": 1}}),
    ],
)
def test_what_matters_and_is_not_modelled_is_refused_by_name(
    tmp_path: Path, base: dict[str, Any], field: str, value: Any
) -> None:
    file = tmp_path / "x.yaml"
    for written_out, refused in ((base["spec"], False), ({**base["spec"], field: value}, True)):
        file.write_text(yaml.safe_dump({**base, "spec": written_out}, sort_keys=False))
        if not refused:
            read_checked_manifests([file])
            continue
        with pytest.raises(UserError, match=rf"{base['kind']} \w: spec\.{field}.* is not modelled") as told:
            read_checked_manifests([file])
        assert told.value.line is not None
        notices = Notices(lenient=True)
        read_checked_manifests([file], notices)
        assert field in next(iter(notices))


def test_what_bears_on_a_run_and_is_not_modelled_is_in_its_result(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pod = changed("spec.hostNetwork", True)
        pod["metadata"]["name"] = name
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(pod))
    path = written(tmp_path, duration="10s", workload=[{"manifests": ["a.yaml", "b.yaml"]}])
    (notice,) = run_once(read_scenario(path), "greedy", 1).notices
    assert "a.yaml" in notice
    assert "Pod a: spec.hostNetwork is not modelled" in notice
    assert "(and 1 more)" in notice


def not_typed() -> Iterator[tuple[str, str]]:
    """('Message.field', its kind) of what the schema has and the types of the model have not."""
    seen: set[tuple[str, Any]] = set()
    for name, known in KINDS.items():
        message = kind_messages().get((known.api_version, name))
        if message is not None and known.type is not Unstructured:
            yield from _not_typed(message, known.type, seen)


def _not_typed(message: str, kind: Any, seen: set[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    if (message, kind) in seen:
        return
    seen.add((message, kind))
    hints = typing.get_type_hints(kind)
    types_of = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind)}
    for name, field in json_fields(message).items():
        if name in ("apiVersion", "kind"):
            continue
        if name not in types_of:
            yield f"{message}.{name}", field.type
        elif isinstance(below := _plain(types_of[name]), type) and issubclass(below, Wire):
            yield from _not_typed(field.type, below, seen)


def _plain(kind: Any) -> Any:
    arguments = [arg for arg in typing.get_args(kind) if arg not in (type(None), ...)]
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return _plain(arguments[0]) if arguments and (union or typing.get_origin(kind) is tuple) else kind


def test_every_field_that_no_type_has_is_refused_told_or_without_effect() -> None:
    undecided = [
        name
        for name, kind in not_typed()
        if "Status." not in name
        and "VolumeSource" not in kind
        and sum(name in names for names in (REFUSED, TOLD, WITHOUT_EFFECT)) != 1
    ]
    assert undecided == []


def test_no_decision_is_about_a_field_that_is_not_in_the_schema() -> None:
    for name in (*REFUSED, *TOLD, *WITHOUT_EFFECT):
        message, _, field = name.rpartition(".")
        assert field in json_fields(message), name


def test_a_kind_without_a_schema_is_not_judged() -> None:
    assert list(walk("metrics.k8s.io/v1beta1", "PodMetrics", {"what": 1})) == []
    assert isinstance(next(iter(walk("v1", "Pod", {"what": 1}))), Problem)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"nodeCrash": {"select": {"names": ["nosuch"]}}}, "there is no node of this name"),
        ({"nodeCrash": {"select": {"names": ["n-0", "n-10"]}}}, "did you mean 'n-1'?"),
        ({"nodeCrash": {"select": {"zone": "nope"}}}, "one of a, b, c"),
        ({"nodeFreeze": {"for": "1m", "select": {"app": "wep"}}}, "did you mean 'web'?"),
        ({"nodeCrash": {"select": {"count": 0}}}, "count: Expected `int` >= 1"),
        ({"zonePartition": {"zone": "nope", "for": "1m"}}, "one of a, b, c"),
        ({"containerCrash": {"app": "shop"}}, "one of web"),
        ({"nodeCrash": {"select": {"names": ["n-1"]}}, "at": "11m"}, "comes after the end"),
    ],
)
def test_a_fault_that_can_hit_nothing_is_told_before_the_run(fault: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as told:
        run_once(loaded(duration="10m", workload=[SERVICE], faults=[{"at": "1m", **fault}]), "greedy", 1)
    assert words in str(told.value)
    assert "spec.faults[0]" in str(told.value)


def test_nodes_of_pools_can_be_hit() -> None:
    pools = [{"name": "p", "min": 1, "max": 2, "cpu": 4, "zone": "z"}]
    faults = [{"at": "30s", "zonePartition": {"zone": "z", "for": "5s"}}]
    run_once(loaded(duration="1m", bound=False, workload=[SERVICE], pools=pools, faults=faults), "greedy", 1)


def test_a_fault_that_hit_nothing_says_so() -> None:
    """There is such an app, but none of its pods runs when the fault strikes."""
    faults = [{"at": "1s", "containerCrash": {"app": "web"}}]
    result = run_once(loaded(duration="1m", bound=False, workload=[SERVICE], faults=faults), "greedy", 1)
    assert result.notices == ["ContainerCrash at 1 s hit nothing: nothing was there to be hit"]
    (row,) = result.metrics["recovery"]
    assert (row["targets"], row["victims"]) == ([], 0)
