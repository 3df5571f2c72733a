"""JSON of any kind as nobody should send it: any field of the schema, of any type, with the values that hurt."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import msgspec

from harness.model.field_table import Field, json_fields, kind_messages, messages
from harness.model.objects import KINDS, Kind
from harness.model.wire import Wire

Json = dict[str, Any]

TEXTS = (
    "", "a", "x" * 300, "-", "a.b", "A", "../..", "%", "é", "\x00", "1", "1e9", "0", "-1", "100m", "5%", "101%", "In",
    "Exists", "true", "default", "kube-system", "2025-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
    "n0", "app", "NoExecute", "Always", "Never", "Delete", "RollingUpdate", "Indexed", "kubernetes.io/hostname", "v1",
    "DoNotSchedule", "Pod", "apps/v1", "Deployment", "web", "10.96.0.7", "None", "Bound", "Running", "Failed", "True",
)  # fmt: skip
INTEGERS = (0, 1, -1, 2, 7, 100, 65535, 65536, 2**31 - 1, -(2**31))
LONG = (*INTEGERS, 2**31, 2**53, 2**63 - 1, -(2**63))
QUANTITIES = ("0", "1", "100m", "-1", "1Ki", "4Gi", "9223372036854775807", "9Ei", "1e18", "1n", 3, 0.5)
RESOURCES = ("cpu", "memory", "pods", "nvidia.com/gpu", "example.com/x", "storage", "hugepages-2Mi", "limits.cpu", "")
NAMES = (
    "app", "a", "", "alibaba.com/gpu-card-model", "alibaba.com/gpu-count", "alibaba.com/gpu-index",
    "alibaba.com/gpu-milli", "batch.kubernetes.io/job-completion-index", "batch.kubernetes.io/controller-uid",
    "controller.kubernetes.io/pod-deletion-cost", "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas", "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history", "kubernetes.io/hostname", "kubernetes.io/service-name",
    "podyard.dev/cpu-per-request", "podyard.dev/cpu-usage", "podyard.dev/duration", "podyard.dev/exit-code",
    "podyard.dev/rank", "podyard.dev/ready-after", "podyard.dev/standing", "podyard.dev/stop-after",
    "podyard.dev/unhealthy-after", "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller",
    "pv.kubernetes.io/provisioned-by", "scheduling.x-k8s.io/pod-group", "service.kubernetes.io/headless",
    "storageclass.kubernetes.io/is-default-class", "topology.kubernetes.io/zone",
    "volume.beta.kubernetes.io/storage-class", "volume.kubernetes.io/selected-node",
    "volume.kubernetes.io/storage-provisioner",
)  # fmt: skip
"""Labels and annotations that components read."""
COUNTS = ("replicas", "parallelism", "completions", "minReplicas", "maxReplicas")
"""Of pods to make: a billion of them are legal and nobody's fault."""
WRONG: tuple[Any, ...] = (None, True, 0, -1, 2**70, 1.5, "", "many", [], ["v"], [None], [[]], {}, {"a": 1}, {"": None})

LEAST: dict[str, Json] = {
    "Pod": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
    "ReplicaSet": {}, "Deployment": {}, "DaemonSet": {}, "Job": {},
    "Service": {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
    "PersistentVolume": {
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}},
    },
    "StorageClass": {"provisioner": "example.com/p"},
    "HorizontalPodAutoscaler": {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}, "maxReplicas": 3},
    },
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
    "ResourceQuota": {"spec": {"hard": {"pods": "5"}}},
    "LimitRange": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}},
    "RoleBinding": {"roleRef": {"kind": "Role", "name": "r"}},
    "ClusterRoleBinding": {"roleRef": {"kind": "ClusterRole", "name": "r"}},
    "PriorityClass": {"value": 5},
    "Node": {"status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "10"}}},
    "PodGroup": {"spec": {"minMember": 2}},
}  # fmt: skip
_TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
for _kind in ("ReplicaSet", "Deployment", "DaemonSet"):
    LEAST[_kind] = {"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": _TEMPLATE}}
LEAST["Job"] = {"spec": {"template": {"spec": {**_TEMPLATE["spec"], "restartPolicy": "Never"}}}}  # type: ignore[dict-item]


class AnyJson:
    """`rng` makes the same JSON again. `wildness`: of how many fields in a hundred the type is wrong."""

    def __init__(self, rng: random.Random, wildness: int) -> None:
        self.rng = rng
        self.wildness = wildness

    def object(self, kind: Kind, name: str) -> Json:
        """A least valid object with some fields added or replaced."""
        out: Json = _copied(LEAST.get(kind.kind, {}))
        message = kind_messages().get((kind.api_version, kind.kind))
        for _ in range(self.rng.choice((1, 1, 2, 3, 8))):
            if message is not None:
                self._mutate(out, message, 0)
            else:
                out[self.rng.choice(("spec", "status", "data", "rules"))] = self._wrong()
        meta = out.get("metadata")
        if isinstance(meta, dict) or meta is None:
            out["metadata"] = {**(meta or {}), "name": name}
            out["metadata"].pop("namespace", None)
        return {"apiVersion": kind.api_version, "kind": kind.kind, **out}

    def _wrong(self) -> Any:
        return _copied(self.rng.choice(WRONG))

    def _mutate(self, obj: Json, message: str, depth: int) -> None:
        """One field somewhere within gets a new value."""
        fields = self._some(message, 1)
        if not fields:
            return
        field = fields[0]
        held = obj.get(field.name)
        inside = held[0] if isinstance(held, list) and held else held
        if isinstance(inside, dict) and field.type in messages() and depth < 8 and self.rng.random() < 0.8:
            self._mutate(inside, field.type, depth + 1)
        else:
            obj[field.name] = self._value(field, depth)

    def _value(self, field: Field, depth: int) -> Any:
        rng = self.rng
        if rng.randrange(100) < self.wildness:
            return self._wrong()
        if field.name in COUNTS:
            return rng.choice((-1, 0, 1, 2, 7))
        if field.repeated:
            return [self._one(field.type, depth) for _ in range(rng.choice((0, 1, 1, 2)))]
        if field.mapped:
            keys = (
                RESOURCES if field.type == "Quantity" else NAMES if field.name in ("annotations", "labels") else TEXTS
            )
            return {rng.choice(keys): self._one(field.type, depth) for _ in range(rng.choice((0, 1, 2, 3)))}
        return self._one(field.type, depth)

    def _one(self, kind: str, depth: int) -> Any:
        rng = self.rng
        match kind:
            case "s":
                return rng.choice(TEXTS)
            case "b":
                return rng.random() < 0.5
            case "i":
                return rng.choice(INTEGERS)
            case "l":
                return rng.choice(LONG)
            case "B":
                return "YQ=="
            case "Quantity":
                return rng.choice(QUANTITIES)
            case "IntOrString":
                return rng.choice((*INTEGERS, *TEXTS))
            case "Time" | "MicroTime":
                return rng.choice(("2025-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"))
            case "d":
                return rng.choice((*INTEGERS, 0.5))
            case "ExtraValue":
                return [rng.choice(TEXTS)]
            case "Raw" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool":
                return self._wrong()
        out: Json = {}
        if depth < 6:
            for field in self._some(kind, rng.choice((0, 1, 2, 4))):
                out[field.name] = self._value(field, depth + 1)
        return out

    def _some(self, message: str, most: int) -> list[Field]:
        """Fields of a message; those that a type models come more often, as somebody reads them."""
        fields = list(_fields(message).values()) if message in messages() else []
        if self.rng.random() < 0.75:
            fields = [field for field in fields if field.name in _modelled()] or fields
        return self.rng.sample(fields, min(len(fields), most))


@cache
def _modelled() -> frozenset[str]:
    """Names of the fields of all types, and of the others that components read."""
    found: set[str] = {"volumes", "ephemeral", "volumeClaimTemplate", "persistentVolumeClaim", "hostNetwork"}
    todo: list[Any] = [Wire]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        found |= {field.encode_name for field in msgspec.structs.fields(kind)}
    return frozenset(found)


def _fields(message: str) -> dict[str, Field]:
    """Without apiVersion and kind: an object has its own, and within an object they say nothing."""
    found = dict(json_fields(message))
    if any(field.type == "TypeMeta" for field in messages()[message]):
        del found["apiVersion"], found["kind"]
    return found


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def kinds() -> list[Kind]:
    return [kind for kind in KINDS.values() if kind.kind != "PodMetrics"]
