"""`podyard verdicts` says of 300 random clusters what kube-scheduler's code says: words, scores, choices, preemption.

A sample always, all of them with `-m slow`. What differs is a bug; what is not modelled is refused by name, and the
refusals are counted here, so that one more or less is seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scheduling.kube_corpus import VERSION, Difference, cases, differences

SAMPLE = 25  # every so many-th of the random clusters
REFUSED = {
    "addedAffinity's requiredDuringSchedulingIgnoredDuringExecution is not modelled": 12,
    "ignoredResources is not modelled": 8,
    "filter of PodTopologySpread cannot be disabled": 4,
    "filter of TaintToleration cannot be disabled": 3,
    "filter of NodePorts cannot be disabled": 3,
    "postFilter of DefaultPreemption cannot be disabled": 3,
    "a default constraint that forbids is not modelled": 3,
    "VolumeRestrictions not modelled": 4,
}
"""What is refused in all of them: the configuration of a cluster, or a pod, by the words that say so."""


@pytest.fixture(scope="module")
def corpus(shared: Path) -> Path:
    folder = shared / "kube-scheduler"
    if not (folder / "cases.jsonl.gz").is_file():
        pytest.skip("kube-scheduler's answers are absent (a folder kube-scheduler/ beside the traces)")
    return folder


def told(found: list[Difference]) -> str:
    return "\n".join(str(item) for item in found[:20])


@pytest.mark.parametrize("start", range(3))
def test_a_sample_is_judged_as_kube_scheduler_judges_it(corpus: Path, tmp_path: Path, start: int) -> None:
    found: list[Difference] = []
    for number, case in enumerate(cases(corpus)):
        if number % (3 * SAMPLE) == start * SAMPLE:
            found += differences(case, tmp_path)
    differ = [item for item in found if not item.refused]
    assert not differ, told(differ)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_every_case_is_judged_as_kube_scheduler_judges_it(corpus: Path, tmp_path: Path) -> None:
    differ: list[Difference] = []
    refused: Counter[str] = Counter()
    judged = 0
    for case in cases(corpus):
        found = differences(case, tmp_path)
        differ += [item for item in found if not item.refused]
        for item in found:
            if item.refused:
                known = next((words for words in REFUSED if words in item.refused), item.refused)
                refused[known] += 1
        if not any(item.what == "cluster" for item in found):
            judged += len(case["facts"][VERSION]["verdicts"])
    print(f"{judged} pods judged; refused: {dict(refused)}")
    assert not differ, told(differ)
    assert refused == REFUSED
    assert judged == 1789


# -- the small cases: each the smallest of its kind ------------------------------------------------------------------

DIFFERENT = {
    "05-pod-level-resources": "1.32 ignores the field; it is alpha and off, and its API server drops it",
    "13-disk-in-the-pod": "refused by name: VolumeRestrictions of disks",
    "15-resource-claims": "refused by name: DynamicResources",
    "20-gpus-handed-out-twice": "cannot come about by scheduling",
    "21-a-host-port-taken-twice": "cannot come about by scheduling",
    "22-a-rwop-claim-used-twice": "cannot come about by scheduling",
}


def small_cases(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((folder / "cases").glob("*.json")):
        yield path.stem, json.loads(path.read_text(encoding="utf-8"))


def as_case(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """A small case in the form of the random ones."""
    answers = given[f"kube-scheduler {VERSION}"]
    verdicts = []
    for verdict in answers["verdicts"]:
        nodes = verdict.get("nodes", {})
        plugins = sorted({plugin for node in nodes.values() for plugin in node.get("scores", {})})
        rejected = [
            [why["plugin"], why["code"], why["reasons"], [node]]
            for node, said in nodes.items()
            if (why := said.get("reject"))
        ]
        scores = {
            node: [said["scores"].get(plugin, 0) for plugin in plugins]
            for node, said in nodes.items()
            if "scores" in said
        }
        named = {key: verdict[key] for key in ("pod", "skipped", "top", "message", "why") if key in verdict}
        named |= {key: verdict[key] for key in ("best", "candidates", "violations", "preFilter") if key in verdict}
        if verdict.get("nominated"):
            named["goesToNominated"] = True
        verdicts.append({**named, "rejected": rejected, "scores": {"plugins": plugins, "nodes": scores}})
    bind = [[item["pod"], item.get("chosen"), item["top"]] for item in answers["bind"]]
    return {
        "id": name,
        "config": given["config"],
        "objects": given["manifests"]["items"],
        "preempt": any("best" in verdict or "why" in verdict for verdict in verdicts),
        "facts": {VERSION: {"verdicts": verdicts, "bind": bind}},
    }


def test_the_small_cases(corpus: Path, tmp_path: Path) -> None:
    wrong: dict[str, str] = {}
    for name, given in small_cases(corpus):
        found = differences(as_case(name, given), tmp_path)
        if bool(found) != (name in DIFFERENT and name != "05-pod-level-resources"):
            wrong[name] = told(found) or "is equal, though it is listed as different"
    assert not wrong, "\n".join(f"{name}:\n{text}" for name, text in wrong.items())
