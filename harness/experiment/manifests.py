"""Kubernetes manifests with what the API server would refuse told before anything runs, by file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.apiserver.kinds import RULES, defaulted, problems
from harness.experiment.scenario import LoadedScenario
from harness.experiment.unmodelled import UNINTERPRETED, judged
from harness.measure.accounting import DEADLINE, deadline_ns
from harness.model.core import Node, Pod, PodSpec, ResourceList
from harness.model.cron_jobs import pod_template
from harness.model.loading import Document
from harness.model.meta import ApiObject
from harness.model.objects import KINDS, LIVE_ONLY, Kind, kind_of
from harness.model.quantity import too_much
from harness.model.schema import Visit
from harness.model.status import Cause
from harness.node.pod_annotations import READ_AS, shared_name, unreadable
from workloads.readers.manifests import Manifest, Rules, manifests_of, name_of, read_manifests

VERSIONS = {(kind, other.api_version): other.inward for kind, rules in RULES.items() for other in rules.versions}
"""Other versions that are served, too."""


def kinds_of_runs() -> dict[str, Kind]:
    """Those that files are read for; the others are left out with a notice."""
    return {name: kind for name, kind in KINDS.items() if name not in LIVE_ONLY}


def read_checked_manifests(
    paths: Sequence[Path], notices: Notices | None = None, kinds: Mapping[str, Kind] | None = None
) -> tuple[Manifest, ...]:
    """As `read_manifests`. Raises UserError, also for what the API server would refuse of an object alone, and for a
    field that bears on what is simulated and is not modelled; `notices` takes what is only told. Where it is lenient,
    it takes both."""
    notices = Notices() if notices is None else notices
    repeated = notices.see_repeated if notices.lenient else None
    kinds = kinds_of_runs() if kinds is None else kinds
    found = read_manifests(paths, Rules(refusals, notices.see, kinds, notices.see_skipped, repeated, VERSIONS))
    for manifest in found:
        notices.see_kind(manifest)
    return found


def checked_objects(loaded: LoadedScenario, items: Sequence[Any], where: str, notices: Notices) -> tuple[Manifest, ...]:
    """The same of objects that stand in the scenario itself."""
    documents = (loaded.document.part(f"{where}[{index}]", item) for index, item in enumerate(items))
    found = manifests_of(
        documents, Rules(refusals, notices.see, kinds_of_runs(), notices.see_skipped, versions=VERSIONS)
    )
    for manifest in found:
        notices.see_kind(manifest)
    return found


class Notices:
    """What manifests ask for and is not modelled, one line a kind and field."""

    def __init__(self, *, lenient: bool = False) -> None:
        self.lenient = lenient
        self._found: dict[tuple[str, str], tuple[str, int]] = {}

    def see(self, document: Document, visit: Visit) -> None:
        verdict = judged(visit)
        if verdict is None:
            return
        word, why = verdict
        data = document.data
        what = f"{data['kind']} {name_of(data)}: {visit.path} is not modelled: {why}"
        if word == "refused" and not self.lenient:
            raise document.error(visit.path, what, found=repr(visit.value)[:80], expected="the object without it")
        self._note((data["kind"], f"{visit.message}.{visit.field}"), document, visit.path, what)

    def see_kind(self, manifest: Manifest) -> None:
        why = UNINTERPRETED.get(manifest.kind)
        if why is not None:
            what = f"{manifest.kind} {manifest.object.metadata.name} is not modelled: {why}"
            self._note((manifest.kind, ""), manifest.document, "", what)

    def see_skipped(self, document: Document, what: str) -> None:
        data = document.data
        kind = str(data.get("kind", "")) if isinstance(data, dict) else ""
        self._note((kind, "skipped"), document, "kind", what)

    def see_repeated(self, document: Document, what: str) -> None:
        self._note((document.data["kind"], "repeated"), document, "", what)

    def _note(self, key: tuple[str, str], document: Document, path: str, what: str) -> None:
        first = self._found.get(key)
        if first is None:
            line = document.line_of(path)
            self._found[key] = (f"{document.file}{'' if line is None else f':{line}'}: {what}", 1)
        else:
            self._found[key] = (first[0], first[1] + 1)

    def __iter__(self) -> Iterator[str]:
        for text, count in self._found.values():
            yield text if count == 1 else f"{text} (and {count - 1} more)"


def check_object(loaded: LoadedScenario, obj: ApiObject, where: str) -> None:
    """Raises UserError for what the API server would refuse of an object that the scenario makes at `where`."""
    kind = KINDS[kind_of(obj)]
    for cause in refusals(kind, obj, obj.metadata.name or "made-00000"):
        own = cause.field.removeprefix("spec.") if ".taints[" in cause.field else cause.field.rpartition(".")[2]
        raise loaded.error(f"{where}.{own}", f"{kind.kind}: {cause.field}: {cause.message}")


def refusals(kind: Kind, obj: ApiObject, name: str) -> tuple[Cause, ...]:
    """What the API server would refuse of a new object, defaults filled in."""
    return (*problems(kind, defaulted(kind, obj), None, name), *_amounts(obj), *_annotations(obj), *_deadlines(obj))


def _annotations(obj: ApiObject) -> Iterator[Cause]:
    """What kubelets read in annotations and cannot read in these."""
    template, at = pod_template(obj)
    for meta, path in (
        (obj.metadata if isinstance(obj, Pod) else None, "metadata.annotations"),
        (getattr(template, "metadata", None), f"{at}.metadata.annotations"),
    ):
        for name, text in unreadable(meta.annotations) if meta is not None else ():
            expected = f"{text[:80]!r} is not {READ_AS[shared_name(name)]}"
            yield Cause(reason="FieldValueInvalid", field=f"{path}.{name}", message=f"Invalid value: {expected}")


def _deadlines(obj: ApiObject) -> Iterator[Cause]:
    """By when a job is to be complete, of a pod, or of a Job or its template."""
    template, at = pod_template(obj)
    for meta, path in ((obj.metadata, ""), (getattr(template, "metadata", None), f"{at}.")):
        text = meta.annotations.get(DEADLINE) if meta is not None else None
        if text is not None and deadline_ns(text) is None:
            message = f"Invalid value: {text[:80]!r} is not a duration above 0, as 90s or 1h30m"
            yield Cause(reason="FieldValueInvalid", field=f"{path}metadata.annotations.{DEADLINE}", message=message)


def _amounts(obj: ApiObject) -> Iterator[Cause]:
    """Resources of nodes and pods that columns of 64 bits do not hold."""
    template, at = pod_template(obj)
    spec, path = (obj.spec, "spec") if isinstance(obj, Pod) else (getattr(template, "spec", None), f"{at}.spec")
    lists: list[tuple[str, ResourceList]] = []
    if isinstance(obj, Node):
        lists = [("status.capacity", obj.status.capacity), ("status.allocatable", obj.status.allocatable)]
    elif isinstance(spec, PodSpec):
        for field, containers in (("containers", spec.containers), ("initContainers", spec.init_containers)):
            for index, container in enumerate(containers):
                where = f"{path}.{field}[{index}].resources"
                lists.append((f"{where}.requests", container.resources.requests))
                lists.append((f"{where}.limits", container.resources.limits))
        lists.append((f"{path}.overhead", spec.overhead))
    for where, resources in lists:
        for resource, quantity in resources.items():
            if problem := too_much(resource, quantity):
                yield Cause(reason="FieldValueInvalid", field=f"{where}.{resource}", message=problem)
