"""No field of any type is lost: by a binding, by a copy, by a patch, on the wire and back."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.apiserver.http.patches import patched
from harness.apiserver.kinds import RULES, defaulted
from harness.apiserver.registry.lifecycle import bound
from harness.model.core import Pod
from harness.model.meta import Condition, with_condition
from harness.model.objects import KINDS, Unstructured, from_wire, to_wire
from tests.apiserver.every_field import defaults_within, differences, filled

TYPED = sorted(name for name, kind in KINDS.items() if kind.type is not Unstructured)


@pytest.mark.parametrize("kind", TYPED)
def test_the_values_of_this_file_leave_no_field_out(kind: str) -> None:
    assert list(defaults_within(filled(KINDS[kind].type))) == []


def test_a_binding_keeps_every_field() -> None:
    """It once was a copy by hand: status.startTime, podIP and whatever a new field of PodSpec had been were lost."""
    pod: Pod = filled(Pod)
    now = bound(pod, "n", {"podyard.dev/devices": "0"}, 99, "12")
    assert sorted(differences(pod, now)) == [
        "metadata.annotations",
        "metadata.resource_version",
        "spec.node_name",
        "status.conditions",
    ]
    assert now.status.conditions[:-1] == pod.status.conditions


def test_a_condition_that_is_written_again_keeps_every_field() -> None:
    was = filled(Condition)
    new = replace(was, reason="another", last_transition_time=None)
    assert list(differences(new, with_condition((was,), new)[0])) == ["last_transition_time"]


@pytest.mark.parametrize("kind", TYPED)
def test_what_goes_to_the_wire_comes_back(kind: str) -> None:
    obj = filled(KINDS[kind].type)
    assert list(differences(obj, from_wire(to_wire(obj)))) == []


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize("patch", ["application/merge-patch+json", "application/strategic-merge-patch+json"])
def test_a_patch_changes_what_it_names(kind: str, patch: str) -> None:
    obj = filled(KINDS[kind].type)
    wire = patched(patch, to_wire(obj), {"metadata": {"labels": {"a": "b"}}}, kind)
    assert list(differences(obj, from_wire(wire))) == ["metadata.labels"]


@pytest.mark.parametrize("kind", TYPED)
def test_a_new_object_and_an_updated_one_keep_every_field(kind: str) -> None:
    rules, obj = RULES[kind], filled(KINDS[kind].type)
    meta = replace(obj.metadata, uid="another")
    changed = set(differences(obj, rules.on_create(obj, meta)))
    assert changed <= {"metadata.uid", *ON_CREATE.get(kind, ()), *_status(kind, obj)}
    updated = rules.updated(obj, replace(obj, metadata=meta))
    assert set(differences(obj, updated)) == set()


ON_CREATE = {
    "Job": {"spec.selector.match_labels", "spec.template.metadata.labels"},
    "Namespace": {"spec.finalizers", "spec.extra"},
}
"""Source: pkg/registry/batch/job/strategy.go generateSelector, core/namespace/strategy.go PrepareForCreate."""


def _status(kind: str, obj: Any) -> set[str]:
    """A new object has no status of a client's."""
    if not KINDS[kind].status or not hasattr(obj, "status"):
        return set()
    return {f"status.{name}" for name in obj.status.__struct_fields__}


@pytest.mark.parametrize("kind", TYPED)
def test_defaults_add_and_take_nothing_away(kind: str) -> None:
    """What a client wrote stands."""
    obj = filled(KINDS[kind].type)
    assert _lost(to_wire(obj), to_wire(defaulted(KINDS[kind], obj))) == []


def _lost(was: Any, now: Any, path: str = "") -> list[str]:
    if isinstance(was, dict):
        if not isinstance(now, dict):
            return [path]
        return [lost for key in was for lost in _lost(was[key], now.get(key), f"{path}.{key}")]
    if isinstance(was, list):
        if not isinstance(now, list) or len(now) < len(was):
            return [path]
        return [lost for a, b in zip(was, now, strict=False) for lost in _lost(a, b, path)]
    return [] if was == now else [path]
