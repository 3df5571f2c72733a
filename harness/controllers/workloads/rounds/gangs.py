"""The pods of training jobs: which gang they belong to, on which nodes they are, and whether a whole gang runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from harness.controllers.runtime.pods import controller_of
from harness.engine.component import SECOND, BindPod, Instant
from harness.model.core import Pod
from harness.model.training import ROUND_SCHEDULER

DURATION = "podyard.dev/duration"
"""Pod annotation: its containers end by themselves so long after they started (harness.node.pod_annotations)."""


class Gangs:
    """Live pods (not ended) by the key of their Job, and how many of them each node has. Pods whose Job was taken from
    them run on, and keep their GPUs: `strangers`, by node."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, Pod]] = {}
        self._on_node: Counter[str] = Counter()
        self._failed: dict[str, list[Instant]] = {}
        self.strangers: Counter[str] = Counter()

    def changed(self, old: Pod | None, new: Pod | None) -> str | None:
        """The key of the Job that the pod is of, or was, if any."""
        if old is not None and _lives(old):
            self._count(old, -1)
        if new is not None and _lives(new):
            self._count(new, 1)
        job = _job_of(new) or _job_of(old)
        if job is not None and new is not None and new.status.phase == "Failed":
            self._failed.setdefault(job, []).extend(_ends(new))
        return job

    def _count(self, pod: Pod, more: int) -> None:
        job, node = _job_of(pod), pod.spec.node_name
        if job is None:
            if node and pod.spec.scheduler_name == ROUND_SCHEDULER:
                self.strangers[node] += more
                self._on_node[node] += more
            return
        pods = self._pods.setdefault(job, {})
        if more > 0:
            pods[pod.metadata.key] = pod
        else:
            del pods[pod.metadata.key]
            if not pods:
                del self._pods[job]
        if node:
            self._on_node[node] += more

    def pods(self, job: str) -> list[Pod]:
        """In the order in which they came."""
        return list(self._pods.get(job, {}).values())

    def first_waiting(self, job: str) -> Pod | None:
        """The first of them that is not bound, and is not being deleted."""
        pods = self._pods.get(job, {}).values()
        return next((pod for pod in pods if not pod.spec.node_name and pod.metadata.deletion_timestamp is None), None)

    def count_on(self, node: str) -> int:
        return self._on_node[node]

    def whole_until(self, job: str, since: Instant, now: Instant) -> Instant:
        """Until when a gang that runs since `since` is known to be whole: `now`, or the first loss of a member that its
        pods tell of. One that was made since then stands for one that was lost before it."""
        self._failed[job] = [at for at in self._failed.get(job, ()) if at >= since]
        found = [now, *self._failed[job]]
        for pod in self._pods.get(job, {}).values():
            meta = pod.metadata
            if meta.deletion_timestamp is not None:
                found.append(meta.deletion_timestamp - (meta.deletion_grace_period_seconds or 0) * SECOND)
            if (meta.creation_timestamp or 0) > since:
                found.append(meta.creation_timestamp or 0)
        return max(since, min(found))

    def clear(self) -> None:
        self._pods.clear()
        self._failed.clear()
        self._on_node.clear()
        self.strangers.clear()


def bind(pod: Pod, node: str, token: str) -> BindPod:
    return BindPod(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid, node, {}, token)


def lasting(pod: Pod, text: str) -> Pod | None:
    """`pod`, whose containers end so long after they started; None where it says so already."""
    meta = pod.metadata
    if meta.annotations.get(DURATION) == text:
        return None
    return replace(pod, metadata=replace(meta, annotations={**meta.annotations, DURATION: text}))


def misplaced(pods: Iterable[Pod], wanted: Iterable[str]) -> list[Pod]:
    """Those on nodes that are not wanted, or more than are wanted there."""
    free = Counter(wanted)
    out = []
    for pod in pods:
        node = pod.spec.node_name
        if node and free[node] <= 0:
            out.append(pod)
        elif node:
            free[node] -= 1
    return out


def missing_nodes(pods: Iterable[Pod], wanted: Iterable[str]) -> list[str]:
    """The wanted nodes that no pod is bound to yet, in order."""
    taken = Counter(pod.spec.node_name for pod in pods if pod.spec.node_name)
    out = []
    for node in wanted:
        if taken[node]:
            taken[node] -= 1
        else:
            out.append(node)
    return out


def running_since(pod: Pod) -> Instant | None:
    """When its container started, None where it does not run."""
    if pod.status.phase != "Running" or not pod.status.container_statuses:
        return None
    running = pod.status.container_statuses[0].state.running
    return None if running is None else running.started_at


def gang_since(pods: Iterable[Pod], gang: int, lost: Mapping[str, object]) -> Instant | None:
    """When the last of a whole gang started, None where not all of it runs. `lost`: nodes that say nothing."""
    since = [running_since(pod) for pod in pods if pod.spec.node_name not in lost]
    if len(since) < gang or any(at is None for at in since):
        return None
    return max(at for at in since if at is not None)


def _job_of(pod: Pod | None) -> str | None:
    owner = None if pod is None else controller_of(pod, "Job")
    return None if owner is None or pod is None else f"{pod.metadata.namespace}/{owner.name}"


def _ends(pod: Pod) -> list[Instant]:
    ends = [each.state.terminated for each in pod.status.container_statuses]
    return [end.finished_at for end in ends if end is not None and end.finished_at is not None]


def _lives(pod: Pod) -> bool:
    return pod.status.phase not in ("Succeeded", "Failed")
