"""The state of a machine itself, whatever the API server knows of it."""

from __future__ import annotations

import msgspec

from harness.model.core import PodStatus


class MachineReport(msgspec.Struct, frozen=True):
    """A machine as it is, for whoever compares it with the API server. `pods`: by uid, those that are neither ended nor
    refused, with the status that the kubelet reported last (None: none yet). `registered`: its kubelet has made its
    Node, which it does once after it has started."""

    powered: bool
    frozen: bool
    connected: bool
    pods: dict[str, PodStatus | None]
    registered: bool = False

    @property
    def healthy(self) -> bool:
        return self.powered and self.connected and not self.frozen
