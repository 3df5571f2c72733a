"""What a node policy may answer with: writes through the API, machines of its pools, timers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from harness.autoscaling.pool import POOL_LABEL, NodePool
from harness.engine.component import (
    Create,
    Delete,
    EvictPod,
    Observe,
    PatchStatus,
    Record,
    StartMachine,
    StopMachine,
    Subscribe,
    Update,
    WakeAt,
)
from harness.model.core import Node
from harness.model.objects import BY_TYPE, KINDS
from harness.model.wire import Wire, decode, encode
from harness.scheduling.sandbox.guard import stable_text

_TEXTS: dict[type, tuple[str, ...]] = {
    Delete: ("namespace", "name", "uid", "propagation"),
    EvictPod: ("namespace", "name", "uid", "reason", "message"),
    Record: ("type", "reason", "message"),
}
"""Fields that are text."""


class Machines:
    """Of pools, as the policy has them started and stopped."""

    def __init__(self, pools: tuple[NodePool, ...]) -> None:
        self._pools = {pool.name: pool for pool in pools}
        self._started: dict[str, str] = {}  # name of the machine: of its pool

    def problem(self, effect: Any) -> str:
        """Why `effect` cannot be done, '' where it can; then it counts as done."""
        match effect:
            case StartMachine(node):
                return self._start(node)
            case StopMachine(name):
                if not isinstance(name, str) or self._started.pop(name, None) is None:
                    return f"{stable_text(name)} is no machine of a pool: it cannot be stopped"
                return ""
            case WakeAt(at):
                return "" if type(at) is int else f"WakeAt wants an instant in whole nanoseconds, not {stable_text(at)}"
            case Subscribe(kinds):
                known = isinstance(kinds, tuple) and all(isinstance(kind, str) and kind in KINDS for kind in kinds)
                return "" if known else f"there are no such kinds to watch: {stable_text(kinds)}"
            case Observe(topic, data):
                return self._observe(topic, data)
            case Create(obj) | Update(obj) | PatchStatus(obj):
                return _object(obj) or ("" if getattr(effect, "old", None) is None else _object(effect.old))  # type: ignore[union-attr]
            case Delete() | EvictPod() | Record():
                return _write(effect)
            case _:
                text = stable_text(effect)
                return f"a node policy answers with API writes, machines of its pools and timers, not {text}"

    def _start(self, node: Any) -> str:
        problem = _object(node)
        if problem or type(node) is not Node:
            return problem or f"StartMachine wants a Node, not a {type(node).__name__}"
        name = node.metadata.name
        pool = self._pools.get(node.metadata.labels.get(POOL_LABEL, ""))
        if pool is None:
            return f"machine {name!r} is of no pool: NodePool.node(name) makes one"
        if not name:
            return f"a machine of pool {pool.name} has a name"
        if name in self._started:
            return f"machine {name!r} is there already"
        if node.status.capacity != pool.template.status.capacity or (
            node.status.allocatable != pool.template.status.allocatable
        ):
            return f"machine {name!r} is not like the template of pool {pool.name}"
        if Counter(self._started.values())[pool.name] >= pool.most:
            return f"pool {pool.name} has {pool.most} machines, and may not have more"
        self._started[name] = pool.name
        return ""

    def _observe(self, topic: Any, data: Any) -> str:
        match topic, data:
            case "autoscaling", (str(pool), "up" | "down", int(count)) if pool in self._pools and count >= 0:
                return ""
        text = stable_text(topic)
        return f"Observe('autoscaling', (pool, 'up' or 'down', count)) is all there is to observe, not {text}"


def _write(effect: Any) -> str:
    for name in _TEXTS[type(effect)]:
        if not isinstance(getattr(effect, name), str):
            return f"{type(effect).__name__}.{name} is text, not {stable_text(getattr(effect, name))}"
    if type(effect) is Record:
        return _object(effect.about)
    if type(effect) is Delete and effect.kind not in KINDS:
        return f"there is no kind {stable_text(effect.kind)} to delete"
    if effect.grace_s is not None and (type(effect.grace_s) is not int or effect.grace_s < 0):
        return f"a grace period is whole seconds, not {stable_text(effect.grace_s)}"
    return ""


def _object(obj: Any) -> str:
    """Whether the API server could read it: each field of its type."""
    if not isinstance(obj, Wire) or type(obj) not in BY_TYPE:
        return f"an API object is written, not {stable_text(obj)}"
    try:
        decode(type(obj), msgspec.json.decode(msgspec.json.encode(encode(obj))))
    except Exception as error:  # somebody else's values
        return f"this is no {type(obj).__name__}: {stable_text(error, str)}"
    return ""
