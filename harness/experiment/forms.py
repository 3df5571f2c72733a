"""The forms of a scenario: what can be written where, with the range of every number."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]
"""Of nodes, pods, replicas: what memory holds, with room to spare."""

Positive: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Percent: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]
Seed: TypeAlias = Annotated[int, Meta(ge=0)]
Tasks: TypeAlias = Annotated[int, Meta(ge=0, le=10_000_000)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253)]
Price: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
"""Of one node for an hour, in any currency; without it, cost is told as a lower bound or not at all."""

Wattage: TypeAlias = Annotated[float, Meta(ge=0, le=100_000)]

MOST_WORKERS = 1000
"""Requests that a pod of a service works on at once: what the reckoning of its queue is bounded for."""

DEFAULT_GAP = "1s"
"""Between arrivals that a scenario gives their own pace."""

Amount: TypeAlias = str | int | float
"""A quantity, as Kubernetes writes it; its range is checked where it is read."""


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of what a scenario is made of."""


class PowerForm(Form, frozen=True, kw_only=True):
    """What a node draws: `cpuModel`, one of harness/model/power.py, or `cpuWatts` of a vCPU, idle and full; `gpuWatts`
    of a GPU, idle and full (none: by its model)."""

    cpu_model: str | None = None
    cpu_watts: Annotated[list[Wattage], Meta(min_length=2, max_length=2)] | None = None
    gpu_watts: Annotated[list[Wattage], Meta(min_length=2, max_length=2)] | None = None


class TaintForm(Form, frozen=True, kw_only=True):
    key: str
    value: str = ""
    effect: str = "NoSchedule"


class NodeGroup(Form, frozen=True, kw_only=True):
    """`count` nodes alike, named `<name>-<i>`, dealt to `zones` in turn."""

    name: Name
    count: Count
    cpu: Amount
    memory: Amount = "0"
    pods: Count = 110
    gpus: Annotated[int, Meta(ge=0, le=1024)] = 0
    gpu_model: str = ""
    resources: dict[str, Amount] = {}  # others: ephemeral-storage, extended resources
    zones: list[str] = []
    labels: dict[str, str] = {}
    taints: list[TaintForm] = []
    price: Price | None = None
    power: PowerForm | None = None


class OpenbNodes(Form, frozen=True, kw_only=True):
    """Nodes in the mix of the openb cluster."""

    count: Count
    cpu_nodes: bool = True
    zones: Count = 0
    price: Price | None = None
    power: PowerForm | None = None


class TraceNodes(Form, frozen=True, kw_only=True):
    """A trace's node list. `ranks`: a file of tie-break ranks ('{seed}' in its name is the run's)."""

    path: str
    format: str | None = None
    options: dict[str, Any] = {}
    ranks: str | None = None
    price: Price | None = None
    power: PowerForm | None = None


class NodeSource(Form, frozen=True, kw_only=True):
    group: NodeGroup | None = None
    openb_like: OpenbNodes | None = None
    trace: TraceNodes | None = None
    manifests: list[str] | None = None


class LatencyForm(Form, frozen=True, kw_only=True):
    """A hop: `constant`, or `median` and `p99` of a lognormal (never below `least`), or `samples`."""

    constant: str | None = None
    median: str | None = None
    p99: str | None = None
    least: str = "1ms"
    samples: list[str] | None = None


class Pool(Form, frozen=True, kw_only=True):
    """A node pool of the cluster autoscaler. `provisioning`: from request to registered; `boot`: from there to Ready.
    Of its provider: `quota` nodes are granted (more are refused), `stock` machines are there (the rest of an order
    fails), and `lost` percent of the machines never register."""

    name: Name
    max: Count
    min: Count = 0
    cpu: Amount
    memory: Amount = "0"
    pods: Count = 110
    gpus: Annotated[int, Meta(ge=0, le=1024)] = 0
    gpu_model: str = ""
    resources: dict[str, Amount] = {}
    zone: str = ""
    labels: dict[str, str] = {}
    taints: list[TaintForm] = []
    provisioning: str | LatencyForm = "45s"
    boot: str | LatencyForm = "0s"
    quota: Count | None = None
    stock: Count | None = None
    lost: Annotated[int, Meta(ge=0, le=100)] = 0
    price: Price | None = None
    power: PowerForm | None = None


class OpenbTasks(Form, frozen=True, kw_only=True):
    """Tasks drawn from openb's marginals. `load`: percent of the nodes' GPUs that what runs asks for on average.
    `controller`: as of a trace."""

    pods: Tasks
    load: Percent | None = None
    longest: str = "24h"
    constrained: Annotated[int, Meta(ge=0, le=100)] = 0
    start: str = "0s"
    controller: Literal["none", "Job"] = "none"


class TraceTasks(Form, frozen=True, kw_only=True):
    """A trace's pods. `order`: a file with the order of arrival, one pod per line ('{seed}' in its name is the run's);
    `every`: the gap between arrivals; `together`: so many arrive at one instant, in a fill. `controller`: what makes
    the pods; those of a Job are made anew when they are evicted or their node is lost, bare ones (none) are gone.
    `map`: of any CSV, JSON or Parquet, which column is which field and in which unit: {cpu: "req_cpu:cores"}.
    `compress`: arrivals come and pods end so many times faster. `load`: arrivals are stretched or squeezed until what
    runs asks for so many percent of the nodes' GPUs (CPU, where they have none) on average; durations stay."""

    path: str
    format: str | None = None
    options: dict[str, Any] = {}
    map: dict[str, str] = {}
    compress: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    mode: str = "departures"  # or fill: what arrives stays
    first: Tasks | None = None  # only so many pods
    order: str | None = None
    every: str = DEFAULT_GAP
    together: Positive = 1
    gpu_words: Literal["share", "device-plugin"] = "share"
    controller: Literal["none", "Job"] = "none"
    load: Percent | None = None  # arrivals stretched or squeezed evenly, until what runs asks for so much on average


class RigidJobs(Form, frozen=True, kw_only=True):
    """Rigid jobs drawn for each seed: the pods of one start together, or not at all, and run equally long. `model`:
    lublin (sizes and run times after Lublin and Feitelson, JPDC 2003) or heavy-tailed (powers of two, run times of a
    bounded Pareto distribution); arrivals are Poisson. A pod holds `processorsPerPod` of its job (none: all)."""

    jobs: Tasks
    model: Literal["lublin", "heavy-tailed"] = "lublin"
    load: Percent = 80
    processors: Annotated[int, Meta(ge=2, le=1_000_000)] | None = None
    processors_per_pod: Positive | None = None
    longest: str = "36h"
    users: Positive = 20


class Autoscaled(Form, frozen=True, kw_only=True):
    """A HorizontalPodAutoscaler on CPU."""

    max: Positive
    min: Positive = 1
    target_cpu: Percent = 70  # averageUtilization, percent of the request


class SloForm(Form, frozen=True, kw_only=True):
    """`objective` percent of requests are to be answered within `latency` (none: ten times what one takes alone, 250 ms
    at least)."""

    latency: str | None = None
    objective: Annotated[float, Meta(gt=0, lt=100)] = 99.0


Distribution: TypeAlias = Literal["exponential", "deterministic", "gamma", "lognormal", "samples"]


class ServiceTimeForm(Form, frozen=True, kw_only=True):
    """How the time that a pod works on one request scatters about `cpuPerRequest`: `cv`, standard deviation over mean,
    of gamma and lognormal; or `samples`, durations that were measured, of which only the proportions count."""

    distribution: Distribution = "exponential"
    cv: Annotated[float, Meta(ge=0.05, le=3)] | None = None
    samples: Annotated[list[str], Meta(min_length=1, max_length=10_000)] | None = None


class RateFileForm(Form, frozen=True, kw_only=True):
    """`load: {file: ..}`: request rates from a CSV (gzip, too) or Parquet file, its first row at the load's beginning,
    its last rate for good. `time`: the column of RFC 3339 stamps or seconds (none: time, timestamp, ..); `rate`: that
    of rates (none: rps, rate, ..), which counts requests in `per`; multiplied by `scale`. `speedup`: time runs so many
    times faster. A `gap` between two rows that is longer (none: twice the median) is an error. `between` rows the rate
    holds, or is a straight line."""

    path: str
    time: str | None = None
    rate: str | None = None
    per: str = "1s"
    scale: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    speedup: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    gap: str | None = None
    between: Literal["hold", "line"] = "hold"


class ServiceTasks(Form, frozen=True, kw_only=True):
    """A Deployment behind a Service, with clients that send `load` requests a second; each costs CPU. A pod works on
    `concurrency` of them at once (none: one for each CPU of its limit), each for a `serviceTime` (the name of a
    distribution, or with its parameters), `queueLimit` wait, and clients give up after `timeout`. Defaults of these two
    are Envoy's: max_pending_requests 1024, route timeout 15 s. What is sent before it first serves is warm-up and
    counts apart, for `warmUp` at most."""

    name: Name
    replicas: Count
    cpu: Amount
    load: Any
    memory: Amount = "256Mi"
    cpu_per_request: Amount = "5m"  # milli-CPU-seconds
    min_available: Count | Annotated[str, Meta(pattern=r"^[0-9]{1,3}%$")] | None = None  # a PodDisruptionBudget
    concurrency: Annotated[int, Meta(ge=1, le=MOST_WORKERS)] | None = None
    service_time: ServiceTimeForm | str = "exponential"
    queue_limit: Annotated[int, Meta(ge=1, le=10_000)] = 1024
    timeout: str = "15s"
    slo: SloForm = SloForm()
    warm_up: str = "30s"
    ready_after: str = "2s"
    node_selector: dict[str, str] = {}
    autoscaler: Autoscaled | None = None


class ClientTasks(Form, frozen=True, kw_only=True):
    """Clients of a Service that is among the objects of the workload, as those of a `service`: what a request costs and
    how pods answer it is said here, unless the pods say it themselves (annotation podyard.dev/cpu-per-request). With
    `ingress` they ask that Ingress of the namespace for `path` of `host`: what it sends nowhere is lost."""

    service: Name
    namespace: Name = "default"
    ingress: Name | None = None
    host: str = ""
    path: str = "/"
    load: Any
    cpu_per_request: Amount | None = None  # milli-CPU-seconds; none: what the pods say, else 5m
    concurrency: Annotated[int, Meta(ge=1, le=MOST_WORKERS)] | None = None
    service_time: ServiceTimeForm | str = "exponential"
    queue_limit: Annotated[int, Meta(ge=1, le=10_000)] = 1024
    timeout: str = "15s"
    slo: SloForm = SloForm()
    warm_up: str = "30s"


class TrainingJobForm(Form, frozen=True, kw_only=True):
    """One training job: a gang of GPUs, and `steps` of `batchSize` to do."""

    id: Annotated[int, Meta(ge=0, le=2**53)]
    model: str
    batch_size: Annotated[int, Meta(ge=1, le=1_000_000)]
    gang: Positive = 1
    sizes: list[Positive] = []  # that its gang may have
    mode: Literal["static", "accordion", "gns"] = "static"
    steps: Annotated[int, Meta(ge=1, le=2**53)]
    arrival: str = "0s"


class TrainingTasks(Form, frozen=True, kw_only=True):
    """Training jobs that go on from their checkpoint after a restart: those of a trace (`path`; CSV: job_id, model,
    batch_size, scale_factor, mode, total_steps, arrival_s), or `jobs`, here. `speeds`: steps a second by model, batch
    size and gang, a JSON table or here; `doublings`: the epochs at which jobs of mode gns double their batch size.
    Strategies are round strategies. Jobs with `sizes`, and all where `elastic` says so, may have other gangs than the
    one that they ask for."""

    path: str | None = None
    jobs: list[TrainingJobForm] | None = None
    speeds: str | dict[str, Any]
    doublings: str | dict[str, Any] | None = None
    round: str = "120s"  # at most so long between two boundaries
    restart: str = "20s"  # of a round's work, where a job did not run in the round before
    elastic: list[
        Annotated[int, Meta(ge=1, le=2**31 - 1)]
    ] = []  # sizes that every gang may have, where `speeds` has them
    checkpoint: str = "0s"  # of its work between two checkpoints within a round; 0s: at boundaries alone


class TaskSource(Form, frozen=True, kw_only=True):
    """`manifests`: files of Kubernetes objects; `objects`: such objects as they are, here; `dump`: files with the state
    of a cluster, as kubectl get -o yaml writes it, which goes on from there."""

    openb_like: OpenbTasks | None = None
    trace: TraceTasks | None = None
    rigid_jobs: RigidJobs | None = None
    service: ServiceTasks | None = None
    clients: ClientTasks | None = None
    training: TrainingTasks | None = None
    manifests: list[str] | None = None
    objects: list[Any] | None = None
    dump: list[str] | None = None


class LatenciesForm(Form, frozen=True, kw_only=True):
    api_call: LatencyForm | None = None
    watch: LatencyForm | None = None
    network: LatencyForm | None = None
    scheduling: LatencyForm | None = None
    container_start: LatencyForm | None = None
    image_pull: LatencyForm | None = None  # besides its bytes
    volume_attach: LatencyForm | None = None  # a volume to a node, by its CSI driver; 0s
    volume_detach: LatencyForm | None = None  # likewise; 0s
    image_bytes: Amount | None = None  # of an image that nobody gave a size; 150M


class SchedulingForm(Form, frozen=True, kw_only=True):
    """`filters`: Filter plugins of others, by name or module:object, with ?parameter=value, held by every strategy.
    `retry` false: a pod that does not fit when it is first tried is left out. `batch`: pods handed over at once.
    `preemption`: pods of higher priority evict others; null: as soon as two pods differ in priority, and never where
    nothing is retried.
    """

    filters: list[str] = []
    retry: bool = True
    batch: Positive | None = None
    preemption: bool | None = None
    # whether strategies are told the durations that pods declare, or what their users estimated
    lifetimes: bool | Literal["estimates"] = False
    # what fit() of a strategy that learns is shown; null: past, or none where the pods are a trace, which has no past
    history: Literal["workload", "past", "none"] | None = None
    deadline: str = "30s"  # on the wall clock, of one call of a strategy or policy; "0s": it may take for ever


class Gate(Form, frozen=True, kw_only=True):
    """A demand: the run fails when `metric` is not within."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None


class CompareForm(Form, frozen=True, kw_only=True):
    """What `podyard compare` decides about: `primary` measures by path (none: a sensible few), and `within` how much a
    difference is nothing ('1%' of the base's mean, or amounts by path)."""

    primary: list[str] = []
    within: str | dict[str, float] = "1%"


class AccountingForm(Form, frozen=True, kw_only=True):
    """Whose a pod is: where its user, queue and class stand (namespace, priorityClass, label:KEY, annotation:KEY).
    `deadline`: of jobs that say nothing (annotation podyard.dev/deadline, activeDeadlineSeconds): '10m' after they
    arrive, or '2x' what they take alone; none: they have no deadline."""

    user: str = "label:podyard.dev/user"
    queue: str = "label:kueue.x-k8s.io/queue-name"
    priority_class: str = msgspec.field(default="priorityClass", name="class")
    deadline: str | None = None


class ObjectForm(Form, frozen=True, kw_only=True):
    kind: str
    name: str


class MetricForm(Form, frozen=True, kw_only=True):
    """A metric that autoscalers may ask for and that nothing here measures: `series` over time in the forms of a load,
    with its own unit for requests a second. `object`: what it is of (none: it is external, with `labels`);
    `namespace`: where it is served (none: in all)."""

    name: str
    series: Any
    namespace: str = ""
    labels: dict[str, str] = {}
    object: ObjectForm | None = None


class Spec(Form, frozen=True, kw_only=True):
    nodes: list[NodeSource]
    workload: list[TaskSource]
    seed: Seed = 0
    duration: str | None = None
    """Of the run; without it, until everything that ends by itself has ended."""
    starts_at: str = "2025-01-01T00:00:00Z"
    """What the calendar says when the run begins: schedules of CronJobs go by it."""
    pools: list[Pool] = []
    autoscaler: str = "cluster-autoscaler"
    """The node policy that sizes the pools, by name or module:object, with ?parameter=value."""
    catalogue: str = "ec2-us-east-1"
    """Instance types and their prices: a shipped catalogue, or a CSV file of the same form."""
    controllers: list[str] = msgspec.field(default_factory=lambda: ["*"])
    """As kube-controller-manager's --controllers: "*", "-pod-garbage-collector", or others by name or module:object."""
    schedulers: list[str] = msgspec.field(default_factory=lambda: ["greedy"])
    scheduling: SchedulingForm = SchedulingForm()
    latencies: LatenciesForm = LatenciesForm()
    constants: dict[str, str | int | float | bool] = {}
    """Kubernetes' constants under their own names (`podyard constants`), those of the cluster autoscaler too."""
    metrics: list[MetricForm] = []
    """Served besides those of pods and of requests, as custom and external metrics."""
    faults: list[Any] = []
    gates: list[Gate] = []
    compare: CompareForm = CompareForm()
    accounting: AccountingForm = AccountingForm()
    measures: list[str] = []
    """Of others, as module:object, besides those of installed packages."""
    events: bool = True
    bound: bool = True  # compute the proven bound of the placement
    variables: dict[str, list[str | int | float]] = {}
    """Values by name, put for {name} in the texts of the scenario; the first, unless another is chosen."""


class Metadata(Form, frozen=True, kw_only=True):
    name: Name
    description: str = ""


class Scenario(Form, frozen=True, kw_only=True):
    api_version: str
    kind: str
    metadata: Metadata
    spec: Spec
