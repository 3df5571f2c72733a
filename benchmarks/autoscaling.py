"""The table of node autoscalers: means of the records that `podyard compare autoscaling` left, and what it decided.

The commands stand in results/reference/autoscaling/README.md.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

SERVICE = "default/web"
MEANS = ("cost", "node-hours", "nodes at most", "answered in time, %", "until capacity was there, mean s", "longest s")


def figures(record: dict[str, Any]) -> tuple[float, ...]:
    """As MEANS names them."""
    scaled, requests = record["metrics"]["autoscaling"][SERVICE], record["metrics"]["requests"][SERVICE]
    response = scaled["responseSeconds"]
    return (
        scaled["cost"], scaled["nodeHours"], scaled["nodesPeak"], 100 * requests["sloAttainment"], response["mean"],
        response["max"],
    )  # fmt: skip


def main(
    records: Path, decided: Annotated[Path, typer.Option()], out: Annotated[Path, typer.Option()]
) -> None:  # fmt: skip
    """`records`: folder of records by autoscaler; `decided`: what compare printed."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(records.glob("*/autoscaling/load=*/*/*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[record["variables"]["load"], path.relative_to(records).parts[0]].append(record)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "means.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("load", "autoscaler", "seeds", *MEANS, "dominant timer", "its share, %"))
        for (load, autoscaler), runs in sorted(found.items()):
            means = [sum(column) / len(runs) for column in zip(*map(figures, runs), strict=True)]
            ups = [run["metrics"]["waterfalls"]["scaleUps"] for run in runs]
            timer = Counter(item["dominantTimer"] for item in ups).most_common(1)[0][0]
            shares = [item["dominantShare"] for item in ups if item["dominantTimer"] == timer]
            share = f"{100 * sum(shares) / len(shares):.0f}"
            rows.writerow((load, autoscaler, len(runs), *(f"{value:.3f}" for value in means), timer, share))
    with (out / "decided.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("load", "measure", "base", "other", "base mean", "other mean", "low", "high", "p", "verdict"))
        for item in json.loads(decided.read_text(encoding="utf-8")):
            if item["primary"]:
                numbers = [f"{item[name]:.4f}" for name in ("baseMean", "otherMean", "low", "high", "p")]
                about = (item["variables"]["load"], item["metric"], item["base"], item["other"])
                rows.writerow((*about, *numbers, item["verdict"]))


if __name__ == "__main__":
    typer.run(main)
