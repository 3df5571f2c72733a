"""What the checker of ControllerRevisions finds: each state is wrong in one way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from harness.cluster.cluster import Cluster
from harness.controllers.workloads.statefulset.identity import REVISION
from harness.convergence.checkers import check
from harness.convergence.cluster_state import ClusterState
from tests.convergence.story import LABELS, POD_SPEC, Story, manifest

Objects = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    template = {"metadata": {"labels": LABELS}, "spec": POD_SPEC}
    spec = {"replicas": 2, "serviceName": "web", "selector": {"matchLabels": LABELS}, "template": template}
    story = Story(manifest("StatefulSet", "web", spec={**spec, "revisionHistoryLimit": 0}))
    for version in ("i:2", "i:3"):
        story.at(story.cluster.now / 10**9 + 60)
        held = story.cluster.server.get("StatefulSet", "default", "web")
        containers = (replace(held.spec.template.spec.containers[0], image=version),)
        template_ = replace(held.spec.template, spec=replace(held.spec.template.spec, containers=containers))
        story.cluster.server.update(replace(held, spec=replace(held.spec, template=template_)))
        story.cluster.api.flush(story.cluster.now)
    story.assert_converged()
    return story.cluster


def _status(objects: Objects, **status: Any) -> None:
    (key, item), *_ = objects["StatefulSet"].items()
    objects["StatefulSet"][key] = replace(item, status=replace(item.status, **status))


def _older_pod(objects: Objects) -> None:
    pod = objects["Pod"]["default/web-1"]
    labels = {**pod.metadata.labels, REVISION: "web-older"}
    objects["Pod"]["default/web-1"] = replace(pod, metadata=replace(pod.metadata, labels=labels))


def _kept(objects: Objects) -> None:
    (item, *_) = objects["ControllerRevision"].values()
    objects["ControllerRevision"]["default/old"] = replace(item, metadata=replace(item.metadata, name="old"))


def _template(objects: Objects) -> None:
    (key, item), *_ = objects["StatefulSet"].items()
    objects["StatefulSet"][key] = replace(item, spec=replace(item.spec, template=type(item.spec.template)()))


WRONG: dict[str, Callable[[Objects], None]] = {
    "is not there": lambda objects: objects["ControllerRevision"].clear(),
    "holds another template": _template,
    "1 old revisions are kept": _kept,
    "is of revision web-older": _older_pod,
    "its current revision is web-1": lambda objects: _status(objects, current_revision="web-1"),
}


@pytest.mark.parametrize("what", WRONG)
def test_it_finds(cluster: Cluster, what: str) -> None:
    kinds = ("StatefulSet", "ControllerRevision", "Pod", "Node")
    objects: Objects = {kind: dict(cluster.server.objects(kind)) for kind in kinds}

    def found() -> list[str]:
        state = ClusterState(lambda kind: objects.get(kind, {}), cluster.now)
        return [str(item) for item in check(state, ("revisions",))]

    assert found() == []
    WRONG[what](objects)
    assert any(what in text for text in found())
