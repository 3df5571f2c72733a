"""Plain Kubernetes manifests as a workload: YAML or JSON, several documents, kind List; errors name file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from harness.model.errors import UserError, did_you_mean
from harness.model.loading import DUMP, STDIN, Document, load_all, read_text
from harness.model.objects import KINDS, Kind, from_wire
from harness.model.schema import Visit, walk
from harness.model.status import Cause
from harness.model.times import parse_duration
from harness.model.wire import DecodeError

ARRIVAL = "podyard.dev/arrival"
"""Annotation: when the object is created, a duration since the run began ('90s'); at 0 without it."""

OWN = "podyard.dev/"
ANNOTATIONS = (
    "podyard.dev/arrival",
    "podyard.dev/cpu-per-request",
    "podyard.dev/cpu-usage",
    "podyard.dev/duration",
    "podyard.dev/exit-code",
    "podyard.dev/free",
    "podyard.dev/rank",
    "podyard.dev/ready-after",
    "podyard.dev/standing",
    "podyard.dev/stop-after",
    "podyard.dev/unhealthy-after",
)
"""Annotations of our own that mean something; another one is a typo."""

Refusals: TypeAlias = Callable[[Kind, Any, str], Iterable[Cause]]
"""(kind, object, its name or what a generated one may be) -> what an API server would refuse of the object alone."""

Noticed: TypeAlias = Callable[[Document, Visit], None]
"""Told of each field that is written, and may raise UserError for it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What manifests are held against. `kinds`: those that are known."""

    refusals: Refusals
    noticed: Noticed = lambda document, visit: None
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)


_FORM = "Kubernetes manifests in YAML or JSON"
_TYPES = re.compile(r"expected (.+), found (.+)", re.DOTALL)
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object, as typed as the model knows it, and where it was written."""

    arrival_ns: int
    object: Any
    kind: str
    document: Document

    @property
    def file(self) -> str:
        return self.document.file

    @property
    def line(self) -> int:
        return self.document.line_of() or 1


def read_manifests(paths: Sequence[Path], rules: Rules) -> tuple[Manifest, ...]:
    """All objects of files and folders (their .yaml, .yml and .json files by name), by arrival, then as written;
    "-" is standard input.

    Raises UserError with file and line for text that is no YAML, a key or a name that is given twice, an unknown kind
    or version, a field of a wrong type, a missing name, and whatever `rules` find.
    """
    found: list[Manifest] = []
    for path in paths:
        for file in _files(path):
            found.extend(_read(file, rules))
    if not found:
        raise UserError(
            "no objects",
            file=paths[0] if paths else None,
            found="nothing but comments and empty documents, if that",
            expected="Kubernetes manifests: apiVersion, kind, metadata",
        )
    return _in_order(found, rules)


def manifests_of(documents: Iterable[Document], rules: Rules) -> tuple[Manifest, ...]:
    """The objects of documents that somebody has read, as of files."""
    return _in_order([manifest for document in documents for manifest in _objects(document, rules)], rules)


def _in_order(found: list[Manifest], rules: Rules) -> tuple[Manifest, ...]:
    _check_unique(found, rules.kinds)
    return tuple(sorted(found, key=lambda manifest: manifest.arrival_ns))


def _files(path: Path) -> list[Path]:
    try:
        if path == STDIN or not path.is_dir():
            return [path]
        return sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise UserError("the folder cannot be read", file=path, found=found, expected=_FORM) from None


def _read(path: Path, rules: Rules) -> Iterator[Manifest]:
    for document in load_all(read_text(path, expected=_FORM), path, DUMP):
        yield from _objects(document, rules)


def _objects(document: Document, rules: Rules) -> Iterator[Manifest]:
    data = document.data
    if not isinstance(data, dict):
        found, expected = type(data).__name__, "apiVersion, kind, metadata"
        raise document.error("", "not a Kubernetes object", found=found, expected=expected)
    kind = data.get("kind")
    if not isinstance(kind, str) or not kind:
        found = "nothing" if kind is None else repr(kind)[:80]
        raise document.error("kind", "kind is missing", found=found, expected="kind: Deployment, or another")
    if kind == "List" or (kind.endswith("List") and isinstance(data.get("items"), list) and kind not in rules.kinds):
        items = data.get("items") or []
        if not isinstance(items, list):
            raise document.error("items", "items is no list", found=type(items).__name__)
        for index, item in enumerate(items):
            yield from _objects(document.part(f"items[{index}]", item), rules)
        return
    yield _object(document, data, kind, rules)


def _object(document: Document, data: dict[str, Any], kind: str, rules: Rules) -> Manifest:
    known = rules.kinds.get(kind)
    if known is None:
        raise document.error(
            "kind",
            f"unknown kind {kind!r}",
            found=kind,
            expected=", ".join(sorted(rules.kinds)),
            hint=did_you_mean(kind, rules.kinds),
        )
    version = data.get("apiVersion")
    if version != known.api_version:
        raise document.error(
            "apiVersion",
            f"{kind} of this version is not served",
            found=version if version is not None else "no apiVersion",
            expected=known.api_version,
        )
    _check_fields(document, data, known, rules)
    try:
        value = from_wire(data)
    except DecodeError as error:
        types = _TYPES.match(error.message)
        if types is None:
            raise document.error(error.path, f"{kind}: {error.path}: {error.message}") from None
        what = f"{kind}: {error.path}: wrong type"
        raise document.error(error.path, what, found=types[2][:80], expected=types[1]) from None
    name = value.metadata.name
    if not name and not value.metadata.generate_name:
        found = "neither name nor generateName"
        raise document.error("metadata", f"{kind} has no metadata.name", found=found, expected="a name")
    _check(document, known, value, rules)
    text = value.metadata.annotations.get(ARRIVAL, "0")
    try:
        arrival = parse_duration(text)
    except (ValueError, TypeError):
        expected = "a duration since the run began, such as 90s, 1h30m or 250ms"
        where, what = f"metadata.annotations.{ARRIVAL}", f"{kind} {name}: {ARRIVAL}: not a duration"
        raise document.error(where, what, found=text, expected=expected) from None
    return Manifest(arrival, value, kind, document)


def _check_fields(document: Document, data: dict[str, Any], kind: Kind, rules: Rules) -> None:
    """A field that is not in the schema is an error: a typo must not change what is simulated."""
    for found in walk(kind.api_version, kind.kind, data):
        if isinstance(found, Visit):
            rules.noticed(document, found)
            if found.field == "annotations" and isinstance(found.value, dict):
                _check_annotations(document, found)
            continue
        what = f"{kind.kind} {name_of(data)}: {found.path}: {found.what}"
        raise document.error(found.path, what, found=found.found, expected=found.expected, hint=found.hint)


def _check_annotations(document: Document, visit: Visit) -> None:
    for name in visit.value:
        if name.startswith(OWN) and name not in ANNOTATIONS:
            path, expected = f"{visit.path}.{name}", ", ".join(ANNOTATIONS)
            what = f"{path}: there is no such annotation"
            raise document.error(path, what, found=name, expected=expected, hint=did_you_mean(name, ANNOTATIONS))


def name_of(data: dict[str, Any]) -> str:
    """Of an object as plain data, as far as it has one."""
    metadata = data.get("metadata")
    name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else "without a name"


def _check(document: Document, kind: Kind, value: Any, rules: Rules) -> None:
    """What the API server would refuse when the run is on its way is told before it begins, by file and line."""
    meta = value.metadata
    for cause in rules.refusals(kind, value, meta.name or f"{meta.generate_name}00000"):
        what = f"{kind.kind} {meta.name or meta.generate_name}: {cause.field}: {cause.message}"
        raise document.error(cause.field, what)


def _check_unique(found: list[Manifest], kinds: Mapping[str, Kind]) -> None:
    seen: dict[tuple[str, str, str], Manifest] = {}
    for manifest in found:
        meta = manifest.object.metadata
        if not meta.name:
            continue
        namespace = (meta.namespace or "default") if kinds[manifest.kind].namespaced else ""
        first = seen.setdefault((manifest.kind, namespace, meta.name), manifest)
        if first is not manifest:
            raise UserError(
                f"{manifest.kind} {meta.key} is given twice",
                file=manifest.file,
                line=manifest.line,
                found=f"the first one is at {first.file}:{first.line}",
                expected="each name once",
            )
