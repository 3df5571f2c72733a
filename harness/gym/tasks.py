"""The pods of a scenario as the placement environment simulates them: bare pods and Jobs of one pod, by arrival."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from harness.experiment.prepared import Prepared
from harness.experiment.scenario import LoadedScenario
from harness.model.core import Pod
from harness.model.meta import ObjectMeta
from harness.model.objects import Job, PriorityClass
from harness.model.times import parse_duration
from harness.scheduling.pods.pod_classes import GROUP_LABEL
from workloads.manifests import DURATION

CLUSTER_ID = "podyard/Cluster-v1"


@dataclass(frozen=True, slots=True)
class Task:
    """`duration_ns` None: it stays to the end."""

    arrival_ns: int
    pod: Pod
    duration_ns: int | None


def check_playable(loaded: LoadedScenario) -> None:
    """Raises UserError for what a scenario has beyond nodes and pods."""
    spec = loaded.scenario.spec
    for path, there in (("spec.pools", spec.pools), ("spec.faults", spec.faults)):
        if there:
            raise _beyond(loaded, path, f"{path.removeprefix('spec.')} need the control plane")
    for index, source in enumerate(spec.workload):
        for name in ("service", "training"):
            if getattr(source, name) is not None:
                raise _beyond(loaded, f"spec.workload[{index}]", f"a {name} needs the control plane")


def tasks_of(prepared: Prepared) -> Iterator[Task]:
    """In order of arrival. Raises UserError for an object that is no pod, and for gangs and claims."""
    loaded = prepared.loaded
    for number, (at, obj) in enumerate(prepared.workload.stream()):
        if isinstance(obj, PriorityClass):
            raise _beyond(loaded, "spec.workload", "priorities need the control plane")
        pod = _pod_of(obj)
        if pod is None:
            raise _beyond(loaded, "spec.workload", f"a {type(obj).__name__} needs the control plane")
        if GROUP_LABEL in pod.metadata.labels:
            raise _beyond(loaded, "spec.workload", f"pod {pod.metadata.name} is of a gang")
        if pod.spec.node_name:
            raise _beyond(loaded, "spec.workload", f"pod {pod.metadata.name} has a node already")
        meta = pod.metadata
        own = replace(meta, uid=str(number), namespace=meta.namespace or "default", creation_timestamp=at)
        text = meta.annotations.get(DURATION)
        yield Task(at, Pod(metadata=own, spec=pod.spec), None if text is None else parse_duration(text))


def _pod_of(obj: Any) -> Pod | None:
    if isinstance(obj, Pod):
        return obj
    if isinstance(obj, Job) and (obj.spec.completions or 1) == 1 and (obj.spec.parallelism in (None, 1)):
        template = obj.spec.template
        labels, annotations = template.metadata.labels, template.metadata.annotations
        meta = ObjectMeta(
            name=obj.metadata.name, namespace=obj.metadata.namespace, labels=labels, annotations=annotations
        )
        return Pod(metadata=meta, spec=template.spec)
    return None


def _beyond(loaded: LoadedScenario, path: str, what: str) -> Exception:
    return loaded.error(path, what, expected="nodes, and pods that come and end", hint=f"play it in {CLUSTER_ID}")
