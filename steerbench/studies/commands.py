"""The commands that measure: the cards of the models, and the tables of the chapters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def compare_results(
    runs: Annotated[Path, typer.Option(help="the folder of all runs")] = Path("runs/compare"),
    held_out: Path = Path("runs/held-out-32"),
    out: Path = Path("steerbench/assets/results"),
    images: Annotated[int, typer.Option(help="of runs that saw so many")] = 50_000,
    seeds: Annotated[int, typer.Option(help="how many, from 0")] = 1,
    run: Annotated[list[str], typer.Option(help="which, repeatable; all by default")] = [],  # noqa: B006
    resume: Annotated[bool, typer.Option(help="keep the rows of runs measured before")] = False,
) -> None:
    """Measure the runs of `compare`: quality beside disentanglement, the table of chapter 12."""
    from steerbench.studies.regularisers import measure
    from steerbench.training.compare import RUNS

    table = measure(
        runs,
        held_out,
        out,
        images=images,
        seeds=range(seeds),
        names=run or list(RUNS),
        resume=resume,
    )
    typer.echo(table.T.to_string())


@app.command()
def clip_quality(
    first: Path = Path("steerbench/assets/rooms/rooms-clip.safetensors"),
    second: Path = Path("steerbench/assets/rooms/rooms-clip-2.safetensors"),
    held_out: Path = Path("runs/held-out-64"),
    judge: Annotated[str, typer.Option(help="an oracle to stand beside")] = "rooms-attributes",
    n: Annotated[int, typer.Option(help="held-out pictures")] = 2000,
) -> None:
    """Measure CLIPs on held-out pictures, and write their cards."""
    from steerbench.cards.clip_quality import run

    paths = [path for path in (first, second) if path.is_file()]
    for path, result in zip(paths, run(paths, held_out, judge, n)):
        typer.echo(f"{path.stem}: top-1 {result['retrieval'][0]['top-1']} of {result['among']}")


@app.command()
def prompts(
    study: Annotated[str, typer.Argument(help="prompts, relevance or all")] = "all",
    out: Path = Path("steerbench/assets/results"),
    only: Annotated[str, typer.Option(help="one mode: optimise, mapper or direction")] = "",
) -> None:
    """Measure edits by words: the tables of chapter 18."""
    from steerbench.studies.prompts import measure

    measure(out, study, only)


@app.command()
def units(
    study: Annotated[
        str, typer.Argument(help="units, search, artefacts, watermarks or all")
    ] = "all",
    out: Path = Path("steerbench/assets/results"),
    segmenter: Annotated[str, typer.Option(help="chooses the units")] = "rooms-segmenter",
    judge: Annotated[str, typer.Option(help="measures what they do")] = "rooms-segmenter-2",
) -> None:
    """Measure what units match and do: the tables of chapter 03."""
    from steerbench.studies.units import measure

    measure(out, study, segmenter, judge)


@app.command()
def spaces(
    out: Path = Path("steerbench/assets/results/14-spaces.csv"),
    n: Annotated[int, typer.Option(help="pictures of each generator")] = 2000,
    judge: Annotated[str, typer.Option(help="reads the pictures")] = "rooms-attributes-2",
    seed: int = 0,
) -> None:
    """Measure how disentangled the spaces of the generators are: the table of chapter 14."""
    from steerbench.studies.latent_spaces import measure

    measure(out, n=n, judge=judge, seed=seed)


@app.command()
def restoration(
    out: Path = Path("steerbench/assets/results/17-restoration.csv"),
    n: Annotated[int, typer.Option(help="renders, and as many samples")] = 50,
    steps: int = 30,
    generator: str = "rooms",
    pictures: Annotated[str, typer.Option(help="renders, samples or all")] = "all",
) -> None:
    """Measure how well holes, colours, details and noise are restored: chapter 17."""
    from steerbench.studies.restoration import measure

    measure(out, n, steps, generator, pictures)


@app.command()
def how_many(out: Path = Path("steerbench/assets/results")) -> None:
    """Measure how many directions it takes: the second table of chapter 10."""
    from steerbench.studies.direction_counts import measure

    typer.echo(measure(out).to_string())


@app.command()
def segmenter_quality(
    first: Path = Path("steerbench/assets/rooms/rooms-segmenter.safetensors"),
    second: Path = Path("steerbench/assets/rooms/rooms-segmenter-2.safetensors"),
    held_out: Path = Path("runs/held-out-64"),
    generator: str = "rooms",
    judge: str = "rooms-attributes-2",
    n: Annotated[int, typer.Option(help="generated pictures, and as many renders")] = 2000,
    out: Path = Path("runs/segmenter-quality"),
    note: Annotated[str, typer.Option(help="what was seen in OUT/grid.png")] = "",
) -> None:
    """Measure both segmenters on renders and on generated pictures, and write their cards."""
    from steerbench.cards.segmenter_quality import run

    paths = [first, second]
    for path, result in zip(
        paths, run(paths, held_out, generator=generator, judge=judge, n=n, out=out, note=note)
    ):
        typer.echo(f"{path.stem}: mean IoU {result['truth']['mean_iou']} -> {out}")


@app.command()
def inversion(
    study: Annotated[str, typer.Argument(help="spaces, starts or all")] = "all",
    out: Path = Path("steerbench/assets/results"),
    n: Annotated[int, typer.Option(help="pictures of each kind")] = 8,
    steps: Annotated[int, typer.Option(help="of a search")] = 50,
) -> None:
    """Measure reconstructions by space and by start: the tables of chapter 15."""
    from steerbench.studies.inversion import measure

    measure(out, study, n, steps)


@app.command()
def quality(
    generator: Path = Path("steerbench/assets/rooms/rooms-stylegan2.safetensors"),
    n: int = 10_000,
    data: Path = Path("runs/pictures-64"),
    held_out: Path = Path("runs/held-out-64"),
    out: Path = Path("runs/quality"),
    judge: str = "rooms-attributes-2",
    readme: Annotated[
        Path | None, typer.Option(help="renew the quality section of a README")
    ] = None,
    hardware: str = "2 CPU cores with bfloat16 matrix units",
) -> None:
    """Measure a generator against held-out renders, and write its card beside it."""
    from steerbench.cards.quality import run

    result = run(
        generator,
        judge=judge,
        data=data,
        held_out=held_out,
        out=out,
        n=n,
        hardware=hardware,
        readme=readme,
    )
    typer.echo(f"{result['generated_against_rendered']} -> {out}")
