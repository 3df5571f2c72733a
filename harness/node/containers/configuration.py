"""ConfigMaps and Secrets as a kubelet knows them, and what pods that name them lack."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.engine.component import DELETED, MS, SECOND, Instant, Watch
from harness.model.core import Pod
from harness.model.meta import ApiObject
from harness.model.objects import kind_of
from harness.model.pod_references import variable_problem, variables_of, volume_problem, volumes_of
from harness.node.containers.plan import ContainerPlan

FIRST_WAIT_NS, LONGEST_WAIT_NS = 500 * MS, 122 * SECOND
"""Between two attempts to set up a volume; it doubles. Source: pkg/util/goroutinemap/exponentialbackoff
initialDurationBeforeRetry, maxDurationBeforeRetry (1.32)."""

PATIENCE_NS = 123 * SECOND
"""So long a pod's worker waits for its volumes before it says so. Source: volumemanager podAttachAndMountTimeout."""


class Mounts(msgspec.Struct):
    """Volumes of a pod that could not be set up yet. `next_ns`: of the next attempt; `told_ns`: when it is next said
    that they are missing."""

    volumes: tuple[str, ...]
    next_ns: Instant
    told_ns: Instant
    wait_ns: int = FIRST_WAIT_NS

    @property
    def due_ns(self) -> Instant:
        return min(self.next_ns, self.told_ns)

    def try_again(self, now: Instant) -> None:
        self.next_ns = now + self.wait_ns
        self.wait_ns = min(2 * self.wait_ns, LONGEST_WAIT_NS)


class Configuration:
    def __init__(self) -> None:
        self._there: dict[tuple[str, str], ApiObject] = {}

    def hear(self, event: Watch) -> None:
        obj = event.obj
        if event.type == DELETED:
            self._there.pop((kind_of(obj), obj.metadata.key), None)
        else:
            self._there[kind_of(obj), obj.metadata.key] = obj

    def set_all(self, kind: str, objects: Iterable[ApiObject]) -> None:
        self._there = {key: obj for key, obj in self._there.items() if key[0] != kind}
        self._there |= {(kind, obj.metadata.key): obj for obj in objects}

    def variable_problem(self, pod: Pod, plan: ContainerPlan) -> str:
        """Why the container cannot be made; empty where it can."""
        namespace = pod.metadata.namespace
        for reference in variables_of(plan.container):
            held = self._there.get((reference.kind, f"{namespace}/{reference.name}"))
            if problem := variable_problem(reference, namespace, held):
                return problem
        return ""

    def volume_problems(self, pod: Pod, only: tuple[str, ...] | None = None) -> list[tuple[str, str]]:
        """(volume, why it cannot be set up), of all or of `only` those."""
        found: list[tuple[str, str]] = []
        for volume in volumes_of(pod):
            if only is not None and volume.name not in only:
                continue
            problems = [
                problem
                for reference in volume.references
                if (problem := volume_problem(reference, self._there.get((reference.kind, _key(pod, reference.name)))))
            ]
            if problems:
                text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
                found.append((volume.name, text))
        return found

    def concerns(self, pod: Pod) -> bool:
        """Whether the pod may have to wait: it has variables from elsewhere, or lacks a volume."""
        return any(variables_of(item) for item in (*pod.spec.init_containers, *pod.spec.containers)) or bool(
            self.volume_problems(pod)
        )


def _key(pod: Pod, name: str) -> str:
    return f"{pod.metadata.namespace}/{name}"
