"""What faults see of the cluster."""

from __future__ import annotations

from harness.engine.component import ADDED, Relist, Watch
from harness.faults.targets import Targets
from harness.model.core import Pod, PodSpec, PodStatus
from harness.model.meta import ObjectMeta


def _pod(name: str, phase: str) -> Pod:
    meta = ObjectMeta(name=name, namespace="default")
    return Pod(metadata=meta, spec=PodSpec(node_name="n"), status=PodStatus(phase=phase))


def test_a_list_of_pods_replaces_all_that_were_known() -> None:
    """After a restore of etcd pods are gone that no watch says have been deleted; a drain waited for those."""
    targets = Targets()
    for name, phase in (("runs", "Running"), ("ended", "Succeeded")):
        targets.observe(Watch(ADDED, _pod(name, phase)))
    targets.observe(Relist("Pod", (_pod("new", "Running"),)))
    assert [pod.metadata.name for pod in targets.bound_to("n")] == ["new"]
    assert list(targets.pods["n"]) == ["default/new"]
