"""What every part of a scheduler configuration needs to be read: shapes, known fields, errors with their line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from harness.model.errors import did_you_mean
from harness.model.loading import Document

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root of the document."""


class YamlReader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self.data = document.data

    def percentage_of(self, data: Mapping[str, Any], path: Path) -> int | None:
        if data.get("percentageOfNodesToScore") is None:
            return None
        return self.int_of(data, "percentageOfNodesToScore", 0, 0, 100, path)

    def int_of(self, data: Mapping[str, Any], key: str, default: int, least: int, most: int, path: Path) -> int:
        value = data.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.fail(f"{key} is out of range", (*path, key), found=value, expected=f"a number of {least}..{most}")
        return value

    def check_mapping(self, data: Any, path: Path) -> None:
        if not isinstance(data, dict):
            self.fail("expected a mapping", path, found=repr(data))

    def list_of(self, data: Any, path: Path) -> list[Any]:
        if data is None:
            return []
        if not isinstance(data, list):
            self.fail("expected a list", path, found=repr(data))
        return list(data)

    def check_fields(self, data: Mapping[str, Any], known: tuple[str, ...], path: Path) -> None:
        for key in data:
            if key not in known:
                expected, hint = ", ".join(known), suggest(key, known)
                self.fail("there is no such field", (*path, key), found=key, expected=expected, hint=hint)

    def fail(
        self,
        what: str,
        path: Path,
        *,
        found: object = None,
        expected: object = None,
        hint: str | None = None,
    ) -> NoReturn:
        text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
        raise self._document.error(text, what, found=found, expected=expected, hint=hint)


def suggest(name: object, known: tuple[str, ...]) -> str | None:
    return did_you_mean(name, known) if isinstance(name, str) else None
