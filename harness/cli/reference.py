"""The command line as a page, made from its own definitions: `python -m harness.cli.reference`."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = """\
# The command line

Made from the commands themselves by `python -m harness.cli.reference > docs/reference/cli.md`. Results go to stdout,
progress and errors to stderr.
Exit code 0: fine. 1: a run failed, a gate was missed, or a check did not hold. 2: wrong usage, or input that is wrong.
Commands of other packages (entry points `podyard.commands`) are not here.
"""


def markdown() -> str:
    from typer.main import get_command

    from harness.cli.app import app

    root = get_command(app)
    parts = [HEAD]
    for name, command in sorted(root.commands.items()):  # type: ignore[attr-defined]
        parts += _command(f"podyard {name}", command)
    return "\n".join(parts)


def _command(name: str, command: Any) -> Iterator[str]:
    if command.hidden:
        return
    yield f"## {name}\n"
    yield f"{_text(command.help)}\n"
    inner = getattr(command, "commands", None)
    if inner:
        for sub, child in sorted(inner.items()):
            yield from _command(f"{name} {sub}", child)
        return
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option" and not item.hidden]
    words = [_argument(item) for item in arguments]
    yield f"```console\n{' '.join([name, *words, *(['[OPTIONS]'] if options else [])])}\n```\n"
    if not arguments and not options:
        return
    kinds = _kinds(command)
    yield "| argument or option | default | what it is |"
    yield "|---|---|---|"
    for item in (*arguments, *options):
        about = _text(getattr(item, "help", "") or "")
        yield f"| {_names(item, kinds.get(item.name, ''))} | {_default(item)} | {about} |"
    yield ""


def _argument(item: Any) -> str:
    name = (item.metavar or item.name or "").upper().strip("[].")
    many = f"{name}.." if item.nargs == -1 else name
    return many if item.required else f"[{many}]"


def _names(item: Any, kind: str) -> str:
    if item.param_type_name == "argument":
        return f"`{_argument(item)}`"
    names = ", ".join(f"`{name}`" for name in (*item.opts, *item.secondary_opts))
    if item.is_flag or not kind:
        return names
    return f"{names} {kind}" + (", repeatable" if item.multiple else "")


def _kinds(command: Any) -> dict[str, str]:
    """What each parameter is, by the annotations of the function."""
    out: dict[str, str] = {}
    for name, kind in typing.get_type_hints(command.callback).items():
        while typing.get_origin(kind) in (list, typing.Union, types.UnionType):
            kind = next(arg for arg in typing.get_args(kind) if arg is not type(None))
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            out[name] = "/".join(str(member.value) for member in kind)
        else:
            out[name] = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH", bool: ""}.get(kind, "")
    return out


def _default(item: Any) -> str:
    value = item.default
    if item.required:
        return "required"
    if value is None or value == "" or callable(value) or (isinstance(value, list | tuple) and not value):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else getattr(value, 'value', value)}`"


def _text(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
