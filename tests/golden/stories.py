"""The stories, each a small cluster and what its users do. The transcript of each stands beside, under its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from harness.experiment.run import Home, Run
from harness.experiment.scenario import from_data
from harness.report.transcript import text, transcript
from harness.scheduling.registry import load
from tests.golden import manifests as m
from tests.golden.rig import Story, node


def pods_life() -> str:
    """A pod is created, scheduled, started, becomes ready, is deleted and stopped within its grace period."""
    story = Story(node("node-1"))
    story.until(2)
    story.apply(m.pod("web", spec="terminationGracePeriodSeconds: 10"))
    story.until(8)
    story.delete("Pod", "web")
    story.until(20)
    return story.text()


def failing_container() -> str:
    """A container ends with an error and is started again, ever more slowly; then its pod is deleted."""
    crash = {"at": "10s", "containerCrash": {"app": "web"}}
    story = Story(node("node-1"), faults=[crash, {**crash, "at": "30s"}, {**crash, "at": "60s"}])
    story.until(2)
    story.apply(m.pod("web", labels="{app: web}"))
    story.until(100)
    story.delete("Pod", "web")
    story.until(140)
    return story.text()


def job() -> str:
    """A Job of three pods, two at a time."""
    story = Story(node("node-1"))
    story.until(2)
    story.apply("""
apiVersion: batch/v1
kind: Job
metadata: {name: sums}
spec:
  completions: 3
  parallelism: 2
  template:
    metadata: {annotations: {podyard.dev/duration: 5s}}
    spec:
      restartPolicy: Never
      containers:
      - {name: main, image: busybox, resources: {requests: {cpu: "1"}}}
""")
    story.until(30)
    return story.text()


def rollout() -> str:
    """A Deployment of three gets a new image: surge and unavailability of 25 % each, rounded up and down."""
    story = Story(node("node-1"), node("node-2"))
    story.until(2)
    story.apply(m.deployment("shop", 3))
    story.until(10)
    story.set_image("shop", "nginx:1.28")
    story.until(60)
    return story.text()


def unschedulable() -> str:
    """A pod asks for more than any node has; a larger node comes, and takes it."""
    story = Story(node("node-1", cpu="2"))
    story.until(2)
    story.apply(m.pod("large", cpu="6"))
    story.until(12)
    story.cluster.start_nodes([node("node-2", cpu="8")])
    story.until(40)
    return story.text()


def node_crash() -> str:
    """A node loses power for good. Its lease runs out after 40 s, its pods are evicted 300 s later and made anew."""
    crash = {"at": "20s", "nodeCrash": {"select": {"names": ["node-1"]}}}
    story = Story(node("node-1"), node("node-2"), faults=[crash])
    story.until(2)
    story.apply(m.deployment("shop", 2))
    story.until(420)
    return story.text()


def partition() -> str:
    """A zone is cut off for two minutes: its node is not ready, its pods run on, and all is well again afterwards."""
    cut = {"at": "20s", "zonePartition": {"zone": "b", "for": "2m"}}
    story = Story(node("node-1", "a"), node("node-2", "b"), faults=[cut])
    story.until(2)
    story.apply(m.deployment("shop", 2))
    story.until(200)
    return story.text()


def preemption() -> str:
    """A pod of high priority finds the only node full, and takes the place of one of low priority."""
    story = Story(node("node-1", cpu="4"))
    story.until(2)
    story.apply(m.priority("high", 1000) + "---\n" + m.priority("low", 10))
    story.apply(m.pod("cheap", cpu="2", spec="priorityClassName: low\nterminationGracePeriodSeconds: 5"))
    story.until(4)
    story.apply(m.pod("kept", cpu="2", spec="priorityClassName: high"))
    story.until(10)
    story.apply(m.pod("urgent", cpu="2", spec="priorityClassName: high"))
    story.until(40)
    return story.text()


def gang() -> str:
    """Three pods that run together or not at all: two wait for the third, then for room, then start at once."""
    story = Story(node("node-1", cpu="2"), node("node-2", cpu="2"))
    story.until(2)
    story.apply(m.pod("before", cpu="2"))
    story.until(5)
    story.apply(m.pod_group("train", 3))
    member = "{scheduling.x-k8s.io/pod-group: train}"
    for number in (0, 1):
        story.apply(m.pod(f"worker-{number}", labels=member))
    story.until(10)
    story.apply(m.pod("worker-2", labels=member))
    story.until(20)
    story.delete("Pod", "before")
    story.until(80)
    return story.text()


def drain() -> str:
    """`kubectl drain`: the node is cordoned and its pods evicted, as far as their disruption budget lets them."""
    story = Story(node("node-1"), node("node-2"))
    story.until(2)
    story.apply(m.deployment("shop", 3) + "---\n" + m.budget("shop", 2))
    story.until(15)
    story.edit("Node", "node-1", namespace="", unschedulable=True)
    leaving = story.pods_on("node-1")
    for step in range(12):
        story.until(16 + 5 * step)
        leaving = [name for name in leaving if story.evict(name)]
    story.until(90)
    story.edit("Node", "node-1", namespace="", unschedulable=False)
    story.until(92)
    return story.text()


def api_server_outage() -> str:
    """The API server is away for 30 s: what runs runs on, nothing new starts, and then all catches up."""
    story = Story(node("node-1"), node("node-2"), faults=[{"at": "10s", "apiServerRestart": {"downFor": "30s"}}])
    story.until(2)
    story.apply(m.deployment("shop", 2))
    story.until(9.995)
    story.edit("Deployment", "shop", replicas=4)
    story.until(80)
    return story.text()


def etcd_restore() -> str:
    """The store is restored from a snapshot that is 20 s old: a pod that has come since is killed, one that has gone
    since is started again, and a Deployment has as many replicas as it had."""
    restore = {"at": "40s", "etcdRestore": {"age": "20s", "downFor": "10s"}}
    story = Story(node("node-1"), node("node-2"), faults=[restore])
    story.until(2)
    story.apply(m.deployment("shop", 2))
    story.apply(m.pod("deleted-later"))
    story.until(25)
    story.edit("Deployment", "shop", replicas=3)
    story.delete("Pod", "deleted-later")
    story.until(180)
    return story.text()


def volume_binding() -> str:
    """A claim waits for its first consumer; its volume is made where the pod goes, and keeps the next pod there."""
    story = Story(node("node-1", "a"), node("node-2", "b"))
    story.until(2)
    story.apply(m.STORAGE)
    story.until(5)
    mount = "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]"
    story.apply(m.pod("first", spec=mount))
    story.until(20)
    story.delete("Pod", "first")
    story.until(60)
    story.apply(m.pod("second", spec=mount))
    story.until(80)
    return story.text()


def autoscaling() -> str:
    """Load doubles and falls again: replicas follow, and with them the nodes of a pool."""
    service: dict[str, Any] = {
        "name": "web",
        "replicas": 1,
        "cpu": 1,
        "cpuPerRequest": "10m",
        "load": {"spike": {"at": "2m", "base": 60, "peak": 240, "hold": "5m"}},
        "autoscaler": {"min": 1, "max": 6},
    }
    spec: dict[str, Any] = {
        "seed": 1,
        "duration": "32m",
        "nodes": [{"group": {"name": "node", "count": 1, "cpu": 2, "memory": "8Gi"}}],
        "pools": [{"name": "burst", "max": 2, "cpu": 2, "memory": "8Gi", "provisioning": "45s"}],
        "workload": [{"service": service}],
    }
    data = {"apiVersion": "podyard.dev/v1", "kind": "Scenario", "metadata": {"name": "autoscaling"}, "spec": spec}
    run = Run(from_data(data, "autoscaling.yaml"), load("greedy")(), 1, Home())
    try:
        run.play()
        return text(transcript(run.measures.journal))
    finally:
        run.close()


def stateful_set() -> str:
    """A StatefulSet of two comes up in order, gets a new image from its highest pod down, and is scaled down."""
    story = Story(node("node-1"), node("node-2"))
    story.until(2)
    story.apply("""
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - {name: main, image: "postgres:16", resources: {requests: {cpu: "1"}}}
""")
    story.until(20)
    template = story.server.get("StatefulSet", "default", "db").spec.template
    containers = tuple(replace(item, image="postgres:17") for item in template.spec.containers)
    story.edit("StatefulSet", "db", template=replace(template, spec=replace(template.spec, containers=containers)))
    story.until(60)
    story.edit("StatefulSet", "db", replicas=1)
    story.until(80)
    return story.text()


STORIES: dict[str, Callable[[], str]] = {
    story.__name__: story
    for story in (
        pods_life,
        failing_container,
        job,
        rollout,
        unschedulable,
        node_crash,
        partition,
        preemption,
        gang,
        drain,
        api_server_outage,
        etcd_restore,
        etcd_restore,
        volume_binding,
        autoscaling,
        stateful_set,
    )
}
