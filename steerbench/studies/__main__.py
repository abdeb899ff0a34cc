"""``python -m steerbench.studies``: how every committed table of the chapters was made."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path
from typing import Annotated

import typer

from steerbench.training.command import run

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Names = Annotated[list[str] | None, typer.Argument(help="tables, such as 14-spaces")]


@app.command("list")
def listing() -> None:
    """List every committed table: on which models it was measured, and whether it is stale."""
    from steerbench.studies import STUDIES, describe, tables

    folder = tables.results()
    for name in STUDIES:
        typer.echo(describe(name, folder))


@app.command()
def measure(
    names: Names = None,
    stale: Annotated[bool, typer.Option("--stale", help="those that `list` calls stale")] = False,
    work: Annotated[Path, typer.Option(help="keeps what is half done")] = Path("runs/studies"),
    readme: Annotated[
        Path | None, typer.Option(help="renew the leaderboard of a README, where it is measured")
    ] = None,
) -> None:
    """Measure tables again, and record on what."""
    from steerbench import studies
    from steerbench.leaderboard import Protocol

    wanted = [*(names or []), *(studies.stale() if stale else [])]
    if not wanted:
        typer.echo("Nothing to measure." if stale else "Give names of tables, or --stale.")
        return
    done = studies.measure(dict.fromkeys(wanted), work=work)
    if readme is not None and "10-leaderboard" in done:
        board = studies.table("10-leaderboard")
        studies.leaderboard.fill_readme(readme, board, "rooms", Protocol())
    typer.echo(f"Measured: {', '.join(done)}")


@app.command()
def mark(names: Names = None) -> None:
    """Record that tables of which nothing is recorded were measured on the present models."""
    from steerbench import studies

    studies.mark(names or [])


if __name__ == "__main__":
    run(app)
