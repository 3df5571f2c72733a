"""What the API server does differently for one kind; what is left out is as for most kinds.

The counterpart of a kind's strategy and table converter in kubernetes/kubernetes pkg/registry. Names, scope, short
names and categories stand with the type, in `harness.model.objects`; everything else that depends on a kind is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from harness.apiserver.admission.plugin import Plugin
from harness.apiserver.admission.quota import Usage
from harness.apiserver.registry import lifecycle
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of
from harness.apiserver.validation.names import meta_problems, part_problems, subdomain_problem
from harness.model.meta import ApiObject, ObjectMeta
from harness.model.objects import Kind
from harness.model.status import Cause
from harness.model.wire import Json, Time

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
"""Finalizers. Source: metav1.FinalizerOrphanDependents, FinalizerDeleteDependents."""

ORPHAN_DEPENDENTS = "Orphan"
"""Propagation of a delete. Source: rest.OrphanDependents, the default of the oldest kinds (1.32)."""

Convert: TypeAlias = Callable[[Json], Json]


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """A second version that a kind is served in: how the stored version's JSON becomes this one's and back."""

    api_version: str
    outward: Convert
    inward: Convert


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Steps below an object; `selector`: none where it has no selector."""

    replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """What `kubectl get` prints. A column is 'Name', or 'Name*' when only `-o wide` shows it; a cell a column."""

    columns: tuple[str, ...]
    cells: Callable[[Json, Moment], list[Any]]


def _name_and_age(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), moment.age(created(obj))]


def _unset(*_: Any) -> Any:
    raise AssertionError("a default is put in its place")


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRules:
    kind: Kind

    # Written. Functions are pure; an object that needs no change is returned as it is.
    defaults: Callable[[Any], Any] | None = None
    admission: tuple[type[Plugin], ...] = ()
    """Plugins that only this kind's writes pass, in order; the general ones stand in `harness.apiserver.server`."""
    name_problem: Callable[[str], str] = subdomain_problem
    """Why an object cannot have this name; empty when it can."""
    validate: Callable[[Any, Any], list[Cause]] | None = None
    """(new, old or None) -> what is wrong besides metadata."""
    problems: Callable[[Any, Any, str], tuple[Cause, ...]] = _unset
    """(new, old or None, name, a generated one included) -> what is wrong. By default metadata's, then `validate`'s."""
    status_problems: Callable[[Any, Any], list[Cause]] | None = None
    """(new, old) -> what is wrong with a write of the status."""
    from_client: Callable[[Any], Any] | None = None
    """What an object gets besides when a client creates it, and no component of the cluster."""
    deprecated: str = ""
    """What a client that asks for it in any way is told besides the answer."""
    warnings: Callable[[Any], list[str]] | None = None
    """What a client that writes it is told besides the answer."""
    fixed: tuple[str, ...] = ()
    """Fields beside metadata, of a kind that no type models, that an update leaves as they are."""
    counts_generation: bool = False
    """metadata.generation counts changes of what is wanted."""
    on_create: Callable[[Any, ObjectMeta], Any] = _unset
    """(object, the metadata that it gets) -> a new object. By default no status is taken from a client."""

    # Deleted.
    grace_s: Callable[[Any, int | None], int] | None = None
    """(object, seconds asked for) -> seconds that it stays after a delete; none by default."""
    on_delete: Callable[[Any], Any] | None = None
    """What else changes when deletion is asked for and the object stays for now."""
    is_held: Callable[[Any], bool] | None = None
    """Whether something besides grace and finalizers holds an object whose deletion was asked for."""
    propagation: str = ""
    """Of a delete that does not say; '' is Background. Source: DefaultGarbageCollectionPolicy in pkg/registry."""
    returned_when_deleted: bool = False
    """A delete answers with the object, even when it is gone. Source: ReturnDeletedObject in pkg/registry."""

    # Counted by ResourceQuota.
    counted: bool = True
    quota_name: str = ""
    """The quota resource of its own that counts it, besides count/<plural>.<group>."""
    usage: Callable[[Any, int], Usage] | None = None
    """(object, now) -> what it uses besides count/<plural>.<group>; one of `quota_name` by default."""

    # Read.
    table: Table = Table(("Name", "Age"), _name_and_age)
    fields: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    """What a field selector can name besides metadata.name and metadata.namespace."""

    # On the wire.
    complete_wire: Callable[[Json], None] | None = None
    """Adds what Go always sends to an object's JSON."""
    merge_keys: Mapping[str, str | None] = field(default_factory=dict)
    """Path of a list to its merge key in a strategic merge patch, where the field's name alone does not say."""
    versions: tuple[OtherVersion, ...] = ()
    subresources: tuple[str, ...] = ()
    """Besides status and scale."""
    schemas: Mapping[str, Json] = field(default_factory=dict)
    """By version: the OpenAPI schema of a kind that users define."""
    scale_paths: ScalePaths | None = None
    """Where the scale subresource finds its numbers, in a kind that no type models."""
    read_only: str = ""
    """Why clients read it, and neither write nor watch it; empty where they do."""

    # -- what the server asks ------------------------------------------------------------------------------------------

    def __post_init__(self) -> None:
        # The path of every pod calls these two; a default that is looked up at each call would cost it.
        if self.problems is _unset:
            object.__setattr__(self, "problems", self._problems)
        if self.on_create is _unset:
            object.__setattr__(self, "on_create", self._on_create)

    def _problems(self, new: ApiObject, old: ApiObject, name: str) -> tuple[Cause, ...]:
        meta = new.metadata
        found = meta_problems(meta, name, self.name_problem) if old is None else part_problems(meta)
        if self.validate is not None:
            found += self.validate(new, old)
        return tuple(found)

    def _on_create(self, obj: ApiObject, meta: ObjectMeta) -> Any:
        return replaced(lifecycle.without_status(obj) if self.kind.status else obj, metadata=meta)

    def updated(self, old: ApiObject, new: ApiObject) -> Any:
        """`new` with what clients cannot change kept from `old`."""
        if self.kind.status:
            new = lifecycle.with_status(new, old)
        if self.fixed:
            kept = {name: value for name, value in (old.extra or {}).items() if name in self.fixed}
            new = replaced(new, extra={**(new.extra or {}), **kept})
        return lifecycle.updated(old, new, counts_generation=self.counts_generation)

    def goes_at_once(self, old: ApiObject, propagation: str) -> bool:
        """Whether nothing can hold `old` when its deletion is asked for: what `mark_deleting` and `is_deletable` say of
        most kinds, without an object that is made for it."""
        if (
            old.metadata.finalizers
            or self.grace_s is not None
            or self.is_held is not None
            or self.on_delete is not None
        ):
            return False
        return (propagation or self.propagation) in ("", "Background")

    def mark_deleting(self, old: ApiObject, now: int, grace_s: int | None, propagation: str) -> Any:
        """`old` with deletion asked for: it stays for its grace, and for its finalizers."""
        meta = old.metadata
        finalizers = meta.finalizers
        if not propagation and ORPHAN not in finalizers and FOREGROUND not in finalizers:
            propagation = self.propagation
        if propagation == "Foreground" and FOREGROUND not in finalizers:
            finalizers = (*finalizers, FOREGROUND)
        if propagation == "Orphan" and ORPHAN not in finalizers:
            finalizers = (*finalizers, ORPHAN)
        grace = 0 if self.grace_s is None else self.grace_s(old, grace_s)
        since = now
        if meta.deletion_timestamp is not None:
            # Asked again: grace may only become shorter.
            grace = min(grace, meta.deletion_grace_period_seconds or 0)
            since = meta.deletion_timestamp - (meta.deletion_grace_period_seconds or 0) * 10**9
        new = replaced(
            old,
            metadata=replaced(
                meta,
                finalizers=finalizers,
                deletion_timestamp=Time(since + grace * 10**9),
                deletion_grace_period_seconds=grace,
            ),
        )
        return new if self.on_delete is None else self.on_delete(new)

    def is_deletable(self, obj: ApiObject) -> bool:
        """Nothing holds it any more: deletion was asked for, and no finalizer, no grace is left."""
        meta = obj.metadata
        if meta.deletion_timestamp is None or meta.finalizers or meta.deletion_grace_period_seconds:
            return False
        return self.is_held is None or not self.is_held(obj)
