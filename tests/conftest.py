"""Fixtures that every test may use, and how long Hypothesis searches."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from hypothesis import HealthCheck, settings

from harness.cluster.cluster import Cluster
from tests.examples import examples

# No profile has a deadline: a loaded machine must not fail a test. A failure prints a blob for @reproduce_failure.
# `development` draws new examples in each run. `ci` draws the same ones each time, so that a change fails for what it
# changed. `search` looks for what the others have not met: `pytest --hypothesis-profile search`. How many examples the
# first two draw is in tests/examples.py.
_ANY_MACHINE = (HealthCheck.too_slow,)  # how fast examples are drawn depends on who else is at work
settings.register_profile(
    "development", deadline=None, print_blob=True, suppress_health_check=_ANY_MACHINE, max_examples=examples(100)
)
settings.register_profile(
    "ci",
    deadline=None,
    print_blob=True,
    suppress_health_check=_ANY_MACHINE,
    max_examples=examples(100),
    derandomize=True,
    database=None,
)
settings.register_profile(
    "search", deadline=None, print_blob=True, suppress_health_check=_ANY_MACHINE, max_examples=1000
)
settings.load_profile("ci" if os.environ.get("CI") else "development")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files of tests/golden anew")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto`: one process more than there are cores. Tests of live clusters wait for the wall clock some 200 s."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is exhaustive is slow: `-m 'not slow'` leaves both out. Tests that share a fixture of their module go to one
    process of a parallel run, which makes it once."""
    for item in items:
        if item.get_closest_marker("exhaustive") is not None:
            item.add_marker(pytest.mark.slow)
        if isinstance(item, pytest.Function) and item.get_closest_marker("xdist_group") is None:
            fixtures = item._fixtureinfo.name2fixturedefs.values()
            if any(fixture.scope == "module" for of_name in fixtures for fixture in of_name):
                item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection() -> None:
    """Hardly anything that is made while tests are collected is garbage: looking for it takes an eighth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Modules and items stay until the end: the garbage collector need not go through them again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> None:
    """CliRunner makes all of podyard's commands anew for each call, which takes 50 ms."""
    typer.testing._get_command = cache(typer.testing._get_command)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def no_component_faults(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A component that raises, or does not handle that a write failed, fails the test, though the cluster goes on."""
    clusters: list[Cluster] = []
    note = Cluster._note_fault

    def noted(self: Cluster, at: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        before = len(self.component_faults)
        note(self, at, source, topic, data)
        if len(self.component_faults) > before:
            clusters.append(self)

    monkeypatch.setattr(Cluster, "_note_fault", noted)
    yield
    if clusters and request.node.get_closest_marker("component_faults") is None:
        pytest.fail("\n".join(clusters[0].component_faults))


@pytest.fixture
def rewrite_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--rewrite-golden"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real traces; a test that needs them skips where they are absent."""
    root = Path(os.environ.get("PODYARD_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "traces").is_dir():
        pytest.skip("the real traces are absent (set PODYARD_SHARED to the folder that holds traces/ and fgd/)")
    return root


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A distribution with one module and its entry points, where Python finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def installed(name: str, text: str, group: str = "", **points: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        if group:
            info = tmp_path / f"{name}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            rows = "".join(f"{key} = {name}:{value}\n" for key, value in points.items())
            (info / "entry_points.txt").write_text(f"[{group}]\n{rows}")

    return installed
