"""Selectors from query strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.http.selectors import parse
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS, Event, ObjectReference, Pod, PodSpec, PodStatus
from harness.model.status import ApiError

POD = KINDS["Pod"]


def labelled(**labels: str) -> Pod:
    return Pod(metadata=ObjectMeta(name="p", namespace="ns", labels=labels))


@pytest.mark.parametrize(
    ("selector", "matching", "other"),
    [
        ("a=1", {"a": "1"}, {"a": "2"}),
        ("a==1", {"a": "1"}, {}),
        ("a!=1", {}, {"a": "1"}),
        ("a", {"a": ""}, {"b": "1"}),
        ("!a", {"b": "1"}, {"a": ""}),
        ("a in (1, 2)", {"a": "2"}, {"a": "3"}),
        ("a notin (1,2)", {"b": "1"}, {"a": "1"}),
        ("a=1,b!=2", {"a": "1", "b": "3"}, {"a": "1", "b": "2"}),
        ("x in (a),!y", {"x": "a"}, {"x": "a", "y": "b"}),
        ("n>3", {"n": "10"}, {"n": "3"}),
        ("n<3", {"n": "-1"}, {"n": "many"}),
        ("a=", {"a": ""}, {"a": "1"}),
        ("app.kubernetes.io/name=x-1.y", {"app.kubernetes.io/name": "x-1.y"}, {"name": "x-1.y"}),
    ],
)
def test_label_selectors(selector: str, matching: dict[str, str], other: dict[str, str]) -> None:
    chosen = parse(POD, selector, "")
    assert chosen.matches(POD, labelled(**matching))
    assert not chosen.matches(POD, labelled(**other))


@pytest.mark.parametrize("bad", ["a in 1", "a=b=c", "=1", "a in (1", "a,,b", "n>x", "a b", "-a=1"])
def test_bad_label_selectors_are_refused(bad: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse(POD, bad, "")
    assert refused.value.code == 400


def test_field_selectors_know_their_kinds() -> None:
    pod = Pod(
        metadata=ObjectMeta(name="p", namespace="ns"),
        spec=PodSpec(node_name="n1", scheduler_name="s"),
        status=PodStatus(phase="Running"),
    )
    for selector in ("spec.nodeName=n1", "status.phase!=Failed,spec.schedulerName==s", "metadata.name=p"):
        assert parse(POD, "", selector).matches(POD, pod), selector
    for selector in ("spec.nodeName=", "status.phase!=Running", "metadata.namespace=other"):
        assert not parse(POD, "", selector).matches(POD, pod), selector
    with pytest.raises(ApiError, match=r"field label not supported: spec\.colour"):
        parse(POD, "", "spec.colour=red")
    with pytest.raises(ApiError, match="invalid selector"):
        parse(POD, "", "spec.nodeName")


def test_events_are_found_by_what_they_are_about() -> None:
    kind = KINDS["Event"]
    event = Event(
        metadata=ObjectMeta(name="e", namespace="ns"),
        involved_object=ObjectReference(kind="Node", name="n1", uid="n1"),
        reason="NodeReady",
        type="Normal",
    )
    about = "involvedObject.kind=Node,involvedObject.name=n1,involvedObject.namespace=,involvedObject.uid=n1"
    assert parse(kind, "", about).matches(kind, event)
    assert parse(kind, "", "type!=Warning,reason=NodeReady").matches(kind, event)
    assert not parse(kind, "", "involvedObject.name=n2").matches(kind, event)


words = st.text("abc01", min_size=1, max_size=3)


@given(
    st.dictionaries(words, words, max_size=4),
    st.lists(st.tuples(words, st.sampled_from(["=", "!=", "in", "notin", "", "!"]), words), min_size=1, max_size=4),
)
def test_a_selector_is_the_conjunction_of_its_requirements(
    labels: dict[str, str], requirements: list[tuple[str, str, str]]
) -> None:
    texts, expected = [], True
    for key, operator, value in requirements:
        match operator:
            case "=":
                text, holds = f"{key}={value}", labels.get(key) == value
            case "!=":
                text, holds = f"{key} != {value}", labels.get(key) != value
            case "in":
                text, holds = f"{key} in ({value}, zz)", labels.get(key) in (value, "zz")
            case "notin":
                text, holds = f"{key} notin (zz,{value})", labels.get(key) not in (value, "zz")
            case "":
                text, holds = key, key in labels
            case _:
                text, holds = f"!{key}", key not in labels
        texts.append(text)
        expected = expected and holds
    assert parse(POD, ",".join(texts), "").matches(POD, labelled(**labels)) is expected
