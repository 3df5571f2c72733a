"""Reads a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) into profiles; says what it cannot honor.

Source of the semantics: kube-scheduler 1.32 apis/config/v1 default_plugins.go (mergePlugins) and framework/runtime
(expandMultiPointPlugins): multiPoint comes first, the score extension point overrides it, '*' disables all defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from harness.model.core import NodeAffinity, NodeSelectorTerm, PreferredSchedulingTerm
from harness.model.errors import UserError, did_you_mean
from harness.model.wire import DecodeError, decode
from harness.scheduling.scores import SYSTEM_SPREAD, DefaultSpread, WeightedTerms, preferred_terms, qualified
from schedulers.extender.settings import Settings, settings
from schedulers.kube.profile import HELD, OTHERS, SCORERS, Profile

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"

_TOP = (
    "apiVersion", "kind", "parallelism", "leaderElection", "clientConnection", "healthzBindAddress",
    "metricsBindAddress", "enableProfiling", "enableContentionProfiling", "percentageOfNodesToScore",
    "podInitialBackoffSeconds", "podMaxBackoffSeconds", "profiles", "extenders", "delayCacheUntilActive",
)  # fmt: skip
_POINTS = (
    "preEnqueue", "queueSort", "preFilter", "filter", "postFilter", "preScore", "score", "reserve", "permit",
    "preBind", "bind", "postBind", "multiPoint",
)  # fmt: skip
_HELD = ("queueSort", "preEnqueue", "preFilter", "filter", "postFilter", "reserve", "permit", "preBind", "bind")
_FIXED: Mapping[str, Mapping[str, int]] = {
    "DefaultPreemption": {"minCandidateNodesPercentage": 10, "minCandidateNodesAbsolute": 100},
    "VolumeBinding": {"bindTimeoutSeconds": 600},
}
_BACKOFF: Mapping[str, int] = {"podInitialBackoffSeconds": 1, "podMaxBackoffSeconds": 10}
"""Fields with the only value that is honored, kube-scheduler's default.
Source: kube-scheduler 1.32 apis/config/v1/defaults.go."""


def read(path: str | Path) -> tuple[Profile, ...]:
    """The profiles of a file, in its order. Raises UserError with file and line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError("the scheduler configuration cannot be read", file=path, found=error.strerror) from None
    return parse(text, str(path))


def parse(text: str, file: str = "KubeSchedulerConfiguration") -> tuple[Profile, ...]:
    try:
        data = yaml.safe_load(text)
        root = yaml.compose(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise UserError("this is no YAML", file=file, line=line, found=getattr(error, "problem", str(error))) from None
    return _Reader(file, root).configuration(data)


def read_extenders(path: str | Path) -> tuple[Settings, ...]:
    """The extenders of a file that `read` has read, in its order. Raises UserError with file and line."""
    text = Path(path).read_text(encoding="utf-8")
    return _Reader(str(path), yaml.compose(text)).extenders(yaml.safe_load(text))


class _Reader:
    def __init__(self, file: str, root: yaml.Node | None) -> None:
        self._file = file
        self._root = root

    def configuration(self, data: Any) -> tuple[Profile, ...]:
        self._map(data, ())
        if (data.get("apiVersion"), data.get("kind")) != (API_VERSION, KIND):
            found = f"{data.get('apiVersion')}, {data.get('kind')}"
            self._wrong("this is no scheduler configuration", (), found=found, expected=f"{API_VERSION}, {KIND}")
        self._known(data, _TOP, ())
        self._as_it_is(data, _BACKOFF, ())
        self.extenders(data)
        share = self._percentage(data, ())
        profiles = self._list(data.get("profiles"), ("profiles",))
        if not profiles:
            return (Profile(percentage=share),)
        out = [self._profile(item, ("profiles", i), share) for i, item in enumerate(profiles)]
        names = [profile.name for profile in out]
        for i, name in enumerate(names):
            if name in names[:i]:
                self._wrong("two profiles have one schedulerName", ("profiles", i, "schedulerName"), found=name)
        return tuple(out)

    def extenders(self, data: Any) -> tuple[Settings, ...]:
        out = []
        for i, item in enumerate(self._list(data.get("extenders"), ("extenders",))):
            self._map(item, ("extenders", i))
            try:
                out.append(settings(item))
            except UserError as error:
                self._wrong(error.what, ("extenders", i), found=error.found, expected=error.expected, hint=error.hint)
        return tuple(out)

    def _profile(self, data: Any, path: tuple[str | int, ...], share: int | None) -> Profile:
        self._map(data, path)
        self._known(data, ("schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"), path)
        own = self._percentage(data, path)
        args = self._plugin_config(data.get("pluginConfig"), (*path, "pluginConfig"))
        return Profile(
            name=data.get("schedulerName") or "default-scheduler",
            weights=self._weights(data.get("plugins") or {}, (*path, "plugins")),
            percentage=own if own is not None else share,
            **args,
        )

    # -- plugins ----------------------------------------------------------------------------------------------------

    def _weights(self, data: Any, path: tuple[str | int, ...]) -> dict[str, int]:
        self._map(data, path)
        self._known(data, _POINTS, path)
        points = {point: self._point(data[point], (*path, point)) for point in data}
        for point in _HELD:
            for name in points.get(point, ({}, ()))[1]:
                self._wrong(
                    f"the harness holds every constraint, so {point} of {name} cannot be disabled",
                    (*path, point, "disabled"),
                )
        weights = dict(SCORERS)
        enabled, disabled = points.get("multiPoint", ({}, ()))
        for name in HELD:
            if ("*" in disabled or name in disabled) and not any(name in found for found, _ in points.values()):
                self._wrong(
                    f"the harness holds every constraint, so {name} cannot be disabled",
                    (*path, "multiPoint", "disabled"),
                    hint="disable what scores at the extension point score",
                )
        weights = {} if "*" in disabled else {name: w for name, w in weights.items() if name not in disabled}
        weights |= {name: weight for name, weight in enabled.items() if name in SCORERS}
        enabled, disabled = points.get("score", ({}, ()))
        weights = {} if "*" in disabled else {name: w for name, w in weights.items() if name not in disabled}
        for name in enabled:
            if name not in SCORERS:
                self._wrong(f"{name} scores nothing", (*path, "score"), expected=", ".join(SCORERS))
        return weights | enabled

    def _point(self, data: Any, path: tuple[str | int, ...]) -> tuple[dict[str, int], tuple[str, ...]]:
        """(enabled with weights, disabled) of one extension point."""
        self._map(data or {}, path)
        self._known(data or {}, ("enabled", "disabled"), path)
        sides: list[dict[str, int]] = []
        for side in ("enabled", "disabled"):
            found: dict[str, int] = {}
            for i, item in enumerate(self._list((data or {}).get(side), (*path, side))):
                at = (*path, side, i)
                self._map(item, at)
                self._known(item, ("name", "weight"), at)
                name, weight = item.get("name"), item.get("weight") or 1  # a weight of 0 counts as 1
                if not (name == "*" and side == "disabled"):
                    self._plugin(name, at)
                if not isinstance(weight, int) or isinstance(weight, bool) or weight < 0:
                    self._wrong("a weight is a whole number", (*at, "weight"), found=weight)
                if name in found and side == "enabled":
                    self._wrong(f"{name} is enabled twice", at)
                found[name] = weight
            sides.append(found)
        return sides[0], tuple(sides[1])

    def _plugin(self, name: Any, path: tuple[str | int, ...]) -> None:
        known = (*SCORERS, *OTHERS)
        if name not in known:
            self._wrong(
                "there is no such plugin", path, found=name, expected=", ".join(known), hint=_suggest(name, known)
            )

    # -- arguments --------------------------------------------------------------------------------------------------

    def _plugin_config(self, data: Any, path: tuple[str | int, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        seen: set[str] = set()
        for i, item in enumerate(self._list(data, path)):
            at = (*path, i)
            self._map(item, at)
            self._known(item, ("name", "args"), at)
            name = item.get("name")
            self._plugin(name, at)
            if name in seen:
                self._wrong(f"{name} is configured twice", at)
            seen.add(name)
            args = item.get("args") or {}
            at = (*at, "args")
            self._map(args, at)
            for key, expected in (("apiVersion", API_VERSION), ("kind", f"{name}Args")):
                if args.get(key, expected) != expected:
                    self._wrong(f"these are no arguments of {name}", (*at, key), found=args[key], expected=expected)
            given = {key: value for key, value in args.items() if key not in ("apiVersion", "kind")}
            match name:
                case "NodeResourcesFit":
                    out |= self._fit(given, at)
                case "NodeResourcesBalancedAllocation":
                    self._known(given, ("resources",), at)
                    if given.get("resources"):
                        out["balanced"] = self._balanced(given["resources"], (*at, "resources"))
                case "InterPodAffinity":
                    self._known(given, ("hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"), at)
                    out["hard_pod_affinity_weight"] = self._int(given, "hardPodAffinityWeight", 1, 0, 100, at)
                    ignores = given.get("ignorePreferredTermsOfExistingPods") or False
                    if not isinstance(ignores, bool):
                        self._wrong("true or false?", (*at, "ignorePreferredTermsOfExistingPods"), found=ignores)
                    out["ignore_preferred_of_existing"] = ignores
                case "PodTopologySpread":
                    out |= self._spread(given, at)
                case "NodeAffinity":
                    self._known(given, ("addedAffinity",), at)
                    if given.get("addedAffinity"):
                        out["added"] = self._added(given["addedAffinity"], (*at, "addedAffinity"))
                case _:
                    fixed = _FIXED.get(name)
                    if fixed is None:
                        self._wrong(f"{name} takes no arguments", at)
                    self._known(given, tuple(fixed), at)
                    self._as_it_is(given, fixed, at)
        return out

    def _fit(self, data: Mapping[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
        self._known(data, ("ignoredResources", "ignoredResourceGroups", "scoringStrategy"), path)
        for key in ("ignoredResources", "ignoredResourceGroups"):
            if data.get(key):
                self._wrong(f"{key} is not modelled: what is requested must be free", (*path, key))
        strategy = data.get("scoringStrategy") or {}
        path = (*path, "scoringStrategy")
        self._map(strategy, path)
        self._known(strategy, ("type", "resources", "requestedToCapacityRatio"), path)
        if strategy.get("type") is None and data.get("scoringStrategy") is not None:
            self._wrong("a scoringStrategy needs a type", path)
        kind = strategy.get("type") or "LeastAllocated"
        kinds = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")
        if kind not in kinds:
            expected, hint = ", ".join(kinds), _suggest(kind, kinds)
            self._wrong("there is no such scoring strategy", (*path, "type"), found=kind, expected=expected, hint=hint)
        out: dict[str, Any] = {"fit": kind}
        if strategy.get("resources"):
            out["resources"] = self._resources(strategy["resources"], (*path, "resources"))
        ratio = strategy.get("requestedToCapacityRatio")
        if ratio is not None or kind == kinds[2]:
            path = (*path, "requestedToCapacityRatio")
            self._map(ratio or {}, path)
            self._known(ratio or {}, ("shape",), path)
            shape = self._shape((ratio or {}).get("shape"), (*path, "shape"))
            if kind == kinds[2]:
                out["shape"] = shape
        return out

    def _balanced(self, data: Any, path: tuple[str | int, ...]) -> tuple[str, ...]:
        found = self._resources(data, path)
        for i, (name, weight) in enumerate(found):
            if weight != 1:
                self._wrong("balance knows no weights", (*path, i, "weight"), found=weight, expected="1")
            if name in [before for before, _ in found[:i]]:
                self._wrong("a resource is named twice", (*path, i), found=name)
        return tuple(name for name, _ in found)

    def _added(self, data: Any, path: tuple[str | int, ...]) -> WeightedTerms:
        """The preferences of addedAffinity, that count for every pod of the profile."""
        self._map(data, path)
        try:
            affinity = decode(NodeAffinity, data)
        except DecodeError as error:
            self._wrong("addedAffinity does not parse", path, found=str(error))
        for unknown in (affinity.extra or {}, *(t.extra or {} for t in _terms(affinity))):
            for name in unknown:
                self._wrong("there is no such field", path, found=name)
        key = "requiredDuringSchedulingIgnoredDuringExecution"
        if affinity.required_during_scheduling_ignored_during_execution is not None:
            self._wrong(f"addedAffinity's {key} is not modelled, its preferences are", (*path, key))
        terms = preferred_terms(affinity)
        if not all(requirement.operator for _, requirements in terms for requirement in requirements):
            self._wrong("addedAffinity has a term that does not parse", path)
        return terms

    def _as_it_is(self, data: Mapping[str, Any], fixed: Mapping[str, int], path: tuple[str | int, ...]) -> None:
        for key, value in fixed.items():
            if data.get(key, value) not in (value, None):
                self._wrong(f"{key} cannot be changed", (*path, key), found=data[key], expected=value)

    def _resources(self, data: Any, path: tuple[str | int, ...]) -> tuple[tuple[str, int], ...]:
        out = []
        for i, item in enumerate(self._list(data, path)):
            self._map(item, (*path, i))
            self._known(item, ("name", "weight"), (*path, i))
            # Source: apis/config/v1/defaults.go: a weight of 0 counts as 1.
            out.append((str(item.get("name")), self._int(item, "weight", 1, 0, 100, (*path, i)) or 1))
        return tuple(out)

    def _shape(self, data: Any, path: tuple[str | int, ...]) -> tuple[tuple[int, int], ...]:
        points: list[tuple[int, int]] = []
        for i, item in enumerate(self._list(data, path)):
            at = (*path, i)
            self._map(item, at)
            utilisation = self._int(item, "utilization", 0, 0, 100, at)
            # Source: kube-scheduler 1.32: custom scores of 0..10 are stretched to 0..100.
            points.append((utilisation, 10 * self._int(item, "score", 0, 0, 10, at)))
            if i and utilisation <= points[i - 1][0]:
                self._wrong("utilization must ascend", (*at, "utilization"), found=utilisation)
        if not points:
            self._wrong("RequestedToCapacityRatio needs a shape", path, expected="points of utilization and score")
        return tuple(points)

    def _spread(self, data: Mapping[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
        self._known(data, ("defaultConstraints", "defaultingType"), path)
        kind, kinds = data.get("defaultingType") or "System", ("System", "List")
        if kind not in kinds:
            at, expected = (*path, "defaultingType"), ", ".join(kinds)
            self._wrong(
                "there is no such defaultingType", at, found=kind, expected=expected, hint=_suggest(kind, kinds)
            )
        if kind == "System":
            if data.get("defaultConstraints"):
                self._wrong(
                    "defaultingType System takes no defaultConstraints",
                    (*path, "defaultConstraints"),
                    hint="defaultingType: List",
                )
            return {"spread": SYSTEM_SPREAD, "system_spread": True}
        out: list[DefaultSpread] = []
        for i, item in enumerate(self._list(data.get("defaultConstraints"), (*path, "defaultConstraints"))):
            at = (*path, "defaultConstraints", i)
            self._map(item, at)
            self._known(item, ("maxSkew", "topologyKey", "whenUnsatisfiable"), at)
            if item.get("whenUnsatisfiable") != "ScheduleAnyway":
                self._wrong(
                    "a default constraint that forbids is not modelled",
                    (*at, "whenUnsatisfiable"),
                    found=item.get("whenUnsatisfiable"),
                    expected="ScheduleAnyway",
                )
            key = item.get("topologyKey")
            if not isinstance(key, str) or not qualified(key):
                self._wrong("a default constraint needs a topologyKey", (*at, "topologyKey"), found=key)
            if key in [before.key for before in out]:
                self._wrong("two default constraints have one topologyKey", (*at, "topologyKey"), found=key)
            if item.get("maxSkew") is None:
                self._wrong("a default constraint needs a maxSkew", at)
            out.append(DefaultSpread(key, self._int(item, "maxSkew", 1, 1, 2**31 - 1, at)))
        return {"spread": tuple(out), "system_spread": False}

    # -- what every part needs --------------------------------------------------------------------------------------

    def _percentage(self, data: Mapping[str, Any], path: tuple[str | int, ...]) -> int | None:
        if data.get("percentageOfNodesToScore") is None:
            return None
        return self._int(data, "percentageOfNodesToScore", 0, 0, 100, path)

    def _int(
        self, data: Mapping[str, Any], key: str, default: int, least: int, most: int, path: tuple[str | int, ...]
    ) -> int:
        value = data.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self._wrong(f"{key} is out of range", (*path, key), found=value, expected=f"a number of {least}..{most}")
        return value

    def _map(self, data: Any, path: tuple[str | int, ...]) -> None:
        if not isinstance(data, dict):
            self._wrong("expected a mapping", path, found=repr(data))

    def _list(self, data: Any, path: tuple[str | int, ...]) -> list[Any]:
        if data is None:
            return []
        if not isinstance(data, list):
            self._wrong("expected a list", path, found=repr(data))
        return list(data)

    def _known(self, data: Mapping[str, Any], known: tuple[str, ...], path: tuple[str | int, ...]) -> None:
        for key in data:
            if key not in known:
                expected, hint = ", ".join(known), _suggest(key, known)
                self._wrong("there is no such field", (*path, key), found=key, expected=expected, hint=hint)

    def _wrong(
        self,
        what: str,
        path: tuple[str | int, ...],
        *,
        found: object = None,
        expected: object = None,
        hint: str | None = None,
    ) -> NoReturn:
        raise UserError(what, file=self._file, line=self._line(path), found=found, expected=expected, hint=hint)

    def _line(self, path: tuple[str | int, ...]) -> int | None:
        """Of the deepest part of `path` that the file has."""
        node = self._root
        line = None if node is None else node.start_mark.line + 1
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == step), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        return line


def _terms(affinity: NodeAffinity) -> Iterator[PreferredSchedulingTerm | NodeSelectorTerm]:
    for term in affinity.preferred_during_scheduling_ignored_during_execution:
        yield from (term, term.preference)


def _suggest(name: object, known: tuple[str, ...]) -> str | None:
    return did_you_mean(name, known) if isinstance(name, str) else None
