"""How a Deployment's replicas are spread over its ReplicaSets where no rollout may go on."""

from __future__ import annotations

from typing import Any

from harness.controllers.workloads.deployment.rollout import old_sizes, scaling_sizes
from harness.model.meta import ObjectMeta, condition
from harness.model.wire import Time
from harness.model.workloads import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from tests.controllers.rig import selector, template
from tests.controllers.test_deployment import Stage, deployment


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


def test_pods_that_are_not_available_go_first_over_all_old_replica_sets_and_no_further_than_allowed() -> None:
    """10 wanted, 2 may be missing; 8 + 3 there, none of the 3 new ones and 3 of the old ones ready."""
    web = deployment(10, surge=1, unavailable=2)
    new = sized("new", 3, 9)
    old = [sized("a", 4, 1, available=2), sized("b", 4, 2, available=4)]
    # 11 in all, at least 8 must stay, and 3 new ones are not available: nothing may go.
    assert old_sizes(web, old, new) == {}
    ready = sized("new", 3, 9, available=3)
    # 3 may go: first the two that are not available, and then one of the oldest.
    assert old_sizes(web, old, ready) == {"a": 1}
    broken = [sized("a", 4, 1, available=3), sized("b", 4, 2, available=1)]
    # One of a, two of b: the room for what is not available is shared.
    assert old_sizes(web, broken, ready) == {"a": 3, "b": 2}


def test_an_orphan_that_comes_later_is_adopted() -> None:
    stage = Stage()
    made = stage.create(deployment(2))
    stage.all_ready()
    stage.create(
        ReplicaSet(
            metadata=ObjectMeta(name="older", namespace="default", labels={"app": "web"}),
            spec=ReplicaSetSpec(replicas=1, selector=selector(app="web"), template=template("i:0", app="web")),
        )
    )
    stage.run(1)
    stage.all_ready()
    older = stage.get("ReplicaSet", "older")
    assert [ref.uid for ref in older.metadata.owner_references] == [made.metadata.uid]
    assert older.spec.replicas == 0


def test_the_condition_tells_how_the_rollout_goes_on() -> None:
    stage = Stage()
    seen: list[str] = []

    def note(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Deployment" and change != "DELETED":
            found = condition(obj.status.conditions, "Progressing")
            if found is not None and seen[-1:] != [f"{found.status} {found.reason}"]:
                seen.append(f"{found.status} {found.reason}")

    stage.server.listeners.append(note)
    stage.create(deployment(2))
    stage.all_ready()
    stage.change("Deployment", "web", replicas=3)
    stage.all_ready()
    assert seen == ["True NewReplicaSetCreated", "True ReplicaSetUpdated", "True NewReplicaSetAvailable"]
    assert stage.web.status.observed_generation == 2
