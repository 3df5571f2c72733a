"""A short hash of a pod template, as in the names of ReplicaSets and in DaemonSet pods' labels."""

from __future__ import annotations

import json
from hashlib import blake2b

from harness.apiserver.registry.names import ALPHABET
from harness.model.core import PodTemplateSpec
from harness.model.wire import encode


def template_hash(template: PodTemplateSpec, collisions: int) -> str:
    """Eight to ten characters; equal templates give equal ones. Source: controller.ComputeHash, whose text of a
    template is Go's own, so that the characters differ."""
    text = json.dumps(encode(template), sort_keys=True, default=str)
    if collisions:
        text += f"/{collisions}"
    number = int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(number))
