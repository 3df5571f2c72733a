"""Training jobs as their traces describe them: a gang of GPUs, a number of steps, and a speed that a table gives.

A job runs on `gang` GPUs at once or not at all. How fast it goes depends on its model, its batch size and the size of
its gang. A job may change its batch size by itself as it makes progress (`mode`), and its numbers of steps with it.
The rules and figures are those of Shockwave's simulator (Zheng et al., NSDI 2023; uw-mad-dash/shockwave 8a44f4a).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec

MODES = ("static", "accordion", "gns")

SpeedKey: TypeAlias = tuple[str, int, int]
"""Model, batch size, GPUs of the gang."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """`samples` of its data set; the batch sizes between which its jobs may move."""

    samples: int
    smallest_batch: int
    largest_batch: int


MODELS: Mapping[str, TrainedModel] = {
    "ResNet-18": TrainedModel(50_000, 16, 256),
    "ResNet-50": TrainedModel(100_000, 16, 128),
    "Transformer": TrainedModel(10_000, 16, 128),
    "LM": TrainedModel(59_675, 5, 80),
    "Recommendation": TrainedModel(117_907, 512, 8_192),
}


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One row of a trace of training jobs. `arrival_s`: seconds since the trace's start. `steps`: at `batch_size`, of
    the whole gang whatever its size. `gang`: GPUs that it asks for. `sizes`: of an elastic job, all that its gang may
    have, ascending, `gang` among them; none: `gang` alone.
    """

    id: int
    model: str
    batch_size: int
    gang: int
    mode: str
    steps: int
    arrival_s: float
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Speeds:
    """`steps_per_s` of a whole gang. `doublings`: by model, first batch size and gang, the epochs at which a job of
    mode `gns` doubles its batch size; a key that is missing never does.
    """

    steps_per_s: Mapping[SpeedKey, float]
    doublings: Mapping[SpeedKey, tuple[int, ...]]

    def by_size(self, job: TrainingJob, batch_size: int) -> dict[int, float]:
        """Steps a second by GPUs, of those sizes that the gang of `job` may have and that the table knows."""
        found = {size: self.steps_per_s.get((job.model, batch_size, size)) for size in job.sizes or (job.gang,)}
        return {size: speed for size, speed in found.items() if speed is not None}


TRAINING = "podyard.dev/training"
"""Annotation of a Job: that it is a training job, and what it has to do; JSON, see `TrainingSpec`."""

ROUND_SCHEDULER = "round-scheduler"
"""spec.schedulerName of the pods of training jobs."""

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class TrainingSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The annotation's value. The gang is the Job's parallelism when it is made. `sizes`: those that the gang of an
    elastic job may have; such a Job is Indexed, so that its parallelism and completions can be changed together."""

    id: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    model: str
    batch_size: _Count
    mode: Literal["static", "accordion", "gns"] = "static"
    steps: _Count
    sizes: tuple[_Count, ...] | msgspec.UnsetType = msgspec.UNSET


def training_text(job: TrainingJob) -> str:
    """`job` as the annotation has it."""
    spec = TrainingSpec(
        id=job.id,
        model=job.model,
        batch_size=job.batch_size,
        mode=job.mode,  # type: ignore[arg-type]
        steps=job.steps,
        sizes=job.sizes or msgspec.UNSET,
    )
    return msgspec.json.encode(spec).decode()


def sizes_problem(sizes: Sequence[int], gang: int) -> str:
    """What is wrong with the sizes of an elastic job; empty where nothing is."""
    if list(sizes) != sorted(set(sizes)) or (sizes and sizes[0] < 1):
        return f"sizes are {list(sizes)}, not GPUs in ascending order"
    return (
        f"sizes are {list(sizes)}, without the gang of {gang} that it asks for" if sizes and gang not in sizes else ""
    )


def read_training(text: str, gang: int, arrival_s: float) -> TrainingJob:
    """The job that an annotation describes. Raises ValueError saying what is wrong with it."""
    spec = msgspec.json.decode(text, type=TrainingSpec)
    if spec.model not in MODELS:
        raise ValueError(f"model is {spec.model!r}, not one of {', '.join(MODELS)}")
    sizes = spec.sizes or ()
    problem = sizes_problem(sizes, gang)
    if problem:
        raise ValueError(problem)
    return TrainingJob(spec.id, spec.model, spec.batch_size, gang, spec.mode, spec.steps, arrival_s, sizes)
