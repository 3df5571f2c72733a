"""Rigid jobs in columns: each a pod, or a gang of pods that start together, and run equally long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workloads.table import Provenance, Workload

SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class RigidJob:
    """`processors` at once, for `run_s`. Times in whole seconds."""

    submit_s: int
    run_s: int
    processors: int
    user: int


def to_workload(
    jobs: Iterable[RigidJob], provenance: Provenance, per_pod: int | None = None, prefix: str = "job"
) -> Workload:
    """A pod holds `per_pod` processors of its job, all of them where it is None; the last one what is left over."""
    pods: list[tuple[str, RigidJob, int, str]] = []  # name, job, processors, group
    for at, job in enumerate(jobs, start=1):
        most = job.processors if per_pod is None else per_pod
        held = [most] * (job.processors // most)
        held += [job.processors % most] if job.processors % most else []
        group = f"{prefix}-{at}" if len(held) > 1 else ""
        pods += [(f"{prefix}-{at}-{piece}", job, processors, group) for piece, processors in enumerate(held)]
    return Workload.of(
        [name for name, _, _, _ in pods],
        arrival_ns=[job.submit_s * SECOND_NS for _, job, _, _ in pods],
        duration_ns=[job.run_s * SECOND_NS for _, job, _, _ in pods],
        cpu_milli=[processors * 1000 for _, _, processors, _ in pods],
        group=[group for _, _, _, group in pods],
        app=[f"user-{job.user}" for _, job, _, _ in pods],
        user=[f"user-{job.user}" for _, job, _, _ in pods],
        provenance=provenance,
    )
