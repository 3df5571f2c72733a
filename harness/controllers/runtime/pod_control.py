"""What ReplicaSets and Jobs share: creating pods slowly at first, deleting many at once, and never twice.

Source: pkg/controller/controller_utils.go RealPodControl; replicaset and job slowStartBatch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.controllers.runtime.expectations import Expectations
from harness.controllers.runtime.informer import Handler
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Create, Delete, Instant, Outcome
from harness.model.core import Pod
from harness.model.meta import ApiObject

BURST = 500
"""Pods created or deleted in one reconciliation at most. Source: replicaset.BurstReplicas,
job.MaxPodCreateDeletePerSync."""

SLOW_START = 1
"""Creations of the first batch; each batch that goes well doubles it. Source: controller.SlowStartInitialBatchSize."""


class Managing:
    """A reconciliation that waits for the pods that it asked for."""

    __slots__ = ("batch", "concluded", "left", "refusal", "verb")

    def __init__(self, verb: str, left: Sequence[Create] = ()) -> None:
        self.verb = verb  # Create, Delete
        self.left = left  # creations to come after this batch
        self.batch = 0
        self.refusal: Outcome | None = None
        self.concluded = False


class PodControl(Reconciler):
    """Base of controllers that own pods. A reconciliation that calls `create_pods` or `delete_pods` ends there;
    `conclude` follows when they are answered."""

    def __init__(self, name: str, kind: str, handlers: Mapping[str, Handler | None]) -> None:
        super().__init__(name, handlers, {"Pod": self._concerns})
        self.kind = kind
        self.expected = Expectations()  # by the owner's uid
        self._managing: dict[str, Managing] = {}

    def forget_all(self) -> None:
        super().forget_all()
        self.expected.clear()
        self._managing.clear()

    def conclude(self, now: Instant, key: str, managed: Managing | None) -> bool:
        """Write the status that follows, if it is new; whether anything was written. `managed`: what went before."""
        raise NotImplementedError

    def create_pods(self, now: Instant, key: str, uid: str, creations: Sequence[Create]) -> None:
        """In batches of 1, 2, 4, .., each begun when the one before is answered.

        So where one pod is refused (no quota, say) it costs one request, not hundreds.
        """
        self.expected.expect_creations(uid, len(creations), now)
        managing = self._managing[key] = Managing("Create", creations)
        self._next_batch(key, managing)

    def delete_pods(self, now: Instant, key: str, uid: str, pods: Iterable[Pod]) -> None:
        going = [pod.metadata for pod in pods]
        self.expected.expect_deletions(uid, [meta.key for meta in going], now)
        self._managing[key] = Managing("Delete")
        for meta in going:
            self.write(key, Delete("Pod", meta.namespace, meta.name, meta.uid, token=key))

    def _next_batch(self, key: str, managing: Managing) -> None:
        size = managing.batch = 2 * managing.batch or SLOW_START
        self.write_all(key, managing.left[:size])
        managing.left = managing.left[size:]

    def _concerns(self, pod: Pod) -> bool:
        """Pods of this kind of owner, and those of nobody that could be adopted by their labels or must be let go."""
        owners = pod.metadata.owner_references
        if not owners:
            return bool(pod.metadata.labels or pod.metadata.finalizers)
        owner = owners[0] if owners[0].controller else pod.metadata.controller()
        return owner is None or owner.kind == self.kind

    def _owner(self, key: str) -> ApiObject | None:
        return self.informer.get(self.kind, key)

    def succeeded(self, key: str, outcome: Outcome) -> None:
        effect = outcome.effect
        if type(effect) is Create:
            assert outcome.obj is not None
            owner = self._owner(key)
            if owner is not None and self.may_record(owner.metadata.uid):
                self.record(owner, "Normal", "SuccessfulCreate", f"Created pod: {outcome.obj.metadata.name}")
        elif type(effect) is Delete and effect.kind == "Pod":
            owner = self._owner(key)
            if owner is not None and self.may_record(owner.metadata.uid):
                self.record(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {effect.name}")

    def failed(self, key: str, outcome: Outcome) -> bool:
        owner = self._owner(key)
        if owner is None:
            return False
        uid = owner.metadata.uid
        counts = super().failed(key, outcome)
        effect, error = outcome.effect, outcome.error
        assert error is not None
        if type(effect) is Create:
            self.expected.created(uid)
            if error.code == 403 and "being terminated" in error.message:
                return False  # the namespace goes, and its objects with it
            self.record(owner, "Warning", "FailedCreate", f"Error creating: {error}")
        elif type(effect) is Delete and effect.kind == "Pod":
            self.expected.deleted(uid, f"{effect.namespace}/{effect.name}")
            if counts:
                self.record(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
        return counts

    def settled(self, now: Instant, key: str, failures: Sequence[Outcome]) -> None:
        managing = self._managing.get(key)
        if managing is None:
            super().settled(now, key, failures)
            return
        owner = self._owner(key)
        if owner is None:
            del self._managing[key]
            return
        if not managing.concluded:
            if failures:
                managing.refusal = failures[0]
                self.expected.created(owner.metadata.uid, len(managing.left))
                managing.left = ()
            if managing.left:
                self._next_batch(key, managing)
                return
            managing.concluded = True
            if self.conclude(now, key, managing):
                return
        del self._managing[key]
        if failures or managing.refusal is not None:
            self.queue.retry(key, now)
        else:
            self.queue.forget(key)
