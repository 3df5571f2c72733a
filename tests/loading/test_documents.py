"""The one reader of documents: what is read as what, and that whatever is wrong is told by line, soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.model.errors import UserError
from harness.model.loading import BY_HAND, DUMP, Limits, TooLarge, load_all, load_json, load_one, load_value, read_text
from harness.model.loading.json_text import scan


def read(text: str, limits: Limits = DUMP) -> Any:
    return [document.data for document in load_all(text, "x.yaml", limits)]


def bomb(merge: bool = False) -> str:
    rows = ["x0: &x0 {a: 1}" if merge else "x0: &x0 [1,1,1,1,1,1,1,1,1,1]"]
    for level in range(1, 9):
        aliases = ",".join([f"*x{level - 1}"] * 10)
        rows.append(f"x{level}: &x{level} {{<<: [{aliases}], b{level}: {{<<: [{aliases}]}}}}" if merge else "")
        if not merge:
            rows[-1] = f"x{level}: &x{level} [{aliases}]"
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: [0644, 0o17, 0x1f, 0b11, 1_000, -7, +7]", {"a": [420, 15, 31, 3, 1000, -7, 7]}),
        ("a: [1e3, 1.5, .5, 08]", {"a": [1000.0, 1.5, 0.5, 8.0]}),
        ("a: [~, null, ]", {"a": [None, None]}),
        ("a: [true, False, yes, on, 'true']", {"a": [True, False, "yes", "on", "true"]}),
        ("a: [2020-01-01, 12:30:00, =, 0.5.1, 1Gi, '1']", {"a": ["2020-01-01", "12:30:00", "=", "0.5.1", "1Gi", "1"]}),
        ("a: [!!str 1, !!int '1', !!float 1, !!bool true, !!null ~]", {"a": ["1", 1, 1.0, True, None]}),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}", {"a": {"k": 1, "l": 2}, "b": {"l": 3, "k": 1}}),
        # The first of the merged mappings goes before the second.
        ("a: [&x {k: 1}, &y {k: 2, m: 3}]\nb: {<<: [*x, *y]}", {"a": [{"k": 1}, {"k": 2, "m": 3}], "b": {"k": 1, "m": 3}}),  # noqa: E501
        ('{"a": "\\ud83d\\ude00", "b": 1.5e3}', {"a": "😀", "b": 1500.0}),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
    ],
)  # fmt: skip
def test_values_are_read_as_kubernetes_reads_them(text: str, value: Any) -> None:
    assert read(text) == [value]


def test_documents_and_their_lines() -> None:
    first, second = load_all("---\n# one\na:\n- b: 1\n  c.d/e: {f: 2}\n---\n---\ng: 1\n", "x.yaml")
    lines = {
        path: first.line_of(path) for path in ("", "a", "a[0].b", "a[0].c.d/e.f", "a[0][c.d/e]", "a[0].z", "a[5].b")
    }
    assert lines == {"": 3, "a": 3, "a[0].b": 4, "a[0].c.d/e.f": 5, "a[0][c.d/e]": 5, "a[0].z": 4, "a[5].b": 3}
    assert (second.data, second.line_of("g")) == ({"g": 1}, 8)
    document = load_json('{\n"a": [\n{"b": 1},\n\n{"b": 2}]}', "x.json")
    assert (document.line_of("a[1].b"), document.part("a[1]", document.data["a"][1]).line_of("b")) == (5, 5)


WRONG = [
    (bomb(), 5, "aliases make the document too large"),
    (bomb(merge=True), 5, "aliases make the document too large"),
    ("a: &x\n  b: *x", 2, "holds an alias of itself"),
    ("a: &x {<<: *x}", 1, "holds an alias of itself"),
    ("a: *x", 1, "there is no anchor 'x'"),
    ("\n" + "[" * 3000, 2, "nested too deeply"),
    ("a: " + "[" * 3000 + "]" * 3000, 1, "nested too deeply"),
    ("{" * 3000, 1, "a key must be a text"),
    ('{"a":' * 3000, 1, "nested too deeply"),
    ("".join(" " * n + "a:\n" for n in range(3000)), 101, "nested too deeply"),
    ("- " * 3000, 1, "nested too deeply"),
    ("a: 1\nb: 9223372036854775808", 2, "a number over 64 bits"),
    ("b: -9223372036854775809", 1, "a number over 64 bits"),
    ("b: " + "9" * 5000, 1, "a number over 64 bits"),
    ("b: 0x" + "f" * 5000, 1, "a number over 64 bits"),
    ("b: 1e999", 1, "a number over 64 bits"),
    ('{"a": 1,\n"b": 9223372036854775808}', 2, "a number over 64 bits"),
    ('{"a": 1,\n"b": 1e999}', 2, "no finite number"),
    ('{"a": 1,\n"b": NaN}', 2, "no finite number"),
    ('{"a": 1,\n"b": -Infinity}', 2, "no finite number"),
    ("a: .inf", 1, "no finite number"),
    ("a: -.INF", 1, "no finite number"),
    ("a: .nan", 1, "no finite number"),
    ('a: "x\\0y"', 1, "NUL"),
    ('"a\\0": 1', 1, "NUL"),
    ('{"a":\n"x\\u0000y"}', 2, "NUL"),
    ("a: x\0y", 1, "the character"),
    ("a: 1\nb: 2\na: 3", 3, "'a' is given twice"),
    ('{"a": 1,\n"a": 2}', 2, "'a' is given twice"),
    ("a:\n\tb: 1", 2, "indent with spaces"),
    ("a: {{ .Values.x }}", 1, "helm template"),
    ("? [a]\n: 1", 1, "a key must be a text"),
    ("? {a: 1}\n: 1", 1, "a key must be a text"),
    ("~: 1", 1, "a key is empty"),
    ("a: !!python/object/apply:os.system [ls]", 1, "!!python/object/apply:os.system"),
    ("a: !!python/name:os.system", 1, "a tag that is not read here"),
    ("a: !!binary aGk=", 1, "!!binary"),
    ("a: !!set {b}", 1, "!!set"),
    ("a: !mine 1", 1, "!mine"),
    ("a: !!int x", 1, "this is no !!int"),
    ("!!str a: 1\n!!python/name:os b: 1", 2, "a tag that is not read here"),
    ("a: [1, 2\nb: 3", 2, "malformed YAML"),
    ('{"a": [1, 2\n', 1, "was the file cut off?"),
    ("%YAML 9.9\n---\na: 1", 1, "malformed YAML"),
    ("a: <<\n<<: 1", 2, "<< merges mappings alone"),
]


@pytest.mark.parametrize(("text", "line", "words"), WRONG)
def test_what_is_wrong_is_told_by_line_within_a_second(text: str, line: int, words: str) -> None:
    began = time.perf_counter()
    with pytest.raises(UserError) as told:
        read(text)
    assert time.perf_counter() - began < 5  # a hundredth of it; a bomb takes minutes
    assert words in str(told.value)
    assert (told.value.file, told.value.line) == ("x.yaml", line)
    assert len(str(told.value)) < 500


def test_limits_of_size_and_number_are_kept() -> None:
    for text in ("[" + "1," * 5000 + "1]", "a: [" + "1," * 5000 + "1]", "- 1\n" * 5001):
        with pytest.raises(TooLarge, match="too large"):
            read(text, Limits(values=5000))
        assert read(text, Limits(values=6000))
    for text in ("a: " + "x" * 5000, '{"a": "' + "x" * 5000 + '"}'):
        with pytest.raises(TooLarge, match="the file is too large"):
            read(text, Limits(yaml_bytes=5000, json_bytes=5000))


def test_one_document_is_expected_where_there_can_be_one() -> None:
    assert load_one("a: 1", "x.yaml").data == {"a": 1}
    for text, words in (("", "empty"), ("# no\n", "empty"), ("a: 1\n---\nb: 1\n", "second")):
        with pytest.raises(UserError, match=words):
            load_one(text, "x.yaml")


def test_values_of_settings() -> None:
    assert [load_value(text, "--set a") for text in ("", "5m", "7", "[1, 2]", "{a: b}", "# no")] == [
        "", "5m", 7, [1, 2], {"a": "b"}, None,
    ]  # fmt: skip


Make = Callable[[Path], object]

FILES: list[tuple[str, Make, int | None, str]] = [
    ("missing", lambda path: None, None, "cannot be read"),
    ("a folder", lambda path: path.mkdir(), None, "cannot be read"),
    ("binary", lambda path: path.write_bytes(b"a: 1\nb: \xff\xfe\x00"), 2, "no UTF-8 text"),
    ("UTF-16", lambda path: path.write_bytes("a: 1".encode("utf-16")), 1, "UTF-16"),
    ("large", lambda path: path.write_bytes(b"a: 1\n" * 1000), None, "too large"),
    ("a name that is none", lambda path: None, None, "cannot be read"),
]


@pytest.mark.parametrize(("name", "make", "line", "words"), FILES)
def test_files_that_are_no_text(tmp_path: Path, name: str, make: Make, line: int | None, words: str) -> None:
    path = tmp_path / ("x\0y" if "none" in name else "x.yaml")
    make(path)
    with pytest.raises(UserError, match=words) as told:
        read_text(path, most=1000)
    assert (told.value.file, told.value.line) == (str(path), line)


def test_a_file_without_an_end_is_told() -> None:
    with pytest.raises(TooLarge):
        read_text("/dev/zero", most=1000)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=8)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXT, below),
    max_leaves=20,
)


@given(PLAIN)
def test_json_is_read_back_by_both_readers(value: Any) -> None:
    text = json.dumps(value, indent=1)
    assert load_json(text, "x.json").data == value
    assert scan(text, "x.json")[0] == value
    assert load_json(json.dumps(value, ensure_ascii=False), "x.json").data == value


@given(st.dictionaries(st.text("abc", min_size=1), PLAIN.filter(lambda value: not isinstance(value, float))))
def test_yaml_is_read_back(value: Any) -> None:
    (found,) = read(yaml.safe_dump(value, allow_unicode=True, default_style='"'))
    assert found == value


@given(st.text(st.sampled_from("{}[]:,-&*!<>|'\"%@`#~ \n\ta1.0e\0é\ud800\ufeff"), max_size=40))
def test_any_text_is_read_or_told(text: str) -> None:
    for load in (lambda: list(load_all(text, "x.yaml", BY_HAND)), lambda: load_json(text, "x.json")):
        line = _line_told(load)
        assert line is None or 1 <= line <= text.count("\n") + 1


def _line_told(load: Callable[[], object]) -> int | None:
    try:
        load()
    except UserError as error:
        return error.line
    return None
