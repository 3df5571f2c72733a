"""What controllers cost a pod, beside the API server's own work: from wanted to created, ready, listed and gone."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL
from harness.apiserver.dispatcher import Dispatcher
from harness.apiserver.server import ApiServer
from harness.cluster.assembly import ClusterPlan, assemble
from harness.controllers.policy.disruption import DisruptionController
from harness.controllers.services.endpointslice.controller import EndpointSliceController
from harness.controllers.workloads.deployment.controller import DeploymentController
from harness.controllers.workloads.job.controller import JobController
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.engine.component import MS, SECOND, Component, Effect, Event
from harness.engine.loop import Loop
from harness.model.core import Container, Node, PodSpec, PodStatus, PodTemplateSpec, Service, ServicePort, ServiceSpec
from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.wire import Time
from harness.model.workloads import Deployment, DeploymentSpec, PodDisruptionBudget, PodDisruptionBudgetSpec
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

PODS = (1_000, 10_000) if FULL else (300,)
BATCH = 10  # pods that become ready within a millisecond


class Clocked:
    """A component, and the seconds spent in it."""

    def __init__(self, inner: Component) -> None:
        self.inner = inner
        self.name = inner.name
        self.watches = inner.watches
        self.seconds = 0.0

    @property
    def handled_failures(self) -> int:
        return int(getattr(self.inner, "handled_failures", 0))

    def step(self, now: int, events: Sequence[Event]) -> list[Effect]:
        begin = time.perf_counter()
        effects = list(self.inner.step(now, events))
        self.seconds += time.perf_counter() - begin
        return effects


def assembled(*components: Component) -> tuple[ApiServer, Dispatcher, Loop, dict[str, Clocked]]:
    clocked = {component.name: Clocked(component) for component in components}
    plan = ClusterPlan(controllers=(), components=tuple(clocked.values()))
    cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
    return cluster.server, cluster.api, cluster.loop, clocked


@pytest.mark.parametrize("pods", PODS)
def test_a_deployment_comes_is_ready_and_goes(benchmark: BenchmarkFixture, pods: int) -> None:
    server, api, loop, clocked = assembled(
        DeploymentController(),
        ReplicaSetController(),
        JobController(),
        EndpointSliceController(),
        DisruptionController(),
    )
    labels = {"app": "web"}
    chosen = LabelSelector(match_labels=labels)
    named = ObjectMeta(name="web", namespace="default")
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=(Container(name="c", image="i:1"),))
    )
    server.create(Node(metadata=ObjectMeta(name="n")))
    server.create(Service(metadata=named, spec=ServiceSpec(selector=labels, ports=(ServicePort(port=80),))))
    budget = PodDisruptionBudgetSpec(selector=chosen, max_unavailable="10%")
    server.create(PodDisruptionBudget(metadata=named, spec=budget))

    def story() -> None:
        server.create(
            Deployment(metadata=named, spec=DeploymentSpec(replicas=pods, selector=chosen, template=template))
        )
        api.flush(loop.now)
        loop.run(60 * SECOND)
        for turn, pod in enumerate(server.listed("Pod")):
            server.now = loop.now
            bound = server.bind("default", pod.metadata.name, pod.metadata.uid, "n", {})
            ready = Condition(type="Ready", status="True", last_transition_time=Time(loop.now))
            status = PodStatus(phase="Running", pod_ip=f"10.0.{turn >> 8}.{turn & 255}", conditions=(ready,))
            server.patch_status(replace(bound, status=status))
            api.flush(loop.now)
            if turn % BATCH == 0:
                loop.run(loop.now + MS)
                loop.now += MS
        loop.run(loop.now + 60 * SECOND)
        deployment = server.get("Deployment", "default", "web")
        assert deployment.status.available_replicas == pods
        server.update(replace(deployment, spec=replace(deployment.spec, replicas=0)))
        api.flush(loop.now)
        loop.run(loop.now + 60 * SECOND)

    benchmark.pedantic(story, rounds=1, warmup_rounds=0)
    assert all(pod.metadata.deletion_timestamp is not None for pod in server.listed("Pod"))
    for name, one in clocked.items():
        benchmark.extra_info[f"{name}_us_per_pod"] = round(1e6 * one.seconds / pods, 2)
