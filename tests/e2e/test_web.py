"""`podyard up --web` in Chromium: what the page shows is what the cluster has; nothing is changed unless told."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.cli.remote import call
from tests.e2e.browser import CHROMIUM, Page, chromium
from tests.e2e.test_up import podyard_up

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("up")]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

WEB: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "1"}}}]},
        },
    },
}
GREEDY_POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "too-large"},
    "spec": {"containers": [{"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "90"}}}]},
}
LIVE = "document.getElementById('link').textContent === 'live'"


def address(config: Path) -> tuple[str, str]:
    """(the page's origin, its token), as the command printed them."""
    found = re.search(r"page: (http://127\.0\.0\.1:\d+)/#token=(\S+)", config.with_name("up.log").read_text())
    assert found is not None
    return found[1], found[2]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with chromium() as tab:
        yield tab


def text(page: Page, part: str) -> str:
    found: str = page.value(f"document.getElementById('{part}').innerText")
    return found


def clean(page: Page, origin: str) -> None:
    assert page.errors == []
    assert {url for url in page.urls if not url.startswith(f"{origin}/")} == set()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_nodes_pods_reasons_decisions_and_events(tmp_path: Path, browser: Any, width: int) -> None:
    config = tmp_path / "config"
    with podyard_up(config, "--nodes", "3", "--web"):
        call(config, "POST", "/apis/apps/v1/namespaces/default/deployments", WEB)
        call(config, "POST", "/api/v1/namespaces/default/pods", GREEDY_POD)
        origin, token = address(config)
        page: Page = browser()
        page.size(width, 900)
        page.open(f"{origin}/#token={token}")
        page.eventually(f"document.getElementById('link') && {LIVE}")
        assert "#" not in page.value("location.href")
        page.eventually("document.querySelectorAll('.node .pod.running').length === 3")
        assert page.value("document.querySelectorAll('article.node').length") == 3
        page.eventually("document.getElementById('pending').innerText.includes('Insufficient cpu')")
        assert "default/too-large" in text(page, "pending")
        page.eventually("document.querySelectorAll('.scores .chosen').length > 0")
        assert "default/web-" in text(page, "decisions")
        page.eventually("document.getElementById('events').innerText.includes('FailedScheduling')")
        assert "read-only" in text(page, "about")
        assert page.value("document.querySelectorAll('button:not(form button)').length") == 0
        assert page.value("document.getElementById('inject').hidden")
        assert page.value("document.documentElement.scrollWidth <= window.innerWidth")
        call(config, "DELETE", "/api/v1/namespaces/default/pods/too-large")
        page.eventually("document.getElementById('pending').innerText.includes('Every pod has a node')")
        clean(page, origin)
        page.close()


def test_a_fault_by_a_button_shows_in_the_cluster_and_is_undone(tmp_path: Path, browser: Any) -> None:
    config = tmp_path / "config"
    with podyard_up(config, "--nodes", "3", "--web", "--web-faults", "--time-scale", "20"):
        origin, token = address(config)
        page: Page = browser()
        page.open(f"{origin}/#token={token}")
        page.eventually(f"document.getElementById('link') && {LIVE}")
        page.eventually("document.querySelector('[aria-label=\"Crash node-1\"]') !== null")
        page.value("document.querySelector('[aria-label=\"Crash node-1\"]').click()")
        page.eventually("document.querySelector('[data-node=\"node-1\"].bad') !== null")
        assert "nodeCrash" in text(page, "faults")
        (fault,) = json.loads(call(config, "GET", "/apis/podyard.dev/v1/faults"))["items"]
        assert fault["status"]["targets"] == ["node-1"]
        page.eventually("document.querySelector('#faults button') !== null")
        page.value("document.querySelector('#faults button').click()")
        page.eventually("document.querySelector('[data-node=\"node-1\"]:not(.bad)') !== null")
        page.value("document.getElementById('fault-kind').value = 'nodeFreeze'")
        page.value("document.getElementById('fault-kind').dispatchEvent(new Event('change'))")
        page.value("document.querySelector('#fault-fields [name=for]').value = 'long'")
        page.value("document.querySelector('#inject button').click()")
        page.eventually("document.getElementById('faults').innerText.includes('Refused')")
        clean(page, origin)
        page.close()


def test_the_page_comes_back_after_the_api_server_was_away(tmp_path: Path, browser: Any) -> None:
    config = tmp_path / "config"
    with podyard_up(config, "--nodes", "2", "--web"):
        origin, token = address(config)
        page: Page = browser()
        page.open(f"{origin}/#token={token}")
        page.eventually(f"document.getElementById('link') && {LIVE}")
        body = {"apiVersion": "podyard.dev/v1", "kind": "Fault", "metadata": {"name": "away"}}
        call(config, "POST", "/apis/podyard.dev/v1/faults", {**body, "spec": {"apiServerRestart": {"downFor": "3s"}}})
        page.eventually(f"!({LIVE})")
        page.eventually(LIVE)
        assert page.value("document.querySelectorAll('article.node').length") == 2
        page.close()


# -- who may what ------------------------------------------------------------------------------------------------------


def answer(url: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=60) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_without_its_token_or_by_another_name_the_page_tells_nothing_and_changes_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config"
    crash = {"apiVersion": "podyard.dev/v1", "kind": "Fault", "metadata": {"name": "x"}, "spec": {"nodeCrash": {}}}
    faults = "/apis/podyard.dev/v1/faults"
    with podyard_up(config, "--nodes", "1", "--web"):
        origin, token = address(config)
        known = {"Authorization": f"Bearer {token}"}
        assert answer(f"{origin}/")[0] == 200
        for path in ("/about", "/decisions", "/watch"):
            assert answer(origin + path)[0] == 401
            assert answer(origin + path, Authorization="Bearer guess")[0] == 401
        assert answer(f"{origin}/about", **known)[0] == 200
        # A foreign page's own name that resolves to this machine is told apart by the Host header.
        assert answer(f"{origin}/", Host="elsewhere.example")[0] == 421
        for method, path in (("POST", faults), ("DELETE", "/api/v1/nodes/node-0"), ("PUT", "/about")):
            assert answer(origin + path, method, crash, **known)[0] == 405
        assert answer(f"{origin}/api/v1/secrets", **known)[0] == 404
        assert json.loads(call(config, "GET", faults))["items"] == []
    with podyard_up(config, "--nodes", "1", "--web", "--web-faults"):
        origin, token = _last(config)
        known = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        assert answer(origin + faults, "POST", crash)[0] == 401
        assert answer(f"{origin}/api/v1/nodes", "POST", crash, **known)[0] == 405
        assert answer(f"{origin}{faults}/../../../../api/v1/nodes/node-0", "PATCH", {}, **known)[0] in (403, 404, 405)
        assert answer(origin + faults, "POST", crash, **known)[0] == 201


def _last(config: Path) -> tuple[str, str]:
    found = re.findall(r"page: (http://127\.0\.0\.1:\d+)/#token=(\S+)", config.with_name("up.log").read_text())
    return found[-1][0], found[-1][1]
