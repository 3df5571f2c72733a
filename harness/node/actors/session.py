"""What a process has of Ray: one session, started when it is first asked for, with the actors that it handed out.

Ray itself lives in a process of its own (ray_process.py). That one, and each actor on this machine, connects to a
socket in a folder that only this user may enter; no port is opened for it. Whoever is at the other end is gone when its
connection is closed, so neither side outlives the other: not after Ctrl-C, not after kill -9.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.errors import RunFailed, UserError
from harness.node.actors.actor import own_versions
from harness.node.actors.address import check_address
from harness.node.actors.channel import Channel, Closed
from harness.node.actors.processes import can_end_session, end_session

ANSWER_S = 6.0
"""So long a Ray cluster whose port is open may take to answer."""

START_S = 180.0
"""So long Ray may take to start, and to start actors: a machine that is very busy is no failure."""

END_S = 2.0
"""So long it may take to take leave of a cluster that goes on."""

WHY_S = 10.0
"""So long Ray may take to say why an actor died."""

LONGEST_FOLDER = 24
"""Ray makes sockets some 80 characters below its folder, and a socket's path is at most 107 long (macOS: 103)."""

_START = (
    "import sys; path = sys.argv[6:]; sys.path[:] = [*path, *(p for p in sys.path if p not in path)]\n"
    "from harness.node.actors.ray_process import main; main(sys.argv[1:])"
)


@dataclass(frozen=True)
class Actor:
    key: int
    pid: int
    channel: Channel


class Session:
    """`address`: of a Ray cluster that is there; None starts one. `actors`: how many will probably be asked for."""

    def __init__(self, address: str | None, actors: int, cpus: int) -> None:
        self.address = address
        self.closed = False
        self._owner = os.getpid()
        place = tempfile.gettempdir()
        self._folder = tempfile.mkdtemp(prefix="podyard-", dir=place if len(place) <= LONGEST_FOLDER else "/tmp")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"{self._folder}/s")
        self._listener.listen(128)
        self._keys = 0
        self._waited: list[int] = []  # keys of actors that are starting
        self._came: dict[int, Actor] = {}
        self._idle: list[Actor] = []
        self._ready = self._asking = False
        self._asked_at = 0.0
        self._tasks: dict[int, tuple[str, Any]] = {}
        self._whys: dict[int, str] = {}
        self._path = [item or os.getcwd() for item in sys.path]
        arguments = (f"{self._folder}/s", address or "", f"{self._folder}/ray", str(cpus), str(actors))
        self._waited += self._new_keys(actors)
        self._log = open(f"{self._folder}/log", "wb")  # noqa: SIM115
        # In a session of its own: Ctrl-C in a terminal reaches this process, which then ends the other.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments, *self._path],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._control: Channel | None = None

    def _new_keys(self, count: int) -> list[int]:
        keys = list(range(self._keys, self._keys + count))
        self._keys += count
        return keys

    # -- actors --------------------------------------------------------------------------------------------------------

    def actors(self, count: int) -> list[Actor]:
        """Waits for them. Raises UserError when there is no Ray, or another Podyard at the other end."""
        until = time.monotonic() + START_S
        while len(self._idle) < count:
            missing = count - len(self._idle) - len(self._waited)
            if missing > 0 and self._ready:
                keys = self._new_keys(missing)
                self._waited += keys
                self._tell("actors", keys)
            self._listen(until)
            for key in [key for key in self._waited if key in self._came]:
                self._waited.remove(key)
                self._idle.append(self._came.pop(key))
        self._idle.sort(key=lambda actor: actor.key)
        handed, self._idle = self._idle[:count], self._idle[count:]
        return handed

    def give_back(self, actor: Actor) -> None:
        """For the next run."""
        self._idle.append(actor)

    def why_died(self, actor: Actor) -> str:
        """In Ray's words; empty where it cannot tell."""
        actor.channel.close()
        try:
            self._tell("why", actor.key)
            until = time.monotonic() + WHY_S
            while actor.key not in self._whys:
                self._listen(until)
        except UserError:
            return "Ray has ended"
        return self._whys[actor.key]

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def run_tasks(self, work: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], at_once: int) -> Iterator[Any]:
        """(index, result, None) or (index, None, why it was lost) of each, as it ends. Raises UserError."""
        waiting = iter(range(len(work)))
        begun = 0
        while True:
            while begun < at_once and (index := next(waiting, None)) is not None:
                while not self._ready:
                    self._listen(time.monotonic() + START_S)
                self._tell("task", index, pickle.dumps(work[index]), os.getcwd())
                begun += 1
            if not begun:
                return
            while not self._tasks:
                self._listen(None)
            for index, (what, found) in sorted(self._tasks.items()):
                begun -= 1
                yield (index, pickle.loads(found), None) if what == "done" else (index, None, found)
            self._tasks.clear()

    # -- what comes from the other side --------------------------------------------------------------------------------

    def _tell(self, *words: Any) -> None:
        try:
            assert self._control is not None
            self._control.tell(*words)
        except Closed:
            raise self._gone() from None

    def _listen(self, until: float | None) -> None:
        """Take in what comes next. Raises UserError for a failure, or when nothing came `until` then."""
        limit = self._asked_at + ANSWER_S if self._asking else until
        sockets = [self._listener, *([self._control.socket] if self._control is not None else [])]
        wait = 0.5 if limit is None else max(0.0, min(0.5, limit - time.monotonic()))
        heard, _, _ = select.select(sockets, [], [], wait)
        if self._listener in heard:
            self._welcome(Channel(self._listener.accept()[0]))
        elif heard:
            assert self._control is not None
            try:
                self._take(*self._control.told())
            except Closed:
                raise self._gone() from None
        elif self._control is None and self._process.poll() is not None:
            raise self._gone()
        elif limit is not None and time.monotonic() >= limit:
            if self._asking:
                raise self._failure(f"there is no Ray cluster at {self.address}: no answer in {ANSWER_S:.0f} s")
            raise self._failure(f"Ray did not get ready in {START_S:.0f} s (--nodes inline does without)")

    def _welcome(self, channel: Channel) -> None:
        if self._control is None:
            self._control = channel
            return
        try:
            what, key, pid, versions = channel.told()
        except Closed:
            return
        assert what == "actor"
        if versions != own_versions():
            theirs, ours = ", ".join(versions), ", ".join(own_versions())
            raise self._failure(f"Ray's workers have {theirs}, this process {ours}: the bits might differ")
        self._came[key] = Actor(key, pid, channel)

    def _take(self, what: str, *words: Any) -> None:
        match what, words:
            case "asking", ():
                self._asking, self._asked_at = True, time.monotonic()
            case "answered", ():
                self._asking = False
            case "ready", ():
                self._ready = True
            case "failed", (text,):
                raise self._failure(text)
            case "died", (key, why):
                self._whys[key] = why
                self._idle = [actor for actor in self._idle if actor.key != key]
                if key in self._waited:
                    hint = " (podyard must be installed on each machine of the cluster)" if "No module" in why else ""
                    failed = self._failure(f"an actor does not start on Ray: {why}{hint}")
                    raise failed if hint else RunFailed(failed.what)
            case "why", (key, why):
                self._whys[key] = why
            case (("done" | "lost"), (number, found)):
                self._tasks[number] = (what, found)
            case _:
                raise AssertionError((what, words))

    def _failure(self, what: str) -> UserError:
        self.close()
        return UserError(what)

    def _gone(self) -> UserError:
        """Its process has ended, and did not say why."""
        lines = Path(f"{self._folder}/log").read_text(errors="replace").splitlines() if not self.closed else []
        self.close()
        return RunFailed(f"Ray has ended{': ' if lines else ''}{lines[-1] if lines else ''}")

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Nothing of it is left afterwards: no process, no folder."""
        if self.closed or os.getpid() != self._owner:
            return
        self.closed = True
        for channel in (self._control, *(actor.channel for actor in (*self._idle, *self._came.values()))):
            if channel is not None:
                channel.close()
        self._listener.close()
        self._log.close()
        if self.address is not None or not can_end_session():
            # A cluster that goes on is to be told; its Ray kills our actors and tasks then.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
        self.kill()

    def kill(self) -> None:
        """At once. A Ray of our own has nothing that it would have to put away."""
        self._process.kill()
        end_session(self._process.pid)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def kill_ray() -> None:
    """At once, whatever is under way."""
    if _session is not None:
        _session.kill()


_session: Session | None = None


def ray_address(given: str | None) -> str | None:
    """Where Ray is, by a process' arguments and environment; None: nowhere yet. As Ray itself reads RAY_ADDRESS."""
    address = given or os.environ.get("RAY_ADDRESS")
    return None if address in (None, "", "local") else address


def ray_session(address: str | None, actors: int = 0, cpus: int = 0) -> Session:
    """This process' session: the one that there is, if it is of the same Ray. It does not wait for Ray to be there, but
    raises UserError at once where nothing answers at the address."""
    global _session
    where = ray_address(address)
    if _session is None or _session.closed or _session.address != where:
        end_ray()
        if where is not None:
            check_address(where)
        _session = Session(where, actors, max(actors, cpus, 1))
    return _session


def end_ray() -> None:
    """Also after Ctrl-C: no process of ours stays behind."""
    global _session
    if _session is not None:
        _session.close()
        _session = None


atexit.register(end_ray)
