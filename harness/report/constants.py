"""The table of constants as a page and as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.autoscaling.cluster.settings import FLAGS
from harness.experiment.constants import CLUSTER_AUTOSCALER, defaults
from harness.model.constants import DEFAULTS, TABLE, UNMODELLED, Constants


def rows(constants: Constants = DEFAULTS, flags: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """One row per constant, those of the cluster autoscaler (with its `flags`) last."""
    known, given = defaults(), flags or {}
    return [
        {
            "name": name,
            "component": constant.component,
            "unit": constant.unit,
            "default": constant.default_text,
            "value": constants.text(name),
            "decides": constant.decides,
            "source": constant.source,
            **({"note": constant.note} if constant.note else {}),
        }
        for name, constant in TABLE.items()
    ] + [
        {
            "name": name,
            "component": CLUSTER_AUTOSCALER,
            "default": known[name],
            "value": str(given.get(name, known[name])),
            "decides": "",
            "source": "kubernetes/autoscaler cluster-autoscaler/FAQ.md",
        }
        for name in FLAGS
    ]


def markdown() -> str:
    """One row per constant."""
    out = [
        "# Kubernetes' constants",
        "",
        "Made from `harness/model/constants.py` by `podyard constants --markdown`. A scenario sets them under these",
        "names, a sweep varies them, and a live cluster (`podyard up SCENARIO`) has them, too:",
        "",
        "```yaml",
        "spec:",
        "  constants: {node-monitor-grace-period: 40s, default-unreachable-toleration-seconds: 30}",
        "```",
        "",
        "```sh",
        "podyard run quickstart --vary constant.node-monitor-grace-period=20s,40s,60s",
        "```",
        "",
        "What Kubernetes refuses is refused in its words; what it starts with and warns of is a note of the run.",
        "Sources: Kubernetes 1.34 unless they say otherwise.",
        "",
        "| constant | component | default | decides | source |",
        "|---|---|---|---|---|",
    ]
    for row in rows():
        if row["decides"]:
            told = f"{row['decides']}. {row['note']}" if "note" in row else row["decides"]
            out.append(f"| `{row['name']}` | {row['component']} | {row['default']} | {told} | {row['source']} |")
    out += [
        "",
        f"## Flags of {CLUSTER_AUTOSCALER}",
        "",
        "In `spec.constants`, or as parameters of `spec.autoscaler`. Source: its FAQ (1.32).",
        "",
        "| flag | default |",
        "|---|---|",
        *(f"| `{row['name']}` | {row['default']} |" for row in rows() if not row["decides"]),
        "",
        "## Not modelled",
        "",
        "Refused by name:",
        "",
        *(f"- `{name}`: {why}" for name, why in UNMODELLED.items()),
        "",
    ]
    return "\n".join(out)
