"""Steps a second of the environments: placement alone at 100 nodes, and the whole control plane."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.notes import FULL, note
from harness.gym.cluster import ClusterEnv
from harness.gym.placement import PlacementEnv

PODS = 3000 if FULL else 600
SETTINGS = {
    "spec.nodes[0].openbLike.count": "100",
    "spec.workload[0].openbLike.pods": str(PODS),
    "spec.workload[0].openbLike.load": "90",
}


def play(env: Any, seed: int) -> int:
    """Steps of an episode, each with the first node that is legal."""
    _, info = env.reset(options={"scenario_seed": seed})
    steps, over = 0, False
    while not over:
        _, _, over, _, info = env.step(int(info["action_mask"].argmax()))
        steps += 1
    return steps


@pytest.mark.parametrize("kind", [PlacementEnv, ClusterEnv])
def test_steps(benchmark: Any, kind: Any) -> None:
    env = kind(settings=SETTINGS)
    steps: int = benchmark.pedantic(lambda: play(env, 1), rounds=3, warmup_rounds=1)
    note(benchmark, steps_per_s=lambda seconds: steps / seconds)
    env.close()
