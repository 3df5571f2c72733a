"""StatefulSets against the ControllerRevisions that hold their templates, and the pods that were made from them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.controllers.runtime.revisions import template_of
from harness.controllers.workloads.statefulset.identity import REVISION, ordinal_of, start_of
from harness.convergence.cluster_state import ClusterState, is_active, wanted_replicas
from harness.model.meta import is_ready
from harness.model.workloads import ControllerRevision, StatefulSet

LIMIT = 10
"""Source: pkg/apis/apps/v1/defaults.go SetDefaults_StatefulSet (1.32), revisionHistoryLimit."""


def revisions(state: ClusterState) -> Iterator[tuple[str, str]]:
    """The update revision holds the template as it is; once all pods are ready those from the partition on are of it;
    all of it means that it is the current one; and no more old ones are kept than the history allows.

    Source: pkg/controller/statefulset/stateful_set_control.go updateStatefulSet, truncateHistory,
    completeRollingUpdate (1.32).
    """
    owned: dict[str, dict[str, ControllerRevision]] = {}
    for revision in state.listed("ControllerRevision"):
        owner = revision.metadata.controller()
        if owner is not None:
            owned.setdefault(owner.uid, {})[revision.metadata.name] = revision
    item: StatefulSet
    for item in state.listed("StatefulSet"):
        newest = item.status.update_revision
        if item.metadata.deletion_timestamp is None and newest:
            for what in _wrong(state, item, newest, owned.get(item.metadata.uid, {})):
                yield f"StatefulSet {item.metadata.key}", what


def _wrong(state: ClusterState, item: StatefulSet, newest: str, mine: dict[str, ControllerRevision]) -> Iterator[str]:
    if newest not in mine:
        yield f"its update revision {newest} is not there"
    elif template_of(mine[newest]) != item.spec.template:
        yield f"its update revision {newest} holds another template"
    pods = {ordinal_of(item, pod): pod for pod in state.pods_of(item.metadata.uid)}
    live = {newest, item.status.current_revision, *(pod.metadata.labels.get(REVISION, "") for pod in pods.values())}
    old = [name for name in mine if name not in live]
    limit = LIMIT if item.spec.revision_history_limit is None else item.spec.revision_history_limit
    if len(old) > limit:
        yield f"{len(old)} old revisions are kept, at most {limit} are wanted"
    start, rolling = start_of(item), item.spec.update_strategy.rolling_update
    ordinals = range(start, start + wanted_replicas(item))
    ready = {at for at, pod in pods.items() if is_active(pod) and is_ready(pod.status.conditions)}
    if item.spec.update_strategy.type != "RollingUpdate" or not ready >= set(ordinals):
        return
    partition = (rolling.partition or 0) if rolling is not None else 0
    for ordinal in ordinals:
        revision = pods[ordinal].metadata.labels.get(REVISION, "")
        # Ordinals are counted from the first one: source: updateStatefulSet's monotonic update of 1.32.
        if ordinal - start >= partition and revision != newest:
            yield f"all are ready, and the pod of ordinal {ordinal} is of revision {revision or 'none'}, not {newest}"
    if not partition and set(pods) == set(ordinals) and item.status.current_revision != newest:
        yield f"all its pods are of {newest}, its current revision is {item.status.current_revision or 'none'}"
