"""podyard dataset: records as Parquet to learn from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import Form, Output, write


class By(StrEnum):
    none = "none"
    time = "time"
    list = "list"


def dataset(
    records: Annotated[list[Path], typer.Argument(help="Folders that `podyard run` wrote, or folders of such.")],
    split: Annotated[By, typer.Option(help="time: each run's first part; list: whole lists of pods.")] = By.none,
    share: Annotated[float, typer.Option(min=0.01, max=0.99, help="Of it for training.")] = 0.7,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("dataset"),
    output: Form = Output.table,
) -> None:
    """Write one row per decision: the state, the candidates, what was decided, what came of it, and the regret.

    Without a split: all.parquet. With one: train.parquet and test.parquet; what came of a decision after the end of the
    training part is in neither.
    """
    import polars

    from harness.dataset.rows import rows
    from harness.dataset.split import by_list, by_time
    from harness.model.errors import UserError
    from harness.report.page import find
    from workloads.readers.parquet import write_parquet

    table = polars.concat([rows(folder) for folder in find(records)])
    parts = {"all": table}
    told: dict[str, object] = {"decisions": len(table), "records": table["record"].n_unique()}
    if split is not By.none:
        made = by_time(table, share) if split is By.time else by_list(table, share)
        parts = {"train": made.train, "test": made.test}
        told |= {"split": made.how, "train": len(made.train), "test": len(made.test), "purged": made.purged}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, part in parts.items():
            write_parquet(part, out / f"{name}.parquet")
    except OSError as error:
        raise UserError(f"cannot write: {error.strerror}", file=out) from None
    told["files"] = [str(out / f"{name}.parquet") for name in parts]
    if output is Output.table:
        print(", ".join(f"{name}: {value}" for name, value in told.items() if name != "files"))
        print(*told["files"], sep="\n")  # type: ignore[misc]
    else:
        write(told, output)
