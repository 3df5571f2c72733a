"""The arguments of plugins (pluginConfig of a profile), as fields of Profile; what is not honored is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from harness.model.core import NodeAffinity, NodeSelectorTerm, PreferredSchedulingTerm
from harness.model.wire import DecodeError, decode
from harness.scheduling.registry import FILTERS, SCORE_PLUGINS
from harness.scheduling.scores import SYSTEM_SPREAD, DefaultSpread, WeightedTerms, preferred_terms, qualified
from schedulers.kube.profile import OTHERS, SCORERS
from schedulers.kube.yaml_reader import Path, YamlReader, suggest

API_VERSION = "kubescheduler.config.k8s.io/v1"

_FIXED: Mapping[str, Mapping[str, int]] = {
    "DefaultPreemption": {"minCandidateNodesPercentage": 10, "minCandidateNodesAbsolute": 100},
    "VolumeBinding": {"bindTimeoutSeconds": 600},
}
"""Fields with the only value that is honored, kube-scheduler's default.
Source: kube-scheduler 1.32 apis/config/v1/defaults.go."""


class PluginArgs(YamlReader):
    def check_plugin_name(self, name: Any, path: Path) -> None:
        known = (*SCORERS, *OTHERS)
        if name in FILTERS.names():
            self.fail_filter_plugin(name, path)
        if name not in known and not is_outside(name):
            known = (*known, *SCORE_PLUGINS.names())
            self.fail("there is no such plugin", path, found=name, expected=", ".join(known), hint=suggest(name, known))

    def fail_filter_plugin(self, name: Any, path: Path) -> NoReturn:
        self.fail(
            "a Filter plugin of others is the cluster's, for every strategy",
            path,
            found=name,
            hint=f"spec.scheduling.filters: [{name}] in the scenario, or podyard verdicts --filter-plugin {name}",
        )

    def read_plugin_config(self, data: Any, path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Arguments as fields of Profile, and those of plugins of others by their name."""
        out: dict[str, Any] = {}
        outside: dict[str, dict[str, Any]] = {}
        seen: set[str] = set()
        for i, item in enumerate(self.list_of(data, path)):
            at = (*path, i)
            self.check_mapping(item, at)
            self.check_fields(item, ("name", "args"), at)
            name = item.get("name")
            self.check_plugin_name(name, at)
            if name in seen:
                self.fail(f"{name} is configured twice", at)
            seen.add(name)
            args = item.get("args") or {}
            at = (*at, "args")
            self.check_mapping(args, at)
            for key, expected in (("apiVersion", API_VERSION), ("kind", f"{name}Args")):
                if args.get(key, expected) != expected:
                    self.fail(f"these are no arguments of {name}", (*at, key), found=args[key], expected=expected)
            given = {key: value for key, value in args.items() if key not in ("apiVersion", "kind")}
            if is_outside(name):
                outside[name] = given
                continue
            match name:
                case "NodeResourcesFit":
                    out |= self._fit(given, at)
                case "NodeResourcesBalancedAllocation":
                    self.check_fields(given, ("resources",), at)
                    if given.get("resources"):
                        out["balanced"] = self._balanced(given["resources"], (*at, "resources"))
                case "InterPodAffinity":
                    self.check_fields(given, ("hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"), at)
                    out["hard_pod_affinity_weight"] = self.int_of(given, "hardPodAffinityWeight", 1, 0, 100, at)
                    ignores = given.get("ignorePreferredTermsOfExistingPods") or False
                    if not isinstance(ignores, bool):
                        self.fail("true or false?", (*at, "ignorePreferredTermsOfExistingPods"), found=ignores)
                    out["ignore_preferred_of_existing"] = ignores
                case "PodTopologySpread":
                    out |= self._spread(given, at)
                case "NodeAffinity":
                    self.check_fields(given, ("addedAffinity",), at)
                    if given.get("addedAffinity"):
                        out["added"] = self._added(given["addedAffinity"], (*at, "addedAffinity"))
                case _:
                    fixed = _FIXED.get(name)
                    if fixed is None:
                        self.fail(f"{name} takes no arguments", at)
                    self.check_fields(given, tuple(fixed), at)
                    self.check_fixed(given, fixed, at)
        return out, outside

    def _fit(self, data: Mapping[str, Any], path: Path) -> dict[str, Any]:
        self.check_fields(data, ("ignoredResources", "ignoredResourceGroups", "scoringStrategy"), path)
        for key in ("ignoredResources", "ignoredResourceGroups"):
            if data.get(key):
                self.fail(f"{key} is not modelled: what is requested must be free", (*path, key))
        strategy = data.get("scoringStrategy") or {}
        path = (*path, "scoringStrategy")
        self.check_mapping(strategy, path)
        self.check_fields(strategy, ("type", "resources", "requestedToCapacityRatio"), path)
        if strategy.get("type") is None and data.get("scoringStrategy") is not None:
            self.fail("a scoringStrategy needs a type", path)
        kind = strategy.get("type") or "LeastAllocated"
        kinds = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")
        if kind not in kinds:
            expected, hint = ", ".join(kinds), suggest(kind, kinds)
            self.fail("there is no such scoring strategy", (*path, "type"), found=kind, expected=expected, hint=hint)
        out: dict[str, Any] = {"fit": kind}
        if strategy.get("resources"):
            out["resources"] = self._resources(strategy["resources"], (*path, "resources"))
        ratio = strategy.get("requestedToCapacityRatio")
        if ratio is not None or kind == kinds[2]:
            path = (*path, "requestedToCapacityRatio")
            self.check_mapping(ratio or {}, path)
            self.check_fields(ratio or {}, ("shape",), path)
            shape = self._shape((ratio or {}).get("shape"), (*path, "shape"))
            if kind == kinds[2]:
                out["shape"] = shape
        return out

    def _balanced(self, data: Any, path: Path) -> tuple[str, ...]:
        found = self._resources(data, path)
        for i, (name, weight) in enumerate(found):
            if weight != 1:
                self.fail("balance knows no weights", (*path, i, "weight"), found=weight, expected="1")
            if name in [before for before, _ in found[:i]]:
                self.fail("a resource is named twice", (*path, i), found=name)
        return tuple(name for name, _ in found)

    def _added(self, data: Any, path: Path) -> WeightedTerms:
        """The preferences of addedAffinity, that count for every pod of the profile."""
        self.check_mapping(data, path)
        try:
            affinity = decode(NodeAffinity, data)
        except DecodeError as error:
            self.fail("addedAffinity does not parse", path, found=str(error))
        for unknown in (affinity.extra or {}, *(t.extra or {} for t in _terms(affinity))):
            for name in unknown:
                self.fail("there is no such field", path, found=name)
        key = "requiredDuringSchedulingIgnoredDuringExecution"
        if affinity.required_during_scheduling_ignored_during_execution is not None:
            self.fail(f"addedAffinity's {key} is not modelled, its preferences are", (*path, key))
        terms = preferred_terms(affinity)
        if not all(requirement.operator for _, requirements in terms for requirement in requirements):
            self.fail("addedAffinity has a term that does not parse", path)
        return terms

    def check_fixed(self, data: Mapping[str, Any], fixed: Mapping[str, int], path: Path) -> None:
        for key, value in fixed.items():
            if data.get(key, value) not in (value, None):
                self.fail(f"{key} cannot be changed", (*path, key), found=data[key], expected=value)

    def _resources(self, data: Any, path: Path) -> tuple[tuple[str, int], ...]:
        out = []
        for i, item in enumerate(self.list_of(data, path)):
            self.check_mapping(item, (*path, i))
            self.check_fields(item, ("name", "weight"), (*path, i))
            # Source: apis/config/v1/defaults.go: a weight of 0 counts as 1.
            out.append((str(item.get("name")), self.int_of(item, "weight", 1, 0, 100, (*path, i)) or 1))
        return tuple(out)

    def _shape(self, data: Any, path: Path) -> tuple[tuple[int, int], ...]:
        points: list[tuple[int, int]] = []
        for i, item in enumerate(self.list_of(data, path)):
            at = (*path, i)
            self.check_mapping(item, at)
            utilisation = self.int_of(item, "utilization", 0, 0, 100, at)
            # Source: kube-scheduler 1.32: custom scores of 0..10 are stretched to 0..100.
            points.append((utilisation, 10 * self.int_of(item, "score", 0, 0, 10, at)))
            if i and utilisation <= points[i - 1][0]:
                self.fail("utilization must ascend", (*at, "utilization"), found=utilisation)
        if not points:
            self.fail("RequestedToCapacityRatio needs a shape", path, expected="points of utilization and score")
        return tuple(points)

    def _spread(self, data: Mapping[str, Any], path: Path) -> dict[str, Any]:
        self.check_fields(data, ("defaultConstraints", "defaultingType"), path)
        kind, kinds = data.get("defaultingType") or "System", ("System", "List")
        if kind not in kinds:
            at, expected = (*path, "defaultingType"), ", ".join(kinds)
            self.fail("there is no such defaultingType", at, found=kind, expected=expected, hint=suggest(kind, kinds))
        if kind == "System":
            if data.get("defaultConstraints"):
                self.fail(
                    "defaultingType System takes no defaultConstraints",
                    (*path, "defaultConstraints"),
                    hint="defaultingType: List",
                )
            return {"spread": SYSTEM_SPREAD, "system_spread": True}
        out: list[DefaultSpread] = []
        for i, item in enumerate(self.list_of(data.get("defaultConstraints"), (*path, "defaultConstraints"))):
            at = (*path, "defaultConstraints", i)
            self.check_mapping(item, at)
            self.check_fields(item, ("maxSkew", "topologyKey", "whenUnsatisfiable"), at)
            if item.get("whenUnsatisfiable") != "ScheduleAnyway":
                self.fail(
                    "a default constraint that forbids is not modelled",
                    (*at, "whenUnsatisfiable"),
                    found=item.get("whenUnsatisfiable"),
                    expected="ScheduleAnyway",
                )
            key = item.get("topologyKey")
            if not isinstance(key, str) or not qualified(key):
                self.fail("a default constraint needs a topologyKey", (*at, "topologyKey"), found=key)
            if key in [before.key for before in out]:
                self.fail("two default constraints have one topologyKey", (*at, "topologyKey"), found=key)
            if item.get("maxSkew") is None:
                self.fail("a default constraint needs a maxSkew", at)
            out.append(DefaultSpread(key, self.int_of(item, "maxSkew", 1, 1, 2**31 - 1, at)))
        return {"spread": tuple(out), "system_spread": False}


def _terms(affinity: NodeAffinity) -> Iterator[PreferredSchedulingTerm | NodeSelectorTerm]:
    for term in affinity.preferred_during_scheduling_ignored_during_execution:
        yield from (term, term.preference)


def is_outside(name: object) -> bool:
    """A registered Score plugin, or one by its path."""
    return isinstance(name, str) and (":" in name or name in SCORE_PLUGINS.names())
