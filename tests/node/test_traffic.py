"""Clients on one node, pods on others: who gets how much, what it costs them, and what is lost when things break."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.services.endpointslice.controller import EndpointSliceController
from harness.engine.component import ADDED, MODIFIED, SECOND, Observe, Send, Start, Timer, WakeAt, Watch
from harness.engine.latency import Latencies
from harness.measure.traffic import Traffic
from harness.model.constants import DEFAULTS
from harness.model.core import Node, NodeStatus, Service, ServicePort, ServiceSpec
from harness.model.faults import ContainerCrash, Crash, Freeze, NodeFault, Partition
from harness.model.load import LoadCurve
from harness.model.meta import ObjectMeta
from harness.model.pod_usage import CPU_PER_REQUEST, CPU_USAGE
from harness.model.quantity import count_quantity
from harness.model.workloads import Endpoint, EndpointConditions, EndpointSlice, PodMetrics, TargetRef
from harness.node.machine import Machine
from harness.node.proxy import SERVICE_NAME
from harness.node.settings import NodeSettings, Route
from tests.node.rig import Rig
from workloads.generators.load import Sum, constant, ramp, step

COST = {CPU_PER_REQUEST: "5m", CPU_USAGE: "20m"}


class Street:
    """A gateway with clients of the service `web`, and a pod on each of some nodes; endpoints by their controller."""

    def __init__(self, curve: LoadCurve, *, pods: int = 2, annotations: dict[str, str] | None = None) -> None:
        def with_routes(name: str, settings: NodeSettings) -> NodeSettings:
            return replace(settings, routes=(Route("default/web", curve),)) if name == "n0" else settings

        self.rig = rig = Rig(nodes=pods + 1, settings_for=with_routes)
        self.traffic = Traffic()
        rig.cluster.api.observers.append(self.traffic.observe)
        rig.server.listeners.append(self._write)
        rig.cluster.add(EndpointSliceController())
        meta = ObjectMeta(name="web", namespace="default")
        spec = ServiceSpec(selector={"app": "web"}, ports=(ServicePort(port=80),))
        rig.server.create(Service(metadata=meta, spec=spec))
        self.uids = []
        for index in range(pods):
            made = rig.pod(
                f"p{index}",
                node=f"n{index + 1}",
                restart="Always",
                annotations=COST if annotations is None else annotations,
            )
            labelled = replace(made.metadata, labels={"app": "web"}, resource_version="")
            rig.server.update(replace(made, metadata=labelled))
            self.uids.append(made.metadata.uid)
        rig.cluster.api.flush(rig.server.now)

    def _write(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        self.traffic.write(self.rig.server.now, kind.kind, change, obj, old)

    def run(self, until_s: float) -> None:
        self.rig.run(until_s)

    def hit(self, node: int, fault: NodeFault) -> None:
        self.rig.disturb(fault, node)

    def routes(self) -> list[tuple[float, dict[str, int], int]]:
        """(second, milli-rps by pod, milli-rps to nobody) at each change."""
        names = {uid: f"p{index}" for index, uid in enumerate(self.uids)}
        return [
            (round(at / SECOND, 3), {names[uid]: rate for uid, rate in data[1]}, data[2])
            for at, _, topic, data in self.rig.observed
            if topic == "route"
        ]

    def cpu(self, pod: str) -> int | None:
        metrics: PodMetrics | None = self.rig.server.objects("PodMetrics").get(f"default/{pod}")
        return None if metrics is None else metrics.containers[0].usage["cpu"].milli

    def lost(self, start_s: float, end_s: float) -> float:
        return self.traffic.lost_between("default/web", round(start_s * SECOND), round(end_s * SECOND))


def test_requests_go_to_ready_endpoints_evenly_to_the_last_milli() -> None:
    street = Street(constant(10_001), pods=3)
    street.run(10)
    assert street.routes()[0] == (0.005, {}, 10_001)
    _, shares, unrouted = street.routes()[-1]
    assert sorted(shares.values()) == [3333, 3334, 3334]
    assert unrouted == 0


def test_usage_is_idle_and_what_requests_cost_told_at_the_next_scrape() -> None:
    street = Street(constant(20_000))
    first_ns = street.rig.server.scrapes.next_ns(4 * SECOND)
    street.run(first_ns / SECOND - 0.1)
    assert street.cpu("p0") is None
    street.run(first_ns / SECOND + 0.1)
    assert street.cpu("p0") == 20 + 10 * 5
    assert street.rig.server.get("PodMetrics", "default", "p0").timestamp == first_ns


def test_usage_is_told_when_it_changed_by_a_percent_and_only_then() -> None:
    curve = Sum((constant(200_000), step(20 * SECOND, 0, 1_800), step(50 * SECOND, 0, 200)))
    street = Street(curve, annotations={CPU_PER_REQUEST: "10m", CPU_USAGE: "0"})
    written: list[tuple[float, str, int]] = []

    def note(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "PodMetrics":
            at = street.rig.server.now / SECOND
            written.append((round(at, 1), obj.metadata.name, obj.containers[0].usage["cpu"].milli))

    street.rig.server.listeners.append(note)
    street.run(120)
    # 100 requests a second for 1000m; at 20 s nine tenths of a percent more, at 50 s a tenth more than that.
    first, later = (round(street.rig.server.scrapes.next_ns(at * SECOND) / SECOND, 1) for at in (4, 50))
    assert written == [(first, "p0", 1000), (first, "p1", 1000), (later, "p0", 1010), (later, "p1", 1010)]


def test_usage_of_a_pod_that_serves_nobody_is_nobodys_business() -> None:
    street = Street(constant(20_000), annotations={})
    street.run(60)
    assert street.rig.server.objects("PodMetrics") == {}
    assert not any(topic == "serving" for _, _, topic, _ in street.rig.observed)


def test_a_pod_that_waits_for_its_restart_has_no_metrics() -> None:
    street = Street(constant(20_000))
    street.run(16)
    for _ in range(3):  # the first restart comes at once, the second after 10 s, the third after 20 s
        street.hit(1, ContainerCrash("default/p0"))
        street.run(round(street.rig.server.now / SECOND) + 12)
    assert street.cpu("p0") is None
    assert street.cpu("p1") is not None
    street.run(120)
    assert street.cpu("p0") == 20 + 10 * 5


def test_a_slope_is_followed_each_second_and_a_gentle_one_as_soon_as_it_shows() -> None:
    steep = Street(ramp(10 * SECOND, 20 * SECOND, 1_000, 11_000))
    steep.run(30)
    rates = {at: sum(shares.values()) for at, shares, _ in steep.routes() if at >= 10}
    assert [rates[float(at)] for at in range(11, 21)] == [2_000 + 1_000 * n for n in range(10)]
    gentle = Street(ramp(0, 86_400 * SECOND, 0, 10_000))
    gentle.run(3_600)
    told = [sum(shares.values()) + unrouted for _, shares, unrouted in gentle.routes()]
    assert told[-1] == 3_600 * 10_000 // 86_400
    assert max(later - earlier for earlier, later in pairwise(told)) <= 1
    assert len(told) < 500


def test_a_crashed_target_loses_its_share_until_it_is_no_endpoint_any_more() -> None:
    street = Street(constant(20_000))
    street.run(20)
    assert street.lost(10, 20) == 0
    street.hit(1, Crash(down_ns=30 * SECOND))
    street.run(40)
    # Nobody here takes it out of the endpoints: half of all requests are lost while it is down.
    assert street.lost(20, 40) == pytest.approx(200, abs=0.2)
    street.run(90)
    # Back, it is told not to be ready, starts again, and gets its share again: nothing is lost that is routed.
    assert street.lost(52, 90) == 0
    assert street.routes()[-1][1] == {"p0": 10_000, "p1": 10_000}
    assert street.cpu("p0") == 20 + 10 * 5  # though its client never sent it anew


def test_a_pod_serves_until_it_has_stopped() -> None:
    street = Street(constant(20_000), annotations={**COST, "podyard.dev/stop-after": "5s"})
    street.run(20)
    street.rig.delete("p0")
    street.run(40)
    assert street.lost(10, 40) == 0
    assert street.routes()[-1][1] == {"p1": 20_000}


@pytest.mark.parametrize("fault", [Freeze(20 * SECOND), Partition(20 * SECOND)])
def test_a_target_that_is_away_loses_what_is_sent_and_no_more(fault: NodeFault) -> None:
    street = Street(constant(20_000))
    street.run(20)
    street.hit(2, fault)
    street.run(60)
    assert street.lost(0, 60) - street.lost(0, 20) == pytest.approx(200, abs=0.2)
    assert street.lost(40.1, 60) == 0


def test_what_starts_or_ends_behind_a_partition_is_not_served_before_it_heals() -> None:
    street = Street(constant(20_000))
    street.run(20)
    street.hit(1, Partition(30 * SECOND))
    street.run(25)
    street.rig.hit(ContainerCrash(), 1)
    street.run(45)
    serving = [
        (round(at / SECOND), data[2])
        for at, _, topic, data in street.rig.observed
        if topic == "serving" and data[0] == "default/p0"
    ]
    assert serving == [(2, 1), (20, 0)]
    street.run(60)
    assert street.lost(50.1, 60) == 0


def test_clients_that_are_cut_off_lose_all_and_clients_that_stand_still_send_nothing() -> None:
    street = Street(constant(20_000))
    street.run(20)
    street.hit(0, Partition(20 * SECOND))
    street.run(35)
    assert street.lost(20.1, 35) == pytest.approx(20 * 14.9, abs=0.2)
    assert street.cpu("p0") == 20  # nothing arrives any more
    street.run(60)
    assert street.lost(40.1, 60) == 0
    assert street.cpu("p0") == 70
    street.hit(0, Freeze(20 * SECOND))
    street.run(79)
    at, routes, unrouted = street.routes()[-1]
    assert (routes, unrouted) == ({}, 0)
    assert at == pytest.approx(60, abs=0.1)
    assert street.cpu("p0") == 20
    street.run(100)
    assert street.lost(60, 100) == 0
    assert street.cpu("p0") == 70


def test_a_gateway_that_lost_power_finds_its_endpoints_again() -> None:
    street = Street(constant(20_000))
    street.run(20)
    street.hit(0, Crash(down_ns=10 * SECOND))
    street.run(40)
    assert street.routes()[-1][1] == {"p0": 10_000, "p1": 10_000}
    assert street.lost(30.1, 40) == 0


# -- one machine by itself ---------------------------------------------------------------------------------------------


def endpoints(name: str, ready: dict[str, bool]) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name=name, namespace="default", labels={SERVICE_NAME: "web"}),
        endpoints=tuple(
            Endpoint(
                conditions=EndpointConditions(ready=flag),
                target_ref=TargetRef(kind="Pod", uid=uid),
                node_name=f"on-{uid}",
            )
            for uid, flag in ready.items()
        ),
    )


def client(curve: LoadCurve) -> Machine:
    capacity = {"pods": count_quantity(10)}
    node = Node(metadata=ObjectMeta(name="n"), status=NodeStatus(capacity=capacity, allocatable=capacity))
    at_once = dataclasses.replace(DEFAULTS, proxy_min_sync_period_ns=0)
    route = NodeSettings(latencies=Latencies(), constants=at_once, routes=(Route("default/web", curve),))
    return Machine(node, route, None)  # type: ignore[arg-type]  # nothing is drawn


SLICES = st.dictionaries(st.sampled_from("abcdef"), st.booleans(), max_size=6)


@given(
    changes=st.lists(st.tuples(st.integers(1, 5_000), st.sampled_from(("web-1", "web-2")), SLICES), max_size=12),
    curve=st.one_of(
        st.integers(0, 10**6).map(constant),
        st.tuples(st.integers(0, 3), st.integers(4, 9), st.integers(0, 5000), st.integers(0, 5000)).map(
            lambda t: ramp(t[0] * SECOND, t[1] * SECOND, t[2], t[3])
        ),
    ),
)
@settings(deadline=None)
def test_every_request_is_routed_to_a_ready_endpoint_or_to_nobody_and_targets_hear_the_same(
    changes: list[tuple[int, str, dict[str, bool]]], curve: LoadCurve
) -> None:
    machine = client(curve)
    queue: list[tuple[int, int, Any]] = [(1, 0, Start())]
    at = 1
    for number, (after, name, ready) in enumerate(changes, 1):
        at += after * 10**6
        queue.append((at, number, Watch(MODIFIED if number else ADDED, endpoints(name, ready))))
    held: dict[str, dict[str, bool]] = {}
    heard: dict[str, int] = {}
    told: dict[str, int] = {}
    number = len(queue)
    looks = 0
    while queue and queue[0][0] < 10 * SECOND:
        queue.sort()
        at, _, event = queue.pop(0)
        if isinstance(event, Watch):
            held[event.obj.metadata.name] = {e.target_ref.uid: bool(e.conditions.ready) for e in event.obj.endpoints}
        looks += isinstance(event, Timer)
        for effect in machine.step(at, [event]):
            if isinstance(effect, WakeAt):
                number += 1
                queue.append((max(effect.at, at + 1), number, Timer(effect.token)))
            elif isinstance(effect, Send):
                assert effect.node == f"on-{effect.payload.pod}"
                heard[effect.payload.pod] = effect.payload.milli_rps
            elif isinstance(effect, Observe):
                service, targets, unrouted = effect.data
                can_serve = {uid for items in held.values() for uid, flag in items.items() if flag}
                told = dict(targets)
                assert service == "default/web"
                assert set(told) <= can_serve
                assert sum(told.values()) + unrouted == curve.rate_milli_rps(at)
                assert unrouted == (0 if can_serve else curve.rate_milli_rps(at))
                assert max(told.values(), default=0) - min((told.get(uid, 0) for uid in can_serve), default=0) <= 1
        assert {uid: rate for uid, rate in heard.items() if rate} == told
    assert looks <= 12 + len(changes)  # one a second on one grid, however often endpoints change
