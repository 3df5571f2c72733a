"""The scenario: one YAML document that says what runs, on what, what breaks, and what is asked of it."""

from __future__ import annotations

import os
import re
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.experiment.settings import put, with_variables
from harness.model.errors import UserError, did_you_mean
from harness.model.loading import BY_HAND, Document, load_one, read_text
from harness.model.quantity import parse_quantity
from harness.model.times import parse_duration

API_VERSION = "podyard.dev/v1"
KIND = "Scenario"
TRACES = "PODYARD_TRACES"
"""Environment variable: folders (separated as in PATH) in which traces are looked for."""


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of what a scenario is made of."""


class TaintForm(Form, frozen=True, kw_only=True):
    key: str
    value: str = ""
    effect: str = "NoSchedule"


class NodeGroup(Form, frozen=True, kw_only=True):
    """`count` nodes alike, named `<name>-<i>`, dealt to `zones` in turn."""

    name: str
    count: int
    cpu: str | int | float
    memory: str | int = "0"
    pods: int = 110
    gpus: int = 0
    gpu_model: str = ""
    resources: dict[str, str | int | float] = {}  # others: ephemeral-storage, extended resources
    zones: list[str] = []
    labels: dict[str, str] = {}
    taints: list[TaintForm] = []


class OpenbNodes(Form, frozen=True, kw_only=True):
    """Nodes in the mix of the openb cluster."""

    count: int
    cpu_nodes: bool = True
    zones: int = 0


class TraceNodes(Form, frozen=True, kw_only=True):
    """A trace's node list. `ranks`: a file of tie-break ranks ('{seed}' in its name is the run's)."""

    path: str
    format: str | None = None
    options: dict[str, Any] = {}
    ranks: str | None = None


class NodeSource(Form, frozen=True, kw_only=True):
    group: NodeGroup | None = None
    openb_like: OpenbNodes | None = None
    trace: TraceNodes | None = None
    manifests: list[str] | None = None


class Pool(Form, frozen=True, kw_only=True):
    """A node pool of the cluster autoscaler. `provisioning`: from request to registered."""

    name: str
    max: int
    min: int = 0
    cpu: str | int | float
    memory: str | int = "0"
    pods: int = 110
    gpus: int = 0
    gpu_model: str = ""
    resources: dict[str, str | int | float] = {}
    zone: str = ""
    labels: dict[str, str] = {}
    taints: list[TaintForm] = []
    provisioning: str = "45s"


class OpenbTasks(Form, frozen=True, kw_only=True):
    """Tasks drawn from openb's marginals. `load`: percent of the nodes' GPUs that what runs asks for on average.
    `controller`: as of a trace."""

    pods: int
    load: int | None = None
    longest: str = "24h"
    constrained: int = 0
    start: str = "0s"
    controller: Literal["none", "Job"] = "none"


class TraceTasks(Form, frozen=True, kw_only=True):
    """A trace's pods. `order`: a file with the order of arrival, one pod a line ('{seed}' in its name is the run's);
    `every`: the gap between arrivals; `together`: so many arrive at one instant, in a fill. `controller`: what makes
    the pods; those of a Job are made anew when they are evicted or their node is lost, bare ones (none) are gone."""

    path: str
    format: str | None = None
    options: dict[str, Any] = {}
    mode: str = "departures"  # or fill: what arrives stays
    first: int | None = None  # only so many pods
    order: str | None = None
    every: str = "1s"
    together: int = 1
    gpu_words: str = "share"
    controller: Literal["none", "Job"] = "none"


class Autoscaled(Form, frozen=True, kw_only=True):
    """A HorizontalPodAutoscaler on CPU."""

    max: int
    min: int = 1
    target_cpu: int = 70  # averageUtilization, percent of the request


class ServiceTasks(Form, frozen=True, kw_only=True):
    """A Deployment behind a Service, with clients that send `load` requests a second; each costs CPU."""

    name: str
    replicas: int
    cpu: str | int | float
    load: Any
    memory: str | int = "256Mi"
    cpu_per_request: str = "5m"  # milli-CPU-seconds
    min_available: int | str | None = None  # a PodDisruptionBudget
    ready_after: str = "2s"
    node_selector: dict[str, str] = {}
    autoscaler: Autoscaled | None = None


class TaskSource(Form, frozen=True, kw_only=True):
    openb_like: OpenbTasks | None = None
    trace: TraceTasks | None = None
    service: ServiceTasks | None = None
    manifests: list[str] | None = None


class LatencyForm(Form, frozen=True, kw_only=True):
    """A hop: `constant`, or `median` and `p99` of a lognormal (never below `least`), or `samples`."""

    constant: str | None = None
    median: str | None = None
    p99: str | None = None
    least: str = "1ms"
    samples: list[str] | None = None


class LatenciesForm(Form, frozen=True, kw_only=True):
    api_call: LatencyForm | None = None
    watch: LatencyForm | None = None
    network: LatencyForm | None = None
    scheduling: LatencyForm | None = None
    container_start: LatencyForm | None = None
    image_pull: LatencyForm | None = None  # besides its bytes


class SchedulingForm(Form, frozen=True, kw_only=True):
    """`retry` false: a pod that does not fit when it is first tried is left out. `batch`: pods handed over at once.
    `preemption`: pods of higher priority evict others; null: as soon as two pods differ in priority, and never where
    nothing is retried.

    `charge`: the time that deciding takes on the virtual clock, `model` (the strategy's or the latency's).
    """

    retry: bool = True
    batch: int | None = None
    preemption: bool | None = None
    lifetimes: bool = False  # whether strategies are told the durations that pods declare
    deadline: str = "30s"  # on the wall clock, of one call of a strategy; "0s": it may take for ever


class Gate(Form, frozen=True, kw_only=True):
    """A demand: the run fails when `metric` is not within."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None


class CompareForm(Form, frozen=True, kw_only=True):
    """What `podyard compare` decides about: `primary` measures by path (none: a sensible few), and `within` how much a
    difference is nothing ('1%' of the base's mean, or amounts by path)."""

    primary: list[str] = []
    within: str | dict[str, float] = "1%"


class Spec(Form, frozen=True, kw_only=True):
    nodes: list[NodeSource]
    workload: list[TaskSource]
    seed: int = 0
    duration: str | None = None
    """Of the run; without it, until everything that ends by itself has ended."""
    pools: list[Pool] = []
    autoscaler: str = "cluster-autoscaler"
    """The node policy that sizes the pools, by name or module:object, with ?parameter=value."""
    controllers: list[str] = msgspec.field(default_factory=lambda: ["*"])
    """As kube-controller-manager's --controllers: "*", "-pod-garbage-collector", or others by name or module:object."""
    schedulers: list[str] = msgspec.field(default_factory=lambda: ["greedy"])
    scheduling: SchedulingForm = SchedulingForm()
    latencies: LatenciesForm = LatenciesForm()
    faults: list[Any] = []
    gates: list[Gate] = []
    compare: CompareForm = CompareForm()
    measures: list[str] = []
    """Of others, as module:object, besides those of installed packages."""
    events: bool = True
    bound: bool = True  # compute the proven bound of the placement
    variables: dict[str, list[str | int | float]] = {}
    """Values by name, put for {name} in the texts of the scenario; the first, unless another is chosen."""


class Metadata(Form, frozen=True, kw_only=True):
    name: str
    description: str = ""


class Scenario(Form, frozen=True, kw_only=True):
    api_version: str
    kind: str
    metadata: Metadata
    spec: Spec


class Loaded(msgspec.Struct, frozen=True):
    """A scenario and where it stands, so that errors that show later point at it, too. `data`: as plain data."""

    scenario: Scenario
    data: dict[str, Any]
    document: Document
    file: str
    chosen: dict[str, str] = {}  # values of variables that were asked for
    settings: dict[str, str] = {}  # by --set

    def error(self, path: str, what: str, **about: Any) -> UserError:
        return _error(self.document, self.settings, path, f"{path}: {what}" if path else what, **about)

    def find(self, path: str, where: str) -> Path:
        """A file that the scenario names: beside it, in the folders of $PODYARD_TRACES, or absolute."""
        wanted = Path(path).expanduser()
        tried = [wanted] if wanted.is_absolute() else [folder / wanted for folder in self._folders()]
        for candidate in tried:
            with suppress(OSError):  # a name that no file can have
                if candidate.exists():
                    return candidate
        raise self.error(
            where,
            "no such file",
            found=path,
            expected="beside the scenario, or in a folder of " + TRACES,
            hint=f"export {TRACES}=<the folder that holds it>",
        )

    def _folders(self) -> Iterator[Path]:
        yield Path(self.file).resolve().parent
        for folder in os.environ.get(TRACES, "").split(os.pathsep):
            if folder:
                yield Path(folder).expanduser()


def built_in() -> dict[str, Path]:
    """The scenarios that come along, by name."""
    folder = Path(__file__).resolve().parents[2] / "workloads" / "scenarios"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_scenario(name: str) -> Path:
    """A path, or the name of one that comes along. Raises UserError."""
    known = built_in()
    if name in known:
        return known[name]
    path = Path(name)
    if path.is_file():
        return path
    looks_like_file = "/" in name or name.endswith((".yaml", ".yml"))
    raise UserError(
        f"there is no {'file' if looks_like_file else 'scenario'} {name!r}",
        expected="a YAML file, or one of " + ", ".join(known),
        hint=did_you_mean(name, known),
    )


def read_scenario(
    path: Path, settings: Mapping[str, str] | None = None, chosen: Mapping[str, str] | None = None
) -> Loaded:
    """A scenario from a file, with `settings` (path to value, as in --set) put over it, and values for its variables.

    Raises UserError.
    """
    return from_document(_document(path), settings or {}, chosen or {}, told=True)


def read_variables(path: Path, settings: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """The values of each variable of a scenario that can be read (see `read_scenario`)."""
    data = _with_settings(_document(path).data, settings or {})
    return {name: [str(value) for value in values] for name, values in data["spec"].get("variables", {}).items()}


def _document(path: Path) -> Document:
    expected = "a scenario in YAML"
    text = read_text(path, most=BY_HAND.yaml_bytes, expected=expected, what="scenario")
    return load_one(text, path, BY_HAND, expected)


def _with_settings(data: Any, settings: Mapping[str, str]) -> Any:
    for path, value in settings.items():
        data = put(data, path, value, _keys_at)
    return data


def from_data(data: Any, file: str) -> Loaded:
    """A scenario from plain data, as of a record. Raises UserError."""
    return from_document(Document(data, file, None), {}, {})


def from_document(
    document: Document, settings: Mapping[str, str], chosen: Mapping[str, str], *, told: bool = False
) -> Loaded:
    """`told`: what is without effect, such as a variable that nothing refers to, is an error, too. Raises UserError."""
    data, file = document.data, document.file
    if not isinstance(data, dict):
        raise document.error("", "not a scenario", found=type(data).__name__, expected="a mapping")
    data = _with_settings(data, settings)
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if data.get(field) != wanted:
            found, expected = data.get(field), f"{field}: {wanted}"
            raise document.error(field, f"{field} is not {wanted}", found=found, expected=expected)
    data = with_variables(document, data, chosen, told=told)
    try:
        scenario = msgspec.convert(data, Scenario)
    except msgspec.ValidationError as error:
        raise _told(str(error), data, document, settings) from None
    loaded = Loaded(scenario, data, document, file, dict(chosen), dict(settings))
    _check(loaded)
    return loaded


def _error(document: Document, settings: Mapping[str, str], path: str, what: str, **about: Any) -> UserError:
    """With file and line, or the setting that put it there."""
    for setting, value in settings.items():
        if path == setting or (path.startswith(setting) and path[len(setting)] in ".["):
            return UserError(f"--set {setting}={value}: {what}", **about)
    return document.error(path, what, **about)


def _told(message: str, data: Any, document: Document, settings: Mapping[str, str]) -> UserError:
    """msgspec's words with the line, what is there, and a suggestion for a mistyped key."""
    what, _, at = message.partition(" - at `$")
    path = at.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `([^`]+)`", what)
    if unknown:
        key = unknown.group(1)
        known = _keys_at(path)
        return _error(
            document,
            settings,
            f"{path}.{key}" if path else key,
            f"unknown key {key!r}" + (f" in {path}" if path else ""),
            expected=", ".join(known) if known else None,
            hint=did_you_mean(key, known),
        )
    path, value = _found(data, path)
    found = None if what.startswith("Object missing") else repr(value)[:80]
    return _error(document, settings, path, f"{path}: {what}" if path else what, found=found)


def _found(data: Any, path: str) -> tuple[str, Any]:
    """(path, value) of what is wrong; msgspec does not say which value of a mapping it is."""
    steps = re.findall(r"[^.\[\]]+|\[[^\]]*\]", path)
    exact = ""
    kind: Any = Scenario
    for step in steps:
        if step == "[...]":
            kind = _plain(kind)
            wanted = getattr(kind, "__args__", (None, Any))[-1]
            step = next((key for key, value in data.items() if not _fits(value, wanted)), "")
            kind, data = wanted, data.get(step)
            exact += f".{step}"
        elif step.startswith("["):
            kind, data = _item(_plain(kind)), data[int(step[1:-1])]
            exact += step
        else:
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)} if _is_form(kind) else {}
            kind, data = _plain(fields.get(step)), data.get(step)
            exact += f".{step}" if exact else step
    return exact, data


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _keys_at(path: str) -> list[str]:
    """The keys that are known at a path, by walking the types."""
    kind: Any = Scenario
    for part in re.findall(r"[^.\[\]]+|\[[^\]]*\]", path):
        if part.startswith("["):
            kind = _item(kind)
            continue
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)} if _is_form(kind) else {}
        kind = _plain(fields.get(part))
    return [field.encode_name for field in msgspec.structs.fields(kind)] if _is_form(kind) else []


def _is_form(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Form)


def _plain(kind: Any) -> Any:
    """Without `| None`."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    return next((arg for arg in typing.get_args(kind) if arg is not type(None)), kind)


def _item(kind: Any) -> Any:
    return getattr(kind, "__args__", (None,))[0]


def _check(loaded: Loaded) -> None:
    """What types alone do not say."""
    spec = loaded.scenario.spec
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", loaded.scenario.metadata.name):
        raise loaded.error("metadata.name", "not a name", found=loaded.scenario.metadata.name, expected="a-z, 0-9, -")
    if not spec.nodes and not spec.pools:
        raise loaded.error("spec.nodes", "there are no nodes")
    for index, source in enumerate(spec.nodes):
        _one_of(loaded, source, f"spec.nodes[{index}]")
        if source.group is not None:
            _machine(loaded, source.group, f"spec.nodes[{index}].group")
            if source.group.count < 0:
                raise loaded.error(f"spec.nodes[{index}].group.count", "negative", found=source.group.count)
    for index, pool in enumerate(spec.pools):
        _machine(loaded, pool, f"spec.pools[{index}]")
        duration(loaded, pool.provisioning, f"spec.pools[{index}].provisioning")
        if not 0 <= pool.min <= pool.max:
            raise loaded.error(f"spec.pools[{index}]", "min and max do not fit", found=f"{pool.min} to {pool.max}")
    for index, task in enumerate(spec.workload):
        where = f"spec.workload[{index}]"
        _one_of(loaded, task, where)
        if task.trace is not None and task.trace.mode not in ("departures", "fill"):
            hint = did_you_mean(task.trace.mode, ("departures", "fill"))
            raise loaded.error(
                f"{where}.trace.mode", "no such mode", found=task.trace.mode, expected="departures or fill", hint=hint
            )
        if task.trace is not None and task.trace.together < 1:
            raise loaded.error(f"{where}.trace.together", "too few", found=task.trace.together, expected="at least 1")
        if task.service is not None:
            service = task.service
            amount(loaded, service.cpu, f"{where}.service.cpu")
            amount(loaded, service.memory, f"{where}.service.memory")
            amount(loaded, service.cpu_per_request, f"{where}.service.cpuPerRequest")
            if service.replicas < 0:
                raise loaded.error(f"{where}.service.replicas", "negative", found=service.replicas)
    if spec.duration is not None:
        duration(loaded, spec.duration, "spec.duration")
    duration(loaded, spec.scheduling.deadline, "spec.scheduling.deadline")
    if not spec.schedulers:
        raise loaded.error("spec.schedulers", "there is none", expected="at least one, as of `podyard schedulers`")
    for index, gate in enumerate(spec.gates):
        if gate.at_least is None and gate.at_most is None:
            raise loaded.error(f"spec.gates[{index}]", "asks for nothing", expected="atLeast or atMost")


def _one_of(loaded: Loaded, form: Form, where: str) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(type(form))]
    given = [f.encode_name for f in msgspec.structs.fields(type(form)) if getattr(form, f.name) is not None]
    if len(given) != 1:
        raise loaded.error(where, "is one thing", found=" and ".join(given) or "nothing", expected=" or ".join(names))


def _machine(loaded: Loaded, form: NodeGroup | Pool, where: str) -> None:
    amount(loaded, form.cpu, f"{where}.cpu")
    amount(loaded, form.memory, f"{where}.memory")
    for name in ("pods", "gpus"):
        if getattr(form, name) < 0:
            raise loaded.error(f"{where}.{name}", "negative", found=getattr(form, name), expected="0 or more")


def amount(loaded: Loaded, value: str | int | float, where: str) -> int:
    """A quantity in thousandths. Raises UserError for a negative or malformed one."""
    try:
        quantity = parse_quantity(value)
    except ValueError as error:
        raise loaded.error(where, str(error)) from None
    if quantity.milli < 0:
        raise loaded.error(where, "a resource cannot be negative", found=value, expected="0 or more")
    return quantity.milli


def duration(loaded: Loaded, text: str, where: str) -> int:
    """ns. Raises UserError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise loaded.error(where, str(error), found=text, expected="a duration such as 90s, 10m or 2h") from None
