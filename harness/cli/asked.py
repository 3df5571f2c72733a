"""What commands are asked for in words: settings, seeds, values of variables."""

from __future__ import annotations

import re
from pathlib import Path


def settings_of(items: list[str] | None) -> dict[str, str]:
    from harness.model.errors import UserError

    out = {}
    for item in items or []:
        path, equals, value = item.partition("=")
        if not equals or not path:
            raise UserError("--set wants PATH=VALUE", found=item, expected="as spec.duration=5m")
        out[path] = value
    return out


def variables_of(items: list[str] | None, path: Path, settings: dict[str, str]) -> dict[str, list[str]]:
    """'list=a,b' or 'list', for all of its values. Raises UserError for one that the scenario does not have."""
    from harness.experiment.scenario import read_variables
    from harness.model.errors import UserError, did_you_mean

    if not items:
        return {}
    known = read_variables(path, settings)
    out = {}
    for item in items:
        name, equals, values = item.partition("=")
        if name not in known:
            raise UserError(
                f"the scenario has no variable {name!r}",
                file=path,
                expected=", ".join(known) or "none",
                hint=did_you_mean(name, known),
            )
        out[name] = [value.strip() for value in values.split(",") if value.strip()] if equals else known[name]
        if not out[name]:
            raise UserError(f"--vary {item} names no value", expected=f"some of {', '.join(known[name])}")
    return out


def seeds_of(text: str) -> list[int]:
    """'3', '1-5', '1,4,7-9'. Raises UserError."""
    from harness.model.errors import UserError

    out: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise UserError("--seeds wants whole numbers", found=text, expected="as 3, 1-5 or 1,4,7")
        first, last = int(match[1]), int(match[2] or match[1])
        out.extend(range(first, last + 1))
    if not out:
        raise UserError("--seeds names none", found=text)
    return out
