"""ServiceAccount: a pod runs as an account that is there, and has its token mounted.

Source: plugin/pkg/admission/serviceaccount/admission.go (Kubernetes 1.32).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from harness.apiserver.admission.plugin import AdmissionRequest, Plugin
from harness.apiserver.registry.lifecycle import replaced, spoken_name
from harness.apiserver.watch_cache import WatchCache
from harness.model.core import Container, Pod, PodSpec
from harness.model.meta import ApiObject
from harness.model.status import forbidden
from harness.model.wire import Json

DEFAULT = "default"
MOUNTED_AT = "/var/run/secrets/kubernetes.io/serviceaccount"

_VOLUME = "kube-api-access-"
_TOKEN_S = 3607
"""Source: the same file, serviceaccount.WarnOnlyBoundTokenExpirationSeconds: an hour, and a sign of who asked."""

_KEPT = 4096


class ServiceAccount(Plugin):
    """Idle until somebody serves clients: runs have no accounts.

    Pods of one template share their spec, and share it as it is completed; the volume of the token, which Kubernetes
    names at random, is named after the spec therefore.
    """

    idle = True
    for_clients = True
    observes = frozenset({"ServiceAccount"})

    def __init__(self, cache: WatchCache) -> None:
        super().__init__(cache)
        self._completed: dict[tuple[int, str], tuple[PodSpec, PodSpec]] = {}

    def admit(self, request: AdmissionRequest) -> Any:
        pod: Pod = request.obj
        key = (id(pod.spec), request.namespace)
        known = self._completed.get(key)
        if known is None:
            if len(self._completed) >= _KEPT:
                self._completed.clear()
            known = self._completed[key] = (pod.spec, self._complete(pod, request.namespace))
        return replaced(pod, spec=known[1])

    def observe(self, change: str, obj: ApiObject, old: ApiObject) -> None:
        self._completed.clear()

    def rebuild(self) -> None:
        self._completed.clear()

    def _complete(self, pod: Pod, namespace: str) -> PodSpec:
        spec = pod.spec
        name = spec.service_account_name or DEFAULT
        account: Any = self.cache.objects("ServiceAccount").get(f"{namespace}/{name}")
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise forbidden("pods", spoken_name(pod.metadata), why)
        extra = {**(spec.extra or {})}
        extra.setdefault("enableServiceLinks", True)  # Source: core/v1 SetDefaults_Pod
        extra["serviceAccount"] = name
        of_account = account.extra or {}
        if not extra.get("imagePullSecrets") and of_account.get("imagePullSecrets"):
            extra["imagePullSecrets"] = of_account["imagePullSecrets"]
        spec = replaced(spec, service_account_name=name, extra=extra)
        wanted = extra.get("automountServiceAccountToken", of_account.get("automountServiceAccountToken"))
        return spec if wanted is False else _mounted(spec)


def _mounted(spec: PodSpec) -> PodSpec:
    """With the token's volume, mounted where a container has nothing mounted already."""
    extra = spec.extra or {}
    volumes = extra.get("volumes") or []
    name = next((item["name"] for item in volumes if str(item.get("name", "")).startswith(_VOLUME)), "")
    if not name:
        name = _VOLUME + hashlib.sha256(msgspec.json.encode(spec)).hexdigest()[:5]
        volumes = [*volumes, {"name": name, "projected": {"defaultMode": 0o644, "sources": _sources()}}]
    return replaced(
        spec,
        containers=tuple(_with_mount(item, name) for item in spec.containers),
        init_containers=tuple(_with_mount(item, name) for item in spec.init_containers),
        extra={**extra, "volumes": volumes},
    )


def _with_mount(container: Container, volume: str) -> Container:
    extra = container.extra or {}
    mounts = extra.get("volumeMounts") or []
    if any(item.get("mountPath") == MOUNTED_AT for item in mounts):
        return container
    mount = {"name": volume, "readOnly": True, "mountPath": MOUNTED_AT}
    return replaced(container, extra={**extra, "volumeMounts": [*mounts, mount]})


def _sources() -> list[Json]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_S, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
