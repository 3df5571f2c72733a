"""Ephemeral containers of a pod: started when they are seen, never restarted, ended by their command alone.

Source: pkg/kubelet/kuberuntime computePodActions, EphemeralContainersToStart.
"""

from __future__ import annotations

from msgspec.structs import replace

from harness.engine.component import Effect, WakeAt
from harness.model import commands
from harness.model.commands import FOREVER, Surroundings
from harness.model.core import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
)
from harness.model.pod_usage import DURATION, EXIT_CODE
from harness.model.wire import Time
from harness.node.pod_annotations import read_annotations
from harness.node.pod_worker import PodWorker, Stage


def run_ephemeral(now: int, worker: PodWorker, what: int, effects: list[Effect]) -> bool:
    """Start those that are new, end those whose time has come; whether anything changed. `what`: a timer's subject."""
    specs = (worker.pod.spec.extra or {}).get("ephemeralContainers")
    if not specs or worker.stage != Stage.RUNNING:
        return False
    known = {status.name: status for status in worker.ephemeral}
    statuses: list[ContainerStatus] = []
    next_ns = 0
    for spec in specs:
        name, image = str(spec.get("name", "")), str(spec.get("image", ""))
        status = known.get(name)
        if status is None:
            state = ContainerState(running=ContainerStateRunning(started_at=Time(now)))
            status = ContainerStatus(name=name, image=image, ready=False, restart_count=0, state=state)
        if status.state.running is not None:
            started = status.state.running.started_at or now
            argv = [str(item) for item in (*(spec.get("command") or ()), *(spec.get("args") or ()))]
            finish = _end_of(worker.pod, name, argv, reads=bool(spec.get("stdin")) and commands.reads_stdin(argv))
            if finish is not None:
                after, code = finish
                end = started + after
                if end <= now:
                    reason = "Completed" if code == 0 else "Error"
                    ended = ContainerStateTerminated(
                        exit_code=code,
                        reason=reason,
                        started_at=Time(started),
                        finished_at=Time(now),
                    )
                    status = replace(status, state=ContainerState(terminated=ended))
                else:
                    next_ns = min(next_ns or end, end)
        statuses.append(status)
    if tuple(statuses) == worker.ephemeral:
        return False
    worker.ephemeral = tuple(statuses)
    if next_ns:
        effects.append(WakeAt(next_ns, (worker.pod.metadata.uid, 0, what)))
    return True


def _end_of(pod: Pod, name: str, argv: list[str], *, reads: bool) -> tuple[int, int] | None:
    """(after so many ns, exit code); None for one that runs on. An annotation comes before the command; `reads`: it
    ends when whoever is attached says so."""
    annotations = pod.metadata.annotations
    said = read_annotations({key: annotations.get(f"{key}.{name}", "") for key in (DURATION, EXIT_CODE)})
    if said.duration_ns >= 0:
        return said.duration_ns, said.exit_code
    outcome = None if reads or not argv else commands.run(argv, Surroundings(pod.metadata.name))
    return None if outcome is None or outcome.duration_ns == FOREVER else (outcome.duration_ns, outcome.exit_code)
