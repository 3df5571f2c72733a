"""The Deployment controller: a ReplicaSet for each template, and pods moved from the old ones to the new.

Each reconciliation writes what the next step needs and ends there; the answers bring it back. Source:
pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.controller_refs import Orphans, adopted, released
from harness.controllers.runtime.expectations import Expectations
from harness.controllers.runtime.pods import controller_of, owner_reference
from harness.controllers.runtime.reconciler import Reconciler
from harness.controllers.workloads.deployment import rollout, rollout_status
from harness.controllers.workloads.deployment.revisions import (
    REVISION,
    age,
    made_for,
    new_of,
    revision,
    same_template,
    size_annotations,
    to_forget,
    wanted,
    with_annotations,
)
from harness.controllers.workloads.deployment.rollout_status import progressing, with_set
from harness.engine.component import Create, Delete, Instant, LazyWatch, Outcome, Update
from harness.model.core import Pod
from harness.model.meta import Condition, ObjectMeta, OwnerReference, condition
from harness.model.workloads import Deployment, DeploymentStatus, ReplicaSet


# size: one reconciliation in the order of pkg/controller/deployment's sync; the arithmetic stands in rollout.py.
class DeploymentController(Reconciler):
    """Keys are 'namespace/name' of Deployments."""

    def __init__(self, name: str = "deployment-controller") -> None:
        super().__init__(
            name,
            {
                "Deployment": self._deployment_changed,
                "ReplicaSet": self._replica_set_changed,
                "Pod": self._pod_changed,
            },
            {"Pod": _not_ended},
        )
        self.lazy_watches = (LazyWatch(("Pod",), {"Deployment": None}),)
        self._owned = self.informer.index("ReplicaSet", _deployment_uid)
        self._orphans = Orphans()
        self._keys: dict[str, str] = {}  # uid of a Deployment -> key
        self._owner_of: dict[str, str] = {}  # uid of a ReplicaSet -> uid of its Deployment
        self._unended: dict[str, int] = {}  # uid of a ReplicaSet -> pods that have not ended, those going included
        self._expected = Expectations()  # ReplicaSets, by the Deployment's uid
        self._pending: dict[str, DeploymentStatus] = {}  # to be written when the writes on their way are answered
        self._owed: dict[str, None] = {}  # retries, when a status has been written
        self._scalings: dict[str, str] = {}  # ReplicaSet's uid -> what to say when it is scaled

    def forget_all(self) -> None:
        super().forget_all()
        self._orphans.clear()
        self._keys.clear()
        self._owner_of.clear()
        self._unended.clear()
        self._expected.clear()
        self._pending.clear()
        self._owed.clear()
        self._scalings.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        if new is None:
            assert old is not None
            meta = old.metadata
            del self._keys[meta.uid]
            self._expected.forget(meta.uid)
            self._pending.pop(meta.key, None)
            self._owed.pop(meta.key, None)
            self._orphans.adopter(meta.key, meta.namespace, None)
            return
        meta = new.metadata
        self._keys[meta.uid] = meta.key
        self._orphans.adopter(meta.key, meta.namespace, new.spec.selector)
        self.queue.add(meta.key)

    def _replica_set_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        item = new if new is not None else old
        assert item is not None
        meta = item.metadata
        was = _owner(old)
        owner = _owner(new)
        if was is not None:
            self._enqueue_deployment(was.uid)
        if owner is not None:
            self._owner_of[meta.uid] = owner.uid
            self._enqueue_deployment(owner.uid)
            if was is None:
                self._expected.created(owner.uid)
        else:
            self._owner_of.pop(meta.uid, None)
        if new is None:
            self._scalings.pop(meta.uid, None)
        if old is not None and old.metadata.controller() is None and (new is None or meta.controller() is not None):
            self._orphans.drop(meta.key, old)
        elif new is not None and meta.controller() is None:
            before = old if old is not None and old.metadata.controller() is None else None
            for adopter in self._orphans.put(meta.key, before, new):
                self.queue.add(adopter)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Recreate waits until no old pod is left, so they are counted."""
        if old is not None and new is not None and old.metadata.owner_references is new.metadata.owner_references:
            return
        was, now = _owner_uid(old), _owner_uid(new)
        if was == now:
            return
        if now:
            self._unended[now] = self._unended.get(now, 0) + 1
        if was:
            left = self._unended[was] - 1
            if left:
                self._unended[was] = left
            else:
                del self._unended[was]
                self._enqueue_deployment(self._owner_of.get(was, ""))

    def _enqueue_deployment(self, uid: str) -> None:
        key = self._keys.get(uid)
        if key is not None:
            self.queue.add(key)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        deployment: Deployment | None = self.informer.get("Deployment", key)
        if deployment is None:
            return
        meta, spec = deployment.metadata, deployment.spec
        if spec.selector.empty:
            self.record(
                deployment,
                "Warning",
                "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.",
            )
            self._write_status(key, deployment, replace(deployment.status, observed_generation=meta.generation))
            return
        if self._claim(key, deployment):
            return
        everything = sorted(self._owned[meta.uid].values(), key=age)
        new = new_of(deployment, everything)
        if meta.deletion_timestamp is not None:
            self._write_status(key, deployment, rollout_status.counted(now, deployment, everything, new))
            return
        if self._mark_paused(now, key, deployment):
            return
        old = [item for item in everything if item is not new]
        if new is not None and self._mark_revision(now, key, deployment, old, new):
            return
        if spec.paused or rollout.is_scaling(deployment, everything):
            if self._resize(key, deployment, everything, rollout.scaling_sizes(deployment, old, new)):
                return
            if spec.paused:
                self._forget_revisions(key, deployment, old)
            self._write_status(key, deployment, rollout_status.counted(now, deployment, everything, new))
            return
        if rollout.is_rolling(deployment):
            stepped = self._roll(now, key, deployment, old, new)
        else:
            stepped = self._recreate(now, key, deployment, old, new)
        if stepped:
            return
        if rollout_status.is_complete(deployment, deployment.status):
            self._forget_revisions(key, deployment, old)
        status = rollout_status.judged(now, deployment, everything, new)
        if not self._write_status(key, deployment, status):
            at = rollout_status.times_out_at(deployment, status)
            if at is not None:
                self.queue.add_at(key, at)

    def _claim(self, key: str, deployment: Deployment) -> bool:
        meta, selector = deployment.metadata, deployment.spec.selector
        if meta.deletion_timestamp is not None:
            return False
        owner = owner_reference(deployment, "apps/v1", "Deployment")
        claims = [
            released(item, meta.uid)
            for item in self._owned[meta.uid].values()
            if not selector.matches(item.metadata.labels)
        ] + [
            adopted(item, owner)
            for item in self._orphans.selected(meta.namespace, selector)
            if item.metadata.deletion_timestamp is None
        ]
        for item in claims:
            self.write(key, Update(item, "", key))
        return bool(claims)

    def _mark_paused(self, now: Instant, key: str, deployment: Deployment) -> bool:
        """Pausing stops the clock of the progress deadline, resuming starts it anew. Source: checkPausedConditions."""
        if rollout_status.deadline_ns(deployment) is None:
            return False
        current = condition(deployment.status.conditions, "Progressing")
        if current is not None and current.reason == rollout_status.TIMED_OUT:
            return False
        known = current is not None and current.reason == rollout_status.PAUSED
        if bool(deployment.spec.paused) == known:
            return False
        if known:
            mark = progressing(now, "Unknown", rollout_status.RESUMED, "Deployment is resumed")
        else:
            mark = progressing(now, "Unknown", rollout_status.PAUSED, "Deployment is paused")
        return self._write_status(key, deployment, _marked(deployment.status, mark))

    def _mark_revision(
        self, now: Instant, key: str, deployment: Deployment, old: Sequence[ReplicaSet], new: ReplicaSet
    ) -> bool:
        """The new ReplicaSet carries the deployment's annotations and the highest revision, and so does the
        deployment. Source: getNewReplicaSet."""
        latest = max(map(revision, old), default=0) + 1
        marked = with_annotations(deployment, new, latest)
        if marked.spec.min_ready_seconds != deployment.spec.min_ready_seconds:
            marked = replace(marked, spec=replace(marked.spec, min_ready_seconds=deployment.spec.min_ready_seconds))
        if marked is not new:
            self.write(key, Update(marked, "", key))
            return True
        meta = deployment.metadata
        number = new.metadata.annotations.get(REVISION, "")
        if meta.annotations.get(REVISION) != number:
            annotations = {**meta.annotations, REVISION: number}
            self.write(key, Update(replace(deployment, metadata=replace(meta, annotations=annotations)), "", key))
            return True
        if rollout_status.deadline_ns(deployment) is None:
            return False
        if condition(deployment.status.conditions, "Progressing") is not None:
            return False
        message = f'Found new replica set "{new.metadata.name}"'
        mark = progressing(now, "True", rollout_status.NEW_SET_FOUND, message)
        return self._write_status(key, deployment, _marked(deployment.status, mark))

    def _roll(
        self, now: Instant, key: str, deployment: Deployment, old: Sequence[ReplicaSet], new: ReplicaSet | None
    ) -> bool:
        """One step of a rolling update, if there is one to make."""
        if new is None:
            return self._create(now, key, deployment, old)
        size, replicas = wanted(new), wanted(deployment)
        if size != replicas:
            grown = replicas if size > replicas else rollout.new_size(deployment, [*old, new], size)
            if self._resize(key, deployment, [new], {new.metadata.key: grown}):
                return True
        running = [item for item in old if wanted(item)]
        return self._resize(key, deployment, running, rollout.old_sizes(deployment, running, new))

    def _recreate(
        self, now: Instant, key: str, deployment: Deployment, old: Sequence[ReplicaSet], new: ReplicaSet | None
    ) -> bool:
        """All old pods go, to the last, before the first new one comes. Source: recreate.go."""
        running = [item for item in old if wanted(item)]
        if running:
            return self._resize(key, deployment, running, {item.metadata.key: 0 for item in running})
        if any(item.status.replicas or self._unended.get(item.metadata.uid) for item in old):
            return False
        if new is None:
            return self._create(now, key, deployment, old)
        return self._resize(key, deployment, [new], {new.metadata.key: wanted(deployment)})

    def _create(self, now: Instant, key: str, deployment: Deployment, old: Sequence[ReplicaSet]) -> bool:
        meta = deployment.metadata
        until = self._expected.until(meta.uid)
        if until is not None and until > now:
            self.queue.add_at(key, until)
            return True
        replicas = rollout.new_size(deployment, old, 0)
        owned_by = ObjectMeta(
            namespace=meta.namespace, owner_references=(owner_reference(deployment, "apps/v1", "Deployment"),)
        )
        latest = max(map(revision, old), default=0) + 1
        made = made_for(deployment, owned_by, replicas, rollout.at_most(deployment), latest)
        self._expected.expect_creations(meta.uid, 1, now)
        self.write(key, Create(made, key))
        return True

    def _resize(self, key: str, deployment: Deployment, items: Sequence[ReplicaSet], sizes: rollout.Sizes) -> bool:
        """Whether any size, or the annotations that tell what it was reckoned for, had to change.

        Source: scaleReplicaSet.
        """
        wrote = False
        notes = size_annotations(wanted(deployment), rollout.at_most(deployment))
        for item in items:
            meta = item.metadata
            size = sizes.get(meta.key)
            if size is None:
                continue
            noted = all(meta.annotations.get(name) == text for name, text in notes.items())
            if size == wanted(item) and noted:
                continue
            if size != wanted(item):
                way = "up" if size > wanted(item) else "down"
                self._scalings[meta.uid] = f"Scaled {way} replica set {meta.name} from {wanted(item)} to {size}"
            resized = replace(
                item,
                metadata=replace(meta, annotations={**meta.annotations, **notes}),
                spec=replace(item.spec, replicas=size),
            )
            self.write(key, Update(resized, "", key))
            wrote = True
        return wrote

    def _forget_revisions(self, key: str, deployment: Deployment, old: Sequence[ReplicaSet]) -> None:
        limit = deployment.spec.revision_history_limit
        for item in to_forget(old, None if limit == rollout_status.NO_DEADLINE else limit):
            meta = item.metadata
            self.write(key, Delete("ReplicaSet", meta.namespace, meta.name, meta.uid, token=key))

    def _write_status(self, key: str, deployment: Deployment, status: DeploymentStatus) -> bool:
        if status == deployment.status:
            return False
        self.write(key, Update(replace(deployment, status=status), "status", key))
        return True

    # -- what became of it ---------------------------------------------------------------------------------------------

    def succeeded(self, key: str, outcome: Outcome) -> None:
        deployment: Deployment | None = self.informer.get("Deployment", key)
        obj = outcome.obj
        if deployment is None or not isinstance(obj, ReplicaSet):
            return
        if isinstance(outcome.effect, Create):
            name = obj.metadata.name
            if wanted(obj):
                message = f"Scaled up replica set {name} from 0 to {wanted(obj)}"
                self.record(deployment, "Normal", "ScalingReplicaSet", message)
            if rollout_status.deadline_ns(deployment) is not None:
                message = f'Created new replica set "{name}"'
                mark = progressing(self.now, "True", rollout_status.NEW_SET_CREATED, message)
                self._pending[key] = _marked(deployment.status, mark)
        else:
            said = self._scalings.pop(obj.metadata.uid, None)
            if said is not None:
                self.record(deployment, "Normal", "ScalingReplicaSet", said)

    def failed(self, key: str, outcome: Outcome) -> bool:
        deployment: Deployment | None = self.informer.get("Deployment", key)
        if deployment is None:
            return False
        effect, error = outcome.effect, outcome.error
        assert error is not None
        if not isinstance(effect, Create):
            return super().failed(key, outcome)
        self._expected.created(deployment.metadata.uid)
        if error.reason == "AlreadyExists":
            found = self.informer.get("ReplicaSet", effect.obj.metadata.key)
            owner = _owner(found)
            mine = owner is not None and owner.uid == deployment.metadata.uid
            if mine and same_template(found.spec.template, deployment.spec.template):
                return False
            if found is not None:
                # Another template has this hash: the count goes into the next one.
                collisions = (deployment.status.collision_count or 0) + 1
                self._pending[key] = replace(deployment.status, collision_count=collisions)
            return True
        if error.code == 403 and "being terminated" in error.message:
            return False  # the namespace goes, and its objects with it
        message = f'Failed to create new replica set "{effect.obj.metadata.name}": {error}'
        self.record(deployment, "Warning", rollout_status.CREATE_ERROR, message)
        if rollout_status.deadline_ns(deployment) is not None:
            mark = progressing(self.now, "False", rollout_status.CREATE_ERROR, message)
            self._pending[key] = _marked(deployment.status, mark)
        return True

    def settled(self, now: Instant, key: str, failures: Sequence[Outcome]) -> None:
        status = self._pending.pop(key, None)
        deployment = self.informer.get("Deployment", key)
        if failures:
            self._owed[key] = None
        if status is not None and deployment is not None and self._write_status(key, deployment, status):
            return
        if key in self._owed:
            del self._owed[key]
            self.queue.retry(key, now)
        else:
            self.queue.forget(key)


def _marked(status: DeploymentStatus, mark: Condition) -> DeploymentStatus:
    return replace(status, conditions=with_set(status.conditions, mark))


def _owner(item: ReplicaSet | None) -> OwnerReference | None:
    return None if item is None else controller_of(item, "Deployment")


def _deployment_uid(obj: Any) -> tuple[str, ...]:
    owner = controller_of(obj, "Deployment")
    return () if owner is None else (owner.uid,)


def _not_ended(pod: Pod) -> bool:
    return pod.status.phase not in ("Succeeded", "Failed") and controller_of(pod, "ReplicaSet") is not None


def _owner_uid(pod: Pod | None) -> str:
    """Of the ReplicaSet that controls it."""
    owner = None if pod is None else controller_of(pod, "ReplicaSet")
    return "" if owner is None else owner.uid
