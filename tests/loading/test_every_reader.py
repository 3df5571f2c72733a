"""Every reader of files goes through the one loader: each tells the same mistakes by file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.manifests import read_checked_manifests
from harness.experiment.record import read_record
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from schedulers.kube.config import read as read_configuration
from schedulers.kube.config import read_extenders
from schedulers.ranked.model import read_model
from tests.experiment.scenarios import written
from workloads.training import read_training_jobs

READERS: dict[str, Callable[[Path], Any]] = {
    "scenario": read_scenario,
    "manifests": lambda path: read_checked_manifests([path]),
    "scheduler configuration": read_configuration,
    "extenders": read_extenders,
}
JSON_READERS: dict[str, Callable[[Path], Any]] = {"model": read_model, "record": read_record}

BOMB = "x0: &x0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"x{n}: &x{n} [{','.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (BOMB, 5, "aliases make the document too large"),
        ("a: &a {b: *a}", 1, "an alias of itself"),
        ("metadata: &m {name: b, labels: *m}", 1, "an alias of itself"),
        ("a:\n " + "[" * 3000, 2, "nested too deeply"),
        ("a: 1\nb: 18446744073709551616", 2, "over 64 bits"),
        ("a: 1\na: 2", 2, "given twice"),
        ("a: !!python/object:os.system {}", 1, "a tag that is not read here"),
        ("a: .nan", 1, "no finite number"),
        ('a: "\\0"', 1, "NUL"),
        ("", None, "empty|no objects"),
        ("a: [1", 1, "malformed YAML"),
        ("- a", 1, "."),
        ("7", 1, "."),
    ],
)
def test_a_mistake_in_yaml_is_told(tmp_path: Path, reader: str, text: str, line: int | None, words: str) -> None:
    path = tmp_path / "in.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as told:
        READERS[reader](path)
    assert (told.value.file, told.value.line) == (str(path), line)


@pytest.mark.parametrize("reader", JSON_READERS)
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{"a":\n' * 3000, 101, "nested too deeply"),
        ('{"a": 1,\n"b": 18446744073709551616}', 2, "over 64 bits"),
        ('{"a": 1,\n"a": 2}', 2, "given twice"),
        ('{"a": NaN}', 1, "no finite number"),
        ('{"a":\n1', 2, "malformed JSON"),
        ("", None, "empty"),
        ("[]", None, "not a"),
        ("7", None, "not a"),
    ],
)
def test_a_mistake_in_json_is_told(tmp_path: Path, reader: str, text: str, line: int | None, words: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as told:
        JSON_READERS[reader](path)
    assert (told.value.file, told.value.line) == (str(path), line)


@pytest.mark.parametrize("reader", READERS | JSON_READERS)
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "cannot be read"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"\x7fELF\x02\x01\xff", "no UTF-8"),
        (b"x" * (130 << 20), "too large|not a|malformed"),
    ],
    ids=["missing", "UTF-16", "binary", "130 MB"],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, reader: str, raw: bytes | None, words: str) -> None:
    path = tmp_path / "record.json"
    if raw is not None:
        path.write_bytes(raw)
    if (reader, words) == ("manifests", "UTF-16"):
        words = "not a Kubernetes object"  # manifests are read in UTF-16, as PowerShell writes them
    with pytest.raises(UserError, match=words) as told:
        (READERS | JSON_READERS)[reader](path)
    assert told.value.file == str(path)


def test_byte_order_marks_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_scenario(path).scenario.metadata.name == "small"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nodes": [{"group": {"name": "n", "count": 1, "cpu": 4, "labels": {"a": "b", "tier": 1}}}]}, "labels.tier"),
        ({"nodes": [{"group": {"name": "n", "count": 1, "cpu": 4, "resources": {"x.y/f": [2]}}}]}, "resources.x.y/f"),
        ({"nodes": [{"group": {"name": "n", "count": 1, "cpu": 4, "zones": ["a", 2]}}]}, r"zones\[1\]"),
    ],
)
def test_a_value_of_a_wrong_type_is_told_with_its_own_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = written(tmp_path, **change)
    with pytest.raises(UserError, match=words) as told:
        read_scenario(path)
    line = next(
        n for n, row in enumerate(path.read_text().splitlines(), 1) if row.strip() in ("tier: 1", "x.y/f:", "- 2")
    )
    assert told.value.line in (line, line - 1)
    assert told.value.found is not None


def test_parts_that_aliases_share_are_set_apart(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "apiVersion: podyard.dev/v1\nkind: Scenario\nmetadata: {name: s}\nspec:\n  nodes:\n"
        "  - group: &g {name: a, count: 1, cpu: 4}\n  - group: {<<: *g, name: b}\n  workload: []\n"
    )
    made = read_scenario(path, {"spec.nodes[0].group.cpu": "8"}).scenario.spec.nodes
    assert [node.group and node.group.cpu for node in made] == [8, 4]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("spec.nodes[0].grup.cpu", "did you mean 'group'"),
        ("duration", "--set spec.duration=.."),
        ("spec.nodes[7].group.cpu", "spec.nodes has one item"),
        ("spec.nodes[-1].group.cpu", "needs an item of spec.nodes"),
        ("spec.nodes.group", "needs an item of spec.nodes"),
        ("spec[0]", "no list"),
        ("spec.seed.x", "has no fields"),
        ("", "is empty"),
        ("spec..seed", "cannot be read"),
        ("spec.seed", "--set spec.seed=x: spec.seed: wrong type"),
        ("spec.nodes[0].group.count", "--set spec.nodes"),
        ("spec.duration", "not a duration"),
    ],
)
def test_settings_say_what_is_wrong_with_their_path(tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(UserError) as told:
        read_scenario(written(tmp_path), {path: "x"})
    assert words in str(told.value)


@pytest.mark.parametrize("value", ["[" * 3000, "99999999999999999999", ".nan", "!!python/name:os", "a: b: c", '"\\0"'])
def test_values_of_settings_are_bounded(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match=r"--set spec\.seed"):
        read_scenario(written(tmp_path), {"spec.seed": value})


def test_variables_keep_their_type(tmp_path: Path) -> None:
    group = {"name": "n-{n}", "count": "{n}", "cpu": {"cpu": None}}  # {cpu} without quotes is this mapping
    path = written(tmp_path, variables={"n": [3, 5], "cpu": [4]}, nodes=[{"group": group}])
    made = read_scenario(path).scenario.spec.nodes[0].group
    assert made is not None
    assert (made.count, made.cpu, made.name) == (3, 4, "n-3")
    made = read_scenario(path, {}, {"n": "7"}).scenario.spec.nodes[0].group
    assert made is not None
    assert (made.count, made.name) == (7, "n-7")


def test_a_variable_that_nothing_uses_and_one_that_is_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'n' is not used") as told:
        read_scenario(written(tmp_path, variables={"n": [3]}))
    assert told.value.line is not None
    group = {"name": "n", "count": "{m}", "cpu": 4}
    with pytest.raises(UserError, match="no variable 'm'"):
        read_scenario(written(tmp_path, variables={"n": [3]}, nodes=[{"group": group}]))


@pytest.mark.parametrize("text", ["a,b\rc,d\n", '"job_id', 'job_id,"model\n', "", "\n"])
def test_training_jobs_whose_first_line_is_no_csv_are_told(tmp_path: Path, text: str) -> None:
    """The header was read where nobody expected it to be damaged."""
    path = tmp_path / "jobs.csv"
    path.write_bytes(text.encode())
    with pytest.raises(UserError) as told:
        read_training_jobs(path)
    assert told.value.file == str(path)
