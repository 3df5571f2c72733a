"""Who told a pod to go, where its node's silence did not: another action, an autoscaler, a controller, a preemptor."""

from __future__ import annotations

from harness.measure.waterfall.away import SOON_NS
from harness.measure.waterfall.hops import HopChain
from harness.measure.waterfall.pod_way import LATENCIES
from harness.measure.waterfall.story import NEVER, FaultStory, PodStory, Story

ACTION, OTHER_FAULT = "the instant of another action", "the instant of another fault"
CONTROLLER, OWN_TOLERATION = "its controller", "tolerationSeconds of the pod"
GC_PERIOD = "gcCheckPeriod"
NODE_AUTOSCALER, VERTICAL_AUTOSCALER = "the node autoscaler's decision", "the vertical autoscaler's decision"
PREEMPTION = "pods of a higher priority"

_GIVEN_BACK = ("ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted")
"""Keys of the taints of a node that its autoscaler gives back."""
_BY_EVENT = {
    "TaintManagerEviction": ("taint tolerated", OWN_TOLERATION),
    "Preempted": ("preempted", PREEMPTION),
    "EvictedByVPA": ("evicted to be resized", VERTICAL_AUTOSCALER),
}
"""Hop and timer by the reason of an Event that comes with the deletion."""


def told_to_go(chain: HopChain, fault: FaultStory, pod: PodStory, story: Story) -> None:
    """A hop until the pod was told to go, and before that one until the last that came to its node, or to it."""
    about = (pod.node, pod.key)
    came: list[tuple[int, FaultStory]] = []
    for other in story.faults:
        asked = other.at_ns if set(about) & set(other.targets) else NEVER
        asked = next((at for at, _, what, _ in other.steps if what in about), asked)
        if other is not fault and fault.at_ns < asked <= pod.going_ns:
            came.append((asked, other))
    if came:
        asked, other = max(came, key=lambda item: item[0])
        chain.to(asked, f"until {other.title}", ACTION if other.steps else OTHER_FAULT, "until")
    if pod.going_ns - chain.at_ns <= SOON_NS:
        chain.to(pod.going_ns, "told to go", LATENCIES, note="not by the taint of its node")
        return
    chain.to(pod.going_ns, *_why(pod, story))


def _why(pod: PodStory, story: Story) -> tuple[str, str]:
    """(hop, timer)."""
    going = pod.going_ns
    for reason, found in _BY_EVENT.items():
        if pod.event(reason, going - SOON_NS, going + SOON_NS) != NEVER:
            return found
    if abs(pod.removed_ns - going) <= SOON_NS:
        return "its controller removes it", CONTROLLER
    if any(taint.startswith(_GIVEN_BACK) for taint in story.taints(pod.node, going)):
        return "its node given back", NODE_AUTOSCALER
    if 0 <= story.deleted_ns(pod.node) <= going:
        return "collected as a pod of no node", GC_PERIOD
    return "told to go by somebody", CONTROLLER if pod.owner else ""
