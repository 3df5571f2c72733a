"""podyard train: a strategy that learns is trained, with the options that it knows itself."""

from __future__ import annotations

from typing import Annotated

import typer

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Settings of the command: what it does not know, --help included, is the strategy's own."""


# size: each parameter is an option of the command line.
def train(
    context: typer.Context,
    scheduler: Annotated[str, typer.Option("--scheduler", "-s", help="The strategy to train.")] = "ranked",
) -> None:
    """Train a strategy that learns; the options are its own: podyard train -s NAME --help."""
    from harness.model.errors import UserError
    from harness.scheduling.registry import load

    trainer = getattr(load(scheduler)(), "train", None)
    if trainer is None:
        raise UserError(f"{scheduler} is not trained", expected="a strategy with train(arguments)", hint="-s ranked")
    trainer(context.args)
