"""Which of an object's owners controls it."""

from __future__ import annotations

import pytest

from harness.controllers.runtime.pods import controller_of
from harness.model.core import Pod
from harness.model.meta import ObjectMeta, OwnerReference


def owned(*kinds: str) -> Pod:
    """By owners of these kinds; a `*` behind the one that controls it."""
    owners = [
        OwnerReference(api_version="v1", kind=kind.rstrip("*"), name=kind.lower(), uid=kind, controller=kind[-1] == "*")
        for kind in kinds
    ]
    return Pod(metadata=ObjectMeta(name="p", owner_references=tuple(owners)))


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ((), ""),
        (("Job*",), "Job*"),
        (("Job",), ""),
        (("Job", "Job*"), "Job*"),
        (("ReplicaSet*", "Job"), ""),
        (("Job*", "ReplicaSet"), "Job*"),
        (("Job", "ReplicaSet*"), ""),
    ],
)
def test_the_controlling_owner_is_found_wherever_it_stands(kinds: tuple[str, ...], found: str) -> None:
    owner = controller_of(owned(*kinds), "Job")
    assert (owner.uid if owner is not None else "") == found
