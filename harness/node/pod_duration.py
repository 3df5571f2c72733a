"""How long the containers of a pod run, said or changed after they were admitted."""

from __future__ import annotations

from msgspec.structs import replace

from harness.engine.component import Effect, WakeAt
from harness.model.core import Pod
from harness.model.pod_usage import EXIT_CODE
from harness.node.pod_annotations import own_annotations, read_annotations
from harness.node.pod_worker import PodWorker, Stage


def set_pod(now: int, worker: PodWorker, pod: Pod, ends: int, effects: list[Effect]) -> None:
    """The pod as it is now. `ends`: what the timer of the containers' end is about."""
    before, worker.pod = worker.pod, pod
    if worker.composed is not None:
        return
    if pod.metadata.annotations == before.metadata.annotations:
        return
    annotations = own_annotations(pod)
    read = read_annotations(annotations)
    said = read.duration_ns
    if said == read_annotations(own_annotations(before)).duration_ns:
        return
    code = read.exit_code if EXIT_CODE in annotations else worker.annotations.exit_code
    worker.annotations = replace(worker.annotations, duration_ns=said, exit_code=code)
    if worker.stage == Stage.RUNNING:
        worker.until_ns = -1 if said < 0 else max(now, worker.started_ns + said)
        if said >= 0:
            effects.append(WakeAt(worker.until_ns, (pod.metadata.uid, worker.turn, ends)))
