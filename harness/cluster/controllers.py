"""The controllers of a cluster, by name, as kube-controller-manager's --controllers takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.engine.component import Component
from harness.model.errors import UserError, did_you_mean
from harness.model.plugins import PluginGroup

GROUP = "podyard.controllers"

DEFAULT = (
    "deployment-controller",
    "replicaset-controller",
    "job-controller",
    "endpointslice-controller",
    "disruption-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "pod-garbage-collector",
    "garbage-collector",
    "namespace-controller",
    "horizontal-pod-autoscaler",
    "resourcequota-controller",
    "daemonset-controller",
    "persistentvolume-binder",
    "external-provisioner",
    "ephemeral-volume-controller",
    "statefulset-controller",
)
"""What `*` stands for. The order is the order of their steps at one instant, and so part of every digest."""


NOT_THE_MANAGERS = ("external-provisioner",)
"""Of the default ones, what runs in a process of its own: here a CSI driver's sidecar."""

RESERVED = ("scheduler", "workload", "faults", "auditor", "cluster-autoscaler")
"""Names of components that are no controllers."""


def _problem(made: Any) -> str:
    return (
        ""
        if callable(getattr(made, "step", None)) and hasattr(made, "watches") and hasattr(made, "name")
        else ("a component: name, watches, step(now, events)")
    )


CONTROLLERS = PluginGroup(GROUP, "controller", _problem)


def controllers(asked: Sequence[str] = ("*",)) -> list[Component]:
    """`*`: the default ones; `-name`: without this one; `name`, `module:object`, either with `?parameter=value`: this
    one, too, or in place of the default one of its name. Raises UserError.

    Source: kube-controller-manager --controllers (1.32).
    """
    chosen = {name: name for name in DEFAULT} if "*" in asked else {}
    for spec in asked:
        if spec == "*":
            continue
        if spec.startswith("-"):
            name = spec[1:]
            if name not in chosen:
                raise UserError(
                    f"there is no controller {name!r} to leave out",
                    expected="one of " + ", ".join(chosen),
                    hint=did_you_mean(name, chosen),
                )
            del chosen[name]
        else:
            chosen[spec.partition("?")[0]] = spec
    made: dict[str, Component] = {}
    for spec in chosen.values():
        component = CONTROLLERS.make(spec)
        if component.name in made or component.name in RESERVED:
            raise UserError(
                f"two components are called {component.name!r}", found=spec, hint=f'"-{component.name}" leaves one out'
            )
        made[component.name] = component
    return list(made.values())
