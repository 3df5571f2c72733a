"""Kinds that no component of a cluster acts on are told to who writes them."""

from __future__ import annotations

from harness.cluster.assembly import ClusterPlan, assemble
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore


def test_node_pools_are_heeded_by_just_in_time_alone() -> None:
    plain = assemble(MemoryStore(ObjectCodec()), ClusterPlan()).cluster.server
    assert set(plain.unheeded) == {"NodePool", "NodeClaim"}
    assert "just-in-time" in plain.unheeded["NodePool"]
    with_pools = ClusterPlan(autoscaler="just-in-time")
    assert assemble(MemoryStore(ObjectCodec()), with_pools).cluster.server.unheeded == {}
