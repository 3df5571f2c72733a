"""The pages of docs/: each file and command that they print, in their order; and the site, built strict."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.pages import ROOT, blocks, files, run_page

DOCS = ROOT / "docs"

PRINTED = {
    "first-hour.md": ("Jobs over time", "Recovery latency", "fullest:scheduler against greedy, 8 seeds, paired"),
    "jobs_over_time.md": ("229111.2", "27.44", "71.40", "easy against greedy, 6 seeds, paired", "Job resumed"),
    "how-to/own-strategy.md": ("patient:Patient/0: digest", "spread:scheduler: conforms", " went to "),
    "how-to/own-autoscaler.md": ("Autoscaling response of default/shop", "headroom:Headroom: conforms"),
    "how-to/own-trace.md": ("3 rows, 3 kept, no errors", "frame.parquet (mapped)", "greedy/0: digest"),
    "how-to/sweeps.md": (
        "fgd against greedy, 6 seeds, paired",
        "larger against as it is",
        "decided after 15 of 30 seeds",
        "same digests",
    ),
    "how-to/gates.md": ("4 of 4 passed", "exit code 1"),
    "how-to/evaluate.md": ("tight.py: scored", "curious.py: contained", "reads '/etc/passwd' (line 3)", "exit code 1"),
    "how-to/datasets.md": ("split: by list, 2 of 3 for training", "split: by time", "candidates"),
    "how-to/figures.md": (
        "allocation.svg",
        "run,seed,pod,wait_seconds,bound",
        "| strategy | variable",
        "comparison.pdf",
        "run.json",
    ),
    "how-to/import.md": (
        "was dumped: 1 Namespace, 4 Node, 9 Pod",
        "Recovery latency",
        "one node more is better",
        "report: 10 more fit",
    ),
    "how-to/properties.md": (
        "all_ready was due 20 s after",
        "scenario=document([Fault(kind='nodeCrash')], duration_s=120)",
        "scenario=document([Service(replicas=4)], duration_s=120)",
    ),
    "how-to/learning.md": ("seed of the scenario", "policy:scheduler against random, 6 seeds, paired"),
}
"""What each page's commands must have printed, besides ending with exit code 0."""


@pytest.mark.slow
@pytest.mark.parametrize("page", PRINTED)
def test_a_page_runs_as_printed(page: str, tmp_path: Path) -> None:
    if page == "how-to/learning.md":
        pytest.importorskip("gymnasium", reason="the rl extra is not installed")
    out = run_page(page, tmp_path, longest_s=1800)
    assert [text for text in PRINTED[page] if text not in out] == [], out


@pytest.mark.parametrize("page", PRINTED)
def test_a_page_has_commands_and_each_file_that_they_name(page: str) -> None:
    commands = "\n".join(blocks(page, "sh"))
    assert "podyard " in commands or "pytest " in commands
    written = set(files(page))
    named = {name for name in re.findall(r"[\w-]+\.(?:py|yaml)\b", commands) if f"/{name}" not in commands}
    without_maps = re.sub(r"--map ('[^']*'|\S+)", "", commands)  # of columns: `CPU cores:cores` is no strategy
    strategies = set(re.findall(r"[, ]'?(\w+):[A-Za-z]+(?=[,?\s']|$)", without_maps))
    assert named | {f"{name}.py" for name in strategies} == written


def test_every_page_is_in_the_navigation() -> None:
    plain: Callable[[str], object] = yaml.safe_load
    settings = plain((DOCS / "site" / "mkdocs.yml").read_text())
    assert isinstance(settings, dict)
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    beside_the_code = {"reference/measures.md", "reference/constants.md"}  # docs/site/shared_pages.py
    assert set(re.findall(r"[\w/-]+\.md", str(settings["nav"]))) == pages | beside_the_code


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for package in ("mkdocs", "material"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'podyard[docs]'")
    settings = str(DOCS / "site" / "mkdocs.yml")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", settings, "--site-dir"]
    done = subprocess.run([*command, str(tmp_path / "site")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING -" not in done.stderr
    assert "placement.pendingSeconds.mean" in (tmp_path / "site" / "reference" / "measures" / "index.html").read_text()
