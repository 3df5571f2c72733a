"""Instance types, requirements on them, and what a NodePool may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.apiserver.validation.karpenter import node_pool_problems
from harness.autoscaling.provisioning.catalogue import parse_catalogue, shipped_catalogue
from harness.autoscaling.provisioning.requirements import Requirement, Requirements, requirement
from harness.experiment.catalogues import read_catalogue
from harness.model.cron import parse_cron
from harness.model.errors import UserError
from harness.model.objects import from_wire
from tests.autoscaling.just_in_time import CATALOGUE, node_pool, on
from tests.examples import examples


def test_what_is_left_for_pods() -> None:
    """As karpenter-provider-aws computes it for an m5.large: 70 milli of two CPUs; of 8192 MiB 7.5 % stay with the
    hypervisor, 255 + 11 * 29 with the kubelet, 100 are the eviction threshold."""
    found = shipped_catalogue().by_name["m5.large"]
    capacity = {name: str(amount) for name, amount in found.capacity.items()}
    assert capacity == {"cpu": "2", "memory": "7577Mi", "pods": "29"}
    assert str(found.allocatable["cpu"]) == "1930m"
    assert found.allocatable["memory"].value == (7577 - 255 - 11 * 29 - 100) << 20
    assert found.price("us-east-1a", "on-demand") == 0.096
    assert found.price("us-east-1b", "spot") == pytest.approx(0.0384)


def test_labels_say_what_a_type_is() -> None:
    found = shipped_catalogue().by_name["g4dn.12xlarge"].labels
    wanted = {"category": "g", "family": "g4dn", "generation": "4", "size": "12xlarge", "cpu": "48", "gpu-count": "4"}
    assert {name: found[f"karpenter.k8s.aws/instance-{name}"] for name in wanted} == wanted


def test_a_node_costs_what_its_labels_say() -> None:
    catalogue = read_catalogue(CATALOGUE)
    labels = {"node.kubernetes.io/instance-type": "s.large"}
    assert catalogue.price_of(labels) == 0.4
    assert catalogue.price_of({**labels, "karpenter.sh/capacity-type": "spot"}) == pytest.approx(0.16)
    assert catalogue.price_of({"node.kubernetes.io/instance-type": "other"}) is None


HEADER = "type,arch,cpu,memory,pods,gpus,gpu,price\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "no instance types"),
        ("name,cpu\na,1\n", 1, "not the columns"),
        (HEADER + "a,amd64,2,4Gi,29,0,\n", 2, "a value for each column"),
        (HEADER + "a,sparc,2,4Gi,29,0,,0.1\n", 2, "no such architecture"),
        (HEADER + "a,amd64,two,4Gi,29,0,,0.1\n", 2, "cpu is no amount"),
        (HEADER + "a,amd64,2,4Gi,29,0,,free\n", 2, "a price is a number"),
        (HEADER + "a,amd64,2,4Gi,29,0,,nan\n", 2, "a price is a number"),
        (HEADER + "\na,amd64,2,4Gi,29,0,,0.1\na,amd64,2,4Gi,29,0,,0.1\n", 4, "there already"),
        ("# spot: 40%\n" + HEADER, 1, "a share"),
    ],
)
def test_a_catalogue_that_cannot_be_read_is_told_with_its_line(text: str, line: int, what: str, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=what) as caught:
        read_catalogue(path)
    assert caught.value.line == line


def test_an_unknown_catalogue() -> None:
    with pytest.raises(UserError, match="no such catalogue"):
        shipped_catalogue("gce")


# -- requirements ------------------------------------------------------------------------------------------------------

VALUES = st.sampled_from(["a", "b", "1", "5", "9"])


@st.composite
def requirement_of_k(draw: st.DrawFn) -> Requirement:
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Gte", "Lte"]))
    if operator in ("Gt", "Lt", "Gte", "Lte"):
        return requirement("k", operator, (draw(st.sampled_from(["1", "5", "8"])),))
    return requirement("k", operator, draw(st.lists(VALUES, min_size=1)) if operator in ("In", "NotIn") else ())


@given(requirement_of_k(), requirement_of_k(), VALUES)
@settings(max_examples=examples(200))
def test_an_intersection_allows_what_both_allow(one: Requirement, other: Requirement, value: str) -> None:
    both = one.intersection(other)
    assert both.has(value) == (one.has(value) and other.has(value))
    assert both == other.intersection(one)


@pytest.mark.parametrize(
    ("own", "asked", "conflict"),
    [
        # Source: requirements_test.go, in short.
        ([], [requirement("topology.kubernetes.io/zone", "In", ("a",))], ""),
        ([], [requirement("team", "In", ("a",))], "team"),
        ([], [requirement("team", "NotIn", ("a",))], ""),
        ([], [requirement("team", "DoesNotExist")], ""),
        ([requirement("team", "In", ("a", "b"))], [requirement("team", "In", ("b", "c"))], ""),
        ([requirement("team", "In", ("a",))], [requirement("team", "In", ("b",))], "team"),
        ([requirement("team", "DoesNotExist")], [requirement("team", "NotIn", ("a",))], ""),
        ([requirement("team", "In", ("a",))], [requirement("team", "DoesNotExist")], "team"),
        ([requirement("n", "Gt", ("3",))], [requirement("n", "Lt", ("4",))], "n"),
        ([requirement("n", "Gt", ("3",))], [requirement("n", "Lt", ("5",))], ""),
    ],
)
def test_where_pods_can_go(own: list[Requirement], asked: list[Requirement], conflict: str) -> None:
    assert Requirements(own).conflict(asked) == conflict


# -- NodePools ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"weight": 101}, "spec.weight"),
        ({"replicas": 3}, "spec.replicas"),
        ({"requirements": [on("a", "b", operator="Like")]}, "spec.template.spec.requirements[0].operator"),
        ({"requirements": [on("a", operator="In")]}, "spec.template.spec.requirements[0].values"),
        ({"requirements": [on("a", "x", operator="Gt")]}, "spec.template.spec.requirements[0].values"),
        ({"requirements": [on("a", "x", minValues=2)]}, "spec.template.spec.requirements[0].minValues"),
        ({"requirements": [on("karpenter.sh/nodepool", "x")]}, "spec.template.spec.requirements[0].key"),
        (
            {"requirements": [on("karpenter.k8s.aws/instance-local-nvme", "1")]},
            "spec.template.spec.requirements[0].key",
        ),
        ({"requirements": [on("karpenter.sh/capacity-type", "reserved")]}, "spec.template.spec.requirements[0].values"),
        ({"template": {"expireAfter": "1d"}}, "spec.template.spec.expireAfter"),
        ({"template": {"terminationGracePeriod": "Never"}}, "spec.template.spec.terminationGracePeriod"),
        ({"disruption": {"consolidationPolicy": "Balanced"}}, "spec.disruption.consolidationPolicy"),
        ({"disruption": {"consolidationPolicy": "Sometimes"}}, "spec.disruption.consolidationPolicy"),
        ({"disruption": {"consolidateAfter": "soon"}}, "spec.disruption.consolidateAfter"),
        ({"disruption": {"budgets": [{"nodes": "101%"}]}}, "spec.disruption.budgets[0].nodes"),
        ({"disruption": {"budgets": [{"nodes": "1", "reasons": ["Expired"]}]}}, "spec.disruption.budgets[0].reasons"),
        ({"disruption": {"budgets": [{"nodes": "1", "schedule": "@daily"}]}}, "spec.disruption.budgets[0]"),
        (
            {"disruption": {"budgets": [{"nodes": "1", "schedule": "61 * * * *", "duration": "1h"}]}},
            "spec.disruption.budgets[0].schedule",
        ),
        (
            {"disruption": {"budgets": [{"nodes": "1", "schedule": "@daily", "duration": "90s"}]}},
            "spec.disruption.budgets[0].duration",
        ),
    ],
)
def test_what_a_node_pool_cannot_say(spec: dict[str, Any], field: str) -> None:
    pool = from_wire(node_pool(**spec))
    assert [cause.field for cause in node_pool_problems(pool, None)] == [field]


@pytest.mark.parametrize(
    ("schedule", "after", "next_"),
    [
        # 1 January 1970 was a Thursday.
        ("0 9 * * mon-fri", 0, 9 * 3600),
        ("*/15 * * * *", 60, 900),
        ("@daily", 0, 86400),
        ("0 0 29 2 *", 0, 68169600),  # 1972
        ("0 0 13 * 5", 0, 86400),  # either the 13th or a Friday
        ("30 4 1,15 * *", 0, 4 * 3600 + 1800),
        ("0 0 30 2 *", 0, None),
    ],
)
def test_cron(schedule: str, after: int, next_: int | None) -> None:
    assert parse_cron(schedule).next_after(after) == next_


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "* * * * 7", "5-1 * * * *", "a * * * *"])
def test_no_cron(text: str) -> None:
    with pytest.raises(ValueError, match=r"fields|range|parse|empty"):
        parse_cron(text)


def test_the_shipped_catalogue_reads_as_it_is_written() -> None:
    own = parse_catalogue(CATALOGUE.read_text(), "small")
    assert [item.name for item in own.types] == ["s.small", "s.medium", "s.large", "m.large", "g.large", "r.medium"]
    assert own.zones == ("a", "b", "c")
    assert len(shipped_catalogue().types) > 200
