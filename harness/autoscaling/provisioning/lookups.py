"""Lists of names that a simulation needs, made once for each change of the state: a look makes many simulations."""

from __future__ import annotations

from typing import Protocol

from harness.scheduling.state.cluster_state import ClusterState


class Changing(Protocol):
    """`changes` grows with everything that the lists depend on."""

    changes: int

    @property
    def snapshot(self) -> ClusterState: ...

    @property
    def names_of_claims(self) -> tuple[str, ...]: ...

    def is_initialized(self, name: str) -> bool: ...

    def is_going(self, name: str) -> bool: ...


class Lookups:
    def __init__(self, state: Changing) -> None:
        self._state = state
        self._version = -1
        self._ordered: tuple[str, ...] = ()
        self._going: tuple[str, ...] = ()
        self._coming: tuple[str, ...] = ()

    @property
    def ordered(self) -> tuple[str, ...]:
        """Nodes that stay, initialized ones first, then by name. Source: sortExistingNodes."""
        self._refresh()
        return self._ordered

    @property
    def going(self) -> tuple[str, ...]:
        """Nodes that are being deleted, or will be."""
        self._refresh()
        return self._going

    @property
    def coming(self) -> tuple[str, ...]:
        """Claims whose nodes are not initialized."""
        self._refresh()
        return self._coming

    def _refresh(self) -> None:
        state = self._state
        if self._version == state.changes:
            return
        self._version = state.changes
        names = tuple(state.snapshot.node_table.index)
        self._going = tuple(name for name in names if state.is_going(name))
        stay = [(not state.is_initialized(name), name) for name in names if not state.is_going(name)]
        self._ordered = tuple(name for _, name in sorted(stay))
        self._coming = tuple(name for name in state.names_of_claims if not state.is_initialized(name))
