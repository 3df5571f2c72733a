"""Plugins that complete a pod's spec whatever its name and namespace: done once for all pods that share a spec."""

from __future__ import annotations

from typing import Any, ClassVar

from harness.apiserver.admission.plugin import CREATE, UPDATE, AdmissionRequest, Plugin
from harness.apiserver.registry.identity_memo import IdentityMemo
from harness.apiserver.registry.lifecycle import replaced, spoken_name
from harness.apiserver.watch_cache import WatchCache
from harness.model.constants import DEFAULTS, Constants
from harness.model.core import Pod, PodSpec
from harness.model.meta import ApiObject


class PodSpecPlugin:
    """`observes`: kinds whose writes change what `complete` answers."""

    observes: ClassVar[frozenset[str]] = frozenset()
    constants = DEFAULTS

    def __init__(self, cache: WatchCache) -> None:
        self.cache = cache

    def complete(self, spec: PodSpec, old: PodSpec | None, name: str) -> PodSpec:
        """`old`: the spec before an update, None for a new pod; `name`: for errors alone. Raises ApiError."""
        raise NotImplementedError


class PodSpecs(Plugin):
    """Its `plugins`, one after the other."""

    operations = frozenset({CREATE, UPDATE})
    plugins: ClassVar[tuple[type[PodSpecPlugin], ...]] = ()

    def __init__(self, cache: WatchCache) -> None:
        super().__init__(cache)
        self._plugins = tuple(plugin(cache) for plugin in self.plugins)
        self._completed: IdentityMemo[PodSpec] = IdentityMemo()

    def __init_subclass__(cls) -> None:
        cls.observes = frozenset[str]().union(*(plugin.observes for plugin in cls.plugins))

    def configure(self, constants: Constants) -> None:
        for plugin in self._plugins:
            plugin.constants = constants

    def admit(self, request: AdmissionRequest) -> Any:
        pod: Pod = request.obj
        spec = pod.spec
        if request.old is not None:
            was = request.old.spec
            if spec is was:
                return pod
            made = self._complete(pod, was)
            return replaced(pod, spec=was if made == was else made)
        known = self._completed.held.get(id(spec))
        made = known[1] if known is not None else self._completed.put(spec, self._complete(pod, None))
        return pod if made is spec else replaced(pod, spec=made)

    def observe(self, change: str, obj: ApiObject, old: ApiObject) -> None:
        self._completed.clear()

    def rebuild(self) -> None:
        self._completed.clear()

    def _complete(self, pod: Pod, old: PodSpec | None) -> PodSpec:
        spec = pod.spec
        for plugin in self._plugins:
            spec = plugin.complete(spec, old, spoken_name(pod.metadata))
        return spec
