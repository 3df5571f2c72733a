"""The TTL controller: a Job that has finished goes when its ttlSecondsAfterFinished are over, whoever ran it.

Source: pkg/controller/ttlafterfinished/ttlafterfinished_controller.go (1.32).
"""

from __future__ import annotations

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import SECOND, Delete, Instant
from harness.model.workloads import Job, finished_condition


class TtlAfterFinished(Reconciler):
    """Keys are 'namespace/name' of Jobs."""

    def __init__(self, name: str = "ttl-after-finished-controller") -> None:
        super().__init__(name, {"Job": self._job_changed}, {"Job": _has_ttl})

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        if new is not None and finished_condition(new) is not None:
            self.queue.add(new.metadata.key)

    def reconcile(self, now: Instant, key: str) -> None:
        job: Job | None = self.informer.get("Job", key)
        over = None if job is None else finished_condition(job)
        if job is None or over is None or job.metadata.deletion_timestamp is not None:
            return
        at = (over.last_transition_time or 0) + (job.spec.ttl_seconds_after_finished or 0) * SECOND
        if now < at:
            self.queue.add_at(key, at)
        else:
            meta = job.metadata
            self.write(key, Delete("Job", meta.namespace, meta.name, meta.uid, None, "Foreground", key))


def _has_ttl(job: Job) -> bool:
    return job.spec.ttl_seconds_after_finished is not None
