"""podyard verdicts: what a scheduler says of the pods that wait in a cluster, given as manifests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, write

if TYPE_CHECKING:
    from harness.explain.from_manifests import Judged


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
    bind: Annotated[bool, typer.Option("--bind", help="Place one after another, instead of each by itself.")] = False,
    output: Form = Output.table,
) -> None:
    """What a scheduler says of pods that wait in a cluster, given as manifests: constraints, scores, the node, why."""
    from harness.cli.explain import show
    from harness.explain.from_manifests import FromManifests
    from harness.model.errors import UserError
    from harness.scheduling.registry import load, load_filter_plugins

    if not filename:
        raise UserError("no cluster is given", expected="-f FILE, a folder, or - for standard input")
    strategy = load(scheduler)()
    cluster = FromManifests(filename, load_filter_plugins(filters or ()))
    for text in cluster.notices:
        print(f"note: {text}", file=sys.stderr)
    if cluster.astray:
        print(f"{cluster.astray} running pods left out: their nodes are not among the manifests", file=sys.stderr)
    found = []
    for key in cluster.in_order(pods or ()):
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
    if output is not Output.table:
        write({"scheduler": scheduler, "pods": found}, output)


def _beside_the_choice(judged: Judged) -> Iterator[str]:
    """A nomination, and who would be evicted where the pod fits nowhere."""
    if judged.nominated:
        yield f"nominated: {judged.nominated} is kept for it and takes it, whatever the scores"
    preemption = judged.preemption
    if preemption is None:
        return
    if not preemption.best:
        yield f"preemption: {preemption.message}"
    for node in preemption.best:
        broken = preemption.violations.get(node, 0)
        budgets = f", breaking {broken} disruption budgets" if broken else ""
        yield f"preemption: on {node} would go {', '.join(preemption.victims[node])}{budgets}"
