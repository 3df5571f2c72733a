"""Plain Kubernetes manifests as a workload: what is read, when it arrives, and what is wrong, by file and line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.experiment.manifests import read_checked_manifests
from harness.model.core import Pod
from harness.model.errors import UserError
from harness.model.objects import Deployment
from tests.examples import examples

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: a
spec:
  containers:
  - name: main
    image: example/app:1
    resources:
      requests: {cpu: 250m}
"""

DEPLOYMENT = """\
# A Deployment with what the simulator does not model.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  annotations:
    podyard.dev/arrival: 1m30s
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      volumes: [{name: tmp, emptyDir: {}}]
      containers:
      - name: main
        image: example/app:1
        volumeMounts: [{name: tmp, mountPath: /tmp}]
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, name: str = "app.yaml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return written


def test_documents_are_read_as_typed_objects_and_arrive_when_they_say(write: Write) -> None:
    early, late = read_checked_manifests([write(f"---\n{DEPLOYMENT}---\n---\n{POD}")])
    assert isinstance(early.object, Pod)
    assert early.object.spec.containers[0].resources.requests["cpu"].milli == 250
    assert (early.kind, early.arrival_ns, early.line) == ("Pod", 0, 23)
    assert isinstance(late.object, Deployment)
    assert (late.object.spec.replicas, late.arrival_ns, late.line) == (3, 90 * 10**9, 3)


def test_lists_and_json_are_read_too(write: Write) -> None:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    write(json.dumps({"apiVersion": "v1", "kind": "List", "items": [space]}), "b.json")
    folder = write("apiVersion: v1\nkind: List\nitems:\n- " + POD.replace("\n", "\n  ")).parent
    write("not read", "README.md")
    found = read_checked_manifests([folder])
    assert [(item.kind, item.object.metadata.name, Path(item.file).name, item.line) for item in found] == [
        ("Pod", "a", "app.yaml", 4),
        ("Namespace", "n", "b.json", 1),
    ]


def test_booleans_and_times_are_read_as_kubernetes_reads_them(write: Write) -> None:
    """YAML 1.1 makes 'on' true and 2020-01-01 a date; kubectl keeps both as text where they are quoted or not."""
    text = POD.replace("  name: a\n", "  name: a\n  labels: {switch: on, day: 2020-01-01}\n")
    (pod,) = read_checked_manifests([write(text)])
    assert pod.object.metadata.labels == {"switch": "on", "day": "2020-01-01"}


WRONG = [
    ("", None, "no objects"),
    ("# nothing\n---\n", None, "no objects"),
    ("milk\n", 1, "not a Kubernetes object"),
    ("- milk\n", 1, "not a Kubernetes object"),
    (POD.replace("kind: Pod", "kind: Pdo"), 2, "did you mean 'Pod'?"),
    (POD.replace("kind: Pod\n", ""), 1, "kind is missing"),
    (POD.replace("v1", "v2", 1), 1, "Pod of this version is not served"),
    (POD.replace("  name: a\n", "  labels: {}\n"), 3, "Pod has no metadata.name"),
    (POD.replace("name: main", "name: [main]"), 7, "spec.containers[0].name: wrong type"),
    (POD.replace("250m", "plenty"), 10, "'plenty' is not a quantity"),
    (POD.replace("250m", "-1"), 10, "must be greater than or equal to 0"),
    (POD.replace("name: a\n", "name: A\n"), 4, "lowercase RFC 1123"),
    (POD.replace("image: example/app:1", "imago: x"), 8, "spec.containers[0].imago"),
    (POD.replace("    image: example/app:1\n", ""), 7, "spec.containers[0].image"),
    (POD + "    image: example/app:2\n", 11, "'image' is given twice"),
    (POD + "kind: Node\n", 11, "'kind' is given twice"),
    (f"{POD}---\n{POD}", 12, "Pod a is given twice"),
    (POD[:-2], 10, "was the file cut off?"),
    (POD.replace("    image", "\timage"), 8, "indent with spaces"),
    (DEPLOYMENT.replace("1m30s", "soon"), 8, "not a duration"),
    (DEPLOYMENT.replace("replicas: 3", "replicas: three"), 10, "spec.replicas: wrong type"),
    (DEPLOYMENT.replace("{app: web}}\n  template", "{app: shop}}\n  template"), 13, "selector"),
]


@pytest.mark.parametrize(("text", "line", "words"), WRONG)
def test_what_is_wrong_is_told_by_file_and_line(write: Write, text: str, line: int | None, words: str) -> None:
    file = write(text)
    with pytest.raises(UserError) as told:
        read_checked_manifests([file])
    assert words in str(told.value)
    assert (told.value.file, told.value.line) == (str(file), line)
    assert len(str(told.value).splitlines()) <= 5


def test_files_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"# one\n# caf\xe9\n")
    for file, line in ((tmp_path / "absent.yaml", None), (latin, 2)):
        with pytest.raises(UserError) as told:
            read_checked_manifests([file])
        assert (told.value.file, told.value.line) == (str(file), line)


def test_aliases_that_grow_without_end_are_refused(write: Write) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(UserError, match="too large"):
        read_checked_manifests([write("\n".join(rows) + "\n")])


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    base=st.sampled_from([POD, DEPLOYMENT]),
    at=st.integers(0, 400),
    piece=st.sampled_from(
        ["", "\n", ":", "- ", "{", "]", "&a ", "*a", "!!", "\t", "0x", "null", "~", "\0", "é", "<<: "]
    ),
    cut=st.booleans(),
)
def test_damaged_manifests_are_read_or_told(write: Write, base: str, at: int, piece: str, cut: bool) -> None:
    file = write(base[:at] + piece + ("" if cut else base[at:]))
    told = None
    try:
        found = read_checked_manifests([file])
    except UserError as error:
        told, found = error, ()
    assert told is None or told.file == str(file)
    assert told is None or told.line is None or 1 <= told.line <= len(file.read_text().splitlines())
    assert all(item.object.metadata.name and item.arrival_ns >= 0 for item in found)
