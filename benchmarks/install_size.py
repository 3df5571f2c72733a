"""What an installation of Podyard takes on disk, by package: `python -m benchmarks.install_size`, in the environment.

Each distribution is counted by its own list of files, in blocks of the disk; behind it stand those that need it.
`--without scipy,polars` says what it would take without these.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions

BLOCK = 512
"""Bytes of a unit of st_blocks."""


def bare(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bytes_of(distribution: Distribution) -> int:
    total = 0
    for file in distribution.files or ():
        try:
            total += distribution.locate_file(file).stat().st_blocks * BLOCK  # type: ignore[attr-defined]
        except OSError:
            continue  # listed, and removed since
    return total


def needs_of(distribution: Distribution) -> list[str]:
    """Without extras. Markers of other platforms are not looked at: what is not installed is not counted."""
    asked = [text for text in distribution.requires or () if "extra ==" not in text]
    return [bare(found.group()) for text in asked if (found := re.match(r"[\w.-]+", text))]


def closure(names: Iterable[str], needs: dict[str, list[str]], without: Iterable[str] = ()) -> set[str]:
    """All that is installed with them."""
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in needs and name not in seen and name not in without:
            seen.add(name)
            todo += needs[name]
    return seen


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--without", default="", help="packages, separated by commas")
    asked.add_argument("--largest", type=int, default=12)
    given = asked.parse_args()
    found = {bare(item.metadata["Name"]): item for item in distributions()}
    needs = {name: needs_of(item) for name, item in found.items()}
    without = [bare(name) for name in given.without.split(",") if name]
    there = closure(["podyard"], needs, without)
    size = {name: bytes_of(found[name]) / 1e6 for name in there}
    for name in sorted(there, key=lambda name: -size[name])[: given.largest]:
        users = sorted(other for other in there if name in needs[other])
        print(f"{name:20} {size[name]:6.1f} MB  {', '.join(users)}")
    print(f"{len(there)} packages, {sum(size.values()):.0f} MB")


if __name__ == "__main__":
    main()
