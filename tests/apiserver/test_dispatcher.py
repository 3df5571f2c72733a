"""The API server among the components: a write that nobody can take is refused, and the cluster goes on."""

from __future__ import annotations

from typing import Any

from harness.apiserver.dispatcher import Dispatcher
from harness.apiserver.server import ApiServer
from harness.engine.component import Create, Outcome
from harness.engine.guard import COMPONENT_FAULT
from harness.model.core import ConfigMap, Pod
from harness.model.meta import ObjectMeta
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore


def test_a_write_that_raises_is_refused_and_told() -> None:
    """An object made by hand, in process, with a hole where its type has a value."""
    sent: list[tuple[int, Any]] = []
    told: list[tuple[Any, ...]] = []
    server = ApiServer(MemoryStore(ObjectCodec()))
    api = Dispatcher(server, lambda at, address, message: sent.append((address, message)), lambda now, address: now + 1)
    api.observers.append(lambda *fact: told.append(fact))
    hole: Any = None
    bad = Create(Pod(metadata=ObjectMeta(name="bad", namespace="default"), spec=hole), token="bad")
    good = Create(ConfigMap(metadata=ObjectMeta(name="good", namespace="default")), token="good")
    api.handle(1, [(7, bad), (7, good)])
    outcomes = {message.token: message.error for _, message in sent if type(message) is Outcome}
    assert outcomes["good"] is None
    refused = outcomes["bad"]
    assert refused is not None
    assert (refused.code, refused.reason) == (500, "InternalError")
    ((at, source, topic, data),) = told
    assert (at, source, topic) == (1, "kube-apiserver", COMPONENT_FAULT)
    assert data[:3] == ("kube-apiserver", "Pod", "default/bad")
    assert [obj.metadata.name for obj in server.listed("ConfigMap", "default")] == ["good"]
    assert server.listed("Pod") == []
