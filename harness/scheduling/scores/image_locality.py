"""Score of ImageLocality: bytes of the pod's images on the node, each counted by the share of nodes that have it.

Source: kube-scheduler 1.32 plugins/imagelocality sumImageScores, scaledImageScore, calculatePriority.
"""

from __future__ import annotations

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.preferences import PreferenceValues, preferences_of
from harness.scheduling.scores.plugin import ColumnCache, ColumnRows, Feature, RowsPlugin
from harness.scheduling.strategy import MAX_NODE_SCORE, DependsOn, Int64, PodView

MIB = 1 << 20
MIN_BYTES, MAX_BYTES_PER_CONTAINER = 23 * MIB, 1000 * MIB
"""Source: kube-scheduler 1.32 plugins/imagelocality minThreshold, maxContainerThreshold."""


class ImageLocality(RowsPlugin):
    name = "ImageLocality"
    depends_on = DependsOn.NODE_SPEC

    def __init__(self) -> None:
        self._columns = ColumnCache()

    def skips(self, pod: PodView, snapshot: Snapshot) -> bool:
        return not (preferences_of(pod).images and snapshot.images)

    def rows(self, pod: PodView, snapshot: Snapshot, *, grouped: bool) -> ColumnRows | None:
        if self.skips(pod, snapshot):
            return None
        wanted = preferences_of(pod)
        nodes = (len(snapshot), len(snapshot.node_table))
        key = (wanted.images, wanted.containers, snapshot.images.version, nodes)
        column = self._columns.get(snapshot, key, lambda: _image_scores(snapshot, wanted))
        return ColumnRows(Feature(self.name, column.__getitem__), lambda scores: scores)


def _image_scores(snapshot: Snapshot, wanted: PreferenceValues) -> Int64:
    raw = np.zeros(len(snapshot.node_table), dtype=np.int64)
    for name in wanted.images:
        where = list(snapshot.images.nodes_with(name))
        if where:
            raw[where] += int(snapshot.images.size_of(name) * (len(where) / len(snapshot)))
    most = MAX_BYTES_PER_CONTAINER * wanted.containers
    out: Int64 = MAX_NODE_SCORE * (np.clip(raw, MIN_BYTES, most) - MIN_BYTES) // (most - MIN_BYTES)
    return out
