"""A cluster that runs gets the store of an earlier moment: whatever had happened since, everything converges."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.apiserver.restoring import restore
from harness.convergence.checkers import HEAL_NS, converged
from harness.engine.component import SECOND
from harness.measure.pods import PodLives
from tests.faults.test_on_demand import Story

EVENTS = st.sampled_from(
    [
        ("scale", 2),
        ("scale", 9),
        ("delete", "Deployment"),
        ("delete", "ReplicaSet"),
        ("podDeletion", {"app": "web", "count": 4}),
        ("nodeCrash", {"select": {"count": 1}, "downFor": "90s"}),
        ("zonePartition", {"zone": "z", "for": "70s"}),
        ("schedulerOutage", {"downFor": "50s"}),
        ("controllerManagerOutage", {"downFor": "50s"}),
    ]
)


def happen(story: Story, number: int, what: str, how: Any) -> None:
    server = story.cluster.server
    if what == "scale":
        story.scale(how)
    elif what == "delete":
        for obj in list(server.objects(how).values()):
            server.delete(how, obj.metadata.namespace, obj.metadata.name)
        story.cluster.api.flush(story.cluster.now)
    else:
        story.order(f"f{number}", what, **how)


@settings(max_examples=6)
@given(
    st.lists(st.tuples(EVENTS, st.integers(0, 60)), max_size=3),
    st.lists(st.tuples(EVENTS, st.integers(0, 60)), min_size=1, max_size=3),
)
def test_everything_converges_on_what_the_snapshot_wanted(
    before: list[tuple[tuple[str, Any], int]], after: list[tuple[tuple[str, Any], int]]
) -> None:
    story = Story(folded=False)
    server = story.cluster.server
    lives = PodLives()
    server.listeners.append(lambda kind, change, obj, old, at: lives.write(server.now, kind.kind, change, obj, old))
    for pod in server.objects("Pod").values():
        lives.write(server.now, "Pod", "ADDED", pod, None)
    for number, ((what, how), wait) in enumerate(before):
        happen(story, number, what, how)
        story.run(wait)
    saved, wanted = server.store.snapshot(), [obj.spec.replicas for obj in server.objects("Deployment").values()]
    for number, ((what, how), wait) in enumerate(after):
        happen(story, 10 + number, what, how)
        story.run(wait)
    at = server.revision
    story.cluster.api.flush(story.cluster.now)
    restore(server, saved)
    story.cluster.api.flush(story.cluster.now)
    assert server.revision > at
    story.run(HEAL_NS / SECOND)
    assert converged(story.cluster) == []
    assert story.running() == sum(wanted)
    assert set(lives.alive) == set(server.objects("Pod")), "whoever listens has been told of everything"
