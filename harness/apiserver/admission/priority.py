"""Priority: the number behind a pod's priority class. Source: plugin/pkg/admission/priority/admission.go."""

from __future__ import annotations

from harness.apiserver.admission.pod_specs import PodSpecPlugin
from harness.apiserver.registry.lifecycle import replaced
from harness.model.core import PodSpec
from harness.model.status import forbidden
from harness.model.workloads import PriorityClass

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Source: pkg/apis/scheduling/types.go."""


class Priority(PodSpecPlugin):
    observes = frozenset({"PriorityClass"})

    def complete(self, spec: PodSpec, old: PodSpec | None, name: str) -> PodSpec:
        """An update that is silent about what admission once decided does not take it back."""
        if old is None:
            value, class_name, policy = self._resolve(spec, name)
            return replaced(spec, priority=value, priority_class_name=class_name, preemption_policy=policy)
        return replaced(
            spec,
            priority=old.priority if spec.priority is None else spec.priority,
            priority_class_name=spec.priority_class_name or old.priority_class_name,
            preemption_policy=spec.preemption_policy or old.preemption_policy,
        )

    def _resolve(self, spec: PodSpec, pod_name: str) -> tuple[int, str, str]:
        """(value, class, preemption policy). Raises ApiError Forbidden."""
        classes: dict[str, PriorityClass] = self.cache.objects("PriorityClass")
        name = spec.priority_class_name
        policy: str | None = None
        if name in SYSTEM_PRIORITIES:
            value = SYSTEM_PRIORITIES[name]
        elif name:
            found = classes.get(name)
            if found is None:
                raise forbidden("pods", pod_name, f"no PriorityClass with name {name} was found")
            value, policy = found.value, found.preemption_policy
        else:
            default = min(
                (item for item in classes.values() if item.global_default),
                key=lambda item: (item.value, item.metadata.name),
                default=None,
            )
            value = 0
            if default is not None:
                value, name, policy = default.value, default.metadata.name, default.preemption_policy
        wrong = "must not be provided in pod spec; priority admission controller computed"
        if spec.priority is not None and spec.priority != value:
            why = f"the integer value of priority ({spec.priority}) {wrong} {value} from the given PriorityClass name"
            raise forbidden("pods", pod_name, why)
        if policy and spec.preemption_policy and spec.preemption_policy != policy:
            asked = f"the string value of PreemptionPolicy ({spec.preemption_policy})"
            raise forbidden("pods", pod_name, f"{asked} {wrong} {policy} from the given PriorityClass name")
        return value, name, policy or spec.preemption_policy or "PreemptLowerPriority"
