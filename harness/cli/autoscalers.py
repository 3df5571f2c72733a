"""podyard autoscalers: which autoscaling policies there are, and where they come from."""

from __future__ import annotations

from harness.cli.output import Form, Output, write


def autoscalers(output: Form = Output.table) -> None:
    """List the policies that --autoscaler knows by name; any other is package.module:object.

    Each decides about nodes (spec.autoscaler), about which pool grows (an expander of cluster-autoscaler), or about
    replicas (the policy of horizontal-pod-autoscaler).
    """
    from harness.autoscaling.policy import AUTOSCALERS, decides

    listed = [(item, decides(item.name) if item.loads else "?") for item in AUTOSCALERS.available()]
    if output is not Output.table:
        rows = [
            {"name": item.name, "decides": about, "from": item.source, "does": item.summary, "loads": item.loads}
            for item, about in listed
        ]
        write(rows, output)
        return
    from harness.report.tables import print_table

    rows_of_table = [(item.name, about, item.source, item.summary) for item, about in listed]
    print_table("", ("name", "decides", "from", "what it does"), rows_of_table)
