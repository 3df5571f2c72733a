"""The DaemonSet pods that will stand on a node of a pool.

Source: cluster-autoscaler simulator/nodes and utils/daemonset/daemonset.go, GetDaemonSetPodsForNode (1.32): the pods of
all DaemonSets that suit the node are part of its template.
"""

from __future__ import annotations

from harness.autoscaling.pool import replaced
from harness.model.core import Pod
from harness.model.daemon_sets import with_tolerations
from harness.model.meta import ObjectMeta
from harness.model.objects import DaemonSet
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import PodView


class DaemonPods:
    """`DaemonSets` by key, and their pods as the snapshot's classes see them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._pods: dict[str, Pod] = {}

    def put(self, daemon_set: DaemonSet) -> None:
        template, meta = daemon_set.spec.template, daemon_set.metadata
        spec = with_tolerations(template.spec)
        pod_meta = ObjectMeta(namespace=meta.namespace, name=meta.name, labels=template.metadata.labels)
        self._pods[meta.key] = Pod(metadata=replaced(pod_meta, annotations=template.metadata.annotations), spec=spec)

    def remove(self, key: str) -> None:
        self._pods.pop(key, None)

    def objects(self) -> list[Pod]:
        """The pod that each DaemonSet makes, in order of their keys."""
        return [self._pods[key] for key in sorted(self._pods)]

    def of_node(self, name: str) -> list[PodView]:
        """Of every DaemonSet the pod that it would start on the node `name`, whether it suits the node or not."""
        out = []
        for key in sorted(self._pods):
            pod = self._pods[key]
            named = replaced(pod.metadata, name=f"{pod.metadata.name}-{name}")
            out.append(self._snapshot.classes.view(replaced(pod, metadata=named)))
        return out
