"""The scenario: one YAML document that says what runs, on what, what breaks, and what is asked of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.experiment.yaml_lines import Lines, line_at, load
from harness.model.errors import UserError, did_you_mean
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
    longest: str = "1d"
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
    lines: Lines
    file: str
    chosen: dict[str, str] = {}  # values of variables that were asked for

    def error(self, path: str, what: str, **about: Any) -> UserError:
        return UserError(f"{path}: {what}" if path else what, file=self.file, line=line_at(self.lines, path), **about)

    def find(self, path: str, where: str) -> Path:
        """A file that the scenario names: beside it, in the folders of $PODYARD_TRACES, or absolute."""
        wanted = Path(path).expanduser()
        tried = [wanted] if wanted.is_absolute() else [folder / wanted for folder in self._folders()]
        for candidate in tried:
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
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read the scenario: {error.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise UserError("not a text file", file=path, expected="YAML in UTF-8") from None
    data, lines = load(text, path)
    return from_data(data, lines, str(path), settings or {}, chosen or {})


def read_variables(path: Path, settings: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """The values of each variable of a scenario that can be read (see `read_scenario`)."""
    data, lines = load(path.read_text(encoding="utf-8"), path)
    for name, value in (settings or {}).items():
        _put(data, name, value, lines, str(path))
    return {name: [str(value) for value in values] for name, values in data["spec"].get("variables", {}).items()}


def from_data(
    data: Any,
    lines: Lines,
    file: str,
    settings: Mapping[str, str] | None = None,
    chosen: Mapping[str, str] | None = None,
) -> Loaded:
    if not isinstance(data, dict):
        raise UserError("not a scenario", file=file, line=1, found=type(data).__name__, expected="a mapping")
    for path, value in (settings or {}).items():
        _put(data, path, value, lines, file)
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if data.get(field) != wanted:
            raise UserError(
                f"{field} is not {wanted}",
                file=file,
                line=line_at(lines, field),
                found=data.get(field),
                expected=f"{field}: {wanted}",
            )
    data = _substituted(data, chosen or {}, lines, file)
    try:
        scenario = msgspec.convert(data, Scenario)
    except msgspec.ValidationError as error:
        raise _told(str(error), data, lines, file) from None
    loaded = Loaded(scenario, data, lines, file, dict(chosen or {}))
    _check(loaded)
    return loaded


def _substituted(data: dict[str, Any], chosen: Mapping[str, str], lines: Lines, file: str) -> dict[str, Any]:
    """With each variable's value in its place, and no other value of it left: the data says what runs."""
    spec = data.get("spec")
    if not isinstance(spec, dict):
        return data
    variables = spec.get("variables", {})
    if not isinstance(variables, dict) or not all(isinstance(v, list) and v for v in variables.values()):
        raise UserError(
            "spec.variables: not lists of values by name",
            file=file,
            line=line_at(lines, "spec.variables"),
            expected="as list: [default, cpu050]",
        )
    for name in chosen:
        if name not in variables:
            raise UserError(
                f"the scenario has no variable {name!r}",
                file=file,
                expected=", ".join(variables) or "none",
                hint=did_you_mean(name, variables),
            )
    values = {name: chosen.get(name, str(known[0])) for name, known in variables.items()}
    if not values:
        return data

    def put(value: Any) -> Any:
        if isinstance(value, str):
            for name, text in values.items():
                value = value.replace(f"{{{name}}}", text)
            return value
        if isinstance(value, list):
            return [put(item) for item in value]
        return {key: put(item) for key, item in value.items()} if isinstance(value, dict) else value

    held = {name: [text] for name, text in values.items()}
    return {**data, "spec": {**put({k: v for k, v in spec.items() if k != "variables"}), "variables": held}}


def _told(message: str, data: Any, lines: Lines, file: str) -> UserError:
    """msgspec's words with the line, and a suggestion for a mistyped key."""
    what, _, at = message.partition(" - at `$")
    path = at.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `([^`]+)`", what)
    if unknown:
        key = unknown.group(1)
        known = _keys_at(path)
        return UserError(
            f"unknown key {key!r}" + (f" in {path}" if path else ""),
            file=file,
            line=line_at(lines, f"{path}.{key}" if path else key),
            expected=", ".join(known) if known else None,
            hint=did_you_mean(key, known),
        )
    return UserError(f"{path}: {what}" if path else what, file=file, line=line_at(lines, path))


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
    options = [arg for arg in getattr(kind, "__args__", ()) if arg is not type(None)]
    origin = getattr(kind, "__origin__", None)
    return options[0] if options and origin is not list else kind


def _item(kind: Any) -> Any:
    return getattr(kind, "__args__", (None,))[0]


def _put(data: dict[str, Any], path: str, value: str, lines: Lines, file: str) -> None:
    """--set path=value, the value read as YAML. Raises UserError for a path that leads nowhere."""
    parsed, _ = load(value, f"--set {path}") if value.strip() else ("", {})
    parts = re.findall(r"[^.\[\]]+|\[\d+\]", path)
    at: Any = data
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part.startswith("["):
            number = int(part[1:-1])
            if not isinstance(at, list) or number >= len(at):
                raise UserError(f"--set {path}: there is no item {part}", file=file)
            if last:
                at[number] = parsed
            else:
                at = at[number]
        else:
            if not isinstance(at, dict):
                raise UserError(f"--set {path}: {'.'.join(parts[:index])} has no fields", file=file)
            if last:
                at[part] = parsed
            else:
                at = at.setdefault(part, {})


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
