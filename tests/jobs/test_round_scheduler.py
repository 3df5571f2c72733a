"""The round scheduler by hand: what it is told, and what it writes, one step after the other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.workloads.rounds.scheduler import RESOLUTION_NS, BookTime, RoundScheduler, training_of
from harness.engine.component import (
    ADDED,
    DELETED,
    MODIFIED,
    SECOND,
    BindPod,
    Event,
    Outcome,
    Record,
    Start,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.jobs.registry import load
from harness.model.core import ContainerState, ContainerStateRunning, ContainerStatus, Node, Pod, PodSpec, PodStatus
from harness.model.meta import Condition, ObjectMeta, OwnerReference
from harness.model.training import ROUND_SCHEDULER, TRAINING, Speeds
from harness.model.wire import Time
from harness.model.workloads import Job, JobSpec, JobStatus
from tests.controllers.rig import template
from tests.jobs.test_gangs import node

SPEEDS = Speeds({("LM", 10, 1): 10.0}, {})


class Hands:
    """A scheduler of one GPU on the node n; its writes are answered at once, its timers come when they are due."""

    def __init__(self) -> None:
        self.scheduler = RoundScheduler(load("fifo")(), SPEEDS, ["n"], 0)
        self.now = 0
        self.version = 1
        self.timers: list[WakeAt] = []
        self.written: list[Any] = []
        self.told: list[tuple[str, str]] = []
        self.jobs: dict[str, Job] = {}

    def step(self, *events: Event) -> None:
        waiting = list(events)
        while waiting:
            effects = list(self.scheduler.step(self.now, waiting))
            waiting = []
            for effect in effects:
                if isinstance(effect, WakeAt):
                    self.timers.append(effect)
                elif isinstance(effect, Record):
                    self.told.append((effect.reason, effect.message))
                elif isinstance(effect, Update | BindPod):
                    self.written.append(effect)
                    waiting.append(Outcome(effect, self._stored(effect), None))

    def _stored(self, effect: Update | BindPod) -> Any:
        if not isinstance(effect, Update):
            return None
        self.version += 1
        meta = replace(effect.obj.metadata, resource_version=str(self.version))
        stored = replace(effect.obj, metadata=meta)
        if isinstance(stored, Job):
            self.jobs[meta.name] = stored
        return stored

    def until(self, seconds: float) -> None:
        end = round(seconds * SECOND)
        while due := [wake for wake in self.timers if wake.at <= end]:
            first = min(due, key=lambda wake: wake.at)
            self.timers.remove(first)
            self.now = max(self.now, first.at)
            self.step(Timer(first.token))
        self.now = end

    def job(
        self, name: str, number: int = 0, *, change: str = ADDED, status: JobStatus | None = None, **more: Any
    ) -> None:
        told = {"id": number, "model": "LM", "batchSize": 10, "mode": "static", "steps": 600, **more}
        self.version += 1
        known = self.jobs.get(name)
        made = known or Job(
            metadata=ObjectMeta(
                name=name, namespace="default", uid=f"u-{name}", annotations={TRAINING: json.dumps(told)}
            ),
            spec=JobSpec(parallelism=1, suspend=True, template=template()),
        )
        meta = replace(made.metadata, resource_version=str(self.version), creation_timestamp=Time(self.now))
        self.jobs[name] = replace(made, metadata=meta, status=status or JobStatus())
        self.step(Watch(change, self.jobs[name]))

    def pod(self, name: str, change: str = ADDED, **fields: Any) -> Pod:
        self.version += 1
        owner = OwnerReference(api_version="batch/v1", kind="Job", name="a", uid="u-a", controller=True)
        running = ContainerState(running=ContainerStateRunning(started_at=Time(fields.get("started", 0))))
        made = Pod(
            metadata=ObjectMeta(
                name=name,
                namespace="default",
                uid=f"u-{name}",
                resource_version=str(self.version),
                owner_references=(owner,),
                creation_timestamp=Time(0),
            ),
            spec=PodSpec(node_name=fields.get("on", ""), scheduler_name=ROUND_SCHEDULER),
            status=PodStatus(
                phase="Running" if "started" in fields else "Pending",
                container_statuses=(ContainerStatus(name="c", state=running),) if "started" in fields else (),
            ),
        )
        self.step(Watch(change, made))
        return made


def started() -> Hands:
    hands = Hands()
    hands.step(Start(), Watch(ADDED, node("n")))
    return hands


def running() -> Hands:
    """The Job a, its gang running on n since the first instant."""
    hands = started()
    hands.job("a")
    hands.until(0.1)
    assert [effect.obj.spec.suspend for effect in hands.written] == [False]
    hands.pod("p")
    assert hands.written[-1] == BindPod("default", "p", "u-p", "n", {}, "default/a")
    hands.pod("p", MODIFIED, on="n", started=hands.now)
    return hands


def test_times_of_the_book_and_of_the_cluster() -> None:
    book = BookTime(5)
    assert book.seconds(5 + 1_500_000_999) == 1.5
    assert book.instant(1.5) == 1_500_000_005
    assert BookTime(0).instant(book.seconds(5 + RESOLUTION_NS)) == RESOLUTION_NS


def test_nothing_is_decided_before_nodes_are_listed() -> None:
    hands = Hands()
    hands.step(Start())
    hands.job("a")
    hands.until(10)
    assert hands.written == []
    hands.step(Watch(ADDED, node("n")))
    hands.until(11)
    assert len(hands.written) == 1


def test_a_gang_runs_to_its_end_and_its_containers_are_told_when_that_is() -> None:
    hands = running()
    told = [effect.obj for effect in hands.written if isinstance(effect, Update) and isinstance(effect.obj, Pod)]
    assert len(told) == 1
    finish_s = hands.scheduler.loop.runs[0].finish_s
    assert finish_s == pytest.approx(60.1, abs=2e-6), "600 steps, 10 a second, since it was running"
    assert told[0].metadata.annotations["podyard.dev/duration"].startswith("59.99999")
    hands.until(61)
    assert hands.scheduler.loop.record.completed_s == {0: finish_s}
    complete = JobStatus(conditions=(Condition(type="Complete", status="True"),), succeeded=1)
    written = len(hands.written)
    hands.job("a", change=MODIFIED, status=complete)
    assert len(hands.written) == written


def test_what_can_never_run_is_told_and_left_alone() -> None:
    hands = started()
    hands.job("x", 1, model="nobody's")
    hands.job("y", 2, steps=10**9, batchSize=11)
    hands.job("a", 3)
    hands.job("z", 3)
    assert [reason for reason, _ in hands.told] == ["InvalidTraining"] * 3
    assert all(message.startswith("never scheduled: ") for _, message in hands.told)
    assert hands.told[-1][1] == "never scheduled: id 3 is that of default/a"
    hands.until(5)
    assert {effect.obj.metadata.name for effect in hands.written} == {"a"}


def test_a_job_that_fails_while_nobody_watches_is_withdrawn_and_set_back_it_begins_anew() -> None:
    """Its failure and the end of its pods came at once, to a scheduler that had been away: it was taken to run on, was
    interrupted at the beginning of each round, and kept its GPU for ever."""
    hands = running()
    hands.now += 10 * SECOND
    pod: Pod = hands.scheduler.informer.get("Pod", "default/p")
    failed = JobStatus(conditions=(Condition(type="Failed", status="True"),))
    meta = replace(hands.jobs["a"].metadata, resource_version=str(hands.version + 1))
    hands.jobs["a"] = replace(hands.jobs["a"], metadata=meta, status=failed)
    hands.step(Watch(DELETED, pod), Watch(MODIFIED, hands.jobs["a"]))
    hands.until(200)
    assert not hands.scheduler.loop.knows(0)
    hands.version += 10
    hands.job("a", change=MODIFIED, status=JobStatus())
    assert hands.scheduler.loop.knows(0)
    assert hands.told == []


def test_who_is_not_to_run_is_suspended_and_who_is_deleted_gives_its_gpu_to_the_next() -> None:
    hands = running()
    hands.job("b", 1)
    hands.jobs["b"] = replace(hands.jobs["b"], spec=replace(hands.jobs["b"].spec, suspend=False))
    hands.job("b", 1, change=MODIFIED)
    assert hands.jobs["b"].spec.suspend, "somebody resumed it out of turn"
    hands.step(Watch(DELETED, hands.jobs.pop("a")))
    assert not hands.scheduler.loop.knows(0)
    hands.until(130)
    assert hands.jobs["b"].spec.suspend is False


def test_gangs_of_several_sizes_need_indexed_jobs() -> None:
    said = {"id": 0, "model": "LM", "batchSize": 10, "mode": "static", "steps": 600, "sizes": [1, 2]}
    meta = ObjectMeta(name="a", annotations={TRAINING: json.dumps(said)})
    for mode, completions, good in (("Indexed", 2, True), ("Indexed", 3, False), ("NonIndexed", 2, False)):
        spec = JobSpec(parallelism=2, completions=completions, completion_mode=mode, template=template())
        job = Job(metadata=meta, spec=spec)
        if good:
            assert training_of(job, 7.0).arrival_s == 7.0
            continue
        with pytest.raises(ValueError, match="an Indexed Job with as many completions as parallelism"):
            training_of(job, 7.0)


def test_a_node_of_the_cluster_is_no_node_of_this_scheduler() -> None:
    hands = running()
    written = len(hands.written)
    hands.step(Watch(ADDED, node("other")), Watch(DELETED, Node(metadata=ObjectMeta(name="none", uid="u"))))
    hands.until(1)
    assert len(hands.written) == written
