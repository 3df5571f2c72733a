"""A server, the components under test, and the hands of whoever runs the story: users, schedulers and kubelets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import ClusterSettings
from harness.engine.component import (
    ADDED,
    MS,
    SECOND,
    BindPod,
    Component,
    Create,
    Delete,
    Effect,
    Event,
    Observe,
    Outcome,
    PatchStatus,
    Start,
    Timer,
    Update,
    WakeAt,
    Watch,
    Write,
)
from harness.engine.latency import Constant, Latencies
from harness.model.core import Container, ContainerStatus, Node, Pod, PodSpec, PodStatus, PodTemplateSpec
from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.status import ApiError
from harness.model.wire import Time
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

LATENCY_NS = 5 * MS


class Tapped:
    """A component whose writes are taken down, and refused where the story says so."""

    def __init__(self, component: Component, rig: Rig) -> None:
        self.component = component
        self.name = component.name
        self.watches = component.watches
        self._rig = rig

    @property
    def handled_failures(self) -> int:
        return int(getattr(self.component, "handled_failures", 0))

    def step(self, now: int, events: Sequence[Event]) -> list[Effect]:
        # A refusal comes as a timer that the cluster keeps, so that it comes when an answer would.
        told = [e.token if isinstance(e, Timer) and isinstance(e.token, Outcome) else e for e in events]
        failed = sum(isinstance(event, Outcome) and event.error is not None for event in told)
        before = self.handled_failures
        effects = list(self.component.step(now, told))
        assert self.handled_failures - before >= failed, f"{self.name} does not handle that a write failed: {told}"
        return [self._taken_down(now, effect) for effect in effects]

    def _taken_down(self, now: int, effect: Effect) -> Effect:
        if isinstance(effect, WakeAt | Observe):
            return effect
        self._rig.sent.append((self.name, effect))
        error = self._rig.refuse(self.name, effect)
        if error is None:
            return effect
        assert isinstance(effect, Write), f"{effect} is no write, and cannot be refused"
        return WakeAt(now + 2 * self._rig.latency_ns, Outcome(effect, None, error))


class Rig:
    def __init__(self, *components: Component, latency_ns: int = LATENCY_NS) -> None:
        self.latency_ns = latency_ns
        self.sent: list[tuple[str, Effect]] = []
        """Every write of every component, in order."""
        self.refuse: Callable[[str, Effect], ApiError | None] = lambda name, effect: None
        hop = Constant(latency_ns)
        plan = ClusterPlan(
            settings=ClusterSettings(latencies=Latencies(api_call=hop, watch=hop)),
            controllers=(),
            components=tuple(Tapped(component, self) for component in components),
        )
        self.cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        self.server, self.loop, self.api = self.cluster.server, self.cluster.loop, self.cluster.api
        self._addresses = {component.name: address for address, component in enumerate(components, 1)}

    def start(self, component: Component) -> None:
        """Start it again, with its memory lost."""
        address = self._addresses[component.name]
        self.loop.post(self.loop.now + 1, address, Start())
        for kind in component.watches:
            for obj in self.server.listed(kind):
                self.loop.post(self.loop.now + self.latency_ns, address, Watch(ADDED, obj))

    # -- time ----------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return self.loop.now

    def run(self, seconds: float = 1.0) -> None:
        horizon = self.loop.now + round(seconds * SECOND)
        self.loop.run(horizon)
        self.loop.now = max(self.loop.now, horizon)

    def settle(self, most_s: float = 60.0) -> None:
        """Until nothing is due within `most_s`."""
        end = self.loop.now + round(most_s * SECOND)
        while self.loop.next_due is not None and self.loop.next_due < end:
            self.loop.run(self.loop.next_due + 1)

    # -- hands ---------------------------------------------------------------------------------------------------------

    def do(self, effect: Any) -> Any:
        """Ask it of the server at once; what was written. Raises the ApiError of a refusal."""
        self.server.now = self.loop.now
        match effect:
            case Create(obj):
                out = self.server.create(obj)
            case Update(obj, subresource):
                out = self.server.update(obj, subresource)
            case PatchStatus(obj):
                out = self.server.patch_status(obj)
            case Delete():
                out = self.server.delete(
                    effect.kind,
                    effect.namespace,
                    effect.name,
                    uid=effect.uid,
                    grace_s=effect.grace_s,
                    propagation=effect.propagation,
                )
            case BindPod():
                out = self.server.bind(effect.namespace, effect.name, effect.uid, effect.node, effect.annotations)
            case _:
                raise AssertionError(effect)
        self.api.flush(self.loop.now)
        return out

    def create(self, obj: Any) -> Any:
        return self.do(Create(obj))

    def get(self, kind: str, name: str, namespace: str = "default") -> Any:
        return self.server.get(kind, namespace, name)

    def change(self, kind: str, name: str, **spec: Any) -> Any:
        """A user edits the spec."""
        obj = self.get(kind, name)
        return self.do(Update(replace(obj, spec=replace(obj.spec, **spec))))

    def delete(self, kind: str, name: str, grace_s: int | None = None) -> None:
        self.do(Delete(kind, "default", name, grace_s=grace_s))

    def pods(self, **labels: str) -> list[Pod]:
        return [
            pod
            for pod in self.server.listed("Pod")
            if all(pod.metadata.labels.get(key) == value for key, value in labels.items())
        ]

    def node(self, name: str, zone: str = "") -> Node:
        labels = {"topology.kubernetes.io/zone": zone} if zone else {}
        made: Node = self.create(Node(metadata=ObjectMeta(name=name, labels=labels)))
        return made

    def bind(self, pod: Pod, node: str) -> Pod:
        if node not in self.server.objects("Node"):
            self.node(node)
        bound: Pod = self.do(BindPod(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid, node))
        return bound

    def set_ready(self, pod: Pod, ready: bool = True, node: str = "n") -> Pod:
        """Bound if it was not, running, and ready or not."""
        pod = self.get("Pod", pod.metadata.name, pod.metadata.namespace)
        if not pod.spec.node_name:
            pod = self.bind(pod, node)
        number = int(pod.metadata.uid[-6:], 16)
        status = PodStatus(
            phase="Running",
            pod_ip=f"10.244.{number >> 8 & 255}.{number & 255}",
            conditions=(Condition(type="Ready", status=str(ready), last_transition_time=Time(self.now)),),
            container_statuses=(ContainerStatus(name="c", ready=ready),),
        )
        written: Pod = self.do(PatchStatus(replace(pod, status=status)))
        return written

    def finish(self, pod: Pod, phase: str = "Succeeded") -> Pod:
        pod = self.get("Pod", pod.metadata.name, pod.metadata.namespace)
        if not pod.spec.node_name:
            pod = self.bind(pod, "n")
        ended = Condition(type="Ready", status="False", last_transition_time=Time(self.now))
        status = replace(pod.status, phase=phase, conditions=(ended,))
        written: Pod = self.do(PatchStatus(replace(pod, status=status)))
        return written

    def kubelet_kills(self, pod: Pod) -> None:
        """The grace is over."""
        self.do(Delete("Pod", pod.metadata.namespace, pod.metadata.name, grace_s=0))

    def events(self, reason: str) -> list[Any]:
        return [item for item in self.server.listed("Event") if item.reason == reason]


def selector(**labels: str) -> LabelSelector:
    return LabelSelector(match_labels=labels)


def template(image: str = "i:1", restart_policy: str = "", **labels: str) -> PodTemplateSpec:
    return PodTemplateSpec(
        metadata=ObjectMeta(labels=labels),
        spec=PodSpec(containers=(Container(name="c", image=image),), restart_policy=restart_policy),
    )
