"""What is published says the same as pyproject.toml: the conda recipe, the citation, the pins."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

CONDA = {"ortools": "ortools-python", "ray": "ray-core", "tzdata": "python-tzdata"}
"""conda-forge's names, where they are others."""


def split(requirement: str) -> tuple[str, str]:
    name, bound = re.fullmatch(r"([\w.-]+?)\s*((?:[<>=!].*)?)", requirement.strip()).groups()  # type: ignore[union-attr]
    return name, bound


def recipe() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".ci" / "conda" / "recipe.yaml").read_text())
    return found


def test_the_conda_recipe_asks_for_what_the_wheel_asks_for() -> None:
    wanted = {CONDA.get(name, name): bound for name, bound in map(split, PROJECT["dependencies"])}
    wanted["python"] = PROJECT["requires-python"]
    assert dict(map(split, recipe()["requirements"]["run"])) == wanted


def test_the_conda_recipe_has_the_command_and_the_version() -> None:
    (command,) = PROJECT["scripts"].items()
    assert recipe()["build"]["python"]["entry_points"] == [" = ".join(command)]
    assert recipe()["context"]["version"] == PROJECT["version"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (str(citation["version"]), citation["license"]) == (PROJECT["version"], PROJECT["license"])


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_dependency_is_pinned(lock: str) -> None:
    pinned = {line.partition("==")[0] for line in (ROOT / lock).read_text().splitlines() if "==" in line}
    asked = [*PROJECT["dependencies"], *(PROJECT["optional-dependencies"]["dev"] if "dev" in lock else [])]
    assert [name for name, _ in map(split, asked) if re.sub(r"[-_.]+", "-", name).lower() not in pinned] == []
