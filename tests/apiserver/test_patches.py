"""Patches: what each type does, and that none changes what it was given."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.http.patches import patched
from harness.apiserver.http.patches.json_patch import json_patch
from harness.apiserver.http.patches.merge import merge_patch
from harness.apiserver.http.patches.strategic import strategic_patch
from harness.model.status import ApiError


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_is_that_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        # RFC 6902, appendix A
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
    ],
)
def test_json_patch_is_that_of_the_rfc(target: Any, operations: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert json_patch(target, operations) == result
    assert target == before


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "remove", "path": "/b"}], 422),
        ([{"op": "replace", "path": "/b", "value": 1}], 422),
        ([{"op": "add", "path": "/x/y", "value": 1}], 422),
        ([{"op": "add", "path": "/list/7", "value": 1}], 422),
        ([{"op": "jump", "path": "/a"}], 422),
        ([{"path": "/a"}], 400),
        ([{"op": "add", "path": "a", "value": 1}], 400),
        ({"op": "add"}, 400),
        ([{"op": "add", "path": "/a", "value": 1}] * 10_001, 413),
    ],
)
def test_a_json_patch_that_does_not_hold_is_refused(operations: Any, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"a": 1, "list": []}, operations)
    assert refused.value.code == code


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def names(obj: dict[str, Any]) -> list[str]:
    return [container["name"] for container in obj["spec"]["containers"]]


def test_containers_merge_by_name_and_keep_what_is_not_said() -> None:
    have = pod({"name": "a", "image": "x", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "y"})
    patch = {"spec": {"containers": [{"name": "a", "image": "z", "env": [{"name": "L", "value": "2"}]}]}}
    made = strategic_patch(have, patch, "Pod")
    assert names(made) == ["a", "b"]
    assert made["spec"]["containers"][0] == {
        "name": "a",
        "image": "z",
        "env": [{"name": "K", "value": "1"}, {"name": "L", "value": "2"}],
    }


def test_directives_delete_replace_and_order() -> None:
    have = pod({"name": "a"}, {"name": "b"}, {"name": "c"})
    gone = strategic_patch(have, {"spec": {"containers": [{"name": "b", "$patch": "delete"}]}}, "Pod")
    assert names(gone) == ["a", "c"]
    only = strategic_patch(have, {"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}, "Pod")
    assert names(only) == ["z"]
    order = {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}
    assert names(strategic_patch(have, {"spec": order}, "Pod")) == ["c", "a", "b"]


def test_retain_keys_drops_the_other_kind_of_volume() -> None:
    have = pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}])
    patch = {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]}}
    assert strategic_patch(have, patch, "Pod")["spec"]["volumes"] == [
        {"name": "v", "hostPath": {"path": "/x"}},
        {"name": "w", "emptyDir": {}},
    ]
    strategy = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    recreate = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_patch(strategy, recreate, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_ports_merge_by_what_they_are() -> None:
    container = {"name": "c", "ports": [{"containerPort": 80, "name": "http"}]}
    patch = {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 443}]}]}}
    assert len(strategic_patch(pod(container), patch, "Pod")["spec"]["containers"][0]["ports"]) == 2
    service = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    made = strategic_patch(service, {"spec": {"ports": [{"port": 80, "targetPort": 9090}]}}, "Service")
    assert made["spec"]["ports"] == [{"port": 80, "targetPort": 9090}]
    have = {"ports": [{"port": 1}]}
    assert strategic_patch(have, {"ports": [{"port": 2}]}, "EndpointSlice") == {"ports": [{"port": 2}]}


def test_lists_without_a_key_are_replaced_and_sets_grow() -> None:
    have = {"metadata": {"finalizers": ["a", "b"]}, "spec": {"tolerations": [{"key": "x"}], "taints": [{"key": "t"}]}}
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]},
        "spec": {"tolerations": [{"key": "y"}], "taints": None},
    }
    made = strategic_patch(have, patch, "Pod")
    assert made == {"metadata": {"finalizers": ["b", "c"]}, "spec": {"tolerations": [{"key": "y"}]}}


def test_an_element_without_its_key_is_refused() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic_patch(pod({"name": "a"}), {"spec": {"containers": [{"image": "x"}]}}, "Pod")


def test_other_media_types_are_told_what_is_known() -> None:
    with pytest.raises(ApiError, match=r"merge-patch\+json") as refused:
        patched("text/plain", {}, {}, "Pod")
    assert refused.value.code == 415


json_values = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 9), st.text("abc", max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcde"), inner, max_size=4)),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abcde"), json_values, max_size=5)


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The merge patch from one to the other, where there is one (no nulls)."""
    out: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            out[name] = value
        elif isinstance(value, dict) and isinstance(old[name], dict):
            out[name] = difference(old[name], value)
        elif value != old[name] or type(value) is not type(old[name]):
            out[name] = value
    return out


@given(objects, objects)
def test_the_difference_of_two_objects_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    """By either kind of merge, as no list here has a merge key; and what was given stays as it was."""
    kept = copy.deepcopy(old)
    patch = difference(old, new)
    assert merge_patch(old, patch) == new
    assert strategic_patch(old, patch, "ConfigMap") == new
    assert old == kept


@given(st.permutations(["a", "b", "c", "d"]), st.permutations(["a", "b", "c", "d"]))
def test_element_order_is_the_one_asked_for(have: list[str], wanted: list[str]) -> None:
    order = {"spec": {"$setElementOrder/containers": [{"name": name} for name in wanted]}}
    assert names(strategic_patch(pod(*({"name": name} for name in have)), order, "Pod")) == wanted
