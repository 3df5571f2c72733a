"""A cluster is put together in one place: nobody else makes one, or adds components to it."""

from __future__ import annotations

import ast

import pytest

from tests.house.source import ROOT, text_of, tree_of

ASSEMBLY = "harness/cluster/assembly.py"
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("harness", "benchmarks", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "house" not in path.parts
)


def made_here(tree: ast.Module) -> list[int]:
    """Lines that call the Cluster of harness.cluster.cluster."""
    names = {
        item.asname or item.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "harness.cluster.cluster"
        for item in node.names
        if item.name == "Cluster"
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]


def test_only_the_assembly_makes_a_cluster() -> None:
    found = [
        f"{path}:{line}"
        for path in FILES
        if path.as_posix() != ASSEMBLY
        if "harness.cluster.cluster" in text_of(path)
        for line in made_here(tree_of(path))
    ]
    assert found == [], "use harness.cluster.assembly.assemble with a ClusterPlan"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("from harness.cluster.cluster import Cluster\nCluster(store)\n", [2]),
        ("from harness.cluster.cluster import Cluster as C\n\nmade = C(store)\n", [3]),
        ("from harness.testing.cluster import Cluster\nCluster(greedy)\n", []),
        ("from harness.cluster.assembly import assemble\nassemble(store, plan)\n", []),
    ],
)
def test_the_rule_sees_what_it_forbids(text: str, lines: list[int]) -> None:
    assert made_here(ast.parse(text)) == lines
