"""The cells of the FGD experiment from its records, as published tables have them, and held against such tables.

    podyard run fgd --vary list --seeds 42-51 --parallel 2 --no-journal
    podyard run fgd --vary list --seeds 42-51 --parallel 2 --no-journal -s random-fit
    python -m benchmarks.fgd_cells results/local/fgd --out results/reference/fgd --expected ../shared/fgd

`cells_by_seed.csv`: one row a list, policy, seed and load; `cells.csv`: mean and standard deviation over seeds.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from harness.experiment.result import from_record
from harness.model.errors import UserError
from harness.report.tables import print_table

POLICIES = {
    "fgd": "FGD",
    "best-fit": "BestFit",
    "dot-product": "DotProd",
    "gpu-packing": "GpuPacking",
    "gpu-clustering": "GpuClustering",
    "random-fit": "Random",
}
"""The published tables' names of our strategies."""

LOADS = range(40, 131, 5)
WITHIN = 0.0101  # two decimals, and rounding

Cells: TypeAlias = dict[tuple[str, str, int, int], tuple[float, float]]
"""(list, policy, seed, percent arrived): (percent allocated, percent of what is idle that is fragment)."""


def of_records(folder: Path) -> Cells:
    """Raises UserError where there is no record of a fill."""
    out: Cells = {}
    for path in sorted(folder.rglob("record.json")):
        result = from_record(path.parent)
        policy = POLICIES.get(result.scheduler)
        if policy is None:
            continue
        for at, cell in result.metrics.get("filling", {}).items():
            if int(at) in LOADS:
                key = (result.variables.get("list", ""), policy, result.seed, int(at))
                out[key] = (cell["allocated"], cell["fragmented"])
    if not out:
        raise UserError("there is no record of a fill here", file=folder, hint="podyard run fgd --vary list")
    return out


def over_seeds(cells: Cells) -> dict[tuple[str, str, int], tuple[int, float, float, float, float]]:
    """(list, policy, percent arrived): seeds, and mean and standard deviation of both numbers."""
    groups: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for (name, policy, _, at), cell in cells.items():
        groups.setdefault((name, policy, at), []).append(cell)
    out = {}
    for key, seen in groups.items():
        spread = [statistics.stdev(v) if len(v) > 1 else 0.0 for v in zip(*seen, strict=True)]
        means = [statistics.fmean(v) for v in zip(*seen, strict=True)]
        out[key] = (len(seen), means[0], spread[0], means[1], spread[1])
    return out


def published(folder: Path) -> Cells:
    with open(folder / "expected_by_seed.csv", newline="") as file:
        return {
            (row["workload"], row["policy"], int(row["seed"]), int(row["arrived_percent"])): (
                float(row["alloc_percent"]),
                float(row["frag_percent"]),
            )
            for row in csv.DictReader(file)
        }


def held_against(cells: Cells, expected: Cells) -> list[list[str]]:
    """A row a list and policy: cells compared, how many lie beyond two decimals, the largest differences.

    Random has no published order of its draws: it is judged by the mean over seeds, in published standard deviations.
    """
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for key, (allocated, fragmented) in cells.items():
        if key in expected and key[1] != "Random":
            theirs = expected[key]
            difference = (abs(allocated - theirs[0]), abs(fragmented - theirs[1]))
            groups.setdefault(key[:2], []).append(difference)
    return [
        [
            name,
            policy,
            str(len(seen)),
            str(sum(max(pair) > WITHIN for pair in seen)),
            f"{max(a for a, _ in seen):.4f}",
            f"{max(f for _, f in seen):.4f}",
        ]
        for (name, policy), seen in sorted(groups.items())
    ]


def spread_of_random(cells: Cells, folder: Path) -> list[list[str]]:
    """A row a list at 100 and 130 %: our mean against the published mean and standard deviation."""
    with open(folder / "expected.csv", newline="") as file:
        theirs = {
            (row["workload"], int(row["arrived_percent"])): (
                float(row["alloc_percent_mean"]),
                float(row["alloc_percent_std"]),
            )
            for row in csv.DictReader(file)
            if row["policy"] == "Random"
        }
    rows = []
    for (name, policy, at), (seeds, mean, deviation, _, _) in sorted(over_seeds(cells).items()):
        if policy == "Random" and at in (100, 130) and (name, at) in theirs:
            expected, spread = theirs[name, at]
            # Both are means of `seeds` draws: the difference has sqrt(2) times the standard error of one.
            error = max(spread, deviation) * (2 / seeds) ** 0.5
            away = abs(mean - expected) / error if error else 0.0
            rows.append([name, str(at), str(seeds), f"{mean:.2f}", f"{expected:.2f}", f"{spread:.2f}", f"{away:.1f}"])
    return rows


def write(path: Path, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with open(path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(head)
        out.writerows(rows)


def main(
    records: Annotated[Path, typer.Argument(help="Where the records of `podyard run fgd` are.")],
    out: Annotated[Path | None, typer.Option(help="A folder for cells_by_seed.csv and cells.csv.")] = None,
    expected: Annotated[Path | None, typer.Option(help="Holds expected.csv and expected_by_seed.csv.")] = None,
) -> None:
    """Write the cells, and say where they differ from the published ones; exit 1 when they do."""
    cells = of_records(records)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        key = ("workload", "policy")
        rows = ((*k, f"{a:.2f}", f"{f:.4f}") for k, (a, f) in sorted(cells.items()))
        write(out / "cells_by_seed.csv", (*key, "seed", "arrived_percent", "alloc_percent", "frag_percent"), rows)
        mean = ("alloc_percent_mean", "alloc_percent_std", "frag_percent_mean", "frag_percent_std")
        summary = ((*k, n, *(f"{v:.3f}" for v in values)) for k, (n, *values) in sorted(over_seeds(cells).items()))
        write(out / "cells.csv", (*key, "arrived_percent", "seeds", *mean), summary)
    if expected is not None:
        rows_against = held_against(cells, published(expected))
        columns = ("list", "policy", "cells", "beyond 0.01", "most, allocated", "most, fragmented")
        print_table("Held against the published cells", columns, rows_against)
        random = spread_of_random(cells, expected)
        if random:
            wide = ("list", "load %", "seeds", "random-fit", "published", "its sd", "standard errors away")
            print_table("random-fit against the published spread", wide, random)
        if any(row[3] != "0" for row in rows_against) or any(float(row[-1]) > 4 for row in random):
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
