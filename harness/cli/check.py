"""podyard check: the conformance kit on one strategy, a line for each property; exit code 1 when one does not hold."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, file_name, write

if TYPE_CHECKING:
    from harness.testing.conformance import Verdict


def check(
    scheduler: Annotated[
        str,
        typer.Argument(help="A name of `podyard schedulers` or `podyard autoscalers`, or package.module:object."),
    ],
    autoscaler: Annotated[
        bool, typer.Option("--autoscaler", help="It is an autoscaler, where a scheduler has the same name.")
    ] = False,
    examples: Annotated[
        int | None,
        typer.Option(min=1, help="Generated clusters a property: 60 (12 for the end state); autoscalers 4, rounds 30."),
    ] = None,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds that one call of the strategy may take.")] = 10.0,
    out: Annotated[
        Path, typer.Option(help="Where the smallest failing clusters go, as scenarios for `podyard run`.")
    ] = Path("results/local/check"),
    output: Form = Output.table,
) -> None:
    """Hold a strategy against what each owes the harness: legality, determinism, purity, gangs, deadline, memory.

    At last whole clusters with faults run under it: each must have converged at its end. An autoscaler is held against
    deadline, legality, purity, liveness (it reaches capacity under a step of load) and determinism; a round strategy
    against the same (each job is complete in the end) and unlike hash seeds, on generated jobs and GPUs that fail, and
    against whole clusters of training jobs with faults.
    """
    from harness.autoscaling.policy import is_autoscaler

    found: list[Verdict] = []
    if autoscaler or is_autoscaler(scheduler):
        from harness.simulation.autoscalers import EXAMPLES as RUNS
        from harness.simulation.autoscalers import autoscaler_verdicts

        with redirect_stdout(sys.stderr):
            found += autoscaler_verdicts(
                scheduler, examples=examples or RUNS, deadline_s=deadline, write_to=out / file_name(scheduler)
            )
        _print_verdicts("autoscaler", scheduler, found, output)
        return
    from harness.jobs.registry import is_round_strategy

    if is_round_strategy(scheduler):
        from harness.jobs.registry import load as load_rounds
        from harness.simulation.end_states import SEEDS, TRAINING, judge_end_states
        from harness.testing import rounds

        with redirect_stdout(sys.stderr):
            make = load_rounds(scheduler)
            make()  # what cannot be made is told at once
            runs = examples or rounds.EXAMPLES
            found += rounds.verdicts(make, spec=scheduler, examples=runs, deadline_s=deadline)
            if all(verdict.ok is not False for verdict in found):
                where, seeds = out / file_name(scheduler), SEEDS[:examples]
                found.append(judge_end_states(scheduler, seeds=seeds, write_to=where, draws=TRAINING))
        _print_verdicts("scheduler", scheduler, found, output)
        return
    from harness.scheduling.registry import load
    from harness.simulation.end_states import NAME, SEEDS, judge_end_states
    from harness.testing import conformance

    factory = load(scheduler)
    factory()  # what cannot be made is told at once
    where = out / file_name(scheduler)

    def tell(verdict: Verdict) -> None:
        if sys.stderr.isatty():
            print(f"{verdict.name}: {_WORDS[verdict.ok]}", file=sys.stderr)
        found.append(verdict)

    with TemporaryDirectory() as notes, redirect_stdout(sys.stderr):  # what the strategy prints is not our result
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", notes)  # else it leaves a folder where we were called
        for verdict in conformance.verdicts(
            factory, spec=scheduler, examples=examples or 60, deadline_s=deadline, write_to=where
        ):
            tell(verdict)
        ends = all(verdict.ok is not False for verdict in found if verdict.name == "deadline")
        not_tried = conformance.Verdict(NAME, None, "not tried: its calls do not end")
        seeds = SEEDS[:examples]
        tell(judge_end_states(scheduler, seeds=seeds, write_to=where) if ends else not_tried)
    _print_verdicts("scheduler", scheduler, found, output)


def _print_verdicts(kind: str, name: str, found: list[Verdict], output: Output) -> None:
    """`kind`: scheduler or autoscaler."""
    if output is Output.table:
        for verdict in found:
            print(f"{_WORDS[verdict.ok]:<7} {verdict.name}" + (f": {verdict.reason}" if verdict.reason else ""))
            if verdict.world is not None:
                print(f"          {verdict.world.text()}")
            if verdict.file is not None:
                print(f"          podyard run {verdict.file} --{kind} {name}")
        failed = sum(verdict.ok is False for verdict in found)
        print(f"{name}: " + (f"{failed} of {len(found)} properties do not hold" if failed else "conforms"))
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
        write({kind: name, "conforms": all(v.ok is not False for v in found), "properties": rows}, output)
    if any(verdict.ok is False for verdict in found):
        raise typer.Exit(1)


_WORDS = {True: "holds", False: "FAILS", None: "-"}
