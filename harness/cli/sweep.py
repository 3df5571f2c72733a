"""The runs of a sweep with their progress told: what `run` and `compare` share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.progress import Counter

if TYPE_CHECKING:
    from harness.experiment.result import Result
    from harness.experiment.sweep import Job


def run_jobs(
    todo: list[Job], out: Path, parallel: int, journal: bool, resume: bool, quiet: bool, address: str | None
) -> tuple[list[Result], int]:
    """(results in the order of `todo`, how many runs failed)."""
    from harness.experiment.sweep import recorded, sweep

    found: dict[int, Result] = {}
    place = {str(job): index for index, job in enumerate(todo)}
    failed = 0
    with Counter(len(todo), quiet) as told:
        rest: list[Job] = []
        for index, job in enumerate(todo):
            before = recorded(job, out) if resume else None
            if before is None:
                rest.append(job)
            else:
                found[index] = before
                told(f"{job}: recorded before", played=False)
        for ended in sweep(rest, out=out, parallel=parallel, journal=journal, address=address):
            if ended.result is None:
                failed += 1
                told(f"{ended.job}: failed", failed=True)
                print(f"{ended.job}: {ended.error}", file=sys.stderr, flush=True)
            else:
                found[place[str(ended.job)]] = ended.result
                told(f"{ended.job}: {ended.seconds:.1f} s")
    return [found[index] for index in sorted(found)], failed
