"""The controller manager's process stops, and another one starts with nothing in memory; or its watches break."""

from __future__ import annotations

from typing import ClassVar

from harness.faults.process_outage import ProcessOutage
from harness.model.constants import MANAGER


class ControllerManagerOutage(ProcessOutage, frozen=True, kw_only=True):
    """No controller of Kubernetes' works for `downFor`: nothing is replaced, evicted, rescaled or collected. With a
    standby it is as long as of a scheduler."""

    stops: ClassVar[str] = MANAGER
