"""kill -9 under load: nothing acknowledged is lost, and clients go on with the kubeconfig that they have.

`PODYARD_KILLS=100 pytest -m slow tests/e2e/test_kill.py` kills it 100 times, about ten minutes.
"""

from __future__ import annotations

import json
import os
import random
import ssl
import subprocess
import threading
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.auth.kubeconfig import Access, access
from tests.e2e.test_up import STOP_S, podyard_up

pytestmark = [pytest.mark.live, pytest.mark.slow]

ROUNDS, CLIENTS = int(os.environ.get("PODYARD_KILLS", "10")), 4
NAMES = 12  # objects a client creates, changes and deletes in turn
AT_LEAST = 40  # acknowledged writes before each kill
MAPS = "/api/v1/namespaces/default/configmaps"

WEB: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "nginx"}]},
        },
    },
}


def call(to: Access, method: str, path: str, body: Any = None) -> Any:
    """Raises OSError, HTTPException when there is no answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {to.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(to.server + path, data=data, method=method, headers=headers)
    trust = ssl.create_default_context(cadata=to.authority)
    with urllib.request.urlopen(request, timeout=STOP_S, context=trust) as answer:
        return json.loads(answer.read())


class Client:
    """Writes its own objects one after another, and knows what each must be: of a write without an answer, either what
    was before or what was asked."""

    def __init__(self, to: Access, number: int) -> None:
        self._to = to
        self._number = number
        self._serial = 0
        self.known: dict[str, set[str | None]] = {}  # by name: values that it may have, None for not there
        self.acknowledged = 0
        self.version = 0

    def write_until_killed(self, wrote: threading.Semaphore) -> None:
        while True:
            self._serial += 1
            name = f"map-{self._number}-{self._serial % NAMES}"
            (before,) = self.known.get(name, {None})
            wanted = None if before is not None and self._serial % 5 == 0 else str(self._serial)
            self.known[name] = {before, wanted}
            try:
                self._write(name, before, wanted)
            except (OSError, HTTPException):
                return
            self.known[name] = {wanted}
            self.acknowledged += 1
            wrote.release()

    def _write(self, name: str, before: str | None, wanted: str | None) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": wanted}}
        if wanted is None:
            call(self._to, "DELETE", f"{MAPS}/{name}")
            return
        method, path = ("POST", MAPS) if before is None else ("PUT", f"{MAPS}/{name}")
        answer = call(self._to, method, path, body)
        self.version = int(answer["metadata"]["resourceVersion"])

    def compare(self, found: dict[str, str], revision: int) -> list[str]:
        """What was lost."""
        out = [] if revision >= self.version else [f"revision {revision}, {self.version} was acknowledged"]
        for name, may_be in self.known.items():
            if found.get(name) not in may_be:
                out.append(f"{name} is {found.get(name)}, was {may_be}")
            self.known[name] = {found.get(name)}
        return out


def kill_under_load(folder: Path, rounds: int, seed: int = 0) -> int:
    """How many acknowledged writes survived `rounds` kills, all of them."""
    config = folder / "kubeconfig"
    options = ("--nodes", "2", "--store", f"sqlite:{folder / 'cluster.db'}", "--time-scale", "4")
    draws = random.Random(seed)
    clients: list[Client] = []
    given = b""
    to: Access | None = None
    for turn in range(rounds + 1):
        with podyard_up(config, *options) as process:
            if to is None:
                to, given = access(config), config.read_bytes()
                call(to, "POST", "/apis/apps/v1/namespaces/default/deployments", WEB)
                clients = [Client(to, number) for number in range(CLIENTS)]
            assert config.read_bytes() == given
            page = call(to, "GET", MAPS)
            found = {item["metadata"]["name"]: item.get("data", {}).get("value", "") for item in page["items"]}
            lost = [text for one in clients for text in one.compare(found, int(page["metadata"]["resourceVersion"]))]
            assert not lost, f"after kill {turn}"
            if turn < rounds:
                _load_and_kill(process, clients, AT_LEAST + draws.randrange(3 * AT_LEAST))
            else:
                web = call(to, "GET", "/apis/apps/v1/namespaces/default/deployments/web")
                assert web["spec"]["replicas"] == 3
    return sum(one.acknowledged for one in clients)


def _load_and_kill(process: subprocess.Popen[str], clients: list[Client], after: int) -> None:
    wrote = threading.Semaphore(0)
    threads = [threading.Thread(target=one.write_until_killed, args=(wrote,), daemon=True) for one in clients]
    for thread in threads:
        thread.start()
    for _ in range(after):
        assert wrote.acquire(timeout=STOP_S), "writes are acknowledged"
    process.kill()
    process.wait(STOP_S)
    for thread in threads:
        thread.join(STOP_S)
        assert not thread.is_alive()


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    assert kill_under_load(tmp_path, ROUNDS) >= ROUNDS * AT_LEAST
