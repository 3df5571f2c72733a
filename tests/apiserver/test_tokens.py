"""Tokens of service accounts: JWTs with an audience and an end, checked each time."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.auth import identity
from harness.apiserver.http.auth.jwt import Signer
from harness.apiserver.http.auth.tokens import AUDIENCES, ISSUER, Bearer, Tokens, answered, confirm
from harness.apiserver.server import ApiServer
from harness.model.meta import ObjectMeta
from harness.model.objects import Unstructured
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.apiserver.live import Live, live

EPOCH_NS = 1_700_000_000 * 10**9
KEY = identity.new().signing_key


def parts(token: str) -> list[Any]:
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


@pytest.fixture
def server() -> ApiServer:
    server = ApiServer(MemoryStore(ObjectCodec()), seed=1)
    server.create(account("robot"))
    return server


def account(name: str) -> Unstructured:
    about = ObjectMeta(name=name, namespace="default")
    return Unstructured(metadata=about, extra={"apiVersion": "v1", "kind": "ServiceAccount"})


def request(server: ApiServer, known: Tokens, **spec: Any) -> dict[str, Any]:
    return answered(known, server, "default", "robot", spec, EPOCH_NS)


def who(server: ApiServer, known: Tokens, token: str, audiences: tuple[str, ...] = AUDIENCES) -> str:
    found = known.user(token)
    return confirm(server, found, EPOCH_NS, audiences).name if isinstance(found, Bearer) else ""


def test_a_token_is_a_jwt_with_audience_and_end(server: ApiServer) -> None:
    server.now = 5 * 10**9
    known = Tokens({}, Signer(KEY))
    answer = request(server, known, expirationSeconds=600, audiences=["vault", ISSUER])
    head, claims = parts(answer["status"]["token"])
    assert head == {"alg": "ES256", "kid": known.signer.key_id}
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (1_700_000_005, 1_700_000_005, 1_700_000_605)
    assert (claims["iss"], claims["aud"]) == (ISSUER, ["vault", ISSUER])
    assert claims["sub"] == "system:serviceaccount:default:robot"
    uid = server.get("ServiceAccount", "default", "robot").metadata.uid
    assert claims["kubernetes.io"] == {"namespace": "default", "serviceaccount": {"name": "robot", "uid": uid}}
    assert answer["status"]["expirationTimestamp"] == "2023-11-14T22:23:25Z"
    assert request(server, known)["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600}


def test_a_token_is_taken_until_its_end_and_the_leeway(server: ApiServer) -> None:
    known = Tokens({}, Signer(KEY))
    token = request(server, known, expirationSeconds=600)["status"]["token"]
    for seconds in (0, 600, 660):
        server.now = seconds * 10**9
        assert who(server, known, token) == "system:serviceaccount:default:robot"
    server.now = 661 * 10**9
    with pytest.raises(ApiError, match="Unauthorized"):
        who(server, known, token)


def test_a_token_for_others_is_not_taken(server: ApiServer) -> None:
    known = Tokens({}, Signer(KEY))
    token = request(server, known, audiences=["vault"])["status"]["token"]
    with pytest.raises(ApiError, match="Unauthorized"):
        who(server, known, token)
    assert who(server, known, token, ("vault",)) == "system:serviceaccount:default:robot"


def test_a_token_goes_with_its_account(server: ApiServer) -> None:
    known = Tokens({}, Signer(KEY))
    token = request(server, known)["status"]["token"]
    server.delete("ServiceAccount", "default", "robot")
    server.create(account("robot"))  # another of the same name
    with pytest.raises(ApiError, match="Unauthorized"):
        who(server, known, token)


def test_a_token_goes_with_what_it_is_bound_to(server: ApiServer) -> None:
    known = Tokens({}, Signer(KEY))
    about = ObjectMeta(name="note", namespace="default")
    server.create(Unstructured(metadata=about, extra={"apiVersion": "v1", "kind": "Secret"}))
    reference = {"kind": "Secret", "apiVersion": "v1", "name": "note"}
    token = request(server, known, boundObjectRef=reference)["status"]["token"]
    assert parts(token)[1]["kubernetes.io"]["secret"]["name"] == "note"
    assert who(server, known, token)
    with pytest.raises(ApiError, match="does not match the UID"):
        request(server, known, boundObjectRef={**reference, "uid": "other"})
    with pytest.raises(ApiError, match="not found"):
        request(server, known, boundObjectRef={**reference, "name": "none"})
    with pytest.raises(ApiError, match="Unsupported value"):
        request(server, known, boundObjectRef={**reference, "kind": "ConfigMap"})
    server.delete("Secret", "default", "note")
    with pytest.raises(ApiError, match="Unauthorized"):
        who(server, known, token)


@pytest.mark.parametrize("seconds", [1, 599, 0, -1, (1 << 32) + 1])
def test_a_life_out_of_range_is_refused(server: ApiServer, seconds: int) -> None:
    with pytest.raises(ApiError, match="may not specify a duration"):
        request(server, Tokens({}, Signer(KEY)), expirationSeconds=seconds)


def text(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def other_head(token: str, head: dict[str, Any]) -> str:
    return ".".join((text(head), *token.split(".")[1:]))


def other_claims(token: str) -> str:
    head, _, signature = token.split(".")
    claims = {**parts(token)[1], "sub": "system:serviceaccount:kube-system:admin"}
    return ".".join((head, text(claims), signature))


@pytest.mark.parametrize(
    "change",
    [
        lambda token: other_head(token, {"alg": "none"}),
        lambda token: other_head(token, {"alg": "HS256"}),
        other_claims,
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: token[:-4],
        lambda token: token + "AAAA",
        lambda token: token + "..",
        lambda token: token.replace(".", ""),
        lambda token: token + "\u00e4",
        lambda token: "x" * 100_000,
    ],
)
def test_a_forged_token_is_nobodys(server: ApiServer, change: Callable[[str], str]) -> None:
    known = Tokens({}, Signer(KEY))
    token = request(server, known)["status"]["token"]
    assert known.user(change(token)) is None
    assert Tokens({}, Signer(identity.new().signing_key)).user(token) is None, "another cluster's"


def test_the_key_survives_and_so_do_its_tokens(server: ApiServer) -> None:
    token = request(server, Tokens({}, Signer(KEY)))["status"]["token"]
    assert who(server, Tokens({}, Signer(KEY)), token) == "system:serviceaccount:default:robot"


def test_others_can_verify_a_token_with_the_published_key(server: ApiServer) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    known = Tokens({}, Signer(KEY))
    signed, _, signature = request(server, known)["status"]["token"].rpartition(".")
    (key,) = known.signer.key_set()["keys"]
    x, y = (int.from_bytes(base64.urlsafe_b64decode(key[axis] + "=="), "big") for axis in "xy")
    raw = base64.urlsafe_b64decode(signature + "==")
    halves = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(encode_dss_signature(*halves), signed.encode(), ec.ECDSA(hashes.SHA256()))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as found:
        yield found


def test_a_token_over_http(cluster: Live) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    spec: dict[str, Any] = {"expirationSeconds": 600}
    code, answer = cluster.request("POST", path, {"spec": spec})
    assert code == 201
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    code, review = cluster.request("POST", reviews, {}, token=answer["status"]["token"])
    assert (code, review["status"]["userInfo"]["username"]) == (201, "system:serviceaccount:default:default")
    code, answer = cluster.request("POST", path, {"spec": {**spec, "audiences": ["vault"]}})
    assert code == 201
    assert cluster.request("POST", reviews, {}, token=answer["status"]["token"])[0] == 401


def test_a_token_review_tells_whose_a_token_is_and_for_whom(cluster: Live) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"

    def review(token: str, *audiences: str) -> Any:
        code, answer = cluster.request("POST", reviews, {"spec": {"token": token, "audiences": list(audiences)}})
        assert code == 201
        return answer["status"]

    _, answer = cluster.request("POST", path, {"spec": {"audiences": ["vault", "bank"]}})
    token = answer["status"]["token"]
    found = review(token, "vault", "other")
    assert (found["authenticated"], found["audiences"]) == (True, ["vault"])
    assert found["user"]["username"] == "system:serviceaccount:default:default"
    for refused in (review(token), review(token, "other"), review("nobody's"), review(token[:-3], "vault")):
        assert refused == {"authenticated": False, "user": {}, "error": "invalid bearer token"}
    assert review(cluster.http.token)["user"]["username"] == "kubernetes-admin"
    assert not review(cluster.http.token, "vault")["authenticated"]
    assert cluster.request("POST", reviews, {"spec": {"token": ""}})[0] == 400
    _, answer = cluster.request("POST", path, {"spec": {}})
    assert cluster.request("POST", reviews, {"spec": {"token": "x"}}, token=answer["status"]["token"])[0] == 403


def test_the_issuer_and_its_keys_are_published_to_service_accounts(cluster: Live) -> None:
    _, answer = cluster.request("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    token = answer["status"]["token"]
    code, document = cluster.request("GET", "/.well-known/openid-configuration", token=token)
    assert (code, document["issuer"]) == (200, ISSUER)
    code, keys = cluster.request("GET", document["jwks_uri"].removeprefix(cluster.http.url), token=token)
    assert (code, keys["keys"][0]["kid"]) == (200, parts(token)[0]["kid"])
