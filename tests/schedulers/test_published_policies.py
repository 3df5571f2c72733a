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


def test_drf_walks_by_dominant_shares_of_unlike_steps() -> None:
    """12 CPUs, 24 GiB. A's pods are 4/24 = 1/6 each (memory), B's 3/12 = 1/4 (CPU). Shares before each turn, A and B:
    0 0 a0, 1/6 0 b0, 1/6 1/4 a1, 2/6 1/4 b1, 2/6 1/2 a2, 1/2 1/2 a3 (A came first), 4/6 1/2: b2 would make 13 CPUs.
    Algorithm 1 ends here; B is passed over, and a4 makes 11 CPUs and 22 GiB.
    """
    on = cluster((12, 24))
    pods = [pod(on, f"a{at}", 1, 4, "A") for at in range(6)] + [pod(on, f"b{at}", 3, 1, "B") for at in range(3)]
    found = [text.removesuffix(" -> n0") for text in placed(DRF(), on, pods)]
    assert found == ["a0", "b0", "a1", "b1", "a2", "a3", "a4"]


def test_drf_shares_are_of_the_whole_cluster() -> None:
    """Two nodes of 6 CPUs and 6 GiB. A's pods are 3 of 12 CPUs (1/4), B's 4 of 12 GiB (1/3): a0 b0 a1 b1, and A at
    1/2 has a2 before B at 2/3: 3 + 1 + 3 CPUs are more than 6, so each node has an A or two with a B beside.
    """
    on = cluster((6, 6), (6, 6))
    pods = [pod(on, f"a{at}", 3, 1, "A") for at in range(3)] + [pod(on, f"b{at}", 1, 4, "B") for at in range(3)]
    assert [text.partition(" -> ")[0] for text in placed(DRF(), on, pods)] == ["a0", "b0", "a1", "b1"]


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


def test_tetris_counts_the_work_of_all_pods_of_a_job() -> None:
    """Node of 10 and 10. Job J has two pods of (4, 4) for 10 min: 2 * 10 * 0.8 = 16. K has one of (6, 6) for 100 min:
    100 * 1.2 = 120. Alignments 0.8, 0.8, 1.2, mean 0.933; mean work (16 + 16 + 120) / 3 = 50.7; epsilon = 0.01842.
    J's score 0.8 - 0.295 = 0.505, K's 1.2 - 2.21 = -1.01: j0. With 6 and 6 left: 0.48 and 0.72, mean 0.6, over
    (16 + 120) / 2 = 68: epsilon = 0.00882, j1 has 0.339, K -0.339. Then K does not fit. By alignment alone K is first.
    """

    def pods(on: Snapshot) -> list[PodView]:
        of_j = [pod(on, f"j{at}", 4, 4, minutes=10, owner=("Job", "j")) for at in range(2)]
        return [*of_j, pod(on, "k", 6, 6, minutes=100)]

    on = cluster((10, 10))
    assert placed(Tetris(), on, pods(on)) == ["j0 -> n0", "j1 -> n0"]
    on = cluster((10, 10))
    assert placed(Tetris(weight=0), on, pods(on)) == ["k -> n0", "j0 -> n0"]


def test_tetris_looks_at_what_is_left_after_each_placement() -> None:
    """Node of 10 and 10: (5, 1) and (1, 5) have 0.6, (4, 4) and (7, 1) 0.8, and `even` came first. Then 6 and 6 are
    left, too little for `long`: `wide` and `tall` have 0.36, and `wide` came first. 1 and 5 are left, as `tall` asks.
    """
    on = cluster((10, 10))
    pods = [pod(on, "wide", 5, 1), pod(on, "tall", 1, 5), pod(on, "even", 4, 4), pod(on, "long", 7, 1)]
    assert placed(Tetris(), on, pods) == ["even -> n0", "wide -> n0", "tall -> n0"]


def test_nilas_packs_within_a_bucket() -> None:
    """n0 is empty in 8 min, n1, which is fuller, in 8.5. A pod of 12 min prolongs their lives by 4 and 3.5: both cost
    bucket 3 (up to four minutes), and the fuller one has it. One of 12.5 min: 4.5 (bucket 4) and 4 (bucket 3); one of
    10.25: 2.25 (3) and 1.75 (2). An empty node costs the whole 12 (bucket 5).
    """
    for minutes, wanted in ((12, "n1"), (12.5, "n1"), (10.25, "n1"), (8, "n1"), (11.5, "n1")):
        on = cluster((10, 10), (10, 10), (10, 10))
        on.assume(pod(on, "x", 1, 1, minutes=8), 0)
        on.assume(pod(on, "y", 5, 1, minutes=8.5), 1)
        assert placed(NILAS(), on, [pod(on, "a", 1, 1, minutes=minutes)]) == [f"a -> {wanted}"]
    on = cluster((10, 10), (10, 10), (10, 10))
    on.assume(pod(on, "x", 1, 1, minutes=8.5), 0)
    on.assume(pod(on, "y", 5, 1, minutes=8), 1)
    found = placed(NILAS(), on, [pod(on, "a", 1, 1, minutes=12), pod(on, "b", 1, 1, minutes=12.5)])
    # a: buckets 3 (3.5 min) and 3 (4): the fuller n1, which now lasts 12. b: 4 min on n0, half a minute on n1.
    assert found == ["a -> n1", "b -> n1"]


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
