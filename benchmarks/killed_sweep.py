"""A sweep on a Ray cluster of three machines that loses one of them, and whose driver is killed and resumed.

    python -m benchmarks.killed_sweep --runs 200

No time is judged: every run must have the digest that it has in one process, one after the other, and no run that was
recorded may be played again. The machines are Ray's own (ray.cluster_utils): nodes with processes of their own on this
computer. `--apart` gives their workers a disk of their own: records then come back over Ray.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

ROOT = Path(__file__).parents[1]
PODYARD = (sys.executable, "-c", "from harness.cli import console; console()")
STRATEGIES = ("greedy", "least-allocated")
LOADS = (60, 90)
LOOK_S = 0.02
"""So often the records are looked at: one that is written twice has two times of writing."""

MACHINES = """
import pathlib, sys
from ray.cluster_utils import Cluster
pathlib.Path("/tmp/ray").mkdir(exist_ok=True)  # where Ray notes the address, whatever temp_dir says
quiet = dict(include_dashboard=False, include_log_monitor=False, no_monitor=True)
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1, temp_dir=sys.argv[1], **quiet))
nodes = [cluster.add_node(num_cpus=1, **quiet) for _ in range(2)]
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("removed", flush=True)
cluster.shutdown()
"""

APART = """
import pathlib, sys
if any("default_worker" in word for word in sys.orig_argv):
    exists = pathlib.Path.exists
    pathlib.Path.exists = lambda self, **more: False if self.name.startswith(".sweep-") else exists(self, **more)
"""
"""As sitecustomize of Ray's workers: they do not see the sweep's mark, as on a machine with a disk of its own."""


@dataclass(frozen=True, slots=True)
class Told:
    """`killed_at`: how many runs had been told when the driver was killed. `before`: how many were recorded then.
    `unlike`: runs whose digest is another than in one process. `repeated`: records that were written more than once.
    `left`: files of unfinished records. Seconds: of the wall clock."""

    runs: int
    killed_at: int
    before: int
    resumed: int
    unlike: list[str]
    repeated: list[str]
    left: list[str]
    serial_seconds: float
    first_seconds: float
    second_seconds: float

    @property
    def ok(self) -> bool:
        whole = self.before + self.resumed == self.runs and 0 < self.before < self.runs
        return whole and not (self.unlike or self.repeated or self.left)


@dataclass
class Watch:
    """Which times of writing each record has had; not of record.json, which gets the measures of a common window."""

    out: Path
    times: dict[Path, set[int]] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        for folder, below, files in os.walk(self.out):  # which passes over what is gone meanwhile
            below[:] = [name for name in below if not name.startswith(".")]
            if "journal.parquet" in files:
                path = Path(folder, "journal.parquet")
                with suppress(FileNotFoundError):
                    self.times.setdefault(path, set()).add(path.stat().st_mtime_ns)

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._go_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()
            self.look()

    def _go_on(self) -> None:
        while not self.over.wait(LOOK_S):
            self.look()


def scenario(pods: int) -> dict[str, Any]:
    return {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "killed-sweep"},
        "spec": {
            "variables": {"load": list(LOADS)},
            "nodes": [{"openbLike": {"count": 8}}],
            "workload": [{"openbLike": {"pods": pods, "longest": "3m", "load": "{load}"}}],
        },
    }


@contextmanager
def three_machines(env: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(the cluster's address, the process that holds it: a line to its stdin kills a machine)."""
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        words = [sys.executable, "-c", MACHINES, folder]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                address = process.stdout.readline().strip()
                if not address:
                    raise RuntimeError("the machines did not start")
                yield address, process
            finally:
                process.stdin.close()
                process.wait(60)


def killed_sweep(place: Path, runs: int, pods: int = 40, *, apart: bool = False) -> Told:
    """`runs`: a multiple of the combinations of LOADS and STRATEGIES. Everything is written below `place`."""
    path, out = place / "killed-sweep.yaml", place / "out"
    path.write_text(yaml.safe_dump(scenario(pods), sort_keys=False))
    seeds = runs // (len(LOADS) * len(STRATEGIES))
    words = ["run", str(path), "--vary", "load", "-s", ",".join(STRATEGIES), "--seeds", f"1-{seeds}"]
    path_of_modules = f"{place}:{ROOT}" if apart else str(ROOT)
    # Else Ray gives its workers niceness 15, and a machine that is busy does not get round to them.
    given = {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
    env = {**os.environ, "PYTHONPATH": path_of_modules, **given}
    if apart:
        (place / "sitecustomize.py").write_text(APART)
    began = time.monotonic()
    serial = json.loads(_finished([*words, "--nodes", "inline", "-o", "json", "-q", "--out", str(place / "one")], env))
    serial_seconds = time.monotonic() - began
    watch = Watch(out)
    with watch.watching(), three_machines(env) as (address, machines):
        words += ["--parallel", "3", "--resume", "--ray-address", address, "--out", str(out)]
        began = time.monotonic()
        killed_at = _until_killed(words, env, machines, runs)
        first_seconds = time.monotonic() - began
        began = time.monotonic()
        again = subprocess.run([*PODYARD, *words, "-o", "json"], capture_output=True, text=True, env=env, check=False)
        second_seconds = time.monotonic() - began
    if again.returncode:
        raise RuntimeError(again.stderr[-2000:])
    before = again.stderr.count("recorded before")
    digests = [{_name(row): row["digest"] for row in rows} for rows in (serial, json.loads(again.stdout))]
    return Told(
        runs=len(digests[0]),
        killed_at=killed_at,
        before=before,
        resumed=len(watch.times) - before,
        unlike=sorted(name for name, digest in digests[0].items() if digests[1].get(name) != digest),
        repeated=sorted(str(path.parent.relative_to(out)) for path, times in watch.times.items() if len(times) > 1),
        left=sorted(str(path.relative_to(out)) for path in out.rglob(".*")),
        serial_seconds=serial_seconds,
        first_seconds=first_seconds,
        second_seconds=second_seconds,
    )


def _finished(words: list[str], env: dict[str, str]) -> str:
    done = subprocess.run([*PODYARD, *words], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


def _until_killed(words: list[str], env: dict[str, str], machines: subprocess.Popen[str], runs: int) -> int:
    """Kills a machine after a quarter of the runs, and the driver after half of them."""
    assert machines.stdin is not None
    assert machines.stdout is not None
    with subprocess.Popen(
        [*PODYARD, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env
    ) as driver:
        assert driver.stderr is not None
        told = 0
        for line in driver.stderr:
            if "failed" in line:
                raise RuntimeError(line)
            told += 1
            if told == runs // 4:
                machines.stdin.write("kill\n")
                machines.stdin.flush()
                machines.stdout.readline()
            if told == runs // 2:
                break
        driver.kill()
        if driver.wait() == 0 or told < runs // 2:
            raise RuntimeError(f"the driver ended by itself after {told} runs")
    return told


def _name(row: dict[str, Any]) -> str:
    return f"load={row['variables']['load']} {row['scheduler']} seed {row['seed']}"


def main(
    runs: Annotated[int, typer.Option(help="A multiple of 4.")] = 24,
    pods: Annotated[int, typer.Option(help="Of each run.")] = 40,
    apart: Annotated[bool, typer.Option("--apart", help="The machines share no disk.")] = False,
) -> None:
    with tempfile.TemporaryDirectory(prefix="k-", dir="/tmp") as place:
        told = killed_sweep(Path(place), runs, pods, apart=apart)
    print(f"{told.runs} runs, in one process {told.serial_seconds:.0f} s")
    print(f"driver killed after {told.killed_at}, {first(told)}; resumed: {told.resumed} played")
    for what in ("unlike", "repeated", "left"):
        print(f"{what}: {', '.join(getattr(told, what)) or 'none'}")
    raise SystemExit(0 if told.ok else 1)


def first(told: Told) -> str:
    return f"{told.before} recorded by then, {told.first_seconds:.0f} + {told.second_seconds:.0f} s"


if __name__ == "__main__":
    typer.run(main)
