"""Mutation testing: how many small faults, planted in a part of the code, the tests of that part notice.

    python -m benchmarks.mutation --part filters --count 150 --seed 1 --out results/reference/mutation

One process collects the tests of the part and runs them once, with the lines that each of them executes. Then it draws
mutants (`benchmarks/mutants.py`) by the seed, and forks once for each: the child puts the changed code in the place of
the function's, and runs those tests that execute one of the changed lines, the quickest first, until one fails. What
runs when a module is imported (constants, defaults) cannot be replaced so: its child imports everything anew. A mutant
that no test executes has survived. One that keeps the tests busy for five times as long as usual is noticed.

Hypothesis draws the same examples for each mutant. Written are `PART.csv`, one mutant a row, and `scores.csv`.
Survivors that `equivalent.csv` in the same folder names, each with the reason why no test can notice it, do not count.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import faulthandler
import gc
import importlib
import importlib.machinery
import json
import math
import os
import pickle
import resource
import select
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import CodeType, FunctionType
from typing import Any

import coverage
import hypothesis
import pytest

from benchmarks.mutants import Mutant, mutants, mutated

STORIES = ("tests/golden", "tests/convergence", "tests/seeds", "tests/faults/test_timeline.py")
SCHEDULER = (
    "tests/scheduling",
    *(
        f"--ignore=tests/scheduling/test_{name}.py"  # of scores and victims: slow, and about other folders
        for name in ("fgd", "kube_model", "kube_tables", "preemption_model", "pod_class_key", "score_plugin")
    ),
    # A deadline may interrupt the tracer, which then keeps its lock: the run would never end.
    "--ignore=tests/scheduling/test_guard.py",
    "--deselect=tests/scheduling/test_what_if.py::test_a_call_that_is_broken_off_loses_nobody",
    "--deselect=tests/scheduling/test_filter_plugin.py::test_a_call_that_never_ends_is_ended_and_after_three_it_is_asked_no_more",
)
JOBS = ("tests/jobs", "--ignore=tests/jobs/test_published.py")  # rounds, dependencies, progress
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "store": (
        ("harness/store",),
        (
            *("tests/store", "--ignore=tests/store/test_crash.py", "--ignore=tests/store/test_etcd.py"),
            *("tests/cli/test_snapshot.py", "tests/e2e/test_restore.py"),  # snapshots in files
        ),
    ),
    "controllers": (("harness/controllers",), ("tests/controllers", *STORIES, *JOBS)),
    "filters": (("harness/scheduling/filters", "harness/scheduling/matching"), (*SCHEDULER, "tests/golden")),
    "queue": (("harness/scheduling/cycle",), (*SCHEDULER, *STORIES)),
}
"""Part -> files to change, tests (and options of pytest) to judge by."""

TRACED_S = 600
"""A test that takes longer under the tracer hangs: the process ends, with where it stood."""

KILLED, SURVIVED, HANGS, NOT_RUN = "killed", "survived", "killed: hangs", "survived: no test runs it"
WAITS = 20
"""Times its CPU time that a mutant may take by the clock, on a machine that has other work too."""
MOST_BYTES = 6 << 30
"""Of memory of its own, for a mutant that never stops to allocate. Not of address space: an etcd maps 10 GiB."""
SOURCES = ("harness", "schedulers", "workloads", "tests", "benchmarks")


@dataclass(frozen=True, slots=True)
class Runs:
    """Of the unchanged code: what each test executes, and how long it takes."""

    by_line: dict[str, dict[int, frozenset[str]]]
    by_file: dict[str, frozenset[str]]
    seconds: dict[str, float]


class Mutation:
    """A pytest plugin that runs the collected tests once for each mutant, in a process of its own."""

    def __init__(self, chosen: Sequence[Mutant], files: Sequence[str], options: list[str], within_s: float) -> None:
        self._chosen, self._files, self._options, self._within_s = chosen, files, options, within_s
        self.outcomes: list[tuple[Mutant, str, str]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise SystemExit("the tests cannot be collected")
        runs = _in_child(lambda: self._trace(session), 3600)
        if not isinstance(runs, Runs):
            raise SystemExit(f"without a mutant a test fails: {runs}")
        items = {item.nodeid: item for item in session.items}
        first = time.perf_counter()
        for number, mutant in enumerate(self._chosen, 1):
            began = time.perf_counter()
            if self._within_s and began - first > self._within_s:
                break
            outcome, by = self._judge(mutant, runs, items)
            self.outcomes.append((mutant, outcome, by))
            spent = time.perf_counter() - began
            print(
                f"{number}/{len(self._chosen)} {spent:.1f} s {outcome}: {mutant.path}:{mutant.first_line} {mutant.what}"
                f"   [{mutant.source}] {by}",
                file=sys.stderr,
                flush=True,
            )
        return True

    def _trace(self, session: pytest.Session) -> Runs | str:
        measure = coverage.Coverage(
            data_file=None, include=[str(Path(name).resolve()) for name in self._files], config_file=False
        )
        seconds: dict[str, float] = {}
        failures = _Failures()
        session.config.pluginmanager.register(failures)
        measure.start()
        for item, after in zip(session.items, [*session.items[1:], None], strict=True):
            measure.switch_context(item.nodeid)
            faulthandler.dump_traceback_later(TRACED_S, exit=True)
            began = time.process_time()
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            seconds[item.nodeid] = time.process_time() - began
            if failures.first:
                return failures.first
        faulthandler.cancel_dump_traceback_later()
        measure.stop()
        data = measure.get_data()
        by_line, by_file = {}, {}
        for name in self._files:
            lines = data.contexts_by_lineno(str(Path(name).resolve()))
            by_line[name] = {line: frozenset(tests) & seconds.keys() for line, tests in lines.items()}
            by_file[name] = frozenset().union(*by_line[name].values())
        return Runs(by_line, by_file, seconds)

    def _judge(self, mutant: Mutant, runs: Runs, items: dict[str, pytest.Item]) -> tuple[str, str]:
        if mutant.function:
            lines = runs.by_line[mutant.path]
            tests = frozenset().union(*(lines.get(n, ()) for n in range(mutant.first_line, mutant.last_line + 1)))
        else:
            # What imports the file may use the constant.
            module = Path(mutant.path).with_suffix("").as_posix().replace("/", ".")
            users = (name for name in self._files if module in Path(name).read_text())
            tests = runs.by_file[mutant.path].union(*(runs.by_file[name] for name in users))
        if not tests:
            return NOT_RUN, ""
        order = sorted(tests, key=lambda test: (runs.seconds[test], test))
        at_most = limit(sum(runs.seconds[test] for test in tests))
        by = _in_child(lambda: self._run(mutant, [items[test] for test in order], runs.seconds), at_most)
        if by is None:
            return HANGS, ""
        return (KILLED, by) if by else (SURVIVED, "")

    def _run(self, mutant: Mutant, chosen: list[pytest.Item], seconds: Mapping[str, float]) -> str:
        """Name of the first test that fails, or nothing. `seconds`: what each takes."""
        path = str(Path(mutant.path).resolve())
        code = compile(mutated(mutant), path, "exec")
        failures = _Failures()
        try:
            if mutant.function and _replace(mutant.function, code):
                session = chosen[0].session
                session.config.pluginmanager.register(failures)
                for item, after in zip(chosen, [*chosen[1:], None], strict=True):
                    _end_at(time.process_time() + limit(seconds[item.nodeid]))
                    session.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                    if failures.first:
                        session._setupstate.teardown_exact(None)  # ends what tests share: an etcd
                        break
                return failures.first
            _import_anew(path, code)
            status = pytest.main([*self._options, "-x", *(item.nodeid for item in chosen)], plugins=[failures])
            return failures.first or ("" if status == pytest.ExitCode.OK else f"pytest: {status}")
        except BaseException as error:
            return failures.first or f"{type(error).__name__}: {error}"


def limit(seconds: float) -> float:
    """The CPU time after which tests that take so long without a mutant hang."""
    return 10 + 5 * seconds


def _end_at(cpu_s: float) -> None:
    """The process ends when it has taken so much CPU time."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (min(math.ceil(cpu_s), hard), hard))


class _Failures:
    """Which test failed first."""

    def __init__(self) -> None:
        self.first = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid


def _replace(outer: str, module: CodeType) -> bool:
    """Give the function `outer`, and those within it, the code of the changed module. False if that cannot be done."""
    new = {(code.co_qualname, code.co_firstlineno): code for code in _codes(module)}
    found = False
    for function in gc.get_objects():
        if not isinstance(function, FunctionType) or function.__code__.co_filename != module.co_filename:
            continue
        code = function.__code__
        if code.co_qualname != outer and not code.co_qualname.startswith(f"{outer}."):
            continue
        changed = new.get((code.co_qualname, code.co_firstlineno))
        if changed is None or changed.co_freevars != code.co_freevars:
            return False
        function.__code__ = changed
        found = True
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _import_anew(path: str, code: CodeType) -> None:
    """Forget the project's modules, and import the one that `path` holds as `code`."""
    for name in list(sys.modules):
        if name.split(".")[0] in SOURCES and name not in (__name__, "benchmarks.mutants"):
            del sys.modules[name]
    get_code = importlib.machinery.SourceFileLoader.get_code

    def changed(self: Any, fullname: str) -> CodeType | None:
        return code if self.get_filename(fullname) == path else get_code(self, fullname)

    importlib.machinery.SourceFileLoader.get_code = changed  # type: ignore[method-assign]
    finders = sys.meta_path[:]
    # Pytest's finder rewrites assertions, and reads the file itself.
    sys.meta_path[:] = [finder for finder in finders if type(finder).__name__ != "AssertionRewritingHook"]
    importlib.import_module(Path(path).relative_to(Path.cwd()).with_suffix("").as_posix().replace("/", "."))
    sys.meta_path[:] = finders


def _in_child(work: Any, limit_s: float) -> Any:
    """What `work` returns in a process of its own; None if it takes more CPU than `limit_s`, or the process dies."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit_s), math.ceil(limit_s)))
            said: Any = work()
        except BaseException as error:
            said = error
        with contextlib.suppress(BaseException), os.fdopen(writing, "wb") as pipe:
            pickle.dump(said, pipe)
        os._exit(0)
    os.close(writing)
    out = b""
    end = time.monotonic() + WAITS * limit_s  # for one that waits for nothing
    try:
        with os.fdopen(reading, "rb") as pipe:
            while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                part = os.read(pipe.fileno(), 1 << 20)
                if not part:
                    break
                out += part
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, 9)  # and what it started
        os.waitpid(child, 0)
    said = pickle.loads(out) if out else None
    if isinstance(said, BaseException):
        raise said
    return said


def sample(folders: Sequence[str], count: int, seed: int) -> tuple[list[str], list[Mutant]]:
    """The files of the part, and `count` of their mutants, drawn without return; all of them for 0."""
    files = sorted(str(path) for folder in folders for path in Path(folder).rglob("*.py") if path.stat().st_size)
    everything = [mutant for name in files for mutant in mutants(name)]
    print(f"{len(everything)} mutants in {len(files)} files", file=sys.stderr)
    return files, Random(seed).sample(everything, min(count, len(everything))) if count else everything


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=sorted(PARTS), required=True)
    parser.add_argument("--only", default="", help="files of the part whose path holds this")
    parser.add_argument("--tests", default="", help="judge by these instead, which is quicker and finds no more")
    parser.add_argument("--count", type=int, default=150, help="how many mutants are drawn; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="judge those that can be judged so long; 0: all")
    parser.add_argument("--out", type=Path, default=Path("results/local/mutation"))
    given = parser.parse_args()
    folders, tests = PARTS[given.part]
    tests = tuple(given.tests.split()) or tests
    files, chosen = sample(folders, 0 if given.only else given.count, given.seed)
    if given.only:
        chosen = [mutant for mutant in chosen if given.only in mutant.path]
        chosen = Random(given.seed).sample(chosen, min(given.count, len(chosen))) if given.count else chosen
    # A failing example need not be made small, and none is kept for the next mutant.
    hypothesis.settings.register_profile(
        "mutation",
        deadline=None,
        print_blob=False,
        derandomize=True,
        database=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    options = ["-q", "-s", "-pno:cacheprovider", "-pno:xdist", "--hypothesis-profile=mutation"]
    options += [test for test in tests if test.startswith("-")]
    mutation = Mutation(chosen, files, options, 60 * given.minutes)
    pytest.main([*options, *(test for test in tests if not test.startswith("-"))], plugins=[mutation])
    given.out.mkdir(parents=True, exist_ok=True)
    print(json.dumps(written(given.part, given.seed, len(chosen), mutation.outcomes, given.out)))


def written(
    part: str, seed: int, drawn: int, outcomes: Sequence[tuple[Mutant, str, str]], out: Path
) -> dict[str, object]:
    """The part's line of scores.csv; writes it and PART.csv."""
    judged: dict[tuple[str, str, str, str], str] = {}
    if (out / "equivalent.csv").exists():
        with (out / "equivalent.csv").open(newline="") as file:
            judged = {
                (row["file"], row["function"], row["source"], row["mutation"]): row["why"]
                for row in csv.DictReader(file)
            }
    with (out / f"{part}.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file", "line", "function", "source", "mutation", "outcome", "by"])
        for mutant, outcome, by in sorted(outcomes, key=lambda row: (row[0].path, row[0].number)):
            if outcome.startswith(SURVIVED) and mutant.place in judged:
                outcome = "equivalent"
            rows.writerow([mutant.path, mutant.first_line, mutant.function, mutant.source, mutant.what, outcome, by])
    counts: dict[str, int] = defaultdict(int)
    for mutant, outcome, _ in outcomes:
        equivalent = outcome.startswith(SURVIVED) and mutant.place in judged
        counts["equivalent" if equivalent else outcome.split(":")[0]] += 1
    score = 100 * counts[KILLED] / max(counts[KILLED] + counts[SURVIVED], 1)
    row = {
        "part": part,
        "seed": seed,
        "drawn": drawn,
        "judged": len(outcomes),
        KILLED: counts[KILLED],
        SURVIVED: counts[SURVIVED],
        "equivalent": counts["equivalent"],
        "score": f"{score:.1f}",
    }
    kept: list[dict[str, object]] = []
    if (out / "scores.csv").exists():
        with (out / "scores.csv").open(newline="") as file:
            kept = [line for line in csv.DictReader(file) if line["part"] != part]
    with (out / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, row], key=lambda line: str(line["part"])))
    return row


if __name__ == "__main__":
    main()
