"""Parquet files that may be damaged: polars raises, or panics and says so on stderr; here it is a UserError."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import polars as pl

from harness.model.errors import UserError
from harness.model.loading import check_regular

T = TypeVar("T")


def guarded(path: Path, read: Callable[[], T], *, expected: str = "a Parquet file", hint: str | None = None) -> T:
    """What `read` reads of the file. Raises UserError."""
    try:
        check_regular(path)
        with _quiet():
            return read()
    except OSError as error:
        found = error.strerror or str(error).partition(":")[0]
        raise UserError("the file cannot be read", file=path, found=found, expected=expected, hint=hint) from None
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise _damaged(path, error, expected, hint) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of no module that can be imported
            raise
        raise _damaged(path, error, expected, hint) from None


def read_parquet(path: Path, *, expected: str = "a Parquet file", hint: str | None = None) -> pl.DataFrame:
    """Raises UserError for a file that is not there, or damaged."""
    return guarded(path, lambda: pl.read_parquet(path), expected=expected, hint=hint)


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Raises OSError where it cannot be written. Through memory, so that what a disk says is told in its own
    words."""
    held = io.BytesIO()
    frame.write_parquet(held)
    with path.open("wb") as file:
        file.write(held.getbuffer())


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """polars says of a full disk that the Parquet file is out of specification. Raises OSError."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        found = str(error).rpartition("IO error: ")[2].partition(" (os error")[0]
        raise OSError(errno.EIO, found, str(path)) from None


def _damaged(path: Path, error: BaseException, expected: str, hint: str | None) -> UserError:
    found = (str(error).splitlines() or [""])[0][:200]
    return UserError("the Parquet file is damaged", file=path, found=found, expected=expected, hint=hint)


@contextmanager
def _quiet() -> Iterator[None]:
    """A panic writes its stack to file descriptor 2 before it is an exception; for so long nothing else does."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
