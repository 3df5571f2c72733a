"""Settings of just-in-time nodes, under Karpenter's own names, with its defaults.

Source: kubernetes-sigs/karpenter pkg/operator/options/options.go (1.14). `provisioning` and `provisioning-p99` are the
provider's: from the launch of a machine to the start of its kubelet, constant or (with the second) lognormal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harness.engine.component import SECOND
from harness.engine.latency import Constant, Latency, LogNormal
from harness.model.errors import UserError, did_you_mean
from harness.model.times import parse_duration


def _named(name: str, default: Any) -> Any:
    return field(default=default, metadata={"name": name})


@dataclass(frozen=True, slots=True)
class ProvisioningSettings:
    batch_idle_duration_ns: int = _named("batch-idle-duration", SECOND)
    batch_max_duration_ns: int = _named("batch-max-duration", 10 * SECOND)
    provisioning_ns: int = _named("provisioning", 45 * SECOND)
    provisioning_p99_ns: int = _named("provisioning-p99", 0)
    spot_to_spot_consolidation: bool = _named("spot-to-spot-consolidation", False)

    @property
    def provisioning(self) -> Latency:
        if not self.provisioning_p99_ns:
            return Constant(self.provisioning_ns)
        return LogNormal(self.provisioning_ns, self.provisioning_p99_ns)

    @property
    def nomination_ns(self) -> int:
        """How long a node is kept for a pod that should come. Source: statenode.go nominationWindow."""
        return max(2 * self.batch_max_duration_ns, 10 * SECOND)


SETTINGS = {item.metadata["name"]: item for item in fields(ProvisioningSettings)}
REFUSED = {
    "preference-policy": "Respect is what is modelled",
    "min-values-policy": "Strict is what is modelled",
    "node-repair": "node repair is not modelled",
    "reserved-capacity": "reserved capacity is not modelled",
    "static-capacity": "NodePools with replicas are not modelled",
    "node-overlay": "NodeOverlays are not modelled",
    "capacity-buffer": "CapacityBuffers are not modelled",
    "ignore-dra-requests": "dynamic resources are not modelled",
}
"""Options of Karpenter that are not modelled."""


def parse_settings(given: Mapping[str, Any]) -> ProvisioningSettings:
    """Raises UserError."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        item = SETTINGS.get(name.replace("_", "-"))
        if name in REFUSED:
            raise UserError(f"just-in-time: {name} is not modelled", found=str(value), expected=REFUSED[name])
        if item is None:
            raise UserError(
                "just-in-time has no such setting",
                found=name,
                expected=", ".join(SETTINGS),
                hint=did_you_mean(name, list(SETTINGS)),
            )
        if isinstance(item.default, bool):
            if value not in ("true", "false", True, False):
                raise UserError(f"just-in-time: {name}", found=str(value), expected="true or false")
            values[item.name] = value in ("true", True)
            continue
        try:
            values[item.name] = parse_duration(value if isinstance(value, str) else f"{value}s")
        except ValueError as error:
            raise UserError(f"just-in-time: {name}: {error}") from None
    made = ProvisioningSettings(**values)
    if made.provisioning_p99_ns and made.provisioning_p99_ns <= made.provisioning_ns:
        raise UserError("just-in-time: provisioning-p99 is above the median", found=str(given.get("provisioning-p99")))
    if not 0 < made.batch_idle_duration_ns <= made.batch_max_duration_ns:
        raise UserError("just-in-time: a batch is idle before it is over", expected="batch-idle-duration <= batch-max-duration")  # fmt: skip  # noqa: E501
    return made
