"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable.

Source: plugin/pkg/admission/defaulttolerationseconds/admission.go.
"""

from __future__ import annotations

from harness.apiserver.admission.pod_specs import PodSpecPlugin
from harness.apiserver.registry.lifecycle import replaced
from harness.model.core import PodSpec, Toleration

TOLERATION_SECONDS = 300
"""Source: --default-not-ready-toleration-seconds, --default-unreachable-toleration-seconds."""

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


class DefaultTolerationSeconds(PodSpecPlugin):
    def complete(self, spec: PodSpec, old: PodSpec | None, name: str) -> PodSpec:
        tolerations = spec.tolerations
        for key in (NOT_READY, UNREACHABLE):
            if not any(t.key in ("", key) and t.effect in ("", "NoExecute") for t in tolerations):
                tolerations = (
                    *tolerations,
                    Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=TOLERATION_SECONDS),
                )
        return spec if tolerations is spec.tolerations else replaced(spec, tolerations=tolerations)
