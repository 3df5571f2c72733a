"""What a workload asks for, and when: the input of the proven bound. It comes from the workload itself, not from a
run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.measure.bound import Curve, Instance, Nodes, Pods, aggregate, bound_curve, lifetimes, most_over
from harness.measure.occupancy import CPU, GPU, MEMORY, NAMES, capacity_of
from harness.measure.requests import Requests
from harness.measure.tasks import ENDLESS, limit_ns, one_at_a_time
from harness.model.core import Node, Pod, PodTemplateSpec
from harness.model.gpu import DEVICE_MILLI, GPU_MODEL
from harness.model.workloads import Job

Int64 = npt.NDArray[np.int64]

POINTS = 8
"""Number of instants at which prices are sought for a run's bound."""

MOST_CURVES = 8
_CURVES: dict[bytes, tuple[Int64, Curve]] = {}
"""The value of each pod, and the curve: computed once for all strategies of a run. This cache changes no result."""


@dataclass(frozen=True, slots=True)
class AllocationBound:
    """The most of `resource` that can have been allocated on average over a window, in its unit (GPU milli, milli-CPU).

    `why_none`: why there is no bound; then `most` is 0. `capacity`: of all nodes, including those that pools may add;
    `fixed`: whether no pool can add any.
    """

    resource: int
    most: float = 0.0
    capacity: int = 0
    fixed: bool = True
    why_none: str = ""

    @property
    def name(self) -> str:
        return NAMES[self.resource]


class Demand:
    """Pods with their arrivals and how long they run, and the nodes that are or may be there.

    `first_ns`: the first arrival, -1 before there is one. The number of pods that controllers create (for Deployments
    and their like, and Jobs of several pods) is not the workload's: there is no bound on a resource that such pods ask
    for.
    """

    def __init__(self, nodes: Sequence[Node] = (), pools: Sequence[tuple[Node, int]] = (), unknown: str = "") -> None:
        """`pools`: a node of each pool, and how many of it there can be. `unknown`: why it is not known which other
        nodes there may be; then there is no bound."""
        self._unknown = unknown
        self._nodes = [*nodes, *(node for node, most in pools for _ in range(most))]
        self._pooled = np.zeros(4, np.int64)
        for node, most in pools:
            self._pooled += np.array(capacity_of(node)) * most
        self._requests = Requests()
        self._kinds: dict[tuple[Any, ...], int] = {}
        self._open: dict[int, str] = {}  # resources that open-ended controllers ask for: who
        self._answers: dict[tuple[int, int], AllocationBound] = {}
        self.first_ns = -1
        self.kind: list[int] = []
        self.begin_ns: list[int] = []
        self.runs_ns: list[int] = []

    def arrives(self, at_ns: int, obj: Any) -> None:
        """Somebody creates an object of the workload at `at_ns`; the order of instants is rising."""
        self._answers.clear()
        if isinstance(obj, Pod):
            self._task(at_ns, obj, limit_ns(obj.metadata.annotations, obj.spec))
        elif isinstance(obj, Job) and one_at_a_time(obj.spec):
            of_job = obj.spec.template
            limit = limit_ns(of_job.metadata.annotations, of_job.spec)
            self._task(at_ns, Pod(metadata=of_job.metadata, spec=of_job.spec), limit)
        else:
            template = _template(obj)
            if template is None:
                return
            amounts, _ = self._requests.of(Pod(metadata=template.metadata, spec=template.spec))
            for resource, amount in enumerate(amounts):
                if amount:
                    self._open.setdefault(resource, f"{type(obj).__name__} {obj.metadata.key}")
        if self.first_ns < 0:
            self.first_ns = at_ns

    def _task(self, at_ns: int, pod: Pod, limit: int) -> None:
        (cpu, memory, gpu), milli = self._requests.of(pod)
        models = pod.metadata.annotations.get(GPU_MODEL, "")
        key = (cpu, memory, gpu // milli if gpu else 0, milli if gpu else 0, models)
        self.kind.append(self._kinds.setdefault(key, len(self._kinds)))
        self.begin_ns.append(at_ns)
        self.runs_ns.append(limit)

    @property
    def capacity(self) -> tuple[int, int, int]:
        """Milli-CPU, bytes and GPU milli of all nodes, including those that pools may add."""
        total = np.array([capacity_of(node) for node in self._nodes], np.int64).reshape(-1, 4).sum(axis=0)
        return int(total[CPU]), int(total[MEMORY]), int(total[GPU])

    def most(self, until_ns: int) -> AllocationBound:
        """The bound on the average from the first arrival to `until_ns`: of GPUs where there are some and tasks ask
        for them, else of CPU."""
        since = self.first_ns
        key = (since, until_ns)
        if key not in self._answers:
            self._answers[key] = self._most(since, until_ns)
        return self._answers[key]

    def _most(self, since_ns: int, until_ns: int) -> AllocationBound:
        capacity = np.array([capacity_of(node) for node in self._nodes], np.int64).reshape(-1, 4).sum(axis=0)
        asks_gpu = any(key[2] for key in self._kinds) or GPU in self._open
        resource = GPU if capacity[GPU] and asks_gpu else CPU
        nothing = AllocationBound(resource, capacity=int(capacity[resource]), fixed=not self._pooled[resource])
        if self._unknown:
            return replace(nothing, why_none=self._unknown)
        if resource in self._open:
            why = f"{self._open[resource]} asks for {NAMES[resource]}, and how many pods it has is not the workload's"
            return replace(nothing, why_none=why)
        if not self.kind or not capacity[resource] or until_ns <= since_ns:
            return replace(nothing, why_none="nothing asks for anything that is there")
        begin, runs = np.array(self.begin_ns, np.int64), np.array(self.runs_ns, np.int64)
        name = self._name(resource, begin)
        if name not in _CURVES:
            instance = self._instance(resource)
            changes = lifetimes(instance, begin, np.full_like(begin, ENDLESS))
            while len(_CURVES) >= MOST_CURVES:
                del _CURVES[next(iter(_CURVES))]
            _CURVES[name] = instance.value[instance.pod_class], bound_curve(instance, changes, points=POINTS)
        worth, curve = _CURVES[name]
        return replace(nothing, most=most_over(curve, begin, runs, worth, since_ns, until_ns))

    def _name(self, resource: int, begin: Int64) -> bytes:
        """The key of the curve in the cache: the same for the same pods and nodes."""
        nodes = [(*capacity_of(node), node.metadata.labels.get(GPU_MODEL, "")) for node in self._nodes]
        text = repr((resource, list(self._kinds), nodes)).encode()
        return blake2b(text + begin.tobytes() + np.array(self.kind, np.int64).tobytes()).digest()

    def _instance(self, resource: int) -> Instance:
        capacity = np.array([capacity_of(node) for node in self._nodes], dtype=np.int64)
        counts = capacity[:, GPU] // DEVICE_MILLI
        width = int(counts.max(initial=0))
        devices = np.where(np.arange(width)[None, :] < counts[:, None], DEVICE_MILLI, 0).astype(np.int64)
        kinds = list(self._kinds)
        rows = np.array([key[:4] for key in kinds], dtype=np.int64)[np.array(self.kind)]
        models = [tuple(key[4].split("|")) if key[4] else () for key in kinds]
        pods = Pods(
            requests=np.stack([rows[:, 0], rows[:, 1], np.ones(len(rows), dtype=np.int64)]),
            gpu_count=rows[:, 2],
            gpu_milli=rows[:, 3],
            models=[models[kind] for kind in self.kind],
        )
        nodes = Nodes(
            capacity=np.stack([capacity[:, 0], capacity[:, 1], capacity[:, 3]]),
            gpu_capacity=devices,
            gpu_model=[
                node.metadata.labels.get(GPU_MODEL, "") if count else ""
                for node, count in zip(self._nodes, counts.tolist(), strict=True)
            ],
        )
        instance = aggregate(nodes, pods)
        return instance if resource == GPU else instance.valued(instance.request[:, 0])


def _template(obj: Any) -> PodTemplateSpec | None:
    """The pod template of any object that has one."""
    spec = getattr(obj, "spec", None)
    template = getattr(spec, "template", None)
    if template is None:
        job = getattr(getattr(spec, "job_template", None), "spec", None)
        template = getattr(job, "template", None)
    return template if isinstance(template, PodTemplateSpec) else None
