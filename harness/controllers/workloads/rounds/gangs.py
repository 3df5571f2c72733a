"""The pods of training jobs: which gang they belong to, on which nodes they are, and whether a whole gang runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from msgspec.structs import replace

from harness.controllers.runtime.pods import controller_of
from harness.engine.component import SECOND, BindPod, Instant, Update
from harness.model.core import Pod
from harness.model.training import ROUND_SCHEDULER
from harness.model.workloads import Job

DURATION = "podyard.dev/duration"
"""Pod annotation: its containers end by themselves so long after they started (harness.node.pod_annotations)."""


@dataclass(slots=True)
class WholeGang:
    """A gang as it was seen to run. `members`: when each started, by uid. `broken`: when it lost one first, as far as
    is known; `heard`: until when all of them were surely there. `unseen`: it broke while nobody watched."""

    since: Instant
    members: dict[str, Instant]
    broken: Instant | None = None
    heard: Instant | None = None
    unseen: bool = False

    def see(self, pod: Pod, heard: Instant) -> None:
        """`heard`: when anything was heard before this."""
        found = self._loss_of(pod)
        if found is not None:
            told = pod.metadata.uid in self.members
            self.lost_at(found, found if told else min(heard, found))

    def lost_at(self, at: Instant, heard: Instant) -> None:
        """Later than it was, perhaps, where the pod that is gone did not tell when."""
        if self.broken is not None and self.heard is not None:
            at, heard = min(at, self.broken), min(heard, self.heard)
        self.broken, self.heard = max(self.since, at), max(self.since, heard)

    def _loss_of(self, pod: Pod) -> Instant | None:
        """When the gang lost a member, as `pod` has it; None where it tells of none."""
        meta = pod.metadata
        started = self.members.get(meta.uid)
        if started is None:  # it stands for one that was lost before it was made
            created = meta.creation_timestamp or 0
            return created if created > self.since else None
        found = []
        if meta.deletion_timestamp is not None and pod.status.phase != "Succeeded":
            found.append(meta.deletion_timestamp - (meta.deletion_grace_period_seconds or 0) * SECOND)
        if pod.status.phase == "Failed":
            found += _ends(pod)
        now_since = running_since(pod)
        if now_since is not None and now_since > started:  # its container was started again
            found.append(now_since)
        return min(found, default=None)


Loss: TypeAlias = tuple[Instant | None, Instant | None]
"""When a gang lost a member first, and until when all of them were surely there; None where it is whole."""


class Gangs:
    """Live pods (not ended) by the key of their Job, and how many of them each node has. Pods whose Job was taken from
    them run on, and keep their GPUs: `strangers`, by node. `whole`: the gangs that were seen to run last, by key."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, Pod]] = {}
        self._on_node: Counter[str] = Counter()
        self._assumed: dict[str, str] = {}  # by key of pod, the node of a binding that its watch has not told of
        self.whole: dict[str, WholeGang] = {}
        self.strangers: Counter[str] = Counter()
        self._heard: tuple[Instant, Instant] = (0, 0)  # when a watch told of any pod: the last time but one, the last

    def changed(
        self, old: Pod | None, new: Pod | None, now: Instant, *, watched: bool = True
    ) -> tuple[str, bool] | None:
        """The key of the Job that the pod is of, or was, if any, and whether more is known of when its gang broke.
        `watched`: a watch told of it, not the answer to a write, which says nothing of what other pods did before."""
        told = old if new is None else new
        if told is not None and (new is None or new.spec.node_name or not _lives(new)):
            self.forget(told.metadata.key)
        if old is not None and _lives(old):
            self._count(old, -1)
        if new is not None and _lives(new):
            self._count(new, 1)
        job = _job_of(new) or _job_of(old)
        if watched and now > self._heard[1]:
            self._heard = (self._heard[1], now)
        if job is None:
            return None
        whole = self.whole.get(job)
        if whole is None:
            return job, False
        known = whole.broken, whole.heard
        if new is not None:
            whole.see(new, self._heard[0])
        elif old is not None and old.metadata.uid in whole.members and _lives(old):
            whole.see(old, self._heard[0])
            if old.metadata.deletion_timestamp is None:  # gone, and it did not tell when
                whole.lost_at(now, self._heard[0])
        return job, known != (whole.broken, whole.heard)

    def listed(self, pods: Iterable[Pod], now: Instant) -> None:
        """`pods` are all that there are: members that are not among them went when nobody watched."""
        uids = {pod.metadata.uid for pod in pods}
        before = self._heard[0] if self._heard[1] == now else self._heard[1]
        for whole in self.whole.values():
            if not whole.members.keys() <= uids:
                whole.lost_at(now, before)
            whole.unseen = whole.broken is not None

    def assume(self, bindings: Iterable[BindPod]) -> None:
        """The pods are about to be bound: their GPUs are taken, until `forget` or until a watch tells."""
        for binding in bindings:
            key = f"{binding.namespace}/{binding.name}"
            self.forget(key)
            self._assumed[key] = binding.node
            self._on_node[binding.node] += 1

    def forget(self, pod: str) -> None:
        """The pod of this key is not assumed to be anywhere any more."""
        node = self._assumed.pop(pod, None)
        if node is not None:
            self._on_node[node] -= 1

    def ran(self, job: str, since: Instant) -> None:
        """All of its gang runs since then."""
        members = {}
        for pod in self._pods.get(job, {}).values():
            started = running_since(pod)
            if started is not None and pod.metadata.deletion_timestamp is None:
                members[pod.metadata.uid] = started
        self.whole[job] = WholeGang(since, members)

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
        """The first of them that is not bound nor about to be, and is not being deleted."""
        for key, pod in self._pods.get(job, {}).items():
            if not pod.spec.node_name and key not in self._assumed and pod.metadata.deletion_timestamp is None:
                return pod
        return None

    def count_on(self, node: str) -> int:
        return self._on_node[node]

    def is_broken(self, job: str) -> bool:
        """Whether the gang that was seen to run last is known to have lost a member."""
        whole = self.whole.get(job)
        return whole is not None and whole.broken is not None

    def loss(self, job: str) -> Loss:
        """What is known of the gang that was seen to run last."""
        whole = self.whole.get(job)
        return (None, None) if whole is None else (whole.broken, whole.heard)

    def whole_until(self, job: str, now: Instant) -> Instant:
        """Until when the gang that was seen to run last is known to be whole: `now`, or the first loss of a member."""
        whole = self.whole.get(job)
        return now if whole is None or whole.broken is None else min(now, whole.broken)

    def surely_until(self, job: str, now: Instant) -> Instant:
        """Until when it may be taken to have run: where it broke while nobody watched, as long as it was heard of."""
        whole = self.whole.get(job)
        return self.heard_until(job, now) if whole is not None and whole.unseen else now

    def heard_until(self, job: str, now: Instant) -> Instant:
        """Until when all of its members were surely there."""
        whole = self.whole.get(job)
        return now if whole is None or whole.heard is None else min(now, whole.heard)

    def clear(self) -> None:
        """What was seen to run is kept: pods tell whether it still does."""
        self._pods.clear()
        self._assumed.clear()
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


def endings(token: str, pods: Iterable[Pod], ends_ns: Instant) -> list[Update]:
    """So that the containers of those that run end then, where it does not say so already."""
    out = []
    for pod in pods:
        since = running_since(pod)
        if since is not None:
            lasts_ns = max(0, ends_ns - since)
            told = lasting(pod, f"{lasts_ns // SECOND}.{lasts_ns % SECOND:09d}s")
            if told is not None:
                out.append(Update(told, "", token))
    return out


def binds(token: str, pods: Sequence[Pod], wanted: Sequence[str], room: dict[str, int]) -> list[BindPod]:
    """Of those that are not bound, to the wanted nodes on which none of them is yet and `room` is left."""
    out = []
    unbound = [pod for pod in pods if not pod.spec.node_name]
    for pod, node in zip(unbound, missing_nodes(pods, wanted), strict=False):
        if room[node] > 0:
            room[node] -= 1
            out.append(bind(pod, node, token))
    return out


def resumed(job: Job, gang: int) -> Job:
    """`job` with pods for a gang of that size."""
    spec = replace(job.spec, suspend=False)
    if job.spec.parallelism != gang:
        completions = gang if spec.completion_mode == "Indexed" else spec.completions
        spec = replace(spec, parallelism=gang, completions=completions)
    return replace(job, spec=spec)


def misplaced(pods: Iterable[Pod], wanted: Iterable[str]) -> list[Pod]:
    """Those on nodes that are not wanted, or more than are wanted there."""
    free = list(wanted)
    out = []
    for pod in pods:
        node = pod.spec.node_name
        if node in free:
            free.remove(node)
        elif node:
            out.append(pod)
    return out


def missing_nodes(pods: Iterable[Pod], wanted: Iterable[str]) -> list[str]:
    """The wanted nodes that no pod is bound to yet, in order."""
    left = list(wanted)
    for pod in pods:
        if pod.spec.node_name in left:
            left.remove(pod.spec.node_name)
    return left


def running_since(pod: Pod) -> Instant | None:
    """When its container started, None where it does not run."""
    if pod.status.phase != "Running" or not pod.status.container_statuses:
        return None
    running = pod.status.container_statuses[0].state.running
    return None if running is None else running.started_at


def gang_since(pods: Iterable[Pod], gang: int, lost: Mapping[str, object]) -> Instant | None:
    """When the last of a whole gang started, None where not all of it runs. `lost`: nodes that say nothing."""
    since = []
    for pod in pods:
        if pod.spec.node_name not in lost:
            started = running_since(pod)
            if started is None:
                return None
            since.append(started)
    return max(since) if len(since) >= gang else None


def _job_of(pod: Pod | None) -> str | None:
    owner = None if pod is None else controller_of(pod, "Job")
    return None if owner is None or pod is None else f"{pod.metadata.namespace}/{owner.name}"


def _ends(pod: Pod) -> list[Instant]:
    ends = [each.state.terminated for each in pod.status.container_statuses]
    return [end.finished_at for end in ends if end is not None and end.finished_at is not None]


def _lives(pod: Pod) -> bool:
    return pod.status.phase not in ("Succeeded", "Failed")
