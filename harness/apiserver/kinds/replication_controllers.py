"""ReplicationController: listed, as schedulers from outside want, and refused, as nothing here would make its pods."""

from __future__ import annotations

from harness.apiserver.kinds.rules import KindRules
from harness.apiserver.validation.causes import forbidden
from harness.model.objects import KINDS, Unstructured
from harness.model.status import Cause


def _problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    return [forbidden("kind", "ReplicationControllers are not modelled; a ReplicaSet with the same template is")]


RULES = (KindRules(kind=KINDS["ReplicationController"], validate=_problems),)
