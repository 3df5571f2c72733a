"""A cluster from manifests, as `kubectl get -o json` writes them: the snapshot, who waits, and verdicts on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from harness.apiserver.admission.priority import SYSTEM_PRIORITIES
from harness.apiserver.kinds import defaulted
from harness.experiment.manifests import Notices, kinds_of_runs, read_checked_manifests
from harness.experiment.scheduler_notes import Resumed, resumable
from harness.explain.explain import Explanation, explained
from harness.explain.preemption import PreemptionAnswer, PreemptionDryRun
from harness.explain.recorded_decision import Case, ask
from harness.model.core import Node, Pod, PodStatus
from harness.model.cron_jobs import pod_template
from harness.model.errors import UserError, did_you_mean
from harness.model.objects import KINDS, PodDisruptionBudget, PriorityClass, kind_of
from harness.model.workloads import PodGroup
from harness.scheduling.cycle import watched_objects
from harness.scheduling.feasibility.fit_error import Diagnosis, diagnose, left_out_by, reasons_on_node, run_pre_filters
from harness.scheduling.feasibility.legality import Refused, apply
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filter_plugin import FilterPlugin
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.pods.pod_classes import GROUP_LABEL, PodClasses
from harness.scheduling.pods.requests import bound_devices
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind, BindTogether, PodView, Strategy
from workloads.readers.manifests import Manifest

DEFAULT_SCHEDULER = "default-scheduler"
"""schedulerName that the API server gives a pod without one, and that of a strategy which names none."""


NO_PART = {
    "HorizontalPodAutoscaler": "no replicas change",
    "VerticalPodAutoscaler": "requests stay as the pods have them",
    "LimitRange": "requests stay as the pods have them",
    "ResourceQuota": "pods that wait have passed admission",
    "NodePool": "no node is made",
}
"""Kinds that no verdict goes by, and what that means."""


def _set_aside(objects: Iterable[Any]) -> list[str]:
    """Those of kinds that no verdict goes by, in words."""
    found: dict[str, list[str]] = {}
    for obj in objects:
        found.setdefault(kind_of(obj), []).append(obj.metadata.key)
    return [
        f"{kind} {', '.join(sorted(found[kind]))}: no verdict goes by it, {why}"
        for kind, why in NO_PART.items()
        if kind in found
    ]


@dataclass(frozen=True, slots=True)
class OnNode:
    """`plugin` and `reasons`: the first constraint that does not hold, in kube-scheduler's order; "" where all do.

    `scores`: each scorer's weighted part, empty where the strategy tells none or the pod does not fit.
    """

    node: str
    plugin: str
    reasons: tuple[str, ...]
    scores: dict[str, float]
    resolvable: bool = False  # evictions on the node may help

    def to_data(self) -> dict[str, Any]:
        if self.plugin:
            return {
                "node": self.node,
                "feasible": False,
                "plugin": self.plugin,
                "code": "Unschedulable" if self.resolvable else "UnschedulableAndUnresolvable",
                "reasons": list(self.reasons),
            }
        told = {"scores": self.scores, "score": sum(self.scores.values())} if self.scores else {}
        return {"node": self.node, "feasible": True, **told}


@dataclass(frozen=True, slots=True)
class Judged:
    """What the strategy says of one pod. `skipped`: why it is not looked at, '' where it is.

    `pre_filter`: (plugin, reason) that keeps it from being held against any node. `nominated`: the node of its
    status.nominatedNodeName, where that takes it. `preemption`: who would go for it, where it fits nowhere.
    """

    pod: str
    skipped: str
    explanation: Explanation | None
    nodes: tuple[OnNode, ...]
    pre_filter: tuple[str, str] | None = None
    nominated: str = ""
    preemption: PreemptionAnswer | None = None
    gates: tuple[str, ...] = ()  # scheduling gates that it waits for

    def to_data(self) -> dict[str, Any]:
        if self.explanation is None:
            gates = {"schedulingGates": list(self.gates)} if self.gates else {}
            return {"pod": self.pod, "skipped": self.skipped, **gates}
        told = self.explanation.to_data()
        for name in ("atSeconds", "askedAgain", "decided"):  # of records
            del told[name]
        if self.nominated:
            told["nominatedNode"] = self.nominated
        if self.pre_filter is not None:
            plugin, reason = self.pre_filter
            told["preFilter"] = {"plugin": plugin, "code": "UnschedulableAndUnresolvable", "reasons": [reason]}
        if self.preemption is not None:
            told["preemption"] = self.preemption.to_data()
        return {**told, "byNode": [item.to_data() for item in self.nodes]}


class FromManifests:
    """Objects of files, folders and "-" (stdin) as a cluster. Raises UserError for what they do not hold together."""

    def __init__(self, paths: Sequence[Path], filters: Sequence[FilterPlugin] = ()) -> None:
        """`filters`: Filter plugins of others."""
        self.on = Snapshot(PodClasses(filters=filters))
        self.waiting: dict[str, Pod] = {}
        self.running: dict[str, Pod] = {}
        self.bound: dict[str, str] = {}  # node of the pods that `bind` placed
        self._terminating: list[Pod] = []  # and unbound
        self.astray = 0  # running pods on nodes that are not there
        self.notices = Notices(lenient=True)
        read = read_checked_manifests(paths, self.notices, kinds_of_runs())
        manifests = [self._known(manifest) for manifest in read]
        if not any(isinstance(obj, Node) for _, obj in manifests):
            raise UserError(
                "no node among the manifests",
                file=paths[0],
                expected="Nodes and Pods",
                hint="kubectl get nodes,pods -A -o json | podyard verdicts -f -",
            )
        self._priorities = dict(SYSTEM_PRIORITIES)
        self._default: tuple[str, int] = ("", 0)
        self._least: dict[str, int] = {}
        for manifest, obj in manifests:
            self._surrounding(manifest, obj)
        for _, obj in manifests:
            if isinstance(obj, Node):
                self.on.add_node(**node_columns(obj))
        self.set_aside = _set_aside(obj for _, obj in manifests)
        self._preemption = PreemptionDryRun(self.on, self.waiting)
        for manifest, obj in manifests:
            if isinstance(obj, Pod):
                self._pod(manifest, obj)
            elif isinstance(obj, PodDisruptionBudget):
                self._preemption.add_budget(obj)
        for pod in (*(self.waiting[key] for key in self.in_order()), *self._terminating):
            node = self.on.node_table.index.get(pod.status.nominated_node_name)
            if node is not None and not pod.spec.scheduling_gates:
                self.on.nominations.nominate(self.view(pod), node)

    @staticmethod
    def _known(manifest: Manifest) -> tuple[Manifest, Any]:
        kind = KINDS[manifest.kind]
        obj = defaulted(kind, manifest.object)
        if kind.namespaced and not obj.metadata.namespace:
            obj = replace(obj, metadata=replace(obj.metadata, namespace="default"))
        return manifest, obj

    def _surrounding(self, manifest: Manifest, obj: Any) -> None:
        if isinstance(obj, PriorityClass):
            self._priorities[obj.metadata.name] = obj.value
            if obj.global_default:
                self._default = (obj.metadata.name, obj.value)
        elif isinstance(obj, PodGroup):
            self._least[obj.metadata.key] = obj.spec.min_member or 0
        elif not isinstance(obj, Node | Pod):
            watched_objects.observe(self.on.classes, obj)

    def _pod(self, manifest: Manifest, pod: Pod) -> None:
        if pod.status.phase in ("Succeeded", "Failed"):
            return
        pod = self._with_priority(manifest, pod)
        if pod.spec.node_name:
            if pod.spec.node_name in self.on.node_table.index:
                self.on.assume_on(self.view(pod), pod.spec.node_name, bound_devices(pod))
                self._preemption.add_pod(pod)
                self.running[pod.metadata.key] = pod
            else:
                self.astray += 1
        elif pod.metadata.deletion_timestamp is None:
            self.waiting[pod.metadata.key] = pod
        else:  # it is scheduled no more, yet the node that was kept for it is kept until it is gone
            self._terminating.append(pod)

    def _with_priority(self, manifest: Manifest, pod: Pod) -> Pod:
        """As admission completes it. Source: plugin/pkg/admission/priority."""
        name = pod.spec.priority_class_name
        if pod.spec.priority is not None:
            return pod
        if name and name not in self._priorities:
            raise UserError(
                f"pod {pod.metadata.key}: no PriorityClass {name!r}",
                file=manifest.file,
                line=manifest.line,
                found=name,
                expected=", ".join(sorted(self._priorities)),
                hint=did_you_mean(name, self._priorities) or "add the PriorityClass to the manifests",
            )
        value = self._priorities[name] if name else self._default[1]
        return replace(pod, spec=replace(pod.spec, priority=value)) if value else pod

    def view(self, pod: Pod) -> PodView:
        group = pod.metadata.labels.get(GROUP_LABEL)
        least = 0 if group is None else self._least.get(f"{pod.metadata.namespace}/{group}", 0)
        return self.on.classes.view(pod, group_min=least)

    def add(self, paths: Sequence[Path]) -> list[str]:
        """Keys of further pods that wait from now on: Pods, and one of each that makes pods. Raises UserError."""
        keys = []
        for manifest, obj in map(self._known, read_checked_manifests(paths, self.notices, kinds_of_runs())):
            if isinstance(obj, PriorityClass | PodGroup):
                self._surrounding(manifest, obj)
                continue
            template = pod_template(obj)[0]
            meta = obj.metadata
            if isinstance(obj, Pod):
                pod = replace(obj, spec=replace(obj.spec, node_name=""), status=PodStatus())
            elif template is not None:
                about = replace(template.metadata, name=meta.name, namespace=meta.namespace)
                pod = defaulted(KINDS["Pod"], Pod(metadata=about, spec=template.spec))
            else:
                continue
            if not pod.metadata.name:
                pod = replace(pod, metadata=replace(pod.metadata, name=pod.metadata.generate_name.rstrip("-")))
            key = pod.metadata.key
            if key in self.waiting or key in self.running:
                raise UserError(
                    f"pod {key} is in the cluster already", file=manifest.file, line=manifest.line, hint="another name"
                )
            self.waiting[key] = self._with_priority(manifest, pod)
            keys.append(key)
        if not keys:
            raise UserError("no pod to ask about", file=paths[0], expected="a Pod, or what makes pods")
        return keys

    # -- verdicts ------------------------------------------------------------------------------------------------------

    def pod(self, key: str) -> Pod:
        """Of a key of one that waits or runs."""
        return self.waiting[key] if key in self.waiting else self.running[key]

    def key_of(self, name: str, *, any_pod: bool = False) -> str:
        """Of a pod that waits, given as namespace/name, or by its name alone; `any_pod`: or runs. Raises UserError."""
        known = {**self.waiting, **self.running} if any_pod else self.waiting
        found = [key for key in known if name in (key, key.partition("/")[2])]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"{len(found)} pods are called {name!r}", found=", ".join(found), expected="NAMESPACE/NAME")
        if self.on.where(name if "/" in name else f"default/{name}") is not None:
            raise UserError(
                f"pod {name!r} runs already",
                hint="take spec.nodeName away to ask where it would go, or ask --how-many more of it fit",
            )
        what = "is in the cluster" if any_pod else "waits for a node"
        found_instead = f"{len(self.waiting)} that wait, {len(self.running)} that run"
        raise UserError(f"no pod {name!r} {what}", found=found_instead, hint=did_you_mean(name, known))

    def in_order(self, names: Iterable[str] = ()) -> list[str]:
        """Keys of the pods asked about (all that wait without names), as the queue sorts them: priority, then age."""
        asked = [self.key_of(name) for name in names] or list(self.waiting)
        return sorted(asked, key=lambda key: (-(self.waiting[key].spec.priority or 0), self._created(key)))

    def _created(self, key: str) -> int:
        return self.waiting[key].metadata.creation_timestamp or 0

    def judge(self, key: str, strategy: Strategy, name: str, *, node: str | None = None, each: bool = True) -> Judged:
        """One pod against the cluster as it stands; nothing changes. `each`: say of every node."""
        pod, on = self.waiting[key], self.on
        skipped = self.skips(pod, strategy)
        if skipped:
            return Judged(key, skipped, None, (), gates=tuple(gate.name for gate in pod.spec.scheduling_gates))
        batch = self._together(key)
        view = next(member for member in batch if member.key == key)
        nominated = on.nominations.remove(key)  # its own nomination bears on others, not on itself
        try:
            judged = self._judged(view, batch, nominated, strategy, name, node, each)
            diagnosis = diagnose(on, view)
        finally:
            if nominated is not None:
                on.nominations.nominate(self.view(pod), nominated)
        assert judged.explanation is not None
        if judged.explanation.node or len(batch) > 1:
            return judged
        return dataclasses.replace(judged, preemption=self._preemption.answer(view, pod, diagnosis))

    def _judged(
        self,
        view: PodView,
        batch: list[PodView],
        nominated: int | None,
        strategy: Strategy,
        name: str,
        node: str | None,
        each: bool,
    ) -> Judged:
        key, on = view.key, self.on
        pod = self.waiting[key]
        stateful = resumable(strategy)  # else one question would turn the next answer
        state = "" if stateful is None else stateful.state()
        asked = strategy if stateful is None else Resumed(stateful, state)
        try:
            goes = nominated is not None and on.verdicts.holds(on.classes.class_now(view), nominated)
            chosen = nominated if goes and nominated is not None else ask(asked, on, batch, key)
            again = on.node_table.names[chosen] if chosen >= 0 else None
            case = Case(name, 0, pod, view, again or "", on, asked, batch, again, "")
            told = explained(case, node)
            return Judged(
                key,
                "",
                told,
                self.by_node(asked, view) if each else (),
                run_pre_filters(on, on.classes.class_now(view)),
                again or "" if goes else "",
            )
        finally:
            if stateful is not None:
                stateful.restore(state)

    @staticmethod
    def skips(pod: Pod, strategy: Strategy) -> str:
        """Why the scheduler leaves the pod alone; '' where it does not."""
        if pod.spec.scheduling_gates:
            return f"it waits for its scheduling gates: {', '.join(gate.name for gate in pod.spec.scheduling_gates)}"
        ours = getattr(strategy, "scheduler_names", (DEFAULT_SCHEDULER,))
        name = pod.spec.scheduler_name or DEFAULT_SCHEDULER
        return "" if name in ours else f"it is another scheduler's: {name}"

    def _together(self, key: str) -> list[PodView]:
        """The pod alone, or all of its gang that waits."""
        view = self.on.classes.current(self.view(self.waiting[key]))
        if view.group is None or view.group_min < 2:
            return [view]
        others = [self.on.classes.current(self.view(other)) for other in self.waiting.values()]
        return [other for other in others if other.group == view.group]

    def by_node(self, strategy: Strategy, view: PodView) -> tuple[OnNode, ...]:
        on = self.on
        cls = on.classes.class_now(view)
        constraints = constraints_of(cls)
        named = constraints.node_names
        tell = getattr(strategy, "explain", None)
        scores = {} if tell is None else {name: np.asarray(part) for name, part in tell(view, on).items()}
        out = []
        for node in np.flatnonzero(on.alive).tolist():
            plugin, reasons, resolvable = "", tuple(reasons_on_node(on, cls, node)), False
            if run_pre_filters(on, cls):
                plugin = "PreFilter"
            elif named is not None and on.node_table.names[node] not in named:
                plugin, reasons = "PreFilter", (left_out_by(cls),)
            elif reasons:
                beside = on.nominations.first_failure(cls, node)
                failed = (
                    beside[0]
                    if beside is not None
                    else next(item for item in constraints.filters if not item.holds(on, node))
                )
                plugin, resolvable = failed.plugin, failed.resolvable
            parts = {} if plugin else {name: float(column[node]) for name, column in scores.items()}
            out.append(OnNode(on.node_table.names[node], plugin, reasons, parts, resolvable))
        return tuple(out)

    def preemption_of(self, view: PodView, pod: Pod, diagnosis: Diagnosis) -> PreemptionAnswer:
        """Who would go for a pod that fits nowhere."""
        return self._preemption.answer(view, pod, diagnosis)

    def bind(self, key: str, strategy: Strategy) -> None:
        """Put the pod where the strategy says, as if it had been bound, and a gang as a whole; see `bound`."""
        on, rng = self.on, np.random.default_rng(0)
        if self.skips(self.waiting[key], strategy):
            return
        nominated = on.nominations.remove(key)
        batch = self._together(key)
        (view,) = (member for member in batch if member.key == key)
        goes = nominated is not None and on.verdicts.holds(on.classes.class_now(view), nominated)
        decisions = [Bind(view, nominated)] if goes and nominated is not None else strategy.place(batch, on, rng)
        for decision in decisions:
            if not isinstance(decision, Bind | BindTogether):
                continue
            done = apply(on, decision)
            for bind in () if isinstance(done, Refused) else done:
                self.bound[bind.pod.key] = on.node_table.names[bind.node]
                self._preemption.add_pod(self.waiting.pop(bind.pod.key))
                on.nominations.remove(bind.pod.key)
        if nominated is not None and key in self.waiting:
            on.nominations.nominate(view, nominated)
