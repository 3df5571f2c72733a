"""Columns into Kubernetes objects: pods, nodes, and the namespaces, priority classes and pod groups that they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import numpy as np
from msgspec.structs import replace

from harness.model.core import (
    Container,
    Namespace,
    Node,
    NodeStatus,
    Pod,
    PodSchedulingGate,
    PodSpec,
    PodTemplateSpec,
    ResourceList,
    ResourceRequirements,
    TopologySpreadConstraint,
)
from harness.model.dependencies import DEPENDENCY, ESTIMATE, GATE, THINK_TIME
from harness.model.errors import UserError
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_MILLI, GPU_MODEL, WHOLE_GPU
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.objects import Job, PriorityClass
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.model.times import duration_text
from harness.model.workloads import JobSpec, PodGroup, PodGroupSpec
from workloads.table import FOREVER, NodeTable, Workload

DURATION = "podyard.dev/duration"
"""Pod annotation: how long its containers run once started, '123.5s'; without it, until deleted."""

RANK = "podyard.dev/rank"
"""Node annotation: its place in the order that breaks ties, lowest first."""

GROUP_LABEL = "scheduling.x-k8s.io/pod-group"
"""Pod label that names its PodGroup (kubernetes-sigs/scheduler-plugins, coscheduling)."""

USER = "podyard.dev/user"
"""Pod label: who submitted it."""

QUEUE = "kueue.x-k8s.io/queue-name"
"""Pod label: the queue that it was submitted to (kubernetes-sigs/kueue, pkg/controller/constants)."""

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
APP = "app"

IMAGE = "registry.k8s.io/pause:3.10"

EVERY_NODE = (1 << 31) - 1
"""minDomains above any number of nodes: then the least loaded domain counts as empty (PodTopologySpread), so that
maxSkew bounds the pods of one node, whatever the others hold."""

GpuWords: TypeAlias = Literal["share", "device-plugin"]
"""How pods ask for GPUs: by the annotations of open-gpu-share, or as nvidia.com/gpu (whole devices only)."""

_BYTES = {"memory", "ephemeral-storage", "storage"}


def to_pods(workload: Workload, *, gpu_words: GpuWords = "share", image: str = IMAGE) -> Iterator[tuple[int, Pod]]:
    """(arrival_ns, pod) in order of arrival. Pods that ask for the same share one PodSpec, labels and annotations.

    Pods that end by themselves have restartPolicy Never. Raises UserError for a share of a device in the words of the
    device plugin.
    """
    workload = workload.in_order()
    first, classes = workload.classes()
    templates = [_template(workload, row, gpu_words, image) for row in first.tolist()]
    groups = [f"{GROUP_LABEL}={name}" for name in workload.group.values]
    names, arrivals, durations = workload.name, workload.arrival_ns.tolist(), workload.duration_ns.tolist()
    group_codes = workload.group.codes.tolist()
    with_group: dict[tuple[int, int], dict[str, str]] = {}
    gated: dict[int, PodSpec] = {}  # by identity of the spec without a gate
    first_jobs = _jobs_of(workload) if any(workload.after.values) else frozenset()
    estimates, thinks = workload.estimate_ns.tolist(), workload.think_ns.tolist()
    for row, kind in enumerate(classes.tolist()):
        namespace, labels, annotations, lasting, ending = templates[kind]
        duration = durations[row]
        if duration == FOREVER:
            spec = lasting
        else:
            spec = ending
            annotations = {**annotations, DURATION: duration_text(duration)}
        if estimates[row]:
            annotations = {**annotations, ESTIMATE: duration_text(estimates[row])}
        after = workload.after[row]
        if after and (after if "/" in after else f"{namespace}/{after}") in first_jobs:
            annotations = {**annotations, DEPENDENCY: f"afterany:{after}"}
            if thinks[row]:
                annotations[THINK_TIME] = duration_text(thinks[row])
            if id(spec) not in gated:
                gated[id(spec)] = replace(spec, scheduling_gates=(PodSchedulingGate(name=GATE),))
            spec = gated[id(spec)]
        group = group_codes[row]
        if groups[group][-1] != "=":
            key = (kind, group)
            if key not in with_group:
                with_group[key] = {**labels, GROUP_LABEL: workload.group.values[group]}
            labels = with_group[key]
        meta = ObjectMeta(name=names[row], namespace=namespace, labels=labels, annotations=annotations)
        yield arrivals[row], Pod(metadata=meta, spec=spec)


def _jobs_of(workload: Workload) -> frozenset[str]:
    """'namespace/name' of each pod and gang: whoever waits for another job would wait for ever."""
    spaces = [workload.namespace[row] for row in range(len(workload))]
    pods = {f"{space}/{name}" for space, name in zip(spaces, workload.name, strict=True)}
    gangs = {f"{space}/{workload.group[row]}" for row, space in enumerate(spaces) if workload.group[row]}
    return frozenset(pods | gangs)


def to_jobs(pods: Iterable[tuple[int, Pod]]) -> Iterator[tuple[int, Job]]:
    """The same tasks as Jobs of one pod each, which the Job controller makes anew when it is evicted or lost.

    restartPolicy is Never, as a Job's template may not say Always.
    """
    specs: dict[int, tuple[PodSpec, PodSpec]] = {}  # by identity, so that equal templates stay one object
    for at, pod in pods:
        meta = pod.metadata
        made = specs.get(id(pod.spec))
        if made is None:
            made = specs[id(pod.spec)] = (pod.spec, replace(pod.spec, restart_policy="Never"))
        template = PodTemplateSpec(metadata=ObjectMeta(labels=meta.labels, annotations=meta.annotations), spec=made[1])
        yield (
            at,
            Job(
                metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, labels=meta.labels),
                spec=JobSpec(template=template),
            ),
        )


_Template: TypeAlias = tuple[str, dict[str, str], dict[str, str], PodSpec, PodSpec]


def _template(workload: Workload, row: int, gpu_words: GpuWords, image: str) -> _Template:
    """(namespace, labels, annotations, spec of a pod that lasts, spec of a pod that ends)."""
    requests: ResourceList = {}
    if cpu := int(workload.cpu_milli[row]):
        requests["cpu"] = milli_quantity(cpu)
    if memory := int(workload.memory_bytes[row]):
        requests["memory"] = bytes_quantity(memory)
    requests |= _amounts({resource: int(amounts[row]) for resource, amounts in workload.extra.items()})
    annotations: dict[str, str] = {}
    if count := int(workload.gpu_count[row]):
        milli, models = int(workload.gpu_milli[row]), workload.gpu_models[row]
        if gpu_words == "share":
            annotations |= {GPU_COUNT: str(count), GPU_MILLI: str(milli)}
        elif milli == DEVICE_MILLI:
            requests[WHOLE_GPU] = count_quantity(count)
        else:
            raise UserError(
                f"pod {workload.name[row]} asks for {milli} milli of a GPU; the device plugin has whole devices only",
                found=f"{GPU_MILLI} {milli}",
                expected=str(DEVICE_MILLI),
                hint="gpu_words: share",
            )
        if models:
            annotations[GPU_MODEL] = "|".join(models)
    # The API demands a limit for whatever cannot be overcommitted, and that it is the request.
    limits = {resource: amount for resource, amount in requests.items() if "/" in resource}
    app = workload.app[row]
    words = {APP: app, USER: workload.user[row], QUEUE: workload.queue[row]}
    labels = {key: value for key, value in words.items() if value}
    most = int(workload.max_per_node[row])
    priority = int(workload.priority[row])

    def spec(restart: str) -> PodSpec:
        return PodSpec(
            containers=(
                Container(name="main", image=image, resources=ResourceRequirements(requests=requests, limits=limits)),
            ),
            node_selector=dict(workload.node_selector[row]),
            topology_spread_constraints=(_at_most(most, app),) if most and app else (),
            priority=priority or None,
            priority_class_name=priority_class(priority) if priority else "",
            restart_policy=restart,
        )

    return workload.namespace[row], labels, annotations, spec("Always"), spec("Never")


def _at_most(most: int, app: str) -> TopologySpreadConstraint:
    return TopologySpreadConstraint(
        max_skew=most,
        topology_key=HOSTNAME,
        when_unsatisfiable="DoNotSchedule",
        label_selector=LabelSelector(match_labels={APP: app}),
        min_domains=EVERY_NODE,
    )


def _amounts(amounts: dict[str, int]) -> ResourceList:
    return {
        resource: bytes_quantity(amount) if resource in _BYTES else count_quantity(amount)
        for resource, amount in amounts.items()
        if amount
    }


def priority_class(priority: int) -> str:
    """Name of the PriorityClass of a priority."""
    return f"workload-{priority}" if priority >= 0 else f"workload-minus-{-priority}"


def to_prerequisites(workload: Workload) -> Iterator[Namespace | PriorityClass | PodGroup]:
    """What must be there before the pods: namespaces, priority classes, pod groups (minMember: all pods of a gang)."""
    spaces = [workload.namespace.values[code] for code in np.unique(workload.namespace.codes).tolist()]
    for name in sorted(spaces):
        if name != "default":
            yield Namespace(metadata=ObjectMeta(name=name))
    for priority in np.unique(workload.priority).tolist():
        if priority:
            yield PriorityClass(metadata=ObjectMeta(name=priority_class(priority)), value=priority)
    sizes = np.bincount(workload.group.codes, minlength=len(workload.group.values)).tolist()
    first = np.unique(workload.group.codes, return_index=True)
    for code, row in zip(first[0].tolist(), first[1].tolist(), strict=True):
        name = workload.group.values[code]
        if name:
            yield PodGroup(
                metadata=ObjectMeta(name=name, namespace=workload.namespace[row]),
                spec=PodGroupSpec(min_member=sizes[code]),
            )


def to_nodes(table: NodeTable) -> Iterator[Node]:
    """Node objects in the table's order, ready to serve. Conditions are left to whoever keeps them."""
    shapes: dict[tuple[object, ...], ResourceList] = {}
    for row, name in enumerate(table.name):
        extra = {resource: int(amounts[row]) for resource, amounts in table.extra.items()}
        count = int(table.gpu_count[row])
        shape = (int(table.cpu_milli[row]), int(table.memory_bytes[row]), int(table.pods[row]), count)
        key = (*shape, tuple(extra.items()))
        if key not in shapes:
            gpus = {GPU_COUNT: count_quantity(count)} if count else {}
            shapes[key] = {
                "cpu": milli_quantity(shape[0]),
                "memory": bytes_quantity(shape[1]),
                "pods": count_quantity(shape[2]),
                **_amounts(extra),
                **gpus,
            }
        labels = {HOSTNAME: name, **dict(table.labels[row])}
        if count and table.gpu_model[row]:
            labels[GPU_MODEL] = table.gpu_model[row]
        if table.zone[row]:
            labels[ZONE] = table.zone[row]
        yield Node(
            metadata=ObjectMeta(name=name, labels=labels, annotations={RANK: str(row)}),
            status=NodeStatus(capacity=shapes[key], allocatable=shapes[key]),
        )
