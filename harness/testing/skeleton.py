"""What `podyard new scheduler` writes: a package of four files that installs, and whose test passes."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.model.errors import UserError
from harness.model.plugins import bare_name
from harness.scheduling.registry import available

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
description = "{about}"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["podyard"]

[project.optional-dependencies]
test = ["pytest>=8"]

[project.entry-points."{group}"]
{name} = "{module}:{function}"

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
"""

_MODULE = '''\
"""{name}: the feasible node whose CPU would be fullest with the pod on it."""

import numpy as np

from harness.scheduling.scoring import Scored
from harness.scheduling.strategy import CPU, ClusterView, Float64, PodView


def score(pod: PodView, cluster: ClusterView) -> Float64:
    """Higher is better, float [nodes]; what it says of nodes where the pod does not fit does not matter."""
    left = cluster.free[CPU] - pod.requests[CPU]
    return -left / np.maximum(cluster.capacity[CPU], 1)


def {function}() -> Scored:
    """The feasible node whose CPU would be fullest with the pod on it."""
    return Scored(score)
'''

_TEST = '''\
"""{name} keeps the rules, and does what it is for. The fixtures come with podyard."""

from {module} import {function}


def test_it_keeps_the_rules(scheduler_conformance):
    scheduler_conformance("{name}")


def test_it_fills_the_fuller_node(podyard_cluster):
    sim = podyard_cluster({function}).node("large", cpu_milli=4000).node("small", cpu_milli=2000)
    assert sim.pod("a", cpu_milli=1500).run() == "0s a -> small"
'''

_README = """\
# {name}

A scheduling strategy for Podyard. The strategy is `src/{module}/__init__.py`.

```sh
pip install -e ".[test]"
podyard schedulers                                 # lists {name}
podyard check {name}                               # legality, gangs, determinism, memory, .., converged after faults
podyard run quickstart --scheduler {name},greedy   # how good it is
pytest
```
"""


def write_package(name: str, folder: Path) -> list[Path]:
    """The files written. Raises UserError for a name that cannot be one, or a folder that holds something."""
    taken = {known: item.source for item in available() for known in (item.name, bare_name(item.name))}
    function = check_name(name, "scheduler", taken)
    # A module of its own name: the strategy's would collide with packages of the same plain name.
    module = f"podyard_{function}"
    values = {
        "name": name,
        "module": module,
        "function": function,
        "group": "podyard.schedulers",
        "about": "A scheduling strategy for Podyard",
    }
    return write_files(folder, package_files(folder, module, _MODULE, _TEST, _README), values)


def package_files(folder: Path, module: str, code: str, test: str, readme: str) -> dict[Path, str]:
    """Templates by path. `module`: podyard_<name>."""
    return {
        folder / "pyproject.toml": PYPROJECT,
        folder / "src" / module / "__init__.py": code,
        folder / "tests" / f"test_{module.removeprefix('podyard_')}.py": test,
        folder / "README.md": readme,
    }


def check_name(name: str, what: str, taken: Mapping[str, str]) -> str:
    """The name as Python writes it. `what`: a scheduler, ..; `taken`: names that there are, with where they come from.
    Raises UserError."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(
            f"a{_n(what)} {what} cannot be called that", found=name, expected=f"a-z, 0-9 and -, as my-{what}"
        )
    function = name.replace("-", "_")
    if keyword.iskeyword(function) or function in sys.stdlib_module_names:
        raise UserError(
            f"a{_n(what)} {what} cannot be called that",
            found=name,
            expected="no word of Python's own",
            hint=f"{name}-{what}",
        )
    if name in taken:
        raise UserError(f"there is a{_n(what)} {what} {name!r} already", found=taken[name], hint=f"my-{name}")
    return function


def write_files(folder: Path, files: Mapping[Path, str], values: Mapping[str, str]) -> list[Path]:
    """`files`: templates by path in `folder`. Nothing is overwritten. Raises UserError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            "there is something already, and nothing is overwritten", file=folder, hint="--folder ELSEWHERE"
        )
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.format(**values), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the package: {error.strerror}", file=folder) from None
    return list(files)


def _n(what: str) -> str:
    return "n" if what[0] in "aeiou" else ""
