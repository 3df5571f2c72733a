"""Events of a live cluster that runs do without: that a pod was bound, that a node is there, ready, cordoned.

A run's journal has these facts itself; people look for them in `kubectl describe`. Source of reasons and messages:
pkg/scheduler/schedule_one.go, pkg/kubelet/kubelet_node_status.go, pkg/controller/nodelifecycle.
"""

from __future__ import annotations

from harness.apiserver.dispatcher import Dispatcher
from harness.engine.component import ADDED, Record
from harness.model.core import EventSource, Node, Pod
from harness.model.meta import ApiObject
from harness.model.objects import Kind

NODE_CONTROLLER = EventSource(component="node-controller")


class LiveEvents:
    """A listener of the server; what it has heard is recorded by `record`, between two writes.

    `scheduler`: the schedulerName of this cluster's own; "" without one. Schedulers from outside tell of theirs.
    """

    def __init__(self, api: Dispatcher, scheduler: str) -> None:
        self._api = api
        self._scheduler = scheduler
        self._heard: list[tuple[Record, EventSource]] = []
        api.server.listeners.append(self._written)

    def record(self) -> None:
        heard, self._heard = self._heard, []
        for effect, source in heard:
            self._api.record(effect, source)

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject | None, revision: int) -> None:
        if kind.kind == "Pod":
            own = obj.spec.scheduler_name == self._scheduler
            if own and old is not None and obj.spec.node_name and not old.spec.node_name:
                self._bound(obj)
        elif kind.kind == "Node":
            self._node(obj, old, change)

    def _bound(self, pod: Pod) -> None:
        meta = pod.metadata
        text = f"Successfully assigned {meta.namespace}/{meta.name} to {pod.spec.node_name}"
        source = EventSource(component=pod.spec.scheduler_name)
        self._heard.append((Record(pod, "Normal", "Scheduled", text), source))

    def _node(self, node: Node, old: Node | None, change: str) -> None:
        name = node.metadata.name
        kubelet = EventSource(component="kubelet", host=name)
        if change == ADDED:
            text = f"Node {name} event: Registered Node {name} in Controller"
            self._say(node, "RegisteredNode", text, NODE_CONTROLLER)
        ready, was = _ready(node), "" if old is None else _ready(old)
        if ready == "True" and was != "True":
            self._say(node, "NodeReady", f"Node {name} status is now: NodeReady", kubelet)
        if old is not None and bool(node.spec.unschedulable) != bool(old.spec.unschedulable):
            reason = "NodeNotSchedulable" if node.spec.unschedulable else "NodeSchedulable"
            self._say(node, reason, f"Node {name} status is now: {reason}", kubelet)

    def _say(self, node: Node, reason: str, message: str, source: EventSource) -> None:
        self._heard.append((Record(node, "Normal", reason, message), source))


def _ready(node: Node) -> str:
    return next((item.status for item in node.status.conditions if item.type == "Ready"), "")
