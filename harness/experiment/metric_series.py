"""The metrics that a scenario declares and serves, and whether its autoscalers ask for others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.apiserver.admission.scale_to_zero import below_one
from harness.autoscaling.horizontal.metrics_adapter import NAMES, MetricsAdapter, Series, ServiceLoad
from harness.experiment.scenario import LoadedScenario, curve
from harness.experiment.services import Traffic, load_of_file
from harness.model.constants import Constants
from harness.model.errors import did_you_mean
from harness.model.workloads import HorizontalPodAutoscaler, MetricSpec
from workloads.generators.load import Delayed


def metrics_adapter(loaded: LoadedScenario, traffic: Iterable[Traffic], from_ns: int) -> MetricsAdapter:
    """`from_ns`: the instant at which declared series begin. Raises UserError."""
    series = []
    for index, form in enumerate(loaded.scenario.spec.metrics):
        where = f"spec.metrics[{index}]"
        if form.object is not None and form.labels:
            raise loaded.error(f"{where}.labels", "a metric of an object has no labels", expected="object or labels")
        found = curve(
            loaded, _in_rps(form.series), f"{where}.series", lambda fields, at: load_of_file(loaded, fields, at)
        )
        described = None if form.object is None else (form.object.kind, form.object.name)
        series.append(Series(form.name, Delayed(found, from_ns), form.namespace, form.labels, described))
    loads = [ServiceLoad(item.service, item.curve, item.model) for item in traffic]
    return MetricsAdapter(tuple(series), tuple(loads))


def _in_rps(form: Any) -> Any:
    """A constant is a value here: a load's has requests a second."""
    if isinstance(form, dict) and isinstance(form.get("constant"), dict) and "value" in form["constant"]:
        fields = {("rps" if name == "value" else name): value for name, value in form["constant"].items()}
        return {**form, "constant": fields}
    return form


def check_autoscalers(
    loaded: LoadedScenario, objects: Iterable[Any], adapter: MetricsAdapter, constants: Constants
) -> None:
    """One that asks for a metric which nothing serves would not scale by it; one with a minimum of 0 would not be there
    without its gate. Raises UserError."""
    for obj in objects:
        if isinstance(obj, HorizontalPodAutoscaler):
            cause = below_one(obj, constants)
            if cause is not None:
                what = f"HorizontalPodAutoscaler {obj.metadata.key}: {cause.field}: {cause.message}"
                raise loaded.error("spec", what, found="0", hint="spec.constants: {HPAScaleToZero: true}")
            for metric in obj.spec.metrics:
                _check(loaded, obj, metric, adapter)


def _check(
    loaded: LoadedScenario, scaler: HorizontalPodAutoscaler, metric: MetricSpec, adapter: MetricsAdapter
) -> None:
    source = metric.pods or metric.object or metric.external
    if source is None or adapter.knows(metric.type, source.metric.name):
        return
    name = source.metric.name
    kind = "object: {kind: .., name: ..}, " if metric.object is not None else ""
    declared = [item.name for item in adapter.series]
    served = sorted({*NAMES, *(other for others in NAMES.values() for other in others), *declared})
    example = f"spec.metrics: [{{name: {name}, {kind}series: {{constant: {{value: 10}}}}}}]"
    raise loaded.error(
        "spec.metrics" if loaded.scenario.spec.metrics else "spec",
        f"HorizontalPodAutoscaler {scaler.metadata.key} asks for a {metric.type} metric that nothing serves",
        found=name,
        expected=f"one of {', '.join(served)}" if metric.pods is not None else f"a metric that is declared: {example}",
        hint=did_you_mean(name, served),
    )


def needs_requests(objects: Iterable[Any]) -> bool:
    """Whether an autoscaler looks at more than CPU, so that kubelets tell of requests whenever they change."""
    return any(
        metric.resource is None or metric.resource.name != "cpu"
        for obj in objects
        if isinstance(obj, HorizontalPodAutoscaler)
        for metric in obj.spec.metrics
    )
