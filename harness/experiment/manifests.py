"""Kubernetes manifests with what the API server would refuse told before anything runs, by file and line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.apiserver.kinds import defaulted, problems
from harness.model.objects import Kind
from harness.model.status import Cause
from workloads.readers.manifests import Manifest, read_manifests


def read_checked_manifests(paths: Sequence[Path]) -> tuple[Manifest, ...]:
    """As `read_manifests`. Raises UserError, also for what the API server would refuse of an object alone."""
    return read_manifests(paths, refusals)


def refusals(kind: Kind, obj: Any, name: str) -> tuple[Cause, ...]:
    """What the API server would refuse of a new object, defaults filled in."""
    return problems(kind, defaulted(kind, obj), None, name)
