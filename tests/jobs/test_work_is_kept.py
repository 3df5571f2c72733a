"""Work done and work lost are the time on nodes times the speed, whatever breaks.

The accounts and the time on nodes are those of harness/simulation/work.py, which simulated scenarios are held to, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.controllers.workloads.rounds.scheduler import RoundScheduler
from harness.experiment.run import Home, Run
from harness.experiment.strategies import load_strategy
from harness.experiment.workload import SETTLE_NS
from harness.jobs.book import RoundRules
from harness.jobs.registry import STRATEGIES, load
from harness.jobs.rounds import RoundLoop
from harness.model.training import Speeds, TrainingJob
from harness.simulation.work import Account, Accounts, TimeOnNodes
from tests.jobs.test_control_plane import scenario

STEPS_PER_S = 10.0  # and GPU


# -- the loop alone: what any fault comes to is a gang that starts late or breaks, or GPUs that cannot be used ---------

HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(["nothing", "late", "breaks", "unusable", "news"]), st.integers(0, 130), st.integers(0, 3)
    ),
    max_size=40,
)
JOBS = st.lists(
    st.tuples(st.integers(1, 9000), st.sampled_from([1, 2, 4]), st.integers(0, 900)), min_size=1, max_size=5
)


# Shares were reckoned while a GPU could not be used, and never again: the gang of four waited for ever.
@example([(1723, 1, 252), (82, 1, 592), (129, 4, 631), (3368, 1, 899)], [("unusable", 0, 0)] * 8, "fifo-v1", 0, ())
@given(
    JOBS,
    HAPPENINGS,
    st.sampled_from([name for name in STRATEGIES.names() if "ecos" not in name]),
    st.sampled_from([0, 0, 1, 7, 30, 500]),
    st.sampled_from([(), (1, 2, 4)]),
)
@settings(deadline=None)
def test_in_the_loop(
    rows: list[tuple[int, int, int]],
    happenings: list[tuple[str, int, int]],
    strategy: str,
    checkpoint_s: int,
    sizes: tuple[int, ...],
) -> None:
    speeds = Speeds({("LM", 10, gang): STEPS_PER_S * gang for gang in (1, 2, 4)}, {})
    """`news`: it becomes known that a gang was broken up to some rounds ago."""
    rules = RoundRules(checkpoint_s=checkpoint_s)
    watched = Accounts(RoundLoop(speeds, 4, load(strategy)(), rules, revisable=True))
    loop = watched.loop
    jobs = [
        TrainingJob(at, "LM", 10, gang, "static", steps, float(at_s), sizes)
        for at, (steps, gang, at_s) in enumerate(rows)
    ]
    for job in jobs:
        loop.submit(job)
    unusable: frozenset[int] = frozenset()
    while loop.next_s is not None or happenings:
        if loop.next_s is not None:
            loop.step(unusable)
        what, seconds, which = happenings.pop() if happenings else ("nothing", 0, 0)
        unusable = frozenset({which} if what == "unusable" else ())
        if what == "news":
            now_s = max(loop.next_s or 0.0, loop.record.starts_s[-1])
            at_s = max(0.0, loop.record.starts_s[-1] - 4.0 * seconds)
            loop.revise(sorted(loop.record.jobs)[which % len(jobs)], at_s, at_s, now_s)
        running = sorted(loop.runs)
        if not running:
            continue
        hit = running[which % len(running)]
        if what == "late":
            loop.delay(hit, float(seconds))
        elif what == "breaks":
            loop.interrupt(hit, loop.record.starts_s[-1] + seconds)
    assert list(watched.wrong()) == []
    assert loop.record.completed_s.keys() == {job.id for job in jobs}
    busy_s = sum(loop.record.busy_s.values())
    assert busy_s == pytest.approx(sum(a.settlement.elapsed_s * len(a.run.gpus) for a in watched.accounts), abs=1e-3)


# -- through the whole control plane -----------------------------------------------------------------------------------

NO_LATENCY: dict[str, Any] = {
    "latencies": {
        "apiCall": {"constant": "1ns"}, "watch": {"constant": "1ns"}, "network": {"constant": "1ns"},
        "scheduling": {"constant": "0s"}, "containerStart": {"constant": "0s"}, "imagePull": {"constant": "0s"},
        "imageBytes": 0,
    },
    "constants": {"genericPlegRelistPeriod": "0s"},
    "bound": False,
}  # fmt: skip


BLINDING = {"schedulerOutage", "apiServerRestart", "etcdRestore"}
"""After which the round scheduler may list anew, and see pods no more that another fault has taken meanwhile."""


def held(tmp_path: Path, faults: Sequence[dict[str, Any]], strategy: str, checkpoint: str = "0s") -> list[Account]:
    nodes = {"name": "gpu", "count": 4, "cpu": 8, "memory": "8Gi", "gpus": 1, "zones": ["a", "b"]}
    workload: list[dict[str, Any]] = [
        {"training": {"path": "jobs.csv", "speeds": "speeds.json", "checkpoint": checkpoint}}
    ]
    if strategy.startswith("optimus"):
        workload[0]["training"]["elastic"] = [1, 2]
    loaded = scenario(tmp_path, nodes=[{"group": nodes}], workload=workload, faults=list(faults), **NO_LATENCY)
    run = Run(loaded, load_strategy(loaded, strategy)(), 0, Home())
    blind = len(faults) > 1 and any(BLINDING & fault.keys() for fault in faults)
    try:
        rounds = next(each for each in run.cluster.components.values() if isinstance(each, RoundScheduler))
        watched = Accounts(rounds.loop)
        training = run.prepared.workload.training
        assert training is not None
        gangs = {job.id: job.gang for job in training.jobs}
        on_nodes = TimeOnNodes(run.cluster.server, gangs, SETTLE_NS)
        run.cluster.server.listeners.append(on_nodes.written)
        run.play()
        on_nodes.close()
        assert run.cluster.component_faults == []
        # A job that came after the backup was taken is gone with the store.
        there = {job for job in gangs if f"default/job-{job}" in run.cluster.server.objects("Job")}
        assert rounds.loop.record.completed_s.keys() >= there
        assert there == gangs.keys() or any("etcdRestore" in fault for fault in faults)
        assert list(watched.wrong()) == []
        static = [account for account in watched.accounts if rounds.loop.record.jobs[account.job].mode == "static"]
        for account in static:
            spent = account.spent_s
            # Before its own gang runs, pods of an earlier round may, where nobody ends them: that counts for nothing.
            found = on_nodes.within(account.job, account.began_s + account.run.delay_s, account.until_s)
            assert account.settlement.elapsed_s <= found + 2e-3, account
            if account.run.broken_s is not None and blind:
                assert found <= spent + 2e-3, account  # what is gone without a trace counts as lost until it is missed
            else:
                assert found == pytest.approx(spent, abs=2e-3), account
        return static
    finally:
        run.close()


GPU = {"select": {"names": ["gpu-0"]}}
FAMILIES: dict[str, dict[str, Any]] = {
    "crash": {"nodeCrash": {**GPU, "downFor": "200s"}},
    "freeze": {"nodeFreeze": {**GPU, "for": "90s"}},
    "partition": {"zonePartition": {"zone": "a", "for": "150s"}},
    "eviction": {"drain": {**GPU, "force": True}},
    "taint": {"nodeTaint": {**GPU, "key": "maintenance", "effect": "NoExecute"}},
    "no new pods": {"nodeTaint": {**GPU, "key": "maintenance", "effect": "NoSchedule"}},
    "reclaim": {"spotReclaim": {**GPU, "notice": "30s"}},
    "leave": {"nodeLeave": {**GPU, "deletedAfter": "1m"}},
    "upgrade": {"nodeUpgrade": {**GPU, "force": True}},
    "deletion": {"podDeletion": {"app": "job-0"}},
    "containers": {"containerCrash": {"app": "job-0"}},
    "API server": {"apiServerRestart": {"downFor": "40s"}},
    "scheduler": {"schedulerOutage": {"downFor": "40s"}},
    "scheduler's watches": {"schedulerOutage": {"downFor": "40s", "of": "watches"}},
    "scheduler deaf for rounds": {"schedulerOutage": {"downFor": "300s", "of": "watches"}},
    "scheduler lists anew after rounds": {"schedulerOutage": {"downFor": "300s", "of": "watches", "expired": True}},
    "scheduler hears late": {"schedulerOutage": {"downFor": "400s", "of": "watches", "late": "100s"}},
    "controllers": {"controllerManagerOutage": {"downFor": "40s"}},
    "controllers' watches": {"controllerManagerOutage": {"downFor": "40s", "of": "watches", "expired": True}},
    "controllers hear late": {"controllerManagerOutage": {"downFor": "200s", "of": "watches", "late": "50s"}},
    "store": {"etcdRestore": {"age": "60s", "downFor": "30s"}},
}


@pytest.mark.parametrize("checkpoint", ["0s", "4s"])
@pytest.mark.parametrize("family", [None, *FAMILIES])
def test_in_a_cluster_with_one_fault(tmp_path: Path, family: str | None, checkpoint: str) -> None:
    """The taint was a story of its own: the gang was bound to the tainted node and evicted again, without an end."""
    fault = [] if family is None else [{"at": "150s", **FAMILIES[family]}]
    accounts = held(tmp_path, fault, "gandiva-fair", checkpoint)
    if family in ("crash", "partition", "deletion", "leave"):
        broken = [account.settlement for account in accounts if account.settlement.lost_s]
        assert broken
        assert any(told.elapsed_s for told in broken) == (checkpoint != "0s")
    if family in (None, "no new pods"):  # a node that takes no new pods was counted as silent
        assert not any(account.settlement.lost_s for account in accounts)


@pytest.mark.parametrize(
    "family",
    [
        "crash",
        "taint",  # the old gang was kept where it grew; who was to end again was bound to the tainted node, for ever
        *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES if name not in ("crash", "taint")),
    ],
)
def test_with_gangs_of_several_sizes(tmp_path: Path, family: str) -> None:
    held(tmp_path, [{"at": "150s", **FAMILIES[family]}], "optimus?every_s=0", "4s")


@pytest.mark.slow
def test_late_news_of_the_gang_before(tmp_path: Path) -> None:
    """They ended the round of the one that was just starting, and the next one began in the past."""
    once = {"scheduler's watches": 319, "API server": 119, "scheduler deaf for rounds": 457, "reclaim": 126}
    held(tmp_path, [{"at": f"{at}s", **FAMILIES[family]} for family, at in once.items()], "optimus?every_s=0")


@pytest.mark.parametrize(
    ("drawn", "strategy"),
    [
        # A gang of two, one of whose pods had succeeded, was opened again as a gang of one: nothing was found to run.
        ([("reclaim", 2), ("scheduler deaf for rounds", 2)], "optimus?every_s=0"),
        # The last Job was complete while the scheduler was away, and the run ended: its completion was never told.
        ([("scheduler lists anew after rounds", 2), ("scheduler", 455)], "optimus?every_s=0"),
        # Job and pods were gone, of which a scheduler that was deaf heard at once: its rounds stayed credited.
        ([("scheduler lists anew after rounds", 33), ("store", 61)], "gandiva-fair"),
        ([("scheduler deaf for rounds", 33), ("store", 61)], "gandiva-fair"),
    ],
)
def test_news_that_come_late(tmp_path: Path, drawn: list[tuple[str, int]], strategy: str) -> None:
    held(tmp_path, [{"at": f"{at}s", **FAMILIES[family]} for family, at in drawn], strategy)


@pytest.mark.parametrize(
    ("drawn", "strategy", "checkpoint"),
    [
        # Nobody ran in the first round, which then ended at its own start: 120 s were credited at once.
        ([("partition", 1)], "gandiva-fair", "0s"),
        # The boundary came while the scheduler was away: who started after it was credited from before it.
        ([("scheduler", 100)], "gandiva-fair", "0s"),
        # Evicted before its last step, in the round in which it was to be complete: its round told as lost.
        ([("taint", 242)], "gandiva-fair", "0s"),
        # Found silent at the boundary, a minute after its last step was to be done: that minute was told as lost.
        ([("leave", 229)], "gandiva-fair", "0s"),
        # Its node crashed a second after it was done, and was silent at the boundary: the round was told as lost.
        ([("crash", 301)], "gandiva-fair", "0s"),
        # The other jobs were done 20 s before the gang was found broken: the next round began in the past.
        ([("crash", 362)], "tiresias", "0s"),
        # One of two ended on a node that was cut off; the Job controller made one pod, a gang of two was waited for.
        ([("partition", 273)], "fifo", "0s"),
        # The gang was deleted while nobody told the scheduler: two rounds were credited that nobody ran.
        ([("scheduler deaf for rounds", 100), ("deletion", 150)], "gandiva-fair", "0s"),
        # The scheduler was not told of newer versions, and could not tell a pod when to end: it ran on for ever.
        ([("scheduler deaf for rounds", 100), ("partition", 150)], "gandiva-fair", "0s"),
        # Listed anew, the old pod was gone without a trace: it counted until the other one was made.
        ([("scheduler hears late", 143), ("scheduler deaf for rounds", 179), ("eviction", 232)], "fifo", "1s"),
    ],
)
def test_faults_that_were_found_stay_mended(
    tmp_path: Path, drawn: list[tuple[str, int]], strategy: str, checkpoint: str
) -> None:
    held(tmp_path, [{"at": f"{at}s", **FAMILIES[family]} for family, at in drawn], strategy, checkpoint)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from(sorted(FAMILIES)), st.integers(1, 600)), min_size=1, max_size=4),
    st.sampled_from(["gandiva-fair", "srtf", "tiresias", "fifo", "optimus?every_s=0"]),
    st.sampled_from(["0s", "1s", "10s"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_a_cluster_with_many(tmp_path: Path, drawn: list[tuple[str, int]], strategy: str, checkpoint: str) -> None:
    once = dict(drawn)  # a node is drained, or taken away, once
    if "store" in once:
        once["store"] = max(once["store"], 61)  # its backup is from within the run
    held(tmp_path, [{"at": f"{at}s", **FAMILIES[family]} for family, at in once.items()], strategy, checkpoint)
