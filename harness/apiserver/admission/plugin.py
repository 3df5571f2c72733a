"""What an admission plugin is, and the request that it sees.

Source: apiserver pkg/admission/interfaces.go (Attributes, MutationInterface, ValidationInterface).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from harness.apiserver.watch_cache import WatchCache
from harness.model.constants import Constants
from harness.model.meta import ApiObject
from harness.model.objects import Kind

CREATE, UPDATE = "CREATE", "UPDATE"


class AdmissionRequest(msgspec.Struct, gc=False):
    """A write on its way. `obj`: as the plugins before left it; `old`: what it was, None when it is created."""

    kind: Kind
    obj: ApiObject
    old: ApiObject | None
    namespace: str
    now: int


class Plugin:
    """Base of all plugins; each overrides what it takes part in. Mutation comes first, then the kind's own validation,
    then the plugins' validation.

    `operations`: which writes it sees. `observes`: kinds whose writes it is told of afterwards. Plugins read the watch
    cache; what they keep beside it they rebuild after a restart.

    `idle`: it has nothing to do for any write, as nothing that it observes is there; the chain leaves it out.
    """

    operations: ClassVar[frozenset[str]] = frozenset({CREATE})
    observes: ClassVar[frozenset[str]] = frozenset()
    idle = False
    for_clients = False
    """It is idle until somebody serves clients, as `AdmissionChain.serve_clients` says."""

    def __init__(self, cache: WatchCache) -> None:
        self.cache = cache

    def configure(self, constants: Constants) -> None:
        """The API server's flags; before that the defaults hold."""

    def admit(self, request: AdmissionRequest) -> ApiObject:
        """The object, completed. Raises ApiError."""
        return request.obj

    def validate(self, request: AdmissionRequest) -> Sequence[Any]:
        """What is to be written with the object (a quota with its new usage). Raises ApiError."""
        return ()

    def observe(self, change: str, obj: ApiObject, old: ApiObject | None) -> None:
        """An object of a kind in `observes` was written: ADDED, MODIFIED or DELETED."""

    def rebuild(self) -> None:
        """Start again from the watch cache, as after a restart."""
