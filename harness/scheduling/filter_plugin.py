"""What a Filter plugin of others is: what it asks of nodes for a pod, where that holds, and why not where it does not.

Filter plugins are the cluster's, not a strategy's: every strategy is held to them, and so are preemption, autoscalers
and checks of the end state. They are named in `spec.scheduling.filters` of a scenario, as `package.module:object` or by
an entry point of GROUP, and asked after kube-scheduler's own, in the order in which they are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from harness.model.core import Pod
from harness.scheduling.strategy import Bool, DependsOn, Int64, NodesView

GROUP = "podyard.filter_plugins"

Asked: TypeAlias = str | int | float | bool | tuple["Asked", ...]
"""What a pod asks of nodes, as a plain value: pods that ask the same share their verdicts."""


class FilterPlugin(Protocol):
    """One Filter plugin. It answers by its arguments alone: the same arguments, the same answer.

    `name`: as told in messages; not that of another Filter plugin of the cluster. `depends_on`: what a verdict on a
    node follows from, and so how long it is kept: DependsOn.NODE_SPEC (labels, taints, capacity), NODE (also what runs
    on that node), CLUSTER (also what runs elsewhere; asked again after every change, so the dearest). Evictions are
    tried for what depends on NODE or CLUSTER, not for what depends on NODE_SPEC.

    What it raises, a call that passes the deadline, an attempt to change what it is shown and an answer that is none
    reject the nodes that it was asked about, and are counted as violations of the run.
    """

    name: str
    depends_on: DependsOn

    def asks(self, pod: Pod) -> Asked | None:
        """What the pod asks of nodes; None: nothing, so that the plugin has no part in it.

        `pod`: a copy with its namespace, labels, annotations and spec (without schedulingGates and what only the
        kubelet reads, see harness.scheduling.pods.spec_key); its name, status and owner are not shown.
        """

    def holds(self, asked: Asked, cluster: NodesView, nodes: Int64) -> Bool:
        """Where it holds, bool [len(nodes)]. `nodes`: indices of nodes that are there."""

    def reason(self, asked: Asked, cluster: NodesView, node: int) -> str:
        """Of one node where it does not hold, as FailedScheduling tells it: 'node(s) had no licence left'."""


@runtime_checkable
class UsesFilterPlugins(Protocol):
    """A component that asks by itself where pods fit, such as an autoscaler."""

    def use_filter_plugins(self, plugins: Sequence[FilterPlugin]) -> None:
        """Those of the cluster, before the component's first step. They raise nothing."""
