"""The provider of machines as NodeClaims meet it: machines that it has made, and orders that it does not fulfil.

Source: karpenter-provider-aws (1d92708, 1.14) pkg/errors/errors.go: which codes mean that capacity is missing, and in
which words an error of the API is told.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.engine.component import DisturbProvider
from harness.model.karpenter import CAPACITY_TYPE, INSTANCE_TYPE, SPOT, ZONE

PREVENTING = ("quota", "outOfStock", "error")
"""Kinds of disturbance by which no machine is made."""
API_ERROR = ("InternalError", "Error creating fleet request: An internal error has occurred")
"""Reason and message of the condition Launched. Source: errors.go ToReasonMessage, instance.go launchInstance."""


class MachineProvider:
    """`machines`: by name of the claim, whether it was started. It outlives a restart of whoever asked for them."""

    def __init__(self) -> None:
        self.machines: dict[str, bool] = {}
        self._disturbed: list[tuple[int, DisturbProvider]] = []  # until when

    def disturb(self, now: int, what: DisturbProvider) -> None:
        self._disturbed = [item for item in self._disturbed if item[0] > now]
        self._disturbed.append((now + what.for_ns, what))

    def disturbance(self, now: int, pool: str, labels: Mapping[str, str]) -> DisturbProvider | None:
        """What becomes of an order for a machine of NodePool `pool` with these labels: of several that apply the one
        that came last."""
        if not self._disturbed:
            return None
        found = (what for until, what in reversed(self._disturbed) if until > now and what.hits(pool, labels))
        return next(found, None)


def error_of(kind: str, labels: Mapping[str, str]) -> str:
    """How CreateFleet says that it has no machine with these labels.

    Source: errors.go unfulfillableCapacityErrorCodes. The codes are EC2's; the words after them are not.
    """
    spot = labels[CAPACITY_TYPE] == SPOT
    code = "InsufficientInstanceCapacity"
    if kind == "quota":
        code = "MaxSpotInstanceCountExceeded" if spot else "VcpuLimitExceeded"
    zone = f" in {labels[ZONE]}" if ZONE in labels else ""
    return f"{code}: {labels[CAPACITY_TYPE]} {labels[INSTANCE_TYPE]}{zone}"
