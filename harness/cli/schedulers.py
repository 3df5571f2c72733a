"""podyard schedulers: which strategies there are, and where they come from."""

from __future__ import annotations

from harness.cli.output import Form, Output, write


def schedulers(output: Form = Output.table) -> None:
    """List the strategies that --scheduler knows by name; any other is package.module:object.

    Those that say so are round strategies: of scenarios with training jobs.
    """
    from harness.jobs.registry import STRATEGIES as ROUND_STRATEGIES
    from harness.model.plugins import bare_name
    from harness.scheduling.registry import available

    rounds = ROUND_STRATEGIES.available()
    listed = (*available(), *rounds)
    if output is not Output.table:
        rows = [
            {
                "name": bare_name(item.name),
                "version": item.name,
                "from": item.source,
                "does": item.summary,
                "decides": "rounds" if item in rounds else "pods",
                "loads": item.loads,
            }
            for item in listed
        ]
        write(rows, output)
        return
    from harness.report.tables import print_table

    print_table(
        "",
        ("name", "version", "decides", "from", "what it does"),
        [
            (bare_name(item.name), item.name, "rounds" if item in rounds else "pods", item.source, item.summary)
            for item in listed
        ],
    )
