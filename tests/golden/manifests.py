"""Manifests that the stories share."""

from __future__ import annotations


def pod(name: str, *, cpu: str = "1", spec: str = "", labels: str = "{}", annotations: str = "{}") -> str:
    """`spec`: more lines of it, as YAML."""
    lines = "".join(f"  {line}\n" for line in spec.strip().splitlines())
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {labels}, annotations: {annotations}}}
spec:
  containers:
  - {{name: main, image: nginx, resources: {{requests: {{cpu: "{cpu}"}}}}}}
{lines}---
""".removesuffix("---\n")


def deployment(name: str, replicas: int, *, cpu: str = "1") -> str:
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - {{name: main, image: "nginx:1.27", resources: {{requests: {{cpu: "{cpu}"}}}}}}
"""


def budget(name: str, min_available: int) -> str:
    return f"""\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: {name}}}
spec: {{minAvailable: {min_available}, selector: {{matchLabels: {{app: {name}}}}}}}
"""


def priority(name: str, value: int) -> str:
    return f"""\
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {{name: {name}}}
value: {value}
"""


def pod_group(name: str, least: int) -> str:
    return f"""\
apiVersion: scheduling.x-k8s.io/v1alpha1
kind: PodGroup
metadata: {{name: {name}}}
spec: {{minMember: {least}}}
"""


STORAGE = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disk}
provisioner: disk.csi
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: disk, resources: {requests: {storage: 1Gi}}}
"""
