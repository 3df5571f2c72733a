"""KubeSchedulerConfiguration: what is read of it, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from harness.model.errors import UserError
from harness.scheduling.registry import load
from harness.scheduling.scores import SYSTEM_SPREAD
from schedulers.kube import Kube, Profile, parse
from schedulers.kube.profile import OTHERS, SCORERS
from tests.scheduling.test_kube import GIB, bind, chosen, cluster, pod

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


def profiles(text: str) -> tuple[Profile, ...]:
    return parse(HEAD + dedent(text))


def test_an_empty_configuration_is_the_default_profile() -> None:
    assert profiles("") == (Profile(),)
    assert profiles("profiles: [{}]") == (Profile(),)
    assert dict(Profile().weights) == dict(SCORERS)
    assert Profile().spread == SYSTEM_SPREAD


def test_a_configuration_of_the_documentation() -> None:
    text = """
        percentageOfNodesToScore: 50
        profiles:
        - schedulerName: default-scheduler
          plugins:
            score:
              disabled: [{name: PodTopologySpread}]
              enabled: [{name: NodeResourcesFit, weight: 5}]
        - schedulerName: no-scoring-scheduler
          percentageOfNodesToScore: 100
          plugins:
            preScore: {disabled: [{name: '*'}]}
            score: {disabled: [{name: '*'}]}
        - schedulerName: packing
          pluginConfig:
          - name: NodeResourcesFit
            args:
              apiVersion: kubescheduler.config.k8s.io/v1
              kind: NodeResourcesFitArgs
              scoringStrategy:
                type: RequestedToCapacityRatio
                resources: [{name: intel.com/foo, weight: 3}, {name: intel.com/bar, weight: 5}]
                requestedToCapacityRatio:
                  shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]
          - name: PodTopologySpread
            args:
              defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
              defaultingType: List
          - name: InterPodAffinity
            args: {hardPodAffinityWeight: 7}
    """
    first, bare, packing = profiles(text)
    weights = {name: weight for name, weight in SCORERS.items() if name != "PodTopologySpread"}
    assert (first.percentage, dict(first.weights)) == (50, weights | {"NodeResourcesFit": 5})
    assert (bare.name, bare.percentage, dict(bare.weights)) == ("no-scoring-scheduler", 100, {})
    assert (packing.fit, packing.shape) == ("RequestedToCapacityRatio", ((0, 0), (100, 100)))
    assert packing.resources == (("intel.com/foo", 3), ("intel.com/bar", 5))
    assert [(item.key, item.max_skew) for item in packing.spread] == [("zone", 1)]
    assert (packing.system_spread, packing.hard_pod_affinity_weight) == (False, 7)


def test_multi_point_comes_first_and_the_score_point_overrides_it() -> None:
    text = """
        profiles:
        - plugins:
            multiPoint:
              disabled: [{name: '*'}]
              enabled: [{name: NodeAffinity, weight: 4}, {name: TaintToleration}, {name: NodePorts}%s]
            filter:
              enabled: [{name: NodeResourcesFit}, {name: InterPodAffinity}, {name: PodTopologySpread}]
            score:
              enabled: [{name: NodeAffinity, weight: 9}]
    """
    others = "".join(f", {{name: {name}}}" for name in OTHERS if name not in ("NodePorts", "DynamicResources"))
    (profile,) = profiles(text % others)
    assert dict(profile.weights) == {"NodeAffinity": 9, "TaintToleration": 1}
    with pytest.raises(UserError, match="harness holds every constraint, so SchedulingGates cannot be disabled"):
        profiles(text % "")


def test_a_plugin_enabled_anew_has_the_weight_that_is_written_there() -> None:
    """default_plugins.go mergePluginSet: what is given takes the default's place, and no weight counts as 1."""
    text = """
        profiles:
        - plugins:
            multiPoint:
              disabled: [{name: ImageLocality}]
              enabled:
              - {name: TaintToleration}
              - {name: NodeResourcesFit, weight: 0}
              - {name: InterPodAffinity, weight: 7}
            score:
              disabled: [{name: NodeAffinity}, {name: PodTopologySpread}]
              enabled: [{name: NodeAffinity, weight: 3}]
    """
    (profile,) = profiles(text)
    assert dict(profile.weights) == {
        "TaintToleration": 1,
        "NodeResourcesFit": 1,
        "InterPodAffinity": 7,
        "NodeResourcesBalancedAllocation": 1,
        "NodeAffinity": 3,
    }


def args(plugin: str, given: str) -> str:
    return f"profiles:\n- pluginConfig:\n  - name: {plugin}\n    args: {given}"


SOFT_ZONE = "{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}"


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("profiles: [{plugins: {score: {enabled: [{name: NodeAfinity}]}}}]", 3, "no such plugin", "'NodeAffinity'"),
        ("profiles:\n- plugins:\n    scores: {}", 5, "no such field", "'score'"),
        ("profiles:\n- plugins:\n    filter:\n      disabled: [{name: NodePorts}]", 6, "holds every constraint", None),
        ("profiles:\n- {}\n- schedulerName: default-scheduler", 5, "two profiles have one schedulerName", None),
        ("percentageOfNodesToScore: 101", 3, "out of range", None),
        ("parallelism: many", 3, "out of range", None),
        ("parallelism: 0", 3, "out of range", None),
        ("profiles:\n- schedulerName: [a]", 4, "a schedulerName is a text", None),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NodeAffinity, weight: 2147483648}]}}}]",
            3,
            "a weight is a whole number",
            None,
        ),
        ("extenders: [{urlPrefix: 'http://[::1'}]", 3, "an extender needs a urlPrefix", None),
        ("extenders: [{urlPrefix: 'http://h:99999'}]", 3, "an extender needs a urlPrefix", None),
        ("extenders: [{urlPrefix: 'x'}]", 3, "an extender needs a urlPrefix", None),
        (
            "profiles:\n- plugins:\n    multiPoint:\n      disabled: [{name: PodTopologySpread}]",
            6,
            "so PodTopologySpread cannot be disabled",
            "at the extension point score",
        ),
        (
            "profiles:\n- plugins:\n    score: {enabled: [{name: NodeAffinity},\n      {name: NodeAffinity}]}",
            6,
            "NodeAffinity is enabled twice",
            None,
        ),
        ("podMaxBackoffSeconds: 20", 3, "podMaxBackoffSeconds cannot be changed", None),
        (args("NodeAffinity", "{addedAffinity: {a: 1}}"), 6, "no such field", None),
        (
            args("NodeAffinity", "{addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {}}}"),
            6,
            "is not modelled, its preferences are",
            None,
        ),
        (args("NodeAffinity", "{kind: InterPodAffinityArgs}"), 6, "no arguments of NodeAffinity", None),
        (args("NodePorts", "{a: 1}"), 6, "NodePorts takes no arguments", None),
        (args("NodeAffinity", "{}") + "\n  - name: NodeAffinity", 7, "configured twice", None),
        (args("DefaultPreemption", "{minCandidateNodesPercentage: 50}"), 6, "cannot be changed", None),
        (args("InterPodAffinity", "{hardPodAffinityWeight: 101}"), 6, "out of range", None),
        (args("NodeResourcesFit", "{scoringStrategy: {resources: []}}"), 6, "needs a type", None),
        (args("NodeResourcesFit", "{scoringStrategy: {type: Least}}"), 6, "no such scoring strategy", "LeastAllocated"),
        (args("NodeResourcesFit", "{scoringStrategy: {type: RequestedToCapacityRatio}}"), 6, "needs a shape", None),
        (args("NodeResourcesBalancedAllocation", "{resources: [{name: cpu, weight: 2}]}"), 6, "no weights", None),
        (args("NodeResourcesBalancedAllocation", "{resources: [{name: cpu}, {name: cpu}]}"), 6, "named twice", None),
        (args("PodTopologySpread", "{defaultingType: Lists}"), 6, "no such defaultingType", "'List'"),
        (
            args("PodTopologySpread", "{defaultConstraints: [{topologyKey: zone}]}"),
            6,
            "System takes no defaultConstraints",
            "defaultingType: List",
        ),
        (
            args("PodTopologySpread", f"{{defaultingType: List, defaultConstraints: [{SOFT_ZONE}, {SOFT_ZONE}]}}"),
            6,
            "two default constraints have one topologyKey",
            None,
        ),
    ],
)
def test_what_cannot_be_honored_is_told_with_its_line(text: str, line: int, what: str, hint: str | None) -> None:
    with pytest.raises(UserError, match=what) as told:
        parse(HEAD + text, "sched.yaml")
    assert (told.value.file, told.value.line) == ("sched.yaml", line)
    assert hint is None or hint in (told.value.hint or "")


def test_another_kind_of_file_is_told_apart() -> None:
    with pytest.raises(UserError, match="no scheduler configuration"):
        parse("apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration")
    with pytest.raises(UserError, match="malformed YAML"):
        parse("a: [")


def test_kube_is_found_by_name_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "profiles: [{schedulerName: packing, plugins: {score: {disabled: [{name: '*'}]}}}]")
    strategy = load(f"schedulers.kube:kube?config={file}&percentage=70")()
    assert isinstance(strategy, Kube)
    assert [(p.name, p.percentage, dict(p.weights)) for p in strategy.profiles] == [("packing", 70, {})]
    with pytest.raises(UserError, match="cannot be read"):
        load("schedulers.kube:kube?config=nowhere.yaml")()
    with pytest.raises(UserError, match="no such share"):
        load("schedulers.kube:kube?percentage=101")()


def test_a_pod_goes_by_the_profile_that_it_names() -> None:
    on = cluster((4000, 8 * GIB), (4000, 8 * GIB))
    bind(on, pod("a", "1000m", "2Gi"), 1)
    both = Kube([Profile(), Profile(name="packing", weights={"NodeResourcesFit": 1}, fit="MostAllocated")])
    assert chosen(on, pod("p", "1000m", "2Gi", scheduler_name="default-scheduler"), both) == 0
    assert chosen(on, pod("q", "1000m", "2Gi", scheduler_name="packing"), both) == 1
    assert chosen(on, pod("r", "1000m", "2Gi", scheduler_name="unheard-of"), both) == 0
