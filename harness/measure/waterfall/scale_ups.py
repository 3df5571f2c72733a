"""The waterfall of a scale-up: from the load that called for it to the first request that the last new pod was sent.

Of a HorizontalPodAutoscaler: load, sample, scrape, sync, what held it back, replicas, pods. Of a node pool that grew
for other pods: from the pod's creation on.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.measure.waterfall.away import SOON_NS, away_at, split
from harness.measure.waterfall.held_back import HELD_BACK, Served, why_not
from harness.measure.waterfall.hops import Bound, HopChain, Waterfall
from harness.measure.waterfall.pod_way import LATENCIES, to_served
from harness.measure.waterfall.story import NEVER, PodStory, Rescale, Story
from harness.measure.waterfall.timers import (
    HOUSEKEEPING,
    RESOLUTION,
    SAMPLE,
    SCALER,
    SCRAPE,
    SYNC_PERIOD,
    Timers,
)
from harness.measure.waterfall.told_to_go import CONTROLLER
from harness.model.constants import MANAGER


def scale_ups(story: Story, timers: Timers, served: Mapping[str, Served], until_ns: int) -> list[Waterfall]:
    """In order of the decisions. `served`: by namespace/name of what is scaled."""
    found: list[tuple[int, Waterfall]] = []
    told: set[str] = set()
    for index, rescale in enumerate(story.rescales):
        if rescale.after <= rescale.before:
            continue
        earlier = [item for item in story.rescales[:index] if item.target == rescale.target]
        new = _new_pods(story, rescale, told)
        told |= {pod.uid for pod in new}
        found.append(
            (rescale.at_ns, _of_scaler(rescale, earlier, new, story, timers, served.get(rescale.target), until_ns))
        )
    for at_ns, pool, nodes in story.scale_ups:
        pods = [
            pod
            for pod in story.pods.values()
            if pod.uid not in told
            and any(
                abs(pod.event(reason, at_ns - SOON_NS) - at_ns) <= SOON_NS
                for reason in ("TriggeredScaleUp", "Nominated")
            )
        ]
        if pods:
            told |= {pod.uid for pod in pods}
            found.append((at_ns, _of_pool(pool, nodes, pods, story, timers, until_ns)))
    found.sort(key=lambda item: item[0])
    for number, (_, fall) in enumerate(found, 1):
        fall.number = number
    return [fall for _, fall in found]


def _new_pods(story: Story, rescale: Rescale, told: set[str]) -> list[PodStory]:
    """Those that its ReplicaSet made first after the decision."""
    if not rescale.owner:
        return []
    made = [
        pod
        for pod in story.pods.values()
        if pod.owner == rescale.owner and pod.created_ns >= rescale.written_ns and pod.uid not in told
    ]
    return made[: rescale.after - rescale.before]


def _ways(
    fall: Waterfall,
    chains: list[tuple[PodStory, HopChain]],
    start: HopChain,
    story: Story,
    timers: Timers,
) -> Waterfall:
    """The last pod's way; pods that were told to go before they were served count where none was."""
    if not chains:
        hops = split(start.hops, story.away, timers.constants.status_sync_period_ns)
        fall.hops, fall.unended, fall.ways = hops, "its pods made", [hops]
        return fall
    stayed = [(pod, chain) for pod, chain in chains if not chain.unended or pod.going_ns == NEVER] or chains
    last = max(stayed, key=lambda item: (bool(item[1].unended), item[1].at_ns, item[0].key))
    fall.subject, fall.hops, fall.unended = last[0].key, last[1].hops, last[1].unended
    fall.ways, fall.bounds = [chain.hops for _, chain in stayed], last[1].bounds
    fall.others = sorted(
        ((pod.key, chain.at_ns - fall.start_ns) for pod, chain in stayed if pod is not last[0]),
        key=lambda item: (-item[1], item[0]),
    )
    if len(stayed) < len(chains):
        fall.notes.append(f"{len(chains) - len(stayed)} of its pods were told to go before they were served")
    return fall


def _of_scaler(
    rescale: Rescale,
    earlier: list[Rescale],
    new: list[PodStory],
    story: Story,
    timers: Timers,
    served: Served | None,
    until_ns: int,
) -> Waterfall:
    begun = _load_change(rescale, story, timers, served)
    fall = Waterfall(
        kind="scale-up",
        number=0,
        title=f"{rescale.target} {rescale.before} -> {rescale.after}",
        start_ns=rescale.at_ns if begun is None else begun,
    )
    if begun is None:
        fall.notes.append("when the load changed cannot be told: it begins with the decision")
    chains = []
    start = HopChain(fall.start_ns)
    if begun is not None and served is not None:
        _decided(start, rescale, earlier, story, timers, served)
    start.to(rescale.written_ns, "replicas written", LATENCIES)
    falls = _load_falls(rescale, story, timers, served) if begun is not None and served is not None else None
    if falls is not None:
        start.bounds.append(
            Bound(falls, "the load would have fallen before the autoscaler asks", hop="replicas written")
        )
    for pod in new:
        chain = start.copy()
        # Soon: a matter of messages; else its controller waited, as a rollout does for pods to be ready.
        chain.to(pod.created_ns, "pod made", LATENCIES if pod.created_ns - chain.at_ns <= SOON_NS else CONTROLLER)
        to_served(chain, pod, story, timers, until_ns)
        chain.hops = split(chain.hops, story.away, timers.constants.status_sync_period_ns)
        chains.append((pod, chain))
    return _ways(fall, chains, start, story, timers)


def _load_change(rescale: Rescale, story: Story, timers: Timers, served: Served | None) -> int | None:
    """Since when, without a break, the load had been too much for the replicas that were wanted, else for those of them
    that were sent requests; None where no load is modelled, or it was not what the decision came from."""
    rates = story.rates.get(served.service) if served is not None else None
    if served is None or rates is None:
        return None
    tolerance = timers.constants.hpa_tolerance
    for lost_too in (False, True):
        since: int | None = None
        for load in rates:
            if load.at_ns > rescale.at_ns:
                break
            pods = min(load.pods, rescale.before) if lost_too else rescale.before
            if not load.milli_rps or (pods and not served.too_much(load.milli_rps, pods, tolerance)):
                since = None
            elif since is None:
                since = load.at_ns
        if since is not None:
            return since
    return None


def _load_falls(rescale: Rescale, story: Story, timers: Timers, served: Served) -> int | None:
    """When the load ceases to be too much for the replicas that there were."""
    for load in story.rates.get(served.service, []):
        fits = not served.too_much(load.milli_rps, rescale.before, timers.constants.hpa_tolerance)
        if load.at_ns > rescale.at_ns and fits:
            return load.at_ns
    return None


def _decided(
    chain: HopChain, rescale: Rescale, earlier: list[Rescale], story: Story, timers: Timers, served: Served
) -> None:
    """Sample, scrape, sync, and what held the autoscaler back."""
    sampled = timers.next_tick(SAMPLE, chain.at_ns)
    scraped = timers.next_tick(SCRAPE, sampled - 1)
    first = timers.next_tick(SCALER, scraped)
    decided = timers.last_tick(SCALER, rescale.written_ns - 1)
    if rescale.written_ns - decided > SOON_NS or decided < first:
        note = "not at instants of the run's phases: not told apart"
        chain.to(rescale.written_ns, "scraped and decided", SYNC_PERIOD, note=note)
        return
    chain.to(sampled, "usage sampled", HOUSEKEEPING, "tick", of=SAMPLE)
    chain.to(scraped, "usage scraped", RESOLUTION, "tick", of=SCRAPE)
    chain.to(first, "autoscaler syncs", SYNC_PERIOD, "tick", of=SCALER)
    mine = [pod for pod in story.pods.values() if pod.owner == rescale.owner]
    tick = chain.at_ns

    def why_not_at(tick_ns: int) -> tuple[str, str]:
        if (away := away_at(story.away, MANAGER, tick_ns)) is not None:
            return f"{away.process} away", away.timer
        return why_not(tick_ns, mine, earlier, timers, served)

    while tick < decided:
        why = why_not_at(tick)
        last = tick
        while tick < decided and why_not_at(tick) == why:
            last, tick = tick, timers.next_tick(SCALER, tick)
        if why[1] == HELD_BACK:  # it waits for syncs, whatever is scraped meanwhile
            chain.to(tick, *why, "tick", of=SCALER, count=(tick - chain.at_ns) // timers.period_ns(SCALER))
            continue
        # What changed between the two syncs: a scrape, where there was one.
        chain.to(tick, *why, "resync", of=SCALER, since_ns=max(last, timers.last_tick(SCRAPE, tick - 1)))


def _of_pool(pool: str, nodes: int, pods: list[PodStory], story: Story, timers: Timers, until_ns: int) -> Waterfall:
    """From the creation of the pod that was served last."""
    title = f"pool {pool} +{nodes} for {len(pods)} pod{'' if len(pods) == 1 else 's'}"
    chains = []
    for pod in pods:
        chain = HopChain(pod.created_ns)
        to_served(chain, pod, story, timers, until_ns)
        chain.hops = split(chain.hops, story.away, timers.constants.status_sync_period_ns)
        chains.append((pod, chain))
    last = max(chains, key=lambda item: (bool(item[1].unended), item[1].at_ns, item[0].key))
    fall = Waterfall(kind="scale-up", number=0, title=title, start_ns=last[0].created_ns)
    fall.subject, fall.hops, fall.unended = last[0].key, last[1].hops, last[1].unended
    fall.ways = [chain.hops for _, chain in chains]
    fall.others = [(pod.key, chain.at_ns - pod.created_ns) for pod, chain in chains if pod is not last[0]]
    return fall
