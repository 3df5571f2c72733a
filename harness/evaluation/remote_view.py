"""The cluster as a strategy in another process sees it: columns that are kept up to date, and questions to the judge.

Everything in it is a copy: what a strategy does to it, it does to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from harness.scheduling.strategy import Bind, Bool, GpuRequest, Int64, PodClass, PodView

Ask = Callable[..., Any]
"""A question by its name with what it is about; the judge's answer."""

COLUMNS = {
    "capacity": np.int64,
    "free": np.int64,
    "gpu_capacity": np.int64,
    "gpu_free": np.int64,
    "gpu_model": np.int64,
    "rank": np.int64,
    "alive": np.bool_,
    "zone": np.int64,
}
BY_RESOURCE = ("capacity", "free")
"""[resources, nodes]; the others are [nodes], or [nodes, devices]."""

LISTS = ("resources", "gpu_models", "names", "zones")

_LONGEST_LOG = 4096


class RemoteView:
    """A ClusterView. `update` is the host's; the rest is the protocol's."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._columns: dict[str, np.ndarray] = {}
        self._lists: dict[str, tuple[str, ...]] = dict.fromkeys(LISTS, ())
        self._log: list[tuple[int, list[int]]] = []
        self._forgotten = 0  # the log reaches back to this version
        self._feasible: dict[str, Bool] = {}
        self._classes: dict[int, PodClass] = {}
        self.pods: dict[str, PodView] = {}
        self.version = 0
        self.now_ns = 0

    def update(self, news: Mapping[str, Any]) -> None:
        """All columns (`whole`), or those of the `nodes` that changed."""
        self.now_ns, version = news["now"], news["version"]
        if "whole" in news:
            columns = news["whole"]
            for name, kind in COLUMNS.items():
                self._columns[name] = np.frombuffer(bytearray(columns[name][0]), kind).reshape(columns[name][1])
            self._lists = {name: tuple(news["lists"][name]) for name in LISTS}
            self._log, self._forgotten = [], version
        elif news["nodes"]:
            nodes = news["nodes"]
            for name, kind in COLUMNS.items():
                data, shape = news["columns"][name]
                values = np.frombuffer(data, kind).reshape(shape)
                if name in BY_RESOURCE:
                    self._columns[name][:, nodes] = values
                else:
                    self._columns[name][nodes] = values
            self._log.append((version, nodes))
            if len(self._log) > _LONGEST_LOG:
                self._forgotten = self._log[_LONGEST_LOG // 2 - 1][0]
                del self._log[: _LONGEST_LOG // 2]
        self.version = version
        self._feasible.clear()

    def pod(self, told: Mapping[str, Any]) -> PodView:
        """The pod that the judge tells of; one object a class, so that strategies may key on it."""
        cls = self._classes.get(told["cls"])
        if cls is None:
            gpu = told["gpu"]
            requests = np.array(told["requests"], np.int64)
            requests.setflags(write=False)
            cls = PodClass(told["cls"], requests, GpuRequest(gpu[0], gpu[1], tuple(gpu[2])), told["priority"])
            self._classes[told["cls"]] = cls
        view = PodView(
            told["key"],
            cls,
            told["labels"],
            told["created"],
            told["group"],
            told["groupMin"],
            told["lifetime"],
            terminating=told["terminating"],
            owner=None if told["owner"] is None else tuple(told["owner"]),
        )
        self.pods[view.key] = view
        return view

    # -- ClusterView ---------------------------------------------------------------------------------------------------

    def _column(self, name: str) -> Any:
        view = self._columns[name].view()
        view.setflags(write=False)
        return view

    @property
    def resources(self) -> tuple[str, ...]:
        return self._lists["resources"]

    @property
    def capacity(self) -> Int64:
        return self._column("capacity")  # type: ignore[no-any-return]

    @property
    def free(self) -> Int64:
        return self._column("free")  # type: ignore[no-any-return]

    @property
    def gpu_capacity(self) -> Int64:
        return self._column("gpu_capacity")  # type: ignore[no-any-return]

    @property
    def gpu_free(self) -> Int64:
        return self._column("gpu_free")  # type: ignore[no-any-return]

    @property
    def gpu_model(self) -> Int64:
        return self._column("gpu_model")  # type: ignore[no-any-return]

    @property
    def gpu_models(self) -> tuple[str, ...]:
        return self._lists["gpu_models"]

    @property
    def names(self) -> Sequence[str]:
        return self._lists["names"]

    @property
    def rank(self) -> Int64:
        return self._column("rank")  # type: ignore[no-any-return]

    @property
    def alive(self) -> Bool:
        return self._column("alive")  # type: ignore[no-any-return]

    @property
    def zone(self) -> Int64:
        return self._column("zone")  # type: ignore[no-any-return]

    @property
    def zones(self) -> tuple[str, ...]:
        return self._lists["zones"]

    def label(self, node: int, key: str) -> str | None:
        return self.labels(node).get(key)

    def labels(self, node: int) -> Mapping[str, str]:
        return self._ask("labels", node=int(node))  # type: ignore[no-any-return]

    def taints(self, node: int) -> Sequence[tuple[str, str, str]]:
        return [(key, value, effect) for key, value, effect in self._ask("taints", node=int(node))]

    def devices(self, key: str) -> tuple[int, ...]:
        return tuple(self._ask("devices", pod=key))

    def placed_in_group(self, group: str) -> int:
        return int(self._ask("placed_in_group", group=group))

    def pods_on(self, node: int) -> Sequence[PodView]:
        return [self.pod(told) for told in self._ask("pods_on", node=int(node))]

    def feasible(self, pod: PodView) -> Bool:
        mask = self._feasible.get(pod.key)
        if mask is None:
            mask = np.frombuffer(self._ask("feasible", pod=pod.key), np.bool_)
            self._feasible[pod.key] = mask
        return mask

    def admits(self, pod: PodView, node: int) -> bool:
        return bool(self._ask("admits", pod=pod.key, node=int(node)))

    def is_independent(self, pod: PodView) -> bool:
        return bool(self._ask("is_independent", pod=pod.key))

    def changed_since(self, version: int) -> Int64 | None:
        if version < self._forgotten:
            return None
        return np.array(sorted({node for at, nodes in self._log if at > version for node in nodes}), np.int64)

    def what_if(self) -> RemoteWhatIf:
        """What `harness.scheduling.scoring.what_if` calls."""
        return RemoteWhatIf(self, self._ask, self._ask("open_what_if"))


class RemoteWhatIf:
    """Changes that the judge tries on its snapshot; the view shows them until they are undone."""

    def __init__(self, view: RemoteView, ask: Ask, number: int) -> None:
        self._view, self._ask, self._number = view, ask, number

    def bind(self, pod: PodView, node: int, devices: tuple[int, ...] | None = None) -> Bind | str:
        at = None if devices is None else [int(device) for device in devices]
        done = self._change("bind_what_if", pod=pod.key, node=int(node), devices=at)
        return str(done["refused"]) if "refused" in done else Bind(pod, done["node"], _tuple(done["devices"]))

    def remove(self, key: str) -> bool:
        return bool(self._change("remove_what_if", pod=key)["removed"])

    def undo(self) -> None:
        self._change("undo_what_if")

    def _change(self, name: str, **about: Any) -> dict[str, Any]:
        done: dict[str, Any] = self._ask(name, number=self._number, **about)
        self._view.update(done["view"])
        return done

    def __enter__(self) -> RemoteWhatIf:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.undo()


def _tuple(devices: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if devices is None else tuple(devices)
