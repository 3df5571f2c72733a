"""What happens in each story is what its golden file says.

`pytest tests/golden --rewrite-golden && git diff tests/golden` writes them anew; review the diff as you would code.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.golden.stories import STORIES

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", STORIES)
def test_a_story_goes_as_written(name: str, rewrite_golden: bool) -> None:
    story = STORIES[name]
    told = "".join(f"# {line.strip()}\n" for line in str(story.__doc__).strip().splitlines()) + story()
    path = HERE / f"{name}.txt"
    if rewrite_golden:
        path.write_text(told, encoding="utf-8")
    assert path.is_file(), f"pytest tests/golden --rewrite-golden writes {path.name}"
    assert told == path.read_text(encoding="utf-8"), "if this is meant: pytest tests/golden --rewrite-golden"


def test_there_is_no_other_file() -> None:
    assert sorted(path.stem for path in HERE.glob("*.txt")) == sorted(STORIES)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_no_file_holds_a_digest_or_a_measured_time(path: Path) -> None:
    told = path.read_text(encoding="utf-8")
    assert not re.search(r"\b[0-9a-f]{32}\b|[0-9a-f]{8}-[0-9a-f]{4}-", told)
    assert all(re.match(r"#|\s*(AT|\d+\.\d{3}s)\s", line) for line in told.splitlines())
