"""The node's image cache: it is on disk, so it survives a crash; images are pulled one at a time, if they can be.

Source: KubeletConfiguration serializeImagePulls, true; pkg/kubelet/images/image_manager.go EnsureImageExists (1.32);
for what a registry answers, containerd's core/remotes/docker.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from random import Random

import msgspec

from harness.engine.component import SECOND
from harness.engine.latency import Latencies
from harness.model.core import Node
from harness.model.faults import PullsFail


class Trouble(msgspec.Struct, frozen=True):
    """Why a container has no image. `reason`: of its waiting state; `event`: reason of the event that tells `message`;
    `after_pull`: the registry has been asked."""

    reason: str
    event: str
    message: str
    after_pull: bool = False


class Images:
    """`checked`: names must be well-formed, a registry under .invalid has no address (RFC 2606, section 2), and what is
    never to be pulled must be there. Else, and for all other names, an image is there to be pulled, but for outages."""

    __slots__ = ("_free_ns", "_outages", "_there", "checked")

    def __init__(self, node: Node, *, checked: bool = False) -> None:
        self.checked = checked
        self._outages: list[PullsFail] = []
        self._there: dict[str, int] = {name: 0 for image in node.status.images for name in image.names}
        self._free_ns = 0

    def there_at(self, name: str) -> int | None:
        """When it is there, maybe still being pulled; None: nobody asked for it yet."""
        return self._there.get(name)

    def pull(self, now: int, name: str, latencies: Latencies, rng: Random) -> int:
        """When it will be there, behind the pulls that are under way."""
        begin = max(now, self._free_ns)
        transfer = latencies.image_bytes * SECOND // latencies.image_pull_bytes_per_s
        at = begin + latencies.image_pull_base.draw(rng) + transfer
        self._there[name] = self._free_ns = at
        return at

    def disturb(self, outage: PullsFail) -> None:
        """The registry is away, or back."""
        known = (outage.images, outage.does)
        self._outages = [other for other in self._outages if (other.images, other.does) != known]
        if outage.until_ns:
            self._outages.append(outage)

    @property
    def careful(self) -> bool:
        """Whether there may be trouble at all."""
        return self.checked or bool(self._outages)

    def trouble(self, now: int, name: str, policy: str) -> Trouble | None:
        """Why a container cannot have its image now."""
        if self.checked and (wrong := malformed(name)):
            message = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {wrong}'
            return Trouble("InvalidImageName", "InspectFailed", message)
        there = name in self._there
        if self.checked and policy == "Never" and not there:
            message = f'Container image "{name}" is not present with pull policy of Never'
            return Trouble("ErrImageNeverPull", "ErrImageNeverPull", message)
        if policy == "Never" or (there and policy != "Always"):
            return None
        answer = "noHost" if self.checked and registry_of(name).endswith(".invalid") else ""
        for outage in self._outages:
            if now < outage.until_ns and (not outage.images or any(fnmatchcase(name, it) for it in outage.images)):
                answer = outage.does
        return Trouble("ErrImagePull", "Failed", refused(name, answer), after_pull=True) if answer else None

    def ask(self, now: int, latencies: Latencies, rng: Random) -> int:
        """When the registry has said that it does not give an image, behind the pulls that are under way."""
        self._free_ns = max(now, self._free_ns) + latencies.image_pull_base.draw(rng)
        return self._free_ns

    def power_lost(self, now: int) -> None:
        """What was being pulled is not there."""
        for name in [name for name, at in self._there.items() if at > now]:
            del self._there[name]
        self._free_ns = 0


_NAME = re.compile(
    r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*"
    r"(?::[0-9]+)?/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
"""Source: github.com/distribution/reference, regexp.go ReferenceRegexp."""


def malformed(name: str) -> str:
    """What is wrong with an image's name; empty where nothing is."""
    if _NAME.fullmatch(name):
        return ""
    lower = _NAME.fullmatch(name.lower()) is not None
    path = _of_library(name).partition("/")[2].partition("@")[0]
    repository = path.rpartition(":")[0] or path
    return f"invalid reference format{f': repository name ({repository}) must be lowercase' if lower else ''}"


def registry_of(name: str) -> str:
    """The host, without its port."""
    return _of_library(name).partition("/")[0].partition(":")[0]


def _of_library(name: str) -> str:
    """The whole name. Source: distribution/reference normalize.go splitDockerDomain."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        return f"docker.io/{name if slash else f'library/{name}'}"
    return f"{first}/{rest}"


def refused(name: str, answer: str) -> str:
    """What the container runtime says when a registry does not give the image."""
    whole = _of_library(name)
    if ":" not in whole.rpartition("/")[2] and "@" not in whole:
        whole += ":latest"
    host, _, path = whole.partition("/")
    host = "registry-1.docker.io" if host == "docker.io" else host
    repository, _, tag = path.partition("@") if "@" in path else path.rpartition(":")
    url = f"https://{host}/v2/{repository}/manifests/{tag}"
    code, why = {
        "notFound": ("NotFound", f"{whole}: not found"),
        "denied": (
            "Unknown",
            "pull access denied, repository does not exist or may require authorization: "
            "server message: insufficient_scope: authorization failed",
        ),
        "rateLimit": ("Unknown", f"unexpected status from HEAD request to {url}: 429 Too Many Requests"),
        "unavailable": ("Unknown", f"unexpected status from HEAD request to {url}: 503 Service Unavailable"),
        "noHost": (
            "Unknown",
            f'failed to do request: Head "{url}": dial tcp: lookup {registry_of(name)}: no such host',
        ),
    }[answer]
    return (
        f'rpc error: code = {code} desc = failed to pull and unpack image "{whole}": '
        f'failed to resolve reference "{whole}": {why}'
    )
