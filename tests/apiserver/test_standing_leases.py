"""Leases that stand for their renewals, and nodes that fall silent while a lease of theirs is under way."""

from __future__ import annotations

from harness.apiserver.server import ApiServer
from harness.apiserver.standing_leases import StandingLeases
from harness.engine.component import SECOND, STANDING_LEASE, StandingLease
from harness.model.workloads import Lease
from harness.node.node_status import lease
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore


class Leases:
    def __init__(self) -> None:
        self.server = ApiServer(MemoryStore(ObjectCodec()))
        self.leases = StandingLeases(self.server)

    def arrives(self, at_s: float, sent_s: float) -> None:
        self.server.now = round(at_s * SECOND)
        self.leases.begin(StandingLease(lease("n", round(sent_s * SECOND), 40), 10 * SECOND, 0))

    def ends(self, at_s: float, silent_s: float) -> None:
        self.server.now = round(at_s * SECOND)
        self.leases.end("n", round(silent_s * SECOND))

    def renewed_s(self, at_s: float) -> float:
        """As the node lifecycle controller sees it."""
        self.server.now = round(at_s * SECOND)
        known: Lease = self.server.objects("Lease")["kube-node-lease/n"]
        standing = self.leases.renewed_ns("n")
        assert (standing is not None) == (STANDING_LEASE in known.metadata.annotations)
        return (known.spec.renew_time if standing is None else standing) / SECOND  # type: ignore[operator]


def test_a_lease_stands_until_its_node_falls_silent() -> None:
    story = Leases()
    story.arrives(5.2, sent_s=5)
    assert story.renewed_s(38) == 30
    story.leases.falls_silent("n", 42 * SECOND)
    story.ends(42.1, silent_s=42)
    assert story.renewed_s(500) == 40


def test_a_lease_that_was_under_way_when_its_node_fell_silent_is_never_renewed_again() -> None:
    story = Leases()
    story.leases.falls_silent("n", 7 * SECOND)
    story.ends(7.1, silent_s=7)
    story.arrives(9, sent_s=5)
    assert story.renewed_s(500) == 5
    story.arrives(13, sent_s=7)  # sent in the very instant
    assert story.renewed_s(500) == 7


def test_one_that_is_overtaken_changes_nothing() -> None:
    story = Leases()
    story.leases.falls_silent("n", 7 * SECOND)
    story.arrives(21, sent_s=20)
    story.arrives(22, sent_s=5)
    assert story.renewed_s(48) == 40


def test_a_machine_that_is_switched_on_in_the_instant_in_which_another_of_its_name_went_renews_its_lease() -> None:
    story = Leases()
    story.leases.falls_silent("n", 7 * SECOND)
    story.leases.speaks_again("n")
    story.ends(7.1, silent_s=7)
    story.arrives(7.2, sent_s=7)
    assert story.renewed_s(48) == 40
