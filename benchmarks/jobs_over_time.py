"""The table of strategies on jobs over time: means of the records of `podyard compare jobs` and `podyard run
jobs-openb`, and what compare decided. The commands stand in results/reference/jobs/README.md.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

MEANS = ("jobs not complete", "wait, mean s", "completion, mean s", "bounded slowdown, mean", "makespan, s")


def figures(record: dict[str, Any]) -> tuple[float, ...]:
    """As MEANS names them."""
    jobs = record["metrics"]["jobs"]
    return (
        jobs["censored"], jobs["waitSeconds"]["mean"], jobs["completionSeconds"]["mean"],
        jobs["boundedSlowdown"]["mean"], jobs["makespanSeconds"],
    )  # fmt: skip


def main(
    records: Path, decided: Annotated[Path, typer.Option()], out: Annotated[Path, typer.Option()]
) -> None:  # fmt: skip
    """`records`: a folder of records; `decided`: what compare printed."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(records.rglob("record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        workload = record.get("variables", {}).get("model", "openb")
        found[workload, path.parent.parent.name].append(record)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "means.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("workload", "strategy", "seeds", *MEANS))
        for (workload, strategy), runs in sorted(found.items()):
            means = [sum(column) / len(runs) for column in zip(*map(figures, runs), strict=True)]
            rows.writerow((workload, strategy, len(runs), *(f"{value:.2f}" for value in means)))
    with (out / "decided.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(
            ("workload", "measure", "base", "other", "base mean", "other mean", "low", "high", "p", "verdict")
        )
        for item in json.loads(decided.read_text(encoding="utf-8")):
            if item["primary"]:
                numbers = [f"{item[name]:.4f}" for name in ("baseMean", "otherMean", "low", "high", "p")]
                about = (item["variables"]["model"], item["metric"], item["base"], item["other"])
                rows.writerow((*about, *numbers, item["verdict"]))


if __name__ == "__main__":
    typer.run(main)
