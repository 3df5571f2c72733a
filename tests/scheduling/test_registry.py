"""Strategies by name: shipped ones, a stranger's package, a path, and what a mistyped name is told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from harness.model.errors import UserError
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import fill
from harness.scheduling.registry import available, full_name, load
from harness.scheduling.strategy import PodView

STRANGER = '''
"""A stranger's strategies."""

import numpy as np
from harness.scheduling.scoring import Scored


def last(bonus: int = 0, batch_size: int = 8):
    """The last node that takes it."""
    return Scored(lambda pod, view: np.arange(len(view.names)) + bonus, batch_size=batch_size)


ready = last()
nothing = 7


def broken():
    return 7
'''


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution as pip would leave it."""
    (tmp_path / "stranger.py").write_text(STRANGER)
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[podyard.schedulers]\nlast = stranger:last\nbroken = stranger:broken\nabsent = nowhere:thing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def places(spec: str) -> list[int]:
    on = Snapshot()
    for i in range(3):
        on.add_node(f"n{i}", {"cpu": 2, "pods": 9})
    pods = [PodView(f"p{i}", on.classes.intern({"cpu": 1})) for i in range(3)]
    return fill(load(spec)(), on, pods, seed=0).node


@pytest.mark.usefixtures("stranger")
def test_a_strangers_strategy_is_listed_and_runs() -> None:
    listed = {item.name: item for item in available()}
    assert listed["last"].source == "stranger: stranger:last"
    assert listed["last"].summary == "The last node that takes it."
    assert not listed["absent"].loads
    assert listed["absent"].summary.startswith("does not load: ModuleNotFoundError")
    assert places("last") == [2, 2, 1]
    assert load("last?batch_size=3")().batch_size == 3  # type: ignore[attr-defined]


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize("spec", ["stranger:last", "stranger:last?bonus=2", "stranger:ready"])
def test_a_path_will_do(spec: str) -> None:
    assert places(spec) == [2, 2, 1]


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lsat", "did you mean 'last'?"),
        ("absent", "does not load"),
        ("stranger:lost", "did you mean 'last'?"),
        ("strangr:last", "module 'strangr' does not load"),
        ("stranger:nothing", "is no scheduler"),
        ("last?bonsu=1", "did you mean 'bonus'?"),
        ("last?bonus", "cannot be read"),
        ("stranger:ready?bonus=1", "takes no parameters"),
        ("schedulers.greedy:greedy?score=worst", "expected: best or least"),
    ],
)
def test_what_a_wrong_name_is_told(spec: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(spec)()
    assert message in str(caught.value)


@pytest.mark.usefixtures("stranger")
def test_a_factory_that_makes_no_scheduler_is_named() -> None:
    with pytest.raises(UserError, match="broken is no scheduler"):
        load("broken")()


def test_every_shipped_name_makes_a_strategy() -> None:
    """Held against the project file, so that it holds in a checkout too."""
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    shipped = project["project"]["entry-points"]["podyard.schedulers"]
    names = {"greedy", "least-allocated", "random", "fgd", "best-fit", "binpack", "ranked"}
    assert {f"{name}-v1" for name in names} <= set(shipped)
    on = Snapshot()
    on.add_node("n", {"cpu": 1, "memory": 1, "pods": 9})
    for name, target in shipped.items():
        if name == "extender-v1":  # it needs somebody to ask; tests/schedulers/test_extender.py has one
            continue
        pod = PodView(name, on.classes.intern({"cpu": 1, "memory": 1}))
        decisions = list(load(target)().place([pod], on, np.random.default_rng(0)))
        assert [d.pod for d in decisions] == [pod], name  # type: ignore[union-attr]


def register(folder: Path, name: str, *lines: str) -> None:
    """A distribution as pip would leave it."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(("[podyard.schedulers]", *lines, "")))


def test_a_name_means_its_newest_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "versions.py").write_text(STRANGER)
    register(tmp_path, "versions", "last-v2 = versions:ready", "last-v10 = versions:last", "last-v9 = versions:ready")
    monkeypatch.syspath_prepend(tmp_path)
    assert full_name("last") == "last-v10"
    assert full_name("last?bonus=1") == "last-v10?bonus=1"
    assert full_name("last-v2") == "last-v2"
    assert full_name("fgd") == "fgd-v1"
    assert full_name("versions:last") == "versions:last"
    assert load("last?batch_size=3")().batch_size == 3  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="takes no parameters"):
        load("last-v2?batch_size=3")


def test_a_name_that_two_packages_claim_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ones.py").write_text(STRANGER)
    register(tmp_path, "ones", "shared = ones:last", "fgd = ones:last", "best-fit-v1 = ones:last")
    register(tmp_path, "others", "shared = ones:ready")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shared", "fgd", "best-fit", "best-fit-v1"):
        with pytest.raises(UserError, match="registered more than once"):
            load(name)
    assert load("greedy")() is not None, "others are not concerned"
    assert len([item for item in available() if item.name == "shared"]) == 2, "a list tells of both"
