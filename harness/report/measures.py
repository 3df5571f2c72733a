"""The catalogue of measures as a page and as rows."""

from __future__ import annotations

from typing import Any

from harness.measure.catalogue import Catalogue, Measure


def rows(catalogue: Catalogue) -> list[dict[str, Any]]:
    return [
        {
            "path": measure.path,
            "name": measure.name.strip(),
            "unit": measure.unit,
            "better": measure.better,
            "primary": measure.primary,
            "tables": list(measure.tables),
            "definition": measure.definition,
            "source": measure.source,
        }
        for measure in catalogue
    ]


def markdown(catalogue: Catalogue) -> str:
    """One section per family, one row per measure."""
    out = [
        "# Measures, one by one",
        "",
        "Made from `harness/measure/shipped.py` by `podyard measures --markdown`. A path leads to the number in the",
        "metrics of `record.json`; `*` stands for any one service, fault or resource. **Bold**: `podyard compare`",
        "decides about it unless told otherwise. Numbers of a record times the factor are in the unit.",
        "",
    ]
    families: dict[str, list[Measure]] = {}
    for measure in catalogue:
        families.setdefault(measure.path.partition(".")[0], []).append(measure)
    for family, measures in families.items():
        out += [
            f"## {family}",
            "",
            "| path | name | unit | factor | better | definition | source |",
            "|---|---|---|---|---|---|---|",
        ]
        out += [
            f"| `{m.path}` | {f'**{m.name.strip()}**' if m.primary else m.name.strip()} | {m.unit} | {m.scale:g} | "
            f"{m.better} | {m.definition} | {m.source} |"
            for m in measures
        ]
        out.append("")
    return "\n".join(out)
