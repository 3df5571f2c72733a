"""CertificateSigningRequest. Source: pkg/apis/certificates/validation/validation.go, pkg/registry/certificates,
pkg/printers/internalversion/printers.go (Kubernetes 1.32)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.fields import untyped
from harness.apiserver.registry.table_cells import NONE, Moment, created, duration, name_of, part
from harness.apiserver.validation.causes import duplicate, forbidden, required, unsupported, wrong
from harness.apiserver.validation.names import subdomain_problem
from harness.model.objects import KINDS, Unstructured
from harness.model.status import Cause
from harness.model.wire import Json

APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"

SHORTEST_S = 600
"""Seconds that a certificate may be asked for."""

USAGES = (
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
    "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
    "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
    "microsoft sgc", "netscape sgc",
)  # fmt: skip


def request_problem(text: Any) -> str:
    """Why `spec.request`, base64 of PEM, holds no request; empty when it may. What is in it, its signer reads."""
    try:
        pem = base64.b64decode(text or "", validate=True)
    except (binascii.Error, TypeError):
        return "unable to parse: not base64"
    return "" if b"-----BEGIN CERTIFICATE REQUEST-----" in pem else "PEM block type must be CERTIFICATE REQUEST"


def signer_problem(name: str) -> str:
    """Why a signer cannot have this name; empty when it can."""
    domain, slash, path = name.partition("/")
    if not slash or not path or "/" in path:
        return "must be a fully qualified domain and path of the form 'example.com/signer-name'"
    if "." not in domain or subdomain_problem(domain):
        return "should be a domain with at least two segments separated by dots"
    return subdomain_problem(path)


def _problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    if old is not None:
        return []  # nothing but metadata can differ
    spec = (new.extra or {}).get("spec") or {}
    found: list[Cause] = []
    if why := request_problem(spec.get("request")):
        found.append(wrong("spec.request", spec.get("request") or "", why))
    usages = spec.get("usages") or []
    if not usages:
        found.append(required("spec.usages"))
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            found.append(unsupported(f"spec.usages[{index}]", usage, USAGES))
        elif usage in usages[:index]:
            found.append(duplicate(f"spec.usages[{index}]", usage))
    signer = spec.get("signerName") or ""
    if not signer:
        found.append(required("spec.signerName"))
    elif signer == "kubernetes.io/legacy-unknown":
        found.append(wrong("spec.signerName", signer, "the legacy signerName is not allowed via this API version"))
    elif why := signer_problem(signer):
        found.append(wrong("spec.signerName", signer, why))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SHORTEST_S:
        told = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(wrong("spec.expirationSeconds", seconds, told))
    return found


def conditions_of(obj: Unstructured) -> list[Json]:
    return part(obj.extra or {}, "status", "conditions") or []


def has(obj: Unstructured, kind: str) -> bool:
    return any(item.get("type") == kind for item in conditions_of(obj))


def _status_problems(new: Unstructured, old: Unstructured) -> list[Cause]:
    found: list[Cause] = []
    held = conditions_of(new)
    kinds = [item.get("type") or "" for item in held]
    for index, item in enumerate(held):
        at = f"status.conditions[{index}]"
        kind = kinds[index]
        if not kind:
            found.append(required(f"{at}.type"))
        if kind in (APPROVED, DENIED, FAILED) and item.get("status") != "True":
            found.append(unsupported(f"{at}.status", item.get("status") or "", ("True",)))
        if kind in kinds[:index]:
            found.append(duplicate(f"{at}.type", kind))
        if kind in (APPROVED, DENIED) and {APPROVED, DENIED} <= {*kinds[: index + 1]}:
            found.append(wrong(f"{at}.type", kind, "Approved and Denied conditions are mutually exclusive"))
    found += [
        forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')
        for kind in (APPROVED, DENIED, FAILED)
        if has(old, kind) and kind not in kinds
    ]
    was, now = (part(obj.extra or {}, "status", "certificate") for obj in (old, new))
    if was and now != was:
        found.append(forbidden("status.certificate", "updates may not set certificate content"))
    return found


def _cells(obj: Json, moment: Moment) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    seconds = spec.get("expirationSeconds")
    kinds = {item.get("type") for item in status.get("conditions") or []}
    shown = DENIED if DENIED in kinds else APPROVED if APPROVED in kinds else "Pending"
    if FAILED in kinds:
        shown += ",Failed"
    if status.get("certificate"):
        shown += ",Issued"
    return [
        name_of(obj),
        moment.age(created(obj)),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        NONE if seconds is None else duration(seconds),
        shown,
    ]


RULES = (
    KindRules(
        kind=KINDS["CertificateSigningRequest"],
        validate=_problems,
        status_problems=_status_problems,
        fixed=("spec",),
        table=Table(("Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"), _cells),
        fields={"spec.signerName": untyped("spec", "signerName")},
        subresources=("approval",),
    ),
)
