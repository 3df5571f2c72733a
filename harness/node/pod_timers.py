"""What a kubelet's timers of a pod are about, and those of probes that are going to fail."""

from __future__ import annotations

from harness.engine.component import WakeAt
from harness.node.pod_worker import PodWorker
from harness.node.run_spec import tick

STARTED, PULLED, READY, UNREADY, SICK, UNHEALTHY, ENDS, AGAIN, STOPPED, DEADLINE, SEEN_STARTED, SEEN_ENDED = range(12)
EPHEMERAL = 12  # and harness.node.containers.run.CONTAINERS
"""What a timer of a pod is about; its token is (uid, turn, one of these)."""


def will_fail(now: int, worker: PodWorker, sick_ns: int) -> list[WakeAt]:
    """From `sick_ns` on the container answers no probe: the next probes fail, and enough of them have effects."""
    uid, turn, run_spec = worker.pod.metadata.uid, worker.turn, worker.run_spec
    wakes = [WakeAt(sick_ns, (uid, turn, SICK))]
    if run_spec.ready_fail_ns:
        first = tick(sick_ns, now + run_spec.ready_delay_ns, run_spec.ready_period_ns)
        wakes.append(WakeAt(first + run_spec.ready_fail_ns, (uid, turn, UNREADY)))
    if run_spec.live_fail_ns:
        first = tick(sick_ns, now + run_spec.live_delay_ns, run_spec.live_period_ns)
        wakes.append(WakeAt(first + run_spec.live_fail_ns, (uid, turn, UNHEALTHY)))
    return wakes
