"""Damaged and hostile input for every reader: each input is read, or told by a UserError; soon, and in little memory.

python -m tests.loading.fuzz --count 20000 [--seed 1] [--only 'http *']
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import yaml

from harness.model.errors import UserError
from tests.loading.damage import damaged
from tests.loading.fuzz_commands import command_readers
from tests.loading.fuzz_files import file_readers
from tests.loading.reader import Reader
from tests.loading.samples import CONFIGURATION, MANIFESTS

SLOWEST_S = 5.0
MOST_MB = 500


@dataclass(slots=True)
class Report:
    count: int = 0
    told: int = 0
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_mb: float = 0.0
    by_reader: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        rows = [
            f"{self.count} inputs, {self.told} told, {len(self.failures)} failures; "
            f"slowest {self.slowest_s:.2f} s, peak {self.peak_mb:.0f} MB",
            ", ".join(f"{name} {count}" for name, count in sorted(self.by_reader.items())),
        ]
        return "\n".join([*rows, *self.failures])


def check_sound(readers: list[Reader], folder: Path) -> None:
    """Raises what a reader says of an input that is to be sound."""
    for reader in readers:
        for raw in reader.sound:
            path = folder / f"in{reader.suffix}"
            path.write_bytes(raw)
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                try:
                    reader.read(path)
                except UserError as error:
                    if not reader.refuses:
                        raise AssertionError(f"{reader.name}: {raw[:500]!r} is sound: {error}") from error


class TooSlow(BaseException):
    """An input takes far longer than it may."""


def fuzz(readers: list[Reader], count: int, seed: int, folder: Path) -> Report:
    """`count` inputs, over the readers in turn. Each is drawn from its own number, so that one can be tried alone."""
    check_sound(readers, folder)
    report = Report()
    signal.signal(signal.SIGALRM, _late)
    signal.signal(signal.SIGPROF, _late)
    for number in range(count):
        reader = readers[number % len(readers)]
        raw = damaged(random.Random(f"{seed}/{number}"), reader.sound, reader.suffix)
        path = folder / f"in{reader.suffix}"
        path.write_bytes(raw)
        problem = tried(reader, path, report)
        report.count += 1
        if report.count % 500 == 0:
            print(f"{report.count} of {count}, {len(report.failures)} failures", file=sys.__stderr__, flush=True)
        report.by_reader[reader.name] += 1
        if problem:
            kept = folder / f"failed-{seed}-{number}{reader.suffix}"
            kept.write_bytes(raw)
            report.failures.append(f"{reader.name} {seed}/{number}: {problem}\n    {kept}")
    report.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return report


def _late(number: int, frame: object) -> None:
    raise TooSlow


def tried(reader: Reader, path: Path, report: Report) -> str:
    """What is wrong with how the reader took it; '' where nothing is."""
    began = time.process_time()  # what another process takes from this one is no fault of the reader
    signal.setitimer(signal.ITIMER_PROF, 4 * SLOWEST_S)
    signal.setitimer(signal.ITIMER_REAL, 40 * SLOWEST_S)  # of one that waits for something
    problem = ""
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            reader.read(path)
    except UserError as error:
        report.told += 1
        if len(str(error)) > 5000:
            problem = "more than a screen is told"
    except TooSlow:
        problem = f"over {4 * SLOWEST_S} s"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__}: {str(error)[:200]} ({Path(last.filename).name}:{last.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    spent = time.process_time() - began
    report.slowest_s = max(report.slowest_s, spent)
    return problem or (f"took {spent:.1f} s" if spent > SLOWEST_S else "")


# -- the readers -------------------------------------------------------------------------------------------------------


def readers(folder: Path) -> list[Reader]:
    """All of them, with sound inputs made in `folder`."""
    return [*_documents(folder), *_traces(folder), *_records(folder), *file_readers(folder), *command_readers(folder)]


def _documents(folder: Path) -> Iterator[Reader]:
    from harness.experiment.manifests import read_checked_manifests
    from harness.experiment.prepared import prepare
    from harness.experiment.scenario import built_in, read_scenario
    from schedulers.kube.config import read, read_extenders
    from schedulers.ranked.model import SHIPPED, read_model
    from tests.experiment.scenarios import SERVICE, scenario
    from tests.loading.fuzz_files import check_schema
    from tests.loading.test_ranges import FULL

    def whole(path: Path) -> None:
        made = read_scenario(path)
        counts = [node.group.count for node in made.scenario.spec.nodes if node.group is not None]
        if sum(counts) < 2000 and not any(task.openb_like for task in made.scenario.spec.workload):
            prepare(made, 1)
            check_schema(made.document.data)

    faults = [
        {"at": "1m", "nodeCrash": {"select": {"names": ["n-0"]}, "downFor": "1m"}},
        {"every": "5m", "until": "9m", "zonePartition": {"zone": "a", "for": "30s"}},
        {"at": "2m", "containerCrash": {"app": "web", "count": 2}},
        {"at": "3m", "apiServerRestart": {}},
        {"at": "3m", "nodeFreeze": {"for": "20s"}},
    ]
    work = [SERVICE, {"manifests": [str(folder / "m.yaml")]}]
    (folder / "m.yaml").write_text(MANIFESTS)
    gates = [{"metric": "placement.podsBound", "atLeast": 1}]
    small = scenario(duration="10m", workload=work, faults=faults, gates=gates, variables={"n": [3]})
    small["spec"]["nodes"][0]["group"]["count"] = "{n}"
    full = {**FULL, "workload": [item for item in FULL["workload"] if "trace" not in item]}
    sound = [yaml.safe_dump(small, sort_keys=False), yaml.safe_dump(scenario(**full)), json.dumps(small, indent=1)]
    sound.append(built_in()["quickstart"].read_text())
    yield Reader("scenario", ".yaml", tuple(text.encode() for text in sound), whole)

    def settings(path: Path) -> None:
        where, _, value = path.read_bytes().decode(errors="surrogateescape").partition("=")
        read_scenario(folder / "sound.yaml", {where: value})

    (folder / "sound.yaml").write_text(yaml.safe_dump(scenario(**full)))
    sets = (b"spec.duration=5m", b"spec.nodes[0].group.count=4", b"spec.workload[1].service.autoscaler={max: 3}",
            b"spec.faults=[{at: 1m, nodeCrash: {}}]", b"metadata.name=x", b"spec.scheduling.batch=5")  # fmt: skip
    yield Reader("--set", ".txt", sets, settings)

    many = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(yaml.safe_load_all(MANIFESTS))}, indent=1)
    manifests = (MANIFESTS.encode(), many.encode())
    yield Reader("manifests", ".yaml", manifests, lambda path: read_checked_manifests([path]))
    yield Reader("scheduler configuration", ".yaml", (CONFIGURATION,), lambda path: (read(path), read_extenders(path)))
    yield Reader("model", ".json", (SHIPPED.read_bytes(),), read_model)


def _traces(folder: Path) -> Iterator[Reader]:
    from tests.workloads import small_traces as small
    from workloads.readers import by_name, names
    from workloads.readers.fgd import read_order, read_ranks
    from workloads.trace import convert, lint, read, read_nodes

    sound: dict[str, list[Path]] = {
        "openb": [small.openb(folder)], "dlrm2025": [small.dlrm(folder)], "huawei-east-1": [small.huawei(folder)],
        "google2019": [small.google(folder), small.google_csv(folder)], "philly": [small.philly(folder)],
        "swf": [small.swf(folder)], "azure2020": [small.azure(folder)], "podyard": [folder / "own.parquet"],
    }  # fmt: skip
    convert(sound["openb"][0], folder / "own.parquet")

    def reading(name: str) -> Callable[[Path], object]:
        def both(path: Path) -> None:
            for repair in (True, False):
                try:
                    read(path, format=name, repair=repair)
                except UserError:
                    if repair:
                        raise
            lint(path)  # which finds out itself what it is

        return both

    for name in names():
        paths = sound[name]
        yield Reader(name, paths[0].suffix, tuple(path.read_bytes() for path in paths), reading(name))
    nodes = small.openb_nodes(folder).read_bytes()
    assert by_name("openb").nodes is not None
    yield Reader("openb nodes", ".csv", (nodes,), lambda path: read_nodes(path, format="openb", repair=True))
    yield Reader("arrival order", ".txt", (b"a\nb\nb-tuned-0\n",), read_order)
    yield Reader("ranks", ".txt", (b"n-0 1\nn-1 0\n",), read_ranks)


def _records(folder: Path) -> Iterator[Reader]:
    from harness.experiment.record import read_journal, read_record
    from harness.experiment.result import from_record
    from harness.experiment.run import run_once
    from harness.experiment.scenario import from_data, read_scenario
    from harness.explain.explain import explain
    from harness.explain.recorded_decision import RecordNotes
    from harness.report.page import load, page
    from harness.report.transcript import read_lines
    from tests.experiment.scenarios import SERVICE, written

    path = written(folder, duration="20s", bound=False, workload=[SERVICE], faults=[{"at": "9s", "nodeCrash": {}}])
    record = run_once(read_scenario(path), "greedy", 1, out=folder / "records").folder
    assert record is not None

    def whole(path: Path) -> None:
        raw = path.read_bytes()
        before = (record / "record.json").read_bytes()
        (record / "record.json").write_bytes(raw)
        try:
            data = read_record(record)
            from_record(record)
            from_data(data["scenario"], "record.json")
            page([load(record)])
        finally:
            (record / "record.json").write_bytes(before)

    yield Reader("record", ".json", ((record / "record.json").read_bytes(),), whole)

    def part(name: str, use: Callable[[Path], object]) -> Reader:
        sound = (record / name).read_bytes()

        def with_it(path: Path) -> None:
            (record / name).write_bytes(path.read_bytes())
            try:
                use(record)
            finally:
                (record / name).write_bytes(sound)

        return Reader(name, ".parquet", (sound,), with_it)

    first = str(RecordNotes(record).pods()[0]["pod"])

    def explained(folder: Path) -> None:
        explain(folder, first)

    yield part("journal.parquet", lambda folder: (read_journal(folder), read_lines(folder)))
    yield part("pods.parquet", lambda folder: page([load(folder)]))
    yield part("scheduling.parquet", explained)
    yield part("specs.parquet", explained)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    from tests.loading.fuzz_http import http_readers, target  # of an extra

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "sound").mkdir()
    with target() as cluster:
        chosen = [*readers(folder / "sound"), *http_readers(cluster)]
        if asked.only:
            chosen = [reader for reader in chosen if fnmatch(reader.name, asked.only)]
        began = time.perf_counter()
        report = fuzz(chosen, asked.count, asked.seed, folder)
    print(report, file=sys.__stdout__)
    print(f"{time.perf_counter() - began:.0f} s", file=sys.__stdout__, flush=True)
    sys.exit(bool(report.failures) or report.peak_mb > MOST_MB)


if __name__ == "__main__":
    main()
