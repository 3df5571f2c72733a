"""One pod on its node: what the container runtime does with it. What happens to more containers than one, or to one
with hooks or a startup probe, stands in `composed`."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from harness.engine.component import Delete
from harness.model.core import ContainerState, ContainerStatus, Pod, PodStatus
from harness.node.containers.run import PodRun
from harness.node.pod_annotations import PodAnnotations
from harness.node.run_spec import RunSpec


class Stage(IntEnum):
    STARTING = 0  # images, init containers, the container itself
    RUNNING = 1
    WAITING = 2  # for its next start
    STOPPING = 3
    ENDED = 4  # or never admitted


class PodWorker(msgspec.Struct):
    """`turn`: which container this is, of all that ever ran on the node, so that timers of earlier ones are stale."""

    pod: Pod
    run_spec: RunSpec
    annotations: PodAnnotations
    admitted_ns: int
    stage: Stage = Stage.STARTING
    turn: int = 0
    started_ns: int = 0
    until_ns: int = -1  # when what the container is at (starting, running, stopping) is done; -1: never by itself
    ended: tuple[int, int] = (-1, 0)  # when the last container ended by itself, and with which exit code
    ready: bool = False
    sick: bool = False
    serving: bool = False
    holds: bool = False  # whether its resources are taken
    restarts: int = 0
    again: bool = False  # its next start is a restart, and counts from then on
    backoff_ns: int = 0
    reported_milli: int = -1
    last: ContainerState = ContainerState()
    ephemeral: tuple[ContainerStatus, ...] = ()
    composed: PodRun | None = None
    status: PodStatus | None = None  # as reported last
    sent: PodStatus | None = None  # on its way
    sent_version: str = ""  # of the pod that it was made from
    unsent: bool = False  # the status is to be sent when that is possible

    @property
    def able(self) -> bool:
        """Whether requests that reach it are answered: also while it stops."""
        return (self.stage == Stage.RUNNING or self.stage == Stage.STOPPING) and not self.sick


def gone(pod: Pod) -> Delete:
    """Nothing of it is left."""
    meta = pod.metadata
    return Delete("Pod", meta.namespace, meta.name, uid=meta.uid, grace_s=0)


class Host(msgspec.Struct, frozen=True, gc=False):
    """What statuses say about the node."""

    ip: str
