"""podyard verdicts: what a scheduler says of the pods that wait in a cluster, given as manifests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.output import Form, Output, write
from harness.scheduling.strategy import Strategy

if TYPE_CHECKING:
    from harness.explain.from_manifests import FromManifests, Judged
    from harness.explain.preemption import PreemptionAnswer
    from harness.explain.room import Room

_SHOWN = 6
"""Nodes named in a row of a table."""


# size: each parameter is an option of the command line.
def verdicts(
    pods: Annotated[
        list[str] | None, typer.Argument(help="NAMESPACE/NAME, or NAME; all that wait for a node without any.")
    ] = None,
    filename: Annotated[
        list[Path] | None,
        typer.Option(
            "-f", "--filename", help="Manifests: files, folders, or - for `kubectl get nodes,pods,.. -A -o json`."
        ),
    ] = None,
    scheduler: Annotated[str, typer.Option("-s", "--scheduler", help="As `podyard run` takes it.")] = "kube",
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter-plugin", help="A Filter plugin of others, by name or module:object; repeatable."),
    ] = None,
    node: Annotated[str | None, typer.Option(help="One node in detail, and what would make it fit or win.")] = None,
    pod: Annotated[
        list[Path] | None,
        typer.Option("--pod", help="Ask about a pod that is not there: a manifest of it, or of what makes it."),
    ] = None,
    how_many: Annotated[
        bool, typer.Option("--how-many", help="How many more of each pod fit, where, and what stops the next one.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, max=1_000_000, help="With --how-many: try so many at most.")] = 10_000,
    bind: Annotated[bool, typer.Option("--bind", help="Place one after another, instead of each by itself.")] = False,
    output: Form = Output.table,
) -> None:
    """What a scheduler says of pods that wait in a cluster, given as manifests: constraints, scores, the node, why, who
    would be evicted; or how many more of a pod fit."""
    from harness.cli.explain import show
    from harness.explain.from_manifests import FromManifests
    from harness.model.errors import UserError
    from harness.scheduling.registry import load, load_filter_plugins

    if not filename:
        raise UserError("no cluster is given", expected="-f FILE, a folder, or - for standard input")
    strategy = load(scheduler)()
    cluster = FromManifests(filename, load_filter_plugins(filters or ()))
    for text in (*cluster.notices, *cluster.set_aside):
        print(f"note: {text}", file=sys.stderr)
    if cluster.astray:
        print(f"{cluster.astray} running pods left out: their nodes are not among the manifests", file=sys.stderr)
    asked = cluster.add(pod) if pod else []
    if how_many:
        keys = [*asked, *(cluster.key_of(name, any_pod=True) for name in pods or ())]
        _how_many(cluster, keys or cluster.in_order(), strategy, scheduler, most, output)
        return
    found: list[dict[str, Any]] = []
    keys = cluster.in_order([*asked, *(pods or ())])
    if not keys:
        _none_waits(cluster, scheduler, output)
    for key in keys:
        if key in cluster.bound:  # with another one of its gang
            found.append({"pod": key, "scheduler": scheduler, "node": cluster.bound[key]})
            if output is Output.table:
                print(f"{key} went to {cluster.bound[key]} with its gang")
            continue
        judged = cluster.judge(key, strategy, scheduler, node=node, each=output is not Output.table)
        found.append(judged.to_data())
        if judged.explanation is None:
            if output is Output.table:
                print(f"{key} is left alone: {judged.skipped}")
            continue
        if output is Output.table:
            show(judged.explanation)
            for line in _beside_the_choice(judged):
                print(line)
        if bind:
            cluster.bind(key, strategy)
    if output is not Output.table and keys:
        write({"scheduler": scheduler, "pods": found}, output)


def _none_waits(cluster: FromManifests, scheduler: str, output: Output) -> None:
    nodes, running = len(cluster.on.node_table), len(cluster.running)
    text = f"no pod waits for a node: {nodes} nodes, {running} pods on them"
    if output is Output.table:
        print(text)
        print("try: --pod FILE asks about a pod that is not there; --how-many POD, how many more of one fit")
    else:
        write({"scheduler": scheduler, "pods": [], "message": text}, output)


def _how_many(
    cluster: FromManifests, keys: list[str], strategy: Strategy, scheduler: str, most: int, output: Output
) -> None:
    from harness.explain.room import room_for

    rooms = [room_for(cluster, key, strategy, most) for key in keys]
    if not rooms:
        _none_waits(cluster, scheduler, output)
    elif output is not Output.table:
        write({"scheduler": scheduler, "pods": [room.to_data() for room in rooms]}, output)
    else:
        for room in rooms:
            _print_room(room, scheduler)


def _print_room(room: Room, scheduler: str) -> None:
    from harness.explain.room import grouped
    from harness.report.tables import print_table

    if room.skipped:
        print(f"{room.pod} is left alone: {room.skipped}")
        return
    if not room.stops:
        print(f"{room.pod}: {room.count} more fit, and no more were tried (--most)")
    else:
        print(f"{room.pod}: {room.count} more fit, says {scheduler}")
    if room.message:
        print(f"the next one: {room.message}")
    rows = []
    for nodes, fit, why in grouped(room):
        more = f" and {len(nodes) - _SHOWN} more" if len(nodes) > _SHOWN else ""
        rows.append((", ".join(nodes[:_SHOWN]) + more, len(nodes), fit, why))
    if rows:
        heads = ("nodes", "of them", "fit on each", "what stops the next one")
        print_table("", heads, rows, words=("what stops the next one",))
    for line in _preemption(room.preemption):
        print(line)


def _beside_the_choice(judged: Judged) -> Iterator[str]:
    """A nomination, and who would be evicted where the pod fits nowhere."""
    if judged.nominated:
        yield f"nominated: {judged.nominated} is kept for it and takes it, whatever the scores"
    yield from _preemption(judged.preemption)


def _preemption(preemption: PreemptionAnswer | None) -> Iterator[str]:
    if preemption is None:
        return
    if not preemption.best:
        yield f"preemption: {preemption.message}"
    for node in preemption.best:
        broken = preemption.violations.get(node, 0)
        budgets = f", breaking {broken} disruption budgets" if broken else ""
        yield f"preemption: on {node} would go {', '.join(preemption.victims[node])}{budgets}"
