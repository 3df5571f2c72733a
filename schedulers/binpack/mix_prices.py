"""What `binpack` and `migrating` share: the mix of pods, the prices that follow from it, the budget of migrations."""

from __future__ import annotations

from collections.abc import Iterable

from harness.scheduling.strategy import Bind, ClusterView, PodView
from schedulers.binpack.board import Board
from schedulers.binpack.migrations import Migrations
from schedulers.binpack.mix import ClassMix
from schedulers.binpack.stranding import Stranding


class MixPrices:
    """The base of both. The mix is learned as pods come, or given once by `fit`."""

    def __init__(self, migrations: float, move_bare_pods: bool) -> None:
        self._migrations = Migrations(migrations, move_bare_pods)
        self._mix = ClassMix()
        self._given = False
        self._fitted_at = 0
        self._stranding: Stranding | None = None
        self._board = Board()

    @property
    def short_of_budget(self) -> bool:
        """Whether a greater budget of migrations could have decided anything differently so far."""
        return self._migrations.short_of_budget

    def _give_mix(self, history: Iterable[PodView]) -> None:
        self._mix = ClassMix()
        for pod in history:
            self._mix.add(pod.cls)
        self._given = True
        self._stranding = None

    def _current_stranding(self) -> Stranding:
        """Of the given mix; else fitted again each time that half as many pods again were seen."""
        if self._stranding is None or (not self._given and 2 * self._mix.seen >= 3 * self._fitted_at):
            self._stranding = Stranding.of(self._mix.means())
            self._fitted_at = self._mix.seen
        return self._stranding

    def _synced(self, cluster: ClusterView) -> Board:
        self._board.sync(cluster, self._current_stranding())
        return self._board

    def _record_bind(self, bind: Bind) -> Bind:
        """Enters a bind in the mix and in the budget of migrations, before it is yielded."""
        self._mix.bound(bind.pod.key)
        self._migrations.bound()
        return bind
