"""What the documentation names is there."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import ROOT, committed, modules, text_of, tree_of
from tests.pages import FILE

PAGES = tuple(path for path in committed() if path.suffix == ".md")
NAMED = re.compile(r"`([\w./<>*-]+)`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
FILES = (".py", ".md", ".yaml", ".toml", ".lock", ".csv", ".json", ".svg", ".txt")
TOPS = ("harness", "schedulers", "workloads", "tests", "benchmarks", "results", ".ci")

# Files that a run or a reader makes, or somebody else's repository holds.
MADE = re.compile(r"results/(?:local|history)\b|<|\*|record\.json|metrics\.prom|zones\.py|crash-test\.yaml")


def places(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """(line, name) of each file or folder of this repository that a page names between backticks, or links to."""
    fence = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fence = not fence
        if fence:
            continue
        for name in (*NAMED.findall(line), *LINK.findall(line)):
            if MADE.search(name):
                continue
            if name.endswith(FILES) or (name.endswith("/") and "/" in name.rstrip("/")) or name.split("/")[0] in TOPS:
                yield number, name


def exists(name: str, page: Path) -> bool:
    """From the root, from `harness/`, from the page's folder or one above; a bare file name anywhere below the page."""
    bare = name.rstrip("/")
    if any((ROOT / base / bare).exists() for base in (Path(), Path("harness"), *page.parents)):
        return True
    return "/" not in bare and any(found.name == bare for found in committed() if found.is_relative_to(page.parent))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_a_page_names_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md" or "decisions" in page.parts:
        pytest.skip("speaks of the past, too")
    shown = {name for _, name in FILE.findall(text_of(page))}  # the page's own blocks hold them
    named = [(line, name) for line, name in places(page, text_of(page)) if name not in shown]
    assert [f"{page}:{line}: {name}" for line, name in named if not exists(name, page)] == []


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


@pytest.mark.parametrize("folder", ["harness", "schedulers", "workloads", "tests", "benchmarks"])
def test_files_that_the_code_names_exist(folder: str) -> None:
    """Paths with a folder, in docstrings and comments: `harness/...py`, `tests/...py`, `schedulers/...md`."""
    named = re.compile(r"\b((?:harness|schedulers|workloads|tests|benchmarks)/[\w/]+\.(?:py|md|yaml))")
    missing = []
    for path in modules(folder):
        if not named.search(text_of(path)):
            continue
        comments = [line for line in text_of(path).splitlines() if line.lstrip().startswith("#")]
        said = named.findall("\n".join([*docstrings(tree_of(path)), *comments]))
        missing += [f"{path}: {name}" for name in said if not exists(name, path)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_python_in_a_page_compiles_and_its_imports_resolve(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL):
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in TOPS:
                module = importlib.import_module(node.module)
                for item in node.names:
                    assert hasattr(module, item.name), f"{page}: {node.module} has no {item.name}"


def index_of_decisions() -> str:
    folder = Path("harness/decisions")
    rows = []
    for path in sorted(path for path in committed() if path.parent == folder and path.name != "README.md"):
        title = re.sub(r"^#\s*(\d+[.:]?\s+)?", "", text_of(path).splitlines()[0])
        rows.append(f"| [{path.name[:4]}]({path.name}) | {title[0].upper()}{title[1:]} |")
    head = "| number | decision |\n|---|---|\n"
    return head + "\n".join(rows) + "\n"


def test_the_index_of_decisions_has_each_of_them(rewrite_golden: bool) -> None:
    page = Path("harness/decisions/README.md")
    text = text_of(page)
    begin = text.partition("| number")[0]
    if rewrite_golden:
        (ROOT / page).write_text(begin + index_of_decisions(), encoding="utf-8")
        return
    # In any order: a merge of two branches keeps the rows of both, one after the other.
    wanted = (begin + index_of_decisions()).splitlines()
    assert sorted(text.splitlines()) == sorted(wanted), "pytest tests/house --rewrite-golden writes the index"


MAIN = (
    "harness/scheduling",
    "harness/apiserver",
    "harness/controllers",
    "harness/node",
    "harness/store",
    "harness/engine",
    "harness/measure",
    "harness/experiment",
    "harness/faults",
    "harness/autoscaling",
    "harness/convergence",
    "harness/explain",
    "harness/cluster",
    "harness",
    "workloads",
    "schedulers",
    "benchmarks",
    "tests",
)


@pytest.mark.parametrize("folder", MAIN)
def test_each_main_folder_has_a_page_with_a_picture_and_its_words(folder: str) -> None:
    text = text_of(Path(folder) / "README.md")
    assert "```text" in text, "a picture"
    assert re.search(r"^#+ (Vocabulary|Words)", text, re.MULTILINE), "its words"
