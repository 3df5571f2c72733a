"""What is wrong with an Ingress, and what of one the data path does not do.

Source: pkg/apis/networking/validation/validation.go ValidateIngressSpec (1.34).
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import required, unsupported, wrong
from harness.model.objects import Unstructured
from harness.model.status import Cause
from harness.model.wire import Json

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_NOT_WITHIN = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_END = ("/..", "/.")


def ingress_problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    spec: Json = (new.extra or {}).get("spec") or {}
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    found: list[Cause] = []
    if not rules and backend is None:
        found.append(wrong("spec", None, "either `defaultBackend` or `rules` must be specified"))
    if backend is not None:
        _backend(found, backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        _rule(found, rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or []):
        for place, host in enumerate(tls.get("hosts") or []):
            _host(found, host, f"spec.tls[{index}].hosts[{place}]")
        name = tls.get("secretName") or ""
        if name and (why := names.subdomain_problem(name)):
            found.append(wrong(f"spec.tls[{index}].secretName", name, why))
    named = spec.get("ingressClassName")
    if named is not None and (why := names.subdomain_problem(named)):
        found.append(wrong("spec.ingressClassName", named, why))
    return found


def ingress_warnings(obj: Unstructured) -> list[str]:
    if not ((obj.extra or {}).get("spec") or {}).get("tls"):
        return []
    return ["spec.tls is kept and not modelled: nothing is encrypted, and requests are routed by host and path alone"]


def _rule(found: list[Cause], rule: Json, at: str) -> None:
    host = rule.get("host") or ""
    if host and names.is_ip_address(host):
        found.append(wrong(f"{at}.host", host, "must be a DNS name, not an IP address"))
    if host:
        _host(found, host, f"{at}.host")
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        found.append(required(f"{at}.http.paths"))
    for index, item in enumerate(http.get("paths") or []):
        _path(found, item, f"{at}.http.paths[{index}]")


def _path(found: list[Cause], item: Json, at: str) -> None:
    kind, path = item.get("pathType"), item.get("path") or ""
    if kind is None:
        found.append(required(f"{at}.pathType", "pathType must be specified"))
        return
    if kind not in _PATH_TYPES:
        found.append(unsupported(f"{at}.pathType", kind, _PATH_TYPES))
    elif (path or kind != "ImplementationSpecific") and not path.startswith("/"):
        found.append(wrong(f"{at}.path", path, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        found += [wrong(f"{at}.path", path, f"must not contain '{part}'") for part in _NOT_WITHIN if part in path]
        found += [wrong(f"{at}.path", path, f"cannot end with '{part}'") for part in _NOT_AT_END if path.endswith(part)]
    _backend(found, item.get("backend") or {}, f"{at}.backend")


def _backend(found: list[Cause], backend: Json, at: str) -> None:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        found.append(wrong(at, "", "cannot set both resource and service backends"))
    elif resource is not None:
        found += [required(f"{at}.resource.{field}") for field in ("kind", "name") if not resource.get(field)]
    elif service is None:
        found.append(wrong(at, "", "resource or service backend is required"))
    else:
        _service(found, service, at)


def _service(found: list[Cause], service: Json, at: str) -> None:
    name = service.get("name") or ""
    if not name:
        found.append(required(f"{at}.service.name"))
    elif why := names.label_1035_problem(name):
        found.append(wrong(f"{at}.service.name", name, why))
    port: dict[str, Any] = service.get("port") or {}
    by_name, number = port.get("name") or "", port.get("number") or 0
    if by_name and number:
        found.append(wrong(at, "", "cannot set both port name & port number"))
    elif by_name:
        if why := names.port_name_problem(by_name):
            found.append(wrong(f"{at}.service.port.name", by_name, why))
    elif number:
        names.port_problems(found, f"{at}.service.port.number", number)
    else:
        found.append(required(at, "port name or number is required"))


def _host(found: list[Cause], host: str, at: str) -> None:
    name = host.removeprefix("*.")
    if why := names.subdomain_problem(name):
        found.append(wrong(at, host, _WILDCARD if "*" in host else why))


_WILDCARD = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
    r"regex used for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
