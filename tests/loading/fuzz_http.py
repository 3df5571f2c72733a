"""Hostile requests to a cluster that runs: each has an answer, soon, that is no fault of the server's own.

A cluster of two machines with every component lives in this process behind HTTPS. Bodies, heads and frames are
damaged; what delimits a request (Content-Length, the empty line) is right, or a server would rightly wait for the rest.
"""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from harness.apiserver.http.auth.jwt import Signer
from harness.apiserver.http.containers.spdy import DICTIONARY, Session
from harness.apiserver.http.serve import HttpServer
from harness.cli.up import _nodes, _plain_plan
from harness.cluster.live import LiveCluster
from harness.model.errors import UserError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.apiserver.test_custom_resources import PARTS, definition
from tests.apiserver.test_protobuf import envelope, number, text
from tests.loading.reader import Reader
from tests.loading.samples import MANIFESTS

PATIENCE_S = 15
QUIET_S = 0.05
"""So long a stream may say nothing before its client goes away."""
POD = "fuzzed"

Json = dict[str, Any]


class _Complaints(logging.Handler):
    """What the server logs of its own faults."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        at = ""
        if error is not None and error.__traceback__ is not None:
            trace = error.__traceback__
            while trace.tb_next is not None:
                trace = trace.tb_next
            at = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        self.said.append(f"{record.getMessage()[:200]}: {error!r:.200}{at}")

    def taken(self) -> list[str]:
        said, self.said = self.said, []
        return said


class Target:
    """The cluster, on a thread of its own."""

    def __init__(self) -> None:
        plan = _plain_plan(_nodes(2, "4", "16Gi", 110), "greedy", 1)
        self.live = LiveCluster(MemoryStore(ObjectCodec()), plan, time_scale=4)
        self.http = HttpServer(self.live.driver_queue, epoch_unix_ns=self.live.epoch_unix_ns)
        self.complaints = _Complaints()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._drive, daemon=True)
        self._trust: ssl.SSLContext | None = None

    def _drive(self) -> None:
        self.http.start()
        for name in ("podyard.apiserver", "uvicorn.error", "asyncio"):
            logging.getLogger(name).addHandler(self.complaints)
            logging.getLogger(name).setLevel(logging.ERROR)
        self._ready.set()
        try:
            self.live.run()
        finally:
            self.http.stop()
            self.live.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S), "the server did not start"
        self._trust = ssl.create_default_context(cadata=self.http.authority.decode())

    def stop(self) -> None:
        self.live.stop()
        self._thread.join(PATIENCE_S)

    def connected(self) -> ssl.SSLSocket:
        assert self._trust is not None
        host, _, port = self.http.url.removeprefix("https://").rpartition(":")
        raw = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        return self._trust.wrap_socket(raw, server_hostname=host)

    def send(self, head: bytes, body: bytes = b"", frames: Sequence[bytes] = ()) -> int:
        """The answer's status; 0 where the connection was closed without one. Raises UserError for a refusal."""
        rows = [row.replace(b"\r", b"") for row in head.split(b"\n")]
        rows = [row for row in rows if row.strip()] or [b""]
        named = {row.partition(b":")[0].strip().lower() for row in rows[1:]}
        rows = [row for row in rows if row.partition(b":")[0].strip().lower()
                not in (b"content-length", b"transfer-encoding", b"expect")]  # fmt: skip
        if b"host" not in named:
            rows.append(b"Host: a")
        if b"authorization" not in named:
            rows.append(b"Authorization: Bearer " + self.http.token.encode())
        if b"upgrade" not in named:
            rows.append(b"Content-Length: %d" % len(body))
        with self.connected() as client:
            status, said = 0, b""
            with suppress(ConnectionError, ssl.SSLError, BrokenPipeError):
                client.sendall(b"\r\n".join(rows) + b"\r\n\r\n" + body)
                status, said = _answer(client, frames)
        assert self._thread.is_alive(), "the cluster has ended"
        complaints = self.complaints.taken()
        assert not complaints, complaints[0]
        faults = self.live.cluster.component_faults
        if faults:
            told = str(faults[-1])
            faults.clear()
            raise AssertionError(f"a component failed: {told[:300]}")
        assert status != 500 or _allowed(said), f"500 {said[:300]!r}"
        if status >= 400:
            raise UserError(f"{status} {said[:200]!r}")
        return status


def _allowed(said: bytes) -> bool:
    """500 is what Kubernetes answers, too, where a pod's container or node cannot be reached."""
    return b"container not found" in said or b"no route to host" in said


def _answer(client: ssl.SSLSocket, frames: Sequence[bytes]) -> tuple[int, bytes]:
    """(status, as much of the body as comes at once)."""
    said = b""
    while b"\r\n\r\n" not in said:
        piece = client.recv(1 << 16)
        if not piece:
            return 0, said
        said += piece
    head, _, body = said.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    lengths = [int(row.partition(b":")[2]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length:")]
    if status == 101:
        for frame in frames:
            client.sendall(frame)
        client.settimeout(QUIET_S)
        with suppress(TimeoutError):
            while client.recv(1 << 16):
                pass
        return status, b""
    if not lengths:
        client.settimeout(QUIET_S)
    with suppress(TimeoutError):
        while not lengths or len(body) < lengths[0]:
            piece = client.recv(1 << 16)
            if not piece:
                break
            body += piece
            if not lengths and len(body) > 1 << 20:
                break
    assert not lengths or len(body) >= lengths[0], "the answer was cut off"
    return status, body


@contextmanager
def target() -> Iterator[Target]:
    made = Target()
    made.start()
    try:
        yield made
    finally:
        made.stop()


# -- what is sent ------------------------------------------------------------------------------------------------------

CORE = "/api/v1/namespaces/default"
GROUPS = {"Deployment": "/apis/apps/v1", "Job": "/apis/batch/v1", "PodDisruptionBudget": "/apis/policy/v1",
          "HorizontalPodAutoscaler": "/apis/autoscaling/v2", "PriorityClass": "/apis/scheduling.k8s.io/v1",
          "PodGroup": "/apis/scheduling.x-k8s.io/v1alpha1"}  # fmt: skip
CLUSTER_WIDE = ("Node", "PersistentVolume", "PriorityClass")


def _collection(item: Json) -> str:
    kind = item["kind"]
    plural = {"PriorityClass": "priorityclasses"}.get(kind, f"{kind.lower()}s")
    base = GROUPS.get(kind, "/api/v1")
    if kind in CLUSTER_WIDE:
        return f"{base}/{plural}"
    return f"{base}/namespaces/default/{plural}"


def _pick(raw: bytes, items: Sequence[Any]) -> Any:
    """By the input alone, so that it can be tried again."""
    return items[zlib.crc32(raw) % len(items)]


def _head(method: str, path: str, kind: str = "application/json", *more: str) -> bytes:
    return "\n".join([f"{method} {path} HTTP/1.1", f"Content-Type: {kind}", *more]).encode()


def http_readers(to: Target) -> list[Reader]:
    """All of the API server's readers; the cluster has a pod that runs, a custom kind and an object of each kind."""
    objects = [json.loads(json.dumps(item, default=str)) for item in yaml.safe_load_all(MANIFESTS)]
    for item in objects:
        item["metadata"].pop("namespace", None)
        item["metadata"].pop("ownerReferences", None)
    named = {item["kind"]: f"{_collection(item)}/{item['metadata']['name']}" for item in objects}
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "command": ["sleep", "infinity"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": {"containers": [container]}}
    custom = definition("widgets", "Widget", **PARTS)
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    _created(to, f"{CORE}/pods", pod)
    _created(to, crds, custom)
    for item in objects:
        with suppress(UserError):
            _created(to, _collection(item), item)
    _until(lambda: b'"Running"' in _got(to, f"{CORE}/pods/{POD}"))
    found = [*_bodies(to, objects, named, crds), *_heads(to), *_upgrades(to)]
    return [replace(reader, refuses=True) for reader in found]


def _created(to: Target, path: str, body: Json) -> None:
    to.send(_head("POST", path), json.dumps(body).encode())


def _got(to: Target, path: str) -> bytes:
    with to.connected() as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {to.http.token}\r\n\r\n".encode())
        return _answer(client, ())[1]


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "the pod does not run"
        time.sleep(0.1)


def _sender(to: Target, heads: Callable[[bytes], list[bytes]]) -> Callable[[Path], object]:
    def send(path: Path) -> None:
        raw = path.read_bytes()
        to.send(_pick(raw, heads(raw)), raw)

    return send


def _bodies(to: Target, objects: list[Json], named: dict[str, str], crds: str) -> Iterator[Reader]:
    places = [_collection(item) for item in objects]
    wholes = [_head("POST", place) for place in places] + [_head("PUT", place) for place in named.values()]
    wholes += [_head("POST", f"{place}?dryRun=All&fieldValidation=Strict") for place in places]
    wholes += [_head("PUT", f"{place}/status") for place in named.values()]

    def belonging(heads: list[bytes]) -> Callable[[bytes], list[bytes]]:
        """Those of `heads` where an object of such a kind belongs, as far as that can still be told; else any."""
        kinds = {item["kind"]: [head for head in heads if f"/{_collection(item).rpartition('/')[2]}".encode() in head]
                 for item in objects}  # fmt: skip

        def of_kind(raw: bytes) -> list[bytes]:
            found = [some for kind, some in kinds.items()
                     if f'"kind": "{kind}"'.encode() in raw or f"kind: {kind}\n".encode() in raw]  # fmt: skip
            return found[0] if found and found[0] else heads

        return of_kind

    sound = tuple(json.dumps(item).encode() for item in objects)
    yield Reader("http objects", ".json", sound, _sender(to, belonging(wholes)))

    rows = tuple(yaml.safe_dump(item).encode() for item in objects)
    apply = "application/apply-patch+yaml"
    applied = [_head("PATCH", f"{place}{query}", apply)
               for place in named.values() for query in ("?fieldManager=f&force=true", "?fieldManager=g")]  # fmt: skip
    yield Reader("http apply", ".yaml", rows, _sender(to, belonging(applied)))

    patches = [
        {"metadata": {"labels": {"a": "b", "c": None}, "annotations": {"x": "y"}}},
        {"spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}},
        {"spec": {"containers": [{"name": "c", "$patch": "delete"}], "$setElementOrder/containers": [{"name": "d"}]}},
        {"spec": {"$retainKeys": ["a"], "tolerations": [{"key": "k", "operator": "Exists"}]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["a/b"]}, "status": {"phase": "x"}},
    ]
    merging = [_head("PATCH", place, kind) for place in named.values()
               for kind in ("application/merge-patch+json", "application/strategic-merge-patch+json")]  # fmt: skip
    yield Reader("http merge patches", ".json", tuple(json.dumps(patch).encode() for patch in patches),
                 _sender(to, lambda raw: merging))  # fmt: skip
    operations = [
        [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}, {"op": "test", "path": "/kind", "value": "x"}],
        [{"op": "copy", "from": "/spec", "path": "/metadata/x"}, {"op": "move", "from": "/spec", "path": "/status"}],
        [{"op": "replace", "path": "/spec/replicas", "value": 4}, {"op": "remove", "path": "/metadata/labels/a"}],
        [{"op": "add", "path": "/spec/containers/-", "value": {"name": "n", "image": "i"}}],
    ]
    stepwise = [_head("PATCH", place, "application/json-patch+json") for place in named.values()]
    yield Reader("http json patches", ".json", tuple(json.dumps(item).encode() for item in operations),
                 _sender(to, lambda raw: stepwise))  # fmt: skip

    definitions = (definition("gadgets", "Gadget", **PARTS), definition("things", "Thing", group="more.example.com"))
    defining = [_head("POST", crds), _head("PUT", f"{crds}/widgets.example.com"),
                _head("POST", f"{crds}?dryRun=All"),
                _head("PATCH", f"{crds}/gadgets.example.com?fieldManager=f", apply)]  # fmt: skip
    for item in definitions:
        item |= {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    yield Reader("http definitions", ".json", tuple(json.dumps(item).encode() for item in definitions),
                 _sender(to, lambda raw: defining))  # fmt: skip
    widgets = "/apis/example.com/v1/namespaces/default/widgets"
    customs = [{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name},
                "spec": {"size": 3, "items": [{"name": "a", "weight": 2}]}} for name in ("w", "v")]  # fmt: skip
    using = [_head("POST", widgets), _head("PUT", f"{widgets}/w"), _head("PUT", f"{widgets}/w/status"),
             _head("PUT", f"{widgets}/w/scale"), _head("PATCH", f"{widgets}/w", "application/merge-patch+json"),
             _head("PATCH", f"{widgets}/v?fieldManager=f", apply)]  # fmt: skip
    yield Reader("http custom resources", ".json", tuple(json.dumps(item).encode() for item in customs),
                 _sender(to, lambda raw: using))  # fmt: skip

    labels = text(11, text(1, "app") + text(2, "x"))
    meta = text(1, text(1, "p") + text(3, "default") + labels)
    requests = text(8, text(2, text(1, "cpu") + text(2, text(1, "100m"))))
    spec = text(2, text(2, text(1, "c") + text(2, "i") + requests) + number(4, 30))
    deployment = meta + text(2, number(1, 2) + text(2, text(1, text(1, "app") + text(2, "x")))
                             + text(3, text(1, labels) + spec))  # fmt: skip
    bodies = (envelope("v1", "Pod", meta + spec), envelope("apps/v1", "Deployment", deployment),
              envelope("v1", "DeleteOptions", number(1, 0) + text(4, "Background")),
              envelope("policy/v1", "Eviction", meta))  # fmt: skip
    protobuf = "application/vnd.kubernetes.protobuf"
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    packed = [_head("POST", f"{CORE}/pods", protobuf), _head("POST", deployments, protobuf),
              _head("DELETE", f"{CORE}/pods/p", protobuf), _head("POST", f"{CORE}/pods/p/eviction", protobuf),
              _head("PUT", named["Deployment"], protobuf, f"Accept: {protobuf}")]  # fmt: skip
    yield Reader("http protobuf", ".bin", bodies, _sender(to, lambda raw: packed))

    reviews: list[Json] = [
        {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
         "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}},
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
         "spec": {"token": "a.b.c", "audiences": ["x"]}},
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
         "spec": {"audiences": ["a"], "expirationSeconds": 600, "boundObjectRef": {"kind": "Pod", "name": POD}}},
        {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 2}},
        {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": POD}, "target": {"kind": "Node", "name": "n1"}},
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"},
         "deleteOptions": {"gracePeriodSeconds": 3, "preconditions": {"uid": "u"}}},
        {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Foreground"},
    ]  # fmt: skip
    parts = [_head("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
             _head("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
             _head("POST", f"{CORE}/serviceaccounts/default/token"), _head("PUT", f"{named['Deployment']}/scale"),
             _head("POST", f"{CORE}/pods/{POD}/binding"), _head("POST", f"{CORE}/pods/{POD}/eviction?dryRun=All"),
             _head("DELETE", f"{CORE}/pods/{POD}?dryRun=All")]  # fmt: skip
    for item, head in zip(reviews, parts, strict=True):
        yield Reader(f"http {item['kind']}", ".json", (json.dumps(item).encode(),), _sender(to, partial(_alone, head)))


def _alone(head: bytes, _raw: bytes) -> list[bytes]:
    return [head]


def _heads(to: Target) -> Iterator[Reader]:
    def whole(path: Path) -> None:
        to.send(path.read_bytes().replace(b"\0", b""))

    account = Signer(to.http.identity.signing_key)
    yield Reader("http paths", ".txt", tuple(_head("GET", path, "application/json", *more) for path, *more in (
        ("/openapi/v3",), ("/openapi/v3/apis/apps/v1",), ("/openapi/v3/api/v1",),
        ("/openapi/v2", "Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), ("/openapi/v2",),
        ("/api",), ("/apis", "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        ("/apis/apps/v1",), ("/version",), ("/metrics",), ("/readyz?verbose",), ("/.well-known/openid-configuration",),
        (f"{CORE}/pods/{POD}",), ("/apis/metrics.k8s.io/v1beta1/nodes",),
        ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/default/pods/*/x",), ("/api/v1/namespaces/default/status",),
    )), whole)  # fmt: skip
    table = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io"
    asked = (
        ("pods?labelSelector=app%20in%20(d,e),x!=y&fieldSelector=status.phase%3DRunning,spec.nodeName!%3Da",),
        ("pods?limit=2&continue=abc", table), ("pods?watch=true&timeoutSeconds=1&resourceVersion=1",),
        ("pods?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", table),
        (f"pods/{POD}/log?tailLines=3&sinceSeconds=5&limitBytes=100&timestamps=true&container=c",),
        (f"pods/{POD}/log?follow=true&sinceTime=2026-01-01T00:00:00Z",),
        ("pods?resourceVersion=5&resourceVersionMatch=Exact",),
        ("events?fieldSelector=involvedObject.name%3Dx", table), ("pods?labelSelector=!a,b,c%3D%3Dd&pretty=true",),
    )  # fmt: skip
    queries = tuple(_head("GET", f"{CORE}/{path}", "application/json", *more) for path, *more in asked)
    yield Reader("http queries", ".txt", queries, whole)
    now = int(time.time())
    issuer, subject = "https://kubernetes.default.svc", "system:serviceaccount:default:default"
    times = {"iat": now, "nbf": now, "exp": now + 9999}
    token = account.sign({"iss": issuer, "sub": subject, "aud": [issuer], **times})
    real = f"Authorization: Bearer {to.http.token}"
    yield Reader("http identities", ".txt", (
        _head("GET", f"{CORE}/pods", "application/json", real, "Impersonate-User: jane",
              "Impersonate-Group: system:masters"),
        _head("GET", f"{CORE}/pods", "application/json", real, f"Impersonate-User: {subject}",
              "Impersonate-Group: system:masters"),
        _head("GET", "/version", "application/json", real, "If-None-Match: x", "User-Agent: kubectl/v1"),
        _head("DELETE", f"{CORE}/pods/nosuch?gracePeriodSeconds=1&propagationPolicy=Orphan", "application/json", real),
        _head("GET", "/version", "application/json", f"Authorization: Bearer {token}"),
    ), whole)  # fmt: skip


KEY = base64.b64encode(b"0123456789abcdef").decode()


def _upgrade(path: str, protocol: str) -> bytes:
    asked = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")
    return _head("GET", path, "application/json", *asked, f"Sec-WebSocket-Protocol: {protocol}")


def frame(kind: int, payload: bytes) -> bytes:
    """Of a client: masked. Source: RFC 6455, 5.2."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([0x80 | kind]) + length + bytes(4) + payload


def _upgrades(to: Target) -> Iterator[Reader]:
    pod = f"{CORE}/pods/{POD}"
    run = f"{pod}/exec?stdin=true&stdout=true&container=c"
    opened = frame(2, b"\0echo one\n") + frame(2, b'\x04{"Width":80,"Height":24}') + frame(2, b"\xff\0")
    heads = (
        _upgrade(f"{pod}/exec?stdout=true&command=echo&command=hi", "v5.channel.k8s.io"),
        _upgrade(
            f"{pod}/exec?stdout=true&command=sh&command=-c&command=seq%203%3B%20printf%20%25s%20x", "v4.channel.k8s.io"
        ),
        _upgrade(f"{run}&tty=true&command=sh", "v5.channel.k8s.io"),
        _upgrade(f"{pod}/attach?stdin=true&stdout=true", "v5.channel.k8s.io"),
        _upgrade(f"{pod}/portforward?ports=80,81", "v4.channel.k8s.io"),
        _upgrade(f"{pod}/portforward", "SPDY/3.1+portforward.k8s.io"),
    )
    yield Reader(
        "http upgrades", ".txt", heads, lambda path: to.send(path.read_bytes().replace(b"\0", b""), frames=[opened])
    )

    pack = zlib.compressobj(zdict=DICTIONARY)
    block = b"\0\0\0\2" + b"\0\0\0\4port\0\0\0\00280" + b"\0\0\0\nstreamtype\0\0\0\4data"
    packed = pack.compress(block) + pack.flush(zlib.Z_SYNC_FLUSH)
    stream = b"\0\0\0\1" + b"\0" * 6 + packed
    spdy = (
        b"\x80\3\0\1\0"
        + len(stream).to_bytes(3, "big")
        + stream
        + Session.data(1, b"GET / HTTP/1.1\r\n\r\n", ended=True)
    )
    conversations = (
        opened,
        frame(2, b"\0" + b"for i in 1 2; do echo $i; done\nexit 3\n") + frame(8, b"\x03\xe8"),
        frame(2, spdy),
        frame(2, b"\0GET / HTTP/1.1\r\nHost: a\r\n\r\n") + frame(1, b"text") + frame(9, b"ping"),
    )

    def talk(path: Path) -> None:
        raw = path.read_bytes()
        to.send(_pick(raw, heads[2:]), frames=[raw])

    yield Reader("http frames", ".bin", conversations, talk)

    def within(path: Path) -> None:
        """What is damaged is what the frames carry."""
        raw = path.read_bytes()[: 1 << 20]
        to.send(_pick(raw, heads[2:]), frames=[frame(2, raw)])

    yield Reader("http channels", ".bin", (b"\0echo one\n", b'\x04{"Width":80,"Height":24}', b"\xff\0", spdy), within)
