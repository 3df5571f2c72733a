"""What the parts of one scheduler share: snapshot, queue, the pods that wait, and what several parts do to them.

The scheduling queue and the snapshot are replaced by a restart, the snapshot also when it was rebuilt: the parts read
them from here each time and keep no reference of their own.
"""

from __future__ import annotations

from random import Random

from harness.engine.component import SECOND, Effect, Observe
from harness.model.core import Pod
from harness.scheduling.cycle import queueing_hints
from harness.scheduling.cycle.metrics import SchedulerMetrics
from harness.scheduling.cycle.pod_groups import PodGroups
from harness.scheduling.cycle.queue import SchedulingQueue
from harness.scheduling.cycle.settings import SchedulerSettings, SchedulerTally
from harness.scheduling.cycle.volume_binder import VolumeBinder
from harness.scheduling.feasibility.fit_error import Diagnoses
from harness.scheduling.feasibility.legality import needs_gang
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption.preemptor import Preemptor
from harness.scheduling.strategy import PodView

MOST_TRACEBACKS = 20
"""Kept of a run, each of another fault."""


class SchedulerContext:
    """`pending`: unbound pods as last seen, by key. `gated`: pods that wait for their scheduling gates to go.

    `left_out`: pods that get no second attempt (settings.retry is False). `deferred`: effects that are sent once the
    time that deciding takes has passed.
    """

    def __init__(self, settings: SchedulerSettings, rng: Random, snapshot: Snapshot) -> None:
        self.settings = settings
        self.name = settings.name
        self.rng = rng
        self.tally = SchedulerTally()
        self.metrics = SchedulerMetrics(self.name)
        self.snapshot = snapshot
        self.queue = SchedulingQueue(self.settings.constants)
        self.pod_groups = PodGroups()
        self.pending: dict[str, Pod] = {}
        self.gated: set[str] = set()
        self.left_out: set[str] = set()
        self.deferred: list[Effect] = []
        self.diagnoses = Diagnoses()
        self.preemptor = self._new_preemptor()
        self.volumes = VolumeBinder(snapshot, settings.constants.bind_timeout_s * SECOND)

    # -- lifecycle -----------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Forget what was learned from watches: a restarted scheduler lists everything again."""
        self.snapshot = self.snapshot.fresh()
        self.diagnoses = Diagnoses()
        self.queue = SchedulingQueue(self.settings.constants)
        self.pending.clear()
        self.pod_groups = PodGroups()
        self.preemptor = self._new_preemptor()
        timeout_ns = self.settings.constants.bind_timeout_s * SECOND
        self.volumes = VolumeBinder(self.snapshot, timeout_ns, self.volumes.process + 1)
        self.gated.clear()
        self.deferred.clear()

    def replace_snapshot(self, snapshot: Snapshot) -> None:
        """The same cluster, rebuilt after a strategy was interrupted."""
        self.snapshot = self.volumes.snapshot = snapshot
        self.preemptor.look_at(snapshot)
        self.diagnoses = Diagnoses()

    def _new_preemptor(self) -> Preemptor:
        wanted = self.settings.preemption if self.settings.retry else False  # who gets no second chance gains nothing
        return Preemptor(self.snapshot, wanted, self.rng, self.pending)

    # -- pods ----------------------------------------------------------------------------------------------------------

    def view_of(self, pod: Pod) -> PodView:
        """The pod as strategies see it, with what its PodGroup and the workload declare."""
        view = self.snapshot.classes.view(pod)
        lifetime = self.settings.lifetime_of(pod) if self.settings.lifetime_of is not None else None
        if view.group is None and lifetime is None:
            return view
        return self.snapshot.classes.view(pod, group_min=self.pod_groups.min_member(view.group), lifetime_ns=lifetime)

    def missing_members(self, pod: PodView) -> int:
        """How many members the pod's gang lacks of those that must be placed together."""
        return needs_gang(self.snapshot, pod) - self.queue.waiting_in(pod.group) if pod.group is not None else 0

    def forget_pod(self, now: int, key: str) -> None:
        """Take the pod off its node, assumed or bound; what it held may help others."""
        node = self.snapshot.forget(key)
        self.volumes.drop(key)
        if node is not None:
            self.wake_for_node(now, node, "AssignedPodDelete")

    def drop_nomination(self, now: int, key: str) -> None:
        """The pod no longer needs its nominated node; others may."""
        node = self.snapshot.nominations.remove(key)
        if node is not None:
            self.wake_for_node(now, node, "AssignedPodDelete")

    def leave_out(self, key: str) -> None:
        self.queue.remove(key)
        self.left_out.add(key)

    def wake_for_node(self, now: int, node: int, event: str) -> None:
        """Something about `node` changed for the better. `event`: for metrics."""
        preemption = self.preemptor.preemption if self.preemptor.active else None
        queueing_hints.wake_for_node(self.snapshot, self.queue, preemption, node, now, event)

    # -- faults --------------------------------------------------------------------------------------------------------

    def record_violation(self, now: int, kind: str, pod: str, reason: str, traceback: str = "") -> Effect:
        """Count what a strategy did wrong; the effect tells the journal."""
        self.tally.violations.append((now, kind, pod, reason))
        if traceback and len(self.tally.tracebacks) < MOST_TRACEBACKS:
            self.tally.tracebacks.setdefault(reason, traceback)
        return Observe("violation", (self.name, kind, pod, reason))
