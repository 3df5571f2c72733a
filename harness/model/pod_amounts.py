"""What a pod asks for in all: containers, init containers, sidecars and overhead, in plain integers by resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.model.core import Container, PodSpec, ResourceList


def resource_amounts(resources: ResourceList) -> dict[str, int]:
    """By resource, in milli-CPU, bytes or units."""
    return {name: q.milli if name == "cpu" else q.value for name, q in resources.items()}


def thousandths(resources: ResourceList) -> dict[str, int]:
    return {name: quantity.milli for name, quantity in resources.items()}


def pod_amounts(spec: PodSpec, of: Callable[[Container], dict[str, int]]) -> dict[str, int]:
    """What a pod holds on a node, in thousandths; `of` says what one container asks, in a dict of the caller's own.

    Fractions of a unit add up first; who wants whole units rounds the sum, as Kubernetes does.
    Source: k8s.io/component-helpers/resource PodRequests (v1.32): containers and sidecars add up, an init container
    runs beside the sidecars started before it, the larger of both counts; the overhead comes on top.
    """
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, of(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.init_containers:
        mine = of(container)
        if container.restart_policy == "Always":
            _add(total, mine)
            _add(sidecars, mine)
            mine = dict(sidecars)
        else:
            _add(mine, sidecars)
        for name, amount in mine.items():
            peak[name] = max(peak.get(name, 0), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, 0), amount)
    _add(total, thousandths(spec.overhead))
    return total


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount
