"""The cache shows what was told last; the queue gives each key once; selectors find whom they select."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.controllers.runtime.informer import Informer
from harness.controllers.runtime.selectors import Groups, Selectors
from harness.controllers.runtime.work_queue import WorkQueue
from harness.engine.component import ADDED, DELETED, MODIFIED, MS, SECOND, Relist, WakeAt, Watch
from harness.model.core import Node, Pod, PodSpec
from harness.model.meta import LabelSelector, LabelSelectorRequirement, ObjectMeta
from harness.model.objects import Unstructured


def pod(name: str, revision: int = 1, node: str = "", uid: str = "u", **labels: str) -> Pod:
    meta = ObjectMeta(name=name, namespace="ns", uid=uid, resource_version=str(revision), labels=labels)
    return Pod(metadata=meta, spec=PodSpec(node_name=node))


class Told:
    """A cache that notes what its handler is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.informer = Informer({"Pod": self._heard, "Node": None})
        self.by_node = self.informer.index("Pod", lambda item: (item.spec.node_name,) if item.spec.node_name else ())
        assert not self.by_node  # asked once, it is kept up to date from then on

    def _heard(self, old: Any, new: Any) -> None:
        self.heard.append(
            tuple("-" if item is None else item.metadata.resource_version for item in (old, new))  # type: ignore[arg-type]
        )


def test_changes_are_shown_indexed_and_told() -> None:
    told = Told()
    cache = told.informer
    cache.take(Watch(ADDED, pod("a")))
    cache.take(Watch(ADDED, pod("b", node="n")))
    cache.take(Watch(MODIFIED, pod("a", 2, node="n")))
    assert list(told.by_node["n"]) == ["ns/b", "ns/a"]
    assert "n" in told.by_node
    assert len(told.by_node) == 1
    cache.take(Watch(MODIFIED, pod("a", 3, node="m")))
    assert list(told.by_node["n"]) == ["ns/b"]
    assert list(told.by_node) == ["n", "m"]
    cache.take(Watch(DELETED, pod("a", 4, node="m")))
    assert cache.get("Pod", "ns/a") is None
    assert list(cache.objects("Pod")) == ["ns/b"]
    assert dict(told.by_node["m"]) == {}
    assert told.heard == [("-", "1"), ("-", "1"), ("1", "2"), ("2", "3"), ("3", "-")]


def test_what_belongs_to_no_namespace_is_known_by_name() -> None:
    cache = Told().informer
    cache.take(Watch(ADDED, Node(metadata=ObjectMeta(name="n"))))
    assert cache.get("Node", "n").metadata.name == "n"


def test_kinds_that_nobody_models_are_kept_too() -> None:
    cache = Informer({"Secret": None, "Ingress": None})
    cache.take(Watch(ADDED, Unstructured(metadata=ObjectMeta(name="s", namespace="ns"), extra={"kind": "Secret"})))
    assert list(cache.objects("Secret")) == ["ns/s"]
    assert list(cache.objects("Ingress")) == []


def test_a_relist_tells_the_difference() -> None:
    told = Told()
    for name in ("same", "changed", "gone", "replaced"):
        told.informer.take(Watch(ADDED, pod(name)))
    same = told.informer.get("Pod", "ns/same")
    told.heard.clear()
    told.informer.take(Relist("Pod", (same, pod("changed", 5), pod("replaced", 6, uid="v"), pod("new", 7))))
    assert sorted(told.heard) == [("-", "6"), ("-", "7"), ("1", "-"), ("1", "-"), ("1", "5")]
    assert sorted(told.informer.objects("Pod")) == ["ns/changed", "ns/new", "ns/replaced", "ns/same"]


def test_an_object_of_the_same_name_is_another_object() -> None:
    told = Told()
    told.informer.take(Watch(ADDED, pod("a", 1, uid="u")))
    told.informer.take(Watch(ADDED, pod("a", 5, uid="v")))
    assert told.heard == [("-", "1"), ("1", "-"), ("-", "5")]


def test_own_writes_are_read_before_their_watch_and_older_news_do_not_undo_them() -> None:
    told = Told()
    told.informer.take(Watch(ADDED, pod("a", 1)))
    told.informer.written(pod("a", 5))
    told.informer.take(Watch(MODIFIED, pod("a", 3)))  # somebody else's, before ours
    assert told.informer.get("Pod", "ns/a").metadata.resource_version == "5"
    told.informer.take(Watch(MODIFIED, pod("a", 5)))  # ours, already known
    told.informer.take(Watch(MODIFIED, pod("a", 6)))
    assert told.heard == [("-", "1"), ("1", "5"), ("5", "6")]


def test_what_is_not_known_is_not_brought_back_by_an_answer() -> None:
    told = Told()
    told.informer.take(Watch(ADDED, pod("a", 1)))
    told.informer.take(Watch(DELETED, pod("a", 7)))
    told.informer.written(pod("a", 5))
    assert told.informer.get("Pod", "ns/a") is None
    told.informer.take(Watch(ADDED, pod("a", 9, uid="v")))
    told.informer.written(pod("a", 8))
    assert told.informer.get("Pod", "ns/a").metadata.uid == "v"


def test_what_does_not_matter_is_not_kept_and_what_ceases_to_is_gone() -> None:
    heard: list[tuple[bool, bool]] = []
    cache = Informer(
        {"Pod": lambda old, new: heard.append((old is not None, new is not None))},
        {"Pod": lambda item: "app" in item.metadata.labels},
    )
    cache.take(Watch(ADDED, pod("a")))
    cache.take(Watch(ADDED, pod("b", app="x")))
    cache.take(Watch(MODIFIED, pod("a", 2, app="x")))
    cache.take(Watch(MODIFIED, pod("b", 3)))
    cache.take(Watch(DELETED, pod("b", 4)))
    assert list(cache.objects("Pod")) == ["ns/a"]
    assert heard == [(False, True), (False, True), (True, False)]
    cache.take(Relist("Pod", (pod("a", 2), pod("c", 5, app="y"))))
    assert list(cache.objects("Pod")) == ["ns/c"]


def test_forgetting_tells_nobody() -> None:
    told = Told()
    told.informer.take(Watch(ADDED, pod("a", node="n")))
    told.heard.clear()
    told.informer.clear()
    assert dict(told.informer.objects("Pod")) == {}
    assert len(told.by_node) == 0
    assert told.heard == []


def test_a_key_is_queued_once_in_order_of_first_adding() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in "bacab":
        queue.add(key)
    assert "c" in queue
    assert len(queue) == 3
    assert queue.drain() == ["b", "a", "c"]
    assert queue.drain() == []


def test_retries_wait_5_ms_doubling_to_1000_s() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waits = []
    for _ in range(25):
        at = queue.retry("k", 0)
        waits.append(at)
        queue.fired("k", at)
    assert waits[:4] == [5 * MS, 10 * MS, 20 * MS, 40 * MS]
    assert waits[-1] == 1000 * SECOND
    assert queue.failures("k") == 25
    queue.forget("k")
    assert queue.retry("k", 100) == 100 + 5 * MS


def test_timers_are_asked_for_once_and_the_earliest_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_at("k", 50)
    queue.add_at("k", 70)
    queue.add_at("k", 30)
    assert queue.wakes() == [WakeAt(50, "k"), WakeAt(30, "k")]
    assert queue.wakes() == []
    queue.fired("k", 30)
    assert queue.drain() == ["k"]
    queue.add_at("k", 60)
    assert queue.wakes() == [WakeAt(60, "k")]


label = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)
requirement = st.builds(
    LabelSelectorRequirement,
    key=st.sampled_from("abc"),
    operator=st.sampled_from(["In", "NotIn"]),
    values=st.lists(st.sampled_from("xyz"), min_size=1, max_size=2).map(tuple),
) | st.builds(
    LabelSelectorRequirement, key=st.sampled_from("abc"), operator=st.sampled_from(["Exists", "DoesNotExist"])
)
chooser = st.builds(LabelSelector, match_labels=label, match_expressions=st.lists(requirement, max_size=2).map(tuple))


@given(
    pods=st.dictionaries(st.integers(0, 20), st.tuples(st.sampled_from(["n1", "n2"]), label), max_size=15),
    gone=st.sets(st.integers(0, 20)),
    selectors=st.dictionaries(st.sampled_from("pqrs"), st.tuples(st.sampled_from(["n1", "n2"]), chooser)),
    dropped=st.sets(st.sampled_from("pqrs")),
)
def test_groups_and_selectors_find_what_looking_at_everything_finds(
    pods: dict[int, tuple[str, dict[str, str]]],
    gone: set[int],
    selectors: dict[str, tuple[str, LabelSelector]],
    dropped: set[str],
) -> None:
    groups, named = Groups(), Selectors()
    for name, (namespace, selector) in selectors.items():
        named.put(name, namespace, selector)
    for number, (namespace, labels) in pods.items():
        group = groups.add(str(number), namespace, labels, number)
        assert named.of(group) == tuple(
            sorted(name for name, (space, s) in selectors.items() if space == namespace and s.matches(labels))
        )
    for number in sorted(gone):
        if number in pods:
            groups.remove(str(number), *pods[number])
    for name in sorted(dropped):
        named.put(name, "n1", None)
    left = {number: item for number, item in pods.items() if number not in gone}
    for namespace, selector in selectors.values():
        found = sorted(member for group in groups.selected(namespace, selector) for member in group.members.values())
        assert found == sorted(
            n for n, (space, labels) in left.items() if space == namespace and selector.matches(labels)
        )
    for namespace, labels in left.values():
        held = groups.get(namespace, labels)
        assert held is not None
        assert named.of(held) == tuple(
            sorted(
                name
                for name, (space, s) in selectors.items()
                if name not in dropped and space == namespace and s.matches(labels)
            )
        )
