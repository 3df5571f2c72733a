"""Each import contract of pyproject.toml has a planted import that makes it fail, and holds without it."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import grimp
import pytest
from importlinter import api
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract

from tests.house.source import ROOT

TYPES: dict[str, Any] = {
    "acyclic_siblings": AcyclicSiblingsContract,
    "forbidden": ForbiddenContract,
    "independence": IndependenceContract,
    "layers": LayersContract,
}

# Contract: pairs (importer, imported). A module that is not there is made, as a file that somebody adds would be.
PLANTED: dict[str, list[tuple[str, str]]] = {
    "house": [
        ("harness.model.core", "harness.store.memory"),
        ("harness.engine.loop", "harness.measure.folds"),
        ("harness.jobs.book", "harness.engine.clock"),
        ("harness.store.memory", "harness.apiserver.server"),
        ("harness.apiserver.server", "harness.scheduling.strategy"),
        ("harness.scheduling.strategy", "harness.controllers.runtime.reconciler"),
        ("harness.controllers.nodes.pod_gc", "harness.node.kubelet"),
        ("harness.faults.node", "harness.cluster.cluster"),
        ("harness.cluster.cluster", "harness.testing.cluster"),
        ("harness.experiment.run", "harness.explain.explain"),
        ("harness.report.page", "harness.cli.run"),
        ("harness.cupboard.things", "harness.model.core"),  # a folder without a place among the layers
    ],
    "scheduling": [
        ("harness.scheduling.strategy", "harness.scheduling.matching.label_rules"),
        ("harness.scheduling.matching.label_rules", "harness.scheduling.state.columns"),
        ("harness.scheduling.state.columns", "harness.scheduling.pods.preferences"),
        ("harness.scheduling.filters.node_name", "harness.scheduling.pods.pod_classes"),
        ("harness.scheduling.pods.preferences", "harness.scheduling.feasibility.legality"),
        ("harness.scheduling.feasibility.legality", "harness.scheduling.ranking.score_table"),
        ("harness.scheduling.ranking.score_table", "harness.scheduling.preemption.victims"),
        ("harness.scheduling.sandbox.guard", "harness.scheduling.scoring"),
        ("harness.scheduling.scoring", "harness.scheduling.cycle.queue"),
        ("harness.scheduling.cupboard.things", "harness.scheduling.strategy"),  # a folder without a place
    ],
    "apiserver": [
        ("harness.apiserver.registry.new_kind", "harness.apiserver.admission.quota"),
        ("harness.apiserver.watch_cache", "harness.apiserver.registry.lifecycle"),
        ("harness.apiserver.validation.new_rules", "harness.apiserver.server"),
        ("harness.apiserver.admission.quota", "harness.apiserver.kinds.rules"),
        ("harness.apiserver.kinds.jobs", "harness.apiserver.server"),
        ("harness.apiserver.watches", "harness.apiserver.standing_leases"),
        ("harness.apiserver.server", "harness.apiserver.events"),
        ("harness.apiserver.events", "harness.apiserver.dispatcher"),
        ("harness.apiserver.dispatcher", "harness.apiserver.http.app"),
    ],
    "circles": [
        ("harness.store.snapshots", "harness.store.sqlite"),
        ("harness.controllers.runtime.informer", "harness.controllers.runtime.reconciler"),
        ("harness.model.meta", "harness.model.core"),
        ("harness.scheduling.state.pod_counts", "harness.scheduling.state.cluster_state"),
        ("harness.scheduling.filters.live_masks", "harness.scheduling.filters.inter_pod_affinity"),
        ("workloads.table", "workloads.generators.openb_like"),
        ("schedulers.fgd.rounding", "schedulers.fgd.descent"),
    ],
    "controllers": [
        ("harness.controllers.nodes.pod_gc", "harness.controllers.nodes.taint_eviction"),
        ("harness.controllers.workloads.replicaset", "harness.controllers.workloads.job.controller"),
        ("harness.controllers.policy.new_one", "harness.controllers.workloads.replicaset"),
    ],
    "controllers-runtime": [
        ("harness.controllers.runtime.informer", "harness.controllers.workloads.replicaset"),
    ],
    "cycle": [
        ("harness.scheduling.cycle.queue", "numpy"),
    ],
    "engine": [
        ("harness.engine.loop", "harness.store.memory"),
        ("harness.measure.bound", "harness.scheduling.strategy"),
        ("harness.measure.bound", "workloads.table"),
    ],
    "workloads": [
        ("workloads.table", "harness.engine.loop"),
        ("workloads.readers.new_format", "harness.experiment.scenario"),
        ("workloads.generators.openb_like", "schedulers.greedy"),
    ],
    "harness": [
        ("harness.experiment.run", "schedulers.greedy"),
        ("harness.testing.conformance", "schedulers.random_fit"),
    ],
    "schedulers": [
        ("schedulers.fgd.descent", "harness.cluster.cluster"),
        ("schedulers.greedy", "harness.apiserver.server"),
    ],
    "third-party": [
        ("schedulers.rounds.gavel", "harness.jobs.book"),
        ("schedulers.new_one", "harness.scheduling.cycle.queue"),
        ("schedulers.greedy", "harness.scheduling.preemption.victims"),
    ],
    "ray": [
        ("harness.store.memory", "ray"),
        ("harness.controllers.nodes.pod_gc", "ray"),
        ("schedulers.greedy", "ray"),
    ],
}


CONFIGURATION: dict[str, Any] = api.read_configuration(str(ROOT / "pyproject.toml"))
SESSION: dict[str, Any] = CONFIGURATION["session_options"]
CONTRACTS: dict[str, dict[str, Any]] = {
    item.get("id", item["name"]): item for item in CONFIGURATION["contracts_options"]
}


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*SESSION["root_packages"], include_external_packages=True, cache_dir=None)


def kept(contract: dict[str, Any], on: grimp.ImportGraph) -> bool:
    rest = {key: value for key, value in contract.items() if key not in ("id", "type")}
    made = TYPES[contract["type"]](contract["name"], SESSION, deepcopy(rest))
    return bool(made.check(deepcopy(on), False).kept)


def add_module(on: grimp.ImportGraph, name: str) -> None:
    for end in range(2, name.count(".") + 2):
        part = ".".join(name.split(".")[:end])
        if part not in on.modules:
            on.add_module(part)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_holds(contract: str) -> None:
    assert kept(CONTRACTS[contract], graph())


def test_every_contract_has_planted_imports() -> None:
    assert set(CONTRACTS) == set(PLANTED), "a contract has an id, and an import in PLANTED that breaks it"
    assert all(PLANTED.values())


@pytest.mark.parametrize(
    ("contract", "importer", "imported"),
    [(contract, *pair) for contract, pairs in PLANTED.items() for pair in pairs],
)
def test_a_planted_import_breaks_it(contract: str, importer: str, imported: str) -> None:
    on = deepcopy(graph())
    add_module(on, importer)
    if "." in imported:
        add_module(on, imported)
    assert imported not in on.find_modules_directly_imported_by(importer), "this import is there already"
    on.add_import(importer=importer, imported=imported, line_number=1, line_contents=f"import {imported}")
    assert not kept(CONTRACTS[contract], on)


def test_an_import_for_type_checkers_counts() -> None:
    assert SESSION.get("exclude_type_checking_imports", False) in (False, "False", "false")
