"""Commands of others: `podyard NAME` from the entry points of group `podyard.commands`.

What is registered is a function with Typer's parameters, or a typer.Typer with several. It is imported when somebody
asks for it or for the help, so that one that does not load keeps no other command from running.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from harness.model.errors import UserError
from harness.model.plugins import PluginGroup

GROUP = "podyard.commands"


def _problem(target: Any) -> str:
    return "" if callable(target) else "a function with Typer's parameters, or a typer.Typer"


COMMANDS = PluginGroup(GROUP, "command", _problem)


class CommandGroup(TyperGroup):
    """The shipped commands in their order, then the others by name. A name that is shipped cannot be taken."""

    def list_commands(self, ctx: Any) -> list[str]:
        shipped = list(super().list_commands(ctx))
        return shipped + [name for name in COMMANDS.names() if name not in shipped]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        shipped = super().get_command(ctx, cmd_name)
        if cmd_name not in COMMANDS.names():
            return shipped
        try:
            target = COMMANDS.load(cmd_name)
        except UserError as error:
            return _broken(cmd_name, error)
        if shipped is None:
            return _command(cmd_name, target)
        sources = [row.source for row in COMMANDS.available() if row.name == cmd_name]
        return _broken(
            cmd_name,
            UserError(
                f"command {cmd_name!r} is registered more than once",
                found="; ".join(sources),
                expected="a name that podyard does not have",
            ),
        )


def _command(name: str, target: Any, settings: dict[str, Any] | None = None) -> Any:
    app = target
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        app.command(name, context_settings=settings)(target)
    command = get_command(app)
    command.name = name
    return command


def _broken(name: str, error: UserError) -> Any:
    """A command that says why there is none, when it is called."""

    def command() -> None:
        raise error

    command.__doc__ = f"({error.what})"
    return _command(name, command, {"allow_extra_args": True, "ignore_unknown_options": True})
