"""The process that holds the connection to Ray, so that the one that runs clusters does not have to.

Started by a session with: where it listens, the address of a Ray cluster or '' for one of its own, a folder for that
one, how many CPUs it has, how many actors to start at once, and where modules are found. It ends when its session does,
however that ends; a Ray of its own and the folder go with it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

from harness.node.actors.address import REACH_S
from harness.node.actors.channel import Channel, Closed
from harness.node.actors.processes import end_session

STARTS = 3
"""Ray gives its processes 30 s to come up; on a machine that is very busy, that is once not enough."""

WHY_S = 5.0
"""So long Ray may take to find out why an actor died."""

LEAVE_S = 1.5
"""So long it may take to take leave of a cluster that goes on; it notices all the same."""

LOST_TASKS = 2
"""How often a task is begun again whose worker or machine died under it."""


class NoRay(Exception):
    """Why, in one line."""


def main(arguments: Sequence[str]) -> None:
    place, address, folder, cpus, actors, *path = arguments
    channel = Channel.connect(place)
    asked: SimpleQueue[list[Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(channel, asked, place, address), daemon=True).start()
    host = _Host(channel, place, path)
    try:
        if address:
            host.join(address)
        else:
            host.start(folder, int(cpus))
        host.add_actors(range(int(actors)))
        host.tell("ready")
    except NoRay as error:
        host.tell("failed", str(error))
    while True:
        host.do(*asked.get())


def _listen(channel: Channel, asked: SimpleQueue[list[Any]], place: str, address: str) -> None:
    """Ends this process with the session, whatever it is doing."""
    with contextlib.suppress(Closed):
        while True:
            asked.put(channel.told())
    if address:
        leaving = threading.Thread(target=_leave, daemon=True)
        leaving.start()
        leaving.join(LEAVE_S)
    else:
        end_session(os.getsid(0))
    shutil.rmtree(os.path.dirname(place), ignore_errors=True)
    os._exit(0)  # Ray's own way out takes seconds, and has nothing left to do


def _leave() -> None:
    ray = sys.modules.get("ray")
    if ray is not None:
        ray.shutdown()


class _Host:
    def __init__(self, channel: Channel, place: str, path: Sequence[str]) -> None:
        self._channel = channel
        self._place = place
        self._path = list(path)
        self._telling = threading.Lock()
        self._actors: dict[int, Any] = {}
        self._deaths: dict[int, str] = {}
        self._died = threading.Condition()

    def tell(self, *words: Any) -> None:
        with self._telling, contextlib.suppress(Closed):
            self._channel.tell(*words)

    # -- a Ray ---------------------------------------------------------------------------------------------------------

    def start(self, folder: str, cpus: int) -> None:
        """One of our own: on loopback, with a token of its own, without Ray's dashboard, log monitor and autoscaler."""
        # Ray's switch for single machines; else it takes the machine's outward address and listens on all of them.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # The control plane waits for its machines; Ray's workers have niceness 15, as if they were work at the side.
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 Ray spells it so
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        for name in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_NAMESPACE", "RAY_AUTH_TOKEN_PATH"):
            os.environ.pop(name, None)
        import ray

        for attempt in range(1, STARTS + 1):
            try:
                node = _head(folder, cpus)
                self._init(node.address)
                return
            except Exception as error:
                if attempt == STARTS:
                    text = f"Ray does not start on this machine: {_first_line(error)} (--nodes inline does without)"
                    raise NoRay(text) from error
                with contextlib.suppress(Exception):
                    ray.shutdown()

    def join(self, address: str) -> None:
        """The cluster at `address`: 'host:port', 'ray://host:port' or 'auto'."""
        import ray  # noqa: F401 before the clock runs

        self.tell("asking")
        try:
            if "://" not in address and address != "auto":
                _ask(address)
                self.tell("answered")  # the rest takes as long as it takes
            self._init(address)
        except Exception as error:
            text = str(error)
            if "ersion mismatch" in text or "versions of" in text:
                found = " ".join(line.strip() for line in text.splitlines() if "Ray:" in line or "Python:" in line)
                raise NoRay(f"the Ray cluster at {address} is of another version: {found or text}") from error
            raise NoRay(f"there is no Ray cluster at {address}: {_first_line(error)}") from error
        self.tell("answered")

    def _init(self, address: str) -> None:
        import logging

        import ray

        logging.getLogger("ray").setLevel(logging.CRITICAL)  # what matters is told over the channel
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=False)

    # -- what the session asks for -------------------------------------------------------------------------------------

    def do(self, what: str, *rest: Any) -> None:
        if what == "actors":
            self.add_actors(rest[0])
        elif what == "why":
            self.tell("why", rest[0], self._why(rest[0]))
        else:
            assert what == "task", what
            threading.Thread(target=self._run_task, args=rest, daemon=True).start()

    def add_actors(self, keys: Sequence[int]) -> None:
        import ray

        from harness.node.actors.actor import NodeActor

        remote = ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy="SPREAD")(NodeActor)
        for key in keys:
            self._actors[key] = remote.remote(self._path)
            threading.Thread(target=self._keep, args=(key,), daemon=True).start()

    def _keep(self, key: int) -> None:
        """The life of one actor."""
        import ray

        actor = self._actors[key]
        channel: Channel | None = None
        text = ""
        try:
            if not ray.get(actor.serve.remote(self._place, key)):
                # It is on another machine: what is for it goes through here.
                about = ray.get(actor.about.remote())
                channel = Channel.connect(self._place)
                channel.tell("actor", key, *about)
                while True:
                    channel.send(ray.get(actor.handle.remote(channel.receive())))
        except Closed:
            return
        except Exception as error:
            text = _why_dead(error)
        with self._died:
            self._deaths[key] = text
            self._died.notify_all()
        self.tell("died", key, text)
        if channel is not None:
            channel.close()

    def _why(self, key: int) -> str:
        with self._died:
            self._died.wait_for(lambda: key in self._deaths, WHY_S)
            return self._deaths.get(key, "")

    def _run_task(self, number: int, work: bytes, folder: str) -> None:
        import ray

        from harness.node.actors.task import run_work

        task = ray.remote(num_cpus=1, max_retries=LOST_TASKS)(run_work)
        try:
            done = ray.get(task.remote(work, self._path, folder))
        except Exception as error:
            self.tell("lost", number, _why_dead(error))
        else:
            self.tell("done", number, done)


def _ask(address: str) -> None:
    """Waits for the cluster's control service: a cheap question."""
    import ray._raylet

    raylet: Any = ray._raylet
    raylet.GcsClient(address=address).internal_kv_get(b"session_name", b"session", timeout=REACH_S)


def _head(folder: str, cpus: int) -> Any:
    """A Ray of this machine alone: what `ray start --head` starts, less what nobody here looks at."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    class Head(Node):
        def start_api_server(self, **_: Any) -> None:
            """The dashboard's server is there for people to look at, and the slowest of Ray's processes to start."""
            self._webui_url = ""

    parameters: Any = RayParams(
        num_cpus=cpus,
        num_gpus=0,
        object_store_memory=100 * 10**6,
        include_dashboard=False,
        include_log_monitor=False,  # type: ignore[arg-type]  # annotated as str, used as a truth
        no_monitor=True,
        temp_dir=folder,
        node_ip_address="127.0.0.1",
    )
    return Head(parameters, head=True, shutdown_at_exit=False, spawn_reaper=True)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _why_dead(error: BaseException) -> str:
    """In a few words."""
    text = str(error)
    # Of every worker that is gone Ray says that the OOM killer may have been it; this it says where it was.
    if type(error).__name__ == "OutOfMemoryError" or "running low on memory" in text:
        return "Ray killed it: its machine ran out of memory"
    if type(error).__name__.startswith("RayTaskError"):  # it raised; the rest is a traceback
        return text.strip().splitlines()[-1]
    for line in text.splitlines():
        _, colon, rest = line.strip().partition("Worker exit detail:")
        if colon:
            return rest.strip()
    return _first_line(error)


if __name__ == "__main__":
    main(sys.argv[1:])
