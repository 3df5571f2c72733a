"""The waterfall of a fault: from its instant to the first request that the last of its victims, or what replaced it,
was sent.

A node that falls silent: its lease is missed, runs out, is looked at; the node is NotReady, tainted, its pods tolerate
that for a while, are evicted, replaced, and the new ones go their way. Source of the order: pkg/controller/
nodelifecycle and tainteviction (1.34); which pod replaced which is recovery's (harness/measure/recovery.py).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from harness.measure.fault import LASTING_FAULTS, REGISTRY_OUTAGE
from harness.measure.waterfall.away import SOON_NS, Away, away_at, split
from harness.measure.waterfall.hops import Bound, HopChain, Waterfall
from harness.measure.waterfall.pod_way import LATENCIES, from_running, to_served, to_started
from harness.measure.waterfall.story import NEVER, FaultStory, PodStory, Story
from harness.measure.waterfall.timers import (
    EVICTION_RATE,
    GRACE,
    LEASE,
    MONITOR,
    MONITOR_PERIOD,
    PLEG,
    TOLERATION,
    Timers,
)
from harness.measure.waterfall.told_to_go import CONTROLLER, GC_PERIOD, OTHER_FAULT, OWN_TOLERATION, told_to_go
from harness.model.constants import MANAGER

ALIVE = ("returned", "replaced", "waiting", "lost")
"""Outcomes of victims that have a way back to be told; others completed, or nobody wanted them any more."""

FAULT_LASTS = "the fault's own duration"
RESTART_BACKOFF = "initialCrashLoopBackOff"
ORDER = "the order in which nodes are drained"
BUDGET = "PodDisruptionBudget"
STEPS, BACKLOG = "the action's own steps", "what the outage left undone"
NO_OWNER = "no controller"
RETRY = "kubectl drain's retry, 5s"
DRAIN_RETRY_NS = 5 * 10**9
"""Source: kubectl pkg/cmd/drain, EvictErrorRetryDelay."""


def recoveries(
    story: Story,
    timers: Timers,
    victims: Sequence[Sequence[Mapping[str, Any]]],
    metrics: Sequence[Mapping[str, Any]],
    until_ns: int,
) -> list[Waterfall]:
    """One a fault. `victims`: by fault, as `harness.measure.recovery.victims` gives them; `metrics`: recovery's."""
    out = []
    struck = _struck(story.faults, victims)
    for index, fault in enumerate(story.faults):
        hit = victims[index] if index < len(victims) else []
        outage = metrics[index].get("outage") if index < len(metrics) else None
        out.append(_recovery(index + 1, fault, hit, outage, story, timers, until_ns, struck))
    return out


Struck: TypeAlias = dict[str, tuple[FaultStory, Mapping[str, Any]]]
"""By uid of a pod: the last fault that hit it, and what became of it."""


def _struck(faults: Sequence[FaultStory], victims: Sequence[Sequence[Mapping[str, Any]]]) -> Struck:
    return {each["uid"]: (fault, each) for fault, hit in zip(faults, victims, strict=False) for each in hit}


def _recovery(
    number: int,
    fault: FaultStory,
    victims: Sequence[Mapping[str, Any]],
    outage: Mapping[str, Any] | None,
    story: Story,
    timers: Timers,
    until_ns: int,
    struck: Struck,
) -> Waterfall:
    fall = Waterfall(kind="recovery", number=number, title=fault.title, start_ns=fault.at_ns)
    ways = []
    for victim in victims:
        if victim["outcome"] not in ALIVE:
            continue
        chain = HopChain(fault.at_ns)
        _way(chain, fault, victim, story, timers, until_ns)
        pod = _through(chain, fault, victim, struck, story, timers, until_ns)
        chain.hops = split(chain.hops, story.away, timers.constants.status_sync_period_ns)
        ways.append((bool(chain.unended), chain.at_ns, "" if pod is None else pod.key, chain))
    if ways:
        last = max(ways, key=lambda item: item[:3])
        fall.subject, fall.hops, fall.unended = last[2], last[3].hops, last[3].unended
        fall.bounds = last[3].bounds
        fall.ways = [chain.hops for *_, chain in ways]
        rest = sorted((way for way in ways if way is not last), key=lambda item: item[:3], reverse=True)
        fall.others = [(key, at - fault.at_ns) for _, at, key, _ in rest]
        kept = [other for node in fault.targets for other in _undone_ns(fault, node, story, until_ns)[1]]
        fall.notes += dict.fromkeys(
            f"{other.title}, at {other.at_ns / 1e9:.3f} s, kept nodes of it for longer" for other in kept
        )
    elif not victims and fault.steps:
        chain = HopChain(fault.at_ns)
        for at, what, about, detail in fault.steps:
            chain.to(at, f"{what} {about}".strip(), STEPS, note=detail)
        if not any(not step.about for step in fault.steps):
            chain.open(until_ns, "done", STEPS)
        fall.hops, fall.unended = chain.hops, chain.unended
        fall.notes.append("it hit no pod: these are its steps")
    elif not victims:
        _outage(fall, fault, outage, until_ns)
        longer = [
            other
            for other in story.faults
            if other.at_ns <= fault.at_ns
            and any(
                fault in _undone_ns(other, node, story, until_ns)[1] for node in other.targets if node in fault.targets
            )
        ]
        fall.notes += [f"it kept away for longer what {other.title} had hit: see there" for other in longer]
    else:
        fall.notes.append("each pod that it hit had completed, or nobody wanted it any more")
    return fall


# size: a way, and what it goes through.
def _through(
    chain: HopChain,
    fault: FaultStory,
    victim: Mapping[str, Any],
    struck: Struck,
    story: Story,
    timers: Timers,
    until_ns: int,
) -> PodStory | None:
    """A pod that came in the place of another, and was hit itself before it was served: its way goes on with that of
    the fault that hit it. The pod that it ends with."""
    pod = story.pods.get(victim.get("replacedBy") or victim["uid"])
    passed: set[str] = set()
    while chain.unended and pod is not None and victim.get("replacedBy") and pod.uid in struck:
        if pod.uid in passed:  # a store that was set back: a pod that had gone is there again
            break
        passed.add(pod.uid)
        other, victim = struck[pod.uid]
        if other.at_ns < pod.created_ns or victim["outcome"] not in ("replaced", "waiting", "lost"):
            break
        begun = [hop for hop in chain.hops if hop.end_ns <= other.at_ns]
        chain.hops, chain.at_ns, chain.unended = begun, begun[-1].end_ns if begun else fault.at_ns, ""
        note = "what came in its place was hit before it was served"
        chain.to(other.at_ns, f"hit by {other.title}", OTHER_FAULT, note=note)
        chain.bounds = []
        _way(chain, other, victim, story, timers, until_ns)
        pod = story.pods.get(victim.get("replacedBy") or victim["uid"])
    return pod


def _outage(fall: Waterfall, fault: FaultStory, outage: Mapping[str, Any] | None, until_ns: int) -> None:
    """An outage of the control plane hits no pod: what waited for it is decided first, and then all of it."""
    if outage is None:
        registry = fault.kind == REGISTRY_OUTAGE
        fall.notes.append("it hit no pod" + (": those whose images it refused wait in ways of their own" * registry))
        return
    chain = HopChain(fault.at_ns)
    back = min(fault.at_ns + fault.lasts_ns, until_ns)
    chain.to(back, "it lasts", FAULT_LASTS, "until")
    if outage["backlog"]:
        unended = outage.get("atLeast", [])
        first = fault.at_ns + round(outage["withoutDecisions"] * 1e9)
        last = back + round(outage["catchUp"] * 1e9)
        if "withoutDecisions" in unended:
            chain.open(until_ns, "deciding again", BACKLOG)
        else:
            chain.to(first, "first decision again", BACKLOG)
            if "catchUp" in unended:
                chain.open(until_ns, "caught up", BACKLOG)
            else:
                chain.to(last, "caught up with the backlog", BACKLOG)
    else:
        fall.notes.append("at its end no pod was without a node, and no replica was missing")
    fall.hops, fall.unended, fall.ways = chain.hops, chain.unended, [chain.hops]


def _way(
    chain: HopChain, fault: FaultStory, victim: Mapping[str, Any], story: Story, timers: Timers, until_ns: int
) -> None:
    pod = story.pods[victim["uid"]]
    failed = pod.failed_ns(fault.at_ns)
    restarts = fault.kind == "ContainerCrash" and failed == NEVER
    if restarts:
        _restarted(chain, pod, story, timers, until_ns)
        if not chain.unended or victim["outcome"] != "replaced" or pod.going_ns == NEVER:
            return
        begun = chain.hops[:-1]  # it was told to go before it was ready again
        chain.hops, chain.at_ns, chain.unended = begun, begun[-1].end_ns if begun else fault.at_ns, ""
    undone = _undone_ns(fault, pod.node, story, until_ns)[0]
    if victim["outcome"] == "returned":
        _returned(chain, pod, undone, story, timers, until_ns)
        return
    seen = story.not_ready_ns(pod.node, fault.at_ns)
    if fault.steps:
        _acted(chain, fault, pod, until_ns)
    elif failed != NEVER and undone <= failed:
        _failed(chain, fault, pod, (undone, failed), story, timers, until_ns)
    elif pod.going_ns != NEVER and (restarts or seen == NEVER or pod.going_ns < seen):
        told_to_go(chain, fault, pod, story)
    else:
        _not_ready(chain, pod.node, min(undone, until_ns + 1), story, timers, until_ns)
        if chain.unended:
            return
        _evicted(chain, fault, pod, story, timers, until_ns)
    if chain.unended:
        return
    if undone <= until_ns and chain.hops and failed == NEVER:
        why = "its node would be back before its pods are evicted"
        chain.bounds.append(Bound(undone, why, hop=chain.hops[-1].name))
    if victim["outcome"] == "lost":
        chain.open(until_ns, "replaced", NO_OWNER, "it has no owner that makes another")
        return
    new = story.pods.get(victim.get("replacedBy") or "")
    if new is None:
        chain.open(until_ns, "replaced", CONTROLLER)
        return
    # Soon: a matter of messages; else its controller waited, as the Job controller backs off.
    chain.to(new.created_ns, "replaced", LATENCIES if new.created_ns - chain.at_ns <= SOON_NS else CONTROLLER)
    to_served(chain, new, story, timers, until_ns)


def _undone_ns(fault: FaultStory, node: str, story: Story, until_ns: int) -> tuple[int, list[FaultStory]]:
    """When a node that a fault disturbed is let go, and the faults that came meanwhile and kept it for longer."""
    spans = story.held(node)
    spans = spans[bisect_left(spans, fault.at_ns, key=lambda span: span.fault.at_ns) :]
    alone = ends = until_ns + 1 if fault.lasts_ns < 0 else fault.at_ns + fault.lasts_ns
    undone, longer = next((span.end_ns for span in spans if span.fault is fault), alone), []
    for span in spans:
        if span.fault.at_ns > undone or span.fault.at_ns == undone == ends:
            break
        if undone < span.end_ns:
            undone = span.end_ns
            if undone > alone:
                alone = undone
                longer.append(span.fault)
    return min(undone, until_ns + 1), longer


def _not_ready(chain: HopChain, node: str, undone_ns: int, story: Story, timers: Timers, until_ns: int) -> None:
    """The node falls silent, and that is noticed. Nothing, where it was not before the fault was undone."""
    at = chain.at_ns
    seen = story.not_ready_ns(node, at)
    before = story.nodes.get(node, [])
    if any(state.at_ns <= at for state in before) and story.ready_since(node, at) == NEVER:
        return  # it was not ready when the fault came
    if seen == NEVER or seen > undone_ns:
        if undone_ns > until_ns:
            chain.open(until_ns, "seen to be NotReady", GRACE)
        return
    up = story.ready_since(node, at)
    renewed = max(timers.last_renewal(node, at), up)
    constants = timers.constants
    over = renewed + constants.node_monitor_grace_period_ns
    look = timers.next_tick(MONITOR, over)
    late = away_at(story.away, MANAGER, look)
    if late is not None and seen < late.end_ns:  # it was seen all the same
        late = None
    if 0 <= seen - look <= SOON_NS or late is not None:
        missed = min(renewed + constants.lease_renewal_ns, over)
        chain.to(missed, "lease not renewed", LEASE, "renewal", of=node, since_ns=renewed)
        chain.to(over, "lease runs out", GRACE, "grace", of=node, since_ns=renewed)
        if late is None:
            chain.to(look, "monitor looks", MONITOR_PERIOD, "tick", of=MONITOR)
        else:
            chain.to(late.start_ns, "monitor looks", MONITOR_PERIOD)
            chain.to(late.end_ns, "NotReady written", LATENCIES)
            look = timers.next_tick(MONITOR, late.end_ns - 1)
            if 0 <= seen - look <= SOON_NS:
                chain.to(look, "monitor looks", MONITOR_PERIOD, "tick", of=MONITOR)
            if seen - chain.at_ns > constants.node_monitor_period_ns + SOON_NS:
                # Source: pkg/controller/nodelifecycle, nodeHealthMap is empty when its process starts (1.34).
                chain.to(seen, "silence is counted anew", GRACE)
        chain.to(seen, "NotReady written", LATENCIES)
    else:
        chain.to(seen, "seen to be NotReady", GRACE, note="not at an instant of the run's phases: not told apart")


def _acted(chain: HopChain, fault: FaultStory, pod: PodStory, until_ns: int) -> None:
    """An action comes to its node, asks for it to go until its budget allows that, or takes the node away."""
    turn = next((at for at, what, about, _ in fault.steps if what == "draining" and about == pod.node), NEVER)
    gone = next((at for at, what, about, _ in fault.steps if what == "gone" and about == pod.node), NEVER)
    refused = [at for at, what, about, _ in fault.steps if what == "eviction refused" and about == pod.key]
    if turn != NEVER:
        chain.to(turn, "its node's turn", ORDER)
    if refused:
        chain.to(refused[0], "eviction asked for", LATENCIES)
        chain.to(refused[-1], "its budget allows no eviction", BUDGET, note=f"refused {len(refused)} times")
        if pod.going_ns != NEVER:
            chain.to(min(refused[-1] + DRAIN_RETRY_NS, pod.going_ns), "tried again", RETRY)
    if pod.going_ns == NEVER:
        chain.open(until_ns, "told to go", BUDGET if refused else ORDER)
        return
    if gone != NEVER and pod.going_ns > gone:
        chain.to(gone, "notice", FAULT_LASTS)
        chain.to(pod.going_ns, "collected as a pod of no node", GC_PERIOD, note="or evicted by a taint")
    else:
        chain.to(pod.going_ns, "told to go", LATENCIES)


# size: a way, and what it goes through.
def _evicted(chain: HopChain, fault: FaultStory, pod: PodStory, story: Story, timers: Timers, until_ns: int) -> None:
    """The node is tainted, the pod tolerates that for a while, and is told to go."""
    tainted = story.tainted_ns(pod.node, chain.at_ns)
    if pod.going_ns != NEVER and (tainted == NEVER or pod.going_ns < tainted):
        told_to_go(chain, fault, pod, story)
        return
    if tainted == NEVER:
        chain.open(until_ns, "tainted NoExecute", EVICTION_RATE, "its zone's rate of evictions does not allow it")
        return
    waited = tainted - chain.at_ns > SOON_NS
    chain.to(tainted, "its turn for the taint" if waited else "tainted", EVICTION_RATE if waited else LATENCIES)
    stays = timers.value_ns(TOLERATION) or 0
    if pod.going_ns == NEVER:
        longer = until_ns - chain.at_ns > stays + SOON_NS
        chain.open(until_ns, "evicted", OWN_TOLERATION if longer else TOLERATION)
        return
    away = _anew(chain.at_ns, pod.going_ns, stays, story)
    if away is not None:
        chain.to(min(chain.at_ns + stays, away.start_ns), "taint tolerated", TOLERATION)
        chain.to(away.end_ns, "evicted", LATENCIES)
        chain.to(away.end_ns + stays, "taint tolerated anew", TOLERATION, "wait")
        chain.to(pod.going_ns, "evicted", LATENCIES)
    elif stays <= pod.going_ns - chain.at_ns and (
        pod.going_ns <= chain.at_ns + stays + SOON_NS or away_at(story.away, MANAGER, chain.at_ns + stays) is not None
    ):
        chain.to(chain.at_ns + stays, "taint tolerated", TOLERATION, "wait")
        chain.to(pod.going_ns, "evicted", LATENCIES)
    else:
        chain.to(pod.going_ns, "taint tolerated", OWN_TOLERATION)


def _anew(tainted_ns: int, going_ns: int, stays_ns: int, story: Story) -> Away | None:
    """The outage of the controller manager since whose end the pod tolerates the taint: a new process does not know
    since when it is there. Source: pkg/controller/tainteviction processPodOnNode (1.34), startTime is now."""
    for away in reversed(story.away):
        rested = going_ns - away.end_ns - stays_ns
        if away.process == MANAGER and tainted_ns < away.end_ns and 0 <= rested <= SOON_NS:
            return away
    return None


def _returned(chain: HopChain, pod: PodStory, undone_ns: int, story: Story, timers: Timers, until_ns: int) -> None:
    """The node comes back with the pod on it."""
    noticed = _back(chain, pod, undone_ns, story, timers, until_ns)
    ready = story.ready_ns(pod.node, chain.at_ns) if noticed else NEVER
    if ready != NEVER:
        chain.to(ready, "node ready again", LATENCIES)
    _again(chain, pod, story, timers, until_ns)


# size: a way, and what it goes through.
def _failed(
    chain: HopChain,
    fault: FaultStory,
    pod: PodStory,
    undone_failed: tuple[int, int],
    story: Story,
    timers: Timers,
    until_ns: int,
) -> None:
    """What ran in it is over and is not started again: it is told when its node is back, or its container crashed."""
    undone_ns, failed_ns = undone_failed
    if fault.kind in LASTING_FAULTS:
        _back(chain, pod, undone_ns, story, timers, until_ns)
    chain.to(failed_ns, "seen to have failed", PLEG if timers.value_ns(PLEG) else LATENCIES)


def _back(chain: HopChain, pod: PodStory, undone_ns: int, story: Story, timers: Timers, until_ns: int) -> bool:
    """Its node is let go; whether that it was away had been noticed."""
    _not_ready(chain, pod.node, undone_ns, story, timers, until_ns)
    noticed = bool(chain.hops)
    if not noticed:
        chain.bounds.append(Bound(undone_ns, "it would be noticed before it is undone", before=False, node=pod.node))
    elif undone_ns <= until_ns:
        seen = chain.hops[-1].name
        chain.bounds.append(Bound(undone_ns, "it would be undone before it is noticed", hop=seen))
        why = "its pods would be evicted before it is undone"
        chain.bounds.append(Bound(undone_ns, why, before=False, hop=seen, timer=TOLERATION))
    if undone_ns <= until_ns:
        chain.to(undone_ns, "until it is undone", FAULT_LASTS, "until")
    return noticed


def _restarted(chain: HopChain, pod: PodStory, story: Story, timers: Timers, until_ns: int) -> None:
    """Its container ended and is started again."""
    at = chain.at_ns
    chain.node = pod.node
    seen = next((state.at_ns for state in pod.states if state.at_ns >= at and not state.ready), NEVER)
    if seen == NEVER:
        chain.open(until_ns, "seen to have ended", PLEG if timers.value_ns(PLEG) else LATENCIES)
        return
    chain.to(seen, "seen to have ended", PLEG if timers.value_ns(PLEG) else LATENCIES)
    backed_off = pod.event("BackOff", at, seen + SOON_NS) != NEVER
    if backed_off:
        started = pod.event("Started", seen)
        waited = -1 if started == NEVER else started - chain.at_ns
        if waited > 0:
            chain.to(started, "back-off and start", RESTART_BACKOFF)
    _again(chain, pod, story, timers, until_ns)


def _again(chain: HopChain, pod: PodStory, story: Story, timers: Timers, until_ns: int) -> None:
    """Running, ready and served again, as far as it had ceased to be."""
    since = chain.at_ns
    begun = chain.hops[0].start_ns if chain.hops else since
    unready = any(begun <= state.at_ns and not state.ready for state in pod.states)
    if not unready:
        return
    chain.node = pod.node
    ready = pod.ready_ns(since)
    started = pod.event("Started", since, None if ready == NEVER else ready)
    if started != NEVER:  # its phase was Running all the time
        to_started(chain, pod, since, started)
    from_running(chain, pod, story, timers, since, until_ns)
