"""Kubernetes manifests with what the API server would refuse told before anything runs, by file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.apiserver.kinds import defaulted, problems
from harness.model.core import Node, Pod, PodSpec, ResourceList
from harness.model.objects import KINDS, Kind
from harness.model.quantity import too_much
from harness.model.status import Cause
from workloads.readers.manifests import Manifest, read_manifests


def read_checked_manifests(paths: Sequence[Path], kinds: Mapping[str, Kind] = KINDS) -> tuple[Manifest, ...]:
    """As `read_manifests`. Raises UserError, also for what the API server would refuse of an object alone."""
    return read_manifests(paths, refusals, kinds)


def refusals(kind: Kind, obj: Any, name: str) -> tuple[Cause, ...]:
    """What the API server would refuse of a new object, defaults filled in."""
    if kind.kind not in KINDS:  # read of a dump, not served
        return ()
    return (*problems(kind, defaulted(kind, obj), None, name), *_amounts(obj))


def _amounts(obj: Any) -> Iterator[Cause]:
    """Resources of nodes and pods that columns of 64 bits do not hold."""
    spec = obj.spec if isinstance(obj, Pod) else getattr(getattr(obj, "spec", None), "template", None)
    spec, path = (spec, "spec") if isinstance(obj, Pod) else (getattr(spec, "spec", None), "spec.template.spec")
    lists: list[tuple[str, ResourceList]] = []
    if isinstance(obj, Node):
        lists = [("status.capacity", obj.status.capacity), ("status.allocatable", obj.status.allocatable)]
    elif isinstance(spec, PodSpec):
        for field, containers in (("containers", spec.containers), ("initContainers", spec.init_containers)):
            for index, container in enumerate(containers):
                where = f"{path}.{field}[{index}].resources"
                lists.append((f"{where}.requests", container.resources.requests))
                lists.append((f"{where}.limits", container.resources.limits))
        lists.append((f"{path}.overhead", spec.overhead))
    for where, resources in lists:
        for resource, quantity in resources.items():
            if problem := too_much(resource, quantity):
                yield Cause(reason="FieldValueInvalid", field=f"{where}.{resource}", message=problem)
