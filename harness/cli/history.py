"""podyard history: results kept by commit, scenario and machine, and what became worse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, write

if TYPE_CHECKING:
    from harness.experiment.history import Step

app = typer.Typer(name="history", help="Results by commit, scenario and machine.", no_args_is_help=True)

STORE = Path("results/history")
Store = Annotated[Path, typer.Option("--store", help="Where the history is kept; made to be committed.")]


@app.command()
def add(
    records: Annotated[list[Path], typer.Argument(help="Records, or folders with records at any depth.")],
    store: Store = STORE,
    commit: Annotated[
        str | None,
        typer.Option(
            help="What the records are of; else the commit that is checked out here, if they are of its code."
        ),
    ] = None,
) -> None:
    """Keep what records say under this commit and this machine."""
    from harness.experiment.history import commit_of, entry_of, keep
    from harness.report.page import find

    found = commit_of(Path.cwd(), commit)
    entries = [entry_of(folder, any_source=commit is not None) for folder in find(records)]
    path = keep(store, found, entries)
    dirty = "; the tree differs from the commit" if found.name.endswith("-dirty") else ""
    print(f"{len(entries)} runs of {found.short} in {path}{dirty}", file=sys.stderr)


# size: each parameter is an option of the command line.
@app.command()
def show(
    store: Store = STORE,
    machine: Annotated[str | None, typer.Option(help="Whose results; else this machine's, or the only one's.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Decide about this measure and no other, as placement.pendingSeconds.mean or timing.runSeconds; "
            "repeatable."
        ),
    ] = None,
    within: Annotated[float, typer.Option(min=0, help="What is no difference, in percent of the earlier mean.")] = 1.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 where the last commit is a regression.")
    ] = False,
    output: Form = Output.table,
) -> None:
    """Say of each commit what changed since the one before it, paired by seed: same digests, better, a regression.

    Within one step of one scenario and strategy the chance of a false verdict is at most 5 % (Holm). Six seeds are the
    fewest that can decide about one measure.
    """
    from harness.experiment.compare import Within
    from harness.experiment.history import read, steps
    from harness.measure.registry import catalogue

    kept = read(store, machine)
    found = steps(kept, catalogue(), metric or (), Within(within / 100))
    if output is Output.table:
        _print(found, [commit.short for commit, _ in kept])
    else:
        write([step.to_data() for step in found], output)
    last = kept[-1][0].name if kept else ""
    if strict and any(step.worse for step in found if step.after.name == last):
        raise typer.Exit(1)


def _print(found: list[Step], commits: list[str]) -> None:
    from harness.report.tables import print_table

    if not found:
        print(f"nothing to compare: {len(commits)} commits, and no two of them have runs of the same", file=sys.stderr)
        return
    for title in dict.fromkeys(step.title for step in found):
        rows = []
        for step in (step for step in found if step.title == title):
            what = (step.after.short, step.after.subject[:48], step.seeds, step.same)
            rows.append([*what, step.verdict])
            told = [*step.worse, *step.better] or [row for row in step.rows if row.primary and not row.found.equal]
            for row in told:
                change = f"{row.found.base:.4g} to {row.found.other:.4g}" if not row.blocked else row.verdict
                rows.append(["", f"  {row.measure.title.strip()}: {change}", "", "", f"p = {row.found.p:.2g}"])
        print_table(title, ("commit", "subject", "seeds", "same", "verdict"), rows, ("subject", "verdict"))
