"""One extender over HTTP: the four messages of kube-scheduler's extender API v1, and what can go wrong with each.

Source: k8s.io/kube-scheduler/extender/v1 types.go (v1.32), whose fields have no JSON names of their own: they are
written as in Go (`NodeNames`) and read whatever their case, as Go reads them.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from schedulers.extender.settings import Settings

MAX_PRIORITY = 10
"""Of an extender's score. Source: extender/v1 MaxExtenderPriority."""

_LONGEST = 64 << 20  # bytes of an answer


class ExtenderFailed(Exception):
    """The call came to nothing; the message is the same in every run."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """`names`: the nodes that passed. `failed`: why others did not."""

    names: frozenset[str]
    failed: Mapping[str, str]


class Client:
    """`settings` say where it is, and how long it may take."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        parts = urlsplit(settings.url_prefix)
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/")
        self._https = parts.scheme == "https" or settings.enable_https
        self._connection: http.client.HTTPConnection | None = None

    def filter(self, pod: Mapping[str, Any], names: Sequence[str], nodes: Sequence[Mapping[str, Any]]) -> Filtered:
        """Which of the nodes take the pod. `nodes`: as objects, for an extender that keeps none itself."""
        answer = _fields(self._call(self.settings.filter_verb, self._args(pod, names, nodes)), "ExtenderFilterResult")
        if answer.get("error"):
            raise ExtenderFailed(f"filter: {answer['error']}")
        listed = answer.get("nodenames")
        if listed is None:
            items = _fields(answer.get("nodes") or {}, "NodeList").get("items")
            try:
                listed = [item["metadata"]["name"] for item in items or []]
            except (TypeError, KeyError):
                raise ExtenderFailed("filter: the answer names no nodes") from None
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise ExtenderFailed("filter: NodeNames is no list of names")
        unknown = sorted(set(listed) - set(names))
        if unknown:
            raise ExtenderFailed(f"filter: {unknown[0]!r} was not among the nodes")
        failed: dict[str, str] = {}
        for field in ("failednodes", "failedandunresolvablenodes"):
            told = answer.get(field) or {}
            if not isinstance(told, dict):
                raise ExtenderFailed(f"filter: {field} is no map")
            failed |= {str(name): str(why) for name, why in told.items()}
        return Filtered(frozenset(listed), failed)

    def prioritize(
        self, pod: Mapping[str, Any], names: Sequence[str], nodes: Sequence[Mapping[str, Any]]
    ) -> dict[str, int]:
        """The score of each node, 0 to 10; a node that is not spoken of has 0."""
        answer = self._call(self.settings.prioritize_verb, self._args(pod, names, nodes))
        if not isinstance(answer, list):
            raise ExtenderFailed("prioritize: the answer is no HostPriorityList")
        out = dict.fromkeys(names, 0)
        for item in answer:
            entry = _fields(item, "HostPriority")
            host, score = entry.get("host"), entry.get("score")
            if host not in out or type(score) is not int:
                raise ExtenderFailed("prioritize: a host that was not asked about, or a score that is no integer")
            if not 0 <= score <= MAX_PRIORITY:
                raise ExtenderFailed(f"prioritize: {host} has {score}, not 0 to {MAX_PRIORITY}")
            out[host] = score
        return out

    def bind(self, namespace: str, name: str, uid: str, node: str) -> None:
        args = {"PodName": name, "PodNamespace": namespace, "PodUID": uid, "Node": node}
        answer = _fields(self._call(self.settings.bind_verb, args) or {}, "ExtenderBindingResult")
        if answer.get("error"):
            raise ExtenderFailed(f"bind: {answer['error']}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _args(self, pod: Mapping[str, Any], names: Sequence[str], nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        if self.settings.node_cache_capable:
            return {"Pod": pod, "Nodes": None, "NodeNames": list(names)}
        items = {"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": list(nodes)}
        return {"Pod": pod, "Nodes": items, "NodeNames": None}

    def _call(self, verb: str, args: Mapping[str, Any]) -> Any:
        body = json.dumps(args).encode()
        try:
            status, answer = self._post(verb, body)
        except TimeoutError:
            self.close()
            raise ExtenderFailed(f"{verb}: no answer within {self.settings.timeout_s:g} s") from None
        except ConnectionRefusedError:
            self.close()
            raise ExtenderFailed(f"{verb}: connection refused by {self._host}") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ExtenderFailed(f"{verb}: {type(error).__name__}") from None
        if status != 200:
            raise ExtenderFailed(f"{verb}: HTTP {status}")
        if len(answer) > _LONGEST:
            raise ExtenderFailed(f"{verb}: the answer is longer than {_LONGEST >> 20} MiB")
        try:
            return json.loads(answer) if answer.strip() else None
        except (ValueError, RecursionError):
            raise ExtenderFailed(f"{verb}: the answer is no JSON") from None

    def _post(self, verb: str, body: bytes) -> tuple[int, bytes]:
        """Over the connection that is open; a kept one that the other side has closed is opened anew, once."""
        fresh = self._connection is None
        connection = self._connection = self._connection or self._open()
        headers = {"Content-Type": "application/json"}
        try:
            connection.request("POST", f"{self._path}/{verb.lstrip('/')}", body, headers)
            response = connection.getresponse()
        except (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected):
            self.close()
            if fresh:
                raise
            return self._post(verb, body)
        answer = response.read(_LONGEST + 1)
        if response.will_close or len(answer) > _LONGEST:
            self.close()
        return response.status, answer

    def _open(self) -> http.client.HTTPConnection:
        timeout = self.settings.timeout_s
        if not self._https:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        context = ssl.create_default_context()
        if self.settings.tls_config.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)


def _fields(answer: Any, what: str) -> dict[str, Any]:
    """An object with its keys in lower case."""
    if not isinstance(answer, dict):
        raise ExtenderFailed(f"the answer is no {what}")
    return {str(key).lower(): value for key, value in answer.items()}
