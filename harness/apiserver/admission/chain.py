"""The admission plugins in their order, and which of them see which write.

Source of the order: pkg/kubeapiserver/options/plugins.go AllOrderedPlugins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from harness.apiserver.admission.plugin import CREATE, UPDATE, AdmissionRequest, Plugin
from harness.apiserver.watch_cache import WatchCache
from harness.model.constants import Constants
from harness.model.meta import ApiObject

PluginFactory: TypeAlias = Callable[[WatchCache], Plugin]


class AdmissionChain:
    """`general`: plugins that see every kind, those in `last` after the kind's own; `of_kind`: plugins of one kind."""

    def __init__(
        self,
        cache: WatchCache,
        *,
        general: tuple[PluginFactory, ...],
        of_kind: Mapping[str, tuple[PluginFactory, ...]],
        last: tuple[PluginFactory, ...],
    ) -> None:
        made: dict[PluginFactory, Plugin] = {}
        self._for_all = (*general, *last)
        self._made = made
        for item in (*general, *(item for items in of_kind.values() for item in items), *last):
            if item not in made:
                made[item] = item(cache)
        self._plugins = tuple(made.values())
        self._of_kind = {
            kind: tuple(made[item] for item in (*general, *of_kind.get(kind, ()), *last)) for kind in cache.by_kind
        }
        self._observers: dict[str, list[Plugin]] = {}
        for plugin in self._plugins:
            for kind in sorted(plugin.observes):
                self._observers.setdefault(kind, []).append(plugin)
        self.observed = frozenset(self._observers)
        """Kinds whose writes some plugin observes."""
        self._choose()

    def add(self, kind: str) -> None:
        """A kind that is served from now on: the plugins that see every kind see it."""
        self._of_kind[kind] = tuple(self._made[item] for item in self._for_all)
        self._choose()

    def _choose(self) -> None:
        """Which plugins each write passes: those that are not idle."""
        self._admit_create: dict[str, tuple[Plugin, ...]] = {}
        self._admit_update: dict[str, tuple[Plugin, ...]] = {}
        self._validate_create: dict[str, tuple[Plugin, ...]] = {}
        for kind, plugins in self._of_kind.items():
            active = [plugin for plugin in plugins if not plugin.idle]
            admits = [plugin for plugin in active if type(plugin).admit is not Plugin.admit]
            validates = [plugin for plugin in active if type(plugin).validate is not Plugin.validate]
            self._admit_create[kind] = tuple(plugin for plugin in admits if CREATE in plugin.operations)
            self._admit_update[kind] = tuple(plugin for plugin in admits if UPDATE in plugin.operations)
            self._validate_create[kind] = tuple(plugin for plugin in validates if CREATE in plugin.operations)

    def serve_clients(self) -> None:
        """From now on the plugins of a cluster that clients reach take part."""
        for plugin in self._plugins:
            if plugin.for_clients:
                plugin.idle = False
        self._choose()

    def configure(self, constants: Constants) -> None:
        for plugin in self._plugins:
            plugin.configure(constants)

    def admit_create(self, request: AdmissionRequest) -> Any:
        """The object as the plugins complete it. Raises ApiError."""
        for plugin in self._admit_create[request.kind.kind]:
            request.obj = plugin.admit(request)
        return request.obj

    def admit_update(self, request: AdmissionRequest) -> Any:
        """The object as the plugins complete it. Raises ApiError."""
        for plugin in self._admit_update[request.kind.kind]:
            request.obj = plugin.admit(request)
        return request.obj

    def validate_create(self, request: AdmissionRequest) -> Sequence[Any]:
        """What is to be written with the object: quotas with it reserved. Raises ApiError."""
        found: Sequence[Any] = ()
        for plugin in self._validate_create[request.kind.kind]:
            found = (*found, *plugin.validate(request))
        return found

    def observe(self, kind: str, change: str, obj: ApiObject, old: ApiObject) -> None:
        """An object of an observed kind was written."""
        for plugin in self._observers[kind]:
            idle = plugin.idle
            plugin.observe(change, obj, old)
            if plugin.idle != idle:
                self._choose()

    def rebuild(self) -> None:
        for plugin in self._plugins:
            plugin.rebuild()
        self._choose()
