"""Every component of the control plane says that it handles failed writes, and survives any answer to any of them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.autoscaling.cluster.autoscaler import ClusterAutoscaler
from harness.cluster.controllers import controllers
from harness.cluster.workload_driver import WorkloadDriver
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Create, Outcome
from harness.model.core import ConfigMap
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError
from harness.scheduling.cycle.scheduler import Scheduler

NAMES = [component.name for component in controllers()]


@pytest.mark.parametrize("name", NAMES)
def test_a_controller_stands_on_the_reconciler_or_counts_failures_itself(name: str) -> None:
    (component,) = (one for one in controllers() if one.name == name)
    assert isinstance(component, Reconciler) or hasattr(component, "handled_failures")


@pytest.mark.parametrize("kind", [Scheduler, ClusterAutoscaler, WorkloadDriver])
def test_so_do_the_other_components(kind: type[Any]) -> None:
    assert hasattr(kind, "handled_failures")


class Writer(Reconciler):
    def __init__(self, *, past_the_base: bool) -> None:
        super().__init__("writer", {"ConfigMap": lambda old, new: self.queue.add("a") if new is not None else None})
        self.past_the_base = past_the_base

    def reconcile(self, now: int, key: str) -> None:
        made = Create(ConfigMap(metadata=ObjectMeta(name="made", namespace="default")), key)
        if self.past_the_base:
            self._effects.append(made)
        else:
            self.write(key, made)


@pytest.mark.parametrize("past_the_base", [False, True])
def test_a_write_past_the_base_is_not_counted_as_handled_when_it_fails(past_the_base: bool) -> None:
    from harness.engine.component import ADDED, Start, Watch

    writer = Writer(past_the_base=past_the_base)
    seen = ConfigMap(metadata=ObjectMeta(name="a", namespace="default", uid="u", resource_version="1"))
    (effect,) = writer.step(1, [Start(), Watch(ADDED, seen)])
    assert isinstance(effect, Create)
    writer.step(2, [Outcome(effect, None, ApiError(409, "Conflict", "no"))])
    assert writer.handled_failures == (0 if past_the_base else 1)
