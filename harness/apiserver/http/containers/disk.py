"""Files that clients leave in containers, by `kubectl cp` or by a command's redirection; gone with the container."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Mapping

from harness.model.status import bad_request

LARGEST_DISK = 16 * 1024 * 1024
"""Bytes that one container may hold."""

MOST_DISKS = 256
"""Containers whose files are kept; those that were written to longest ago lose theirs."""

Files = dict[str, bytes]


class Disks:
    """By the identity of a running container. Used on the HTTP server's own thread only."""

    def __init__(self) -> None:
        self._held: dict[str, Files] = {}

    def files(self, container: str) -> Mapping[str, bytes]:
        return self._held.get(container, {})

    def keep(self, container: str, files: Files) -> None:
        """Raises ApiError BadRequest when they are too large."""
        if sum(map(len, files.values())) > LARGEST_DISK:
            raise bad_request(f"no space left on device: a simulated container holds {LARGEST_DISK} bytes")
        self._held.pop(container, None)
        self._held[container] = files
        while len(self._held) > MOST_DISKS:
            del self._held[next(iter(self._held))]


def extracted(archive: bytes, folder: str) -> Files:
    """The files of a tar archive, below `folder`. Raises ValueError for what is none."""
    out: Files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r|") as tar:
            for member in tar:
                data = tar.extractfile(member) if member.isfile() else None
                if data is not None:
                    path = posixpath.normpath(posixpath.join("/", folder, member.name.lstrip("/")))
                    out[path] = data.read()
    except tarfile.TarError as error:
        raise ValueError(str(error)) from None
    return out


def archived(files: Mapping[str, bytes], path: str) -> bytes | None:
    """A file, or the files of a folder, as a tar archive; None where there is nothing."""
    path = path.rstrip("/") or "/"
    below = path if path.endswith("/") else f"{path}/"
    chosen = {name: data for name, data in files.items() if name == path or name.startswith(below)}
    if not chosen:
        return None
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in sorted(chosen.items()):
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size = len(data)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()
