"""What a command in a container does, as far as this simulation knows commands: how long, with which end, saying what.

A handful of the commands that people try things out with, and a shell that strings them together. What is not among
them is not guessed at: `run` answers None, and whoever asked decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.model.whole_numbers import whole_number

SECOND_NS = 10**9
FOREVER = -1
"""Of a command that ends only when it is killed."""

LONGEST_LOOP = 1000
"""Rounds of a loop; one that goes on is taken to go on for ever."""

LONGEST_OUTPUT = 256 * 1024
"""Characters that a command's output may have; the rest is lost."""

SHELLS = frozenset({"sh", "bash", "ash", "dash", "/bin/sh", "/bin/bash", "/bin/ash", "/usr/bin/bash", "/bin/dash"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of a container. `env`: its variables; `files`: text by path; `now_text`: what `date` says."""

    hostname: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    now_text: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`lines`: what it writes, each with the ns after the start at which it does."""

    duration_ns: int
    exit_code: int
    lines: tuple[tuple[int, str], ...] = ()
    errors: str = ""

    @property
    def output(self) -> str:
        return "".join(text for _, text in self.lines)


class NotKnownError(Exception):
    """A command that is not modelled; its name."""


class _Ended(Exception):
    """`exit`, or a command that goes on for ever: nothing after it happens."""


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
    except _Ended:
        pass
    except (IndexError, RecursionError):
        raise NotKnownError(argv[0] if argv else "") from None
    return Outcome(FOREVER if shell.forever else shell.at, shell.code, tuple(shell.lines), shell.errors)


# -- a shell -----------------------------------------------------------------------------------------------------------

Word: TypeAlias = tuple[tuple[str, bool], ...]
"""Pieces of a word, each with whether $ means something in it."""

_OPERATORS = (";;", "&&", "||", ">>", "2>&1", "2>", "&>", ";", "|", "&", ">", "<", "\n", "(", ")")


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
        if operator is not None and (not operator.startswith("2") or (not plain and not pieces)):
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
        silent = False
        while at < len(tokens):
            token = tokens[at]
            if token in (">", ">>", "2>", "&>"):
                silent = silent or token != "2>"
                at += 2
            elif token == "2>&1":
                at += 1
            elif isinstance(token, str):
                break
            else:
                words += self._expanded(token)
                at += 1
        if doing and words:
            if silent:
                before, size = list(self.lines), self._size
                self.command(words)
                self.lines, self._size = before, size
            else:
                self.command(words)
        return at

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
            raise _Ended
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
        known = _COMMANDS.get(name.rpartition("/")[2])
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
        except _Ended:
            if self.forever:
                raise


# -- commands ----------------------------------------------------------------------------------------------------------


def _echo(shell: _Shell, arguments: list[str]) -> int:
    end = "\n"
    while arguments and arguments[0] in ("-n", "-e", "-ne", "-en"):
        end = "" if "n" in arguments[0] else end
        arguments = arguments[1:]
    shell.say(" ".join(arguments) + end)
    return 0


def _printf(shell: _Shell, arguments: list[str]) -> int:
    form, *values = arguments
    text = form.replace("\\n", "\n").replace("\\t", "\t")
    for value in values:
        text = text.replace("%s", value, 1).replace("%d", value, 1)
    shell.say(text)
    return 0


def _sleep(shell: _Shell, arguments: list[str]) -> int:
    span = 0.0
    for argument in arguments:
        if argument in ("inf", "infinity"):
            _go_on(shell)
        unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(argument[-1:], 0)
        try:
            span += float(argument[:-1] if unit else argument) * (unit or 1)
        except ValueError:
            shell.errors += f"sleep: invalid time interval '{argument}'\n"
            return 1
    shell.at += round(span * SECOND_NS)
    return 0


def _go_on(shell: _Shell) -> None:
    shell.forever = True
    raise _Ended


def _exit(shell: _Shell, arguments: list[str]) -> int:
    code = whole_number(arguments[0]) if arguments else None
    shell.code = shell.code if code is None else code & 255
    raise _Ended


def _cat(shell: _Shell, arguments: list[str]) -> int:
    code = 0
    for path in arguments:
        text = shell.around.files.get(path)
        if text is None:
            shell.errors += f"cat: can't open '{path}': No such file or directory\n"
            code = 1
        else:
            shell.say(text)
    return code


def _ls(shell: _Shell, arguments: list[str]) -> int:
    folder = next((item for item in arguments if not item.startswith("-")), "/").rstrip("/") + "/"
    found = sorted({path[len(folder) :].partition("/")[0] for path in shell.around.files if path.startswith(folder)})
    if not found and folder != "/":
        shell.errors += f"ls: {folder[:-1]}: No such file or directory\n"
        return 1
    shell.say("".join(f"{name}\n" for name in found))
    return 0


def _env(shell: _Shell, arguments: list[str]) -> int:
    if arguments:
        value = shell.env.get(arguments[0])
        shell.say("" if value is None else f"{value}\n")
        return int(value is None)
    shell.say("".join(f"{name}={value}\n" for name, value in shell.env.items()))
    return 0


def _export(shell: _Shell, arguments: list[str]) -> int:
    for argument in arguments:
        name, given, value = argument.partition("=")
        if given:
            shell.env[name] = value
    return 0


def _seq(shell: _Shell, arguments: list[str]) -> int:
    numbers = list(map(int, arguments))
    first, last = (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[-1])
    for number in range(first, min(last, first + LONGEST_LOOP) + 1):
        shell.say(f"{number}\n")
    return 0


def _test(shell: _Shell, arguments: list[str]) -> int:
    match [item for item in arguments if item != "]"]:
        case ["-f" | "-e" | "-r" | "-s", path]:
            return int(path not in shell.around.files)
        case ["-z", text]:
            return int(text != "")
        case ["-n", text] | [text]:
            return int(text == "")
        case [left, "=" | "==" | "-eq", right]:
            return int(left != right)
        case [left, "!=" | "-ne", right]:
            return int(left == right)
        case _:
            raise NotKnownError("test")


def _tail(shell: _Shell, arguments: list[str]) -> int:
    if "-f" in arguments or "-F" in arguments:
        _go_on(shell)
    return _cat(shell, [item for item in arguments if not item.startswith("-")])


def _saying(text: Callable[[_Shell], str]) -> Callable[[_Shell, list[str]], int]:
    def command(shell: _Shell, arguments: list[str]) -> int:
        shell.say(text(shell) + "\n")
        return 0

    return command


_COMMANDS: dict[str, Callable[[_Shell, list[str]], int]] = {
    "true": lambda shell, arguments: 0,
    ":": lambda shell, arguments: 0,
    "false": lambda shell, arguments: 1,
    "echo": _echo,
    "printf": _printf,
    "sleep": _sleep,
    "pause": lambda shell, arguments: _sleep(shell, ["infinity"]),
    "tail": _tail,
    "exit": _exit,
    "cat": _cat,
    "ls": _ls,
    "env": _env,
    "printenv": _env,
    "export": _export,
    "set": lambda shell, arguments: 0,
    "seq": _seq,
    "test": _test,
    "[": _test,
    "hostname": _saying(lambda shell: shell.around.hostname),
    "whoami": _saying(lambda shell: "root"),
    "id": _saying(lambda shell: "uid=0(root) gid=0(root) groups=0(root)"),
    "pwd": _saying(lambda shell: "/"),
    "uname": _saying(lambda shell: "Linux"),
    "date": _saying(lambda shell: shell.around.now_text),
}
