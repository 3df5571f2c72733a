"""A document: its data, and the line of each field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from harness.model.errors import UserError
from harness.model.loading import json_text
from harness.model.loading.limits import BY_HAND, DUMP, Limits, Malformed
from harness.model.loading.positions import Position, line_of


class Document:
    """`data`: None, text, numbers, booleans, lists, and dicts with text for keys. Shared parts are one object.

    Lines of a JSON text are looked up when one is asked for.
    """

    __slots__ = ("_first_line", "_position", "_text", "data", "file")

    def __init__(self, data: Any, file: str, position: Position | None, text: str = "", first_line: int = 1) -> None:
        """Where `position` is None, `text` is the JSON that has it, from line `first_line` of the file on."""
        self.data = data
        self._first_line = first_line
        self.file = file
        self._position = position
        self._text = text

    def line_of(self, path: str = "") -> int | None:
        """From 1, of a field path (spec.containers[0].image) or of the nearest thing around it."""
        if self._position is None and self._text:
            try:
                _, self._position = json_text.scan(self._text, self.file, first_line=self._first_line)
            except UserError:  # within the limits of another reader
                self._text = ""
        return line_of(self._position, path)

    def error(self, path: str, what: str, **about: Any) -> UserError:
        """Of what is wrong at `path`; `about`: found, expected, hint."""
        return UserError(what, file=self.file or None, line=self.line_of(path), **about)

    def part(self, path: str, data: Any) -> Part:
        """What the document has at `path`, with the lines of the whole."""
        return Part(self, path, data)


class Part(Document):
    """An item of a document."""

    __slots__ = ("_path", "_whole")

    def __init__(self, whole: Document, path: str, data: Any) -> None:
        super().__init__(data, whole.file, None)
        self._whole = whole
        self._path = path

    def line_of(self, path: str = "") -> int | None:
        between = "." if path and not path.startswith("[") else ""
        return self._whole.line_of(f"{self._path}{between}{path}")


def load_all(text: str, file: str | PurePath, limits: Limits = DUMP) -> Iterator[Document]:
    """Every document of a YAML text, or of a JSON text or stream, empty ones left out. Raises UserError."""
    text = text.removeprefix("\ufeff")
    if text.lstrip(" \t\r\n")[:1] in ("{", "["):
        try:
            data = json_text.parse(text, file, limits)
        except Malformed:  # YAML in its flow style begins so, too
            if json_text.is_stream(text):
                for value, line, part in json_text.stream(text, file, limits):
                    yield Document(value, str(file), None, part, line)
                return
            if len(text) > limits.yaml_bytes or PurePath(file).suffix == ".json":
                raise
        else:
            yield Document(data, str(file), None, text)
            return
    from harness.model.loading import yaml_text

    for data, position in yaml_text.documents(text, file, limits):
        if data is not None:
            yield Document(data, str(file), position)


def load_one(text: str, file: str | PurePath, limits: Limits = BY_HAND, expected: str = "a YAML document") -> Document:
    """The only document of a text. Raises UserError, also when there is none or a second one."""
    found: Document | None = None
    for document in load_all(text, file, limits):
        if found is not None:
            line = document.line_of()
            raise UserError("a second document", file=file, line=line, found="---", expected="one document")
        found = document
    if found is None:
        raise UserError("the file is empty", file=file, expected=expected)
    return found


def load_json(text: str, file: str | PurePath | None, limits: Limits = DUMP, expected: str = "JSON") -> Document:
    """A text that must be JSON. Raises UserError."""
    text = text.removeprefix("\ufeff")
    if not text.strip(" \t\r\n"):
        raise UserError("the file is empty", file=file, expected=expected)
    return Document(json_text.parse(text, file, limits), "" if file is None else str(file), None, text)


def load_value(text: str, where: str) -> Any:
    """A value in one line of YAML, as of --set; empty text is an empty text. Raises UserError."""
    if not text.strip():
        return ""
    return next((document.data for document in load_all(text, where, BY_HAND)), None)
