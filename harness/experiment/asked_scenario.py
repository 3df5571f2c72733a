"""A scenario put together from what a command was given (a dump, pools, loads, flags); errors point at that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from harness.autoscaling.cluster.settings import FLAGS, REFUSED
from harness.autoscaling.policy import stands_alone
from harness.autoscaling.provisioning.settings import SETTINGS
from harness.experiment.dump import POOL_LABELS, dump_of
from harness.experiment.forms import Pool
from harness.experiment.scenario import API_VERSION, KIND, LoadedScenario, _document, from_document
from harness.model.core import Node
from harness.model.errors import UserError, did_you_mean
from harness.model.gpu import GPU_COUNT
from harness.model.karpenter import NodePool
from harness.model.loading import BY_HAND, Document, load_one, load_value, read_text
from workloads.manifests import HOSTNAME

JUST_IN_TIME = "just-in-time"

WITHOUT_EFFECT = frozenset(
    {
        "add-dir-header", "address", "alsologtostderr", "aws-use-static-instance-list",
        "bulk-mig-instances-listing-enabled", "cloud-config", "cloud-provider", "cloud-provider-gce-l7lb-src-cidrs",
        "cloud-provider-gce-lb-src-cidrs", "cluster-name", "cluster-snapshot-parallelism",
        "clusterapi-cloud-config-authoritative", "debugging-snapshot-enabled", "emit-per-nodegroup-metrics",
        "gce-concurrent-refreshes", "gce-expander-ephemeral-storage-support",
        "gce-mig-instances-min-refresh-wait-time", "kube-api-content-type", "kube-client-burst", "kube-client-qps",
        "kubeconfig", "kubernetes", "leader-elect", "leader-elect-lease-duration", "leader-elect-renew-deadline",
        "leader-elect-resource-lock", "leader-elect-resource-name", "leader-elect-resource-namespace",
        "leader-elect-retry-period", "log-backtrace-at", "log-dir", "log-file", "log-file-max-size",
        "log-flush-frequency", "log-json-info-buffer-size", "log-json-split-stream", "log-text-info-buffer-size",
        "log-text-split-stream", "logging-format", "logtostderr", "max-failing-time", "max-inactivity",
        "max-node-skip-eval-time-tracker-enabled", "namespace", "node-group-auto-discovery",
        "node-info-cache-expire-time", "node-removal-latency-tracking-enabled", "one-output", "predicate-parallelism",
        "profiling", "regional", "skip-headers", "skip-log-headers", "status-config-map-name", "stderrthreshold",
        "user-agent", "v", "vmodule", "write-status-configmap",
    }
)  # fmt: skip
"""Flags of the cluster autoscaler that change nothing about what it decides, so that its own command line can be given.
Source: cluster-autoscaler/main.go (1.32), k8s.io/component-base and klog's flags."""

_OWN_TAINTS = ("node.kubernetes.io/", "ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler")


class GivenDocument(Document):
    """`parts`: for a path in the document, where that was given: another document and the path there, or words."""

    __slots__ = ("parts",)

    def __init__(self, data: Any, base: Document | None) -> None:
        super().__init__(data, "" if base is None else base.file, None)
        self.parts: dict[str, tuple[Document | None, str]] = {}
        if base is not None:
            self.parts[""] = (base, "")

    def error(self, path: str, what: str, **about: Any) -> UserError:
        for given, (document, there) in sorted(self.parts.items(), key=lambda item: -len(item[0])):
            if path == given or not given or (path.startswith(given) and path[len(given)] in ".["):
                if document is None:
                    return UserError(f"{there}: {_without(what, path, given)}", **about)
                return document.error(there + path[len(given) :], what, **about)
        return UserError(what, **about)


def _without(what: str, path: str, given: str) -> str:
    """Its own name for the field instead of the path in a scenario that nobody wrote."""
    rest = path[len(given) :].lstrip(".")
    return what.replace(f"{path}: ", f"{rest}: " if rest else "", 1)


@dataclass(slots=True)
class Asked:
    """What the command line says. `manifests`: files, folders or "-"; `loads`, `pools`, `flags`: as written."""

    scenario: Path | None = None
    manifests: Sequence[Path] = ()
    pool_files: Sequence[Path] = ()
    pools: Sequence[str] = ()
    loads: Sequence[str] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    autoscaler: str = ""
    duration: str = ""


def scenario_of(asked: Asked) -> tuple[LoadedScenario, list[str]]:
    """(the scenario, what was given and changes nothing). Raises UserError."""
    base = None if asked.scenario is None else _document(asked.scenario)
    if base is not None and not isinstance(base.data, dict):
        raise base.error("", "not a scenario", found=type(base.data).__name__, expected="a mapping")
    data: dict[str, Any] = _copied(base.data) if base is not None else _empty()
    document = GivenDocument(data, base)
    spec = data.setdefault("spec", {})
    workload = spec.setdefault("workload", [])
    spec.setdefault("nodes", [])
    notes: list[str] = []
    nodes: list[Node] = []
    node_pools: list[str] = []
    if asked.manifests:
        nodes, node_pools = _nodes(asked.manifests)
        document.parts[f"spec.workload[{len(workload)}]"] = (None, "-f")
        workload.append({"dump": [str(path) if str(path) == "-" else str(path.absolute()) for path in asked.manifests]})
    _add_loads(asked, document, workload)
    _add_pools(asked, document, spec.setdefault("pools", []), nodes)
    if asked.autoscaler:
        spec["autoscaler"] = asked.autoscaler
        document.parts["spec.autoscaler"] = (None, "--autoscaler")
    elif node_pools and not spec["pools"] and "autoscaler" not in spec:
        spec["autoscaler"] = JUST_IN_TIME
        notes.append(f"--autoscaler {JUST_IN_TIME}: there are NodePools ({', '.join(node_pools)}) and no pools")
    _add_flags(asked, document, spec, notes)
    if asked.duration or "duration" not in spec:
        spec["duration"] = asked.duration or "1h"
        document.parts["spec.duration"] = (None, "--duration")
    if base is None:
        document.parts[""] = (None, "podyard autoscale")
    loaded = from_document(document, asked.settings, {})
    if base is None:  # files that are named stand beside whoever asks
        loaded = msgspec.structs.replace(loaded, file=str(Path.cwd() / "autoscale.yaml"))
    alone = stands_alone(loaded.scenario.spec.autoscaler)
    if alone and base is None and not node_pools and _name_of(spec) == JUST_IN_TIME:
        raise UserError(
            f"{JUST_IN_TIME} goes by NodePools, and there are none",
            expected="a NodePool (karpenter.sh/v1) among the files of -f",
        )
    if not alone and not loaded.scenario.spec.pools:
        raise _no_pools(nodes)
    return loaded, notes


def _name_of(spec: Mapping[str, Any]) -> str:
    return str(spec.get("autoscaler", "")).partition("?")[0]


def _empty() -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "autoscale"},
        "spec": {"nodes": [], "workload": [], "schedulers": ["kube"], "bound": False},
    }


def _copied(data: dict[str, Any]) -> dict[str, Any]:
    out = dict(data)
    out["spec"] = {
        key: list(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value
        for key, value in (data.get("spec") or {}).items()
    }
    return out


def _nodes(paths: Sequence[Path]) -> tuple[list[Node], list[str]]:
    """(nodes of files, for the shape of their pools; names of NodePools). Standard input is read once, later."""
    files = [path for path in paths if str(path) != "-"]
    if not files:
        return [], []
    dump = dump_of(files)
    pools = [obj.metadata.name for obj in (*dump.objects, *dump.added) if isinstance(obj, NodePool)]
    return [*dump.nodes, *dump.off], sorted(pools)


# -- pools -------------------------------------------------------------------------------------------------------------


def _add_pools(asked: Asked, document: GivenDocument, pools: list[Any], nodes: Sequence[Node]) -> None:
    for path in asked.pool_files:
        given = load_one(read_text(path, most=BY_HAND.yaml_bytes, expected="pools in YAML"), path)
        items, at = given.data, ""
        if isinstance(items, dict):
            at = "spec.pools" if "spec" in items else "pools"
            items = (items.get("spec") or {}).get("pools") if "spec" in items else items.get("pools")
        if not isinstance(items, list) or not items:
            raise given.error(
                at, "no pools", found=type(given.data).__name__, expected="a list of pools, or pools: [..]"
            )
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise given.error(f"{at}[{index}]", "not a pool", found=repr(item)[:80], expected="name, max, cpu, ..")
            document.parts[f"spec.pools[{len(pools)}]"] = (given, f"{at}[{index}]")
            pools.append(_shaped(item, nodes))
    for text in asked.pools:
        document.parts[f"spec.pools[{len(pools)}]"] = (None, f"--pool {text}")
        pools.append(_shaped(_pool(text), nodes))


_POOL_KEYS = {field.encode_name for field in msgspec.structs.fields(Pool)}


def _pool(text: str) -> dict[str, Any]:
    """'name=np,max=10,cpu=4,label.tier=web,taint.dedicated=gpu:NoSchedule'. Raises UserError."""
    out: dict[str, Any] = {}
    for item in text.split(","):
        key, equals, value = item.strip().partition("=")
        if not equals:
            expected = "as name=general,max=10,cpu=4,memory=16Gi,price=0.2"
            raise UserError(f"--pool {text}: {item!r} says nothing", expected=expected)
        if key.startswith("label."):
            out.setdefault("labels", {})[key.removeprefix("label.")] = value
        elif key.startswith("taint."):
            said, _, effect = value.rpartition(":")
            taint = {"key": key.removeprefix("taint."), "value": said, "effect": effect}
            out.setdefault("taints", []).append(taint)
        elif key.startswith("resource."):
            out.setdefault("resources", {})[key.removeprefix("resource.")] = value
        elif key in _POOL_KEYS and key not in ("labels", "taints", "resources"):
            out[key] = value if key in ("name", "cpu", "memory", "zone", "gpuModel") else load_value(value, "--pool")
        else:
            known = [*sorted(_POOL_KEYS - {"labels", "taints", "resources"}), "label.KEY", "taint.KEY", "resource.NAME"]
            expected = ", ".join(known)
            raise UserError(f"--pool {text}: unknown key {key!r}", expected=expected, hint=did_you_mean(key, known))
    return out


def _shaped(pool: dict[str, Any], nodes: Sequence[Node]) -> dict[str, Any]:
    """With the shape of its nodes in the dump, where it says none of its own: the cluster autoscaler takes one of the
    pool's nodes for its template, too. Source: cluster-autoscaler 1.32,
    processors/nodeinfosprovider/mixed_nodeinfos_processor.go."""
    if "cpu" in pool:
        return pool
    like = next((node for node in nodes if _pool_of(node) == pool.get("name")), None)
    if like is None:
        return pool
    amounts = dict(like.status.allocatable)
    shape: dict[str, Any] = {
        "cpu": str(amounts.pop("cpu", "0")),
        "memory": str(amounts.pop("memory", "0")),
        "pods": int(amounts.pop("pods").milli // 1000) if "pods" in amounts else 110,
    }
    if GPU_COUNT in amounts:
        shape["gpus"] = int(amounts.pop(GPU_COUNT).milli // 1000)
    resources = {
        name: str(amount) for name, amount in amounts.items() if amount.milli and not name.startswith("hugepages-")
    }
    if resources:
        shape["resources"] = resources
    labels = {name: value for name, value in like.metadata.labels.items() if name not in (HOSTNAME, POOL_LABELS[0])}
    zone = labels.pop("topology.kubernetes.io/zone", "")
    if zone:
        shape["zone"] = zone
    taints = [
        {"key": taint.key, "value": taint.value or "", "effect": taint.effect}
        for taint in like.spec.taints
        if not taint.key.startswith(_OWN_TAINTS)
    ]
    return {**shape, "labels": labels, "taints": taints, **pool}


def _pool_of(node: Node) -> str:
    return next((node.metadata.labels[name] for name in POOL_LABELS if node.metadata.labels.get(name)), "")


def _no_pools(nodes: Sequence[Node]) -> UserError:
    found: dict[str, int] = {}
    for node in nodes:
        if _pool_of(node):
            found[_pool_of(node)] = found.get(_pool_of(node), 0) + 1
    there = ", ".join(f"{name} ({count} nodes)" for name, count in sorted(found.items()))
    first = next(iter(sorted(found)), "")
    return UserError(
        "there are no pools that could grow",
        found=f"pools of nodes in the dump: {there}" if there else None,
        expected="--pool or --pools FILE, or a scenario with pools",
        hint=f"--pool name={first},max={2 * found[first]}" if first else "--pool name=general,max=10,cpu=4,memory=16Gi",
    )


# -- loads and flags ---------------------------------------------------------------------------------------------------


def _add_loads(asked: Asked, document: GivenDocument, workload: list[Any]) -> None:
    for text in asked.loads:
        service, equals, said = text.partition("=")
        if not equals:
            for name, form, given in _loads_of_file(Path(text)):
                whole = "" if _is_whole(form) else ".load"
                document.parts[f"spec.workload[{len(workload)}].clients"] = given
                document.parts[f"spec.workload[{len(workload)}].clients{whole}"] = given
                workload.append({"clients": _clients(name, form)})
            continue
        is_file = Path(said).is_file()
        rates: Any = {"file": {"path": str(Path(said).absolute())}} if is_file else load_value(said, "--load")
        document.parts[f"spec.workload[{len(workload)}].clients"] = (None, f"--load {text}")
        workload.append({"clients": _clients(service, rates)})


def _loads_of_file(path: Path) -> list[tuple[str, Any, tuple[Document, str]]]:
    given = load_one(read_text(path, most=BY_HAND.yaml_bytes, expected="loads by Service, in YAML"), path)
    if not isinstance(given.data, dict):
        found, expected = type(given.data).__name__, "a mapping of a Service to its load, or --load SERVICE=FILE"
        raise given.error("", "no loads", found=found, expected=expected)
    return [(str(name), form, (given, str(name))) for name, form in given.data.items()]


def _clients(service: str, form: Any) -> dict[str, Any]:
    """A number is a constant rate, a mapping with `load` all of what clients are, anything else a load curve."""
    namespace, slash, name = service.rpartition("/")
    about = {"service": name, **({"namespace": namespace} if slash else {})}
    if isinstance(form, int | float) and not isinstance(form, bool):
        return {**about, "load": {"constant": {"rps": form}}}
    if _is_whole(form):
        return {**about, **form}
    return {**about, "load": form}


def _is_whole(form: Any) -> bool:
    return isinstance(form, dict) and "load" in form


def flags_of(arguments: Sequence[str]) -> dict[str, str]:
    """'--flag=value', '--flag value', and '--flag' of those that are true or false. Raises UserError."""
    out: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        item = rest.pop(0)
        name, equals, value = item.lstrip("-").partition("=")
        if not item.startswith("-") or not name:
            expected = "files behind -f or --scenario, and flags of the cluster autoscaler"
            raise UserError("this is no option", found=item, expected=expected)
        if not equals:
            known = FLAGS.get(name)
            if known is not None and isinstance(known.default, bool):
                value = rest.pop(0) if rest and rest[0] in ("true", "false") else "true"
            elif rest and not rest[0].startswith("--"):
                value = rest.pop(0)
            elif name not in WITHOUT_EFFECT:
                _known(name)
                raise UserError(f"--{name} has no value", expected=f"--{name}=VALUE")
        out[name] = value
    return out


def _known(name: str) -> None:
    if name in REFUSED:
        raise UserError(f"--{name} of the cluster autoscaler is not modelled", expected=REFUSED[name])
    if name not in FLAGS and name not in WITHOUT_EFFECT and name not in SETTINGS:
        raise UserError(
            f"--{name} is no option of this command, and no flag of the cluster autoscaler that is modelled",
            expected=", ".join(f"--{flag}" for flag in FLAGS),
            hint=did_you_mean(name, FLAGS),
        )


def _add_flags(asked: Asked, document: GivenDocument, spec: dict[str, Any], notes: list[str]) -> None:
    settings: dict[str, str] = {}
    for name, value in asked.flags.items():
        if _name_of(spec) == JUST_IN_TIME and name not in WITHOUT_EFFECT:
            settings[name] = value
            continue
        _known(name)
        if name in SETTINGS and name not in FLAGS:
            raise UserError(f"--{name} is a setting of {JUST_IN_TIME}", hint=f"--autoscaler {JUST_IN_TIME}")
        if name in WITHOUT_EFFECT:
            notes.append(f"--{name} changes nothing here")
            continue
        document.parts[f"spec.constants.{name}"] = (None, f"--{name}={value}")
        spec["constants"] = {**spec.get("constants", {}), name: value}
    if settings:
        given = spec["autoscaler"]
        spec["autoscaler"] = f"{given}{'&' if '?' in given else '?'}{urlencode(settings)}"
        document.parts["spec.autoscaler"] = (None, " ".join(f"--{name}={value}" for name, value in settings.items()))
