"""The files of the repository, parsed once."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("harness", "schedulers", "workloads", "tests", "benchmarks")


@cache
def committed() -> tuple[Path, ...]:
    """What git tracks and what it would add, relative to the root; all files where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        names = sorted(set(listed.stdout.splitlines()))
        return tuple(Path(name) for name in names if (ROOT / name).is_file())
    hidden = (".venv", "__pycache__", ".git")
    return tuple(
        path.relative_to(ROOT)
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and not any(part in hidden or part.startswith(".") for part in path.parts)
    )


@cache
def modules(*folders: str) -> tuple[Path, ...]:
    return tuple(path for path in committed() if path.suffix == ".py" and path.parts[0] in (folders or FOLDERS))


@cache
def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path))
