"""Around somebody else's Filter plugin: it answers in time and soundly, or it rejects the nodes it was asked about.

What it does wrong is kept as faults of the kinds that `harness.scheduling.sandbox.guard` names (`raised`, `deadline`,
`mutation`, and `no answer` for one that is none) until the scheduler takes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.model.core import Pod
from harness.scheduling.filter_plugin import Asked, FilterPlugin
from harness.scheduling.sandbox.deadline import Call, DeadlinePassed
from harness.scheduling.sandbox.guard import DEADLINE_S, OVERRUNS, raised, stable_text
from harness.scheduling.state.read_only import ReadOnlyNodes
from harness.scheduling.strategy import Bool, Int64, NodesView, StrategyFault

_PLAIN = (str, int, float, bool)
_DEEPEST = 20  # tuples within tuples
_FAILED = 4096  # answers that failed, remembered for their reason
_MOST_OVERRUN_S = 86_400.0  # in place of no deadline


@dataclass(frozen=True, slots=True)
class _NotAsked:
    """In place of what the pod asks, where `asks` failed: no node has it."""

    why: str


class ContainedFilterPlugin:
    """A FilterPlugin that raises nothing. `overruns`: calls that passed the deadline: such a run cannot be replayed."""

    def __init__(self, plugin: FilterPlugin, deadline_s: float | None = DEADLINE_S) -> None:
        self.name = plugin.name
        self.depends_on = plugin.depends_on
        self.overruns = 0
        self._plugin = plugin
        self._call = Call(_MOST_OVERRUN_S if deadline_s is None else deadline_s)
        self._faults: dict[tuple[str, str], StrategyFault] = {}
        self._failed: dict[Asked, str] = {}  # why `holds` failed the last time, by what was asked

    def take_faults(self) -> tuple[StrategyFault, ...]:
        """Those since they were last taken, each once."""
        found = tuple(self._faults.values())
        self._faults.clear()
        return found

    def asks(self, pod: Pod) -> Any:
        """Where it fails, something that no node has: nothing is known of what the pod would have asked."""
        answer, why = self._ask("asks", pod)
        if not why and answer is not None and not _is_plain(answer):
            why = self._fault(
                "no answer", f"asks() answers a text, a number, a tuple of such, or None: not {stable_text(answer)}"
            )
        return _NotAsked(why) if why else answer

    def holds(self, asked: Any, cluster: NodesView, nodes: Int64) -> Bool:
        nowhere: Bool = np.zeros(len(nodes), dtype=np.bool_)
        if type(asked) is _NotAsked:
            return nowhere
        answer, why = self._ask("holds", asked, cluster, nodes.copy())
        if not why:
            found = _mask(answer)
            if found is not None and found.shape == nowhere.shape:
                self._failed.pop(asked, None)
                return found
            why = self._fault("no answer", f"holds() answers bool [{len(nodes)}], not {stable_text(answer)}")
        if len(self._failed) >= _FAILED:
            self._failed.clear()
        self._failed[asked] = why
        return nowhere

    def reason(self, asked: Any, cluster: NodesView, node: int) -> str:
        # Source of the words: kube-scheduler 1.32 framework/runtime RunFilterPlugins.
        why = asked.why if type(asked) is _NotAsked else self._failed.get(asked)
        if why is None:
            answer, why = self._ask("reason", asked, cluster, node)
            if not why and isinstance(answer, str) and answer:
                return stable_text(answer, str)
            why = why or self._fault("no answer", f"reason() answers a text, not {stable_text(answer)}")
        return f'running "{self.name}" filter plugin: {why}'

    # -- within --------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, *arguments: Any) -> tuple[Any, str]:
        """(answer, why there is none)."""
        if self.overruns >= OVERRUNS:
            return None, f"asked no more: {OVERRUNS} calls ran past the deadline"
        call = self._call
        answer, error = call.run(_call_method, self._plugin, method, arguments)
        if call.late:
            self.overruns += 1
            return None, self._fault("deadline", f"{method}() took longer than {call.limit_s:g} s")
        if isinstance(error, DeadlinePassed):
            raise error  # of the strategy that asked where its pod fits
        if error is not None:
            fault = raised(error)
            return None, self._fault(fault.kind, fault.reason, fault.traceback)
        for argument in arguments:
            if isinstance(argument, ReadOnlyNodes) and argument.tried:
                tried = argument.tried[0]
                argument.tried.clear()
                return None, self._fault("mutation", f"the cluster is read-only: {tried}")
        return answer, ""

    def _fault(self, kind: str, reason: str, traceback: str = "") -> str:
        self._faults.setdefault((kind, reason), StrategyFault(kind, "", f"{self.name}: {reason}", traceback))
        return f"{kind}: {reason}"


def _call_method(plugin: Any, method: str, arguments: tuple[Any, ...]) -> Any:
    return getattr(plugin, method)(*arguments)


def _is_plain(value: Any, depth: int = 0) -> bool:
    if type(value) is tuple:
        return depth < _DEEPEST and all(_is_plain(item, depth + 1) for item in value)
    return type(value) in _PLAIN


def _mask(answer: Any) -> Bool | None:
    """Of a numpy array of bool alone: anything else might run code of theirs when it is read."""
    if type(answer) is not np.ndarray or answer.dtype != np.bool_:
        return None
    copied: Bool = answer.copy()
    return copied
