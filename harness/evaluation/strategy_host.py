"""A file's strategies, served over a pipe: the text comes in, then calls of place(); decisions and questions go out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import numpy.linalg
import numpy.random

import harness.jobs.protocol
import harness.scheduling.filter_plugin  # noqa: F401  the whole of what strategies may import is here beforehand
from harness.evaluation.attempts import Attempts
from harness.evaluation.frames import Channel
from harness.evaluation.random_stream import decode_state, encode_state
from harness.evaluation.remote_view import RemoteView
from harness.scheduling.sandbox.guard import raised
from harness.scheduling.scoring import Scored
from harness.scheduling.strategy import Bind, BindTogether, Evict, Wait


def serve(order: dict[str, Any], said: dict[str, Any]) -> NoReturn:
    channel = Channel(order["read"], order["write"])
    channel.send(said)
    _Host(channel, order).serve()


class Refused(Exception):
    """What the judge does not answer; told to the strategy."""


class _Host:
    def __init__(self, channel: Channel, order: dict[str, Any]) -> None:
        self._channel = channel
        self._name = order["name"]
        self._code: Any = None
        self._strategies: dict[int, Any] = {}
        self._views: dict[int, RemoteView] = {}
        # Read before the file can replace them.
        self._write, self._exit = os.write, os._exit
        self._attempts = Attempts(order["readable"], self._name, self._report_attempt)
        self._attempts.install()

    def serve(self) -> NoReturn:
        while True:
            call = self._channel.receive()
            try:
                answer = self._answer(call)
            except BaseException as error:
                self._attempts.watching = False
                answer = self._fault(error)
            replaced = self._attempts.replaced()
            if replaced:
                self._report_attempt("patches", f"{replaced} was replaced")
            self._channel.send(answer)

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        do = call["do"]
        if do == "load":
            self._code = compile(call["text"], self._name, "exec")
            return {"done": True}
        if do == "new":
            strategy, size, learns = self._contained(self._make)
            self._strategies[call["number"]] = strategy
            self._views[call["number"]] = RemoteView(self._ask)
            return {"done": True, "batch": size if type(size) is int else 64, "fit": learns}
        if do == "drop":
            self._strategies.pop(call["number"], None)
            self._views.pop(call["number"], None)
            return {"done": True}
        return self._place(call)

    def _contained(self, theirs: Any) -> Any:
        self._attempts.watching = True
        try:
            return theirs()
        finally:
            self._attempts.watching = False

    def _make(self) -> tuple[Any, Any, bool]:
        """(a fresh strategy, its batch_size, whether it has a fit()). Attributes may be the file's code, too."""
        strategy = self._run_file()
        return strategy, getattr(strategy, "batch_size", 64), hasattr(strategy, "fit")

    def _run_file(self) -> Any:
        """A fresh strategy: the file is run anew, so that nothing is left of an earlier one."""
        scope: dict[str, Any] = {"__name__": "strategy", "__file__": self._name}
        exec(self._code, scope)
        found = scope.get("scheduler")
        if found is None and callable(scope.get("score")):
            return Scored(scope["score"])
        if found is None:
            raise TypeError("the file has neither `scheduler`, a strategy or what makes one, nor a function `score`")
        if not hasattr(found, "place") or isinstance(found, type):
            if not callable(found):
                raise TypeError(f"`scheduler` is no strategy, and makes none: {type(found).__name__}")
            found = found()
        if not callable(getattr(found, "place", None)):
            raise TypeError(f"`scheduler` makes a {type(found).__name__}, which has no place()")
        return found

    def _place(self, call: dict[str, Any]) -> dict[str, Any]:
        view = self._views[call["number"]]
        view.update(call["view"])
        view.pods.clear()
        pods = [view.pod(told) for told in call["pods"]]
        rng = np.random.Generator(np.random.PCG64())
        rng.bit_generator.state = decode_state(call["rng"])
        strategy = self._strategies[call["number"]]
        decisions = self._contained(lambda: _decisions(strategy.place(pods, view, rng)))
        while True:
            try:
                decision = self._contained(lambda: _encode_decision(next(decisions)))
            except StopIteration:
                break
            self._channel.send(decision)
            news = self._channel.receive()
            if news.get("stop"):
                self._contained(getattr(decisions, "close", lambda: None))
                break
            view.update(news["view"])
        drawn = encode_state(rng.bit_generator.state)
        return {"done": True, "rng": drawn if drawn != call["rng"] else None}

    def _ask(self, name: str, **about: Any) -> Any:
        watching, self._attempts.watching = self._attempts.watching, False
        try:
            self._channel.send({"ask": name, **about})
            answer = self._channel.receive()
        finally:
            self._attempts.watching = watching
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["answer"]

    def _fault(self, error: BaseException) -> dict[str, Any]:
        if isinstance(error, MemoryError):
            self._report_attempt("memory", "no more memory was given")
        if isinstance(error, SystemExit):
            self._report_attempt("exits", f"it raised SystemExit({error.code!r})"[:200])
        if isinstance(error, SyntaxError):
            line = "" if error.lineno is None else f" (line {error.lineno})"
            return {"fault": "raised", "reason": f"SyntaxError: {error.msg}{line}"}
        try:
            fault = raised(error)
            return {
                "fault": fault.kind,
                "reason": _sendable(fault.reason),
                "traceback": _sendable(fault.traceback[-4000:]),
            }
        except BaseException as worse:  # no memory, no stack: in as few words as possible
            return {"fault": "raised", "reason": f"{type(error).__name__}, and {type(worse).__name__} when told"}

    def _report_attempt(self, kind: str, what: str) -> NoReturn:
        line, frame = 0, sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename == self._name:
                line = frame.f_lineno
                break
            frame = frame.f_back  # type: ignore[assignment]
        self._channel.send({"attempt": kind, "what": _sendable(what[:500]), "line": line})
        self._exit(77)


def _decisions(made: Any) -> Iterator[Any]:
    if made is None:
        raise TypeError("place() returned None, not decisions")
    return iter(made)


def _sendable(text: str) -> str:
    """Without halves of surrogate pairs, which UTF-8 has no bytes for."""
    return text.encode(errors="backslashreplace").decode()


def _encode_decision(decision: Any) -> dict[str, Any]:
    """A decision as plain data; what is none is named, and the judge counts it."""
    kind = type(decision)
    if kind is Bind:
        return {"bind": _bind(decision)}
    if kind is BindTogether and isinstance(decision.binds, (tuple, list)):
        return {"together": [_bind(bind) if type(bind) is Bind else [repr(bind)[:100]] for bind in decision.binds]}
    if kind is Wait:
        return {"wait": [getattr(decision.pod, "key", ""), _sendable(str(decision.reason)[:500])]}
    if kind is Evict:
        return {"evict": [_sendable(str(decision.pod)), _sendable(str(decision.reason)[:500])]}
    return {"nothing": f"{type(decision).__name__}"}


def _bind(bind: Bind) -> list[Any]:
    node: Any = bind.node
    if hasattr(node, "__index__"):
        node = node.__index__()
    devices = None if bind.devices is None else [int(device) for device in bind.devices]
    return [getattr(bind.pod, "key", ""), node, devices]
