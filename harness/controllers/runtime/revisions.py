"""The versions of the template of a StatefulSet or a DaemonSet, each kept in a ControllerRevision.

Source: pkg/controller/history/controller_history.go; statefulset/stateful_set_utils.go newRevision (master);
daemon/update.go snapshot, cleanupHistory (1.32).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from harness.controllers.runtime.controller_refs import adopted
from harness.controllers.runtime.pods import owner_reference
from harness.controllers.runtime.template_hash import template_hash
from harness.engine.component import Create, Update
from harness.model.core import PodTemplateSpec
from harness.model.meta import ObjectMeta
from harness.model.objects import kind_of
from harness.model.wire import decode, encode
from harness.model.workloads import ControllerRevision, DaemonSet, StatefulSet

HASH = "controller.kubernetes.io/hash"
"""Label of a StatefulSet's ControllerRevision. Source: history.ControllerRevisionHashLabel."""


def data_of(template: PodTemplateSpec) -> dict[str, object]:
    """The patch that brings the template back. Source: getPatch."""
    return {"spec": {"template": {**encode(template), "$patch": "replace"}}}


def template_of(revision: ControllerRevision) -> PodTemplateSpec:
    """Source: ApplyRevision."""
    kept = {**revision.data["spec"]["template"]}
    kept.pop("$patch", None)
    return decode(PodTemplateSpec, kept)


def by_age(revision: ControllerRevision) -> tuple[int, int, str]:
    """Source: byRevision."""
    return revision.revision, revision.metadata.creation_timestamp or 0, revision.metadata.name


def new_revision(
    owner: StatefulSet | DaemonSet, number: int, collisions: int, taken: Container[str], label: str = HASH
) -> tuple[ControllerRevision, int]:
    """(a revision of the template as it is, how many names were found taken so far). A name that another has is passed
    over, also where the other holds the same data, which Kubernetes would share. `label`: that says the hash."""
    meta, template = owner.metadata, owner.spec.template
    hashed = template_hash(template, collisions)
    while f"{meta.namespace}/{meta.name}-{hashed}" in taken:
        collisions += 1
        hashed = template_hash(template, collisions)
    made = ControllerRevision(
        metadata=ObjectMeta(
            namespace=meta.namespace,
            name=f"{meta.name}-{hashed}",
            labels={**template.metadata.labels, label: hashed},
            annotations=meta.annotations,
            owner_references=(owner_reference(owner, "apps/v1", kind_of(owner)),),
        ),
        data=data_of(template),
        revision=number,
    )
    return made, collisions


class NextRevision(NamedTuple):
    """`number`: that the newest revision is to have. `earlier`: the one that has the template already and is to be
    renumbered; None where a new one is to be created."""

    number: int
    earlier: ControllerRevision | None


def next_revision(template: PodTemplateSpec, known: Sequence[ControllerRevision]) -> NextRevision | None:
    """What makes `template` the newest revision; None where it is. `known`: the owner's revisions, oldest first.

    Source: statefulset/stateful_set_control.go getStatefulSetRevisions; daemon/update.go constructHistory.
    """
    data = data_of(template)
    same = next((item for item in reversed(known) if item.data == data), None)
    if same is not None and same is known[-1]:
        return None
    return NextRevision(known[-1].revision + 1 if known else 1, same)


def to_forget(
    revisions: Sequence[ControllerRevision], live: Collection[str], limit: int | None
) -> list[ControllerRevision]:
    """The oldest of those that nobody uses, beyond `limit` (10 by default). Source: truncateHistory."""
    unused = [item for item in revisions if item.metadata.name not in live]
    return unused[: max(len(unused) - (10 if limit is None else limit), 0)]


class RevisionHistory:
    """The revisions of the owners of one kind, by the owner's uid, and what is on its way to be written."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, ControllerRevision]] = {}  # uid -> key -> revision
        self._marking: dict[str, int] = {}  # uid -> the number of a revision that was written, and not seen yet

    def changed(self, old: ControllerRevision | None, new: ControllerRevision | None) -> str:
        """A revision was written or is gone: its owner's uid."""
        seen = new if new is not None else old
        owner = None if seen is None else seen.metadata.controller()
        if seen is None or owner is None:
            return ""
        held = self._held.setdefault(owner.uid, {})
        if new is None:
            held.pop(seen.metadata.key, None)
            if not held:
                del self._held[owner.uid]
        else:
            held[new.metadata.key] = new
            if self._marking.get(owner.uid, 0) <= new.revision:
                self._marking.pop(owner.uid, None)
        return owner.uid

    def is_marking(self, uid: str) -> bool:
        return uid in self._marking

    def not_marked(self, uid: str) -> None:
        """What was to be written was refused, or its owner is gone."""
        self._marking.pop(uid, None)

    def mark(
        self, owner: DaemonSet, label: str, token: str, there: Mapping[str, ControllerRevision]
    ) -> Create | Update | None:
        """The write that gives the template as it is the newest revision; None where it has it. One of an earlier owner
        that nobody controls is adopted, another's name is passed over. `there`: all revisions, by key."""
        uid, template = owner.metadata.uid, owner.spec.template
        wanted = next_revision(template, self._known(uid))
        if wanted is None:
            return None
        self._marking[uid] = wanted.number
        if wanted.earlier is not None:
            return Update(replace(wanted.earlier, revision=wanted.number), "", token)
        meta = owner.metadata
        orphan = there.get(f"{meta.namespace}/{meta.name}-{template_hash(template, 0)}")
        if orphan is not None and orphan.data == data_of(template) and orphan.metadata.controller() is None:
            adopter = owner_reference(owner, "apps/v1", "DaemonSet")
            return Update(adopted(replace(orphan, revision=wanted.number), adopter), "", token)
        return Create(new_revision(owner, wanted.number, 0, there, label)[0], token)

    def unused(self, owner: DaemonSet, hashes: Iterable[str]) -> list[ObjectMeta]:
        """Old revisions that are too many. `hashes`: of the pods' templates."""
        meta = owner.metadata
        known = self._known(meta.uid)
        if len(known) < 2:
            return []
        live = {f"{meta.name}-{hashed}" for hashed in hashes} | {known[-1].metadata.name}
        return [item.metadata for item in to_forget(known, live, owner.spec.revision_history_limit)]

    def _known(self, uid: str) -> list[ControllerRevision]:
        return sorted(self._held.get(uid, {}).values(), key=by_age)
