"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable.

Source: plugin/pkg/admission/defaulttolerationseconds/admission.go.
"""

from __future__ import annotations

from harness.apiserver.admission.pod_specs import PodSpecPlugin
from harness.apiserver.registry.lifecycle import replaced
from harness.model.core import PodSpec, Toleration

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


class DefaultTolerationSeconds(PodSpecPlugin):
    def complete(self, spec: PodSpec, old: PodSpec | None, name: str) -> PodSpec:
        tolerations = spec.tolerations
        constants = self.constants
        stays_s = {NOT_READY: constants.not_ready_toleration_s, UNREACHABLE: constants.unreachable_toleration_s}
        for key, seconds in stays_s.items():
            if not any(t.key in ("", key) and t.effect in ("", "NoExecute") for t in tolerations):
                tolerations = (
                    *tolerations,
                    Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds),
                )
        return spec if tolerations is spec.tolerations else replaced(spec, tolerations=tolerations)
