"""Uids and generated names: unique, and the same for the same writes."""

from __future__ import annotations

from hashlib import blake2b

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, nothing that looks like another. Source: apimachinery pkg/util/rand."""

LONGEST_PREFIX = 58
"""Characters that a generated name keeps of its prefix. Source: apiserver names.MaxGeneratedNameLength (1.32)."""

_LENGTH = 5
_SPACE: int = 27**5
_STRIDE = 7_654_321  # shares no factor with 27**5, so that all of the space is visited; neighbours come out far apart


class Names:
    def __init__(self, seed: int) -> None:
        self._prefix = blake2b(f"{seed}/uid".encode(), digest_size=6).hexdigest()
        self._mix = int.from_bytes(blake2b(f"{seed}/names".encode(), digest_size=8).digest(), "big")
        self._uids = 0
        self._draws = 0

    def resume(self, revision: int) -> None:
        """Behind a restart: more was never handed out than the store has revisions, so start beyond."""
        self._uids = max(self._uids, revision)
        self._draws = max(self._draws, revision)

    def uid(self) -> str:
        self._uids = number = self._uids + 1
        return f"{self._prefix[:8]}-{self._prefix[8:]}-4000-8000-{number:012x}"

    def draw(self) -> int:
        """A number below 27**5 that repeats only after as many draws."""
        self._draws = number = self._draws + 1
        return (number * _STRIDE + self._mix) % _SPACE


def suffix(number: int) -> str:
    """Five characters of the alphabet. Source: names.SimpleNameGenerator."""
    out = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        out.append(ALPHABET[digit])
    return "".join(out)
