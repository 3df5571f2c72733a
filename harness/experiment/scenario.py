"""The scenario: one YAML document that says what runs, on what, what breaks, and what is asked of it."""

from __future__ import annotations

import os
import re
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.engine.component import SECOND
from harness.experiment.forms import Form, NodeGroup, Pool, Scenario
from harness.experiment.settings import put, with_variables
from harness.model.errors import UserError, did_you_mean
from harness.model.load import LoadCurve
from harness.model.loading import BY_HAND, Document, load_one, read_text
from harness.model.quantity import parse_quantity, too_much
from harness.model.times import parse_duration
from workloads.generators.load import FileReader, constant, load_curve

API_VERSION = "podyard.dev/v1"
KIND = "Scenario"
CONSTANT = "constant."
"""What stands before the name of one of Kubernetes' constants among the values that were asked for."""
TRACES = "PODYARD_TRACES"
"""Environment variable: folders (separated as in PATH) in which traces are looked for."""


F = TypeVar("F", bound=Form)


class LoadedScenario(msgspec.Struct, frozen=True):
    """A scenario and where it stands, so that errors that show later point at it, too. `data`: as plain data."""

    scenario: Scenario
    data: dict[str, Any]
    document: Document
    file: str
    chosen: dict[str, str] = {}  # values of variables that were asked for
    settings: dict[str, str] = {}  # by --set

    def error(self, path: str, what: str, **about: Any) -> UserError:
        varied = CONSTANT + path.removeprefix("spec.constants.")
        if varied in self.chosen:
            return UserError(f"--vary {varied}={self.chosen[varied]}: {what}", **about)
        return _error(self.document, self.settings, path, f"{path}: {what}" if path else what, **about)

    @contextmanager
    def told_at(self, path: str) -> Iterator[None]:
        """What is wrong inside is wrong at `path`: with file and line."""
        try:
            yield
        except UserError as error:
            about = {"found": error.found, "expected": error.expected, "hint": error.hint}
            raise self.error(path, error.what, **about) from None

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

    def form(self, fields: Any, kind: type[F], where: str) -> F:
        """Fields that the scenario's own forms hold as plain data. Raises UserError."""
        try:
            return msgspec.convert(fields, kind)
        except msgspec.ValidationError as error:
            what, _, at = str(error).partition(" - at `$")
            unknown = re.search(r"unknown field `([^`]+)`", what)
            if unknown is None:
                problem, expected = _in_words(what)
                raise self.error(where + at.rstrip("`"), problem, expected=expected) from None
            known = [field.encode_name for field in msgspec.structs.fields(kind)]
            key = unknown.group(1)
            about = {"expected": ", ".join(known), "hint": did_you_mean(key, known)}
            raise self.error(f"{where}.{key}", f"unknown key {key!r}", **about) from None

    def _folders(self) -> Iterator[Path]:
        yield Path(self.file).resolve().parent
        for folder in os.environ.get(TRACES, "").split(os.pathsep):
            if folder:
                yield Path(folder).expanduser()


def built_in() -> dict[str, Path]:
    """The built-in scenarios, by name."""
    folder = Path(__file__).resolve().parents[2] / "workloads" / "scenarios"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_scenario(name: str) -> Path:
    """A path, or the name of a built-in scenario. Raises UserError."""
    known = built_in()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix == ".py" and path.is_file():
        hint = f"a strategy's file goes with a scenario: podyard run quickstart --scheduler {name}:NAME"
        raise UserError("this is no scenario", file=path, found="Python", expected="a scenario in YAML", hint=hint)
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
) -> LoadedScenario:
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


def from_data(data: Any, file: str) -> LoadedScenario:
    """A scenario from plain data, as of a record. Raises UserError."""
    return from_document(Document(data, file, None), {}, {})


def from_document(
    document: Document, settings: Mapping[str, str], chosen: Mapping[str, str], *, told: bool = False
) -> LoadedScenario:
    """`told`: what is without effect, such as a variable that nothing refers to, is an error, too. Raises UserError."""
    data, file = document.data, document.file
    if not isinstance(data, dict):
        raise document.error("", "not a scenario", found=type(data).__name__, expected="a mapping")
    data = _with_settings(data, settings)
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if data.get(field) != wanted:
            found, expected = data.get(field), f"{field}: {wanted}"
            raise document.error(field, f"{field} is not {wanted}", found=found, expected=expected)
    constants = {name.removeprefix(CONSTANT): value for name, value in chosen.items() if name.startswith(CONSTANT)}
    for name, value in constants.items():
        data = put(data, f"spec.constants[{name}]", value, _keys_at)
    variables = {name: value for name, value in chosen.items() if not name.startswith(CONSTANT)}
    data = with_variables(document, data, variables, told=told)
    try:
        scenario = msgspec.convert(data, Scenario)
    except msgspec.ValidationError as error:
        raise _user_error(str(error), data, document, settings) from None
    loaded = LoadedScenario(scenario, data, document, file, dict(chosen), dict(settings))
    _check(loaded)
    return loaded


def _error(document: Document, settings: Mapping[str, str], path: str, what: str, **about: Any) -> UserError:
    """With file and line, or the setting that put it there."""
    for setting, value in settings.items():
        if path == setting or (path.startswith(setting) and path[len(setting)] in ".["):
            return UserError(f"--set {setting}={value}: {what}", **about)
    return document.error(path, what, **about)


def _user_error(message: str, data: Any, document: Document, settings: Mapping[str, str]) -> UserError:
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
    missing = re.search(r"missing required field `([^`]+)`", what)
    if missing:
        return _error(document, settings, path, f"{path or 'the scenario'}: {missing.group(1)} is missing")
    path, value = _found(data, path)
    problem, expected = _in_words(what)
    return _error(document, settings, path, f"{path}: {problem}", found=repr(value)[:80], expected=expected)


_WORDS = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "null": "nothing",
    "array": "a list", "object": "a mapping",
}  # fmt: skip
_RANGES = {">=": ("too small", "at least"), "<=": ("too large", "at most")}


def _in_words(what: str) -> tuple[str, str | None]:
    """(what is wrong, what was expected) of msgspec's words."""
    kinds = re.fullmatch(r"Expected `([^`]+)`, got `[^`]+`", what)
    if kinds:
        return "wrong type", " or ".join(_WORDS.get(kind, kind) for kind in kinds.group(1).split(" | "))
    bounds = re.fullmatch(r"Expected `(\w+)` ([<>]=) (\S+)", what)
    if bounds:
        problem, least = _RANGES[bounds.group(2)]
        return problem, f"{_WORDS.get(bounds.group(1), bounds.group(1))}, {least} {bounds.group(3)}"
    return what[0].lower() + what[1:], None


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


def _check(loaded: LoadedScenario) -> None:
    """What types alone do not say."""
    spec = loaded.scenario.spec
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", loaded.scenario.metadata.name):
        raise loaded.error("metadata.name", "not a name", found=loaded.scenario.metadata.name, expected="a-z, 0-9, -")
    if not spec.nodes and not spec.pools and not any(task.dump for task in spec.workload):
        raise loaded.error("spec.nodes", "there are no nodes")
    for index, source in enumerate(spec.nodes):
        _one_of(loaded, source, f"spec.nodes[{index}]")
        if source.group is not None:
            _machine(loaded, source.group, f"spec.nodes[{index}].group")
    for index, pool in enumerate(spec.pools):
        _machine(loaded, pool, f"spec.pools[{index}]")
        for name, said in (("provisioning", pool.provisioning), ("boot", pool.boot)):
            if isinstance(said, str):
                duration(loaded, said, f"spec.pools[{index}].{name}")
        if not 0 <= pool.min <= pool.max:
            raise loaded.error(f"spec.pools[{index}]", "min and max do not fit", found=f"{pool.min} to {pool.max}")
    for index, task in enumerate(spec.workload):
        where = f"spec.workload[{index}]"
        _one_of(loaded, task, where)
        if task.openb_like is not None:
            longest = task.openb_like.longest
            if duration(loaded, longest, f"{where}.openbLike.longest") <= 0:
                raise loaded.error(f"{where}.openbLike.longest", "no run time", found=longest, expected="over 0s")
            duration(loaded, task.openb_like.start, f"{where}.openbLike.start")
        if task.rigid_jobs is not None:
            longest = task.rigid_jobs.longest
            if duration(loaded, longest, f"{where}.rigidJobs.longest") < SECOND:
                raise loaded.error(f"{where}.rigidJobs.longest", "no run time", found=longest, expected="1s or more")
        if task.trace is not None:
            if task.trace.load is not None and task.trace.mode == "fill":
                raise loaded.error(f"{where}.trace.load", "nothing departs in a fill", expected="mode: departures")
            duration(loaded, task.trace.every, f"{where}.trace.every")
            if task.trace.mode not in ("departures", "fill"):
                found, expected = task.trace.mode, "departures or fill"
                hint = did_you_mean(found, ("departures", "fill"))
                raise loaded.error(f"{where}.trace.mode", "no such mode", found=found, expected=expected, hint=hint)
        if task.service is not None:
            service = task.service
            amount(loaded, service.cpu, f"{where}.service.cpu", "cpu")
            amount(loaded, service.memory, f"{where}.service.memory")
            amount(loaded, service.cpu_per_request, f"{where}.service.cpuPerRequest", "cpu")
            duration(loaded, service.ready_after, f"{where}.service.readyAfter")
            curve(loaded, service.load, f"{where}.service.load", lambda fields, at: constant(0))
            scaler = service.autoscaler
            if scaler is not None and scaler.min > scaler.max:
                found = f"{scaler.min} to {scaler.max}"
                raise loaded.error(f"{where}.service.autoscaler", "min and max do not fit", found=found)
        if task.clients is not None:
            if task.clients.cpu_per_request is not None:
                amount(loaded, task.clients.cpu_per_request, f"{where}.clients.cpuPerRequest", "cpu")
            curve(loaded, task.clients.load, f"{where}.clients.load", lambda fields, at: constant(0))
    if spec.duration is not None and duration(loaded, spec.duration, "spec.duration") <= 0:
        raise loaded.error("spec.duration", "the run ends before it begins", found=spec.duration, expected="over 0s")
    duration(loaded, spec.scheduling.deadline, "spec.scheduling.deadline")
    if not spec.schedulers:
        raise loaded.error("spec.schedulers", "there is none", expected="at least one, as of `podyard schedulers`")
    for index, gate in enumerate(spec.gates):
        if gate.at_least is None and gate.at_most is None:
            raise loaded.error(f"spec.gates[{index}]", "asks for nothing", expected="atLeast or atMost")
        if gate.at_least is not None and gate.at_most is not None and gate.at_least > gate.at_most:
            found = f"at least {gate.at_least:g}, at most {gate.at_most:g}"
            raise loaded.error(f"spec.gates[{index}]", "no value can hold this gate", found=found)


def _one_of(loaded: LoadedScenario, form: Form, where: str) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(type(form))]
    given = [f.encode_name for f in msgspec.structs.fields(type(form)) if getattr(form, f.name) is not None]
    if len(given) != 1:
        raise loaded.error(where, "is one thing", found=" and ".join(given) or "nothing", expected=" or ".join(names))


def _machine(loaded: LoadedScenario, form: NodeGroup | Pool, where: str) -> None:
    if form.gpu_model and not form.gpus:
        raise loaded.error(f"{where}.gpuModel", "these nodes have no GPUs", found=form.gpu_model, expected="gpus: ..")
    amount(loaded, form.cpu, f"{where}.cpu", "cpu")
    amount(loaded, form.memory, f"{where}.memory")
    for name, value in form.resources.items():
        amount(loaded, value, f"{where}.resources.{name}")


LONGEST_NS = 10 * 365 * 86_400 * 10**9
"""Of a duration in a scenario, ten years: sums stay within 64 bits."""


def amount(loaded: LoadedScenario, value: str | int | float, where: str, resource: str = "") -> int:
    """A quantity in thousandths. Raises UserError for a negative or malformed one, and beyond what can be meant."""
    try:
        quantity = parse_quantity(value)
    except ValueError as error:
        raise loaded.error(where, str(error)) from None
    if quantity.milli < 0:
        raise loaded.error(where, "a resource cannot be negative", found=value, expected="0 or more")
    problem = too_much(resource, quantity)
    if problem:
        raise loaded.error(where, problem, found=value)
    return quantity.milli


def duration(loaded: LoadedScenario, text: str, where: str) -> int:
    """ns. Raises UserError."""
    expected = "a duration such as 90s, 10m or 2h, ten years at most"
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise loaded.error(where, str(error), found=text, expected=expected) from None
    if found > LONGEST_NS:
        raise loaded.error(where, "too long a duration", found=text, expected=expected)
    return found


def curve(loaded: LoadedScenario, form: Any, where: str, file: FileReader) -> LoadCurve:
    """A service's load; `file` reads one that stands in a file. Raises UserError."""
    try:
        return load_curve(form, where, file)
    except UserError as error:
        if error.file is not None:  # told by that reader
            raise
        path, _, what = error.what.partition(": ")
        raise loaded.error(path, what, found=error.found, expected=error.expected, hint=error.hint) from None
