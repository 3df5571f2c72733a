"""Command lines as damaged input: one argument a line. The command ends with a word to its user, and no traceback."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import yaml

from harness.cli import main
from harness.model.errors import UserError
from tests.loading.reader import Reader

MOST_LINES = 60
"""Of what a command says of a mistake; a usage error shows the usage, too."""


def command(arguments: Sequence[str]) -> None:
    """`podyard ARGUMENTS` in this process. Raises UserError where it refused them."""
    was, sys.argv = sys.argv, ["podyard", *arguments]
    # As a terminal takes them: what cannot be encoded is an error on stdout, and shown somehow on stderr.
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict")
    said = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    code: object = 0
    try:
        with redirect_stdout(out), redirect_stderr(said):
            try:
                main()
            except SystemExit as end:
                code = end.code
            out.flush()
    finally:
        sys.argv = was
    said.seek(0)
    words = said.read()
    assert code in (0, None, 1, 2), f"exit code {code}"
    assert "Traceback" not in words
    if code == 2:
        assert words.strip(), "refused without a word"
        assert words.count("\n") <= MOST_LINES, "more than a screen is told"
        raise UserError(words[:500])


def lines(path: Path) -> list[str]:
    """Arguments as the system hands them over: without NUL, and at most as long as it takes them."""
    text = path.read_bytes()[:100_000].replace(b"\0", b"").decode("utf-8", "surrogateescape")
    return [line for line in text.split("\n") if line]


def command_readers(folder: Path) -> Iterator[Reader]:
    from harness.experiment.run import run_once
    from harness.experiment.scenario import read_scenario
    from harness.explain.recorded_decision import RecordNotes
    from tests.experiment.scenarios import SERVICE, scenario, written

    text = yaml.safe_dump(
        scenario(
            duration="20s",
            bound=False,
            workload=[{"service": {**SERVICE["service"], "autoscaler": {"min": 2, "max": 6, "targetCpu": 50}}}],
            faults=[{"at": "9s", "nodeCrash": {"select": {"app": "web"}}}],
            pools=[{"name": "p", "min": 0, "max": 2, "cpu": 4, "memory": "8Gi"}],
            variables={"rps": [40, 60]},
        )
    ).replace("rps: 40", "rps: '{rps}'")
    small = folder / "lint.yaml"
    small.write_text(text)
    yield Reader("lint", ".txt", tuple("\n".join(item).encode() for item in (
        ["--seeds", "1-3", "--set", "spec.duration=5m"],
        ["--vary", "rps=40,50", "-o", "json", "--scheduler", "greedy,kube?percentage=50"],
        ["--vary", "constant.node-monitor-grace-period=20s,30s", "--set", "spec.constants={node-monitor-period: 2s}"],
        ["--set", "spec.autoscaler=cluster-autoscaler?expander=least-waste&scan-interval=5s"],
        ["--set", "spec.controllers=[horizontal-pod-autoscaler?policy=predictive]", "--seeds", "4,7-9"],
    )), lambda path: command(["lint", str(small), *lines(path)]))  # fmt: skip

    record = run_once(
        read_scenario(written(folder, duration="40s", bound=False, workload=[SERVICE],
                              faults=[{"at": "5s", "nodeCrash": {"select": {"app": "web"}}}])),
        "greedy", 1, out=folder / "whatif",
    ).folder  # fmt: skip
    assert record is not None
    where, pod = str(record), str(RecordNotes(record).pods()[0]["pod"]).encode()
    yield Reader("whatif", ".txt", (
        b"node-monitor-grace-period=20s", b"node-monitor-period=2s\ndefault-unreachable-toleration-seconds=30",
        b"terminated-pod-gc-threshold=100\n-o\njson", b"node-eviction-rate=0.2", b"podMaxBackoffSeconds=20",
    ), lambda path: command(["whatif", where, *lines(path)]))  # fmt: skip
    yield Reader("explain and journal", ".txt", (
        b"explain\n--fault\n1", b"explain", b"explain\n%s\n--node\nn-1" % pod, b"explain\n%s" % pod,
        b"journal\n--from\n5s\n--to\n1m30s", b"journal\n--pod\n%s" % pod, b"journal\n--node\nn-0\n--from\n0s",
        b"gate\n--gate\nplacement.podsBound>=1", b"gate\n--margin\n5\n--gate\nrequests.web.sloAttainment<=0.5",
    ), lambda path: _on_record(lines(path), where))  # fmt: skip
    yield from _policies(folder, text)
    yield from _new(folder)


def _on_record(arguments: list[str], record: str) -> None:
    known = {"explain", "journal", "gate"}
    name = arguments[0] if arguments and arguments[0] in known else "journal"
    command([name, record, *arguments[arguments[:1] == [name] :]])


def _policies(folder: Path, text: str) -> Iterator[Reader]:
    """Names with parameters, of all that can be plugged in."""
    from harness.autoscaling.policy import AUTOSCALERS
    from harness.experiment.autoscalers import settings_of_autoscaler
    from harness.experiment.prepared import prepare
    from harness.experiment.scenario import read_scenario
    from harness.experiment.strategies import load_strategy
    from harness.jobs.registry import load as load_rounds

    path = folder / "policies.yaml"
    path.write_text(text)
    loaded = read_scenario(path)

    def autoscaler(given: Path) -> None:
        for name in lines(given)[:1]:
            prepare(read_scenario(path, settings_of_autoscaler(loaded, name)), 1)

    queries = ["?plan=0s:2/10m:8&every=24h", "?window=10m&ahead=3m", "?expander=random&scale-down-unneeded-time=5m"]
    goes = [name for name in AUTOSCALERS.names() if name != "just-in-time"]  # by NodePools; here are pools
    names = [name + query for name in goes for query in ("", *queries)]
    sound = [name for name in names if _takes(lambda name: settings_of_autoscaler(loaded, name), name)]
    yield Reader("autoscaler", ".txt", tuple(name.encode() for name in sound), autoscaler)

    def strategy(given: Path) -> None:
        for name in lines(given)[:1]:
            load_strategy(loaded, name)()

    sound = ["greedy?score=best", "kube?percentage=50", "binpack?window=20", "random?any_device=true", "ranked",
             "extender?url=http://127.0.0.1:1&filterVerb=filter&weight=2"]  # fmt: skip
    sound = [name for name in sound if _takes(lambda name: load_strategy(loaded, name)(), name)]
    yield Reader("strategy", ".txt", tuple(name.encode() for name in sound), strategy)

    def rounds(given: Path) -> None:
        for name in lines(given)[:1]:
            load_rounds(name)()

    sound = ["max-min-fairness?solver=ecos", "allox?alpha=1", "gandiva-fair", "fifo-v1"]
    sound = [name for name in sound if _takes(lambda name: load_rounds(name)(), name)]
    yield Reader("round strategy", ".txt", tuple(name.encode() for name in sound), rounds)


def _takes(make: Callable[[str], object], name: str) -> bool:
    try:
        make(name)
    except UserError:
        return False
    return True


def _new(folder: Path) -> Iterator[Reader]:
    """Nothing may be written but below the folder that is named."""
    inside = folder / "new" / "inside"

    def new(path: Path) -> None:
        shutil.rmtree(folder / "new", ignore_errors=True)
        inside.mkdir(parents=True)
        arguments = lines(path)
        try:
            command(["new", *arguments[:2], "--folder", str(inside), *arguments[2:]])
        finally:
            assert [item.name for item in (folder / "new").iterdir()] == ["inside"]

    yield Reader("new", ".txt", (b"scheduler\nmine", b"autoscaler\nmine-2", b"scenario\nmy-small"), new)
