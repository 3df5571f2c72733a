"""The weights: a JSON file beside this one, with its card; read as plain numbers, nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.model.errors import UserError
from harness.model.loading import load_json, read_text
from harness.scheduling.strategy import Int64
from schedulers.ranked.features import KINDS, NAMES

FORMAT = "podyard.dev/ranked/v3"
SHIPPED = Path(__file__).with_name("weights.json")

MODEL_BYTES = 16 << 20
"""A model has some thousand weights."""

LARGEST = 1_000_000
"""Of a weight, in thousandths: scores stay below 2^53, exact as floats."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """`weights`: thousandths, int64 [kinds of pod, features]. `card`: how it was trained, and what it has not seen."""

    weights: Int64
    card: dict[str, Any]


def read_model(path: Path = SHIPPED) -> Model:
    """Raises UserError for what is no model, or one for other features."""
    expected = "JSON, as podyard train writes it"
    data = load_json(read_text(path, most=MODEL_BYTES, expected=expected, what="model"), path, expected=expected).data
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise UserError("not a model", file=path, found=found, expected=f"format: {FORMAT}", hint="podyard train")
    for key, wanted in (("features", NAMES), ("kinds", KINDS)):
        if data.get(key) != list(wanted):
            raise UserError(
                f"this model has other {key}",
                file=path,
                found=data.get(key),
                expected=", ".join(wanted),
                hint="train it again: podyard train",
            )
    rows = data.get("weights")
    if (
        not isinstance(rows, list)
        or len(rows) != len(KINDS)
        or not all(isinstance(row, list) and len(row) == len(NAMES) for row in rows)
        or not all(type(value) is int and abs(value) <= LARGEST for row in rows for value in row)
    ):
        raise UserError(
            "the weights are not as expected",
            file=path,
            expected=f"{len(KINDS)} rows of {len(NAMES)} whole thousandths, at most {LARGEST}",
        )
    card = data.get("card", {})
    if not isinstance(card, dict):
        raise UserError("the card is not as expected", file=path, found=type(card).__name__, expected="a mapping")
    return Model(np.array(rows, dtype=np.int64), card)


def write_model(path: Path, model: Model) -> None:
    """Raises UserError when the file cannot be written."""
    card = json.dumps(model.card, indent=1).replace("\n", "\n ")
    rows = ",\n  ".join(json.dumps(row) for row in model.weights.tolist())
    text = (
        f'{{\n "format": {json.dumps(FORMAT)},\n "features": {json.dumps(NAMES)},\n "kinds": {json.dumps(KINDS)},\n'
        f' "weights": [\n  {rows}\n ],\n "card": {card}\n}}\n'
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the model: {error.strerror}", file=path) from None
