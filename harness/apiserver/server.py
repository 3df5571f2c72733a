"""The one door: every read and write of API objects, in process or over HTTP, ends in these methods.

In process values pass typed and unencoded; a write costs microseconds. The server keeps the latest version of each
object beside the store (what kube-apiserver calls its watch cache) and can rebuild it from the store alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.apiserver.admission.chain import AdmissionChain
from harness.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from harness.apiserver.admission.plugin import AdmissionRequest
from harness.apiserver.admission.resource_quota import ResourceQuota
from harness.apiserver.kinds import RULES, KindRules, usage_of
from harness.apiserver.registry import ephemeral, eviction, lifecycle
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.names import LONGEST_PREFIX, Names, suffix
from harness.apiserver.watch_cache import WatchCache, prefix_of
from harness.engine.component import ADDED, DELETED, MODIFIED
from harness.engine.scrapes import scrapes_of
from harness.model.constants import DEFAULTS, Constants
from harness.model.core import Event
from harness.model.meta import ApiObject, Condition, ObjectMeta, with_condition
from harness.model.objects import BY_TYPE, KINDS, Kind, Pod, Unstructured, kind_of
from harness.model.status import (
    MODIFIED_MEANWHILE,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
)
from harness.model.wire import Time
from harness.store.interface import Store

Listener: TypeAlias = Callable[[Kind, str, Any, Any, int], None]
"""(kind, ADDED/MODIFIED/DELETED, object, what it was before, revision): told of each write, in order."""

Finish: TypeAlias = Callable[[Any, Any], Any]
"""(object as it is to be written, what it was or None) -> the same with what only a client's door keeps of it."""

CREATED_AT_ONCE = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Source: kubernetes/pkg/controlplane/controller/systemnamespaces."""


def _check_status(rules: KindRules, new: ApiObject, old: ApiObject | None) -> None:
    """Raises ApiError Invalid."""
    if rules.status_problems is not None:
        causes = rules.status_problems(new, old)
        if causes:
            raise invalid(rules.kind.wire, new.metadata.name, tuple(causes), rules.kind.group)


def kind_for(obj: ApiObject) -> Kind:
    """Raises ApiError BadRequest for an object of a kind that nobody registered."""
    known = BY_TYPE.get(type(obj))
    if known is not None:
        return known
    assert isinstance(obj, Unstructured), type(obj)
    name = kind_of(obj)
    if name not in KINDS:
        raise bad_request(f"no kind {name!r} is registered")
    if KINDS[name].type is not Unstructured:
        raise bad_request(f"a {name} is a {KINDS[name].type.__name__} here, not Unstructured")
    return KINDS[name]


class ApiServer:
    """`seed` makes uids and generated names: the same writes give the same ones."""

    def __init__(self, store: Store, *, seed: int = 0, constants: Constants = DEFAULTS) -> None:
        self.store = store
        self.listeners: list[Listener] = []
        self.eviction_listeners: list[Callable[[Pod], None]] = []
        """Told of a pod that is evicted, before anything is written."""
        self.unheeded: dict[str, str] = {}  # kinds that nobody acts on: what who writes one is told
        self.restoring = False  # listeners are told of what a restore of the store takes back
        self.now = 0  # set by whoever drives, before each call
        self.views: dict[str, Callable[[], list[Any]]] = {}
        """Kinds that clients read and nobody stores, by name: their objects as they are now, in order of key."""
        self.scrapes = scrapes_of(seed, constants)
        """When the metrics that clients read were taken."""
        self.finish_update: Finish | None = None
        """For updates from within of objects that have managedFields."""
        self.cache = WatchCache(store)
        self.admission = AdmissionChain(
            self.cache,
            general=(NamespaceLifecycle,),
            of_kind={name: rules.admission for name, rules in RULES.items()},
            last=(lambda cache: ResourceQuota(cache, usage_of),),
        )
        self.admission.configure(constants)
        self._observed = self.admission.observed
        self._names = Names(seed)
        self._objects, self._get = self.cache.by_kind, self.cache.get
        self.recover()

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        return self.store.revision

    def objects(self, kind: str) -> dict[str, ApiObject]:
        """All of a kind by key ('namespace/name' or 'name'), live: read, never write."""
        return self._objects[kind]

    def get(self, kind: str, namespace: str, name: str) -> ApiObject:
        """Raises ApiError NotFound."""
        return self.cache.get(kind, namespace, name)

    def listed(self, kind: str, namespace: str = "") -> list[Any]:
        """In order of key."""
        return self.cache.listed(kind, namespace)

    def changes_since(self, kind: Kind, revision: int) -> list[tuple[str, Any, Any, int]]:
        """(type, object, before, revision) of writes after `revision`. Raises ApiError Expired (410)."""
        return self.cache.changes_since(kind, revision)

    # -- writing -------------------------------------------------------------------------------------------------------

    def create(self, obj: ApiObject, *, dry_run: bool = False, finish: Finish | None = None) -> ApiObject:
        """Raises ApiError AlreadyExists, Invalid, Forbidden, NotFound (its namespace)."""
        kind = kind_for(obj)
        meta = obj.metadata
        name = meta.name
        if not name and meta.generate_name:
            name = meta.generate_name[:LONGEST_PREFIX] + suffix(self._names.draw())
        namespace = (meta.namespace or "default") if kind.namespaced else ""
        key = f"{namespace}/{name}" if namespace else name
        if key in self._objects[kind.kind]:
            raise already_exists(kind.plural, name, kind.group)
        rules = RULES[kind.kind]
        if rules.defaults is not None:
            obj = rules.defaults(obj)
        request = AdmissionRequest(kind, obj, None, namespace, self.now)
        obj = self.admission.admit_create(request)
        causes = rules.problems(obj, None, name)
        if causes:
            raise invalid(kind.wire, name, causes, kind.group)
        reserved = self.admission.validate_create(request)
        if not dry_run:
            for quota in reserved:
                at = quota.metadata.key
                self._write(KINDS["ResourceQuota"], at, self._numbered(quota), self._objects["ResourceQuota"][at])
        meta = obj.metadata
        new_meta = replaced(
            meta,
            name=name,
            namespace=namespace,
            uid=self._names.uid(),
            resource_version="" if dry_run else str(self.store.revision + 1),
            generation=1 if rules.counts_generation else meta.generation,
            creation_timestamp=Time(self.now),
            deletion_timestamp=None,
            deletion_grace_period_seconds=None,
        )
        obj = rules.on_create(obj, new_meta)
        if finish is not None:
            obj = finish(obj, None)
        if not dry_run:
            self._write(kind, key, obj, None)
        return obj

    def update(
        self, obj: ApiObject, subresource: str = "", *, dry_run: bool = False, finish: Finish | None = None
    ) -> ApiObject:
        """Raises ApiError NotFound, Conflict, Invalid, Forbidden. What changes nothing writes nothing."""
        kind = kind_for(obj)
        meta = obj.metadata
        namespace = (meta.namespace or "default") if kind.namespaced else ""
        old = self._get(kind.kind, namespace, meta.name)
        was = old.metadata
        if meta.resource_version and meta.resource_version != was.resource_version:
            raise conflict(kind.plural, meta.name, MODIFIED_MEANWHILE, kind.group)
        if meta.uid and meta.uid != was.uid:
            why = f"Precondition failed: UID in precondition: {meta.uid}, UID in object meta: {was.uid}"
            raise conflict(kind.plural, meta.name, why, kind.group)
        rules = RULES[kind.kind]
        if subresource == "status":
            new = lifecycle.with_status(old, obj)
            _check_status(rules, new, old)
        elif subresource == "finalize":
            new = replaced(old, spec=obj.spec)
        elif subresource == "ephemeralcontainers":
            new = ephemeral.with_containers(old, obj)
        else:
            new = rules.updated(old, obj if rules.defaults is None else rules.defaults(obj))
            new = self.admission.admit_update(AdmissionRequest(kind, new, old, namespace, self.now))
            causes = rules.problems(new, old, meta.name)
            if causes:
                raise invalid(kind.wire, meta.name, causes, kind.group)
        if finish is not None:
            new = finish(new, old)
        if new == old:
            return old
        if finish is None and self.finish_update is not None and "managedFields" in (was.extra or ()):
            new = self.finish_update(new, old)
        if dry_run:  # nothing was written, so it has no other revision
            return replaced(new, metadata=replaced(new.metadata, resource_version=was.resource_version))
        new = self._numbered(new)
        if rules.is_deletable(new):
            self._remove(kind, was.key, new)
        else:
            self._write(kind, was.key, new, old)
        return new

    def count_event(self, event: Event, at: Time) -> Event:
        """The stored `event` happened once more. Nothing changes that is admitted or validated."""
        new: Event = replaced(event, count=(event.count or 1) + 1, last_timestamp=at)
        if self.finish_update is not None and "managedFields" in (event.metadata.extra or ()):
            new = self.finish_update(new, event)
        self._write(KINDS["Event"], event.metadata.key, new := self._numbered(new), event)
        return new

    def patch_status(self, obj: ApiObject, base: ApiObject | None = None) -> ApiObject:
        """The status of `obj`, conditions merged by type. With `base` only what differs from its status is written;
        without, the whole status, and then a resourceVersion must be the newest. Raises ApiError NotFound, Conflict."""
        kind = kind_for(obj)
        meta = obj.metadata
        old = self._get(kind.kind, meta.namespace, meta.name)
        if meta.uid and meta.uid != old.metadata.uid:
            raise conflict(kind.plural, meta.name, f"uid {meta.uid} is gone", kind.group)
        status = obj.status
        if base is not None:
            status = lifecycle.patched_status(old.status, base.status, status)
        elif meta.resource_version and meta.resource_version != old.metadata.resource_version:
            raise conflict(kind.plural, meta.name, MODIFIED_MEANWHILE, kind.group)
        kept: tuple[Condition, ...] = old.status.conditions
        if kept:
            for item in status.conditions:
                kept = with_condition(kept, item)
            if kept != status.conditions:
                status = replaced(status, conditions=kept)
        if status == old.status:
            return old
        new = self._numbered(replaced(old, status=status))
        _check_status(RULES[kind.kind], new, old)
        self._write(kind, old.metadata.key, new, old)
        return new

    def delete(
        self,
        kind_name: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_s: int | None = None,
        propagation: str = "",
        dry_run: bool = False,
    ) -> ApiObject:
        """What was deleted, or is now on its way (deletionTimestamp set). Raises ApiError NotFound, Conflict."""
        kind = KINDS[kind_name]
        old = self._get(kind_name, namespace, name)
        meta = old.metadata
        if uid and uid != meta.uid:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid}"
            raise conflict(kind.plural, name, why, kind.group)
        if resource_version and resource_version != meta.resource_version:
            raise conflict(kind.plural, name, MODIFIED_MEANWHILE, kind.group)
        rules = RULES[kind_name]
        if rules.goes_at_once(old, propagation):
            if not dry_run:
                self._remove(kind, meta.key, self._numbered(old))
            return old
        deleting = rules.mark_deleting(old, self.now, grace_s, propagation)
        if dry_run:
            return old
        if rules.is_deletable(deleting):
            self._remove(kind, meta.key, self._numbered(old))
            return old
        if deleting == old:
            return old
        deleting = self._numbered(deleting)
        self._write(kind, meta.key, deleting, old)
        return deleting

    def bind(self, namespace: str, name: str, uid: str, node: str, annotations: dict[str, str]) -> Pod:
        """Put a pod on a node. Raises ApiError NotFound, Conflict (already bound, going, another uid)."""
        old: Pod = self._get("Pod", namespace, name)
        meta, spec = old.metadata, old.spec
        if uid and uid != meta.uid:
            raise conflict("pods", name, f"the UID in the binding is {uid}, that of the pod is {meta.uid}")
        if meta.deletion_timestamp is not None:
            raise conflict("pods", name, f"pod {name} is being deleted, cannot be assigned to a host")
        if spec.node_name:
            raise conflict("pods", name, f'pod {name} is already assigned to node "{spec.node_name}"')
        if spec.scheduling_gates:
            raise conflict("pods", name, f"pod {name} has non-empty .spec.schedulingGates")
        if node not in self._objects["Node"]:
            raise not_found("nodes", node)
        new = lifecycle.bound(old, node, annotations, self.now, str(self.store.revision + 1))
        self._write(KINDS["Pod"], meta.key, new, old)
        return new

    def evict(
        self,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_s: int | None = None,
        reason: str = "",
        message: str = "",
        dry_run: bool = False,
    ) -> ApiObject:
        """The eviction subresource. Raises ApiError TooManyRequests (429) when a budget does not allow it."""
        pod: Pod = self.get("Pod", namespace, name)
        budget = eviction.spent_budget(self.cache, pod, self.now)
        for listener in () if dry_run else self.eviction_listeners:
            listener(pod)
        if budget is not None:
            self.update(budget, "status", dry_run=dry_run)
        if reason and not dry_run:
            at = Time(self.now)
            told = Condition(
                type="DisruptionTarget", status="True", reason=reason, message=message, last_transition_time=at
            )
            # Only this condition is the eviction's to say.
            self.patch_status(replaced(pod, status=replaced(pod.status, conditions=(told,))), pod)
        return self.delete("Pod", namespace, name, uid=uid, grace_s=grace_s, dry_run=dry_run)

    # -- history -------------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Forget everything and read it from the store again, as after a restart."""
        self.cache.rebuild()
        self._names.resume(self.store.revision)
        self.admission.rebuild()
        for name in CREATED_AT_ONCE:
            if name not in self._objects["Namespace"]:
                self.create(KINDS["Namespace"].type(metadata=ObjectMeta(name=name)))

    def compact(self) -> None:
        """Forget the history up to now; watches that are behind will be told 410 Gone."""
        if self.store.revision > self.store.compacted:
            self.store.compact(self.store.revision)

    # -- within --------------------------------------------------------------------------------------------------------

    def _numbered(self, obj: ApiObject) -> ApiObject:
        return replaced(obj, metadata=replaced(obj.metadata, resource_version=str(self.store.revision + 1)))

    def _write(self, kind: Kind, key: str, obj: ApiObject, old: ApiObject | None) -> None:
        held = self._objects[kind.kind]
        revision = self.store.put(prefix_of(kind) + key, obj)
        held[key] = obj
        self._notify(kind, ADDED if old is None else MODIFIED, obj, old, revision)

    def _remove(self, kind: Kind, key: str, last: Any) -> None:
        old = self._objects[kind.kind].pop(key)
        revision = self.store.delete(prefix_of(kind) + key)
        self._notify(kind, DELETED, last, old, revision)

    def _notify(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject | None, revision: int) -> None:
        if kind.kind in self._observed:
            self.admission.observe(kind.kind, change, obj, old)
        for listener in self.listeners:
            listener(kind, change, obj, old, revision)
