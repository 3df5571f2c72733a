"""Ray as a user meets it: clusters that are there, are not, lose a machine; runs that are interrupted or killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.killed_sweep import MACHINES, PODYARD, killed_sweep
from harness.experiment.record import FILES
from harness.model.whole_numbers import whole_number
from tests.experiment.scenarios import SERVICE, written

ROOT = Path(__file__).parents[2]
ENDED_S = 15.0
"""A command that is interrupted ends after 3 s at the latest; the rest is for a machine that is busy."""


@pytest.fixture
def place() -> Iterator[Path]:
    """For temporary files; its path is short, as sockets are below it. Nothing is left in it, nor any process of it."""
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    try:
        yield folder
        eventually(lambda: not processes_of(folder), f"processes are left: {processes_of(folder)}")
        eventually(lambda: not os.listdir(folder), f"files are left: {os.listdir(folder)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> dict[int, str]:
    """Whose temporary files would go there."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        process = whole_number(entry.name)
        if process is not None and process != os.getpid():
            try:
                if f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes():
                    found[process] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
            except OSError:
                continue
    return found


def eventually(what: Callable[[], Any], why: str, within_s: float = 30.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline, why
        time.sleep(0.1)
    return found


@contextmanager
def podyard(place: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place), **environment}
    with subprocess.Popen(
        [*PODYARD, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=place.parent
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def busy(folder: Path, **more: Any) -> Path:
    """Takes some ten seconds a strategy."""
    spec = {
        "duration": "3h",
        "schedulers": ["greedy", "least-allocated", "random"],
        "nodes": [{"openbLike": {"count": 40}}],
        "workload": [SERVICE, {"openbLike": {"pods": 3000, "longest": "10m", "load": 110}}],
    }
    return written(folder, **spec | more)


def actors_of(place: Path) -> list[int]:
    return sorted(pid for pid, line in processes_of(place).items() if line.startswith("ray::NodeActor"))


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "by"),
    [
        ("127.0.0.1:1", "environment"),
        ("6379", "option"),
        *[
            pytest.param(address, by, marks=pytest.mark.slow)
            for address in ("127.0.0.1:1", "nowhere.invalid:6379", "ray://127.0.0.1:1")
            for by in ("option", "environment")
            if (address, by) != ("127.0.0.1:1", "environment")
        ],
    ],
)
def test_an_address_without_a_cluster_is_one_line(place: Path, tmp_path: Path, address: str, by: str) -> None:
    path = written(tmp_path, duration="1m", workload=[SERVICE])
    words = ["run", str(path), "--out", str(tmp_path / "out"), "-q"]
    given = {"RAY_ADDRESS": address} if by == "environment" else {}
    with podyard(place, *words, *([] if given else ["--ray-address", address]), **given) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert (out, len(err.splitlines())) == ("", 1), err
    assert address in err


@pytest.mark.slow
def test_a_port_that_says_nothing_is_given_up(place: Path, tmp_path: Path) -> None:
    path = written(tmp_path, duration="1m", workload=[SERVICE])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with podyard(place, "run", str(path), "--ray-address", address, "--out", str(tmp_path)) as process:
            _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.splitlines() == [f"error: there is no Ray cluster at {address}: no answer in 4 s"]
    assert time.monotonic() - began < 30


# -- a cluster of several machines -------------------------------------------------------------------------------------


@contextmanager
def three_nodes(place: Path, script: str = MACHINES, **environment: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """(address, what kills one of them)."""
    folder = tempfile.mkdtemp(prefix="r-", dir="/tmp")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def kill() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("kill\n")
        process.stdin.flush()
        assert process.stdout.readline() == "removed\n"

    try:
        yield process.stdout.readline().strip(), kill
    finally:
        process.stdin.close()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


OTHER = """
import sys
import ray
ray.__version__ = "1.2.3"
from ray.cluster_utils import Cluster
quiet = dict(include_dashboard=False, include_log_monitor=False, no_monitor=True)
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1, temp_dir=sys.argv[1], **quiet))
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_of_another_ray_is_one_line_that_names_both(place: Path, tmp_path: Path) -> None:
    import ray

    path = written(tmp_path, duration="1m", workload=[SERVICE])
    with three_nodes(place, OTHER) as (address, _):
        words = ("run", str(path), "--ray-address", address, "--out", str(tmp_path / "out"), "-q")
        with podyard(place, *words, RAY_AUTH_MODE="disabled") as process:
            out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert (out, len(err.splitlines())) == ("", 1), err
    assert all(word in err for word in (address, "another version", "1.2.3", ray.__version__)), err


APART = """
import socket, sys
if any("default_worker" in word for word in sys.orig_argv):
    connect = socket.socket.connect
    def away(self, to):
        if isinstance(to, str) and "/podyard-" in to:
            raise FileNotFoundError(to)
        return connect(self, to)
    socket.socket.connect = away
"""


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True], ids=["by socket", "by calls"])
def test_nodes_on_a_cluster_of_three_machines_have_the_same_bits(place: Path, tmp_path: Path, apart: bool) -> None:
    """On one machine all actors reach the session's socket. `apart`: they do not, as on machines of their own."""
    path = written(tmp_path, duration="6m", workload=[SERVICE])
    environment = {"RAY_AUTH_MODE": "disabled"}
    if apart:
        (tmp_path / "sitecustomize.py").write_text(APART)
        environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    digests = set()
    with three_nodes(place, **environment) as (address, _):
        for words in (["--nodes", "inline"], ["--ray-address", address, "--actors", "3"]):
            out = str(tmp_path / "out")
            with podyard(place, "run", str(path), *words, "-o", "json", "-q", "--out", out, **environment) as process:
                told, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            digests.add(json.loads(told)[0]["digest"])
    assert len(digests) == 1


@pytest.mark.slow
def test_a_sweep_survives_that_one_of_three_machines_dies(place: Path, tmp_path: Path) -> None:
    path = written(tmp_path, duration="2h", workload=[SERVICE, {"openbLike": {"pods": 300, "load": 110}}])
    out = tmp_path / "out"
    with three_nodes(place) as (address, kill):
        words = ("run", str(path), "-s", "greedy", "--seeds", "1-8", "--parallel", "3", "--ray-address", address)
        with podyard(place, *words, "-o", "json", "--out", str(out), RAY_AUTH_MODE="disabled") as process:
            assert process.stderr is not None
            assert "1/8" in process.stderr.readline()
            kill()
            told, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert [result["seed"] for result in json.loads(told)] == list(range(1, 9))
    # What the machine was writing when it died stays in a hidden folder beside the record that was made anew.
    seeds = [record.parent.name for record in out.rglob("record.json") if not record.parent.name.startswith(".")]
    assert sorted(map(int, seeds)) == list(range(1, 9))


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True], ids=["by socket", "by calls"])
def test_a_run_whose_machine_dies_ends_and_says_that_it_cannot_be_replayed(
    place: Path, tmp_path: Path, apart: bool
) -> None:
    environment = {"RAY_AUTH_MODE": "disabled"}
    if apart:
        (tmp_path / "sitecustomize.py").write_text(APART)
        environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    with three_nodes(place, **environment) as (address, kill):
        path = str(busy(tmp_path, duration="1h"))
        words = ("run", path, "-s", "greedy", "--ray-address", address, "--actors", "6", "-o", "json")
        with podyard(place, *words, "--out", str(tmp_path / "out"), **environment) as process:
            assert process.stderr is not None
            assert "1/1 greedy, seed 3: " in process.stderr.readline()  # it has run for three seconds
            kill()
            kill()  # Ray need not have put an actor on each
            told, err = process.communicate(timeout=240)
    (result,) = json.loads(told)
    assert process.returncode == 1, err
    assert result["digest"] == ""
    assert "died at" in result["lostActors"][0]
    assert "ran out of memory" not in result["lostActors"][0]


@contextmanager
def memory_hog(most: int) -> Iterator[None]:
    """Bytes that are held, and touched."""
    held = [bytearray(os.urandom(1 << 20) * 64) for _ in range(most >> 26)]
    yield
    held.clear()


@pytest.mark.slow
def test_actors_that_ray_kills_for_memory_fail_the_run_in_a_line_each(place: Path, tmp_path: Path) -> None:
    """Its memory monitor kills workers when its machine has little left; here: little more than is used now."""
    rows = (line.partition(":") for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in rows}
    total, free = kilobytes["MemTotal"], kilobytes["MemAvailable"]
    threshold = (total - free + (1 << 20)) / total
    if threshold + (1 << 20) / total > 0.9:
        pytest.skip("this machine has too little memory left to try it")
    path = busy(tmp_path, duration="4h")
    words = ("run", str(path), "-s", "greedy", "-o", "json", "--out", str(tmp_path / "out"))
    limits = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "100"}
    with podyard(place, *words, **limits) as process:
        assert process.stderr is not None
        assert "1/1 greedy, seed 3: " in process.stderr.readline()
        with memory_hog(2 << 30):
            time.sleep(3)
        told, err = process.communicate(timeout=240)
    (result,) = json.loads(told)
    if result["digest"]:
        pytest.skip("Ray's monitor did not look in time")
    assert process.returncode == 1
    lines = [line for line in err.splitlines() if "this run cannot be replayed" in line]
    assert len(lines) == len(result["lostActors"]) > 0
    assert all("died at" in line and "its machine ran out of memory" in line for line in lines)


# -- actors that die ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_actor_killed_in_virtual_time_fails_the_run_and_its_record_says_so(place: Path, tmp_path: Path) -> None:
    path = busy(tmp_path, duration="1h")
    words = ("run", str(path), "-s", "greedy", "-o", "json", "--out", str(tmp_path / "out"))
    with podyard(place, *words) as process:
        assert process.stderr is not None
        assert "1/1 greedy, seed 3: " in process.stderr.readline()  # it has run for three seconds
        os.kill(actors_of(place)[0], signal.SIGKILL)
        told, err = process.communicate(timeout=180)
    (result,) = json.loads(told)
    if result["digest"]:
        pytest.skip("the run was over before its actor died")
    assert process.returncode == 1, err
    assert "died at" in result["lostActors"][0]
    assert "ran out of memory" not in result["lostActors"][0]


# -- interrupted -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("after_s", "number", "words"),
    [
        *[(after, signal.SIGINT, ["run", "{path}"]) for after in (0.4, 1.2, 3.0, 8.0)],
        (3.0, signal.SIGTERM, ["run", "{path}"]),
        (0.8, signal.SIGTERM, ["run", "{path}", "--nodes", "inline"]),
        (4.0, signal.SIGINT, ["run", "{path}", "--nodes", "inline"]),
        (5.0, signal.SIGINT, ["run", "{path}", "--parallel", "2", "--seeds", "1-4"]),
        (9.0, signal.SIGTERM, ["run", "{path}", "--parallel", "2", "--seeds", "1-4"]),
        (4.0, signal.SIGINT, ["compare", "{path}", "-s", "greedy,random", "--seeds", "1-4"]),
        (6.0, signal.SIGINT, ["compare", "{path}", "-s", "greedy,random", "--seeds", "1-4", "--parallel", "2"]),
        (4.0, signal.SIGINT, ["simulate", "--seeds", "1-5000", "--parallel", "2"]),
        (4.0, signal.SIGTERM, ["simulate", "--seeds", "1-5000", "--parallel", "1"]),
        (2.0, signal.SIGINT, ["up", "--nodes", "3"]),
        (9.0, signal.SIGINT, ["up", "--nodes", "3", "--actors", "2"]),
    ],
)
def test_an_interrupted_command_ends_soon_and_leaves_nothing(
    place: Path, tmp_path: Path, after_s: float, number: signal.Signals, words: list[str]
) -> None:
    filled = [word.format(path=busy(tmp_path)) for word in words]
    where = ["--kubeconfig", str(tmp_path / "config")] if words[0] == "up" else ["--out", str(tmp_path / "out")]
    with podyard(place, *filled, *where) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(after_s)
        sent = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - sent < ENDED_S
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert not [path for path in tmp_path.rglob(".*") if path.is_dir()], "half a record is left"
    for record in tmp_path.rglob("record.json"):
        assert {item.name for item in record.parent.iterdir()} == set(FILES)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [1.0, 4.0, 9.0])
def test_nothing_outlives_a_command_that_is_killed(place: Path, tmp_path: Path, after_s: float) -> None:
    with podyard(place, "run", str(busy(tmp_path)), "--out", str(tmp_path / "out")) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(after_s)
        assert processes_of(place)
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.slow
def test_two_runs_at_once_do_not_know_of_each_other(place: Path, tmp_path: Path) -> None:
    path = written(tmp_path, duration="6m", workload=[SERVICE])
    words = ("run", str(path), "-s", "greedy", "-o", "json", "-q", "--out")
    with podyard(place, *words, str(tmp_path / "1")) as first, podyard(place, *words, str(tmp_path / "2")) as second:
        results = [json.loads(process.communicate(timeout=180)[0])[0] for process in (first, second)]
    assert results[0]["digest"] == results[1]["digest"] != ""


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True], ids=["one disk", "a disk each"])
def test_a_sweep_goes_on_after_a_machine_and_its_driver_were_killed(place: Path, apart: bool) -> None:
    told = killed_sweep(place, 24, pods=20, apart=apart)
    assert (told.unlike, told.repeated, told.left) == ([], [], [])
    assert 12 <= told.before < 24
    assert told.before + told.resumed == 24
    for item in place.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()
