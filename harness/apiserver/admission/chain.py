"""The admission plugins in their order, and which of them see which write.

Source of the order: pkg/kubeapiserver/options/plugins.go AllOrderedPlugins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.apiserver.admission.plugin import CREATE, UPDATE, Plugin, Request
from harness.apiserver.watch_cache import WatchCache


class Chain:
    """`general`: plugins that see every kind, those in `last` after the kind's own; `of_kind`: plugins of one kind."""

    def __init__(
        self,
        cache: WatchCache,
        *,
        general: tuple[type[Plugin], ...],
        of_kind: Mapping[str, tuple[type[Plugin], ...]],
        last: tuple[type[Plugin], ...],
    ) -> None:
        made: dict[type[Plugin], Plugin] = {}
        for item in (*general, *(item for items in of_kind.values() for item in items), *last):
            if item not in made:
                made[item] = item(cache)
        self._plugins = tuple(made.values())
        self._admit_create: dict[str, tuple[Plugin, ...]] = {}
        self._admit_update: dict[str, tuple[Plugin, ...]] = {}
        self._validate_create: dict[str, tuple[Plugin, ...]] = {}
        for kind in cache.by_kind:
            mine = [made[item] for item in (*general, *of_kind.get(kind, ()), *last)]
            admits = [plugin for plugin in mine if type(plugin).admit is not Plugin.admit]
            validates = [plugin for plugin in mine if type(plugin).validate is not Plugin.validate]
            self._admit_create[kind] = tuple(plugin for plugin in admits if CREATE in plugin.operations)
            self._admit_update[kind] = tuple(plugin for plugin in admits if UPDATE in plugin.operations)
            self._validate_create[kind] = tuple(plugin for plugin in validates if CREATE in plugin.operations)
        self.observers: dict[str, list[Plugin]] = {}
        """By the kind that they observe."""
        for plugin in self._plugins:
            for kind in sorted(plugin.observes):
                self.observers.setdefault(kind, []).append(plugin)

    def admit_create(self, request: Request) -> Any:
        """The object as the plugins complete it. Raises ApiError."""
        for plugin in self._admit_create[request.kind.kind]:
            if not plugin.idle:
                request.obj = plugin.admit(request)
        return request.obj

    def admit_update(self, request: Request) -> Any:
        """The object as the plugins complete it. Raises ApiError."""
        for plugin in self._admit_update[request.kind.kind]:
            if not plugin.idle:
                request.obj = plugin.admit(request)
        return request.obj

    def validate_create(self, request: Request) -> Sequence[Any]:
        """What is to be written with the object: quotas with it reserved. Raises ApiError."""
        found: Sequence[Any] = ()
        for plugin in self._validate_create[request.kind.kind]:
            if not plugin.idle:
                found = (*found, *plugin.validate(request))
        return found

    def rebuild(self) -> None:
        for plugin in self._plugins:
            plugin.rebuild()
