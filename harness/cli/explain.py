"""podyard explain: why a pod went where it went, and which timers a recovery or a scale-up waited for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, write

if TYPE_CHECKING:
    from harness.explain.explain import Explanation, Option


SHOWN = 4
"""Parts of one change that a line has room for."""

WIDE = 3
"""Scorers that a table has columns for; more of them are its rows."""


def explain(
    record: Annotated[Path, typer.Argument(help="A folder that `podyard run` wrote.")],
    pod: Annotated[
        str | None, typer.Argument(help="NAMESPACE/NAME, or NAME where only one pod is called so.", show_default=False)
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            help="One node in detail, and what would make it fit or win; without a pod: why it stayed or went."
        ),
    ] = None,
    fault: Annotated[int | None, typer.Option(min=1, help="The waterfall of this fault's recovery, from 1.")] = None,
    scale_up: Annotated[int | None, typer.Option(min=1, help="The waterfall of this scale-up, from 1.")] = None,
    output: Form = Output.table,
) -> None:
    """Why a pod went there (constraints, scores, the smallest changes), or what a recovery or scale-up waited for.

    Without a pod, --fault or --scale-up: all recoveries and scale-ups of the record, with their dominant timers; what
    autoscalers decided, and why; what they and the scheduler refused; why nodes stayed. With --node: of that node.
    """
    if pod is None and node is not None and fault is None and scale_up is None:
        _node(record, node, output)
        return
    if pod is None or fault is not None or scale_up is not None:
        if pod is not None or node is not None or (fault is not None and scale_up is not None):
            raise typer.BadParameter("one of a pod, --fault and --scale-up", param_hint="POD")
        _waterfalls(record, fault, scale_up, output)
        return
    from harness.explain.explain import explain as why

    found = why(record, pod, node)
    if output is Output.table:
        _print(found)
    else:
        write(found.to_data(), output)


def _waterfalls(record: Path, fault: int | None, scale_up: int | None, output: Output) -> None:
    from harness.experiment.waterfalls import waterfalls
    from harness.model.errors import UserError
    from harness.report.tables import print_table
    from harness.report.waterfall import picture, table

    found = waterfalls(record)
    if fault is None and scale_up is None:
        from harness.cli.autoscaling_tables import print_autoscaling
        from harness.explain.autoscaling import autoscaling

        falls, decided = [*found.recoveries, *found.scale_ups], autoscaling(record)
        if output is not Output.table:
            write({**found.to_data(), **decided.to_data()}, output)
            return
        if falls:
            print_table("Waterfalls", ("", "at, s", "in all, s", "dominant timer", "share"), table(falls))
        else:
            print("no fault was injected, and nothing scaled up")
        print_autoscaling(decided)
        return
    number, some, what = (
        (fault, found.recoveries, "fault") if fault is not None else (scale_up, found.scale_ups, "scale-up")
    )
    assert number is not None
    if number > len(some):
        raise UserError(
            f"there is no {what} {number} in this record",
            file=record,
            expected=f"1 to {len(some)}" if some else f"a record with a {what}",
            hint="podyard explain RECORD lists them",
        )
    fall = some[number - 1]
    if output is Output.table:
        print(picture(fall))
    else:
        write(fall.to_data(), output)


def _node(record: Path, node: str, output: Output) -> None:
    from harness.explain.autoscaling import autoscaling

    found = autoscaling(record).of_node(node)
    if output is not Output.table:
        write(found.to_data(), output)
        return
    from harness.cli.autoscaling_tables import print_autoscaling

    print_autoscaling(found)


def _print(found: Explanation) -> None:
    where = f"to {found.node}" if found.node else "nowhere"
    print(f"{found.pod} went {where} at {found.at_ns / 1e9:.3f} s, decided by {found.scheduler} ({found.how})")
    if found.again != (found.node or None):
        print(f"asked again: {found.again or 'nowhere'}")
    _print_rest(found)


def show(found: Explanation) -> None:
    """The same of a decision that nobody has carried out."""
    print(f"{found.pod} would go {f'to {found.node}' if found.node else 'nowhere'}, says {found.scheduler}")
    _print_rest(found)


def _print_rest(found: Explanation) -> None:
    from harness.report.tables import print_table

    if found.message:
        print(found.message)
    if found.requests:
        print(found.requests)
    rows = [
        [
            verdict.plugin,
            ", ".join(f"{count} {reason}" for reason, count in verdict.rejected.items()) or "-",
            verdict.left,
        ]
        for verdict in found.verdicts
    ]
    print_table(f"Constraints, over {found.nodes} nodes", ("constraint", "rejects", "nodes left"), rows)
    options: list[tuple[str, Option]] = [
        (name, option)
        for name, option in (
            ("picked", found.picked),
            ("runner-up", found.runner_up),
            ("asked about", None if found.on_node is None else found.on_node.option),
        )
        if option is not None
    ]
    if options:
        scorers = list(dict.fromkeys(scorer for _, option in options for scorer in option.parts))
        told = [
            [f"{option.parts[scorer]:.4g}" if scorer in option.parts else "" for scorer in scorers]
            + ["" if option.total is None else f"{option.total:.6g}"]
            + ["" if option.rank is None else f"{option.rank} of {found.feasible}"]
            for _, option in options
        ]
        named = [*scorers, "total", "rank"]
        if len(scorers) <= WIDE:
            rows = [[name, option.node, *cells] for (name, option), cells in zip(options, told, strict=True)]
            print_table("Scores", ("", "node", *named), rows)
        else:
            rows = [[name, *(cells[at] for cells in told)] for at, name in enumerate(named)]
            heads = [f"{name}: {option.node}" for name, option in options]
            print_table("Scores", ("", *heads), rows)
    here = found.on_node
    if here is None:
        return
    if here.picked:
        print(f"{here.node} is the node that was picked")
        return
    for plugin, reasons in here.rejects:
        print(f"{here.node}: {plugin} rejects it: {', '.join(reasons)}")
    verb = "be picked" if here.fits else "take the pod"
    if not here.changes:
        print(f"no change of {here.node} that was tried makes it {verb}")
        return
    print(f"{here.node} would {verb}" + (", for example" if len(here.changes) > 1 else ""))
    for way in here.changes:
        print(f"  {_in_words(way)}")


def _in_words(way: Sequence[object]) -> str:
    told = list(map(str, way))
    return " and ".join(told if len(told) <= SHOWN else [*told[:SHOWN], f"{len(told) - SHOWN} more like that"])
