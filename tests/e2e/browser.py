"""Chromium without a window, by its DevTools protocol: what a page logs, what it asks the network for, how it looks."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

START_S, ANSWER_S = 120, 120


class Page:
    """One tab. `errors`: what its console had of errors, exceptions and failed requests; `urls`: what it asked for."""

    def __init__(self, address: str) -> None:
        import websocket

        self._socket = websocket.create_connection(address, timeout=ANSWER_S, suppress_origin=True)
        self._number = 0
        self.errors: list[str] = []
        self.urls: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        what, told = message.get("method"), message.get("params", {})
        if what == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"])[:500])
        elif what == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert", "warning"):
            self.errors.append(json.dumps(told["args"])[:500])
        elif what == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif what == "Network.requestWillBeSent":
            self.urls.append(told["request"]["url"])

    def size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """Of an expression of JavaScript, awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def eventually(self, expression: str, within_s: float = 90.0) -> Any:
        """Until it is true."""
        deadline = time.monotonic() + within_s
        while not (found := self.value(expression)):
            assert time.monotonic() < deadline, f"{expression}\n{self.errors}\n{self.value('document.body.innerText')}"
            time.sleep(0.2)
        return found

    def picture(self, file: Path, height: int | None = None) -> None:
        """The whole page, or its upper part, as PNG."""
        box = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": box["width"], "height": min(box["height"], height or 1e9), "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self._socket.close()


@contextmanager
def chromium() -> Iterator[Callable[[], Page]]:
    """A browser with a profile of its own; what is given opens a tab."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="c-", ignore_cleanup_errors=True) as profile:
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        words += ["--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        command = [CHROMIUM, *words, "about:blank"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                port = _port(Path(profile), process)
                yield lambda: _tab(port)
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_S
    told = profile / "DevToolsActivePort"
    while not (told.exists() and told.read_text().count("\n")):
        assert process.poll() is None, "Chromium has ended"
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.1)
    return int(told.read_text().splitlines()[0])


def _tab(port: int) -> Page:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
    with urllib.request.urlopen(asked, timeout=START_S) as answer:
        return Page(json.loads(answer.read())["webSocketDebuggerUrl"])
