"""A cluster's dump made into a folder with a scenario that runs: `podyard import`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.experiment.dump import GATEWAY, LEFT_OUT
from harness.experiment.manifests import Notices, read_checked_manifests
from harness.experiment.obfuscation import obfuscate
from harness.experiment.prepared import prepare
from harness.experiment.scenario import API_VERSION, KIND, read_scenario
from harness.model.core import Container, Pod, PodSpec
from harness.model.cron_jobs import pod_template
from harness.model.errors import UserError
from harness.model.objects import KINDS
from harness.model.pod_amounts import pod_amounts, thousandths
from workloads.readers.manifests import Manifest

FOLDER = "cluster"
"""In the scenario's folder: where the objects are."""

MANY = 400
"""Objects of one kind from which on they are written as JSON, which is read fifty times faster than YAML."""

_GIB = 1 << 30
_DEFAULT = {"cpu": 16, "memory": "64Gi"}
_DEFAULT_MILLI = {"cpu": 16_000, "memory": 64 * _GIB * 1000}
"""In thousandths of a CPU and of a byte."""

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(slots=True)
class Imported:
    """`objects`: how many of each kind; `notices`: what is not as in the cluster; `names`: made-up name to name."""

    folder: Path
    objects: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def scenario(self) -> Path:
        return self.folder / "scenario.yaml"

    def to_data(self) -> dict[str, Any]:
        return {"scenario": str(self.scenario), "objects": self.objects, "notices": self.notices}


def import_dump(
    paths: Sequence[Path], folder: Path, *, hide_names: bool = False, duration: str = "10m", scheduler: str = "kube"
) -> Imported:
    """Objects of files, folders and "-" into `folder`, which must be new or empty. Raises UserError.

    With `hide_names`, names are made-up ones (see `obfuscation`).
    """
    _check_new(folder)
    told = Notices(lenient=True)
    manifests = [
        manifest
        for manifest in read_checked_manifests(paths, told)
        if manifest.kind not in LEFT_OUT and not (manifest.kind == "Node" and manifest.object.metadata.name == GATEWAY)
    ]
    if not manifests:
        found = "kinds that are made anew, if anything"
        hint = "kubectl get nodes,pods,deployments,replicasets,daemonsets,statefulsets,jobs,pdb,hpa,services -A -o yaml"
        raise UserError("there is nothing in the dump to run", file=paths[0], found=found, hint=hint)
    out = Imported(folder)
    objects = [_plain(manifest.document.data) for manifest in manifests]
    nodes, group = _missing_nodes(manifests, out.notices)
    objects += nodes
    if hide_names:
        hidden = obfuscate(objects)
        objects, out.names = hidden.objects, hidden.names
        out.notices += [f"{count} {kind} are left out: they tell names" for kind, count in hidden.left_out.items()]
    out.notices += [_without_names(text) for text in told] if hide_names else list(told)
    folder.mkdir(parents=True, exist_ok=True)
    _write_objects(objects, folder / FOLDER, out.objects)
    name = "imported" if hide_names else _name_of(folder)
    _write_scenario(out, name, group, duration, scheduler)
    prepared = prepare(read_scenario(out.scenario), 0)  # as `podyard lint` does: what was written must be readable
    known = {text.partition(": ")[2] for text in told}
    out.notices += [text for text in prepared.notices if FOLDER not in text and text not in known]
    _write_scenario(out, name, group, duration, scheduler)
    return out


def _check_new(folder: Path) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError("the folder is not empty", file=folder, expected="a new folder", hint="--out ANOTHER")
    except OSError as error:
        raise UserError("the folder cannot be read", file=folder, found=error.strerror or str(error)) from None


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Without what nobody goes on from: who manages which field, the text that was applied, the values of secrets."""
    out = dict(data)
    metadata = data.get("metadata")
    if isinstance(metadata, dict):
        annotations = metadata.get("annotations")
        meta = {name: value for name, value in metadata.items() if name not in ("managedFields", "selfLink")}
        if isinstance(annotations, dict):
            applied = "kubectl.kubernetes.io/last-applied-configuration"
            meta["annotations"] = {name: value for name, value in annotations.items() if name != applied}
        out["metadata"] = meta
    if data.get("kind") == "Secret":
        for name in ("data", "stringData"):
            out.pop(name, None)
    return out


# -- nodes that the dump does not have ---------------------------------------------------------------------------------


def _missing_nodes(
    manifests: Sequence[Manifest], notices: list[str]
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """(Nodes, a group of nodes), made up where the dump has none: as pods stand on them, or enough for all pods."""
    if any(manifest.kind == "Node" for manifest in manifests):
        return [], None
    on: dict[str, dict[str, int]] = {}
    whole: dict[str, int] = {}
    largest: dict[str, int] = {}
    for manifest in manifests:
        spec, many = _pods_of(manifest.object)
        if spec is None:
            continue
        amounts = {**pod_amounts(spec, _requested), "pods": 1000}
        if isinstance(manifest.object, Pod) and spec.node_name:
            if manifest.object.status.phase not in ("Succeeded", "Failed"):
                _add(on.setdefault(spec.node_name, {}), amounts, 1)
        elif manifest.kind != "DaemonSet":
            _add(whole, amounts, many)
        for name, amount in amounts.items():
            largest[name] = max(largest.get(name, 0), amount)
    if on:
        notices.append(
            f"no Node is in the dump: the {len(on)} nodes that pods stand on are made up, each a half larger than its "
            "pods ask for, 4 CPUs and 16Gi at least; kubectl get nodes -o yaml gives the real ones"
        )
        return [_node(name, on[name]) for name in sorted(on)], None
    shape = {name: max(_DEFAULT_MILLI.get(name, 0), 2 * amount) for name, amount in largest.items()}
    count = 1 + max((-(-3 * whole.get(name, 0) // (2 * shape[name])) for name in shape if name != "pods"), default=0)
    count = max(3, count, -(-whole.get("pods", 0) // 100_000))
    group: dict[str, Any] = {"name": "node", "count": count, **_DEFAULT}
    if shape.get("cpu", 0) > _DEFAULT_MILLI["cpu"]:
        group["cpu"] = -(-shape["cpu"] // 1000)
    if shape.get("memory", 0) > _DEFAULT_MILLI["memory"]:
        group["memory"] = f"{-(-shape['memory'] // (_GIB * 1000))}Gi"
    extra = {name: -(-shape[name] // 1000) for name in sorted(shape) if "/" in name}
    if extra:
        group["resources"] = {name: str(amount) for name, amount in extra.items()}
    notices.append(
        f"no Node is in the dump: {count} nodes of {group['cpu']} CPUs and {group['memory']} are made up; "
        "kubectl get nodes -o yaml gives the real ones"
    )
    return [], group


def _requested(container: Container) -> dict[str, int]:
    limits, requests = container.resources.limits, container.resources.requests
    return thousandths({**limits, **requests})


def _add(total: dict[str, int], more: Mapping[str, int], many: int) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount * many


def _pods_of(obj: Any) -> tuple[PodSpec | None, int]:
    """The spec of the pod that an object is or makes, and how many; those of an owner that has pods count once more."""
    if isinstance(obj, Pod):
        return obj.spec, 1
    template, _ = pod_template(obj)
    if template is None or obj.metadata.owner_references:
        return None, 0
    for name in ("replicas", "parallelism"):
        many = getattr(obj.spec, name, None)
        if many is not None:
            return template.spec, int(many)
    return template.spec, 1


def _node(name: str, asked: Mapping[str, int]) -> dict[str, Any]:
    amounts = {
        "cpu": str(max(4, -(-3 * asked.get("cpu", 0) // 2000))),
        "memory": f"{max(16, -(-3 * asked.get('memory', 0) // (2 * _GIB * 1000)))}Gi",
        "pods": str(max(110, 2 * asked.get("pods", 0) // 1000)),
        **{name: str(-(-amount // 1000)) for name, amount in sorted(asked.items()) if "/" in name},
    }
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


# -- files -------------------------------------------------------------------------------------------------------------


def _write_objects(objects: Iterable[dict[str, Any]], folder: Path, counts: dict[str, int]) -> None:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for data in objects:
        by_kind.setdefault(str(data["kind"]), []).append(data)
    folder.mkdir(exist_ok=True)
    for kind, items in by_kind.items():
        counts[kind] = len(items)
        file = folder / KINDS[kind].plural
        if len(items) > MANY:
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, separators=(",", ":"))
            file.with_suffix(".json").write_text(text, encoding="utf-8")
        else:
            text = yaml.dump_all(items, Dumper=_Dumper, sort_keys=False, allow_unicode=True, explicit_start=True)
            file.with_suffix(".yaml").write_text(text, encoding="utf-8")


def _write_scenario(out: Imported, name: str, group: dict[str, Any] | None, duration: str, scheduler: str) -> None:
    spec: dict[str, Any] = {
        "nodes": [{"group": group}] if group is not None else [],
        "workload": [{"dump": [FOLDER]}],
        "schedulers": [scheduler],
        "duration": duration,
    }
    data = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}
    what = ", ".join(f"{count} {kind}" for kind, count in out.objects.items())
    lines = ["A cluster as it was dumped: " + what + ".", "podyard run scenario.yaml    podyard verdicts -f " + FOLDER]
    if out.notices:
        lines += ["", "Not as in the cluster:", *(f"- {text}" for text in out.notices)]
    comment = "".join(f"# {line}".rstrip() + "\n" for text in lines for line in text.splitlines() or [""])
    text = comment + yaml.safe_dump(data, sort_keys=False)
    try:
        out.scenario.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError("the scenario cannot be written", file=out.scenario, found=error.strerror) from None


def _name_of(folder: Path) -> str:
    made = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:60].strip("-")
    return made or "imported"


def _without_names(text: str) -> str:
    """Of a notice: 'FILE:LINE: KIND NAME: what' without file and name."""
    told = re.sub(r"^.*?(?:\.\w+|-)(?::[0-9]+)?: ", "", text, count=1)
    return re.sub(r"^([A-Z]\w+) [^ :]+", r"\1", told)
