"""podyard check: the conformance kit on one strategy, a line for each property; exit code 1 when one does not hold."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from harness.cli.output import Form, Output, write


def check(
    scheduler: Annotated[str, typer.Argument(help="A name of `podyard schedulers`, or package.module:object.")],
    examples: Annotated[int, typer.Option(min=1, help="Generated clusters for each property.")] = 60,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds that one call of place() may take.")] = 10.0,
    out: Annotated[
        Path, typer.Option(help="Where the smallest failing clusters go, as scenarios for `podyard run`.")
    ] = Path("results/local/check"),
    output: Form = Output.table,
) -> None:
    """Hold a strategy against what each owes the harness: legality, determinism, purity, gangs, deadline, memory.

    At last whole clusters with faults run under it: each must have converged at its end.
    """
    from harness.scheduling.registry import load
    from harness.simulation.end_states import NAME, judge_end_states
    from harness.testing.conformance import Verdict, verdicts

    factory = load(scheduler)
    factory()  # what cannot be made is told at once
    safe = "".join(c if c.isalnum() or c in "-_.=" else "_" for c in scheduler)
    found: list[Verdict] = []

    def tell(verdict: Verdict) -> None:
        if sys.stderr.isatty():
            print(f"{verdict.name}: {_WORDS[verdict.ok]}", file=sys.stderr)
        found.append(verdict)

    with TemporaryDirectory() as notes, redirect_stdout(sys.stderr):  # what the strategy prints is not our result
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", notes)  # else it leaves a folder where we were called
        for verdict in verdicts(factory, spec=scheduler, examples=examples, deadline_s=deadline, write_to=out / safe):
            tell(verdict)
        ends = all(verdict.ok is not False for verdict in found if verdict.name == "deadline")
        not_tried = Verdict(NAME, None, "not tried: its calls do not end")
        tell(judge_end_states(scheduler, write_to=out / safe) if ends else not_tried)
    if output is Output.table:
        for verdict in found:
            print(f"{_WORDS[verdict.ok]:<7} {verdict.name}" + (f": {verdict.reason}" if verdict.reason else ""))
            if verdict.world is not None:
                print(f"          {verdict.world.text()}")
            if verdict.file is not None:
                print(f"          podyard run {verdict.file} --scheduler {scheduler}")
        failed = sum(verdict.ok is False for verdict in found)
        print(f"{scheduler}: " + (f"{failed} of {len(found)} properties do not hold" if failed else "conforms"))
    else:
        rows = [
            {
                "property": verdict.name,
                "holds": verdict.ok,
                "reason": verdict.reason,
                "counterexample": None if verdict.world is None else verdict.world.text(),
                "scenario": None if verdict.file is None else str(verdict.file),
            }
            for verdict in found
        ]
        write({"scheduler": scheduler, "conforms": all(v.ok is not False for v in found), "properties": rows}, output)
    if any(verdict.ok is False for verdict in found):
        raise typer.Exit(1)


_WORDS = {True: "holds", False: "FAILS", None: "-"}
