"""Scenarios that Hypothesis draws and shrinks: a list of parts, each of which can become any simpler part.

Hypothesis leaves out and lowers what it drew, and raises nothing. A shrinker that only leaves out ends at "a service
and a task" where "a service with two replicas" would do. So all parts are drawn as one list of steps, whose kinds stand
in the order in which they are simple. Lowering one step turns a fault into a node, a task into a fault or a
replica. And the simplest node has room for everything: what is short of room is a part that has been drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from hypothesis import strategies as st

Scenario: TypeAlias = dict[str, Any]
"""A scenario as it stands in YAML."""

FIRST_FAULT_S = 30
NODE_CPU = 32
"""Of a node of which nothing else is said: more than all pods ask for together."""

MOST_CPU = 4
MOST_REPLICAS = 4


def brief(value: Any) -> str:
    """The call that makes it, without what is as it is when nothing is said."""
    told = [item for item in fields(value) if getattr(value, item.name) != item.default]
    return f"{type(value).__name__}({', '.join(f'{item.name}={getattr(value, item.name)!r}' for item in told)})"


@dataclass(frozen=True, slots=True)
class Node:
    """`cpu`: whole CPUs."""

    cpu: int = NODE_CPU

    __repr__ = brief


@dataclass(frozen=True, slots=True)
class Service:
    """A Deployment with a Service and clients. `cpu`: whole CPUs of each replica. `budget`: all but one replica, and
    one at least, have to be available."""

    replicas: int = 1
    cpu: int = 1
    budget: bool = False

    __repr__ = brief


@dataclass(frozen=True, slots=True)
class Task:
    """A pod that runs for `lasts` seconds and ends. `arrives`: seconds since t=0."""

    cpu: int = 1
    arrives: int = 0
    lasts: int = 1

    __repr__ = brief


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind`: one of FAULTS. Those of SERVICE_FAULTS hit the service `which`, the others the node `which`; it counts
    from 0, and begins again at the end of the list. `at`: seconds since t=0. `lasts`: seconds until a node that crashed
    is back. `to`: replicas that a service is scaled to."""

    kind: str
    which: int = 0
    at: int = FIRST_FAULT_S
    lasts: int = 300
    to: int = 0

    __repr__ = brief


SERVICE_FAULTS = ("podDeletion", "containerCrash", "rolloutRestart", "scale")
FAULTS = ("podDeletion", "containerCrash", "nodeCrash", "rolloutRestart", "scale", "drain", "nodeLeave")
"""The simplest first. A node that is drained stays cordoned, one that leaves is gone for good."""

CRASH_LASTS_S = (300, 900, 900, 20)
"""Pods tolerate a node that is down for 300 s, which begin some 45 s after the crash: 300 s of it are over before, 900
s are not, and they are drawn most. After 20 s nobody has noticed."""

EVICTED_S = 400
"""So long before the end a node may crash for what is evicted, and made anew, to be seen."""

Part: TypeAlias = Node | Service | Task | Fault


def document(parts: Sequence[Part], duration_s: int = 600) -> Scenario:
    """The scenario that has these parts. Nodes are called n-0-0, n-1-0 and so on, services s-0, tasks t-0. Without a
    Node there is one, without a Service and a Task one service. A fault of pods needs a service, and is left out where
    there is none. Clients live on a node `gateway` of their own."""
    nodes = [part for part in parts if isinstance(part, Node)] or [Node()]
    tasks = [part for part in parts if isinstance(part, Task)]
    services = [part for part in parts if isinstance(part, Service)] or ([] if tasks else [Service()])
    groups = [
        {"group": {"name": f"n-{i}", "count": 1, "cpu": node.cpu, "memory": "64Gi"}} for i, node in enumerate(nodes)
    ]
    workload: list[dict[str, Any]] = []
    for index, item in enumerate(services):
        budget = {"minAvailable": max(item.replicas - 1, 1)} if item.budget else {}
        made = {"name": f"s-{index}", "replicas": item.replicas, "cpu": item.cpu, "memory": "1Gi", **budget}
        made["load"] = {"constant": {"rps": 1}}
        workload.append({"service": made})
    planned: list[dict[str, Any]] = []
    for index, task in enumerate(tasks):
        if task.arrives and (workload or index):
            planned.append({"at": f"{task.arrives}s", "apply": {"objects": [_pod(index, task)]}})
        else:  # a scenario begins with something
            workload.append({"objects": [_pod(index, task)]})
    for fault in (part for part in parts if isinstance(part, Fault)):
        form = _form(fault, len(nodes), len(services))
        if form is not None:
            planned.append({"at": f"{fault.at}s", fault.kind: form})
    spec = {"duration": f"{duration_s}s", "nodes": groups, "workload": workload, "faults": planned}
    return {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "generated"},
        "spec": {name: value for name, value in spec.items() if value},
    }


def _form(fault: Fault, nodes: int, services: int) -> dict[str, Any] | None:
    """As it stands in YAML; None for a fault of a service where there is none."""
    if fault.kind in SERVICE_FAULTS:
        if not services:
            return None
        name = f"s-{fault.which % services}"
        match fault.kind:
            case "scale":
                return {"name": name, "replicas": fault.to}
            case "rolloutRestart":
                return {"name": name}
            case _:
                return {"app": name, "count": 1}
    select = {"names": [f"n-{fault.which % nodes}-0"]}
    match fault.kind:
        case "nodeCrash":
            return {"select": select, "downFor": f"{fault.lasts}s"}
        case "drain":
            return {"select": select, "force": True}
        case _:
            return {"select": select}


def _pod(index: int, task: Task) -> dict[str, Any]:
    container = {"name": "main", "image": "task:1", "resources": {"requests": {"cpu": task.cpu, "memory": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"t-{index}", "annotations": {"podyard.dev/duration": f"{task.lasts}s"}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


# -- drawn -------------------------------------------------------------------------------------------------------------


def scenarios(
    *,
    most_nodes: int = 4,
    most_services: int = 2,
    most_tasks: int = 4,
    most_faults: int = 2,
    small_nodes: bool = True,
    faults: Sequence[str] = FAULTS,
    duration_s: int = 600,
) -> st.SearchStrategy[Scenario]:
    """Clusters with services (replicas, budgets), tasks that end, and faults: crashes of nodes and containers, pods
    that are deleted, rollouts, services that are scaled, nodes that are drained or leave for good. They shrink to the
    fewest parts, then to the fewest replicas and the smallest numbers. `small_nodes`: whether there are nodes without
    room for all pods together. `faults`: the kinds of faults, of FAULTS. Raises ValueError for another."""
    from hypothesis import strategies as st

    unknown = [kind for kind in faults if kind not in FAULTS]
    if unknown:
        raise ValueError(f"faults: {', '.join(map(repr, unknown))}; expected some of {', '.join(FAULTS)}")
    most = {Node: most_nodes, Service: most_services, Task: most_tasks, Fault: most_faults}
    latest = max(duration_s // 2, FIRST_FAULT_S + 1)
    if duration_s - EVICTED_S > FIRST_FAULT_S:
        latest = min(latest, duration_s - EVICTED_S)

    @st.composite
    def step(draw: Callable[[Any], Any], kinds: Sequence[str]) -> Part | _Again | str:
        # One number for each kind, 0 for 'this one': from any kind every simpler one is one number lowered away.
        kind = next((k for i, k in enumerate(kinds[:-1]) if not draw(st.integers(0, len(kinds) - 1 - i))), kinds[-1])
        match kind:
            case "service":
                return Service()
            case "task":
                return Task(1, draw(st.integers(0, 60)), draw(st.integers(1, 120)))
            case "node":
                return Node()
            case "small node":
                return Node(draw(st.integers(1, MOST_CPU)))
            case "replica" | "cpu" | "budget":
                return kind
            case "again":
                return _Again(draw(st.integers(1, 60)))
            case _:
                which = draw(st.integers(0, most_nodes - 1))
                fault = Fault(kind, which, draw(st.integers(FIRST_FAULT_S, latest)))
                if kind == "nodeCrash":
                    return replace(fault, lasts=draw(st.sampled_from(CRASH_LASTS_S)))
                return replace(fault, to=draw(st.integers(0, MOST_REPLICAS))) if kind == "scale" else fault

    if not faults:
        most[Fault] = 0
    left_out = {kind for kind in FAULTS if kind not in faults} | (set() if small_nodes else {"small node"})
    chosen = [kind for kind in _KINDS if kind not in left_out]
    some = st.lists(step(chosen), max_size=sum(most.values()))
    steps = st.tuples(*[some] * _LISTS).map(lambda drawn: [item for part in drawn for item in part])
    return st.builds(document, steps.map(lambda drawn: _parts(drawn, most)), duration_s=st.just(duration_s))


_LISTS = 3
"""A list that Hypothesis draws has five items on average, whatever its bound: with one alone, three of four clusters
were a single node, and four of ten scenarios had been drawn before."""


_KINDS = (
    *("replica", "cpu", "budget", "service", "node"),
    *(*FAULTS, "again", "again", "again", "task", "small node", "small node"),
)
"""Of steps, the simplest first. The first three make a part that is there already larger. Tasks and want of room come
last: they break most claims together with something else only, where a fault would do alone. Small nodes come twice as
often: a cluster is short of room only where it has no other."""


@dataclass(frozen=True, slots=True)
class _Again:
    """The last fault once more, to the same service or node: what goes well once may not go well twice."""

    after_s: int


def _parts(steps: Sequence[Part | _Again | str], most: dict[type, int]) -> list[Part]:
    """What would be too many, or too large, changes nothing. A replica or a budget is of the last service, a CPU of the
    last pod; the first begins a service where there is none."""
    parts: list[Part] = []
    for step in steps:
        if isinstance(step, _Again):
            last_fault = next((part for part in reversed(parts) if isinstance(part, Fault)), None)
            if last_fault is None:
                continue
            step = replace(last_fault, at=last_fault.at + step.after_s)
        if not isinstance(step, str):
            if sum(isinstance(part, type(step)) for part in parts) < most[type(step)]:
                parts.append(step)
            continue
        wanted = (Service, Task) if step == "cpu" else (Service,)
        last = max((index for index, part in enumerate(parts) if isinstance(part, wanted)), default=-1)
        if last < 0:
            parts.append(Service())
            last = len(parts) - 1
        part = parts[last]
        if isinstance(part, Service):
            parts[last] = _larger(part, step)
        elif isinstance(part, Task):
            parts[last] = replace(part, cpu=min(part.cpu + 1, MOST_CPU))
    return parts


def _larger(service: Service, step: str) -> Service:
    if step == "budget":
        return replace(service, budget=True)
    if step == "replica":
        return replace(service, replicas=min(service.replicas + 1, MOST_REPLICAS))
    return replace(service, cpu=min(service.cpu + 1, MOST_CPU))
