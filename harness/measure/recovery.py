"""Recovery latency: from a fault to detected, evicted, recreated, bound, running and serving again; by fault.

Each loss has one cause. A pod counts as hit by the first fault that affects it, until it is back or being deleted. A
later fault is not charged for the same loss, but reports how many pods it kept away for longer than the first alone. An
eviction is recognised by its DisruptionTarget condition (taint manager, pod garbage collection); a pod that its own
controller removes meanwhile is reported as removed, and no replacement is expected. Otherwise the next pod that the
owner creates replaces it, if the owner has fewer than it wants. What never came back counts to the end of the run, as a
lower bound. A fault that hit nothing is reported as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.measure.failed_pulls import FailedPulls
from harness.measure.fault import (
    FOR_EVER,
    LASTING_FAULTS,
    OUTAGES,
    REGISTRY_OUTAGE,
    FaultList,
    Hit,
    MeasuredFault,
    Step,
)
from harness.measure.held_nodes import HeldNodes
from harness.measure.journal import node_ready
from harness.measure.missing_replicas import MissingReplicas
from harness.measure.outage import outage
from harness.measure.owned_pods import OwnedPods
from harness.measure.pods import NEVER, PodLives, PodTimes, seconds
from harness.measure.replacements import Replacements
from harness.measure.traffic import Traffic
from harness.model.daemon_sets import target_of
from harness.model.meta import is_ready

PHASES = ("detected", "evicted", "recreated", "bound", "running", "serving")

NODE_DISRUPTION_REASONS = ("DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet")
"""Reasons of the condition DisruptionTarget that come from the state of a node. Source: core/v1 PodReason*."""


class Recovery:
    kinds = (
        *("Pod", "Node", "EndpointSlice"),
        *("Deployment", "ReplicaSet", "Job", "StatefulSet", "DaemonSet", "ReplicationController"),
    )

    def __init__(self, lives: PodLives, traffic: Traffic) -> None:
        self._lives = lives
        self._traffic = traffic
        self._owned = OwnedPods()
        self._missing = MissingReplicas(self._owned)
        self._replacements = Replacements(self._owned)
        self._faults = FaultList(MeasuredFault)
        self.faults = self._faults.listed
        self._ready: dict[str, str] = {}
        self._held = HeldNodes()
        self._failed_pulls = FailedPulls()
        self._trouble: dict[str, list[MeasuredFault]] = {}  # by node, in order
        self._open: dict[str, Hit] = {}  # by uid: neither back nor gone
        self._last_hit: dict[str, Hit] = {}
        self._serving_since: dict[str, list[int]] = {}  # uid: instants at which it became a ready endpoint
        self._endpoints: dict[str, frozenset[str]] = {}
        self._evicting: dict[str, MeasuredFault] = {}  # pods that an action has asked to go, by uid

    # -- the fold ------------------------------------------------------------------------------------------------------

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        self._missing.write(at_ns, kind, change, obj, old)
        if kind == "Pod":
            self._failed_pulls.write(at_ns, obj)
            counted = self._owned.write(change, obj)
            self._missing.pods_changed(at_ns, counted.owners)
            self._pod(at_ns, change, obj, old, counted.active)
        elif kind == "Node":
            self._node(at_ns, obj)
            self._replacements.write_node(change, obj.metadata.name)
        elif kind == "EndpointSlice":
            self._slice(at_ns, change, obj)
        elif kind in ("ReplicaSet", "Job", "StatefulSet", "DaemonSet", "ReplicationController"):
            self._replacements.write_owner(change, obj)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic == "fault":
            _, kind, injected, cause = data
            self._faults.plan(at_ns, kind, cause).injected = injected
        elif topic == "disturbed":
            self._disturbed(at_ns, *data)
        elif topic == "podDeleted":
            self._deleted(*data)
        elif topic == "faultUndone":
            for cause in data:
                undone = self._faults.caused_by(cause)
                if undone is not None and undone.until_ns > at_ns:
                    undone.lasts_ns = at_ns - undone.at_ns
                    self._held.release(undone.targets, at_ns)
        elif topic == "faultShort":
            if (fault := self._faults.caused_by(data[0])) is not None:
                fault.short = data[1:]
        elif topic == "faultRefused":
            if (fault := self._faults.caused_by(data[0])) is not None:
                fault.refused.append(data[1])
        elif topic == "evictionAsked":
            self._asked(*data)
        elif topic == "actionStep":
            self._step(at_ns, *data)

    def _disturbed(self, at_ns: int, target: str, kind: str, lasts_ns: int, pod: str, cause: int) -> None:
        fault = self._faults.disturb(at_ns, target, kind, cause)
        fault.lasts_ns = FOR_EVER if lasts_ns < 0 else lasts_ns
        if kind == REGISTRY_OUTAGE:
            self._failed_pulls.begin(fault)
        if kind in (*OUTAGES, REGISTRY_OUTAGE):
            return
        if self._held.is_off(target, at_ns):
            fault.spared.append(target)
        else:
            for life in list(self._lives.on(target)):
                if life.ended_ns == NEVER and (not pod or life.key == pod):
                    self._hit(fault, life)
        self._held.hold(target, kind, at_ns, fault.until_ns)
        if kind != "ContainerCrash":
            self._trouble.setdefault(target, []).append(fault)
            if self._ready.get(target) != "True":
                fault.noticed.append(target)

    def _deleted(self, namespace: str, name: str, cause: int) -> None:
        """A fault deletes a pod."""
        fault, life = self._faults.caused_by(cause), self._lives.alive.get(f"{namespace}/{name}")
        if fault is not None and life is not None and life.ended_ns == NEVER:
            fault.targets.append(life.key)
            self._hit(fault, life)

    def _asked(self, namespace: str, name: str, cause: int) -> None:
        """An action requests an eviction, which may be refused: the pod is hit when it is deleted."""
        fault, life = self._faults.caused_by(cause), self._lives.alive.get(f"{namespace}/{name}")
        if fault is not None and life is not None and life.ended_ns == NEVER:
            self._evicting.setdefault(life.uid, fault)

    def _step(self, at_ns: int, cause: int, what: str, about: str, detail: str) -> None:
        fault = self._faults.step(cause, Step(at_ns, what, about, detail))
        if not about:
            fault.ended, fault.why = what, detail

    def _hit(self, fault: MeasuredFault, life: PodTimes, *, going: bool = False) -> None:
        if life.uid in self._open or (life.deleted_ns != NEVER and not going):
            open_hit = self._open.get(life.uid)
            if open_hit is None or open_hit.fault is fault:
                return
            if open_hit.fault.kind not in ("Freeze", "Partition") or self._held.is_held(life.node, fault.at_ns):
                fault.before += 1
                fault.prolonged += fault.until_ns > open_hit.fault.until_ns and open_hit.fault.kind in LASTING_FAULTS
                return  # the loss has its cause
            open_hit.back_ns = open_hit.fault.until_ns  # that was over, and the news of it is still on the way
        lost = self._traffic.lost_on(life.uid, fault.at_ns)
        if (last := self._last_hit.get(life.uid)) is not None:
            last.lost_after = lost
        served = any(life.uid in uids for uids in self._endpoints.values())
        hit = Hit(life, fault, served, lost)
        fault.hits.append(hit)
        self._open[life.uid] = self._last_hit[life.uid] = hit

    def _node(self, at_ns: int, node: Any) -> None:
        name, ready = node.metadata.name, node_ready(node)
        if self._ready.get(name) == ready:
            return
        self._ready[name] = ready
        open_faults = self._trouble.get(name)
        if not open_faults:
            return
        if ready == "True":
            self._trouble[name] = [fault for fault in open_faults if fault.until_ns > at_ns]
        elif not any(name in fault.detected for fault in open_faults):
            open_faults[0].detected[name] = at_ns
            for fault in open_faults[1:]:
                fault.noticed.append(name)

    def _slice(self, at_ns: int, change: str, obj: Any) -> None:
        key = obj.metadata.key
        now = (
            frozenset()
            if change == "DELETED"
            else frozenset(e.target_ref.uid for e in obj.endpoints if e.conditions.ready and e.target_ref is not None)
        )
        for uid in sorted(now - self._endpoints.get(key, frozenset())):
            self._serving_since.setdefault(uid, []).append(at_ns)
        self._endpoints[key] = now

    def _pod(self, at_ns: int, change: str, pod: Any, old: Any, active: int) -> None:
        """`active`: 1 where it is active from now on, -1 where it no longer is."""
        uid = pod.metadata.uid
        life = self._lives.all[uid]
        if active == 1:
            self._replacements.pod_joined(life, target_of(pod))
        if active == 1 or change == "ADDED":
            return
        hit = self._open.get(uid)
        asked = None
        if active == -1 and (change == "DELETED" or pod.metadata.deletion_timestamp is not None):
            asked = self._evicting.pop(uid, None)
        if asked is not None and hit is None:
            self._hit(asked, life, going=True)
            hit = self._open[uid]
            hit.evicted = True
        if hit is not None and old is not None and old.status.conditions is not pod.status.conditions:
            was, now = is_ready(old.status.conditions), is_ready(pod.status.conditions)
            stays = pod.metadata.deletion_timestamp is None
            if was and not now and hit.unready_ns == NEVER:
                hit.unready_ns = at_ns
            elif now and not was and stays and not self._held.is_held(life.node, at_ns):
                hit.back_ns = at_ns
                del self._open[uid]
                hit = None
        if active == -1:
            self._leave(at_ns, life, pod, hit)

    def _leave(self, at_ns: int, life: PodTimes, pod: Any, hit: Hit | None) -> None:
        """It has ended, or is being deleted."""
        vacant = self._replacements.pod_left(life, hit, done=pod.status.phase == "Succeeded")
        if hit is not None:
            self._open.pop(life.uid, None)
            hit.left_ns = at_ns
            hit.needed = vacant or not life.owner
            hit.evicted = hit.evicted or any(
                item.type == "DisruptionTarget" and item.status == "True" and item.reason in NODE_DISRUPTION_REASONS
                for item in pod.status.conditions
            )

    # -- what it says --------------------------------------------------------------------------------------------------

    def metrics(self, until_ns: int) -> list[dict[str, Any]]:
        """One entry per fault; seconds since the fault, over the pods that it hit."""
        for hit in self._open.values():
            # Its node stood still or was cut off, and nobody noticed: then the pod was back when that was over.
            fault = hit.fault
            if fault.kind in ("Freeze", "Partition") and hit.unready_ns == NEVER and fault.until_ns <= until_ns:
                hit.back_ns = fault.until_ns
        lost = self._losses(until_ns)
        return [self._row_of(fault, lost[index], until_ns) for index, fault in enumerate(self.faults)]

    def _row_of(self, fault: MeasuredFault, lost: dict[str, float], until_ns: int) -> dict[str, Any]:
        at = fault.at_ns
        spent: dict[str, list[int]] = {phase: [] for phase in PHASES}
        late: dict[str, list[int]] = {phase: [] for phase in PHASES}
        counts = dict.fromkeys(("replaced", "returned", "completed", "removed", "lost"), 0)
        not_run = 0  # of those that were replaced, by what has never run
        spent["detected"] += [instant - at for instant in fault.detected.values()]
        of_nodes = fault.kind not in (*OUTAGES, REGISTRY_OUTAGE)
        if of_nodes and fault.until_ns > until_ns and not any(step.what == "node deleted" for step in fault.steps):
            known = (*fault.detected, *fault.spared, *fault.noticed)
            silent = [name for name in fault.targets if name not in known]
            late["detected"] += [until_ns - at] * len(silent)
        for hit in fault.hits:
            life = hit.life
            if fault.kind == "ContainerCrash" and hit.unready_ns != NEVER:
                spent["detected"].append(hit.unready_ns - at)
            if hit.evicted:
                spent["evicted"].append(hit.left_ns - at)
            if hit.back_ns != NEVER:
                counts["returned"] += 1
                steps = {"running": hit.back_ns}
            elif life.phase == "Succeeded":
                counts["completed"] += 1
                continue
            elif hit.left_ns != NEVER and not hit.needed:
                counts["removed"] += 1
                continue
            else:
                new, last = hit.new, _replacement(hit, self._last_hit)
                counts["replaced"] += new is not None
                not_run += new is not None and (last is None or last.running_ns == NEVER)
                counts["lost"] += not life.owner and hit.left_ns != NEVER
                steps = {
                    "recreated": NEVER if new is None else new.created_ns,
                    "bound": NEVER if new is None else new.bound_ns,
                    "running": NEVER if last is None else last.running_ns,
                }
            if hit.served:
                steps["serving"] = _serving_again(hit, self._last_hit, self._serving_since)
            for phase, instant in steps.items():
                if instant == NEVER:
                    late[phase].append(until_ns - at)
                else:
                    spent[phase].append(instant - at)
        return {
            "atSeconds": at / 1e9,
            "fault": fault.kind,
            "targets": fault.targets,
            "victims": len(fault.hits),
            "back": sum(counts[how] for how in ("replaced", "returned", "completed", "removed")) - not_run,
            **counts,
            **({"prolonged": fault.prolonged} if fault.prolonged else {}),
            **({"pullsFailed": len(fault.unpulled)} if fault.unpulled else {}),
            **({"hitNothing": nothing} if (nothing := _why_nothing_hit(fault)) else {}),
            "phases": {phase: _phase(spent[phase], late[phase]) for phase in PHASES if spent[phase] or late[phase]},
            **(
                {"outage": outage(fault, self._lives.all.values(), self._missing, until_ns)}
                if fault.kind in OUTAGES and fault.targets
                else {}
            ),
            **({"action": _action(fault, until_ns)} if fault.steps else {}),
            "requestsLost": lost,
        }

    def _losses(self, until_ns: int) -> list[dict[str, float]]:
        """Requests lost, by fault and service: those on the way to pods that it hit, and those that found no endpoint
        at all while pods of the service were hit and not yet replaced in service; the latter count for the first such
        fault."""
        out: list[dict[str, float]] = []
        spans: list[dict[str, tuple[int, int]]] = []
        for fault in self.faults:
            lost: dict[str, float] = dict.fromkeys(sorted(self._traffic.services), 0.0)
            open_for: dict[str, tuple[int, int]] = {}
            for hit in fault.hits:
                after = self._traffic.lost_on(hit.life.uid, until_ns) if hit.lost_after is None else hit.lost_after
                again = _serving_again(hit, self._last_hit, self._serving_since)
                end = until_ns if again == NEVER else again
                if hit.left_ns != NEVER and not hit.needed:  # nobody waits for another
                    end = min(end, hit.left_ns)
                for service, area in after.items():
                    lost[service] += (area - hit.lost_before.get(service, 0)) / 1e12
                    open_for[service] = (fault.at_ns, max(end, open_for.get(service, (0, 0))[1]))
            out.append(lost)
            spans.append(open_for)
        for service in self._traffic.services:
            taken = 0
            for lost, open_for in zip(out, spans, strict=True):
                if service in open_for:
                    begin, end = (
                        max(open_for[service][0], taken, self._traffic.warm_since(service)),
                        open_for[service][1],
                    )
                    if end > begin:
                        lost[service] += self._traffic.unrouted_between(service, begin, end)
                        taken = end
        return [{name: round(value, 3) for name, value in lost.items()} for lost in out]


def _replacement(hit: Hit, hits: Mapping[str, Hit]) -> PodTimes | None:
    """The pod that replaced it. Where that was hit before it ran (or before it served, if the first one had served),
    the pod that replaced that one, and so on. `hits`: by uid, the last of each pod."""
    new, passed = hit.new, {hit.life.uid}
    while new is not None and (again := hits.get(new.uid)) is not None:
        if again.served or (not hit.served and new.running_ns != NEVER):
            break
        if again.back_ns != NEVER or again.left_ns == NEVER or again.new is None:
            break
        if new.uid in passed:  # a store that was set back: a pod that had gone is there again
            break
        passed.add(new.uid)
        new = again.new
    return new


def _serving_again(hit: Hit, hits: Mapping[str, Hit], serving_since: Mapping[str, list[int]]) -> int:
    """When requests were answered again, by it or by its replacement. `serving_since`: by uid, the instants at which it
    became a ready endpoint."""
    life = _replacement(hit, hits) or hit.life
    again = next((at for at in serving_since.get(life.uid, ()) if at > hit.fault.at_ns), NEVER)
    if again == NEVER and hit.back_ns != NEVER:
        return hit.back_ns  # it never ceased to be an endpoint
    return again


def faults_without_effect(recovery: Recovery) -> list[str]:
    """A sentence for each fault that hit nothing."""
    return [
        f"{' '.join([fault.kind, *fault.targets])} at {fault.at_ns / 1e9:g} s hit nothing: {why}"
        for fault in recovery.faults
        if (why := _why_nothing_hit(fault))
    ]


def faults_refused(recovery: Recovery) -> list[str]:
    """A sentence for each fault of which the API server refused a write."""
    return [
        f"{' '.join([fault.kind, *fault.targets])} at {fault.at_ns / 1e9:g} s failed: {'; '.join(fault.refused)}"
        for fault in recovery.faults
        if fault.refused
    ]


def faults_short_of_targets(recovery: Recovery) -> list[str]:
    """A sentence for each fault that found fewer targets than it asks for."""
    return [
        f"{fault.kind} at {fault.at_ns / 1e9:g} s asked for {asked}, hit {found}: no more match"
        for fault in recovery.faults
        if fault.short is not None and (asked := fault.short[0]) and (found := fault.short[1])
    ]


def _why_nothing_hit(fault: MeasuredFault) -> str:
    """Why the fault hit nothing; '' if it hit something."""
    if fault.steps:
        return "" if fault.injected or fault.hits else "there was nothing to do"
    if not fault.injected:
        return "nothing was there to be hit"
    if fault.kind in (*OUTAGES, "SchedulerOutage", "ControllerManagerOutage") and not fault.targets:
        return "no such process runs"
    if fault.kind in ("NodeCrash", "NodeFreeze") and not fault.targets:
        return "no such machine runs"
    if fault.kind == REGISTRY_OUTAGE:
        return "" if fault.unpulled else "no pod asked it for an image that it did not give"
    if fault.kind in OUTAGES or not fault.targets:
        return ""
    if len(fault.spared) == len(fault.targets):
        return "what it was to hit was down already"
    if fault.hits:
        return ""
    if fault.kind == "ContainerCrash":
        return "its pod had been hit before"
    return (
        "its pods had been hit before" if fault.before and not fault.prolonged and fault.kind in LASTING_FAULTS else ""
    )


def _action(fault: MeasuredFault, until_ns: int) -> dict[str, Any]:
    """How far it came: `outcome` done, failed (then `why`), or under way; `seconds` until the last step, at least until
    the end of the run where it is under way; how often an eviction was refused, and by which budget."""
    refused = [step for step in fault.steps if step.what == "eviction refused"]
    return {
        "outcome": fault.ended or "under way",
        **({"why": fault.why} if fault.why else {}),
        "seconds": ((fault.steps[-1].at_ns if fault.ended else until_ns) - fault.at_ns) / 1e9,
        **({} if fault.ended else {"atLeast": ["seconds"]}),
        "evictionsRefused": len(refused),
        **({"refusedBecause": sorted({step.detail for step in refused})} if refused else {}),
        "steps": [
            {"atSeconds": step.at_ns / 1e9, "what": step.what, "about": step.about, "detail": step.detail}
            for step in fault.steps
        ],
    }


def victims(recovery: Recovery) -> list[list[dict[str, Any]]]:
    """For each fault, the pods that it hit: uid, pod, node, outcome, and the uid of the replacement. Call it after
    `Recovery.metrics`."""
    return [
        [
            {
                "uid": hit.life.uid,
                "pod": hit.life.key,
                "node": hit.life.node,
                "outcome": _outcome(hit),
                **({"replacedBy": hit.new.uid} if hit.new is not None else {}),
            }
            for hit in fault.hits
        ]
        for fault in recovery.faults
    ]


def _outcome(hit: Hit) -> str:
    """returned, completed, removed, replaced, lost; or waiting: for a replacement, or to be noticed."""
    if hit.back_ns != NEVER:
        return "returned"
    if hit.life.phase == "Succeeded":
        return "completed"
    if hit.left_ns != NEVER and not hit.needed:
        return "removed"
    if hit.new is not None:
        return "replaced"
    return "lost" if not hit.life.owner and hit.left_ns != NEVER else "waiting"


def _phase(spent: list[int], late: list[int]) -> dict[str, Any]:
    out = seconds(np.array(spent, dtype=np.int64), np.array(late, dtype=np.int64))
    out |= {"first": min(spent or late) / 1e9, "last": max((*spent, *late)) / 1e9}
    if late:
        out["atLeast"] = [*out["atLeast"], "last", *(() if spent else ("first",))]
    return out
