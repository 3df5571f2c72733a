from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.published import Published


@pytest.fixture(scope="session")
def published(shared: Path) -> Published:
    root = shared / "shockwave" / "data"
    if not root.is_dir():
        pytest.skip("the published runs of Shockwave are absent (PODYARD_SHARED/shockwave/data)")
    return Published(root)
