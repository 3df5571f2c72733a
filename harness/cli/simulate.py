"""podyard simulate: random clusters with random faults, judged at every write and at their end."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import Form, Output, write
from harness.cli.progress import Counter


def simulate(
    seeds: Annotated[str, typer.Option(help="How many (100: 1 to 100), or which: 8814-8814, 1-50, 3,5.")] = "100",
    parallel: Annotated[int, typer.Option(min=0, help="Processes; 0: one a CPU.")] = 0,
    shrink: Annotated[bool, typer.Option(help="Whether a scenario that fails is made small.")] = True,
    out: Annotated[Path, typer.Option(help="Where the smallest scenarios go.")] = Path("results/local/simulate"),
    output: Form = Output.table,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Run random scenarios with overlapping faults; each must keep every rule and converge once all faults are over."""
    from harness.cli.parsing import seeds_of
    from harness.model.whole_numbers import whole_number
    from harness.simulation.campaign import CampaignSummary, campaign, write_scenario

    wanted = seeds_of(f"1-{seeds}" if (whole_number(seeds.strip()) or 0) > 1 else seeds)
    processes = min(parallel or os.cpu_count() or 1, len(wanted))
    total = CampaignSummary()
    began = time.monotonic()
    files: dict[int, Path] = {}
    with Counter(len(wanted), quiet) as told, closing(campaign(wanted, parallel=processes, shrunk=shrink)) as found:
        for item in found:
            total.add(item)
            findings = item.outcome.findings
            if item.smallest is not None:
                files[item.seed] = write_scenario(out, item)
            if findings:
                told(f"seed {item.seed}: {len(findings)} findings, the first: {findings[0]}")
            else:
                told(f"seed {item.seed}: converged")
    if output is not Output.table:
        write([total.to_data()], output)
    else:
        for item in sorted(total.failed, key=lambda item: item.seed):
            where = f"  {files[item.seed]}" if item.seed in files else ""
            print(f"seed {item.seed}: {len(item.outcome.findings)} findings{where}")
            for finding in item.outcome.findings[:5]:
                print(f"  {finding}")
        hours = total.simulated_s / 3600
        print(
            f"{total.seeds} seeds, {hours:.0f} simulated hours, {total.writes} writes: "
            f"{len(total.failed) or 'none'} failed, {time.monotonic() - began:.0f} s"
        )
    if total.failed:
        print("again: podyard simulate --seeds SEED-SEED; podyard run FILE --nodes inline", file=sys.stderr)
        raise typer.Exit(1)
