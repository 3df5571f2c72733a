"""What a scenario's nodes come to: Node objects, and the same in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from harness.apiserver.validation.names import qualified_problem
from harness.autoscaling.pool import POOL_LABEL
from harness.experiment.dump import GATEWAY, Dump, check_nodes, read_dump
from harness.experiment.forms import NodeGroup, Pool, PowerForm, TaintForm
from harness.experiment.manifests import Notices, check_object, read_checked_manifests
from harness.experiment.scenario import LoadedScenario, amount
from harness.model.core import Node, NodeSpec, NodeStatus, ResourceList, Taint
from harness.model.errors import did_you_mean
from harness.model.gpu import GPU_COUNT, GPU_MODEL
from harness.model.meta import ObjectMeta
from harness.model.power import CPU_MODELS, Power, Watts
from harness.model.quantity import Quantity, bytes_quantity, count_quantity, milli_quantity
from workloads.manifests import HOSTNAME, RANK, ZONE, to_nodes
from workloads.table import NodeTable

DISK = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class Machines:
    nodes: tuple[Node, ...]
    tables: tuple[NodeTable, ...]
    notices: tuple[str, ...] = ()  # of what manifests ask for and is not modelled
    prices: dict[str, float] = field(default_factory=dict)  # of nodes that have one, by name
    powers: dict[str, Power] = field(default_factory=dict)  # the same, and by 'pool/<name>'


def machines(loaded: LoadedScenario, seed: int, dump: Dump | None = None) -> Machines:
    """In the order of the scenario, which is the order in which ties between nodes are broken; then those of its dump
    (where it has been read: `dump`). Raises UserError."""
    nodes: list[Node] = []
    tables: list[NodeTable] = []
    names: set[str] = set()
    notices: list[str] = []
    prices: dict[str, float] = {}
    powers: dict[str, Power] = {}
    for index, source in enumerate(loaded.scenario.spec.nodes):
        where = f"spec.nodes[{index}]"
        if source.group is not None:
            made: Sequence[Node] = _group(loaded, source.group, f"{where}.group", len(nodes))
            for node in made[: max(1, len(source.group.zones))]:  # but for zones they are alike
                check_object(loaded, node, f"{where}.group")
            tables.append(_table(made))
        elif source.manifests is not None:
            told = Notices()
            files = [loaded.find(path, f"{where}.manifests[{at}]") for at, path in enumerate(source.manifests)]
            made = [item.object for item in read_checked_manifests(files, told) if item.kind == "Node"]
            if not made:
                raise loaded.error(f"{where}.manifests", "there are no nodes in these manifests")
            tables.append(_table(made))
            notices.extend(told)
        else:
            table = _from_table(loaded, index, where, seed)
            tables.append(table)
            made = list(to_nodes(table))
        for node in made:
            if node.metadata.name in names:
                raise loaded.error(where, "a node of this name is there already", found=node.metadata.name)
            names.add(node.metadata.name)
        nodes.extend(made)
        form = source.group or source.openb_like or source.trace
        if form is not None and form.price is not None:
            prices.update((node.metadata.name, form.price) for node in made)
        if form is not None and form.power is not None:
            kind = "group" if source.group else "openbLike" if source.openb_like else "trace"
            power = _power(loaded, form.power, f"{where}.{kind}.power")
            powers.update((node.metadata.name, power) for node in made)
    dump = read_dump(loaded) if dump is None else dump
    check_nodes(loaded, dump, names)
    if dump.nodes:
        nodes.extend(dump.nodes)
        tables.append(_table(dump.nodes))
    for index, pool in enumerate(loaded.scenario.spec.pools):
        if pool.power is not None:
            powers[f"pool/{pool.name}"] = _power(loaded, pool.power, f"spec.pools[{index}].power")
    return Machines(tuple(nodes), tuple(tables), tuple(notices), prices, powers)


def _power(loaded: LoadedScenario, form: PowerForm, where: str) -> Power:
    """Raises UserError for a CPU model that there is not, and for less when used than idle."""
    if (form.cpu_model is None) == (form.cpu_watts is None):
        raise loaded.error(where, "what its CPUs draw is one thing", expected="cpuModel or cpuWatts")
    if form.cpu_watts is not None:
        cpu = _watts(loaded, form.cpu_watts, f"{where}.cpuWatts")
    elif form.cpu_model is not None and form.cpu_model in CPU_MODELS:
        cpu = CPU_MODELS[form.cpu_model]
    else:
        hint = did_you_mean(str(form.cpu_model), list(CPU_MODELS))
        expected = ", ".join(CPU_MODELS) + "; or cpuWatts"
        raise loaded.error(f"{where}.cpuModel", "no such CPU model", found=form.cpu_model, expected=expected, hint=hint)
    return Power(cpu, None if form.gpu_watts is None else _watts(loaded, form.gpu_watts, f"{where}.gpuWatts"))


def _watts(loaded: LoadedScenario, pair: list[float], where: str) -> Watts:
    if pair[0] > pair[1]:
        raise loaded.error(where, "less is drawn when fully used than idle", found=pair, expected="[idle, full]")
    return Watts(pair[0], pair[1])


def _from_table(loaded: LoadedScenario, index: int, where: str, seed: int) -> NodeTable:
    source = loaded.scenario.spec.nodes[index]
    if source.openb_like is not None:
        from workloads.generators.openb_like import openb_like

        form = source.openb_like
        with loaded.told_at(f"{where}.openbLike"):
            _, table = openb_like(1, form.count, seed, cpu_nodes=form.cpu_nodes, zones=form.zones)
        return table
    assert source.trace is not None
    from workloads.readers.fgd import ranked
    from workloads.trace import read_nodes

    path = loaded.find(source.trace.path, f"{where}.trace.path")
    table, _ = read_nodes(path, format=source.trace.format, options=source.trace.options)
    if source.trace.ranks is not None:
        table = ranked(table, loaded.find(source.trace.ranks.replace("{seed}", str(seed)), f"{where}.trace.ranks"))
    return table


def _resources(loaded: LoadedScenario, form: NodeGroup | Pool, where: str) -> ResourceList:
    resources: ResourceList = {
        "cpu": milli_quantity(amount(loaded, form.cpu, f"{where}.cpu")),
        "memory": bytes_quantity(amount(loaded, form.memory, f"{where}.memory") // 1000),
        "pods": count_quantity(form.pods),
    }
    if form.gpus:
        resources[GPU_COUNT] = count_quantity(form.gpus)
    for name, value in form.resources.items():
        path = f"{where}.resources.{name}"
        if name != DISK and "/" not in name:
            expected = f"{DISK}, or an extended resource with a domain, as example.com/fpga"
            raise loaded.error(path, "this is no resource of its own name", found=name, expected=expected)
        problem = qualified_problem(name)
        if problem:
            raise loaded.error(path, problem, found=name, expected=f"{DISK}, or as example.com/fpga")
        thousandths = amount(loaded, value, path)
        if thousandths % 1000:
            raise loaded.error(
                path, "an extended resource comes in whole units", found=value, expected="a whole number"
            )
        resources[name] = bytes_quantity(thousandths // 1000) if name == DISK else Quantity(thousandths)
    return resources


def _taints(forms: list[TaintForm]) -> tuple[Taint, ...]:
    return tuple(Taint(key=form.key, value=form.value, effect=form.effect) for form in forms)


def _group(loaded: LoadedScenario, form: NodeGroup, where: str, first: int) -> list[Node]:
    resources = _resources(loaded, form, where)
    width = len(str(max(form.count - 1, 0)))
    out = []
    for index in range(form.count):
        name = f"{form.name}-{index:0{width}d}"
        labels = {HOSTNAME: name, **form.labels}
        if form.zones:
            labels[ZONE] = form.zones[index % len(form.zones)]
        if form.gpus and form.gpu_model:
            labels[GPU_MODEL] = form.gpu_model
        out.append(
            Node(
                metadata=ObjectMeta(name=name, labels=labels, annotations={RANK: str(first + index)}),
                spec=NodeSpec(taints=_taints(form.taints)),
                status=NodeStatus(capacity=resources, allocatable=resources),
            )
        )
    return out


def pool_template(loaded: LoadedScenario, pool: Pool, where: str) -> Node:
    """A node of a pool, without a name yet."""
    resources = _resources(loaded, pool, where)
    labels = {POOL_LABEL: pool.name, **pool.labels}
    if pool.zone:
        labels[ZONE] = pool.zone
    if pool.gpus and pool.gpu_model:
        labels[GPU_MODEL] = pool.gpu_model
    template = Node(
        metadata=ObjectMeta(labels=labels),
        spec=NodeSpec(taints=_taints(pool.taints)),
        status=NodeStatus(capacity=resources, allocatable=resources),
    )
    check_object(loaded, replace(template, metadata=ObjectMeta(name=f"{pool.name}-0", labels=labels)), where)
    return template


def gateway() -> Node:
    resources: ResourceList = {
        "cpu": milli_quantity(1000),
        "memory": bytes_quantity(1 << 30),
        "pods": count_quantity(0),
    }
    return Node(
        metadata=ObjectMeta(
            name=GATEWAY,
            labels={
                HOSTNAME: GATEWAY,
                "node-role.kubernetes.io/gateway": "",
                # Clients are no zone of the cluster: when all others are down, all of it is.
                "node.kubernetes.io/exclude-disruption": "",
            },
            annotations={RANK: str((1 << 31) - 1)},
        ),
        spec=NodeSpec(unschedulable=True, taints=(Taint(key="node.kubernetes.io/unschedulable"),)),
        status=NodeStatus(capacity=resources, allocatable=resources),
    )


def _table(nodes: Sequence[Node]) -> NodeTable:
    """The columns that bounds and generators look at."""

    def amount_of(node: Node, name: str) -> int:
        quantity = node.status.allocatable.get(name)
        return 0 if quantity is None else quantity.milli

    known = {"cpu", "memory", "pods", GPU_COUNT}
    others = sorted({name for node in nodes for name in node.status.allocatable} - known)
    return NodeTable.of(
        [node.metadata.name for node in nodes],
        cpu_milli=[amount_of(node, "cpu") for node in nodes],
        memory_bytes=[amount_of(node, "memory") // 1000 for node in nodes],
        pods=[amount_of(node, "pods") // 1000 for node in nodes],
        gpu_count=[amount_of(node, GPU_COUNT) // 1000 for node in nodes],
        gpu_model=[node.metadata.labels.get(GPU_MODEL, "") for node in nodes],
        zone=[node.metadata.labels.get(ZONE, "") for node in nodes],
        extra={name: [amount_of(node, name) // 1000 for node in nodes] for name in others},
    )
