"""A strategy of another process as one of ours: pods and columns go there, decisions come back, each checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harness.evaluation.process import Faulty, Stopped, StrategyProcess
from harness.evaluation.random_stream import encode_state
from harness.evaluation.remote_view import BY_RESOURCE, COLUMNS, LISTS
from harness.scheduling.scoring import what_if
from harness.scheduling.strategy import (
    Bind,
    BindTogether,
    ClusterView,
    Decision,
    Evict,
    PodBatch,
    PodView,
    StrategyFault,
    Wait,
)

_MOST_QUESTIONS = 100_000
"""In one call of place(): a strategy asks some for each pod."""


class RemoteStrategy:
    """As `harness.scheduling.strategy.Strategy` says, without the optional methods. `learns`: it has a fit(), which is
    not called. Raises Faulty and Stopped when made."""

    def __init__(self, process: StrategyProcess) -> None:
        self._process = process
        self.number, said = process.new()
        size = said.get("batch")
        self.batch_size = size if isinstance(size, int) and 1 <= size <= 10_000 else 64
        self.learns = bool(said.get("fit"))
        self._sent: tuple[object, int] | None = None  # the view, and up to which version it knows it
        self._shape: tuple[int, ...] = ()

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        call = _Call(self, pods, cluster)
        try:
            yield from call.play(rng)
        except Faulty as fault:
            yield StrategyFault(fault.kind, "", fault.reason, fault.traceback)  # type: ignore[misc]
        except Stopped as stopped:
            kind = "deadline" if stopped.kind == "time" else stopped.kind
            yield StrategyFault(kind, "", str(stopped))  # type: ignore[misc]

    def news(self, cluster: ClusterView) -> dict[str, Any]:
        """What the other side does not know of the columns."""
        version = cluster.version
        shape = (len(cluster.names), len(cluster.resources), *cluster.gpu_free.shape, len(cluster.zones))
        known = self._sent is not None and self._sent[0] is cluster and shape == self._shape
        nodes = cluster.changed_since(self._sent[1]) if known and self._sent is not None else None
        self._sent, self._shape = (cluster, version), shape
        out: dict[str, Any] = {"now": int(cluster.now_ns), "version": version}
        if nodes is None:
            out["whole"] = {name: _packed(getattr(cluster, name), kind) for name, kind in COLUMNS.items()}
            out["lists"] = {name: list(getattr(cluster, name)) for name in LISTS}
            return out
        out["nodes"] = nodes.tolist()
        if out["nodes"]:
            out["columns"] = {
                name: _packed(
                    getattr(cluster, name)[:, nodes] if name in BY_RESOURCE else getattr(cluster, name)[nodes], kind
                )
                for name, kind in COLUMNS.items()
            }
        return out

    def send(self, message: dict[str, Any]) -> None:
        self._process.send(message)

    def receive(self) -> dict[str, Any]:
        return self._process.receive()


class _Call:
    """One place()."""

    def __init__(self, strategy: RemoteStrategy, pods: PodBatch, cluster: ClusterView) -> None:
        self._strategy, self._cluster = strategy, cluster
        self._handed = pods
        self._pods: dict[str, PodView] = {pod.key: pod for pod in pods}
        self._trials: list[Any] = []

    def play(self, rng: np.random.Generator) -> Iterator[Decision]:
        strategy, state = self._strategy, rng.bit_generator.state
        strategy.send(
            {
                "do": "place",
                "number": strategy.number,
                "pods": [_pod(pod) for pod in self._handed],
                "view": strategy.news(self._cluster),
                "rng": encode_state(state),
            }
        )
        questions = 0
        while True:
            said = strategy.receive()
            if "ask" in said:
                questions += 1
                if questions > _MOST_QUESTIONS:
                    raise Faulty("no decision", f"more than {_MOST_QUESTIONS} questions in one call of place()")
                strategy.send(self._answer(said))
            elif "done" in said:
                if said.get("rng") is not None:
                    _put(rng, said["rng"])
                return
            else:
                stopped = True
                try:
                    yield self._decision(said)
                    stopped = False
                finally:
                    if stopped:  # the guard asks for no more: what is left there is dropped
                        self._drop()
                strategy.send({"view": strategy.news(self._cluster)})

    def _drop(self) -> None:
        try:
            self._strategy.send({"stop": True})
            while "done" not in self._strategy.receive():
                pass
        except (Stopped, Faulty):
            pass

    # -- decisions -----------------------------------------------------------------------------------------------------

    def _decision(self, said: Mapping[str, Any]) -> Any:
        """As the strategy's; what is none stays what it is, and the guard names it."""
        if "bind" in said:
            return self._bind(said["bind"])
        if "together" in said and isinstance(said["together"], list):
            return BindTogether(tuple(self._bind(bind) for bind in said["together"]))
        if "wait" in said and _is(said["wait"], str, str) and said["wait"][0] in self._pods:
            return Wait(self._pods[said["wait"][0]], said["wait"][1])
        if "evict" in said and _is(said["evict"], str, str):
            return Evict(*said["evict"])
        raise Faulty("no decision", f"a strategy answers with decisions, not {str(said)[:200]}")

    def _bind(self, told: Any) -> Bind:
        if not isinstance(told, list) or len(told) != 3 or told[0] not in self._pods:
            raise Faulty("illegal bind", f"a Bind is about a pod that was handed over: {str(told)[:200]}")
        devices = told[2]
        if devices is not None and not (isinstance(devices, list) and all(type(item) is int for item in devices)):
            raise Faulty("illegal bind", f"devices are whole numbers: {str(devices)[:200]}")
        return Bind(self._pods[told[0]], told[1], None if devices is None else tuple(devices))

    # -- questions -----------------------------------------------------------------------------------------------------

    def _answer(self, said: Mapping[str, Any]) -> dict[str, Any]:
        cluster = self._cluster
        try:
            name = said["ask"]
            if name in ("labels", "taints", "pods_on"):
                node = self._node(said)
                if name == "labels":
                    return {"answer": dict(cluster.labels(node))}
                if name == "taints":
                    return {"answer": list(cluster.taints(node))}
                return {"answer": [_pod(self._known(pod)) for pod in cluster.pods_on(node)]}
            if name == "devices":
                return {"answer": list(cluster.devices(_text(said, "pod")))}
            if name == "placed_in_group":
                return {"answer": cluster.placed_in_group(_text(said, "group"))}
            if name == "feasible":
                return {"answer": np.ascontiguousarray(cluster.feasible(self._pod_of(said))).tobytes()}
            if name == "admits":
                return {"answer": bool(cluster.admits(self._pod_of(said), self._node(said)))}
            if name == "is_independent":
                return {"answer": bool(cluster.is_independent(self._pod_of(said)))}
            return {"answer": self._what_if(name, said)}
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            return {"refused": f"{type(error).__name__}: {error}"[:500]}

    def _what_if(self, name: Any, said: Mapping[str, Any]) -> Any:
        if name == "open_what_if":
            if len(self._trials) >= 1000:
                raise ValueError("more than 1000 what-ifs in one call")
            self._trials.append(what_if(self._cluster))
            return len(self._trials) - 1
        number = said["number"]
        if type(number) is not int or not 0 <= number < len(self._trials):
            raise ValueError(f"no such what-if: {number!r}")
        trial = self._trials[number]
        out: dict[str, Any] = {}
        if name == "bind_what_if":
            devices = said["devices"]
            done = trial.bind(self._pod_of(said), self._node(said), None if devices is None else tuple(devices))
            if isinstance(done, Bind):
                out = {"node": done.node, "devices": None if done.devices is None else list(done.devices)}
            else:
                out = {"refused": done}
        elif name == "remove_what_if":
            out = {"removed": bool(trial.remove(_text(said, "pod")))}
        elif name == "undo_what_if":
            trial.undo()
        else:
            raise ValueError(f"no such question: {name!r}")
        return {**out, "view": self._strategy.news(self._cluster)}

    def _known(self, pod: PodView) -> PodView:
        return self._pods.setdefault(pod.key, pod)

    def _pod_of(self, said: Mapping[str, Any]) -> PodView:
        key = _text(said, "pod")
        if key not in self._pods:
            raise KeyError(f"{key} was neither handed over nor shown")
        return self._pods[key]

    def _node(self, said: Mapping[str, Any]) -> int:
        node = said["node"]
        if type(node) is not int or not 0 <= node < len(self._cluster.names):
            raise IndexError(f"there is no node {node!r}")
        return node


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is text, not {type(value).__name__}")
    return value


def _is(value: Any, *kinds: type) -> bool:
    return isinstance(value, list) and [type(item) for item in value] == list(kinds)


def _packed(column: Any, kind: Any) -> tuple[bytes, tuple[int, ...]]:
    values = np.ascontiguousarray(column, dtype=kind)
    return values.tobytes(), values.shape


def _pod(pod: PodView) -> dict[str, Any]:
    gpu = pod.cls.gpu
    return {
        "key": pod.key,
        "cls": pod.cls.id,
        "requests": list(pod.cls.amounts),
        "gpu": [gpu.count, gpu.milli, list(gpu.models)],
        "priority": pod.cls.priority,
        "labels": dict(pod.labels),
        "created": pod.created_ns,
        "group": pod.group,
        "groupMin": pod.group_min,
        "lifetime": pod.lifetime_ns,
        "terminating": pod.terminating,
        "owner": None if pod.owner is None else list(pod.owner),
    }


def _put(rng: np.random.Generator, told: Any) -> None:
    """The stream goes on where the strategy left it. Raises Faulty."""
    try:
        state = rng.bit_generator.state
        rng.bit_generator.state = {
            **state,
            "state": {"state": int(told["state"]) % 2**128, "inc": state["state"]["inc"]},
            "has_uint32": int(told["has"]) & 1,
            "uinteger": int(told["uinteger"]) % 2**32,
        }
    except (KeyError, TypeError, ValueError, OverflowError):
        raise Faulty("no decision", "the state of rng is none") from None
