"""What a command in a container does, as far as this simulation knows commands: how long, with which end, saying what.

A handful of the commands that people try things out with, and a shell that strings them together. What is not among
them is not guessed at: `run` answers None, and whoever asked decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.model.shell_commands import COMMANDS, LONGEST_LOOP, SECOND_NS, Ended, NotKnownError, Surroundings

FOREVER = -1
"""Of a command that ends only when it is killed."""

LONGEST_OUTPUT = 256 * 1024
"""Characters that a command's output may have; the rest is lost."""

SHELLS = frozenset({"sh", "bash", "ash", "dash", "/bin/sh", "/bin/bash", "/bin/ash", "/usr/bin/bash", "/bin/dash"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """`lines`: what it writes, each with the ns after the start at which it does."""

    duration_ns: int
    exit_code: int
    lines: tuple[tuple[int, str], ...] = ()
    errors: str = ""
    files: Mapping[str, str] | None = None
    """Text by path, as the command leaves it; None where it changed none."""

    @property
    def output(self) -> str:
        return "".join(text for _, text in self.lines)


def run(argv: Sequence[str], around: Surroundings) -> Outcome | None:
    """None for what is not known."""
    try:
        return executed(argv, around)
    except NotKnownError:
        return None


def executed(argv: Sequence[str], around: Surroundings) -> Outcome:
    """Raises NotKnownError with the name of the command that is not known."""
    shell = _Shell(around)
    try:
        shell.command(list(argv))
    except Ended:
        pass
    except (IndexError, RecursionError):
        raise NotKnownError(argv[0] if argv else "") from None
    files = shell.files if shell.files != dict(around.files) else None
    return Outcome(FOREVER if shell.forever else shell.at, shell.code, tuple(shell.lines), shell.errors, files)


def reads_stdin(argv: Sequence[str]) -> bool:
    """A command that goes on until its stdin ends: a shell without a script, `cat` without a file."""
    if not argv:
        return False
    if argv[0] in SHELLS:
        return all(item in ("-i", "-l") for item in argv[1:])
    return list(argv) == ["cat"]


# -- a shell -----------------------------------------------------------------------------------------------------------

Word: TypeAlias = tuple[tuple[str, bool], ...]
"""Pieces of a word, each with whether $ means something in it."""

_OPERATORS = (";;", "&&", "||", "1>&2", ">&2", ">>", "2>&1", "2>", "&>", ";", "|", "&", ">", "<", "\n", "(", ")")


def _tokens(script: str) -> list[str | Word]:
    """Operators as text, words as their pieces. Raises NotKnownError for quotes that do not end."""
    out: list[str | Word] = []
    pieces: list[tuple[str, bool]] = []
    plain = ""
    at = 0

    def end_word() -> None:
        nonlocal plain, pieces
        if plain:
            pieces.append((plain, True))
            plain = ""
        if pieces:
            out.append(tuple(pieces))
            pieces = []

    while at < len(script):
        mark = script[at]
        operator = next((item for item in _OPERATORS if script.startswith(item, at)), None)
        if operator is not None and (operator[0] not in "12" or (not plain and not pieces)):
            end_word()
            out.append(operator)
            at += len(operator)
        elif mark in " \t":
            end_word()
            at += 1
        elif mark == "#" and not plain and not pieces:
            at = script.find("\n", at) if "\n" in script[at:] else len(script)
        elif mark in "'\"":
            end = at + 1
            text = ""
            while end < len(script) and script[end] != mark:
                if mark == '"' and script[end] == "\\" and script[end + 1 : end + 2] in ('"', "\\", "$"):
                    end += 1
                text += script[end]
                end += 1
            if end >= len(script):
                raise NotKnownError(script)
            if plain:
                pieces.append((plain, True))
                plain = ""
            pieces.append((text, mark == '"'))
            at = end + 1
        elif mark == "\\" and at + 1 < len(script):
            plain += "" if script[at + 1] == "\n" else script[at + 1]
            at += 2
        elif script.startswith("$(", at) or mark == "`":
            raise NotKnownError("a command within a command")
        else:
            plain += mark
            at += 1
    end_word()
    return out


def _plain(token: str | Word) -> str:
    """A word that is a keyword can be one only unquoted."""
    if isinstance(token, str):
        return token
    return token[0][0] if len(token) == 1 and token[0][1] else ""


class _Shell:
    """`at`: ns since the start; `code`: of the last command."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.env = dict(around.env)
        self.files = dict(around.files)
        self.at = 0
        self.code = 0
        self.forever = False
        self.lines: list[tuple[int, str]] = []
        self.errors = ""
        self._size = 0

    def say(self, text: str) -> None:
        if text and self._size < LONGEST_OUTPUT:
            self._size += len(text)
            self.lines.append((self.at, text))

    def script(self, text: str) -> None:
        tokens = _tokens(text)
        end = self._list(tokens, 0, ())
        if end != len(tokens):
            raise NotKnownError(_plain(tokens[end]))

    def _list(self, tokens: list[str | Word], at: int, until: tuple[str, ...], *, doing: bool = True) -> int:
        """Commands up to one of the words in `until`; where that stands. `doing`: false to look for the end alone."""
        wanted = doing
        while at < len(tokens):
            token = tokens[at]
            if _plain(token) in until:
                return at
            if token in (";", "\n"):
                at, wanted = at + 1, doing
            elif token == "&&":
                at, wanted = at + 1, doing and self.code == 0
            elif token == "||":
                at, wanted = at + 1, doing and self.code != 0
            elif isinstance(token, str):
                raise NotKnownError(token)
            else:
                at = self._one(tokens, at, doing=wanted)
        if until:
            raise NotKnownError(f"no {until[0]}")
        return at

    def _one(self, tokens: list[str | Word], at: int, *, doing: bool) -> int:
        match _plain(tokens[at]):
            case "while" | "until" as word:
                return self._while(tokens, at, word, doing=doing)
            case "for":
                return self._for(tokens, at, doing=doing)
            case "if":
                return self._if(tokens, at, doing=doing)
        words: list[str] = []
        into: tuple[str, str] | None = None  # the operator and the file that takes the output
        while at < len(tokens):
            token = tokens[at]
            if token in (">", ">>", "2>", "&>"):
                if token != "2>":
                    named = tokens[at + 1]
                    into = (str(token), "" if isinstance(named, str) else "".join(self._expanded(named)))
                at += 2
            elif token in ("1>&2", ">&2"):
                into = (">", "/dev/stderr")
                at += 1
            elif token == "2>&1":
                at += 1
            elif isinstance(token, str):
                break
            else:
                words += self._expanded(token)
                at += 1
        if doing and words:
            if into is not None:
                before, size = len(self.lines), self._size
                self.command(words)
                self._write(into, "".join(text for _, text in self.lines[before:]))
                if into[1] != "/dev/stdout":
                    del self.lines[before:]
                    self._size = size
            else:
                self.command(words)
        return at

    def _write(self, into: tuple[str, str], text: str) -> None:
        operator, path = into
        if path == "/dev/stderr":
            self.errors += text
        elif path and not path.startswith("/dev/"):
            self.files[path] = self.files.get(path, "") + text if operator == ">>" else text

    def _while(self, tokens: list[str | Word], at: int, word: str, *, doing: bool) -> int:
        start = at + 1
        body = self._list(tokens, start, ("do",), doing=False) + 1
        end = self._list(tokens, body, ("done",), doing=False) + 1
        for _ in range(LONGEST_LOOP if doing else 0):
            self._list(tokens, start, ("do",))
            if (self.code == 0) is not (word == "while"):
                self.code = 0
                return end
            self._list(tokens, body, ("done",))
        if doing:
            self.forever = True
            raise Ended
        return end

    def _for(self, tokens: list[str | Word], at: int, *, doing: bool) -> int:
        name = _plain(tokens[at + 1])
        if _plain(tokens[at + 2]) != "in":
            raise NotKnownError("for")
        values: list[str] = []
        at += 3
        while tokens[at] not in (";", "\n"):
            token = tokens[at]
            if isinstance(token, str):
                raise NotKnownError(token)
            values += self._expanded(token)
            at += 1
        while tokens[at] in (";", "\n"):
            at += 1
        if _plain(tokens[at]) != "do":
            raise NotKnownError("for")
        body = at + 1
        end = self._list(tokens, body, ("done",), doing=False) + 1
        for value in values if doing else ():
            self.env[name] = value
            self._list(tokens, body, ("done",))
        return end

    def _if(self, tokens: list[str | Word], at: int, *, doing: bool) -> int:
        then = self._list(tokens, at + 1, ("then",), doing=doing)
        good = doing and self.code == 0
        self.code = 0
        stop = self._list(tokens, then + 1, ("else", "fi"), doing=good)
        if _plain(tokens[stop]) == "else":
            stop = self._list(tokens, stop + 1, ("fi",), doing=doing and not good)
        return stop + 1

    def _expanded(self, word: Word) -> list[str]:
        if len(word) == 1 and word[0][1] and word[0][0].startswith("$"):
            return self._variables(word[0][0]).split()
        return ["".join(self._variables(text) if means else text for text, means in word)]

    def _variables(self, text: str) -> str:
        out, at = "", 0
        while at < len(text):
            if text[at] != "$":
                out += text[at]
                at += 1
                continue
            rest = text[at + 1 :]
            if rest.startswith("?"):
                out += str(self.code)
                at += 2
            elif rest.startswith("{") and "}" in rest:
                name = rest[1 : rest.index("}")]
                out += self.env.get(name, "")
                at += len(name) + 3
            else:
                size = 0
                while size < len(rest) and (rest[size].isalnum() or rest[size] == "_"):
                    size += 1
                out += self.env.get(rest[:size], "") if size else "$"
                at += size + 1
        return out

    def command(self, argv: list[str]) -> None:
        """Raises NotKnownError."""
        name, arguments = argv[0], argv[1:]
        if "=" in name and name.partition("=")[0].isidentifier() and not arguments:
            key, _, value = name.partition("=")
            self.env[key] = value
            self.code = 0
            return
        if name in SHELLS:
            self._shell(arguments)
            return
        known = COMMANDS.get(name.rpartition("/")[2])
        if known is None:
            raise NotKnownError(name)
        self.code = known(self, arguments)

    def _shell(self, arguments: list[str]) -> None:
        flags = [item for item in arguments if item.startswith("-")]
        if "c" not in "".join(flags):
            if arguments:
                raise NotKnownError(arguments[0])
            self.code = 0  # nothing to read from
            return
        texts = [item for item in arguments if not item.startswith("-")]
        try:
            self.script(texts[0])
        except Ended:
            if self.forever:
                raise


__all__ = [
    "FOREVER",
    "SECOND_NS",
    "SHELLS",
    "NotKnownError",
    "Outcome",
    "Surroundings",
    "executed",
    "reads_stdin",
    "run",
]
