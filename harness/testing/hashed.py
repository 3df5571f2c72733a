"""What a strategy decides on the first seeded worlds, a line each: run in processes of unlike PYTHONHASHSEED."""

from __future__ import annotations

import sys

from harness.scheduling.registry import load
from harness.testing.trial import trial
from harness.testing.worlds import seeded

WORLDS = 25


def main() -> None:
    sys.path.insert(0, "")
    factory = load(sys.argv[1])
    for seed in range(WORLDS):
        print(repr(trial(factory, seeded(seed)).binds))


if __name__ == "__main__":
    main()
