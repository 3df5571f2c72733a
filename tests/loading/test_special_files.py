"""Names that are no files to read: pipes that nobody writes to, devices, names that no file can have."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.cli import main
from harness.model.errors import UserError
from harness.model.loading import read_text
from harness.store.private_file import write_private
from harness.store.snapshot_files import read_snapshot
from tests.workloads.small_traces import SWF
from workloads import trace
from workloads.readers.parquet import read_parquet, write_parquet
from workloads.readers.text import reading, sha256

READERS: dict[str, Callable[[Path], Any]] = {
    "text": read_text,
    "snapshot": read_snapshot,
    "trace": lambda path: trace.read(path, format="philly"),
    "parquet": read_parquet,
    "rows": lambda path: reading(path).__enter__(),
    "digest": sha256,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("special", ["pipe", "zero", "folder"])
def test_nobody_is_waited_for(tmp_path: Path, reader: str, special: str) -> None:
    """Opening a named pipe waits until somebody writes to it, and /dev/zero has no end."""
    path = tmp_path / "in"
    match special:
        case "pipe":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()
    with pytest.raises(UserError, match=r"cannot be read|too large|this is a folder") as told:
        READERS[reader](path)
    assert told.value.file == str(path)


def test_a_pipe_is_read_where_somebody_writes(tmp_path: Path) -> None:
    """As `podyard verdicts -f <(kubectl get ..)`; the writer may take its time."""
    ours, theirs = os.pipe()

    def write() -> None:
        os.write(theirs, b"a: ")
        os.write(theirs, b"1\n")
        os.close(theirs)

    threading.Timer(0.2, write).start()
    try:
        assert read_text(f"/dev/fd/{ours}") == "a: 1\n"
    finally:
        os.close(ours)


@pytest.mark.parametrize(
    "command", [["run"], ["lint"], ["compact"], ["up"], ["replay"], ["verdicts", "-f"], ["import"]]
)
def test_a_name_that_no_file_can_have(command: list[str]) -> None:
    name = "x" * 300 + ".yaml"
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *command, name], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4
    assert name[:300] in done.stderr


def test_a_full_disk_is_told_in_its_own_words() -> None:
    """polars said that the file was out of specification, and the run ended with a traceback."""
    for rows in (1, 100_000):
        with pytest.raises(OSError, match="No space left on device"):
            write_parquet(pl.DataFrame({"a": range(rows)}), Path("/dev/full"))


def test_a_disk_that_is_full_midway_is_told_by_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a write has no file's name, and was a traceback."""

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("harness.cli.app.app", lambda **_: full())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2


def test_a_device_stays_one(tmp_path: Path) -> None:
    """What is written beside and moved into place took the place of /dev/null, where root said so."""
    out, rows = tmp_path / "out", tmp_path / "swf.swf"
    os.mkfifo(out)
    rows.write_text(SWF)
    with pytest.raises(UserError, match="no regular file"):
        trace.convert(rows, out)
    with pytest.raises(UserError, match="no regular file"):
        write_private(out, b"", "the kubeconfig")
    assert out.is_fifo()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out", "swf.swf"]


@pytest.mark.parametrize("options", [["--store", "sqlite:loop"], ["--kubeconfig", "loop"]])
def test_a_link_to_itself_is_told(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", "up", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert "loop" in done.stderr
