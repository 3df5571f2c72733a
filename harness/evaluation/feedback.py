"""What the author of a strategy learns from a run: which pods waited longer than under the baseline, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.experiment.run import Run
from harness.explain.amounts import shown
from harness.explain.regret import of_snapshot
from harness.measure.pods import NEVER
from harness.model.objects import Kind
from harness.scheduling.feasibility.fit_error import diagnose
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import CPU, MEMORY, PodView

_PODS = 5


@dataclass(frozen=True, slots=True)
class Waited:
    """Of one run: seconds that each pod waited for a node (until the end where it has none), who has none, and what the
    scheduler last said of each that found no node."""

    seconds: dict[str, float]
    nowhere: frozenset[str]
    refusals: dict[str, str]


class Refusals:
    """The last that the scheduler said of each pod for which it found no node. Listens from the beginning of a run."""

    def __init__(self, run: Run) -> None:
        self.said: dict[str, str] = {}
        run.cluster.server.listeners.append(self._hear)

    def _hear(self, kind: Kind, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind != "Pod":
            return
        for condition in obj.status.conditions:
            if condition.type == "PodScheduled" and condition.status == "False" and condition.message:
                self.said[obj.metadata.key] = condition.message


def waits(run: Run, refusals: Refusals) -> Waited:
    out: dict[str, float] = {}
    nowhere = set()
    for life in run.measures.lives.all.values():
        bound = life.bound_ns
        out[life.key] = ((run.end_ns if bound == NEVER else bound) - life.created_ns) / 1e9
        if bound == NEVER:
            nowhere.add(life.key)
    return Waited(out, frozenset(nowhere), refusals.said)


def feedback(run: Run, mine: Waited, base: Waited) -> dict[str, Any]:
    """Of the run where the strategy lost most, or won least, against the baseline on the same seed."""
    on: Snapshot = run.scheduler.snapshot
    pods = run.cluster.server.objects("Pod")
    waiting = {key: on.classes.view(pods[key]) for key in sorted(mine.nowhere) if key in pods}
    lost = sorted(mine.seconds, key=lambda key: (base.seconds.get(key, 0.0) - mine.seconds[key], key))
    won = sorted(mine.seconds, key=lambda key: (mine.seconds[key] - base.seconds.get(key, 0.0), key))
    out: dict[str, Any] = {
        "longerThanBaseline": [
            _pod_feedback(key, mine, base, on, waiting.get(key))
            for key in lost[:_PODS]
            if mine.seconds[key] - base.seconds.get(key, 0.0) > 1
        ],
        "shorterThanBaseline": [
            {"pod": key, "waitedSeconds": round(mine.seconds[key], 1), "baselineSeconds": round(base.seconds[key], 1)}
            for key in won[:_PODS]
            if base.seconds.get(key, 0.0) - mine.seconds[key] > 1
        ],
    }
    out["bindingsThatKeptOthersOut"] = [
        {
            **regret.to_data(),
            "why": f"{regret.pod} is on {regret.node} and would fit on {regret.elsewhere} other nodes; without it there"
            f" {regret.kept_out} would have had a node, which asks for {_wants(waiting[regret.kept_out])}",
        }
        for regret in of_snapshot(on, list(waiting.values()), _PODS)
    ]
    return out


def _pod_feedback(key: str, mine: Waited, base: Waited, on: Snapshot, view: PodView | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "pod": key,
        "waitedSeconds": round(mine.seconds[key], 1),
        "baselineSeconds": round(base.seconds.get(key, 0.0), 1),
        "gotANode": view is None,
    }
    if view is not None:
        out["asksFor"] = _wants(view)
    # In the scheduler's words: of the last attempt that failed, or of the cluster at the end.
    why = mine.refusals.get(key) or (str(diagnose(on, view)) if view is not None else "")
    return {**out, **({"why": why} if why else {})}


def _wants(view: PodView) -> str:
    gpu = view.gpu
    parts = [f"{shown('cpu', view.cls.amounts[CPU])} CPU", f"{shown('memory', view.cls.amounts[MEMORY])} memory"]
    if gpu.count:
        each = f"{gpu.count} GPUs" if gpu.milli == 1000 else f"{gpu.count} x {gpu.milli / 1000:g} GPU"
        parts.append(each + (f" of model {' or '.join(gpu.models)}" if gpu.models else ""))
    return ", ".join(parts)
