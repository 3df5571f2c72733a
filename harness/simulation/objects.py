"""Random Kubernetes objects, as manifests: controllers, what guards them, and what they ask for."""

from __future__ import annotations

from random import Random
from typing import Any

from harness.simulation.batch import cron_job_spec, job_spec
from harness.simulation.scalers import hpa_behavior, hpa_metrics

FEATURES = (
    "deployments",
    "replicasets",
    "jobs",
    "daemonsets",
    "bare-pods",
    "budgets",
    "quota",
    "limit-range",
    "priorities",
    "spread",
    "affinity",
    "volumes",
    "gangs",
    "namespaces",
    "crash-loops",
    "late-arrivals",
    "tolerations",
    "host-ports",
    "unready",
    "slow-stops",
    "hpa",
    "services",
    "node-selectors",
    "probes",
    "init-containers",
    "deadlines",
    "foreign-finalizers",
    "more-volumes",
    "quota-scopes",
    "odd-gangs",
    "other-schedulers",
    "preferences",
    "stateful-sets",
    "claim-templates",
    "hpa-metrics",
    "hpa-behavior",
    "unhealthy-evictions",
    "cron-jobs",
    "replication-controllers",
    "jobs-in-full",
    "claim-retention",
)

PRIORITIES = {"low": -10, "high": 1000, "polite": 500}
"""Pods of class polite preempt nobody."""


HELD = ("Deployment", "Job", "Pod", "Service", "PersistentVolumeClaim")
"""Some of these have a finalizer that nobody takes away."""


FIRST = ("Namespace", "PriorityClass", "StorageClass", "PersistentVolume", "ResourceQuota", "LimitRange", "PodGroup")
"""Created before what needs them."""


class _Draw:
    """One seed's objects. `on`: the features that are switched on."""

    def __init__(self, rng: Random, on: set[str]) -> None:
        self.rng = rng
        self.on = on
        self.out: list[dict[str, Any]] = []
        self.namespaces = ["default"]

    def put(self, api: str, kind: str, name: str, namespace: str = "", /, **fields: Any) -> dict[str, Any]:
        meta: dict[str, Any] = {"name": name, **({"namespace": namespace} if namespace else {})}
        obj = {"apiVersion": api, "kind": kind, "metadata": meta, **fields}
        if "late-arrivals" in self.on and self.rng.random() < 0.5 and kind not in ("Namespace", "PriorityClass"):
            meta["annotations"] = {"podyard.dev/arrival": f"{self.rng.randint(1, 240)}s"}
        if kind in HELD and self.chance("foreign-finalizers", 0.15):
            meta["finalizers"] = ["example.com/held"]
        self.out.append(obj)
        return obj

    def chance(self, feature: str, probability: float = 0.6) -> bool:
        return feature in self.on and self.rng.random() < probability

    # -- pods ----------------------------------------------------------------------------------------------------------

    def pod(self, app: str, namespace: str, restart: str) -> dict[str, Any]:
        """A pod template."""
        rng = self.rng
        container: dict[str, Any] = {"name": "c", "image": "i:1"}
        requests = {"cpu": rng.choice(("50m", "250m", "1", "1500m")), "memory": rng.choice(("64Mi", "1Gi"))}
        if rng.random() < 0.9:
            container["resources"] = {"requests": requests}
        if self.chance("host-ports", 0.3):
            container["ports"] = [{"containerPort": 80, "hostPort": 8080}]
        spec: dict[str, Any] = {"containers": [container]}
        if self.chance("node-selectors", 0.4):
            spec["nodeSelector"] = {"tier": rng.choice(("gold", "iron"))}
        if self.chance("init-containers", 0.4):
            first: dict[str, Any] = {"name": "first", "image": f"i:{rng.randint(1, 3)}"}
            spec["initContainers"] = [first | ({"restartPolicy": "Always"} if rng.random() < 0.4 else {})]
        if restart != "" and self.chance("deadlines", 0.3):
            spec["activeDeadlineSeconds"] = rng.choice((10, 200))
        if self.chance("other-schedulers", 0.2):
            spec["schedulerName"] = "nobody"
        if self.chance("preferences", 0.5):
            spec["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_prefers(rng)]}}
        if restart:
            spec["restartPolicy"] = restart
        annotations: dict[str, str] = {}
        if restart != "" or self.chance("crash-loops", 0.3):
            annotations["podyard.dev/duration"] = rng.choice(("3s", "40s", "2m"))
            if self.chance("crash-loops"):
                annotations["podyard.dev/exit-code"] = "1"
        if self.chance("probes", 0.4):
            probe: dict[str, Any] = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": rng.choice((2, 10))}
            container |= rng.choice(({"readinessProbe": probe}, {"livenessProbe": probe}))
            if rng.random() < 0.4:
                annotations["podyard.dev/unhealthy-after"] = rng.choice(("20s", "3m"))
        if self.chance("unready", 0.4):
            annotations["podyard.dev/ready-after"] = rng.choice(("5s", "70s"))
        if self.chance("slow-stops", 0.4):
            annotations["podyard.dev/stop-after"] = rng.choice(("0s", "25s", "5m"))
            spec["terminationGracePeriodSeconds"] = rng.choice((0, 10, 45))
        if self.chance("priorities"):
            spec["priorityClassName"] = rng.choice(tuple(PRIORITIES))
        if self.chance("tolerations"):
            spec["tolerations"] = self._tolerations()
        if self.chance("spread", 0.4):
            spec["topologySpreadConstraints"] = [
                {
                    "maxSkew": 1,
                    "topologyKey": rng.choice(("topology.kubernetes.io/zone", "kubernetes.io/hostname")),
                    "whenUnsatisfiable": rng.choice(("DoNotSchedule", "ScheduleAnyway")),
                    "labelSelector": {"matchLabels": {"app": app}},
                }
            ]
        if self.chance("affinity", 0.4):
            term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}}
            kind = rng.choice(("podAntiAffinity", "podAffinity"))
            required = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
            spec["affinity"] = {**spec.get("affinity", {}), **required}
        if self.chance("volumes", 0.3):
            spec["volumes"] = [self.volume(app, namespace)]
        template: dict[str, Any] = {"metadata": {"labels": {"app": app}}, "spec": spec}
        if annotations:
            template["metadata"]["annotations"] = annotations
        return template

    def _tolerations(self) -> list[dict[str, Any]]:
        dedicated: dict[str, Any] = {"key": "dedicated", "operator": "Exists"}
        seconds = self.rng.choice((0, 5, 60))
        unreachable = {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": seconds,
        }
        everything = {"operator": "Exists"}
        options: list[list[dict[str, Any]]] = [[dedicated], [unreachable], [dedicated, unreachable], [everything]]
        return self.rng.choice(options)

    def volume(self, app: str, namespace: str) -> dict[str, Any]:
        more = "more-volumes" in self.on
        spec = {
            "accessModes": [self.rng.choice(("ReadWriteOnce", "ReadWriteOncePod") if more else ("ReadWriteOnce",))],
            "storageClassName": self.rng.choice(("now", "late", "local") if more else ("now", "late")),
            "resources": {"requests": {"storage": "1Gi"}},
        }
        if more and self.rng.random() < 0.4:
            return {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
        name = f"{app}-claim{len(self.out)}"
        self.put("v1", "PersistentVolumeClaim", name, namespace, spec=spec)
        return {"name": "v", "persistentVolumeClaim": {"claimName": name}}

    # -- objects -------------------------------------------------------------------------------------------------------

    def cluster_objects(self) -> None:
        if "namespaces" in self.on:
            self.put("v1", "Namespace", "team")
            self.namespaces.append("team")
        if "priorities" in self.on:
            for name, value in PRIORITIES.items():
                policy = {"preemptionPolicy": "Never"} if name == "polite" else {}
                self.put("scheduling.k8s.io/v1", "PriorityClass", name, value=value, **policy)
        if "volumes" in self.on:
            for name, mode in (("now", "Immediate"), ("late", "WaitForFirstConsumer")):
                self.put(
                    "storage.k8s.io/v1", "StorageClass", name, provisioner="csi.podyard.dev", volumeBindingMode=mode
                )
            if "more-volumes" in self.on:
                self.local_volumes()
        for namespace in self.namespaces:
            if self.chance("quota-scopes", 0.5):
                scope = self.rng.choice(("BestEffort", "NotBestEffort", "Terminating", "NotTerminating"))
                self.put("v1", "ResourceQuota", "scoped", namespace, spec={"hard": {"pods": "4"}, "scopes": [scope]})
                counted = {"count/jobs.batch": "1", "count/replicasets.apps": "4", "services": "2"}
                self.put("v1", "ResourceQuota", "objects", namespace, spec={"hard": counted})
            if self.chance("quota"):
                hard = {"pods": str(self.rng.randint(2, 12)), "requests.cpu": str(self.rng.randint(2, 12))}
                self.put("v1", "ResourceQuota", "quota", namespace, spec={"hard": hard})
                self.put("v1", "LimitRange", "limits", namespace, spec={"limits": [_limits()]})
            elif self.chance("limit-range"):
                self.put("v1", "LimitRange", "limits", namespace, spec={"limits": [_limits()]})

    def local_volumes(self) -> None:
        """Volumes that exist already, each on a node of its own."""
        self.put(
            "storage.k8s.io/v1",
            "StorageClass",
            "local",
            provisioner="kubernetes.io/no-provisioner",
            volumeBindingMode="WaitForFirstConsumer",
        )
        for index in range(2):
            host = {"key": "kubernetes.io/hostname", "operator": "In", "values": [f"n-{index}"]}
            spec = {
                "capacity": {"storage": "2Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "local",
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": "/disk"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [host]}]}},
            }
            self.put("v1", "PersistentVolume", f"disk{index}", spec=spec)

    def controllers(self) -> None:
        rng = self.rng
        for index in range(rng.randint(1, 3) if "deployments" in self.on else 0):
            self.deployment(f"dep{index}", rng.choice(self.namespaces) if index else "default")
        if "replicasets" in self.on:
            namespace = rng.choice(self.namespaces)
            spec = self.selecting("set", namespace)
            self.put("apps/v1", "ReplicaSet", "set", namespace, spec={"replicas": rng.randint(0, 4), **spec})
        if "replication-controllers" in self.on:
            namespace = rng.choice(self.namespaces)
            of = {"replicas": rng.randint(0, 4), "selector": {"app": "rc"}, "template": self.pod("rc", namespace, "")}
            self.put("v1", "ReplicationController", "rc", namespace, spec=of)
            self.budget_service_autoscaler("ReplicationController", "rc", namespace)
        for index in range(rng.randint(1, 2) if "jobs" in self.on else 0):
            self.job(f"job{index}", rng.choice(self.namespaces))
        if "cron-jobs" in self.on:
            self.cron_job("cron", rng.choice(self.namespaces))
        if "daemonsets" in self.on:
            namespace = rng.choice(self.namespaces)
            self.put("apps/v1", "DaemonSet", "agent", namespace, spec=self.selecting("agent", namespace))
        for index in range(rng.randint(1, 4) if "bare-pods" in self.on else 0):
            namespace = rng.choice(self.namespaces)
            template = self.pod("bare", namespace, rng.choice(("Always", "OnFailure", "Never")))
            pod = self.put("v1", "Pod", f"bare{index}", namespace, spec=template["spec"])
            annotations = {**pod["metadata"].get("annotations", {}), **template["metadata"].get("annotations", {})}
            pod["metadata"] |= {"labels": {"app": "bare"}, **({"annotations": annotations} if annotations else {})}
        if "gangs" in self.on:
            self.gang(rng.choice(self.namespaces))
        for index in range(rng.randint(1, 2) if "stateful-sets" in self.on else 0):
            self.stateful_set(f"sts{index}", rng.choice(self.namespaces))

    def stateful_set(self, name: str, namespace: str) -> None:
        rng = self.rng
        spec: dict[str, Any] = {"replicas": rng.randint(0, 4), "serviceName": name}
        spec |= self.selecting(name, namespace)
        if rng.random() < 0.5:
            spec["podManagementPolicy"] = rng.choice(("OrderedReady", "Parallel"))
        if rng.random() < 0.5:
            spec["updateStrategy"] = rng.choice(
                ({"type": "OnDelete"}, {"rollingUpdate": {"partition": rng.randint(0, 3)}}, {"type": "RollingUpdate"})
            )
        if rng.random() < 0.3:
            spec["minReadySeconds"] = rng.choice((5, 30))
        if rng.random() < 0.3:
            spec["revisionHistoryLimit"] = rng.choice((0, 1, 3))
        if rng.random() < 0.3:
            spec["ordinals"] = {"start": rng.choice((1, 5))}
        if self.chance("claim-templates") and "volumes" in self.on:
            claim = {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": rng.choice(("now", "late")),
                "resources": {"requests": {"storage": "1Gi"}},
            }
            spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
            mounts = [{"name": "data", "mountPath": "/data"}]
            spec["template"]["spec"]["containers"][0]["volumeMounts"] = mounts
            if self.chance("claim-retention", 0.7):
                policy = {name: rng.choice(("Retain", "Delete")) for name in ("whenDeleted", "whenScaled")}
                spec["persistentVolumeClaimRetentionPolicy"] = policy
        self.put("apps/v1", "StatefulSet", name, namespace, spec=spec)
        self.budget_service_autoscaler("StatefulSet", name, namespace, headless=True)

    def budget_service_autoscaler(self, kind: str, name: str, namespace: str, *, headless: bool = False) -> None:
        """A budget, a Service, an autoscaler."""
        rng = self.rng
        if self.chance("budgets"):
            bound: dict[str, Any] = rng.choice(({"minAvailable": 1}, {"maxUnavailable": 1}, {"minAvailable": "50%"}))
            if self.chance("unhealthy-evictions"):
                bound = {**bound, "unhealthyPodEvictionPolicy": rng.choice(("AlwaysAllow", "IfHealthyBudget"))}
            selector = {"matchLabels": {"app": name}}
            self.put("policy/v1", "PodDisruptionBudget", name, namespace, spec={**bound, "selector": selector})
        if headless or self.chance("services"):
            service = {"selector": {"app": name}, "ports": [{"port": 80}]}
            if headless:
                service["clusterIP"] = "None"
            self.put("v1", "Service", name, namespace, spec=service)
        if self.chance("hpa"):
            group = "v1" if kind == "ReplicationController" else "apps/v1"
            target = {"apiVersion": group, "kind": kind, "name": name}
            spec: dict[str, Any] = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": rng.randint(1, 5)}
            if self.chance("hpa-metrics"):
                spec["metrics"] = hpa_metrics(rng, name)
            if self.chance("hpa-behavior"):
                spec["behavior"] = hpa_behavior(rng)
            self.put("autoscaling/v2", "HorizontalPodAutoscaler", name, namespace, spec=spec)

    def selecting(self, app: str, namespace: str, restart: str = "") -> dict[str, Any]:
        template = self.pod(app, namespace, restart)
        return {"selector": {"matchLabels": {"app": app}}, "template": template}

    def deployment(self, name: str, namespace: str) -> None:
        rng = self.rng
        spec: dict[str, Any] = {"replicas": rng.randint(0, 5), **self.selecting(name, namespace)}
        if rng.random() < 0.3:
            spec["strategy"] = {"type": "Recreate"}
        elif rng.random() < 0.5:
            surge, unavailable = rng.choice(((1, 0), (0, 1), ("50%", "50%"), (2, 2)))
            spec["strategy"] = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
        if rng.random() < 0.2:
            spec["progressDeadlineSeconds"] = 30
        self.put("apps/v1", "Deployment", name, namespace, spec=spec)
        self.budget_service_autoscaler("Deployment", name, namespace)

    def job(self, name: str, namespace: str) -> None:
        template = self.pod(name, namespace, self.rng.choice(("Never", "OnFailure")))
        spec = job_spec(self.rng, template, full="jobs-in-full" in self.on)
        self.put("batch/v1", "Job", name, namespace, spec=spec)

    def cron_job(self, name: str, namespace: str) -> None:
        template = self.pod(name, namespace, self.rng.choice(("Never", "OnFailure")))
        spec = cron_job_spec(self.rng, template, full="jobs-in-full" in self.on)
        self.put("batch/v1", "CronJob", name, namespace, spec=spec)

    def gang(self, namespace: str) -> None:
        rng, odd = self.rng, "odd-gangs" in self.on
        size = rng.randint(2, 4)
        least = rng.randint(1, size + 1) if odd else size
        spec: dict[str, Any] = {"minMember": least}
        if odd and rng.random() < 0.5:
            spec["scheduleTimeoutSeconds"] = rng.choice((5, 300))
        self.put("scheduling.x-k8s.io/v1alpha1", "PodGroup", "gang", namespace, spec=spec)
        labels = {"app": "gang", "scheduling.x-k8s.io/pod-group": "gang"}
        if odd and rng.random() < 0.5:  # made anew when they are lost
            template = self.pod("gang", namespace, "")
            template["metadata"]["labels"] = labels
            of = {"replicas": size, "selector": {"matchLabels": {"app": "gang"}}, "template": template}
            self.put("apps/v1", "ReplicaSet", "gang", namespace, spec=of)
            return
        for index in range(size):
            template = self.pod("gang", namespace, "Never")
            pod = self.put("v1", "Pod", f"gang{index}", namespace, spec=template["spec"])
            annotations = {**pod["metadata"].get("annotations", {}), **template["metadata"].get("annotations", {})}
            pod["metadata"] |= {"labels": labels, **({"annotations": annotations} if annotations else {})}


def _prefers(rng: Random) -> dict[str, Any]:
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [rng.choice("abc")]}
    return {"weight": rng.randint(1, 100), "preference": {"matchExpressions": [zone]}}


def _limits() -> dict[str, Any]:
    return {"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "64Mi"}}


def objects(rng: Random, on: set[str]) -> list[dict[str, Any]]:
    """As a List of manifests, in the order in which they can be created."""
    draw = _Draw(rng, on)
    draw.cluster_objects()
    draw.controllers()
    first = (
        "Namespace",
        "PriorityClass",
        "StorageClass",
        "PersistentVolume",
        "ResourceQuota",
        "LimitRange",
        "PodGroup",
    )
    return sorted(draw.out, key=lambda obj: first.index(obj["kind"]) if obj["kind"] in first else len(first))
