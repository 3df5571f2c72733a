"""What a scheduler is set up with, and the tally of what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.engine.latency import Constant, Latency
from harness.model.constants import DEFAULTS, Constants
from harness.model.core import Pod
from harness.scheduling.sandbox.filter_plugins import ContainedFilterPlugin
from harness.scheduling.sandbox.guard import DEADLINE_S

DEFAULT_BATCH = 64
"""Pods that a strategy is handed at once, where it does not say."""


@dataclass(slots=True)
class SchedulerTally:
    """What a scheduler did, for the record. `deciding_s`: measured, and so never part of the journal."""

    decisions: int = 0
    unschedulable: int = 0
    deciding_s: float = 0.0
    cycles: int = 0
    violations: list[tuple[int, str, str, str]] = field(default_factory=list)  # (instant, kind, pod, reason)
    tracebacks: dict[str, str] = field(default_factory=dict)  # by reason; they name paths of a machine


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """`name`: the schedulerName that it answers to. `latency`: of one decision, where the strategy does not say.

    `retry` False: a pod that does not fit at its first attempt is left out for good.
    `clock` (seconds) measures deciding; None measures nothing.
    `lifetime_of`: strategies are told the duration that a pod declares.
    `deadline_s`: on the wall clock, of one call of the strategy; None: it may take for ever.
    `filters`: Filter plugins of others, which raise nothing (harness.scheduling.registry makes them).
    `preemption`: pods of higher priority evict others; None: as soon as two pods differ in priority.
    """

    name: str = "default-scheduler"
    latency: Latency = field(default_factory=lambda: Constant(1_000_000))
    batch_size: int | None = None
    retry: bool = True
    clock: Callable[[], float] | None = None
    lifetime_of: Callable[[Pod], int | None] | None = None
    deadline_s: float | None = DEADLINE_S
    preemption: bool | None = None
    filters: tuple[ContainedFilterPlugin, ...] = ()
    constants: Constants = DEFAULTS
