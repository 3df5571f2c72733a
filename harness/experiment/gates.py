"""Gates: what a scenario demands of a run's metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.experiment.scenario import Loaded


def failed_gates(loaded: Loaded, metrics: dict[str, Any]) -> list[str]:
    """Gates that the run did not pass, in words. Raises UserError for a gate on a metric that is not there."""
    out = []
    for index, gate in enumerate(loaded.scenario.spec.gates):
        value = metric_at(metrics, gate.metric)
        if not isinstance(value, (int, float)):
            raise loaded.error(
                f"spec.gates[{index}].metric",
                "there is no such number in this run",
                found=gate.metric,
                expected=", ".join(sorted(metric_paths(metrics))[:12]) + ", ..",
            )
        if gate.at_least is not None and value < gate.at_least:
            out.append(f"{gate.metric} is {value:g}, not at least {gate.at_least:g}")
        if gate.at_most is not None and value > gate.at_most:
            out.append(f"{gate.metric} is {value:g}, not at most {gate.at_most:g}")
    return out


def metric_at(data: Any, path: str) -> Any:
    """'placement.allocation.gpu' in nested data; None when it leads nowhere."""
    for part in path.split("."):
        if isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        elif isinstance(data, dict):
            data = data.get(part)
        else:
            return None
    return data


def metric_paths(data: Any, path: str = "") -> Iterable[str]:
    """The paths of all numbers."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        below = f"{path}.{key}" if path else str(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield below
        else:
            yield from metric_paths(value, below)
