"""What a user is told when the input is wrong: asked, found, expected, try."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePath

LONGEST = 1000
"""Characters that are shown of one part of an error."""


class UserError(Exception):
    """A mistake in the user's input; the CLI prints it on one screen and exits with `exit_code`."""

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        file: str | PurePath | None = None,
        line: int | None = None,
        found: object = None,
        expected: object = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.file = None if file is None else str(file)
        self.line = line
        self.found = found
        self.expected = expected
        self.hint = hint
        super().__init__(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (Ray); keyword arguments need help to survive pickling.
        return (_rebuild, (type(self), self.what, self.file, self.line, self.found, self.expected, self.hint))

    def __str__(self) -> str:
        where = "" if self.file is None else self.file + ("" if self.line is None else f":{self.line}") + ": "
        rows = [where + _shown(self.what)]
        if self.found is not None:
            rows.append(f"  found:    {_shown(self.found)}")
        if self.expected is not None:
            rows.append(f"  expected: {_shown(self.expected)}")
        if self.hint is not None:
            rows.append(f"  try:      {_shown(self.hint)}")
        return "\n".join(rows)


def _shown(value: object) -> str:
    """As much as fits on a screen: what was found may be a whole file."""
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]} .. ({len(text)} characters)"


def _rebuild(
    kind: type[UserError],
    what: str,
    file: str | None,
    line: int | None,
    found: object,
    expected: object,
    hint: str | None,
) -> UserError:
    return kind(what, file=file, line=line, found=found, expected=expected, hint=hint)


class RunFailed(UserError):
    """The input was fine; the run was not (a gate missed, a strategy at fault)."""

    exit_code = 1


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A suggestion for a mistyped name, or None."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else None
