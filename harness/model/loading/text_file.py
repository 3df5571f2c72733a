"""A file's text, read within a limit, with an error for each way in which it can be none."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import sys
import zlib
from pathlib import Path

from harness.model.errors import UserError
from harness.model.loading.limits import JSON_BYTES, TooLarge

STDIN = Path("-")
"""In place of a file's name: standard input."""

_BOMS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def read_text(
    path: str | Path,
    *,
    most: int = JSON_BYTES,
    expected: str = "a text file",
    what: str = "file",
    any_form: bool = False,
) -> str:
    """UTF-8 text of at most `most` bytes. Raises UserError naming the file: missing, a folder, too large, not text.

    `any_form`: gzip is unpacked, and UTF-16 with its mark (what PowerShell's `>` writes) is read, too.
    """
    path = Path(path)
    try:
        raw = sys.stdin.buffer.read(most + 1) if path == STDIN else _read(path, most)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        found = getattr(error, "strerror", None) or str(error)
        raise UserError(f"the {what} cannot be read", file=path, found=found, expected=expected) from None
    if len(raw) > most:
        raise _too_large(path, len(raw), most)
    if any_form and raw.startswith(b"\x1f\x8b"):
        raw = _unpacked(path, raw, most)
    if any_form and raw.startswith(tuple(mark for mark, _ in _BOMS)):
        return _utf16(path, raw)
    for mark, name in _BOMS:
        if raw.startswith(mark):
            raise UserError(
                f"this is {name} text", file=path, line=1, found=name, expected="UTF-8", hint="save it as UTF-8"
            )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{raw[error.start]:02x}"
        hint = (
            "is this the right file? it is no text"
            if b"\0" in raw
            else "iconv -f windows-1252 -t utf-8 FILE, where it was written on Windows"
        )
        what = "this is no UTF-8 text"
        raise UserError(what, file=path, line=line, found=found, expected=expected, hint=hint) from None


def check_regular(path: Path) -> None:
    """Raises OSError for a pipe, a device or a folder, which may be waited for or read without end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe or a device, no regular file", str(path))


def _read(path: Path, most: int) -> bytes:
    """At most one byte more than `most`. A pipe is read where somebody writes to it, and nobody is waited for. Raises
    OSError, TooLarge."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_size > most:
            raise _too_large(path, found.st_size, most)
        first = b""
        if stat.S_ISFIFO(found.st_mode):
            try:
                first = os.read(descriptor, most + 1)
                if not first:
                    raise OSError(errno.EPIPE, "a pipe that nobody writes to", str(path))
            except BlockingIOError:
                pass  # somebody is about to write
        os.set_blocking(descriptor, True)
        return first + file.read(most + 1 - len(first))


def _unpacked(path: Path, raw: bytes, most: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            out = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        hint = "get it again: it may have been cut off on the way"
        what = "the compressed file is damaged"
        raise UserError(what, file=path, found=str(error), expected="whole gzip", hint=hint) from None
    if len(out) > most:
        raise _too_large(path, len(out), most)
    return out


def _utf16(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-16")
    except UnicodeDecodeError as error:
        found = f"the byte 0x{raw[error.start]:02x} at {error.start}"
        hint = "was the file cut off? save it as UTF-8"
        what = "this is no whole UTF-16 text"
        raise UserError(what, file=path, line=1, found=found, expected="UTF-8 or UTF-16", hint=hint) from None


def _too_large(path: Path, size: int, most: int) -> TooLarge:
    found = f"{size / (1 << 20):,.0f} MiB"
    return TooLarge("the file is too large", file=path, found=found, expected=f"at most {most / (1 << 20):,.0f} MiB")
