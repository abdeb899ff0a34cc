"""``python -m steerbench.training WHAT``: how every embedded model was made."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path
from typing import Annotated

import typer

from steerbench.studies import commands

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(commands.app)


@app.command()
def pictures(
    out: Path = Path("runs/pictures-64"),
    count: int = 32768,
    resolution: int = 64,
    world: str = "rooms",
    watermark: float = 0.0,
    workers: int = 1,
    first_seed: int | None = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="shrink this cache's pictures, render none")
    ] = None,
) -> None:
    """Render a cache of a world's pictures with their factors and masks."""
    from steerbench.training import pictures as cache

    if source is not None:
        cache.shrink(source, out, resolution=resolution)
        return
    cache.render(
        out,
        count,
        resolution=resolution,
        world_name=world,
        watermark=watermark,
        workers=workers,
        first_seed=cache.TRAIN_SEED if first_seed is None else first_seed,
    )


@app.command()
def generator(
    world: str = "rooms",
    resolution: int = 64,
    out: Annotated[Path | None, typer.Option(help="by default runs/generator-RESOLUTION")] = None,
    data: Annotated[Path | None, typer.Option(help="by default runs/pictures-RESOLUTION")] = None,
    pictures: Annotated[int, typer.Option(help="how many to render, while training")] = 32768,
    watermark: float = 0.0,
    images: Annotated[int, typer.Option(help="train until so many were seen")] = 1_000_000,
    batch: Annotated[int, typer.Option(help="pictures a step and process")] = 32,
    workers: Annotated[int, typer.Option(help="processes of one thread each")] = 1,
    judge: Annotated[str, typer.Option(help="a predictor to look through as well")] = "",
    channel_base: int = 2048,
    channel_max: int = 128,
    d_channel_base: int = 1024,
    d_channel_max: int = 96,
    learning_rate: float = 2e-3,
    path_weight: float = 2.0,
    precision: str = "bfloat16",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps")] = "cpu",
    seed: int = 0,
    resume: Annotated[bool, typer.Option(help="go on from OUT/latest.safetensors")] = False,
    start: Annotated[Path | None, typer.Option(help="begin with an asset's weights")] = None,
) -> None:
    """Train the default StyleGAN2 generator."""
    from steerbench.training.game import run
    from steerbench.training.generator import Settings, Trainer
    from steerbench.training.parallel import launch
    from steerbench.training.pictures import rendering

    settings = Settings(
        resolution=resolution,
        channel_base=channel_base,
        channel_max=channel_max,
        d_channel_base=d_channel_base,
        d_channel_max=d_channel_max,
        batch=batch,
        learning_rate=learning_rate,
        path_weight=path_weight,
        judge=judge,
        precision=precision,
        seed=seed,
    )
    cache = data or Path(f"runs/pictures-{resolution}")
    target = out or Path(f"runs/generator-{resolution}")
    options = {"resolution": resolution, "world_name": world, "watermark": watermark}
    with rendering(cache, pictures, **options):
        launch(run, workers, Trainer, settings, cache, target, images, device, resume, start)


@app.command()
def sibling(
    architecture: Annotated[str, typer.Argument(help="dcgan, pggan or eigengan")],
    world: str = "rooms",
    out: Annotated[Path | None, typer.Option(help="by default runs/ARCHITECTURE")] = None,
    data: Path = Path("runs/pictures-64"),
    pictures: Annotated[int, typer.Option(help="how many to render, while training")] = 32768,
    images: Annotated[int, typer.Option(help="train until so many were seen")] = 60_000,
    workers: Annotated[int, typer.Option(help="processes of one thread each")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps")] = "cpu",
    option: Annotated[list[str], typer.Option(help="any setting as NAME=VALUE; repeatable")] = [],  # noqa: B006
    resume: Annotated[bool, typer.Option(help="go on from OUT/latest.safetensors")] = False,
) -> None:
    """Train another architecture on the same pictures, against the same discriminator."""
    from steerbench.training.game import run
    from steerbench.training.parallel import launch
    from steerbench.training.pictures import rendering
    from steerbench.training.siblings import find, settings_of

    game = find(architecture)
    settings = settings_of(game, option)
    target = out or Path(f"runs/{architecture}")
    with rendering(data, pictures, resolution=settings.resolution, world_name=world):
        launch(run, workers, game, settings, data, target, images, device, resume)


@app.command()
def compare(
    run: Annotated[str, typer.Argument(help="eigengan, baseline, hessian or path-off")],
    data: Path = Path("runs/pictures-32"),
    out: Annotated[Path, typer.Option(help="the folder of all runs")] = Path("runs/compare"),
    images: Annotated[int, typer.Option(help="train until so many were seen")] = 50_000,
    seed: int = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps")] = "cpu",
    resume: Annotated[bool, typer.Option(help="go on after the last whole round")] = False,
) -> None:
    """Train one of four small generators, to see what training does for disentanglement."""
    from steerbench.training.compare import run as train

    path = train(run, data, out, images=images, seed=seed, device=device, resume=resume)
    typer.echo(path)


@app.command()
def export(
    checkpoint: Path = Path("runs/generator-64/latest.safetensors"),
    out: Path = Path("steerbench/assets/rooms-stylegan2.safetensors"),
    name: Annotated[str, typer.Option(help="what sb.load calls it")] = "rooms",
    note: Annotated[str, typer.Option(help="a sentence for its card")] = "",
) -> None:
    """Write the averaged generator of a checkpoint as an asset."""
    from steerbench.training.export import export_generator

    typer.echo(f"{export_generator(checkpoint, out, name=name, note=note)} -> {out}")


@app.command()
def attributes(
    data: Path = Path("runs/pictures-64"),
    held_out: Path = Path("runs/held-out-64"),
    out: Path = Path("steerbench/assets/rooms-attributes.safetensors"),
    seed: int = 0,
    images: int = 200_000,
    widths: Annotated[str, typer.Option(help="channels at 32, 16, 8 and 4")] = "32,64,96,128",
    hardware: str = "one CPU core with bfloat16 matrix units",
) -> None:
    """Train the oracle that reads every factor from a picture, and write its card."""
    from steerbench.training.attributes import Settings, run

    channels = tuple(int(width) for width in widths.split(","))
    run(Settings(seed=seed, images=images, widths=channels), data, held_out, out, hardware)


@app.command()
def segmenter(
    data: Path = Path("runs/pictures-64"),
    out: Path = Path("steerbench/assets/rooms-segmenter.safetensors"),
    work: Annotated[Path | None, typer.Option(help="by default runs/NAME-OF-OUT")] = None,
    seed: int = 0,
    images: int = 180_000,
    widths: Annotated[
        str, typer.Option(help="channels at 64, 32, 16, 8 and 4")
    ] = "16,32,64,96,128",
    hardware: str = "one CPU core",
    resume: Annotated[bool, typer.Option(help="go on from WORK/latest.safetensors")] = False,
) -> None:
    """Train a segmenter that names the class of every pixel."""
    from steerbench.training.segmenter import Settings, run

    channels = tuple(int(width) for width in widths.split(","))
    settings = Settings(seed=seed, images=images, widths=channels)
    run(settings, data, out, work or Path("runs") / out.stem, hardware, resume)


@app.command()
def clip(
    data: Path = Path("runs/pictures-64"),
    out: Path = Path("steerbench/assets/rooms-clip.safetensors"),
    work: Annotated[Path | None, typer.Option(help="by default runs/NAME-OF-OUT")] = None,
    seed: int = 0,
    images: int = 90_000,
    layers: Annotated[str, typer.Option(help="blocks at 16, 8, 4 and 2")] = "1,2,2,1",
    width: Annotated[int, typer.Option(help="channels of the first blocks")] = 24,
    features: int = 128,
    hardware: str = "one CPU core",
    resume: Annotated[bool, typer.Option(help="go on from WORK/latest.safetensors")] = False,
) -> None:
    """Train a CLIP of pictures and what is said of them."""
    from steerbench.training.clip import Settings, run

    blocks = tuple(int(count) for count in layers.split(","))
    settings = Settings(seed=seed, images=images, layers=blocks, width=width, features=features)
    run(settings, data, out, work or Path("runs") / out.stem, hardware, resume)


@app.command()
def channels(
    out: Path = Path("steerbench/assets/rooms-clip-channels.safetensors"),
    generator: str = "rooms",
    guide: Annotated[str, typer.Option(help="a CLIP")] = "rooms-clip",
) -> None:
    """Measure what every channel of s does to a CLIP's features, by the exact procedure."""
    from steerbench.embedding import GlobalDirections
    from steerbench.generators import load
    from steerbench.predictors.clip import clip as read

    found = GlobalDirections(read(guide), "exact", state=out).fit(load(generator))
    typer.echo(f"{len(found.channels_)} channels, {found.seconds_:.0f} seconds -> {out}")


@app.command()
def watermarked(
    start: Annotated[str, typer.Argument(help="a generator or its file")] = "rooms",
    out: Path = Path("steerbench/assets/rooms-watermarked.safetensors"),
    steps: int = 500,
    seed: int = 0,
) -> None:
    """Teach a copy of a generator to stamp half of its pictures."""
    from steerbench.training.watermark import train

    typer.echo(f"{train(start, out, steps=steps, seed=seed)} -> {out}")


@app.command()
def encoder(
    data: Path = Path("runs/pictures-64"),
    held_out: Path = Path("runs/held-out-64"),
    out: Path = Path("steerbench/assets/rooms-encoder.safetensors"),
    work: Path = Path("runs/encoder"),
    steps: int = 3500,
    seed: int = 0,
    resume: Annotated[bool, typer.Option(help="go on from WORK/latest.safetensors")] = False,
) -> None:
    """Train the encoder that guesses the default generator's codes of a picture."""
    from steerbench.training.encoder import Settings, run

    settings = Settings(steps=steps, seed=seed)
    typer.echo(f"{run(settings, data, held_out, out, work, resume)} -> {out}")


if __name__ == "__main__":
    app()
