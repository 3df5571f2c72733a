"""Since when what an autoscaler looks after is as it is, and in which words: for those who ask afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Spell(NamedTuple):
    """`until_ns`: -1 while it lasts. `group`: the pool of a node, the condition of an autoscaler."""

    name: str
    group: str
    reason: str
    from_ns: int
    until_ns: int


class Spells:
    """Told at each look what holds then; a reason that holds at one look after the other is one spell."""

    def __init__(self) -> None:
        self.ended: list[Spell] = []
        self._open: dict[str, tuple[str, str, int]] = {}  # by name: group, reason, since
        self._last: dict[str, str] = {}

    def observe(self, now: int, reasons: dict[str, str], group_of: Callable[[str], str]) -> None:
        """Of everything that there is, by name: names that are not among `reasons`, which is kept, have none."""
        if reasons == self._last:
            return
        self._last = reasons
        for name in [name for name in self._open if name not in reasons]:
            self._end(now, name)
        for name, reason in reasons.items():
            known = self._open.get(name)
            if known is None or known[1] != reason:
                self.tell(now, name, reason, group_of(name))

    def tell(self, now: int, name: str, reason: str, group: str = "") -> None:
        """Of one of them; '' for no reason."""
        self._last = {} if not reason else self._last
        known = self._open.get(name)
        if known is not None and known[1] == reason:
            return
        if known is not None:
            self._end(now, name)
        if reason:
            self._open[name] = (group, reason, now)

    def _end(self, now: int, name: str) -> None:
        group, reason, since = self._open.pop(name)
        if now > since:
            self.ended.append(Spell(name, group, reason, since, now))

    def all(self) -> list[Spell]:
        """Those that last, too; by instant, then name."""
        lasting = [Spell(name, group, reason, since, -1) for name, (group, reason, since) in self._open.items()]
        return sorted([*self.ended, *lasting], key=lambda spell: (spell.from_ns, spell.name))
