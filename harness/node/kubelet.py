"""The kubelet: admits pods, runs their containers, and tells the API server; it knows only what its watch brought.

Source: pkg/kubelet (admission, status manager, backoff, termination). Containers are modelled by when they start,
become ready, fail, and end; images by their bytes and the node's cache.
"""

from __future__ import annotations

from random import Random

from harness.engine.component import Create, Delete, Effect, Observe, PatchStatus, Record, Update, WakeAt
from harness.model.core import Node, Pod, PodStatus
from harness.model.gpu import DEVICE_MILLI, GPU_INDEX, parse_devices
from harness.model.meta import ObjectMeta, OwnerReference
from harness.model.objects import PodMetrics
from harness.model.quantity import milli_quantity
from harness.model.wire import Time
from harness.model.workloads import ContainerMetrics
from harness.node import worker as status_of
from harness.node.plans import (
    CPU_PER_REQUEST,
    CPU_USAGE,
    DURATION,
    EXIT_CODE,
    IDLE_PERCENT,
    READY_AFTER,
    STOP_AFTER,
    STOP_AFTER_NS,
    UNHEALTHY_AFTER,
    device_count,
    devices_wanted,
    milli,
    plan_of,
    span,
)
from harness.node.proxy import Flow
from harness.node.settings import METRICS_NS, NodeSettings
from harness.node.worker import Stage, Worker

SECOND = 10**9
BACKOFF_FIRST_NS, BACKOFF_MOST_NS = 10 * SECOND, 300 * SECOND
"""Source: pkg/kubelet/kubelet.go MaxContainerBackOff 300 s, initial 10 s; reset after 10 min (twice the most)."""
BACKOFF_RESET_NS = 2 * BACKOFF_MOST_NS


class Kubelet:
    __slots__ = (
        "_allocatable",
        "_devices",
        "_images",
        "_ip",
        "_metrics_due",
        "_rng",
        "_settings",
        "_unreported",
        "_used",
        "name",
        "pods",
    )

    def __init__(self, node: Node, settings: NodeSettings, rng: Random) -> None:
        self.name = node.metadata.name
        self.pods: dict[str, Worker] = {}  # by uid
        self._settings = settings
        self._rng = rng
        self._allocatable = {name: amount.milli for name, amount in node.status.allocatable.items()}
        self._used: dict[str, int] = {}
        self._devices = [DEVICE_MILLI] * device_count(node.status.allocatable)
        self._images: dict[str, int] = {
            name: image.size_bytes or 0 for image in node.status.images for name in image.names
        }
        self._ip = "10.0.0.1"
        self._unreported: dict[str, None] = {}
        self._metrics_due = -1

    # -- what the watch brings -----------------------------------------------------------------------------------------

    def see(self, now: int, pod: Pod, effects: list[Effect]) -> None:
        """A pod of this node, new or changed."""
        uid = pod.metadata.uid
        worker = self.pods.get(uid)
        if worker is None:
            if pod.status.phase in ("Succeeded", "Failed"):
                return
            if pod.metadata.deletion_timestamp is not None:
                # Nothing of it runs here (any more).
                effects.append(_gone(pod))
                return
            self._admit(now, pod, effects)
            return
        worker.pod = pod
        if worker.stage == Stage.ENDED:
            # Its last status has been told; what the watch brings may be older. It stays known until it is deleted.
            if pod.metadata.deletion_timestamp is not None:
                del self.pods[uid]
                effects.append(_gone(pod))
        elif pod.metadata.deletion_timestamp is not None and worker.stage != Stage.STOPPING:
            self._stop(now, worker, effects)
        elif worker.ready and worker.stage == Stage.RUNNING and not _is_ready(pod):
            # The node lifecycle controller took us for dead: say what is true (the status manager's reconciliation).
            self._patch(now, worker, status_of.running(worker, now, self._pod_ip(worker), self._ip), effects)

    def lose(self, now: int, pod: Pod, effects: list[Effect]) -> None:
        """It is gone from the API: kill what is left of it."""
        worker = self.pods.pop(pod.metadata.uid, None)
        if worker is not None:
            self._serve(worker, False, effects)
            self._release(worker)

    def keep_only(self, now: int, pods: tuple[Pod, ...], effects: list[Effect]) -> None:
        """The watch was lost and this is the list: what is not in it is gone."""
        there = {pod.metadata.uid for pod in pods}
        for uid in [uid for uid in self.pods if uid not in there]:
            self.lose(now, self.pods[uid].pod, effects)
        for pod in pods:
            self.see(now, pod, effects)

    def _admit(self, now: int, pod: Pod, effects: list[Effect]) -> None:
        plan = plan_of(pod)
        refusal = self._refusal(pod, plan.needs)
        if refusal is not None:
            reason, message = refusal
            effects.append(PatchStatus(_with(pod, status_of.rejected(pod, reason, message, now))))
            effects.append(Record(pod, "Warning", reason, message))
            return
        worker = Worker(pod, plan, admitted_ns=now)
        used = self._used
        for name, amount in plan.needs:
            used[name] = used.get(name, 0) + amount
        text = pod.metadata.annotations.get(GPU_INDEX)
        if text:
            worker.devices = parse_devices(text)
            share = devices_wanted(pod.metadata.annotations)[1]
            for device in worker.devices:
                self._devices[device] -= share
        if pod.status.container_statuses:  # it ran here before the node went down
            worker.restarts = (pod.status.container_statuses[0].restart_count or 0) + 1
        self.pods[pod.metadata.uid] = worker
        self._start(now, worker, effects)

    def _refusal(self, pod: Pod, needs: tuple[tuple[str, int], ...]) -> tuple[str, str] | None:
        """Source: pkg/kubelet/lifecycle/predicate.go: OutOfcpu, OutOfmemory, OutOfpods, .."""
        used, allocatable = self._used, self._allocatable
        for name, amount in needs:
            have, taken = allocatable.get(name, 0), used.get(name, 0)
            if taken + amount > have:
                scale = 1 if name == "cpu" else 1000
                return (
                    f"OutOf{name}",
                    f"Pod was rejected: Node didn't have enough resource: {name}, requested: {amount // scale}, "
                    f"used: {taken // scale}, capacity: {have // scale}",
                )
        annotations = pod.metadata.annotations
        text = annotations.get(GPU_INDEX)
        if text:
            share = devices_wanted(annotations)[1]
            for device in parse_devices(text):
                if device >= len(self._devices) or self._devices[device] < share:
                    idle = self._devices[device] if device < len(self._devices) else 0
                    return (
                        "OutOfgpu",
                        f"Pod was rejected: Node didn't have enough resource: GPU {device}, requested: {share}, "
                        f"used: {DEVICE_MILLI - idle}, capacity: {DEVICE_MILLI}",
                    )
        return None

    # -- containers ----------------------------------------------------------------------------------------------------

    def _start(self, now: int, worker: Worker, effects: list[Effect]) -> None:
        latencies = self._settings.latencies
        at = now
        for image in worker.plan.images:
            if image not in self._images:
                size = latencies.image_bytes
                self._images[image] = size
                at += latencies.image_pull_base.draw(self._rng) + size * SECOND // latencies.image_pull_bytes_per_s
                self._tell(worker, "Pulled", f'Successfully pulled image "{image}"', effects)
        for _ in range(worker.plan.inits + 1):
            at += latencies.container_start.draw(self._rng)
        worker.stage = Stage.STARTING
        worker.turn += 1
        effects.append(WakeAt(at, (worker.pod.metadata.uid, worker.turn, "started")))

    def due(self, now: int, uid: str, turn: int, what: str, effects: list[Effect]) -> None:
        """A timer of a pod's container came due."""
        worker = self.pods.get(uid)
        if worker is None or worker.turn != turn:
            return
        if what == "started":
            self._started(now, worker, effects)
        elif what == "ready":
            worker.ready = True
            self._patch(now, worker, status_of.running(worker, now, self._pod_ip(worker), self._ip), effects)
        elif what == "unready":
            worker.ready = False
            effects.append(Record(worker.pod, "Warning", "Unhealthy", "Readiness probe failed"))
            self._patch(now, worker, status_of.running(worker, now, self._pod_ip(worker), self._ip), effects)
        elif what == "sick":
            self._serve(worker, False, effects)
        elif what == "unhealthy":
            effects.append(Record(worker.pod, "Warning", "Unhealthy", "Liveness probe failed"))
            self.exit(now, worker, 137, effects, killed=True)
        elif what == "ends":
            if now < worker.ends_ns:  # the node stood still meanwhile
                effects.append(WakeAt(worker.ends_ns, (uid, turn, "ends")))
            else:
                code = worker.pod.metadata.annotations.get(EXIT_CODE, "0")
                self.exit(now, worker, int(code) if code.isdecimal() else 0, effects)
        elif what == "again":
            self._start(now, worker, effects)
        elif what == "stopped":
            self._stopped(now, worker, effects)
        elif what == "deadline" and worker.stage not in (Stage.STOPPING, Stage.ENDED):
            self._serve(worker, False, effects)
            worker.ready = False
            status = PodStatus(
                phase="Failed",
                reason="DeadlineExceeded",
                message="Pod was active on the node longer than the specified deadline",
                qos_class=worker.pod.status.qos_class,
                start_time=Time(worker.admitted_ns),
            )
            self._patch(now, worker, status, effects)
            self._end(worker)

    def _started(self, now: int, worker: Worker, effects: list[Effect]) -> None:
        pod, plan = worker.pod, worker.plan
        uid, annotations = pod.metadata.uid, pod.metadata.annotations
        worker.stage = Stage.RUNNING
        worker.started_ns = now
        self._tell(worker, "Started", "Started container", effects)
        wait = plan.ready_probe_ns
        if annotations:
            wait = max(wait, span(annotations, READY_AFTER, 0))
            lasts = span(annotations, DURATION)
            if lasts >= 0:
                worker.ends_ns = now + lasts
                effects.append(WakeAt(worker.ends_ns, (uid, worker.turn, "ends")))
            sick = span(annotations, UNHEALTHY_AFTER)
            if sick >= 0:
                self._will_fail(now, worker, now + sick, effects)
        worker.ready = not wait
        if wait:
            effects.append(WakeAt(now + wait, (uid, worker.turn, "ready")))
        limit = pod.spec.active_deadline_seconds
        if limit is not None:
            effects.append(WakeAt(worker.admitted_ns + limit * SECOND, (uid, worker.turn, "deadline")))
        self._serve(worker, True, effects)
        self._patch(now, worker, status_of.running(worker, now, self._pod_ip(worker), self._ip), effects)
        if annotations and CPU_PER_REQUEST in annotations:
            self._dirty(now, worker, effects)

    def _will_fail(self, now: int, worker: Worker, sick_ns: int, effects: list[Effect]) -> None:
        """From `sick_ns` on the container answers no probe: the next probes fail, and enough of them have effects."""
        uid, plan = worker.pod.metadata.uid, worker.plan
        effects.append(WakeAt(sick_ns, (uid, worker.turn, "sick")))
        if plan.ready_fail_ns:
            first = _next_tick(sick_ns, now, plan.ready_period_ns)
            effects.append(WakeAt(first + plan.ready_fail_ns, (uid, worker.turn, "unready")))
        if plan.live_fail_ns:
            first = _next_tick(sick_ns, now + plan.live_delay_ns, plan.live_period_ns)
            effects.append(WakeAt(first + plan.live_fail_ns, (uid, worker.turn, "unhealthy")))

    def exit(self, now: int, worker: Worker, code: int, effects: list[Effect], *, killed: bool = False) -> None:
        """The container has ended; the restart policy says what follows."""
        pod = worker.pod
        policy = pod.spec.restart_policy or "Always"
        worker.last = status_of.terminated(worker, now, code)
        worker.ready = False
        self._serve(worker, False, effects)
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            self._patch(now, worker, status_of.ended(worker, now, self._pod_ip(worker), self._ip, code), effects)
            self._end(worker)
            return
        ran = now - worker.started_ns
        worker.restarts += 1
        worker.turn += 1
        wait = 0
        if ran > BACKOFF_RESET_NS or not worker.backoff_ns:
            worker.backoff_ns = BACKOFF_FIRST_NS  # the first restart comes at once
        else:
            wait = worker.backoff_ns
            worker.backoff_ns = min(worker.backoff_ns * 2, BACKOFF_MOST_NS)
        worker.stage = Stage.WAITING
        if wait:
            text = f"back-off {wait // SECOND}s restarting failed container={worker.plan.keep[0].name}"
            effects.append(Record(pod, "Warning", "BackOff", text))
            status = status_of.waiting(worker, now, self._pod_ip(worker), self._ip, "CrashLoopBackOff", text)
        else:
            status = status_of.waiting(worker, now, self._pod_ip(worker), self._ip, "ContainerCreating", "")
        self._patch(now, worker, status, effects)
        effects.append(WakeAt(now + wait, (pod.metadata.uid, worker.turn, "again")))

    def _stop(self, now: int, worker: Worker, effects: list[Effect]) -> None:
        """SIGTERM; the container takes its time, at most the grace period."""
        meta = worker.pod.metadata
        was = worker.stage
        worker.stage = Stage.STOPPING
        worker.turn += 1
        self._tell(worker, "Killing", "Stopping container", effects)
        wait = span(meta.annotations, STOP_AFTER, STOP_AFTER_NS)
        grace = (meta.deletion_grace_period_seconds or 0) * SECOND
        if was != Stage.RUNNING:
            wait = 0
        effects.append(WakeAt(now + min(wait, grace), (meta.uid, worker.turn, "stopped")))

    def _stopped(self, now: int, worker: Worker, effects: list[Effect]) -> None:
        self._serve(worker, False, effects)
        self._release(worker)
        del self.pods[worker.pod.metadata.uid]
        effects.append(_gone(worker.pod))

    def _end(self, worker: Worker) -> None:
        worker.stage = Stage.ENDED
        worker.turn += 1
        self._release(worker)

    def _release(self, worker: Worker) -> None:
        if not worker.holds:
            return
        worker.holds = False
        for name, amount in worker.plan.needs:
            self._used[name] -= amount
        if worker.devices:
            share = devices_wanted(worker.pod.metadata.annotations)[1]
            for device in worker.devices:
                self._devices[device] += share

    # -- traffic and usage ---------------------------------------------------------------------------------------------

    def flow(self, now: int, source: str, flow: Flow, effects: list[Effect]) -> None:
        worker = self.pods.get(flow.pod)
        if worker is None:
            return
        worker.flows = {**worker.flows, (source, flow.service): flow.milli_rps}
        self._dirty(now, worker, effects)

    def _dirty(self, now: int, worker: Worker, effects: list[Effect]) -> None:
        """Report at the next scrape."""
        self._unreported[worker.pod.metadata.uid] = None
        due = (now // METRICS_NS + 1) * METRICS_NS
        if self._metrics_due < due:
            self._metrics_due = due
            effects.append(WakeAt(due, ("metrics", due)))

    def report(self, now: int, effects: list[Effect]) -> None:
        """Usage, which is not the request: what the pod needs idle, and what its requests cost, capped by its limit."""
        due, self._unreported = self._unreported, {}
        for uid in due:
            worker = self.pods.get(uid)
            if worker is None or worker.stage != Stage.RUNNING:
                continue
            usage = self._usage_milli(worker)
            before = worker.reported_milli
            if before >= 0 and abs(usage - before) * 100 < before:
                continue  # less than a percent
            worker.reported_milli = usage
            metrics = _metrics(worker, usage, now)
            effects.append(Create(metrics, "metrics") if before < 0 else Update(metrics))

    def _usage_milli(self, worker: Worker) -> int:
        annotations, plan = worker.pod.metadata.annotations, worker.plan
        idle = milli(annotations, CPU_USAGE)
        usage = plan.cpu_milli * IDLE_PERCENT // 100 if idle is None else idle
        cost = milli(annotations, CPU_PER_REQUEST)
        if cost and worker.flows:
            usage += sum(worker.flows.values()) * cost // 1000
        return min(usage, plan.cpu_limit_milli) if plan.cpu_limit_milli else usage

    # -- words ---------------------------------------------------------------------------------------------------------

    def _serve(self, worker: Worker, able: bool, effects: list[Effect]) -> None:
        """Whether requests sent to it would be answered, from now on; told for pods that requests cost something."""
        if worker.serving == able:
            return
        worker.serving = able
        meta = worker.pod.metadata
        if CPU_PER_REQUEST in meta.annotations:
            effects.append(Observe("serving", (meta.key, meta.uid, int(able))))

    def _patch(self, now: int, worker: Worker, status: PodStatus, effects: list[Effect]) -> None:
        effects.append(PatchStatus(_with(worker.pod, status)))

    def _tell(self, worker: Worker, reason: str, message: str, effects: list[Effect]) -> None:
        if self._settings.record_events:
            effects.append(Record(worker.pod, "Normal", reason, message))

    def _pod_ip(self, worker: Worker) -> str:
        number = int(worker.pod.metadata.uid[-12:], 16)
        return f"10.{128 + (number >> 16) % 128}.{(number >> 8) & 255}.{number & 255}"


def _with(pod: Pod, status: PodStatus) -> Pod:
    return Pod(metadata=pod.metadata, spec=pod.spec, status=status)


def _is_ready(pod: Pod) -> bool:
    for item in pod.status.conditions:
        if item.type == "Ready":
            return item.status == "True"
    return True  # our own status is still on its way


def _gone(pod: Pod) -> Delete:
    meta = pod.metadata
    return Delete("Pod", meta.namespace, meta.name, uid=meta.uid, grace_s=0)


def _next_tick(at: int, start: int, period: int) -> int:
    """The first probe at or after `at`, of probes every `period` from `start`."""
    return at if at <= start else start + -(-(at - start) // period) * period


def _metrics(worker: Worker, usage: int, now: int) -> PodMetrics:
    meta = worker.pod.metadata
    return PodMetrics(
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            labels=meta.labels,
            owner_references=(OwnerReference(api_version="v1", kind="Pod", name=meta.name, uid=meta.uid),),
        ),
        timestamp=Time(now),
        window="15s",
        containers=(ContainerMetrics(name=worker.plan.keep[0].name, usage={"cpu": milli_quantity(usage)}),),
    )
