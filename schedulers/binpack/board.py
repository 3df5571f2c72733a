"""The planning board: the cluster's columns as one window sees them, and what each placement would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.scheduling.scoring import ChangedNodes
from harness.scheduling.strategy import CPU, MEMORY, Bool, ClusterView, Int64, PodClass, PodView
from schedulers.binpack.prices import DEVICE_MILLI
from schedulers.binpack.stranding import Stranding

NEVER = 1 << 60
"""Cost where a pod does not fit; far above any sum of real costs."""

_SCALE = 1 << 10
_NO_FIT = 1 << 50  # lost on a device that is too small; a node's worth of them still adds up without overflow

KEEP_WINDOWS = 16  # a class not seen for this many windows loses its row of costs


class ClassRequests:
    """Requests of K pod classes in columns, so that one call costs all of them."""

    def __init__(self, classes: Sequence[PodClass], models: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.requests = np.array([cls.requests for cls in classes], dtype=np.int64)  # [K, resources]
        self.count = np.array([cls.gpu.count for cls in classes], dtype=np.int64)
        self.milli = np.array([cls.gpu.milli if cls.gpu.count else 0 for cls in classes], dtype=np.int64)
        self.many = [int(k) for k in np.flatnonzero(self.count > 1)]
        self.any_gpu = bool(self.count.any())
        # [K, models + 1]: the last column stands for "no GPU", index -1.
        self.models = np.array(
            [[not c.gpu.models or model in c.gpu.models for model in models] + [not c.gpu.count] for c in classes],
            dtype=np.bool_,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Free state of M nodes: `free` int64 [resources, M], `devices` idle milli int64 [M, D], `model`, `has_gpu` [M]."""

    free: Int64
    devices: Int64
    model: Int64
    has_gpu: Bool

    def take(self, nodes: Int64) -> Columns:
        return Columns(self.free[:, nodes], self.devices[nodes], self.model[nodes], self.has_gpu[nodes])


def idle_worth(devices: Int64, worth: Int64) -> Int64:
    """Sum over devices of what their idle milli are worth, int64 [M]."""
    result: Int64 = worth[np.minimum(devices, len(worth) - 1)].sum(axis=-1)
    return result


def wholly_idle(devices: Int64) -> Int64:
    """Number of devices with nothing on them, int64 [M]."""
    result: Int64 = (devices >= DEVICE_MILLI).sum(axis=-1)
    return result


def potential_of(columns: Columns, stranding: Stranding) -> Int64:
    """Potential of each node, int64 [M]."""
    worth = idle_worth(columns.devices, stranding.worth)
    whole = wholly_idle(columns.devices)
    return stranding.potential(worth, whole, columns.free[CPU], columns.free[MEMORY], columns.has_gpu)


def _losses(milli: Int64 | int, devices: Int64, worth: Int64) -> Int64:
    """What taking `milli` from each device loses: _SCALE * worth + (1 if it was wholly idle); _NO_FIT where it can't.

    One integer, so that the least is also the one that breaks no idle device on ties, and sums keep both apart.
    """
    last = len(worth) - 1
    left = devices - milli
    lost = worth[np.minimum(devices, last)] - worth[np.clip(left, 0, last)]
    return np.where(left >= 0, lost * _SCALE + (devices >= DEVICE_MILLI), _NO_FIT)


def costs(needs: ClassRequests, columns: Columns, base: Int64, touch: Int64, stranding: Stranding) -> Int64:
    """Cost of placing one pod of each class on each node, int64 [K, M]; NEVER where it does not fit.

    `base`: potential of each node now, `touch`: the cost of choosing it at all, both int64 [M].
    """
    free, devices, worth = columns.free, columns.devices, stranding.worth
    fits = needs.models[:, columns.model]
    for resource in range(free.shape[0]):
        fits = fits & (needs.requests[:, resource, None] <= free[resource])
    now, whole = idle_worth(devices, worth), wholly_idle(devices)
    lost: Int64 = np.zeros(fits.shape, dtype=np.int64)
    broken: Int64 = lost
    if needs.any_gpu:
        if devices.shape[1]:
            each = _losses(needs.milli[:, None, None], devices, worth)
            least = each.min(axis=2)
            for k in needs.many:
                few = int(needs.count[k])
                least[k] = _NO_FIT if few > each.shape[2] else np.sort(each[k], axis=1)[:, :few].sum(axis=1)
            least[needs.count == 0] = 0
            lost, broken = least // _SCALE, least % _SCALE
        else:
            lost[needs.count > 0] = _NO_FIT
        fits = fits & (lost < _NO_FIT // _SCALE)
    after = stranding.potential(
        np.where(fits, now - lost, 0),
        np.where(fits, whole - broken, 0),
        free[CPU] - needs.requests[:, CPU, None],
        free[MEMORY] - needs.requests[:, MEMORY, None],
        columns.has_gpu,
    )
    return np.where(fits, after - base + touch, NEVER)


def choose_devices(cls: PodClass, devices: Int64, worth: Int64) -> tuple[int, ...]:
    """The devices of one node (idle milli, int64 [D]) that lose least worth, lowest index first; () without GPU."""
    if not cls.gpu.count:
        return ()
    lost = _losses(cls.gpu.milli, devices, worth).tolist()
    chosen = sorted(range(len(lost)), key=lambda device: (lost[device], device))[: cls.gpu.count]
    assert sum(lost[device] < _NO_FIT for device in chosen) == cls.gpu.count, f"{cls.gpu} does not fit on {devices}"
    return tuple(sorted(chosen))


@dataclass(frozen=True, slots=True)
class Spot:
    """A tentative placement: `node` is a position on the board (rank order), not the cluster's index."""

    node: int
    devices: tuple[int, ...]


class Board:
    """The cluster's columns in rank order, so that the first least cost is also the tie-break; kept between windows."""

    columns: Columns
    base: Int64  # potential of each node, COST units
    touch: Int64  # cost of choosing a node at all, COST units
    order: Int64  # cluster index of each position
    models: tuple[str, ...]
    stranding: Stranding

    def __init__(self) -> None:
        self._changed = ChangedNodes()
        self._window = 0
        self._ranks: Int64 | None = None
        self._rows: dict[int, Int64] = {}  # class id -> cost on every node, whatever its constraints say
        self._classes: dict[int, PodClass] = {}
        self._used: dict[int, int] = {}

    def sync(self, cluster: ClusterView, stranding: Stranding) -> None:
        """Take over what changed since the last window."""
        self._window += 1
        changed = self._changed.since_last(cluster)
        stale = (
            changed is None
            or self._ranks is None
            or stranding is not self.stranding
            or not np.array_equal(self._ranks, cluster.rank)
            # Columns that the cluster grew since: a new extended resource, a node with more devices.
            or self.columns.free.shape[0] != cluster.free.shape[0]
            or self.columns.devices.shape[1] != cluster.gpu_free.shape[1]
        )
        self.stranding = stranding
        if stale or changed is None:
            self._ranks = np.array(cluster.rank)
            self.order = np.argsort(self._ranks, kind="stable")
            self._position = np.empty_like(self.order)
            self._position[self.order] = np.arange(len(self.order))
            self.models = tuple(cluster.gpu_models)
            self._forget(list(self._rows))
            self.columns = self._read(cluster, self.order)
            self.base = potential_of(self.columns, stranding)
            self.touch = self._touch(cluster, self.order, self.columns)
            return
        self._forget([key for key, last in self._used.items() if self._window - last > KEEP_WINDOWS])
        if len(changed):
            self._refresh(cluster, np.asarray(changed))

    def _refresh(self, cluster: ClusterView, changed: Int64) -> None:
        at = self._position[changed]
        read, mine = self._read(cluster, changed), self.columns
        mine.free[:, at], mine.devices[at] = read.free, read.devices
        mine.model[at], mine.has_gpu[at] = read.model, read.has_gpu
        self.base[at] = potential_of(read, self.stranding)
        self.touch[at] = self._touch(cluster, changed, read)
        if self._rows:
            needs = ClassRequests([self._classes[key] for key in self._rows], self.models)
            renewed = costs(needs, read, self.base[at], self.touch[at], self.stranding)
            for row, values in zip(self._rows.values(), renewed, strict=True):
                row[at] = values

    @staticmethod
    def _read(cluster: ClusterView, nodes: Int64) -> Columns:
        """Copies of the columns of `nodes` (cluster indices)."""
        return Columns(
            np.array(cluster.free[:, nodes]),
            np.array(cluster.gpu_free[nodes]),
            np.array(cluster.gpu_model[nodes]),
            np.array((cluster.gpu_capacity[nodes] > 0).any(axis=1)),
        )

    def _touch(self, cluster: ClusterView, nodes: Int64, columns: Columns) -> Int64:
        capacity = np.maximum(cluster.capacity[:, nodes], 1)
        share = (columns.free[CPU] / capacity[CPU] + columns.free[MEMORY] / capacity[MEMORY]) / 2
        return self.stranding.tightness(idle_worth(columns.devices, self.stranding.worth), share, columns.has_gpu)

    def _forget(self, keys: list[int]) -> None:
        for key in keys:
            del self._rows[key], self._classes[key], self._used[key]

    def rows(self, classes: Sequence[PodClass]) -> Int64:
        """Cost of each class on each node, before constraints, int64 [K, N], a copy."""
        missing = [cls for cls in classes if cls.id not in self._rows]
        if missing:
            fresh = costs(ClassRequests(missing, self.models), self.columns, self.base, self.touch, self.stranding)
            for cls, row in zip(missing, fresh, strict=True):
                self._rows[cls.id] = row
                self._classes[cls.id] = cls
        for cls in classes:
            self._used[cls.id] = self._window
        return np.stack([self._rows[cls.id] for cls in classes])


class Window:
    """One window's tentative placements on the board. Placing and removing are exact inverses, in any order."""

    def __init__(
        self, board: Board, pods: Sequence[PodView], cluster: ClusterView, surcharge: Int64 | None = None
    ) -> None:
        """`surcharge`: what each placement on a node costs besides, COST units, by position."""
        self.board = board
        self.touch = board.touch if surcharge is None else board.touch + surcharge
        first: dict[int, PodView] = {}
        for pod in pods:
            first.setdefault(pod.cls.id, pod)
        self.classes = tuple(pod.cls for pod in first.values())
        slot = {cls.id: k for k, cls in enumerate(self.classes)}
        self.kind = [slot[pod.cls.id] for pod in pods]  # class of each pod, an index into `classes`
        self.needs = ClassRequests(self.classes, board.models)
        self.allowed: Bool = np.stack([cluster.feasible(pod)[board.order] for pod in first.values()])
        self.columns = Columns(
            board.columns.free.copy(), board.columns.devices.copy(), board.columns.model, board.columns.has_gpu
        )
        self.base = board.base.copy()
        rows = board.rows(self.classes)
        if surcharge is not None:
            rows += surcharge
        self.cost = np.where(self.allowed, np.minimum(rows, NEVER), NEVER)
        self.start = self.cost.copy()

    def place(self, kind: int, node: int, devices: tuple[int, ...] | None = None) -> tuple[Spot, int]:
        """Put one pod of class `kind` on `node`; the spot and what it cost."""
        paid = int(self.cost[kind, node])
        assert paid < NEVER, f"class {self.classes[kind].id} does not fit on position {node}"
        if devices is None:
            devices = choose_devices(self.classes[kind], self.columns.devices[node], self.board.stranding.worth)
        self._move(kind, node, devices, -1)
        return Spot(node, devices), paid

    def remove(self, kind: int, spot: Spot) -> None:
        self._move(kind, spot.node, spot.devices, 1)

    def _move(self, kind: int, node: int, devices: tuple[int, ...], sign: int) -> None:
        columns, board = self.columns, self.board
        columns.free[:, node] += sign * self.needs.requests[kind]
        for device in devices:
            columns.devices[node, device] += sign * self.needs.milli[kind]
        one = np.array([node])
        here = columns.take(one)
        self.base[one] = potential_of(here, board.stranding)
        renewed = costs(self.needs, here, self.base[one], self.touch[one], board.stranding)[:, 0]
        self.cost[:, node] = np.where(self.allowed[:, node], renewed, NEVER)

    def best(self, kind: int) -> int | None:
        """The cheapest node that takes one more pod of class `kind`, lowest rank on ties; None when there is none."""
        node = int(self.cost[kind].argmin())
        return node if self.cost[kind, node] < NEVER else None
