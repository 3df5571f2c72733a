"""How large the ReplicaSets of a Deployment become, and what it says of itself: the arithmetic, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.workloads.deployment import rollout_status as said
from harness.controllers.workloads.deployment.revisions import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    REVISION,
    REVISION_HISTORY,
    TEMPLATE_HASH,
    made_for,
    new_of,
    same_template,
    to_forget,
    with_annotations,
)
from harness.controllers.workloads.deployment.rollout import (
    at_most,
    fenceposts,
    is_saturated,
    is_scaling,
    new_size,
    old_sizes,
    scaling_sizes,
)
from harness.engine.component import SECOND
from harness.model.meta import Condition, ObjectMeta, condition
from harness.model.objects import from_wire
from harness.model.wire import Time
from harness.model.workloads import (
    Deployment,
    DeploymentStatus,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
)
from tests.controllers.rig import selector, template

NOW = 1000 * SECOND


def deployment(replicas: int = 10, surge: Any = 0, unavailable: Any = 0, *, recreate: bool = False) -> Deployment:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    made: Deployment = from_wire(
        {
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default", "uid": "u", "generation": 4},
            "spec": {
                "replicas": replicas,
                "progressDeadlineSeconds": 60,
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": {"type": "Recreate"} if recreate else rolling,
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": "i:1"}]},
                },
            },
        }
    )
    return made


def of(name: str, size: int, available: int | None = None, created: int = 0, **annotations: str) -> ReplicaSet:
    found = size if available is None else available
    keys = {"desired": DESIRED_REPLICAS, "most": MAX_REPLICAS, "revision": REVISION, "history": REVISION_HISTORY}
    return ReplicaSet(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            creation_timestamp=Time(created),
            annotations={keys[key]: value for key, value in annotations.items()},
        ),
        spec=ReplicaSetSpec(replicas=size, selector=selector(app="web"), template=template("i:1", app="web")),
        status=ReplicaSetStatus(replicas=size, ready_replicas=found, available_replicas=found),
    )


def short(sizes: dict[str, int]) -> dict[str, int]:
    return {key.removeprefix("default/"): size for key, size in sizes.items()}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, 3, 2, (3, 2)),
        (10, "25%", "25%", (3, 2)),
        (10, 0, 0, (0, 1)),
        (10, "0%", "1%", (0, 1)),
        (3, 0, 5, (0, 3)),
        (0, "25%", "25%", (0, 0)),
        (1, 1, 0, (1, 0)),
    ],
)
def test_surge_and_unavailable(replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    """Source: ResolveFenceposts; the second is at most the replicas."""
    found = deployment(replicas, surge, unavailable)
    assert fenceposts(found) == expected
    assert at_most(found) == replicas + expected[0]
    assert fenceposts(deployment(replicas, recreate=True)) == (0, 0)


@pytest.mark.parametrize(
    ("old", "size", "surge", "expected"),
    [(10, 0, 3, 3), (10, 3, 3, 3), (8, 3, 3, 5), (0, 5, 3, 10), (14, 0, 3, 0), (4, 9, 3, 9), (3, 9, 3, 10)],
)
def test_the_new_one_grows_as_far_as_the_surge_allows(old: int, size: int, surge: int, expected: int) -> None:
    new = of("new", size)
    assert new_size(deployment(10, surge), [of("old", old), new], size) == expected
    assert new_size(deployment(10, recreate=True), [of("old", old), new], size) == 10


@pytest.mark.parametrize(
    ("olds", "new", "expected"),
    [
        # 10 wanted, 2 may be unavailable: 8 stay.
        ([of("a", 10)], of("new", 0), {"a": 8}),
        ([of("a", 8)], of("new", 2, 0), {}),
        ([of("a", 8)], of("new", 2, 1), {"a": 7}),
        ([of("a", 8)], of("new", 5), {"a": 3}),
        ([of("a", 3)], of("new", 10), {"a": 0}),
        # Those that are not available go first, of the oldest first, as many as there is room for.
        ([of("a", 5, 5, 2), of("b", 5, 2, 1)], of("new", 0), {"b": 3}),
        ([of("a", 5, 3, 2), of("b", 5, 2, 1)], of("new", 3, 3), {"a": 3, "b": 2}),
        ([of("a", 5, 5, 2), of("b", 5, 5, 1)], of("new", 5), {"a": 3, "b": 0}),
        ([of("a", 4, 4), of("b", 0, 0)], of("new", 6), {"a": 2}),
        # More are available than are wanted: pods that go.
        ([of("a", 8, 10)], of("new", 2, 1), {"a": 7}),
    ],
)
def test_old_ones_shrink_as_far_as_availability_allows(
    olds: list[ReplicaSet], new: ReplicaSet, expected: dict[str, int]
) -> None:
    assert short(old_sizes(deployment(10, 3, 2), olds, new)) == expected


@pytest.mark.parametrize(
    ("replicas", "olds", "new", "expected"),
    [
        (10, [], None, {}),
        (10, [], of("new", 0), {"new": 10}),
        (7, [of("a", 0)], of("new", 5), {"new": 7}),
        (7, [of("a", 5)], of("new", 0), {"a": 7}),
        (7, [of("a", 0, created=1), of("b", 0, created=2)], None, {"b": 7}),
        (10, [of("a", 3)], of("new", 10, desired="10"), {"a": 0}),
        (10, [of("a", 5, most="10")], of("new", 5, most="10"), {"a": 7, "new": 6}),
        # From 10 to 20, in proportion; what is left over goes to the largest.
        (20, [of("a", 5, most="13")], of("new", 8, most="13"), {"new": 14, "a": 9}),
        (5, [of("a", 5, most="13")], of("new", 8, most="13"), {"new": 5, "a": 3}),
        (0, [of("a", 5)], of("new", 8), {"new": 0, "a": 0}),
        # Of equal ones the newer grows first, the older shrinks first.
        (11, [of("a", 5, created=1, most="10")], of("new", 5, created=2, most="10"), {"a": 7, "new": 7}),
        (9, [of("a", 5, created=1, most="13")], of("new", 5, created=2, most="13"), {"a": 5, "new": 7}),
        (20, [of("a", 4)], of("new", 4), {"a": 19, "new": 4}),
    ],
)
def test_scaling_is_spread_in_proportion(
    replicas: int, olds: list[ReplicaSet], new: ReplicaSet | None, expected: dict[str, int]
) -> None:
    assert short(scaling_sizes(deployment(replicas, 3, 2), olds, new)) == expected


def test_without_a_rolling_update_nothing_is_spread() -> None:
    found = deployment(recreate=True)
    assert scaling_sizes(found, [of("a", 5)], of("new", 5)) == {}
    assert short(scaling_sizes(found, [of("a", 5)], None)) == {"a": 10}


def test_when_it_is_being_scaled_and_when_the_new_one_is_all_there() -> None:
    found = deployment(10)
    assert not is_scaling(found, [of("a", 0, desired="7"), of("b", 5), of("c", 5, desired="10")])
    assert is_scaling(found, [of("c", 5, desired="10"), of("a", 1, desired="7")])
    assert is_saturated(found, of("a", 10, 10, desired="10"))
    assert is_saturated(deployment(0), of("a", 0, desired="0"))
    assert not is_saturated(deployment(1), of("a", 1, 0, desired="1"))
    for other in (
        of("a", 9, 10, desired="10"),
        of("a", 10, 9, desired="10"),
        of("a", 10, 10, desired="9"),
        of("a", 10),
    ):
        assert not is_saturated(found, other)


# -- revisions ---------------------------------------------------------------------------------------------------------


def test_the_new_one_is_the_oldest_of_the_template() -> None:
    other = of("other", 1)
    other = replace(other, spec=replace(other.spec, template=template("i:2", app="web")))
    assert new_of(deployment(), [other, of("b", 1, created=2), of("a", 1, created=2), of("c", 1, created=3)]) == of(
        "a", 1, created=2
    )
    assert new_of(deployment(), [other]) is None
    hashed = template("i:1", app="web", **{TEMPLATE_HASH: "x"})
    assert same_template(hashed, template("i:1", app="web"))
    assert not same_template(hashed, template("i:1", app="web", more="x"))
    for field, value in (("annotations", {"a": "b"}), ("finalizers", ("a/b",)), ("extra", {"a": "b"})):
        meta = replace(hashed.metadata, **{field: value})
        assert not same_template(hashed, replace(hashed, metadata=meta)), field


def test_what_is_made_carries_revision_sizes_and_the_hash() -> None:
    found = deployment(10)
    notes = {"k": "v", REVISION: "9", "kubectl.kubernetes.io/last-applied-configuration": "x"}
    found = replace(found, metadata=replace(found.metadata, annotations=notes))
    made = made_for(found, ObjectMeta(namespace="default"), 3, 12, 5)
    digest = made.metadata.labels[TEMPLATE_HASH]
    assert made.metadata.name == f"web-{digest}"
    assert made.metadata.annotations == {"k": "v", REVISION: "5", DESIRED_REPLICAS: "10", MAX_REPLICAS: "12"}
    assert made.spec.replicas == 3
    assert made.spec.selector.match_labels == made.metadata.labels == {"app": "web", TEMPLATE_HASH: digest}
    collided = replace(found, status=replace(found.status, collision_count=1))
    assert made_for(collided, ObjectMeta(), 3, 12, 5).metadata.name != made.metadata.name


def test_a_rollback_remembers_the_revisions_that_it_had() -> None:
    found = deployment()
    had = of("a", 1, revision="3")
    assert with_annotations(found, had, 3) is had
    assert with_annotations(found, had, 2) is had
    again = with_annotations(found, had, 5)
    assert again.metadata.annotations == {REVISION: "5", REVISION_HISTORY: "3"}
    assert with_annotations(found, again, 7).metadata.annotations == {REVISION: "7", REVISION_HISTORY: "3,5"}
    assert with_annotations(found, of("a", 1), 1).metadata.annotations == {REVISION: "1"}


def test_old_ones_beyond_the_limit_go_when_they_are_empty() -> None:
    olds = [of(name, 0, revision=str(number)) for name, number in (("c", 3), ("a", 1), ("b", 2), ("d", 4))]
    assert to_forget(olds, None) == []
    assert [item.metadata.name for item in to_forget(olds, 2)] == ["a", "b"]
    assert to_forget(olds, 4) == to_forget(olds, 5) == []
    going = replace(olds[0], metadata=replace(olds[0].metadata, deletion_timestamp=Time(1)))
    assert [item.metadata.name for item in to_forget([going, *olds[1:]], 2)] == ["a"]
    unseen = replace(olds[1], metadata=replace(olds[1].metadata, generation=2))
    kept = [of("a", 1, revision="1"), replace(of("b", 0, revision="2"), status=ReplicaSetStatus(replicas=1)), unseen]
    for each in kept:
        assert to_forget([each], 0) == []
    seen = replace(unseen, status=replace(unseen.status, observed_generation=2))
    assert to_forget([seen], 0) == [seen]


# -- the status --------------------------------------------------------------------------------------------------------


def with_status(found: Deployment, *conditions: Condition, **counts: Any) -> Deployment:
    return replace(found, status=DeploymentStatus(conditions=conditions, **counts))


def progress(status: str, reason: str, ago_s: int) -> Condition:
    at = Time(NOW - ago_s * SECOND)
    return Condition(type="Progressing", status=status, reason=reason, last_transition_time=at, last_update_time=at)


def test_counts_are_of_all_its_replica_sets() -> None:
    new, old = of("new", 4, 3), of("old", 5, 4)
    status = said.counted(NOW, with_status(deployment(10, 0, 3), collision_count=2), [old, new], new)
    assert (status.replicas, status.updated_replicas, status.ready_replicas) == (9, 4, 7)
    assert (status.available_replicas, status.unavailable_replicas) == (7, 2)
    assert (status.observed_generation, status.collision_count) == (4, 2)
    assert [(item.type, item.status, item.reason) for item in status.conditions] == [
        ("Available", "True", "MinimumReplicasAvailable")
    ]
    status = said.counted(NOW, deployment(10, 0, 2), [old, new], None)
    assert (status.updated_replicas, status.conditions[0].status) == (None, "False")
    assert status.conditions[0].reason == "MinimumReplicasUnavailable"
    assert said.counted(NOW, deployment(0), [of("a", 0, 2)], None).unavailable_replicas is None


def judged(found: Deployment, *sets: ReplicaSet, new: int | None = 0) -> Condition | None:
    status = said.judged(NOW, found, sets, None if new is None else sets[new])
    return condition(status.conditions, "Progressing")


def test_it_is_complete_when_all_are_new_and_available() -> None:
    done = judged(deployment(10), of("new", 10))
    assert done is not None
    assert (done.status, done.reason) == ("True", said.NEW_SET_AVAILABLE)
    assert done.message == 'ReplicaSet "new" has successfully progressed.'
    for sets in ([of("new", 9)], [of("new", 10, 9)], [of("new", 10), of("old", 1)]):
        found = judged(deployment(10), *sets)
        assert found is not None
        assert (found.reason, found.message) == (said.UPDATED, 'ReplicaSet "new" is progressing.')
    nameless = judged(deployment(10), of("old", 10, 10), new=None)
    assert nameless is not None
    assert nameless.message == 'Deployment "web" is progressing.'


@pytest.mark.parametrize(
    ("before", "progresses"),
    [
        ({"updated_replicas": 4, "replicas": 9, "ready_replicas": 7, "available_replicas": 7}, False),
        ({"updated_replicas": 3, "replicas": 8, "ready_replicas": 7, "available_replicas": 7}, True),
        ({"updated_replicas": 4, "replicas": 10, "ready_replicas": 7, "available_replicas": 7}, True),
        ({"updated_replicas": 4, "replicas": 9, "ready_replicas": 6, "available_replicas": 7}, True),
        ({"updated_replicas": 4, "replicas": 9, "ready_replicas": 7, "available_replicas": 6}, True),
        ({"updated_replicas": 5, "replicas": 10, "ready_replicas": 8, "available_replicas": 8}, False),
    ],
)
def test_progress_is_any_step_forward(before: dict[str, int], progresses: bool) -> None:
    sets = (of("new", 4, 3), of("old", 5, 4))
    found = judged(with_status(deployment(10), progress("True", said.UPDATED, 30), **before), *sets)
    assert found is not None
    assert found.last_transition_time == NOW - 30 * SECOND
    assert found.last_update_time == (NOW if progresses else NOW - 30 * SECOND)
    failed = judged(with_status(deployment(10), progress("False", said.TIMED_OUT, 30), **before), *sets)
    assert failed is not None
    assert failed.status == ("True" if progresses else "False")
    assert failed.last_transition_time == (NOW if progresses else NOW - 30 * SECOND)


@pytest.mark.parametrize(
    ("reason", "ago_s", "late"),
    [
        (said.UPDATED, 60, False),
        (said.UPDATED, 61, True),
        (said.TIMED_OUT, 0, True),
        (said.NEW_SET_AVAILABLE, 99, False),
    ],
)
def test_it_times_out_when_it_stands_still(reason: str, ago_s: int, late: bool) -> None:
    counts = {"updated_replicas": 4, "replicas": 9, "ready_replicas": 7, "available_replicas": 7}
    current = progress("True", reason, ago_s)
    found = judged(with_status(deployment(10), current, **counts), of("new", 4, 3), of("old", 5, 4))
    assert found is not None
    assert (found.reason == said.TIMED_OUT) == late
    if late and reason != said.TIMED_OUT:
        assert (found.status, found.message) == ("False", 'ReplicaSet "new" has timed out progressing.')
    status = DeploymentStatus(conditions=(current,))
    waits = reason == said.UPDATED
    at = NOW + (60 - ago_s) * SECOND + 1
    assert said.times_out_at(deployment(10), status) == (at if waits else None)
    assert said.timed_out(NOW, 60 * SECOND, None) is False


def test_who_has_no_deadline_or_is_done_waits_for_nothing() -> None:
    current = progress("True", said.UPDATED, 30)
    for seconds in (None, said.NO_DEADLINE):
        free = deployment(10)
        free = with_status(replace(free, spec=replace(free.spec, progress_deadline_seconds=seconds)), current)
        assert judged(free, of("new", 4)) is None
        assert said.times_out_at(free, free.status) is None
    assert said.times_out_at(deployment(10), DeploymentStatus()) is None
    full: dict[str, Any] = {"replicas": 10, "updated_replicas": 10, "available_replicas": 10, "observed_generation": 4}
    assert said.times_out_at(deployment(10), DeploymentStatus(conditions=(current,), **full)) is None
    for key, less in (("replicas", 11), ("updated_replicas", 9), ("available_replicas", 9), ("observed_generation", 3)):
        status = DeploymentStatus(conditions=(current,), **{**full, key: less})
        assert said.times_out_at(deployment(10), status) is not None, key


def test_a_rollout_that_was_complete_is_not_judged_again() -> None:
    done = progress("True", said.NEW_SET_AVAILABLE, 500)
    assert judged(with_status(deployment(10), done, replicas=10), of("new", 10, 3)) == done
    assert judged(with_status(deployment(10), done, replicas=10), of("new", 10, 3), of("old", 1)) != done


def test_the_failure_of_the_new_one_is_told_first() -> None:
    def failing(name: str, updated: int | None) -> ReplicaSet:
        at = None if updated is None else Time(updated)
        mark = Condition(
            type="ReplicaFailure", status="True", reason=name, last_transition_time=Time(7), last_update_time=at
        )
        found = of(name, 1)
        return replace(found, status=replace(found.status, conditions=(mark,)))

    new, old = failing("new", None), failing("old", 9)
    found = condition(said.judged(NOW, deployment(), [old, new], new).conditions, "ReplicaFailure")
    assert found is not None
    assert (found.reason, found.last_update_time) == ("new", 7)
    found = condition(said.judged(NOW, deployment(), [old, of("new", 1)], of("new", 1)).conditions, "ReplicaFailure")
    assert found is not None
    assert (found.reason, found.last_update_time) == ("old", 9)
    was = with_status(deployment(), found)
    assert condition(said.judged(NOW, was, [of("new", 1)], None).conditions, "ReplicaFailure") is None


def test_a_condition_keeps_its_time_as_long_as_its_status_stays() -> None:
    old = progress("True", "A", 30)
    assert said.with_set((old,), said.progressing(NOW, "True", "A", "m")) == (old,)
    other = Condition(type="Other", status="True")
    (first, new) = said.with_set((old, other), said.progressing(NOW, "True", "B", "m"))
    assert (first, new.last_transition_time, new.last_update_time) == (other, old.last_transition_time, NOW)
    (new,) = said.with_set((old,), said.progressing(NOW, "False", "A", "m"))
    assert new.last_transition_time == NOW
