"""The Ray actor: it serves the session that asked for it, over a socket where both are on one machine, else by calls.

Imported in a worker process: what it imports, each actor's process loads.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence

from harness.node.actors.channel import Channel, Closed


def own_versions() -> list[str]:
    """Of what decides about bits: Podyard and Python."""
    from importlib.metadata import version

    return [f"podyard {version('podyard')}", f"Python {platform.python_version()}"]


def find_modules(path: Sequence[str]) -> None:
    """Those of the process that asked are found here, too."""
    sys.path[:] = [*path, *(item for item in sys.path if item not in path)]


class NodeActor:
    def __init__(self, path: Sequence[str]) -> None:
        find_modules(path)
        from harness.node.actors.shard import Shard  # not by the process that merely creates the actor

        self._shard = Shard()

    def about(self) -> list[object]:
        return [os.getpid(), own_versions()]

    def handle(self, frame: bytes) -> bytes:
        return self._shard.handle(frame)

    def serve(self, place: str, key: int) -> bool:
        """Until the session is over. False: it cannot be reached from here."""
        try:
            channel = Channel.connect(place)
        except OSError:
            return False
        try:
            channel.tell("actor", key, *self.about())
            while True:
                channel.send(self._shard.handle(channel.receive()))
        except Closed:
            return True
        finally:
            channel.close()
