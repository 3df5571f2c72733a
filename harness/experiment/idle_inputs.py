"""What a scenario asks for and nothing in it would act on: an error before the run, or a notice.

An error where somebody wrote it into the scenario and it can do nothing; a notice where it may stand there for another
run (autoscalers that are compared on one scenario) or came with the state of a cluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from harness.autoscaling.policy import goes_by_objects, stands_alone
from harness.autoscaling.pool import NodePool
from harness.cluster.controllers import controllers
from harness.experiment.scenario import LoadedScenario
from harness.faults.apply import Apply
from harness.faults.timeline import Planned
from harness.model.errors import UserError
from harness.model.karpenter import NodePool as KarpenterNodePool
from harness.model.loading import read_text
from harness.model.objects import kind_of

CLUSTER_AUTOSCALER, JUST_IN_TIME = "cluster-autoscaler", "just-in-time"
NODE_POOL, NODE_CLAIM = "NodePool", "NodeClaim"

ACTS_ON = {
    "VerticalPodAutoscaler": ("vpa-recommender", "vpa-updater"),
    "HorizontalPodAutoscaler": ("horizontal-pod-autoscaler",),
    "PodDisruptionBudget": ("disruption-controller",),
    "ResourceQuota": ("resourcequota-controller",),
}
"""Kinds and the controllers without which they say nothing, or only half of it."""

_MOST_NAMES = 5


def idle_inputs(
    loaded: LoadedScenario,
    objects: Collection[Any],
    pools: Collection[NodePool],
    faults: Iterable[Planned],
    *,
    endless: bool = False,
) -> list[str]:
    """What nothing acts on, in words. `objects`: of the workload; `endless`: more may come from clients. Raises
    UserError."""
    spec = loaded.scenario.spec
    node_pools = sorted(obj.metadata.name for obj in objects if isinstance(obj, KarpenterNodePool))
    out: list[str] = []
    name = spec.autoscaler.partition("?")[0]
    if not goes_by_objects(name):
        if node_pools:
            out.append(_node_pools(loaded, node_pools, pools))
        if not pools and not stands_alone(name):
            out += _without_pools(loaded)
    elif name == JUST_IN_TIME:
        claims = any(kind_of(obj) == NODE_CLAIM for obj in objects)  # a person may make one without a NodePool
        if not node_pools and not claims and not endless and not any(_brings_node_pools(item.fault) for item in faults):
            raise loaded.error(
                "spec.autoscaler",
                f"{JUST_IN_TIME} goes by NodePools, and there are none",
                found=f"{JUST_IN_TIME}, {len(pools)} pools" if pools else JUST_IN_TIME,
                expected="a NodePool (karpenter.sh/v1) among the objects of the workload",
                hint=f"autoscaler: {CLUSTER_AUTOSCALER}, which goes by pools" if pools else None,
            )
        if not node_pools and endless:
            out.append(f"{JUST_IN_TIME} goes by NodePools, and there are none yet")
        if pools:
            names = _names(sorted(pool.name for pool in pools))
            out.append(f"pools {names} do nothing under {JUST_IN_TIME}, which goes by NodePools")
    return [*out, *_without_controllers(loaded, objects)]


def _node_pools(loaded: LoadedScenario, names: list[str], pools: Collection[NodePool]) -> str:
    """Raises UserError, unless there are pools that the autoscaler goes by, or all come from a dump."""
    autoscaler = loaded.scenario.spec.autoscaler
    where = next(_where_node_pools(loaded), "")
    if where and not pools:
        raise loaded.error(
            where,
            f"NodePools do nothing under the autoscaler {autoscaler}",
            found=f"NodePool {_names(names)}, autoscaler: {autoscaler}",
            expected=f"autoscaler: {JUST_IN_TIME}",
            hint=f"--set spec.autoscaler={JUST_IN_TIME}, or leave the NodePools out",
        )
    return f"NodePool {_names(names)} does nothing under {autoscaler}: {JUST_IN_TIME} goes by NodePools"


def _where_node_pools(loaded: LoadedScenario) -> Iterator[str]:
    """The entries that have NodePools, other than dumps: objects by their kind, files by their list."""
    for index, task in enumerate(loaded.scenario.spec.workload):
        where = f"spec.workload[{index}]"
        for at, item in enumerate(task.objects or ()):
            if isinstance(item, dict) and item.get("kind") == NODE_POOL:
                yield f"{where}.objects[{at}]"
        for at, path in enumerate(task.manifests or ()):
            if f"kind: {NODE_POOL}" in _text(loaded, path, f"{where}.manifests[{at}]"):
                yield f"{where}.manifests[{at}]"


def _text(loaded: LoadedScenario, path: str, where: str) -> str:
    try:
        return read_text(loaded.find(path, where), any_form=True).replace('"', "")
    except UserError:
        return ""  # told by whoever reads the objects


def _without_pools(loaded: LoadedScenario) -> list[str]:
    """Raises UserError for an autoscaler with settings, or another than the default one, that has no pools to size."""
    spec = loaded.scenario.spec
    if spec.autoscaler != CLUSTER_AUTOSCALER:
        raise loaded.error(
            "spec.autoscaler",
            f"{spec.autoscaler} sizes pools, and there are none",
            found="no spec.pools",
            expected="pools: [..]",
            hint=f"pools, or {JUST_IN_TIME} with NodePools",
        )
    if "autoscaler" in loaded.data.get("spec", {}):
        return [f"autoscaler: {CLUSTER_AUTOSCALER} does nothing: there are no pools"]
    return []


def _brings_node_pools(fault: Any) -> bool:
    texts = fault.objects if isinstance(fault, Apply) else ()
    return any(isinstance(text, dict) and text.get("kind") in (NODE_POOL, NODE_CLAIM) for text in texts)


def _without_controllers(loaded: LoadedScenario, objects: Iterable[Any]) -> list[str]:
    """Kinds whose controller the scenario leaves out."""
    asked = tuple(loaded.scenario.spec.controllers)
    if asked == ("*",):
        return []
    running = {component.name for component in controllers(asked)}
    names: dict[str, list[str]] = {}
    for obj in objects:
        kind = kind_of(obj)
        if not running.issuperset(ACTS_ON.get(kind, ())):
            names.setdefault(kind, []).append(obj.metadata.name)
    out = []
    for kind, found in names.items():
        missing = " and ".join(name for name in ACTS_ON[kind] if name not in running)
        out.append(f"{kind} {_names(sorted(found))}: {missing} does not run, as spec.controllers says")
    return out


def _names(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
