"""Suites: small scenarios that a file is scored on, and the seeds that nobody but the judge knows."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.experiment.scenario import LoadedScenario, from_data
from harness.model.errors import UserError, did_you_mean


@dataclass(frozen=True, slots=True)
class Task:
    """One scenario. `measure`: a path of `podyard measures` where more is better, times `scale` in `unit`."""

    name: str
    scenario: Mapping[str, Any]
    measure: str = "placement.allocation.gpu"
    scale: float = 100.0
    unit: str = "points of GPU allocation"

    def load(self) -> LoadedScenario:
        return from_data(dict(self.scenario), self.name)


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    about: str
    baseline: str
    seeds: int
    tasks: tuple[Task, ...]


def _scenario(name: str, nodes: int, pods: int, load: int, constrained: int) -> dict[str, Any]:
    """Batch tasks in the mix of openb, more than its GPU nodes can carry at once."""
    tasks = {"pods": pods, "load": load, "longest": "8m", "constrained": constrained}
    return {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": name},
        "spec": {
            "duration": "10m",
            "nodes": [{"openbLike": {"count": nodes, "cpuNodes": False}}],
            "workload": [{"openbLike": tasks}],
            "schedulers": ["greedy"],
        },
    }


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "gpu-small",
            "batch tasks on 8 GPU nodes under overload, some of which ask for a GPU model",
            "greedy",
            6,
            (Task("shares", _scenario("shares", 8, 64, 130, 0)), Task("models", _scenario("models", 8, 64, 110, 40))),
        ),
        Suite(
            "gpu",
            "the same on 24 nodes, with three mixes and ten seeds: for what did well on gpu-small",
            "greedy",
            10,
            (
                Task("shares", _scenario("shares", 24, 240, 130, 0)),
                Task("models", _scenario("models", 24, 240, 110, 40)),
                Task("rush", _scenario("rush", 24, 240, 250, 20)),
            ),
        ),
    )
}


def find_suite(name: str) -> Suite:
    """Raises UserError."""
    try:
        return SUITES[name]
    except KeyError:
        known = ", ".join(SUITES)
        hint = did_you_mean(name, SUITES)
        raise UserError("there is no such suite", found=name, expected=known, hint=hint) from None


def hidden_seeds(suite: Suite, key: bytes) -> list[int]:
    """The same for the same key, and not to be guessed without it: HMAC-SHA-256, 31 bits each."""
    return [
        int.from_bytes(hmac.digest(key, f"{suite.name}/{index}".encode(), "sha256")[:4], "big") >> 1
        for index in range(suite.seeds)
    ]


def fingerprint(key: bytes) -> str:
    """Tells keys apart, and not the key."""
    return hashlib.sha256(b"podyard evaluate\0" + key).hexdigest()[:12]
