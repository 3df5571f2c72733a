"""The stream that the page of a live cluster reads, over the page's own listener."""

from __future__ import annotations

import json
import urllib.request

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.web.page import WATCHED, Web
from tests.apiserver.live import DEADLINE_S, live

pytestmark = pytest.mark.live


def test_each_line_of_the_stream_says_which_watch_it_is_of() -> None:
    """Watches wrote what happened to the browser's connection themselves, without their kind: the page's script failed,
    connected again, and left a connection behind each time, until a browser opens no more of them."""
    web = Web()
    with live(web=web) as cluster:
        origin = cluster.http.page_url.partition("#")[0]
        asked = urllib.request.Request(f"{origin}watch", headers={"Authorization": f"Bearer {web.token}"})
        with urllib.request.urlopen(asked, timeout=DEADLINE_S) as stream:
            begun: set[str] = set()
            while begun < WATCHED.keys():
                line = json.loads(stream.readline())
                if line.get("missing") or line["event"]["type"] == "BOOKMARK":
                    begun.add(line["kind"])
            for number in range(20):
                node = {"metadata": {"name": f"node-{number}"}}
                assert cluster.request("POST", "/api/v1/nodes", node)[0] == 201
                line = json.loads(stream.readline())
                assert line["kind"] == "nodes"
                assert line["event"]["object"]["metadata"]["name"] == f"node-{number}"
