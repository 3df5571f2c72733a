"""How long the containers of a pod run, said or changed after they were admitted."""

from __future__ import annotations

from msgspec.structs import replace

from harness.engine.component import Effect, WakeAt
from harness.model.core import Pod
from harness.node.pod_annotations import DURATION, read_annotations
from harness.node.pod_worker import PodWorker, Stage


def set_pod(now: int, worker: PodWorker, pod: Pod, ends: int, effects: list[Effect]) -> None:
    """The pod as it is now. `ends`: what the timer of the containers' end is about."""
    before, worker.pod = worker.pod, pod
    if worker.composed is not None:
        return
    if pod.metadata.annotations.get(DURATION) == before.metadata.annotations.get(DURATION):
        return
    said = read_annotations(pod.metadata.annotations).duration_ns
    worker.annotations = replace(worker.annotations, duration_ns=said)
    if worker.stage == Stage.RUNNING:
        worker.until_ns = -1 if said < 0 else max(now, worker.started_ns + said)
        if said >= 0:
            effects.append(WakeAt(worker.until_ns, (pod.metadata.uid, worker.turn, ends)))
