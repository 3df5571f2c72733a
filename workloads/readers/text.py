"""Text files in blocks of whole lines, and lines into columns: bounded memory, every row with its line number."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from harness.model.errors import UserError, did_you_mean
from harness.model.loading import check_regular
from workloads.lint import Lint

BLOCK_BYTES = 8 << 20
LONGEST_LINE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Lines:
    """A block of a file: non-empty lines without their ends, each with its number (from 1)."""

    numbers: list[int]
    texts: list[str]


def empty(path: Path, expected: str) -> UserError:
    return UserError(
        "the file is empty",
        file=path,
        line=1,
        found="0 bytes",
        expected=expected,
        hint="perhaps a download that broke off; `podyard trace fetch FORMAT` tells where to get it",
    )


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """The file, decompressed when it is gzip by its first bytes. Raises UserError where it cannot be read."""
    try:
        check_regular(path)
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.open(raw) as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            "the compressed file is damaged",
            file=path,
            found=str(error),
            expected="whole gzip",
            hint="get it again: it may have been cut off on the way",
        ) from None
    except OSError as error:
        raise UserError("the file cannot be read", file=path, found=error.strerror or str(error)) from None


def sha256(path: Path) -> tuple[str, str]:
    """(file name, digest), as Provenance keeps its inputs."""
    digest = hashlib.sha256()
    try:
        check_regular(path)
        with path.open("rb") as raw:
            while chunk := raw.read(BLOCK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise UserError("the file cannot be read", file=path, found=error.strerror or str(error)) from None
    return path.name, digest.hexdigest()


def head(path: Path, size: int = 4096) -> bytes:
    """The first bytes, decompressed."""
    with reading(path) as file:
        return file.read(size)


def lines(path: Path, lint: Lint) -> Iterator[Lines]:
    """All lines, block by block. What is not UTF-8 is noted and left out; so are empty lines."""
    first = 1
    rest = b""
    with reading(path) as file:
        while True:
            chunk = file.read(BLOCK_BYTES)
            block, newline, rest_now = (rest + chunk).rpartition(b"\n") if chunk else (rest, b"", b"")
            rest = rest_now
            if len(rest) > LONGEST_LINE_BYTES:
                raise UserError("this is no text file of lines", file=path, found=f"a line of over {len(rest)} bytes")
            if block and not chunk:
                last = first + block.count(b"\n")
                lint.note("no-final-newline", block[-60:].decode(errors="replace"), "a line end after it", line=last)
            if block or newline:
                yield _decoded(block, first, lint)
                first += block.count(b"\n") + 1
            if not chunk:
                return


def _decoded(block: bytes, first: int, lint: Lint) -> Lines:
    numbers: list[int] = []
    texts: list[str] = []
    try:
        rows = block.decode().split("\n")
    except UnicodeDecodeError:
        rows = []
        for offset, raw in enumerate(block.split(b"\n")):
            try:
                rows.append(raw.decode())
            except UnicodeDecodeError:
                lint.note("bad-encoding", raw.decode(errors="replace"), "UTF-8 text", line=first + offset)
                rows.append("\0")
    for number, row in enumerate(rows, first):
        text = row.rstrip("\r")
        if text == "\0":
            continue
        if not text or text.isspace():
            lint.note("blank-line", "an empty line", "a row", line=number)
            continue
        numbers.append(number)
        texts.append(text)
    return Lines(numbers, texts)


def table(
    path: Path, required: Sequence[str], optional: Sequence[str], lint: Lint, *, separator: str = ","
) -> Iterator[pl.DataFrame]:
    """Rows of a CSV file with a header: `line` (Int64) and the named columns as text, null where a column is absent.

    Quotes are understood within a line. Raises UserError for an empty file, a missing column, no rows.
    """
    names: list[str] | None = None
    seen = 0
    for block in lines(path, lint):
        texts, numbers = block.texts, block.numbers
        if not texts:
            continue
        if names is None:
            names = _header(path, texts[0], numbers[0], required, separator)
            texts, numbers = texts[1:], numbers[1:]
        if texts:
            seen += len(texts)
            lint.rows += len(texts)
            frame = _columns(texts, numbers, names, lint, separator)
            yield frame.select(
                "line",
                *(pl.col(name) for name in required),
                *(pl.col(name) if name in names else pl.lit(None, pl.String).alias(name) for name in optional),
            )
    if names is None:
        raise empty(path, f"a header: {separator.join(required)},..")
    if not seen:
        raise UserError(
            "the file has a header and no rows", file=path, line=2, found="nothing", expected="at least one row"
        )


def header(path: Path, separator: str = ",") -> tuple[str, ...]:
    """The names of a CSV file's columns; () for an empty file."""
    for block in lines(path, Lint(path.name)):
        if block.texts:
            return tuple(_names(block.texts[0], separator))
    return ()


def _names(text: str, separator: str) -> list[str]:
    return [name.strip().strip('"') for name in text.lstrip("\ufeff").split(separator)]


def _header(path: Path, text: str, line: int, required: Sequence[str], separator: str) -> list[str]:
    names = _names(text, separator)
    for name in required:
        if name not in names:
            raise UserError(
                f"column {name!r} is missing",
                file=path,
                line=line,
                found=", ".join(names)[:200],
                expected=", ".join(required),
                hint=did_you_mean(name, names),
            )
    twice = sorted({name for name in names if names.count(name) > 1 and name in required})
    if twice:
        raise UserError(f"column {twice[0]!r} appears twice", file=path, line=line, expected="each column once")
    return names


def _columns(texts: list[str], numbers: list[int], names: list[str], lint: Lint, separator: str) -> pl.DataFrame:
    text = pl.Series("text", texts, pl.String)
    if bool(text.str.contains('"', literal=True).any()):
        parts = pl.Series("parts", [_quoted(row, separator) for row in texts], pl.List(pl.String))
    else:
        parts = text.str.split(separator)
    frame = pl.DataFrame({"line": pl.Series(numbers, dtype=pl.Int64), "text": text, "parts": parts})
    width = frame["parts"].list.len()
    for rule, wrong in (("cut-off-line", width < len(names)), ("extra-fields", width > len(names))):
        count = int(wrong.sum())
        if count:
            examples = frame.filter(wrong).head(20)
            lint.note_all(
                rule,
                ((line, f"{len(found)} fields: {whole}") for line, whole, found in examples.iter_rows()),
                count,
                f"{len(names)} fields",
            )
    frame = frame.filter(width == len(names))
    return frame.select(
        "line", *(frame["parts"].list.get(at, null_on_oob=True).alias(name) for at, name in _once(names))
    )


def _once(names: list[str]) -> Iterator[tuple[int, str]]:
    for at, name in enumerate(names):
        if name != "line" and name not in names[:at]:
            yield at, name


def _quoted(row: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([row], delimiter=separator), [])
    except csv.Error:
        return []
