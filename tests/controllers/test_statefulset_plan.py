"""What a StatefulSet does next and says of itself, and whose its claims are: the arithmetic, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.runtime.pods import owner_reference
from harness.controllers.workloads.statefulset.identity import REVISION, claims_for, ordinal_of, pod_for, unlabelled
from harness.controllers.workloads.statefulset.plan import needs_current_revision, next_step
from harness.controllers.workloads.statefulset.retention import reassigned_claims, stale_claims
from harness.controllers.workloads.statefulset.status import status_of, words_of
from harness.engine.component import SECOND, Create, Delete, Update
from harness.model.core import Pod, PodStatus
from harness.model.meta import Condition, ObjectMeta, OwnerReference
from harness.model.objects import from_wire
from harness.model.wire import Time
from tests.controllers.rig import template

NOW = 100 * SECOND


def stateful_set(**spec: Any) -> Any:
    made = from_wire(
        {
            "kind": "StatefulSet",
            "metadata": {"name": "db", "namespace": "default", "uid": "u-db", "generation": 3},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "db"}},
                "updateStrategy": {"type": "RollingUpdate"},
                "template": {
                    "metadata": {"labels": {"app": "db"}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
                **spec,
            },
        }
    )
    return made


def pod(ordinal: int, how: str, revision: str = "new") -> Pod:
    """`how`: r ready for a minute, y ready for a second, u running and not ready, p pending, f failed, s succeeded;
    g after it: going."""
    made = pod_for(stateful_set(), template(app="db"), ordinal, revision)
    phase = {"p": "Pending", "f": "Failed", "s": "Succeeded"}.get(how[0], "Running")
    since = {"r": NOW - 60 * SECOND, "y": NOW - SECOND}.get(how[0])
    ready = () if since is None else (Condition(type="Ready", status="True", last_transition_time=Time(since)),)
    meta = replace(made.metadata, uid=f"u-{ordinal}", deletion_timestamp=Time(NOW) if how.endswith("g") else None)
    return replace(made, metadata=meta, status=PodStatus(phase=phase, conditions=ready))


def row(text: str, revision: str = "new", first: int = 0) -> list[Pod | None]:
    """'r' is a pod of an old revision where it is written in capitals, '-' none."""
    out: list[Pod | None] = []
    for at, how in enumerate(text.split(), first):
        out.append(None if how == "-" else pod(at, how.lower(), "old" if how.isupper() else revision))
    return out


def step(text: str, condemned: str = "", **spec: Any) -> tuple[list[int], list[str], list[int], bool]:
    """(places to create, ordinals to delete, places whose claims are made, held)."""
    replicas = row(text)
    beyond = [item for item in reversed(row(condemned, first=len(replicas))) if item is not None]
    found = next_step(stateful_set(**spec), replicas, beyond, "new", NOW)
    return found.create, [item.metadata.name for item in found.delete], found.claims, found.held


@pytest.mark.parametrize(
    ("text", "condemned", "parallel", "expected"),
    [
        # One after the other: nothing beyond the first that is missing or not well.
        ("- - -", "", False, ([0], [], [], True)),
        ("r - -", "", False, ([1], [], [], True)),
        ("p - -", "", False, ([], [], [0], True)),
        ("u r -", "r", False, ([], [], [], True)),
        ("rg r -", "", False, ([], [], [], True)),
        ("r f -", "", False, ([], ["db-1"], [], True)),
        ("r s -", "", False, ([], ["db-1"], [], True)),
        ("r fg -", "", False, ([], [], [], True)),
        ("pg - -", "", False, ([], [], [], True)),
        ("r r r", "", False, ([], [], [], False)),
        # All at once.
        ("- - -", "", True, ([0, 1, 2], [], [], False)),
        ("p f -", "", True, ([2], ["db-1"], [0], False)),
        ("p fg -", "", True, ([2], [], [0], False)),
        ("u rg r", "r r", True, ([], ["db-4", "db-3"], [], False)),
        ("u rg r", "r rg", True, ([], ["db-3"], [], False)),
        # Beyond the wanted ordinals the highest goes first, one at a time, if those that stay are well.
        ("r r r", "r r", False, ([], ["db-4"], [], False)),
        ("r r r", "r rg", False, ([], [], [], False)),
        ("r r r", "u r", False, ([], ["db-4"], [], False)),
        ("r r r", "r u", False, ([], ["db-4"], [], False)),
        ("r r r", "u u", False, ([], [], [], False)),
        ("r r r", "rg u", False, ([], [], [], False)),
        # An old revision goes from the highest on, one at a time.
        ("R R R", "", False, ([], ["db-2"], [], False)),
        ("R R r", "", False, ([], ["db-1"], [], False)),
        ("R R u", "", True, ([], [], [], False)),
        ("R R U", "", True, ([], ["db-2"], [], False)),
        ("R RG r", "", True, ([], [], [], False)),
        ("R R rg", "", True, ([], [], [], False)),
        ("R R F", "", True, ([], ["db-2"], [], False)),
        ("R - r", "", True, ([1], [], [], False)),
    ],
)
def test_the_next_step(
    text: str, condemned: str, parallel: bool, expected: tuple[list[int], list[str], list[int], bool]
) -> None:
    policy = {"podManagementPolicy": "Parallel"} if parallel else {}
    assert step(text, condemned, **policy) == expected


def test_min_ready_seconds_strategy_and_partition() -> None:
    assert step("y - -", minReadySeconds=1) == ([1], [], [], True)
    assert step("y - -", minReadySeconds=2) == ([], [], [], True)
    assert step("R R R", updateStrategy={"type": "OnDelete"}) == ([], [], [], False)
    for partition, expected in ((0, ["db-1"]), (1, ["db-1"]), (2, []), (3, [])):
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
        assert step("R R r", updateStrategy=rolling)[1] == expected, partition


@pytest.mark.parametrize(
    ("strategy", "of_current", "places"),
    [
        ({"type": "RollingUpdate"}, 2, [0, 1]),
        ({"type": "RollingUpdate"}, None, []),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, 2, [0]),
        ({"type": "OnDelete"}, 2, []),
    ],
)
def test_which_new_pods_are_of_the_current_revision(
    strategy: dict[str, Any], of_current: int | None, places: list[int]
) -> None:
    """Source: newVersionedStatefulSetPod."""
    found = stateful_set(updateStrategy=strategy)
    found = replace(found, status=replace(found.status, current_replicas=of_current))
    assert [place for place in range(4) if needs_current_revision(found, place)] == places


def status(text: str, current: str = "old", **spec: Any) -> tuple[Any, int | None]:
    return status_of(stateful_set(**spec), [item for item in row(text) if item is not None], current, "new", 5, NOW)


def test_the_status_counts_ready_available_and_revisions() -> None:
    found, at = status("R y u RG", minReadySeconds=2)
    assert (found.replicas, found.ready_replicas, found.available_replicas) == (4, 3, 2)
    assert (found.current_replicas, found.updated_replicas) == (1, 2)
    assert (found.current_revision, found.update_revision) == ("old", "new")
    assert (found.observed_generation, found.collision_count) == (3, 5)
    assert at == NOW + SECOND
    found, at = status("y", minReadySeconds=1)
    assert (found.available_replicas, at) == (1, None)
    found, at = status("u")
    assert (found.ready_replicas, found.available_replicas, found.current_replicas) == (None, 0, None)


@pytest.mark.parametrize(
    ("text", "strategy", "current"),
    [
        ("r r r", "RollingUpdate", "new"),
        ("r r u", "RollingUpdate", "old"),
        ("r r R", "RollingUpdate", "old"),
        ("r r", "RollingUpdate", "old"),
        ("r r r r", "RollingUpdate", "old"),
        ("r r r", "OnDelete", "old"),
    ],
)
def test_an_update_is_complete_when_all_are_new_and_ready(text: str, strategy: str, current: str) -> None:
    """Source: completeRollingUpdate."""
    found, _ = status(text, updateStrategy={"type": strategy})
    assert found.current_revision == current
    assert found.current_replicas == (found.updated_replicas if current == "new" else found.current_replicas)
    if current == "new":
        assert found.current_replicas == 3


def test_what_events_say() -> None:
    """Source: stateful_pod_control.go recordPodEvent, recordClaimEvent."""
    claim = claims_for(stateful_set(volumeClaimTemplates=[CLAIM]), 2)[0]
    gone = Delete("Pod", "default", "db-1", "u-1")
    assert [words_of(effect, "db", error) for effect in (Create(pod(1, "r")), gone) for error in (None, "no")] == [
        ("SuccessfulCreate", "create Pod db-1 in StatefulSet db successful"),
        ("FailedCreate", "create Pod db-1 in StatefulSet db failed error: no"),
        ("SuccessfulDelete", "delete Pod db-1 in StatefulSet db successful"),
        ("FailedDelete", "delete Pod db-1 in StatefulSet db failed error: no"),
    ]
    assert [words_of(Create(claim), "db", error) for error in (None, "no")] == [
        ("SuccessfulCreate", "create Claim data-db-2 Pod db-2 in StatefulSet db success"),
        ("FailedCreate", "create Claim data-db-2 for Pod db-2 in StatefulSet db failed error: no"),
    ]
    assert words_of(Update(pod(1, "r")), "db") == ("", "")
    assert words_of(Delete("ControllerRevision", "default", "db-x"), "db") == ("", "")


# -- identity and claims -----------------------------------------------------------------------------------------------

CLAIM = {
    "metadata": {"name": "data", "labels": {"of": "claim"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.mark.parametrize(
    ("name", "ordinal"), [("db-0", 0), ("db-12", 12), ("db-", None), ("db", None), ("my-db-1", None), ("db-x", None)]
)
def test_ordinals_are_in_names(name: str, ordinal: int | None) -> None:
    assert ordinal_of(stateful_set(), Pod(metadata=ObjectMeta(name=name))) == ordinal


def test_labels_of_the_identity_are_given_to_who_lacks_them() -> None:
    bare = replace(pod(1, "r"), metadata=replace(pod(1, "r").metadata, labels={"app": "db"}))
    going = replace(bare, metadata=replace(bare.metadata, deletion_timestamp=Time(1)))
    (labelled,) = unlabelled(stateful_set(), [bare, going, pod(2, "r")])
    assert labelled.metadata.labels == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-1",
        "apps.kubernetes.io/pod-index": "1",
    }
    assert pod(1, "r", "x").metadata.labels[REVISION] == "x"


def test_a_pod_mounts_its_own_claims_in_place_of_volumes_of_the_name() -> None:
    given = template(app="db")
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    given = replace(given, spec=replace(given.spec, extra={"volumes": volumes}))
    made = pod_for(stateful_set(volumeClaimTemplates=[CLAIM], serviceName="s"), given, 4, "new").spec.extra
    assert made == {
        "hostname": "db-4",
        "subdomain": "s",
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-4"}}, volumes[1]],
    }
    without = pod_for(stateful_set(), given, 4, "new").spec.extra
    assert without == {"hostname": "db-4", "volumes": volumes}


def with_policy(deleted: bool, scaled: bool) -> Any:
    policy = {"whenDeleted": "Delete" if deleted else "Retain", "whenScaled": "Delete" if scaled else "Retain"}
    return stateful_set(volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)


def owners(found: Any, refs: tuple[OwnerReference, ...], scaled_away: bool) -> list[str] | None:
    """Names of the owners that a claim with `refs` is given; None where it is left as it is."""
    (claim,) = claims_for(found, 1)
    held = replace(claim, metadata=replace(claim.metadata, owner_references=refs))
    new = reassigned_claims(found, pod(1, "r"), {held.metadata.key: held}, scaled_away=scaled_away)
    return [ref.name for ref in new[0].metadata.owner_references] if new else None


SET = owner_reference(stateful_set(), "apps/v1", "StatefulSet")
POD = owner_reference(pod(1, "r"), "v1", "Pod")
OTHER = OwnerReference(api_version="v1", kind="ConfigMap", name="c", uid="c")


@pytest.mark.parametrize(
    ("deleted", "scaled", "scaled_away", "refs", "expected"),
    [
        (False, False, False, (), None),
        (True, False, False, (), ["db"]),
        (True, False, True, (), ["db"]),
        (False, True, True, (), ["db-1"]),
        (False, True, False, (), None),
        (True, True, True, (SET,), ["db-1"]),
        (True, True, False, (POD, OTHER), ["c", "db"]),
        (True, False, False, (SET,), None),
        (False, False, False, (SET, OTHER), ["c"]),
        # Of an earlier set or pod of the name: it goes with that one.
        (True, False, False, (replace(SET, uid="before"),), None),
        (False, True, True, (replace(POD, uid="before"),), None),
        (True, False, False, (replace(SET, api_version="example.com/v1"),), None),
        (True, False, False, (replace(SET, name="other", controller=False),), ["other", "db"]),
        # Controlled by something else.
        (True, False, False, (replace(OTHER, controller=True),), None),
        (True, False, False, (replace(OTHER, controller=True), SET), ["c"]),
        (False, False, False, (replace(OTHER, controller=True), SET), ["c"]),
    ],
)
def test_whose_a_claim_is(
    deleted: bool, scaled: bool, scaled_away: bool, refs: tuple[OwnerReference, ...], expected: list[str] | None
) -> None:
    assert owners(with_policy(deleted, scaled), refs, scaled_away) == expected


def test_a_new_pod_waits_for_claims_that_go_with_the_one_before() -> None:
    (claim,) = claims_for(with_policy(False, True), 1)
    assert claim.metadata.labels == {"of": "claim", "app": "db"}
    of_pod = replace(claim, metadata=replace(claim.metadata, owner_references=(replace(POD, uid="before"),)))
    there = {of_pod.metadata.key: of_pod}
    assert stale_claims(with_policy(False, True), 1, there) == ["default/data-db-1"]
    assert stale_claims(with_policy(True, False), 1, there) == []
    assert stale_claims(with_policy(False, True), 2, there) == []
    of_set = replace(claim, metadata=replace(claim.metadata, owner_references=(SET, replace(POD, name="db-2"))))
    assert stale_claims(with_policy(False, True), 1, {of_set.metadata.key: of_set}) == []
    assert reassigned_claims(stateful_set(), pod(1, "r"), there, scaled_away=True) == []
    assert reassigned_claims(with_policy(True, True), pod(2, "r"), there, scaled_away=True) == []
