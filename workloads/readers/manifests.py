"""Plain Kubernetes manifests as a workload: YAML or JSON, several documents, kind List; errors name file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias

from harness.model.errors import UserError, did_you_mean
from harness.model.field_types import check_fields
from harness.model.loading import DUMP, STDIN, Document, load_all, read_text
from harness.model.objects import KINDS, Kind, from_wire
from harness.model.schema import Visit, is_known, walk
from harness.model.status import Cause
from harness.model.times import parse_duration
from harness.model.whole_numbers import whole_number
from harness.model.wire import DecodeError
from workloads.readers.not_manifests import checked_text

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
    "podyard.dev/memory-per-rps",
    "podyard.dev/memory-usage",
    "podyard.dev/rank",
    "podyard.dev/ready-after",
    "podyard.dev/standing",
    "podyard.dev/stop-after",
    "podyard.dev/unhealthy-after",
    "podyard.dev/deadline",
    "podyard.dev/dependency",
    "podyard.dev/estimated-duration",
    "podyard.dev/think-time",
)
"""Annotations of our own that mean something; another one is a typo."""

OF_CONTAINERS = tuple(
    f"podyard.dev/{name}." for name in ("duration", "exit-code", "ready-after", "stop-after", "unhealthy-after")
)
"""Of these, what may be about one container, whose name follows."""

Refusals: TypeAlias = Callable[[Kind, Any, str], Iterable[Cause]]
"""(kind, object, its name or what a generated one may be) -> what an API server would refuse of the object alone."""

Noticed: TypeAlias = Callable[[Document, Visit], None]
"""Told of each field that is written, and may raise UserError for it."""


Convert: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

Skipped: TypeAlias = Callable[[Document, str], None]
"""Told of a document that is left out, and what that may change."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What manifests are held against. `kinds`: those that are known."""

    refusals: Refusals
    noticed: Noticed = lambda document, visit: None
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    skipped: Skipped | None = None  # without it, a kind that is not known here is an error
    repeated: Skipped | None = None  # without it, an object that is given twice is an error
    versions: Mapping[tuple[str, str], Convert] = field(default_factory=dict)
    """By (kind, apiVersion): how an object of another version becomes one of the version that is known."""


_FORM = "Kubernetes manifests in YAML or JSON"
_TYPES = re.compile(r"expected (.+), found (.+)", re.DOTALL)
_TEXTS = (".yaml", ".yml", ".json", ".jsonl", ".ndjson")
_SUFFIXES = (*_TEXTS, *(f"{suffix}.gz" for suffix in _TEXTS))


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
    """All objects of files and folders (their .yaml, .yml, .json and .jsonl files by path, packed by gzip or not,
    subfolders included), by arrival, then as written; "-" is standard input. Lists may be of one kind (PodList), and
    exports of kube-scheduler-simulator.

    Raises UserError with file and line for text that is no YAML, a key or a name that is given twice, an unknown kind
    or version, a field of a wrong type, a missing name, and whatever `rules` find.
    """
    found: list[Manifest] = []
    for path in paths:
        for file, of_folder in _files(path):
            found.extend(_read(file, of_folder, rules))
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
    found = _unique(found, rules)
    return tuple(sorted(found, key=lambda manifest: manifest.arrival_ns))


def _files(path: Path) -> list[tuple[Path, bool]]:
    """(file, whether it was found in a folder); hidden files and folders are left out."""
    try:
        if path == STDIN or not path.is_dir():
            return [(path, False)]
        below = (file for file in path.rglob("*") if file.name.lower().endswith(_SUFFIXES) and file.is_file())
        return [(file, True) for file in sorted(below) if not any(p[0] == "." for p in file.relative_to(path).parts)]
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise UserError("the folder cannot be read", file=path, found=found, expected=_FORM) from None


def _read(path: Path, of_folder: bool, rules: Rules) -> Iterator[Manifest]:
    text = checked_text(read_text(path, expected=_FORM, any_form=True), path)
    for document in load_all(text, path, DUMP):
        data = document.data
        if (
            of_folder
            and rules.skipped is not None
            and not (isinstance(data, dict) and {"apiVersion", "kind"} & {*data})
        ):
            rules.skipped(document, "this is no Kubernetes object, and is left out")
            continue
        yield from _objects(document, rules)


EXPORTED = {
    "namespaces": ("v1", "Namespace"), "priorityClasses": ("scheduling.k8s.io/v1", "PriorityClass"),
    "storageClasses": ("storage.k8s.io/v1", "StorageClass"), "nodes": ("v1", "Node"), "pvs": ("v1", "PersistentVolume"),
    "pvcs": ("v1", "PersistentVolumeClaim"), "pods": ("v1", "Pod"),
}  # fmt: skip
"""Of an export of kube-scheduler-simulator, besides schedulerConfig.
Source: kubernetes-sigs/kube-scheduler-simulator simulator/snapshot/snapshot.go (2084fc1), ResourcesForSnap."""


def _exported(document: Document, rules: Rules) -> Iterator[Manifest]:
    if document.data.get("schedulerConfig") and rules.skipped is not None:
        rules.skipped(
            document, "schedulerConfig is left out: it goes into a file of its own, --scheduler kube?config=.."
        )
    for name, (version, kind) in EXPORTED.items():
        items = document.data.get(name) or []
        if not isinstance(items, list):
            raise document.error(name, f"{name} is no list", found=type(items).__name__)
        for index, item in enumerate(items):
            yield from _items(document, f"{name}[{index}]", item, version, kind, rules)


def _items(document: Document, path: str, item: Any, version: str, kind: str, rules: Rules) -> Iterator[Manifest]:
    """An item of a list of one kind, which need not say what it is."""
    if isinstance(item, dict) and "kind" not in item:
        item = {"apiVersion": version, "kind": kind, **item}
    yield from _objects(document.part(path, item), rules)


_SHOWN = {
    "Table": "is a table, as the API server makes it for people",
    "PartialObjectMetadata": "has the metadata alone",
    "PartialObjectMetadataList": "has the metadata alone",
}
"""Kinds of meta.k8s.io in which the API server shows objects. Source: apimachinery pkg/apis/meta/v1/types.go."""


def _objects(document: Document, rules: Rules) -> Iterator[Manifest]:
    data = document.data
    if not isinstance(data, dict):
        found = f"{type(data).__name__}: {data}"[:80] if isinstance(data, str | int | float) else type(data).__name__
        expected, hint = "apiVersion, kind, metadata", "kubectl get .. -o yaml, or helm template .."
        raise document.error("", "not a Kubernetes object", found=found, expected=expected, hint=hint)
    kind = data.get("kind")
    if kind is None and data and {*data} <= {*EXPORTED, "schedulerConfig"}:
        yield from _exported(document, rules)
        return
    if not isinstance(kind, str) or not kind:
        found = "nothing" if kind is None else repr(kind)[:80]
        if isinstance(data.get("object"), dict) and isinstance(data.get("type"), str):
            what, hint = "an event of a watch, which is no object", "kubectl get .. -o json, without --watch"
            raise document.error("type", what, found=data["type"][:80], expected="objects", hint=hint)
        raise document.error("kind", "kind is missing", found=found, expected="kind: Deployment, or another")
    if kind in _SHOWN and str(data.get("apiVersion", "")).startswith("meta.k8s.io/"):
        hint = "ask with Accept: application/json, or kubectl get .. -o json"
        raise document.error("kind", f"this {_SHOWN[kind]}", found=kind, expected="whole objects", hint=hint)
    listed = isinstance(data.get("items"), list) or kind[:-4] in rules.kinds
    if kind == "List" or (kind.endswith("List") and listed and kind not in rules.kinds):
        items = [] if data.get("items") is None else data["items"]  # a client of Go writes one without items as null
        about = data.get("metadata")
        if isinstance(about, dict) and about.get("continue"):
            more = about.get("remainingItemCount")
            found = "more follow" if more is None else f"{more} more follow"
            hint = "kubectl get reads all pages; ask the API server without a limit"
            raise document.error(
                "metadata.continue", "one page of a list", found=found, expected="the whole list", hint=hint
            )
        if not isinstance(items, list):
            raise document.error("items", "items is no list", found=type(items).__name__)
        version = str(data.get("apiVersion", ""))
        for index, item in enumerate(items):
            if kind == "List":
                yield from _objects(document.part(f"items[{index}]", item), rules)
            else:
                yield from _items(document, f"items[{index}]", item, version, kind.removesuffix("List"), rules)
        return
    unseen = kind not in rules.kinds
    reason = _out_of_sight(data, kind) if unseen and rules.skipped is not None else ""
    if reason and rules.skipped is not None:
        rules.skipped(document, f"{kind} {name_of(data)} is left out: {reason}")
        return
    yield _object(document, data, kind, rules)


def _out_of_sight(data: dict[str, Any], kind: str) -> str:
    """What it may change that a kind is not known here; '' for what is rather a typo."""
    version = data.get("apiVersion")
    if not isinstance(version, str):
        return ""
    group = version.rpartition("/")[0]
    if is_known(version, kind):
        return "nothing here looks at it"
    if "." in group and not group.endswith(".k8s.io"):
        return "what its controller would make of it, pods too, is not there"
    of_group = [name for name, known in KINDS.items() if known.api_version.rpartition("/")[0] == group]
    typo = get_close_matches(kind, of_group, n=1, cutoff=0.8)
    return "nothing here looks at it" if group.endswith(".k8s.io") and not typo else ""


def _object(document: Document, data: dict[str, Any], kind: str, rules: Rules) -> Manifest:
    known = rules.kinds.get(kind)
    if known is None and kind == "Status" and "status" in data:
        found, hint = str(data.get("message"))[:200], "whoever asked for it may not, or it is not there"
        what = "an answer of the API server, which is no object"
        raise document.error("message", what, found=found, expected="objects", hint=hint)
    if known is None:
        raise document.error(
            "kind",
            f"unknown kind {kind!r}",
            found=kind,
            expected=", ".join(sorted(rules.kinds)),
            hint=did_you_mean(kind, rules.kinds),
        )
    version = data.get("apiVersion")
    convert = rules.versions.get((kind, version)) if isinstance(version, str) else None
    if version != known.api_version and convert is None:
        others = [other for of, other in rules.versions if of == kind]
        raise document.error(
            "apiVersion",
            f"{kind} of this version is not served",
            found=version if version is not None else "no apiVersion",
            expected=" or ".join((known.api_version, *others)),
            hint=None if version is None else f"kubectl convert -f FILE --output-version {known.api_version}",
        )
    _check_fields(document, data, known, rules)
    try:
        value = from_wire(data if convert is None else convert(data))
    except DecodeError as error:
        types = _TYPES.match(error.message)
        if types is None:
            hint = "kubectl apply --dry-run=server says what is meant"
            if "quantity" in error.message:
                hint = "a number and m, k, M, G, Ki, Mi or Gi, without a space"
            raise document.error(error.path, f"{kind}: {error.path}: {error.message}", hint=hint) from None
        what = f"{kind}: {error.path}: wrong type"
        raise document.error(error.path, what, found=types[2][:80], expected=types[1]) from None
    for path, what in check_fields(known, str(version), data)[1].wrong:  # of fields that nobody here reads, and int32
        raise document.error(path, f"{kind} {name_of(data)}: {path}: {what}")
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
    for found in walk(data["apiVersion"], kind.kind, data):
        if isinstance(found, Visit):
            rules.noticed(document, found)
            if found.field == "annotations" and isinstance(found.value, dict):
                _check_annotations(document, found)
            continue
        what = f"{kind.kind} {name_of(data)}: {found.path}: {found.what}"
        raise document.error(found.path, what, found=found.found, expected=found.expected, hint=found.hint)


def _check_annotations(document: Document, visit: Visit) -> None:
    for name in visit.value:
        if name.startswith(OWN) and name not in ANNOTATIONS and not name.startswith(OF_CONTAINERS):
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


def _unique(found: list[Manifest], rules: Rules) -> list[Manifest]:
    """One of each object: where the same one (by its uid) may be given twice, as in dumps that overlap, the newest."""
    seen: dict[tuple[str, str, str], Manifest] = {}
    left_out: set[int] = set()
    for manifest in found:
        meta = manifest.object.metadata
        if not meta.name:
            continue
        namespace = (meta.namespace or "default") if rules.kinds[manifest.kind].namespaced else ""
        key = (manifest.kind, namespace, meta.name)
        first = seen.setdefault(key, manifest)
        if first is manifest:
            continue
        what = f"{manifest.kind} {meta.key} is given twice"
        if rules.repeated is None or not meta.uid or meta.uid != first.object.metadata.uid:
            raise UserError(
                what,
                file=manifest.file,
                line=manifest.line,
                found=f"the first one is at {first.file}:{first.line}",
                expected="each name once",
                hint="take one of the two away",
            )
        older = first if _revision(manifest) >= _revision(first) else manifest
        seen[key] = manifest if older is first else first
        left_out.add(id(older))
        rules.repeated(older.document, f"{what}, with the same uid; the newer one counts")
    return [manifest for manifest in found if id(manifest) not in left_out]


def _revision(manifest: Manifest) -> int:
    return whole_number(manifest.object.metadata.resource_version or "0") or 0
