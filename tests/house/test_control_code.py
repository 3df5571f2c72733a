"""Control code takes the time, its events and its random stream as arguments: no clock, thread, socket or file in it.

Each edge, where one of these does belong, stands in EDGES with the reason. Strings are parsed as well as the files, so
that the rule is shown to see what it forbids.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import modules, tree_of

CONTROL = (
    "harness/model",
    "harness/engine",
    "harness/store",
    "harness/apiserver",
    "harness/scheduling",
    "harness/controllers",
    "harness/autoscaling",
    "harness/node",
    "harness/faults",
    "harness/measure",
    "schedulers",
    "workloads/generators",
)

FORBIDDEN = {
    "clock": ("time", "sched", "signal", "select", "selectors"),
    "thread": ("threading", "_thread", "asyncio", "concurrent", "multiprocessing", "queue", "ray", "subprocess"),
    "socket": ("socket", "ssl", "http", "urllib.request", "requests", "uvicorn", "starlette", "socketserver", "ftplib"),
    "file": ("os", "io", "sqlite3", "tempfile", "shutil", "pathlib", "glob", "mmap", "fcntl", "gzip", "zipfile"),
    "chance": ("secrets", "uuid"),
}
OF = {module: what for what, names in FORBIDDEN.items() for module in names}
CALLS = {"open": "file", "input": "file", "print": "file", "breakpoint": "file"}
NOW = ("now", "utcnow", "today")  # of datetime and date
STREAMS = ("default_rng", "Generator", "SeedSequence", "PCG64", "Philox", "BitGenerator", "RandomState")

EDGES: dict[str, tuple[set[str], str]] = {
    "harness/engine/wall.py": ({"clock"}, "the driver of a live cluster runs by the wall clock"),
    "harness/store/sqlite.py": ({"file"}, "the store that keeps its rows in a file"),
    "harness/store/sqlite_file.py": ({"file"}, "opens, checks and locks that file"),
    "harness/store/etcd.py": ({"clock", "socket"}, "the store in an etcd: waits for it, and keeps a lease alive"),
    "harness/store/etcd_client.py": ({"socket"}, "talks to that etcd"),
    "harness/store/tail_record.py": ({"file"}, "the record beside that file"),
    "harness/store/private_file.py": ({"file"}, "files that only their owner may read"),
    "harness/store/snapshot_files.py": ({"file"}, "snapshots as files"),
    "harness/apiserver/http": (
        {"clock", "thread", "socket", "file", "chance"},
        "serves remote clients: sockets, certificates",
    ),
    "harness/scheduling/sandbox/deadline.py": ({"clock", "thread", "file"}, "ends a stranger's call that overruns"),
    "harness/node/actors": ({"clock", "thread", "socket", "file", "chance"}, "nodes that live in Ray actors"),
    "schedulers/extender/client.py": ({"socket"}, "asks a scheduler extender over HTTP"),
    "schedulers/kube/config.py": ({"file"}, "reads a KubeSchedulerConfiguration"),
    "schedulers/ranked/__init__.py": ({"file"}, "finds the weights beside the code"),
    "schedulers/ranked/model.py": ({"file"}, "reads and writes the weights"),
    "schedulers/ranked/command.py": ({"clock", "file"}, "the command that trains: prints, and dates its weights"),
    "harness/model/loading/text_file.py": ({"file"}, "reads the text of what users hand in, for all readers"),
    "harness/model/plugins.py": ({"file"}, "loads plug-ins, in a checkout by its own pyproject.toml"),
}


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [item.name for item in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        if node.module == "pathlib" and {item.name for item in node.names} == {"PurePath"}:
            return []  # names without a file system
        return [node.module, *(f"{node.module}.{item.name}" for item in node.names)]
    return []


def effects(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """(line, what kind, what) for each clock, thread, socket, file and global draw that the code names."""
    for node in ast.walk(tree):
        for name in imported(node):
            root = name.split(".")[0]
            if name in OF or (root in OF and root != "urllib"):
                yield node.lineno, OF.get(name, OF.get(root, "")), name  # type: ignore[attr-defined]
            if name.startswith("random.") and name not in ("random.Random", "random.getstate"):
                yield node.lineno, "chance", name  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield node.lineno, CALLS[node.func.id], f"{node.func.id}()"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if node.func.attr in NOW and owner.split(".")[-1] in ("datetime", "date"):
                yield node.lineno, "clock", f"{owner}.{node.func.attr}()"
            if owner in ("np.random", "numpy.random", "random") and node.func.attr not in (*STREAMS, "Random"):
                yield node.lineno, "chance", f"{owner}.{node.func.attr}()"


def edge_of(path: Path) -> set[str]:
    return next((kinds for edge, (kinds, _) in EDGES.items() if path.is_relative_to(edge)), set())


@pytest.mark.parametrize("folder", CONTROL)
def test_control_code_has_no_effects(folder: str) -> None:
    paths = [path for path in modules(folder.split("/")[0]) if path.is_relative_to(folder)]
    assert paths, f"{folder} is empty"
    found = [
        f"{path}:{line}: {kind}: {what}"
        for path in paths
        for line, kind, what in effects(tree_of(path))
        if kind not in edge_of(path)
    ]
    assert not found, "take it as an argument, or name the edge and the reason in EDGES\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("import time", "clock"),
        ("from time import monotonic", "clock"),
        ("from datetime import datetime\nat = datetime.now()", "clock"),
        ("import datetime\nat = datetime.date.today()", "clock"),
        ("import threading", "thread"),
        ("from concurrent.futures import ThreadPoolExecutor", "thread"),
        ("def f():\n    import ray", "thread"),
        ("import http.client", "socket"),
        ("from urllib import request", "socket"),
        ("from pathlib import Path", "file"),
        ("data = open('a').read()", "file"),
        ("print('here')", "file"),
        ("import random\nx = random.random()", "chance"),
        ("from random import shuffle", "chance"),
        ("import numpy as np\nx = np.random.rand(3)", "chance"),
        ("from uuid import uuid4", "chance"),
    ],
)
def test_the_rule_sees(code: str, kind: str) -> None:
    assert kind in {found for _, found, _ in effects(ast.parse(code))}


@pytest.mark.parametrize(
    "code",
    [
        "from random import Random\nrng = Random(7)",
        "import numpy as np\nrng = np.random.default_rng(7)",
        "from urllib.parse import urlsplit",
        "from datetime import UTC, datetime\nat = datetime.fromtimestamp(0, UTC)",
        "from . import time_of_day",
        "from pathlib import PurePath",
    ],
)
def test_what_it_lets_pass(code: str) -> None:
    assert list(effects(ast.parse(code))) == []


def test_each_edge_is_there_and_needed() -> None:
    for edge, (kinds, reason) in EDGES.items():
        paths = [path for path in modules("harness", "schedulers", "workloads") if path.is_relative_to(edge)]
        assert paths, f"{edge} is gone: take it out of EDGES"
        found = {kind for path in paths for _, kind, _ in effects(tree_of(path))}
        assert kinds <= found, f"{edge} no longer has {sorted(kinds - found)}: take it out of EDGES"
        assert reason, edge
