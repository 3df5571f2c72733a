"""Names of a dump replaced by made-up ones, everywhere alike: selectors, owners, affinities and topology still hold.

A text is renamed word by word (a word: letters and digits between `-`, `.`, `/` and so on), the same word the same way
wherever it stands: `data-web-0` stays the claim `data` of the pod `web-0`. Words are numbered in the order of the
alphabet, so that ties which are broken by names are broken alike. What Kubernetes itself defines is kept, and so are
some words that tell nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.autoscaling.horizontal.metrics_adapter import NAMES as METRIC_NAMES
from harness.experiment.dump import POOL_LABELS
from harness.model import commands
from harness.model.commands import FOREVER, Surroundings
from harness.model.times import duration_text

LEFT_OUT = (
    "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "NetworkPolicy",
    "EndpointSlice", "ControllerRevision",
)  # fmt: skip
"""Kinds that are texts and addresses all through, and that no run looks at or that a controller makes anew."""

_LETTERS = "bcdfghjklmnpqrstvwxz"
"""No vowels: no made-up name is a word."""

_WORD = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"[0-9]+$")
_ADDRESS = re.compile(r"(?<![0-9])(?:[0-9]{1,3}[-.]){3}[0-9]{1,3}(?![0-9])")
_PORT_CHARACTERS, _LABEL_CHARACTERS, _NAME_CHARACTERS = 15, 63, 253

_DOMAINS = ("kubernetes.io", "k8s.io", "x-k8s.io", "podyard.dev", "karpenter.sh", "nvidia.com", "amd.com", "intel.com")
"""Label keys, annotations, resources, finalizers and images of these are public."""

_KEPT_TEXTS = frozenset(
    {
        *POOL_LABELS, "default", "kube-system", "kube-public", "kube-node-lease", "kube-root-ca.crt",
        "system-cluster-critical", "system-node-critical", "default-scheduler", "pod-template-hash", "metadata.name",
        "metadata.namespace", "controller-revision-hash", "pod-template-generation", "job-name", "controller-uid",
        "batch.kubernetes.io/job-completion-index", "ephemeral-storage", "k8s-app", "alibabacloud.com/gpu-count",
        "alibabacloud.com/gpu-milli", "alibabacloud.com/gpu-index", "alibabacloud.com/gpu-card-model", "hugepages-2Mi",
        "hugepages-1Gi", "cluster-autoscaler.kubernetes.io/safe-to-evict", "foregroundDeletion", "orphan",
        *(name for meant, others in METRIC_NAMES.items() for name in (meant, *others)),
    }
)  # fmt: skip
_KEPT_WORDS = frozenset(
    {
        "app", "name", "instance", "component", "tier", "role", "version", "release", "part", "of", "managed",
        "by", "chart", "latest", "sha256", "docker", "io", "library", "linux", "windows", "amd64", "arm64",
        "cpu", "memory", "storage", "pods", "true", "false", "kubernetes", "master", "worker", "http", "https",
        "tcp", "udp",
    }
)  # fmt: skip
"""Words that tell nothing."""

_VERBATIM = frozenset(
    {
        "apiVersion", "kind", "schedule", "timeZone", "averageValue", "sizeLimit", "maxUnavailable",
        "minAvailable", "maxSurge", "storage", "phase", "reason", "status", "type", "operator", "effect",
        "protocol", "restartPolicy", "scheduleTime", "expireAfter", "consolidateAfter", "nodes", "weight",
        "creationTimestamp", "deletionTimestamp", "lastTransitionTime", "lastProbeTime", "lastHeartbeatTime",
        "lastUpdateTime", "startTime", "completionTime", "startedAt", "finishedAt", "renewTime", "acquireTime",
        "eventTime", "lastScheduleTime", "lastSuccessfulTime", "lastScaleTime", "completedIndexes",
        "failedIndexes", "mode", "command",
    }
)  # fmt: skip
"""Fields whose texts are Kubernetes' own words, times and amounts."""

_DROPPED = frozenset(
    {
        "managedFields", "selfLink", "resourceVersion", "message", "env", "envFrom", "data", "stringData",
        "binaryData", "nodeInfo", "addresses", "podIP", "podIPs", "hostIP", "hostIPs", "podCIDR", "podCIDRs",
        "providerID", "containerID", "imageID", "clusterIPs", "externalIPs", "loadBalancer", "loadBalancerIP",
        "loadBalancerSourceRanges", "hostAliases", "dnsConfig", "securityContext", "volumeAttributes",
        "parameters", "httpHeaders", "tls", "caBundle", "lastState", "terminationMessagePath",
        "nodePublishSecretRef", "externalName",
        "hostname", "subdomain", "user", "username",
    }
)  # fmt: skip
"""Fields that tell more than where pods may go, and that decide nothing."""

_LABELS = frozenset({"labels", "matchLabels", "nodeSelector", "annotations"})
_AMOUNTS = frozenset(
    {
        "capacity", "allocatable", "requests", "limits", "overhead", "hard", "used", "max", "min", "default",
        "defaultRequest", "maxLimitRequestRatio", "allocatedResources",
    }
)  # fmt: skip
_NAMES = re.compile(r"(^n|N)ames?$|(^n|N)amespaces?$|(^k|K)eys?$|^values?$|^(selector|topology|images?|generateName)$")
_PORTS = frozenset({"port", "targetPort", "portName"})
_NUMBER = re.compile(r"-?[0-9]{1,7}$")
_AMOUNT = re.compile(r"-?[0-9.]+(?:[a-zA-Z%]{1,2}|e[0-9]+)?$|[0-9]{4}-[0-9]{2}-[0-9]{2}T")
_CAMEL = re.compile(r"[A-Z][A-Za-z0-9]*$")
_UID = re.compile(r"uid$|UID$")

Rename: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Obfuscated:
    """`objects`: as plain data; `names`: made-up name to name, of all objects; `left_out`: how many of each kind;
    `rename`: of any text of the dump."""

    objects: list[dict[str, Any]]
    names: Mapping[str, str]
    left_out: Mapping[str, int]
    rename: Rename


def obfuscate(objects: Iterable[dict[str, Any]]) -> Obfuscated:
    """Objects of one dump, as plain data; those of LEFT_OUT are left out."""
    kept, left_out = [], dict[str, int]()
    for data in objects:
        kind = str(data.get("kind"))
        if kind in LEFT_OUT:
            left_out[kind] = left_out.get(kind, 0) + 1
        else:
            kept.append(data)
    seen: dict[str, None] = {}
    uids: dict[str, None] = {}
    look = _Walk(lambda text: seen.setdefault(text) or text, lambda text: uids.setdefault(text) or text)
    for data in kept:
        look.object(data)
    rename = Renaming(seen)
    numbers = {uid: f"00000000-0000-4000-8000-{index:012x}" for index, uid in enumerate(sorted(uids), 1)}
    write = _Walk(rename, numbers.__getitem__)
    made = [write.object(data) for data in kept]
    names: dict[str, str] = {}
    for data in kept:
        metadata = data.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if isinstance(name, str) and rename(name) != name:
            names[rename(name)] = name
    return Obfuscated(made, dict(sorted(names.items())), left_out, rename)


class Renaming:
    """A text to its made-up one. Of texts that it was not made from, words that it does not know are kept."""

    def __init__(self, texts: Iterable[str]) -> None:
        texts = [text for text in texts if not _is_kept(text)]
        words = sorted({word for text in texts for word in _words(text)})
        reserved = {word.lower() for word in _KEPT_WORDS}
        numbers = _numbered(len(words), reserved)
        self._words = dict(zip(words, numbers, strict=True))
        self._texts: dict[str, str] = {}
        taken: set[str] = set()
        for text in sorted(texts):
            taken.add(self._texts.setdefault(text, self._by_word(text)))
        long = [text for text in sorted(texts) if len(self._texts[text]) > _longest(text)]
        for index, text in enumerate(long):  # of many short words, which no longer fit into a label
            self._texts[text] = f"z{_spelled(index, 6)}"

    def __call__(self, text: str) -> str:
        if _is_kept(text):
            return text
        found = self._texts.get(text)
        return self._by_word(text) if found is None else found

    def port(self, text: str) -> str:
        """Of a port, which has 15 characters at most."""
        made = self(text)
        return made if len(made) <= _PORT_CHARACTERS else f"p{self._words[max(_words(text))]}{len(text)}"

    def _by_word(self, text: str) -> str:
        addresses = [match.span() for match in _ADDRESS.finditer(text)]

        def renamed(match: re.Match[str]) -> str:
            within = any(start <= match.start() and match.end() <= end for start, end in addresses)
            return match[0] if _is_kept_word(match[0], within) else self._words.get(match[0], match[0])

        return _WORD.sub(renamed, text)


def _longest(text: str) -> int:
    return _LABEL_CHARACTERS if len(text) <= _LABEL_CHARACTERS else max(_NAME_CHARACTERS, len(text))


def _words(text: str) -> list[str]:
    addresses = [match.span() for match in _ADDRESS.finditer(text)]
    found = []
    for match in _WORD.finditer(text):
        within = any(start <= match.start() and match.end() <= end for start, end in addresses)
        if not _is_kept_word(match[0], within):
            found.append(match[0])
    return found


def _is_kept_word(word: str, of_address: bool) -> bool:
    if _DIGITS.match(word):
        return len(word) <= 4 and not of_address
    return word in _KEPT_WORDS


def _is_kept(text: str) -> bool:
    if text in _KEPT_TEXTS or _NUMBER.match(text):
        return True
    domain, slash, _ = text.partition("/")
    return bool(slash) and any(domain == known or domain.endswith("." + known) for known in _DOMAINS)


def _numbered(count: int, reserved: set[str]) -> Iterator[str]:
    """So many made-up words of one length, in the order of the alphabet."""
    width = 3
    while len(_LETTERS) ** width < count + len(reserved):
        width += 1
    index = made = 0
    while made < count:
        word = _spelled(index, width)
        index += 1
        if word not in reserved:
            made += 1
            yield word


def _spelled(number: int, width: int) -> str:
    letters = []
    for _ in range(width):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(reversed(letters))


class _Walk:
    """An object copied with `text` applied to each of its names, and `uid` to each uid."""

    def __init__(self, text: Rename, uid: Rename) -> None:
        self._text = text
        self._port: Rename = text.port if isinstance(text, Renaming) else text
        self._uid = uid
        self._addresses: dict[str, int] = {}

    def object(self, data: dict[str, Any]) -> dict[str, Any]:
        return self._mapping("", data)

    def _mapping(self, parent: str, data: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if parent == "containers" or parent == "initContainers":
            data = _without_commands(data)
        for key, value in data.items():
            if key == "hostIP" and parent == "ports" and isinstance(value, str):
                out[key] = self._address(value)
                continue
            if key in _DROPPED or value is None or (key == "clusterIP" and value != "None"):
                continue
            if key == "annotations" and isinstance(value, dict):
                out[key] = self._annotations(value)
            elif (key in _LABELS or key == "selector") and _is_flat(value):
                out[key] = {self._text(name): self._text(text) for name, text in value.items()}
            elif key in _AMOUNTS and _is_flat(value):
                out[key] = {self._resource(name): text for name, text in value.items()}
            elif key == "exec" and isinstance(value, dict):
                out[key] = {"command": _like(value.get("command"))}
            elif key == "path" and isinstance(value, str):
                out[key] = "/" + self._text(value.strip("/")) if value.startswith("/") else self._text(value)
            else:
                out[key] = self._value(parent, key, value)
        return out

    def _value(self, parent: str, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return self._mapping(key, value)
        if isinstance(value, list):
            return [self._value(parent, key, item) for item in value]
        if not isinstance(value, str) or key in _VERBATIM:
            return value
        if _UID.search(key):
            return self._uid(value)
        if key in _PORTS or (parent == "ports" and key == "name"):
            return value if _NUMBER.match(value) else self._port(value)
        if parent == "target" or (key == "value" and parent == "policies"):
            return value  # a quantity
        if not _NAMES.search(key) and (_AMOUNT.match(value) or _CAMEL.match(value)):
            return value
        return self._text(value)

    def _address(self, text: str) -> str:
        """Of a host, on which a port is taken; one of the range for benchmarks (RFC 2544)."""
        if text in ("", "0.0.0.0", "::", "127.0.0.1", "::1"):
            return text
        number = self._addresses.setdefault(text, len(self._addresses) + 1)
        return f"198.18.{number // 250}.{number % 250}"

    def _resource(self, name: str) -> str:
        """Of a resource, or of what a quota counts; without a domain it is Kubernetes' own."""
        head, mark, rest = name.partition(".storageclass.storage.k8s.io/")
        if mark:
            return f"{self._text(head)}{mark}{rest}"
        if "/" not in name or name.startswith("count/"):
            return name
        for prefix in ("requests.", "limits."):
            if name.startswith(prefix):
                return prefix + self._text(name.removeprefix(prefix))
        return self._text(name)

    def _annotations(self, found: dict[str, Any]) -> dict[str, Any]:
        """Those of Kubernetes and Podyard as they are, unless they are a text of their own; others renamed."""
        out = {}
        for name, value in found.items():
            if name == "kubectl.kubernetes.io/last-applied-configuration" or not isinstance(value, str):
                continue
            if name.startswith("podyard.dev/"):
                key, dot, container = name.partition(".dev/")[2].partition(".")
                out[f"podyard.dev/{key}{dot}{self._text(container) if dot else ''}"] = value
            elif _is_kept(name) and (_AMOUNT.match(value) or value in ("true", "false") or len(value) > 200):
                out[name] = value if len(value) <= 200 else ""
            elif len(value) <= 200:
                out[self._text(name)] = self._text(value)
        return out


def _is_flat(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(item, dict | list) for item in value.values())


def _without_commands(container: dict[str, Any]) -> dict[str, Any]:
    """What a kubelet makes of the command (it ends after so long, with this code) stays, its words do not."""
    argv = [str(item) for name in ("command", "args") for item in container.get(name) or ()]
    out = {name: value for name, value in container.items() if name not in ("command", "args")}
    if argv:
        command = _like(argv)
        if command != ["true"] or commands.run(argv, Surroundings()) is not None:
            out["command"] = command
    return out


def _like(argv: Any) -> list[str]:
    """A command that takes as long and ends alike, as far as commands are known."""
    outcome = commands.run([str(item) for item in argv], Surroundings()) if isinstance(argv, list) and argv else None
    if outcome is None:
        return ["true"]
    if outcome.duration_ns == FOREVER:
        return ["sleep", "infinity"]
    if not outcome.duration_ns and not outcome.exit_code:
        return ["true"]
    return ["sh", "-c", f"sleep {duration_text(outcome.duration_ns)}; exit {outcome.exit_code}"]
