"""The weights: a JSON file beside this one, with its card; read as plain numbers, nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.model.errors import UserError
from harness.scheduling.strategy import Float64
from schedulers.ranked.features import KINDS, NAMES

FORMAT = "podyard.dev/ranked/v1"
SHIPPED = Path(__file__).with_name("weights.json")


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """`weights`: float64 [kinds of pod, features]. `card`: how it was trained, on what, and what it has not seen."""

    weights: Float64
    card: dict[str, Any]


def read_model(path: Path = SHIPPED) -> Model:
    """Raises UserError for what is no model, or one for other features."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the model: {error.strerror}", file=path, hint="podyard train") from None
    except ValueError as error:
        raise UserError(f"not a model: {error}", file=path, expected="JSON, as podyard train writes it") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UserError("not a model", file=path, expected=f"format: {FORMAT}")
    if tuple(data.get("features", ())) != NAMES or tuple(data.get("kinds", ())) != KINDS:
        raise UserError(
            "this model looks at other features",
            file=path,
            found=", ".join(data.get("features", ())),
            expected=", ".join(NAMES),
            hint="train it again: podyard train",
        )
    weights = np.array(data["weights"], dtype=np.float64)
    if weights.shape != (len(KINDS), len(NAMES)) or not np.isfinite(weights).all():
        raise UserError("the weights have a wrong shape", file=path, found=weights.shape)
    return Model(weights, dict(data.get("card", {})))


def write_model(path: Path, model: Model) -> None:
    data = {
        "format": FORMAT,
        "features": list(NAMES),
        "kinds": list(KINDS),
        "weights": [[round(float(value), 6) for value in row] for row in model.weights],
        "card": model.card,
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
