"""How the statuses of pods reach the API server.

A whole status goes against the version of the pod that it was made from. One is on its way at a time; it has arrived
when the watch shows it, or lost against another writer when the API server answers Conflict. Then it is made again from
the newer version, which the watch brings. Source: pkg/kubelet/status/status_manager.go (1.32).
"""

from __future__ import annotations

from harness.engine.component import Effect, PatchStatus
from harness.model.core import Pod, PodStatus
from harness.node import pod_status
from harness.node.pod_worker import PodWorker


class StatusManager:
    """`pods`: the workers of a kubelet, by uid."""

    __slots__ = ("_pods",)

    def __init__(self, pods: dict[str, PodWorker]) -> None:
        self._pods = pods

    def set_status(self, worker: PodWorker, status: PodStatus, effects: list[Effect]) -> None:
        worker.status = status
        self.report(worker, effects)

    def report(self, worker: PodWorker, effects: list[Effect]) -> None:
        if worker.sent is not None:
            worker.unsent = True
            return
        worker.unsent = False
        pod, status = worker.pod, worker.status
        if status is None or pod.status.phase in ("Succeeded", "Failed") or pod_status.says(pod.status, status):
            return  # a write that changes nothing would not be seen to arrive
        worker.sent = status
        worker.sent_version = pod.metadata.resource_version
        effects.append(PatchStatus(Pod(metadata=pod.metadata, spec=pod.spec, status=status, extra=pod.extra)))

    def compare(self, worker: PodWorker, effects: list[Effect]) -> bool:
        """Whether the API server has what was reported last; if not, it is reported again."""
        there = worker.pod.status
        sent, status = worker.sent, worker.status
        if sent is not None and pod_status.says(there, sent, ready=False):
            worker.sent = None  # it has arrived; who has written since did so knowing it
        if status is None:
            return True
        if pod_status.says(there, status):
            worker.sent = None
            worker.unsent = False
            return True
        if worker.sent is None:
            self.report(worker, effects)
        return there.phase in ("Succeeded", "Failed")

    def conflicted(self, uid: str, version: str, effects: list[Effect]) -> bool:
        """A status made from `version` came too late; whether it waits for the newer one, which the watch brings."""
        worker = self._pods.get(uid)
        if worker is None or worker.sent is None or worker.sent_version != version:
            return False
        worker.sent = None
        worker.unsent = True
        if worker.pod.metadata.resource_version == version:
            return True
        self.report(worker, effects)
        return False

    def undelivered(self, uid: str) -> bool:
        """A status did not reach the API server; whether it will be sent again by `report_unsent`."""
        worker = self._pods.get(uid)
        if worker is None:
            return False
        worker.sent = None
        worker.unsent = True
        return True

    def report_unsent(self, effects: list[Effect]) -> None:
        """The API server can be reached again."""
        for worker in self._pods.values():
            if worker.unsent:
                self.report(worker, effects)
