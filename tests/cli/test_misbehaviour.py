"""Five strategies that misbehave, each through `podyard run`: contained, named, and the run goes on to its end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from tests.experiment.scenarios import written

BAD = '''
"""Each behaves at first, and then misbehaves once."""

from dataclasses import replace

from harness.scheduling.strategy import Bind, BindTogether


class Bad:
    def __init__(self, misbehave, at=2):
        self.misbehave, self.calls, self.at = misbehave, 0, at

    def place(self, pods, cluster, rng):
        self.calls += 1
        for pod in pods:
            if self.calls == self.at:
                self.at = -1
                yield from self.misbehave(pod, cluster) or ()
            fits = cluster.feasible(pod)
            if fits.any():
                yield Bind(pod, int(fits.argmax()))


def _raise(pod, cluster):
    raise RuntimeError("lost its head")


def _loop(pod, cluster):
    while True:
        pass


def _overfill(pod, cluster):
    full = (~cluster.feasible(pod)).nonzero()[0]
    return [Bind(pod, int(full[0]) if len(full) else 10**6)]


def _write(pod, cluster):
    cluster.free.flags.writeable = True
    cluster.free[:] = 1 << 40


def _babble(pod, cluster):
    return ["put it anywhere"]


def raises(): return Bad(_raise)
def loops(): return Bad(_loop)
def overfills(): return Bad(_overfill)
def writes(): return Bad(_write)
def babbles(): return Bad(_babble)


class AlwaysLoops:
    def place(self, pods, cluster, rng):
        while True:
            pass


def cannot_be_made():
    raise OSError("its weights are missing")


class Unfit(Bad):
    def __init__(self):
        super().__init__(lambda *_: ())

    def fit(self, history):
        raise KeyError("gpu")
'''

KINDS = {
    "raises": "raised",
    "loops": "deadline",
    "overfills": "illegal bind",
    "writes": "mutation",
    "babbles": "no decision",
}


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    (tmp_path / "bad_strategies.py").write_text(BAD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, scheduling={"deadline": "300ms"})

    def run(scheduler: str, *more: str) -> tuple[int, str, str]:
        arguments = ["run", str(file), "--nodes", "inline", "--scheduler", scheduler, *more]
        monkeypatch.setattr(sys, "argv", ["podyard", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


def test_five_are_contained_and_named(cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli(",".join(["greedy", *(f"bad_strategies:{name}" for name in KINDS)]), "-o", "json")
    assert code == 1
    greedy, *others = json.loads(out)
    assert not greedy["violations"]
    for (name, kind), result in zip(KINDS.items(), others, strict=True):
        assert [item["kind"] for item in result["violations"]] == [kind], name
        assert result["violations"][0]["pod"].startswith("default/"), name
        assert not result["invariantsBroken"], name
        placed: Any = result["metrics"]["placement"]["podsBound"]
        assert placed == greedy["metrics"]["placement"]["podsBound"], f"{name}: the run went on"
        assert bool(result["digest"]) == (kind != "deadline"), "what a deadline ended cannot be replayed"


def test_the_table_names_them(cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli("bad_strategies:writes")
    assert code == 1
    assert "misbehaved 1 times" in out
    assert " mutation default/" in out
    assert "cannot set WRITEABLE flag" in out


def test_one_that_always_loops_is_given_up(cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli(
        "bad_strategies:AlwaysLoops", "-o", "json", "--set", "spec.duration=30m", "--set", "spec.scheduling.batch=1"
    )
    (result,) = json.loads(out)
    assert code == 1
    assert {item["kind"] for item in result["violations"]} == {"deadline"}
    assert len(result["violations"]) == 4
    assert "asked no more" in result["violations"][3]["reason"]


def test_what_cannot_be_made_is_told(cli: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = cli("bad_strategies:cannot_be_made")
    assert code == 2
    assert "its weights are missing" in err


def test_a_failing_fit_is_a_fault_of_its_own_run(cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli("bad_strategies:Unfit", "-o", "json")
    (result,) = json.loads(out)
    assert code == 1
    ((violation),) = result["violations"]
    assert violation["kind"] == "raised"
    assert "KeyError: 'gpu'" in violation["reason"]
