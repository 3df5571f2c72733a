"""Nodes in actors without Ray: the real shards and channels, in threads; what passes between them; and their deaths."""

from __future__ import annotations

import socket
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.engine.component import (
    Create,
    FaultInjected,
    Observe,
    Outcome,
    Packet,
    PatchStatus,
    Record,
    Relist,
    StandingLease,
    Timer,
    Update,
    Watch,
)
from harness.engine.loop import SharedLoop
from harness.engine.messages import Observed
from harness.experiment.run import Home, run_once
from harness.model.core import Pod
from harness.model.faults import ContainerCrash, Crash, Freeze, Partition
from harness.model.meta import ObjectMeta
from harness.model.objects import Unstructured
from harness.model.status import ApiError, Cause
from harness.model.workloads import Lease
from harness.node.actors import nodes as backend
from harness.node.actors.channel import Channel, Closed
from harness.node.actors.session import Actor
from harness.node.actors.shard import Shard
from harness.node.actors.wire import Wire, join_tag, split_tag
from harness.node.backend import PowerOff
from harness.node.usage import Flow
from tests.experiment.scenarios import SERVICE, loaded
from tests.experiment.test_same_bits import BUSY

POD = Pod(metadata=ObjectMeta(name="a", namespace="default", uid="u", labels={"app": "web"}))
LEASE = Lease(metadata=ObjectMeta(name="n", namespace="kube-node-lease"))
REFUSED = ApiError(422, "Invalid", "no", kind="Pod", name="a", causes=(Cause("spec", "Required", "it is"),))
MESSAGES = [
    Watch("MODIFIED", POD, POD, "default/a"),
    Watch("DELETED", POD),
    Relist("Pod", (POD, POD)),
    Timer(("retry", 3)),
    Outcome(PatchStatus(POD, POD, ("status", 1)), POD, None),
    Outcome(Create(LEASE), None, REFUSED),
    Packet("n", Flow("u", "default/web", 2**40, 17)),
    *[FaultInjected(fault) for fault in (Crash(5), Freeze(6), Partition(7), ContainerCrash("default/a", 1))],
    PowerOff(),
    Update(Unstructured(metadata=ObjectMeta(name="s"), extra={"kind": "Secret", "apiVersion": "v1"})),
    Record(POD, "Normal", "Pulled", "it is there"),
    StandingLease(LEASE, 10**10, 5),
]


def passed(message: Any) -> Any:
    wire = Wire()
    (packed,) = wire.decode(wire.encode([wire.pack(message)]))
    return wire.unpack(packed)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message: Any) -> None:
    out = passed(message)
    assert type(out) is type(message)
    for name in message.__struct_fields__:
        was, now = getattr(message, name), getattr(out, name)
        assert type(now) is type(was)
        if isinstance(was, ApiError):
            assert now.__reduce__() == was.__reduce__()
        else:
            assert now == was


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(data=st.lists(PLAIN).map(tuple))
@example(data=("web", (("uid", 3), ("other", 4)), 0))  # a route: tuples within tuples, which plain msgpack makes lists
def test_facts_keep_their_tuples(data: tuple[Any, ...]) -> None:
    out = passed(Observed(3, "n", Observe("route", data)))
    assert (out.at, out.source, out.topic, out.data) == (3, "n", "route", data)
    assert repr(out.data) == repr(data)


def test_what_nobody_knows_does_not_pass() -> None:
    with pytest.raises(TypeError, match="set does not pass between processes"):
        passed(Timer({1, 2}))


@given(at=st.integers(0, 2**62), address=st.integers(0, 2**24 - 1))
@example(at=1_100_000_000_000, address=1)  # after 18 minutes a tag has more than 64 bits
def test_a_tag_passes_in_two_parts(at: int, address: int) -> None:
    assert join_tag(*msgspec.msgpack.decode(msgspec.msgpack.encode(split_tag(join_tag(at, address))))) == join_tag(
        at, address
    )


def test_a_frame_of_any_length_arrives_whole() -> None:
    here, there = (Channel(end) for end in socket.socketpair())
    frames = [b"", b"x", b"y" * 3_000_000]

    def send() -> None:
        for frame in frames:
            here.send(frame)
        here.close()

    sender = threading.Thread(target=send)
    sender.start()
    assert [there.receive() for _ in frames] == frames
    with pytest.raises(Closed):
        there.receive()
    sender.join()


def test_a_loop_stops_where_an_answer_may_come() -> None:
    loop, seen = SharedLoop(), []

    def handle(now: int, messages: list[Any]) -> None:
        seen.append(now)
        loop.stop_before(now + 15)

    loop.handlers[1] = handle
    for at in (10, 20, 30, 40):
        loop.post(at, 1, "x")
    loop.run(100)
    assert (seen, loop.now, loop.next_due) == ([10, 20], 24, 30)
    loop.run(35)
    assert (seen, loop.now) == ([10, 20, 30], 34)


class Threads:
    """A session whose actors are threads. `dies`: the one that does, and after how many frames."""

    def __init__(self, dies: tuple[int, int] | None = None) -> None:
        self._dies = dies
        self.frames = 0
        self.handed: list[Actor] = []

    def actors(self, count: int) -> list[Actor]:
        for key in range(count):
            here, there = socket.socketpair()
            left = self._dies[1] if self._dies is not None and self._dies[0] == key else 10**9
            threading.Thread(target=self._serve, args=(Channel(there), left), daemon=True).start()
            self.handed.append(Actor(key, 1000 + key, Channel(here)))
        return self.handed

    def _serve(self, channel: Channel, left: int) -> None:
        shard = Shard()
        try:
            while left:
                channel.send(shard.handle(channel.receive()))
                self.frames += 1
                left -= 1
        except Closed:
            pass
        finally:
            channel.close()

    def why_died(self, actor: Actor) -> str:
        return "it was told to"

    def give_back(self, actor: Actor) -> None:
        actor.channel.close()


def test_any_number_of_actors_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    inline = run_once(loaded(**BUSY), "greedy", 5)
    for actors in (1, 3):
        session = Threads()
        monkeypatch.setattr(backend, "ray_session", lambda *_: session)  # noqa: B023 used within the turn
        apart = run_once(loaded(**BUSY), "greedy", 5, Home(nodes="ray", actors=actors))
        assert apart.digest == inline.digest
        assert apart.metrics == inline.metrics


def test_latencies_that_are_drawn_and_differ_by_hop_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    latencies = {
        "apiCall": {"median": "9ms", "p99": "80ms", "least": "2ms"},
        "watch": {"median": "30ms", "p99": "200ms", "least": "11ms"},
        "network": {"constant": "1ms"},
    }
    spec = {"duration": "4m", "workload": [SERVICE], "latencies": latencies}
    monkeypatch.setattr(backend, "ray_session", lambda *_: Threads())
    apart = run_once(loaded(**spec), "greedy", 2, Home(nodes="ray", actors=2))
    assert apart.digest == run_once(loaded(**spec), "greedy", 2).digest


def test_an_actor_with_nothing_due_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are folded: machines without pods have nothing to do after they have registered."""
    session = Threads()
    monkeypatch.setattr(backend, "ray_session", lambda *_: session)
    run_once(loaded(duration="30m", workload=[]), "greedy", 1, Home(nodes="ray", actors=2))
    assert session.frames < 20


def test_an_actor_that_dies_in_virtual_time_fails_the_run_and_says_that_it_does_not_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "ray_session", lambda *_: Threads(dies=(1, 40)))
    result = run_once(loaded(**BUSY), "greedy", 5, Home(nodes="ray", actors=2))
    assert result.digest == ""
    assert not result.ok
    ((kind, lost),) = list(result.wrong())
    assert kind == "CANNOT BE REPLAYED"
    assert lost.startswith("the Ray actor of ")
    assert lost.endswith(": it was told to")
    nodes = lost.removeprefix("the Ray actor of ").partition(" died at ")[0]
    assert nodes.count(", ") <= 2, "it may have had hundreds"
