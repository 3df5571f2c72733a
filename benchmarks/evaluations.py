"""How long `podyard evaluate` takes over many generated files: `python -m benchmarks.evaluations --files 50`.

The files are those of docs/examples/evolve.py, with other weights each. `--calls` spreads them over so many calls, each
of which starts Python and plays the baseline anew; `--suite gpu` has the larger scenarios. It prints the time that
passed, the CPU time of all processes (which is what counts on a busy machine) and the verdicts.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import runpy
import tempfile
import time
from collections import Counter
from pathlib import Path

EVOLVE = Path(__file__).parents[1] / "docs" / "examples" / "evolve.py"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--files", type=int, default=50)
    asked.add_argument("--calls", type=int, default=1)
    asked.add_argument("--suite", default="gpu-small")
    given = asked.parse_args()
    evolve = runpy.run_path(str(EVOLVE))
    rng = random.Random(1)
    os.environ.setdefault("PODYARD_EVALUATE_KEY", "benchmarks")
    with tempfile.TemporaryDirectory() as folder:
        files = [
            evolve["write"](Path(folder), f"f{index}", {name: rng.gauss(0, 1) for name in evolve["WEIGHTS"]})
            for index in range(given.files)
        ]
        began = time.perf_counter()
        calls = [evolve["evaluate"](files[call :: given.calls], given.suite) for call in range(given.calls)]
        passed = time.perf_counter() - began
    found = [row for call in calls for row in call]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in Counter(row["verdict"] for row in found).items())
    print(f"{len(found)} evaluations ({given.suite}), {given.calls} calls: {verdicts}")
    print(f"{passed:.0f} s passed, {cpu:.0f} s of CPU, {cpu / len(found):.2f} s each; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
