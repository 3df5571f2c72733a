"""The pictures of docs/concepts.md, from the records of the quickstart: `python docs/site/pictures.py`.

Needs the extra `report`, and Chromium for the pictures of the report. Those of the live page are screenshots of
`podyard up --web`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORDS, PICTURES = ROOT / "results" / "reference" / "quickstart", ROOT / "docs" / "pictures"
FIGURES = {"allocation": (), "waits": (), "replicas": ("greedy",)}
"""Kind -> strategies whose records are drawn; without any, all."""

SIZES = {1280: 2300, 390: 2300}
"""Width -> height of the part of the report that is shown, in pixels."""


def podyard(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "harness.cli", *words], cwd=ROOT, check=True)


def main() -> None:
    for kind, strategies in FIGURES.items():
        records = [str(RECORDS / name) for name in strategies] or [str(RECORDS)]
        podyard("plot", *records, "--kind", kind, "-o", "svg", "--out", str(PICTURES / f"{kind}.svg"))
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium here: the pictures of the report are left as they are")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        podyard("report", str(RECORDS), "--out", str(page))
        for width, height in SIZES.items():
            options = ("--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={width},{height}")
            shot = f"--screenshot={PICTURES / f'report-{width}.png'}"
            subprocess.run([browser, *options, shot, page.as_uri()], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
