"""Times of a cluster whose clock runs faster or slower: clients see them by their own, none from the future."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.registry.table_cells import Moment
from harness.cluster.assembly import ClusterPlan
from harness.cluster.live import LiveCluster
from harness.engine.component import SECOND
from harness.model.objects import to_wire
from harness.model.wire import ScaledEpoch, parse_time, time_text
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from harness.testing.worlds import WorldNode

EPOCH = 1_800_000_000 * SECOND


@given(st.integers(0, 10**17), st.sampled_from([0.5, 2.0, 20.0, 60.0, 3600.0]))
def test_a_time_reads_as_the_instant_that_it_was(instant: int, scale: float) -> None:
    epoch = ScaledEpoch(EPOCH, scale)
    assert abs(parse_time(time_text(instant, epoch, micro=True), epoch) - instant) <= 2000 * scale + 64
    assert abs(parse_time(time_text(instant, epoch), epoch) - instant) <= scale * SECOND + 64


def test_ages_are_told_by_the_clients_clock() -> None:
    epoch = ScaledEpoch(EPOCH, 60.0)
    created = time_text(600 * SECOND, epoch)
    assert Moment(1200 * SECOND, epoch).age(created) == "10s"
    assert Moment(1200 * SECOND, EPOCH).age(time_text(600 * SECOND, EPOCH)) == "10m"


def test_nothing_of_a_fast_cluster_is_from_the_future() -> None:
    live = LiveCluster(MemoryStore(ObjectCodec()), ClusterPlan(nodes=[WorldNode("n").object(0)]), time_scale=1000.0)
    live.run(until=60 * SECOND)
    wall = time.time_ns()
    (node,) = live.cluster.server.objects("Node").values()
    data = to_wire(node, epoch_unix_ns=live.epoch_unix_ns)
    told = [data["metadata"]["creationTimestamp"], *(c["lastTransitionTime"] for c in data["status"]["conditions"])]
    assert all(parse_time(text, 0) <= wall for text in told)
    live.close()


def test_a_fast_cluster_that_starts_again_keeps_the_times_of_its_objects() -> None:
    store = MemoryStore(ObjectCodec())
    plan = ClusterPlan(nodes=[WorldNode("n").object(0)])
    told = []
    for _ in range(2):
        live = LiveCluster(store, plan, time_scale=1000.0)
        live.run(until=live.cluster.now + 30 * SECOND)
        (node,) = live.cluster.server.objects("Node").values()
        told.append(
            (node.metadata.uid, to_wire(node, epoch_unix_ns=live.epoch_unix_ns)["metadata"]["creationTimestamp"])
        )
        live.close()
    assert told[0] == told[1]
