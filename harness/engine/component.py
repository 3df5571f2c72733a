"""The component: events in, effects out, nothing else; and the closed sets of what may come in and go out.

A component never reads a clock, sleeps, draws global randomness or does IO. It sees the world through `Watch` and
changes it through API writes; a driver decides when and where it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec

from harness.model.constants import Constants
from harness.model.core import Node
from harness.model.faults import NodeFault
from harness.model.karpenter import CAPACITY_TYPE, INSTANCE_TYPE, ZONE
from harness.model.meta import ApiObject
from harness.model.status import ApiError
from harness.model.workloads import Lease

Instant: TypeAlias = int
"""Nanoseconds since the run began."""

Token: TypeAlias = Any
"""What a component gives with a request, and gets back with its Timer or Outcome: it says what the request was for."""

MS, SECOND, MINUTE, HOUR = 10**6, 10**9, 60 * 10**9, 3600 * 10**9
"""In nanoseconds."""

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


class _Message(msgspec.Struct, frozen=True, gc=False):
    pass


# -- events ------------------------------------------------------------------------------------------------------------


class Watch(_Message, frozen=True, gc=False):
    """A subscribed object changed. `old`: as it was before, None when ADDED. Per subscriber in order of revision.

    `key`: 'namespace/name' or 'name' of the object, made once for all who are told; empty where nobody made it.
    """

    type: str
    obj: ApiObject
    old: ApiObject | None = None
    key: str = ""


class Relist(_Message, frozen=True, gc=False):
    """The watch could not be resumed (its revision was compacted): everything of `kind` as it is now."""

    kind: str
    objects: tuple[ApiObject, ...]


class Timer(_Message, frozen=True, gc=False):
    """A WakeAt came due."""

    token: Token


class Outcome(_Message, frozen=True, gc=False):
    """What became of a write of one's own: `obj` as written, or why not. Failures are told even without a token."""

    effect: Write
    obj: ApiObject | None = None
    error: ApiError | None = None

    @property
    def token(self) -> Token:
        return self.effect.token


class Packet(_Message, frozen=True, gc=False):
    """From another node, over the network."""

    source: str
    payload: Any


class Start(_Message, frozen=True, gc=False):
    """The first event of a component; after a restart again, with everything that was in memory lost."""


class FaultInjected(_Message, frozen=True, gc=False):
    """Machines only: a fault happens to this node, now."""

    fault: NodeFault


Event: TypeAlias = Watch | Relist | Timer | Outcome | Packet | Start | FaultInjected


# -- effects -----------------------------------------------------------------------------------------------------------


class Create(_Message, frozen=True, gc=False):
    obj: ApiObject
    token: Token = None


class Update(_Message, frozen=True, gc=False):
    """A whole object. With a resourceVersion it must still be that one, else Conflict. `subresource`: '' or 'status'
    (only the status is taken), 'finalize'."""

    obj: ApiObject
    subresource: str = ""
    token: Token = None


class PatchStatus(_Message, frozen=True, gc=False):
    """The status of `obj`, conditions merged by type; the uid must be that of `obj`.

    With `old`, as its writer read it, only what differs between the two is written, and whatever others wrote meanwhile
    stays: a patch. Without, the whole status is written; then a resourceVersion must still be that one, else Conflict.
    Source: pkg/util/pod PatchPodStatus (1.32), which makes its patch from the old and the new status.
    """

    obj: ApiObject
    old: ApiObject | None = None
    token: Token = None


class Delete(_Message, frozen=True, gc=False):
    kind: str
    namespace: str
    name: str
    uid: str = ""  # precondition
    grace_s: int | None = None  # None: the object's own
    propagation: str = ""  # Background, Foreground, Orphan; empty: the kind's default
    token: Token = None


class BindPod(_Message, frozen=True, gc=False):
    """The binding subresource. `annotations` are added to the pod's (a Binding's metadata.annotations)."""

    namespace: str
    name: str
    uid: str
    node: str
    annotations: dict[str, str] = {}
    token: Token = None


class EvictPod(_Message, frozen=True, gc=False):
    """The eviction subresource: a delete that disruption budgets may refuse (429)."""

    namespace: str
    name: str
    uid: str = ""
    grace_s: int | None = None
    reason: str = ""  # becomes the DisruptionTarget condition's
    message: str = ""
    token: Token = None


class Record(_Message, frozen=True, gc=False):
    """A Kubernetes Event about `about`; repeated ones count up."""

    about: ApiObject
    type: str  # Normal, Warning
    reason: str
    message: str
    token: Token = None


class StandingLease(_Message, frozen=True, gc=False):
    """Machines only, on virtual time: from now on this Lease is renewed every `period_ns`, on time, until the machine
    is disturbed or stops: at once, and then at instants that are `phase_ns` beyond a whole number of periods.

    What never matters to anyone is folded: the server writes the Lease once, annotated with STANDING_LEASE, and writes
    it again without the annotation, with the last renewTime that it would have had, when the machine falls silent.
    """

    lease: Lease
    period_ns: int
    phase_ns: int = 0
    token: Token = None


class Subscribe(_Message, frozen=True, gc=False):
    """Changes of these kinds too, from now on: an informer started when it is first needed. What is there is ADDED;
    with a token, an Outcome says that all of it was.
    """

    kinds: tuple[str, ...]
    token: Token = None


STANDING_LEASE = "podyard.dev/standing"
"""Lease annotation: its holder renews on time, and renewTime shows only when that began."""

Write: TypeAlias = Create | Update | PatchStatus | Delete | BindPod | EvictPod | Record | StandingLease | Subscribe


class LazyWatch(_Message, frozen=True):
    """Changes of `kinds` are of no use to a component before there is an object of a kind in `until` that its function
    there holds for (None: any object). Nothing of them is sent before; then, ahead of that object, all of `kinds` as
    ADDED, and every change from then on. So the component acts as if it had watched all the time.
    """

    kinds: tuple[str, ...]
    until: Mapping[str, Callable[[ApiObject], bool] | None]


class WakeAt(_Message, frozen=True, gc=False):
    """A Timer at `at`, or at once (that is, one nanosecond on) when that has passed."""

    at: Instant
    token: Token = None


class Observe(_Message, frozen=True, gc=False):
    """A fact for the journal that is no API state: `topic` names its schema, `data` is a tuple of plain values."""

    topic: str
    data: tuple[Any, ...]


class Send(_Message, frozen=True, gc=False):
    """Nodes only: a packet to another node, lost when the network does not let it through."""

    node: str
    payload: Any


class StartMachine(_Message, frozen=True, gc=False):
    """Power a node up: its kubelet starts and registers `node` with the API server."""

    node: Node


class StopMachine(_Message, frozen=True, gc=False):
    """Power off: nothing on the node runs or says anything any more."""

    name: str


class InjectFault(_Message, frozen=True, gc=False):
    """A fault, done to nodes. `cause`: which of the faults that the timeline injected it is, counted from 1."""

    nodes: tuple[str, ...]
    fault: NodeFault
    cause: int = 0


class RestartApiServer(_Message, frozen=True, gc=False):
    """The API server process stops now and is back, recovered from its store, `down_ns` later."""

    down_ns: int
    cause: int = 0


class TakeSnapshot(_Message, frozen=True, gc=False):
    """A snapshot of the store is taken now and kept, as a backup of etcd. `name`: whose it is."""

    name: str


class RestoreSnapshot(_Message, frozen=True, gc=False):
    """The API server stops now; `down_ns` later it is back with what the snapshot `name` holds."""

    name: str
    down_ns: int
    cause: int = 0


class RestartProcess(_Message, frozen=True, gc=False):
    """The components of a process of the control plane stop now; `down_ns` later they start with nothing in memory."""

    process: str
    down_ns: int
    cause: int = 0


class DisturbWatches(_Message, frozen=True, gc=False):
    """The watches of a process of the control plane, or of one component, are broken for `for_ns`; then they go on from
    where they were, or list everything where that is compacted, or `expired` says so. With `late_ns` they are not
    broken: what they tell meanwhile comes so much later."""

    of: str
    for_ns: int
    late_ns: int = 0
    expired: bool = False
    cause: int = 0


class DisturbProvider(_Message, frozen=True, gc=False):
    """The provider of machines does not do what it is asked, for `for_ns`: for `pools` (of nodes, or NodePools; none:
    for all), and only machines of these `zones`, `instance_types` and `capacity_types`, where any are named.

    `kind`: quota (orders are refused), outOfStock (no machine of the kind is there), error (its API answers with
    errors), silent (none comes), late (each `late_ns` later).
    """

    pools: tuple[str, ...]
    kind: str
    for_ns: int
    late_ns: int = 0
    zones: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    capacity_types: tuple[str, ...] = ()
    cause: int = 0

    def hits(self, pool: str, labels: Mapping[str, str]) -> bool:
        """Whether a machine of `pool` with these labels is meant."""
        if self.pools and pool not in self.pools:
            return False
        named = ((self.zones, ZONE), (self.instance_types, INSTANCE_TYPE), (self.capacity_types, CAPACITY_TYPE))
        return all(not values or labels.get(label) in values for values, label in named)


class DisturbRegistry(_Message, frozen=True, gc=False):
    """Pulls of images that match one of these patterns (none: of any image) fail for `for_ns`; 0: not any more.

    `does`: what the registry answers (see harness.faults.registry_outage).
    """

    images: tuple[str, ...]
    does: str
    for_ns: int
    cause: int = 0


class ReclaimMachine(_Message, frozen=True, gc=False):
    """The provider has said that it takes the machine of `node` back: whoever made the node hears it."""

    node: str


class KeepPlace(_Message, frozen=True, gc=False):
    """Whoever sizes the group of `node` counts it as coming, due at `due_ns`: its instance is being made again, or is
    one more while another is replaced. None: not any more."""

    node: Node
    due_ns: Instant | None


class ResumeProcess(_Message, frozen=True, gc=False):
    """The components of a process that is stopped start now."""

    process: str


Effect: TypeAlias = (
    Write
    | WakeAt
    | Observe
    | Send
    | StartMachine
    | StopMachine
    | InjectFault
    | RestartApiServer
    | TakeSnapshot
    | RestoreSnapshot
    | RestartProcess
    | DisturbWatches
    | DisturbProvider
    | DisturbRegistry
    | ReclaimMachine
    | KeepPlace
    | ResumeProcess
)


def next_tick(now: Instant, period_ns: int, phase_ns: int) -> Instant:
    """The first instant after `now` that is `phase_ns` beyond a whole number of periods."""
    return ((now - phase_ns) // period_ns + 1) * period_ns + phase_ns


@runtime_checkable
class Periodic(Protocol):
    """A component that looks every `period_ns`. Whoever puts a cluster together sets its phase, as processes that were
    not started together have each their own; 0: at whole numbers of periods."""

    @property
    def period_ns(self) -> int: ...

    phase_ns: int


@runtime_checkable
class Configured(Protocol):
    """A component that Kubernetes' constants bear on. Whoever puts a cluster together hands it those of the cluster;
    before that it has the defaults."""

    constants: Constants


@runtime_checkable
class Calendared(Protocol):
    """A component that goes by the calendar. Whoever puts a cluster together tells it what instant 0 is there: ns since
    1970, in UTC."""

    epoch_unix_ns: int


class Component(Protocol):
    """`name`: unique in the cluster, also that of its random stream. `watches`: the kinds that it subscribes to.

    `lazy_watches`, if it has them: which of those are not worth hearing of yet. Of each kind at most one.

    One that writes counts in `handled_failures` the Outcomes with an error for which it has done what is to be done:
    tried again, given up for a reason. What is not counted is a fault of the component (see harness.engine.guard).
    """

    @property
    def name(self) -> str: ...

    @property
    def watches(self) -> tuple[str, ...]: ...

    def step(self, now: Instant, events: Sequence[Event]) -> Iterable[Effect]: ...
