"""Nodes join the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from harness.engine.component import SECOND, Effect, StartMachine, WakeAt
from harness.faults.action import ActionForm, said
from harness.faults.targets import ZONE, Targets
from harness.model.core import Node, NodeSpec, NodeStatus
from harness.model.karpenter import INITIALIZED, NODEPOOL, REGISTERED
from harness.model.meta import ObjectMeta, condition
from harness.model.node_labels import POOL_LABEL
from harness.model.status import ApiError
from harness.model.times import SCHEMA, parse_duration

HOSTNAME = "kubernetes.io/hostname"
LOOK_NS = SECOND
"""How often it is looked whether a node is ready."""
OF_NODE_CLAIMS = (NODEPOOL, REGISTERED, INITIALIZED)
OF_CONTROLLERS = ("node.kubernetes.io/", "ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler")
"""Taints that controllers give a node for what it is like at the moment."""


def machine_like(node: Node, name: str, zone: str = "") -> Node:
    """A machine of the same kind under another name: without what became of the one it is like."""
    meta = node.metadata
    labels = {**meta.labels, HOSTNAME: name, **({ZONE: zone} if zone else {})}
    if name != meta.name:  # the NodeClaim that the other was made for has no second node
        labels = {key: value for key, value in labels.items() if key not in OF_NODE_CLAIMS}
    taints = tuple(taint for taint in node.spec.taints if not taint.key.startswith(OF_CONTROLLERS))
    return Node(
        metadata=ObjectMeta(name=name, labels=labels, annotations=meta.annotations if name == meta.name else {}),
        spec=NodeSpec(taints=taints),
        status=NodeStatus(capacity=node.status.capacity, allocatable=node.status.allocatable),
    )


def is_ready(node: Node | None) -> bool:
    ready = None if node is None else condition(node.status.conditions, "Ready")
    return ready is not None and ready.status == "True"


class NodeJoin(ActionForm, frozen=True, kw_only=True):
    """`count` nodes like the node `like` join; each is there `boot` after it was asked for. They belong to no pool: an
    autoscaler neither counts them nor takes them away."""

    like: Annotated[str, Meta(description="a node that they are like", examples=["n-0"])]
    name: Annotated[
        str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", description="they are called `name`-0, `name`-1, ..",
                  examples=["more"])
    ]  # fmt: skip
    count: Annotated[int, Meta(ge=1, le=5000, description="how many", examples=[2],
                               extra_json_schema={"x-unit": "nodes"})] = 1  # fmt: skip
    zone: Annotated[str, Meta(description="their zone; none: that of `like`", examples=["b"])] = ""
    boot: Annotated[
        str, Meta(description="until their kubelets register", examples=["45s"], extra_json_schema=SCHEMA)
    ] = "0s"

    def begin(self, targets: Targets, rng: Random) -> Joining:
        return Joining(self.machines(targets), parse_duration(self.boot))

    def machines(self, targets: Targets) -> list[Node]:
        like = targets.nodes.get(self.like)
        if like is None:
            return []
        # Source: cluster-autoscaler, FAQ.md (1.32): a node that no node group holds is none of its business.
        labels = {key: value for key, value in like.metadata.labels.items() if key != POOL_LABEL}
        like = replace(like, metadata=replace(like.metadata, labels=labels))
        return [machine_like(like, name, self.zone) for name in self.names() if name not in targets.nodes]

    def names(self) -> list[str]:
        return [f"{self.name}-{index}" for index in range(self.count)]

    def lasts_ns(self) -> int | None:
        return parse_duration(self.boot)


class Joining:
    """Until all are ready. A machine that was ordered comes, whatever happens meanwhile."""

    def __init__(self, machines: Sequence[Node], boot_ns: int) -> None:
        self.failed: list[str] = []
        self._machines = {node.metadata.name: node for node in machines}
        self._boot_ns = boot_ns

    @property
    def done(self) -> bool:
        return not self._machines

    def start(self, now: int, targets: Targets) -> list[Effect]:
        out: list[Effect] = []
        for name in self._machines:
            out += [said("ordered", name), WakeAt(now + self._boot_ns, ("boot", name))]
        return out

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        what, name = token
        if what == "boot":
            return [StartMachine(self._machines[name]), WakeAt(now + LOOK_NS, ("ready", name))]
        if not is_ready(targets.nodes.get(name)):
            return [WakeAt(now + LOOK_NS, token)]
        del self._machines[name]
        return [said("ready", name)]

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        return []
