"""podyard up: a live cluster for kubectl and every other Kubernetes client, until interrupted."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace as replace_fields

from harness.cli.parsing import RAY_ADDRESS
from harness.cli.progress import tell_actors
from harness.cli.stores import file_of, identity_file, open_store

if TYPE_CHECKING:
    from harness.apiserver.http.auth.identity import Identity
    from harness.apiserver.http.web.page import Web
    from harness.cluster.assembly import ClusterPlan
    from harness.cluster.live import LiveCluster
    from harness.model.core import Node

_PLATFORM = {
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": "amd64",
}
"""Labels that every kubelet gives its node. Source: core/v1 well_known_labels.go."""

DISK = "100Gi"
"""Ephemeral storage of each of --nodes: every kubelet tells of some, and manifests that ask for it find a place.
Modelled: a disk of the size that clouds give to nodes by default."""

NONE = "none"
"""As --scheduler: nobody here binds, a scheduler from outside does."""

RESOURCE_CLAIMS = "harness.controllers.objects.resource_claim:ResourceClaimController"
"""Of live clusters only: who allocates devices comes from outside."""

_LIVE = ("starlette", "uvicorn", "wsproto", "cryptography")


# size: each parameter is an option of the command line.
def up(
    scenario: Annotated[
        str | None,
        typer.Argument(help="A scenario to run by the wall clock: its nodes, pools, workload, traffic and faults."),
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=0, help="How many nodes; 3 without a scenario.")] = None,
    kubeconfig: Annotated[Path, typer.Option(help="Where the kubeconfig goes (mode 0600).")] = Path(
        "podyard.kubeconfig"
    ),
    store: Annotated[str, typer.Option(help="memory; sqlite:FILE or etcd:URL to keep the cluster.")] = "memory",
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            "-s",
            help="The strategy that places pods; else the scenario's first, or kube. none: one from outside does.",
        ),
    ] = None,
    time_scale: Annotated[
        float, typer.Option(help="Seconds of the cluster for each of yours; clients see times by your clock.")
    ] = 1.0,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="On loopback; 0: a free one; else the one that the store's cluster had."),
    ] = None,
    audit_log: Annotated[
        Path | None, typer.Option(help="A line of JSON for each request is appended there: audit.k8s.io/v1 Events.")
    ] = None,
    cpu: Annotated[str | None, typer.Option(help="Of each of --nodes; 4.")] = None,
    memory: Annotated[str | None, typer.Option(help="Of each of --nodes; 16Gi.")] = None,
    pods: Annotated[int | None, typer.Option(min=1, help="That each of --nodes takes; 110.")] = None,
    actors: Annotated[
        int, typer.Option(min=0, help="Ray actors that the nodes live in; 0: they live in this process.")
    ] = 0,
    ray_address: Annotated[str | None, typer.Option(help=RAY_ADDRESS)] = None,
    web: Annotated[
        bool, typer.Option("--web", help="Also serve a page of the cluster for browsers of this machine, read-only.")
    ] = False,
    web_faults: Annotated[
        bool, typer.Option("--web-faults", help="With --web: the page has buttons that inject and undo faults.")
    ] = False,
    web_port: Annotated[
        int, typer.Option(min=0, max=65535, help="With --web: the page's, on loopback; 0: a free one.")
    ] = 0,
    seed: Annotated[int | None, typer.Option(help="Of names and of draws; else the scenario's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE over the scenario, as spec.events=false; repeatable.")
    ] = None,
) -> None:
    """Run a cluster on the wall clock and serve the Kubernetes API over HTTPS until interrupted."""
    from harness.model.errors import UserError

    if not 0 < time_scale <= 10_000:
        raise UserError("--time-scale is out of range", found=time_scale, expected="above 0, at most 10000")
    if not web and (web_faults or web_port):
        raise UserError(f"{'--web-faults' if web_faults else '--web-port'} is of the page", hint="--web serves it")
    _check_extra()
    from harness.apiserver.http.audit import AuditLog
    from harness.apiserver.http.auth import kubeconfig as file
    from harness.apiserver.http.auth.identity import save as keep
    from harness.apiserver.http.serve import HttpServer
    from harness.cluster.live import CLOCK_KEY, LiveCluster

    if scenario is None:
        if settings:
            raise UserError("--set is of a scenario", hint="podyard up SCENARIO --set ..")
        machines = _nodes(3 if nodes is None else nodes, cpu or "4", memory or "16Gi", pods or 110)
        scheduler = scheduler or "kube"
        plan = _plain_plan(machines, scheduler, seed or 0)
    else:
        given = {"--nodes": nodes, "--cpu": cpu, "--memory": memory, "--pods": pods}
        for option, value in given.items():
            if value is not None:
                raise UserError(f"{option} is of a cluster without a scenario", hint="--set spec.nodes[0]..=..")
        plan, scheduler = _scenario_plan(scenario, settings, scheduler, seed)
    plan = replace(plan, controllers=(*plan.controllers, RESOURCE_CLAIMS))
    if actors:
        where: dict[str, Any] = {"nodes": "ray", "actors": actors, "ray_address": ray_address}
        plan = replace(plan, settings=replace(plan.settings, **where))
    page = None
    if web:
        plan, page = _page(plan, {"scheduler": scheduler, "timeScale": time_scale}, faults=web_faults, port=web_port)
    opened = open_store(store)
    with contextlib.ExitStack() as undo:
        undo.callback(opened.close)
        path, keys = file_of(store), identity_file(store, kubeconfig)
        identity = _identity(keys, port)
        file.check(kubeconfig, identity.authority.certificate.encode())
        audit = None if audit_log is None else AuditLog(audit_log)
        fresh = scenario is None and opened.get(CLOCK_KEY) is None
        live = LiveCluster(opened, plan, time_scale=time_scale)
        if fresh:
            _furnish(live)
        undo.pop_all()
    try:
        http = HttpServer(
            live.driver_queue,
            epoch_unix_ns=live.epoch_unix_ns,
            identity=identity,
            metrics=None if live.scheduler is None else live.scheduler.prometheus,
            audit=audit,
            web=page,
        )
        http.start()
        try:
            if keys is not None:
                keep(keys, http.identity)
            file.write(kubeconfig, http.kubeconfig(path))
            print(f"{len(plan.nodes)} nodes at {http.url}; interrupt to stop", file=sys.stderr)
            if http.page_url:
                print(f"page: {http.page_url}", file=sys.stderr, flush=True)
            print(f"export KUBECONFIG={kubeconfig.resolve()}", flush=True)
            # `kill` ends it as Ctrl-C does.
            live.cluster.fault_listeners.append(lambda text: print(text, file=sys.stderr))
            tell_actors(live.cluster)
            signal.signal(signal.SIGTERM, lambda *_: live.stop())
            live.run()
        finally:
            http.stop()
    finally:
        live.close()
        if audit is not None:
            audit.close()


def _furnish(live: LiveCluster) -> None:
    """What a new cluster without a scenario has besides nodes: a default StorageClass, as kind's and minikube's."""
    from harness.model.meta import ObjectMeta
    from harness.model.storage import StorageClass
    from harness.model.volumes import IS_DEFAULT_CLASS

    server = live.cluster.server
    if not server.objects("StorageClass"):
        meta = ObjectMeta(name="standard", annotations={IS_DEFAULT_CLASS: "true"})
        server.create(StorageClass(metadata=meta, provisioner="csi.podyard.dev"))


def _page(plan: ClusterPlan, about: dict[str, Any], *, faults: bool, port: int) -> tuple[ClusterPlan, Web]:
    """(the plan with a strategy whose decisions are remembered, what the page shows)."""
    import msgspec

    from harness.apiserver.http.web.page import Web
    from harness.cluster.live_decisions import RecentDecisions
    from harness.faults.registry import FAULTS

    known = None
    if faults:
        forms = {name: FAULTS.load(name) for name in FAULTS.names()}
        known = {
            name: [{"name": field.encode_name, "required": field.required} for field in msgspec.structs.fields(form)]
            for name, form in forms.items()
            if not hasattr(form, "prepares_ns")  # it comes too late for what has to be prepared
        }
    if plan.strategy is None:
        return plan, Web(about=about, faults=known, port=port)
    watched = RecentDecisions(plan.strategy)
    return replace(plan, strategy=watched), Web(about=about, decisions=watched.after, faults=known, port=port)


def _plain_plan(machines: list[Node], scheduler: str, seed: int) -> ClusterPlan:
    """Nodes alike, nothing on them. Raises UserError."""
    from harness.cluster.assembly import ClusterPlan
    from harness.cluster.cluster import ClusterSettings
    from harness.scheduling.cycle.settings import SchedulerSettings
    from harness.scheduling.registry import load

    return ClusterPlan(
        settings=ClusterSettings(seed=seed, references=True),
        nodes=machines,
        strategy=None if scheduler == NONE else load(scheduler)(),
        scheduling=SchedulerSettings(clock=time.perf_counter, preemption=True),
    )


def _scenario_plan(
    name: str, settings: list[str] | None, scheduler: str | None, seed: int | None
) -> tuple[ClusterPlan, str]:
    """Everything that a run of the scenario has, with one of its strategies, and that one's name. Raises UserError."""
    from harness.cli.parsing import settings_of
    from harness.experiment.prepared import prepare
    from harness.experiment.scenario import find_scenario, read_scenario
    from harness.experiment.strategies import load_strategy
    from harness.experiment.strategy_fit import fit_strategy, history_for

    loaded = read_scenario(find_scenario(name), settings_of(settings))
    spec = loaded.scenario.spec
    chosen = scheduler or spec.schedulers[0]
    strategy = None if chosen == NONE else load_strategy(loaded, chosen)()
    prepared = prepare(loaded, spec.seed if seed is None else seed, endless=True)
    unfit = None if strategy is None else fit_strategy(strategy, history_for(strategy, prepared.workload))
    if unfit is not None:
        print(f"{unfit.kind}: {unfit.reason}", file=sys.stderr)
    if spec.duration is not None or spec.gates:
        print("the scenario's duration and gates are of runs: this cluster goes on until interrupted", file=sys.stderr)
    for text in prepared.notices:
        print(f"note: {text}", file=sys.stderr)
    return prepared.cluster_plan(strategy, {}), chosen


def _check_extra() -> None:
    """Raises UserError when what serves HTTP is not installed."""
    from importlib.util import find_spec

    from harness.model.errors import UserError

    missing = [name for name in _LIVE if find_spec(name) is None]
    if missing:
        raise UserError(
            "a live cluster needs packages that are not installed",
            found=f"no {', '.join(missing)}",
            hint='pip install "podyard[live]"',
        )


def _identity(keys: Path | None, port: int | None) -> Identity:
    """What clients know the cluster by whose `keys` are in that file; a new one for one in memory. Raises UserError."""
    from harness.apiserver.http.auth.identity import load, new
    from harness.apiserver.http.serve import lasting_port

    kept = None if keys is None else load(keys)
    identity = kept or new()
    if port is None:
        port = identity.port or (0 if keys is None else lasting_port())
    return replace_fields(identity, port=port)


def _nodes(count: int, cpu: str, memory: str, pods: int) -> list[Node]:
    """Raises UserError for an amount that is none."""
    from harness.model.core import Node, NodeStatus
    from harness.model.meta import ObjectMeta
    from harness.model.quantity import count_quantity
    from workloads.manifests import HOSTNAME, RANK

    amounts: dict[str, Any] = {
        "cpu": _amount("--cpu", cpu),
        "memory": _amount("--memory", memory),
        "ephemeral-storage": _amount("--ephemeral-storage", DISK),
        "pods": count_quantity(pods),
    }
    out = []
    for index in range(count):
        name = f"node-{index:0{len(str(max(count - 1, 0)))}d}"
        out.append(
            Node(
                metadata=ObjectMeta(name=name, labels={HOSTNAME: name, **_PLATFORM}, annotations={RANK: str(index)}),
                status=NodeStatus(capacity=amounts, allocatable=amounts),
            )
        )
    return out


def _amount(option: str, text: str) -> Any:
    from harness.model.errors import UserError
    from harness.model.quantity import parse_quantity

    try:
        found = parse_quantity(text)
    except ValueError as error:
        raise UserError(f"{option} is no quantity", found=text, hint=str(error)) from None
    if found.milli <= 0:
        raise UserError(f"{option} must be more than nothing", found=text)
    return found
