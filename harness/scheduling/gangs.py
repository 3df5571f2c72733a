"""How the members of a gang fit together where the queue's order and a strategy's preference do not find it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.scheduling.sandbox.read_only_view import what_if
from harness.scheduling.strategy import Bind, ClusterView, PodView


def other_orders(members: Sequence[PodView], cluster: ClusterView) -> Iterator[list[PodView]]:
    """The members in orders in which more of them may fit; none where the order makes no difference.

    First those that look at other pods (spread, affinity), then the largest; the largest first; the largest last.
    """
    classes = {member.cls.id for member in members}
    if len(classes) < 2 and cluster.is_independent(members[0]):
        return  # each takes the same from whichever node, so that any order fits as many
    room = cluster.capacity.sum(axis=1)
    size = {
        member.key: max(
            (want / room[row] for row, want in enumerate(member.cls.amounts) if want and room[row]), default=0.0
        )
        for member in members
    }
    # Keys break ties, so that the order does not hang on when the queue saw whom.
    largest_first = sorted(members, key=lambda member: (-member.gpu.count, -size[member.key], member.key))
    yield sorted(largest_first, key=lambda member: cluster.is_independent(member))
    yield largest_first
    yield largest_first[::-1]  # what must have others beside it before what must not


def first_fit(members: Sequence[PodView], cluster: ClusterView) -> list[Bind]:
    """The most members that fit beside each other, each on the first node by rank, in one of a few orders.

    Tried on the snapshot behind `cluster`, and taken back; the same whatever order `members` come in. [] if none fits.
    """
    best: list[Bind] = []
    for order in (sorted(members, key=lambda member: member.key), *other_orders(members, cluster)):
        binds: list[Bind] = []
        with what_if(cluster) as trial:
            for pod in order:
                nodes = np.flatnonzero(cluster.feasible(pod))
                if len(nodes):
                    done = trial.bind(pod, int(nodes[cluster.rank[nodes].argmin()]))
                    if isinstance(done, Bind):
                        binds.append(done)
        if len(binds) > len(best):
            best = binds
    return best
