"""The real kubectl against the HTTPS front: what people type, and what they are shown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from tests.apiserver.live import Live, live

KUBECTL = shutil.which("kubectl")
pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("kubectl"),
    pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed"),
]

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
  annotations: {example.com/owner: "the web team", example.com/empty: ""}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {prometheus.io/scrape: "true"}
    spec:
      automountServiceAccountToken: false
      hostAliases: [{ip: 10.1.2.3, hostnames: [db]}]
      volumes:
      - name: data
        emptyDir: {sizeLimit: 1Gi}
      - name: conf
        configMap: {name: web, items: [{key: a, path: b}]}
      containers:
      - name: web
        image: nginx:1.25
        command: ["nginx", "-g", "daemon off;"]
        env:
        - {name: COLOUR, value: blue}
        - {name: EMPTY, value: ""}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        ports: [{name: http, containerPort: 80}]
        resources: {requests: {cpu: 100m, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 2}
        livenessProbe: {exec: {command: [cat, /tmp/ok]}, initialDelaySeconds: 5}
        lifecycle: {preStop: {exec: {command: [sleep, "5"]}}}
        securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}}
        volumeMounts:
        - {name: data, mountPath: /data}
        - {name: conf, mountPath: /etc/web, readOnly: true}
      - name: sidecar
        image: busybox
"""

Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


@pytest.fixture
def kubectl(cluster: Live, tmp_path: Path) -> Kubectl:
    return runner(cluster.write_kubeconfig(tmp_path / "kubeconfig"), tmp_path)


def runner(config: Path, home: Path) -> Kubectl:
    """`kubectl(*arguments, given=stdin, code=exit code expected)` -> stdout and stderr."""

    def run(*arguments: str, given: str | None = None, code: int = 0) -> str:
        assert KUBECTL is not None
        command = [KUBECTL, "--kubeconfig", str(config), "--cache-dir", str(home / "cache"), *arguments]
        environment = {**os.environ, "HOME": str(home)}
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"kubectl {' '.join(arguments)}: {done.returncode}\n{said}"
        return said

    return run


def test_apply_is_complete_and_knows_what_changed(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in kubectl("apply", "-f", "-", given=WEB)
    found = json.loads(kubectl("get", "deploy", "web", "-o", "json"))
    pod = found["spec"]["template"]["spec"]
    assert found["metadata"]["annotations"]["example.com/empty"] == ""
    assert pod["automountServiceAccountToken"] is False
    assert pod["hostAliases"] == [{"ip": "10.1.2.3", "hostnames": ["db"]}]
    assert pod["volumes"][0] == {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}
    assert pod["volumes"][1]["configMap"] == {
        "name": "web",
        "items": [{"key": "a", "path": "b"}],
        "defaultMode": 0o644,
    }
    web = pod["containers"][0]
    assert web["command"] == ["nginx", "-g", "daemon off;"]
    assert web["env"][1] == {"name": "EMPTY", "value": ""}
    assert web["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http", "scheme": "HTTP"}
    assert web["readinessProbe"]["failureThreshold"] == 3
    assert web["livenessProbe"]["exec"] == {"command": ["cat", "/tmp/ok"]}
    assert web["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    assert web["securityContext"] == {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
    assert web["volumeMounts"][1] == {"name": "conf", "mountPath": "/etc/web", "readOnly": True}

    assert "web unchanged" in kubectl("apply", "-f", "-", given=WEB)
    changed = WEB.replace("nginx:1.25", "nginx:1.26").replace('- {name: EMPTY, value: ""}\n        ', "")
    assert "web configured" in kubectl("apply", "-f", "-", given=changed)
    containers = json.loads(kubectl("get", "deploy", "web", "-o", "json"))["spec"]["template"]["spec"]["containers"]
    assert [c["image"] for c in containers] == ["nginx:1.26", "busybox"]
    assert [e["name"] for e in containers[0]["env"]] == ["COLOUR", "NODE"]
    assert "1.26" in kubectl("diff", "-f", "-", given=WEB, code=1)
    kubectl("delete", "deploy", "web")


def test_a_manifest_without_a_container_is_told_what_is_wrong(kubectl: Kubectl) -> None:
    bad = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad}
spec:
  replicas: -1
  selector: {matchLabels: {app: bad}}
  template: {metadata: {labels: {app: other}}, spec: {containers: []}}
"""
    said = kubectl("apply", "-f", "-", given=bad, code=1)
    assert 'The Deployment "bad" is invalid' in said
    assert "* spec.replicas: Invalid value: -1: must be greater than or equal to 0" in said
    assert "* spec.template.metadata.labels: Invalid value" in said
    assert "* spec.template.spec.containers: Required value" in said


def test_scale_label_taint_and_edit(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=WEB.replace("name: web\n  labels", "name: hand\n  labels"))
    kubectl("scale", "deploy/hand", "--replicas=7")
    assert kubectl("get", "deploy", "hand", "-o", "jsonpath={.spec.replicas}") == "7"
    kubectl("scale", "deploy/hand", "--current-replicas=2", "--replicas=1", code=1)
    kubectl("label", "deploy", "hand", "tier=front")
    kubectl("label", "deploy", "hand", "tier-")
    kubectl("annotate", "deploy", "hand", "note=hello there")
    kubectl("set", "image", "deploy/hand", "web=nginx:2")
    assert "nginx:2" in kubectl("get", "deploy", "hand", "-o", "wide")
    kubectl(
        "patch", "deploy", "hand", "--type=json", "-p", '[{"op":"replace","path":"/spec/paused","value":true}]', code=1
    )
    kubectl("patch", "deploy", "hand", "--type=json", "-p", '[{"op":"add","path":"/spec/paused","value":true}]')
    kubectl("patch", "deploy", "hand", "--type=merge", "-p", '{"spec":{"paused":null,"minReadySeconds":3}}')
    found = json.loads(kubectl("get", "deploy", "hand", "-o", "json"))
    assert found["spec"]["minReadySeconds"] == 3
    assert "paused" not in found["spec"]
    assert found["metadata"]["annotations"]["note"] == "hello there"
    assert "tier" not in found["metadata"]["labels"]
    kubectl("delete", "deploy", "hand")


def test_tables_are_those_of_kubernetes(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=NODE)
    kubectl("run", "box", "--image=busybox", "--labels=who=tables")
    pods = kubectl("get", "pods", "-l", "who=tables", "-o", "wide").splitlines()
    assert " ".join(pods[0].split()) == "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    assert pods[1].split()[:4] == ["box", "0/1", "Pending", "0"]
    nodes = kubectl("get", "nodes").splitlines()
    assert nodes[0].split() == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert nodes[1].split()[:3] == ["n1", "Unknown", "<none>"]
    kubectl("cordon", "n1")
    assert "SchedulingDisabled" in kubectl("get", "nodes")
    kubectl("uncordon", "n1")
    kubectl("taint", "node", "n1", "gpu=yes:NoSchedule")
    assert "gpu=yes:NoSchedule" in kubectl("describe", "node", "n1")
    kubectl("taint", "node", "n1", "gpu-")
    assert "gpu=yes" not in kubectl("describe", "node", "n1")
    assert kubectl("get", "ns", "default", "--no-headers").split()[:2] == ["default", "Active"]
    assert "box" in kubectl("get", "all", "-l", "who=tables", "-o", "name")
    kubectl("delete", "pod", "box")
    kubectl("delete", "node", "n1")


NODE = """
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {zone: a}}
"""


def test_what_is_not_there_and_what_is_not_allowed(kubectl: Kubectl) -> None:
    said = kubectl("get", "deploy", "ghost", code=1)
    assert 'Error from server (NotFound): deployments.apps "ghost" not found' in said
    assert "the server doesn't have a resource type" in kubectl("get", "unicorns", code=1)
    unknown = "apiVersion: example.com/v9\nkind: Foo\nmetadata: {name: x}\n"
    assert 'no matches for kind "Foo" in version "example.com/v9"' in kubectl("apply", "-f", "-", given=unknown, code=1)
    assert 'pods is forbidden: User "bob" cannot list' in kubectl("get", "pods", "--as=bob", code=1)
    kubectl("create", "-f", "-", given=BOB)
    assert "kube-root-ca.crt" in kubectl("get", "configmaps", "--as=bob")
    assert "forbidden" in kubectl("delete", "configmap", "x", "--as=bob", code=1)
    kubectl("run", "quiet", "--image=busybox")
    assert kubectl("logs", "quiet") == ""
    assert "pod quiet does not have a host assigned" in kubectl("exec", "quiet", "--", "ls", code=1)
    kubectl("delete", "pod", "quiet")


BOB = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]
"""


def test_watch_sees_the_changes(kubectl: Kubectl, cluster: Live, tmp_path: Path) -> None:
    assert KUBECTL is not None
    config = cluster.write_kubeconfig(tmp_path / "watching")
    kubectl("run", "seen", "--image=a", "--labels=v=1")
    command = [KUBECTL, "--kubeconfig", str(config), "--cache-dir", str(tmp_path / "cache")]
    command += ["get", "pods", "--watch", "--output-watch-events", "-l", "v"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            lines = iter(watching.stdout.readline, "")
            assert next(lines).split()[:2] == ["EVENT", "NAME"]
            assert next(lines).split()[:2] == ["ADDED", "seen"]
            kubectl("label", "pod", "seen", "v=2", "--overwrite")
            assert next(lines).split()[:2] == ["MODIFIED", "seen"]
            kubectl("label", "pod", "seen", "v-")
            assert next(lines).split()[:2] == ["DELETED", "seen"]
        finally:
            watching.kill()
    kubectl("delete", "pod", "seen")


def test_wait_and_dry_run(kubectl: Kubectl) -> None:
    assert "created (server dry run)" in kubectl("run", "never", "--image=a", "--dry-run=server")
    kubectl("get", "pod", "never", code=1)
    kubectl("run", "soon", "--image=a")
    assert "condition met" in kubectl("wait", "pod/soon", "--for=jsonpath={.status.phase}=Pending", "--timeout=20s")
    kubectl("delete", "pod", "soon", "--wait=true")
    kubectl("get", "pod", "soon", code=1)


CREATED = [
    "namespace team",
    "deployment made --image=nginx:1 --replicas=0 --port=80",
    "configmap made --from-literal=a=b --from-literal=empty=",
    "secret generic made --from-literal=a=b",
    "serviceaccount made",
    "job made --image=x -- echo hi",
    "role made --verb=get --resource=pods",
    "rolebinding made --role=made --user=eve",
    "clusterrole made --verb=get --non-resource-url=/x",
    "clusterrolebinding made --clusterrole=made --serviceaccount=default:made",
    "quota made --hard=cpu=1,pods=2",
    "poddisruptionbudget made --selector=a=b --min-available=50%",
    "ingress made --rule=example.com/x=svc:80",
    "service clusterip made --tcp=80:8080",
    "priorityclass made --value=0",
]


def test_what_kubectl_creates_without_a_manifest(kubectl: Kubectl) -> None:
    """In protobuf from 1.32 on, in JSON before."""
    for command in CREATED:
        assert "created" in kubectl("create", *command.split()), command
    assert kubectl("get", "deploy", "made", "-o", "jsonpath={.spec.replicas}/{..containerPort}") == "0/80"
    assert json.loads(kubectl("get", "cm", "made", "-o", "json"))["data"] == {"a": "b", "empty": ""}
    assert kubectl("get", "secret", "made", "-o", "jsonpath={.data.a}") == "Yg=="
    assert kubectl("get", "job", "made", "-o", "jsonpath={..command}") == '["echo","hi"]'
    assert kubectl("get", "role", "made", "-o", "jsonpath={.rules[0].apiGroups}") == '[""]'
    assert kubectl("get", "pdb", "made", "-o", "jsonpath={.spec.minAvailable}") == "50%"
    assert kubectl("get", "quota", "made", "-o", "jsonpath={.spec.hard}") == '{"cpu":"1","pods":"2"}'
    assert kubectl("get", "ing", "made", "-o", "jsonpath={..service}") == '{"name":"svc","port":{"number":80}}'
    assert "autoscaled" in kubectl("autoscale", "deploy", "made", "--max=5", "--cpu-percent=60")
    assert "cpu: <unknown>/60%" in kubectl("get", "hpa", "made")
    assert kubectl("auth", "can-i", "delete", "pods").strip() == "yes"
    assert kubectl("auth", "can-i", "delete", "pods", "--as=eve", code=1).strip().endswith("no")
    assert kubectl("auth", "can-i", "get", "pods", "--as=eve").strip() == "yes"
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert kubectl("create", "token", "made").count(".") == 2  # a JWT
    again = kubectl("create", "configmap", "made", code=1)
    assert "already exists" in again
