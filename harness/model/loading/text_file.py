"""A file's text, read within a limit, with an error for each way in which it can be none."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from harness.model.errors import UserError
from harness.model.loading.limits import JSON_BYTES, TooLarge

STDIN = Path("-")
"""In place of a file's name: standard input."""

_BOMS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def read_text(path: str | Path, *, most: int = JSON_BYTES, expected: str = "a text file", what: str = "file") -> str:
    """UTF-8 text of at most `most` bytes. Raises UserError naming the file: missing, a folder, too large, not text."""
    path = Path(path)
    try:
        if path == STDIN:
            raw = sys.stdin.buffer.read(most + 1)
        else:
            with path.open("rb") as file:
                size = path.stat().st_size
                raw = b"" if size > most and stat.S_ISREG(path.stat().st_mode) else file.read(most + 1)
                if size > most and not raw:
                    raise _too_large(path, size, most)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        found = getattr(error, "strerror", None) or str(error)
        raise UserError(f"the {what} cannot be read", file=path, found=found, expected=expected) from None
    if len(raw) > most:
        raise _too_large(path, len(raw), most)
    for mark, name in _BOMS:
        if raw.startswith(mark):
            hint = "save it as UTF-8"
            raise UserError(f"this is {name} text", file=path, line=1, found=name, expected="UTF-8", hint=hint)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{raw[error.start]:02x}"
        raise UserError("this is no UTF-8 text", file=path, line=line, found=found, expected=expected) from None


def _too_large(path: Path, size: int, most: int) -> TooLarge:
    found = f"{size / (1 << 20):,.0f} MiB"
    return TooLarge("the file is too large", file=path, found=found, expected=f"at most {most / (1 << 20):,.0f} MiB")
