"""YAML as plain data that remembers its lines, so that what is wrong in it can be pointed at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from harness.model.errors import UserError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # libyaml is absent
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Lines = dict[str, int]
"""Path ('spec.nodes[0].count') to line, from 1."""


def load(text: str, file: str | Path) -> tuple[Any, Lines]:
    """One document and where everything in it stands. Raises UserError for malformed YAML or a duplicate key."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise UserError("the file is empty", file=file, expected="a YAML document")
        lines: Lines = {}
        _walk(node, "", lines, file)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(
            f"malformed YAML: {error.problem or error.context}",
            file=file,
            line=None if mark is None else mark.line + 1,
            found=None if mark is None else _line_of(text, mark.line),
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"malformed YAML: {error}", file=file) from None
    finally:
        loader.dispose()


def _walk(node: yaml.Node, path: str, lines: Lines, file: str | Path) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise UserError(f"{name!r} is given twice", file=file, line=key.start_mark.line + 1)
            seen.add(name)
            below = f"{path}.{name}" if path else name
            _walk(value, below, lines, file)
            lines[below] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, f"{path}[{index}]", lines, file)


def _line_of(text: str, line: int) -> str | None:
    rows = text.splitlines()
    return rows[line].strip() if 0 <= line < len(rows) else None


def line_at(lines: Lines, path: str) -> int | None:
    """The line of `path`, or of the nearest thing around it."""
    while path:
        if path in lines:
            return lines[path]
        path = re.sub(r"(\.[^.\[\]]+|\[\d+\]|^[^.\[\]]+)$", "", path)
    return lines.get("")
