"""What all snapshots of one scheduler share, as it does not depend on where pods run.

Resource rows, labels of namespaces, affinity terms of pods, selectors of services and controllers, volumes and claims.
"""

from __future__ import annotations

import weakref
from typing import Protocol

from harness.scheduling.matching.affinity_terms import AffinityTerms
from harness.scheduling.matching.owner_selectors import OwnerSelectors
from harness.scheduling.matching.pod_selectors import Labels, Namespaces
from harness.scheduling.state.resource_rows import ResourceRows
from harness.scheduling.state.volume_catalog import VolumeCatalog


class Follower(Protocol):
    """Keeps something that follows from the tables."""

    def namespaces_changed(self) -> None: ...

    def volumes_changed(self, obj: object, gone: bool) -> None:
        """`obj` is a volume, claim or storage class."""


class SharedTables:
    def __init__(self) -> None:
        self.rows = ResourceRows()
        self.namespaces = Namespaces()
        self.affinity_terms = AffinityTerms(self.namespaces)
        self.owner_selectors = OwnerSelectors()
        self.volumes = VolumeCatalog()
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()

    def follow(self, follower: Follower) -> None:
        """`follower` is told of every change (and not kept alive for it)."""
        self._followers.add(follower)

    def put_namespace(self, name: str, labels: Labels | None) -> None:
        """The labels of a namespace, None when it is gone: what namespaceSelector looks at."""
        if self.namespaces.set_labels(name, labels):
            for follower in list(self._followers):
                follower.namespaces_changed()

    def learn_volumes(self, obj: object, *, gone: bool = False) -> bool:
        """A volume, claim or storage class as it is now; False when `obj` is none."""
        if not self.volumes.learn(obj, gone=gone):
            return False
        for follower in list(self._followers):
            follower.volumes_changed(obj, gone)
        return True
