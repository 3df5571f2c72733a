"""A workload and its nodes in columns: numpy arrays and small tables of words, frozen, integers inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Int64: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = npt.NDArray[np.int32]
Index: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice
Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Labels or a node selector, sorted by key."""

FOREVER = -1
"""`duration_ns` of a pod that runs until it is deleted."""

DEVICE_MILLI = 1000
"""What one GPU offers (open-gpu-share)."""

PODS_PER_NODE = 110
"""Kubernetes' default of maxPods (kubelet configuration v1beta1), for node lists that do not say."""

T = TypeVar("T")
A = TypeVar("A", bound=npt.NDArray[Any])


def frozen(array: A) -> A:
    """The same array, read-only."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Coded(Generic[T]):
    """A column of few distinct values: `codes` int32 [rows], indices into `values`."""

    codes: Codes
    values: tuple[T, ...]

    @classmethod
    def of(cls, items: Sequence[T]) -> Coded[T]:
        """Values in the order of their first appearance."""
        index: dict[T, int] = {}
        codes = np.fromiter((index.setdefault(item, len(index)) for item in items), np.int32, len(items))
        return cls(frozen(codes), tuple(index))

    @classmethod
    def all(cls, value: T, rows: int) -> Coded[T]:
        return cls(frozen(np.zeros(rows, dtype=np.int32)), (value,))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> T:
        value: T = self.values[int(self.codes[row])]
        return value

    def take(self, rows: Index) -> Coded[T]:
        return Coded(frozen(self.codes[rows]), self.values)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a workload comes from and what was done to it on the way.

    `inputs`: (file name, sha256) of what was read. `changes`: what was dropped, changed or assumed, in words.
    """

    source: str
    licence: str = ""
    url: str = ""
    citation: str = ""
    changes: tuple[str, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()

    def and_then(self, *changes: str, inputs: tuple[tuple[str, str], ...] = ()) -> Provenance:
        return replace(self, changes=self.changes + changes, inputs=self.inputs + inputs)


_NOTHING: Mapping[str, Int64] = MappingProxyType({})
_NONE: Int64 = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Pods in columns, one row a pod, n rows. All numbers are int64 [n].

    `arrival_ns`: when the pod is created, since the run began. `duration_ns`: how long it runs once started, FOREVER
    (-1) for until deleted. `cpu_milli`, `memory_bytes`: requests. `gpu_count` devices of `gpu_milli` thousandths each;
    `gpu_models`: accepted models, () for any. `priority`: as PriorityClass.value. `group`: its gang, "" for none.
    `app`: its owner. `max_per_node`: most pods of its app on one node, 0 for no limit. `node_selector`: labels that
    its node must have. `user` who submitted it, `queue` where to, "" for nobody and none. `extra`: further requests by
    Kubernetes resource name, in units of that resource. `estimate_ns`: how long its user said that it runs at most, 0:
    nobody said. `after`: the pod or gang, as 'name' or 'namespace/name', that must have ended `think_ns` before it may
    start, "" for none.
    """

    name: Sequence[str]
    arrival_ns: Int64
    duration_ns: Int64
    cpu_milli: Int64
    memory_bytes: Int64
    gpu_count: Int64
    gpu_milli: Int64
    gpu_models: Coded[tuple[str, ...]]
    priority: Int64
    group: Coded[str]
    app: Coded[str]
    namespace: Coded[str]
    max_per_node: Int64
    node_selector: Coded[Pairs]
    user: Coded[str]
    queue: Coded[str]
    extra: Mapping[str, Int64] = field(default_factory=lambda: _NOTHING)
    provenance: Provenance = Provenance("made by hand")
    estimate_ns: Int64 = field(default_factory=lambda: _NONE)
    after: Coded[str] = field(default_factory=lambda: Coded.all("", 0))
    think_ns: Int64 = field(default_factory=lambda: _NONE)

    def __post_init__(self) -> None:
        rows = len(self.name)
        if rows and not len(self.after) and not len(self.estimate_ns) and not len(self.think_ns):
            for column in ("estimate_ns", "think_ns"):
                object.__setattr__(self, column, np.zeros(rows, dtype=np.int64))
            object.__setattr__(self, "after", Coded.all("", rows))
        for column, values in self.numbers().items():
            assert len(values) == rows, f"{column} has {len(values)} rows, name has {rows}"
            frozen(values)
        for words in (getattr(self, column) for column in WORDS):
            assert len(words) == rows, f"a column of words has {len(words)} rows, name has {rows}"

    # size: each parameter is a column of the table.
    @classmethod
    def of(
        cls,
        name: Sequence[str],
        *,
        arrival_ns: npt.ArrayLike = 0,
        duration_ns: npt.ArrayLike = FOREVER,
        cpu_milli: npt.ArrayLike = 0,
        memory_bytes: npt.ArrayLike = 0,
        gpu_count: npt.ArrayLike = 0,
        gpu_milli: npt.ArrayLike = 0,
        gpu_models: Sequence[tuple[str, ...]] | None = None,
        priority: npt.ArrayLike = 0,
        group: Sequence[str] | None = None,
        app: Sequence[str] | None = None,
        namespace: str = "default",
        max_per_node: npt.ArrayLike = 0,
        user: Sequence[str] | None = None,
        queue: Sequence[str] | None = None,
        extra: Mapping[str, npt.ArrayLike] | None = None,
        provenance: Provenance | None = None,
    ) -> Workload:
        """Columns from plain lists; a single number stands for all rows."""
        rows = len(name)
        return cls(
            name,
            _column(arrival_ns, rows),
            _column(duration_ns, rows),
            _column(cpu_milli, rows),
            _column(memory_bytes, rows),
            _column(gpu_count, rows),
            _column(gpu_milli, rows),
            Coded.all((), rows) if gpu_models is None else Coded.of(gpu_models),
            _column(priority, rows),
            Coded.all("", rows) if group is None else Coded.of(group),
            Coded.all("", rows) if app is None else Coded.of(app),
            Coded.all(namespace, rows),
            _column(max_per_node, rows),
            Coded.all((), rows),
            Coded.all("", rows) if user is None else Coded.of(user),
            Coded.all("", rows) if queue is None else Coded.of(queue),
            {key: _column(amounts, rows) for key, amounts in sorted((extra or {}).items())},
            Provenance("made by hand") if provenance is None else provenance,
        )

    def __len__(self) -> int:
        return len(self.name)

    def classes(self) -> tuple[Int64, Int64]:
        """Pods that ask for the same: (a row of each class, the class of each row), int64 [classes] and [n].

        All columns count but names, times, gangs and whom it waits for.
        """
        columns = [values for column, values in self.numbers().items() if column not in _TIMES]
        words = [getattr(self, column).codes for column in WORDS if column not in ("group", "after")]
        return distinct([*columns, *(codes.astype(np.int64) for codes in words)], len(self))

    def numbers(self) -> dict[str, Int64]:
        """The numeric columns by name; extra resources as `extra.<resource>`."""
        return {column: getattr(self, column) for column in NUMBERS} | {
            f"extra.{resource}": amounts for resource, amounts in self.extra.items()
        }

    @property
    def gpu_total_milli(self) -> Int64:
        """Requested GPU milli over all devices of each pod, int64 [n]."""
        return self.gpu_count * self.gpu_milli

    def take(self, rows: Index) -> Workload:
        """The rows of a mask, a slice or indices, in that order."""
        return replace(self, **_rows_of(self, rows, NUMBERS, WORDS))

    def in_order(self) -> Workload:
        """Rows by arrival; ties stay as they are."""
        if bool(np.all(self.arrival_ns[1:] >= self.arrival_ns[:-1])):
            return self
        return self.take(np.argsort(self.arrival_ns, kind="stable"))

    def head(self, pods: int) -> Workload:
        """The first arrivals."""
        return self.in_order().take(slice(0, pods))

    def starting_at_zero(self) -> Workload:
        """Arrivals moved, so that the first is at 0."""
        if not len(self) or not int(self.arrival_ns.min()):
            return self
        return replace(self, arrival_ns=self.arrival_ns - self.arrival_ns.min())

    def compressed(self, times: float) -> Workload:
        """Arrivals and durations so many times shorter; a duration keeps a nanosecond at least."""
        ends = self.duration_ns >= 0
        shorter = np.maximum(np.round(self.duration_ns / times), np.where(self.duration_ns > 0, 1, 0)).astype(np.int64)
        return replace(
            self,
            arrival_ns=frozen(np.round(self.arrival_ns / times).astype(np.int64)),
            duration_ns=frozen(np.where(ends, shorter, self.duration_ns)),
            estimate_ns=frozen(np.round(self.estimate_ns / times).astype(np.int64)),
            think_ns=frozen(np.round(self.think_ns / times).astype(np.int64)),
            provenance=self.provenance.and_then(f"times are divided by {times:g}"),
        )

    def one_by_one(self, gap_ns: int = 10**9, together: int = 1) -> Workload:
        """Pure fill: row i arrives at i * gap_ns, and nothing ever departs; or so many rows `together` at each gap."""
        rows = np.arange(len(self), dtype=np.int64) // together
        return replace(
            self,
            arrival_ns=rows * gap_ns,
            duration_ns=np.full(len(self), FOREVER, dtype=np.int64),
            provenance=self.provenance.and_then(
                f"arrivals {f'{together} at once' if together > 1 else 'one by one'}, no departures"
            ),
        )

    def faster(self, times: int) -> Workload:
        """Arrivals `times` as fast, durations as they are: more pods at once."""
        assert times > 0
        return replace(
            self,
            arrival_ns=self.arrival_ns // times,
            provenance=self.provenance.and_then(f"arrivals {times} times as fast"),
        )


NUMBERS = (
    "arrival_ns",
    "duration_ns",
    "cpu_milli",
    "memory_bytes",
    "gpu_count",
    "gpu_milli",
    "priority",
    "max_per_node",
    "estimate_ns",
    "think_ns",
)
WORDS = ("gpu_models", "group", "app", "namespace", "node_selector", "user", "queue", "after")
_TIMES = ("arrival_ns", "duration_ns", "estimate_ns", "think_ns")


def _rows_of(table: Workload | NodeTable, rows: Index, numbers: Sequence[str], words: Sequence[str]) -> dict[str, Any]:
    """The columns of some rows. `numbers` and `words`: the columns that there are besides the names."""
    if isinstance(rows, slice):
        names: Sequence[str] = table.name[rows]
    else:
        at = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        names = [table.name[row] for row in at.tolist()]
    return {
        "name": names,
        **{column: getattr(table, column)[rows] for column in numbers},
        **{column: getattr(table, column).take(rows) for column in words},
        "extra": {resource: amounts[rows] for resource, amounts in table.extra.items()},
    }


def distinct(columns: Sequence[Int64], rows: int) -> tuple[Int64, Int64]:
    """Equal rows over all columns: (first row of each class, class of each row); classes by their first row."""
    code = np.zeros(rows, dtype=np.int64)
    for column in columns:
        values, index = np.unique(column, return_inverse=True)
        if len(values) > 1:
            code = np.unique(code * len(values) + index, return_inverse=True)[1]
    first, inverse = np.unique(code, return_index=True, return_inverse=True)[1:]
    order = np.argsort(first)
    place = np.empty(len(first), dtype=np.int64)
    place[order] = np.arange(len(first))
    return first[order].astype(np.int64), place[inverse]


def _column(values: npt.ArrayLike, rows: int) -> Int64:
    return np.array(np.broadcast_to(np.asarray(values, dtype=np.int64), rows))


@dataclass(frozen=True, slots=True, eq=False)
class NodeTable:
    """Nodes in columns, m rows, in the order in which ties between them are broken. Numbers are int64 [m].

    `cpu_milli`, `memory_bytes`, `pods`: allocatable. `gpu_count` devices of `gpu_milli` each (1000), of one
    `gpu_model` ("" without). `labels` beyond those that every node has. `extra`: further allocatable resources.
    """

    name: Sequence[str]
    cpu_milli: Int64
    memory_bytes: Int64
    pods: Int64
    gpu_count: Int64
    gpu_milli: Int64
    gpu_model: Coded[str]
    zone: Coded[str]
    labels: Coded[Pairs]
    extra: Mapping[str, Int64] = field(default_factory=lambda: _NOTHING)
    provenance: Provenance = Provenance("made by hand")

    def __post_init__(self) -> None:
        rows = len(self.name)
        numbers = {column: getattr(self, column) for column in NODE_NUMBERS} | dict(self.extra)
        for column, values in numbers.items():
            assert len(values) == rows, f"{column} has {len(values)} rows, name has {rows}"
            frozen(values)
        for words in (self.gpu_model, self.zone, self.labels):
            assert len(words) == rows, f"a column of words has {len(words)} rows, name has {rows}"

    # size: each parameter is a column of the table.
    @classmethod
    def of(
        cls,
        name: Sequence[str],
        *,
        cpu_milli: npt.ArrayLike,
        memory_bytes: npt.ArrayLike,
        pods: npt.ArrayLike = PODS_PER_NODE,
        gpu_count: npt.ArrayLike = 0,
        gpu_model: Sequence[str] | None = None,
        zone: Sequence[str] | None = None,
        labels: Sequence[Pairs] | None = None,
        extra: Mapping[str, npt.ArrayLike] | None = None,
        provenance: Provenance | None = None,
    ) -> NodeTable:
        """Columns from plain lists; a single number stands for all rows."""
        rows = len(name)
        count = _column(gpu_count, rows)
        return cls(
            name,
            _column(cpu_milli, rows),
            _column(memory_bytes, rows),
            _column(pods, rows),
            count,
            np.where(count > 0, DEVICE_MILLI, 0).astype(np.int64),
            Coded.all("", rows) if gpu_model is None else Coded.of(gpu_model),
            Coded.all("", rows) if zone is None else Coded.of(zone),
            Coded.all((), rows) if labels is None else Coded.of(labels),
            {key: _column(amounts, rows) for key, amounts in sorted((extra or {}).items())},
            Provenance("made by hand") if provenance is None else provenance,
        )

    def __len__(self) -> int:
        return len(self.name)

    def take(self, rows: Index) -> NodeTable:
        """As `Workload.take`."""
        return replace(self, **_rows_of(self, rows, NODE_NUMBERS, NODE_WORDS))

    def ranked(self, rank: Mapping[str, int]) -> NodeTable:
        """Nodes by ascending rank, so that ties are broken by it. Raises KeyError for a node without a rank."""
        order = sorted(range(len(self)), key=lambda row: (rank[self.name[row]], self.name[row]))
        return self.take(np.array(order, dtype=np.int64))

    def in_zones(self, zones: int) -> NodeTable:
        """Dealt to zone-0, zone-1, .. in turn: for traces that name no zone."""
        return replace(self, zone=Coded.of([f"zone-{row % zones}" for row in range(len(self))]))

    @property
    def gpu_total_milli(self) -> int:
        return int((self.gpu_count * self.gpu_milli).sum())


NODE_NUMBERS = ("cpu_milli", "memory_bytes", "pods", "gpu_count", "gpu_milli")
NODE_WORDS = ("gpu_model", "zone", "labels")
