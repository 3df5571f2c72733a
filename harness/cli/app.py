"""The command line put together."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import (
    autoscale,
    autoscalers,
    check,
    compact,
    compare,
    constants,
    dataset,
    evaluate,
    explain,
    fault,
    gate,
    history,
    import_dump,
    journal,
    lint,
    measures,
    new,
    plot,
    regret,
    replay,
    report,
    run,
    schedulers,
    schema,
    simulate,
    snapshot,
    trace,
    train,
    up,
    verdicts,
    whatif,
)
from harness.cli.commands import CommandGroup

app = typer.Typer(
    name="podyard",
    cls=CommandGroup,
    help="A proving ground for cluster schedulers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"podyard {version('podyard')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A proving ground for cluster schedulers: run a scenario, compare strategies, replay a record."""


app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("gate")(gate.gate)
app.add_typer(history.app, name="history")
app.command("compact")(compact.compact)
app.command("explain")(explain.explain)
app.command("autoscale", context_settings=autoscale.FLAGS_TOO)(autoscale.autoscale)
app.command("whatif")(whatif.whatif)
app.command("journal")(journal.journal)
app.command("import")(import_dump.import_dump)
app.command("verdicts")(verdicts.verdicts)
app.command("dataset")(dataset.dataset)
app.command("evaluate")(evaluate.evaluate)
app.command("regret")(regret.regret)
app.command("replay")(replay.replay)
app.command("plot")(plot.plot)
app.command("report")(report.report)
app.command("measures")(measures.measures)
app.command("constants")(constants.constants)
app.command("schedulers")(schedulers.schedulers)
app.command("autoscalers")(autoscalers.autoscalers)
app.command("schema")(schema.schema)
app.command("lint")(lint.lint)
app.command("simulate")(simulate.simulate)
app.command("check")(check.check)
app.add_typer(new.app, name="new")
app.command("train", context_settings=train.PASSED_ON)(train.train)
app.command("up")(up.up)
app.command("fault", context_settings=fault.PASSED_ON)(fault.fault)
app.command("snapshot")(snapshot.snapshot)
app.command("restore")(snapshot.restore)
app.add_typer(trace.app, name="trace")
