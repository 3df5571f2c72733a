"""How a Deployment's replicas are spread over its ReplicaSets where no rollout may go on."""

from __future__ import annotations

from harness.controllers.workloads.deployment.rollout import scaling_sizes
from harness.model.meta import ObjectMeta
from harness.model.wire import Time
from harness.model.workloads import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from tests.controllers.test_deployment import deployment


def sized(name: str, size: int, created: int = 0, *, most: int = 0, desired: int = 0, available: int = 0) -> ReplicaSet:
    notes = {"max-replicas": str(most or size), "desired-replicas": str(desired)}
    return ReplicaSet(
        metadata=ObjectMeta(
            name=name,
            creation_timestamp=Time(created),
            annotations={f"deployment.kubernetes.io/{note}": text for note, text in notes.items()},
        ),
        spec=ReplicaSetSpec(replicas=size),
        status=ReplicaSetStatus(replicas=size, available_replicas=available),
    )


def test_what_does_not_divide_goes_to_the_newest_of_equal_ones_and_is_taken_from_the_oldest() -> None:
    sets = [sized(name, 3, created, most=9) for name, created in (("a", 1), ("b", 2), ("c", 3))]
    assert scaling_sizes(deployment(10, surge=0, unavailable=1), sets[:2], sets[2]) == {"a": 3, "b": 3, "c": 4}
    assert scaling_sizes(deployment(8, surge=0, unavailable=1), sets[:2], sets[2]) == {"a": 2, "b": 3, "c": 3}


def test_a_rollout_that_is_through_takes_the_old_ones_away_whatever_the_proportions() -> None:
    old, new = sized("a", 2, 1, most=6), sized("b", 4, 2, most=6, desired=4, available=4)
    assert scaling_sizes(deployment(4, surge=2, unavailable=0), [old], new) == {"a": 0}
    for unfinished in (
        sized("b", 4, 2, most=6, desired=3, available=4),
        sized("b", 4, 2, most=6, desired=4, available=3),
        sized("b", 3, 2, most=6, desired=4, available=4),
    ):
        assert scaling_sizes(deployment(4, surge=2, unavailable=0), [old], unfinished) != {"a": 0}


def test_with_a_single_one_that_runs_all_of_it_goes_there() -> None:
    old, new = sized("a", 0, 1), sized("b", 2, 2)
    assert scaling_sizes(deployment(7, surge=1, unavailable=0), [old], new) == {"b": 7}
    assert scaling_sizes(deployment(7, surge=1, unavailable=0), [sized("a", 0, 1), sized("c", 0, 3)], None) == {"c": 7}
    assert scaling_sizes(deployment(0, surge=1, unavailable=0), [sized("a", 2, 1)], sized("b", 1, 2)) == {
        "a": 0,
        "b": 0,
    }
    assert scaling_sizes(deployment(3), [], None) == {}
