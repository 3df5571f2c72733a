"""The way of one pod in hops: from its creation to the first request that it was sent."""

from __future__ import annotations

import re

from harness.measure.waterfall.away import SOON_NS
from harness.measure.waterfall.hops import HopChain
from harness.measure.waterfall.story import NEVER, PodStory, Story
from harness.measure.waterfall.timers import (
    BATCH,
    CLUSTER_AUTOSCALER,
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    PLEG,
    PROXY_SYNC,
    RELIST,
    SCAN_INTERVAL,
    Timers,
)
from harness.measure.waterfall.volumes import to_volumes, waits

LATENCIES, PULL, START = "spec.latencies", "spec.latencies.imagePull", "spec.latencies.containerStart"
JUST_IN_TIME, BATCH_WINDOW = "just-in-time provisioning", "batch-idle-duration"
REFUSED = "machines of the provider"
PROVISIONING, READINESS, ROOM = "spec.pools provisioning", "readiness of the container", "room on a node"
STRATEGY, QUEUE = "decision of the strategy", "scheduling queue"
"""What decides a hop and is no constant: settings of the scenario and of its workload."""

STARTED = "container started"

NEW, NEW_NS = "unschedulablePodTimeBuffer", 2 * 10**9
"""The cluster autoscaler waits for more as long as all pods are younger. Source: core/static_autoscaler.go (1.32)."""


def to_served(chain: HopChain, pod: PodStory, story: Story, timers: Timers, until_ns: int) -> None:
    """From where the chain stands (the pod is created) to the first request, or as far as it came. A pod that was told
    to go on the way went there."""
    to_bound(chain, pod, story, timers, until_ns)
    if pod.bound_ns != NEVER:
        to_running(chain, pod, timers, pod.bound_ns, until_ns)
        if not chain.unended:
            from_running(chain, pod, story, timers, pod.running_ns(pod.bound_ns), until_ns)


def to_bound(chain: HopChain, pod: PodStory, story: Story, timers: Timers, until_ns: int) -> None:
    failed = pod.event("FailedScheduling", pod.created_ns, None if pod.bound_ns == NEVER else pod.bound_ns)
    if failed == NEVER:
        if pod.bound_ns == NEVER:
            chain.open(_end(pod, until_ns), "bound to a node", QUEUE)
        else:
            away = sum(
                max(0, min(each.end_ns, pod.bound_ns) - max(each.start_ns, chain.at_ns))
                for each in story.away
                if each.stops_named("scheduled")
            )
            late = pod.bound_ns - chain.at_ns - away > SOON_NS
            note = "without an attempt that failed, as far as the record says" if late else ""
            chain.to(pod.bound_ns, "scheduled", QUEUE if late else LATENCIES, note=note)
        return
    chain.to(failed, "first attempt fails", LATENCIES)
    bought = pod.event("TriggeredScaleUp", failed, None if pod.bound_ns == NEVER else pod.bound_ns)
    nominated = pod.event("Nominated", failed, None if pod.bound_ns == NEVER else pod.bound_ns)
    if bought != NEVER:
        _bought(chain, pod, story, timers, bought, until_ns)
    elif nominated != NEVER:
        bought = nominated
        chain.to(nominated, "batch closes", BATCH_WINDOW)
        nominated = _refused(chain, pod, story, "Nominated", nominated)
        _provisioned(chain, pod, story, nominated, until_ns, JUST_IN_TIME)
    if pod.bound_ns == NEVER:
        if not chain.unended:
            waited, reason = _strategy_waits(pod, _end(pod, until_ns))
            told = ": ".join(filter(None, ("nodes had room", reason))) if waited else "no node had room"
            chain.open(_end(pod, until_ns), "bound to a node", STRATEGY if waited else ROOM, told)
        return
    _queued(chain, pod, timers, new_node=bought != NEVER)


def _bought(chain: HopChain, pod: PodStory, story: Story, timers: Timers, at_ns: int, until_ns: int) -> None:
    """The cluster autoscaler orders a node. Whether the pod goes there shows later."""
    decided = timers.last_tick(CLUSTER_AUTOSCALER, at_ns - 1)
    if decided > pod.created_ns + NEW_NS:
        chain.to(pod.created_ns + NEW_NS, "pod is very new", NEW)
    # What it looks at has been said to it some milliseconds before.
    scans = max(1, (decided - timers.last_tick(CLUSTER_AUTOSCALER, chain.at_ns)) // timers.scan_interval_ns)
    if at_ns - decided <= SOON_NS and decided > chain.at_ns:
        chain.to(decided, "pool decision", SCAN_INTERVAL, "tick", of=CLUSTER_AUTOSCALER, count=scans)
        chain.to(at_ns, "node ordered", LATENCIES)
    else:
        chain.to(at_ns, "pool decision", SCAN_INTERVAL, note="not at a scan of the run's phase: a lower bound of scans")
    at_ns = _refused(chain, pod, story, "TriggeredScaleUp", at_ns)
    _provisioned(chain, pod, story, at_ns, until_ns, PROVISIONING)


def _refused(chain: HopChain, pod: PodStory, story: Story, reason: str, at_ns: int) -> int:
    """When the machine was ordered that the pod went to, or the last one that was ordered for it: later than the first
    where the provider did not make that."""
    came = story.registered_ns(pod.node) if pod.node else NEVER
    orders = [at for at, known, _ in pod.events if known == reason and at >= at_ns and (came == NEVER or at <= came)]
    last = max(orders, default=at_ns)
    if any(at_ns - SOON_NS <= at <= last for at in story.refusals) and last > at_ns + SOON_NS:
        chain.to(last, "provider refuses", REFUSED)
        return last
    return at_ns


def _provisioned(chain: HopChain, pod: PodStory, story: Story, at_ns: int, until_ns: int, timer: str) -> None:
    """From the order of a node until it is ready, where the pod went there."""
    registered = story.registered_ns(pod.node) if pod.node else NEVER
    if registered != NEVER and registered > at_ns:
        chain.to(registered, "provisioning", timer)
        ready = story.ready_ns(pod.node, registered)
        if ready != NEVER and (pod.bound_ns == NEVER or ready <= pod.bound_ns):
            chain.to(ready, "node ready", LATENCIES)
    elif not pod.node:
        chain.open(_end(pod, until_ns), "bound to the node ordered", timer)


def _queued(chain: HopChain, pod: PodStory, timers: Timers, *, new_node: bool) -> None:
    """In the scheduling queue until something helped, then until its backoff is over."""
    tries = [at for at, reason, _ in pod.events if reason == "FailedScheduling" and at <= pod.bound_ns]
    rested = tries[-1] + timers.backoff_ns(len(tries))
    waits, reason = _strategy_waits(pod, pod.bound_ns)
    if tries[-1] - chain.at_ns > SOON_NS:
        _waits(chain, tries[-1], waits, reason, "")
    timer = LONGEST_BACKOFF if timers.backoff_ns(len(tries) + 1) == timers.backoff_ns(len(tries)) else FIRST_BACKOFF
    if abs(pod.bound_ns - rested) <= SOON_NS and rested > chain.at_ns:
        chain.to(rested, "backoff", timer, "backoff", count=len(tries), since_ns=tries[-1])
    elif pod.bound_ns - chain.at_ns > SOON_NS:
        _waits(chain, pod.bound_ns, waits, reason, "" if new_node else "what made room is not in the journal")
    chain.to(pod.bound_ns, "scheduled", LATENCIES)


def _waits(chain: HopChain, until_ns: int, strategy: bool, reason: str, note: str) -> None:
    """Nobody has room for it, or its strategy lets it wait."""
    if strategy:
        chain.to(until_ns, "strategy waits", STRATEGY, note=": ".join(filter(None, ("nodes had room", reason))))
    else:
        chain.to(until_ns, "no node has room", ROOM, note=note)


def _strategy_waits(pod: PodStory, until_ns: int) -> tuple[bool, str]:
    """Whether its last failed attempt by then left nodes over that it could have had, and the strategy's reason."""
    texts = [message for at, reason, message in pod.events if reason == "FailedScheduling" and at <= until_ns]
    found = re.match(r"0/([0-9]+) nodes are available:(.*)", texts[-1], re.DOTALL) if texts else None
    if found is None:
        return False, ""
    why, _, reason = f"{found[2].strip()} ".partition(". ")
    if why and not re.match("[0-9]+ ", why):  # of all nodes at once (that ends with a point), or the strategy's
        return not found[2].rstrip().endswith("."), why.strip()
    # Each node that was refused has a reason, at least.
    refused = sum(int(count) for count in re.findall(r"(?:^|, )([0-9]+) ", why))
    return refused < int(found[1]), reason.strip()


def to_running(chain: HopChain, pod: PodStory, timers: Timers, since_ns: int, until_ns: int) -> None:
    """Images, the container's start, and that its kubelet tells of it."""
    chain.node = pod.node
    running = pod.running_ns(since_ns)
    before = _end(pod, until_ns) if running == NEVER else running
    started = pod.event("Started", since_ns, before)
    begun = to_volumes(chain, pod, timers, since_ns, before)
    to_started(chain, pod, since_ns, before if started == NEVER else started)
    if running == NEVER and begun == NEVER and (what := waits(pod, since_ns, before)):
        chain.open(before, "running", what)
    elif running == NEVER:
        pulls = pod.event("Pulling", since_ns, before) != NEVER and pod.event("Pulled", since_ns, before) == NEVER
        chain.open(before, "running", PULL if pulls else START)
    elif started == NEVER:
        chain.to(running, "pulled and started", START, note="without events they cannot be told apart")
    else:
        seen = timers.next_tick(f"{RELIST}{pod.node}", started - 1) if timers.value_ns(PLEG) else NEVER
        if 0 <= running - seen <= SOON_NS and seen >= max(started, chain.at_ns):
            chain.to(seen, "seen to run", PLEG, "tick", of=f"{RELIST}{pod.node}")
            chain.to(running, "status told", LATENCIES)
        else:
            chain.to(running, "seen to run", PLEG if timers.value_ns(PLEG) else LATENCIES)
    chain.node = ""


def to_started(chain: HopChain, pod: PodStory, since_ns: int, until_ns: int) -> None:
    """The first image and the first start that the Events of [since_ns, until_ns] tell of."""
    pulled, started = pod.event("Pulled", since_ns, until_ns), pod.event("Started", since_ns, until_ns)
    if pulled != NEVER:
        # One that is there takes no time. The Event that it is pulled may be from before, or lost.
        there = pod.event("Pulling", since_ns, pulled) == NEVER and pulled - chain.at_ns <= SOON_NS
        chain.to(pulled, "image pulled", LATENCIES if there else PULL)
    if started != NEVER:
        chain.to(started, STARTED, START)


def from_running(chain: HopChain, pod: PodStory, story: Story, timers: Timers, since_ns: int, until_ns: int) -> None:
    """Ready, an endpoint, sent requests: as far as it applies."""
    ready = pod.ready_ns(since_ns)
    chain.node = pod.node
    if ready == NEVER:
        served = any(other.endpoint_ns for other in story.pods.values() if other.owner and other.owner == pod.owner)
        if served or pod.going_ns == NEVER:
            chain.open(_end(pod, until_ns), "ready", READINESS)
        chain.node = ""
        return
    # Probes, and what a container takes until it is ready, count from its start, whenever that was seen.
    from_start = any(hop.name == STARTED for hop in chain.hops)
    chain.to(ready, "ready", READINESS, "since" if from_start else "fixed", of=STARTED if from_start else "")
    chain.node = ""
    if pod.is_endpoint(ready - 1):  # nobody had taken it away: requests get through again
        return
    endpoint = next((at for at in pod.endpoint_ns if at >= ready), NEVER)
    if endpoint == NEVER:
        if any(other.endpoint_ns for other in story.pods.values() if other.owner and other.owner == pod.owner):
            chain.open(_end(pod, until_ns), "an endpoint", LATENCIES)
        return
    batch_ns = timers.value_ns(BATCH)
    if batch_ns and endpoint - chain.at_ns >= batch_ns:
        chain.to(chain.at_ns + batch_ns, "changes gathered", BATCH, "wait")
    chain.to(endpoint, "endpoint", LATENCIES)
    routed = next((at for at in pod.routed_ns if at >= endpoint), NEVER)
    if routed != NEVER:
        chain.to(routed, "first request", PROXY_SYNC if timers.value_ns(PROXY_SYNC) else LATENCIES)
    elif story.rates and any(other.routed_ns for other in story.pods.values() if other.owner == pod.owner):
        chain.open(_end(pod, until_ns), "sent a request", PROXY_SYNC if timers.value_ns(PROXY_SYNC) else LATENCIES)


def _end(pod: PodStory, until_ns: int) -> int:
    return until_ns if pod.going_ns == NEVER else pod.going_ns
