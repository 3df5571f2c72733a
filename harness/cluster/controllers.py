"""The controllers of a cluster, by name, as kube-controller-manager's --controllers takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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
    "replicationcontroller-controller",
    "ttl-after-finished-controller",
    "cronjob-controller",
    "vpa-recommender",
    "vpa-updater",
    "persistentvolume-attach-detach-controller",
    "external-attacher",
)
"""What `*` stands for. The order is the order of their steps at one instant, and so part of every digest."""


NOT_THE_MANAGERS = ("external-provisioner", "external-attacher", "vpa-recommender", "vpa-updater")
"""Of the default ones, what runs in a process of its own: a CSI driver's sidecars, vertical pod autoscaling."""

STARTED_LAST = ("persistentvolume-attach-detach-controller", "external-attacher")
"""Of the default ones, those that come behind all other components: the latencies of each component are drawn from a
stream by its place, and runs without volumes keep theirs."""

RESERVED = ("scheduler", "workload", "faults", "auditor", "cluster-autoscaler")
"""Names of components that are no controllers."""


def _problem(made: Any) -> str:
    return (
        ""
        if callable(getattr(made, "step", None)) and hasattr(made, "watches") and hasattr(made, "name")
        else ("a component: name, watches, step(now, events)")
    )


CONTROLLERS = PluginGroup(GROUP, "controller", _problem)


def check_controllers(asked: Sequence[str]) -> Iterator[tuple[int, UserError]]:
    """(index, what is wrong) of each item of `asked` that names no controller."""
    chosen = set(DEFAULT) if "*" in asked else set()
    for index, spec in enumerate(asked):
        try:
            if spec.startswith("-"):
                _left_out(spec[1:], chosen)
            elif spec != "*":
                CONTROLLERS.make(spec)
                chosen.add(spec.partition("?")[0])
        except UserError as error:
            yield index, error


def _left_out(name: str, chosen: Collection[str]) -> None:
    """Raises UserError where there is none of this name."""
    if name not in chosen:
        raise UserError(
            f"there is no controller {name!r} to leave out",
            expected="one of " + ", ".join(sorted(chosen)) if chosen else '"*" before it',
            hint=did_you_mean(name, chosen),
        )


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
            _left_out(name, chosen)
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
