"""The DaemonSet controller: one pod on each node that should have one, and the status that says so.

Source: pkg/controller/daemon/daemon_controller.go, update.go, util/daemonset_util.go (1.32). A pod is bound to its node
by affinity and goes through the scheduler like any other. Pods of nobody that it selects are adopted, those that it
selects no longer are let go. Not modelled: surge updates (refused by validation).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from harness.controllers.runtime.controller_refs import Orphans, adopted, released
from harness.controllers.runtime.int_or_percent import scaled
from harness.controllers.runtime.pod_control import Managing, PodControl
from harness.controllers.runtime.pods import controller_of, owner_reference, ready_since
from harness.controllers.runtime.revisions import RevisionHistory
from harness.controllers.runtime.template_hash import template_hash
from harness.engine.component import SECOND, Create, Delete, Instant, Outcome, Subscribe, Update
from harness.model.core import (
    NAME_FIELD,
    Affinity,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodSpec,
    PodTemplateSpec,
    Taint,
)
from harness.model.daemon_sets import target_of, with_tolerations
from harness.model.meta import ObjectMeta
from harness.model.workloads import ControllerRevision, DaemonSet, DaemonSetStatus
from harness.scheduling.state.node_selectors import required_node_affinity

BURST = 250
"""Pods created in one reconciliation at most. Source: daemon.BurstReplicas."""

HASH = "controller-revision-hash"
"""Pod label. Source: apps/v1 DefaultDaemonSetUniqueLabelKey."""

_TERMINAL = ("Succeeded", "Failed")


class _Pods:
    """Pods of each DaemonSet, by its uid and by node, and those of nobody, which it may adopt."""

    def __init__(self) -> None:
        self.orphans = Orphans()
        self._by_node: dict[str, dict[str, dict[str, Pod]]] = {}  # uid -> node -> key -> pod; '' where none is named

    def of(self, uid: str) -> dict[str, dict[str, Pod]]:
        return self._by_node.get(uid, {})

    def changed(self, old: Pod | None, new: Pod | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(uids of the sets whose pod it was and is, keys of those that may adopt it, if that is news)."""
        was = None if old is None else controller_of(old, "DaemonSet")
        is_now = None if new is None else controller_of(new, "DaemonSet")
        if old is not None and was is not None:
            self._put(old, was.uid, None)
        if new is not None and is_now is not None:
            self._put(new, is_now.uid, new)
        uids = tuple(dict.fromkeys(owner.uid for owner in (was, is_now) if owner is not None))
        return uids, self._orphan_changed(old, new)

    def _put(self, pod: Pod, uid: str, kept: Pod | None) -> None:
        by_node = self._by_node.setdefault(uid, {})
        node = target_of(pod)
        held = by_node.setdefault(node, {})
        if kept is not None:
            held[pod.metadata.key] = kept
            return
        held.pop(pod.metadata.key, None)
        if not held:
            del by_node[node]
            if not by_node:
                del self._by_node[uid]

    def _orphan_changed(self, old: Pod | None, new: Pod | None) -> tuple[str, ...]:
        was = old if old is not None and old.metadata.controller() is None else None
        is_now = new if new is not None and new.metadata.controller() is None else None
        if is_now is not None and is_now.metadata.deletion_timestamp is None:
            return self.orphans.put(is_now.metadata.key, was, is_now)
        if was is not None:
            self.orphans.drop(was.metadata.key, was)
        return ()


class DaemonSetController(PodControl):
    """Keys are 'namespace/name' of DaemonSets. Nodes and pods are watched from when there is a DaemonSet."""

    def __init__(self, name: str = "daemonset-controller") -> None:
        super().__init__(
            name,
            "DaemonSet",
            {
                "DaemonSet": self._daemon_set_changed,
                "ControllerRevision": self._revision_changed,
                "Pod": self._pod_changed,
                "Node": self._node_changed,
            },
        )
        self.watches = ("DaemonSet",)
        self._subscribed = False
        self._keys: dict[str, str] = {}  # uid -> key
        self._pods = _Pods()
        self._failures_on: dict[tuple[str, str], tuple[int, Instant]] = {}  # (uid, node) -> (failed pods, when last)
        self._history = RevisionHistory()

    def forget_all(self) -> None:
        super().forget_all()
        self._subscribed = False
        self._keys.clear()
        self._pods = _Pods()
        self._failures_on.clear()
        self._history = RevisionHistory()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _daemon_set_changed(self, old: DaemonSet | None, new: DaemonSet | None) -> None:
        if new is None:
            assert old is not None
            uid = old.metadata.uid
            del self._keys[uid]
            self.expected.forget(uid)
            self._history.not_marked(uid)
            self._pods.orphans.adopter(old.metadata.key, old.metadata.namespace, None)
            return
        if not self._subscribed:
            self._subscribed = True
            self._effects.append(Subscribe(("ControllerRevision", "Pod", "Node")))
        self._keys[new.metadata.uid] = new.metadata.key
        self._pods.orphans.adopter(new.metadata.key, new.metadata.namespace, new.spec.selector)
        self.queue.add(new.metadata.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        owner = controller_of(pod, "DaemonSet")
        if owner is not None:
            key = f"{pod.metadata.namespace}/{pod.metadata.name}"
            if new is None or new.metadata.deletion_timestamp is not None:
                self.expected.deleted(owner.uid, key)
            elif old is None:
                self.expected.created(owner.uid)
        owners, adopters = self._pods.changed(old, new)
        for uid in owners:
            if uid in self._keys:
                self.queue.add(self._keys[uid])
        for adopter in adopters:
            self.queue.add(adopter)

    def _revision_changed(self, old: ControllerRevision | None, new: ControllerRevision | None) -> None:
        if (key := self._keys.get(self._history.changed(old, new))) is not None:
            self.queue.add(key)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is not None and new is not None and old.metadata.labels == new.metadata.labels:
            was, now = old.spec, new.spec
            if was.taints == now.taints and was.unschedulable == now.unschedulable:
                return  # a heartbeat
        for key in self._keys.values():
            self.queue.add(key)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        daemon_set: DaemonSet | None = self.informer.get("DaemonSet", key)
        if daemon_set is None:
            return
        meta = daemon_set.metadata
        if meta.deletion_timestamp is not None:
            return  # its status is left alone, too. Source: daemon_controller.go syncDaemonSet (1.32)
        if self._mark_revision(key, daemon_set) or self._claim(key, daemon_set):
            return
        if self.expected.satisfied(meta.uid, now):
            needed, going = self._manage(now, key, daemon_set)
            if going:
                self.delete_pods(now, key, meta.uid, going)
                return
            if needed:
                self._create(now, key, daemon_set, needed[:BURST])
                return
            if daemon_set.spec.update_strategy.type == "RollingUpdate":
                old = self._outdated(now, daemon_set)
                if old:
                    self.delete_pods(now, key, meta.uid, old)
                    return
        else:
            until = self.expected.until(meta.uid)
            if until is not None:
                self.queue.add_at(key, until)
        self.conclude(now, key, None)

    def _claim(self, key: str, daemon_set: DaemonSet) -> bool:
        """Pods that are not selected any more are let go, those of nobody that are selected are adopted.

        Source: daemon_controller.go getDaemonPods, controller_ref_manager.go ClaimObject.
        """
        meta, selector = daemon_set.metadata, daemon_set.spec.selector
        claimed = False
        for pods in self._pods.of(meta.uid).values():
            for pod in pods.values():
                if pod.metadata.deletion_timestamp is None and not selector.matches(pod.metadata.labels):
                    self.write(key, Update(released(pod, meta.uid), "", key))
                    claimed = True
        owner = owner_reference(daemon_set, "apps/v1", "DaemonSet")
        for orphan in self._pods.orphans.selected(meta.namespace, selector):
            self.write(key, Update(adopted(orphan, owner), "", key))
            claimed = True
        return claimed

    def _mark_revision(self, key: str, daemon_set: DaemonSet) -> bool:
        """The template as it is has the newest revision, or is about to. Source: constructHistory."""
        meta = daemon_set.metadata
        if self._history.is_marking(meta.uid):
            return True
        effect = self._history.mark(daemon_set, HASH, key, self.informer.objects("ControllerRevision"))
        if effect is not None:
            self.write(key, effect)
            return True
        pods = (pod for on_node in self._pods.of(meta.uid).values() for pod in on_node.values())
        for gone in self._history.unused(daemon_set, (pod.metadata.labels.get(HASH, "") for pod in pods)):
            self.write(key, Delete("ControllerRevision", gone.namespace, gone.name, gone.uid, token=key))
        return False

    def succeeded(self, key: str, outcome: Outcome) -> None:
        if not isinstance(outcome.obj, ControllerRevision):
            super().succeeded(key, outcome)

    def failed(self, key: str, outcome: Outcome) -> bool:
        effect = outcome.effect
        if not isinstance(effect, Create | Update) or not isinstance(effect.obj, ControllerRevision):
            return super().failed(key, outcome)
        daemon_set = self.informer.get("DaemonSet", key)
        if daemon_set is not None:
            self._history.not_marked(daemon_set.metadata.uid)
        return True

    def _manage(self, now: Instant, key: str, daemon_set: DaemonSet) -> tuple[list[str], list[Pod]]:
        """(nodes that need a pod, pods that must go). Source: manage, podsShouldBeOnNode."""
        uid = daemon_set.metadata.uid
        by_node = self._pods.of(uid)
        needed: list[str] = []
        going: list[Pod] = []
        nodes = self.informer.objects("Node")
        fit = NodesForTemplate(daemon_set.spec.template)
        for name, node in nodes.items():
            pods = by_node.get(name)
            run, stay = fit.on(node)
            if not pods:
                if run:
                    needed.append(name)
                continue
            if not stay:
                going += [pod for pod in pods.values() if pod.metadata.deletion_timestamp is None]
                continue
            live: list[Pod] = []
            for pod in pods.values():
                if pod.metadata.deletion_timestamp is not None:
                    continue
                if pod.status.phase in _TERMINAL:
                    if self._backed_off(now, key, daemon_set, name, pod):
                        going.append(pod)
                else:
                    live.append(pod)
            if len(live) > 1:
                live.sort(key=_first_to_stay)
                going += live[1:]
        for name, pods in by_node.items():  # whose node is gone before they were bound to it
            if name not in nodes:
                going += [p for p in pods.values() if not p.spec.node_name and p.metadata.deletion_timestamp is None]
        return needed, going

    def _backed_off(self, now: Instant, key: str, daemon_set: DaemonSet, node: str, pod: Pod) -> bool:
        """Whether a failed pod may go now, so that another takes its place."""
        at = (daemon_set.metadata.uid, node)
        failures, last = self._failures_on.get(at, (0, 0))
        first_ns, most_ns = (
            self.constants.daemon_failed_pods_backoff_ns,
            self.constants.daemon_max_failed_pods_backoff_ns,
        )
        wait = min(first_ns << min(failures, 40), most_ns)
        if failures and now < last + wait:
            self.queue.add_at(key, last + wait)
            return False
        if failures and now > last + 2 * most_ns:
            failures = 0
        self._failures_on[at] = (failures + 1, now)
        ended = pod.status.phase.lower()
        message = f"Found {ended} daemon pod {pod.metadata.key} on node {node}, will try to kill it"
        self.record(daemon_set, "Warning" if ended == "failed" else "Normal", f"{ended.title()}DaemonPod", message)
        return True

    def _create(self, now: Instant, key: str, daemon_set: DaemonSet, nodes: Iterable[str]) -> None:
        meta, template = daemon_set.metadata, daemon_set.spec.template
        labels = {**template.metadata.labels, HASH: template_hash(template, 0)}
        base = with_tolerations(template.spec)
        owners = (owner_reference(daemon_set, "apps/v1", "DaemonSet"),)
        pod_meta = ObjectMeta(
            namespace=meta.namespace,
            generate_name=f"{meta.name}-",
            labels=labels,
            annotations=template.metadata.annotations,
            owner_references=owners,
            finalizers=template.metadata.finalizers,
        )
        creations = [Create(Pod(metadata=pod_meta, spec=on_node(base, name)), key) for name in nodes]
        self.create_pods(now, key, meta.uid, creations)

    def _outdated(self, now: Instant, daemon_set: DaemonSet) -> list[Pod]:
        """Pods of an older template whose turn it is. Source: rollingUpdate, without surge."""
        rolling = daemon_set.spec.update_strategy.rolling_update
        fit = NodesForTemplate(daemon_set.spec.template)
        current = template_hash(daemon_set.spec.template, 0)
        min_ready_ns = (daemon_set.spec.min_ready_seconds or 0) * SECOND
        desired = unavailable = 0
        at_once: list[Pod] = []
        candidates: list[Pod] = []
        by_node = self._pods.of(daemon_set.metadata.uid)
        for name, node in self.informer.objects("Node").items():
            if not fit.on(node)[0]:
                continue
            desired += 1
            live = [pod for pod in by_node.get(name, {}).values() if pod.metadata.deletion_timestamp is None]
            available = any(_available(pod, min_ready_ns, now) for pod in live)
            unavailable += not available
            for pod in live:
                if pod.metadata.labels.get(HASH) != current:
                    (candidates if available else at_once).append(pod)
        most = scaled(None if rolling is None else rolling.max_unavailable, desired, up=True)
        return at_once + candidates[: max(most - unavailable, 0)]

    def conclude(self, now: Instant, key: str, managed: Managing | None) -> bool:
        """Source: updateDaemonSetStatus."""
        daemon_set: DaemonSet = self.informer.get("DaemonSet", key)
        meta, spec, old = daemon_set.metadata, daemon_set.spec, daemon_set.status
        fit = NodesForTemplate(spec.template)
        current = template_hash(spec.template, 0)
        min_ready_ns = (spec.min_ready_seconds or 0) * SECOND
        by_node = self._pods.of(meta.uid)
        desired = scheduled = misscheduled = ready = available = updated = 0
        for name, node in self.informer.objects("Node").items():
            pods = by_node.get(name)
            if not fit.on(node)[0]:
                misscheduled += bool(pods)
                continue
            desired += 1
            if not pods:
                continue
            scheduled += 1
            oldest = min(pods.values(), key=lambda p: (ready_since(p) is None, p.metadata.creation_timestamp or 0))
            since = ready_since(oldest)
            if since is not None:
                ready += 1
                if _available(oldest, min_ready_ns, now):
                    available += 1
                else:
                    self.queue.add_at(key, since + min_ready_ns)
            updated += oldest.metadata.labels.get(HASH) == current
        status = DaemonSetStatus(
            desired_number_scheduled=desired,
            current_number_scheduled=scheduled,
            number_misscheduled=misscheduled,
            number_ready=ready,
            updated_number_scheduled=updated or None,
            number_available=available or None,
            number_unavailable=(desired - available) or None,
            observed_generation=meta.generation,
            conditions=old.conditions,
            extra=old.extra,
        )
        if status == old:
            return False
        self.write(key, Update(replace(daemon_set, status=status), "status", key))
        return True


class NodesForTemplate:
    """Where pods of a template belong; nodes that are alike are looked at once."""

    def __init__(self, template: PodTemplateSpec) -> None:
        spec = template.spec
        self._name = spec.node_name
        self._affinity = required_node_affinity(spec)
        self._tolerations = with_tolerations(spec).tolerations
        self._taints: dict[tuple[Taint, ...], tuple[bool, bool]] = {}

    def on(self, node: Node) -> tuple[bool, bool]:
        """(a pod should be started there, one that runs there may stay). Source: NodeShouldRunDaemonPod."""
        name = node.metadata.name
        if self._name and self._name != name:
            return False, False
        if self._affinity is not None and not self._affinity.holds_on(name, node.metadata.labels):
            return False, False
        taints = node.spec.taints
        if not taints:
            return True, True
        known = self._taints.get(taints)
        if known is None:
            left = [t for t in taints if not any(toleration.tolerates(t) for toleration in self._tolerations)]
            stay = all(taint.effect != "NoExecute" for taint in left)
            known = self._taints[taints] = (stay and all(t.effect != "NoSchedule" for t in left), stay)
        return known


def on_node(spec: PodSpec, node: str) -> PodSpec:
    """`spec` held to one node. Source: util.ReplaceDaemonSetPodNodeNameNodeAffinity."""
    only = NodeSelectorRequirement(key=NAME_FIELD, operator="In", values=(node,))
    affinity = spec.affinity or Affinity()
    of_nodes = affinity.node_affinity or NodeAffinity()
    required = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(only,)),))
    of_nodes = replace(of_nodes, required_during_scheduling_ignored_during_execution=required)
    return replace(spec, affinity=replace(affinity, node_affinity=of_nodes))


def _first_to_stay(pod: Pod) -> tuple[bool, int, str]:
    """Source: podByCreationTimestampAndPhase."""
    return not pod.spec.node_name, pod.metadata.creation_timestamp or 0, pod.metadata.name


def _available(pod: Pod, min_ready_ns: int, now: Instant) -> bool:
    since = ready_since(pod)
    return since is not None and since + min_ready_ns <= now
