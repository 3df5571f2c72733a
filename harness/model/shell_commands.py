"""The commands that a simulated container knows, one function each: a shell and its arguments in, an exit code out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from harness.model.whole_numbers import whole_number

SECOND_NS = 10**9

LONGEST_LOOP = 1000
"""Rounds of a loop; one that goes on is taken to go on for ever."""


class NotKnownError(Exception):
    """A command that is not modelled; its name."""


class Ended(Exception):
    """`exit`, or a command that goes on for ever: nothing after it happens."""


class Network(Protocol):
    """What a container reaches of the cluster."""

    def resolve(self, host: str) -> tuple[str, tuple[str, ...]] | None:
        """(full name, addresses); None for a name that nobody has."""

    def get(self, host: str, port: int, path: str, asked_host: str = "") -> str | None:
        """What an HTTP server there answers; None where nobody listens. `asked_host`: of the Host header, where that
        is not `host`."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of a container. `env`: its variables; `files`: text by path; `now_text`: what `date` says; `network`: None where
    nothing is known of one."""

    hostname: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    now_text: str = ""
    network: Network | None = None


class Shell(Protocol):
    """What a command sees: `at` is ns since the start, `code` that of the last command."""

    around: Surroundings
    env: dict[str, str]
    files: dict[str, str]
    at: int
    code: int
    forever: bool
    errors: str

    def say(self, text: str) -> None: ...


def _echo(shell: Shell, arguments: list[str]) -> int:
    end = "\n"
    while arguments and arguments[0] in ("-n", "-e", "-ne", "-en"):
        end = "" if "n" in arguments[0] else end
        arguments = arguments[1:]
    shell.say(" ".join(arguments) + end)
    return 0


def _printf(shell: Shell, arguments: list[str]) -> int:
    form, *values = arguments
    text = form.replace("\\n", "\n").replace("\\t", "\t")
    for value in values:
        text = text.replace("%s", value, 1).replace("%d", value, 1)
    shell.say(text)
    return 0


def _sleep(shell: Shell, arguments: list[str]) -> int:
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


def _go_on(shell: Shell) -> None:
    shell.forever = True
    raise Ended


def _exit(shell: Shell, arguments: list[str]) -> int:
    code = whole_number(arguments[0]) if arguments else None
    shell.code = shell.code if code is None else code & 255
    raise Ended


def _cat(shell: Shell, arguments: list[str]) -> int:
    code = 0
    for path in arguments:
        text = shell.files.get(path)
        if text is None:
            shell.errors += f"cat: can't open '{path}': No such file or directory\n"
            code = 1
        else:
            shell.say(text)
    return code


def _ls(shell: Shell, arguments: list[str]) -> int:
    folder = next((item for item in arguments if not item.startswith("-")), "/").rstrip("/") + "/"
    found = sorted({path[len(folder) :].partition("/")[0] for path in shell.files if path.startswith(folder)})
    if not found and folder != "/":
        shell.errors += f"ls: {folder[:-1]}: No such file or directory\n"
        return 1
    shell.say("".join(f"{name}\n" for name in found))
    return 0


def _env(shell: Shell, arguments: list[str]) -> int:
    if arguments:
        value = shell.env.get(arguments[0])
        shell.say("" if value is None else f"{value}\n")
        return int(value is None)
    shell.say("".join(f"{name}={value}\n" for name, value in shell.env.items()))
    return 0


def _export(shell: Shell, arguments: list[str]) -> int:
    for argument in arguments:
        name, given, value = argument.partition("=")
        if given:
            shell.env[name] = value
    return 0


def _seq(shell: Shell, arguments: list[str]) -> int:
    numbers = list(map(int, arguments))
    first, last = (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[-1])
    for number in range(first, min(last, first + LONGEST_LOOP) + 1):
        shell.say(f"{number}\n")
    return 0


def _touch(shell: Shell, arguments: list[str]) -> int:
    for path in arguments:
        if not path.startswith("-"):
            shell.files.setdefault(path, "")
    return 0


def _rm(shell: Shell, arguments: list[str]) -> int:
    flags = "".join(item for item in arguments if item.startswith("-"))
    code = 0
    for path in arguments:
        if path.startswith("-"):
            continue
        found = [known for known in shell.files if known == path or ("r" in flags and known.startswith(f"{path}/"))]
        for known in found:
            del shell.files[known]
        if not found and "f" not in flags:
            shell.errors += f"rm: can't remove '{path}': No such file or directory\n"
            code = 1
    return code


def _folder(shell: Shell, path: str) -> bool:
    path = path.rstrip("/")
    return path in ("", "/tmp", "/root") or any(known.startswith(f"{path}/") for known in shell.files)


# -- the network -------------------------------------------------------------------------------------------------------


def _network(shell: Shell, name: str) -> Network:
    if shell.around.network is None:
        raise NotKnownError(name)
    return shell.around.network


def _place(url: str) -> tuple[str, int, str]:
    """(host, port, path). Raises NotKnownError for what is not plain HTTP."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "http", url
    host, slash, path = rest.partition("/")
    name, _, port = host.partition(":")
    number = whole_number(port) if port else 80
    if scheme != "http" or number is None:
        raise NotKnownError(f"{scheme} to {host}")
    return name, number, slash + path or "/"


_CURL_VALUES = ("-m", "--max-time", "--connect-timeout", "-o", "-H", "--header", "-X", "--retry", "-w", "-A", "-d")


def _operands(arguments: list[str], valued: tuple[str, ...]) -> list[str]:
    """Arguments that are neither options nor the values of one."""
    out, skip = [], False
    for item in arguments:
        if skip:
            skip = False
        elif item in valued:
            skip = True
        elif not item.startswith("-"):
            out.append(item)
    return out


def _curl(shell: Shell, arguments: list[str]) -> int:
    network = _network(shell, "curl")
    quiet = any(item.startswith("-") and not item.startswith("--") and "s" in item for item in arguments)
    code = 0
    headers = [value for option, value in pairwise(arguments) if option in ("-H", "--header")]
    named = [value.partition(":")[2].strip() for value in headers if value.lower().startswith("host:")]
    for url in _operands(arguments, _CURL_VALUES):
        host, port, path = _place(url)
        if network.resolve(host) is None:
            code, told = 6, f"Could not resolve host: {host}"
        elif (text := network.get(host, port, path, named[-1] if named else "")) is None:
            code, told = 7, f"Failed to connect to {host} port {port}: Could not connect to server"
        else:
            if "-o" not in arguments:
                shell.say(text)
            continue
        shell.errors += "" if quiet else f"curl: ({code}) {told}\n"
    return code


def _wget(shell: Shell, arguments: list[str]) -> int:
    network = _network(shell, "wget")
    quiet = any(item.startswith("-") and not item.startswith("--") and "q" in item for item in arguments)
    shown = any(item in ("-O-", "-qO-") for item in arguments) or "-" in arguments
    for url in _operands([item for item in arguments if item != "-"], ("-T", "-o", "-O")):
        host, port, path = _place(url)
        found = network.resolve(host)
        if found is None:
            shell.errors += f"wget: bad address '{host}'\n"
            return 1
        shell.errors += "" if quiet else f"Connecting to {host} ({found[1][0]}:{port})\n"
        text = network.get(host, port, path)
        if text is None:
            shell.errors += f"wget: can't connect to remote host ({found[1][0]}): Connection refused\n"
            return 1
        if shown:
            shell.say(text)
        else:
            shell.files[path.rpartition("/")[2] or "index.html"] = text
    return 0


def _nslookup(shell: Shell, arguments: list[str]) -> int:
    network = _network(shell, "nslookup")
    host = _operands(arguments, ())[0]
    server = next(
        (line.split()[1] for line in shell.files.get("/etc/resolv.conf", "").splitlines() if "nameserver" in line), ""
    )
    shell.say(f"Server:\t\t{server}\nAddress:\t{server}:53\n\n")
    found = network.resolve(host)
    if found is None:
        shell.say(f"** server can't find {host}: NXDOMAIN\n\n")
        return 1
    shell.say("".join(f"Name:\t{found[0]}\nAddress: {address}\n" for address in found[1]) + "\n")
    return 0


# -- conditions and what else there is ---------------------------------------------------------------------------------


def _test(shell: Shell, arguments: list[str]) -> int:
    match [item for item in arguments if item != "]"]:
        case ["-f" | "-e" | "-r" | "-s", path]:
            return int(path not in shell.files)
        case ["-d", path]:
            return int(not _folder(shell, path))
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


def _tail(shell: Shell, arguments: list[str]) -> int:
    if "-f" in arguments or "-F" in arguments:
        _go_on(shell)
    return _cat(shell, [item for item in arguments if not item.startswith("-")])


def _saying(text: Callable[[Shell], str]) -> Callable[[Shell, list[str]], int]:
    def command(shell: Shell, arguments: list[str]) -> int:
        shell.say(text(shell) + "\n")
        return 0

    return command


COMMANDS: dict[str, Callable[[Shell, list[str]], int]] = {
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
    "touch": _touch,
    "mkdir": lambda shell, arguments: 0,
    "rm": _rm,
    "curl": _curl,
    "wget": _wget,
    "nslookup": _nslookup,
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
