"""Lazy watches: nothing is sent before it is of use, and nobody acts otherwise than one who watched all the time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.apiserver.dispatcher import Dispatcher
from harness.apiserver.server import ApiServer
from harness.apiserver.watches import Watches
from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.controllers import controllers
from harness.engine.component import MINUTE, SECOND, LazyWatch, Subscribe
from harness.model.core import (
    ConfigMap,
    Container,
    Namespace,
    Node,
    NodeStatus,
    Pod,
    PodSpec,
    PodTemplateSpec,
    Service,
    ServicePort,
    ServiceSpec,
)
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.model.workloads import (
    CrossVersionObjectReference,
    Deployment,
    DeploymentSpec,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
    Job,
    JobSpec,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    ReplicaSet,
    ReplicaSetSpec,
)
from harness.scheduling.registry import load
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

ADDRESS = 7


def named(name: str, namespace: str = "default", **labels: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, labels=labels)


def config_map(name: str, number: int = 0) -> ConfigMap:
    return ConfigMap(metadata=named(name), data={"number": str(number)})


class Sent:
    """A server, and what it sends to one address."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.server = ApiServer(MemoryStore(ObjectCodec()))
        self.api = Dispatcher(
            self.server, lambda at, address, message: self.messages.append(message), lambda now, _: now
        )

    def take(self) -> list[tuple[str, str]]:
        """(type, name) of what was sent since the last call."""
        self.api.flush(self.server.now)
        out = [(message.type, message.obj.metadata.name) for message in self.messages]
        self.messages.clear()
        return out


def test_nothing_is_sent_until_it_is_of_use_then_everything_ahead_of_what_was_awaited() -> None:
    sent = Sent()
    sent.server.create(config_map("before"))
    sent.api.subscribe(ADDRESS, ("ConfigMap", "Service"), (LazyWatch(("ConfigMap",), {"Service": None}),))
    sent.server.create(config_map("early"))
    assert sent.take() == []
    sent.server.create(config_map("same-batch"))
    port = ServicePort(port=80)
    sent.server.create(Service(metadata=named("awaited"), spec=ServiceSpec(ports=(port,))))
    sent.server.create(config_map("same-batch-too"))
    maps = [("ADDED", name) for name in ("before", "early", "same-batch", "same-batch-too")]  # in order of creation
    assert sent.take() == [*maps, ("ADDED", "awaited")]
    sent.server.create(config_map("later"))
    sent.server.delete("Service", "default", "awaited")
    assert sent.take() == [("ADDED", "later"), ("DELETED", "awaited")]
    sent.server.create(config_map("last"))
    assert sent.take() == [("ADDED", "last")], "a watch that has begun goes on"


def test_only_an_object_that_the_function_holds_for_wakes() -> None:
    sent = Sent()
    big = LazyWatch(("Namespace",), {"ConfigMap": lambda obj: int(obj.data["number"]) > 5})
    sent.api.subscribe(ADDRESS, ("Namespace",), (big,))
    made = sent.server.create(config_map("grows", 1))
    assert sent.take() == []
    sent.server.update(replace(made, data={"number": "6"}))
    assert {name for _, name in sent.take()} >= {"default", "kube-system"}


def test_what_is_there_already_wakes_at_once_and_asking_again_does_not() -> None:
    """The second: a component that was started again names all kinds that it watches."""
    lazy = (LazyWatch(("Service",), {"ConfigMap": None}),)
    sent = Sent()
    sent.api.subscribe(ADDRESS, ("Service",), lazy)
    sent.server.create(Service(metadata=named("there"), spec=ServiceSpec(ports=(ServicePort(port=80),))))
    sent.api.handle(1, [(ADDRESS, Subscribe(("Service",)))])
    assert sent.take() == []
    sent.server.create(config_map("awaited"))
    assert sent.take() == [("ADDED", "there")]
    sent.api.subscribe(ADDRESS + 1, ("Service",), lazy)
    assert sent.take() == [("ADDED", "there")]


# -- every controller that watches lazily -----------------------------------------------------------------------------

_REQUESTS = {"cpu": milli_quantity(4000), "memory": bytes_quantity(8 << 30), "pods": count_quantity(20)}
_POD = PodSpec(containers=(Container(name="main", image="app"),))


def _template(**labels: str) -> PodTemplateSpec:
    return PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=_POD)


def _selector(**labels: str) -> LabelSelector:
    return LabelSelector(match_labels=labels)


APPLIED: dict[str, Any] = {
    "orphan": Pod(metadata=named("orphan", app="web"), spec=_POD),
    "uncounted": Pod(
        metadata=ObjectMeta(name="uncounted", namespace="default", finalizers=("batch.kubernetes.io/job-tracking",)),
        spec=_POD,
    ),
    "deployment": Deployment(
        metadata=named("web"),
        spec=DeploymentSpec(replicas=2, selector=_selector(app="web"), template=_template(app="web")),
    ),
    "replica set": ReplicaSet(
        metadata=named("set"),
        spec=ReplicaSetSpec(replicas=2, selector=_selector(app="set"), template=_template(app="set")),
    ),
    "job": Job(
        metadata=named("job"),
        spec=JobSpec(
            completions=2,
            template=PodTemplateSpec(
                spec=PodSpec(containers=(Container(name="main", image="app"),), restart_policy="Never")
            ),
        ),
    ),
    "service": Service(metadata=named("web"), spec=ServiceSpec(selector={"app": "web"}, ports=(ServicePort(port=80),))),
    "budget": PodDisruptionBudget(
        metadata=named("web"), spec=PodDisruptionBudgetSpec(min_available=1, selector=_selector(app="web"))
    ),
    "autoscaler": HorizontalPodAutoscaler(
        metadata=named("web"),
        spec=HorizontalPodAutoscalerSpec(
            scale_target_ref=CrossVersionObjectReference(kind="Deployment", name="web", api_version="apps/v1"),
            max_replicas=3,
        ),
    ),
    "in a namespace": Pod(metadata=named("inside", "space"), spec=_POD),
    "without its owner": ConfigMap(
        metadata=ObjectMeta(
            name="left",
            namespace="default",
            owner_references=(OwnerReference(api_version="v1", kind="ConfigMap", name="gone", uid="gone"),),
        )
    ),
    "in the foreground": ConfigMap(
        metadata=ObjectMeta(name="going", namespace="default", finalizers=("foregroundDeletion",))
    ),
}
"""Applied in some order, a second apart; then the namespace goes, and what is deleted in the foreground."""

PODS = ("orphan", "uncounted", "in a namespace")


def played(order: list[str]) -> list[tuple[Any, ...]]:
    """Every write of a cluster with all controllers."""
    nodes = tuple(
        Node(
            metadata=ObjectMeta(name=f"node-{i}", labels={"kubernetes.io/hostname": f"node-{i}"}),
            status=NodeStatus(capacity=_REQUESTS, allocatable=_REQUESTS),
        )
        for i in range(2)
    )
    cluster = assemble(MemoryStore(ObjectCodec()), ClusterPlan(nodes=nodes, strategy=load("greedy")())).cluster
    writes: list[tuple[Any, ...]] = []
    cluster.server.listeners.append(
        lambda kind, change, obj, old, revision: writes.append((cluster.server.now, change, kind.kind, obj))
    )
    cluster.run(2 * SECOND)
    cluster.server.create(Namespace(metadata=ObjectMeta(name="space")))
    for name in order:
        cluster.server.now = cluster.now
        cluster.server.create(APPLIED[name])
        cluster.api.flush(cluster.now)
        cluster.run(cluster.now + SECOND)
    cluster.server.now = cluster.now
    cluster.server.delete("ConfigMap", "default", "going")
    cluster.server.delete("Namespace", "", "space")
    cluster.api.flush(cluster.now)
    cluster.run(cluster.now + MINUTE)
    assert not cluster.component_faults
    return writes


@given(order=st.permutations(sorted(APPLIED)))
@settings(max_examples=5)
@example(order=[*PODS, *sorted(set(APPLIED) - set(PODS))])
def test_controllers_write_the_same_as_if_they_had_watched_all_the_time(order: list[str]) -> None:
    lazily = played(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watches, "_put_to_sleep", lambda self, address, watch: None)
        assert played(order) == lazily


def test_most_controllers_watch_lazily() -> None:
    """Else the comparison above compares nothing."""
    lazy = {item.name for item in controllers() if getattr(item, "lazy_watches", ())}
    assert len(lazy) >= 7
    for component in controllers():
        for watch in getattr(component, "lazy_watches", ()):
            assert set(watch.kinds) <= set(component.watches)
            assert not set(watch.kinds) & {kind for kind, wanted in watch.until.items() if wanted is None}
