"""Since when what an autoscaler looks after is as it is, and in which words: for those who ask afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable


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
        self._reasons: dict[str, str] = {}  # by name, of those that last
        self._begun: dict[str, tuple[str, int]] = {}  # of the same: group, since

    def observe(self, now: int, reasons: dict[str, str], group_of: Callable[[str], str]) -> None:
        """Of everything that there is, by name: names that are not among `reasons` have none."""
        if reasons == self._reasons:
            return
        for name in [name for name in self._reasons if name not in reasons]:
            self._end(now, name)
        for name, reason in reasons.items():
            if self._reasons.get(name) != reason:
                self.tell(now, name, reason, group_of(name))

    def tell(self, now: int, name: str, reason: str, group: str = "") -> None:
        """Of one of them; '' for no reason."""
        known = self._reasons.get(name, "")
        if known == reason:
            return
        if known:
            self._end(now, name)
        if reason:
            self._reasons[name] = reason
            self._begun[name] = (group, now)

    def _end(self, now: int, name: str) -> None:
        reason, (group, since) = self._reasons.pop(name), self._begun.pop(name)
        if now > since:
            self.ended.append(Spell(name, group, reason, since, now))

    def all(self) -> list[Spell]:
        """Those that last, too; by instant, then name."""
        lasting = [Spell(name, group, self._reasons[name], since, -1) for name, (group, since) in self._begun.items()]
        return sorted([*self.ended, *lasting], key=lambda spell: (spell.from_ns, spell.name))


@runtime_checkable
class NotesStays(Protocol):
    """A node autoscaler that notes why nodes stay, once it is given where to. A new process of it goes on with them."""

    stays: Spells | None
