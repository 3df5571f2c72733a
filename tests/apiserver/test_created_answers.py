"""What a create answers is made on the way of the write; it is what anybody reads afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from tests.apiserver.live import Live, live
from tests.apiserver.test_http import MAPS, PODS, config, pod

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


def test_what_a_create_answers_is_what_a_get_shows(cluster: Live) -> None:
    """The answer is made from the JSON that managedFields were found in: it may leave nothing out."""
    bodies = [
        (PODS, pod("twice", app="twice")),
        (MAPS, config("twice")),
        (MAPS, config("three") | {"data": {"a": "b"}}),
    ]
    for path, body in bodies:
        for query in ("", "?fieldManager=me"):
            body["metadata"]["name"] += "x"
            code, made = cluster.request("POST", path + query, body)
            assert code == 201
            _, found = cluster.request("GET", f"{path}/{body['metadata']['name']}")
            assert made == found
            cluster.request("DELETE", f"{path}/{body['metadata']['name']}?gracePeriodSeconds=0")
