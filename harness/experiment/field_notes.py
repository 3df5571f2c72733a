"""What each field of a scenario's forms means: a sentence, its unit, and an example. Types, defaults and ranges are the
forms'; the schema and the page of reference put both together."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from harness.experiment import forms

DURATION = "duration"
QUANTITY = "quantity"


class FieldNote(NamedTuple):
    """`unit`: DURATION and QUANTITY are texts of that form."""

    says: str
    unit: str
    example: Any


def _note(says: str, example: Any, unit: str = "") -> FieldNote:
    return FieldNote(says, unit, example)


_COMMON = {
    "name": _note("its name: a-z, 0-9 and -", "web"),
    "cpu": _note("CPU", "500m", QUANTITY),
    "memory": _note("memory", "16Gi", QUANTITY),
    "pods": _note("pods that fit at most, besides what they ask for", 110, "pods"),
    "gpus": _note("GPUs", 8, "devices"),
    "gpuModel": _note("model of the GPUs, which pods may ask for", "V100M32"),
    "resources": _note("other resources, by name", {"ephemeral-storage": "100Gi", "example.com/fpga": 2}, QUANTITY),
    "zones": _note("zones that the nodes are dealt to in turn (label topology.kubernetes.io/zone)", ["a", "b", "c"]),
    "labels": _note("labels", {"tier": "web"}),
    "taints": _note("taints", [{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]),
    "price": _note("of one node for an hour; without it cost is a lower bound or not told", 0.2, "currency per hour"),
    "power": _note("what a node draws, for its energy; none: energy is not told", {"cpuModel": "broadwell"}),
    "path": _note("the file: beside the scenario, in a folder of $PODYARD_TRACES, or absolute", "trace.csv"),
    "format": _note("format of the trace; none: found out from the file", "openb"),
    "options": _note("what the reader of this format may be told", {}),
    "controller": _note("what makes the pods; a Job makes them anew when they are evicted or lost", "Job"),
    "openbLike": _note("made from the marginals of the openb trace", {"count": 24, "zones": 3}),
    "trace": _note("read from a trace", {"path": "trace.csv"}),
    "manifests": _note("files of Kubernetes objects in YAML", ["cluster.yaml"]),
    "kind": _note("kind of the object", "Service"),
    "namespace": _note("namespace of the object", "default"),
}

_REQUESTS = {
    "load": _note("requests over time: a load curve, or a list of them that are added up", {"constant": {"rps": 40}}),
    "concurrency": _note("requests a pod works on at once; none: one for each CPU of its limit", 2, "requests"),
    "serviceTime": _note(
        "how the time for one request scatters: exponential, deterministic, or with parameters",
        {"distribution": "gamma", "cv": 1.5},
    ),
    "queueLimit": _note("requests that wait at a pod at most; more are refused", 1024, "requests"),
    "timeout": _note("after which clients give up", "15s", DURATION),
    "warmUp": _note("what is sent before it first serves is no loss, for so long at most", "30s", DURATION),
    "slo": _note("what clients are promised", {"latency": "55ms", "objective": 99}),
}
"""Of those who send requests to pods, whether the service comes with them or is there."""

_OF: dict[type[forms.Form], dict[str, FieldNote]] = {
    forms.Scenario: {
        "apiVersion": _note("version of this format", "podyard.dev/v1"),
        "kind": _note("what the document is", "Scenario"),
        "metadata": _note("its name", {"name": "small"}),
        "spec": _note("what runs, on what, what breaks, and what is asked of it", {"nodes": [], "workload": []}),
    },
    forms.Metadata: {
        "name": _note("name of the scenario, and of its folder of records: a-z, 0-9, - and .", "small"),
        "description": _note("what it is, in a line", "two services on ten nodes"),
    },
    forms.Spec: {
        "nodes": _note("the nodes, in the order in which ties are broken", [{"openbLike": {"count": 24}}]),
        "workload": _note("what is created, and when", [{"openbLike": {"pods": 600}}]),
        "seed": _note("of all that is drawn at random; --seeds is stronger", 1),
        "duration": _note("of the run; none: until all that ends by itself has ended", "30m", DURATION),
        "startsAt": _note(
            "what the calendar says when the run begins (RFC 3339): schedules of CronJobs go by it",
            "2025-03-30T00:00:00Z",
        ),
        "pools": _note("node pools that the autoscaler sizes", [{"name": "burst", "max": 6, "cpu": 4}]),
        "autoscaler": _note(
            "the node policy that sizes the pools: a name, or module:object, with ?parameter=value",
            "cluster-autoscaler?expander=least-waste",
        ),
        "catalogue": _note("instance types and their prices: a shipped catalogue, or a CSV file like it", "own.csv"),
        "controllers": _note(
            "as kube-controller-manager's --controllers: '*', '-name', or others by name or module:object",
            ["*", "-pod-garbage-collector"],
        ),
        "schedulers": _note(
            "strategies that are run and compared: names as of `podyard schedulers`, or module:object, with "
            "?parameter=value",
            ["greedy", "binpack"],
        ),
        "scheduling": _note("how the scheduler works, whatever the strategy", {"retry": False}),
        "latencies": _note("how long the hops between components take", {"apiCall": {"constant": "2ms"}}),
        "constants": _note(
            "Kubernetes' constants under their own names, as of `podyard constants`",
            {"node-monitor-grace-period": "40s"},
        ),
        "metrics": _note(
            "metrics that are served besides those of pods and of requests",
            [{"name": "queue", "series": {"constant": {"value": 10}}}],
        ),
        "faults": _note("what breaks, and when", [{"at": "2m", "nodeCrash": {"downFor": "5m"}}]),
        "gates": _note("demands; the run fails when one is not met", [{"metric": "placement.podsBound", "atLeast": 1}]),
        "compare": _note("what `podyard compare` decides about", {"within": "2%"}),
        "accounting": _note(
            "by which users, queues and classes jobs are told apart, and their deadlines", {"queue": "namespace"}
        ),
        "measures": _note("measures of others, as module:object", ["my.measures:Waste"]),
        "events": _note("whether Kubernetes events are recorded", False),
        "bound": _note("whether the proven bound of the placement is computed", False),
        "variables": _note(
            "values by name, put for {name} in the scenario; the first unless --vary names others", {"n": [10, 20]}
        ),
    },
    forms.PowerForm: {
        "cpuModel": _note("microarchitecture of its CPUs, of harness/model/power.py", "broadwell"),
        "cpuWatts": _note("instead: of a vCPU, idle and fully used", [0.7, 3.7], "watts"),
        "gpuWatts": _note("of a GPU, idle and fully used; none: by its model", [35, 306], "watts"),
    },
    forms.TaintForm: {
        "key": _note("key of the taint", "dedicated"),
        "value": _note("value of the taint", "gpu"),
        "effect": _note("NoSchedule, PreferNoSchedule or NoExecute", "NoSchedule"),
    },
    forms.NodeGroup: {
        "name": _note("the nodes are called `name`-0, `name`-1, ..", "web"),
        "count": _note("how many nodes", 6, "nodes"),
    },
    forms.OpenbNodes: {
        "count": _note("how many nodes, in the mix of the openb cluster", 24, "nodes"),
        "cpuNodes": _note("whether nodes without GPUs are among them", True),
        "zones": _note("how many zones they are dealt to: zone-0, zone-1, ..", 3, "zones"),
    },
    forms.TraceNodes: {"ranks": _note("file of tie-break ranks; {seed} in its name is the run's", "ranks_{seed}.txt")},
    forms.NodeSource: {"group": _note("nodes alike", {"name": "web", "count": 6, "cpu": 4, "memory": "16Gi"})},
    forms.Pool: {
        "max": _note("nodes at most", 6, "nodes"),
        "min": _note("nodes at least, there from the beginning", 0, "nodes"),
        "zone": _note("zone of its nodes", "a"),
        "provisioning": _note(
            "from the request for a node until it is registered: a duration, or a distribution", "45s", DURATION
        ),
        "boot": _note(
            "from its registration until its network is up and it is Ready: a duration, or a distribution",
            {"median": "20s", "p99": "60s"},
            DURATION,
        ),
        "quota": _note("nodes that the provider grants; an order for more is refused", 4, "nodes"),
        "stock": _note("machines of this kind that the provider has; the rest of an order fails", 3, "nodes"),
        "lost": _note("of the machines that never register", 5, "percent"),
    },
    forms.OpenbTasks: {
        "pods": _note("how many tasks", 600, "pods"),
        "load": _note("of the nodes' GPUs (without any: CPUs) that running tasks ask for on average", 110, "percent"),
        "longest": _note("longer durations are cut to this", "8m", DURATION),
        "constrained": _note("of the GPU tasks that ask for one model", 10, "percent"),
        "start": _note("when the first may come", "2m", DURATION),
    },
    forms.TraceTasks: {
        "map": _note("of any CSV, JSON or Parquet: field to column and unit", {"cpu": "req_cpu:cores"}),
        "compress": _note("arrivals come and pods end so many times faster", 10),
        "mode": _note("departures: tasks end as they did; fill: what arrives stays", "fill"),
        "first": _note("only so many of the first pods", 1000, "pods"),
        "order": _note("the order of arrival, one pod per line; {seed} in its name is the run's", "order.txt"),
        "every": _note("gap between two arrivals of an order or a fill", "1s", DURATION),
        "together": _note("so many arrive at one instant of a fill", 64, "pods"),
        "gpuWords": _note(
            "how pods ask for GPUs: in thousandths of a device, or as the device plugin's nvidia.com/gpu", "share"
        ),
        "load": _note(
            "what runs asks for on average, of the nodes' GPUs, or CPUs where there are none; none: as it is",
            90,
            "percent",
        ),
    },
    forms.Autoscaled: {
        "max": _note("replicas at most", 32, "replicas"),
        "min": _note("replicas at least", 4, "replicas"),
        "targetCpu": _note("CPU used, of what the pods request (averageUtilization)", 70, "percent"),
    },
    forms.SloForm: {
        "latency": _note(
            "within which requests are to be answered; none: ten times what one takes alone, 250 ms at least",
            "55ms",
            DURATION,
        ),
        "objective": _note("of the requests that are to be answered in time", 99.0, "percent"),
    },
    forms.ServiceTimeForm: {
        "distribution": _note("how the time for one request scatters", "gamma"),
        "cv": _note("standard deviation over mean, of gamma and lognormal", 1.5, "1"),
        "samples": _note("durations that were measured, of which the proportions count", ["2ms", "5ms"], DURATION),
    },
    forms.RateFileForm: {
        "path": _note("CSV (gzip, too) or Parquet file of request rates", "rates.csv"),
        "time": _note("column of RFC 3339 stamps or seconds; none: time, timestamp, ..", "timestamp"),
        "rate": _note("column of rates; none: rps, rate, ..", "rps"),
        "per": _note("the time in which a rate counts requests", "1m", DURATION),
        "scale": _note("factor of all rates", 0.5, "1"),
        "speedup": _note("time runs so many times faster", 60, "1"),
        "gap": _note("a longer one between two rows is an error; none: twice the median", "5m", DURATION),
        "between": _note("between two rows the rate holds, or is a straight line", "line"),
    },
    forms.ServiceTasks: {
        "name": _note("of the Deployment and the Service", "web"),
        "replicas": _note("pods at the beginning", 6, "replicas"),
        "cpu": _note("CPU that a pod requests; its limit is twice that", 1, QUANTITY),
        "memory": _note("memory that a pod requests; its limit is twice that", "1Gi", QUANTITY),
        "cpuPerRequest": _note("CPU time that a request costs, in CPU-seconds: 5m are 5 ms of one CPU", "5m", QUANTITY),
        "minAvailable": _note("a PodDisruptionBudget: so many pods, or a percentage", "50%", "pods or percent"),
        **_REQUESTS,
        "readyAfter": _note("from the start of a container until it is ready", "2s", DURATION),
        "nodeSelector": _note("labels that a node must have", {"tier": "web"}),
        "autoscaler": _note("a HorizontalPodAutoscaler on CPU", {"min": 4, "max": 32}),
    },
    forms.ClientTasks: {
        "service": _note("name of the Service", "web"),
        "namespace": _note("namespace of the Service", "default"),
        "ingress": _note("Ingress of the namespace that they come through; none: straight to the Service", "shop"),
        "host": _note("the host that they ask the Ingress for", "shop.example.com"),
        "path": _note("the path that they ask the Ingress for", "/cart"),
        "cpuPerRequest": _note(
            "CPU time that a request costs, in CPU-seconds; none: what the pods say, else 5m", "5m", QUANTITY
        ),
        **_REQUESTS,
    },
    forms.TrainingJobForm: {
        "id": _note("its number, its own", 7),
        "model": _note("ResNet-18, ResNet-50, Transformer, LM or Recommendation", "LM"),
        "batchSize": _note("at which it begins", 10, "samples"),
        "gang": _note("how many it runs on at once", 2, "GPUs"),
        "sizes": _note("that its gang may have, the one it asks for among them; none: that one", [1, 2, 4], "GPUs"),
        "mode": _note("how it changes its batch size by itself: static (never), accordion, gns", "static"),
        "steps": _note("to be done, of batchSize", 6000, "steps"),
        "arrival": _note("after the workload began", "90s", DURATION),
    },
    forms.TrainingTasks: {
        "path": _note("CSV of job_id, model, batch_size, scale_factor, mode, total_steps, arrival_s", "trace_120.csv"),
        "jobs": _note("the jobs, here", [{"id": 0, "model": "LM", "batchSize": 10, "gang": 2, "steps": 6000}]),
        "speeds": _note("steps a second by model, batch size and gang: a JSON table, or here", "tacc_v100.json"),
        "doublings": _note("epochs at which jobs of mode gns double their batch size: JSON, or here", "gns.json"),
        "round": _note("longest time between two boundaries, in whole seconds", "120s", DURATION),
        "restart": _note("of a round's work that a job loses that did not run before, whole seconds", "20s", DURATION),
        "elastic": _note("GPUs that every gang may have too, where the table of speeds has them", [1, 2, 4, 8]),
        "checkpoint": _note("of work between checkpoints in a round, whole seconds; 0s: at its ends", "60s", DURATION),
    },
    forms.RigidJobs: {
        "jobs": _note("how many", 300, "jobs"),
        "model": _note("of sizes and run times: lublin or heavy-tailed", "lublin"),
        "load": _note("what runs asks for on average, of the nodes' CPUs", 80, "percent"),
        "processors": _note("of the machine that the jobs are for; none: the CPUs of all nodes", 128, "CPUs"),
        "processorsPerPod": _note("of a job, in one pod at most; none: a job is one pod", 16, "CPUs"),
        "longest": _note("longest run time", "36h", DURATION),
        "users": _note("who submit them, drawn evenly", 20, "users"),
    },
    forms.TaskSource: {
        "rigidJobs": _note("rigid parallel jobs, drawn for each seed", {"jobs": 300, "load": 90}),
        "openbLike": _note("tasks drawn from openb's marginals", {"pods": 600, "load": 110}),
        "service": _note(
            "a Deployment behind a Service, and its clients",
            {"name": "web", "replicas": 4, "cpu": 1, "load": {"constant": {"rps": 40}}},
        ),
        "training": _note("training jobs, in rounds", {"path": "trace.csv", "speeds": "speeds.json"}),
        "clients": _note("clients of a Service of the workload", {"service": "web", "load": {"constant": {"rps": 40}}}),
        "objects": _note("Kubernetes objects, as in a manifest, here", [{"apiVersion": "v1", "kind": "Pod"}]),
        "dump": _note(
            "files with the state of a cluster, as kubectl get -o yaml writes it, nodes too: it goes on from there",
            ["cluster.yaml"],
        ),
    },
    forms.LatencyForm: {
        "constant": _note("always the same", "2ms", DURATION),
        "median": _note("median of a lognormal", "2ms", DURATION),
        "p99": _note("99th percentile of the lognormal", "20ms", DURATION),
        "least": _note("the lognormal is never below", "1ms", DURATION),
        "samples": _note("durations to draw from", ["1ms", "3ms"], DURATION),
    },
    forms.LatenciesForm: {
        "apiCall": _note("one way of a call to the API server", {"median": "2ms", "p99": "20ms"}),
        "watch": _note("from the API server's write until a watcher has it", {"constant": "2ms"}),
        "network": _note("one way between two nodes", {"constant": "500us"}),
        "scheduling": _note("of one decision of the scheduler", {"constant": "1ms"}),
        "containerStart": _note("of a container whose image is there", {"median": "400ms", "p99": "2s"}),
        "imagePull": _note("of pulling an image, besides its bytes", {"constant": "1s"}),
        "volumeAttach": _note("of attaching a volume to a node, by its CSI driver", {"constant": "2s"}),
        "volumeDetach": _note("of detaching a volume from a node, by its CSI driver", {"constant": "2s"}),
        "imageBytes": _note("of an image that nobody gave a size", "150M", QUANTITY),
    },
    forms.SchedulingForm: {
        "filters": _note(
            "Filter plugins of others, which every strategy is held to: names, or module:object, with ?parameter=value",
            ["package.module:Licences"],
        ),
        "retry": _note("false: a pod that does not fit when it is first tried is left out", True),
        "batch": _note("pods that are handed to a strategy at once; none: as it wants", 64, "pods"),
        "preemption": _note("pods of higher priority evict others; none: as soon as two pods differ in priority", True),
        "lifetimes": _note("whether strategies are told how long pods run, or what their users estimated", "estimates"),
        "history": _note(
            "what fit() of a strategy that learns is shown: past, a list drawn in the same way with another seed; "
            "workload, the run's own list of pods, its future included (the protocol of FGD's paper); or none. "
            "By default past, and none where the workload has a trace, which has no past",
            "past",
        ),
        "deadline": _note("of one call of a strategy, on the wall clock; 0s: for ever", "30s", DURATION),
    },
    forms.Gate: {
        "metric": _note("path of a measure, as of `podyard measures`", "placement.podsBound"),
        "atLeast": _note("the measure's least value", 600, "the measure's"),
        "atMost": _note("the measure's greatest value", 30, "the measure's"),
    },
    forms.CompareForm: {
        "primary": _note("measures by path that are decided about; none: a sensible few", ["placement.podsBound"]),
        "within": _note("a difference of so much is nothing: percent of the base's mean, or amounts by path", "1%"),
    },
    forms.AccountingForm: {
        "user": _note("where a pod's user stands: namespace, priorityClass, label:KEY or annotation:KEY", "label:app"),
        "queue": _note("where its queue stands", "namespace"),
        "class": _note("where its class stands", "priorityClass"),
        "deadline": _note(
            "of jobs that say nothing themselves: so long after they arrive, or times what they take alone; none: no "
            "deadline",
            "2x",
            "duration or factor",
        ),
    },
    forms.ObjectForm: {"name": _note("name of the object", "web")},
    forms.MetricForm: {
        "name": _note("name of the metric", "queue_length"),
        "series": _note("its value over time, as a load curve", {"constant": {"value": 10}}),
        "namespace": _note("where it is served; none: in all", "default"),
        "labels": _note("labels of an external metric", {"queue": "mail"}),
        "object": _note("what it is of; none: it is external", {"kind": "Service", "name": "web"}),
    },
}


def note_of(form: type[forms.Form], field: str) -> FieldNote:
    """Of a field by the name that it has in a scenario. Raises KeyError where nobody wrote one."""
    return _OF.get(form, {}).get(field) or _COMMON[field]


def superfluous() -> list[str]:
    """Notes of fields that there are not."""
    return [
        f"{form.__name__}.{name}"
        for form, notes in _OF.items()
        for name in notes
        if name not in {field.encode_name for field in msgspec.structs.fields(form)}
    ]
