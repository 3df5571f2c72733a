"""What a controller remembers: nothing of what is gone, and nothing of the life before its process started again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from benchmarks.outage_scenarios import SCENARIOS
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import DELETED, Start, Timer, Watch
from tests.controllers.test_restart import controllers, played, tapes

KEPT = ("._constants", "._restarted", "._started", ".handled_failures", ".now", "._version", "._known", "._rng")
"""Settings, counters, and the caches of bounded size that LabelKeys are."""

STAYS = (".made", "._subscribed", "._watched", "._recorded")
"""Whether there ever was anything, and the events of the objects that were told of last."""


def remembered(obj: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of all that is in a controller: attributes, and items of containers."""
    if path.endswith(KEPT):
        return
    if isinstance(obj, Mapping):
        if not obj:
            yield path, "empty"
        for key, value in obj.items():
            yield from remembered(value, f"{path}[{key}]")
    elif isinstance(obj, list | tuple | set | frozenset):
        if not obj:
            yield path, "empty"
        for index, value in enumerate(obj):
            yield from remembered(value, f"{path}[{index}]")
    elif type(obj).__module__.startswith("harness.controllers"):
        slots = (name for cls in type(obj).__mro__ for name in getattr(cls, "__slots__", ()))
        for name in sorted({*getattr(obj, "__dict__", ()), *slots}):
            yield from remembered(getattr(obj, name, None), f"{path}.{name}")
    elif callable(obj):
        yield path, getattr(obj, "__qualname__", repr(obj))
    else:
        yield path, obj


@pytest.mark.parametrize("number", range(len(SCENARIOS)))
@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.8, 1.0])
def test_a_process_that_starts_again_remembers_nothing(number: int, share: float) -> None:
    new, old = (controllers(SCENARIOS[number].cluster()) for _ in range(2))
    for name, tape in tapes(number).items():
        played(old[name], tape[: round(share * len(tape))])
        for one in (new, old):
            one[name].forget_all()
        assert difference(old[name], new[name]) == {}, name


@pytest.mark.parametrize("number", range(len(SCENARIOS)))
def test_of_objects_that_are_gone_nothing_is_kept(number: int) -> None:
    new, old = (controllers(SCENARIOS[number].cluster()) for _ in range(2))
    for name, tape in tapes(number).items():
        played(old[name], tape)
        new[name].step(1, [Start()])
        all_gone(old[name], tape[-1][0])
        left = [path for path in difference(old[name], new[name]) if not any(item in path for item in STAYS)]
        assert left == [], name


def difference(old: Reconciler, new: Reconciler) -> dict[str, tuple[object, object]]:
    """Path -> what is there in the one and in the other."""
    had, has = dict(remembered(old)), dict(remembered(new))
    return {path: (had.get(path), has.get(path)) for path in {**had, **has} if had.get(path) != has.get(path)}


def all_gone(controller: Reconciler, now: int) -> None:
    """Everything is deleted at once, pods and then nodes last; then its timers run out."""
    informer = controller.informer
    kinds = sorted(informer.kinds, key=lambda kind: ("Pod", "Node").index(kind) if kind in ("Pod", "Node") else -1)
    gone = [Watch(DELETED, obj) for kind in kinds for obj in list(informer.objects(kind).values())]
    controller.step(now + 1, gone)
    controller.step(now + 10**13, [Timer(key) for key in list(controller.queue._due)])
