"""The loop that controllers share: events into the cache, keys into the queue, each key reconciled once a step.

A key whose writes are not all answered yet is not reconciled again until they are: what a client-go worker does by
blocking in its API calls. Source: k8s.io/client-go examples/workqueue.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from harness.controllers.runtime.informer import Handler, Informer
from harness.controllers.runtime.work_queue import WorkQueue
from harness.engine.component import (
    SECOND,
    BindPod,
    Create,
    Delete,
    Effect,
    Event,
    EvictPod,
    Instant,
    Outcome,
    PatchStatus,
    Record,
    Relist,
    Start,
    Timer,
    Update,
)
from harness.engine.guard import fault_of
from harness.model.constants import DEFAULTS, Constants
from harness.model.meta import ApiObject

Asked: TypeAlias = Create | Update | PatchStatus | Delete | BindPod | EvictPod

EVENT_BURST, EVENT_REFILL_NS = 25, 300 * SECOND
"""Events about one object that one source may record: 25, and one more every 5 minutes.

Source: client-go tools/record/events_cache.go defaultSpamBurst, defaultSpamQPS."""

RECORDED_ABOUT = 4096
"""Objects whose events are counted, those that were recorded about last. Source: events_cache.go maxLruCacheEntries."""

_ALL_LEFT = (EVENT_BURST, 0)


class Reconciler:
    """Base of a controller: implement `reconcile`; give handlers that `queue.add` the keys which a change concerns.

    Every write of `reconcile(now, key)` has `key` as its token and goes through `self.write`.
    """

    handled_failures = 0
    """Writes that failed and were handled: retried, given up for a reason, or no longer needed."""

    def __init__(
        self,
        name: str,
        handlers: Mapping[str, Handler | None],
        keeps: Mapping[str, Callable[[ApiObject], bool]] | None = None,
    ) -> None:
        self.name = name
        self.watches = tuple(handlers)
        self.informer = Informer(handlers, keeps)
        self.queue: WorkQueue[str] = WorkQueue()
        self.now: Instant = 0
        self._constants = DEFAULTS
        self._effects: list[Effect] = []
        self._unanswered: dict[str, int] = {}
        self._failures: dict[str, list[Outcome]] = {}
        self._again: dict[str, None] = {}
        self._recorded: OrderedDict[str, tuple[int, Instant]] = OrderedDict()
        self._started = self._restarted = False

    @property
    def constants(self) -> Constants:
        return self._constants

    @constants.setter
    def constants(self, constants: Constants) -> None:
        self._constants = constants
        self.queue.limit(constants.queue_base_delay_ns, constants.queue_max_delay_ns)

    def step(self, now: Instant, events: Sequence[Event]) -> Iterable[Effect]:
        self.now = now
        queue, informer = self.queue, self.informer
        index, count = informer.take_run(events, 0), len(events)  # nearly all of them
        while index < count:
            event = events[index]
            match event:
                case Relist():
                    informer.take(event)
                case Outcome():
                    self._take_outcome(now, event)
                case Timer():
                    queue.fired(event.token, now)
                case Start():
                    self.forget_all()
                case _:
                    raise AssertionError(f"{self.name} is no machine: {event}")
            index = informer.take_run(events, index + 1)
        self.before_reconciling(now)
        if not (queue.keys or queue.asked_wakes or self._effects):
            return ()  # most steps: what happened concerns none of this controller's objects
        unanswered = self._unanswered
        for key in queue.drain():
            if key in unanswered:
                self._again[key] = None
                continue
            begun = len(self._effects)
            try:
                self.reconcile(now, key)
            except Exception as error:
                self._contain(now, key, begun, error)
                continue
            if key not in unanswered:
                queue.forget(key)
        effects, self._effects = self._effects, []
        effects += queue.wakes()
        return effects

    def before_reconciling(self, now: Instant) -> None:
        """All events of this step are in."""

    def reconcile(self, now: Instant, key: str) -> None:
        """Compare what is with what is wanted, and write."""
        raise NotImplementedError

    def subject(self, key: str) -> Any:
        """The object that `key` is about, if any: the first of that key, by the order of kinds."""
        held = (self.informer.get(kind, key) for kind in self.informer.kinds)
        return next((found for found in held if found is not None), None)

    def succeeded(self, key: str, outcome: Outcome) -> None:
        """One write of `key` went through."""

    def failed(self, key: str, outcome: Outcome) -> bool:
        """One write of `key` was refused: whether that is an error, so that `key` is retried after a backoff."""
        # What is gone needs no write any more; its DELETED is on its way.
        return isinstance(outcome.effect, Create) or (outcome.error is not None and outcome.error.code != 404)

    def settled(self, now: Instant, key: str, failures: Sequence[Outcome]) -> None:
        """All writes of the last `reconcile(key)` are answered; `failures` are those that count."""
        if failures:
            self.queue.retry(key, now)
        else:
            self.queue.forget(key)

    def forget_all(self) -> None:
        """Start: the process is new."""
        self._restarted = self._started
        self._started = True
        self.informer.clear()
        self.queue.clear()
        self._effects.clear()
        self._unanswered.clear()
        self._failures.clear()
        self._again.clear()
        self._recorded.clear()

    def write(self, key: str, effect: Asked) -> None:
        self._effects.append(effect)
        self._unanswered[key] = self._unanswered.get(key, 0) + 1

    def write_all(self, key: str, effects: Sequence[Asked]) -> None:
        if not effects:
            return
        self._effects += effects
        self._unanswered[key] = self._unanswered.get(key, 0) + len(effects)

    def may_record(self, uid: str) -> bool:
        """Whether an event about it would be recorded now."""
        left, since = self._recorded.get(uid, _ALL_LEFT)
        return left > 0 or self.now - since >= EVENT_REFILL_NS

    def record(self, about: ApiObject, type_: str, reason: str, message: str) -> None:
        """A Kubernetes Event, unless too many were recorded about this object."""
        uid = about.metadata.uid
        left, since = self._recorded.pop(uid, (EVENT_BURST, self.now))
        refilled = (self.now - since) // EVENT_REFILL_NS
        if refilled:
            left = min(EVENT_BURST, left + refilled)
            since += refilled * EVENT_REFILL_NS
        if left > 0:
            self._effects.append(Record(about, type_, reason, message))
            left -= 1
        self._recorded[uid] = (left, since)
        if len(self._recorded) > RECORDED_ABOUT:
            self._recorded.popitem(last=False)

    def _contain(self, now: Instant, key: str, begun: int, error: Exception) -> None:
        """One key raised: nothing of this attempt is written, it is told, and tried again after a backoff."""
        del self._effects[begun:]
        self._unanswered.pop(key, None)
        self._failures.pop(key, None)
        self._again.pop(key, None)
        subject = self.subject(key)
        fault = fault_of(self.name, error, subject, key)
        self._effects.append(fault.observation())
        if subject is not None:
            self.record(subject, "Warning", "ComponentFault", f"{fault.component}: {fault.error} (in {fault.where})")
        self.queue.retry(key, now)

    def _take_outcome(self, now: Instant, outcome: Outcome) -> None:
        begun = len(self._effects)
        try:
            self._answered(now, outcome)
        except Exception as error:
            self._contain(now, outcome.token, begun, error)

    def _answered(self, now: Instant, outcome: Outcome) -> None:
        key = outcome.token
        left = self._unanswered.get(key, 0) - 1
        if left < 0:
            # Of an Event, which is recorded at most once; or asked by the process that was here before.
            self.handled_failures += type(outcome.effect) is Record or self._restarted
            return
        if outcome.error is not None:
            self.handled_failures += 1
            if self.failed(key, outcome):
                self._failures.setdefault(key, []).append(outcome)
        else:
            if type(outcome.effect) is Update:
                self.informer.written(outcome.obj)
            self.succeeded(key, outcome)
        if left:
            self._unanswered[key] = left
            return
        del self._unanswered[key]
        if key in self._again:
            del self._again[key]
            self.queue.add(key)
        self.settled(now, key, self._failures.pop(key, ()))
