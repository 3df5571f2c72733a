"""How long a container that has ended waits before it starts again, and in which words.

Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go doBackOff; client-go util/flowcontrol/backoff.go (1.32).
"""

from __future__ import annotations

from harness.engine.component import SECOND, Instant
from harness.model.constants import Constants
from harness.model.core import Pod


def next_wait(constants: Constants, now: Instant, started_ns: Instant, backoff_ns: int) -> tuple[int, int]:
    """(how long it waits, how long the one after that). The first restart comes at once; so does one after a run of
    more than twice the longest wait (hasExpired)."""
    longest = constants.max_container_restart_period_ns
    if now - started_ns > 2 * longest or not backoff_ns:
        return 0, min(constants.initial_crash_loop_backoff_ns, longest)
    return backoff_ns, min(backoff_ns * 2, longest)


def told(pod: Pod, container: str, wait_ns: int) -> tuple[str, str]:
    """(message of the event BackOff, message of the state CrashLoopBackOff)."""
    meta = pod.metadata
    who = f"{container} in pod {meta.name}_{meta.namespace}({meta.uid})"
    state = f"back-off {wait_ns // SECOND}s restarting failed container={who.replace(' in pod ', ' pod=')}"
    return f"Back-off restarting failed container {who}", state
