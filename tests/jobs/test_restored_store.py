"""Training jobs whose store is set back: work is credited that was done, and what is done ends again.

The book of jobs is kept by whoever trains, the cluster's objects are not. Each story is the smallest of a kind that a
search over restores, round boundaries and checkpoints found.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from harness.simulation.training import _INSTANT
from harness.simulation.trial import play

BACKGROUND = {"propagation": "Background"}
SPEEDS = {f"LM|10|{gang}": speed for gang, speed in ((1, 5.0), (2, 8.7), (4, 15.2))}


def job(number: int, seconds: float, gang: int = 1, **fields: Any) -> dict[str, Any]:
    steps = max(1, int(seconds * SPEEDS[f"LM|10|{gang}"]))
    return {"id": number, "model": "LM", "batchSize": 10, "gang": gang, "steps": steps, **fields}


def restore(at: str, age: str, down: str = "30s") -> dict[str, Any]:
    return {"at": at, "etcdRestore": {"age": age, "downFor": down}}


def scheduler_away(at: str, down: str) -> dict[str, Any]:
    return {"at": at, "schedulerOutage": {"downFor": down}}


def story(
    jobs: list[dict[str, Any]], faults: list[dict[str, Any]], nodes: int = 2, gpus: int = 1, **fields: Any
) -> dict[str, Any]:
    training = {name: fields.pop(name) for name in ("round", "restart", "checkpoint") if name in fields}
    group = {"name": "n", "count": nodes, "cpu": 8, "memory": "32Gi", "gpus": gpus, "zones": ["a", "b"]}
    spec: dict[str, Any] = {
        "seed": 1,
        "nodes": [{"group": group}],
        "workload": [{"training": {"jobs": jobs, "speeds": SPEEDS, **training}}],
        "schedulers": ["fifo"],
        "bound": False,
        "events": False,
        "duration": "75m",
        "scheduling": {"deadline": "0s"},
        "faults": faults,
        **fields,
    }
    return {"apiVersion": "podyard.dev/v1", "kind": "Scenario", "metadata": {"name": "restored"}, "spec": spec}


STORIES: dict[str, dict[str, Any]] = {
    # Its pods were bound and had not started: nobody told them that there is nothing left to do.
    "done, and set back to bound": story([job(0, 0.1, 2)], [restore("46282ms", "45s")], nodes=1, gpus=2),
    # The API server goes away within the last round: its pods never heard when to end.
    "done, and set back to running": story([job(0, 395, 2)], [restore("360s", "5m", "2m")]),
    # The scheduler that starts again knows a job whose Job is not there any more; it held the GPUs for good.
    "the Job has not come to be, unseen": story(
        [job(1, 4.8, 2), job(0, 0.2, arrival="70s")],
        [restore("4451ms", "3951ms"), scheduler_away("8323ms", "30s")],
        round="30s",
    ),
    "the Job is deleted, unseen": story(
        [job(1, 300, 2), job(0, 30, arrival="70s")],
        [
            scheduler_away("100s", "40s"),
            {"at": "110s", "objectDeletion": {"kind": "Job", "name": "job-1", **BACKGROUND}},
        ],
    ),
    # All of the gang is gone when the scheduler looks again: nobody can tell when it went.
    "the gang has not come to be, unseen": story(
        [job(0, 200, 2), job(2, 200, 4, arrival="10s")],
        [restore("243576ms", "2m"), scheduler_away("225945ms", "2m")],
        gpus=2,
        checkpoint="15s",
    ),
    # A member that is set back to what had not started starts anew: the gang was broken.
    "a member starts again": story([job(1, 41.6)], [restore("5667ms", "3s")], nodes=1),
    "a member of two starts again": story([job(0, 42.4, 2)], [restore("7s", "3s")]),
    # A job that is done ends again on a GPU that a gang of this round is bound to at the same instant.
    "one GPU for two": story(
        [job(0, 0.1, 4, arrival="70s"), job(1, 19)],
        [restore("45130ms", "30001ms", "100ms"), {"at": "48757ms", "controllerManagerOutage": {"downFor": "2m"}}],
        gpus=2,
    ),
    # The store is restored while the API server is away for longer: nobody hears of it before.
    "restored within another outage": story(
        [job(1, 11.6, 2)],
        [restore("3s", "2500ms", "5s"), {"at": "3s", "apiServerRestart": {"downFor": "30s"}}],
        round="30s",
    ),
    # What had succeeded has not, as far as the account of the time on nodes goes.
    "half a gang had ended": story(
        [job(0, 198, 2, arrival="10s"), job(2, 400)],
        [restore("362s", "5m"), {"at": "319627ms", "zonePartition": {"zone": "a", "for": "60s"}}],
        nodes=3,
        schedulers=["sjf"],
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_no_work_is_credited_that_was_not_done_and_nobody_is_stuck(name: str) -> None:
    assert [str(found) for found in play(STORIES[name]).findings] == []


def drawn(seed: int) -> dict[str, Any]:
    """A restore near a boundary, a checkpoint or anywhere, and up to two other faults close to it."""
    rng = Random(seed)
    gpus, nodes, round_s = rng.choice((1, 2)), rng.choice((2, 3)), rng.choice((30, 60, 120))
    gangs = [gang for gang in (1, 2, 4) if gang <= gpus * nodes]
    jobs = []
    for number in range(rng.randint(1, 4)):
        fields: dict[str, Any] = {"arrival": f"{rng.choice((0, 0, 10, 70))}s"}
        if rng.random() < 0.2:
            fields["sizes"] = gangs
        jobs.append(job(number, rng.choice((0.1, 20, 90, 200, 400)), rng.choice(gangs), **fields))
    base_ms = 1000 * (2 + rng.choice((0, round_s * rng.randint(1, 5), rng.randint(5, 400))))
    at_ms = max(3000, base_ms + rng.choice((0, rng.randint(-3000, 3000), rng.randint(0, round_s * 1000))))
    age_ms = min(at_ms - 500, rng.choice((500, 3000, 8000, round_s * 1000, round_s * 1000 + 1, 45_000, 120_000)))
    faults = [restore(f"{at_ms}ms", f"{age_ms}ms", rng.choice(("100ms", "1s", "5s", "30s", "2m")))]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        near_ms = max(1000, at_ms + rng.choice((0, rng.randint(-60_000, 60_000), rng.randint(-5000, 5000))))
        node = {"names": [f"n-{rng.randrange(nodes)}"]}
        lasts, app = rng.choice(("1s", "5s", "30s", "2m")), f"job-{rng.randrange(len(jobs))}"
        fault = rng.choice(
            (
                {"nodeCrash": {"select": node, "downFor": lasts}},
                {"nodeFreeze": {"select": node, "for": lasts}},
                {"zonePartition": {"zone": "a", "for": lasts}},
                {"schedulerOutage": {"downFor": lasts}},
                {"controllerManagerOutage": {"downFor": lasts}},
                {"apiServerRestart": {"downFor": lasts}},
                {"containerCrash": {"app": app}},
                {"podDeletion": {"app": app}},
                {"objectDeletion": {"kind": "Job", "name": app, **BACKGROUND}},
                {"objectDeletion": {"kind": "Node", "name": node["names"][0]}},
                {"drain": {"select": node, "force": True}},
            )
        )
        faults.append({"at": f"{near_ms}ms", **fault})
    fields = {"round": f"{round_s}s", "restart": rng.choice(("0s", "20s")), "seed": seed}
    fields["checkpoint"] = rng.choice(("0s", "0s", "1s", "10s", "15s"))
    fields["schedulers"] = [rng.choice(("fifo", "sjf", "srtf", "tiresias", "finish-time-fairness", "pop"))]
    if rng.random() < 0.5:
        fields |= {"latencies": _INSTANT, "constants": {"genericPlegRelistPeriod": "0s"}}
    return story(jobs, faults, nodes, gpus, **fields)


@pytest.mark.parametrize("seed", range(8))
def test_wherever_the_restore_falls(seed: int) -> None:
    assert [str(found) for found in play(drawn(seed)).findings] == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 400, 50))
def test_wherever_many_restores_fall(first: int) -> None:
    found = {seed: [str(item) for item in play(drawn(seed)).findings] for seed in range(first, first + 50)}
    assert {seed: items for seed, items in found.items() if items} == {}
