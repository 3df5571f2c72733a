"""Every constant of a crash and of a scale-up changed, one at a time: what `podyard whatif` predicts, and what is run.

    python -m benchmarks.whatif --out results/reference/whatif

Each constant is made smaller (0.4) and larger (3), within what it may be. `off` is the run less the prediction, in
seconds: nothing where the prediction is refused (then the reason stands there), or where the run does not end it.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
from pathlib import Path
from typing import Any

from harness.experiment.constants import defaults
from harness.experiment.run import run_once
from harness.experiment.scenario import from_data
from harness.experiment.whatif import Answer, whatif
from harness.model.errors import UserError

SHARES = ("nodeLeaseRenewIntervalFraction", "threshold")
"""What stays below 1, in whose names these are."""

COLUMNS = ("constant", "was", "is", "what", "was s", "predicted s", "run s", "off s", "why not")


def scenario(name: str, **spec: Any) -> dict[str, Any]:
    whole = {"bound": False, **spec}
    return {"apiVersion": "podyard.dev/v1", "kind": "Scenario", "metadata": {"name": name}, "spec": whole}


def records(folder: Path) -> list[Path]:
    """Two nodes crash under a service of six; a load that grows tenfold needs a second pod, and a node."""
    steady = {"name": "web", "replicas": 6, "cpu": 1, "load": {"constant": {"rps": 30}}}
    grows = {
        "name": "web", "replicas": 2, "cpu": 1, "load": {"step": {"at": "3m", "before": 40, "after": 400}},
        "autoscaler": {"min": 2, "max": 12, "targetCpu": 50},
    }  # fmt: skip
    crashes = [{"at": at, "nodeCrash": {"select": {"names": [name]}}} for at, name in (("1m", "n-0"), ("90s", "n-3"))]
    pool = {"name": "burst", "max": 4, "cpu": 4, "memory": "16Gi", "provisioning": "40s"}
    group = {"name": "n", "cpu": 4, "memory": "16Gi"}
    made = (
        scenario(
            "crash", duration="14m", workload=[{"service": steady}], faults=crashes,
            nodes=[{"group": {**group, "count": 6, "zones": ["a", "b", "c"]}}],
        ),
        scenario(
            "scale-up", duration="10m", workload=[{"service": grows}], pools=[pool],
            nodes=[{"group": {**group, "count": 1}}],
        ),
    )  # fmt: skip
    out = []
    for data in made:
        result = run_once(from_data(data, "scenario"), "least-allocated", 2, out=folder)
        assert result.folder is not None
        out.append(result.folder)
    return out


def others(name: str, value: str) -> list[str]:
    """Values that are not the default."""
    if value in ("true", "false"):
        return ["false" if value == "true" else "true"]
    found = re.fullmatch(r"(-?[\d.]+)(s?)", value)
    if found is None:
        return ["random", "most-pods"] if name == "expander" else ["example.com/other"]
    number, unit = float(found[1]), found[2]
    if not number:
        return [f"5{unit}"]
    if any(part in name for part in SHARES) and number < 1:
        return [f"{number * 0.6:g}", f"{min(number * 1.6, 0.95):g}"]
    whole = not unit and "." not in value
    return [f"{round(item) or 1 if whole else item:g}{unit}" for item in (number * 0.4, number * 3)]


def row(name: str, was: str, now: str, answer: Answer) -> dict[str, Any]:
    ran, fall = answer.ran, answer.was
    off = None if answer.refused or ran is None or ran.unended else (ran.total_ns - answer.predicted_ns) / 1e9
    return {
        "constant": name, "was": was, "is": now, "what": fall.title, "was s": f"{fall.total_ns / 1e9:.3f}",
        "predicted s": "" if answer.refused else f"{answer.predicted_ns / 1e9:.3f}",
        "run s": "" if ran is None else f"{'>' if ran.unended else ''}{ran.total_ns / 1e9:.3f}",
        "off s": "" if off is None else f"{off:.3f}", "why not": answer.refused,
    }  # fmt: skip


def first_line(text: str) -> str:
    return text.partition("\n")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="podyard-") as scratch:
        folders = records(Path(scratch))
        for name, was in defaults().items():
            for now in others(name, was):
                for folder in folders:
                    try:
                        rows += [row(name, was, now, answer) for answer in whatif(folder, {name: now}).answers]
                    except UserError as refused:
                        why = str(refused).partition(f"{name} ")[2] or str(refused).partition(": ")[2]
                        rows.append({"constant": name, "was": was, "is": now, "why not": f"not run: {first_line(why)}"})
                        break
    chosen.out.mkdir(parents=True, exist_ok=True)
    with (chosen.out / "constants.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    offs = [abs(float(item["off s"])) for item in rows if item.get("off s")]
    print(f"{len(rows)} rows, {len(offs)} predicted and run, largest difference {max(offs):.3f} s")


if __name__ == "__main__":
    main()
