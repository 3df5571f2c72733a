"""Pods that have a nominated node go there if they fit; the strategy is asked about the others."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from harness.scheduling.feasibility.legality import needs_gang
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption.gang_victims import to_kept_places
from harness.scheduling.preemption.victims import Preemption
from harness.scheduling.strategy import Bind, BindTogether, PodView


def nominated_first(
    views: list[PodView],
    waiting: Container[str],
    snapshot_now: Callable[[], Snapshot],
    preemption: Preemption,
    decide: Callable[[Bind | BindTogether], None],
) -> Iterator[list[PodView]]:
    """What the strategy is asked for: all at once, but for pods whose nominated node takes them; they go there.

    `waiting`: keys of those that are not placed yet; `decide` and the strategy's answers take them out.
    `snapshot_now`: the snapshot as it is then.
    Source: schedule_one.go evaluateNominatedNode: a nominated node that fits is the only one looked at.
    """
    if not snapshot_now().nominations.by_node:
        yield views
        return
    ask: list[PodView] = []
    passed: set[str] = set()  # gangs
    for view in views:
        snapshot = snapshot_now()
        if view.group is not None and needs_gang(snapshot, view) > 1:
            if view.group not in passed:
                passed.add(view.group)
                together = to_kept_places(snapshot, _mates(view, views), preemption.is_being_cleared)
                if together is not None:
                    decide(together)
            if view.key in waiting:
                ask.append(view)
            continue
        if view.key not in waiting:  # it went with its gang
            continue
        node = snapshot.nominations.node_of(view.key)
        if node is None:
            ask.append(view)
            continue
        if ask:
            yield ask
            ask = []
        if snapshot.verdicts.holds(snapshot.classes.class_now(view), node, view.key):
            snapshot.nominations.remove(view.key)
            decide(Bind(view, node))
        else:
            ask.append(view)
    if ask:
        yield ask


def _mates(view: PodView, views: Sequence[PodView]) -> list[PodView]:
    return [other for other in views if other.group == view.group]
