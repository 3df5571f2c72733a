"""Containers with starts and ends of their own: order, restarts, probes, hooks, what is said of each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.engine.component import SECOND
from harness.model.core import Pod
from harness.model.faults import ContainerCrash, Crash, Freeze
from harness.model.meta import condition
from harness.model.objects import from_wire
from tests.examples import examples
from tests.node.rig import IMAGE, Rig

Json = dict[str, Any]
HANDLER = {"httpGet": {"port": 8080}}
ABC = "abc"


def box(name: str, **more: Any) -> Json:
    return {"name": name, "image": IMAGE, **more}


def sidecar(name: str, **more: Any) -> Json:
    return box(name, restartPolicy="Always", **more)


class Story(Rig):
    """One pod, and what was said of its containers: (second, 'name state', ..)."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.told: list[tuple[float, str]] = []
        self._last: dict[str, str] = {}

    def create(
        self, *containers: Json, inits: tuple[Json, ...] = (), restart: str = "Never", grace_s: int = 30, **said: str
    ) -> Pod:
        """`said`: annotations, 'duration_main' for podyard.dev/duration.main."""
        annotations = {f"podyard.dev/{name.replace('_', '.').replace('0', '-')}": text for name, text in said.items()}
        spec = {
            "restartPolicy": restart,
            "terminationGracePeriodSeconds": grace_s,
            "containers": list(containers),
            "initContainers": list(inits),
        }
        meta = {"name": "a", "namespace": "default", "annotations": annotations}
        made = self.server.create(from_wire({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}))
        bound: Pod = self.server.bind("default", "a", made.metadata.uid, "n0", {})
        self.cluster.api.flush(self.server.now)
        return bound

    def _write(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        super()._write(kind, change, obj, old, revision)
        if kind.kind == "Pod" and change != "DELETED":
            for status in (*obj.status.init_container_statuses, *obj.status.container_statuses):
                state = status.state
                if state.running is not None:
                    now = "runs"
                elif state.terminated is not None:
                    now = f"ended {state.terminated.exit_code}"
                else:
                    now = "" if state.waiting is None else state.waiting.reason
                if self._last.get(status.name) != now:
                    self._last[status.name] = now
                    self.told.append((self.server.now / SECOND, f"{status.name} {now}"))

    @property
    def words(self) -> list[str]:
        return [text for _, text in self.told if "PodInitializing" not in text and "ContainerCreating" not in text]

    def at(self, text: str) -> float:
        return next(at for at, told in self.told if told == text)

    @property
    def a(self) -> Pod:
        found = self.get("a")
        assert found is not None
        return found

    def said(self, kind: str) -> tuple[str, str, str]:
        found = condition(self.a.status.conditions, kind)
        assert found is not None
        return found.status, found.reason, found.message

    def restarts(self) -> dict[str, int]:
        status = self.a.status
        return {
            item.name: item.restart_count or 0 for item in (*status.init_container_statuses, *status.container_statuses)
        }


def test_containers_end_each_for_itself_and_the_pod_with_the_last() -> None:
    story = Story()
    story.create(box("short"), box("long"), duration_short="5s", duration_long="20s")
    story.run(10)
    assert story.words == ["short runs", "long runs", "short ended 0"]
    assert story.a.status.phase == "Running"
    assert story.said("Ready") == ("False", "ContainersNotReady", "containers with unready status: [short]")
    story.run(40)
    assert story.words[-1] == "long ended 0"
    assert story.a.status.phase == "Succeeded"
    assert story.said("Initialized")[:2] == ("True", "PodCompleted")
    assert story.said("Ready")[:2] == ("False", "PodCompleted")


def test_one_bad_end_fails_the_pod() -> None:
    story = Story()
    story.create(box("good"), box("bad"), duration_good="9s", duration_bad="3s", exit0code_bad="3")
    story.run(30)
    assert story.words[-2:] == ["bad ended 3", "good ended 0"]
    assert story.a.status.phase == "Failed"
    assert story.said("Ready")[:2] == ("False", "PodFailed")


def test_only_the_container_that_failed_is_restarted() -> None:
    story = Story(record_events=True)
    story.create(box("web"), box("bad"), restart="OnFailure", duration_bad="2s", exit0code_bad="1")
    story.run(30)
    assert story.restarts() == {"web": 0, "bad": 2}
    status = story.a.status.container_statuses[1]
    assert status.last_state.terminated is not None
    assert status.last_state.terminated.exit_code == 1
    assert "bad CrashLoopBackOff" in story.words
    assert "BackOff" in story.events()


def test_init_containers_run_one_after_the_other_before_the_rest() -> None:
    story = Story()
    story.create(box("main"), inits=(box("one"), box("two")), duration_one="5s", duration_two="3s", duration_main="4s")
    story.run(4)
    assert story.a.status.phase == "Pending"
    assert story.said("Initialized") == (
        "False", "ContainersNotInitialized", "containers with incomplete status: [one two]",
    )  # fmt: skip
    assert story.said("PodReadyToStartContainers")[0] == "True"
    waiting = story.a.status.container_statuses[0].state.waiting
    assert waiting is not None
    assert waiting.reason == "PodInitializing"
    story.run(60)
    assert story.words == ["one runs", "one ended 0", "two runs", "two ended 0", "main runs", "main ended 0"]
    assert [item.ready for item in story.a.status.init_container_statuses] == [True, True]
    assert story.a.status.phase == "Succeeded"


@pytest.mark.parametrize(("restart", "phase", "times"), [("Never", "Failed", 0), ("Always", "Pending", 2)])
def test_an_init_container_that_fails(restart: str, phase: str, times: int) -> None:
    story = Story()
    story.create(box("main"), inits=(box("one"),), restart=restart, duration_one="1s", exit0code_one="7")
    story.run(25)
    assert story.a.status.phase == phase
    assert story.restarts() == {"one": times, "main": 0}
    assert "main runs" not in story.words


def test_sidecars_start_before_and_end_after_the_last_first() -> None:
    story = Story()
    story.create(box("main"), inits=(sidecar("log"), box("setup"), sidecar("proxy")), duration_main="10s")
    story.run(60)
    assert story.words == [
        "log runs", "setup runs", "setup ended 0", "proxy runs", "main runs", "main ended 0", "proxy ended 143",
        "log ended 143",
    ] or story.words == [
        "log runs", "setup ended 0", "proxy runs", "main runs", "main ended 0", "proxy ended 143", "log ended 143",
    ]  # fmt: skip
    assert story.a.status.phase == "Succeeded"  # sidecars do not count


def test_a_sidecar_that_ends_is_started_again_whatever_the_pods_policy() -> None:
    story = Story()
    story.create(box("main"), inits=(sidecar("log"),), restart="Never", duration_log="5s")
    story.run(12)
    assert story.restarts()["log"] >= 1
    assert story.a.status.phase == "Running"


def test_the_next_one_waits_for_the_startup_probe_of_a_sidecar() -> None:
    story = Story()
    probe = {**HANDLER, "periodSeconds": 5, "failureThreshold": 10}
    story.create(box("main"), inits=(sidecar("log", startupProbe=probe),), ready0after_log="12s")
    story.run(40)
    assert story.at("main runs") - story.at("log runs") > 12
    assert story.a.status.init_container_statuses[0].started


def test_a_startup_probe_that_never_passes_kills_the_container() -> None:
    story = Story(record_events=True)
    probe = {**HANDLER, "periodSeconds": 2, "failureThreshold": 3}
    story.create(box("main", startupProbe=probe), restart="Always", ready0after="1h")
    story.run(12)
    status = story.a.status.container_statuses[0]
    assert status.restart_count == 1
    assert not status.started
    assert "Unhealthy" in story.events()
    assert not story.ready("a")


def test_readiness_and_liveness_are_of_each() -> None:
    story = Story()
    ready = {**HANDLER, "periodSeconds": 2, "initialDelaySeconds": 4}
    live = {**HANDLER, "periodSeconds": 2, "failureThreshold": 2}
    story.create(
        box("slow", readinessProbe=ready), box("sick", livenessProbe=live), restart="Always",
        unhealthy0after_sick="20s", stop0after_sick="3s",
    )  # fmt: skip
    story.run(4)
    assert [item.ready for item in story.a.status.container_statuses] == [False, True]
    assert story.said("ContainersReady")[2] == "containers with unready status: [slow]"
    story.run(15)
    assert story.ready("a")
    story.run(60)
    assert story.restarts()["slow"] == 0
    assert story.restarts()["sick"] >= 1


def test_a_start_hook_holds_up_the_next_and_a_bad_one_kills() -> None:
    story = Story(record_events=True)
    hook = {"postStart": {"sleep": {"seconds": 6}}}
    story.create(box("first", lifecycle=hook), box("second"))
    story.run(20)
    assert story.at("second runs") >= 7
    story = Story(record_events=True)
    bad = {"postStart": {"exec": {"command": ["sh", "-c", "exit 4"]}}}
    story.create(box("main", lifecycle=bad), restart="Always", stop0after="0")
    story.run(4)
    assert story.restarts()["main"] >= 1
    assert "FailedPostStartHook" in story.events()


def test_a_stop_hook_comes_before_the_signal_and_within_the_grace() -> None:
    for seconds, grace, least, most in ((4, 30, 5.0, 6.0), (100, 10, 11.0, 12.5)):
        story = Story()
        story.create(box("main", lifecycle={"preStop": {"sleep": {"seconds": seconds}}}), grace_s=grace)
        story.run(5)
        story.server.now = 5 * SECOND
        story.server.delete("Pod", "default", "a")
        story.cluster.api.flush(story.server.now)
        story.run(60)
        gone = next(at for at, _, what in story.statuses if what == "DELETED")
        assert least <= gone - 5 <= most


def test_deleted_sidecars_are_stopped_last_in_the_same_grace() -> None:
    story = Story()
    pod = story.create(
        box("main"), inits=(sidecar("log"), sidecar("proxy")), grace_s=10, stop0after_main="4s", stop0after_proxy="1h",
        stop0after_log="1s",
    )  # fmt: skip
    story.run(8)
    story.server.delete("Pod", "default", "a", uid=pod.metadata.uid)
    story.cluster.api.flush(story.server.now)
    story.run(60)
    assert story.words[3:] == ["main ended 143"]  # of the others nothing is said before the pod is gone
    gone = next(at for at, _, what in story.statuses if what == "DELETED")
    assert 10 <= gone - 8 <= 11


def test_a_crash_of_a_container_and_of_the_node() -> None:
    story = Story()
    story.create(box("main"), box("other"), inits=(box("setup"), sidecar("log")), restart="Always")
    story.run(8)
    story.hit(ContainerCrash(pod="default/a"))
    story.run(12)
    assert story.restarts() == {"setup": 0, "log": 0, "main": 1, "other": 0}
    story.disturb(Crash(down_ns=20 * SECOND))
    story.run(60)
    assert story.restarts() == {"setup": 1, "log": 1, "main": 2, "other": 1}
    assert story.ready("a")
    last = story.a.status.container_statuses[1].last_state.terminated
    assert last is not None
    assert (last.exit_code, last.reason) == (137, "ContainerStatusUnknown")


def test_after_a_power_loss_what_is_never_restarted_has_failed() -> None:
    story = Story()
    story.create(box("main"), box("other"))
    story.run(8)
    story.disturb(Crash(down_ns=20 * SECOND))
    story.run(60)
    assert story.a.status.phase == "Failed"
    assert story.restarts() == {"main": 0, "other": 0}


def test_a_freeze_makes_all_of_them_last_longer() -> None:
    story = Story()
    story.create(box("main"), box("other"), duration="20s")
    story.run(8)
    story.disturb(Freeze(for_ns=30 * SECOND))
    story.run(80)
    assert story.at("main ended 0") - story.at("main runs") > 48
    assert story.a.status.phase == "Succeeded"


def test_a_deadline_ends_all_of_them() -> None:
    story = Story()
    pod = story.create(box("main"), inits=(sidecar("log"),))
    assert pod is not None
    story.run(5)
    story = Story()
    spec = {"activeDeadlineSeconds": 10, "containers": [box("main"), box("other")], "restartPolicy": "Never"}
    meta = {"name": "a", "namespace": "default"}
    made = story.server.create(from_wire({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}))
    story.server.bind("default", "a", made.metadata.uid, "n0", {})
    story.cluster.api.flush(story.server.now)
    story.run(30)
    assert (story.a.status.phase, story.a.status.reason) == ("Failed", "DeadlineExceeded")


@pytest.mark.parametrize("changed", [False, True])
def test_what_is_said_of_the_only_container_by_name_holds_for_the_pod(changed: bool) -> None:
    story = Story()
    if changed:
        story.create(box("main"), duration="1h")
        story.run(5)
        annotations = {**story.a.metadata.annotations, "podyard.dev/duration.main": "7s"}
        story.server.update(replace(story.a, metadata=replace(story.a.metadata, annotations=annotations)))
        story.cluster.api.flush(story.server.now)
    else:
        story.create(box("main"), duration="1h", duration_main="7s", exit0code_main="3")
    story.run(30)
    assert story.words[:2] == ["main runs", f"main ended {0 if changed else 3}"]


@settings(max_examples=examples(40), deadline=None)
@example(inits=[], apps=[(7, 1)], restart="Never", fault="", at=17)  # of one container, what had its name was not read
@given(
    inits=st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.sampled_from([0, 0, 1])), max_size=3),
    apps=st.lists(st.tuples(st.integers(-1, 9), st.sampled_from([0, 0, 1])), min_size=1, max_size=3),
    restart=st.sampled_from(["Always", "OnFailure", "Never"]),
    fault=st.sampled_from(["", "crash", "freeze", "delete"]),
    at=st.integers(1, 20),
)
def test_whatever_happens_the_order_is_kept_and_a_pod_that_should_end_ends(
    inits: list[tuple[bool, int, int]], apps: list[tuple[int, int]], restart: str, fault: str, at: int
) -> None:
    story = Story()
    said: dict[str, Any] = {}
    for number, (is_sidecar, seconds, code) in enumerate(inits):
        if not is_sidecar:
            said |= {f"duration_i{ABC[number]}": f"{seconds}s", f"exit0code_i{ABC[number]}": str(code)}
    for number, (seconds, code) in enumerate(apps):
        if seconds >= 0:
            said |= {f"duration_c{ABC[number]}": f"{seconds}s", f"exit0code_c{ABC[number]}": str(code)}
    made = tuple(sidecar(f"i{ABC[n]}") if item[0] else box(f"i{ABC[n]}") for n, item in enumerate(inits))
    story.create(*(box(f"c{ABC[n]}") for n in range(len(apps))), inits=made, restart=restart, **said)
    story.run(at)
    match fault:
        case "crash":
            story.disturb(Crash(down_ns=5 * SECOND))
        case "freeze":
            story.disturb(Freeze(for_ns=15 * SECOND))
        case "delete":
            story.server.delete("Pod", "default", "a")
            story.cluster.api.flush(story.server.now)
    story.run(200)
    found = story.get("a")
    if fault == "delete":
        assert found is None
        return
    bad_init = any(not item[0] and item[2] for item in inits)
    begun = [text for text in story.words if text.startswith("c")]
    if bad_init:
        assert not begun
    assert found is not None
    ends = all(seconds >= 0 for seconds, _ in apps)
    good = ends and not any(code for _, code in apps) and not bad_init
    if restart != "Always" and good and fault != "crash":
        assert found.status.phase == "Succeeded"
    if restart == "Never" and ends and fault != "crash":
        assert found.status.phase == ("Succeeded" if good else "Failed")
    if found.status.phase in ("Succeeded", "Failed"):
        states = [
            item.state.running for item in (*found.status.init_container_statuses, *found.status.container_statuses)
        ]
        assert not any(states)
