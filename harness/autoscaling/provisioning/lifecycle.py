"""A NodeClaim from its creation to its initialized node: launched, registered, initialized; given up in time, expired.

Source: kubernetes-sigs/karpenter pkg/controllers/nodeclaim/lifecycle/{launch,registration,initialization,liveness}.go,
nodeclaim/expiration/controller.go (1.14). What is launched, and what the provider does not deliver: `launch`.
"""

from __future__ import annotations

from msgspec.structs import replace

from harness.autoscaling.pool import POOL_LABEL
from harness.autoscaling.provisioning.launch import ALL_UNAVAILABLE, Launcher, NoAnswer, Refused
from harness.autoscaling.provisioning.provider import API_ERROR, MachineProvider
from harness.autoscaling.provisioning.state import LAUNCHED, ProvisioningState, startup_taints_of
from harness.autoscaling.provisioning.writes import Writes, update
from harness.engine.component import (
    MINUTE,
    SECOND,
    Delete,
    Effect,
    Observe,
    PatchStatus,
    StartMachine,
    StopMachine,
    WakeAt,
)
from harness.model.core import Node
from harness.model.karpenter import (
    INITIALIZED,
    NEVER,
    NODEPOOL,
    REGISTERED,
    TERMINATION,
    UNREGISTERED,
    NodeClaim,
    NodeClaimStatus,
)
from harness.model.meta import Condition, condition, with_condition
from harness.model.times import parse_duration
from harness.model.wire import Time

REGISTRATION_TIMEOUT_NS = 15 * MINUTE
"""Source: liveness.go registrationTimeout."""
LAUNCH_TIMEOUT_NS = 5 * MINUTE
"""A claim whose launches fail is given up. Source: liveness.go LaunchTimeout."""
FIRST_RETRY_NS, MOST_RETRY_NS = SECOND, MINUTE
"""Source: nodeclaim/lifecycle/controller.go, its rate limiter."""

PROVIDER = "podyard:///"

POD_EVENTS_NS = 10 * SECOND
"""Pods that come or go within it are one event. Source: nodeclaim/podevents/controller.go dedupeTimeout."""


class Lifecycle:
    """`machines`: those of the provider."""

    def __init__(self, state: ProvisioningState, writes: Writes, provider: MachineProvider, launcher: Launcher) -> None:
        self._state = state
        self._writes = writes
        self._launcher = launcher
        self.machines = provider.machines
        self._armed: dict[str, set[int]] = {}
        self._refused: set[str] = set()
        self._tries: dict[str, tuple[int, int]] = {}  # launches that failed: how many, when the next is due

    def forget(self, name: str) -> None:
        """The claim is gone."""
        self._armed.pop(name, None)
        self._refused.discard(name)
        self._tries.pop(name, None)

    def step(self, now: int, name: str, effects: list[Effect]) -> None:
        """What is next for a claim that is not being deleted. Level-triggered: called whenever anything changes."""
        claim = self._state.claims[name]
        if not claim.metadata.uid:
            return  # not heard of yet
        if self._expired(now, claim, effects):
            return
        launched = condition(claim.status.conditions, LAUNCHED)
        if launched is None or launched.status != "True":
            self._launch(now, claim, effects)
            return
        node = self._state.nodes.get(name)
        registered = condition(claim.status.conditions, "Registered")
        if node is None:
            if registered is not None and registered.status == "True":
                # Somebody deleted the node: its machine goes as well.
                self.delete(now, claim, effects)
            elif now - (launched.last_transition_time or 0) >= REGISTRATION_TIMEOUT_NS:
                self.delete(now, claim, effects)
            else:
                self._wake((launched.last_transition_time or 0) + REGISTRATION_TIMEOUT_NS, name, effects)
                self._launcher.order(now, claim, effects)
            return
        if node.metadata.labels.get(REGISTERED) != "true":
            self._register(now, node, claim, effects)
        elif registered is None or registered.status != "True":
            self._set_condition(now, claim, "Registered", effects)
        elif node.metadata.labels.get(INITIALIZED) != "true":
            self._initialize(now, node, claim, effects)
        elif (found := condition(claim.status.conditions, "Initialized")) is None or found.status != "True":
            self._set_condition(now, claim, "Initialized", effects)

    def start_machine(self, name: str, effects: list[Effect]) -> None:
        """It has booted, if it is still wanted."""
        claim = self._state.claims.get(name)
        if claim is None or self.machines.get(name) is not False:
            return
        node = self._state.expected_node(claim)
        assert node is not None, name
        self.machines[name] = True
        labels = {**node.metadata.labels, POOL_LABEL: claim.metadata.labels.get(NODEPOOL, "")}
        taints = (*claim.spec.taints, *claim.spec.startup_taints, UNREGISTERED)
        made = replace(node, metadata=replace(node.metadata, labels=labels), spec=replace(node.spec, taints=taints))
        effects.append(StartMachine(made))

    def stop_machine(self, claim: NodeClaim, effects: list[Effect]) -> None:
        name = claim.metadata.name
        if self.machines.pop(name, None) is not None or name in self._state.nodes:
            effects.append(StopMachine(name))
            effects.append(Observe("autoscaling", (claim.metadata.labels.get(NODEPOOL, ""), "down", 1)))

    def write_pod_events(self, now: int, effects: list[Effect]) -> None:
        """When a pod last came or went, for consolidateAfter. Source: nodeclaim/podevents/controller.go."""
        for name in list(self._state.pod_events):
            claim = self._state.claims.get(name)
            if claim is not None and not claim.metadata.uid:
                continue  # not heard of yet
            del self._state.pod_events[name]
            last = None if claim is None else claim.status.last_pod_event_time
            if claim is None or (last is not None and now - last < POD_EVENTS_NS):
                continue
            new = replace(claim, status=replace(claim.status, last_pod_event_time=Time(now)))
            self._writes.make(now, "pod event", claim, PatchStatus(new, claim, ("pod event", name)), effects)

    # -- within --------------------------------------------------------------------------------------------------------

    def _wake(self, at: int, name: str, effects: list[Effect]) -> None:
        armed = self._armed.setdefault(name, set())
        if at not in armed:
            armed.add(at)
            effects.append(WakeAt(at, ("claim", name)))

    def _expired(self, now: int, claim: NodeClaim, effects: list[Effect]) -> bool:
        """Source: expiration/controller.go: deleted at once, budgets or not."""
        after = claim.spec.expire_after
        if after is None or after == NEVER:
            return False
        at = (claim.metadata.creation_timestamp or 0) + parse_duration(after)
        if now < at:
            self._wake(at, claim.metadata.name, effects)
            return False
        self.delete(now, claim, effects)
        return True

    def delete(self, now: int, claim: NodeClaim, effects: list[Effect]) -> None:
        meta = claim.metadata
        effect = Delete("NodeClaim", "", meta.name, uid=meta.uid, token=("write", meta.name))
        self._writes.make(now, "delete", claim, effect, effects)

    def _launch(self, now: int, claim: NodeClaim, effects: list[Effect]) -> None:
        name = claim.metadata.name
        if name in self._refused:
            self.delete(now, claim, effects)
            return
        node = self._state.expected_node(claim)
        if node is None or TERMINATION not in claim.metadata.finalizers:
            chosen = claim if node is not None else self._launcher.choose(claim)
            if chosen is None:
                self._refuse(now, claim, ALL_UNAVAILABLE, effects)
                return
            meta = replace(chosen.metadata, finalizers=tuple(dict.fromkeys((*chosen.metadata.finalizers, TERMINATION))))
            self._writes.make(now, "launch", claim, update(replace(chosen, metadata=meta), name), effects)
            return
        if name not in self.machines:
            launched = self._try_launch(now, claim, effects)
            if launched is not claim:
                if launched is not None:  # another offering than was chosen
                    self._writes.make(now, "launch", claim, update(launched, name), effects)
                return
        status = replace(
            claim.status,
            provider_id=f"{PROVIDER}{name}",
            capacity=node.status.capacity,
            allocatable=node.status.allocatable,
        )
        self._patch(now, claim, status, LAUNCHED, effects)

    def _try_launch(self, now: int, claim: NodeClaim, effects: list[Effect]) -> NodeClaim | None:
        """As it was launched; None where it was not. An API that fails is asked again, for five minutes."""
        name = claim.metadata.name
        count, due = self._tries.get(name, (0, now))
        if now < due:
            return None
        if count and now - (claim.metadata.creation_timestamp or 0) >= LAUNCH_TIMEOUT_NS:
            self.delete(now, claim, effects)
            return None
        try:
            return self._launcher.launch(now, claim, effects)
        except Refused as refused:
            self._refuse(now, claim, str(refused), effects)
        except NoAnswer:
            wait = min(FIRST_RETRY_NS << min(count, 10), MOST_RETRY_NS)
            self._tries[name] = (count + 1, now + wait)
            self._wake(now + wait, name, effects)
            reason, message = API_ERROR
            unknown = Condition(
                type=LAUNCHED, status="Unknown", reason=reason, message=message, last_transition_time=Time(now)
            )
            status = replace(claim.status, conditions=with_condition(claim.status.conditions, unknown))
            new = replace(claim, status=status)
            if not count:
                self._writes.make(now, "fail", claim, PatchStatus(new, claim, ("write", name)), effects)
        return None

    def _refuse(self, now: int, claim: NodeClaim, why: str, effects: list[Effect]) -> None:
        """The claim goes, and its pods ask again. Source: launch.go, IsInsufficientCapacityError."""
        self._refused.add(claim.metadata.name)
        self._launcher.record_refusal(claim, why, effects)
        self.delete(now, claim, effects)

    def _register(self, now: int, node: Node, claim: NodeClaim, effects: list[Effect]) -> None:
        """Source: registration.go syncNode."""
        meta, spec = node.metadata, node.spec
        labels = {**meta.labels, **claim.metadata.labels, REGISTERED: "true"}
        kept = [taint for taint in spec.taints if (taint.key, taint.effect) != (UNREGISTERED.key, UNREGISTERED.effect)]
        there = {(taint.key, taint.effect) for taint in kept}
        wanted = (*claim.spec.taints, *claim.spec.startup_taints)
        kept += [taint for taint in wanted if (taint.key, taint.effect) not in there]
        annotations = {**meta.annotations, **claim.metadata.annotations}
        finalizers = tuple(dict.fromkeys((*meta.finalizers, TERMINATION)))  # so that it is drained, whoever deletes it
        new_meta = replace(meta, labels=labels, annotations=annotations, finalizers=finalizers)
        new = replace(node, metadata=new_meta, spec=replace(spec, taints=tuple(kept)))
        self._writes.make(now, "register", node, update(new, meta.name), effects)

    def _initialize(self, now: int, node: Node, claim: NodeClaim, effects: list[Effect]) -> None:
        """Source: initialization.go: Ready, startup and ephemeral taints gone, what was asked for is registered."""
        ready = condition(node.status.conditions, "Ready")
        if ready is None or ready.status != "True" or next(startup_taints_of(node, claim), None) is not None:
            return
        there = node.status.allocatable
        if any(q.milli and name not in there for name, q in claim.spec.resources.requests.items()):
            return
        labels = {**node.metadata.labels, INITIALIZED: "true"}
        new = replace(node, metadata=replace(node.metadata, labels=labels))
        self._writes.make(now, "initialize", node, update(new, node.metadata.name), effects)

    def _set_condition(self, now: int, claim: NodeClaim, kind: str, effects: list[Effect]) -> None:
        self._patch(now, claim, replace(claim.status, node_name=claim.metadata.name), kind, effects)

    def _patch(
        self, now: int, claim: NodeClaim, status: NodeClaimStatus, kind: str, effects: list[Effect]
    ) -> None:  # fmt: skip
        conditions = with_condition(status.conditions, _true(kind, now))
        if kind == "Initialized":
            conditions = with_condition(conditions, _true("Ready", now))
        new = replace(claim, status=replace(status, conditions=conditions))
        self._writes.make(now, kind, claim, PatchStatus(new, claim, ("write", claim.metadata.name)), effects)


def _true(kind: str, now: int) -> Condition:
    return Condition(type=kind, status="True", reason=kind, last_transition_time=Time(now))
