"""Training jobs as their traces describe them: a gang of GPUs, a number of steps, and a speed that a table gives.

A job runs on `gang` GPUs at once or not at all. How fast it goes depends on its model, its batch size and the size of
its gang. A job may change its batch size by itself as it makes progress (`mode`), and its numbers of steps with it.
The rules and figures are those of Shockwave's simulator (Zheng et al., NSDI 2023; uw-mad-dash/shockwave 8a44f4a).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

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
