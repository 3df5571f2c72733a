"""Whose a CertificateSigningRequest is, and who may approve or sign it.

Source: pkg/registry/certificates/certificates/strategy.go; plugin/pkg/admission/certificates/{approval,signing,
subjectrestriction}/admission.go (Kubernetes 1.32).
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from harness.apiserver.http.auth import rbac
from harness.apiserver.http.auth.rbac import MASTERS, Action, User
from harness.apiserver.kinds.certificates import APPROVED, DENIED, conditions_of, request_problem
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.model.objects import Unstructured
from harness.model.status import ApiError, Cause, invalid
from harness.model.wire import Json, time_text

KIND = "CertificateSigningRequest"

CLIENT = "kubernetes.io/kube-apiserver-client"
"""Signs what the API server takes for whoever the request names."""

_GROUP, _PLURAL = "certificates.k8s.io", "certificatesigningrequests"


def read_request(text: Any) -> x509.CertificateSigningRequest:
    """Of `spec.request`: base64 of PEM. Raises ValueError, which says what it is instead."""
    if why := request_problem(text):
        raise ValueError(why)
    try:
        found = x509.load_pem_x509_csr(base64.b64decode(text))
        if found.is_signature_valid:
            return found
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"unable to parse: {error}") from None
    raise ValueError("its signature is not that of its key")


def requested(user: User, obj: Unstructured) -> Unstructured:
    """A new request says who has made it, whatever it said. Raises ApiError Forbidden, Invalid."""
    spec = dict((obj.extra or {}).get("spec") or {})
    about: Json = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    about["extra"] = {key: list(values) for key, values in user.extra}
    for name in about:
        spec.pop(name, None)
    spec |= {name: value for name, value in about.items() if value}
    if not request_problem(spec.get("request")):
        try:
            subject = read_request(spec["request"]).subject
        except ValueError as error:
            cause = Cause("spec.request", "FieldValueInvalid", f"Invalid value: {json.dumps(spec['request'])}: {error}")
            raise invalid(KIND, obj.metadata.name, (cause,), _GROUP) from None
        groups = [held.value for held in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        if spec.get("signerName") == CLIENT and MASTERS in groups:
            raise _refused(obj.metadata.name, f"use of {CLIENT} signer with {MASTERS} group is not allowed")
    return replaced(obj, extra={**(obj.extra or {}), "spec": spec})


def approved(server: ApiServer, user: User, old: Unstructured, new: Unstructured, epoch_unix_ns: int) -> Unstructured:
    """`old` with the conditions that `new` has, as the approval subresource writes them. Raises ApiError Forbidden."""
    _check_signer(server, user, old, "approve")
    return _with(old, _dated(server, old, conditions_of(new), epoch_unix_ns), None)


def signed(server: ApiServer, user: User, old: Unstructured, new: Unstructured, epoch_unix_ns: int) -> Unstructured:
    """`old` with the status that `new` has, as the status subresource writes it: what was approved or denied is not
    its to say. Raises ApiError Forbidden."""
    certificate = ((new.extra or {}).get("status") or {}).get("certificate")
    if certificate != ((old.extra or {}).get("status") or {}).get("certificate"):
        _check_signer(server, user, old, "sign")
    decided = [item for item in conditions_of(old) if item.get("type") in (APPROVED, DENIED)]
    others = [item for item in conditions_of(new) if item.get("type") not in (APPROVED, DENIED)]
    return _with(old, _dated(server, old, decided + others, epoch_unix_ns), certificate)


def _with(old: Unstructured, conditions: list[Json], certificate: str | None) -> Unstructured:
    status = dict((old.extra or {}).get("status") or {})
    status["conditions"] = conditions
    if certificate:
        status["certificate"] = certificate
    return replaced(old, extra={**(old.extra or {}), "status": status})


def _dated(server: ApiServer, old: Unstructured, conditions: list[Json], epoch_unix_ns: int) -> list[Json]:
    """New ones get their times."""
    now = time_text(server.now, epoch_unix_ns)
    held = {item.get("type"): item for item in conditions_of(old)}
    out = []
    for item in conditions:
        was = held.get(item.get("type"))
        changed = was is None or was.get("status") != item.get("status")
        # kubectl sends a null for a time that it does not know.
        said = {name: value for name, value in item.items() if value is not None}
        if changed:
            said["lastTransitionTime"] = now
        elif was is not None:
            said.setdefault("lastTransitionTime", was.get("lastTransitionTime", now))
        out.append({**said, "lastUpdateTime": said.get("lastUpdateTime") or now})
    return out


def _check_signer(server: ApiServer, user: User, obj: Unstructured, verb: str) -> None:
    """Raises ApiError Forbidden: the verb is allowed for one signer, or for all of a domain."""
    name = ((obj.extra or {}).get("spec") or {}).get("signerName") or ""
    domain = name.partition("/")[0]
    for held in (name, f"{domain}/*"):
        if rbac.allowed(server, user, Action(verb, _GROUP, "signers", name=held)):
            return
    raise _refused(obj.metadata.name, f'user not permitted to {verb} requests with signerName "{name}"')


def _refused(name: str, why: str) -> ApiError:
    text = f'{_PLURAL}.{_GROUP} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", text, kind=_PLURAL, name=name, group=_GROUP)
