"""podyard gate: records held to thresholds and to reference records, for build servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import Form, Output, write


# size: each parameter is an option of the command line.
def gate(
    records: Annotated[list[Path], typer.Argument(help="Records, or folders with records at any depth.")],
    gates: Annotated[
        list[str] | None,
        typer.Option("--gate", help="'PATH<=NUMBER' or 'PATH>=NUMBER', besides the gates of the scenario; repeatable."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="A reference: its records are matched by strategy, seed and variables.")
    ] = None,
    margin: Annotated[float, typer.Option(min=0, help="By how many percent a measure may be worse.")] = 0.0,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Held against the reference, by path; the primary measures unless told; repeatable."),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a Markdown summary here.")] = None,
    output: Form = Output.table,
) -> None:
    """Exit code 0 where every demand is met, 1 where one is not, 2 for a demand that cannot be."""
    from harness.experiment.gate_checks import (
        load_records,
        not_worse,
        parse_gate,
        reference_of,
        scenario_gates,
        thresholds,
    )
    from harness.measure.registry import catalogue
    from harness.model.errors import UserError
    from harness.report import gate_report
    from harness.report.page import find

    known = catalogue()
    demanded = [parse_gate(text, known) for text in gates or []]
    measures = [known.get(path) for path in metric] if metric else known.primary()
    results = load_records(find(records))
    references = load_records(find([against])) if against is not None else []
    checks = []
    for result in results:
        checks += thresholds(result, [*scenario_gates(result), *demanded])
        if references:
            checks += not_worse(result, reference_of(result, references), measures, margin / 100)
    if not checks:
        raise UserError(
            "nothing is demanded", expected="gates in the scenario, --gate 'PATH<=NUMBER', or --against a record"
        )
    for path, text in ((junit, gate_report.junit(checks)), (markdown, gate_report.markdown(checks))):
        if path is not None:
            try:
                path.write_text(text, encoding="utf-8")
            except OSError as error:
                raise UserError(f"cannot write: {error.strerror}", file=path) from None
    if output is Output.table:
        from harness.report.tables import print_table

        rows = [("ok" if c.ok else "FAIL", c.record, c.demand, c.found, c.why) for c in checks]
        print_table("", ("", "record", "demand", "found", "why"), rows)
    else:
        write(
            [{"record": c.record, "demand": c.demand, "found": c.found, "ok": c.ok, "why": c.why} for c in checks],
            output,
        )
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
