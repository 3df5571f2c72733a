"""Signed claims: JSON Web Tokens with ES256, and the public key as others read it.

Source: RFC 7515, 7517, 7518, 7519.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import OrderedDict

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from harness.apiserver.http.auth import certs
from harness.model.wire import Json

ALGORITHM = "ES256"
_WIDTH = 32  # bytes of each half of a signature on P-256: RFC 7518, section 3.4
_KNOWN, _LONGEST = 1024, 16 * 1024


class Signer:
    """`key`: PEM, a private key on P-256. Not for several threads at once."""

    def __init__(self, key: str) -> None:
        self._key = certs.read_key(key)
        self._public = self._key.public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        # As Kubernetes names its keys: pkg/serviceaccount/jwt.go, keyIDFromPublicKey.
        self.key_id = _text(hashlib.sha256(self._public.public_bytes(serialization.Encoding.DER, form)).digest())
        self._head = _text(msgspec.json.encode({"alg": ALGORITHM, "kid": self.key_id}))
        self._seen: OrderedDict[str, Json] = OrderedDict()  # whose signature was right, oldest first

    def sign(self, claims: Json) -> str:
        signed = f"{self._head}.{_text(msgspec.json.encode(claims))}"
        halves = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_text(b''.join(half.to_bytes(_WIDTH, 'big') for half in halves))}"

    def claims(self, token: str) -> Json | None:
        """What it says, when this key signed it; whether that is true now is for who asks."""
        found = self._seen.get(token)
        if found is None and len(token) <= _LONGEST:
            found = self._verified(token)
            if found is not None:
                self._seen[token] = found
                if len(self._seen) > _KNOWN:
                    self._seen.popitem(last=False)
        return found

    def _verified(self, token: str) -> Json | None:
        signed, _, signature = token.rpartition(".")
        head, _, body = signed.partition(".")
        # The head is compared, not obeyed: no other algorithm, none at all least, can be asked for.
        if head != self._head:
            return None
        try:
            raw = _bytes(signature)
            if len(raw) != 2 * _WIDTH:
                return None
            halves = int.from_bytes(raw[:_WIDTH], "big"), int.from_bytes(raw[_WIDTH:], "big")
            self._public.verify(encode_dss_signature(*halves), signed.encode(), ec.ECDSA(hashes.SHA256()))
            return msgspec.json.decode(_bytes(body), type=Json)
        except (InvalidSignature, binascii.Error, ValueError, msgspec.MsgspecError):
            return None

    def key_set(self) -> Json:
        """RFC 7517, section 5."""
        at = self._public.public_numbers()
        where = {"x": _text(at.x.to_bytes(_WIDTH, "big")), "y": _text(at.y.to_bytes(_WIDTH, "big"))}
        return {"keys": [{"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": ALGORITHM, **where}]}


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
