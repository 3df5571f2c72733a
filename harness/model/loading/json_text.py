"""JSON into values, within limits; lines are looked up when they are asked for.

The decoder of the standard library does the work, and a second, slower reader with the same rules finds the line of
what is wrong, and of any field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from harness.model.loading.builder import Builder
from harness.model.loading.limits import DUMP, INT64_MAX, Limits, Malformed, TooLarge
from harness.model.loading.positions import Position


class _Wrong(ValueError):
    """Something that JSON allows and we do not; the slow reader says where."""


def parse(text: str, file: str | PurePath | None, limits: Limits = DUMP) -> Any:
    """The value of a JSON text. Raises UserError with the line of what is wrong, as of YAML (see yaml_text)."""
    if len(text) > limits.json_bytes:
        raise TooLarge("the file is too large", file=file, expected=f"at most {limits.json_bytes >> 20} MiB of JSON")
    if text.count(",") > limits.values:
        raise TooLarge("the document is too large", file=file, expected=f"at most {limits.values} values")
    try:
        value = _DECODER.decode(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) - 1 or error.msg.startswith("Unterminated")
        hint = "was the file cut off?" if cut else None
        found = error.msg.partition(":")[0]
        raise Malformed(
            "malformed JSON", file=file, line=error.lineno, found=found, expected="JSON", hint=hint
        ) from None
    except (ValueError, RecursionError):
        value, good = None, False
    else:
        good = _within(value, limits)
    if good:
        return value
    value, _ = scan(text, file, limits)  # raises, with the line of what is wrong
    return value


_BETWEEN = re.compile(
    r"(?:[ \t\r\n]|\x1e|^---[^\n]*$|^\#[^\n]*$|^==== START logs [^\n]*$(?s:.*?)^==== END logs [^\n]*$)*", re.MULTILINE
)
"""What may stand between the documents of a stream: space, RS (RFC 7464), YAML's lines between documents, and the logs
that `kubectl cluster-info dump` writes among its lists (kubectl 1.34, pkg/cmd/clusterinfo/clusterinfo_dump.go)."""


def is_stream(text: str) -> bool:
    """Whether a first JSON document is followed by the beginning of another one, or by a log (see `stream`)."""
    begin = _BETWEEN.match(text)
    assert begin is not None
    try:
        _, end = _DECODER.raw_decode(text, begin.end())
    except (ValueError, RecursionError):
        return False
    between = _BETWEEN.match(text, end)
    assert between is not None
    rest = between.end()
    return text[rest : rest + 1] in ("{", "[") or (rest == len(text) and bool(text[end:].strip()))


def stream(text: str, file: str | PurePath | None, limits: Limits = DUMP) -> Iterator[tuple[Any, int, str]]:
    """(value, its first line, its text) of each document of JSON lines, or of documents one after another.

    Raises UserError with the line of what is wrong.
    """
    if len(text) > limits.json_bytes:
        raise TooLarge("the file is too large", file=file, expected=f"at most {limits.json_bytes >> 20} MiB of JSON")
    if text.count(",") > limits.values:
        raise TooLarge("the document is too large", file=file, expected=f"at most {limits.values} values")
    at, line = 0, 1
    while True:
        between = _BETWEEN.match(text, at)
        assert between is not None
        line += text.count("\n", at, between.end())
        at = between.end()
        if at >= len(text):
            return
        try:
            value, end = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            rest = text[error.pos : error.pos + 40].splitlines()
            hint = None if rest and error.pos < len(text.rstrip()) - 1 else "was the file cut off?"
            found = f"{error.msg.partition(':')[0]}: {rest[0] if rest else 'the end'}"
            expected = "one JSON document after another"
            raise Malformed(
                "malformed JSON", file=file, line=error.lineno, found=found, expected=expected, hint=hint
            ) from None
        except (ValueError, RecursionError):
            scan(text[at:], file, limits, line)  # raises, with the line of what is wrong
            raise
        if not _within(value, limits):
            scan(text[at:end], file, limits, line)
        yield value, line, text[at:end]
        line += text.count("\n", at, end)
        at = end


def scan(text: str, file: str | PurePath | None, limits: Limits = DUMP, first_line: int = 1) -> tuple[Any, Position]:
    """(value, position) of a JSON text; some fifty times slower than `parse`."""
    builder = Builder(file, limits)
    closes: list[str] = []
    line = first_line
    expect = "value"  # value, key, colon, or comma
    text = text.removeprefix("\ufeff")
    at, end = 0, len(text)
    while True:
        space = _SPACE.match(text, at)
        assert space is not None
        line += text.count("\n", at, space.end())
        at = space.end()
        if at >= end:
            break
        if not closes and expect == "comma":
            raise _malformed(builder, line, found="text after the end", expected="one document")
        token = _TOKEN.match(text, at)
        if token is None:
            raise _malformed(builder, line, found=text[at : at + 20].split("\n")[0], expected="JSON")
        word = token[0]
        first = word[0]
        at = token.end()
        if first in "}]":
            empty = expect in ("key", "value") and text[: at - 1].rstrip()[-1:] in ("{", "[")
            if not closes or closes[-1] != first or not (expect == "comma" or empty):
                raise _malformed(builder, line, found=word, expected=expect)
            closes.pop()
            builder.close()
            expect = "comma"
        elif first in ",:":
            if (first == "," and expect != "comma") or (first == ":" and expect != "colon"):
                raise _malformed(builder, line, found=word, expected=expect)
            expect = "value" if first == ":" or closes[-1] == "]" else "key"
        elif expect == "key":
            if first != '"':
                raise _malformed(builder, line, found=word[:40], expected="a key in double quotes")
            builder.key(_string(builder, word, line), line)
            expect = "colon"
        elif expect != "value":
            raise _malformed(builder, line, found=word[:40], expected=f"a {expect}")
        elif first in "{[":
            builder.open({} if first == "{" else [], line)
            closes.append("}" if first == "{" else "]")
            expect = "key" if first == "{" else "value"
        else:
            builder.scalar(_value(builder, word, line), line)
            expect = "comma"
    if closes or expect != "comma":
        raise _malformed(builder, line, found="the end", expected="JSON", hint="was the file cut off?")
    return builder.value, builder.position


def _malformed(builder: Builder, line: int, **about: Any) -> Malformed:
    return Malformed("malformed JSON", file=builder.file, line=line, **about)


_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(
    r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"|[][{},:]|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?'
    r"|true|false|null|NaN|-?Infinity"
)
_WORDS = {"true": True, "false": False, "null": None}


def _string(builder: Builder, word: str, line: int) -> str:
    if "\\" not in word:
        return word[1:-1]
    try:
        text: str = json.loads(word)
        text.encode()  # half of a surrogate pair is no text
    except ValueError as error:
        raise _malformed(builder, line, found=word[:40], expected="a text", hint=str(error)[:60]) from None
    return text


def _value(builder: Builder, word: str, line: int) -> Any:
    if word[0] == '"':
        return _string(builder, word, line)
    if word in _WORDS:
        return _WORDS[word]
    if word[-1] in "Ny":
        raise builder.error("this is no finite number", line, found=word, expected="a number")
    if len(word) > 400:
        raise builder.too_big(word, line)
    return float(word) if any(c in word for c in ".eE") else int(word)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Wrong("a key is given twice")
    return made


def _constant(word: str) -> Any:
    raise _Wrong(word)


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def _within(value: Any, limits: Limits) -> bool:
    """Whether depth, numbers and texts are as they may be."""
    level: list[Any] = [value]
    depth = count = 0
    while level:
        if depth > limits.depth:
            return False
        depth += 1
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                if "\0" in item or (not item.isascii() and _SURROGATE.search(item)):
                    return False
            elif kind is int:
                if not -INT64_MAX - 1 <= item <= INT64_MAX:
                    return False
            elif kind is float:
                if item - item != 0.0:  # NaN for what is not finite
                    return False
            elif kind is dict:
                count += len(item)
                below.extend(item)
                below.extend(item.values())
            elif kind is list:
                count += len(item)
                below.extend(item)
        if count > limits.values:
            return False
        level = below
    return True


_SURROGATE = re.compile("[\ud800-\udfff]")
