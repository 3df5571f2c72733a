"""Damaged input for every reader: some of each here, 20,000 with `pytest -m slow` or `python -m tests.loading.fuzz`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loading.fuzz import MOST_MB, fuzz, readers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("each", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_each_reader_reads_or_tells(folder: Path, each: int) -> None:
    (folder / "sound").mkdir(exist_ok=True)
    chosen = readers(folder / "sound")
    assert len(chosen) >= 36
    report = fuzz(chosen, each * len(chosen), 1, folder)
    assert report.failures == [], str(report)
    assert 0 < report.told < report.count


@pytest.mark.live
@pytest.mark.parametrize("each", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_server_answers_whatever_it_is_sent(tmp_path: Path, each: int) -> None:
    pytest.importorskip("uvicorn", reason="the live extra is not installed")
    from tests.loading.fuzz_http import http_readers, target

    with target() as cluster:
        chosen = http_readers(cluster)
        assert len(chosen) >= 15
        report = fuzz(chosen, each * len(chosen), 1, tmp_path)
    assert report.failures == [], str(report)
    assert 0 < report.told < report.count


@pytest.mark.exhaustive
@pytest.mark.slow
def test_twenty_thousand_inputs() -> None:
    command = [sys.executable, "-m", "tests.loading.fuzz", "--count", "20000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=7200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    peak = re.search(r"peak (\d+) MB", done.stdout)
    assert peak is not None
    assert int(peak[1]) <= MOST_MB
