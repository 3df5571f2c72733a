"""Plain Kubernetes manifests as a workload: YAML or JSON, several documents, kind List; errors name file and line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import yaml

from harness.model.errors import UserError, did_you_mean
from harness.model.objects import KINDS, Kind, from_wire
from harness.model.status import Cause
from harness.model.times import parse_duration
from harness.model.wire import DecodeError

ARRIVAL = "podyard.dev/arrival"
"""Annotation: when the object is created, a duration since the run began ('90s'); at 0 without it."""

STDIN = Path("-")

LARGE = 1_000_000
"""Bytes from which JSON is read as JSON: as YAML it takes a hundred times longer, though each value knows its line."""

MOST_VALUES = 5_000_000
"""Values in one document, aliases followed: more is an attack or a mistake."""

Refusals: TypeAlias = Callable[[Kind, Any, str], Iterable[Cause]]
"""(kind, object, its name or what a generated one may be) -> what an API server would refuse of the object alone."""

_FORM = "Kubernetes manifests in YAML or JSON"
_TYPES = re.compile(r"expected (.+), found (.+)", re.DOTALL)
_SUFFIXES = (".yaml", ".yml", ".json")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML as Kubernetes reads it: times stay text, and only true and false are booleans."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in ("tag:yaml.org,2002:timestamp", _BOOL)]
    for first, found in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object, as typed as the model knows it, and where it was written."""

    arrival_ns: int
    object: Any
    kind: str
    file: str
    line: int


def read_manifests(paths: Sequence[Path], refusals: Refusals) -> tuple[Manifest, ...]:
    """All objects of files and folders (their .yaml, .yml and .json files by name), by arrival, then as written;
    "-" is standard input.

    Raises UserError with file and line for text that is no YAML, a key or a name that is given twice, an unknown kind
    or version, a field of a wrong type, a missing name, and whatever `refusals` finds.
    """
    found: list[Manifest] = []
    for path in paths:
        for file in _files(path):
            found.extend(_read(file, refusals))
    _check_unique(found)
    if not found:
        raise UserError(
            "no objects",
            file=paths[0] if paths else None,
            found="nothing but comments and empty documents, if that",
            expected="Kubernetes manifests: apiVersion, kind, metadata",
        )
    return tuple(sorted(found, key=lambda manifest: manifest.arrival_ns))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())


def _read(path: Path, refusals: Refusals) -> Iterator[Manifest]:
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        broken = error.object.count(b"\n", 0, error.start) + 1
        raise UserError("this is no UTF-8 text", file=path, line=broken, found=str(error), expected=_FORM) from None
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError("the file cannot be read", file=path, found=found, expected=_FORM) from None
    if len(text) > LARGE and text.lstrip()[:1] == "{":
        quickly = _from_json(path, text, refusals)
        if quickly is not None:
            yield from quickly
            return
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            _check_keys(path, node)
            yield from _objects(path, node, _constructed(path, loader, node), refusals)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
        # At the end of a file the mark is on a line that is not there.
        line = min(mark.line + 1, len(text.splitlines()) or 1) if mark is not None else None
        hint = "indent with spaces" if "\t" in text else "was the file cut off?" if _at_end(text, line) else None
        raise UserError("this is no YAML", file=path, line=line, found=problem, expected=_FORM, hint=hint) from None
    except RecursionError:
        raise UserError("nested too deeply", file=path) from None


def _from_json(path: Path, text: str, refusals: Refusals) -> list[Manifest] | None:
    """What a cluster has in one document, without the lines; None when something is wrong, to be told with its line."""
    try:
        data = msgspec.json.decode(text)
        nowhere = yaml.MappingNode("", [], yaml.Mark(str(path), 0, 0, 0, None, 0))
        items = data["items"] if data.get("kind") == "List" else [data]
        return [_object(path, nowhere, item, item["kind"], refusals) for item in items]
    except (msgspec.DecodeError, UserError, KeyError, TypeError):
        return None


def _at_end(text: str, line: int | None) -> bool:
    return line is not None and line >= len(text.splitlines())


def _check_keys(path: Path, node: yaml.Node) -> None:
    """YAML's own reader keeps the last of two equal keys and says nothing."""
    todo, seen = [node], {id(node)}
    while todo:
        current = todo.pop()
        children: list[yaml.Node] = []
        if isinstance(current, yaml.MappingNode):
            at: dict[tuple[str, str], yaml.Node] = {}
            for key, value in current.value:
                first = at.setdefault((key.tag, key.value), key) if isinstance(key, yaml.ScalarNode) else key
                if first is not key and key.value != "<<":
                    raise UserError(
                        f"{key.value!r} is given twice",
                        file=path,
                        line=_line(key),
                        found=f"the first one is at line {_line(first)}",
                        expected="each key once",
                    )
                children += (key, value)
        elif isinstance(current, yaml.SequenceNode):
            children = current.value
        for child in children:
            if id(child) not in seen:
                seen.add(id(child))
                todo.append(child)


def _constructed(path: Path, loader: Any, node: yaml.Node) -> Any:
    try:
        data = loader.construct_document(node)
    except (ValueError, OverflowError) as error:
        raise UserError("a value cannot be read", file=path, line=_line(node), found=str(error)) from None
    if _size(data) > MOST_VALUES:
        raise UserError("the document is too large", file=path, line=_line(node), expected=f"{MOST_VALUES} values")
    return data


def _size(data: Any) -> int:
    """Values with aliases followed, at most a little over MOST_VALUES."""
    total, todo = 0, [data]
    while todo and total <= MOST_VALUES:
        value = todo.pop()
        total += 1
        if isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, (list, set, tuple)):
            todo.extend(value)
    return total


def _objects(path: Path, node: yaml.Node, data: Any, refusals: Refusals) -> Iterator[Manifest]:
    if data is None:
        return
    if not isinstance(data, dict):
        raise UserError(
            "not a Kubernetes object",
            file=path,
            line=_line(node),
            found=type(data).__name__,
            expected="apiVersion, kind, metadata",
        )
    kind = data.get("kind")
    if not isinstance(kind, str) or not kind:
        raise UserError("kind is missing", file=path, line=_line(node), expected="kind: Deployment, or another")
    if kind == "List" or (kind.endswith("List") and isinstance(data.get("items"), list) and kind not in KINDS):
        items = data.get("items") or []
        if not isinstance(items, list):
            raise UserError("items is no list", file=path, line=_line_of(node, "items"), found=type(items).__name__)
        nodes = _child(node, "items")
        children = nodes.value if isinstance(nodes, yaml.SequenceNode) else []
        for item, child in zip(items, children, strict=False):
            yield from _objects(path, child, item, refusals)
        return
    yield _object(path, node, data, kind, refusals)


def _object(path: Path, node: yaml.Node, data: dict[str, Any], kind: str, refusals: Refusals) -> Manifest:
    known = KINDS.get(kind)
    if known is None:
        raise UserError(
            f"unknown kind {kind!r}",
            file=path,
            line=_line_of(node, "kind"),
            found=kind,
            expected=", ".join(sorted(KINDS)),
            hint=did_you_mean(kind, KINDS),
        )
    version = data.get("apiVersion")
    if version != known.api_version:
        raise UserError(
            f"{kind} of this version is not served",
            file=path,
            line=_line_of(node, "apiVersion"),
            found=version if version is not None else "no apiVersion",
            expected=known.api_version,
        )
    try:
        value = from_wire(data)
    except DecodeError as error:
        line = _line_of(node, error.path)
        told = _TYPES.match(error.message)
        if told is None:
            raise UserError(f"{kind}: {error.path}: {error.message}", file=path, line=line) from None
        what = f"{kind}: {error.path}: wrong type"
        raise UserError(what, file=path, line=line, found=told[2], expected=told[1]) from None
    name = value.metadata.name
    if not name and not value.metadata.generate_name:
        raise UserError(
            f"{kind} has no metadata.name",
            file=path,
            line=_line_of(node, "metadata"),
            found="neither name nor generateName",
            expected="a name",
        )
    _check(path, node, known, value, refusals)
    text = value.metadata.annotations.get(ARRIVAL, "0")
    try:
        arrival = parse_duration(text)
    except (ValueError, TypeError):
        where = f"metadata.annotations.{ARRIVAL}"
        raise UserError(
            f"{kind} {name}: {ARRIVAL}: not a duration",
            file=path,
            line=_line_of(node, where),
            found=text,
            expected="a duration since the run began, such as 90s, 1h30m or 250ms",
        ) from None
    return Manifest(arrival, value, kind, str(path), _line(node))


def _check(path: Path, node: yaml.Node, kind: Kind, value: Any, refusals: Refusals) -> None:
    """What the API server would refuse when the run is on its way is told before it begins, by file and line."""
    meta = value.metadata
    for cause in refusals(kind, value, meta.name or f"{meta.generate_name}00000"):
        raise UserError(
            f"{kind.kind} {meta.name or meta.generate_name}: {cause.field}: {cause.message}",
            file=path,
            line=_line_of(node, cause.field),
        )


def _check_unique(found: list[Manifest]) -> None:
    seen: dict[tuple[str, str, str], Manifest] = {}
    for manifest in found:
        meta = manifest.object.metadata
        if not meta.name:
            continue
        namespace = (meta.namespace or "default") if KINDS[manifest.kind].namespaced else ""
        first = seen.setdefault((manifest.kind, namespace, meta.name), manifest)
        if first is not manifest:
            raise UserError(
                f"{manifest.kind} {meta.key} is given twice",
                file=manifest.file,
                line=manifest.line,
                found=f"the first one is at {first.file}:{first.line}",
                expected="each name once",
            )


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                return value  # type: ignore[no-any-return]
    return None


def _line_of(node: yaml.Node, path: str) -> int:
    """Where a field path such as spec.containers[0].image is written; the nearest line above it when it is absent."""
    line = _line(node)
    current: yaml.Node | None = node
    while path and current is not None:
        path = path.lstrip(".")
        if path.startswith("["):
            index, _, path = path[1:].partition("]")
            if isinstance(current, yaml.MappingNode):
                current, _, at = _step(current, index)
                line = at or line
                continue
            items = current.value if isinstance(current, yaml.SequenceNode) else []
            current = items[int(index)] if index.isdigit() and int(index) < len(items) else None
        else:
            current, path, at = _step(current, path)
            line = at or line
            continue
        line = _line(current) if current is not None else line
    return line


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node | None, str, int]:
    """Into the key that the path begins with; keys of labels and annotations have dots of their own."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            key = name.value if isinstance(name, yaml.ScalarNode) else ""
            if key and path.startswith(key) and (path[len(key) :] or ".")[0] in ".[":
                return value, path[len(key) :], _line(name)
    return None, "", 0
