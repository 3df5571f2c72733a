"""What a scenario's workload comes to: API objects with the instants at which somebody creates them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import merge
from pathlib import Path
from typing import Any, Literal, assert_never

from harness.engine.component import SECOND, Instant
from harness.engine.streams import seed_of
from harness.experiment.as_stored import AsStored, bears_on_requests
from harness.experiment.dump import Dump, read_dump
from harness.experiment.forms import (
    DEFAULT_GAP,
    ClientTasks,
    RigidJobs,
    TaskSource,
    TraceTasks,
    TrainingJobForm,
    TrainingTasks,
)
from harness.experiment.manifests import Notices, check_object, checked_objects, read_checked_manifests
from harness.experiment.scenario import LoadedScenario, duration
from harness.experiment.services import Traffic, clients, service
from harness.jobs.book import RULES, RoundRules
from harness.measure.demand import Demand
from harness.measure.job_lives import JobLives
from harness.model.core import Pod
from harness.model.cron_jobs import pod_template
from harness.model.dependencies import DEPENDENCY
from harness.model.errors import did_you_mean
from harness.model.loading import Document
from harness.model.training import MODELS, Speeds, TrainingJob, sizes_problem
from workloads.readers.manifests import Manifest
from workloads.table import NodeTable, Provenance, Workload

SETTLE_NS = SECOND
"""Nodes register before the first pod arrives: instant 0 of a workload is this long after the run's."""

LOAD_REACHED = 0.95
"""Of the load that is asked for; less is told."""


@dataclass(frozen=True, slots=True)
class Training:
    """Training jobs, and how fast they go."""

    jobs: tuple[TrainingJob, ...]
    speeds: Speeds
    rules: RoundRules


@dataclass(slots=True)
class PlannedWorkload:
    """Everything that is created, and what measures must know of it. `tables`: workloads in columns."""

    adopted: list[Any] = field(default_factory=list)
    """There from the beginning, as another cluster had them."""
    at_once: list[Any] = field(default_factory=list)
    arrivals: list[Iterable[tuple[Instant, Any]]] = field(default_factory=list)
    tables: list[Workload] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)
    originals: list[Workload] = field(default_factory=list)
    """The lists that its tables are made from: a trace's own, without the copies of an arrival order."""
    learn_from: Callable[[], list[Workload]] = list
    """Makes what strategies may learn the mix of pods from; drawn when it is asked for, as few strategies learn."""
    training: Training | None = None
    notices: list[str] = field(default_factory=list)
    """What manifests ask for and is not modelled, and what is asked for and cannot be."""

    def objects(self) -> list[Any]:
        """All but what tables hold."""
        return [*self.adopted, *self.created()]

    def created(self) -> list[Any]:
        """Of these, what somebody creates."""
        later = [obj for arrivals in self.arrivals if isinstance(arrivals, list) for _, obj in arrivals]
        return [*self.at_once, *later]

    @property
    def has_dependencies(self) -> bool:
        """Whether something waits for something else to end."""
        metas = [obj.metadata for obj in self.objects()]
        return any(any(table.after.values) for table in self.tables) or any(
            DEPENDENCY in meta.annotations for meta in metas
        )

    def pod_labels(self) -> list[dict[str, str]]:
        """Each set of labels that a pod of the workload has, with its app where it comes from a table."""
        found = [labels for obj in self.objects() if (labels := _labels_of_pods(obj)) is not None]
        found += [{"app": app} for table in self.tables for app in table.app.values if app]
        found += [{}] if self.tables else []
        return list({tuple(sorted(labels.items())): labels for labels in found}.values())

    def stream(self) -> Iterator[tuple[Instant, Any]]:
        """(instant, object) in order; at one instant in the order of the scenario."""
        yield from ((SETTLE_NS // 2, obj) for obj in self.at_once)
        yield from merge(*self.arrivals, key=lambda item: item[0])

    def noted_stream(self, demand: Demand, jobs: JobLives | None = None) -> Iterator[tuple[Instant, Any]]:
        """The same, told to `demand` and `jobs`; to `demand` what is there already, too."""
        stored = AsStored(self.at_once)
        for obj in self.adopted:
            stored.see(obj)
            if obj.metadata.controller() is None:
                demand.arrives(0, obj)
        return noted(self.stream(), demand, jobs, stored.of)

    @property
    def requests_unknown(self) -> str:
        """Why it is not known before a run what its pods ask for; "" where it is."""
        later = [obj for arrivals in self.arrivals if isinstance(arrivals, list) for _, obj in arrivals]
        return bears_on_requests([*self.adopted, *self.at_once], later)


def _labels_of_pods(obj: Any) -> dict[str, str] | None:
    """Of the pod that an object is, or of those that it makes."""
    if isinstance(obj, Pod):
        return obj.metadata.labels
    template, _ = pod_template(obj)
    return None if template is None else template.metadata.labels


def noted(
    items: Iterable[tuple[Instant, Any]],
    demand: Demand,
    jobs: JobLives | None = None,
    stored: Callable[[Any], Any] = lambda obj: obj,
) -> Iterator[tuple[Instant, Any]]:
    """The same, told to `demand` and `jobs` as they are taken, as they will be `stored`; up to the first arrival at
    once, as the window begins with it."""
    rest = iter(items)
    ahead: list[tuple[Instant, Any]] = []

    def tell(at: Instant, obj: Any) -> None:
        kept = stored(obj)
        demand.arrives(at, kept)
        if jobs is not None:
            jobs.arrives(at, kept)

    for item in rest:
        tell(*item)
        ahead.append(item)
        if demand.first_ns >= 0:
            break

    def told() -> Iterator[tuple[Instant, Any]]:
        yield from ahead
        for item in rest:
            tell(*item)
            yield item

    return told()


def plan(loaded: LoadedScenario, nodes: Sequence[NodeTable], seed: int, dump: Dump | None = None) -> PlannedWorkload:
    """`dump`: that of the scenario, where it has been read. Raises UserError for what a source cannot be made from."""
    _check_history(loaded)
    made = _plan(loaded, nodes, seed, read_dump(loaded) if dump is None else dump)
    made.learn_from = partial(_history, loaded, nodes, seed, made)
    return made


def _plan(loaded: LoadedScenario, nodes: Sequence[NodeTable], seed: int, dump: Dump) -> PlannedWorkload:
    made = PlannedWorkload()
    made.adopted += dump.adopted
    made.at_once += dump.added
    made.notices += dump.notices
    for index, task in enumerate(loaded.scenario.spec.workload):
        where = f"spec.workload[{index}]"
        if task.openb_like is not None:
            _openb_like(loaded, task, where, made, nodes, seed_of(seed, where) >> 64)
        elif task.trace is not None:
            _trace(loaded, task, where, made, nodes, seed)
        elif task.rigid_jobs is not None:
            _rigid_jobs(loaded, task.rigid_jobs, index, made, nodes, seed)
        elif task.service is not None:
            objects, clients = service(loaded, task.service, f"{where}.service", SETTLE_NS)
            for obj in objects:
                check_object(loaded, obj, f"{where}.service")
            made.at_once += objects
            made.traffic.append(clients)
        elif task.training is not None:
            made.training = _training(loaded, task.training, f"{where}.training", made)
        elif task.manifests is not None:
            _manifests(loaded, task.manifests, f"{where}.manifests", made)
        elif task.objects is not None:
            told = Notices()
            _add_manifests(checked_objects(loaded, task.objects, f"{where}.objects", told), made, told)
    for index, task in enumerate(loaded.scenario.spec.workload):
        if task.clients is not None:
            _clients(loaded, task.clients, f"spec.workload[{index}].clients", made)
    return made


def _check_history(loaded: LoadedScenario) -> None:
    spec = loaded.scenario.spec
    traces = [index for index, task in enumerate(spec.workload) if task.trace is not None]
    if spec.scheduling.history == "past" and traces:
        where = f"spec.workload[{traces[0]}].trace"
        raise loaded.error(where, "a trace has no past", expected="spec.scheduling.history: workload, or none")


def history_of(loaded: LoadedScenario) -> Literal["workload", "past", "none"]:
    """What fit() is shown, as `spec.scheduling.history` says; by default the past, of which a trace has none, and never
    the future."""
    spec = loaded.scenario.spec
    if spec.scheduling.history is not None:
        return spec.scheduling.history
    return "none" if any(task.trace is not None for task in spec.workload) else "past"


def _history(loaded: LoadedScenario, nodes: Sequence[NodeTable], seed: int, made: PlannedWorkload) -> list[Workload]:
    """What a strategy that learns is shown before anything arrives, as `spec.scheduling.history` says: the lists of the
    run itself, lists drawn in the same way with another seed, or nothing."""
    kind = history_of(loaded)
    match kind:
        case "workload":
            return made.originals
        case "none":
            return []
        case "past":
            return _plan(loaded, nodes, seed_of(seed, "history") >> 64, Dump()).originals
        case _:
            assert_never(kind)


def _clients(loaded: LoadedScenario, form: ClientTasks, where: str, made: PlannedWorkload) -> None:
    """Of a Service that something else of the workload makes."""
    served = {item.service for item in made.traffic}
    objects, traffic = clients(loaded, form, where, [*made.adopted, *made.at_once], SETTLE_NS)
    if traffic.service in served:
        raise loaded.error(f"{where}.service", "this Service has clients already", found=traffic.service)
    many = len(made.adopted)
    made.adopted, made.at_once = objects[:many], objects[many:]
    made.traffic.append(traffic)


def _add_table(
    made: PlannedWorkload,
    workload: Workload,
    start_ns: int,
    controller: str,
    gpu_words: Any = "share",
    original: Workload | None = None,
) -> None:
    from workloads.manifests import to_jobs, to_pods, to_prerequisites

    made.originals.append(workload if original is None else original)
    made.tables.append(workload)
    made.at_once.extend(to_prerequisites(workload))
    pods = to_pods(workload, gpu_words=gpu_words)
    tasks: Iterator[tuple[int, Any]] = to_jobs(pods) if controller == "Job" else pods
    made.arrivals.append((SETTLE_NS + start_ns + at, task) for at, task in tasks)


def _openb_like(
    loaded: LoadedScenario, task: TaskSource, where: str, made: PlannedWorkload, nodes: Sequence[NodeTable], seed: int
) -> None:
    from workloads.generators.openb_like import openb_like

    form = task.openb_like
    assert form is not None
    count = sum(len(table) for table in nodes) or 1
    longest_ns = duration(loaded, form.longest, f"{where}.openbLike.longest")
    with loaded.told_at(f"{where}.openbLike"):
        workload, _ = openb_like(form.pods, count, seed, longest_ns=longest_ns, constrained_percent=form.constrained)
    if form.load is not None:
        workload = _at_load(workload, nodes, form.load, f"{where}.openbLike.load", made)
    _add_table(made, workload, duration(loaded, form.start, f"{where}.openbLike.start"), form.controller)


def _at_load(
    workload: Workload, nodes: Sequence[NodeTable], percent: int, where: str, made: PlannedWorkload
) -> Workload:
    """Arrivals stretched or squeezed: what runs asks for so much of the GPUs on average, or of the CPUs without any. A
    notice where all of it at once is less than that."""
    from workloads.generators.openb_like import at_load, mean_demand

    gpus = sum(table.gpu_total_milli for table in nodes)
    if gpus:
        amounts, target = workload.gpu_total_milli, gpus * percent // 100
    else:
        cpus = sum(int(table.cpu_milli.sum()) for table in nodes)
        amounts, target = workload.cpu_milli, cpus * percent // 100
    arrival = at_load(workload.arrival_ns, workload.duration_ns, amounts, target)
    reached = mean_demand(arrival, workload.duration_ns, amounts) * percent / max(target, 1)
    if len(workload) > 1 and amounts.any() and reached < LOAD_REACHED * percent:
        made.notices.append(
            f"{where}: {percent} % is out of reach: {len(workload)} pods ask for {reached:.0f} %, although they all "
            "arrive at once. More pods would reach it, or fewer nodes"
        )
    return replace(workload, arrival_ns=arrival)


def _rigid_jobs(
    loaded: LoadedScenario, form: RigidJobs, index: int, made: PlannedWorkload, nodes: Sequence[NodeTable], seed: int
) -> None:
    """The first such source of a seed has the jobs that `workloads.generators.lublin --seed` writes."""
    from workloads.generators import heavy_tailed, lublin
    from workloads.generators.rigid import to_workload

    where = f"spec.workload[{index}].rigidJobs"
    cpus = sum(int(table.cpu_milli.sum()) for table in nodes) // 1000
    processors = form.processors if form.processors is not None else cpus
    if processors < 2:
        raise loaded.error(f"{where}.processors", "a machine for jobs", found=processors, expected="2 CPUs or more")
    first = next(at for at, task in enumerate(loaded.scenario.spec.workload) if task.rigid_jobs is not None)
    drawn = seed if index == first else seed_of(seed, where) >> 64
    longest_s = duration(loaded, form.longest, f"{where}.longest") // SECOND
    shape = (form.jobs, processors, form.load, drawn, longest_s)
    if form.model == "lublin":
        jobs = [job for job, _ in lublin.draw(lublin.LublinLog(*shape, users=form.users))]
    else:
        jobs = list(heavy_tailed.draw(heavy_tailed.HeavyTailedLog(*shape, users=form.users)))
    drawn_by = Provenance(f"generated: {form.model}, {form.jobs} jobs, {processors} processors, load {form.load} %")
    prefix = "job" if index == first else f"job{index}"
    _add_table(made, to_workload(jobs, drawn_by, form.processors_per_pod, prefix), 0, "none")


def _paced(
    loaded: LoadedScenario,
    workload: Workload,
    form: TraceTasks,
    nodes: Sequence[NodeTable],
    where: str,
    made: PlannedWorkload,
) -> Workload:
    """With the trace's time compressed, and arrivals at the load that is asked for. Raises UserError for what only a
    fill, or an order of arrival, goes by."""
    if form.mode != "fill" and form.together > 1:
        what, expected = "arrivals are together in a fill", "mode: fill, or none of it"
        raise loaded.error(f"{where}.together", what, found=form.together, expected=expected)
    if form.mode != "fill" and form.order is None and form.every != DEFAULT_GAP:
        expected = "mode: fill, an order, or load: .. for other arrivals"
        raise loaded.error(f"{where}.every", "arrivals come as the trace has them", found=form.every, expected=expected)
    if form.mode == "fill" and (form.load is not None or form.compress != 1.0):
        what = "a fill has no times that could be changed"
        raise loaded.error(f"{where}.mode", what, found="load or compress", expected="every, or mode: departures")
    if form.compress != 1.0:
        workload = workload.compressed(form.compress)
    return workload if form.load is None else _at_load(workload, nodes, form.load, f"{where}.load", made)


def _trace(
    loaded: LoadedScenario, task: TaskSource, where: str, made: PlannedWorkload, nodes: Sequence[NodeTable], seed: int
) -> None:

    from workloads.readers.fgd import arrive
    from workloads.trace import read

    form = task.trace
    assert form is not None
    path = loaded.find(form.path, f"{where}.trace.path")
    every = duration(loaded, form.every, f"{where}.trace.every")
    fill = every if form.mode == "fill" else None
    options = {**form.options, "map": dict(form.map)} if form.map else form.options
    trace = read(path, format=form.format, options=options, repair=True, fill_gap_ns=fill)
    original = workload = trace.workload
    made.notices.extend(report.left_out for report in trace.reports if report.errors)
    if form.order is not None:
        order: Path = loaded.find(form.order.replace("{seed}", str(seed)), f"{where}.trace.order")
        workload = arrive(workload, order, gap_ns=every)
    if fill is not None and form.together > 1:
        workload = workload.one_by_one(every, form.together)
    if form.first is not None:
        workload = workload.take(slice(0, form.first))
    workload = _paced(loaded, workload, form, nodes, f"{where}.trace", made)
    _add_table(made, workload, 0, form.controller, form.gpu_words, original)


def _training(loaded: LoadedScenario, form: TrainingTasks, where: str, made: PlannedWorkload) -> Training:
    from workloads.training import elastic, read_speeds, read_training_jobs, to_job

    if len(loaded.scenario.spec.workload) > 1:
        raise loaded.error(
            where, "training jobs have a scenario to themselves", expected="no other workload beside them"
        )
    if loaded.scenario.spec.pools:
        raise loaded.error(
            "spec.pools", "training jobs run on the GPUs that are there", expected="no pools beside them"
        )
    if (form.path is None) == (form.jobs is None):
        found = "neither" if form.path is None else "both"
        raise loaded.error(where, "training jobs come from one place", found=found, expected="path or jobs")
    if form.jobs is not None:
        jobs = _training_jobs(loaded, form.jobs, f"{where}.jobs")
    else:
        jobs = read_training_jobs(loaded.find(form.path or "", f"{where}.path"))
    doublings = None if form.doublings is None else _table(loaded, form.doublings, f"{where}.doublings")
    speeds = read_speeds(_table(loaded, form.speeds, f"{where}.speeds"), doublings)
    if form.elastic:
        jobs = tuple(elastic(job, form.elastic, speeds) for job in jobs)
    made.arrivals.append([(SETTLE_NS + round(job.arrival_s * 1e9), to_job(job)) for job in jobs])
    round_s = _whole_seconds(loaded, form.round, f"{where}.round", least=1)
    restart_s = _whole_seconds(loaded, form.restart, f"{where}.restart", least=0)
    if restart_s >= round_s:
        about = {"found": form.restart, "expected": f"less than a round, {form.round}"}
        raise loaded.error(f"{where}.restart", "a restart leaves no time to work in a round", **about)
    # Shockwave's simulator charges what lasts longer than a round less 5 s; a round shorter than a restart, nothing.
    charged_from_s = max(restart_s, round_s - (RULES.round_s - RULES.charged_from_s))
    checkpoint_s = _whole_seconds(loaded, form.checkpoint, f"{where}.checkpoint", least=0)
    rules = RoundRules(round_s, restart_s, charged_from_s, checkpoint_s=checkpoint_s)
    return Training(jobs, speeds, rules)


def _training_jobs(loaded: LoadedScenario, rows: list[TrainingJobForm], where: str) -> tuple[TrainingJob, ...]:
    """By arrival, then id."""
    jobs: dict[int, TrainingJob] = {}
    for index, row in enumerate(rows):
        at = f"{where}[{index}]"
        if row.id in jobs:
            raise loaded.error(f"{at}.id", "a job is there twice", found=row.id)
        if row.model not in MODELS:
            about = {"found": row.model, "expected": ", ".join(MODELS), "hint": did_you_mean(row.model, tuple(MODELS))}
            raise loaded.error(f"{at}.model", "no such model", **about)
        problem = sizes_problem(row.sizes, row.gang) if row.sizes else None
        if problem:
            raise loaded.error(f"{at}.sizes", problem, found=row.sizes, expected="sizes such as [1, 2, 4], or nothing")
        arrival_s = duration(loaded, row.arrival, f"{at}.arrival") / SECOND
        jobs[row.id] = TrainingJob(
            row.id, row.model, row.batch_size, row.gang, row.mode, row.steps, arrival_s, tuple(sorted(row.sizes))
        )
    if not jobs:
        raise loaded.error(where, "there are no jobs", expected="at least one")
    return tuple(sorted(jobs.values(), key=lambda job: (job.arrival_s, job.id)))


def _table(loaded: LoadedScenario, given: str | dict[str, Any], where: str) -> Path | Document:
    """A file that the scenario names, or what it has there itself."""
    return loaded.find(given, where) if isinstance(given, str) else loaded.document.part(where, given)


def _whole_seconds(loaded: LoadedScenario, text: str, where: str, least: int) -> int:
    ns = duration(loaded, text, where)
    if ns % SECOND or ns < least * SECOND:
        raise loaded.error(where, "is no whole number of seconds", found=text, expected=f"{least}s or more")
    return ns // SECOND


def _manifests(loaded: LoadedScenario, paths: list[str], where: str, made: PlannedWorkload) -> None:
    if not paths:
        raise loaded.error(where, "names no file", expected="Kubernetes manifests")
    files = [loaded.find(path, f"{where}[{index}]") for index, path in enumerate(paths)]
    told = Notices()
    _add_manifests(read_checked_manifests(files, told), made, told)


def _add_manifests(manifests: Sequence[Manifest], made: PlannedWorkload, told: Notices) -> None:
    later: list[tuple[Instant, Any]] = []
    for manifest in manifests:
        if manifest.arrival_ns:
            later.append((SETTLE_NS + manifest.arrival_ns, manifest.object))
        else:
            made.at_once.append(manifest.object)
    made.arrivals.append(later)
    made.notices.extend(told)
