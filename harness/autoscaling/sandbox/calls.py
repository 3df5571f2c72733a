"""One call of somebody else's autoscaling policy: it ends in time, and whatever it does comes out as an answer or as
`Misbehaved`, never as another exception.

`raised`     an exception, also SystemExit
`deadline`   the call took longer than it may on the wall clock; after OVERRUNS of them the policy is asked no more
`mutation`   it tried to change what it was shown: that is refused, or what it changed was a copy
`illegal`    an answer that is none, or one that nobody could follow

What no code inside a process can contain: a call into C that never returns, os._exit, a crash of the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import FrozenInstanceError
from types import TracebackType
from typing import Any, Final

from harness.engine.guard import Misbehaved
from harness.scheduling.sandbox.deadline import Call
from harness.scheduling.sandbox.guard import stable_text
from harness.scheduling.state.read_only import ReadOnly

DEADLINE_S: Final = 30.0
"""Of one call, where nothing else is said: as of a strategy's."""

OVERRUNS = 3
"""So many calls past the deadline, and the policy is asked no more in this run: as of a strategy's."""

_COPIES = 4096  # of objects shown; then all are made anew
_MOST_OVERRUN_S = 86_400.0  # in place of no deadline


class Calls:
    """Those of one policy, one at a time. `overruns`: how many passed the deadline; such a run cannot be replayed."""

    def __init__(self, deadline_s: float | None = DEADLINE_S) -> None:
        self.overruns = 0
        self._call = Call(_MOST_OVERRUN_S if deadline_s is None else deadline_s)

    @property
    def given_up(self) -> bool:
        return self.overruns >= OVERRUNS

    def ask(
        self,
        method: Callable[..., Any],
        *arguments: Any,
        whose: Callable[..., Any] | None = None,
        passes: tuple[type[Exception], ...] = (),
    ) -> Any:
        """What `method` answers. `whose`: what of theirs it calls, where it is not theirs itself. `passes`: exceptions
        that are an answer. Raises Misbehaved."""
        theirs = whose or method
        call = self._call
        answer, error = call.run(method, *arguments)
        if call.late:
            self.overruns += 1
            text = f"deadline: {_name(theirs)}() took longer than {call.limit_s:g} s"
            if self.given_up:
                text += f"; asked no more after {OVERRUNS} such calls"
            raise _misbehaved(text, error, theirs)
        if error is None:
            return answer
        if isinstance(error, passes):
            raise error
        kind = "mutation" if _wrote(error) else "raised"
        raise _misbehaved(f"{kind}: {type(error).__name__}: {stable_text(error, str)}", error, theirs)


class Copies:
    """Of objects to show, so that nothing of the harness can be changed; each is made once."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}

    def of(self, original: Any) -> Any:
        known = self._made.get(id(original))
        if known is not None:
            return known[1]
        if len(self._made) >= _COPIES:
            self._made.clear()
        copy = deepcopy(original)
        self._made[id(original)] = (original, copy)  # kept, so nothing else gets its id
        return copy

    def changed(self, originals: Iterable[Any]) -> Any | None:
        """The first of `originals` whose copy was changed; it is made anew."""
        for original in originals:
            known = self._made.get(id(original))
            if known is not None and known[0] != known[1]:
                del self._made[id(original)]
                return original
        return None


def illegal(text: str, method: Callable[..., Any]) -> Misbehaved:
    return Misbehaved(f"illegal: {text}", function_of(method))


def mutation(original: Any, method: Callable[..., Any]) -> Misbehaved:
    meta = getattr(original, "metadata", None)
    name = "what it was shown" if meta is None else f"{type(original).__name__} {meta.key}"
    return Misbehaved(f"mutation: {name} was changed; it was a copy", function_of(method))


def is_shipped(policy: Any) -> bool:
    """The harness's own is trusted, as the rest of the harness is."""
    return type(policy).__module__.startswith("harness.autoscaling.")


def function_of(method: Callable[..., Any]) -> str:
    """'package.module.Class.method, line 12', as components' faults name it."""
    function = getattr(method, "__func__", method)
    code = getattr(function, "__code__", None)
    if code is None:
        kind = type(method)
        return f"{kind.__module__}.{kind.__qualname__}, line 0"
    return f"{function.__module__}.{code.co_qualname}, line {code.co_firstlineno}"


def _name(method: Callable[..., Any]) -> str:
    return str(getattr(method, "__name__", type(method).__name__))


def _misbehaved(text: str, error: BaseException | None, method: Callable[..., Any]) -> Misbehaved:
    """With the frames that the error passed: the object that it was about is looked for there."""
    where = _author(error.__traceback__ if error is not None else None) or function_of(method)
    found = Misbehaved(text, where)
    return found if error is None else found.with_traceback(error.__traceback__)


def _author(trace: TracebackType | None) -> str:
    """Their innermost function, wherever it was installed: the last frame in the package of the first that is not the
    harness's; '' where no frame is theirs."""
    found, package = "", None
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", "?"))
        first = module.partition(".")[0]
        if package is None and first != "harness":
            package = first
        if first == package:
            found = f"{module}.{trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _wrote(error: BaseException) -> bool:
    """Whether it comes from writing to what is read-only."""
    text = stable_text(error, str)
    return isinstance(error, ReadOnly | FrozenInstanceError) or (
        isinstance(error, AttributeError | TypeError) and ("immutable type" in text or "'mappingproxy' object" in text)
    )
