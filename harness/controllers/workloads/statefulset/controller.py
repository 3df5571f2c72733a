"""The StatefulSet controller: pods with names and claims of their own, made, updated and removed in order.

Source: pkg/controller/statefulset/{stateful_set,stateful_set_control,stateful_pod_control}.go (master). A pod that is
being deleted is not replaced before it is gone, which on a lost node it never is. Claims belong to whom the retention
policy says (see retention.py). Not modelled, and refused by validation: maxUnavailable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from msgspec.structs import replace

from harness.controllers.runtime.controller_refs import adopted, released
from harness.controllers.runtime.pod_control import Managing, PodControl
from harness.controllers.runtime.pods import controller_of, is_active, owner_reference
from harness.controllers.runtime.revisions import by_age, new_revision, next_revision, template_of, to_forget
from harness.controllers.workloads.statefulset.identity import (
    REVISION,
    claims_for,
    ordinal_of,
    pod_for,
    start_of,
    unlabelled,
)
from harness.controllers.workloads.statefulset.owned import Owned
from harness.controllers.workloads.statefulset.plan import needs_current_revision, next_step
from harness.controllers.workloads.statefulset.retention import reassigned_claims, stale_claims
from harness.controllers.workloads.statefulset.status import status_of, words_of
from harness.engine.component import Create, Delete, Instant, LazyWatch, Outcome, Update
from harness.model.core import Pod, PodTemplateSpec
from harness.model.storage import PersistentVolumeClaim
from harness.model.workloads import ControllerRevision, StatefulSet


class StatefulSetController(PodControl):
    """Keys are 'namespace/name' of StatefulSets."""

    def __init__(self, name: str = "statefulset-controller") -> None:
        super().__init__(
            name,
            "StatefulSet",
            {
                "StatefulSet": self._stateful_set_changed,
                "ControllerRevision": self._revision_changed,
                "PersistentVolumeClaim": self._claim_changed,
                "Pod": self._pod_changed,
            },
        )
        self.lazy_watches = (LazyWatch(("ControllerRevision", "PersistentVolumeClaim", "Pod"), {"StatefulSet": None}),)
        self._keys: dict[str, str] = {}  # uid -> key
        self._pods: Owned[Pod] = Owned()
        self._revisions: Owned[ControllerRevision] = Owned()
        self._claims_made: dict[str, None] = {}  # keys of claims that were made, and not seen yet
        self._stale: dict[str, str] = {}  # by key of a claim that goes, the set that waits for it to be gone
        self._templates: dict[str, tuple[ControllerRevision, PodTemplateSpec]] = {}  # by the revision's uid
        self._collisions: dict[str, int] = {}  # by uid: of names of revisions

    def forget_all(self) -> None:
        super().forget_all()
        self._pods.clear()
        self._revisions.clear()
        for held in (self._keys, self._claims_made, self._stale, self._templates, self._collisions):
            held.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _stateful_set_changed(self, old: StatefulSet | None, new: StatefulSet | None) -> None:
        if new is None:
            assert old is not None
            meta = old.metadata
            del self._keys[meta.uid]
            self.expected.forget(meta.uid)
            self._collisions.pop(meta.uid, None)
            self._pods.orphans.adopter(meta.key, meta.namespace, None)
            self._revisions.orphans.adopter(meta.key, meta.namespace, None)
            return
        meta = new.metadata
        self._keys[meta.uid] = meta.key
        self._pods.orphans.adopter(meta.key, meta.namespace, new.spec.selector)
        self._revisions.orphans.adopter(meta.key, meta.namespace, new.spec.selector)
        self.queue.add(meta.key)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        seen = new if new is not None else old
        assert seen is not None
        self._claims_made.pop(seen.metadata.key, None)
        if new is None and (waits := self._stale.pop(seen.metadata.key, None)) is not None:
            self.queue.add(waits)

    def _revision_changed(self, old: ControllerRevision | None, new: ControllerRevision | None) -> None:
        self._shelved(self._revisions.changed(old, new))
        if new is None and old is not None:
            self._templates.pop(old.metadata.uid, None)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        self._shelved(self._pods.changed(old, new))
        pod = new if new is not None else old
        assert pod is not None
        owner = controller_of(pod, "StatefulSet")
        if owner is not None and (new is None or new.metadata.deletion_timestamp is not None):
            self.expected.deleted(owner.uid, pod.metadata.key)

    def _shelved(self, moved: tuple[str, str, tuple[str, ...]]) -> None:
        was, now, adopters = moved
        if now and now != was:
            self.expected.created(now)
        self._enqueue_set(was)
        self._enqueue_set(now)
        for adopter in adopters:
            self.queue.add(adopter)

    def _enqueue_set(self, uid: str) -> None:
        key = self._keys.get(uid)
        if key is not None:
            self.queue.add(key)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        stateful_set: StatefulSet | None = self.informer.get("StatefulSet", key)
        if stateful_set is None:
            return
        uid = stateful_set.metadata.uid
        if not self.expected.satisfied(uid, now):
            until = self.expected.until(uid)
            if until is not None:
                self.queue.add_at(key, until)
            self.conclude(now, key, None)
            return
        if stateful_set.metadata.deletion_timestamp is None:
            if self._claim(key, stateful_set) or self._mark_revision(now, key, stateful_set):
                return
            self._forget_revisions(key, stateful_set)  # whether or not pods can be made: UpdateStatefulSet (1.32)
            if self._manage(now, key):
                return
        self.conclude(now, key, None)

    def _claim(self, key: str, stateful_set: StatefulSet) -> bool:
        """Release what is not selected any more, adopt what nobody has. Source: ClaimPods, adoptOrphanRevisions."""
        meta, selector = stateful_set.metadata, stateful_set.spec.selector
        owner = owner_reference(stateful_set, "apps/v1", "StatefulSet")
        changed: list[Pod | ControllerRevision] = [
            released(pod, meta.uid)
            for pod in self._pods.of(meta.uid).values()
            if is_active(pod) and (not selector.matches(pod.metadata.labels) or ordinal_of(stateful_set, pod) is None)
        ]
        changed += [
            adopted(pod, owner)
            for pod in self._pods.orphans.selected(meta.namespace, selector)
            if is_active(pod) and ordinal_of(stateful_set, pod) is not None
        ]
        changed += [
            adopted(revision, owner)
            for revision in self._revisions.orphans.selected(meta.namespace, selector)
            if revision.metadata.deletion_timestamp is None
        ]
        return self._update(key, changed)

    def _mark_revision(self, now: Instant, key: str, stateful_set: StatefulSet) -> bool:
        """Whether a write was made that gives the template as it is the newest revision."""
        uid = stateful_set.metadata.uid
        wanted = next_revision(stateful_set.spec.template, self._known(uid))
        if wanted is None:
            return False
        if wanted.earlier is not None:
            self.write(key, Update(replace(wanted.earlier, revision=wanted.number), "", key))
            return True
        collisions = self._collisions.get(uid, stateful_set.status.collision_count or 0)
        there = self.informer.objects("ControllerRevision")
        made, self._collisions[uid] = new_revision(stateful_set, wanted.number, collisions, there)
        self.expected.expect_creations(uid, 1, now)
        self.write(key, Create(made, key))
        return True

    def _known(self, uid: str) -> list[ControllerRevision]:
        return sorted(self._revisions.of(uid).values(), key=by_age)

    def _current_and_update(self, stateful_set: StatefulSet) -> tuple[ControllerRevision, ControllerRevision] | None:
        """None before there is any. Source: getStatefulSetRevisions."""
        known = self._known(stateful_set.metadata.uid)
        if not known:
            return None
        named = stateful_set.status.current_revision
        return next((item for item in known if item.metadata.name == named), known[-1]), known[-1]

    def _manage(self, now: Instant, key: str) -> bool:
        """Whether a step was taken that is to be seen before the next one. Source: updateStatefulSet."""
        stateful_set: StatefulSet = self.informer.get("StatefulSet", key)
        revisions = self._current_and_update(stateful_set)
        if revisions is None:
            return False
        current, update = revisions
        start, count = start_of(stateful_set), 1 if stateful_set.spec.replicas is None else stateful_set.spec.replicas
        replicas: list[Pod | None] = [None] * count
        condemned: list[tuple[int, Pod]] = []
        for pod in self._pods.of(stateful_set.metadata.uid).values():
            ordinal = ordinal_of(stateful_set, pod)
            if ordinal is None:
                continue
            if start <= ordinal < start + count:
                replicas[ordinal - start] = pod
            else:
                condemned.append((ordinal, pod))
        condemned.sort(key=lambda item: -item[0])
        step = next_step(stateful_set, replicas, [pod for _, pod in condemned], update.metadata.name, now)
        step.create = [place for place in step.create if not self._waits_for_claims(key, stateful_set, start + place)]
        places = [place for place in step.create if not self._missing_claims(stateful_set, start + place)]
        if places:
            made = [
                self._new_pod(
                    stateful_set, start + place, current if needs_current_revision(stateful_set, place) else update
                )
                for place in places
            ]
            self.create_pods(now, key, stateful_set.metadata.uid, [Create(pod, key) for pod in made])
            return True
        missing = [
            claim
            for place in chain(step.create, step.claims)
            for claim in self._missing_claims(stateful_set, start + place)
        ]
        if missing:
            self._managing[key] = Managing("Create")
            for claim in missing:
                self.write(key, Create(claim, key))
            return True
        if not step.held and self._reassign(key, stateful_set, [pod for _, pod in condemned], scaled_away=True):
            return True
        if step.delete:
            self.delete_pods(now, key, stateful_set.metadata.uid, step.delete)
            return True
        there = [pod for pod in replicas if pod is not None]
        return self._label(key, stateful_set, there) or self._reassign(key, stateful_set, there, scaled_away=False)

    def _new_pod(self, stateful_set: StatefulSet, ordinal: int, revision: ControllerRevision) -> Pod:
        known = self._templates.get(revision.metadata.uid)
        if known is None or known[0].data is not revision.data:
            known = self._templates[revision.metadata.uid] = (revision, template_of(revision))
        return pod_for(stateful_set, known[1], ordinal, revision.metadata.name)

    def _missing_claims(self, stateful_set: StatefulSet, ordinal: int) -> list[PersistentVolumeClaim]:
        known = (self.informer.objects("PersistentVolumeClaim"), self._claims_made)
        return [c for c in claims_for(stateful_set, ordinal) if not any(c.metadata.key in held for held in known)]

    def _waits_for_claims(self, key: str, stateful_set: StatefulSet, ordinal: int) -> bool:
        """Whether a claim goes with the pod that had this ordinal before."""
        stale = stale_claims(stateful_set, ordinal, self.informer.objects("PersistentVolumeClaim"))
        self._stale.update(dict.fromkeys(stale, key))
        return bool(stale)

    def _reassign(self, key: str, stateful_set: StatefulSet, pods: Iterable[Pod], *, scaled_away: bool) -> bool:
        """Whether a claim of the pods had to be given to others. Source: UpdatePodClaimForRetentionPolicy."""
        there = self.informer.objects("PersistentVolumeClaim")
        changed = [new for pod in pods for new in reassigned_claims(stateful_set, pod, there, scaled_away=scaled_away)]
        return self._update(key, changed)

    def _label(self, key: str, stateful_set: StatefulSet, pods: Iterable[Pod]) -> bool:
        """Whether a pod had to be given the labels of its identity, as one that was adopted. Source: updateIdentity."""
        return self._update(key, unlabelled(stateful_set, pods))

    def _update(self, key: str, changed: Sequence[Pod | ControllerRevision | PersistentVolumeClaim]) -> bool:
        """Whether there was anything to write."""
        for item in changed:
            self.write(key, Update(item, "", key))
        return bool(changed)

    def _forget_revisions(self, key: str, stateful_set: StatefulSet) -> None:
        uid, named = stateful_set.metadata.uid, self._current_and_update(stateful_set) or ()
        live = {pod.metadata.labels.get(REVISION, "") for pod in self._pods.of(uid).values()}
        live |= {item.metadata.name for item in named}
        for item in to_forget(self._known(uid), live, stateful_set.spec.revision_history_limit):
            meta = item.metadata
            self.write(key, Delete("ControllerRevision", meta.namespace, meta.name, meta.uid, token=key))

    # -- what was answered ---------------------------------------------------------------------------------------------

    def succeeded(self, key: str, outcome: Outcome) -> None:
        stateful_set: StatefulSet | None = self.informer.get("StatefulSet", key)
        effect = outcome.effect
        if stateful_set is None:
            return
        if type(effect) is Create and isinstance(effect.obj, PersistentVolumeClaim):
            self._claim_made(key, effect.obj)
        elif type(effect) is Update and isinstance(effect.obj, PersistentVolumeClaim):
            self.queue.add(key)
        reason, message = words_of(effect, stateful_set.metadata.name)
        if reason:
            self.record(stateful_set, "Normal", reason, message)

    def _claim_made(self, key: str, claim: PersistentVolumeClaim) -> None:
        if self.informer.get("PersistentVolumeClaim", claim.metadata.key) is None:
            self._claims_made[claim.metadata.key] = None
        self.queue.add(key)

    def failed(self, key: str, outcome: Outcome) -> bool:
        stateful_set: StatefulSet | None = self.informer.get("StatefulSet", key)
        effect, error = outcome.effect, outcome.error
        if stateful_set is None or error is None:
            return False
        meta = stateful_set.metadata
        if type(effect) is Delete and effect.kind == "Pod":
            self.expected.deleted(meta.uid, f"{effect.namespace}/{effect.name}")
        if type(effect) is Create and not isinstance(effect.obj, PersistentVolumeClaim):
            self.expected.created(meta.uid)
        elif type(effect) is Create and error.code == 409:  # somebody made the claim before
            self._claim_made(key, effect.obj)
            return False
        if error.code == 404 and type(effect) is not Create:
            return False  # it is gone
        reason, message = words_of(effect, meta.name, error)
        if reason and error.code != 409:
            self.record(stateful_set, "Warning", reason, message)
        return not (error.code == 403 and "being terminated" in error.message)

    def conclude(self, now: Instant, key: str, managed: Managing | None) -> bool:
        stateful_set: StatefulSet = self.informer.get("StatefulSet", key)
        uid, old = stateful_set.metadata.uid, stateful_set.status
        revisions = self._current_and_update(stateful_set)
        if revisions is None:
            return False
        current, update = (item.metadata.name for item in revisions)
        collisions = self._collisions.get(uid, old.collision_count or 0)
        status, at = status_of(stateful_set, self._pods.of(uid).values(), current, update, collisions, now)
        if at is not None:
            self.queue.add_at(key, at)
        if status == old:
            return False
        self.write(key, Update(replace(stateful_set, status=status), "status", key))
        return True
