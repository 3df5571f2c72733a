"""HTTP scheduler extenders: a real server on loopback speaks kube-scheduler's extender API; whatever it does wrong is
counted or passed over, as configured."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.result import Result
from harness.experiment.run import run_once
from harness.model.errors import UserError
from harness.scheduling.registry import load
from schedulers.extender import settings
from tests.experiment.scenarios import SERVICE, loaded

SMALL = loaded(workload=[SERVICE], duration="30s", bound=False, events=False)
"""Four pods of one CPU each, six nodes of four."""

Handler = Callable[[dict[str, Any]], Any]


class Server:
    """Answers each verb by a function of the arguments; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.verbs: dict[str, Handler] = {}
        owner = self

        class Handle(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                verb = self.path.rpartition("/")[2]
                owner.asked.append((verb, body))
                answer = owner.verbs[verb](body)
                status, text = answer if isinstance(answer, tuple) else (200, json.dumps(answer))
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handle)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # we hung up on it
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/scheduler"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def names(args: dict[str, Any]) -> list[str]:
    if args["NodeNames"] is not None:
        return list(args["NodeNames"])
    return [item["metadata"]["name"] for item in args["Nodes"]["items"]]


def even_only(args: dict[str, Any]) -> Any:
    keep = [name for name in names(args) if int(name[-1]) % 2 == 0]
    return {"NodeNames": keep, "FailedNodes": {name: "odd" for name in names(args) if name not in keep}, "Error": ""}


def even_only_nodes(args: dict[str, Any]) -> Any:
    """As a Go server that keeps no nodes answers: Nodes, and keys in another case."""
    keep = [item for item in args["Nodes"]["items"] if int(item["metadata"]["name"][-1]) % 2 == 0]
    return {"nodes": {"items": keep}, "nodenames": None, "failedNodes": {}}


def highest(args: dict[str, Any]) -> Any:
    return [{"Host": name, "Score": int(name[-1])} for name in names(args)]


def play(server: Server, **words: Any) -> Result:
    spec = f"schedulers.extender:extender?url={server.url}" + "".join(f"&{key}={value}" for key, value in words.items())
    return run_once(SMALL, spec, 3)


def placed(server: Server) -> set[str]:
    return {args["Node"] for verb, args in server.asked if verb == "bind"}


def kinds(result: Result) -> dict[str, int]:
    out: dict[str, int] = {}
    for _, kind, _, reason in result.violations:
        out[f"{kind}: {reason}"] = out.get(f"{kind}: {reason}", 0) + 1
    return out


@pytest.mark.parametrize("capable", ["true", "false"])
def test_it_filters_prioritizes_and_binds(server: Server, capable: str) -> None:
    server.verbs = {
        "filter": even_only if capable == "true" else even_only_nodes,
        "prioritize": highest,
        "bind": lambda args: {"Error": ""},
    }
    words = {"filterVerb": "filter", "prioritizeVerb": "prioritize", "bindVerb": "bind", "nodeCacheCapable": capable}
    result = play(server, **words)
    assert result.ok, (result.broken, result.violations)
    assert placed(server) <= {"n-0", "n-2", "n-4"}
    assert "n-4" in placed(server), "the one it likes best"
    assert result.metrics["placement"]["podsBound"] == len([1 for verb, _ in server.asked if verb == "bind"]) > 0
    assert play(server, **words).digest == result.digest


def test_what_it_is_sent_is_kubernetes_own(server: Server) -> None:
    server.verbs = {"filter": lambda args: {"NodeNames": names(args)}, "prioritize": highest}
    assert play(server).ok
    verb, args = server.asked[0]
    assert verb == "filter"
    assert set(args) == {"Pod", "Nodes", "NodeNames"}
    requests = args["Pod"]["spec"]["containers"][0]["resources"]["requests"]
    assert requests["cpu"].endswith("m") or requests["cpu"].isdecimal()
    node = args["Nodes"]["items"][0]
    assert node["status"]["allocatable"]["cpu"] == "4"
    assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == "a"
    free = [
        json.loads(item["metadata"]["annotations"]["podyard.dev/free"])["pods"]
        for verb, args in server.asked
        for item in args["Nodes"]["items"]
    ]
    assert len(set(free)) > 1, "what is free follows what was placed"


def slow(args: dict[str, Any]) -> Any:
    time.sleep(1.0)
    return even_only(args)


FAILURES: list[tuple[Handler, str]] = [
    (lambda args: (500, "boom"), "extender: filter: HTTP 500"),
    (lambda args: (200, "{not json"), "extender: filter: the answer is no JSON"),
    (lambda args: [1], "extender: the answer is no ExtenderFilterResult"),
    (lambda args: {"Error": "no idea"}, "extender: filter: no idea"),
    (lambda args: {"NodeNames": ["elsewhere"]}, "extender: filter: 'elsewhere' was not among the nodes"),
    (lambda args: {"NodeNames": 7}, "extender: filter: NodeNames is no list of names"),
    (slow, "extender: filter: no answer within 0.05 s"),
]


@pytest.mark.parametrize(("handler", "told"), FAILURES)
def test_a_failure_is_counted_and_the_pod_waits(server: Server, handler: Handler, told: str) -> None:
    server.verbs = {"filter": handler}
    result = play(server, filterVerb="filter", httpTimeout="50ms" if handler is slow else "20s")
    assert set(kinds(result)) == {told}
    assert result.metrics["placement"]["podsBound"] == 0
    assert not result.ok


@pytest.mark.parametrize(("handler", "told"), FAILURES[:2])
def test_an_ignorable_one_is_passed_over(server: Server, handler: Handler, told: str) -> None:
    server.verbs = {"filter": handler}
    result = play(server, filterVerb="filter", ignorable="true")
    assert result.ok
    assert result.metrics["placement"]["podsBound"] > 0


def test_a_failing_score_is_counted_and_the_pod_still_goes(server: Server) -> None:
    server.verbs = {"prioritize": lambda args: [{"Host": name, "Score": 99} for name in names(args)]}
    result = play(server, prioritizeVerb="prioritize", weight=2)
    assert all("has 99, not 0 to 10" in text for text in kinds(result))
    assert result.violations
    assert result.metrics["placement"]["podsBound"] > 0


def test_a_refused_binding_is_not_made(server: Server) -> None:
    server.verbs = {"bind": lambda args: {"Error": "quota"}}
    result = play(server, bindVerb="bind")
    assert set(kinds(result)) == {"extender: bind: quota"}
    assert result.metrics["placement"]["podsBound"] == 0


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spec = f"schedulers.extender:extender?url=http://127.0.0.1:{port}"
    result = run_once(SMALL, spec, 3)
    assert set(kinds(result)) == {"extender: filter: connection refused by 127.0.0.1"}


def test_a_managed_resource_that_no_pod_asks_for_means_it_is_not_asked(server: Server) -> None:
    assert play(server, filterVerb="filter", managedResources="example.com/fpga").ok
    assert server.asked == []


def test_short_for_a_url(server: Server) -> None:
    load(f"extender:{server.url}?weight=3&prioritizeVerb=prioritize")()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"urlPrefix": "nowhere"}, "needs a urlPrefix"),
        ({"urlPrefix": "http://h", "filterVreb": "f"}, "did you mean 'filterVerb'"),
        ({"urlPrefix": "http://h", "preemptVerb": "p"}, "not modelled"),
        ({"urlPrefix": "http://h", "prioritizeVerb": "p"}, "needs a weight"),
        ({"urlPrefix": "http://h:x"}, "needs a urlPrefix"),
        ({"urlPrefix": "http://h", "httpTimeout": "soon"}, "soon"),
        ({"urlPrefix": "http://h", "ignorable": 7}, "this is no extender"),
    ],
)
def test_what_is_wrong_with_the_settings_is_told(data: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as error:
        settings(data)
    assert told in str(error.value)


CONFIG = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
extenders:
  - urlPrefix: {url}
    filterVerb: filter
    prioritizeVerb: prioritize
    bindVerb: bind
    weight: 100
    nodeCacheCapable: true
"""


def test_kube_asks_the_extenders_of_its_configuration(server: Server, tmp_path: Path) -> None:
    server.verbs = {"filter": even_only, "prioritize": highest, "bind": lambda args: {}}
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(url=server.url))
    result = run_once(SMALL, f"schedulers.kube:kube?config={file}", 3)
    assert result.ok, result.violations
    assert placed(server) == {"n-4"}, "its weight is above what the profile's own scores can tell"


def test_what_is_wrong_with_an_extender_of_a_configuration_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(url="nowhere"))
    with pytest.raises(UserError) as error:
        load(f"schedulers.kube:kube?config={file}")()
    assert (error.value.file, error.value.line) == (str(file), 5)
