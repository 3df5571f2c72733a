"""What kubectl's columns say."""

from __future__ import annotations

from typing import Any

import pytest

from harness.apiserver.http.tables import cells, columns
from harness.apiserver.kinds import RULES
from harness.apiserver.registry.table_cells import Moment, duration

NOW = Moment(3_600 * 10**9, 0)  # an hour after the epoch
THEN = "1970-01-01T00:55:00Z"  # five minutes ago


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (599, "9m59s"), (600, "10m"),
        (10_799, "179m"), (10_800, "3h"), (10_860, "3h1m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"),
        (176_400, "2d1h"), (691_200, "8d"), (63_071_999, "729d"), (63_072_000, "2y"), (63_158_400, "2y1d"),
        (252_288_000, "8y"),
    ],
)  # fmt: skip
def test_ages_are_written_as_kubernetes_writes_them(seconds: int, text: str) -> None:
    """The cases of apimachinery's own duration tests."""
    assert duration(seconds) == text


def pod(status: dict[str, Any], **meta: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}
    return {"metadata": {"name": "p", "creationTimestamp": THEN, **meta}, "spec": spec, "status": status}


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": "running" in state, "restartCount": 0, "state": state}


RUNNING = [container("a", running={}), container("b", running={})]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Pending"}, ["0/2", "Pending", "0"]),
        ({"phase": "Running", "containerStatuses": RUNNING}, ["2/2", "Running", "0"]),
        (
            {
                "phase": "Running",
                "containerStatuses": [RUNNING[0], container("b", waiting={"reason": "CrashLoopBackOff"})],
            },
            ["1/2", "CrashLoopBackOff", "0"],
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", running={})]},
            ["0/2", "Init:0/1", "0"],
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container("i", waiting={"reason": "ErrImagePull"})]},
            ["0/2", "Init:ErrImagePull", "0"],
        ),
        (
            {  # an init container that ended badly after the pod had begun: a sidecar that was stopped last
                "phase": "Succeeded",
                "conditions": [{"type": "Initialized", "status": "True"}],
                "initContainerStatuses": [
                    {**container("i", terminated={"exitCode": 0, "reason": "Completed"}), "restartCount": 2},
                    container("s", terminated={"exitCode": 143, "reason": "Error"}),
                ],
                "containerStatuses": [container("a", terminated={"reason": "Completed", "exitCode": 0})],
            },
            ["0/2", "Completed", "0"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/2", "Evicted", "0"]),
        (
            {
                "phase": "Succeeded",
                "containerStatuses": [container("a", terminated={"reason": "Completed", "exitCode": 0})],
            },
            ["0/2", "Completed", "0"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [container("a", terminated={"exitCode": 3})]},
            ["0/2", "ExitCode:3", "0"],
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    {**RUNNING[0], "restartCount": 4, "lastState": {"terminated": {"finishedAt": THEN}}},
                    RUNNING[1],
                ],
            },
            ["2/2", "Running", "4 (5m ago)"],
        ),
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            },
            ["0/2", "SchedulingGated", "0"],
        ),
    ],
)
def test_a_pods_status_is_its_most_telling_part(status: dict[str, Any], shown: list[str]) -> None:
    assert cells("Pod", pod(status), NOW)[1:4] == shown
    going = cells("Pod", pod(status, deletionTimestamp=THEN), NOW)[2]
    assert going == (shown[1] if status["phase"] in ("Succeeded", "Failed") else "Terminating")


def test_nodes_tell_readiness_roles_and_cordons() -> None:
    node: dict[str, Any] = {
        "metadata": {"name": "n", "creationTimestamp": THEN, "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    }
    assert cells("Node", node, NOW)[:4] == ["n", "NotReady,SchedulingDisabled", "control-plane", "5m"]


def test_every_kind_has_a_cell_for_each_column_even_when_it_is_empty() -> None:
    for kind in RULES:
        empty = {"metadata": {"name": "x"}}
        assert len(cells(kind, empty, NOW)) == len(columns(kind)), kind


def test_attachments_tell_what_is_attached_where() -> None:
    """Source: printers.go printVolumeAttachment (1.34)."""
    spec = {"attacher": "disk.example.com", "nodeName": "n-0", "source": {"persistentVolumeName": "vol"}}
    meta = {"name": "csi-1", "creationTimestamp": THEN}
    obj = {"metadata": meta, "spec": spec, "status": {"attached": True}}
    shown = [column["name"] for column in columns("VolumeAttachment")]
    assert shown == ["Name", "Attacher", "PV", "Node", "Attached", "Age"]
    assert cells("VolumeAttachment", obj, NOW) == ["csi-1", "disk.example.com", "vol", "n-0", True, "5m"]
