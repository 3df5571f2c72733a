"""DRF, Tetris and NILAS against examples of their papers, or worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import Bind, BindTogether, PodView, Strategy, Wait
from schedulers.backfill import conservative, easy
from schedulers.drf import DRF
from schedulers.nilas import NILAS, bucket
from schedulers.tetris import Tetris, alignment

GIB = 1 << 30
MINUTE = 60 * 10**9


def cluster(*nodes: tuple[int, int]) -> Snapshot:
    """Nodes of (CPUs, GiB)."""
    snapshot = Snapshot()
    for at, (cpus, gib) in enumerate(nodes):
        snapshot.add_node(f"n{at}", {"cpu": cpus * 1000, "memory": gib * GIB, "pods": 110}, 0, "")
    return snapshot


def pod(
    on: Snapshot, name: str, cpus: int, gib: int, user: str = "", minutes: float | None = None, **more: object
) -> PodView:
    cls = on.classes.intern({"cpu": cpus * 1000, "memory": gib * GIB})
    labels = {"podyard.dev/user": user} if user else {}
    lifetime = None if minutes is None else round(minutes * MINUTE)
    return PodView(f"default/{name}", cls, labels, lifetime_ns=lifetime)


def placed(strategy: Strategy, on: Snapshot, pods: Sequence[PodView]) -> list[str]:
    """'pod -> node' in the order of decision."""
    out = []
    for decision in strategy.place(pods, on, np.random.default_rng(0)):
        binds = decision.binds if isinstance(decision, BindTogether) else (decision,)
        for bind in binds:
            if isinstance(bind, Bind):
                on.assume(bind.pod, bind.node, bind.devices)
                out.append(f"{bind.pod.key.removeprefix('default/')} -> {on.names[bind.node]}")
            else:
                assert isinstance(bind, Wait)
    return out


def test_drf_shares_as_in_the_paper() -> None:
    """Section 4.1: 9 CPUs, 18 GB; A's tasks take 1 CPU and 4 GB, B's 3 CPUs and 1 GB. A gets three tasks, B two, each
    a dominant share of 2/3. A is asked first here, as its first pod is first in the queue.
    """
    on = cluster((9, 18))
    pods = [pod(on, f"a{at}", 1, 4, "A") for at in range(5)] + [pod(on, f"b{at}", 3, 1, "B") for at in range(5)]
    found = placed(DRF(), on, pods)
    assert found == ["a0 -> n0", "b0 -> n0", "a1 -> n0", "b1 -> n0", "a2 -> n0"]


def test_drf_counts_what_users_hold_already() -> None:
    """A runs two tasks (8/18) from before: B goes first, up to 6/9."""
    on = cluster((9, 18))
    strategy = DRF()
    placed(strategy, on, [pod(on, "a0", 1, 4, "A"), pod(on, "a1", 1, 4, "A")])
    found = placed(strategy, on, [pod(on, "a2", 1, 4, "A"), pod(on, "b0", 3, 1, "B"), pod(on, "b1", 3, 1, "B")])
    assert found == ["b0 -> n0", "b1 -> n0", "a2 -> n0"]


def test_drf_takes_the_namespace_for_the_user_without_a_label_and_forgets_who_has_gone() -> None:
    on = cluster((2, 18))
    cls = on.classes.intern({"cpu": 1000, "memory": GIB})
    strategy = DRF()
    assert placed(strategy, on, [PodView("x/0", cls), PodView("y/0", cls)]) == ["x/0 -> n0", "y/0 -> n0"]
    on.forget("y/0")
    # x holds a CPU, y none any more: y's pod goes first though x's was there first.
    assert placed(strategy, on, [PodView("x/1", cls), PodView("y/1", cls)]) == ["y/1 -> n0"]


def test_drf_gives_the_room_that_one_user_cannot_use_to_another() -> None:
    """B's first pod fits nowhere, and is passed over, where algorithm 1 of the paper would end."""
    on = cluster((4, 18))
    pods = [pod(on, "b0", 5, 1, "B"), pod(on, "b1", 1, 1, "B"), pod(on, "a0", 2, 1, "A"), pod(on, "a1", 1, 1, "A")]
    assert placed(DRF(), on, pods) == ["b1 -> n0", "a0 -> n0", "a1 -> n0"]


def test_tetris_aligns_demand_with_room() -> None:
    """Node of 10 and 10: (6, 1) has alignment 0.7, (8, 1) 0.9, and only one of them fits."""
    on = cluster((10, 10))
    six, eight = pod(on, "six", 6, 1), pod(on, "eight", 8, 1)
    assert alignment(six, on, np.array([0])).tolist() == pytest.approx([0.7])
    assert alignment(eight, on, np.array([0])).tolist() == pytest.approx([0.9])
    assert placed(Tetris(), on, [six, eight]) == ["eight -> n0"]


def test_tetris_prefers_the_node_whose_room_is_like_the_demand() -> None:
    """n0 has 2 CPUs and 10 GiB of 10 and 10 free, n1 6 and 2: (2, 2) scores 0.04 + 0.2 there, 0.12 + 0.04 here;
    (2, 1) scores 0.04 + 0.1 = 0.14 there and 0.12 + 0.02 = 0.14 here, and the lower rank has it.
    """
    on = cluster((10, 10), (10, 10))
    on.assume(pod(on, "x", 8, 0), 0)
    on.assume(pod(on, "y", 4, 8), 1)
    assert placed(Tetris(), on, [pod(on, "a", 2, 2)]) == ["a -> n0"]
    on = cluster((10, 10), (10, 10))
    on.assume(pod(on, "x", 8, 0), 0)
    on.assume(pod(on, "y", 2, 8), 1)
    assert placed(Tetris(), on, [pod(on, "a", 2, 1)]) == ["a -> n1"]  # 0.16 + 0.02 against 0.04 + 0.1


def test_tetris_weighs_the_work_that_a_job_has_left() -> None:
    """As above, with lifetimes: eight has 100 min * 0.9 = 90 left, six 10 * 0.7 = 7. epsilon = 0.8 / 48.5 a minute:
    eight scores 0.9 - 1.485 = -0.585, six 0.7 - 0.115 = 0.585.
    """
    on = cluster((10, 10))
    pods = [pod(on, "eight", 8, 1, minutes=100), pod(on, "six", 6, 1, minutes=10)]
    assert placed(Tetris(), on, pods) == ["six -> n0"]
    on = cluster((10, 10))
    assert placed(Tetris(weight=0), on, pods) == ["eight -> n0"]


def test_nilas_puts_pods_where_they_do_not_prolong_a_nodes_life() -> None:
    """n0 is empty in 100 min, n1, which is fuller, in 10. A pod of 90 min goes to n0, one of 8 min to the fuller n1."""
    on = cluster((10, 10), (10, 10))
    strategy = NILAS()
    on.assume(pod(on, "long", 1, 1, minutes=100), 0)
    on.assume(pod(on, "short", 5, 1, minutes=10), 1)
    assert placed(strategy, on, [pod(on, "a", 1, 1, minutes=90), pod(on, "b", 1, 1, minutes=8)]) == [
        "a -> n0",
        "b -> n1",
    ]


def test_nilas_corrects_what_was_declared_too_short() -> None:
    """The pod of n0 said 10 min and has run 30: it is taken to last 30 more, so that one of 25 min prolongs nothing
    there, and by 5 min on n1, which ends in 20.
    """
    on = cluster((10, 10), (10, 10))
    strategy = NILAS()
    on.assume(pod(on, "overdue", 1, 1, minutes=10), 0)
    placed(
        strategy,
        on,
        [
            pod(
                on,
                "x",
                1,
                1,
                minutes=1,
            )
        ],
    )
    on.forget("default/x")
    on.now_ns = 30 * MINUTE
    on.assume(pod(on, "fresh", 5, 1, minutes=20), 1)
    assert placed(strategy, on, [pod(on, "a", 1, 1, minutes=25)]) == ["a -> n0"]


@pytest.mark.parametrize("make", [DRF, NILAS, easy, conservative, Tetris])
def test_a_scheduler_that_starts_again_may_find_fewer_nodes(make: Callable[[], Strategy]) -> None:
    """`podyard check nilas` found that what was kept by the old snapshot's indices was used with the new ones."""
    strategy = make()
    on = cluster((10, 10), (10, 10), (10, 10))
    running = pod(on, "r", 9, 1, minutes=5)
    on.assume(running, 2)
    placed(strategy, on, [pod(on, "a", 10, 1, minutes=1), pod(on, "b", 10, 1, minutes=1), pod(on, "w", 10, 1)])
    again = cluster((10, 10))
    again.assume(pod(again, "r", 9, 1, minutes=5), 0)
    again.now_ns = MINUTE
    found = placed(strategy, again, [pod(again, "w", 10, 1, minutes=9), pod(again, "c", 1, 1, minutes=2)])
    assert found == ["c -> n0"]


def test_buckets_double() -> None:
    minutes = np.array([-1, 0, 1, 2, 3, 4, 5, 8, 9])
    assert bucket(minutes * MINUTE).tolist() == [0, 0, 1, 2, 3, 3, 4, 4, 5]
