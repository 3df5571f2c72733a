"""What a person does with kubectl in a day, on one live cluster: some 80 commands, each with what it must show."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from tests.e2e.test_kubectl import Kubectl, runner
from tests.e2e.test_up import eventually, podyard_up

KUBECTL = shutil.which("kubectl")
pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("kubectl-day"),
    pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed"),
]

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.25
        ports: [{containerPort: 80}]
        resources: {requests: {cpu: 100m, memory: 64Mi}}
"""


def named(name: str) -> str:
    """The same Deployment, called `name`."""
    return WEB.replace("web", name)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("day") / "kubeconfig"
    with podyard_up(path, "--nodes", "4", "--time-scale", "4"):
        yield path


@pytest.fixture(scope="module")
def kubectl(config: Path) -> Kubectl:
    run = runner(config, config.parent)
    run("apply", "-f", "-", given=WEB)
    run("rollout", "status", "deploy/web", "--timeout=60s")
    return run


def a_pod(kubectl: Kubectl, selector: str = "app=web") -> str:
    return kubectl("get", "pod", "-l", selector, "-o", "jsonpath={.items[0].metadata.name}")


def test_looking_around(kubectl: Kubectl) -> None:
    assert "Server Version: v1.3" in kubectl("version")
    assert "Kubernetes control plane is running at https://" in kubectl("cluster-info")
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "batch/v1", "autoscaling/v1", "metrics.k8s.io/v1beta1"} <= set(versions)
    assert "deployments" in kubectl("api-resources", "--api-group=apps", "-o", "name")
    assert kubectl("get", "cs").count("Healthy") == 3
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "podyard" in kubectl("config", "current-context")
    assert "DATA+OMITTED" in kubectl("config", "view")


def test_get_in_every_form(kubectl: Kubectl) -> None:
    name = a_pod(kubectl)
    assert kubectl("get", "pods", "-o", "name", "-l", "app=web").split()[0] == f"pod/{name}"
    assert "NOMINATED NODE" in kubectl("get", "pods", "-o", "wide")
    assert kubectl("get", "pods", "-A").split()[0] == "NAMESPACE"
    columns = "custom-columns=N:.metadata.name,I:.spec.containers[0].image"
    assert "nginx:1.25" in kubectl("get", "pods", "-o", columns)
    assert "kind: Pod" in kubectl("get", "pod", name, "-o", "yaml")
    assert json.loads(kubectl("get", "pod", name, "-o", "json"))["status"]["podIPs"]
    go = "go-template={{range .items}}{{.metadata.name}} {{end}}"
    assert name in kubectl("get", "pods", "-o", go)
    assert name in kubectl("get", "pods", "--sort-by=.metadata.creationTimestamp")
    assert name in kubectl("get", "pods", "--field-selector=status.phase=Running,spec.nodeName!=nowhere")
    assert "No resources found" in kubectl("get", "pods", "--field-selector=status.phase=Failed")
    assert "app=web" in kubectl("get", "pods", "--show-labels")
    assert "replicaset.apps/web" in kubectl("get", "all")
    kinds = "ep,endpointslices,sa,secrets,cm,sc,pv,pvc,pc,quota,limits,pdb,hpa,ing,netpol"
    assert "endpoints/kubernetes" in kubectl("get", kinds)


KINDS = "deploy rs pod node/node-0 svc/kubernetes ns/default sa/default endpoints/kubernetes endpointslice"


def test_describe_of_every_kind(kubectl: Kubectl) -> None:
    for kind in KINDS.split():
        assert "Name:" in kubectl("describe", kind), kind
    said = kubectl("describe", "pod", a_pod(kubectl))
    for reason, source in (("Scheduled", "default-scheduler"), ("Pulled", "kubelet"), ("Started", "kubelet")):
        assert any(line.split()[1:2] == [reason] and source in line for line in said.splitlines()), reason
    assert "deployment-controller" in kubectl("describe", "deploy", "web")
    node = kubectl("describe", "node", "node-0")
    assert "NodeReady" in node
    assert "kubernetes.io/os=linux" in node
    assert "Kubelet Version:            v1.32.0" in node
    assert "AGE" in kubectl("events").replace("LAST SEEN", "AGE")
    assert "Started container web" in kubectl("get", "events", "--field-selector=reason=Started")


def test_explain(kubectl: Kubectl) -> None:
    said = kubectl("explain", "pod.spec.containers")
    assert "FIELD: containers <[]Container>" in said
    assert "-required-" in said
    assert "topologySpreadConstraints" in kubectl("explain", "deploy.spec.template.spec", "--recursive")
    assert "DeploymentSpec" in kubectl("explain", "deploy.spec")
    assert 'field "nothing" does not exist' in kubectl("explain", "node.status.nothing", code=1)


def test_logs(kubectl: Kubectl) -> None:
    name = a_pod(kubectl)
    assert "Started container web" in kubectl("logs", name)
    assert kubectl("logs", "-l", "app=web", "--tail=1", "--prefix").count("[pod/web-") == 2
    assert kubectl("logs", "deploy/web", "--timestamps", "--tail=1").startswith("20")
    assert "previous terminated container" in kubectl("logs", name, "--previous", code=1)
    kubectl("run", "crash", "--image=busybox", "--", "sh", "-c", "echo boom; exit 3")
    eventually(lambda: "Crash" in kubectl("get", "pod", "crash"), "a crash loop")
    assert kubectl("logs", "crash", "--previous") == "boom\n"
    script = "for i in 1 2 3; do echo $i; sleep 1; done"
    kubectl("run", "talks", "--image=busybox", "--restart=Never", "--", "sh", "-c", script)
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/talks", "--timeout=60s")
    assert kubectl("logs", "-f", "talks") == "1\n2\n3\n"
    kubectl("delete", "pod", "crash", "talks", "--now")


def test_exec_cp_attach_and_debug(kubectl: Kubectl) -> None:
    name = a_pod(kubectl)
    assert kubectl("exec", name, "--", "echo", "hi") == "hi\n"
    assert kubectl("exec", "deploy/web", "--", "sh", "-c", "echo $HOSTNAME").strip().splitlines()[-1].startswith("web-")
    kubectl("exec", name, "--", "sh", "-c", "exit 3", code=3)
    assert "not found" in kubectl("exec", name, "--", "tcpdump", code=127)
    assert kubectl("exec", "-i", name, "--", "sh", given="echo one\necho two\n") == "one\ntwo\n"
    assert "container nope is not valid" in kubectl("exec", name, "-c", "nope", "--", "ls", code=1)
    assert "hi\n" in kubectl("run", "once", "--image=busybox", "--restart=Never", "--rm", "-i", "--", "echo", "hi")
    kubectl("debug", name, "--image=busybox", "-c", "dbg", "--profile=general", "--", "sleep", "1")
    started = "jsonpath={.status.ephemeralContainerStatuses[*].name}"
    eventually(lambda: "dbg" in kubectl("get", "pod", name, "-o", started), "the container")
    assert "Ephemeral Containers:" in kubectl("describe", "pod", name)
    said = kubectl("debug", "node/node-0", "--image=busybox", "--profile=general", "--", "sleep", "1")
    assert "Creating debugging pod" in said
    kubectl("delete", "pod", said.split("debugging pod ")[1].split()[0], "--now")


def test_port_forward(kubectl: Kubectl, config: Path) -> None:
    assert KUBECTL is not None
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    command = [KUBECTL, "--kubeconfig", str(config), "port-forward", "deploy/web", f"{port}:80"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as forwarding:
        try:
            assert forwarding.stdout is not None
            assert "Forwarding from" in forwarding.stdout.readline()
            for path in ("/a", "/b"):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                    assert f"port 80: GET {path}" in answer.read().decode()
        finally:
            forwarding.kill()


def test_top(kubectl: Kubectl) -> None:
    assert "10m" in kubectl("top", "pod", "-l", "app=web", "--no-headers")
    assert kubectl("top", "node", "--no-headers").count("node-") == 4
    assert " web " in kubectl("top", "pod", "--containers")


def test_apply_diff_edit_patch_replace(kubectl: Kubectl, tmp_path: Path) -> None:
    hand = named("hand")
    kubectl("apply", "-f", "-", given=hand)
    assert "unchanged" in kubectl("apply", "-f", "-", given=hand)
    changed = hand.replace("replicas: 2", "replicas: 3")
    assert "replicas: 3" in kubectl("diff", "-f", "-", given=changed, code=1)
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", given=hand)
    said = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", given=changed, code=1)
    assert 'conflict with "kubectl": .spec.replicas' in said
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", given=changed)
    assert "manager: other" in kubectl("get", "deploy", "hand", "-o", "yaml", "--show-managed-fields")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=hand)
    for kind, patch in (
        ("strategic", '{"spec":{"template":{"spec":{"containers":[{"name":"hand","stdin":true}]}}}}'),
        ("merge", '{"metadata":{"annotations":{"note":"x"}}}'),
        ("json", '[{"op":"remove","path":"/metadata/annotations/note"}]'),
    ):
        assert "patched" in kubectl("patch", "deploy", "hand", f"--type={kind}", "-p", patch), kind
    moved = '{"spec":{"selector":{"matchLabels":{"a":"b"}}}}'
    assert "field is immutable" in kubectl("patch", "deploy", "hand", "-p", moved, code=1)
    kubectl("create", "cm", "edited", "--from-literal=a=b")
    os.environ["KUBE_EDITOR"] = "sed -i s/a:.b/a:\\ c/"
    try:
        assert "edited" in kubectl("edit", "cm", "edited")
    finally:
        del os.environ["KUBE_EDITOR"]
    assert kubectl("get", "cm", "edited", "-o", "jsonpath={.data.a}") == "c"
    body = json.loads(kubectl("get", "cm", "edited", "-o", "json"))
    body["data"] = {"z": "1"}
    assert "replaced" in kubectl("replace", "-f", "-", given=json.dumps(body))
    body["metadata"]["resourceVersion"] = "1"
    assert "Conflict" in kubectl("replace", "-f", "-", given=json.dumps(body), code=1)
    assert "labeled" in kubectl("label", "cm", "edited", "x=y")
    assert "annotated" in kubectl("annotate", "cm", "edited", "x=y")
    (tmp_path / "kustomization.yaml").write_text("namePrefix: k-\nconfigMapGenerator: [{name: c, literals: [a=b]}]\n")
    assert "kind: ConfigMap" in kubectl("kustomize", str(tmp_path))
    assert "created" in kubectl("apply", "-k", str(tmp_path))
    assert "strict decoding error" in kubectl("apply", "-f", "-", given=hand.replace("replicas", "replica"), code=1)
    kubectl("rollout", "status", "deploy/hand", "--timeout=60s")


CREATED = [
    "deployment c1 --image=x --replicas=0", "job c1 --image=busybox -- true", "ns c1", "cm c1 --from-literal=a=b",
    "secret generic c1 --from-literal=a=b", "sa c1", "quota c1 --hard=pods=100",
    "pdb c1 --selector=a=b --min-available=1", "priorityclass c1 --value=7", "role c1 --verb=get --resource=pods",
    "rolebinding c1 --role=c1 --serviceaccount=default:c1",
    "clusterrole c1 --verb=get --resource=nodes", "clusterrolebinding c1 --clusterrole=c1 --user=eve",
    "service nodeport c1 --tcp=80", "ingress c1 --rule=a.b/x=c1:80",
    "secret docker-registry c2 --docker-server=a --docker-username=b --docker-password=c",
]  # fmt: skip


def test_create_run_expose_and_dry_run(kubectl: Kubectl) -> None:
    for command in CREATED:
        assert "created" in kubectl("create", *command.split()), command
    assert "condition met" in kubectl("wait", "--for=condition=complete", "job/c1", "--timeout=60s")
    assert ":30" in kubectl("get", "svc", "c1")
    assert len(kubectl("create", "token", "c1")) > 20
    assert "exposed" in kubectl("expose", "deploy", "web", "--port=80", "--type=NodePort")
    assert "10.128." in eventually(lambda: "10.128." in (said := kubectl("get", "ep", "web")) and said, "endpoints")
    assert "(server dry run)" in kubectl("create", "cm", "dry", "--from-literal=a=b", "--dry-run=server")
    assert "NotFound" in kubectl("get", "cm", "dry", code=1)
    kubectl("create", "cm", "mine", "--from-literal=a=b", "--field-manager=me")
    assert kubectl("get", "cm", "mine", "-o", "jsonpath={.metadata.managedFields[0].manager}") == "me"
    account = "--as=system:serviceaccount:default:c1"
    assert kubectl("auth", "can-i", "list", "pods", account, code=1).strip() == "no"
    assert kubectl("auth", "can-i", "get", "pods", account).strip() == "yes"
    assert "*.*" in kubectl("auth", "can-i", "--list")
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert "NotFound" in kubectl("certificate", "approve", "x", code=1)


def test_rollouts(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=named("roll"))
    kubectl("rollout", "status", "deploy/roll", "--timeout=60s")
    kubectl("set", "image", "deploy/roll", "roll=nginx:1.27")
    kubectl("set", "env", "deploy/roll", "COLOUR=blue")
    kubectl("set", "resources", "deploy/roll", "--limits=cpu=200m")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/roll", "--timeout=60s")
    assert len(kubectl("rollout", "history", "deploy/roll").splitlines()) >= 4
    assert "nginx:1.25" in kubectl("rollout", "history", "deploy/roll", "--revision=1")
    kubectl("rollout", "undo", "deploy/roll", "--to-revision=1")
    kubectl("rollout", "status", "deploy/roll", "--timeout=60s")
    assert "nginx:1.25" in kubectl("get", "deploy", "roll", "-o", "wide")
    assert "restarted" in kubectl("rollout", "restart", "deploy/roll")
    assert "paused" in kubectl("rollout", "pause", "deploy/roll")
    assert "resumed" in kubectl("rollout", "resume", "deploy/roll")
    kubectl("rollout", "status", "deploy/roll", "--timeout=60s")
    assert "scaled" in kubectl("scale", "deploy/roll", "--replicas=3")
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=3", "deploy/roll", "--timeout=60s")
    assert "autoscaled" in kubectl("autoscale", "deploy", "roll", "--min=2", "--max=3", "--cpu-percent=50")
    assert "Deployment/roll" in kubectl("get", "hpa", "roll")
    kubectl("delete", "hpa", "roll")


STATEFUL = """
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
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: "postgres:16"}
"""


def test_a_stateful_set(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=STATEFUL)
    assert "roll out complete" in kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert kubectl("get", "sts", "db", "--no-headers").split()[:2] == ["db", "2/2"]
    kubectl("scale", "sts/db", "--replicas=3")
    kubectl("set", "image", "sts/db", "main=postgres:17")
    kubectl("rollout", "status", "sts/db", "--timeout=60s")
    images = ("get", "pods", "-l", "app=db", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert kubectl(*images).split() == ["postgres:17"] * 3
    assert kubectl("rollout", "history", "sts/db").split()[-4:] == ["1", "<none>", "2", "<none>"]
    kubectl("rollout", "undo", "sts/db")
    kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert kubectl(*images).split() == ["postgres:16"] * 3
    assert "statefulset.apps/db" in kubectl("get", "controllerrevisions")
    kubectl("delete", "sts", "db")
    eventually(lambda: not kubectl("get", "pods,controllerrevisions", "-l", "app=db", "-o", "name"), "all of it gone")


REPLICATED = """
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec:
  replicas: 2
  selector: {app: old}
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: main, image: "nginx:1"}]}
"""


def test_a_replication_controller(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=REPLICATED)
    ready = ("get", "rc", "old", "-o", "jsonpath={.status.readyReplicas}")
    eventually(lambda: kubectl(*ready) == "2", "its pods")
    assert kubectl("get", "rc", "old", "--no-headers").split()[:4] == ["old", "2", "2", "2"]
    assert "scaled" in kubectl("scale", "rc", "old", "--current-replicas=2", "--replicas=3")
    eventually(lambda: kubectl(*ready) == "3", "one more")
    said = kubectl("describe", "rc", "old")
    assert "Replicas:     3 current / 3 desired" in said
    assert "SuccessfulCreate" in said
    kubectl("autoscale", "rc", "old", "--min=1", "--max=5")
    assert "ReplicationController/old" in kubectl("get", "hpa", "old", "--no-headers")
    assert "old-" in kubectl("get", "all", "-l", "app=old", "-o", "name")
    kubectl("delete", "rc", "old")
    eventually(lambda: not kubectl("get", "pods", "-l", "app=old", "-o", "name"), "its pods gone")


INDEXED = """
apiVersion: batch/v1
kind: Job
metadata: {name: parts}
spec:
  completionMode: Indexed
  completions: 3
  parallelism: 3
  backoffLimitPerIndex: 1
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: busybox, command: [sh, -c, "echo part $JOB_COMPLETION_INDEX"]}]
"""


def test_an_indexed_job(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=INDEXED)
    assert "condition met" in kubectl("wait", "--for=condition=Complete", "job/parts", "--timeout=60s")
    assert kubectl("get", "job", "parts", "--no-headers").split()[:3] == ["parts", "Complete", "3/3"]
    said = kubectl("describe", "job", "parts")
    for line in ("Completed Indexes:", "0-2", "Completion Mode:", "Indexed", "Completed"):
        assert line in said
    assert kubectl("logs", "-l", "batch.kubernetes.io/job-completion-index=1").strip() == "part 1"
    kubectl("delete", "job", "parts")


COMPOSED = """
apiVersion: v1
kind: Pod
metadata: {name: parts}
spec:
  restartPolicy: Never
  initContainers:
  - {name: setup, image: busybox, command: [sh, -c, "echo set up"]}
  - {name: proxy, image: envoy, restartPolicy: Always}
  containers:
  - {name: short, image: busybox, command: [sh, -c, "echo first; exit 3"]}
  - {name: long, image: busybox, command: [sleep, "4"]}
"""


def test_containers_of_their_own(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", given=COMPOSED)
    eventually(lambda: kubectl("get", "pod", "parts", "-o", "jsonpath={.status.phase}") == "Failed", "its end")
    said = kubectl("describe", "pod", "parts")
    for line in ("Init Containers:", "Exit Code:    3", "Exit Code:    143", "Reason:       Completed"):
        assert line in said
    assert kubectl("logs", "parts", "-c", "setup").strip() == "set up"
    assert kubectl("logs", "parts", "-c", "short").strip() == "first"
    codes = "jsonpath={.status.containerStatuses[*].state.terminated.exitCode}"
    assert kubectl("get", "pod", "parts", "-o", codes).split() == ["3", "0"]
    kubectl("delete", "pod", "parts")


def test_a_cron_job(kubectl: Kubectl) -> None:
    kubectl("create", "cronjob", "tick", "--image=busybox", "--schedule=@every 2s", "--", "echo", "tock")
    eventually(lambda: "tick-" in kubectl("get", "jobs", "-o", "name"), "a job")
    assert kubectl("get", "cj", "tick", "--no-headers").split()[:3] == ["tick", "@every", "2s"]
    said = kubectl("describe", "cronjob", "tick")
    for line in ("Concurrency Policy:", "Allow", "Successful Job History Limit:", "SuccessfulCreate"):
        assert line in said
    # Its history holds three Jobs, six seconds' worth: no more of them while this one is looked at.
    assert "patched" in kubectl("patch", "cj", "tick", "-p", '{"spec": {"suspend": true}}')
    job = kubectl("get", "jobs", "-o", "name").split()[-1]
    kubectl("wait", "--for=condition=Complete", job, "--timeout=60s")
    assert kubectl("logs", job).strip() == "tock"
    assert "created" in kubectl("create", "job", "by-hand", "--from=cronjob/tick")
    kubectl("wait", "--for=condition=Complete", "job/by-hand", "--timeout=60s")
    assert "TZ or CRON_TZ" in kubectl("create", "cronjob", "bad", "--image=x", "--schedule=TZ=UTC * * * * *", code=1)
    kubectl("delete", "cj", "tick")
    eventually(lambda: "job.batch/tick-" not in kubectl("get", "jobs", "-o", "name"), "its jobs gone")


def test_nodes_and_drains(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=named("moved"))
    kubectl("rollout", "status", "deploy/moved", "--timeout=60s")
    node = kubectl("get", "pod", a_pod(kubectl, "app=moved"), "-o", "jsonpath={.spec.nodeName}")
    assert "cordoned" in kubectl("cordon", node)
    assert "SchedulingDisabled" in kubectl("get", "node", node)
    kubectl("create", "pdb", "moved", "--selector=app=moved", "--min-available=100%")
    eventually(lambda: kubectl("get", "pdb", "moved", "-o", "jsonpath={.status.expectedPods}") == "2", "the budget")
    said = kubectl("drain", node, "--timeout=2s", code=1)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in said
    kubectl("delete", "pdb", "moved")
    kubectl("run", "bare", "--image=x", "--overrides", json.dumps({"spec": {"nodeName": node}}))
    assert "cannot delete" in kubectl("drain", node, "--timeout=20s", code=1)
    assert "drained" in kubectl("drain", node, "--force", "--ignore-daemonsets", "--timeout=60s")
    assert "uncordoned" in kubectl("uncordon", node)
    assert "tainted" in kubectl("taint", "node", node, "a=b:NoExecute")
    assert "untainted" in kubectl("taint", "node", node, "a-")


def test_deletes(kubectl: Kubectl) -> None:
    for name in ("one", "two"):
        kubectl("create", "deployment", name, "--image=x", "--replicas=1")
        kubectl("rollout", "status", f"deploy/{name}", "--timeout=60s")
    kubectl("delete", "deploy", "one", "--cascade=orphan")
    assert "one-" in kubectl("get", "rs", "-l", "app=one")
    kubectl("delete", "rs", "-l", "app=one", "--cascade=foreground")
    assert "No resources found" in kubectl("get", "pods", "-l", "app=one")
    kubectl("delete", "deploy", "two", "--cascade=background")
    kubectl("wait", "--for=delete", "pod", "-l", "app=two", "--timeout=60s")
    kubectl("run", "stays", "--image=x")
    assert "force deleted" in kubectl("delete", "pod", "stays", "--grace-period=0", "--force")
    kubectl("create", "ns", "gone")
    eventually(lambda: "default" in kubectl("get", "sa", "-n", "gone"), "its account")
    kubectl("run", "all", "--image=x", "-n", "gone")
    assert '"all" deleted' in kubectl("delete", "pods", "--all", "-n", "gone", "--timeout=60s")
    assert "deleted" in kubectl("delete", "ns", "gone", "--timeout=60s")
    assert 'pods "ghost" not found' in kubectl("delete", "pod", "ghost", code=1)
    assert kubectl("delete", "pod", "ghost", "--ignore-not-found") == ""


def test_proxy_and_watch(kubectl: Kubectl, config: Path) -> None:
    assert KUBECTL is not None
    base = [KUBECTL, "--kubeconfig", str(config)]
    with subprocess.Popen([*base, "proxy", "--port=0"], stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            address = proxy.stdout.readline().split()[-1]
            with urllib.request.urlopen(f"http://{address}/api/v1/namespaces/default/pods", timeout=10) as answer:
                assert json.load(answer)["kind"] == "PodList"
        finally:
            proxy.kill()
    with subprocess.Popen([*base, "get", "cm", "-w", "-o", "name"], stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            kubectl("create", "cm", "seen", "--from-literal=a=b")
            until = time.monotonic() + 20
            while time.monotonic() < until:
                if watching.stdout.readline().strip() == "configmap/seen":
                    return
            pytest.fail("the watch did not show it")
        finally:
            watching.kill()
