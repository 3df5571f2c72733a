"""A cluster on the wall clock, with a queue for those who live in other threads; driven by whoever calls `run`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from harness.apiserver.http.driver_queue import DriverQueue
from harness.autoscaling.pool import POOL_LABEL
from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster
from harness.cluster.live_events import LiveEvents
from harness.cluster.live_faults import LiveFaults
from harness.engine.component import ADDED, SECOND, Instant
from harness.engine.wall import IDLE_S, STEP_NS, WallClock
from harness.model.core import Node
from harness.model.karpenter import NODEPOOL
from harness.model.meta import ApiObject, ObjectMeta
from harness.model.objects import Kind
from harness.model.wire import ScaledEpoch
from harness.store.interface import Store

CLOCK_KEY = "/podyard/clock"
"""In the store: where the cluster's clock stood, so that a durable cluster's time never runs backwards."""

CLOCK_SAVED_NS = 10 * SECOND
"""Between two notes of where the clock stands: so much of the cluster's time may be skipped after a crash."""


class LiveCluster:
    """Everything but clients: API server, controllers, scheduler, machines. One thread owns it: the one that calls
    `run`; others go through `driver_queue`."""

    def __init__(self, store: Store, plan: ClusterPlan, *, time_scale: float = 1.0) -> None:
        """`plan`: on the wall clock whatever its settings say, and each lease is renewed in the open."""
        self.epoch_unix_ns, start = _scaled_clock_of(store, time_scale) if time_scale != 1.0 else _clock_of(store)
        settings = replace(plan.settings, folded=False, wall=True, epoch_unix_ns=self.epoch_unix_ns)
        assembled = assemble(store, replace(plan, settings=settings), start)
        self.cluster = assembled.cluster
        self.scheduler = None if plan.strategy is None else assembled.scheduler
        """None where one from outside is to bind."""
        self.driver_queue = DriverQueue(self.cluster.server)
        self.driver_queue.restoring = self._restoring
        self._store = store
        self._saved = start
        self._written = False
        self._clock = WallClock(start, time_scale)
        self._step = round(STEP_NS * max(time_scale, 1.0))
        self._stopping = False
        self.cluster.server.listeners.append(self._on_write)
        self._events = LiveEvents(self.cluster.api, "" if self.scheduler is None else self.scheduler.name)
        self._created: list[Node] = []  # that have no machine yet
        self._faults = LiveFaults(self.cluster, self.epoch_unix_ns)
        self.cluster.start_nodes(_provisioned(self.cluster, plan))

    def run(self, *, until: Instant | None = None) -> None:
        """Until `stop` is called from another thread, KeyboardInterrupt, or the cluster's clock shows `until`."""
        while not self._stopping:
            self.turn()
            if until is not None and self.cluster.now >= until:
                return

    def stop(self) -> None:
        """From any thread."""
        self._stopping = True
        self.driver_queue.wake()

    def turn(self) -> None:
        """What is due, then who waits in the queue; then sleep until something of either kind happens."""
        cluster, clock = self.cluster, self._clock
        now = min(clock.now(), cluster.now + self._step)
        # One synchronisation of the disk for all that is written meanwhile.
        with self.driver_queue.batch():
            self._advance(now)
        due = cluster.next_due
        wait = IDLE_S if due is None else min(IDLE_S, clock.seconds_until(due))
        if wait > 0 and cluster.now + self._step > clock.now():
            self.driver_queue.wait(wait)

    def _advance(self, now: Instant) -> None:
        cluster = self.cluster
        cluster.run(now)
        cluster.loop.now = max(cluster.loop.now, now)  # between mailboxes the clock stands where we look
        cluster.server.now = cluster.loop.now
        self._serve(now)
        self._events.record()
        if self._created:
            created, self._created = self._created, []
            cluster.start_nodes(node for node in created if not cluster.has_machine(node.metadata.name))
        if self._written:
            self._written = False
            cluster.api.flush(cluster.loop.now)
        if now - self._saved > CLOCK_SAVED_NS:
            self._save_clock(now)

    def _serve(self, now: Instant) -> None:
        """Clients get their turn, and faults; while the API server's process is away nobody is answered."""
        away = self.cluster.api.down_until > now
        if away != self.driver_queue.away:
            self.driver_queue.set_away(away)
        if not away:
            self.driver_queue.run_pending()
            self._faults.act(now)

    def close(self) -> None:
        self._save_clock(self.cluster.now)
        self.cluster.close()
        self._store.close()

    @contextlib.contextmanager
    def _restoring(self) -> Iterator[None]:
        """The cluster's clock goes on; what components saw is told before, and what has changed after."""
        self.cluster.api.flush(self.cluster.loop.now)
        self._save_clock(self.cluster.now)
        put_back = keep_clock(self._store)
        yield
        put_back()
        self._faults.restored()
        self._written = True

    def _on_write(self, kind: Kind, change: str, obj: ApiObject, old: ApiObject | None, revision: int) -> None:
        self._written = True
        if kind.kind == "Node" and change == ADDED and obj.status.capacity:
            # A machine registers itself; where a client has made the node, a machine of that size is started for it.
            meta = ObjectMeta(name=obj.metadata.name, labels=obj.metadata.labels, annotations=obj.metadata.annotations)
            self._created.append(Node(metadata=meta, status=obj.status))

    def _save_clock(self, now: Instant) -> None:
        self._saved = now
        epoch = self.epoch_unix_ns
        scale = {"timeScale": epoch.scale} if isinstance(epoch, ScaledEpoch) else {}
        self._store.put(CLOCK_KEY, {"epochUnixNs": int(epoch), "nowNs": now, **scale})


def _provisioned(cluster: Cluster, plan: ClusterPlan) -> list[Node]:
    """Machines of pools that an earlier process started, as the store knows them: the provider has them still."""
    pools = {pool.name: pool for pool in plan.pools}
    nodes = cluster.server.objects("Node")
    labels = ((node.metadata.labels.get(POOL_LABEL, ""), name) for name, node in nodes.items())
    made = [node for node in nodes.values() if NODEPOOL in node.metadata.labels and node.status.capacity]
    return [
        *(pools[pool].node(name) for pool, name in labels if pool in pools),
        *(
            Node(metadata=ObjectMeta(name=node.metadata.name, labels=node.metadata.labels), status=node.status)
            for node in made
        ),
    ]


def _clock_of(store: Store) -> tuple[int, Instant]:
    """(instant 0 on the wall clock, where to go on)."""
    entry = store.get(CLOCK_KEY)
    wall = time.time_ns()
    if entry is None:
        return wall, 0
    epoch = int(entry.value["epochUnixNs"])
    # After a crash up to CLOCK_SAVED_NS have passed that nobody wrote down.
    start = int(entry.value["nowNs"]) + CLOCK_SAVED_NS
    if "timeScale" in entry.value:
        return wall - start, start
    return epoch, max(wall - epoch, start)


def _scaled_clock_of(store: Store, scale: float) -> tuple[ScaledEpoch, Instant]:
    """The same for a clock that runs `scale` times as fast. Times of objects are as they were where it ran so before;
    else the cluster goes on where it stood, now."""
    entry = store.get(CLOCK_KEY)
    wall = time.time_ns()
    if entry is None:
        return ScaledEpoch(wall, scale), 0
    start = int(entry.value["nowNs"]) + CLOCK_SAVED_NS
    if entry.value.get("timeScale") == scale:
        epoch = ScaledEpoch(int(entry.value["epochUnixNs"]), scale)
        return epoch, max(wall - epoch, start)
    return ScaledEpoch(wall - round(start / scale), scale), start


def keep_clock(store: Store) -> Callable[[], None]:
    """A cluster's clock is no part of its state: a restore does not turn it back. Returns what to call after one."""
    entry = store.get(CLOCK_KEY)
    before = None if entry is None else entry.value

    def put_back() -> None:
        entry = store.get(CLOCK_KEY)
        restored = None if entry is None else entry.value
        if before is not None and before != restored:
            store.put(CLOCK_KEY, _later(before, restored))

    return put_back


def _later(before: dict[str, Any], restored: dict[str, Any] | None) -> dict[str, Any]:
    """Objects' instants are counted from the restored epoch, or from the one that was when there is none."""
    if restored is None:
        return before
    scales = before.get("timeScale", 1.0), restored.get("timeScale", 1.0)
    # Clocks of two scales say nothing of each other.
    shift = before["epochUnixNs"] - restored["epochUnixNs"] if scales == (1.0, 1.0) else 0
    return {**restored, "nowNs": max(restored["nowNs"], before["nowNs"] + shift)}
