"""People dump some kinds and not others: whatever runs in the part that they have goes on running where it is."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.experiment.run import Home, Run
from harness.experiment.strategies import load_strategy
from harness.model.objects import KINDS, to_wire
from tests.examples import examples
from tests.experiment.dumps import controller
from tests.experiment.scenarios import loaded
from tests.experiment.test_dump import gone_on, now, places

CONTAINER = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}


def job(name: str, duration: str, **spec: Any) -> dict[str, Any]:
    meta = {"annotations": {"podyard.dev/duration": duration}}
    template = {"metadata": meta, "spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {**spec, "template": template}}


def of_everyday() -> list[dict[str, Any]]:
    disk = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "disk"}
    db = controller("StatefulSet", "db", "100m", replicas=2, serviceName="db")
    db["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": disk}]
    db["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    cron = {"schedule": "*/2 * * * *", "jobTemplate": {"spec": job("", "50s")["spec"]}}
    rc_template = {"metadata": {"labels": {"run": "rc"}}, "spec": {"containers": [CONTAINER]}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return [
        db,
        job("work", "2h", completions=3, parallelism=3),
        job("over", "10s", completions=2, parallelism=2),
        job("indexed", "1h", completions=2, parallelism=2, completionMode="Indexed"),
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cron"}, "spec": cron},
        controller("Deployment", "web", "100m", replicas=4),
        controller("DaemonSet", "agent", "50m"),
        controller("ReplicaSet", "alone", "50m", replicas=2),
        {
            "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"},
            "spec": {"replicas": 2, "selector": {"run": "rc"}, "template": rc_template},
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"run": "web"}, "ports": [{"port": 80}]},
        },
        {
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
            "spec": {"minAvailable": 3, "selector": {"matchLabels": {"run": "web"}}},
        },
        {
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {"minReplicas": 4, "maxReplicas": 6, "scaleTargetRef": target},
        },
        {
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "disk"},
            "provisioner": "disk.csi.example.com", "volumeBindingMode": "WaitForFirstConsumer",
        },
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "gold"}, "value": 1000},
        {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
            "spec": {"priorityClassName": "gold", "containers": [CONTAINER]},
        },
    ]  # fmt: skip


@cache
def everyday() -> tuple[dict[str, Any], ...]:
    """Four nodes after five minutes, with a static pod on each."""
    nodes = {"group": {"name": "np", "count": 4, "cpu": 4, "memory": "16Gi"}}
    made = loaded(duration="5m", nodes=[nodes], workload=[{"objects": of_everyday()}])
    run = Run(made, load_strategy(made, "kube")(), 1, Home())
    run.play()
    items = [to_wire(obj) for kind in KINDS for obj in run.cluster.server.objects(kind).values()]
    bare = next(item for item in items if item["metadata"]["name"] == "bare")
    for node in [item for item in items if item["kind"] == "Node" and item["metadata"]["name"] != "gateway"]:
        name, uid = node["metadata"]["name"], node["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "controller": True}
        meta: dict[str, Any] = {
            "name": f"static-{name}",
            "namespace": "kube-system",
            "uid": f"static-{name}",
            "ownerReferences": [owner],
        }
        meta["annotations"] = {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.source": "file"}
        spec = {
            **bare["spec"],
            "nodeName": name,
            "priorityClassName": "system-node-critical",
            "priority": 2_000_001_000,
        }
        items.append({**bare, "metadata": meta, "spec": spec})
    return tuple(items)


OTHERS = [
    *sorted({item["kind"] for item in of_everyday()} - {"Pod"}),
    "ControllerRevision", "EndpointSlice", "Namespace", "PersistentVolume", "PersistentVolumeClaim",
]  # fmt: skip


@settings(max_examples=examples(20))
@given(kinds=st.sets(st.sampled_from(OTHERS)))
@example(kinds=set(OTHERS))
@example(kinds=set())
@example(kinds={"Deployment"})  # without its ReplicaSet: a new one was rolled out
def test_what_runs_goes_on_whichever_kinds_are_in_the_dump(
    tmp_path_factory: pytest.TempPathFactory, kinds: set[str]
) -> None:
    items = [item for item in everyday() if item["kind"] in {"Node", "Pod", *kinds}]
    run = gone_on(tmp_path_factory.mktemp("dump"), items, duration="9m")
    running = [item for item in items if item["kind"] == "Pod" and item["status"]["phase"] == "Running"]
    assert len(running) >= 20
    assert places(running).items() <= now(run).items()
    assert run.result("kube").ok
    assert run.cluster.component_faults == []


def test_two_generations_of_a_rollout_stay_where_they_are(tmp_path: Path) -> None:
    """Pods of a Deployment's two ReplicaSets, neither in the dump: the newer has the template, and the older scales
    down as the rollout goes on."""
    items = [item for item in everyday() if item["kind"] in ("Node", "Pod", "Deployment")]
    web = sorted((item for item in items if item["metadata"]["name"].startswith("web-")), key=_name)
    older = web[0]
    labels = {**older["metadata"]["labels"], "pod-template-hash": "older"}
    (owner,) = older["metadata"]["ownerReferences"]
    before = {**owner, "name": "web-older", "uid": "older"}
    times = {"creationTimestamp": "2000-01-01T00:00:00Z"}
    items[items.index(older)] = {
        **older,
        "metadata": {**older["metadata"], **times, "labels": labels, "ownerReferences": [before]},
    }
    run = gone_on(tmp_path, items)
    assert places(web[1:]).items() <= now(run).items()
    sets = run.cluster.server.objects("ReplicaSet")
    deployment = next(iter(run.cluster.server.objects("Deployment").values()))
    of_web = {rs.metadata.name: rs for rs in sets.values() if rs.metadata.name.startswith("web-")}
    assert len(of_web) == 2
    assert {rs.metadata.owner_references[0].uid for rs in of_web.values()} == {deployment.metadata.uid}
    assert of_web["web-older"].spec.replicas == 0


def _name(item: dict[str, Any]) -> str:
    return str(item["metadata"]["name"])
