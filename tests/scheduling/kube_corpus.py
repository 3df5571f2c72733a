"""Random clusters with the answers of kube-scheduler's own code, held against `podyard verdicts`.

The corpus stands beside the repository and not in it (the folder of the `shared` fixture); its README says what each
fact means. `differences` asks the command as a user does, and names every fact that differs.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from harness.cli.output import Form
from harness.cli.verdicts import verdicts
from harness.model.errors import UserError

VERSION = "1.32.2"


@dataclass(frozen=True, slots=True)
class Difference:
    """`what`: which kind of fact. `refused`: podyard says by name that it does not model it."""

    case: str
    pod: str
    what: str
    expected: Any
    found: Any
    refused: str = ""

    def __str__(self) -> str:
        told = (
            f"refused: {self.refused}" if self.refused else f"\n    expected {self.expected}\n    found    {self.found}"
        )
        return f"{self.case} {self.pod}: {self.what}: {told}"


def cases(folder: Path) -> Iterator[dict[str, Any]]:
    """The random clusters, in the order of the file."""
    with gzip.open(folder / "cases.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def differences(case: dict[str, Any], folder: Path) -> list[Difference]:
    """Of one case; `folder`: where its files are written to."""
    manifests = folder / f"{case['id']}.json"
    manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": case["objects"]}))
    scheduler = "kube?percentage=100"
    if case["config"]:
        config = folder / f"{case['id']}-config.yaml"
        text = case["config"] if isinstance(case["config"], str) else json.dumps(case["config"])
        config.write_text(text)
        scheduler = f"kube?percentage=100&config={config}"
    facts = case["facts"][VERSION]
    out: list[Difference] = []
    try:
        judged = ask(manifests, scheduler, bind=False)
        order = [node["metadata"]["name"] for node in case["objects"] if node["kind"] == "Node"]
        for expected, found in zip(facts["verdicts"], judged, strict=True):
            out += _verdict(case, expected, found, order)
        bound = ask(manifests, scheduler, bind=True)
        out += _bind(case, facts["bind"], bound, {item.pod for item in out if item.refused})
    except UserError as error:
        return [Difference(case["id"], "", "cluster", None, None, refused=str(error).replace(str(folder), ""))]
    return out


def ask(manifests: Path, scheduler: str, *, bind: bool) -> list[dict[str, Any]]:
    """What the command prints as JSON, by pod."""
    told = StringIO()
    with redirect_stdout(told), redirect_stderr(StringIO()):
        verdicts(pods=None, filename=[manifests], scheduler=scheduler, node=None, bind=bind, output=Form.json)
    found: list[dict[str, Any]] = json.loads(told.getvalue())["pods"]
    return found


def _verdict(
    case: dict[str, Any], expected: dict[str, Any], found: dict[str, Any], order: list[str]
) -> Iterator[Difference]:
    pod = expected["pod"]

    def differ(what: str, is_: Any, should: Any) -> Iterator[Difference]:
        if is_ != should:
            yield Difference(case["id"], pod, what, should, is_)

    yield from differ("pod", found["pod"], pod)
    skipped = found.get("skipped", "")
    yield from differ("skipped", bool(skipped), "skipped" in expected)
    if skipped or "skipped" in expected:
        return
    unmodelled = [reason for _, reasons in _rejected(found) for reason in reasons if "not modelled" in reason]
    unmodelled += [reason for reason in found.get("preFilter", {}).get("reasons", ()) if "not modelled" in reason]
    if unmodelled:
        yield Difference(case["id"], pod, "pod", None, None, refused=unmodelled[0])
        return
    pre_filter = found.get("preFilter")
    told = [pre_filter["plugin"], pre_filter["code"], pre_filter["reasons"]] if pre_filter else None
    yield from differ("preFilter", told, expected.get("preFilter"))
    rejections = {
        node: (plugin, code, tuple(sorted(reasons)))
        for plugin, code, reasons, nodes in expected.get("rejected", ())
        for node in nodes
    }
    got = {
        node["node"]: (node["plugin"], node["code"], tuple(sorted(node["reasons"])))
        for node in found["byNode"]
        if not node["feasible"] and pre_filter is None
    }
    if expected.get("only"):  # of nodes that PreFilter left out the facts say nothing but in the message
        got = {node: why for node, why in got.items() if not why[2][0].startswith(_LEFT_OUT)}
    for node in sorted({*rejections, *got}):
        yield from differ(f"rejected {node}", got.get(node), rejections.get(node))
    scores = expected.get("scores", {"plugins": [], "nodes": {}})
    for node in found["byNode"]:
        if not node["feasible"]:
            continue
        should = scores["nodes"].get(node["node"])
        if should is None:
            yield from differ(f"feasible {node['node']}", True, False)
            continue
        parts = {name: score for name, score in node.get("scores", {}).items() if score}
        named = {name: score for name, score in zip(scores["plugins"], should, strict=True) if score}
        yield from differ(f"scores {node['node']}", parts, named)
    if expected.get("goesToNominated"):
        yield from differ("goesToNominated", [found.get("nominatedNode")], expected["top"])
    else:
        yield from differ("goesToNominated", found.get("nominatedNode"), None)
        yield from differ("chosen", found["node"], expected["top"][0] if expected["top"] else None)
        feasible = [node for node in found["byNode"] if node["feasible"]]
        most = max((node.get("score", 0) for node in feasible), default=0)
        tops = {node["node"] for node in feasible if node.get("score", 0) == most}
        yield from differ("top", [name for name in order if name in tops], expected["top"])
    if not expected["top"]:
        yield from differ("message", found["message"], expected["message"])
    if case["preempt"]:
        yield from _preemption(case, differ, expected, found.get("preemption"))


_LEFT_OUT = "node(s) didn't satisfy plugin(s) ["


def _ranked(case: dict[str, Any], victims: list[str] | None) -> list[list[str]] | None:
    """By importance; those that nothing tells apart (equal priority, no startTime) in any order."""
    if victims is None:
        return None
    pods = {f"{o['metadata']['namespace']}/{o['metadata']['name']}": o for o in case["objects"] if o["kind"] == "Pod"}
    out: list[list[str]] = []
    last: object = None
    for key in victims:
        pod = pods[key]
        rank = (pod["spec"].get("priority", 0), pod.get("status", {}).get("startTime"))
        if rank == last and rank[1] is None:
            out[-1] = sorted([*out[-1], key])
        else:
            out.append([key])
        last = rank
    return out


def _preemption(
    case: dict[str, Any], differ: Any, expected: dict[str, Any], found: dict[str, Any] | None
) -> Iterator[Difference]:
    if expected["top"]:
        yield from differ("preemption", found, None)
        return
    found = found or {"best": [], "candidates": {}, "violations": {}, "message": ""}
    yield from differ("best", sorted(found["best"]), sorted(expected.get("best", ())))
    candidates = expected.get("candidates", {})
    for node in sorted({*candidates, *found["candidates"]}):
        got, should = (_ranked(case, victims.get(node)) for victims in (found["candidates"], candidates))
        yield from differ(f"victims on {node}", got, should)
    yield from differ("violations", found["violations"], expected.get("violations", {}))
    yield from differ("why", found["message"].removeprefix("preemption: "), expected.get("why", ""))


def _rejected(found: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(node["node"], node.get("reasons", [])) for node in found.get("byNode", ())]


def _bind(
    case: dict[str, Any], expected: list[list[Any]], found: list[dict[str, Any]], refused: set[str]
) -> Iterator[Difference]:
    """In the order of the queue; after a pod that is refused or placed elsewhere nothing more can be compared."""
    for fact, got in zip(expected, found, strict=True):
        pod, chosen = fact[0], fact[1]
        if pod in refused:
            return
        if got.get("node") != chosen:
            if got.get("node") not in fact[2]:  # else another of equals: kube-scheduler draws one of them
                yield Difference(case["id"], pod, "bind", chosen, got.get("node"))
            return
