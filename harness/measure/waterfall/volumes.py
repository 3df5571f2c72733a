"""The part of a pod's way in which it waits for volumes: until they leave another node, are attached, and are found."""

from __future__ import annotations

from harness.measure.waterfall.away import SOON_NS
from harness.measure.waterfall.hops import HopChain
from harness.measure.waterfall.story import NEVER, PodStory
from harness.measure.waterfall.timers import NODE_STATUS, UNMOUNT_WAIT, Timers

ATTACH = "spec.latencies.volumeAttach"
LOOKS = "the kubelet's looks for a volume"
"""At longer and longer intervals: harness/node/volume_manager.py."""


def to_volumes(chain: HopChain, pod: PodStory, timers: Timers, since_ns: int, until_ns: int) -> int:
    """As far as Events of [since_ns, until_ns] tell; when its kubelet went on, NEVER where it had not by then."""
    begins = [pod.event(reason, since_ns, until_ns) for reason in ("Pulling", "Pulled", "Started")]
    begun = min((at for at in begins if at != NEVER), default=NEVER)
    end = until_ns if begun == NEVER else begun
    elsewhere = pod.event("FailedAttachVolume", since_ns, end)
    attached = max(
        (at for at, why, _ in pod.events if why == "SuccessfulAttachVolume" and since_ns <= at <= end), default=NEVER
    )
    if elsewhere != NEVER:
        period_ns = timers.constants.node_status_update_frequency_ns
        left = end if attached == NEVER else attached
        # A kubelet that is well tells in its node's next status that a volume is unmounted.
        told = attached != NEVER and left - elsewhere <= period_ns + SOON_NS
        chain.to(left, "volume leaves another node", NODE_STATUS if told else UNMOUNT_WAIT)
    elif attached != NEVER:
        chain.to(attached, "volume attached", ATTACH)
    if begun != NEVER and begun - chain.at_ns > SOON_NS:
        # It looks from the next status of its node on, and waits longer after each look that was in vain.
        first_look = 0 <= begun - timers.next_status(pod.node, since_ns) <= SOON_NS and begun in begins[:2]
        # Where no volume came, and it did not begin with a status, it was something else that it waited for.
        if first_look or attached != NEVER or elsewhere != NEVER or _waited(pod, since_ns, begun):
            chain.to(begun, "volume found", NODE_STATUS if first_look else LOOKS)
    return begun


def waits(pod: PodStory, since_ns: int, until_ns: int) -> str:
    """What a pod that has not begun waits for, where that is a volume."""
    if pod.event("FailedAttachVolume", since_ns, until_ns) != NEVER:
        return UNMOUNT_WAIT if pod.event("SuccessfulAttachVolume", since_ns, until_ns) == NEVER else LOOKS
    if _waited(pod, since_ns, until_ns):
        return ATTACH
    return LOOKS if pod.event("SuccessfulAttachVolume", since_ns, until_ns) != NEVER else ""


def _waited(pod: PodStory, since_ns: int, until_ns: int) -> bool:
    """Whether its kubelet said that a volume had not come."""
    return any(
        since_ns <= at <= until_ns and reason == "FailedMount" and message.startswith("Unable to attach")
        for at, reason, message in pod.events
    )
