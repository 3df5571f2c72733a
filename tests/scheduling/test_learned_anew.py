"""A scheduler whose watches were cut, or whose process started anew, knows what one that has just started knows."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.engine.component import (
    ADDED,
    DELETED,
    MINUTE,
    MODIFIED,
    SECOND,
    BindPod,
    Outcome,
    Record,
    Relist,
    Start,
    Subscribe,
    WakeAt,
    Watch,
)
from harness.engine.streams import array_stream
from harness.model.core import Pod
from harness.model.objects import from_wire
from harness.model.status import ApiError
from harness.scheduling.cycle.scheduler import Scheduler
from harness.scheduling.cycle.settings import SchedulerSettings
from harness.scheduling.cycle.volume_binder import TOKEN, WATCHES
from harness.scheduling.strategy import Wait
from schedulers.greedy import greedy
from tests.examples import examples

KINDS = ("Node", "PodGroup", "PodDisruptionBudget", "Pod")
HOST = "kubernetes.io/hostname"


class Reluctant:
    """Places nothing, so that all that the scheduler knows was told to it."""

    def place(self, pods: Any, cluster: Any, rng: Any) -> Any:
        return [Wait(pod, "not now") for pod in pods]


def scheduler(strategy: Any = None, **given: Any) -> Scheduler:
    return Scheduler(strategy or Reluctant(), Random(1), array_stream(1, "s"), SchedulerSettings(**given))


def node(name: str, cpu: int = 4, zone: str = "a", version: int = 1) -> Any:
    amounts = {"cpu": str(cpu), "memory": "8Gi", "pods": "20"}
    labels = {HOST: name, "zone": zone}
    meta = {"name": name, "labels": labels, "uid": name, "resourceVersion": str(version)}
    return from_wire({"kind": "Node", "metadata": meta, "status": {"capacity": amounts, "allocatable": amounts}})


def pod(
    name: str, on: str = "", cpu: int = 1, app: str = "x", nominated: str = "", gated: bool = False, group: str = "",
    **spec: Any,
) -> Pod:  # fmt: skip
    labels = {"app": app, **({"scheduling.x-k8s.io/pod-group": group} if group else {})}
    body: dict[str, Any] = {
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": str(cpu)}}}],
        "schedulerName": "default-scheduler",
        **({"nodeName": on} if on else {}),
        **({"schedulingGates": [{"name": "g"}]} if gated else {}),
        **spec,
    }
    said = {"nominatedNodeName": nominated} if nominated else {}
    made: Pod = from_wire(
        {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels},
            "spec": body,
            "status": said,
        }
    )
    return made


def group(name: str, members: int) -> Any:
    meta = {"name": name, "namespace": "default", "uid": name}
    return from_wire({"kind": "PodGroup", "metadata": meta, "spec": {"minMember": members}})


def budget(name: str, allowed: int, app: str = "x") -> Any:
    meta = {"name": name, "namespace": "default", "uid": name}
    spec = {"selector": {"matchLabels": {"app": app}}}
    return from_wire(
        {"kind": "PodDisruptionBudget", "metadata": meta, "spec": spec, "status": {"disruptionsAllowed": allowed}}
    )


def known(of: Scheduler) -> dict[str, Any]:
    snapshot, context = of.snapshot, of._context
    table = snapshot.node_table
    names = {place: name for name, place in table.index.items()}
    placed = {key: names[place] for key, place in snapshot.placements.node_of.items()}
    nominated = {key: names[at] for at, pods in snapshot.nominations.by_node.items() for key in pods}
    return {
        "nodes": {name: tuple(map(int, snapshot.free[:, place])) for name, place in table.index.items()},
        "zones": {name: dict(table.labels[place]) for name, place in table.index.items()},
        "placed": placed,
        "pending": sorted(context.pending),
        "queued": {key: (tuple(queued.view.requests), queued.view.group) for key in list(of.queue.keys())
                   if (queued := of.queue.get(key)) is not None},
        "nominated": nominated,
        "gated": sorted(context.gated),
        "budgets": {name: item.status.disruptions_allowed
                    for held in context.preemptor.preemption.budgets._by_space.values() for name, item in held.items()},
        "members": {name: context.pod_groups.min_member(f"default/{name}") for name in ("g", "h")},
    }  # fmt: skip


def told(of: Scheduler, objects: dict[str, dict[str, Any]], now: int = 0) -> Scheduler:
    """As a watch begins: a list of each kind."""
    of.step(now, [Start()])
    of.step(now, [Watch(ADDED, obj) for kind in KINDS for obj in objects.get(kind, {}).values()])
    return of


# what happens to a cluster: (what, number, size)
HAPPENING = st.tuples(
    st.sampled_from(["node", "node", "gone", "pod", "pod", "bound", "bound", "deleted", "ended", "nominated", "gated",
                     "relabelled", "group", "ungroup", "budget", "member"]),
    st.integers(0, 4),
    st.integers(1, 3),
)  # fmt: skip


def happen(objects: dict[str, dict[str, Any]], what: str, number: int, size: int) -> tuple[str, Any, Any] | None:
    """(change, obj, old) of one event; None where nothing happens."""
    pods, nodes = objects["Pod"], objects["Node"]
    key, host, on = f"p{number}", f"n{number}", f"n{size}"
    old = pods.get(key)

    def put(kind: str, name: str, new: Any) -> tuple[str, Any, Any]:
        before = objects[kind].get(name)
        objects[kind][name] = new
        return (ADDED if before is None else MODIFIED), new, before

    def drop(kind: str, name: str) -> tuple[str, Any, Any] | None:
        gone = objects[kind].pop(name, None)
        return None if gone is None else (DELETED, gone, gone)

    match what:
        case "node":
            return put("Node", host, node(host, cpu=2 + size, zone="ab"[size % 2]))
        case "gone":
            return drop("Node", host)
        case "deleted":
            return drop("Pod", key)
        case "pod" if old is None:
            return put("Pod", key, pod(key, cpu=size))
        case "gated" if old is None:
            return put("Pod", key, pod(key, cpu=size, gated=True))
        case "member" if old is None:
            return put("Pod", key, pod(key, group="gh"[size % 2]))
        case "bound" if on in nodes and (old is None or not (old.spec.node_name or old.spec.scheduling_gates)):
            return put("Pod", key, pod(key, on=on, cpu=1) if old is None else
                       replace(old, spec=replace(old.spec, node_name=on)))  # fmt: skip
        case "nominated" if on in nodes and old is not None and not (old.spec.node_name or old.spec.scheduling_gates):
            return put("Pod", key, replace(old, status=replace(old.status, nominated_node_name=on)))
        case "ended" if old is not None and old.spec.node_name:
            return put("Pod", key, replace(old, status=replace(old.status, phase="Succeeded")))
        case "relabelled" if old is not None:
            meta = replace(old.metadata, labels={**old.metadata.labels, "app": f"app{size}"})
            return put("Pod", key, replace(old, metadata=meta))
        case "group":
            return put("PodGroup", "g", group("g", 1 + size))
        case "ungroup":
            return drop("PodGroup", "g")
        case "budget":
            return put("PodDisruptionBudget", key, budget(key, size))
    return None


def played(story: list[tuple[str, int, int]], lost: int, way: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the scheduler knows, what a new one knows). The last `lost` events do not reach it."""
    objects: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    of = told(scheduler(preemption=True), objects)
    for at, step in enumerate(story):
        event = happen(objects, *step)
        if event is not None and at < len(story) - lost:
            change, obj, old = event
            of.step(at, [Watch(change, obj, old=old) if change == MODIFIED else Watch(change, obj)])
    now = len(story)
    if way == "relist":
        of.step(now, [Relist(kind, tuple(objects[kind].values())) for kind in KINDS])
    else:
        told(of, objects, now)
    new = told(scheduler(preemption=True), objects, now)
    for each in (of, new):
        for minute in (6, 12):  # whoever waits was tried since
            each.step(minute * MINUTE, [])
    return known(of), known(new)


@settings(deadline=None, max_examples=examples(150))
@given(st.lists(HAPPENING, max_size=25), st.integers(0, 12), st.sampled_from(["relist", "start"]))
@example(
    [("node", 1, 3), ("node", 2, 3), ("bound", 0, 1), ("pod", 1, 1), ("gone", 2, 1), ("deleted", 0, 1)], 2, "relist"
)
@example([("node", 1, 3), ("pod", 0, 1), ("nominated", 0, 1), ("deleted", 0, 1)], 1, "relist")
@example([("member", 0, 1), ("deleted", 0, 1), ("member", 0, 2)], 2, "relist")
@example([("node", 1, 1), ("member", 0, 1), ("nominated", 0, 1)], 0, "relist")
def test_what_is_known_is_what_a_new_scheduler_knows(story: list[tuple[str, int, int]], lost: int, way: str) -> None:
    mine, new = played(story, lost, way)
    assert mine == new


def test_a_binding_that_failed_before_the_restart_is_none_of_the_new_process() -> None:
    objects: dict[str, dict[str, Any]] = {"Node": {"n": node("n")}, "Pod": {"p": pod("p")}}
    of = told(scheduler(greedy()), objects)
    assert of.tally.decisions == 1
    told(of, objects, SECOND)
    assert of.tally.decisions == 2, "nobody bound it: it is decided about anew"


# -- what changes about pods that are placed, or wait ------------------------------------------------------------------


def bound(of: Scheduler, now: int, *events: Any) -> dict[str, str]:
    """Pods that are bound within a minute after the events, and to which node."""
    found: dict[str, str] = {}
    effects = list(of.step(now, list(events)))
    for second in range(1, 61):
        effects += of.step(now + second * SECOND, [])
    for effect in effects:
        if isinstance(effect, BindPod):
            found[effect.name] = effect.node
    return found


def apart(app: str) -> dict[str, Any]:
    term = {"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": app}}}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def test_labels_of_a_placed_pod_that_change_let_others_beside_it() -> None:
    of = scheduler(greedy())
    there = pod("there", on="n", app="loud")
    waits = pod("waits", app="shy", **apart("loud"))
    assert bound(of, 0, Watch(ADDED, node("n")), Watch(ADDED, there), Watch(ADDED, waits)) == {}
    quiet = replace(there, metadata=replace(there.metadata, labels={"app": "quiet"}))
    assert bound(of, 100 * SECOND, Watch(MODIFIED, quiet, old=there)) == {"waits": "n"}


def test_labels_of_a_placed_pod_that_change_keep_others_away() -> None:
    of = scheduler(greedy())
    there = pod("there", on="n", app="quiet")
    assert bound(of, 0, Watch(ADDED, node("n")), Watch(ADDED, there)) == {}
    loud = replace(there, metadata=replace(there.metadata, labels={"app": "loud"}))
    waits = pod("waits", app="shy", **apart("loud"))
    assert bound(of, SECOND, Watch(MODIFIED, loud, old=there), Watch(ADDED, waits)) == {}


def test_a_node_that_an_earlier_process_kept_for_a_pod_is_kept() -> None:
    """status.nominatedNodeName is all that is left of it."""
    of = scheduler(greedy(), preemption=True)
    kept = pod("kept", cpu=3, nominated="n", priority=100)
    full = pod("full", on="n", cpu=2)
    small = pod("small", cpu=2)
    got = bound(of, 0, Watch(ADDED, node("n")), Watch(ADDED, full), Watch(ADDED, kept), Watch(ADDED, small))
    assert got == {}
    assert bound(of, 100 * SECOND, Watch(DELETED, full)) == {"kept": "n"}


def test_a_nomination_that_somebody_takes_back_lets_others_there() -> None:
    of = scheduler(greedy(), preemption=True)
    kept = pod("kept", cpu=9, nominated="n", priority=100)
    small = pod("small", cpu=2)
    assert bound(of, 0, Watch(ADDED, node("n")), Watch(ADDED, kept), Watch(ADDED, small)) == {}
    free = replace(kept, status=replace(kept.status, nominated_node_name=""))
    assert bound(of, 100 * SECOND, Watch(MODIFIED, free, old=kept)) == {}, "as in Kubernetes, it wakes nobody by itself"
    assert bound(of, 400 * SECOND) == {"small": "n"}, "pods that nothing has helped for five minutes are tried again"


def test_a_group_that_asks_for_fewer_members_goes() -> None:
    of = scheduler(greedy())
    before = group("g", 3)
    members = [Watch(ADDED, pod(name, group="g")) for name in ("a", "b")]
    assert bound(of, 0, Watch(ADDED, node("n")), Watch(ADDED, before), *members) == {}
    assert bound(of, 100 * SECOND, Watch(MODIFIED, group("g", 2), old=before)) == {"a": "n", "b": "n"}


def test_a_pod_that_changes_while_it_waits_is_looked_at_as_it_is_now() -> None:
    of = scheduler(greedy())
    large = pod("p", cpu=9)
    assert bound(of, 0, Watch(ADDED, node("n")), Watch(ADDED, large)) == {}
    small = pod("p", cpu=2)
    assert bound(of, 100 * SECOND, Watch(MODIFIED, small, old=large)) == {"p": "n"}


def test_a_pod_that_changes_its_group_is_of_the_new_one() -> None:
    """It stayed a member of the old one in the queue's books, and the scheduler raised KeyError."""
    of = scheduler(greedy())
    mine, mate = pod("a", group="g"), pod("b", group="h")
    groups = [Watch(ADDED, group(name, 2)) for name in "gh"]
    assert bound(of, 0, Watch(ADDED, node("n")), *groups, Watch(ADDED, mine), Watch(ADDED, mate)) == {}
    moved = replace(mine, metadata=replace(mine.metadata, labels=mate.metadata.labels))
    assert bound(of, 100 * SECOND, Watch(MODIFIED, moved, old=mine)) == {"a": "n", "b": "n"}
    assert of.queue.waiting_in("default/g") == 0


def test_a_pod_that_leaves_its_group_goes_alone() -> None:
    of = scheduler(greedy())
    mine = pod("a", group="g")
    assert bound(of, 0, Watch(ADDED, node("n")), Watch(ADDED, group("g", 2)), Watch(ADDED, mine)) == {}
    alone = replace(mine, metadata=replace(mine.metadata, labels={}))
    assert bound(of, 100 * SECOND, Watch(MODIFIED, alone, old=mine)) == {"a": "n"}


def test_when_the_node_that_is_kept_goes_its_pod_is_tried_elsewhere_at_once() -> None:
    of = scheduler(greedy(), preemption=True)
    full = pod("full", on="n", cpu=4)
    kept = pod("kept", cpu=4, nominated="n", priority=100)
    assert bound(of, 0, Watch(ADDED, node("n")), Watch(ADDED, full), Watch(ADDED, kept)) == {}
    other = node("m", cpu=4)
    assert bound(of, 100 * SECOND, Watch(DELETED, node("n")), Watch(ADDED, other)) == {"kept": "m"}


def test_a_refused_binding_gives_the_room_back_and_backs_off() -> None:
    of = scheduler(greedy())
    effects = of.step(5 * SECOND, [Watch(ADDED, node("n")), Watch(ADDED, pod("p", cpu=3))])
    while not any(isinstance(effect, BindPod) for effect in effects):
        effects = of.step(6 * SECOND, [])
    (sent,) = [effect for effect in effects if isinstance(effect, BindPod)]
    effects = of.step(8 * SECOND, [Outcome(sent, None, ApiError(500, "InternalError", "no"))])
    assert of.snapshot.where("default/p") is None
    assert not any(isinstance(effect, BindPod) for effect in effects)
    assert bound(of, 8 * SECOND) == {"p": "n"}
    assert 'status="Error"' in of.prometheus()
    assert of.metrics.point_s["Bind", "Error"].total == 3.0, "since it was decided"


@pytest.mark.parametrize(("attempts", "label"), [(1, "1"), (15, "15"), (16, "16+"), (40, "16+")])
def test_attempts_are_labelled_as_kube_scheduler_labels_them(attempts: int, label: str) -> None:
    """Source: pkg/scheduler/metrics getAttemptsLabel."""
    from harness.scheduling.cycle.metrics import SchedulerMetrics

    of = scheduler()
    of.metrics.scheduled(3 * SECOND, attempts)
    text = of.prometheus()
    assert isinstance(of.metrics, SchedulerMetrics)
    name = "scheduler_pod_scheduling_sli_duration_seconds"
    assert f'{name}_sum{{attempts="{label}"}} 3' in text
    assert f'{name}_count{{attempts="{label}"}} 1' in text


def test_one_timer_is_set_at_a_time() -> None:
    """Each step that set another for the same instant would be woken by all of them, and set as many again."""
    of = scheduler(greedy())
    effects = list(of.step(0, [Watch(ADDED, node("n")), Watch(ADDED, pod("large", cpu=40))]))
    effects += [effect for second in range(1, 4) for effect in of.step(second * SECOND, [])]
    timers = [effect.at for effect in effects if isinstance(effect, WakeAt)]
    assert timers
    assert len(timers) == len(set(timers))
    due = max(timers)
    assert not any(isinstance(effect, WakeAt) for _ in range(3) for effect in of.step(due - SECOND, []))


def test_gated_pods_that_went_while_the_watch_was_cut_are_forgotten_and_the_others_stay() -> None:
    gated = {name: pod(name, gated=True) for name in ("a", "b")}
    of = told(scheduler(), {"Node": {"n": node("n")}, "Pod": gated})
    of.step(SECOND, [Relist("Pod", (gated["b"],))])
    assert known(of)["gated"] == ["default/b"]


def test_a_node_that_goes_is_forgotten_and_one_that_was_never_known_goes_unnoticed() -> None:
    of = told(scheduler(), {"Node": {"n": node("n"), "m": node("m")}})
    of.step(SECOND, [Watch(DELETED, node("n")), Watch(DELETED, node("never"))])
    assert set(known(of)["nodes"]) == {"m"}


def test_so_many_tracebacks_are_kept() -> None:
    of = scheduler()
    for number in range(30):
        of._context.record_violation(0, "error", "default/p", f"reason {number}", "Traceback ..")
    assert len(of.tally.violations) == 30
    assert len(of.tally.tracebacks) == 20


def test_a_new_process_judges_the_nodes_that_it_lists() -> None:
    """And does not take what the old one said of as many others for its own."""
    of = scheduler(greedy())

    def told_why(now: int, there: Any) -> list[str]:
        effects = [*of.step(now, [Start()]), *of.step(now, [Watch(ADDED, there), Watch(ADDED, pod("p", cpu=40))])]
        effects += [effect for second in range(1, 4) for effect in of.step(now + second * SECOND, [])]
        return [effect.message for effect in effects if isinstance(effect, Record)]

    assert told_why(0, node("n")) == ["0/1 nodes are available: 1 Insufficient cpu."]
    cordoned = replace(node("m"), spec=replace(node("m").spec, unschedulable=True))
    assert told_why(100 * SECOND, cordoned) == ["0/1 nodes are available: 1 node(s) were unschedulable."]


def test_a_refused_subscription_is_handled() -> None:
    """Else it would count as an outcome that nobody looked at; a write that succeeded is no failure."""
    of = told(scheduler(), {"Node": {"n": node("n")}})
    asked = Subscribe(WATCHES, token=(TOKEN, of._context.volumes.process))
    of.step(SECOND, [Outcome(asked, None, None)])
    assert of.handled_failures == 0
    of.step(2 * SECOND, [Outcome(asked, None, ApiError(503, "ServiceUnavailable", "connection refused"))])
    assert of.handled_failures == 1
