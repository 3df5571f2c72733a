"""A pod's volumes before its binding: until when they are awaited, and everything that ends the wait.

Source: kube-scheduler 1.32 plugins/volumebinding/binder.go checkBindings: its cases, in its words.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.engine.component import SECOND, BindPod, Outcome, Update
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError
from harness.model.storage import PersistentVolume, PersistentVolumeClaim
from harness.model.volumes import SELECTED_NODE, bound_to
from harness.scheduling.cycle.volume_binder import VolumeBinder
from harness.scheduling.feasibility.snapshot import Snapshot
from tests.scheduling.test_volumes import DONE, claim, node, place, pod, snapshot, storage_class, volume

TIMEOUT = 600 * SECOND
ASKED = 'running PreBind plugin "VolumeBinding": binding volumes: '
BIND = BindPod("default", "p", "p", "a")


class Wait:
    """A pod on node `a` whose claim is being bound to a volume that is there, or provisioned."""

    def __init__(self, provision: bool) -> None:
        provisioner = "disk.csi" if provision else "kubernetes.io/no-provisioner"
        self.claim = claim("c", resourceVersion="5")
        self.volume = volume("pv")
        there = [node("a"), node("b"), storage_class("late", provisioner), self.claim]
        self.on: Snapshot = snapshot(*there, *([] if provision else [self.volume]))
        assert place(self.on, pod("p", "c"), "a") == ""
        self.binder = VolumeBinder(self.on, TIMEOUT, listed=True)
        (self.sent,) = self.binder.bind(0, "default/p", BIND)
        assert isinstance(self.sent, Update)

    def tell(self, obj: Any, *, gone: bool = False) -> None:
        self.on.tables.learn_volumes(obj, gone=gone)

    def written(self) -> Any:
        """The own write was done; the watch shows it."""
        assert isinstance(self.sent, Update)
        meta = replace(self.sent.obj.metadata, resource_version="6")
        done = replace(self.sent.obj, metadata=meta)
        self.binder.answered(Outcome(self.sent, done))
        self.tell(done)
        return done

    def due(self, at_s: float = 1) -> tuple[list[BindPod], list[str]]:
        ready, failed = self.binder.due(round(at_s * SECOND))
        assert all(bind == BIND for bind, _ in failed)
        return ready, [
            why.removeprefix('running PreBind plugin "VolumeBinding": binding volumes: ') for _, why in failed
        ]


def bound(version: str = "9", name: str = "pv", **annotations: str) -> PersistentVolumeClaim:
    made = claim("c", volume=name)
    return replace(made, metadata=replace(made.metadata, resource_version=version, annotations={**DONE, **annotations}))


def of(name: str, uid: str = "") -> PersistentVolume:
    """The volume, bound to another claim or to one of another uid."""
    meta = ObjectMeta(name=name, namespace="default", uid=uid or name)
    return bound_to(volume("pv"), replace(claim(name), metadata=meta))


@pytest.mark.parametrize("provision", [False, True])
def test_a_pod_is_bound_when_its_claims_are(provision: bool) -> None:
    wait = Wait(provision)
    assert wait.due() == ([], [])
    wait.written()
    assert wait.due(2) == ([], [])
    wait.tell(bound(**{SELECTED_NODE: "a"}))
    assert wait.due(3) == ([BIND], [])
    assert wait.due(4) == ([], []), "once"
    assert wait.binder.next_due() is None


@pytest.mark.parametrize("provision", [False, True])
def test_after_its_time_it_is_given_up(provision: bool) -> None:
    wait = Wait(provision)
    wait.written()
    assert wait.binder.next_due() == TIMEOUT
    assert wait.due(599.9) == ([], [])
    assert wait.due(600) == ([], ["context deadline exceeded"])
    wait.tell(bound())
    assert wait.due(601) == ([], [])


def test_a_write_that_was_refused_ends_it_with_the_servers_words() -> None:
    wait = Wait(provision=True)
    error = ApiError(409, "Conflict", "the object has been modified")
    assert isinstance(wait.sent, Update)
    wait.binder.answered(Outcome(wait.sent, None, error))
    assert wait.due() == ([], ["the object has been modified"])


@pytest.mark.parametrize("provision", [False, True])
def test_a_node_that_goes_ends_it(provision: bool) -> None:
    wait = Wait(provision)
    wait.written()
    assert wait.due() == ([], [])
    wait.on.remove_node("b")
    assert wait.due() == ([], []), "another node is none of its business"
    wait.on.remove_node("a")
    assert wait.due() == ([], ['failed to get node "a": node "a" not found'])


def test_a_volume_that_goes_ends_it() -> None:
    wait = Wait(provision=False)
    wait.tell(wait.written(), gone=True)
    assert wait.due() == ([], ['failed to check volume binding: persistentvolume "pv" not found'])


@pytest.mark.parametrize("other", [of("d"), of("c", uid="another")])
def test_a_volume_that_somebody_else_got_ends_it(other: PersistentVolume) -> None:
    wait = Wait(provision=False)
    wait.tell(other)
    assert wait.due() == ([], ['volume "pv" already bound to a different claim.'])


def test_a_volume_that_names_the_claim_needs_no_write() -> None:
    """Pre-bound by its uid: nothing is left to be said to the volume."""
    on = snapshot(node("a"), storage_class("late", "kubernetes.io/no-provisioner"), claim("c"), of("c"))
    assert place(on, pod("p", "c"), "a") == ""
    binder = VolumeBinder(on, TIMEOUT, listed=True)
    assert binder.bind(0, "default/p", BIND) == []
    assert binder.due(SECOND) == ([], []), "the claim is not bound yet"
    on.tables.learn_volumes(bound())
    assert binder.due(2 * SECOND) == ([BIND], [])


@pytest.mark.parametrize("how", ["gone", "another"])
def test_a_claim_that_goes_ends_it(how: str) -> None:
    wait = Wait(provision=True)
    done = wait.written()
    if how == "gone":
        wait.tell(done, gone=True)
    else:  # deleted, and made again under its name
        wait.tell(replace(done, metadata=replace(done.metadata, uid="another", resource_version="8")))
    assert wait.due() == ([], ['failed to check provisioning pvc: persistentvolumeclaim "c" not found'])


def test_a_provisioner_that_gives_the_node_up_ends_it() -> None:
    """It takes the annotation away: the claim without it, newer than the own write."""
    wait = Wait(provision=True)
    older = replace(wait.claim, metadata=replace(wait.claim.metadata, resource_version="5"))
    wait.written()
    wait.tell(older)
    assert wait.due() == ([], []), "from before the own write: it says nothing"
    given_up = replace(wait.claim, metadata=replace(wait.claim.metadata, resource_version="7"))
    wait.tell(given_up)
    assert wait.due() == ([], ['provisioning failed for PVC "c"'])


def test_as_new_as_the_own_write_is_new_enough() -> None:
    wait = Wait(provision=True)
    wait.written()
    elsewhere = replace(wait.claim, metadata=replace(wait.claim.metadata, resource_version="6",
                                                     annotations={SELECTED_NODE: "b"}))  # fmt: skip
    wait.tell(elsewhere)
    assert wait.due() == ([], ['provisioning failed for PVC "c"'])


def test_before_the_own_write_is_answered_nothing_is_concluded_from_the_annotation() -> None:
    wait = Wait(provision=True)
    wait.tell(replace(wait.claim, metadata=replace(wait.claim.metadata, resource_version="999")))
    assert wait.due() == ([], [])


def test_a_pod_that_goes_is_waited_for_no_more() -> None:
    wait = Wait(provision=True)
    wait.binder.drop("default/p")
    wait.tell(bound())
    assert wait.due(700) == ([], [])
    assert wait.binder.next_due() is None


def test_two_pods_that_wait_for_one_claim_go_each_its_own_way() -> None:
    wait = Wait(provision=True)
    assert place(wait.on, pod("q", "c"), "a") == ""
    other = BindPod("default", "q", "q", "a")
    wait.binder.bind(0, "default/q", other)
    wait.written()
    wait.binder.drop("default/q")
    wait.tell(bound(**{SELECTED_NODE: "a"}))
    assert wait.due() == ([BIND], []), "news of the claim still reach the first"
