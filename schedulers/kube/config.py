"""Reads a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) into profiles; says what it cannot honor.

Source of the semantics: kube-scheduler 1.32 apis/config/v1 default_plugins.go (mergePlugins) and framework/runtime
(expandMultiPointPlugins): multiPoint comes first, the score extension point overrides it, '*' disables all defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.model.errors import UserError
from harness.model.loading import BY_HAND, Document, load_one, read_text
from harness.scheduling.registry import load_score_plugin
from harness.scheduling.scores import (
    check_plugin,
)
from harness.scheduling.strategy import ScorePlugin
from schedulers.extender.settings import Settings, settings
from schedulers.kube.plugin_args import API_VERSION, PluginArgs, is_outside
from schedulers.kube.profile import HELD, SCORERS, Profile

KIND = "KubeSchedulerConfiguration"

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
_MOST_WEIGHT = (1 << 31) - 1
"""Source: kube-scheduler 1.32 apis/config/types.go: Weight and Parallelism are int32."""
_BACKOFF: Mapping[str, int] = {"podInitialBackoffSeconds": 1, "podMaxBackoffSeconds": 10}
"""Fields with the only value that is honored, kube-scheduler's default.
Source: kube-scheduler 1.32 apis/config/v1/defaults.go."""


def read(path: str | Path) -> tuple[Profile, ...]:
    """The profiles of a file, in its order. Raises UserError with file and line."""
    return _read(path).configuration()


def parse(text: str, file: str = "KubeSchedulerConfiguration") -> tuple[Profile, ...]:
    return _Reader(_document(text, file)).configuration()


def read_extenders(path: str | Path) -> tuple[Settings, ...]:
    """The extenders of a file that `read` has read, in its order. Raises UserError with file and line."""
    reader = _read(path)
    return reader.extenders(reader.data)


def _read(path: str | Path) -> _Reader:
    text = read_text(path, most=BY_HAND.yaml_bytes, expected=KIND, what="scheduler configuration")
    return _Reader(_document(text, str(path)))


def _document(text: str, file: str) -> Document:
    return load_one(text, file, BY_HAND, f"{KIND} in YAML")


class _Reader(PluginArgs):
    def configuration(self) -> tuple[Profile, ...]:
        data = self.data
        self.check_mapping(data, ())
        if (data.get("apiVersion"), data.get("kind")) != (API_VERSION, KIND):
            found = f"{data.get('apiVersion')}, {data.get('kind')}"
            self.fail("this is no scheduler configuration", (), found=found, expected=f"{API_VERSION}, {KIND}")
        self.check_fields(data, _TOP, ())
        self.check_fixed(data, _BACKOFF, ())
        self.int_of(data, "parallelism", 16, 1, _MOST_WEIGHT, ())  # of no effect here
        self.extenders(data)
        share = self.percentage_of(data, ())
        profiles = self.list_of(data.get("profiles"), ("profiles",))
        if not profiles:
            return (Profile(percentage=share),)
        out = [self._profile(item, ("profiles", i), share) for i, item in enumerate(profiles)]
        names = [profile.name for profile in out]
        for i, name in enumerate(names):
            if name in names[:i]:
                self.fail("two profiles have one schedulerName", ("profiles", i, "schedulerName"), found=name)
        return tuple(out)

    def extenders(self, data: Any) -> tuple[Settings, ...]:
        self.check_mapping(data, ())
        out = []
        for i, item in enumerate(self.list_of(data.get("extenders"), ("extenders",))):
            self.check_mapping(item, ("extenders", i))
            try:
                out.append(settings(item))
            except UserError as error:
                self.fail(error.what, ("extenders", i), found=error.found, expected=error.expected, hint=error.hint)
        return tuple(out)

    def _profile(self, data: Any, path: tuple[str | int, ...], share: int | None) -> Profile:
        self.check_mapping(data, path)
        self.check_fields(data, ("schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"), path)
        own = self.percentage_of(data, path)
        if not isinstance(data.get("schedulerName") or "", str):
            self.fail("a schedulerName is a text", (*path, "schedulerName"), found=repr(data["schedulerName"]))
        args, outside_args = self.read_plugin_config(data.get("pluginConfig"), (*path, "pluginConfig"))
        weights = self._weights(data.get("plugins") or {}, (*path, "plugins"))
        return Profile(
            name=data.get("schedulerName") or "default-scheduler",
            weights=weights,
            percentage=own if own is not None else share,
            outside=self._outside(weights, outside_args, (*path, "plugins")),
            **args,
        )

    def _outside(
        self, weights: Mapping[str, int], args: Mapping[str, dict[str, Any]], path: tuple[str | int, ...]
    ) -> dict[str, Callable[[], ScorePlugin]]:
        """Enabled Score plugins of others, made from their arguments."""
        out: dict[str, Callable[[], ScorePlugin]] = {}
        for name in weights:
            if is_outside(name):
                try:
                    out[name] = load_score_plugin(name, dict(args.get(name, {})))
                    check_plugin(out[name](), name)
                except UserError as error:
                    self.fail(error.what, path, found=error.found, expected=error.expected, hint=error.hint)
        return out

    # -- plugins ----------------------------------------------------------------------------------------------------

    def _weights(self, data: Any, path: tuple[str | int, ...]) -> dict[str, int]:
        self.check_mapping(data, path)
        self.check_fields(data, _POINTS, path)
        points = {point: self._point(data[point], (*path, point)) for point in data}
        for point in _HELD:
            for name in points.get(point, ({}, ()))[0]:
                if is_outside(name) and point in ("preFilter", "filter"):
                    self.fail_filter_plugin(name, (*path, point, "enabled"))
            for name in points.get(point, ({}, ()))[1]:
                self.fail(
                    f"the harness holds every constraint, so {point} of {name} cannot be disabled",
                    (*path, point, "disabled"),
                )
        weights = dict(SCORERS)
        enabled, disabled = points.get("multiPoint", ({}, ()))
        for name in HELD:
            if ("*" in disabled or name in disabled) and not any(name in found for found, _ in points.values()):
                self.fail(
                    f"the harness holds every constraint, so {name} cannot be disabled",
                    (*path, "multiPoint", "disabled"),
                    hint="disable what scores at the extension point score",
                )
        weights = {} if "*" in disabled else {name: w for name, w in weights.items() if name not in disabled}
        weights |= {name: weight for name, weight in enabled.items() if name in SCORERS or is_outside(name)}
        enabled, disabled = points.get("score", ({}, ()))
        weights = {} if "*" in disabled else {name: w for name, w in weights.items() if name not in disabled}
        for name in enabled:
            if name not in SCORERS and not is_outside(name):
                self.fail(f"{name} scores nothing", (*path, "score"), expected=", ".join(SCORERS))
        return weights | enabled

    def _point(self, data: Any, path: tuple[str | int, ...]) -> tuple[dict[str, int], tuple[str, ...]]:
        """(enabled with weights, disabled) of one extension point."""
        self.check_mapping(data or {}, path)
        self.check_fields(data or {}, ("enabled", "disabled"), path)
        sides: list[dict[str, int]] = []
        for side in ("enabled", "disabled"):
            found: dict[str, int] = {}
            for i, item in enumerate(self.list_of((data or {}).get(side), (*path, side))):
                at = (*path, side, i)
                self.check_mapping(item, at)
                self.check_fields(item, ("name", "weight"), at)
                name, weight = item.get("name"), item.get("weight") or 1  # a weight of 0 counts as 1
                if not (name == "*" and side == "disabled"):
                    self.check_plugin_name(name, at)
                if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= _MOST_WEIGHT:
                    expected = f"0 to {_MOST_WEIGHT}"
                    self.fail("a weight is a whole number", (*at, "weight"), found=weight, expected=expected)
                if name in found and side == "enabled":
                    self.fail(f"{name} is enabled twice", at)
                found[name] = weight
            sides.append(found)
        return sides[0], tuple(sides[1])
