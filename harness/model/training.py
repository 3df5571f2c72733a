"""Training jobs as their traces describe them: a gang of GPUs, a number of steps, and a speed that a table gives.

A job runs on `gang` GPUs at once or not at all. How fast it goes depends on its model, its batch size and the size of
its gang. A job may change its batch size by itself as it makes progress (`mode`), and its numbers of steps with it.
The rules and figures are those of Shockwave's simulator (Zheng et al., NSDI 2023; uw-mad-dash/shockwave 8a44f4a).
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """One row of a trace of training jobs. `arrival_s`: seconds since the trace's start. `steps`: at `batch_size`."""

    id: int
    model: str
    batch_size: int
    gang: int
    mode: str
    steps: int
    arrival_s: float


@dataclass(frozen=True, slots=True)
class Speeds:
    """`steps_per_s` of a whole gang. `doublings`: by model, first batch size and gang, the epochs at which a job of
    mode `gns` doubles its batch size; a key that is missing never does.
    """

    steps_per_s: Mapping[SpeedKey, float]
    doublings: Mapping[SpeedKey, tuple[int, ...]]


TRAINING = "podyard.dev/training"
"""Annotation of a Job: that it is a training job, and what it has to do; JSON, see `TrainingSpec`."""

ROUND_SCHEDULER = "round-scheduler"
"""spec.schedulerName of the pods of training jobs."""

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class TrainingSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The annotation's value. The gang is the Job's parallelism."""

    id: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    model: str
    batch_size: _Count
    mode: Literal["static", "accordion", "gns"] = "static"
    steps: _Count


def training_text(job: TrainingJob) -> str:
    """`job` as the annotation has it."""
    spec = TrainingSpec(id=job.id, model=job.model, batch_size=job.batch_size, mode=job.mode, steps=job.steps)  # type: ignore[arg-type]
    return msgspec.json.encode(spec).decode()


def read_training(text: str, gang: int, arrival_s: float) -> TrainingJob:
    """The job that an annotation describes. Raises ValueError saying what is wrong with it."""
    spec = msgspec.json.decode(text, type=TrainingSpec)
    if spec.model not in MODELS:
        raise ValueError(f"model is {spec.model!r}, not one of {', '.join(MODELS)}")
    return TrainingJob(spec.id, spec.model, spec.batch_size, gang, spec.mode, spec.steps, arrival_s)
