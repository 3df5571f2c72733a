"""The ReplicaSet controller: as many pods as wanted, adopted, created or deleted; and the status that says so.

Of ReplicationControllers it is the same one: they differ in the form of their selector.
Source: pkg/controller/replicaset/replica_set.go; pkg/controller/replication/replication_controller.go (1.32).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.controller_refs import Orphans, adopted, released
from harness.controllers.runtime.deletion_order import first_to_go
from harness.controllers.runtime.pod_control import BURST, Managing, PodControl
from harness.controllers.runtime.pods import is_active, new_pod, owner_reference
from harness.controllers.runtime.replica_tally import ReplicaTally
from harness.controllers.runtime.selectors import LabelKeys
from harness.engine.component import SECOND, Create, Instant, LazyWatch, Update
from harness.model.core import Pod, PodTemplateSpec
from harness.model.meta import Condition, LabelSelector, OwnerReference, condition
from harness.model.objects import KINDS
from harness.model.wire import Time
from harness.model.workloads import ReplicaSet, ReplicationController

_NOBODY = ReplicaTally()


class ReplicaSetController(PodControl):
    """Keys are 'namespace/name' of ReplicaSets, or of what else `kind` is."""

    def __init__(self, name: str = "replicaset-controller", kind: str = "ReplicaSet") -> None:
        super().__init__(name, kind, {kind: self._replica_set_changed, "Pod": self._pod_changed})
        self.lazy_watches = (LazyWatch(("Pod",), {kind: None}),)
        self._keys: dict[str, str] = {}  # uid -> key
        self._tallies: dict[str, ReplicaTally] = {}  # uid ->
        self._label_keys = LabelKeys()
        self._orphans = Orphans()
        self._templates: dict[str, tuple[PodTemplateSpec, Create]] = {}
        self._siblings = self.informer.index(kind, _controller_uid)

    def forget_all(self) -> None:
        super().forget_all()
        self._keys.clear()
        self._tallies.clear()
        self._orphans.clear()
        self._templates.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _replica_set_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        if new is None:
            assert old is not None
            meta = old.metadata
            del self._keys[meta.uid]
            self._tallies.pop(meta.uid, None)
            self.expected.forget(meta.uid)
            self._templates.pop(meta.uid, None)
            self._orphans.adopter(meta.key, meta.namespace, None)
            return
        meta = new.metadata
        key = meta.key
        if old is None:
            self._keys[meta.uid] = key
        self._orphans.adopter(key, meta.namespace, selector_of(new))
        self.queue.add(key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        owners = pod.metadata.owner_references
        if old is not None and new is not None and old.metadata.owner_references is not owners:
            was, now = _controller(old), _controller(new)
            if was != now:
                self._pod_removed(old, was)
                self._pod_added(None, new, now)
                return
        owner = _controller(pod)
        if new is None:
            self._pod_removed(pod, owner)
        else:
            self._pod_added(old, new, owner)

    def _pod_added(self, old: Pod | None, pod: Pod, owner: OwnerReference | None) -> None:
        """A pod as it is now, of the same owner as before."""
        meta = pod.metadata
        key = f"{meta.namespace}/{meta.name}"
        if owner is None:
            self._orphan(key, old, pod)
            return
        if owner.kind != self.kind:
            return
        uid = owner.uid
        tally = self._tallies.get(uid)
        if tally is None:
            tally = self._tallies[uid] = ReplicaTally()
        changed = tally.put(key, pod, self._label_keys)
        if meta.deletion_timestamp is not None:
            self.expected.deleted(uid, key)
        elif old is None:
            self.expected.created(uid)
        if changed:
            found = self._keys.get(uid)
            if found is not None:
                self.queue.add(found)

    def _pod_removed(self, pod: Pod, owner: OwnerReference | None) -> None:
        meta = pod.metadata
        key = meta.key
        if owner is None:
            self._orphans.drop(key, pod)
        elif owner.kind == self.kind:
            self.expected.deleted(owner.uid, key)
            tally = self._tallies.get(owner.uid)
            if tally is not None:
                tally.remove(key, self._label_keys)
                if not tally.active and owner.uid not in self._keys:
                    del self._tallies[owner.uid]
            found = self._keys.get(owner.uid)
            if found is not None:
                self.queue.add(found)

    def _orphan(self, key: str, old: Pod | None, pod: Pod) -> None:
        """Whoever selects a pod of nobody may adopt it."""
        if not is_active(pod):
            self._orphans.drop(key, pod if old is None else old)
            return
        for adopter in self._orphans.put(key, old, pod):
            self.queue.add(adopter)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        replica_set: ReplicaSet | None = self.informer.get(self.kind, key)
        if replica_set is None:
            return
        uid = replica_set.metadata.uid
        tally = self._tallies.get(uid, _NOBODY)
        if self._claim(key, replica_set, tally):
            return
        if replica_set.metadata.deletion_timestamp is None:
            if self.expected.satisfied(uid, now):
                missing = (replica_set.spec.replicas or 0) - len(tally.active)
                if missing > 0:
                    self._create(now, key, replica_set, min(missing, BURST))
                    return
                if missing < 0:
                    self._delete(now, key, replica_set, tally, min(-missing, BURST))
                    return
            else:
                until = self.expected.until(uid)
                if until is not None:
                    self.queue.add_at(key, until)
        self.conclude(now, key, None)

    def _claim(self, key: str, replica_set: ReplicaSet, tally: ReplicaTally) -> bool:
        """Release pods that are not selected any more, adopt those that nobody has.

        Source: controller_ref_manager.go ClaimObject.
        """
        meta, selector = replica_set.metadata, selector_of(replica_set)
        if meta.deletion_timestamp is not None:
            return False
        claimed = False
        for label_key in list(tally.by_labels):
            if not selector.empty and selector.matches(dict(label_key)):
                continue
            for pod in tally.active.values():
                if self._label_keys.of(pod.metadata.labels) == label_key:
                    self.write(key, Update(released(pod, meta.uid), "", key))
                    claimed = True
        for pod in self._orphans.selected(meta.namespace, selector):
            self.write(key, Update(adopted(pod, self._reference(replica_set)), "", key))
            claimed = True
        return claimed

    def _create(self, now: Instant, key: str, replica_set: ReplicaSet, count: int) -> None:
        uid = replica_set.metadata.uid
        known = self._templates.get(uid)
        if known is None or known[0] is not replica_set.spec.template:
            template = replica_set.spec.template
            prefix = f"{replica_set.metadata.name}-"
            pod = new_pod(replica_set, prefix, self._reference(replica_set), template.metadata.labels)
            known = self._templates[uid] = (template, Create(pod, key))
        # The very same write, many times over: the pods differ only in what the server gives them.
        self.create_pods(now, key, uid, [known[1]] * count)

    def _delete(self, now: Instant, key: str, replica_set: ReplicaSet, tally: ReplicaTally, count: int) -> None:
        if count < len(tally.active):
            going = first_to_go(tally.active.values(), count, self._on_node(replica_set), now)
        else:
            going = list(tally.active.values())
        self.delete_pods(now, key, replica_set.metadata.uid, going)

    def _on_node(self, replica_set: ReplicaSet) -> dict[str, int]:
        """Active pods by node, of all ReplicaSets of the same controller."""
        owner = replica_set.metadata.controller()
        related = [replica_set] if owner is None else list(self._siblings[owner.uid].values())
        counts: dict[str, int] = {}
        for item in related:
            for pod in self._tallies.get(item.metadata.uid, _NOBODY).active.values():
                node = pod.spec.node_name
                counts[node] = counts.get(node, 0) + 1
        return counts

    def conclude(self, now: Instant, key: str, managed: Managing | None) -> bool:
        """Source: replica_set_utils.go calculateStatus."""
        replica_set: ReplicaSet = self.informer.get(self.kind, key)
        meta, spec, old = replica_set.metadata, replica_set.spec, replica_set.status
        tally = self._tallies.get(meta.uid, _NOBODY)
        available = tally.available((spec.min_ready_seconds or 0) * SECOND, now)
        at = tally.next_available_at()
        if at is not None:
            self.queue.add_at(key, at)
        wanted = spec.template.metadata.labels.items()
        labelled = sum(count for labels, count in tally.by_labels.items() if wanted <= dict(labels).items())
        conditions = old.conditions
        if managed is not None and managed.refusal is not None:
            if condition(conditions, "ReplicaFailure") is None:
                failure = Condition(
                    type="ReplicaFailure",
                    status="True",
                    reason=f"Failed{managed.verb}",
                    message=str(managed.refusal.error),
                    last_transition_time=Time(now),
                )
                conditions = (*conditions, failure)
        elif conditions:
            conditions = tuple(item for item in conditions if item.type != "ReplicaFailure")
        status = type(old)(
            replicas=len(tally.active),
            fully_labeled_replicas=labelled or None,
            ready_replicas=len(tally.ready) or None,
            available_replicas=available or None,
            observed_generation=meta.generation,
            conditions=conditions,
            extra=old.extra,
        )
        if status == old:
            return False
        self.write(key, Update(replace(replica_set, status=status), "status", key))
        return True

    def _reference(self, replica_set: ReplicaSet) -> OwnerReference:
        return owner_reference(replica_set, KINDS[self.kind].api_version, self.kind)


def selector_of(obj: ReplicaSet | ReplicationController) -> LabelSelector:
    if isinstance(obj, ReplicationController):
        return LabelSelector(match_labels=obj.spec.selector)
    return obj.spec.selector


def replication_controllers(name: str = "replicationcontroller-controller") -> ReplicaSetController:
    return ReplicaSetController(name, "ReplicationController")


def _controller(pod: Pod) -> OwnerReference | None:
    owners = pod.metadata.owner_references
    if not owners:
        return None
    return owners[0] if owners[0].controller else pod.metadata.controller()


def _controller_uid(obj: Any) -> tuple[str, ...]:
    owner = obj.metadata.controller()
    return () if owner is None else (owner.uid,)
