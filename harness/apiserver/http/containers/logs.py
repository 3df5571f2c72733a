"""A container's log: what its command writes where that is known, else what the cluster did with it.

Nothing runs in a simulated container, so nothing writes. A command that this simulation knows (`echo`, a loop in a
shell) has its output here; of every other container the log tells its own life: pulls, starts, probes, signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from harness.apiserver.http.containers.container import Known, find, surroundings_of
from harness.apiserver.http.options import is_true
from harness.apiserver.server import ApiServer
from harness.engine.component import SECOND
from harness.model import commands
from harness.model.commands import Outcome
from harness.model.core import ContainerState
from harness.model.status import ApiError, Cause, bad_request, invalid
from harness.model.whole_numbers import whole_number
from harness.model.wire import parse_time, time_text

POLL_S = 0.25
"""Between looks at a log that somebody follows."""

_SIGNALS = {137: "SIGKILL", 143: "SIGTERM", 139: "SIGSEGV", 130: "SIGINT"}

Line = tuple[int, str]
"""(instant in ns, text without its end of line)."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Source: core/v1 PodLogOptions."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int = -1
    limit_bytes: int = -1
    since_seconds: int = -1
    since_time: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> LogOptions:
        """Raises ApiError Invalid, BadRequest."""

        def flag(name: str) -> bool:
            return is_true(query, name)

        def number(name: str, least: int) -> int:
            text = query.get(name, "")
            if not text:
                return -1
            found = whole_number(text)
            if found is None or found < least:
                told = f"Invalid value: {text[:80]}: must be greater than or equal to {least}"
                raise invalid("PodLogOptions", "", (Cause(name, "FieldValueInvalid", told),))
            return found

        since = number("sinceSeconds", 1)
        if since >= 0 and query.get("sinceTime"):
            told = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
            raise invalid("PodLogOptions", "", (Cause("sinceTime", "FieldValueForbidden", told),))
        since_time = query.get("sinceTime", "")
        if since_time:
            try:
                parse_time(since_time, 0)
            except ValueError:
                raise bad_request(f"sinceTime: {since_time[:80]!r} is not an RFC 3339 time") from None
        return cls(
            container=query.get("container", ""),
            follow=flag("follow"),
            previous=flag("previous"),
            timestamps=flag("timestamps"),
            tail=number("tailLines", 0),
            limit_bytes=number("limitBytes", 1),
            since_seconds=since,
            since_time=since_time,
        )


@dataclass(frozen=True, slots=True)
class Log:
    """`lines` in their order; `ended`: no more will come."""

    lines: tuple[Line, ...]
    ended: bool
    now: int


_TOLD = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
"""Source: pkg/kubelet/kubelet_pods.go validateContainerLogStatus (1.32)."""


def read(server: ApiServer, namespace: str, pod: str, options: LogOptions, epoch_unix_ns: int) -> Log:
    """Everything that the container has written. Raises ApiError NotFound, BadRequest."""
    known = find(server, namespace, pod, options.container)
    state = known.state
    if not known.pod.spec.node_name:
        # Source: pkg/registry/core/pod/strategy.go LogLocation: a pod without a node has an empty log.
        return Log((), ended=True, now=server.now)
    if options.previous:
        if known.last_state.terminated is None:
            raise bad_request(f'previous terminated container "{known.name}" in pod "{pod}" not found')
        state = known.last_state
    elif state.running is None and state.terminated is None:
        if known.last_state.terminated is None:
            reason = state.waiting.reason if state.waiting is not None else ""
            waiting = _TOLD.get(reason, reason) or "ContainerCreating"
            raise bad_request(f'container "{known.name}" in pod "{pod}" is waiting to start: {waiting}')
        state = known.last_state
    lines = _lines(server, known, state, epoch_unix_ns, previous=options.previous)
    return Log(tuple(lines), options.previous or known.state.terminated is not None, server.now)


def _lines(server: ApiServer, known: Known, state: ContainerState, epoch: int, *, previous: bool) -> list[Line]:
    started, finished = _span(state)
    until = server.now if finished is None else finished
    if known.argv:
        outcome = commands.run(known.argv, surroundings_of(server, known, epoch))
        if outcome is not None:
            return [line for line in written(outcome, started) if line[0] <= until]
    # Of events there is one for each thing that happened, however often it did: a line for the first and the last time.
    begun = known.last_state.terminated
    since = 0 if begun is None or previous else begun.finished_at or 0
    lines: list[Line] = []
    for event in server.listed("Event", known.pod.metadata.namespace):
        if event.involved_object.uid != known.pod.metadata.uid or event.reason in _OF_OTHERS:
            continue
        if event.reason in ("Created", "Started") and not event.message.endswith(known.name):
            continue
        times = sorted({event.first_timestamp or 0, event.last_timestamp or 0})
        lines += [(at, event.message) for at in times if since <= at <= until]
    terminated = state.terminated
    if terminated is not None:
        signal = _SIGNALS.get(terminated.exit_code)
        lines.append((until, f"Exited with code {terminated.exit_code}" + (f" ({signal})" if signal else "")))
    if not lines:
        lines.append((started, f"Started container {known.name}"))
    return sorted(lines, key=lambda line: line[0])


_OF_OTHERS = frozenset({"Scheduled", "FailedScheduling", "Preempted", "BackOff"})


def _span(state: ContainerState) -> tuple[int, int | None]:
    if state.terminated is not None:
        return state.terminated.started_at or 0, state.terminated.finished_at or 0
    return (state.running.started_at or 0 if state.running is not None else 0), None


def written(outcome: Outcome, started: int) -> list[Line]:
    """What a command writes, by lines."""
    out: list[Line] = []
    rest = ""
    at = 0
    for at, text in outcome.lines:
        *whole, rest = (rest + text).split("\n")
        out += [(started + at, line) for line in whole]
    if rest:
        out.append((started + at, rest))
    if outcome.errors:
        out += [(started + at, line) for line in outcome.errors.splitlines()]
    return out


def chosen(log: Log, options: LogOptions, epoch_unix_ns: int) -> list[Line]:
    """Those lines that the options want."""
    lines = list(log.lines)
    since: int | None = None
    if options.since_seconds >= 0:
        since = log.now - options.since_seconds * SECOND
    elif options.since_time:
        since = parse_time(options.since_time, epoch_unix_ns)
    if since is not None:
        lines = [line for line in lines if line[0] >= since]
    if options.tail >= 0:
        lines = lines[len(lines) - options.tail :] if options.tail else []
    return lines


def shown(lines: list[Line], options: LogOptions, epoch_unix_ns: int) -> bytes:
    if not options.timestamps:
        return "".join(f"{text}\n" for _, text in lines).encode()
    stamps = (time_text(at, epoch_unix_ns, micro=True)[:-1] + "000Z" for at, _ in lines)
    return "".join(f"{stamp} {text}\n" for stamp, (_, text) in zip(stamps, lines, strict=True)).encode()


Reader = Callable[[], Awaitable[Log]]


async def follow(reader: Reader, first: Log, options: LogOptions, epoch_unix_ns: int) -> AsyncIterator[bytes]:
    """What is there, then what comes, until the container has ended."""
    data = shown(chosen(first, options, epoch_unix_ns), options, epoch_unix_ns)
    left = options.limit_bytes
    log, seen = first, set(first.lines)
    while True:
        if left >= 0:
            data = data[:left]
            left -= len(data)
        if data:
            yield data
        if log.ended or not options.follow or left == 0:
            return
        await asyncio.sleep(POLL_S)
        try:
            log = await reader()
        except ApiError:
            return  # the pod has gone, and its log with it
        new = [line for line in log.lines if line not in seen]
        seen.update(new)
        data = shown(new, options, epoch_unix_ns)


__all__ = ["Log", "LogOptions", "chosen", "follow", "read", "shown", "written"]
