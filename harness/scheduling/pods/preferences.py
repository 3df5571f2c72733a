"""What a pod prefers, as values: nothing of this bears on where it may go, only on scores (the strategy `kube`).

Pods that prefer the same share one object, so caches key on `id`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.model.core import Pod
from harness.scheduling.filters.pod_topology_spread import SOFT, Eligible, eligible, selector_of
from harness.scheduling.matching.pod_selectors import PodSelector, hold, of_term
from harness.scheduling.state.node_selectors import Requirement, preferred_terms
from harness.scheduling.state.pod_counts import PodSelection
from harness.scheduling.strategy import PodView


@dataclass(frozen=True, slots=True)
class SoftSpread:
    """A ScheduleAnyway constraint. `eligible` names no keys: those are asked for by the score."""

    key: str
    selection: PodSelection
    max_skew: int
    itself: int
    eligible: Eligible


@dataclass(frozen=True, slots=True)
class PodPreference:
    """Preferred affinity to pods, by the domains of a topology key; `weight` is negative for anti-affinity."""

    key: str
    selector: PodSelector
    weight: int


@dataclass(frozen=True, slots=True)
class PreferenceValues:
    """The parts of Preferences, by value."""

    nodes: tuple[tuple[int, tuple[Requirement, ...]], ...]  # (weight, requirements) of preferred node affinity
    tolerations: tuple[tuple[str, str, str, str], ...]  # those that bear on PreferNoSchedule
    pods: tuple[PodPreference, ...]
    spread: tuple[SoftSpread, ...]
    images: tuple[str, ...]  # normalised names, one a container that names one
    containers: int  # init containers included
    scheduler: str  # schedulerName
    best_effort: bool
    constrained: bool  # has topologySpreadConstraints of its own, hard or soft: default ones do not apply


@dataclass(frozen=True, slots=True, eq=False)
class Preferences:
    """`PodView.preferences`."""

    id: int
    values: PreferenceValues


class AllPreferences:
    """The table of preferences of one scheduler."""

    _MOST = 65_536

    def __init__(self) -> None:
        self._known: dict[Any, Preferences] = {}
        self._made = 0

    def intern(self, pod: Pod) -> Preferences:
        values = preference_values_of(pod)
        found = self._known.get(values)
        if found is None:
            if len(self._known) >= self._MOST:
                self._known.clear()
            self._made += 1
            found = self._known[values] = Preferences(self._made, values)
        return found


def preference_values_of(pod: Pod) -> PreferenceValues:
    spec = pod.spec
    affinity = spec.affinity
    nodes: tuple[tuple[int, tuple[Requirement, ...]], ...] = ()
    pods: list[PodPreference] = []
    if affinity is not None:
        if affinity.node_affinity is not None:
            nodes = preferred_terms(affinity.node_affinity)
        for sign, group in ((1, affinity.pod_affinity), (-1, affinity.pod_anti_affinity)):
            if group is not None:
                pods += [
                    PodPreference(
                        weighted.pod_affinity_term.topology_key,
                        of_term(weighted.pod_affinity_term, pod.metadata.namespace, pod.metadata.labels),
                        sign * weighted.weight,
                    )
                    for weighted in group.preferred_during_scheduling_ignored_during_execution
                ]
    containers = (*spec.init_containers, *spec.containers)
    return PreferenceValues(
        nodes,
        tuple(
            # Source: kube-scheduler 1.32 plugins/tainttoleration getAllTolerationPreferNoSchedule.
            (t.key, t.operator, t.value, t.effect)
            for t in spec.tolerations
            if t.effect in ("", "PreferNoSchedule")
        ),
        tuple(pods),
        soft_spread(pod),
        tuple(normalised_image(container.image) for container in containers if container.image),
        len(containers),
        spec.scheduler_name,
        not any(container.resources.requests for container in containers),
        bool(spec.topology_spread_constraints),
    )


def soft_spread(pod: Pod) -> tuple[SoftSpread, ...]:
    out = []
    for constraint in pod.spec.topology_spread_constraints:
        if constraint.when_unsatisfiable == SOFT:
            selector = selector_of(constraint, pod)
            itself = selector.labels is not None and hold(selector.labels, pod.metadata.labels)
            selection = PodSelection((selector,), living=True)
            out.append(
                SoftSpread(
                    constraint.topology_key, selection, constraint.max_skew, int(itself), eligible(pod, constraint, ())
                )
            )
    return tuple(out)


def normalised_image(name: str) -> str:
    """Source: kube-scheduler 1.32 plugins/imagelocality normalizedImageName."""
    return f"{name}:latest" if name.rfind(":") <= name.rfind("/") else name


NO_WISHES = PreferenceValues((), (), (), (), (), 0, "", False, False)


def preferences_of(pod: PodView) -> PreferenceValues:
    """What a pod view prefers; nothing where it was made without a spec."""
    found = pod.preferences
    if type(found) is Preferences:
        return found.values
    assert found is None, f"preferences of a pod view: {found!r}"
    return NO_WISHES
