"""Recovery latency: from a fault to detected, evicted, recreated, bound, running and serving again; by fault.

Victims are the pods on the disturbed nodes at the instant of the fault. A victim's replacement is the next pod that
its owner (the same controller) gets after the victim was told to go. What comes back by itself (its node thaws in time)
is told as returned; what ended by itself meanwhile (a task that was done) as completed.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from harness.measure.journal import node_ready
from harness.measure.pods import NEVER, PodLives, PodTimes, seconds
from harness.measure.traffic import Traffic

PHASES = ("detected", "evicted", "recreated", "bound", "running", "serving")


class Fault(msgspec.Struct):
    at_ns: int
    kind: str
    targets: list[str]
    victims: list[PodTimes]
    detected_ns: int = NEVER
    back_ns: int = NEVER  # the last target ready again


class Recovery:
    def __init__(self, lives: PodLives, traffic: Traffic) -> None:
        self._lives = lives
        self._traffic = traffic
        self.faults: list[Fault] = []
        self._ready: dict[str, str] = {}
        self._serving_since: dict[str, list[int]] = {}  # uid: instants at which it became a ready endpoint
        self._endpoints: dict[str, frozenset[str]] = {}
        self._unready_at: dict[str, list[int]] = {}
        self._ready_at: dict[str, list[int]] = {}

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Node":
            self._node(at_ns, obj)
        elif kind == "EndpointSlice":
            self._slice(at_ns, change, obj)
        elif kind == "Pod" and old is not None:
            self._pod(at_ns, obj, old)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic == "fault" and not data[2]:  # it hit nothing: a row that says so
            self.faults.append(Fault(at_ns, data[1], [], []))
        if topic != "disturbed":
            return
        target, kind = data[0], data[1]
        last = self.faults[-1] if self.faults else None
        if last is None or last.at_ns != at_ns or last.kind != kind:
            last = Fault(at_ns, kind, [], [])
            self.faults.append(last)
        last.targets.append(target)
        last.victims.extend(
            life
            for life in self._lives.alive.values()
            if life.node == target and life.running_ns != NEVER and life.ended_ns == NEVER
        )

    def _node(self, at_ns: int, node: Any) -> None:
        name, ready = node.metadata.name, node_ready(node)
        if self._ready.get(name) == ready:
            return
        self._ready[name] = ready
        for fault in reversed(self.faults):
            if name in fault.targets:
                if ready != "True" and fault.detected_ns == NEVER:
                    fault.detected_ns = at_ns
                elif ready == "True" and fault.detected_ns != NEVER:
                    fault.back_ns = at_ns
                break

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

    def _pod(self, at_ns: int, pod: Any, old: Any) -> None:
        before, after = old.status, pod.status
        if before.conditions is after.conditions:
            return
        was = any(c.type == "Ready" and c.status == "True" for c in before.conditions)
        now = any(c.type == "Ready" and c.status == "True" for c in after.conditions)
        if was and not now:
            self._unready_at.setdefault(pod.metadata.uid, []).append(at_ns)
        elif now and not was:
            self._ready_at.setdefault(pod.metadata.uid, []).append(at_ns)

    # -- what it says --------------------------------------------------------------------------------------------------

    def metrics(self, until_ns: int) -> list[dict[str, Any]]:
        """One entry a fault; seconds since the fault, over its victims."""
        replacements = self._replacements()
        return [self._told(fault, replacements, until_ns) for fault in self.faults]

    def idle(self) -> list[str]:
        """The faults that hit nothing, in words."""
        return [f"{fault.kind} at {fault.at_ns / 1e9:g} s" for fault in self.faults if not fault.targets]

    def _replacements(self) -> dict[str, PodTimes]:
        """By the victim's uid. Each pod replaces one victim only; faults in order of time, victims by creation."""
        by_owner: dict[str, list[PodTimes]] = {}
        for life in self._lives.all.values():
            if life.owner:
                by_owner.setdefault(life.owner, []).append(life)
        out: dict[str, PodTimes] = {}
        taken: set[str] = set()
        for fault in self.faults:
            for victim in fault.victims:
                if victim.phase == "Succeeded" or self._returned_ns(fault, victim) is not None:
                    continue
                if victim.deleted_ns == NEVER and victim.gone_ns == NEVER and victim.phase != "Failed":
                    continue  # it is still there, and not back
                left_ns = victim.deleted_ns if victim.deleted_ns != NEVER else max(victim.ended_ns, fault.at_ns)
                for life in by_owner.get(victim.owner, []):
                    if life.created_ns >= left_ns and life.uid not in taken:
                        out[victim.uid] = life
                        taken.add(life.uid)
                        break
        return out

    def _returned_ns(self, fault: Fault, victim: PodTimes) -> int | None:
        """When it was ready again, if that was before anybody told it to go."""
        back = next((t for t in self._ready_at.get(victim.uid, []) if t > fault.at_ns), None)
        if back is None or (victim.deleted_ns != NEVER and victim.deleted_ns < back):
            return None
        return back

    def _told(self, fault: Fault, replacements: dict[str, PodTimes], until_ns: int) -> dict[str, Any]:
        at = fault.at_ns
        spent: dict[str, list[int]] = {phase: [] for phase in PHASES}
        if fault.detected_ns != NEVER:
            spent["detected"].append(fault.detected_ns - at)
        returned = completed = 0
        for victim in fault.victims:
            if victim.phase == "Succeeded" and victim.uid not in self._unready_at:
                completed += 1
                continue
            back = self._returned_ns(fault, victim)
            unready = [t for t in self._unready_at.get(victim.uid, []) if t > at]
            if fault.kind == "ContainerCrash" and unready:
                spent["detected"].append(unready[0] - at)
            if back is None and victim.deleted_ns != NEVER and victim.deleted_ns > at:
                spent["evicted"].append(victim.deleted_ns - at)
            new = replacements.get(victim.uid)
            if new is None:
                if back is not None:
                    returned += 1
                    spent["running"].append(back - at)
                    serving = [t for t in self._serving_since.get(victim.uid, []) if t > at]
                    if serving:
                        spent["serving"].append(serving[0] - at)
                elif victim.phase == "Succeeded":
                    completed += 1
                continue
            spent["recreated"].append(new.created_ns - at)
            for phase, instant in (("bound", new.bound_ns), ("running", new.running_ns)):
                if instant != NEVER:
                    spent[phase].append(instant - at)
            serving = self._serving_since.get(new.uid, [])
            if serving:
                spent["serving"].append(serving[0] - at)
        following = [other.at_ns for other in self.faults if other.at_ns > at and other.targets]
        end = min(following, default=until_ns)
        lost = {name: round(self._traffic.lost_between(name, at, end), 3) for name in sorted(self._traffic.services)}
        return {
            "atSeconds": at / 1e9,
            "fault": fault.kind,
            "targets": fault.targets,
            "victims": len(fault.victims),
            "replaced": sum(victim.uid in replacements for victim in fault.victims),
            "returned": returned,
            "completed": completed,
            "phases": {
                phase: {"first": min(values) / 1e9, "last": max(values) / 1e9, **seconds(np.array(values))}
                for phase, values in spent.items()
                if values
            },
            "requestsLost": lost,
        }
