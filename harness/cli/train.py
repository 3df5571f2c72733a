"""podyard train: the learned ranker's weights, made again or anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    out: Annotated[Path, typer.Option(help="Where the model goes.")] = Path("weights.json"),
    lists: Annotated[str, typer.Option(help="Seeds of the training lists, separated by commas.")] = "1000,1001,1002",
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of each training cluster.")] = 160,
    population: Annotated[int, typer.Option(min=2, help="Candidates in each generation.")] = 16,
    generations: Annotated[int, typer.Option(min=1)] = 12,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 1,
) -> None:
    """Train `ranked` by policy search on generated clusters; the lists that results are judged by are refused."""
    from datetime import UTC, datetime
    from importlib.metadata import version

    from harness.model.errors import UserError
    from schedulers.ranked.model import write_model
    from schedulers.ranked.train import Training
    from schedulers.ranked.train import train as search

    try:
        seeds = tuple(int(text) for text in lists.split(","))
    except ValueError:
        raise UserError("--lists wants whole numbers", found=lists, expected="as 1000,1001") from None

    def told(generation: int, best: float, mean: float) -> None:
        print(f"generation {generation}/{generations}: best {best:.3f} %, mean {mean:.3f} %", file=sys.stderr)

    how = Training(lists=seeds, nodes=nodes, population=population, generations=generations, seed=seed)
    model = search(how, told)
    model.card["date"] = datetime.now(UTC).date().isoformat()
    model.card["podyard"] = version("podyard")
    model.card["command"] = (
        f"podyard train --lists {lists} --nodes {nodes} --population {population} "
        f"--generations {generations} --seed {seed}"
    )
    write_model(out, model)
    print(f"{out}: {model.card['startedAt']:.3f} % -> {model.card['reached']:.3f} % on the training lists")
