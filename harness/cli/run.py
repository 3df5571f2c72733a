"""podyard run: a scenario under one or more strategies, and what came out."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.output import Form, Output, write

if TYPE_CHECKING:
    from harness.experiment.run import Progress, Result, Run


class ClockKind(StrEnum):
    virtual = "virtual"
    wall = "wall"


class Nodes(StrEnum):
    inline = "inline"
    ray = "ray"


def run(
    scenario: Annotated[
        str, typer.Argument(help="A YAML file, or the name of a scenario that comes along.")
    ] = "quickstart",
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", "-s", help="Strategies, separated by commas; else the scenario's.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds: 3, 1-5 or 1,4,7; else the scenario's.")] = None,
    nodes: Annotated[Nodes, typer.Option(help="Where nodes live: in this process, or in Ray actors.")] = Nodes.ray,
    actors: Annotated[int, typer.Option(min=1, help="Ray actors that share the nodes.")] = 2,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster that is running; else one is started.")] = None,
    clock: Annotated[ClockKind, typer.Option(help="Virtual time, or the wall clock.")] = ClockKind.virtual,
    time_scale: Annotated[
        float, typer.Option(min=0.001, help="On the wall clock: seconds of the cluster for each of yours.")
    ] = 1.0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE over the scenario, as spec.duration=5m; repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where records go.")] = Path("results/local"),
    output: Form = Output.table,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Run a scenario and print placement quality, autoscaling response and recovery latency of each strategy."""
    from harness.experiment.run import Clock, Home, run_once
    from harness.experiment.scenario import find_scenario, read_scenario
    from harness.scheduling.registry import load

    loaded = read_scenario(find_scenario(scenario), _settings(settings))
    spec = loaded.scenario.spec
    names = [name.strip() for name in scheduler.split(",") if name.strip()] if scheduler else spec.schedulers
    for name in names:
        load(name)  # before anything runs: a wrong name is told at once
    chosen = _seeds(seeds) if seeds else [spec.seed]
    home = Home(nodes=nodes.value, actors=actors, ray_address=ray_address)
    pace = Clock(time_scale if clock is ClockKind.wall else 0.0)
    results: list[Result] = []
    try:
        # Ray's driver prints what happens to its workers on stdout, which is for results alone.
        with redirect_stdout(sys.stderr), _bar(quiet, len(names) * len(chosen)) as told:
            for seed in chosen:
                for name in names:
                    told.start(f"{name}, seed {seed}")
                    results.append(
                        run_once(loaded, name, seed, home, out=out, progress=told, clock=pace, begun=_tell_actors)
                    )
    finally:
        _end(nodes)
    if output is Output.table:
        from harness.report.tables import print_results

        print_results(loaded, results)
    else:
        write([result.to_data() for result in results], output)
    if not all(result.ok for result in results):
        raise typer.Exit(1)


def _end(nodes: Nodes) -> None:
    """Also after Ctrl-C: no process of ours stays behind."""
    if nodes is Nodes.ray:
        from harness.node.ray_actors import stop_ray

        stop_ray()


def _tell_actors(run: Run) -> None:
    """Which process holds which nodes: for those who want to kill one."""
    pids = getattr(run.cluster.homes, "pids", None)
    if run.clock.wall and pids:
        for pid, names in pids.items():
            print(f"actor {pid}: {', '.join(names)}", file=sys.stderr, flush=True)


def _settings(items: list[str] | None) -> dict[str, str]:
    from harness.model.errors import UserError

    out = {}
    for item in items or []:
        path, equals, value = item.partition("=")
        if not equals or not path:
            raise UserError("--set wants PATH=VALUE", found=item, expected="as spec.duration=5m")
        out[path] = value
    return out


def _seeds(text: str) -> list[int]:
    """'3', '1-5', '1,4,7-9'. Raises UserError."""
    from harness.model.errors import UserError

    out: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise UserError("--seeds wants whole numbers", found=text, expected="as 3, 1-5 or 1,4,7")
        first, last = int(match[1]), int(match[2] or match[1])
        out.extend(range(first, last + 1))
    if not out:
        raise UserError("--seeds names none", found=text)
    return out


def _bar(quiet: bool, runs: int) -> Any:
    if quiet or not sys.stderr.isatty():
        return _Silent()
    return _Bar(runs)


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, what: str) -> None:
        pass

    def __call__(self, what: str, at_ns: int, settled: int) -> None:
        pass


class _Bar(_Silent):
    """Which run it is, and where its clock stands."""

    def __init__(self, runs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=runs)
        self._what = ""
        self._started = 0

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, what: str) -> None:
        self._what = what
        self._progress.update(self._task, completed=self._started, description=what)
        self._started += 1

    def __call__(self, what: str, at_ns: int, settled: int) -> None:
        text = f"{self._what}: {at_ns / 1e9:,.0f} s of virtual time, {settled} pods done"
        self._progress.update(self._task, description=text)


if TYPE_CHECKING:
    _: Progress = _Silent()
