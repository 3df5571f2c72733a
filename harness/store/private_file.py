"""Files that only their owner may read, on the disk when they are there, and never half of them."""

from __future__ import annotations

import os
from pathlib import Path

from harness.model.errors import UserError
from harness.model.loading import check_regular


def write_private(path: Path, data: bytes, what: str, *, new: bool = False) -> None:
    """Mode 0600, at once and on the disk. `new`: never in place of a file. Raises UserError, FileExistsError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Made unreadable for others before anything is in it, and moved, so that no reader sees half of it.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            if new:
                os.link(beside, path)
            else:
                if path.exists():
                    check_regular(path)  # as root, /dev/null became a file
                os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except FileExistsError:
        raise
    except OSError as error:
        raise UserError(
            f"cannot write {what}",
            file=path,
            found=error.strerror or str(error),
            hint="name a file in a folder that exists and is yours",
        ) from None
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """The name too must survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems do not sync folders
    finally:
        os.close(descriptor)
