"""YAML into values with their lines, within limits: documents one by one, from the parser's events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import yaml

from harness.model.errors import UserError
from harness.model.loading.builder import MERGE, Builder, plain
from harness.model.loading.limits import BY_HAND, Limits, Malformed, TooLarge
from harness.model.loading.positions import Position

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufeff\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML does not allow (YAML 1.1, 5.1: c-printable); \\ufeff is looked at apart."""

_LINE_ENDS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""As the parser counts lines."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = ("str", "int", "float", "bool", "null")


def documents(text: str, file: str | PurePath | None, limits: Limits = BY_HAND) -> Iterator[tuple[Any, Position]]:
    """(value, position) of each document, empty ones as None. Raises UserError with the line of what is wrong.

    Keys are texts, as in JSON. A key twice, a tag that is not of JSON's types, a number beyond 64 bits, an anchor
    within itself, and whatever exceeds `limits` are errors.
    """
    if len(text) > limits.yaml_bytes:
        raise TooLarge("the file is too large", file=file, expected=f"at most {limits.yaml_bytes >> 20} MiB of YAML")
    text = text.removeprefix("\ufeff")
    bad = _UNREADABLE.search(text)
    if bad is not None:
        line = len(_LINE_ENDS.findall(text, 0, bad.start())) + 1
        found = f"the character {bad[0]!r}"
        raise Malformed("malformed YAML", file=file, line=line, found=found, expected="text")
    parser = _Parser(text)
    try:
        yield from _documents(parser, text, file, limits)
    except yaml.YAMLError as error:
        raise _user_error(error, text, file) from None
    finally:
        parser.dispose()


def _documents(parser: Any, text: str, file: str | PurePath | None, limits: Limits) -> Iterator[tuple[Any, Position]]:
    builder = Builder(file, limits)
    get = parser.get_event
    while True:
        event = get()
        kind = type(event)
        if kind is yaml.ScalarEvent:
            _scalar(builder, event)
        elif kind is yaml.MappingStartEvent:
            line = event.start_mark.line + 1
            _no_key(builder, line, text)
            _known_tag(builder, event.tag, "map", line)
            builder.open({}, line, event.anchor)
        elif kind is yaml.SequenceStartEvent:
            line = event.start_mark.line + 1
            _no_key(builder, line, text)
            _known_tag(builder, event.tag, "seq", line)
            builder.open([], line, event.anchor)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            builder.close()
        elif kind is yaml.AliasEvent:
            line = event.start_mark.line + 1
            _no_key(builder, line, text)
            builder.alias(event.anchor, line)
        elif kind is yaml.DocumentStartEvent:
            builder = Builder(file, limits)
        elif kind is yaml.DocumentEndEvent:
            yield builder.value, builder.position
        elif kind is yaml.StreamEndEvent:
            return


def _scalar(builder: Builder, event: Any) -> None:
    text, tag, line = event.value, event.tag, event.start_mark.line + 1
    if builder.wants_key:
        if tag is None and event.implicit[0] and text == "<<":
            builder.key(MERGE, line)
            return
        if tag is None and event.implicit[0] and text in ("", "~", "null"):
            raise builder.error("a key is empty", line, found=text or "nothing", expected="a name before the colon")
        if tag not in (None, "!", _TAG + "str"):
            raise _unknown_tag(builder, tag, line)
        builder.key(text, line)
        return
    if tag is None or tag == "!":
        value = plain(builder, text, line) if event.implicit[0] and tag is None else text
    else:
        value = _tagged(builder, tag, text, line)
    builder.scalar(value, line, event.anchor)


def _tagged(builder: Builder, tag: str, text: str, line: int) -> Any:
    name = tag.removeprefix(_TAG)
    if name == "str":
        return text
    if name in _SCALARS and tag != name:
        value = plain(builder, text, line)
        kinds: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}
        if isinstance(value, kinds[name]) and (name == "bool" or not isinstance(value, bool)):
            return float(value) if name == "float" else value
        raise builder.error(f"this is no !!{name}", line, found=text[:60])
    raise _unknown_tag(builder, tag, line)


def _known_tag(builder: Builder, tag: str | None, expected: str, line: int) -> None:
    if tag not in (None, "!", _TAG + expected):
        raise _unknown_tag(builder, str(tag), line)


def _unknown_tag(builder: Builder, tag: str, line: int) -> UserError:
    shown = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
    return builder.error("a tag that is not read here", line, found=shown, expected="plain data, without tags")


def _no_key(builder: Builder, line: int, text: str) -> None:
    if builder.wants_key:
        row = _row(text, line)
        hint = "render the template first: helm template .." if "{{" in row else None
        raise builder.error(
            "a key must be a text", line, found=row.strip(), expected="a name before the colon", hint=hint
        )


def _user_error(error: yaml.YAMLError, text: str, file: str | PurePath | None) -> UserError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
    rows = len(_LINE_ENDS.split(text.rstrip()))
    # At the end of a file the mark is on a line that is not there.
    line = None if mark is None else min(mark.line + 1, rows)
    row = "" if line is None else _row(text, line)
    hint = None
    if "\t" in row[: len(row) - len(row.lstrip())]:
        hint = "indent with spaces"
    elif "{{" in row:
        hint = "render the template first: helm template .."
    elif mark is not None and mark.index >= len(text.rstrip()):
        hint = "was the file cut off?"
    return Malformed("malformed YAML", file=file, line=line, found=problem, expected="YAML", hint=hint)


def _row(text: str, line: int) -> str:
    """The text of a line, shortened."""
    rows = _LINE_ENDS.split(text, line)
    return rows[line - 1][:80] if line <= len(rows) else ""
