"""Who a bearer token belongs to: tokens given at start, and signed ones of service accounts (JWTs).

Source: kubernetes.io/docs/reference/access-authn-authz/authentication; a service account's names and groups:
apiserver pkg/authentication/serviceaccount/util.go.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from harness.apiserver.http.auth.jwt import ALGORITHM, Signer
from harness.apiserver.http.auth.rbac import AUTHENTICATED, MASTERS, User
from harness.model.meta import ApiObject
from harness.model.status import ApiError, Cause, bad_request, conflict, invalid
from harness.model.wire import Json, time_text

if TYPE_CHECKING:
    from harness.apiserver.server import ApiServer

ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
"""Whom the kubeconfig's token belongs to. Source: kubeadm's admin.conf."""

SHORTEST_S, DEFAULT_S, LONGEST_S = 600, 3600, 1 << 32
"""Seconds that a service account's token lives. Source: pkg/apis/authentication/validation, TokenRequest."""

LEEWAY_S = 60
"""Seconds by which clocks may differ: a token is taken so long before its beginning, after its end, and after the
deletion of its account or of what it is bound to. Source: go-jose's jwt.DefaultLeeway, which
pkg/serviceaccount/claims.go uses for all of these (Kubernetes 1.32)."""

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCES = (ISSUER,)
"""Whom tokens are for when nothing is said, and for whom the API takes them. Source: kube-apiserver
--service-account-issuer as kubeadm sets it, and --api-audiences, which is the issuer unless given."""

ISSUER_PATH, KEYS_PATH = "/.well-known/openid-configuration", "/openid/v1/jwks"
"""Where others learn how to verify tokens. Source: kubernetes.io/docs/tasks/configure-pod-container/
configure-service-account, "Service account issuer discovery"."""

_BINDABLE = ("Pod", "Secret", "Node")


class Bearer(msgspec.Struct, frozen=True):
    """What a service account's token says: for whom, for which audiences, from when until when (seconds since 1970 by
    the cluster's clock), and what it is bound to: (kind, name, uid), or nothing."""

    namespace: str
    name: str
    uid: str
    audiences: tuple[str, ...]
    begins_s: int
    ends_s: int
    bound: tuple[str, str, str] | None = None


class Tokens:
    """`known`: tokens of people. `signer`: makes and reads the tokens of service accounts."""

    def __init__(self, known: Mapping[str, User], signer: Signer) -> None:
        self._known = {_digest(token): user for token, user in known.items()}
        self.signer = signer

    def user(self, token: str) -> User | Bearer | None:
        """Bearer: what is true if the API accepts it now (`confirm`). None: nobody's."""
        # Compared by digest, so that the time a lookup takes says nothing about a token.
        digest = _digest(token)
        found = self._known.get(digest)
        return found if found is not None else self._opened(token)

    def whose(
        self, server: ApiServer, epoch_unix_ns: int, token: str, audiences: tuple[str, ...]
    ) -> tuple[User, tuple[str, ...]]:
        """The user, and the audiences among `audiences` that the token is for; people's tokens are for the API.
        Raises ApiError Unauthorized."""
        found = self.user(token)
        if found is None:
            raise unauthorized()
        held = found.audiences if isinstance(found, Bearer) else AUDIENCES
        shared = tuple(audience for audience in audiences if audience in held)
        if not shared:
            raise unauthorized()
        user = confirm(server, found, epoch_unix_ns, shared) if isinstance(found, Bearer) else found
        return user, shared

    def issue(
        self, server: ApiServer, epoch_unix_ns: int, namespace: str, name: str, request: TokenRequest
    ) -> tuple[str, int]:
        """(token, its end in seconds since 1970). Raises ApiError NotFound, Conflict."""
        account = server.get("ServiceAccount", namespace, name)
        bound = None if request.bound is None else _bound(server, namespace, name, *request.bound)
        begin = _seconds(server, epoch_unix_ns)
        claims: Json = {
            "aud": list(request.audiences or AUDIENCES),
            "exp": begin + request.seconds,
            "iat": begin,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": account.metadata.uid},
                **({} if bound is None else {bound[0].lower(): {"name": bound[1], "uid": bound[2]}}),
            },
            "nbf": begin,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return self.signer.sign(claims), begin + request.seconds

    def _opened(self, token: str) -> Bearer | None:
        claims = self.signer.claims(token)
        if claims is None or claims.get("iss") != ISSUER:
            return None
        try:
            private = claims["kubernetes.io"]
            account = private["serviceaccount"]
            of = next((kind for kind in _BINDABLE if kind.lower() in private), "")
            held = private.get(of.lower()) or {}
            return Bearer(
                private["namespace"],
                account["name"],
                account["uid"],
                tuple(claims["aud"]),
                claims["nbf"],
                claims["exp"],
                (of, held["name"], held["uid"]) if of else None,
            )
        except (KeyError, TypeError):
            return None


class TokenRequest(msgspec.Struct, frozen=True):
    """What a TokenRequest asks for. `bound`: (kind, name, uid or "")."""

    seconds: int
    audiences: tuple[str, ...] = ()
    bound: tuple[str, str, str] | None = None


def confirm(server: ApiServer, bearer: Bearer, epoch_unix_ns: int, audiences: Collection[str] = AUDIENCES) -> User:
    """Raises ApiError Unauthorized: for other audiences, not yet or no more valid, or the account or what the token is
    bound to is gone. Source: pkg/serviceaccount/claims.go, Validate (Kubernetes 1.32)."""
    now = _seconds(server, epoch_unix_ns)
    account: Any = server.objects("ServiceAccount").get(f"{bearer.namespace}/{bearer.name}")
    if (
        not set(bearer.audiences) & set(audiences)
        or now > bearer.ends_s + LEEWAY_S
        or now < bearer.begins_s - LEEWAY_S
        or not _there(account, bearer.uid, server.now)
    ):
        raise unauthorized()
    if bearer.bound is not None:
        kind, name, uid = bearer.bound
        if not _there(server.objects(kind).get(_key(kind, bearer.namespace, name)), uid, server.now):
            raise unauthorized()
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{bearer.namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{bearer.namespace}:{bearer.name}", groups, bearer.uid)


def _there(obj: ApiObject, uid: str, now: int) -> bool:
    """Present, the same, and not deleted for longer than a token outlives what it belongs to."""
    if obj is None or obj.metadata.uid != uid:
        return False
    deleted = obj.metadata.deletion_timestamp
    return deleted is None or now < deleted + LEEWAY_S * 10**9


def _bound(server: ApiServer, namespace: str, account: str, kind: str, name: str, uid: str) -> tuple[str, str, str]:
    """Source: pkg/registry/core/serviceaccount/storage/token.go, Create (Kubernetes 1.32)."""
    obj = server.get(kind, "" if kind == "Node" else namespace, name)
    plural = f"{kind.lower()}s"
    if uid and uid != obj.metadata.uid:
        why = f"the UID in the bound object reference ({uid}) does not match the UID in record. The object might have "
        raise conflict(plural, name, why + "been deleted and then recreated")
    if kind == "Pod" and (obj.spec.service_account_name or "default") != account:
        raise bad_request(
            f"cannot bind token for serviceaccount {account!r} to pod running with different service account"
        )
    return kind, name, obj.metadata.uid


def _key(kind: str, namespace: str, name: str) -> str:
    return name if kind == "Node" else f"{namespace}/{name}"


def _seconds(server: ApiServer, epoch_unix_ns: int) -> int:
    return (epoch_unix_ns + server.now) // 10**9


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def issuer_document(address: str) -> Json:
    """What OpenID Connect's discovery says of the issuer. Source: pkg/serviceaccount/openidmetadata.go."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"https://{address}{KEYS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }


def requested(spec: Json) -> TokenRequest:
    """Raises ApiError Invalid. Source: pkg/apis/authentication/validation/validation.go (Kubernetes 1.32)."""
    seconds = spec.get("expirationSeconds")
    seconds = DEFAULT_S if seconds is None else seconds
    causes = []
    if seconds < SHORTEST_S or seconds > LONGEST_S:
        bound = "less than 10 minutes" if seconds < SHORTEST_S else "larger than 2^32 seconds"
        told = f"Invalid value: {seconds}: may not specify a duration {bound}"
        causes.append(Cause("spec.expirationSeconds", "FieldValueInvalid", told))
    reference, bound_to = spec.get("boundObjectRef"), None
    if reference is not None:
        kind = reference.get("kind") or ""
        if kind not in _BINDABLE or reference.get("apiVersion") not in (None, "", "v1"):
            told = f'Unsupported value: "{kind}": supported values: {", ".join(_BINDABLE)} of v1'
            causes.append(Cause("spec.boundObjectRef.kind", "FieldValueNotSupported", told))
        bound_to = (kind, reference.get("name") or "", reference.get("uid") or "")
    if causes:
        raise invalid("TokenRequest", "", tuple(causes), "authentication.k8s.io")
    return TokenRequest(seconds, tuple(spec.get("audiences") or ()), bound_to)


def answered(known: Tokens, server: ApiServer, namespace: str, name: str, spec: Json, epoch_unix_ns: int) -> Json:
    """A TokenRequest with its status. Raises ApiError NotFound, Conflict, Invalid (too short a life)."""
    request = requested(spec)
    token, end = known.issue(server, epoch_unix_ns, namespace, name, request)
    reference = {} if request.bound is None else {"boundObjectRef": spec["boundObjectRef"]}
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "audiences": list(request.audiences or AUDIENCES),
            "expirationSeconds": request.seconds,
            **reference,
        },
        "status": {"token": token, "expirationTimestamp": time_text(end * 10**9, 0)},
    }
