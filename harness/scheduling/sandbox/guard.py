"""Around somebody else's strategy: whatever it does comes out as decisions or as named faults, never as an exception.

`raised`       an exception, also SystemExit
`deadline`     one call took longer than it may; after OVERRUNS of them the strategy is asked no more
`mutation`     it tried to change what it was shown: refused, or found and undone
`no decision`  an answer that is none, or endlessly many
An answer that is well formed but not legal is the harness's to refuse (`illegal bind`). What no code inside a process
can contain: a call into C that never returns, os._exit, a crash of the interpreter.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import FrozenInstanceError
from pathlib import PurePath
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np

from harness.model.errors import UserError
from harness.scheduling.feasibility.legality import plain
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.feasibility.tentative import Removed
from harness.scheduling.sandbox.deadline import Call, DeadlinePassed
from harness.scheduling.sandbox.read_only_view import ReadOnlyView
from harness.scheduling.state.read_only import ReadOnly
from harness.scheduling.strategy import Bind, BindTogether, Decision, Evict, PodView, Strategy, StrategyFault, Wait

DEADLINE_S = 30.0
"""Of one call of place(), where nothing else is said: generous, for a batch may go to a solver."""

OVERRUNS = 3
"""So many calls past the deadline, and the strategy is asked no more in this run."""

_LONGEST_MODELLED_S = 10 * 365 * 86400.0
_SPARE = 1000  # decisions in a call beyond two for each pod handed over and one for each that runs
_LONGEST = 500  # characters of a reason
_LONGEST_TRACEBACK = 20_000
_BOOKS_EACH = 64  # pods handed over between two looks at some of the books
_BOOKS = 16  # nodes looked at


Answer: TypeAlias = Decision | StrategyFault


class Guard:
    """One strategy's. `interrupted`: the last call was broken off inside code that also keeps the harness's books, or
    the books were found changed; the snapshot is to be made anew (see `harness.scheduling.sandbox.rebuild`)."""

    def __init__(self, strategy: Strategy, deadline_s: float | None = DEADLINE_S) -> None:
        self.interrupted = False
        self.removed: Sequence[Removed] = ()  # by what_if() when the call was broken off
        self.overruns = 0
        self._strategy = strategy
        self._call = None if deadline_s is None else Call(deadline_s)
        self._snapshot: Snapshot | None = None
        self._view: ReadOnlyView | None = None
        self._given_up = False
        self._handed_over = 0
        self._next_book = 0

    def view(self, snapshot: Snapshot) -> ReadOnlyView:
        """What the strategy sees of `snapshot`: the same object as long as it is the same snapshot."""
        if self._view is None or self._snapshot is not snapshot:
            self._snapshot, self._view = snapshot, ReadOnlyView(snapshot)
        return self._view

    def place(self, pods: Sequence[PodView], snapshot: Snapshot, rng: np.random.Generator) -> Iterator[Answer]:
        """What the strategy answers, each decision well formed and about the views that were handed over."""
        self.interrupted = False
        self.removed = ()
        if self.overruns >= OVERRUNS:
            if not self._given_up:
                self._given_up = True
                yield StrategyFault("deadline", "", f"asked no more: {OVERRUNS} calls ran past the deadline")
            return
        view = self.view(snapshot)
        handed = {pod.key: pod for pod in pods}
        left = 2 * len(handed) + snapshot.placed_count + _SPARE
        call = self._call or _UNTIMED
        fault: StrategyFault | None = None
        decisions: Iterator[Any] | None = None
        call.begin()
        try:
            call.inside = True
            made: Any = self._strategy.place(pods, view, rng)
            if made is None:
                fault = StrategyFault("no decision", "", "place() returned None, not decisions")
            else:
                decisions = iter(made)
            while decisions is not None and not call.late:
                try:
                    decision = next(decisions)
                except StopIteration:
                    decisions = None
                    break
                answer = _sound(decision, handed)
                call.inside = False
                if view.what_ifs and view.close_what_ifs():
                    yield StrategyFault("mutation", "", "a decision inside what_if(): what was tried is undone first")
                if call.late:
                    break
                left -= 1
                if left < 0:
                    fault = StrategyFault("no decision", "", "more decisions than there are pods, and no end of them")
                    break
                yield answer
                call.inside = True
        except DeadlinePassed:
            self.interrupted = True
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            fault = raised(error)
        finally:
            self._leave(call)
            late = call.late
            if decisions is not None:
                self._close(decisions, call)
            call.end()
            if self.interrupted:  # the snapshot is rebuilt, with what was taken away put back
                self.removed = view.abandon_what_ifs()
            elif view.close_what_ifs() and fault is None:
                fault = StrategyFault("mutation", "", "what_if() was left open; what was tried is undone")
        if late:
            self.overruns += 1
            yield StrategyFault("deadline", "", f"place() took longer than {call.limit_s:g} s")
        elif fault is not None:
            yield fault
        if view.tried:
            if fault is None or fault.kind != "mutation":
                yield StrategyFault("mutation", "", f"the cluster is read-only: {view.tried[0]}")
            view.tried.clear()
        self._handed_over += len(handed)
        if self._handed_over >= _BOOKS_EACH:
            self._handed_over = 0
            wrong = self._look_at_books(snapshot)
            if wrong is not None:
                self.interrupted = True
                yield StrategyFault("mutation", "", f"the lists of {wrong} were changed; they are put right")

    def modelled_ns(self, pods: int, nodes: int) -> int | StrategyFault | None:
        """The time that the strategy says deciding on so many takes; None where it does not say."""
        modelled = getattr(self._strategy, "modelled_seconds", None)
        if modelled is None:
            return None
        try:
            seconds = float(modelled(pods, nodes))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            return raised(error)
        if not 0 <= seconds < _LONGEST_MODELLED_S:
            return StrategyFault("no decision", "", f"modelled_seconds() said {seconds}, not seconds")
        return round(seconds * 1e9)

    def _close(self, decisions: Iterator[Any], call: Call | _Untimed) -> None:
        """A generator that was broken off runs its finally blocks now, and not when nobody looks."""
        close = getattr(decisions, "close", None)
        if close is None:
            return
        call.again()
        try:
            call.inside = True
            close()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException:
            pass  # the fault that it was broken off for is told
        finally:
            self._leave(call)

    def _leave(self, call: Call | _Untimed) -> None:
        """In a thread, what was fired at the last moment may arrive on the way in."""
        try:
            call.leave()
        except DeadlinePassed:
            self.interrupted = True
            call.leave()

    def _look_at_books(self, snapshot: Snapshot) -> str | None:
        """The plain lists cannot be locked as the columns are: some nodes a call, in turn, are held against them."""
        nodes = len(snapshot.node_table)
        first = self._next_book if self._next_book < nodes else 0
        self._next_book = last = min(first + _BOOKS, nodes)
        free, capacity, devices = snapshot.free, snapshot.capacity, snapshot.gpu_free
        if snapshot.free_of[first:last] == free[:, first:last].T.tolist() and (
            snapshot.capacity_of[first:last] == capacity[:, first:last].T.tolist()
        ):
            idle = devices[first:last].tolist()
            held = snapshot.devices_of[first:last]
            if all(row[: len(known)] == known for row, known in zip(idle, held, strict=True)):
                return None
        for node in range(first, last):
            if (
                snapshot.free_of[node] != free[:, node].tolist()
                or snapshot.capacity_of[node] != capacity[:, node].tolist()
            ):
                return f"node {snapshot.node_table.names[node]}"
        return "nodes"


def contained(theirs: Callable[[], object]) -> StrategyFault | None:
    """Call somebody else's code that answers nothing; what it raised. A UserError is the user's to read, and passes."""
    try:
        theirs()
    except (KeyboardInterrupt, GeneratorExit, UserError):
        raise
    except BaseException as error:
        return raised(error)
    return None


class _Untimed:
    """In place of a Call where there is no deadline."""

    inside = late = False
    limit_s = 0.0

    def begin(self) -> None: ...

    def leave(self) -> None: ...

    def again(self) -> None: ...

    def end(self) -> None: ...


_UNTIMED = _Untimed()


def _sound(decision: Any, handed: Mapping[str, PodView]) -> Answer:
    """The decision in the harness's own words, or what is wrong with its form."""
    kind = type(decision)
    if kind is Bind:
        return _bind(decision, handed)
    if kind is StrategyFault:  # from a strategy that stands for another program, and says what went wrong there
        return decision  # type: ignore[no-any-return]
    if kind is Wait:
        if type(decision.pod) is PodView and isinstance(decision.reason, str):
            return decision  # type: ignore[no-any-return]
    elif kind is BindTogether:
        if isinstance(decision.binds, (tuple, list)) and all(type(bind) is Bind for bind in decision.binds):
            binds = []
            for bind in decision.binds:
                answer = _bind(bind, handed)
                if isinstance(answer, StrategyFault):
                    return answer
                binds.append(answer)
            return BindTogether(tuple(binds))
    elif kind is Evict and isinstance(decision.pod, str) and isinstance(decision.reason, str):
        return decision  # type: ignore[no-any-return]
    return StrategyFault(
        "no decision", _key(decision), f"a strategy answers with decisions, not {stable_text(decision)}"
    )


def _bind(bind: Bind, handed: Mapping[str, PodView]) -> Bind | StrategyFault:
    pod = bind.pod
    if type(pod) is not PodView:
        return StrategyFault(
            "illegal bind", "", f"the pod of a Bind is a PodView that was handed over, not {stable_text(pod)}"
        )
    ours = handed.get(pod.key)
    if ours is None:
        return StrategyFault("illegal bind", pod.key, "this pod was not handed over to be placed")
    if ours is not pod and (ours.cls is not pod.cls or ours.group != pod.group or ours.group_min != pod.group_min):
        return StrategyFault(
            "illegal bind", pod.key, "this is not the pod that was handed over: it asks for something else"
        )
    if type(bind.node) is not int or bind.devices is not None:
        bind = plain(bind)
        if type(bind.node) is not int:
            return StrategyFault("illegal bind", pod.key, f"unknown node: {stable_text(bind.node)}")
    return bind if ours is pod else Bind(ours, bind.node, bind.devices)


def _key(decision: Any) -> str:
    pod = getattr(decision, "pod", None)
    return pod.key if type(pod) is PodView else pod if type(pod) is str else ""


def raised(error: BaseException) -> StrategyFault:
    """What was raised, and where, by file name and line: a whole path would differ between machines."""
    wrote = isinstance(error, ReadOnly | FrozenInstanceError) or (
        isinstance(error, ValueError) and ("read-only" in stable_text(error) or "WRITEABLE" in stable_text(error))
    )
    wrote = wrote or (isinstance(error, TypeError) and "'mappingproxy' object" in stable_text(error))
    frames = _frames(error.__traceback__)
    kind, reason = (
        "mutation" if wrote else "raised",
        f"{type(error).__name__}: {stable_text(error, str)}{_where(frames)}",
    )
    return StrategyFault(kind, "", reason, _traceback(error, frames))


def _frames(trace: TracebackType | None) -> list[TracebackType]:
    """Theirs: what comes after the guard's own."""
    found = []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename != __file__:
            found.append(trace)
        trace = trace.tb_next
    return found


def _where(frames: Sequence[TracebackType]) -> str:
    """File, line and function of the author's: the last in the package of the first that is not the harness's."""
    if not frames:
        return ""
    packages = [str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] for trace in frames]
    author = next((package for package in packages if package != "harness"), "harness")
    last = next(trace for trace, package in zip(reversed(frames), reversed(packages), strict=True) if package == author)
    code = last.tb_frame.f_code
    return f" ({PurePath(code.co_filename).name}:{last.tb_lineno}, in {code.co_qualname})"


def _traceback(error: BaseException, frames: Sequence[TracebackType]) -> str:
    """As Python prints it, without the guard's own frames; shortened in its middle where it is endless."""
    try:
        text = "".join(traceback.format_exception(type(error), error, frames[0] if frames else None, limit=-30))
    except Exception:  # whatever their exception does when it is printed
        return ""
    return text if len(text) <= _LONGEST_TRACEBACK else f"{text[:1000]}\n..\n{text[1000 - _LONGEST_TRACEBACK :]}"


def stable_text(thing: Any, how: Any = repr) -> str:
    """In words that are the same in every run: no addresses, not endless; whatever its repr does."""
    try:
        text = str(how(thing))
    except Exception:
        text = f"<{type(thing).__name__}>"
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " .."
