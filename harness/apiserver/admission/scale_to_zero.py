"""The gate HPAScaleToZero: without it a HorizontalPodAutoscaler has at least one replica.

Source: pkg/apis/autoscaling/validation/validation.go MinReplicasLowerBound, pkg/registry/autoscaling strategy.go
validationOptionsForHorizontalPodAutoscaler: one that has 0 already may keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.apiserver.admission.plugin import CREATE, UPDATE, AdmissionRequest, Plugin
from harness.model.constants import DEFAULTS, Constants
from harness.model.status import Cause, invalid
from harness.model.workloads import HorizontalPodAutoscaler


class ScaleToZero(Plugin):
    operations = frozenset({CREATE, UPDATE})
    constants = DEFAULTS

    def configure(self, constants: Constants) -> None:
        self.constants = constants

    def validate(self, request: AdmissionRequest) -> Sequence[Any]:
        cause = below_one(request.obj, self.constants)
        if cause is not None and not (request.old is not None and request.old.spec.min_replicas == 0):
            raise invalid("HorizontalPodAutoscaler", request.obj.metadata.name, (cause,), "autoscaling")
        return ()


def below_one(scaler: HorizontalPodAutoscaler, constants: Constants) -> Cause | None:
    """What is wrong with a minimum of no replicas; None where nothing is."""
    if scaler.spec.min_replicas != 0 or constants.hpa_scale_to_zero:
        return None
    return Cause("spec.minReplicas", "FieldValueInvalid", "Invalid value: 0: must be greater than or equal to 1")
