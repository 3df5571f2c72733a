"""podyard up: a live cluster for kubectl and every other Kubernetes client, until interrupted."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.model.core import Node
    from harness.store.interface import Store

_LIVE = ("starlette", "uvicorn", "cryptography")


# size: each parameter is an option of the command line.
def up(
    nodes: Annotated[int, typer.Option(min=0, help="How many nodes.")] = 3,
    kubeconfig: Annotated[Path, typer.Option(help="Where the kubeconfig goes (mode 0600).")] = Path(
        "podyard.kubeconfig"
    ),
    store: Annotated[str, typer.Option(help="memory, or sqlite:FILE to keep the cluster.")] = "memory",
    scheduler: Annotated[str, typer.Option("--scheduler", "-s", help="The strategy that places pods.")] = "greedy",
    time_scale: Annotated[float, typer.Option(help="Seconds of the cluster for each second of yours.")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On loopback; 0: a free one.")] = 0,
    cpu: Annotated[str, typer.Option(help="Of each node.")] = "4",
    memory: Annotated[str, typer.Option(help="Of each node.")] = "16Gi",
    pods: Annotated[int, typer.Option(min=1, help="That each node takes.")] = 110,
    seed: Annotated[int, typer.Option(help="Of names, and of strategies that draw.")] = 0,
) -> None:
    """Run a cluster on the wall clock and serve the Kubernetes API over HTTPS until interrupted."""
    from harness.model.errors import UserError

    if not 0 < time_scale <= 10_000:
        raise UserError("--time-scale is out of range", found=time_scale, expected="above 0, at most 10000")
    _check_extra()
    from harness.apiserver.http.auth import kubeconfig as file
    from harness.apiserver.http.serve import HttpServer
    from harness.cluster.assembly import ClusterPlan
    from harness.cluster.cluster import ClusterSettings
    from harness.cluster.live import LiveCluster
    from harness.scheduling.cycle.settings import SchedulerSettings
    from harness.scheduling.registry import load

    machines = _nodes(nodes, cpu, memory, pods)
    plan = ClusterPlan(
        settings=ClusterSettings(seed=seed),
        strategy=load(scheduler)(),
        scheduling=SchedulerSettings(clock=time.perf_counter, preemption=True),
    )
    live = LiveCluster(_store(store), plan, time_scale=time_scale)
    try:
        http = HttpServer(
            live.driver_queue, epoch_unix_ns=live.epoch_unix_ns, port=port, metrics=live.scheduler.prometheus
        )
        http.start()
        try:
            file.write(kubeconfig, http.kubeconfig())
            live.start_nodes(machines)
            print(f"{len(machines)} nodes at {http.url}; interrupt to stop", file=sys.stderr)
            print(f"export KUBECONFIG={kubeconfig.resolve()}", flush=True)
            # `kill` ends it as Ctrl-C does.
            signal.signal(signal.SIGTERM, lambda *_: live.stop())
            live.run()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)
        finally:
            http.stop()
    finally:
        live.close()


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


def _store(text: str) -> Store:
    """Raises UserError."""
    from harness.model.errors import UserError
    from harness.store.codec import ObjectCodec

    kind, _, rest = text.partition(":")
    if kind == "memory" and not rest:
        from harness.store.memory import MemoryStore

        return MemoryStore(ObjectCodec())
    if kind == "sqlite" and rest:
        from harness.store.sqlite import SqliteStore

        path, _, option = rest.partition("?accept-revision=")
        if option and not option.isdecimal():
            raise UserError("--store is not understood", found=text, expected="sqlite:FILE?accept-revision=NUMBER")
        return SqliteStore(path, ObjectCodec(), accept_revision=int(option) if option else None)
    raise UserError("--store is not understood", found=text, expected="memory, or sqlite:FILE")


def _nodes(count: int, cpu: str, memory: str, pods: int) -> list[Node]:
    """Raises UserError for an amount that is none."""
    from harness.model.core import Node, NodeStatus
    from harness.model.meta import ObjectMeta
    from harness.model.quantity import count_quantity
    from workloads.manifests import HOSTNAME, RANK

    amounts: dict[str, Any] = {
        "cpu": _amount("--cpu", cpu),
        "memory": _amount("--memory", memory),
        "pods": count_quantity(pods),
    }
    out = []
    for index in range(count):
        name = f"node-{index:0{len(str(max(count - 1, 0)))}d}"
        out.append(
            Node(
                metadata=ObjectMeta(name=name, labels={HOSTNAME: name}, annotations={RANK: str(index)}),
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
