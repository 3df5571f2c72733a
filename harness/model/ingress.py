"""Which Service an Ingress sends a request to, by its host and path.

Source: kubernetes.io/docs/concepts/services-networking/ingress, "Path types", "Hostname wildcards", "Multiple matches".
Every class of Ingress is answered alike: the cluster's own data path is the controller.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.model.wire import Json


class Backend(msgspec.Struct, frozen=True):
    """A Service of the Ingress's namespace; `port`: its number, or its name."""

    service: str
    port: int | str


def backend_of(ingress: Json, host: str, path: str) -> Backend | None:
    """`ingress`: its JSON without metadata. None where no rule matches and there is no default, or where the backend is
    no Service."""
    spec = ingress.get("spec") or {}
    best: tuple[tuple[int, int, bool], Json] | None = None
    for rule in spec.get("rules") or ():
        closeness = _host_matches(rule.get("host") or "", host)
        if closeness < 0:
            continue
        for item in (rule.get("http") or {}).get("paths") or ():
            wanted, kind = item.get("path") or "/", item.get("pathType") or "ImplementationSpecific"
            if _path_matches(wanted, kind, path):
                # The host said in full first, then the longest path, then an exact one.
                rank = (closeness, len(wanted.rstrip("/")), kind == "Exact")
                if best is None or rank > best[0]:
                    best = (rank, item.get("backend") or {})
    return _backend(best[1] if best is not None else spec.get("defaultBackend") or {})


def hosts_of(ingress: Json) -> Iterator[str]:
    """Those that its rules name; wildcards, too."""
    for rule in (ingress.get("spec") or {}).get("rules") or ():
        if rule.get("host"):
            yield rule["host"]


def host_matches(pattern: str, host: str) -> bool:
    return _host_matches(pattern, host) >= 0


def _host_matches(pattern: str, host: str) -> int:
    """2 for the very name, 1 for a wildcard, which stands for one label, 0 for a rule of every host; -1 for none."""
    if not pattern:
        return 0
    if pattern.startswith("*."):
        return 1 if host.partition(".")[2] == pattern[2:] and not host.startswith(".") else -1
    return 2 if host == pattern else -1


def _path_matches(wanted: str, kind: str, path: str) -> bool:
    path = path.partition("?")[0]
    if kind == "Exact":
        return path == wanted
    # Element by element; what is specific to an implementation is taken as a prefix, as ingress-nginx does.
    wanted = wanted.rstrip("/")
    return path == wanted or path.startswith(f"{wanted}/") or not wanted


def _backend(said: Json) -> Backend | None:
    service = said.get("service") or {}
    port = service.get("port") or {}
    if not service.get("name"):
        return None
    return Backend(service["name"], port.get("number") or port.get("name") or 0)


def port_matches(port: int | str, number: int, name: str) -> bool:
    """Whether a port of a Service is the one that a backend means."""
    return port == number if isinstance(port, int) else port == name
