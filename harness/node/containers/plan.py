"""What each container of a pod does by itself, by its spec, the pod's annotations and, in live clusters, its command.

An annotation of a pod (podyard.dev/duration, ..) is about all its app containers; with a container's name behind a dot
(podyard.dev/duration.sidecar) about that one, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import msgspec

from harness.engine.component import SECOND
from harness.model import commands
from harness.model.commands import FOREVER, Surroundings
from harness.model.core import Container, Pod
from harness.node.pod_annotations import OF_CONTAINERS, PodAnnotations, read_annotations
from harness.node.pod_commands import end_of


class Role(IntEnum):
    INIT = 0
    SIDECAR = 1  # an init container with restartPolicy Always
    APP = 2


class Hook(msgspec.Struct, frozen=True, gc=False):
    """postStart or preStop: how long it takes, and how it ends."""

    duration_ns: int
    exit_code: int = 0


class ContainerPlan(msgspec.Struct, frozen=True, gc=False):
    """`duration_ns`: -1, it runs until it is stopped."""

    container: Container
    role: Role
    duration_ns: int
    exit_code: int
    ready_after_ns: int
    stop_after_ns: int
    unhealthy_after_ns: int
    post_start: Hook | None
    pre_stop: Hook | None

    @property
    def name(self) -> str:
        return self.container.name


def plans_of(pod: Pod, *, by_commands: bool) -> tuple[tuple[ContainerPlan, ...], tuple[str, ...]]:
    """(the containers in the order in which they start, what of the annotations could not be read)."""
    found: list[tuple[ContainerPlan, PodAnnotations]] = []
    for container in pod.spec.init_containers:
        role = Role.SIDECAR if container.restart_policy == "Always" else Role.INIT
        found.append(_plan(pod, container, role, by_commands))
    found += [_plan(pod, container, Role.APP, by_commands) for container in pod.spec.containers]
    wrong = dict.fromkeys(text for _, said in found for text in said.wrong)
    return tuple(plan for plan, _ in found), tuple(wrong)


def _plan(pod: Pod, container: Container, role: Role, by_commands: bool) -> tuple[ContainerPlan, PodAnnotations]:
    said = annotations_of(pod.metadata.annotations, container.name, shared=role == Role.APP)
    duration, code = said.duration_ns, said.exit_code
    if duration < 0 and by_commands and (end := end_of(container, pod)) is not None:
        duration, code = end[0], code or end[1]
    elif duration < 0 and role == Role.INIT and not (by_commands and _goes_on(container, pod)):
        duration = 0
    hooks: Mapping[str, Any] = (container.extra or {}).get("lifecycle") or {}
    plan = ContainerPlan(
        container=container,
        role=role,
        duration_ns=duration,
        exit_code=code,
        ready_after_ns=said.ready_after_ns,
        stop_after_ns=said.stop_after_ns,
        unhealthy_after_ns=said.unhealthy_after_ns,
        post_start=_hook(hooks.get("postStart")),
        pre_stop=_hook(hooks.get("preStop")),
    )
    return plan, said


def annotations_of(annotations: Mapping[str, str], container: str, *, shared: bool) -> PodAnnotations:
    found = {}
    for name in OF_CONTAINERS:
        text = annotations.get(f"{name}.{container}")
        if text is None and shared:
            text = annotations.get(name)
        if text is not None:
            found[name] = text
    return read_annotations(found)


def _goes_on(container: Container, pod: Pod) -> bool:
    """Whether its command is known, and does not end."""
    extra = container.extra or {}
    argv = [str(item) for item in (*(extra.get("command") or ()), *(extra.get("args") or ()))]
    outcome = commands.run(argv, Surroundings(pod.metadata.name)) if argv else None
    return outcome is not None and outcome.duration_ns == FOREVER


def _hook(handler: Any) -> Hook | None:
    """Source: pkg/kubelet/lifecycle/handlers.go. A request takes no time, nor does a command that is not known."""
    if not isinstance(handler, Mapping):
        return None
    sleep = handler.get("sleep")
    if isinstance(sleep, Mapping):
        return Hook(int(sleep.get("seconds") or 0) * SECOND)
    action = handler.get("exec")
    if isinstance(action, Mapping):
        argv = [str(item) for item in action.get("command") or ()]
        outcome = commands.run(argv, Surroundings()) if argv else None
        if outcome is not None and outcome.duration_ns != FOREVER:
            return Hook(outcome.duration_ns, outcome.exit_code)
    return Hook(0)
