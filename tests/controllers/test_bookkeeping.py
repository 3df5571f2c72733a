"""What controllers keep count of, held to a recount: pods of a set, expectations, groups of labels, selectors, orphans,
revisions, nodes of a zone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.nodes.node_lifecycle import _Zone
from harness.controllers.runtime.controller_refs import Orphans, adopted, released
from harness.controllers.runtime.expectations import TIMEOUT_NS, Expectations
from harness.controllers.runtime.pods import is_active, owner_reference, ready_since
from harness.controllers.runtime.replica_tally import ReplicaTally
from harness.controllers.runtime.revisions import RevisionHistory, new_revision, next_revision, to_forget
from harness.controllers.runtime.selectors import Groups, LabelKeys, Selectors
from harness.controllers.runtime.work_queue import WorkQueue
from harness.engine.component import Create, Update, WakeAt
from harness.model.core import Pod, PodStatus
from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.wire import Time
from harness.model.workloads import ControllerRevision, DaemonSet, DaemonSetSpec
from tests.controllers.rig import selector, template

LABELS: list[dict[str, str]] = [{"a": "1"}, {"a": "1", "b": "2"}, {"b": "2"}, {}]


def pod(name: str, labels: dict[str, str], phase: str = "Running", since: int | None = None) -> Pod:
    ready = () if since is None else (Condition(type="Ready", status="True", last_transition_time=Time(since)),)
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", labels=labels),
        status=PodStatus(phase=phase, conditions=ready),
    )


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("pqr"),
        st.sampled_from(["Running", "Failed", "gone"]),
        st.sampled_from(range(len(LABELS))),
        st.sampled_from([None, 0, 2, 4, 6]),  # seconds before, that it became ready
        st.sampled_from([0, 2, 3, 5]),  # minReadySeconds asked after it
    ),
    max_size=25,
)


@given(CHANGES)
@settings(deadline=None)
def test_the_tally_of_pods_is_what_a_recount_says(changes: list[tuple[str, str, int, int | None, int]]) -> None:
    tally, keys = ReplicaTally(), LabelKeys()
    there: dict[str, Pod] = {}
    for now, (name, phase, labels, ago, least) in enumerate(changes):
        before = (len(tally.active), dict(tally.ready), dict(tally.by_labels))
        since = None if ago is None else max(now - ago, 0)
        if phase == "gone":
            changed = tally.remove(name, keys)
            assert changed == (there.pop(name, None) is not None)
        else:
            new = pod(name, LABELS[labels], phase, since)
            changed = tally.put(name, new, keys)
            there.pop(name, None) if not is_active(new) else there.update({name: new})
        after = (len(tally.active), dict(tally.ready), dict(tally.by_labels))
        assert changed or before == after
        assert tally.active == there
        assert tally.ready == {key: ready_since(p) for key, p in there.items() if ready_since(p) is not None}
        for each in LABELS:
            assert tally.by_labels.get(keys.of(each), 0) == sum(p.metadata.labels == each for p in there.values())
        assert all(tally.by_labels.values())
        old_enough = [at for at in tally.ready.values() if at + least <= now]
        assert tally.available(least, now) == (len(old_enough) if least else len(tally.ready))
        later = [at + least for at in tally.ready.values() if at + least > now]
        assert tally.next_available_at() == (min(later, default=None) if least else None)


def test_a_pod_of_which_nothing_that_counts_has_changed_changes_no_count() -> None:
    tally, keys = ReplicaTally(), LabelKeys()
    one = pod("p", LABELS[0], since=1)
    assert tally.put("p", one, keys)
    assert not tally.put("p", replace(one, metadata=replace(one.metadata, resource_version="2")), keys)
    assert not tally.put("p", pod("p", one.metadata.labels, since=1), keys)
    assert tally.put("p", pod("p", one.metadata.labels, since=2), keys)
    assert tally.put("p", pod("p", one.metadata.labels), keys)
    assert tally.put("p", pod("p", LABELS[1]), keys)
    assert tally.put("p", pod("p", LABELS[1], "Failed"), keys)
    assert not tally.put("p", pod("p", LABELS[1], "Failed"), keys)


def test_what_is_expected_is_waited_for_five_minutes() -> None:
    """Source: controller_utils.go ExpectationsTimeout, SatisfiedExpectations."""
    expected = Expectations()
    assert expected.satisfied("u", 0)
    assert expected.until("u") is None
    assert expected.creations("u") == 0
    expected.expect_creations("u", 2, 10)
    expected.expect_deletions("u", ["a", "b"], 20)
    assert expected.creations("u") == 2
    assert not expected.satisfied("u", 10 + TIMEOUT_NS)
    assert expected.satisfied("u", 10 + TIMEOUT_NS + 1)
    assert expected.until("u") == 10 + TIMEOUT_NS + 1
    expected.created("u", 1)
    expected.deleted("u", "a")
    expected.deleted("u", "nobody")
    assert expected.creations("u") == 1
    expected.created("u")
    assert not expected.satisfied("u", 30), "a deletion is still to be seen"
    expected.created("u")
    assert expected.creations("u") == 0, "more than were expected"
    expected.deleted("u", "b")
    assert expected.satisfied("u", 30)
    expected.created("u")
    expected.deleted("u", "b")
    assert expected.satisfied("u", 30)


def test_what_was_given_up_is_not_waited_for_with_what_comes_next() -> None:
    expected = Expectations()
    expected.expect_creations("u", 5, 0)
    expected.expect_creations("u", 1, TIMEOUT_NS)
    assert expected.creations("u") == 6
    expected.expect_creations("u", 1, TIMEOUT_NS + 1)
    assert expected.creations("u") == 1
    assert expected.until("u") == 2 * TIMEOUT_NS + 2
    expected.forget("u")
    assert expected.satisfied("u", TIMEOUT_NS + 1)
    expected.forget("u")


SELECTORS: list[LabelSelector | None] = [
    selector(a="1"),
    selector(b="2"),
    selector(a="1", b="2"),
    selector(c="3"),
    LabelSelector(),
    None,
]


@given(
    st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("mn"), st.integers(0, len(LABELS))), max_size=12),
    st.lists(st.tuples(st.sampled_from("st"), st.sampled_from("mn"), st.integers(0, len(SELECTORS) - 1)), max_size=12),
)
@settings(deadline=None)
def test_who_selects_whom_is_what_matching_every_pair_says(
    members: list[tuple[str, str, int]], puts: list[tuple[str, str, int]]
) -> None:
    groups, selectors = Groups(), Selectors()
    there: dict[str, tuple[str, dict[str, str]]] = {}
    asked: dict[str, tuple[str, LabelSelector]] = {}
    for round in range(max(len(members), len(puts))):
        for key, namespace, at in members[round : round + 1]:
            if key in there:
                left = groups.remove(key, *there.pop(key))
                assert left is not None
                assert key not in left.members
            if at < len(LABELS):
                there[key] = (namespace, LABELS[at])
                groups.add(key, namespace, LABELS[at], f"object {key}")
            else:
                assert groups.remove(key, namespace, {"never": "seen"}) is None
        for name, namespace, at in puts[round : round + 1]:
            found = SELECTORS[at]
            selectors.put(name, namespace, found)
            asked.pop(name, None)
            if found is not None:
                asked[name] = (namespace, found)
        for namespace in "mn":
            for found in SELECTORS[:-1]:
                assert found is not None
                selected = [key for group in groups.selected(namespace, found) for key in group.members]
                assert sorted(selected) == sorted(
                    k for k, (ns, ls) in there.items() if ns == namespace and found.matches(ls)
                )
            for labels in LABELS:
                expected = sorted(n for n, (ns, one) in asked.items() if ns == namespace and one.matches(labels))
                assert selectors.matching(namespace, labels) == tuple(expected)
                group = groups.get(namespace, labels)
                here = {k: f"object {k}" for k, v in there.items() if v == (namespace, labels)}
                assert (group.members if group is not None else {}) == here
                if group is not None:
                    assert selectors.of(group) == tuple(expected)


def test_a_selector_that_is_as_before_makes_nobody_ask_again() -> None:
    """Who selects a group of pods is found anew only after a selector has changed."""
    selectors, groups = Selectors(), Groups()
    group = groups.add("p", "m", {"a": "1"}, "p")
    selectors.put("s", "m", selector(a="1"))
    assert selectors.of(group) == ("s",)
    group.selected_by = ("as remembered",)
    selectors.put("s", "m", selector(a="1"))
    selectors.put("nobody", "m", None)
    assert selectors.of(group) == ("as remembered",)
    selectors.put("s", "n", selector(a="1"))
    assert selectors.of(group) == ()


def test_orphans_are_told_to_who_may_adopt_them_once() -> None:
    orphans = Orphans()
    orphans.adopter("a", "default", selector(a="1"))
    orphans.adopter("all", "default", LabelSelector())
    one = pod("p", {"a": "1"})
    assert orphans.put("default/p", None, one) == ("a",)
    assert orphans.put("default/p", one, replace(one, status=PodStatus(phase="Failed"))) == ()
    other = pod("p", {"a": "1", "b": "2"})
    assert orphans.put("default/p", one, other) == ("a",), "its labels changed"
    assert list(orphans.selected("default", selector(b="2"))) == [other]
    assert list(orphans.selected("other", selector(b="2"))) == []
    assert list(orphans.selected("default", LabelSelector())) == [], "an empty selector adopts nobody"
    assert orphans.put("default/p", other, pod("p", {})) == ()
    assert list(orphans.selected("default", selector(a="1"))) == []
    orphans.put("default/p", None, one)
    orphans.drop("default/p", one)
    orphans.drop("default/none", pod("none", {}))
    assert list(orphans.selected("default", selector(a="1"))) == []


def test_adopting_adds_an_owner_and_releasing_takes_that_one_away() -> None:
    owner = daemon_set()
    mine, other = owner_reference(owner, "apps/v1", "DaemonSet"), owner_reference(pod("o", {}), "v1", "Pod")
    held = adopted(replace(pod("p", {}), metadata=ObjectMeta(name="p", owner_references=(other,))), mine)
    assert held.metadata.owner_references == (other, mine)
    assert released(held, owner.metadata.uid).metadata.owner_references == (other,)


def test_delays_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    queue: WorkQueue[str] = WorkQueue(5, 1000)
    assert [queue.retry("k", 100) - 100 for _ in range(10)] == [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]
    assert queue.failures("k") == 10
    queue.forget("k")
    queue.forget("k")
    assert queue.failures("k") == 0
    assert queue.retry("k", 100) == 105
    queue.limit(7, 8)
    assert [queue.retry("l", 0), queue.retry("l", 0)] == [7, 8]


def test_of_several_times_the_earliest_counts_until_it_has_come() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for at in (30, 20, 20, 25):
        queue.add_at("k", at)
    assert queue.wakes() == [WakeAt(30, "k"), WakeAt(20, "k")]
    assert queue.wakes() == []
    queue.fired("k", 19)
    assert (queue.drain(), len(queue), "k" in queue) == (["k"], 0, False)
    queue.add_at("k", 20)
    assert queue.wakes() == [], "it is still due then"
    queue.fired("k", 20)
    assert "k" in queue
    queue.add_at("k", 40)
    assert queue.wakes() == [WakeAt(40, "k")]
    queue.clear()
    queue.add_at("k", 50)
    assert (queue.wakes(), queue.drain()) == ([WakeAt(50, "k")], [])


# -- revisions ---------------------------------------------------------------------------------------------------------


def daemon_set(image: str = "i:1", **meta: Any) -> DaemonSet:
    spec = DaemonSetSpec(selector=selector(app="a"), template=template(image, app="a"), **meta)
    return DaemonSet(metadata=ObjectMeta(name="d", namespace="default", uid="u", annotations={"k": "v"}), spec=spec)


def revision(image: str, number: int, taken: tuple[str, ...] = ()) -> ControllerRevision:
    return new_revision(daemon_set(image), number, 0, taken)[0]


def test_a_template_is_new_or_the_newest_or_comes_back() -> None:
    one, two = revision("i:1", 1), revision("i:2", 4)
    assert next_revision(template("i:1", app="a"), []) == (1, None)
    assert next_revision(template("i:2", app="a"), [one, two]) is None
    assert next_revision(template("i:1", app="a"), [one, two]) == (5, one)
    assert next_revision(template("i:3", app="a"), [one, two]) == (5, None)


def test_a_name_that_is_taken_is_passed_over() -> None:
    first, none = new_revision(daemon_set(), 1, 0, ())
    assert none == 0
    second, found = new_revision(daemon_set(), 1, 0, (first.metadata.key,))
    third, more = new_revision(daemon_set(), 1, 0, (first.metadata.key, second.metadata.key))
    assert (found, more) == (1, 2)
    assert len({first.metadata.name, second.metadata.name, third.metadata.name}) == 3
    assert second.metadata.labels["controller.kubernetes.io/hash"] == second.metadata.name.removeprefix("d-")
    assert first.metadata.annotations == {"k": "v"}


@pytest.mark.parametrize(("limit", "gone"), [(None, 0), (1, 2), (3, 0), (0, 3)])
def test_of_those_that_nobody_uses_the_oldest_go(limit: int | None, gone: int) -> None:
    known = [revision(f"i:{number}", number) for number in range(1, 5)]
    live = {known[1].metadata.name}
    unused = [item for item in known if item.metadata.name not in live]
    assert to_forget(known, live, limit) == unused[:gone]
    many = [revision(f"i:{number}", number) for number in range(1, 14)]
    assert len(to_forget(many, (), None)) == 3


def test_a_history_waits_for_what_it_has_written() -> None:
    history, owner = RevisionHistory(), daemon_set(revision_history_limit=0)
    first = history.mark(owner, "h", "t", {})
    assert isinstance(first, Create)
    assert (first.obj.revision, first.token) == (1, "t")
    assert history.is_marking("u")
    older = replace(first.obj, revision=0)
    assert history.changed(None, older) == "u"
    assert history.is_marking("u"), "an older one was seen"
    assert history.changed(older, first.obj) == "u"
    assert not history.is_marking("u")
    assert history.mark(owner, "h", "t", {}) is None
    assert history.unused(owner, ()) == []
    second = history.mark(daemon_set("i:2"), "h", "t", {})
    assert isinstance(second, Create)
    history.not_marked("u")
    assert not history.is_marking("u")
    history.changed(None, second.obj)
    back = history.mark(owner, "h", "t", {})
    assert back == Update(replace(first.obj, revision=3), "", "t")
    in_use = first.obj.metadata.name.removeprefix("d-")
    assert history.unused(owner, (in_use,)) == []
    assert history.unused(owner, ()) == [first.obj.metadata]
    assert history.changed(second.obj, None) == "u"
    assert history.changed(None, replace(first.obj, metadata=ObjectMeta(name="of-nobody"))) == ""


def test_a_revision_of_nobody_is_adopted_where_it_holds_the_template() -> None:
    made = new_revision(daemon_set(), 7, 0, (), "h")[0]
    alone = replace(made, metadata=replace(made.metadata, owner_references=()))
    effect = RevisionHistory().mark(daemon_set(), "h", "t", {alone.metadata.key: alone})
    assert isinstance(effect, Update)
    assert (effect.obj.metadata.controller().uid, effect.obj.revision) == ("u", 1)
    for other in (made, replace(alone, data={})):
        effect = RevisionHistory().mark(daemon_set(), "h", "t", {other.metadata.key: other})
        assert isinstance(effect, Create)
        assert effect.obj.metadata.name != other.metadata.name


@pytest.mark.parametrize(
    ("nodes", "bad", "threshold", "state"),
    [
        (0, 0, 0.55, "normal"),
        (1, 1, 0.55, "full"),
        (3, 2, 0.55, "normal"),
        (4, 2, 0.1, "normal"),
        (4, 3, 0.55, "partial"),
        (4, 3, 0.75, "partial"),
        (4, 3, 0.76, "normal"),
        (5, 3, 0.6, "partial"),
        (5, 5, 0.6, "full"),
    ],
)
def test_the_state_of_a_zone(nodes: int, bad: int, threshold: float, state: str) -> None:
    """Source: ComputeZoneState: three nodes at least, and the threshold's share of them."""
    assert _Zone(nodes=nodes, bad=bad).state(threshold) == state
