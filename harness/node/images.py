"""The node's image cache: it is on disk, so it survives a crash; images are pulled one at a time.

Source: KubeletConfiguration serializeImagePulls, true.
"""

from __future__ import annotations

from random import Random

from harness.engine.component import SECOND
from harness.engine.latency import Latencies
from harness.model.core import Node


class Images:
    __slots__ = ("_free_ns", "_there")

    def __init__(self, node: Node) -> None:
        self._there: dict[str, int] = {name: 0 for image in node.status.images for name in image.names}
        self._free_ns = 0

    def there_at(self, name: str) -> int | None:
        """When it is there, maybe still being pulled; None: nobody asked for it yet."""
        return self._there.get(name)

    def pull(self, now: int, name: str, latencies: Latencies, rng: Random) -> int:
        """When it will be there, behind the pulls that are under way."""
        begin = max(now, self._free_ns)
        transfer = latencies.image_bytes * SECOND // latencies.image_pull_bytes_per_s
        at = begin + latencies.image_pull_base.draw(rng) + transfer
        self._there[name] = self._free_ns = at
        return at

    def power_lost(self, now: int) -> None:
        """What was being pulled is not there."""
        for name in [name for name, at in self._there.items() if at > now]:
            del self._there[name]
        self._free_ns = 0
