"""What PodGroups say of their gangs: how many members must be placed together, how long they wait for each other."""

from __future__ import annotations

from harness.engine.component import DELETED, SECOND
from harness.model.workloads import PodGroup

GROUP_TIMEOUT_S = 60
"""How long a gang waits for members. Source: kubernetes-sigs/scheduler-plugins, CoschedulingArgs
permitWaitingTimeSeconds; a PodGroup's own spec.scheduleTimeoutSeconds goes before it."""


class PodGroups:
    def __init__(self) -> None:
        self._min_member: dict[str, int] = {}
        self._timeout_ns: dict[str, int] = {}

    def observe(self, change: str, group: PodGroup) -> str:
        """A PodGroup as it is now; its key."""
        spec = group.spec
        key = group.metadata.key
        self._min_member[key] = 0 if change == DELETED else spec.min_member or 0
        self._timeout_ns[key] = (spec.schedule_timeout_seconds or GROUP_TIMEOUT_S) * SECOND
        return key

    def min_member(self, group: str | None) -> int:
        """Members that must run for any to run; 0 for a group that is not known."""
        return self._min_member.get(group, 0) if group is not None else 0

    def timeout_ns(self, group: str | None) -> int:
        return self._timeout_ns.get(group, 0) if group is not None else 0
