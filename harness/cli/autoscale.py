"""podyard autoscale: a dry run of autoscaler settings on manifests or a cluster's dump."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.output import Form, Output, write

if TYPE_CHECKING:
    from harness.experiment.dry_run import DryRun

FLAGS_TOO = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of the command: what it does not know itself are flags of the cluster autoscaler."""

_MOST_PODS = 3


# size: each parameter is an option of the command line.
def autoscale(
    context: typer.Context,
    scenario: Annotated[str, typer.Option(help="A scenario to begin with; none is needed.", show_default=False)] = "",
    filename: Annotated[
        list[Path] | None,
        typer.Option("-f", "--filename", help="Manifests or `kubectl get .. -A -o yaml`: files, folders, or -."),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(help="name=general,max=10,cpu=4,memory=16Gi,price=0.2,..; label.KEY=, taint.KEY=VALUE:EFFECT."),
    ] = None,
    pools: Annotated[list[Path] | None, typer.Option(help="A file of pools, as in a scenario.")] = None,
    load: Annotated[
        list[str] | None,
        typer.Option(help="SERVICE=300 (requests a second), =FILE of rates, ={curve: ..}, or a file of these."),
    ] = None,
    autoscaler: Annotated[str, typer.Option(help="The node policy (`podyard autoscalers`).", show_default=False)] = "",
    duration: Annotated[str, typer.Option(help="Of virtual time; 1h.", show_default=False)] = "",
    scheduler: Annotated[str, typer.Option("-s", "--scheduler", help="Else the scenario's, or kube.")] = "",
    seed: Annotated[int | None, typer.Option(help="Of all that is drawn at random; the scenario's, or 0.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="PATH=VALUE over the scenario.")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the scenario that this comes to, for `podyard run`.", show_default=False)
    ] = None,
    output: Form = Output.table,
) -> None:
    """A dry run of autoscaling: pods and nodes as they are, pools or NodePools that may grow, a load. Which grow and
    shrink, when, why not, and what that costs; nothing is changed anywhere.

    Where the files have NodePools (karpenter.sh/v1) and no pool is given, it is Karpenter's. Every other option is a
    flag of the autoscaler under its own name: --scale-down-unneeded-time=5m, --batch-idle-duration=2s.
    """
    from harness.cli.parsing import settings_of
    from harness.experiment.asked_scenario import Asked, flags_of, scenario_of
    from harness.experiment.dry_run import dry_run
    from harness.experiment.scenario import find_scenario
    from harness.model.errors import UserError

    if not scenario and not filename:
        expected = "-f FILE, a folder, or - for standard input; or --scenario FILE"
        raise UserError("no cluster is given", expected=expected, hint="kubectl get nodes,pods,.. -A -o yaml")
    with ExitStack() as stack:
        asked = Asked(
            scenario=find_scenario(scenario) if scenario else None,
            manifests=[_file(path, stack) for path in filename or ()],
            pool_files=pools or (),
            pools=pool or (),
            loads=load or (),
            flags=flags_of(context.args),
            settings=settings_of(settings),
            autoscaler=autoscaler,
            duration=duration,
        )
        loaded, notes = scenario_of(asked)
        if save is not None:
            _save(loaded.data, save)
        spec = loaded.scenario.spec
        found = dry_run(loaded, scheduler or spec.schedulers[0], spec.seed if seed is None else seed)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if output is Output.table:
        _print(found)
    else:
        write(found.to_data(), output)
    if not found.result.ok:
        raise typer.Exit(1)


def _file(path: Path, stack: ExitStack) -> Path:
    """Standard input is read once, and looked at twice."""
    from harness.model.loading import STDIN, read_text

    if path != STDIN:
        return path
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="podyard-"))
    kept = Path(folder) / "standard-input"
    kept.write_text(read_text(STDIN, expected="Kubernetes manifests in YAML or JSON"))
    return kept


def _save(data: dict[str, Any], path: Path) -> None:
    import yaml

    from harness.model.errors import UserError

    if path.exists():
        raise UserError("the file is there already", file=path, expected="another name for --save")
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def _print(found: DryRun) -> None:
    from harness.report.tables import print_table

    rows = [(_clock(item.at_ns), *_said(item)) for item in found.happened]
    title = f"What would happen within {_clock(found.end_ns)} ({found.autoscaler}, {found.result.scheduler})"
    if rows:
        print_table(title, ("at", "what", "for"), rows, words=("what", "for"))
    else:
        print(f"{title}: nothing scales")
    groups: dict[tuple[str, tuple[tuple[str, tuple[str, ...]], ...], str], list[str]] = {}
    for item in found.waiting:
        owner = item.pod.rpartition("-")[0] or item.pod
        groups.setdefault((owner, tuple(item.pools.items()), "" if item.pools else item.message), []).append(item.pod)
    why = []
    for (_, pools, message), pods in groups.items():
        name = _names(pods)
        told = [(pool, ", ".join(reasons)) for pool, reasons in pools] or [("", message or "not asked for a node yet")]
        why += [(name if index == 0 else "", pool, reasons) for index, (pool, reasons) in enumerate(told)]
    if why:
        print_table(
            "Pods without a node at the end, and why no pool helps",
            ("pods", "pool", "why not"),
            why,
            words=("pool", "why not"),
        )
    stay = [(node, pool, reason) for node, (pool, reason) in sorted(found.staying.items()) if reason]
    if stay:
        print_table("Nodes of pools that stay", ("node", "pool", "why"), stay, words=("pool", "why"))
    print_table(
        "Pools",
        ("pool", "min", "max", "at the beginning", "most", "at the end", "node-hours", "cost"),
        [
            (
                name,
                about["min"],
                about["max"] if about["max"] is not None else _limits(about["limits"]),
                about["start"],
                about.get("nodesPeak", 0),
                about["end"],
                f"{about.get('nodeHours', 0.0):.2f}",
                f"{about['cost']:.2f}" if "cost" in about else "-",
            )
            for name, about in found.pools.items()
        ],
    )
    if found.cost is not None:
        bound = "at least " if found.cost_is_a_bound else ""
        print(f"cost: {bound}{found.cost:.2f} for {found.node_hours:.2f} node-hours")
    else:
        print(f"{found.node_hours:.2f} node-hours; no price is given, so no cost")
    for service, served in found.result.metrics.get("requests", {}).items():
        print(f"{service}: {100 * served['sloAttainment']:.2f} % of requests answered in time")
    for note in found.notices:
        print(f"note: {note}")
    for text in [*found.result.broken, *found.result.component_faults]:
        print(f"FAILED  {text}")


def _said(item: Any) -> tuple[str, str]:
    data = item.to_data()
    if data["kind"] == "scaleUp":
        ready = data["nodesReadySeconds"]
        came = f", ready at {_clock(round(ready[-1] * 1e9))}" if len(ready) == data["to"] - data["from"] else ""
        if not came:
            came = f", {len(ready)} of them ready" if ready else ", none of them came"
        what = Counter(
            f"{item.get('instanceType', '?')} {item.get('capacityType', '')}" for item in data.get("machines", ())
        )
        types = f" ({', '.join(f'{count} {name}'.strip() for name, count in sorted(what.items()))})" if what else ""
        return f"{data['pool']}: {data['from']} -> {data['to']} nodes{types}{came}", _names(data["pods"])
    if data["kind"] == "scaleDown":
        return f"{data['pool'] or 'no pool'}: node {data['node']} is gone", ""
    if data["kind"] == "replicas":
        return f"{data['workload']}: {data['from']} -> {data['to']} replicas", ""
    return f"{data['reason']}: {data['message']}", data["about"]


def _limits(limits: dict[str, str]) -> str:
    """Of a NodePool."""
    return ", ".join(f"{name} {amount}" for name, amount in sorted(limits.items())) or "no limit"


def _names(pods: list[str]) -> str:
    more = len(pods) - _MOST_PODS
    return ", ".join(pods[:_MOST_PODS]) + (f" and {more} more" if more > 0 else "")


def _clock(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest // 10**8}"
