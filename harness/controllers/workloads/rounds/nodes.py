"""The nodes whose GPUs training jobs run on: which are heard of, and on which something can be started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from harness.controllers.runtime.informer import Informer
from harness.engine.component import STANDING_LEASE, Instant
from harness.model.core import Node, Taint
from harness.model.gpu import gpus_of
from harness.model.meta import condition
from harness.model.workloads import Job, Lease


class GpuNodes:
    """`gpus`, `names`: for each GPU the name of its node."""

    def __init__(self, informer: Informer, gpus: Sequence[str]) -> None:
        self._informer = informer
        self.names = list(gpus)
        self.gpus_of = Counter(gpus)  # by node

    def silent(self, now: Instant, period_ns: int) -> set[str]:
        """Those that are gone or not ready, or that have not renewed their lease when they should have."""
        out: set[str] = set()
        for name in self.gpus_of:
            node = self._get(name)
            if self.renewed(name, now) + 2 * period_ns < now or node is None or not node_state(node)[0]:
                out.add(name)
        return out

    def renewed(self, name: str, now: Instant) -> Instant:
        """When the node renewed its lease last; `now` where it does so on time, or where there is none."""
        lease: Lease | None = self._informer.get("Lease", f"kube-node-lease/{name}")
        if lease is None or lease.metadata.annotations.get(STANDING_LEASE):
            return now
        return lease.spec.renew_time or 0

    def unusable(self, silent: Collection[str], active: Sequence[Job]) -> frozenset[int]:
        """GPUs that nothing can be started on. What runs on a node that was cordoned, or tainted, is not broken.

        Who gives the schedule does not know which job may go where: a taint that one of the `active` does not tolerate
        keeps all of them off.
        """
        nodes = {name for name in self.gpus_of if name in silent or not _is_open(self._get(name), active)}
        return frozenset(gpu for gpu, node in enumerate(self.names) if node in nodes)

    def held(self, pods: Mapping[str, int]) -> frozenset[int]:
        """As many GPUs of each node as there are `pods` on it."""
        left = dict(pods)
        out = []
        for gpu, node in enumerate(self.names):
            if left.get(node, 0) > 0:
                left[node] -= 1
                out.append(gpu)
        return frozenset(out)

    def with_room(self, job: Job, held: Callable[[str], int], now: Instant, period_ns: int) -> str | None:
        """A node that is heard of, takes pods of `job`, and has a GPU that nobody holds. `held`: GPUs by node."""
        silent = self.silent(now, period_ns)
        for name, has in self.gpus_of.items():
            if held(name) < has and name not in silent and _is_open(self._get(name), (job,)):
                return name
        return None

    def replace_gone(self, active: Sequence[Job]) -> bool:
        """Whether nodes that are gone were replaced: each by one that came and has at least as many GPUs, as an upgrade
        with a surge makes them."""
        nodes = self._informer.objects("Node")
        gone = [name for name in self.gpus_of if name not in nodes]
        if not gone:
            return False
        spare = {
            name: gpus_of(nodes[name].status.allocatable)
            for name in sorted(nodes)
            if name not in self.gpus_of and _is_open(nodes[name], active)
        }
        found = {}
        for name in gone:
            substitute = next((node for node, has in spare.items() if has >= self.gpus_of[name]), None)
            if substitute is not None:
                found[name] = substitute
                del spare[substitute]
        self.names = [found.get(name, name) for name in self.names]
        self.gpus_of = Counter(self.names)
        return bool(found)

    def is_reachable(self, name: str) -> bool:
        node = self._get(name)
        if node is None:
            return False
        ready, unschedulable, _ = node_state(node)
        return ready and not unschedulable

    def _get(self, name: str) -> Node | None:
        node: Node | None = self._informer.get("Node", name)
        return node


def node_state(node: Node) -> tuple[bool, bool, tuple[Taint, ...]]:
    """Ready, unschedulable, and taints that keep pods off, but for Kubernetes' own, which say what conditions say."""
    ready = condition(node.status.conditions, "Ready")
    taints = [
        taint
        for taint in node.spec.taints
        if taint.effect in ("NoSchedule", "NoExecute") and not taint.key.startswith("node.kubernetes.io/")
    ]
    return ready is not None and ready.status == "True", bool(node.spec.unschedulable), tuple(taints)


def _is_open(node: Node | None, active: Sequence[Job]) -> bool:
    """Whether pods of any of the active jobs can be started there."""
    if node is None:
        return False
    ready, unschedulable, taints = node_state(node)
    return ready and not unschedulable and all(_tolerated(taint, active) for taint in taints)


def _tolerated(taint: Taint, active: Sequence[Job]) -> bool:
    return all(any(each.tolerates(taint) for each in job.spec.template.spec.tolerations) for job in active)
