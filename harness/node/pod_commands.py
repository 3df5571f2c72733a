"""How long a container runs, and how it ends, by its command, where nothing else says."""

from __future__ import annotations

import msgspec

from harness.engine.component import SECOND
from harness.model import commands
from harness.model.commands import FOREVER, Surroundings
from harness.model.core import Container, Pod
from harness.node.pod_annotations import PodAnnotations, read_pod_annotations

BATCH_NS = SECOND
"""What a command takes that is not known here, in a pod that is not restarted when it ends well: such pods are there to
end. A choice of this simulation; podyard.dev/duration says otherwise."""


def said_of(pod: Pod) -> PodAnnotations:
    """What its annotations say, and the command of its one container where those do not.

    A container without a command runs its image's own, which nobody here knows: it runs on. So does one whose command
    does not end, and with it the pod.
    """
    annotations = read_pod_annotations(pod)
    if annotations.duration_ns >= 0:
        return annotations
    ends = [end_of(container, pod) for container in pod.spec.containers]
    if any(end is None for end in ends):
        return annotations
    duration = max(end[0] for end in ends if end is not None)
    code = next((end[1] for end in ends if end is not None and end[1]), 0)
    return msgspec.structs.replace(annotations, duration_ns=duration, exit_code=annotations.exit_code or code)


def end_of(container: Container, pod: Pod) -> tuple[int, int] | None:
    """(after so many ns, exit code); None for one that does not end by itself."""
    extra = container.extra or {}
    argv = [str(item) for item in (*(extra.get("command") or ()), *(extra.get("args") or ()))]
    if not argv or (extra.get("stdin") and commands.reads_stdin(argv)):
        return None
    env = {str(item.get("name")): str(item.get("value", "")) for item in extra.get("env") or ()}
    outcome = commands.run(argv, Surroundings(pod.metadata.name, {"HOSTNAME": pod.metadata.name, **env}))
    if outcome is None:
        batch = extra.get("command") and pod.spec.restart_policy in ("Never", "OnFailure")
        return (BATCH_NS, 0) if batch else None
    return None if outcome.duration_ns == FOREVER else (outcome.duration_ns, outcome.exit_code)
