"""What `podyard train` runs for `ranked`: its weights, made again or anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="podyard train", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


# size: each parameter is an option of the command line.
@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Where the model goes.")] = Path("weights.json"),
    lists: Annotated[str, typer.Option(help="Seeds of the training lists, as 2000-2059.")] = "2000-2059",
    held_out: Annotated[
        str, typer.Option(help="Seeds of the lists that the weights kept are chosen by.")
    ] = "3000-3011",
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of each training cluster.")] = 400,
    held_out_nodes: Annotated[int, typer.Option(min=1, help="Nodes of each cluster held out.")] = 1213,
    batch: Annotated[int, typer.Option(min=1, help="Lists that each generation is tried on.")] = 10,
    population: Annotated[int, typer.Option(min=2, help="Candidates in each generation.")] = 16,
    generations: Annotated[int, typer.Option(min=1)] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = 1,
) -> None:
    """Train `ranked` by policy search on generated lists; those that results are judged by are refused."""
    from datetime import UTC, datetime
    from importlib.metadata import version

    from schedulers.ranked.lists import parse_seeds
    from schedulers.ranked.model import write_model
    from schedulers.ranked.train import Training
    from schedulers.ranked.train import train as search

    def told(generation: int, mean: float, reached: float) -> None:
        print(f"generation {generation}/{generations}: mean {mean:.3f} %, held out {reached:.3f} %", file=sys.stderr)

    how = Training(
        lists=parse_seeds(lists),
        held_out=parse_seeds(held_out),
        nodes=nodes,
        held_out_nodes=held_out_nodes,
        batch=batch,
        population=population,
        generations=generations,
        seed=seed,
    )
    model = search(how, told)
    model.card["date"] = datetime.now(UTC).date().isoformat()
    model.card["podyard"] = version("podyard")
    model.card["command"] = (
        f"podyard train --lists {lists} --held-out {held_out} --nodes {nodes} --held-out-nodes {held_out_nodes} "
        f"--batch {batch} --population {population} --generations {generations} --seed {seed}"
    )
    write_model(out, model)
    print(f"{out}: {model.card['startedAt']:.3f} % -> {model.card['reached']:.3f} % on the lists held out")
