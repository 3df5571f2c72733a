"""The attach-detach controller and the external attacher: which volumes are attached where, and since when."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.storage.attach_detach import AttachDetachController
from harness.controllers.storage.attacher import AttacherController
from harness.engine.component import Delete, PatchStatus, Update
from harness.model.attachments import OUT_OF_SERVICE, is_attached, place_of, unique_name
from harness.model.core import ContainerState, ContainerStateTerminated, ContainerStatus, Node, NodeStatus, Pod, Taint
from harness.model.meta import Condition
from harness.model.objects import KINDS, Unstructured, from_wire
from tests.controllers.rig import Rig

DRIVER = "disk.example.com"


def made(*modes: str, controllers: bool = True) -> Rig:
    """A volume that the claim 'data' is bound to, and the nodes a and b."""
    rig = Rig(*((AttachDetachController(), AttacherController()) if controllers else ()))
    for name in ("a", "b"):
        ready = NodeStatus(conditions=(Condition(type="Ready", status="True"),))
        rig.create(replace(Node(), metadata=replace(Node().metadata, name=name), status=ready))
    volume(rig, "vol", "data", *modes)
    return rig


def volume(rig: Rig, name: str, claim: str, *modes: str, namespace: str = "default", driver: str = DRIVER) -> None:
    spec = {"accessModes": list(modes) or ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": claim, "namespace": namespace}
    bound = {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": {**spec, "volumeName": name}}
    asked = rig.create(from_wire(bound))
    rig.do(Update(replace(asked, status=replace(asked.status, phase="Bound")), "status"))
    source = {"csi": {"driver": driver, "volumeHandle": f"handle-{name}"}} if driver else {"hostPath": {"path": "/d"}}
    reference = {"name": claim, "namespace": namespace, "uid": asked.metadata.uid}
    held = {"capacity": {"storage": "1Gi"}, "accessModes": spec["accessModes"], "claimRef": reference, **source}
    rig.create(from_wire({"kind": "PersistentVolume", "metadata": {"name": name}, "spec": held}))


def pod(rig: Rig, name: str, node: str = "", claim: str = "data") -> Pod:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    found = rig.create(from_wire({"kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}))
    return rig.bind(found, node) if node else found


def there(rig: Rig) -> dict[str, bool]:
    """By node of a VolumeAttachment: whether it says attached."""
    found: list[Unstructured] = rig.server.listed("VolumeAttachment")
    return {place_of(each)[1]: is_attached(each) for each in found}


def reported(rig: Rig, node: str) -> list[str]:
    return [each.name for each in rig.get("Node", node, "").status.volumes_attached]


def use(rig: Rig, node: str, *names: str) -> None:
    """The kubelet's word: these are in use."""
    known = rig.get("Node", node, "")
    rig.do(PatchStatus(replace(known, status=replace(known.status, volumes_in_use=names))))


def lose(rig: Rig, node: str) -> None:
    known = rig.get("Node", node, "")
    rig.do(
        PatchStatus(
            replace(known, status=replace(known.status, conditions=(Condition(type="Ready", status="Unknown"),)))
        )
    )


NAME = f"kubernetes.io/csi/{DRIVER}^handle-vol"
"""As nodes say it. Source: pkg/volume/util GetUniqueVolumeName, csi_plugin.go GetVolumeName."""


def test_a_volume_is_attached_where_its_pod_is_bound_and_detached_when_that_is_gone() -> None:
    """Source: reconciler_test.go Test_Run_Positive_OneDesiredVolumeAttach,
    Test_Run_Positive_OneDesiredVolumeAttachThenDetachWithUnmountedVolume (1.34)."""
    rig = made()
    waits = pod(rig, "p")
    rig.run(1)
    assert there(rig) == {}
    rig.bind(waits, "a")
    rig.run(1)
    assert there(rig) == {"a": True}
    assert reported(rig, "a") == [NAME] == [unique_name(rig.get("PersistentVolume", "vol", ""))]
    assert [event.message for event in rig.events("SuccessfulAttachVolume")] == [
        'AttachVolume.Attach succeeded for volume "vol" '
    ]
    rig.kubelet_kills(waits)
    rig.run(1)
    assert there(rig) == {}
    assert reported(rig, "a") == []


def test_the_name_of_an_attachment_is_the_hash_that_kubernetes_makes() -> None:
    """sha256 of handle, driver and node: worked out with sha256sum. Source: csi_attacher.go getAttachmentName."""
    rig = made()
    pod(rig, "p", "a")
    rig.run(1)
    (found,) = rig.server.listed("VolumeAttachment")
    assert found.metadata.name == "csi-0a9c0781b13afcc12ff8ea45ca288231325e649956be9748a9151562069b3df8"
    assert found.metadata.finalizers == ("external-attacher/disk-example-com",)
    assert found.extra["spec"] == {
        "attacher": DRIVER,
        "nodeName": "a",
        "source": {"persistentVolumeName": "vol"},
    }


def test_what_is_mounted_stays_for_six_minutes_on_a_node_that_is_lost_and_for_ever_on_one_that_is_well() -> None:
    """Source: reconciler_test.go Test_Run_Positive_OneDesiredVolumeAttachThenDetachWithMountedVolume and
    Test_Run_OneVolumeDetachOnUnhealthyNode, .._NoDetachOnHealthyNode.. (1.34)."""
    rig = made()
    first = pod(rig, "p", "a")
    rig.run(1)
    use(rig, "a", NAME)
    rig.kubelet_kills(first)
    rig.run(1000)
    assert there(rig) == {"a": True}
    lose(rig, "a")
    rig.run(1)
    assert there(rig) == {}, "its six minutes have passed"
    second = pod(rig, "q", "b")
    rig.run(1)
    use(rig, "b", NAME)
    rig.kubelet_kills(second)
    lose(rig, "b")
    rig.run(359)
    assert there(rig) == {"b": True}
    rig.run(2)
    assert there(rig) == {}


def test_the_six_minutes_begin_anew_when_it_is_used_again() -> None:
    """Source: reconciler.go ResetDetachRequestTime."""
    rig = made()
    first = pod(rig, "p", "a")
    rig.run(1)
    use(rig, "a", NAME)
    lose(rig, "a")
    rig.kubelet_kills(first)
    rig.run(200)
    second = pod(rig, "q", "a")
    rig.run(1)
    rig.kubelet_kills(second)
    rig.run(300)
    assert there(rig) == {"a": True}
    rig.run(61)
    assert there(rig) == {}


def test_from_a_node_that_is_out_of_service_it_goes_at_once() -> None:
    """Source: reconciler_test.go Test_Run_OneVolumeDetachOnOutOfServiceTaintedNode (1.34)."""
    rig = made()
    first = pod(rig, "p", "a")
    rig.run(1)
    use(rig, "a", NAME)
    rig.kubelet_kills(first)
    rig.run(1)
    assert there(rig) == {"a": True}
    node = rig.get("Node", "a", "")
    taint = Taint(key=OUT_OF_SERVICE, effect="NoExecute")
    rig.do(Update(replace(node, spec=replace(node.spec, taints=(taint,)))))
    rig.run(1)
    assert there(rig) == {}


def test_a_node_that_is_deleted_is_one_that_is_not_well() -> None:
    rig = made()
    first = pod(rig, "p", "a")
    rig.run(1)
    use(rig, "a", NAME)
    rig.do(Delete("Node", "", "a"))
    rig.run(400)
    assert there(rig) == {"a": True}, "its pod is there, whatever became of the node"
    rig.kubelet_kills(first)
    rig.run(300)
    assert there(rig) == {"a": True}
    rig.run(61)
    assert there(rig) == {}


def test_one_node_at_a_time_and_the_second_is_told_once() -> None:
    """Source: reconciler_test.go Test_Run_OneVolumeAttachAndDetachMultipleNodesWithReadWriteOnce,
    Test_ReportMultiAttachError (1.34)."""
    rig = made()
    first = pod(rig, "p", "a")
    rig.run(1)
    pod(rig, "q", "b")
    rig.run(100)
    assert there(rig) == {"a": True}
    (told,) = rig.events("FailedAttachVolume")
    assert told.message == 'Multi-Attach error for volume "vol" Volume is already used by pod(s) p'
    assert (told.type, told.count, told.involved_object.name) == ("Warning", 1, "q")
    rig.kubelet_kills(first)
    rig.run(1)
    assert there(rig) == {"b": True}


def test_the_second_is_told_that_it_waits_for_nobody() -> None:
    """Source: reconciler_test.go Test_ReportMultiAttachError, "no pods use the volume" (1.34)."""
    rig = made()
    first = pod(rig, "p", "a")
    rig.run(1)
    use(rig, "a", NAME)
    rig.kubelet_kills(first)
    pod(rig, "q", "b")
    rig.run(1)
    assert [event.message for event in rig.events("FailedAttachVolume")] == [
        'Multi-Attach error for volume "vol" Volume is already exclusively attached to one node and can\'t be attached '
        "to another"
    ]


@pytest.mark.parametrize("mode", ["ReadWriteMany", "ReadOnlyMany"])
def test_what_may_be_shared_is_attached_to_both(mode: str) -> None:
    """Source: reconciler_test.go Test_Run_OneVolumeAttachAndDetachMultipleNodesWithReadWriteMany (1.34)."""
    rig = made("ReadWriteOnce", mode)
    pod(rig, "p", "a")
    pod(rig, "q", "b")
    rig.run(1)
    assert there(rig) == {"a": True, "b": True}


@pytest.mark.parametrize("driver", ["", "rancher.io/local-path"])
def test_what_no_csi_driver_made_is_not_attached(driver: str) -> None:
    rig = made()
    volume(rig, "other", "folder", driver=driver)
    pod(rig, "p", "a", "folder")
    rig.run(1)
    assert there(rig) == {}


@pytest.mark.parametrize(("required", "attached"), [(False, {}), (True, {"a": True}), (None, {"a": True})])
def test_a_driver_may_say_that_it_does_not_attach(required: bool | None, attached: dict[str, bool]) -> None:
    """Source: csi_plugin.go CanAttach, skipAttach (1.34)."""
    rig = made()
    kind = KINDS["CSIDriver"]
    spec = {} if required is None else {"attachRequired": required}
    rig.create(
        from_wire({"apiVersion": kind.api_version, "kind": "CSIDriver", "metadata": {"name": DRIVER}, "spec": spec})
    )
    pod(rig, "p", "a")
    rig.run(1)
    assert there(rig) == attached


@pytest.mark.parametrize(
    ("phase", "running", "deleted", "holds"),
    [
        ("Running", True, False, True),
        ("Running", True, True, True),
        ("Running", False, False, True),
        ("Running", False, True, False),
        ("Succeeded", False, False, False),
        ("Failed", False, False, False),
    ],
)
def test_which_pods_hold_their_volumes(phase: str, running: bool, deleted: bool, holds: bool) -> None:
    """Source: pkg/volume/util IsPodTerminated (1.34)."""
    rig = made()
    found = pod(rig, "p", "a")
    rig.run(1)
    ended = ContainerState(terminated=ContainerStateTerminated(exit_code=0))
    status = ContainerStatus(name="c", state=ContainerState() if running else ended)
    found = rig.get("Pod", "p")
    rig.do(PatchStatus(replace(found, status=replace(found.status, phase=phase, container_statuses=(status,)))))
    if deleted:
        rig.delete("Pod", "p", grace_s=30)
    rig.run(1)
    assert there(rig) == ({"a": True} if holds else {})


def test_what_somebody_writes_away_is_said_again() -> None:
    """Source: attach_detach_controller.go nodeAdd: a node that is registered anew has lost what was attached."""
    rig = made()
    pod(rig, "p", "a")
    rig.run(1)
    node = rig.get("Node", "a", "")
    rig.do(PatchStatus(replace(node, status=replace(node.status, volumes_attached=()))))
    rig.run(1)
    assert reported(rig, "a") == [NAME]


def test_a_controller_that_starts_again_goes_on_and_detaches_nothing_that_is_used() -> None:
    """Source: attach_detach_controller_test.go Test_ADC_VolumeAttachmentRecovery (1.34)."""
    rig = made()
    pod(rig, "p", "a")
    volume(rig, "vol2", "more")
    lone = pod(rig, "q", "b", "more")
    rig.run(1)
    rig.cluster.restart(rig.now, "persistentvolume-attach-detach-controller", 10**9)
    rig.kubelet_kills(lone)
    rig.run(0.5)
    assert there(rig) == {"a": True, "b": True}
    sent = len(rig.sent)
    rig.run(5)
    assert there(rig) == {"a": True}
    assert [effect for _, effect in rig.sent[sent:] if isinstance(effect, Delete)] != []
