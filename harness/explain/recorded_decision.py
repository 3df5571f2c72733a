"""A decision brought back from a record: the snapshot as the scheduler had it, the pod, its batch, the strategy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.experiment.record import read_record
from harness.experiment.scenario import from_data
from harness.experiment.scheduler_notes import (
    ADD,
    ASSUME,
    BATCH,
    FORGET,
    NO_VOLUME,
    REMOVE,
    RESTART,
    UPDATE,
    VOLUME,
    Resumed,
    resumable,
)
from harness.model.core import Pod, Taint
from harness.model.errors import UserError, did_you_mean
from harness.model.objects import from_wire
from harness.scheduling.feasibility.legality import Refused, apply
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.registry import load, load_filter_plugins
from harness.scheduling.sandbox.filter_plugins import ContainedFilterPlugin
from harness.scheduling.strategy import Bind, BindTogether, PodView, Strategy

SCHEDULING, SPECS = "scheduling.parquet", "specs.parquet"


@dataclass(slots=True, eq=False)
class Case:
    """`node`: where the record says the pod went, "" for nowhere. `on`: the snapshot just before the decision.

    `batch`: what was handed over together, where the decision can only be asked again as a whole; else the pod alone.
    `again`: where the strategy, asked again, puts the pod; None where it says to wait.
    """

    scheduler: str
    at_ns: int
    pod: Pod
    view: PodView
    node: str
    on: Snapshot
    strategy: Strategy
    batch: list[PodView]
    again: str | None
    how: str

    def ask(self, on: Snapshot, view: PodView) -> int:
        """The column index of the node that the strategy picks for the pod on `on`, -1 for none."""
        return ask(self.strategy, on, [view if pod.key == view.key else pod for pod in self.batch], view.key)


def ask(strategy: Strategy, on: Snapshot, batch: Sequence[PodView], key: str) -> int:
    """`on` is left as it was."""
    done: list[str] = []
    found = -1
    try:
        views = [on.classes.current(view) for view in batch]
        for decision in strategy.place(views, on, np.random.default_rng(0)):
            if not isinstance(decision, Bind | BindTogether):
                continue
            alone = isinstance(decision, Bind) and decision.pod.key == key
            outcome = apply(on, decision)
            if isinstance(outcome, Refused):
                continue
            done += [bind.pod.key for bind in outcome]
            here = [bind.node for bind in outcome if bind.pod.key == key]
            if here:
                found = here[0]
            if alone:
                break  # what comes after it in the batch does not matter
    finally:
        for bound in reversed(done):
            on.forget(bound)
    return found


@dataclass(slots=True, eq=False)
class Decided:
    """One decision in passing. `on`: the snapshot just before it, which goes on afterwards; `node`: its column, -1: the
    pod was handed over and got none. `waiting`: pods of its batch that had no node yet, itself included."""

    at_ns: int
    on: Snapshot
    view: PodView
    node: int
    devices: tuple[int, ...]
    waiting: int


class RecordNotes:
    """The notes of one record."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError for what is no record, or one without notes."""
        from workloads.readers.parquet import read_parquet

        self.folder = folder if folder.is_dir() else folder.parent
        self.record = read_record(folder)
        frames = []
        for name in (SCHEDULING, SPECS):
            path = self.folder / name
            if not path.exists():
                raise UserError(
                    "this record does not say what the scheduler saw",
                    file=path,
                    hint="it was made with --no-journal, or by an older version: run the scenario again",
                )
            frames.append(read_parquet(path, expected="part of a record", hint="run the scenario again"))
        self._rows = frames[0]
        self._specs = frames[1]

    # -- which ---------------------------------------------------------------------------------------------------------

    def key_of(self, name: str) -> str:
        """'namespace/name' of a pod given so, or by its name alone. Raises UserError."""
        keys = self._specs["pod"].unique(maintain_order=True).to_list()
        if "/" in name:
            found = [key for key in keys if key == name]
        else:
            found = [key for key in keys if key.partition("/")[2] == name]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise UserError(f"{len(found)} pods are called {name!r}", found=", ".join(found), expected="NAMESPACE/NAME")
        near = keys if "/" in name else [key.partition("/")[2] for key in keys]
        raise UserError(
            f"the record has no pod {name!r}",
            file=self.folder,
            hint=did_you_mean(name, near) or f"pods.parquet lists all {len(keys)} pods",
        )

    def pods(self) -> list[dict[str, Any]]:
        """Each pod once, in order of creation: its key as 'pod', its uid, and when it was first seen."""
        found: list[dict[str, Any]] = self._specs.unique("pod", keep="first", maintain_order=True).to_dicts()
        return found

    def case(self, key: str) -> Case:
        """The last decision about a pod: where it was bound, or the last time that it was not. Raises UserError."""
        import polars as pl

        rows = self._rows.with_row_index("n")
        # The last time that it was assumed by a batch that held it, and not told by a watch.
        batches = rows.filter((pl.col("kind") == BATCH) & pl.col("detail").str.contains(json.dumps(key), literal=True))
        if batches.is_empty():
            raise UserError(f"{key} was never handed to the strategy", file=self.folder, hint=self._gated(key))
        tried = batches["n"].to_list()
        assumed = rows.filter((pl.col("kind") == ASSUME) & (pl.col("pod") == key) & (pl.col("n") > tried[0]))
        strategy = self._strategy()
        if assumed.is_empty():
            batch_at = tried[-1]
            after = rows.filter((pl.col("n") > batch_at) & (pl.col("kind") != ASSUME))
            until = int(after["n"][0]) if len(after) else len(rows)
            node = ""
        else:
            until = int(assumed["n"][-1])
            batch_at = max(n for n in tried if n < until)
            node = str(assumed["node"][-1])
        at_ns = int(rows["at_ns"][batch_at])
        stateful = resumable(strategy)
        if stateful is not None:
            strategy = Resumed(stateful, str(rows["node"][batch_at]))
        views, on, pod = self._rebuilt(until, batch_at, key)
        view = next(item for item in views if item.key == key)
        alone = ask(strategy, on, [view], key)
        how = "one pod at a time"
        batch = [view]
        if node and _name(on, alone) != node:
            views, whole, pod = self._rebuilt(batch_at, batch_at, key)
            view = next(item for item in views if item.key == key)
            together = ask(strategy, whole, views, key)
            if _name(whole, together) == node:
                on, batch, alone = whole, views, together
                how = f"jointly, {len(views)} pods at once"
            else:
                how = "not reproduced: the strategy keeps a state or draws; what follows is of one asked anew"
                views, on, pod = self._rebuilt(until, batch_at, key)
                view = next(item for item in views if item.key == key)
                batch = [view]
        return Case(
            scheduler=str(self.record["scheduler"]),
            at_ns=at_ns,
            pod=pod,
            view=view,
            node=node,
            on=on,
            strategy=strategy,
            batch=batch,
            again=_name(on, alone) if alone >= 0 else None,
            how=how,
        )

    def _gated(self, key: str) -> str:
        spec = self._specs.filter(self._specs["pod"] == key)["spec"][-1]
        gates = json.loads(spec).get("schedulingGates")
        return f"it waits for its scheduling gates: {gates}" if gates else "it was deleted, or bound by somebody else"

    @cached_property
    def _filters(self) -> tuple[ContainedFilterPlugin, ...]:
        """Filter plugins of others that the run had."""
        loaded = from_data(self.record["scenario"], str(self.folder / "record.json"))
        return load_filter_plugins(loaded.scenario.spec.scheduling.filters)

    # -- bringing it back ----------------------------------------------------------------------------------------------

    def _strategy(self) -> Strategy:
        from harness.experiment.nodes import machines
        from harness.experiment.strategy_fit import fit_strategy, history_for
        from harness.experiment.workload import plan

        strategy = load(str(self.record.get("schedulerVersion") or self.record["scheduler"]))()
        if getattr(strategy, "fit", None) is not None:
            loaded = from_data(self.record["scenario"], str(self.folder / "record.json"))
            seed = int(self.record["seed"])
            fit_strategy(strategy, history_for(strategy, plan(loaded, machines(loaded, seed).tables, seed)))
        return strategy

    def _rebuilt(self, until: int, batch_at: int, key: str) -> tuple[list[PodView], Snapshot, Pod]:
        """The batch's pods, and the snapshot after the first `until` notes: what came and went before is left out."""
        on, placed = self._replayed(until)
        on.now_ns = at_ns = int(self._rows["at_ns"][batch_at])
        told = json.loads(self._rows["detail"][batch_at])
        pods = self._pods({*placed, *(row[0] for row in told)}, at_ns)
        _fill(on, placed, pods)
        views = [on.classes.view(pods[k], group_min=least, lifetime_ns=life) for k, least, life in told]
        return [on.classes.current(view) for view in views], on, pods[key]

    def end(self) -> tuple[Snapshot, list[PodView]]:
        """The snapshot as the run left it, and the pods that were tried and never got a node."""
        import polars as pl

        on, placed = self._replayed(len(self._rows))
        ever = set(self._rows.filter(pl.col("kind") == ASSUME)["pod"].to_list())
        tried = dict.fromkeys(row[0] for text in self._batches() for row in json.loads(text) if row[0] not in ever)
        at_ns: int = max(self._rows["at_ns"].to_list(), default=0)
        pods = self._pods({*placed, *tried}, at_ns)
        on.now_ns = at_ns
        _fill(on, placed, pods)
        return on, [on.classes.view(pods[key]) for key in tried]

    def decisions(self) -> Iterator[Decided]:
        """All of them in order, in one pass. A pod that stays without a node is told once a batch, at its end."""
        on = Snapshot(PodClasses(filters=self._filters))
        pods = _PodsInTime(self._specs)
        open_: dict[str, PodView] = {}
        at_ns = 0
        for kind, at, name, key, detail in self._rows.iter_rows():
            if kind in (BATCH, RESTART) or (open_ and at != at_ns):
                for view in open_.values():
                    yield Decided(at_ns, on, on.classes.current(view), -1, (), len(open_))
                open_ = {}
            on.now_ns = at_ns = at
            if kind == BATCH:
                for pod, least, life in json.loads(detail):
                    open_[pod] = on.classes.view(pods.at(pod, at), group_min=least, lifetime_ns=life)
            elif kind == ASSUME:
                devices = tuple(map(int, detail.split(","))) if detail else ()
                mine = open_.get(key)
                if mine is not None:
                    yield Decided(at, on, on.classes.current(mine), on.node_table.index[name], devices, len(open_))
                    del open_[key]
                on.assume_on(on.classes.view(pods.at(key, at)), name, devices or None)
            elif kind == RESTART:
                on = Snapshot(PodClasses(filters=self._filters))
            else:
                _change(on, kind, name, key, detail)
        for view in open_.values():
            yield Decided(at_ns, on, on.classes.current(view), -1, (), len(open_))

    def _batches(self) -> list[str]:
        rows: list[str] = self._rows.filter(self._rows["kind"] == BATCH)["detail"].unique(maintain_order=True).to_list()
        return rows

    def _replayed(self, until: int) -> tuple[Snapshot, dict[str, tuple[str, str]]]:
        """The nodes after the first `until` notes, and who was where."""
        nodes: dict[str, str] = {}
        placed: dict[str, tuple[str, str]] = {}
        volumes: list[tuple[str, bool]] = []
        for kind, name, pod, detail in self._rows.head(until).select("kind", "node", "pod", "detail").iter_rows():
            if kind == ASSUME:
                placed[pod] = (name, detail)
            elif kind == FORGET:
                placed.pop(pod, None)
            elif kind in (ADD, UPDATE):
                nodes[name] = detail
            elif kind == REMOVE:
                nodes.pop(name, None)
                placed = {pod: at for pod, at in placed.items() if at[0] != name}
            elif kind == RESTART:
                nodes, placed, volumes = {}, {}, []
            elif kind in (VOLUME, NO_VOLUME):
                volumes.append((detail, kind == NO_VOLUME))
        on = Snapshot(PodClasses(filters=self._filters))
        for detail, gone in volumes:
            on.tables.learn_volumes(from_wire(json.loads(detail)), gone=gone)
        for name, detail in nodes.items():
            on.add_node(**_columns(name, detail))
        return on, placed

    def _pods(self, keys: set[str], at_ns: int) -> dict[str, Pod]:
        """As they were at an instant."""
        import polars as pl

        frame = self._specs.filter(pl.col("pod").is_in(list(keys)) & (pl.col("at_ns") <= at_ns))
        specs: dict[tuple[str, str], Pod] = {}
        out: dict[str, Pod] = {}
        for key, uid, created, meta, spec in frame.iter_rows():
            template = specs.get((meta, spec))
            if template is None:
                template = from_wire({"kind": "Pod", "metadata": json.loads(meta), "spec": json.loads(spec)})
                specs[meta, spec] = template
            namespace, _, name = key.partition("/")
            named = msgspec.structs.replace(
                template.metadata, name=name, namespace=namespace, uid=uid, creation_timestamp=created
            )
            out[key] = msgspec.structs.replace(template, metadata=named)
        return out


class _PodsInTime:
    """Pods as they were at instants that only grow."""

    def __init__(self, specs: Any) -> None:
        self._rows: dict[str, list[tuple[str, int, str, str]]] = {}
        for key, uid, created, meta, spec in specs.iter_rows():
            self._rows.setdefault(key, []).append((uid, created, meta, spec))
        self._templates: dict[tuple[str, str], Pod] = {}

    def at(self, key: str, at_ns: int) -> Pod:
        rows = self._rows[key]
        while len(rows) > 1 and rows[1][1] <= at_ns:
            rows.pop(0)
        uid, created, meta, spec = rows[0]
        template = self._templates.get((meta, spec))
        if template is None:
            template = from_wire({"kind": "Pod", "metadata": json.loads(meta), "spec": json.loads(spec)})
            self._templates[meta, spec] = template
        namespace, _, name = key.partition("/")
        named = msgspec.structs.replace(
            template.metadata, name=name, namespace=namespace, uid=uid, creation_timestamp=created
        )
        return msgspec.structs.replace(template, metadata=named)


def _change(on: Snapshot, kind: int, name: str, key: str, detail: str) -> None:
    if kind == FORGET:
        on.forget(key)
    elif kind == ADD:
        on.add_node(**_columns(name, detail))
    elif kind == UPDATE:
        on.update_node(**_columns(name, detail))
    elif kind == REMOVE:
        on.remove_node(name)
    elif kind in (VOLUME, NO_VOLUME):
        on.volumes_changed(from_wire(json.loads(detail)), gone=kind == NO_VOLUME)


def _fill(on: Snapshot, placed: dict[str, tuple[str, str]], pods: dict[str, Pod]) -> None:
    for key, (name, devices) in placed.items():
        chosen = tuple(map(int, devices.split(","))) if devices else None
        on.assume_on(on.classes.view(pods[key]), name, chosen)


def _columns(name: str, detail: str) -> dict[str, Any]:
    told = json.loads(detail)
    return {
        **told,
        "name": name,
        "taints": tuple(msgspec.convert(taint, Taint) for taint in told.get("taints", ())),
        "images": tuple((tuple(names), size) for names, size in told.get("images", ())),
    }


def _name(on: Snapshot, node: int) -> str | None:
    return on.node_table.names[node] if node >= 0 else None
