"""The page of the command line is made from the commands."""

from __future__ import annotations

from pathlib import Path

from harness.cli.reference import markdown


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
    assert page.read_text() == markdown(), "python -m harness.cli.reference > docs/reference/cli.md"
    for name in ("## podyard run", "## podyard trace lint", "`--seeds`", "| `RECORDS..` | required |"):
        assert name in markdown()
