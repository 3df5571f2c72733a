"""What every part of a scheduler configuration needs to be read: shapes, known fields, errors with their line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

import yaml

from harness.model.errors import UserError, did_you_mean

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root of the document."""


class YamlReader:
    def __init__(self, file: str, root: yaml.Node | None) -> None:
        self._file = file
        self._root = root

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
        raise UserError(what, file=self._file, line=self.line_of(path), found=found, expected=expected, hint=hint)

    def line_of(self, path: Path) -> int | None:
        """Of the deepest part of `path` that the file has."""
        node = self._root
        line = None if node is None else node.start_mark.line + 1
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == step), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        return line


def suggest(name: object, known: tuple[str, ...]) -> str | None:
    return did_you_mean(name, known) if isinstance(name, str) else None
