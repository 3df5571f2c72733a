"""Jobs that wait for others: annotations of Pods and Jobs, in the words of Slurm's `sbatch --dependency`.

    podyard.dev/dependency: "afterany:a:b,afterok:other-namespace/c"
    podyard.dev/think-time: "30s"

`afterany`: after these have ended, however they did; `afterok`: after these have succeeded. A name is that of a Job, of
a PodGroup (all its pods) or of a Pod. All must hold (Slurm's ','; '?' for any of them is not modelled). The think time
counts from the last end (Standard Workload Format, field 18). A Pod waits behind the scheduling gate GATE, a Job
suspended.
"""

from __future__ import annotations

from collections.abc import Mapping

DEPENDENCY = "podyard.dev/dependency"
THINK_TIME = "podyard.dev/think-time"
GATE = "podyard.dev/dependency"
"""Name of the scheduling gate of a Pod that waits for others."""

ESTIMATE = "podyard.dev/estimated-duration"
"""Pod annotation: how long its user said that it runs at most, '3600s'; told by `lifetimes: estimates`."""

KINDS = ("afterany", "afterok")


def read_dependency(annotations: Mapping[str, str], namespace: str) -> list[tuple[str, str]]:
    """(afterany or afterok, 'namespace/name') of all that must have ended. Raises ValueError."""
    found = []
    for clause in annotations.get(DEPENDENCY, "").split(","):
        kind, *names = clause.strip().split(":")
        if kind not in KINDS or not names or not all(names) or "?" in clause:
            raise ValueError(f"{DEPENDENCY} is {clause.strip()!r}, not {' or '.join(KINDS)} and names, as afterok:a:b")
        found += [(kind, name if "/" in name else f"{namespace}/{name}") for name in names]
    return found
