"""Whatever JSON a client sends: it is refused with a reason, or it is stored and every component lives on."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.apiserver.http.answers import Encoder, SharedObjects
from harness.apiserver.http.auth.rbac import MASTERS, User
from harness.apiserver.http.call import Call, One
from harness.apiserver.http.negotiate import ObjectForm
from harness.apiserver.http.protobuf_answers import is_known
from harness.apiserver.http.resources import Target, resources
from harness.apiserver.http.verbs import perform
from harness.apiserver.server import ApiServer
from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.engine.component import SECOND
from harness.model.objects import Kind, from_wire
from harness.model.status import ApiError
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.kube import kube
from tests.apiserver.any_json import AnyJson, kinds
from tests.examples import examples

ADMIN = User("admin", (MASTERS,))
PATCHES = ("application/strategic-merge-patch+json", "application/merge-patch+json")
OFTEN = {"Pod": 12, "Node": 5, "Job": 4} | dict.fromkeys(
    ("PersistentVolumeClaim", "PersistentVolume", "Deployment", "HorizontalPodAutoscaler", "PodGroup"), 3
)
BY_NAME = {kind.kind: kind for kind in kinds()}
KINDS = [kind for kind in kinds() for _ in range(OFTEN.get(kind.kind, 1))]


def call(verb: str, kind: Kind, body: Any, name: str = "", part: str = "", content_type: str = "") -> Call:
    target = Target(
        resources()[kind.api_version][kind.plural], "default" if kind.namespaced else "", name, subresource=part
    )
    return Call(ADMIN, verb, target, {}, body, content_type, VIRTUAL_EPOCH_UNIX_NS)


def answered(server: ApiServer, asked: Call) -> One | None:
    """None for a refusal, which has a reason and is the client's fault."""
    refusal: ApiError | None = None
    answer: Any = None
    try:
        answer = perform(server, asked)
    except ApiError as error:
        refusal = error
    assert refusal is None or (400 <= refusal.code < 500 and refusal.message), refusal
    if not isinstance(answer, One):
        return None
    for form in ObjectForm:
        if form is not ObjectForm.PROTOBUF or is_known(asked.resource.api_version, asked.resource.kind.wire):
            Encoder(asked, form, SharedObjects()).one(answer.obj, answer.now)
    return answer


@settings(max_examples=examples(150), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_json_is_stored_or_refused(seed: int) -> None:
    """Created, replaced, patched, its status written: ten objects an example, shown in every form."""
    rng = random.Random(seed)
    server = ApiServer(MemoryStore(ObjectCodec()))
    for number in range(10):
        make, kind, name = AnyJson(rng, rng.choice((0, 5, 30))), rng.choice(KINDS), f"o{number}"
        if answered(server, call("create", kind, make.object(kind, name))) is None:
            continue
        answered(server, call("update", kind, make.object(kind, name), name))
        if kind.status:
            answered(server, call("update", kind, make.object(kind, name), name, "status"))
        for content_type in PATCHES:
            answered(server, call("patch", kind, make.object(kind, name), name, content_type=content_type))
    before = {name: dict(held) for name, held in server.cache.by_kind.items()}
    server.recover()
    assert server.cache.by_kind == before


def cluster_of_three() -> Cluster:
    amounts = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    nodes = [
        from_wire(
            {
                "kind": "Node",
                "metadata": {"name": f"n{i}", "labels": {"kubernetes.io/hostname": f"n{i}", "app": "web"}},
                "status": {"capacity": amounts, "allocatable": amounts},
            }
        )
        for i in range(3)
    ]
    plan = ClusterPlan(settings=ClusterSettings(seed=1), nodes=nodes, strategy=kube())
    return assemble(MemoryStore(ObjectCodec()), plan).cluster


def survives(seed: int, objects: int) -> None:
    cluster = cluster_of_three()
    cluster.run(2 * SECOND)
    server, rng = cluster.server, random.Random(seed)
    for number in range(objects):
        make, kind, name = AnyJson(rng, rng.choice((0, 0, 5))), rng.choice(KINDS), f"o{number}"
        if answered(server, call("create", kind, make.object(kind, name))) is not None:
            if kind.status and rng.random() < 0.5:
                answered(server, call("update", kind, make.object(kind, name), name, "status"))
            if rng.random() < 0.3:
                answered(server, call("patch", kind, make.object(kind, name), name, content_type=PATCHES[0]))
            if rng.random() < 0.1:
                answered(server, call("delete", kind, None, name))
        if number % 5 == 0:
            cluster.api.flush(cluster.loop.now)
            cluster.run(cluster.loop.now + SECOND)
    cluster.api.flush(cluster.loop.now)
    cluster.run(cluster.loop.now + 120 * SECOND)
    assert cluster.component_faults == []


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_no_object_ends_a_component(seed: int) -> None:
    survives(seed, 60)


FOUND: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("Node", {"status": {"capacity": {"cpu": "9223372036854775807"}}}, "status.capacity[cpu]"),  # more milli than int64
    ("Node", {"status": {"allocatable": {"nvidia.com/gpu": "2147483647"}}}, "status.allocatable[nvidia.com/gpu]"),
    ("Node", {"status": {"capacity": {"alibaba.com/gpu-count": "7Ei"}}}, "status.capacity[alibaba.com/gpu-count]"),
    (
        "PersistentVolumeClaim",
        {"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "app"}]}}},
        "spec.selector.matchExpressions[0].operator",
    ),
    (
        "Pod",
        {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "7Ei"}}}]}},
        "spec.containers[0].resources.requests[cpu]",
    ),
    (
        "Pod",
        {
            "spec": {
                "containers": [{"name": "c", "image": "i"}],
                "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"selector": {
                    "matchExpressions": [{}]}}}}}],
            }
        },
        "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.selector.matchExpressions[0].key",
    ),
    (
        "ClusterRole",
        {"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{}]}]}},
        "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].key",
    ),
)  # fmt: skip
"""Objects that once ended a component or a cluster, and the field that is at fault."""


@pytest.mark.parametrize(("kind", "body", "field"), FOUND)
def test_what_was_found_is_refused_by_its_field(kind: str, body: dict[str, Any], field: str) -> None:
    server = ApiServer(MemoryStore(ObjectCodec()))
    with pytest.raises(ApiError) as refused:
        perform(server, call("create", BY_NAME[kind], {"metadata": {"name": "x"}, **body}))
    assert (refused.value.code, field in {cause.field for cause in refused.value.causes}) == (422, True), refused.value


@pytest.mark.exhaustive
@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_no_object_ends_a_component_at_length(seed: int) -> None:
    survives(seed, 120)
