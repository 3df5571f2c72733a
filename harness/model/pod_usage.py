"""What running pods use, and what the resource metrics API says of it at an instant.

A pod that serves requests has its usage reported by its kubelet, when it changes. What others use follows from their
spec, so that nobody has to report it: what their annotations say, or a share of what they request.

The pipeline: each kubelet takes a sample of its containers every --housekeeping-interval (cAdvisor, 10s).
metrics-server scrapes all kubelets every resolution (--metric-resolution 15s) and keeps each container's last two
points. CPU is the growth between these two, over the time between them (10 to 20 s); memory is that of the last. A
container has metrics from its second point on, or from its first if it was then 10 s old. Who asks at an instant sees
the last scrape before it, so that what is seen is up to 25 s old, and averaged over up to 20 s before.

Source: metrics-server 0.7 pkg/storage/pod.go, types.go; kubelet --housekeeping-interval (cmd/kubelet/app/options).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.model.constants import DEFAULTS
from harness.model.core import Container, Pod
from harness.model.meta import ObjectMeta
from harness.model.quantity import Quantity, QuantityFormat, milli_quantity, parse_quantity
from harness.model.times import duration_text
from harness.model.wire import Time
from harness.model.workloads import ContainerMetrics, PodMetrics

DURATION = "podyard.dev/duration"
"""Its containers end by themselves so long after they started. May be set, changed or taken away while they run."""
EXIT_CODE = "podyard.dev/exit-code"
"""What they end with; 0."""
CPU_USAGE = "podyard.dev/cpu-usage"
"""CPU that the pod uses without requests."""
CPU_PER_REQUEST = "podyard.dev/cpu-per-request"
"""CPU-seconds a request; marks a pod that serves requests."""
MEMORY_USAGE = "podyard.dev/memory-usage"
"""Memory that the pod uses without requests."""
MEMORY_PER_RPS = "podyard.dev/memory-per-rps"
"""Memory besides that for each request a second."""
CPU_WINDOWS = "podyard.dev/cpu-windows"
"""Of a kubelet's report: CPU in milli on average over the window that ends with it, and over the next one if nothing
changes."""
REQUESTS = "podyard.dev/requests"
"""Of a kubelet's report: thousandths of a request a second, as 'namespace/service=milli', comma-separated."""

IDLE_CPU_PERCENT, IDLE_MEMORY_PERCENT = 10, 50
"""Of its request, what a pod uses without requests where it does not say. Half of the memory requested is in use in
published traces (Reiss et al., SoCC 2012, figure 2; Rzadca et al., Autopilot, EuroSys 2020: a slack of 46 %)."""

SECOND_NS = 10**9
FRESH_NS = 10 * SECOND_NS
"""Source: metrics-server freshContainerMinMetricsResolution."""


class Amounts(msgspec.Struct, frozen=True, gc=False):
    """Of containers that run for as long as the pod does, sums in milli-units; limits are 0 where one has none."""

    cpu_milli: int
    memory_milli: int
    cpu_limit_milli: int
    memory_limit_milli: int
    keep: tuple[Container, ...]  # that their identity stays taken


_amounts: dict[int, Amounts] = {}
_MOST = 8192


def running_containers(pod: Pod) -> tuple[Container, ...]:
    """The containers that run for as long as the pod does: its own and its sidecars."""
    inits = pod.spec.init_containers
    if not inits:
        return pod.spec.containers
    return (*pod.spec.containers, *(item for item in inits if item.restart_policy == "Always"))


def _amounts_of(pod: Pod) -> Amounts:
    # Pods of one template share their containers, so these are what is known by identity.
    containers = pod.spec.containers
    known = _amounts.get(id(containers))
    if known is not None and known.keep is containers:
        return known
    found = running_containers(pod)
    amounts = Amounts(
        _sum(found, "cpu"),
        _sum(found, "memory"),
        _limit(found, "cpu"),
        _limit(found, "memory"),
        containers,
    )
    if len(_amounts) >= _MOST:
        _amounts.clear()
    _amounts[id(containers)] = amounts
    return amounts


def _sum(containers: Sequence[Container], name: str) -> int:
    return sum(asked.milli for item in containers if (asked := item.resources.requests.get(name)) is not None)


def _limit(containers: Sequence[Container], name: str) -> int:
    limits = [item.resources.limits.get(name) for item in containers]
    return sum(limit.milli for limit in limits if limit is not None) if None not in limits else 0


def idle_cpu_milli(pod: Pod) -> int:
    said = _said(pod, CPU_USAGE)
    amounts = _amounts_of(pod)
    usage = amounts.cpu_milli * IDLE_CPU_PERCENT // 100 if said is None else said
    return _at_most(usage, amounts.cpu_limit_milli)


def memory_milli(pod: Pod, milli_rps: int = 0) -> int:
    """In thousandths of a byte, at `milli_rps` of requests; at most its limit, at which it would be killed."""
    amounts = _amounts_of(pod)
    said = _said(pod, MEMORY_USAGE)
    usage = amounts.memory_milli * IDLE_MEMORY_PERCENT // 100 if said is None else said
    if milli_rps:
        usage += (_said(pod, MEMORY_PER_RPS) or 0) * milli_rps // 1000
    return _at_most(usage // 1000 * 1000, amounts.memory_limit_milli)


def _at_most(usage: int, limit: int) -> int:
    return min(usage, limit) if limit else usage


def _said(pod: Pod, name: str) -> int | None:
    """None where it does not say, or cannot be read: the kubelet tells that."""
    text = pod.metadata.annotations.get(name)
    if text is None:
        return None
    try:
        return max(0, parse_quantity(text).milli)
    except ValueError:
        return None


def serves_requests(pod: Pod) -> bool:
    return CPU_PER_REQUEST in pod.metadata.annotations


def container_metrics(pod: Pod, cpu_milli: int, memory_milli: int) -> tuple[ContainerMetrics, ...]:
    """A pod's usage by container: each has its share by requests of what the pod uses when idle; what requests cost is
    the first one's."""
    found = running_containers(pod)
    if len(found) == 1:
        shares = [(cpu_milli, memory_milli)]
    else:
        amounts = _amounts_of(pod)
        idle_cpu, others = min(idle_cpu_milli(pod), cpu_milli), found[1:]
        cpus = [_share(item, "cpu", idle_cpu, amounts.cpu_milli) for item in others]
        memories = [_share(item, "memory", memory_milli, amounts.memory_milli) // 1000 * 1000 for item in others]
        first = (cpu_milli - sum(cpus), memory_milli - sum(memories))
        shares = [first, *zip(cpus, memories, strict=True)]
    return tuple(
        ContainerMetrics(
            name=item.name, usage={"cpu": milli_quantity(cpu), "memory": Quantity(memory, QuantityFormat.BINARY)}
        )
        for item, (cpu, memory) in zip(found, shares, strict=True)
    )


def _share(container: Container, name: str, of: int, total: int) -> int:
    asked = container.resources.requests.get(name)
    return of * asked.milli // total if asked is not None and total else 0


# -- what the metrics API says -----------------------------------------------------------------------------------------


class Scrapes(msgspec.Struct, frozen=True):
    """When metrics-server asks kubelets: every `resolution_ns`, `phase_ns` beyond whole numbers of them. It gets the
    last sample that the kubelet has taken, which it does at whole numbers of `housekeeping_ns`."""

    resolution_ns: int = DEFAULTS.metric_resolution_ns
    housekeeping_ns: int = DEFAULTS.housekeeping_interval_ns
    phase_ns: int = 0

    def last_ns(self, now: int) -> int:
        """The last one whose results who asks at `now` can see."""
        return (now - 1 - self.phase_ns) // self.resolution_ns * self.resolution_ns + self.phase_ns

    def next_ns(self, now: int) -> int:
        """The first one after `now`."""
        return ((now - self.phase_ns) // self.resolution_ns + 1) * self.resolution_ns + self.phase_ns

    def is_at(self, now: int) -> bool:
        return (now - self.phase_ns) % self.resolution_ns == 0

    def sample_ns(self, scrape_ns: int) -> int:
        """When the sample was taken that a scrape gets."""
        return scrape_ns // self.housekeeping_ns * self.housekeeping_ns

    def window(self, started_ns: int, scrape_ns: int) -> tuple[int, int] | None:
        """[begin, end] of the two points that a container which started then has at a scrape; None: it has not two
        yet."""
        end = self.sample_ns(scrape_ns)
        age = end - started_ns
        if FRESH_NS <= age < self.resolution_ns:
            return started_ns, end
        # A point that is no newer is not taken.
        begin = min(self.sample_ns(scrape_ns - self.resolution_ns), end - self.housekeeping_ns)
        return (begin, end) if started_ns < begin else None


def measured(pod: Pod, told: PodMetrics | None, now: int, scrapes: Scrapes) -> PodMetrics | None:
    """What metrics.k8s.io says of a pod at `now`; None: nothing. `told`: the last report of its kubelet."""
    started = _started_ns(pod)
    if started is None or now <= 0:
        return None
    scrape = scrapes.last_ns(now)
    if told is not None:
        scrape = max(scrape, told.timestamp or 0)
    points = scrapes.window(started, scrape)
    if points is None:
        return None
    begin, end = points
    meta = pod.metadata
    if told is not None:
        containers = _averaged(pod, told, scrape - (told.timestamp or 0), scrapes.resolution_ns)
    elif serves_requests(pod):
        return None  # its kubelet has not said yet
    else:
        containers = container_metrics(pod, idle_cpu_milli(pod), memory_milli(pod))
    return PodMetrics(
        metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, labels=meta.labels, creation_timestamp=Time(now)),
        timestamp=Time(end),
        window=duration_text(end - begin),
        containers=containers,
    )


def _started_ns(pod: Pod) -> int | None:
    """When the last of its containers started that run; None when none does."""
    if pod.status.phase != "Running":
        return None
    running = [item.state.running.started_at for item in pod.status.container_statuses if item.state.running]
    if running:
        return max(at or 0 for at in running)
    return pod.status.start_time if not pod.status.container_statuses else None


def _averaged(pod: Pod, told: PodMetrics, later_ns: int, resolution_ns: int) -> tuple[ContainerMetrics, ...]:
    """`later_ns`: since the report, which holds until the next one."""
    windows = told.metadata.annotations.get(CPU_WINDOWS, "")
    turn = later_ns // resolution_ns
    if not windows or turn > 1:
        return told.containers
    cpu = int(windows.split(",")[turn])
    memory = sum(item.usage["memory"].milli for item in told.containers if "memory" in item.usage)
    return container_metrics(pod, cpu, memory)


def reported_requests(told: PodMetrics) -> dict[str, int]:
    """Thousandths of a request a second, by service ('namespace/name')."""
    text = told.metadata.annotations.get(REQUESTS, "")
    pairs = (item.rpartition("=") for item in text.split(",") if item)
    return {service: int(milli) for service, _, milli in pairs}
