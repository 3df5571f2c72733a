"""Bindings, from the decision until the watch shows them: volumes first (PreBind), then the pod, and what fails."""

from __future__ import annotations

from harness.engine.component import SECOND, BindPod, Effect, Instant
from harness.model.gpu import GPU_INDEX, devices_text
from harness.scheduling.cycle import pod_status
from harness.scheduling.cycle.context import SchedulerContext
from harness.scheduling.cycle.queue import Queued
from harness.scheduling.strategy import Bind

ON_ITS_WAY_NS = 10 * SECOND
"""After that a pod that is listed without a node has none."""


class Binder:
    def __init__(self, context: SchedulerContext) -> None:
        self._context = context
        self._sent: dict[str, Instant] = {}  # when the binding of a pod was sent, until it is seen

    def restart(self) -> None:
        self._sent.clear()

    def bind(self, now: Instant, queued: Queued, bind: Bind) -> list[Effect]:
        """What to write for a pod that is assumed on its node: its volumes' bindings, or its own."""
        context = self._context
        key = bind.pod.key
        context.queue.remove(key)
        context.drop_nomination(now, key)
        context.tally.decisions += 1
        context.metrics.scheduled(now - queued.entered_ns, queued.attempts)
        self._sent[key] = now
        namespace, _, name = key.rpartition("/")
        devices = {GPU_INDEX: devices_text(bind.devices)} if bind.devices else {}
        binding = BindPod(namespace, name, queued.uid, context.snapshot.node_table.names[bind.node], devices)
        if bind.pod.cls.footprint.claims:
            return context.volumes.bind(now, key, binding)
        return [binding]

    def confirm(self, now: Instant, key: str) -> None:
        """The watch shows the pod on a node."""
        sent = self._sent.pop(key, None)
        if sent is not None:
            self._context.metrics.point("Bind", "Success", (now - sent) / 1e9)

    def is_binding(self, now: Instant, key: str) -> bool:
        """A binding is on its way, or the event that shows it."""
        sent = self._sent.get(key)
        return sent is not None and now - sent < ON_ITS_WAY_NS

    def bind_volumes(self, now: Instant) -> list[Effect]:
        """Bindings of pods whose claims are bound by now; pods whose claims will not be are tried again."""
        context = self._context
        ready, failed = context.volumes.due(now)
        effects: list[Effect] = [*context.volumes.subscription(), *ready]
        for binding, why in failed:
            pod = context.pending.get(f"{binding.namespace}/{binding.name}")
            if pod is not None:
                effects += pod_status.report_unschedulable(now, pod, why, "")
            self.handle_failure(now, binding)
        return effects

    def handle_failure(self, now: Instant, binding: BindPod) -> None:
        """The binding was refused: the pod is taken off the node and backs off."""
        context = self._context
        key = f"{binding.namespace}/{binding.name}"
        sent = self._sent.pop(key, None)
        context.metrics.errors()
        if sent is not None:
            context.metrics.point("Bind", "Error", (now - sent) / 1e9)
        pod = context.pending.get(key)
        if pod is None or pod.metadata.uid != binding.uid or key in context.queue:
            return  # deleted, or bound by somebody else: the watch has told
        context.forget_pod(now, key)
        queued = context.queue.add(context.view_of(pod), pod.metadata.uid, now)
        queued.attempts += 1
        context.queue.back_off(queued, now)
