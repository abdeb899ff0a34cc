"""``python -m steerbench.cards NAME...``: measure embedded models, and write their cards."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path
from typing import Annotated

import typer

from steerbench.training.command import run

app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def cards(
    names: Annotated[
        list[str] | None, typer.Argument(help="models, or their files; without any, all are listed")
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="those whose card describes other weights")
    ] = False,
    data: Annotated[Path, typer.Option(help="renders that were learned from")] = Path(
        "runs/pictures-64"
    ),
    held_out: Annotated[Path, typer.Option(help="others")] = Path("runs/held-out-64"),
    judge: Annotated[str, typer.Option(help="an oracle that took no part")] = "rooms-attributes-2",
    n_samples: Annotated[
        int | None, typer.Option(help="pictures; by default 10,000 of a generator, else 2,000")
    ] = None,
    out: Annotated[Path, typer.Option(help="for sheets and numbers")] = Path("runs/cards"),
    hardware: Annotated[str, typer.Option(help="where a generator's file does not say it")] = "",
    note: Annotated[str, typer.Option(help="what was seen in the segmenters' sheets")] = "",
    readme: Annotated[
        Path | None, typer.Option(help="renew the quality section of a README")
    ] = None,
) -> None:
    """Measure embedded models, and write their cards; without a name, list the models."""
    from steerbench import cards as package

    reasons = {} if names and not stale else package.stale()
    assets = package.list_assets() if stale else {}
    # The other kinds get their cards from what makes them.
    wanted = [
        *(names or []),
        *(n for n, a in assets.items() if n in reasons and a.kind in package.CARDS),
    ]
    if not wanted:
        typer.echo("Nothing to measure." if stale else _listing(reasons))
        return
    how = package.Measurement(data, held_out, judge, n_samples, out, hardware, note, readme)
    done = package.write(dict.fromkeys(wanted), how)
    typer.echo(f"Written: the cards of {', '.join(done)}")


def _listing(reasons: dict[str, str]) -> str:
    """Write a line for each model: its fingerprint, its size, and whether its card is its own."""
    from steerbench.cards import list_assets

    return "\n".join(
        f"{name:22} {asset.fingerprint}  {asset.megabytes:5} MB  "
        + (f"STALE: {reasons[name]}" if name in reasons else "fresh")
        for name, asset in list_assets().items()
    )


if __name__ == "__main__":
    run(app)
