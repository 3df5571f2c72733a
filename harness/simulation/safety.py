"""What must hold at every write, whatever goes wrong: each object's own history, and where pods may be."""

from __future__ import annotations

from typing import Any

from harness.engine.component import SECOND
from harness.model.core import Pod
from harness.model.objects import Kind
from harness.simulation.budgets import Budgets

MOST = 20
"""Findings kept; of what is broken for good, each write would say it again."""

ENDED = ("Succeeded", "Failed")

OF_DELETION = {"orphan", "foregroundDeletion"}
"""A second deletion may ask for another propagation. Source: apiserver pkg/registry/generic/registry/store.go
deletionFinalizersForGarbageCollection (1.32)."""


class Safety:
    """A listener of the API server's writes. `findings`: (check, what)."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._revision = 0
        self.writes = 0
        self.findings: list[tuple[str, str]] = []
        self._budgets = Budgets(server, self._say)
        self.evicted = self._budgets.evicted
        """A listener of its evictions."""

    def written(self, kind: Kind, change: str, obj: Any, old: Any, revision: int) -> None:
        self.writes += 1
        if self._server.restoring:  # what was is taken back: from here on things go forward again
            self._revision = max(self._revision, revision)
            self._budgets.written(kind.kind, change, obj, old)
            return
        if revision <= self._revision:
            self._say("revisions", f"revision {revision} after {self._revision}")
        self._revision = revision
        if old is not None and change != "DELETED":
            self._history(kind.kind, obj, old)
        if isinstance(obj, Pod) and change != "DELETED":
            self._pod(obj, old)
        self._budgets.written(kind.kind, change, obj, old)

    def _history(self, kind: str, obj: Any, old: Any) -> None:
        """Source: kubernetes.io/docs, "Object Names and IDs", "Finalizers"; apimachinery ValidateObjectMetaUpdate."""
        new, before, subject = obj.metadata, old.metadata, f"{kind} {obj.metadata.key}"
        if new.uid != before.uid:
            self._say("identity", f"{subject} was {before.uid}, is {new.uid}")
        if new.creation_timestamp != before.creation_timestamp:
            self._say("identity", f"{subject} was created at {before.creation_timestamp}, now {new.creation_timestamp}")
        if (new.generation or 0) < (before.generation or 0):
            self._say("generation", f"{subject} went back from {before.generation} to {new.generation}")
        if before.deletion_timestamp is not None:
            if new.deletion_timestamp is None:
                self._say("deletion", f"{subject} was being deleted, and no longer is")
            added = set(new.finalizers) - set(before.finalizers) - OF_DELETION
            if added:
                self._say("deletion", f"{subject} is being deleted, and gets finalizers: {', '.join(sorted(added))}")

    def _pod(self, pod: Pod, old: Pod | None) -> None:
        key = pod.metadata.key
        if old is None:
            if pod.spec.node_name and pod.spec.node_name not in self._server.objects("Node"):
                self._say("binding", f"Pod {key} is created on {pod.spec.node_name}, which is not there")
            return
        if pod.spec.node_name and not old.spec.node_name:
            if old.metadata.deletion_timestamp is not None:
                self._say("binding", f"Pod {key} is bound while it is being deleted")
            if pod.spec.scheduling_gates:
                self._say("binding", f"Pod {key} is bound in spite of its gates")
        if old.status.phase in ENDED and old.status.phase != pod.status.phase:
            self._say("phase", f"Pod {key} was {old.status.phase}, is {pod.status.phase}")
        if old.status.phase == "Running" and pod.status.phase == "Pending":
            self._say("phase", f"Pod {key} was Running, is Pending")
        for status in pod.status.container_statuses:
            before = next((item for item in old.status.container_statuses if item.name == status.name), None)
            if before is not None and (status.restart_count or 0) < (before.restart_count or 0):
                what = f"Pod {key}: {status.name} had {before.restart_count} restarts, has {status.restart_count}"
                self._say("restarts", what)

    def _say(self, check: str, what: str) -> None:
        if len(self.findings) < MOST:
            self.findings.append((check, f"{self._server.now / SECOND:.3f}s {what}"))
