"""podyard evaluate: a file with a strategy, contained, on a suite of scenarios with hidden seeds."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import Form, Output, write

if TYPE_CHECKING:
    from harness.evaluation.judge import Evaluation

KEY = "PODYARD_EVALUATE_KEY"


class Containment(StrEnum):
    auto = "auto"
    namespaces = "namespaces"
    landlock = "landlock"


def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help="Python files: each has `scheduler`, a strategy, or a function `score`.")
    ],
    suite: Annotated[str, typer.Option(help="gpu-small or gpu.")] = "gpu-small",
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds of wall time that one call may take.")] = 2.0,
    wait: Annotated[float, typer.Option(min=0.01, help="Seconds of wall time for all calls together.")] = 60.0,
    cpu: Annotated[float, typer.Option(min=1, help="Seconds of CPU time of a file's process.")] = 20.0,
    memory: Annotated[int, typer.Option(min=16, help="MiB that a file may take.")] = 512,
    containment: Annotated[Containment, typer.Option(help="What keeps files out.")] = Containment.auto,
    output: Form = Output.table,
) -> None:
    """Score strategies that nobody has read: each in a process without network, files, time and memory beyond limits.

    First the contract, then a suite of small scenarios, paired with a baseline on the same hidden seeds; at last what
    pods waited longer, and why. The seeds follow from the environment variable PODYARD_EVALUATE_KEY; without it they
    are drawn anew, and scores of two calls are not comparable. Exit code 1 where a file has no score. Linux only.
    """
    from harness.evaluation.judge import Judge
    from harness.evaluation.process import Limits
    from harness.evaluation.suite import find_suite

    judge = Judge(
        find_suite(suite),
        key=os.environ.get(KEY, ""),
        limits=Limits(call_s=deadline, wait_s=wait, cpu_s=cpu, memory_mib=memory),
        containment=containment.value,
    )
    found: list[Evaluation] = []
    for file in files:
        found.append(judge.evaluate(file))
        if output is Output.table:
            _print_evaluation(found[-1])
    if output is not Output.table:
        write([item.to_data() for item in found] if len(found) > 1 else found[0].to_data(), output)
    if any(item.score is None for item in found):
        raise typer.Exit(1)


def _print_evaluation(found: Evaluation) -> None:
    contained = found.containment
    how = f" ({contained['files']}, {contained['systemCalls']}; seeds {contained['seeds']})" if contained else ""
    _say(f"{found.file}: {found.verdict}{how}, {found.seconds:.1f} s")
    if found.reason:
        _say(f"  {found.reason}")
    if found.found is not None:
        gain = found.found
        _say(f"  score {gain.mean:+.3f}, 95 % interval {gain.low:+.3f} .. {gain.high:+.3f}, {gain.n} seeds")
    for task in found.tasks:
        _say(f"  {task['name']}: {task['mean']:.2f}, baseline {task['baseline']:.2f} {task['unit']}")
    for item in found.feedback.get("longerThanBaseline", []):
        waited = f"waited {item['waitedSeconds']} s, baseline {item['baselineSeconds']} s"
        _say(f"  {item['pod']} {waited}: {item.get('why')}")
    for item in found.feedback.get("bindingsThatKeptOthersOut", []):
        _say(f"  {item['why']}")
    for text in found.notes:
        _say(f"  note: {text}")


def _say(text: str) -> None:
    """A line of the verdict: what a file said cannot move the cursor, change colours, or look like another line."""
    print("".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text))
