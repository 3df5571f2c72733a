"""Leases that are renewed on time, folded: written when that begins and when it ends (see engine.StandingLease)."""

from __future__ import annotations

from typing import Any

from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.engine.component import STANDING_LEASE, StandingLease
from harness.model.wire import MicroTime


class StandingLeases:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._standing: dict[str, tuple[int, int, int]] = {}  # node: (first renewal, period, phase)
        self._silent_from: dict[str, int] = {}

    def begin(self, effect: StandingLease) -> Any:
        """Write the lease, annotated with its period. Raises ApiError.

        One that was under way when its node fell silent is a last renewal: nobody is left to renew it again.
        """
        lease = effect.lease
        meta = lease.metadata
        if (lease.spec.renew_time or self._server.now) <= self._silent_from.get(meta.name, -1):
            known = self._server.objects("Lease").get(meta.key)
            if known is None:
                return self._server.create(lease)
            if (known.spec.renew_time or 0) >= (lease.spec.renew_time or 0):
                return known  # overtaken by a later one
            return self._server.update(lease)
        text = f"{effect.period_ns // 10**9}s"
        standing = replaced(lease, metadata=replaced(meta, annotations={**meta.annotations, STANDING_LEASE: text}))
        self._standing[meta.name] = (lease.spec.renew_time or self._server.now, effect.period_ns, effect.phase_ns)
        if meta.key in self._server.objects("Lease"):
            return self._server.update(standing)
        return self._server.create(standing)

    def falls_silent(self, node: str, at: int) -> None:
        """The node sends no renewal from `at` on. Those that stand are ended by `end`, as the server hears of it."""
        self._silent_from[node] = at

    def speaks_again(self, node: str) -> None:
        """A machine of this name is switched on."""
        self._silent_from.pop(node, None)

    def end(self, node: str, at: int) -> None:
        """Write the lease with the last renewal before `at`, and no longer standing."""
        stood = self._standing.pop(node, None)
        lease = self._server.objects("Lease").get(f"kube-node-lease/{node}")
        if stood is None or lease is None:
            return
        last = _last_renewal(stood, at - 1)
        annotations = {key: value for key, value in lease.metadata.annotations.items() if key != STANDING_LEASE}
        self._server.update(
            replaced(
                lease,
                metadata=replaced(lease.metadata, annotations=annotations, resource_version=""),
                spec=replaced(lease.spec, renew_time=MicroTime(last)),
            )
        )

    def restored(self) -> None:
        """Leases are as they were once: one that stood then, and that nobody renews any more, does not stand."""
        for lease in self._server.listed("Lease"):
            meta = lease.metadata
            if STANDING_LEASE in meta.annotations and meta.name not in self._standing:
                annotations = {key: value for key, value in meta.annotations.items() if key != STANDING_LEASE}
                bare = replaced(meta, annotations=annotations, resource_version="")
                self._server.update(replaced(lease, metadata=bare))

    def renewed_ns(self, node: str) -> int | None:
        """When the node's standing lease was last renewed; None when it does not stand."""
        stood = self._standing.get(node)
        return None if stood is None else _last_renewal(stood, self._server.now)


def _last_renewal(stood: tuple[int, int, int], until: int) -> int:
    first, period, phase = stood
    return max(first, (until - phase) // period * period + phase)
