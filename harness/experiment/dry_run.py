"""A dry run of autoscaling: what a scenario's autoscalers did, when, why not, and what it cost, from one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.autoscaling.pool import POOL_LABEL
from harness.engine.component import DELETED, SECOND
from harness.experiment.result import Result
from harness.experiment.run import Home, Progress, Run
from harness.experiment.scenario import LoadedScenario
from harness.experiment.strategies import load_strategy
from harness.measure.journal import node_ready
from harness.model.core import Event, Node
from harness.model.karpenter import CAPACITY_TYPE, INSTANCE_TYPE, NODEPOOL, ZONE
from harness.model.meta import ApiObject, condition
from harness.model.workloads import HorizontalPodAutoscaler

TOLD = (
    "ScaleDown",
    "ScaleDownFailed",
    "FailedToScaleUpGroup",
    "ScaleUpTimedOut",
    "ClusterUnhealthy",
    "DeleteUnregistered",
    "FixNodeGroupSize",
    "DisruptionTerminating",
    "NoCompatibleInstanceTypes",
    "InsufficientCapacityError",
    "ScaleUpFailed",
)
"""Reasons of events about nodes and pools: the cluster autoscaler's, Karpenter's."""

NO_PLACE = "Failed to schedule pod, "
"""How Karpenter's FailedScheduling begins, where the scheduler's does not. Source: scheduling/events.go."""
NODE_CLAIM = "nodeclaim/"
JUST_IN_TIME = "just-in-time"


@dataclass(slots=True)
class Growth:
    """A pool was asked to grow. `ready_ns`: when each of its nodes that came was ready; `pods`: that it was for, as
    their events say; `machines`: of a NodePool, what was launched, by name of the NodeClaim."""

    at_ns: int
    pool: str
    before: int
    count: int
    pods: list[str] = field(default_factory=list)
    ready_ns: list[int] = field(default_factory=list)
    machines: dict[str, dict[str, str]] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        launched = [{"node": name, **about} for name, about in self.machines.items()]
        return {
            "atSeconds": self.at_ns / 1e9,
            "kind": "scaleUp",
            "pool": self.pool,
            "from": self.before,
            "to": self.before + self.count,
            "pods": self.pods,
            "nodesReadySeconds": [at / 1e9 for at in self.ready_ns],
            **({"machines": launched} if launched else {}),
        }


@dataclass(frozen=True, slots=True)
class Other:
    """Anything else that happened: a node that went, replicas that changed, an event."""

    at_ns: int
    kind: str  # scaleDown, replicas, event
    about: str
    said: Mapping[str, Any]

    def to_data(self) -> dict[str, Any]:
        return {"atSeconds": self.at_ns / 1e9, "kind": self.kind, **self.said}


class Scaling:
    """A fold over the journal: what scaled, in order."""

    def __init__(self) -> None:
        self.happened: list[Growth | Other] = []
        self._growing: dict[str, list[Growth]] = {}  # by pool: nodes of which are to come
        self._of_claim: dict[str, Growth] = {}
        self._pool_of: dict[str, str] = {}
        self._ready: set[str] = set()
        self._came: set[str] = set()  # nodes that there ever were
        self._replicas: dict[str, int] = {}
        self._size: Counter[str] = Counter()  # with what is coming
        self._seen: dict[str, int] = {}  # events by their key: how often
        self.refused: dict[str, tuple[int, str]] = {}  # pods: since when, in which words no pool grew for them

    def write(self, at_ns: int, kind: str, change: str, obj: ApiObject, old: ApiObject) -> None:
        if kind == "Node":
            self._node(at_ns, change, obj)
        elif kind == "HorizontalPodAutoscaler":
            self._scaler(at_ns, obj)
        elif kind == "Event":
            self._event(at_ns, obj)
        elif kind == "NodeClaim":
            self._claim(at_ns, change, obj)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        if topic != "autoscaling":
            return
        pool, way, count = data
        if way == "up" and source != JUST_IN_TIME:  # its NodeClaims say more
            growth = Growth(at_ns, pool, self._size[pool], count)
            self.happened.append(growth)
            self._growing.setdefault(pool, []).append(growth)
            self._size[pool] += count

    def _claim(self, at_ns: int, change: str, claim: ApiObject) -> None:
        """NodeClaims that are made at one instant for one NodePool are one growth."""
        name, labels = claim.metadata.name, claim.metadata.labels
        if change == DELETED:
            self._never_came(name)
            return
        growth = self._of_claim.get(name)
        if growth is None:
            pool = labels.get(NODEPOOL, "")
            last = self._growing.setdefault(pool, [])
            if not last or last[-1].at_ns != at_ns:
                last.append(Growth(at_ns, pool, self._size[pool], 0))
                self.happened.append(last[-1])
            growth = self._of_claim[name] = last[-1]
            growth.count += 1
            self._size[pool] += 1
        about = {"instanceType": INSTANCE_TYPE, "capacityType": CAPACITY_TYPE, "zone": ZONE}
        growth.machines[name] = {word: labels[label] for word, label in about.items() if label in labels}

    def _never_came(self, name: str) -> None:
        """A claim goes that there was no machine for: its event says why, and it is no growth."""
        growth = self._of_claim.get(name)
        if growth is None or name in self._came:
            return
        growth.count -= 1
        self._size[growth.pool] -= 1
        growth.machines.pop(name, None)
        if not growth.count:
            self.happened = [item for item in self.happened if item is not growth]
            self._growing[growth.pool] = [item for item in self._growing[growth.pool] if item is not growth]

    def _node(self, at_ns: int, change: str, node: Node) -> None:
        name, pool = node.metadata.name, pool_of(node)
        if change == DELETED:
            if self._pool_of.pop(name, None):
                self._size[pool] -= 1
                self.happened.append(Other(at_ns, "scaleDown", name, {"pool": pool, "node": name}))
            return
        self._came.add(name)
        if name not in self._pool_of:
            self._pool_of[name] = pool
            if pool and name not in self._of_claim and not self._waiting(pool):
                self._size[pool] += 1
        if pool and name not in self._ready and node_ready(node) == "True":
            self._ready.add(name)
            growth = self._of_claim.get(name) or self._waiting(pool)
            if growth is not None:
                growth.ready_ns.append(at_ns)

    def _waiting(self, pool: str) -> Growth | None:
        return next((item for item in self._growing.get(pool, ()) if len(item.ready_ns) < item.count), None)

    def _scaler(self, at_ns: int, scaler: HorizontalPodAutoscaler) -> None:
        wanted, target = scaler.status.desired_replicas, scaler.spec.scale_target_ref
        key = f"{target.kind} {scaler.metadata.namespace}/{target.name}"
        if wanted is None:
            return
        before = self._replicas.get(key, scaler.status.current_replicas)
        self._replicas[key] = wanted
        if before is not None and before != wanted:
            said = {"workload": key, "from": before, "to": wanted}
            self.happened.append(Other(at_ns, "replicas", key, said))

    def _event(self, at_ns: int, event: Event) -> None:
        about = event.involved_object
        key = f"{about.namespace}/{about.name}"
        if event.reason == "TriggeredScaleUp":
            self.refused.pop(key, None)
            for growth in reversed(self.happened):
                if isinstance(growth, Growth) and f"{{{growth.pool} " in event.message:
                    growth.pods.append(key)
                    break
        elif event.reason == "Nominated" and NODE_CLAIM in event.message:
            self.refused.pop(key, None)
            claim = event.message.partition(NODE_CLAIM)[2].partition(",")[0]
            if claim in self._of_claim and key not in self._of_claim[claim].pods:
                self._of_claim[claim].pods.append(key)
        elif _is_refusal(event):
            self.refused.setdefault(key, (at_ns, event.message))
        elif event.reason in TOLD and self._seen.get(event.metadata.key) != (event.count or 1):
            self._seen[event.metadata.key] = event.count or 1
            said = {"reason": event.reason, "about": about.name, "message": event.message}
            self.happened.append(Other(at_ns, "event", about.name, said))


def _is_refusal(event: Event) -> bool:
    """An autoscaler says that nothing it could make would help a pod."""
    if event.reason == "FailedScheduling":
        return str(event.message).startswith(NO_PLACE)
    return bool(event.reason == "NotTriggerScaleUp")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pod that has no node at the end. `pools`: why each does not help it, as the autoscaler found at its last scan;
    `message`: what the autoscaler said of it, else the scheduler."""

    pod: str
    since_ns: int
    pools: Mapping[str, tuple[str, ...]]
    message: str

    def to_data(self) -> dict[str, Any]:
        return {
            "pod": self.pod,
            "sinceSeconds": self.since_ns / 1e9,
            "pools": {pool: list(reasons) for pool, reasons in self.pools.items()},
            "message": self.message,
        }


@dataclass(slots=True)
class DryRun:
    """`staying`: nodes of pools that are there at the end, and why each is not taken away ('' where it may be)."""

    result: Result
    end_ns: int
    happened: list[Growth | Other]
    waiting: list[Waiting]
    staying: dict[str, tuple[str, str]]
    pools: dict[str, dict[str, Any]]
    cost: float | None
    cost_is_a_bound: bool
    node_hours: float
    autoscaler: str
    flags: dict[str, str]
    notices: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        return {
            "autoscaler": self.autoscaler,
            "flags": self.flags,
            "scheduler": self.result.scheduler,
            "seed": self.result.seed,
            "digest": self.result.digest,
            "durationSeconds": self.end_ns / 1e9,
            "cost": self.cost,
            **({"costAtLeast": True} if self.cost_is_a_bound else {}),
            "nodeHours": self.node_hours,
            "happened": [item.to_data() for item in self.happened],
            "waiting": [item.to_data() for item in self.waiting],
            "staying": [{"node": node, "pool": pool, "why": why} for node, (pool, why) in sorted(self.staying.items())],
            "pools": [{"pool": name, **about} for name, about in self.pools.items()],
            "requests": self.result.metrics.get("requests", {}),
            "ok": self.result.ok,
            "notices": list(self.notices),
        }


def dry_run(loaded: LoadedScenario, scheduler: str, seed: int, progress: Progress | None = None) -> DryRun:
    """Raises UserError for what is wrong with the scenario."""
    run = Run(loaded, load_strategy(loaded, scheduler)(), seed, Home())
    scaling = Scaling()
    try:
        server = run.cluster.server
        for obj in run.prepared.machines.nodes:
            if obj.metadata.uid:  # adopted: nobody writes it anew
                scaling.write(0, "Node", "ADDED", obj, None)
        start = Counter(pool_of(node) for node in run.prepared.machines.nodes)
        server.listeners.append(
            lambda kind, change, obj, old, revision: scaling.write(server.now, kind.kind, change, obj, old)
        )
        run.cluster.api.observers.append(scaling.observe)
        run.play(progress)
        result = run.result(scheduler)
        return _dry_run_of(run, scaling, result, start)
    finally:
        run.close()


def pool_of(node: Node) -> str:
    """The pool or the NodePool that it is of; empty where it is of none."""
    labels = node.metadata.labels
    return str(labels.get(POOL_LABEL) or labels.get(NODEPOOL, ""))


def _members(nodes: Mapping[str, Node], pool: str) -> int:
    return sum(pool_of(node) == pool for node in nodes.values())


def _dry_run_of(run: Run, scaling: Scaling, result: Result, start: Mapping[str, int]) -> DryRun:
    server, spec = run.cluster.server, run.loaded.scenario.spec
    known: Any = next((item for item in run.cluster.components.values() if hasattr(item, "reasons_to_stay")), None)
    waiting = []
    for key, pod in sorted(server.objects("Pod").items()):
        if pod.spec.node_name or pod.status.phase != "Pending" or pod.spec.scheduling_gates:
            continue
        since, message = scaling.refused.get(key, (-1, ""))
        against = {} if known is None else known.reasons_against(key)
        scheduled = condition(pod.status.conditions, "PodScheduled")
        message = message or (scheduled.message if scheduled is not None else "")
        created = max(pod.metadata.creation_timestamp or 0, 0)
        waiting.append(Waiting(key, created if since < 0 else min(since, created), against, message))
    reasons = {} if known is None else known.reasons_to_stay()
    staying = {
        name: (pool, reasons.get(name, "")) for name, node in server.objects("Node").items() if (pool := pool_of(node))
    }
    autoscaling = result.metrics.get("autoscaling", {})
    pools = {}
    for form in spec.pools:
        measured = autoscaling.get(f"pool {form.name}", {})
        end = _members(server.objects("Node"), form.name)
        pools[form.name] = {"start": start[form.name], "end": end, "min": form.min, "max": form.max, **measured}
    for name, node_pool in sorted(server.objects("NodePool").items()):
        measured = autoscaling.get(f"pool {name}", {})
        limits = {resource: str(amount) for resource, amount in node_pool.spec.limits.items()}
        end = _members(server.objects("Node"), name)
        pools[name] = {"start": start.get(name, 0), "end": end, "min": 0, "max": None, "limits": limits, **measured}
    machines = run.measures.elasticity.machines.of_cluster(run.end_ns)
    return DryRun(
        result=result,
        end_ns=run.end_ns,
        happened=_in_order(scaling.happened),
        waiting=waiting,
        staying=staying,
        pools=pools,
        cost=machines.get("cost"),
        cost_is_a_bound="atLeast" in machines,
        node_hours=machines["nodeHours"],
        autoscaler=spec.autoscaler,
        flags={name: str(value) for name, value in run.prepared.autoscaler_flags.items()},
        notices=tuple(result.notices),
    )


def _in_order(happened: list[Growth | Other]) -> list[Growth | Other]:
    return sorted(happened, key=lambda item: item.at_ns // (SECOND // 1000))
