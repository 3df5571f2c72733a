"""podyard schedulers: which strategies there are, and where they come from."""

from __future__ import annotations

from harness.cli.output import Form, Output, write


def schedulers(output: Form = Output.table) -> None:
    """List the strategies that --scheduler knows by name; any other is package.module:object."""
    from harness.scheduling.registry import available, bare_name

    listed = available()
    if output is not Output.table:
        rows = [
            {
                "name": bare_name(item.name),
                "version": item.name,
                "from": item.source,
                "does": item.summary,
                "loads": item.loads,
            }
            for item in listed
        ]
        write(rows, output)
        return
    from harness.report.tables import print_table

    print_table(
        "",
        ("name", "version", "from", "what it does"),
        [(bare_name(item.name), item.name, item.source, item.summary) for item in listed],
    )
