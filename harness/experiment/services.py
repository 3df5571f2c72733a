"""A scenario's service: Deployment, Service, budget and autoscaler; its clients; what a pod does with requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from msgspec.structs import replace

from harness.engine.component import SECOND
from harness.experiment.forms import (
    MOST_WORKERS,
    ClientTasks,
    Distribution,
    RateFileForm,
    ServiceTasks,
    ServiceTimeForm,
)
from harness.experiment.scenario import LoadedScenario, amount, curve, duration
from harness.measure.queue_model import QueueModel
from harness.measure.queueing import meets_objective
from harness.measure.service_time import EXPONENTIAL, ServiceTime
from harness.model.core import (
    Container,
    ContainerPort,
    Pod,
    PodSpec,
    PodTemplateSpec,
    ResourceList,
    ResourceRequirements,
    Service,
    ServicePort,
    ServiceSpec,
)
from harness.model.errors import did_you_mean
from harness.model.ingress import backend_of
from harness.model.load import LoadCurve
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.objects import Deployment, HorizontalPodAutoscaler, PodDisruptionBudget, kind_of
from harness.model.quantity import Quantity, parse_quantity
from harness.model.workloads import (
    CrossVersionObjectReference,
    DeploymentSpec,
    HorizontalPodAutoscalerSpec,
    MetricSpec,
    MetricTarget,
    PodDisruptionBudgetSpec,
    ResourceMetricSource,
)
from workloads.generators.load import Delayed

CPU_PER_REQUEST = "podyard.dev/cpu-per-request"
READY_AFTER = "podyard.dev/ready-after"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Clients of a service: its key, the load curve, what a pod of it does with requests, and how long its warm-up is
    at most. `ingress`: the name of the one that they come through, asking for `path` of `host`; empty for none."""

    service: str
    curve: LoadCurve
    model: QueueModel
    warm_up_ns: int
    ingress: str = ""
    host: str = ""
    path: str = "/"


def service(loaded: LoadedScenario, form: ServiceTasks, where: str, from_ns: int) -> tuple[list[Any], Traffic]:
    """(objects that are there at once, its clients, whose curve begins at `from_ns`). Raises UserError."""
    made: list[Any] = []
    load = curve(loaded, form.load, f"{where}.load", lambda fields, at: load_of_file(loaded, fields, at))
    name = form.name
    labels = {"app": name}
    requests: ResourceList = {"cpu": parse_quantity(form.cpu), "memory": parse_quantity(form.memory)}
    template = PodTemplateSpec(
        metadata=ObjectMeta(
            labels=labels,
            annotations={CPU_PER_REQUEST: str(form.cpu_per_request), READY_AFTER: form.ready_after},
        ),
        spec=PodSpec(
            containers=(
                Container(
                    name="main",
                    image="registry.k8s.io/e2e-test-images/agnhost:2.53",
                    resources=ResourceRequirements(requests=requests, limits=_twice(requests)),
                    ports=(ContainerPort(container_port=8080),),
                ),
            ),
            node_selector=form.node_selector,
        ),
    )
    meta = ObjectMeta(name=name, namespace="default", labels=labels)
    selector = LabelSelector(match_labels=labels)
    made.append(
        Service(metadata=meta, spec=ServiceSpec(selector=labels, ports=(ServicePort(port=80, target_port=8080),)))
    )
    made.append(
        Deployment(
            metadata=meta,
            spec=DeploymentSpec(replicas=form.replicas, selector=selector, template=template),
        )
    )
    if form.min_available is not None:
        made.append(
            PodDisruptionBudget(
                metadata=meta, spec=PodDisruptionBudgetSpec(min_available=form.min_available, selector=selector)
            )
        )
    scaler = form.autoscaler
    if scaler is not None:
        made.append(
            HorizontalPodAutoscaler(
                metadata=meta,
                spec=HorizontalPodAutoscalerSpec(
                    scale_target_ref=CrossVersionObjectReference(kind="Deployment", name=name, api_version="apps/v1"),
                    min_replicas=scaler.min,
                    max_replicas=scaler.max,
                    metrics=(
                        MetricSpec(
                            type="Resource",
                            resource=ResourceMetricSource(
                                name="cpu",
                                target=MetricTarget(type="Utilization", average_utilization=scaler.target_cpu),
                            ),
                        ),
                    ),
                ),
            )
        )
    model = _queue(loaded, form, where, 2 * amount(loaded, form.cpu, f"{where}.cpu"))
    warm_up_ns = duration(loaded, form.warm_up, f"{where}.warmUp")
    return made, Traffic(f"default/{name}", Delayed(load, from_ns), model, warm_up_ns)


def clients(
    loaded: LoadedScenario, form: ClientTasks, where: str, objects: Sequence[Any], from_ns: int
) -> tuple[list[Any], Traffic]:
    """(the objects, with what a request costs said by the pods behind the Service; its clients). Raises UserError."""
    key = f"{form.namespace}/{form.service}"
    services = {
        f"{obj.metadata.namespace or 'default'}/{obj.metadata.name}": obj for obj in objects if isinstance(obj, Service)
    }
    found = services.get(key)
    if found is None:
        hint = did_you_mean(key, services)
        raise loaded.error(
            f"{where}.service",
            "there is no such Service in the workload",
            found=key,
            expected=", ".join(sorted(services)) or "a Service among the manifests",
            hint=hint,
        )
    selector = found.spec.selector
    behind = [template for obj in objects if (template := _behind(obj, form.namespace, selector)) is not None]
    if not selector or not behind:
        expected = "pods, or controllers of pods, with the labels of its selector"
        raise loaded.error(f"{where}.service", "no pod of the workload is behind it", found=key, expected=expected)
    first = behind[0]
    text = first.metadata.annotations.get(CPU_PER_REQUEST)
    if form.cpu_per_request is not None and text is not None:
        raise loaded.error(f"{where}.cpuPerRequest", f"the pods say it, too: {text}", expected="one of the two")
    cost = str(form.cpu_per_request if form.cpu_per_request is not None else text or "5m")
    said = {CPU_PER_REQUEST: cost}
    made = [obj if _behind(obj, form.namespace, selector) is None else _with_annotations(obj, said) for obj in objects]
    load = curve(loaded, form.load, f"{where}.load", lambda fields, at: load_of_file(loaded, fields, at))
    resources = first.spec.containers[0].resources
    limit = resources.limits.get("cpu") or resources.requests.get("cpu")
    asked = ServiceTasks(
        name=form.service,
        replicas=0,
        cpu="0",
        load=form.load,
        cpu_per_request=cost,
        concurrency=form.concurrency,
        service_time=form.service_time,
        queue_limit=form.queue_limit,
        timeout=form.timeout,
        slo=form.slo,
    )
    # A container without a limit may use what its node has left; one CPU is what it is reckoned with.
    model = _queue(loaded, asked, where, limit.milli if limit is not None and limit.milli else 1000)
    warm_up_ns = duration(loaded, form.warm_up, f"{where}.warmUp")
    delayed = Delayed(load, from_ns)
    if form.ingress is None:
        if form.host or form.path != "/":
            field = "host" if form.host else "path"
            raise loaded.error(f"{where}.{field}", "it is what an Ingress is asked for", expected="ingress: its name")
        return made, Traffic(key, delayed, model, warm_up_ns)
    _check_ingress(loaded, form, where, objects)
    return made, Traffic(key, delayed, model, warm_up_ns, form.ingress, form.host, form.path)


def _check_ingress(loaded: LoadedScenario, form: ClientTasks, where: str, objects: Sequence[Any]) -> None:
    """It is there, and begins by sending these clients to their Service. Raises UserError."""
    ingresses = {
        obj.metadata.name: obj
        for obj in objects
        if kind_of(obj) == "Ingress" and (obj.metadata.namespace or "default") == form.namespace
    }
    found = ingresses.get(form.ingress or "")
    if found is None:
        raise loaded.error(
            f"{where}.ingress",
            f"there is no such Ingress in the namespace {form.namespace} of the workload",
            found=form.ingress,
            expected=", ".join(sorted(ingresses)) or "an Ingress among the manifests",
            hint=did_you_mean(form.ingress or "", ingresses),
        )
    backend = backend_of(found.extra or {}, form.host, form.path)
    if backend is None or backend.service != form.service:
        asked = f"{form.host or 'any host'}{form.path}"
        goes = "nowhere" if backend is None else f"to {backend.service}"
        expected = f"host and path that it sends to {form.service}"
        raise loaded.error(f"{where}.ingress", f"it sends {asked} {goes}", found=form.ingress, expected=expected)


def _behind(obj: Any, namespace: str, selector: Mapping[str, str]) -> Any:
    """The pod, or the template of pods, that a Service of this selector sends requests to; None where it is none."""
    if (obj.metadata.namespace or "default") != namespace:
        return None
    pod = obj if isinstance(obj, Pod) else getattr(getattr(obj, "spec", None), "template", None)
    if not isinstance(pod, Pod | PodTemplateSpec) or not pod.spec.containers:
        return None
    labels = pod.metadata.labels
    return pod if all(labels.get(name) == value for name, value in selector.items()) else None


def _with_annotations(obj: Any, said: Mapping[str, str]) -> Any:
    """The pod, or what makes it, with these annotations."""

    def noted(part: Any) -> Any:
        return replace(part, metadata=replace(part.metadata, annotations={**said, **part.metadata.annotations}))

    if isinstance(obj, Pod):
        return noted(obj)
    return replace(obj, spec=replace(obj.spec, template=noted(obj.spec.template)))


def load_of_file(loaded: LoadedScenario, fields: Any, where: str) -> LoadCurve:
    """A load from a file of request rates."""
    from workloads.rate_trace import RateTrace, read_rate_trace

    form = loaded.form(fields, RateFileForm, where)
    per_ns = duration(loaded, form.per, f"{where}.per")
    if not per_ns:
        raise loaded.error(f"{where}.per", "no time at all", expected="1s, 1m, ..")
    return read_rate_trace(
        loaded.find(form.path, f"{where}.path"),
        RateTrace(
            form.time,
            form.rate,
            per_ns,
            form.scale,
            form.speedup,
            None if form.gap is None else duration(loaded, form.gap, f"{where}.gap"),
            form.between,
        ),
    )


def _queue(loaded: LoadedScenario, form: ServiceTasks, where: str, limit_milli: int) -> QueueModel:
    """What a pod with this CPU limit does with requests: its workers together use up the limit when all are busy."""
    if not limit_milli:
        raise loaded.error(f"{where}.cpu", "requests cost CPU", found=form.cpu, expected="more than 0, as 500m")
    per_request_s = max(parse_quantity(form.cpu_per_request).milli / 1000, 1e-6)
    workers = form.concurrency or max(1, -(-limit_milli // 1000))
    if workers > MOST_WORKERS:
        found = f"one for each CPU of its limit, {workers}"
        raise loaded.error(f"{where}.concurrency", "too many workers", found=found, expected=f"1 to {MOST_WORKERS}")
    service_s = per_request_s * workers * 1000 / limit_milli
    slo = form.slo
    slo_s = max(0.25, 10 * service_s)
    if slo.latency is not None:
        slo_s = _over_0(loaded, slo.latency, f"{where}.slo.latency")
    model = QueueModel(
        service_s=service_s,
        concurrency=workers,
        queue_limit=form.queue_limit,
        timeout_s=_over_0(loaded, form.timeout, f"{where}.timeout"),
        slo_s=slo_s,
        objective=slo.objective / 100,
        service_time=_service_time(loaded, form, f"{where}.serviceTime"),
    )
    if not meets_objective(model):
        raise loaded.error(
            f"{where}.slo",
            "no number of replicas meets it",
            found=f"{slo.objective:g} % within {slo_s:g} s, where a request alone takes {service_s:g} s on average",
            expected="more time, or a lower objective",
        )
    return model


def _over_0(loaded: LoadedScenario, text: str, where: str) -> float:
    """Seconds."""
    found = duration(loaded, text, where)
    if found <= 0:
        raise loaded.error(where, "no request is answered in no time", found=text, expected="over 0s")
    return found / SECOND


def _service_time(loaded: LoadedScenario, form: ServiceTasks, where: str) -> ServiceTime:
    asked = form.service_time
    if isinstance(asked, str):
        if asked not in get_args(Distribution):
            known = get_args(Distribution)
            hint = did_you_mean(asked, known)
            raise loaded.error(where, "no such distribution", found=asked, expected=" or ".join(known), hint=hint)
        asked = ServiceTimeForm(distribution=asked)  # type: ignore[arg-type]
    kind = asked.distribution
    for name, given, wanted in (
        ("cv", asked.cv is not None, kind in ("gamma", "lognormal")),
        ("samples", asked.samples is not None, kind == "samples"),
    ):
        if given != wanted:
            what = f"{kind} needs {name}" if wanted else f"{kind} has no {name}"
            example = {"cv": "cv: 1.5", "samples": "samples: [2ms, 5ms]"}[name]
            expected = f"{{distribution: {kind}, {example}}}" if wanted else "distribution alone"
            raise loaded.error(where, what, expected=expected)
    if kind == "samples":
        samples = [duration(loaded, text, f"{where}.samples[{at}]") for at, text in enumerate(asked.samples or ())]
        if not any(samples):
            raise loaded.error(f"{where}.samples", "take no time", expected="durations, some of them over 0s")
        return ServiceTime("samples", samples=tuple(map(float, samples)))
    return EXPONENTIAL if kind == "exponential" else ServiceTime(kind, 1.0 if asked.cv is None else asked.cv)


def _twice(requests: ResourceList) -> ResourceList:
    return {name: Quantity(amount.milli * 2, amount.form) for name, amount in requests.items()}
