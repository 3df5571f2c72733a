"""The disruption loop: empty nodes, drifted ones, several at once, one at a time; validated, begun, carried through.

Source: kubernetes-sigs/karpenter pkg/controllers/disruption/{controller,emptiness,drift,singlenodeconsolidation,queue,
validation}.go, events/events.go (1.14).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from harness.autoscaling.provisioning.disruption.budgets import remaining, within
from harness.autoscaling.provisioning.disruption.candidates import Candidate, Candidates
from harness.autoscaling.provisioning.disruption.consolidation import Command, Consolidation
from harness.autoscaling.provisioning.provisioner import Provisioner
from harness.autoscaling.provisioning.settings import ProvisioningSettings
from harness.autoscaling.provisioning.state import ProvisioningState
from harness.autoscaling.provisioning.writes import Writes, update
from harness.engine.component import MINUTE, SECOND, Delete, Effect, PatchStatus, Record, WakeAt, next_tick
from harness.model.core import Node
from harness.model.karpenter import DISRUPTED, DRIFTED, EMPTY, UNDERUTILIZED, NodeClaim
from harness.model.meta import Condition, condition, with_condition
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS, Time

POLL_NS = 10 * SECOND
VALIDATION_NS = 15 * SECOND
"""Source: controller.go pollingPeriod, consolidation.go commandValidationDelay."""
REFRESH_NS = 5 * MINUTE
"""So often consolidation looks again though nothing changed. Source: state/cluster.go ConsolidationState."""
MOST_WAIT_NS = 10 * MINUTE
"""A command whose replacements are not there by then is given up. Source: queue.go minRetryDuration."""
REPEAT_NS = 15 * MINUTE
"""The same Event about the same node is not told again within. Source: events.go DedupeTimeout."""

METHODS = ("empty", "drift", "multi", "single")
_REASONS = {"empty": EMPTY, "drift": DRIFTED, "multi": UNDERUTILIZED, "single": UNDERUTILIZED}


class Running(msgspec.Struct):
    """A command that was begun. `replacements`: names of claims."""

    names: tuple[str, ...]
    replacements: tuple[str, ...]
    reason: str
    since_ns: int
    told: bool = False  # that its nodes go


class Disruption:
    period_ns = POLL_NS

    def __init__(
        self,
        state: ProvisioningState,
        writes: Writes,
        provisioner: Provisioner,
        settings: ProvisioningSettings,
        phase_ns: int = 0,
    ) -> None:
        self.epoch_unix_ns = VIRTUAL_EPOCH_UNIX_NS
        self._state = state
        self._writes = writes
        self._provisioner = provisioner
        self._phase_ns = phase_ns
        self.candidates = Candidates(state)
        self._consolidation = Consolidation(state, provisioner, self.candidates, settings)
        self._methods: dict[str, Callable[[int, dict[str, int]], Command | None]] = {
            "empty": self._empty,
            "drift": self._drift,
            "multi": self._multi,
            "single": self._single,
        }
        self._armed_ns = -1
        self._validating: tuple[str, Command, int] | None = None  # method, command, when it is validated
        self._running: list[Running] = []
        self._settled: dict[str, tuple[int, tuple[int, ...], int]] = {}  # by method: as of when it found nothing
        self._constrained = False
        self._told: dict[str, tuple[str, int]] = {}
        self.reasons: dict[str, str] = {}

    # -- when ----------------------------------------------------------------------------------------------------------

    def arm(self, now: int, effects: list[Effect]) -> None:
        """Look at the next tick, if there is anything to look at."""
        if self._armed_ns < 0 and self._validating is None and self._state.claims:
            self._armed_ns = next_tick(now, POLL_NS, self._phase_ns)
            effects.append(WakeAt(self._armed_ns, ("disrupt", self._armed_ns)))

    def on_timer(self, now: int, at: int, effects: list[Effect]) -> None:
        if at == self._armed_ns:
            self._armed_ns = -1
            self._untaint(now, effects)
            self._look(now, METHODS, effects)
            self.arm(now, effects)

    def on_validation(self, now: int, effects: list[Effect]) -> None:
        if self._validating is None or self._validating[2] > now:
            return
        method, command, _ = self._validating
        self._validating = None
        valid = self._validated(now, method, command)
        if valid is not None:
            self._start(now, valid, effects)
            self._armed_ns = now + 1
            effects.append(WakeAt(self._armed_ns, ("disrupt", self._armed_ns)))
            return
        self._look(now, METHODS[METHODS.index(method) + 1 :], effects)
        self.arm(now, effects)

    # -- what ----------------------------------------------------------------------------------------------------------

    def _look(self, now: int, methods: tuple[str, ...], effects: list[Effect]) -> None:
        """The first method that finds something acts. Source: Reconcile."""
        for method in methods:
            if self._is_settled(now, method):
                continue
            self._constrained = False
            left = remaining(self._state, _REASONS[method], now, self.epoch_unix_ns)
            command = self._methods[method](now, left)
            if command is None:
                if not self._constrained:
                    self._settled[method] = (self._state.changes, self.candidates.signature(now), now)
                continue
            command = Command(command.candidates, command.replacements, _REASONS[method])
            if method == "drift":
                self._start(now, command, effects)
                self._armed_ns = now + 1
                effects.append(WakeAt(self._armed_ns, ("disrupt", self._armed_ns)))
            else:
                self._validating = (method, command, now + VALIDATION_NS)
                effects.append(WakeAt(now + VALIDATION_NS, ("validate",)))
            return
        for name, why in self.reasons.items():
            self._record_unconsolidatable(now, name, why, effects)

    def _is_settled(self, now: int, method: str) -> bool:
        known = self._settled.get(method)
        if known is None or now - known[2] >= REFRESH_NS:
            return False
        return known[:2] == (self._state.changes, self.candidates.signature(now))

    def _empty(self, now: int, left: dict[str, int]) -> Command | None:
        return self._together(self.candidates.empty(now), left)

    def _together(self, candidates: list[Candidate], left: dict[str, int]) -> Command | None:
        names, constrained = within([(item.name, item.pool_name) for item in candidates], left)
        self._constrained |= constrained
        chosen = tuple(item for item in candidates if item.name in names)
        return Command(chosen) if chosen else None

    def _drift(self, now: int, left: dict[str, int]) -> Command | None:
        """Empty ones first, then those that have drifted for longest."""
        found = [item for item in self.candidates.all(now, eventual=True) if self.candidates.drift(item.name)]
        for item in sorted(found, key=lambda item: (bool(item.pods), self._drifted_since(item.name, now), item.name)):
            if left.get(item.pool_name, 0) <= 0:
                self._constrained = True
                continue
            outcome = self._consolidation.simulate(now, [item], cautious=False)
            if outcome.why:
                self.reasons[item.name] = outcome.why
                continue
            return Command((item,), outcome.new)
        return None

    def _multi(self, now: int, left: dict[str, int]) -> Command | None:
        candidates = self.candidates.consolidatable(now)
        names, constrained = within([(item.name, item.pool_name) for item in candidates], left)
        self._constrained |= constrained
        return self._consolidation.multi(now, [item for item in candidates if item.name in names])

    def _single(self, now: int, left: dict[str, int]) -> Command | None:
        self.reasons = {}
        by_pool: dict[str, list[Candidate]] = {}
        for item in self.candidates.consolidatable(now):
            by_pool.setdefault(item.pool_name, []).append(item)
        self.reasons.update(self.candidates.reasons)
        longest = max(map(len, by_pool.values()), default=0)
        turns = [by_pool[pool][at] for at in range(longest) for pool in sorted(by_pool) if at < len(by_pool[pool])]
        for item in turns:
            if left.get(item.pool_name, 0) <= 0:
                self._constrained = True
                self.reasons[item.name] = "No allowed disruptions due to blocking budget"
                continue
            found = self._consolidation.compute(now, [item])
            if isinstance(found, Command):
                return found
            self.reasons[item.name] = found
        return None

    def _validated(self, now: int, method: str, command: Command) -> Command | None:
        """The command, of empty nodes those of its nodes for which it still holds. Source: validation.go."""
        found = self.candidates.empty(now) if method == "empty" else self.candidates.consolidatable(now)
        known = {item.name: item for item in found}
        there = [known[name] for name in command.names if name in known]
        left = remaining(self._state, command.reason, now, self.epoch_unix_ns)
        names, _ = within([(item.name, item.pool_name) for item in there], left)
        if method == "empty":
            chosen = tuple(item for item in there if item.name in names)
            return Command(chosen, (), command.reason) if chosen else None
        if len(names) != len(command.names):
            return None
        again = Command(tuple(there), command.replacements, command.reason)
        return again if self._consolidation.still_valid(now, again) else None

    # -- commands ------------------------------------------------------------------------------------------------------

    def _start(self, now: int, command: Command, effects: list[Effect]) -> None:
        """The nodes take no more pods, and their replacements are made. Source: queue.go StartCommand."""
        made = [(self._provisioner.claim_of(virtual), virtual) for virtual in command.replacements]
        names = tuple(self._provisioner.create(now, claim, virtual.pods, effects) for claim, virtual in made)
        for name in command.names:
            self._state.mark(name)
            self._taint(now, self._state.nodes[name], effects)
            self._provisioner.trigger(now, name, effects)
        running = Running(command.names, names, command.reason, now)
        self._running.append(running)
        effects.append(WakeAt(now + MOST_WAIT_NS + 1, ("command",)))
        self.carry_on(now, effects)

    def carry_on(self, now: int, effects: list[Effect]) -> None:
        """Nodes go when their replacements are initialized. Source: waitOrTerminate."""
        for running in list(self._running):
            state = self._state
            lost = [name for name in running.replacements if name not in state.claims]
            if lost or now - running.since_ns > MOST_WAIT_NS:
                self._running.remove(running)
                for name in running.names:
                    state.unmark(name)
                self._untaint(now, effects)
            elif all(state.is_initialized(name) for name in running.replacements):
                left = [name for name in running.names if self._delete(now, name, running, effects)]
                running.told = True
                if not left:
                    self._running.remove(running)

    def _delete(self, now: int, name: str, running: Running, effects: list[Effect]) -> bool:
        """Whether its claim is still to be deleted: what is asked of an API server that is away is asked again."""
        claim, node = self._state.claims.get(name), self._state.nodes.get(name)
        if claim is None or claim.metadata.deletion_timestamp is not None:
            return False
        if node is not None and not running.told:
            text = f"Disrupting Node: {running.reason}"
            effects.append(Record(node, "Normal", "DisruptionTerminating", text))
        effect = Delete("NodeClaim", "", name, uid=claim.metadata.uid, token=("write", name))
        self._writes.make(now, "delete", claim, effect, effects)
        return True

    def _taint(self, now: int, node: Node, effects: list[Effect]) -> None:
        if not _is_tainted(node):
            new = replace(node, spec=replace(node.spec, taints=(*node.spec.taints, DISRUPTED)))
            self._writes.make(now, "disrupt", node, update(new, node.metadata.name), effects)

    def _untaint(self, now: int, effects: list[Effect]) -> None:
        """Taints of nodes that are not going (any more). Level-triggered. Source: RequireNoScheduleTaint."""
        for name in self._state.claims:
            node = self._state.nodes.get(name)
            if node is None or self._state.is_going(name) or not _is_tainted(node):
                continue
            kept = tuple(taint for taint in node.spec.taints if taint.key != DISRUPTED.key)
            new = replace(node, spec=replace(node.spec, taints=kept))
            self._writes.make(now, "undisrupt", node, update(new, name), effects)

    def step_claim(self, now: int, name: str, effects: list[Effect]) -> None:
        """A claim or its node changed: whether it has drifted is told in its status."""
        claim = self._state.claims.get(name)
        if claim is None or not claim.metadata.uid or self._state.is_going(name):
            return
        node = self._state.nodes.get(name)
        if node is not None and name in self._state.marked and not _is_tainted(node):
            self._taint(now, node, effects)
        found = condition(claim.status.conditions, "Drifted")
        launched = condition(claim.status.conditions, "Launched")
        why = self.candidates.drift(name) if launched is not None else ""
        if (found is not None) == bool(why):
            return
        others = tuple(item for item in claim.status.conditions if item.type != "Drifted")
        said = Condition(type="Drifted", status="True" if why else "False", reason=why, last_transition_time=Time(now))
        if found is not None and found.status == said.status:
            return
        status = replace(claim.status, conditions=with_condition(others, said))
        self._writes.make(
            now, "drift", claim, PatchStatus(replace(claim, status=status), claim, ("write", name)), effects
        )  # fmt: skip

    def _drifted_since(self, name: str, now: int) -> int:
        found = condition(self._state.claims[name].status.conditions, "Drifted")
        return now if found is None else found.last_transition_time or now

    def _record_unconsolidatable(self, now: int, name: str, why: str, effects: list[Effect]) -> None:
        """Why a node stays, about the node."""
        node = self._state.nodes.get(name)
        last = self._told.get(name)
        if node is None or (last is not None and last[0] == why and now - last[1] < REPEAT_NS):
            return
        self._told[name] = (why, now)
        effects.append(Record(node, "Normal", "Unconsolidatable", why[:1].upper() + why[1:]))

    def forget(self, claim: NodeClaim) -> None:
        """The claim is gone."""
        name = claim.metadata.name
        self._told.pop(name, None)
        self.reasons.pop(name, None)
        self._state.unmark(name)


def _is_tainted(node: Node) -> bool:
    return any((taint.key, taint.effect) == (DISRUPTED.key, DISRUPTED.effect) for taint in node.spec.taints)
