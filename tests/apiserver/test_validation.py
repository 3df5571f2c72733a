"""What the API server refuses, with the field that is wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.apiserver.server import ApiServer
from harness.model.objects import from_wire, to_wire
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore


@pytest.fixture
def server() -> ApiServer:
    return ApiServer(MemoryStore(ObjectCodec()))


CONTAINER = {"name": "c", "image": "i"}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [CONTAINER]}}
SELECTOR = {"matchLabels": {"app": "a"}}
GOOD: dict[str, dict[str, Any]] = {
    "Pod": {"spec": {"containers": [CONTAINER]}},
    "Deployment": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "ReplicaSet": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "Job": {"spec": {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}}},
    "Service": {"spec": {"ports": [{"port": 80}], "selector": {"app": "a"}}},
    "Node": {},
    "PriorityClass": {"value": 10},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": SELECTOR}},
    "HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"}}
    },
    "ConfigMap": {"data": {"a": "b"}},
    "EndpointSlice": {"addressType": "IPv4"},
    "Lease": {"spec": {"leaseDurationSeconds": 40}},
    "RoleBinding": {"roleRef": {"kind": "Role", "name": "r"}},
    "PersistentVolume": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": {"driver": "d"}}
    },
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "StorageClass": {"provisioner": "ebs.csi.aws.com"},
    "ResourceQuota": {"spec": {"hard": {"pods": "4", "requests.cpu": "1500m", "count/jobs.batch": "2"}}},
    "LimitRange": {
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "4"}, "default": {"cpu": "2"}}]}
    },
}


def put(obj: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with `value` at a dotted path; digits are list indices."""
    out = copy.deepcopy(obj)
    *way, last = path.split(".")
    at: Any = out
    for part in way:
        at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
    if isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return out


def good(kind: str, name: str = "x") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, **copy.deepcopy(GOOD[kind])}


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_right_is_taken(server: ApiServer, kind: str) -> None:
    made = server.create(from_wire(good(kind)))
    assert server.update(made) is made, "writing back what is there must change nothing"


POD_SPEC = [
    ("containers", [], "containers", "Required value"),
    ("containers.0.name", "", "containers[0].name", "Required value"),
    ("containers.0.name", "A_b", "containers[0].name", "RFC 1123 label"),
    ("containers", [CONTAINER, CONTAINER], "containers[1].name", "Duplicate value"),
    ("initContainers", [CONTAINER], "containers[0].name", "Duplicate value"),
    ("containers.0.image", "", "containers[0].image", "Required value"),
    ("containers.0.imagePullPolicy", "Often", "containers[0].imagePullPolicy", "supported values"),
    ("containers.0.resources", {"requests": {"cpu": "-1"}}, "containers[0].resources.requests[cpu]", "greater than"),
    ("containers.0.resources", {"limits": {"memory": "-1Gi"}}, "containers[0].resources.limits[memory]", "greater"),
    (
        "containers.0.resources",
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
        "containers[0].resources.requests",
        "less than or equal to cpu limit of 1",
    ),
    ("containers.0.resources", {"requests": {"gold": "1"}}, "containers[0].resources.requests[gold]", "standard"),
    (
        "containers.0.resources",
        {"limits": {"nvidia.com/gpu": "500m"}},
        "containers[0].resources.limits[nvidia.com/gpu]",
        "must be an integer",
    ),
    ("containers.0.ports", [{"containerPort": 0}], "containers[0].ports[0].containerPort", "between 1 and 65535"),
    ("containers.0.ports", [{"containerPort": 1, "protocol": "X"}], "containers[0].ports[0].protocol", "supported"),
    (
        "containers.0.ports",
        [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}],
        "containers[0].ports[1].name",
        "Duplicate",
    ),
    (
        "containers.0.ports",
        [{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}],
        "containers[0].ports[1].hostPort",
        "Duplicate",
    ),
    ("containers.0.livenessProbe", {"periodSeconds": 3}, "containers[0].livenessProbe", "handler type"),
    (
        "containers.0.livenessProbe",
        {"exec": {}, "successThreshold": 2},
        "containers[0].livenessProbe.successThreshold",
        "must be 1",
    ),
    (
        "containers.0.readinessProbe",
        {"exec": {}, "tcpSocket": {"port": 1}},
        "containers[0].readinessProbe.tcpSocket",
        "more than 1 handler",
    ),
    (
        "containers.0.readinessProbe",
        {"exec": {}, "initialDelaySeconds": -1},
        "containers[0].readinessProbe.initialDelaySeconds",
        "greater than or equal to 0",
    ),
    (
        "containers.0.volumeMounts",
        [{"name": "v", "mountPath": "/v"}],
        "containers[0].volumeMounts[0].name",
        "Not found",
    ),
    ("volumes", [{"name": "v"}, {"name": "v"}], "volumes[1].name", "Duplicate"),
    (
        "volumes",
        [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}],
        "volumes[0].hostPath",
        "more than 1 volume",
    ),
    ("hostname", "ABC", "hostname", "RFC 1123 label"),
    (
        "containers.0.resources",
        {"requests": {"nvidia.com/gpu": "1"}},
        "containers[0].resources.limits",
        "Limit must be set for non overcommitable resources",
    ),
    (
        "containers.0.resources",
        {"requests": {"cpu": "1", "hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "4Mi"}},
        "containers[0].resources.requests",
        "must be equal to hugepages-2Mi limit of 4Mi",
    ),
    (
        "containers.0.resources",
        {"limits": {"hugepages-2Mi": "2Mi"}},
        "containers[0].resources",
        "require cpu or memory",
    ),
    ("restartPolicy", "Maybe", "restartPolicy", "supported values"),
    ("terminationGracePeriodSeconds", -1, "terminationGracePeriodSeconds", "greater than"),
    ("activeDeadlineSeconds", 0, "activeDeadlineSeconds", "greater than or equal to 1"),
    ("nodeSelector", {"a b": "c"}, "nodeSelector", "name part"),
    ("tolerations", [{"operator": "Equal"}], "tolerations[0].operator", "Exists when `key` is empty"),
    ("tolerations", [{"key": "a", "operator": "Exists", "value": "b"}], "tolerations[0].operator", "must be empty"),
    ("tolerations", [{"key": "a", "effect": "Never"}], "tolerations[0].effect", "supported values"),
    (
        "tolerations",
        [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 3}],
        "tolerations[0].effect",
        "must be 'NoExecute'",
    ),
    (
        "topologySpreadConstraints",
        [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
        "topologySpreadConstraints[0].maxSkew",
        "greater than zero",
    ),
    (
        "topologySpreadConstraints",
        [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "Perhaps"}],
        "topologySpreadConstraints[0].whenUnsatisfiable",
        "supported values",
    ),
    (
        "affinity",
        {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]}},
        "affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
        "can not be empty",
    ),
    (
        "affinity",
        {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 101, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
                ]
            }
        },
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
        "range 1-100",
    ),
    (
        "affinity",
        {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]
                }
            }
        },
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
        ".matchExpressions[0].values",
        "must be specified",
    ),
    ("schedulingGates", [{"name": "a"}, {"name": "a"}], "schedulingGates[1]", "Duplicate"),
]


@pytest.mark.parametrize(("path", "value", "field", "why"), POD_SPEC)
def test_pod_specs(server: ApiServer, path: str, value: Any, field: str, why: str) -> None:
    refused(server, put(good("Pod"), f"spec.{path}", value), f"spec.{field}", why)
    in_template = put(good("Deployment"), f"spec.template.spec.{path}", value)
    refused(server, in_template, f"spec.template.spec.{field}", why)


OTHERS = [
    ("Pod", "metadata.name", "A", "metadata.name", "RFC 1123 subdomain"),
    ("Pod", "metadata.name", "", "metadata.name", "name or generateName is required"),
    ("Pod", "metadata.labels", {"a": "b c"}, "metadata.labels", "valid label"),
    ("Pod", "metadata.labels", {"/x": "b"}, "metadata.labels", "prefix part must be non-empty"),
    ("Pod", "metadata.annotations", {"a": "x" * 300_000}, "metadata.annotations", "Too long"),
    ("Pod", "metadata.ownerReferences", [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": ""}],
     "metadata.ownerReferences[0].uid", "must not be empty"),
    ("Service", "metadata.name", "1x", "metadata.name", "DNS-1035"),
    ("Deployment", "spec.replicas", -1, "spec.replicas", "greater than or equal to 0"),
    ("Deployment", "spec.selector", {}, "spec.selector", "Required value"),
    ("Deployment", "spec.selector", {"matchLabels": {"app": "b"}}, "spec.template.metadata.labels", "does not match"),
    ("Deployment", "spec.strategy", {"type": "Slow"}, "spec.strategy.type", "supported values"),
    ("Deployment", "spec.strategy", {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
     "spec.strategy.rollingUpdate.maxUnavailable", "may not be 0 when `maxSurge` is 0"),
    ("Deployment", "spec.strategy", {"rollingUpdate": {"maxUnavailable": "200%"}},
     "spec.strategy.rollingUpdate.maxUnavailable", "greater than 100%"),
    ("Deployment", "spec.strategy", {"rollingUpdate": {"maxSurge": "lots"}},
     "spec.strategy.rollingUpdate.maxSurge", "valid percent"),
    ("Deployment", "spec.progressDeadlineSeconds", 0, "spec.progressDeadlineSeconds", "greater than minReady"),
    ("Deployment", "spec.template.spec.restartPolicy", "Never", "spec.template.spec.restartPolicy", "supported values"),
    ("ReplicaSet", "spec.selector", {"matchExpressions": [{"key": "a", "operator": "Near"}]},
     "spec.selector.matchExpressions[0].operator", "not a valid selector operator"),
    ("Job", "spec.template.spec.restartPolicy", "Always", "spec.template.spec.restartPolicy", "supported values"),
    ("Job", "spec.parallelism", -2, "spec.parallelism", "greater than or equal to 0"),
    ("Job", "spec", {"completionMode": "Indexed", "parallelism": 2, "template": TEMPLATE},
     "spec.completions", "Required value"),
    ("Service", "spec.ports", [], "spec.ports", "Required value"),
    ("Service", "spec.ports", [{"port": 1}, {"port": 2}], "spec.ports[0].name", "Required value"),
    ("Service", "spec.ports", [{"port": 70000}], "spec.ports[0].port", "between 1 and 65535"),
    ("Service", "spec.clusterIP", "192.168.0.1", "spec.clusterIPs", "not in the valid range"),
    ("Node", "spec.taints", [{"key": "a", "effect": "Sometimes"}], "spec.taints[0].effect", "supported values"),
    ("Node", "spec.taints", [{"key": "a"}, {"key": "a"}], "spec.taints[1]", "Duplicate"),
    ("PriorityClass", "value", 2_000_000_000, "value", "maximum allowed"),
    ("PriorityClass", "metadata.name", "system-mine", "metadata.name", "reserved for system"),
    ("PodDisruptionBudget", "spec.maxUnavailable", 1, "spec", "cannot be both set"),
    ("PodDisruptionBudget", "spec.minAvailable", "-5%", "spec.minAvailable", "valid percent"),
    ("HorizontalPodAutoscaler", "spec.minReplicas", 5, "spec.maxReplicas", "greater than or equal to `minReplicas`"),
    ("HorizontalPodAutoscaler", "spec.maxReplicas", 0, "spec.maxReplicas", "must be greater than 0"),
    ("HorizontalPodAutoscaler", "spec.scaleTargetRef.name", "", "spec.scaleTargetRef.name", "Required"),
    ("ConfigMap", "data", {"a b": "c"}, "data[a b]", "valid config key"),
    ("EndpointSlice", "addressType", "IPv5", "addressType", "supported values"),
    ("Lease", "spec.leaseDurationSeconds", 0, "spec.leaseDurationSeconds", "greater than 0"),
    ("RoleBinding", "roleRef.kind", "Rule", "roleRef.kind", "supported values"),
    ("PersistentVolume", "spec.accessModes", [], "spec.accessModes", "at least 1 access mode is required"),
    ("PersistentVolume", "spec.capacity", {"storage": "0"}, "spec.capacity[storage]", "greater than zero"),
    ("PersistentVolume", "spec.capacity", {"cpu": "1"}, "spec.capacity", "supported values"),
    ("PersistentVolume", "spec", {"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "local": {}},
     "spec.nodeAffinity", "Local volume requires node affinity"),
    ("PersistentVolume", "spec", {"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"]},
     "spec", "must specify a volume type"),
    ("PersistentVolume", "spec.hostPath", {"path": "/x"}, "spec.hostPath", "may not specify more than 1 volume type"),
    ("PersistentVolume", "spec.persistentVolumeReclaimPolicy", "Burn", "spec.persistentVolumeReclaimPolicy",
     "supported values"),
    ("PersistentVolume", "spec.nodeAffinity", {"required": {"nodeSelectorTerms": []}},
     "spec.nodeAffinity.required.nodeSelectorTerms", "at least one node selector term"),
    ("PersistentVolumeClaim", "spec.resources", {}, "spec.resources[storage]", "Required value"),
    ("PersistentVolumeClaim", "spec.accessModes", ["ReadWriteOncePod", "ReadWriteOnce"], "spec.accessModes",
     "may not use ReadWriteOncePod with other access modes"),
    ("PersistentVolumeClaim", "spec.accessModes", ["Sometimes"], "spec.accessModes", "supported values"),
    ("PersistentVolumeClaim", "spec.storageClassName", "A B", "spec.storageClassName", "RFC 1123 subdomain"),
    ("StorageClass", "provisioner", "", "provisioner", "Required value"),
    ("ResourceQuota", "spec.hard", {"podz": "4"}, "spec.hard[podz]", "must be a standard resource for quota"),
    ("ResourceQuota", "spec.hard", {"pods": "-1"}, "spec.hard[pods]", "greater than or equal to 0"),
    ("ResourceQuota", "spec.hard", {"pods": "1500m"}, "spec.hard[pods]", "must be an integer"),
    ("ResourceQuota", "spec.hard", {"count/jobs.batch": "1500m"}, "spec.hard[count/jobs.batch]", "must be an integer"),
    ("ResourceQuota", "spec.scopes", ["Best"], "spec.scopes", "unsupported scope"),
    ("ResourceQuota", "spec.scopes", ["Terminating", "NotTerminating"], "spec.scopes", "conflicting scopes"),
    ("ResourceQuota", "spec.scopes", ["BestEffort"], "spec.scopes", "unsupported scope applied to resource"),
    ("ResourceQuota", "spec.scopeSelector", {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In",
     "values": ["a"]}]}, "spec.scopeSelector.matchExpressions[0].operator", "must be 'Exist'"),
    ("ResourceQuota", "spec.scopeSelector", {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]},
     "spec.scopeSelector.matchExpressions[0].values", "at least one value"),
    ("LimitRange", "spec.limits.0.type", "Box", "spec.limits[0].type", "standard limit type"),
    ("LimitRange", "spec.limits", [{"type": "Pod", "max": {"cpu": "1"}}] * 2, "spec.limits[1].type", "Duplicate"),
    ("LimitRange", "spec.limits.0.type", "Pod", "spec.limits[0].default", "may not be specified when `type` is 'Pod'"),
    ("LimitRange", "spec.limits.0.min.cpu", "5", "spec.limits[0].min[cpu]", "min value 5 is greater than max value 4"),
    ("LimitRange", "spec.limits.0.default.cpu", "7", "spec.limits[0].default[cpu]", "greater than max value 4"),
    ("LimitRange", "spec.limits.0.defaultRequest", {"cpu": "3"}, "spec.limits[0].defaultRequest[cpu]",
     "greater than default limit value 2"),
    ("LimitRange", "spec.limits.0.max", {"gold": "3"}, "spec.limits[0].max[gold]", "standard resource type"),
    ("LimitRange", "spec.limits.0.maxLimitRequestRatio", {"cpu": "500m"},
     "spec.limits[0].maxLimitRequestRatio[cpu]", "less than 1"),
    ("LimitRange", "spec.limits.0.maxLimitRequestRatio", {"cpu": "9"},
     "spec.limits[0].maxLimitRequestRatio[cpu]", "greater than max/min = 4.0"),
    ("LimitRange", "spec.limits", [{"type": "PersistentVolumeClaim"}], "spec.limits[0].limits", "storage value"),
    ("StorageClass", "volumeBindingMode", "Late", "volumeBindingMode", "supported values"),
    ("StorageClass", "allowedTopologies", [{"matchLabelExpressions": [{"key": "z", "values": ["a", "a"]}]}],
     "allowedTopologies[0].matchLabelExpressions[0].values", "Duplicate"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "field", "why"), OTHERS)
def test_other_kinds(server: ApiServer, kind: str, path: str, value: Any, field: str, why: str) -> None:
    refused(server, put(good(kind), path, value), field, why)


def refused(server: ApiServer, obj: dict[str, Any], field: str, why: str) -> None:
    before = server.revision
    with pytest.raises(ApiError) as error:
        server.create(from_wire(obj))
    assert error.value.code == 422
    told = [(cause.field, cause.message) for cause in error.value.causes]
    assert any(at == field and why in message for at, message in told), told
    assert server.revision == before, "a refused write must write nothing"


UPDATES = [
    ("Pod", "spec.containers.0.image", "other", ""),
    ("Pod", "spec.containers.0.name", "other", "spec"),
    ("Pod", "spec.nodeName", "n1", "spec"),
    ("Pod", "spec.priority", 7, "spec"),
    ("Pod", "metadata.labels", {"new": "label"}, ""),
    ("Deployment", "spec.replicas", 7, ""),
    ("Deployment", "spec.selector", {"matchLabels": {"app": "a", "b": "c"}}, "spec.selector"),
    ("Deployment", "spec.template.spec.containers.0.image", "other", ""),
    ("ReplicaSet", "spec.selector", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "spec.selector"),
    ("Job", "spec.parallelism", 4, ""),
    ("Job", "spec.completions", 4, "spec.completions"),
    ("Job", "spec.template.spec.containers.0.image", "other", "spec.template"),
    ("Service", "spec.clusterIP", "10.96.0.77", "spec.clusterIPs[0]"),
    ("Service", "spec.selector", {"app": "b"}, ""),
    ("PriorityClass", "value", 11, "value"),
    ("PriorityClass", "description", "more", ""),
    ("EndpointSlice", "addressType", "IPv6", "addressType"),
    ("RoleBinding", "roleRef.name", "other", "roleRef"),
    ("RoleBinding", "subjects", [{"kind": "User", "name": "bob"}], ""),
    ("PersistentVolume", "spec.claimRef", {"namespace": "default", "name": "c"}, ""),
    ("PersistentVolume", "spec.csi.driver", "other", "spec.persistentvolumesource"),
    ("PersistentVolumeClaim", "spec.volumeName", "pv", ""),
    ("PersistentVolumeClaim", "spec.storageClassName", "late", ""),
    ("PersistentVolumeClaim", "spec.accessModes", ["ReadWriteMany"], "spec"),
    ("PersistentVolumeClaim", "spec.resources.requests.storage", "2Gi", "spec"),
    ("StorageClass", "volumeBindingMode", "WaitForFirstConsumer", "volumeBindingMode"),
    ("StorageClass", "provisioner", "other", "provisioner"),
    ("ResourceQuota", "spec.scopes", ["NotTerminating"], "spec.scopes"),
    ("ResourceQuota", "spec.hard", {"pods": "9"}, ""),
    ("StorageClass", "allowVolumeExpansion", True, ""),
]


@pytest.mark.parametrize(("kind", "path", "value", "field"), UPDATES)
def test_what_may_change_and_what_may_not(server: ApiServer, kind: str, path: str, value: Any, field: str) -> None:
    made = to_wire(server.create(from_wire(good(kind))))
    changed = from_wire(put(made, path, value))
    if not field:
        assert server.update(changed).metadata.resource_version != made["metadata"]["resourceVersion"]
        return
    with pytest.raises(ApiError) as error:
        server.update(changed)
    assert field in {cause.field for cause in error.value.causes}


def test_tolerations_may_only_be_added_and_gates_only_removed(server: ApiServer) -> None:
    pod = put(good("Pod"), "spec.schedulingGates", [{"name": "wait"}])
    pod = put(pod, "spec.tolerations", [{"key": "a", "operator": "Exists"}])
    made = to_wire(server.create(from_wire(pod)))
    added = put(made, "spec.tolerations", [*made["spec"]["tolerations"], {"key": "b", "operator": "Exists"}])
    made = to_wire(server.update(from_wire(added)))
    with pytest.raises(ApiError, match="existing toleration can not be modified"):
        server.update(from_wire(put(made, "spec.tolerations", made["spec"]["tolerations"][1:])))
    with pytest.raises(ApiError, match="only deletion is allowed"):
        server.update(from_wire(put(made, "spec.schedulingGates", [{"name": "other"}])))
    made = to_wire(server.update(from_wire(put(made, "spec.nodeSelector", {"while": "gated"}))))
    free = server.update(from_wire(put(made, "spec.schedulingGates", [])))
    with pytest.raises(ApiError, match="may not change fields"):
        server.update(from_wire(put(to_wire(free), "spec.nodeSelector", {"too": "late"})))


def test_an_immutable_config_map_stays(server: ApiServer) -> None:
    made = to_wire(server.create(from_wire({**good("ConfigMap"), "immutable": True})))
    for path, value in (("data", {"a": "c"}), ("immutable", False)):
        with pytest.raises(ApiError, match="field is immutable when `immutable` is set"):
            server.update(from_wire(put(made, path, value)))


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "Job"])
def test_more_pods_than_are_modelled_are_refused(server: ApiServer, kind: str) -> None:
    """2147483647 replicas are sound to Kubernetes; here their pods were made until there was no memory left."""
    path = "spec.parallelism" if kind == "Job" else "spec.replicas"
    with pytest.raises(ApiError, match=f"{path}: Invalid value: 2147483647: more than 1000000 pods"):
        server.create(from_wire(put(good(kind), path, 2**31 - 1)))
    server.create(from_wire(put(good(kind), path, 1_000_000)))


def test_a_grace_period_without_end_can_still_be_told(server: ApiServer) -> None:
    """Its instant was beyond 64 bits, and no journal could be written."""
    pod = put(put(good("Pod"), "spec.terminationGracePeriodSeconds", 2**63 - 1), "spec.nodeName", "n")
    server.create(from_wire(pod))
    server.delete("Pod", "default", "x")
    going = to_wire(server.get("Pod", "default", "x"))
    assert going["metadata"]["deletionTimestamp"].startswith("2056-09-0")
