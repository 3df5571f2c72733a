"""What kube-scheduler 1.34.1 puts on the wire, without kube-scheduler: requests in protobuf, by Google's library.

Field numbers were read in k8s.io/api's and k8s.io/apimachinery's generated.proto (v0.34.1), not in Podyard's table.
Source of the requests: cmd/kube-scheduler/app/server.go, pkg/scheduler/{scheduler,schedule_one,eventhandlers}.go,
client-go tools/{cache/reflector,leaderelection,events}, rest/request.go.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterator
from functools import cache
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPT = f"{PROTOBUF}, */*"
"""client-go's, for contentType protobuf and no acceptContentTypes."""

MAGIC = b"k8s\x00"

SCHEMA = {
    "TypeMeta": "1 apiVersion s, 2 kind s",
    "Unknown": "1 typeMeta TypeMeta, 2 raw B",
    "RawExtension": "1 raw B",
    "WatchEvent": "1 type s, 2 object RawExtension",
    "ListMeta": "2 resourceVersion s, 3 continue s",
    "Status": "2 status s, 3 message s, 4 reason s, 6 code i",
    "Time": "1 seconds l, 2 nanos i",
    "Quantity": "1 string s",
    "Pair": "1 key s, 2 value s",
    "Amount": "1 key s, 2 value Quantity",
    "ObjectMeta": "1 name s, 3 namespace s, 5 uid s, 6 resourceVersion s, 8 creationTimestamp Time, 11 labels *Pair, "
    "12 annotations *Pair",
    "ObjectReference": "1 kind s, 2 namespace s, 3 name s, 4 uid s, 5 apiVersion s",
    "Binding": "1 metadata ObjectMeta, 2 target ObjectReference",
    "Resources": "2 requests *Amount",
    "Container": "1 name s, 2 image s, 8 resources Resources",
    "PodSpec": "2 containers *Container, 10 nodeName s, 19 schedulerName s, 25 priority i",
    "PodCondition": "1 type s, 2 status s, 5 reason s, 6 message s",
    "PodStatus": "1 phase s, 2 conditions *PodCondition, 11 nominatedNodeName s",
    "Pod": "1 metadata ObjectMeta, 2 spec PodSpec, 3 status PodStatus",
    "NodeStatus": "1 capacity *Amount, 2 allocatable *Amount",
    "Node": "1 metadata ObjectMeta, 3 status NodeStatus",
    "Event": "1 metadata ObjectMeta, 2 eventTime Time, 4 reportingController s, 5 reportingInstance s, 6 action s, "
    "7 reason s, 8 regarding ObjectReference, 10 note s, 11 type s",
    "LeaseSpec": "1 holderIdentity s, 2 leaseDurationSeconds i, 3 acquireTime Time, 4 renewTime Time, "
    "5 leaseTransitions i",
    "Lease": "1 metadata ObjectMeta, 2 spec LeaseSpec",
    "Any": "1 metadata ObjectMeta",
    "DeleteOptions": "1 gracePeriodSeconds l, 2 preconditions Preconditions",
    "Preconditions": "1 uid s",
    "VolumeResources": "2 requests *Amount",
    "PersistentVolumeClaimSpec": "1 accessModes *s, 2 resources VolumeResources, 3 volumeName s, 5 storageClassName s",
    "PersistentVolumeClaim": "1 metadata ObjectMeta, 2 spec PersistentVolumeClaimSpec",
    "SubjectAccessReviewStatus": "1 allowed b, 2 reason s",
    "ResourceAttributes": "1 namespace s, 2 verb s, 3 group s, 5 resource s",
    "SubjectAccessReviewSpec": "1 resourceAttributes ResourceAttributes, 3 user s",
    "SubjectAccessReview": "2 spec SubjectAccessReviewSpec, 3 status SubjectAccessReviewStatus",
    "DeviceRequestAllocationResult": "1 request s, 2 driver s, 3 pool s, 4 device s",
    "DeviceAllocationResult": "1 results *DeviceRequestAllocationResult",
    "AllocationResult": "1 devices DeviceAllocationResult",
    "ConsumerReference": "3 resource s, 4 name s, 5 uid s",
    "ResourceClaimStatus": "1 allocation AllocationResult, 2 reservedFor *ConsumerReference",
    "ExactDeviceRequest": "1 deviceClassName s, 3 allocationMode s, 4 count l",
    "DeviceRequest": "1 name s, 2 exactly ExactDeviceRequest",
    "DeviceClaim": "1 requests *DeviceRequest",
    "ResourceClaimSpec": "1 devices DeviceClaim",
    "ResourceClaim": "1 metadata ObjectMeta, 2 spec ResourceClaimSpec, 3 status ResourceClaimStatus",
}
LISTED = {
    "Pod": "/api/v1/pods",
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/services",
    "ReplicationController": "/api/v1/replicationcontrollers",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": "/api/v1/persistentvolumeclaims",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "CSINode": "/apis/storage.k8s.io/v1/csinodes",
    "CSIDriver": "/apis/storage.k8s.io/v1/csidrivers",
    "CSIStorageCapacity": "/apis/storage.k8s.io/v1/csistoragecapacities",
    "VolumeAttachment": "/apis/storage.k8s.io/v1/volumeattachments",
    "ResourceClaim": "/apis/resource.k8s.io/v1/resourceclaims",
    "ResourceSlice": "/apis/resource.k8s.io/v1/resourceslices",
    "DeviceClass": "/apis/resource.k8s.io/v1/deviceclasses",
}
"""Its informers."""

_TYPES = {"s": 9, "B": 12, "l": 3, "i": 5, "b": 8}  # FieldDescriptorProto.Type


@cache
def messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="kube_scheduler.proto", package="k", syntax="proto2")
    lists = {f"{kind}List": f"1 metadata ListMeta, 2 items *{kind if kind in SCHEMA else 'Any'}" for kind in LISTED}
    for name, text in {**SCHEMA, **lists}.items():
        message = file.message_type.add(name=name)
        for part in text.split(", "):
            number, field, kind = part.split()
            label = 3 if kind.startswith("*") else 1
            kind = kind.removeprefix("*")
            made = message.field.add(name=field, number=int(number), label=label, type=_TYPES.get(kind, 11))
            if kind not in _TYPES:
                made.type_name = f".k.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"k.{name}") for name in (*SCHEMA, *lists)}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


def sealed(version: str, kind: str, message: Any) -> bytes:
    about = messages()["TypeMeta"](apiVersion=version, kind=kind)
    envelope = messages()["Unknown"](typeMeta=about, raw=message.SerializeToString())
    return MAGIC + cast(bytes, envelope.SerializeToString())


def opened(data: bytes, name: str = "") -> Any:
    """The message in an envelope, as the kind it says, or as `name`."""
    assert data.startswith(MAGIC), data[:200]
    envelope = messages()["Unknown"].FromString(data[len(MAGIC) :])
    kind = envelope.typeMeta.kind
    return messages()[name or (kind if kind in messages() else "Any")].FromString(envelope.raw)


class Wire:
    """One client of the cluster of a kubeconfig. `accept`: of each request."""

    def __init__(self, config: Path, accept: str) -> None:
        data = yaml.safe_load(config.read_text())
        cluster, user = data["clusters"][0]["cluster"], data["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._where = urlsplit(cluster["server"])
        self._token = user["token"]
        self._trust = ssl.create_default_context(cadata=authority)
        self._accept = accept

    def open(self, method: str, path: str, body: bytes = b"", content_type: str = PROTOBUF) -> HTTPResponse:
        assert self._where.hostname is not None
        connection = HTTPSConnection(self._where.hostname, self._where.port, timeout=20, context=self._trust)
        headers = {"Accept": self._accept, "Authorization": f"Bearer {self._token}"}
        if body:
            headers["Content-Type"] = content_type
        connection.request(method, path, body or None, headers)
        return connection.getresponse()

    def call(self, method: str, path: str, body: bytes = b"", content_type: str = PROTOBUF) -> tuple[int, str, bytes]:
        answer = self.open(method, path, body, content_type)
        with answer:
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()

    def send(self, method: str, path: str, body: bytes = b"", content_type: str = PROTOBUF, expect: int = 200) -> bytes:
        code, _, data = self.call(method, path, body, content_type)
        assert code == expect, (method, path, code, data)
        return data


def frames(answer: HTTPResponse) -> Iterator[tuple[str, bytes]]:
    """(type, object in its envelope) of each event of a watch in protobuf."""
    while head := answer.read(4):
        event = messages()["WatchEvent"].FromString(answer.read(int.from_bytes(head, "big")))
        yield event.type, event.object.raw


def amounts(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value.string for pair in pairs}


def milli(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def condition(reason: str, message: str, *, nominated: str = "") -> bytes:
    """The patch of a pod's status that says why it was not placed."""
    told: dict[str, Any] = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    told |= {"lastProbeTime": None, "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    status: dict[str, Any] = {"$setElementOrder/conditions": [{"type": "PodScheduled"}], "conditions": [told]}
    if nominated:
        status["nominatedNodeName"] = nominated
    return json.dumps({"status": status}).encode()
