"""Random scenarios of training jobs: gangs that use GPUs in rounds, under a round strategy and faults."""

from __future__ import annotations

from random import Random
from typing import Any

from harness.convergence.checkers import HEAL_NS
from harness.engine.component import MINUTE
from harness.engine.streams import stream
from harness.faults.timeline import parse
from harness.jobs.registry import STRATEGIES
from harness.model.training import MODELS
from harness.simulation.random_faults import DRAWN, Scene, random_fault, random_restore

WITHIN_S = 720
"""Faults begin so long after the start at the latest."""

SHARE = 0.1
"""Of all seeds: those whose scenario is one of training jobs, by a stream of its own, so that the others stay."""

RESTORED = 0.5
"""How often the store is restored: often, since the book of jobs goes on and the cluster goes back."""

_INSTANT: dict[str, Any] = {
    **{hop: {"constant": "1ns"} for hop in ("apiCall", "watch", "network")},
    **{hop: {"constant": "0s"} for hop in ("scheduling", "containerStart", "imagePull")},
    "imageBytes": 0,
}
"""Latencies under which time on nodes and time in the book are the same."""


def is_training(seed: int) -> bool:
    """Whether the scenario of `seed` is one of training jobs."""
    return stream(seed, "simulation/is-training").random() < SHARE


def random_training(seed: int) -> dict[str, Any]:
    """The same for the same seed and version, on every machine."""
    rng = stream(seed, "simulation/training")
    zones = ["a", "b"][: rng.randint(1, 2)]
    nodes = _nodes(rng, zones)
    gpus = sum(source["group"]["count"] * source["group"]["gpus"] for source in nodes)
    training, work_s = _training(rng, gpus)
    spec: dict[str, Any] = {
        "seed": seed,
        "nodes": nodes,
        "workload": [{"training": training}],
        "schedulers": [rng.choice([name for name in STRATEGIES.names() if "@" not in name])],
        "bound": False,
        "scheduling": {"deadline": "0s"},  # of the wall clock: a busy machine is no finding; campaign.LONGEST_S holds
        "events": rng.random() < 0.3,
    }
    if rng.random() < 0.5:
        spec |= {"latencies": _INSTANT, "constants": {"genericPlegRelistPeriod": "0s"}}
    elif rng.random() < 0.5:
        spec["latencies"] = {"watch": {"median": "20ms", "p99": rng.choice(("300ms", "5s"))}}
    spec["faults"] = _faults(rng, seed, spec, zones)
    quiet = max((planned.quiet_from_ns or 0 for planned in parse(spec["faults"])), default=0)
    spec["duration"] = f"{(quiet + HEAL_NS) // MINUTE + 3 + work_s // 60}m"
    return {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": f"simulated-{seed}"},
        "spec": spec,
    }


def _nodes(rng: Random, zones: list[str]) -> list[dict[str, Any]]:
    groups = []
    for name in "nm"[: rng.randint(1, 2)]:
        gpus = rng.choice((1, 2, 4))
        group = {"name": name, "count": rng.randint(1, 4), "cpu": 8, "memory": "32Gi", "gpus": gpus, "zones": zones}
        groups.append({"group": group})
    return groups


def _training(rng: Random, gpus: int) -> tuple[dict[str, Any], int]:
    """The workload, and the seconds in which one job after the other could be done four times."""
    gangs = [gang for gang in (1, 1, 2, 4) if gang <= gpus]
    speeds = {
        f"{model}|{batch}|{gang}": round(rng.uniform(2, 40) * gang**0.8, 3)
        for model, of in MODELS.items()
        for batch in (of.smallest_batch * 2**power for power in range(5))
        for gang in sorted(set(gangs))
    }
    jobs, work_s, arrival_s = [], 0, 0
    for number in range(rng.randint(1, 6)):
        model, gang = rng.choice(sorted(MODELS)), rng.choice(gangs)
        batch = MODELS[model].smallest_batch * 2 ** rng.randint(0, 2)
        seconds = rng.choice((5, 90, 400, 1200))
        work_s += 4 * max(seconds, 120)
        row = {"id": number, "model": model, "batchSize": batch, "gang": gang}
        row |= {"mode": rng.choice(("static", "static", "accordion", "gns")), "arrival": f"{arrival_s}s"}
        if rng.random() < 0.25:
            row["sizes"] = sorted(set(gangs))
        jobs.append({**row, "steps": max(1, int(seconds * speeds[f"{model}|{batch}|{gang}"]))})
        arrival_s += rng.choice((0, 0, 7, 119, 120, 400))
    training: dict[str, Any] = {"jobs": jobs, "speeds": speeds}
    if rng.random() < 0.3:
        training["doublings"] = {key: sorted(rng.sample(range(1, 40), 2)) for key in rng.sample(sorted(speeds), 9)}
    if rng.random() < 0.3:
        training |= rng.choice(({"round": "60s", "restart": "0s"}, {"round": "300s"}, {"round": "30s"}))
    if rng.random() < 0.3:
        training["checkpoint"] = rng.choice(("1s", "15s", "60s"))
    return training, work_s + arrival_s


def _faults(rng: Random, seed: int, spec: dict[str, Any], zones: list[str]) -> list[dict[str, Any]]:
    groups = [source["group"] for source in spec["nodes"]]
    nodes = [f"{group['name']}-{index}" for group in groups for index in range(group["count"])]
    apps = [f"job-{job['id']}" for job in spec["workload"][0]["training"]["jobs"]]
    zones = zones[: max(group["count"] for group in groups)]
    scene = Scene(apps, zones, nodes, [("Job", "default", name) for name in apps])
    chosen = rng.sample(DRAWN, rng.randint(0, 6))
    found = [fault for name in chosen if (fault := random_fault(name, rng, scene, WITHIN_S)) is not None]
    restore = random_restore(stream(seed, "simulation/restore"), WITHIN_S, RESTORED)
    return found if restore is None else [*found, restore]
