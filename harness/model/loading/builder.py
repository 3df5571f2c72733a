"""Values put together from the events of a parser, iteratively, within limits: what YAML and JSON have in common."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from harness.model.errors import UserError
from harness.model.loading.limits import INT64_MAX, Limits, TooLarge
from harness.model.loading.positions import Place, Position

MERGE = object()
"""The key `<<` of YAML, which adds the keys of other mappings."""

_NOTHING = object()


class _Open:
    """A mapping or list that is not yet closed."""

    __slots__ = ("anchor", "before", "key", "key_line", "merged", "place", "value")

    def __init__(self, value: Any, place: Place, before: int, anchor: str | None) -> None:
        self.value = value
        self.place = place
        self.before = before  # values counted before it began
        self.anchor = anchor
        self.key: Any = _NOTHING
        self.key_line = 0
        self.merged: dict[str, tuple[Any, Position]] | None = None


class Builder:
    """Fed with events in order; after the last one `value` and `position` are the document's."""

    def __init__(self, file: str | PurePath | None, limits: Limits) -> None:
        self.file = file
        self._limits = limits
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, Position, int] | None] = {}  # None while it is being written
        self._count = 0
        self._aliased = 0
        self.value: Any = None
        self.position: Position = 1

    def error(self, what: str, line: int, **about: Any) -> UserError:
        return UserError(what, file=self.file, line=line, **about)

    @property
    def wants_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].key is _NOTHING and isinstance(self._stack[-1].value, dict)

    def key(self, name: Any, line: int) -> None:
        """A key: text, or MERGE."""
        top = self._stack[-1]
        if name is not MERGE:
            below = top.place.below
            assert isinstance(below, dict)
            if name in below:
                first = below[name]
                raise self.error(
                    f"{name!r} is given twice",
                    line,
                    found=f"the first one is at line {first if isinstance(first, int) else first.line}",
                    expected="each key once",
                )
            if "\0" in name:
                raise self.error("a NUL character in a key", line, found=repr(name), expected="text")
        top.key, top.key_line = name, line

    def scalar(self, value: Any, line: int, anchor: str | None = None) -> None:
        kind = type(value)
        if kind is int:
            if not -INT64_MAX - 1 <= value <= INT64_MAX:
                raise self.too_big(str(value), line)
        elif kind is str:
            if "\0" in value:
                raise self.error("a NUL character in a text", line, found=repr(value[:60]), expected="text")
        elif kind is float and (value != value or value in (float("inf"), float("-inf"))):
            raise self.error("this is no finite number", line, found=value, expected="a number")
        self._counted(line)
        if anchor is not None:
            self._anchors[anchor] = (value, line, 1)
        self._add(value, line, line)

    def too_big(self, text: str, line: int) -> UserError:
        shown = text if len(text) <= 40 else f"{text[:20]}.. ({len(text)} characters)"
        hint = "quotes around it, when it is a text"
        return self.error("a number over 64 bits", line, found=shown, expected="-2^63 to 2^63-1", hint=hint)

    def open(self, value: dict[str, Any] | list[Any], line: int, anchor: str | None = None) -> None:
        if len(self._stack) >= self._limits.depth:
            raise self.error("nested too deeply", line, expected=f"at most {self._limits.depth} levels")
        self._counted(line)
        if anchor is not None:
            self._anchors[anchor] = None
        below: dict[str, Position] | list[Position] = {} if isinstance(value, dict) else []
        self._stack.append(_Open(value, Place(line, below), self._count - 1, anchor))

    def close(self) -> None:
        top = self._stack.pop()
        if top.merged is not None:
            for name, (value, position) in top.merged.items():
                if name not in top.value:  # what is written out goes before what is merged
                    top.value[name] = value
                    top.place.below[name] = position  # type: ignore[call-overload]
        if top.anchor is not None:
            self._anchors[top.anchor] = (top.value, top.place, self._count - top.before)
        self._add(top.value, top.place, top.place.line)

    def alias(self, name: str, line: int) -> None:
        if name not in self._anchors:
            raise self.error(f"there is no anchor {name!r} above", line, found=f"*{name}")
        found = self._anchors[name]
        if found is None:
            raise self.error(f"the anchor {name!r} holds an alias of itself", line, found=f"*{name}")
        value, position, size = found
        self._aliased += size
        if self._aliased > self._limits.aliased:
            most = f"at most {self._limits.aliased} values by aliases"
            raise TooLarge("aliases make the document too large", file=self.file, line=line, expected=most)
        self._count += size
        self._add(value, position, line)

    def _counted(self, line: int) -> None:
        self._count += 1
        if self._count > self._limits.values:
            most = f"at most {self._limits.values} values"
            raise TooLarge("the document is too large", file=self.file, line=line, expected=most)

    def _add(self, value: Any, position: Position, line: int) -> None:
        if not self._stack:
            self.value, self.position = value, position
            return
        top = self._stack[-1]
        if type(top.value) is list:
            top.value.append(value)
            top.place.below.append(position)  # type: ignore[union-attr]
            return
        name, top.key = top.key, _NOTHING
        if name is MERGE:
            self._merge(top, value, position, line)
            return
        # A value is looked for at its key, so that a missing part of it is told there.
        at: Position = top.key_line
        if not isinstance(position, int):
            at = Place(top.key_line, position.below)
        top.value[name] = value
        top.place.below[name] = at

    def _merge(self, top: _Open, value: Any, position: Position, line: int) -> None:
        many = value if isinstance(value, list) else [value]
        places = position.below if isinstance(value, list) and isinstance(position, Place) else [position]
        top.merged = top.merged or {}
        for one, place in zip(many, places, strict=True):
            if not isinstance(one, dict) or not isinstance(place, Place):
                raise self.error("<< merges mappings alone", line, found=type(one).__name__, expected="*anchor")
            for name, item in one.items():
                top.merged.setdefault(name, (item, place.below[name]))


_INT = re.compile(r"[-+]?(?:0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+|0|[1-9][0-9_]*)$")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST = frozenset("0123456789+-.")


def plain(builder: Builder, text: str, line: int) -> Any:
    """The value of text without quotes, as Kubernetes reads it: times stay text, only true and false are booleans,
    1e3 is a number.

    Source: sigs.k8s.io/yaml 1.4 (in Kubernetes 1.32), goyaml.v2/resolve.go. Unlike there, yes, no, on and off are
    text, and a number that no int64 holds is an error.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST:
        return text
    if _INT.match(text):
        return _integer(builder, text, line)
    if _FLOAT.match(text):
        if len(text) > 400:
            raise builder.too_big(text, line)
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise builder.too_big(text, line)
        return value
    if _NOT_FINITE.match(text):
        raise builder.error("this is no finite number", line, found=text, expected="a number")
    return text


def _integer(builder: Builder, text: str, line: int) -> int:
    digits = text.lstrip("+-").replace("_", "")
    base = 10
    if len(digits) > 1 and digits[0] == "0":
        base = {"x": 16, "b": 2}.get(digits[1], 8)
        digits = digits.lstrip("0xbo") or "0"
    if len(digits) > 64:
        raise builder.too_big(text, line)
    value = int(digits, base)
    return -value if text[0] == "-" else value
