"""The pytest plugin: fixtures for those who test a strategy. It imports nothing until a fixture is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.testing.cluster import Cluster


@pytest.fixture
def scheduler_conformance() -> Callable[..., None]:
    """`scheduler_conformance("name")`, or a factory: fails with each property that does not hold, and its example.

    A name or module:object is tried in other processes, too. More arguments: as of `conformance.check`.
    """

    def hold(scheduler: Any, **how: Any) -> None:
        from harness.scheduling.registry import load
        from harness.testing.conformance import check

        named = isinstance(scheduler, str)
        how = {"spec": scheduler if named else None, **how}
        found = check(load(scheduler) if named else scheduler, **how)
        broken = [verdict for verdict in found if verdict.ok is False]
        if broken:
            lines = [f"{verdict.name}: {verdict.reason}" for verdict in broken]
            lines += [f"  {verdict.name}: {verdict.world.text()}" for verdict in broken if verdict.world is not None]
            pytest.fail("\n".join(lines), pytrace=False)

    return hold


@pytest.fixture
def podyard_cluster() -> Callable[[Any], Cluster]:
    """`podyard_cluster(strategy).node("n", cpu_milli=2000).pod("a").run()`: a whole small cluster, and its log."""
    from harness.testing.cluster import Cluster

    return Cluster
