"""Why no NodePool makes a node for a pod, in Karpenter's words (1.14, nodeclaim.go InstanceTypeFilterError)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.autoscaling.provisioning.refusals import written
from harness.autoscaling.provisioning.requirements import requirement
from tests.autoscaling.just_in_time import Story, amd64, deployment, node_pool, on

ON_DEMAND = [on("karpenter.sh/capacity-type", "on-demand"), amd64()]
TYPE = "node.kubernetes.io/instance-type"


@pytest.mark.parametrize(
    ("pool", "pod", "words"),
    [
        (
            {"template": {"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]}},
            {},
            "did not tolerate taint (taint=team=a:NoSchedule)",
        ),
        (
            {},
            {"nodeSelector": {"team": "a"}},
            'incompatible requirements, label "team" does not have known values',
        ),
        (
            {},
            {"nodeSelector": {"zone": "a"}},
            'incompatible requirements, label "zone" does not have known values '
            '(typo of "topology.kubernetes.io/zone"?)',
        ),
        (
            {},
            {"nodeSelector": {"kubernetes.io/arch": "arm64"}},
            "incompatible requirements, key kubernetes.io/arch, kubernetes.io/arch In [arm64] not in "
            "kubernetes.io/arch In [amd64]",
        ),
        (
            {},
            {"cpu": 60},
            "no instance type has enough resources, requirements=karpenter.sh/capacity-type In [on-demand]",
        ),
        ({"limits": {"cpu": "1"}}, {}, "all available instance types exceed limits for nodepool (NodePool=p)"),
        ({"limits": {"nodes": "0"}}, {}, "node limits have been exhausted for nodepool (NodePool=p)"),
        (
            {},
            {"nodeSelector": {TYPE: "s.tiny"}},
            "no instance type met all requirements, requirements=",
        ),
        (
            {"requirements": [*ON_DEMAND, on(TYPE, "s.small")]},
            {"cpu": 3, "nodeSelector": {"topology.kubernetes.io/zone": "z"}},
            "no instance type had enough resources or had a required offering, requirements=",
        ),
    ],
)
def test_the_words_of_a_refusal(tmp_path: Path, pool: dict[str, Any], pod: dict[str, Any], words: str) -> None:
    story = Story(tmp_path, node_pool(**{"requirements": ON_DEMAND, **pool}), deployment("w", 1, **pod), until="20s")
    (text,) = [text for text in story.events("FailedScheduling") if text.startswith("Failed to schedule pod, ")]
    assert text.removeprefix("Failed to schedule pod, ").startswith(words)
    (key,) = story.pending()
    known: Any = story.cluster.components["just-in-time"]
    assert known.reasons_against(key)["p"][0].startswith(words)


def test_two_pools_say_why_one_after_the_other(tmp_path: Path) -> None:
    """The heavier first; Karpenter joins its errors."""
    closed = node_pool("a", ON_DEMAND, weight=9, template={"taints": [{"key": "t", "effect": "NoExecute"}]})
    story = Story(tmp_path, closed, node_pool("b", ON_DEMAND, limits={"cpu": "1"}), deployment("w", 1), until="20s")
    (text,) = [text for text in story.events("FailedScheduling") if text.startswith("Failed to schedule pod, ")]
    assert text == (
        "Failed to schedule pod, did not tolerate taint (taint=t:NoExecute); "
        "all available instance types exceed limits for nodepool (NodePool=b)"
    )


def test_requirements_as_they_are_written() -> None:
    """Source: requirement_test.go, stringifying."""
    assert written(requirement("k", "Exists")) == "k Exists"
    assert written(requirement("k", "DoesNotExist")) == "k DoesNotExist"
    assert written(requirement("k", "In", ("b", "a"))) == "k In [a b]"
    assert written(requirement("k", "NotIn", ("a",))) == "k NotIn [a]"
    assert written(requirement("k", "In", "abcdefg")) == "k In [a b c d e and 2 others]"
    assert written(requirement("k", "Gt", ("4",))) == "k Exists >=5"
    assert written(requirement("k", "In", ("a",), 2)) == "k In [a] minValues 2"
