"""Signs approved CertificateSigningRequests with the cluster's authority, for the signers that Kubernetes has built in.

Source: pkg/controller/certificates/signer/signer.go, kubernetes.io/docs/reference/access-authn-authz/
certificate-signing-requests, "Kubernetes signers" (Kubernetes 1.32).
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.apiserver.http.auth import certs
from harness.apiserver.http.auth.certificate_requests import CLIENT, KIND, read_request
from harness.apiserver.http.auth.certs import Authority
from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.server_listener import ServerListener
from harness.apiserver.kinds.certificates import APPROVED, DENIED, FAILED, conditions_of, has
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import part
from harness.apiserver.server import ApiServer
from harness.engine.component import DELETED
from harness.model.meta import ApiObject
from harness.model.objects import Kind, Unstructured
from harness.model.status import ApiError
from harness.model.wire import Json, time_text

LONGEST_S = 365 * 24 * 3600
"""Source: kube-controller-manager --cluster-signing-duration, a year."""

_BACKDATED_S = 300
"""Source: signer.go, 5 minutes, as clocks differ."""

_KEY = {"digital signature", "key encipherment"}
_KUBELET, _SERVING = f"{CLIENT}-kubelet", "kubernetes.io/kubelet-serving"
_TAKES = {
    CLIENT: ("client auth", _KEY | {"client auth"}),
    _KUBELET: ("client auth", _KEY | {"client auth"}),
    _SERVING: ("server auth", _KEY | {"server auth"}),
}
"""Signer -> the usage that a request must have, and those that it may."""

_EXTENDED = {"client auth": ExtendedKeyUsageOID.CLIENT_AUTH, "server auth": ExtendedKeyUsageOID.SERVER_AUTH}


class CertificateSigner(ServerListener):
    def __init__(self, driver: DriverQueue, authority: Authority, epoch_unix_ns: int) -> None:
        super().__init__(driver)
        self._authority = authority
        self._epoch = epoch_unix_ns

    def attach(self) -> None:
        server = self._driver.server
        self.listen()
        for name in sorted(server.objects(KIND)):
            self._sign(server, name)

    def _written(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject, revision: int) -> None:
        if kind.kind == KIND and change != DELETED and _waits(obj):
            name = obj.metadata.name
            self._driver.submit(lambda server: self._sign(server, name))

    def _sign(self, server: ApiServer, name: str) -> None:
        obj = server.objects(KIND).get(name)
        if obj is None or not _waits(obj):
            return
        spec = (obj.extra or {}).get("spec") or {}
        status = dict((obj.extra or {}).get("status") or {})
        try:
            status["certificate"] = base64.b64encode(signed(self._authority, spec)).decode()
        except ValueError as error:
            now = time_text(server.now, self._epoch)
            failed = {"type": FAILED, "status": "True", "reason": "SignerValidationFailure", "message": str(error)}
            failed |= {"lastUpdateTime": now, "lastTransitionTime": now}
            status["conditions"] = [*conditions_of(obj), failed]
        try:
            server.update(replaced(obj, extra={**(obj.extra or {}), "status": status}), "status")
        except ApiError:
            return  # it has changed or gone: what was written then is heard of as well


def _waits(obj: Unstructured) -> bool:
    """Approved for a signer of Kubernetes' own, and neither signed nor given up."""
    body = obj.extra or {}
    if part(body, "status", "certificate") or part(body, "spec", "signerName") not in _TAKES:
        return False
    return has(obj, APPROVED) and not has(obj, DENIED) and not has(obj, FAILED)


def signed(authority: Authority, spec: Json) -> bytes:
    """The certificate in PEM that a request's spec asks for. Raises ValueError: its signer takes no such request."""
    signer, usages = spec.get("signerName") or "", set(spec.get("usages") or ())
    needed, taken = _TAKES[signer]
    request = read_request(spec.get("request"))
    if needed not in usages:
        raise ValueError(f"usages did not include {needed}")
    if extra := sorted(usages - taken):
        raise ValueError(f"usages are not allowed for the signer {signer}: {', '.join(extra)}")
    names = _names(request)
    if signer == CLIENT:
        names = None
    elif signer == _KUBELET:
        _check_kubelet(request.subject)
        if names is not None:
            raise ValueError("subject alternative names are not allowed")
    else:
        _check_kubelet(request.subject)
        if names is None:
            raise ValueError("DNS names or IP addresses are required")
    seconds = min(spec.get("expirationSeconds") or LONGEST_S, LONGEST_S)
    key = certs.read_key(authority.key)
    of_authority = x509.load_pem_x509_certificate(authority.certificate.encode())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(of_authority.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(seconds=_BACKDATED_S))
        .not_valid_after(min(now + timedelta(seconds=seconds), of_authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_EXTENDED[needed]]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if usages & _KEY:  # one without any bit set would forbid every use of the key
        builder = builder.add_extension(_key_usage(usages), critical=True)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: set[str]) -> x509.KeyUsage:
    fields = {"digital_signature": "digital signature", "key_encipherment": "key encipherment"}
    others = ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    said = {field: usage in usages for field, usage in fields.items()} | dict.fromkeys(others, False)
    return x509.KeyUsage(**said, encipher_only=False, decipher_only=False)


def _names(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _check_kubelet(subject: x509.Name) -> None:
    """Raises ValueError: it is no kubelet's."""
    groups = [held.value for held in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if groups != ["system:nodes"]:
        raise ValueError("organization is not system:nodes")
    if not any(
        str(held.value).startswith("system:node:") for held in subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ):
        raise ValueError("subject common name does not begin with system:node:")
