"""Just-in-time nodes, Karpenter's way: the component that reads NodePools and makes, merges and removes nodes.

Source: kubernetes-sigs/karpenter 1.14 (2266468); the files beside this one name theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from harness.autoscaling.pool import NodePool as NodeGroup
from harness.autoscaling.provisioning.catalogue import Catalogue, shipped_catalogue
from harness.autoscaling.provisioning.disruption.controller import Disruption
from harness.autoscaling.provisioning.launch import Launcher
from harness.autoscaling.provisioning.lifecycle import Lifecycle
from harness.autoscaling.provisioning.provider import MachineProvider
from harness.autoscaling.provisioning.provisioner import NO_TYPES, Provisioner
from harness.autoscaling.provisioning.settings import ProvisioningSettings, parse_settings
from harness.autoscaling.provisioning.state import ProvisioningState, is_provisionable
from harness.autoscaling.provisioning.termination import Termination
from harness.autoscaling.provisioning.writes import AGAIN_NS, Writes
from harness.autoscaling.spells import Spells
from harness.engine.component import (
    DELETED,
    SECOND,
    Create,
    DisturbProvider,
    Effect,
    Event,
    Instant,
    Outcome,
    ReclaimMachine,
    Relist,
    Start,
    Subscribe,
    Timer,
    WakeAt,
    Watch,
)
from harness.model.core import Node, Pod
from harness.model.karpenter import CAPACITY_TYPE, INSTANCE_TYPE, NODEPOOL, ZONE, NodeClaim, NodePool
from harness.scheduling.cycle.volume_binder import WATCHES as VOLUMES
from harness.scheduling.filter_plugin import FilterPlugin

MOST_SAID = 5
"""Of offerings that are not available, so many are named."""


class JustInTime:
    """Karpenter on NodePools; its settings are parameters: `?batch-idle-duration=1s&provisioning=40s`."""

    stands_alone = True
    """It needs no node groups: its NodePools are objects."""

    def __init__(self, **settings: Any) -> None:
        """Raises UserError for a setting that is unknown, malformed or not modelled."""
        self._settings = parse_settings(settings)

    def component(self, pools: tuple[NodeGroup, ...], rng: Random) -> JustInTimeNodes:
        return JustInTimeNodes(rng, self._settings)


class JustInTimeNodes:
    """`rng`: of names, provisioning times, and of which of equally cheap offerings is delivered. `catalogue`: what the
    provider offers, set by whoever puts the cluster together."""

    name = "just-in-time"
    handled_failures = 0
    period_ns = Disruption.period_ns
    phase_ns = 0
    orders_machines = True  # what happens to the provider happens to it
    watches = ("Node", "Pod", "NodeClaim", "NodePool", "DaemonSet", "PodDisruptionBudget")

    def __init__(
        self, rng: Random, settings: ProvisioningSettings | None = None, catalogue: Catalogue | None = None
    ) -> None:
        self._rng = rng
        self._settings = settings or ProvisioningSettings()
        self.catalogue = catalogue or shipped_catalogue()
        self._provider = MachineProvider()
        self._filters: Sequence[FilterPlugin] = ()
        self.stays: Spells | None = None  # of nodes, and why, for a record
        self._reset()

    def use_filter_plugins(self, plugins: Sequence[FilterPlugin]) -> None:
        """Those of the cluster: a node that they would reject helps nobody."""
        self._filters = plugins
        self._reset()

    def _reset(self) -> None:
        """A new process. What was launched is not forgotten: the provider knows."""
        self._state = ProvisioningState(self.catalogue, self._filters)
        self._writes = Writes()
        self._launcher = Launcher(self._state, self._provider, self._settings.provisioning, self._rng)
        self._lifecycle = Lifecycle(self._state, self._writes, self._provider, self._launcher)
        self._termination = Termination(self._state, self._writes, self._lifecycle)
        self._provisioner = Provisioner(self._state, self._launcher, self._settings, self._rng)
        self._disruption = Disruption(self._state, self._writes, self._provisioner, self._settings, self.phase_ns)
        self._watches_volumes = False

    def disturb_provider(self, now: Instant, what: DisturbProvider) -> None:
        """Whether the process of Karpenter runs or not."""
        self._provider.disturb(now, what)

    def reasons_against(self, pod: str) -> Mapping[str, tuple[str, ...]]:
        """Of a pending pod ('namespace/name') that the last batch found no place for: why, by NodePool."""
        why = self._provisioner.failed.get(pod)
        if why is None:
            return {}
        parts = self._provisioner.parts.get(why, {})
        if not parts and not self._state.pools:
            return {"nodepools": (why,)}
        known = {template.name for template in self._state.templates()}
        against = {name: (text,) for name, text in parts.items()}
        unavailable = self._unavailable()
        return against | {name: (NO_TYPES, *unavailable) for name in sorted(self._state.pools) if name not in known}

    def _unavailable(self) -> tuple[str, ...]:
        """Offerings that the provider had no machines of, and from when on they are asked for again."""
        offers = self._state.offers
        out = []
        for place, until in sorted(offers.withdrawn.items(), key=lambda item: (item[1], item[0]))[:MOST_SAID]:
            labels = offers.labels(*place)
            zone = f" in {labels[ZONE]}" if ZONE in labels else ""
            text = f"{labels[CAPACITY_TYPE]} {labels[INSTANCE_TYPE]}{zone}"
            out.append(f"no machines: {text}, not asked for again before {until / SECOND:g} s")
        return tuple(out)

    def reasons_to_stay(self) -> Mapping[str, str]:
        """For each node of a NodePool that the last look did not find disruptable, why."""
        return self._disruption.reasons

    def _note_stays(self, now: int, stays: Spells) -> None:
        claims = self._state.claims

        def pool_of(name: str) -> str:
            return claims[name].metadata.labels.get(NODEPOOL, "") if name in claims else ""

        stays.observe(now, self._disruption.reasons, pool_of)

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        touched: dict[str, None] = {}
        if self._state.offers.restore(now):
            self._state.offers_changed()
        for event in events:
            if type(event) is Watch:
                self._observe(now, event, touched, effects)
            elif type(event) is Timer:
                self._on_timer(now, event.token, touched, effects)
            elif type(event) is Relist:
                for gone in self._state.missing(event):
                    self._observe(now, Watch(DELETED, gone), touched, effects)
                for obj in event.objects:
                    self._observe(now, Watch("ADDED", obj), touched, effects)
            elif type(event) is Start:
                self._reset()
            elif type(event) is Outcome:
                self._on_outcome(now, event, touched, effects)
        for name in touched:
            self._step_claim(now, name, effects)
        if self._state.pod_events:
            self._lifecycle.write_pod_events(now, effects)
        if touched:
            self._disruption.carry_on(now, effects)
            self._disruption.arm(now, effects)
        if self._state.has_claims and not self._watches_volumes:
            self._watches_volumes = True
            effects.append(Subscribe(VOLUMES))
        return effects

    # -- events --------------------------------------------------------------------------------------------------------

    def _observe(self, now: int, event: Watch, touched: dict[str, None], effects: list[Effect]) -> None:
        state, obj, gone = self._state, event.obj, event.type == DELETED
        state.observe(event)
        match obj:
            case Pod():
                key = obj.metadata.key
                if key not in state.pending:
                    self._provisioner.forget(key)
                elif is_provisionable(obj):
                    self._provisioner.trigger(now, obj.metadata.uid, effects)
                if obj.spec.node_name in state.claims and state.is_going(obj.spec.node_name):
                    touched[obj.spec.node_name] = None
            case Node():
                touched[obj.metadata.name] = None
            case NodeClaim():
                touched[obj.metadata.name] = None
                if gone:
                    self._gone(now, obj, effects)
            case NodePool():
                if not gone:
                    self._provisioner.record_pool(now, obj, effects)
                touched.update(dict.fromkeys(self._state.claims))  # they may have drifted

    def _gone(self, now: int, claim: NodeClaim, effects: list[Effect]) -> None:
        name = claim.metadata.name
        self._lifecycle.stop_machine(claim, effects)
        for part in (self._lifecycle, self._termination, self._writes):
            part.forget(name)
        self._disruption.forget(claim)
        if self.stays is not None:
            self.stays.tell(now, name, "")

    def _on_timer(self, now: int, token: Any, touched: dict[str, None], effects: list[Effect]) -> None:
        match token:
            case ("batch", int(due)):
                self._provisioner.on_batch(now, due, effects)
            case ("again",):
                self._provisioner.on_again(now, effects)
            case ("machine", str(name)):
                self._lifecycle.start_machine(name, effects)
            case ("claim", str(name)):
                touched[name] = None
            case ReclaimMachine(name):
                claim = self._state.claims.get(name)
                if claim is not None:
                    self._launcher.reclaimed(now, claim)
            case ("disrupt", int(at)):
                self._disruption.on_timer(now, at, effects)
                if self.stays is not None:
                    self._note_stays(now, self.stays)
            case ("validate",):
                self._disruption.on_validation(now, effects)
            case ("command",):
                self._disruption.carry_on(now, effects)

    def _on_outcome(self, now: int, event: Outcome, touched: dict[str, None], effects: list[Effect]) -> None:
        """A claim that could not be made is forgotten, and its pods ask again; every other write is made again from
        what is then there."""
        effect, token = event.effect, event.token
        if event.error is None:
            return
        self.handled_failures += 1
        name = token[1] if isinstance(token, tuple) and len(token) > 1 else ""
        if isinstance(effect, Create) and isinstance(effect.obj, NodeClaim):
            self._state.put_claim(effect.obj, gone=True)
            effects.append(WakeAt(now + SECOND, ("again",)))
        elif token == ("pod event", name) and name in self._state.claims:
            self._state.pod_events[name] = None
            self._writes.failed(self._state.claims[name])
            effects.append(WakeAt(now + AGAIN_NS, ("claim", name)))
        elif isinstance(token, tuple) and token[0] == "write":
            for obj in (self._state.nodes.get(name), self._state.claims.get(name)):
                if obj is not None:
                    self._writes.failed(obj)
            effects.append(WakeAt(now + AGAIN_NS, ("claim", name)))

    def _step_claim(self, now: int, name: str, effects: list[Effect]) -> None:
        claim = self._state.claims.get(name)
        if claim is None:
            return
        if claim.metadata.deletion_timestamp is not None:
            if name in self._state.nodes:  # Source: provisioning/controller.go NodeController
                self._provisioner.trigger(now, name, effects)
            self._termination.step(now, name, effects)
            return
        if self._state.is_deleting(name):
            self._lifecycle.delete(now, claim, effects)  # somebody deletes its node. Source: termination/controller.go
        else:
            self._lifecycle.step(now, name, effects)
            self._disruption.step_claim(now, name, effects)
