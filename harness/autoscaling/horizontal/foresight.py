"""Replica policies that look ahead: by a plan, by a trend, and an oracle, which nobody can have and all can be held
against.

Each asks for what the shipped policy (`utilization`) asks for, or for more where it sees more coming.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from harness.autoscaling.horizontal.metric_proposals import Utilization
from harness.autoscaling.horizontal.metrics_adapter import MetricsAdapter
from harness.autoscaling.horizontal.replica_calculator import ceiling, pod_requests
from harness.autoscaling.metrics_client import MetricError
from harness.autoscaling.policy import Proposal, ScaleTarget
from harness.engine.component import SECOND
from harness.measure.queueing import most_in_time
from harness.model.errors import UserError
from harness.model.times import parse_duration
from harness.model.workloads import MetricSpec

_REACTIVE = Utilization()
_LEAST_SAMPLES = 3  # fewer have no trend
_MOST_TARGETS = 10_000  # whose history is kept


class Oracle:
    """A yardstick, no autoscaler: it knows the load to come, and asks for what meets the SLO `ahead` of now."""

    def __init__(self, ahead: str = "90s") -> None:
        """`ahead`: how long a replica takes to serve, its node's provisioning included. Raises UserError."""
        self._ahead_ns = _duration("ahead", ahead)
        self.adapter = MetricsAdapter()

    def propose(self, target: ScaleTarget, metric: MetricSpec) -> Proposal:
        """The most that is needed from now to `ahead`, of which the objective's share is answered in time."""
        load = self.adapter.load(target.key)
        if load is None:
            raise MetricError(f"the oracle knows no load of a service {target.key}: those of `service` tasks are known")
        seconds = range(0, self._ahead_ns + SECOND, SECOND)
        rate_milli = max(load.curve.rate_milli_rps(target.now_ns + later) for later in seconds)
        replicas = ceiling(rate_milli / 1000 / most_in_time(load.model) - 1e-9)
        return Proposal(max(1, replicas), "the load to come", {"type": metric.type})


class Scheduled:
    """A plan by the clock as a floor: `?plan=0s:2/10m:8&every=24h`; above it, replicas by utilization.

    Source: KEDA's cron scaler (2.16), whose desiredReplicas the autoscaler takes as one metric of several.
    """

    def __init__(self, plan: str, every: str = "24h") -> None:
        """`plan`: from which time of each period how many; before the first, the last. Raises UserError."""
        self._every_ns = _duration("every", every)
        self._plan = _plan(plan, self._every_ns)

    def propose(self, target: ScaleTarget, metric: MetricSpec) -> Proposal:
        at = target.now_ns % self._every_ns
        floor = next((count for since, count in reversed(self._plan) if since <= at), self._plan[-1][1])
        try:
            found = _REACTIVE.propose(target, metric)
        except MetricError:
            return Proposal(floor, "the plan", {"type": metric.type})
        return found if found.replicas >= floor else Proposal(floor, "the plan", found.current)


class Predictive:
    """The trend of usage, a line through its last `window`, carried on for `ahead`; never less than by utilization.

    For metrics of type Resource with a utilization; by utilization alone for others.
    """

    def __init__(self, ahead: str = "90s", window: str = "3m") -> None:
        """Raises UserError."""
        self._ahead_ns, self._window_ns = _duration("ahead", ahead), _duration("window", window)
        self._seen: dict[tuple[str, str], list[tuple[int, int]]] = {}  # (instant, milli-units in all)

    def propose(self, target: ScaleTarget, metric: MetricSpec) -> Proposal:
        found = _REACTIVE.propose(target, metric)
        source = metric.resource
        percent = None if source is None else source.target.average_utilization
        if source is None or percent is None:
            return found
        usage = sum(item.value for item in target.metrics.resource(source.name, target.pods, "").values())
        coming = self._coming(target, source.name, usage)
        requests = [amount for amount in pod_requests(target.pods, source.name).values() if amount]
        if coming is None or not requests:
            return found
        replicas = ceiling(coming / (sum(requests) / len(requests) * percent / 100) - 1e-9)
        return found if found.replicas >= replicas else Proposal(replicas, f"{source.name} trend", found.current)

    def _coming(self, target: ScaleTarget, resource: str, usage: int) -> float | None:
        """Usage to come; None while there is no trend."""
        if len(self._seen) >= _MOST_TARGETS:
            self._seen.clear()
        seen = self._seen.setdefault((target.key, resource), [])
        seen[:] = [item for item in seen if item[0] > target.now_ns - self._window_ns]
        seen.append((target.now_ns, usage))
        return _line(seen, target.now_ns + self._ahead_ns) if len(seen) >= _LEAST_SAMPLES else None


def _line(points: Sequence[tuple[int, int]], at_ns: int) -> float:
    """Ordinary least squares through `points`, at `at_ns`."""
    last = points[-1][0]
    times = [(at - last) / SECOND for at, _ in points]
    mean_t, mean_v = math.fsum(times) / len(times), sum(value for _, value in points) / len(points)
    spread = math.fsum((t - mean_t) ** 2 for t in times)
    slope = math.fsum((t - mean_t) * (value - mean_v) for t, (_, value) in zip(times, points, strict=True)) / spread
    return mean_v + slope * ((at_ns - last) / SECOND - mean_t)


def _duration(name: str, text: str) -> int:
    try:
        found = parse_duration(text)
    except (ValueError, TypeError, AttributeError):
        found = 0
    if found <= 0:
        raise UserError(f"{name} is no duration", found=text, expected=f"{name}=90s, 5m, ..")
    return found


def _plan(text: str, every_ns: int) -> list[tuple[int, int]]:
    steps = []
    for item in str(text).split("/"):
        found = re.fullmatch(r"([^:]+):([0-9]{1,9})", item.strip())
        try:
            since = parse_duration(found[1]) if found else -1
        except ValueError:
            since = -1
        if found is None or not 0 <= since < every_ns:
            raise UserError("a plan cannot be read", found=item, expected="plan=0s:2/10m:8, within each period")
        steps.append((since, int(found[2])))
    return sorted(steps)
