"""kubectl where something is reached inside the cluster: attach, cp, curl from a pod, the proxy of Services."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from tests.e2e.test_kubectl import Kubectl, runner
from tests.e2e.test_kubectl_day import WEB, a_pod
from tests.e2e.test_up import eventually, podyard_up

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("kubectl-day"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    path = tmp_path_factory.mktemp("inside") / "kubeconfig"
    with podyard_up(path, "--nodes", "2", "--time-scale", "4"):
        run = runner(path, path.parent)
        run("apply", "-f", "-", given=WEB)
        run("expose", "deploy", "web", "--port=8080", "--target-port=80")
        run("run", "box", "--image=busybox", "--", "sleep", "3600")
        run("rollout", "status", "deploy/web", "--timeout=60s")
        run("wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
        yield run


def test_a_pod_that_is_attached_to_ends_with_its_exit_code(kubectl: Kubectl) -> None:
    """kubectl waits for the pod's end, and hung where nothing ended it: attach never tells an exit code."""
    run = ("--rm", "-i", "--restart=Never", "--image=busybox", "--")
    assert "terminated (Error)" in kubectl("run", "three", *run, "sh", "-c", "exit 3", code=3)
    assert "in a shell\n" in kubectl("run", "shell", *run, "sh", given="echo in a shell; exit 4\n", code=4)
    assert "given\n" in kubectl("run", "cat", *run, "cat", given="given\n")


def test_a_shell_in_an_ephemeral_container_ends(kubectl: Kubectl) -> None:
    name = a_pod(kubectl)
    said = kubectl("debug", "-i", name, "--image=busybox", "-c", "d", "--profile=general", "--", "sh", given="echo x\n")
    assert "x\n" in said
    state = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}"
    eventually(lambda: kubectl("get", "pod", name, "-o", state) == "Completed", "its end")


def test_files_go_in_and_come_out(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "in" / "text").write_text("hello\n")
    (tmp_path / "in" / "below" / "bytes").write_bytes(bytes(range(256)) * 400)
    kubectl("cp", str(tmp_path / "in"), "box:/data")
    assert kubectl("exec", "box", "--", "cat", "/data/text") == "hello\n"
    kubectl("exec", "box", "--", "sh", "-c", "echo more >> /data/text; rm -rf /nowhere")
    kubectl("cp", "box:/data", str(tmp_path / "out"))
    assert (tmp_path / "out" / "text").read_text() == "hello\nmore\n"
    assert (tmp_path / "out" / "below" / "bytes").read_bytes() == bytes(range(256)) * 400
    kubectl("cp", str(tmp_path / "in" / "text"), "box:/tmp")
    assert kubectl("exec", "box", "--", "ls", "/tmp") == "text\n"
    assert "No such file" in kubectl("cp", "box:/nowhere", str(tmp_path / "none"), code=1)
    assert "No such file" in kubectl("exec", a_pod(kubectl), "--", "cat", "/data/text", code=1)


@pytest.mark.parametrize("host", ["web:8080", "web.default:8080", "web.default.svc.cluster.local:8080", "the pod"])
def test_a_service_answers_by_name_and_a_pod_by_address(kubectl: Kubectl, host: str) -> None:
    if host == "the pod":
        host = kubectl("get", "pod", a_pod(kubectl), "-o", "jsonpath={.status.podIP}")
    for command in (("curl", "-s"), ("wget", "-qO-")):
        assert " port 80: GET /x" in kubectl("exec", "box", "--", *command, f"http://{host}/x")


def test_what_does_not_answer_is_told_as_these_tools_tell_it(kubectl: Kubectl) -> None:
    assert "Could not resolve host: nope" in kubectl("exec", "box", "--", "curl", "http://nope", code=6)
    assert "Failed to connect to web port 81" in kubectl("exec", "box", "--", "curl", "http://web:81", code=7)
    assert "bad address 'nope'" in kubectl("exec", "box", "--", "wget", "-q", "http://nope", code=1)
    assert "web.default.svc.cluster.local" in kubectl("exec", "box", "--", "nslookup", "web")
    assert "NXDOMAIN" in kubectl("exec", "box", "--", "nslookup", "nope", code=1)


def test_the_proxy_of_services_pods_and_nodes(kubectl: Kubectl) -> None:
    inside = "/api/v1/namespaces/default"
    for name in ("services/web", "services/http:web:8080", f"pods/{a_pod(kubectl)}", f"pods/{a_pod(kubectl)}:80"):
        assert " port 80: GET /a/b" in kubectl("get", "--raw", f"{inside}/{name}/proxy/a/b"), name
    assert 'no service port "81"' in kubectl("get", "--raw", f"{inside}/services/web:81/proxy/", code=1)
    kubectl("create", "service", "clusterip", "none", "--tcp=80")
    assert "no endpoints available" in kubectl("get", "--raw", f"{inside}/services/none/proxy/", code=1)
    assert kubectl("get", "--raw", "/api/v1/nodes/node-0/proxy/healthz") == "ok"
    assert '"kind":"PodList"' in kubectl("get", "--raw", "/api/v1/nodes/node-0/proxy/pods")
    assert "forbidden" in kubectl("get", "--raw", f"{inside}/services/web/proxy/", "--as=eve", code=1)


def test_the_token_in_a_pod_is_the_pods(kubectl: Kubectl) -> None:
    """It says who asks, and is refused once its pod is gone."""
    kubectl("run", "asks", "--image=busybox", "--restart=Never", "--", "sleep", "1000")
    kubectl("wait", "pod/asks", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    token = kubectl("exec", "asks", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    mine = ("auth", "whoami", f"--token={token}")
    assert "system:serviceaccount:default:default" in kubectl(*mine)
    kubectl("delete", "pod", "asks", "--grace-period=1")
    assert "You must be logged in" in kubectl(*mine, code=1)


def test_what_every_cluster_keeps(kubectl: Kubectl) -> None:
    assert "this namespace may not be deleted" in kubectl("delete", "ns", "kube-system", code=1)
    kubectl("delete", "svc", "kubernetes")
    eventually(lambda: "10.96.0.1" in kubectl("get", "svc", "-o", "wide"), "the kubernetes Service")
    assert "readyz check passed" in kubectl("get", "--raw", "/readyz?verbose")
    made = ("create", "deploy", "dry", "--image=x", "--dry-run=server", "-o", "jsonpath={.metadata}")
    assert "resourceVersion" not in kubectl(*made)


def test_an_ingress_answers_by_host_and_path(kubectl: Kubectl) -> None:
    kubectl("create", "ingress", "shop", "--class=any", "--rule=shop.example.com/cart*=web:8080")
    address = eventually(lambda: kubectl("get", "ing", "shop", "-o", "jsonpath={..ip}"), "its address")
    assert address in kubectl("get", "ing", "shop")
    for asked in ("http://shop.example.com/cart/1", f"-H Host:shop.example.com http://{address}/cart/1"):
        assert " port 80: GET /cart/1" in kubectl("exec", "box", "--", "curl", "-s", *asked.split()), asked
    for asked in ("http://shop.example.com/else", f"http://{address}/cart"):
        assert "404" in kubectl("exec", "box", "--", "curl", "-s", asked), asked
    kubectl("delete", "ing", "shop")
    assert "Could not resolve host" in kubectl("exec", "box", "--", "curl", "http://shop.example.com/cart", code=6)


AGENT = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: "agent:1"}]}
"""


def test_the_history_of_a_daemon_set(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=AGENT)
    kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    kubectl("set", "image", "ds/agent", "agent=agent:2")
    kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    assert "agent:1" in kubectl("rollout", "history", "ds/agent", "--revision=1")
    assert "rolled back" in kubectl("rollout", "undo", "ds/agent")
    assert kubectl("get", "ds", "agent", "-o", "jsonpath={..image}") == "agent:1"
    kubectl("delete", "ds", "agent")


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: keeper}
spec:
  containers:
  - name: keeper
    image: busybox
    command: [sh, -c, "sleep 2"]
    resources: {requests: {ephemeral-storage: 1Gi}}
    volumeMounts: [{name: data, mountPath: /data}]
  restartPolicy: Never
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"""


def test_a_claim_without_a_class_and_the_conditions_of_its_pod(kubectl: Kubectl) -> None:
    assert "standard (default)" in kubectl("get", "sc")
    kubectl("apply", "-f", "-", given=CLAIM)
    kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--timeout=60s")
    assert kubectl("get", "pvc", "data", "-o", "jsonpath={.spec.storageClassName}") == "standard"
    kubectl("wait", "--for=condition=PodReadyToStartContainers", "pod/keeper", "--timeout=60s")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/keeper", "--timeout=60s")
    kubectl("wait", "--for=condition=PodReadyToStartContainers=false", "pod/keeper", "--timeout=60s")
    volume = kubectl("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
    attached = f'AttachVolume.Attach succeeded for volume "{volume}"'
    assert attached in kubectl("describe", "pod", "keeper"), "from the attachdetach-controller"
    kubectl("wait", "--for=delete", "volumeattachments", "--all", "--timeout=60s")
    kubectl("delete", "pod/keeper", "pvc/data")
    kubectl("wait", "--for=delete", f"pv/{volume}", "--timeout=60s")


def test_a_role_that_adds_to_view(kubectl: Kubectl) -> None:
    kubectl("create", "clusterrolebinding", "ann", "--clusterrole=view", "--user=ann")
    asks = ("auth", "can-i", "list", "nodepools.karpenter.sh", "--as=ann")
    assert "no" in kubectl(*asks, code=1)
    kubectl("create", "clusterrole", "pools", "--verb=list", "--resource=nodepools.karpenter.sh")
    kubectl("label", "clusterrole", "pools", "rbac.authorization.k8s.io/aggregate-to-view=true")
    assert "yes" in kubectl(*asks)
    kubectl("delete", "clusterrole/pools", "clusterrolebinding/ann")
