"""Watch events into the snapshot, the queue and the preemptor. Decides nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.engine.component import ADDED, DELETED, Instant, Relist, Watch
from harness.model.core import Node, Pod
from harness.model.objects import PodDisruptionBudget, PodGroup, kind_of
from harness.scheduling.cycle import watched_objects
from harness.scheduling.cycle.binding import Binder
from harness.scheduling.cycle.context import SchedulerContext
from harness.scheduling.pods.requests import bound_devices
from harness.scheduling.state.from_node import node_columns


class Intake:
    def __init__(self, context: SchedulerContext, binder: Binder) -> None:
        self._context = context
        self._binder = binder
        self._others: dict[str, dict[str, Any]] = {}  # besides nodes and pods: as last heard of, by kind, by key

    def restart(self) -> None:
        self._others.clear()

    def handle_watch(self, now: Instant, event: Watch) -> None:
        obj = event.obj
        if type(obj) is Pod:
            self.handle_pod(now, event.type, obj, event.old)
        elif type(obj) is Node:
            self._handle_node(now, event.type, obj)
        else:
            self._handle_other(now, event.type, obj)

    def handle_relist(self, now: Instant, event: Relist) -> None:
        """The watch lost its place: what is not in the list is gone."""
        if event.kind == "Pod":
            self._drop_pods(now, {pod.metadata.key: pod for pod in event.objects})
        elif event.kind == "Node":
            listed = {node.metadata.name for node in event.objects}
            for name in [name for name in self._nodes() if name not in listed]:
                self._remove_node(now, name)
        else:
            uids = {obj.metadata.key: obj.metadata.uid for obj in event.objects}
            for key, known in list(self._others.get(event.kind, {}).items()):
                if uids.get(key) != known.metadata.uid:
                    self._handle_other(now, DELETED, known)
        for obj in event.objects:
            match obj:
                case Pod():
                    self.handle_pod(now, ADDED, obj)
                case Node():
                    self._handle_node(now, ADDED, obj)
                case _:
                    self._handle_other(now, ADDED, obj)

    # -- pods ----------------------------------------------------------------------------------------------------------

    def _drop_pods(self, now: Instant, listed: Mapping[str, Pod]) -> None:
        """Those that are gone, and those in whose place there is another one of the same name.

        Source: kube-scheduler 1.32 eventhandlers.go updatePodInCache, updatePodInSchedulingQueue: another uid is a
        deletion and a creation.
        """
        context = self._context
        for key, waiting in list(context.pending.items()):
            if key not in listed or listed[key].metadata.uid != waiting.metadata.uid:
                self._drop_pod(now, key)
        placed = context.snapshot.placements
        created = {view.key: view.created_ns for views in placed.pods for view in views}
        created |= {view.key: view.created_ns for _, view, _ in placed.on_unknown_nodes.all()}
        for key, created_ns in created.items():
            # A view does not hold its pod's uid; no two pods of one name were created at one instant.
            pod = listed.get(key)
            unbound = pod is not None and not pod.spec.node_name and not self._binder.is_binding(now, key)
            if pod is None or (pod.metadata.creation_timestamp or 0) != created_ns or unbound:
                self._drop_pod(now, key)  # unbound: the store was restored to before it was bound
        for key in [key for key in (*context.gated, *context.left_out) if key not in listed]:
            self._handle_gone(now, key)

    def _drop_pod(self, now: Instant, key: str) -> None:
        self._context.preemptor.preemption.remove_pod(key)
        self._handle_gone(now, key)

    def handle_pod(self, now: Instant, change: str, pod: Pod, old: Pod | None = None) -> None:
        if pod.spec.node_name:
            self._handle_assigned(now, change, pod, old)
        elif _has_ended(change, pod) or pod.metadata.deletion_timestamp is not None:
            self._handle_gone(now, pod.metadata.key)
        elif pod.spec.scheduler_name == self._context.name:
            self._handle_pending(now, pod, old)

    def _handle_assigned(self, now: Instant, change: str, pod: Pod, old: Pod | None) -> None:
        context = self._context
        key, node = pod.metadata.key, pod.spec.node_name
        context.pending.pop(key, None)
        self._binder.confirm(now, key)
        context.volumes.drop(key)
        if key in context.queue:
            context.queue.remove(key)
        if len(context.snapshot.nominations):
            context.drop_nomination(now, key)
        preemptor = context.preemptor
        if _has_ended(change, pod):
            preemptor.preemption.remove_pod(key)
            context.forget_pod(now, key)
            return
        if preemptor.wanted is not False:
            preemptor.observe_priority(pod.spec.priority)
            preemptor.preemption.update_pod(pod)
        snapshot = context.snapshot
        at = snapshot.where(key)
        if at is None or snapshot.node_table.names[at] != node:
            # Somebody else bound it, or it was bound before this scheduler started.
            snapshot.forget(key)
            snapshot.assume_on(context.view_of(pod), node, bound_devices(pod))
        elif old is not None and _selector_fields(pod) != _selector_fields(old):
            snapshot.update_labels(key, *_selector_fields(pod))

    def _handle_gone(self, now: Instant, key: str) -> None:
        """Deleted, ended or terminating before it was bound; it may have been assumed."""
        context = self._context
        context.pending.pop(key, None)
        context.left_out.discard(key)
        context.gated.discard(key)
        context.queue.remove(key)
        context.forget_pod(now, key)
        context.drop_nomination(now, key)

    def _handle_pending(self, now: Instant, pod: Pod, old: Pod | None) -> None:
        context = self._context
        key = pod.metadata.key
        if pod.spec.scheduling_gates:
            context.gated.add(key)
            return
        if context.gated:
            context.gated.discard(key)
        preemptor = context.preemptor
        preemptor.observe_priority(pod.spec.priority)
        before = context.pending.get(key)
        context.pending[key] = pod
        if context.snapshot.where(key) is not None:
            return  # assumed: what its status says of a nomination is from before
        if pod.status.nominated_node_name or (old is not None and old.status.nominated_node_name):
            preemptor.observe_nomination(pod, context.view_of(pod), old)
        if key in context.left_out:
            return
        queue = context.queue
        if key not in queue:
            view = context.view_of(pod)
            if view.cls.footprint.claims and context.volumes.must_wait(key):
                return
            queue.add(view, pod.metadata.uid, now)
            if view.group is not None and not context.missing_members(view):
                queue.gathered(view.group)
        elif before is not None and (
            pod.spec is not before.spec
            or pod.metadata.labels != before.metadata.labels
            or pod.metadata.annotations != before.metadata.annotations
        ):
            queue.change(context.view_of(pod), now)

    # -- nodes and the rest --------------------------------------------------------------------------------------------

    def _handle_node(self, now: Instant, change: str, node: Node) -> None:
        name = node.metadata.name
        if change == DELETED:
            if name in self._nodes():
                self._remove_node(now, name)
            return
        snapshot = self._context.snapshot
        columns = node_columns(node)
        if name in self._nodes():
            before = snapshot.version
            snapshot.update_node(**columns)
            if snapshot.version == before:
                return  # a heartbeat: nothing that scheduling looks at
            event = "NodeUpdate"
        else:
            snapshot.add_node(**columns)
            event = "NodeAdd"
        self._context.wake_for_node(now, self._nodes()[name], event)

    def _remove_node(self, now: Instant, name: str) -> None:
        context = self._context
        nominations = context.snapshot.nominations
        for pod in nominations.pods_on(self._nodes()[name]):
            nominations.remove(pod.key)
            context.queue.wake_pod(pod.key, now, "NodeDelete")
        context.snapshot.remove_node(name)

    def _nodes(self) -> dict[str, int]:
        return self._context.snapshot.node_table.index

    def _handle_other(self, now: Instant, change: str, obj: Any) -> None:
        context = self._context
        held, key = self._others.setdefault(kind_of(obj), {}), obj.metadata.key
        if change == DELETED:
            held.pop(key, None)
        else:
            held[key] = obj
        if isinstance(obj, PodDisruptionBudget):
            context.preemptor.observe_budget(change, obj)
        elif not watched_objects.observe(context.snapshot.classes, obj, gone=change == DELETED):
            assert type(obj) is PodGroup
            self._handle_pod_group(now, change, obj)

    def _handle_pod_group(self, now: Instant, change: str, group: PodGroup) -> None:
        context = self._context
        key = context.pod_groups.observe(change, group)
        for pod_key in list(context.queue.keys()):
            queued = context.queue.get(pod_key)
            if queued is not None and queued.view.group == key:
                context.queue.change(context.view_of(context.pending[pod_key]), now)


def _has_ended(change: str, pod: Pod) -> bool:
    return change == DELETED or pod.status.phase in ("Succeeded", "Failed")


def _selector_fields(pod: Pod) -> tuple[dict[str, str], bool]:
    """What other pods' constraints see of a placed pod."""
    return pod.metadata.labels, pod.metadata.deletion_timestamp is not None
