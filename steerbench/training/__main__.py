"""``python -m steerbench.training WHAT``: how every embedded model was made."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path
from typing import Annotated

import typer

from steerbench.training import command

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


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
def progressive(
    folder: Annotated[Path, typer.Option(help="keeps everything: run/, pictures/, pids")] = Path(
        "runs/progressive"
    ),
    pictures: Annotated[
        Path | None, typer.Option(help="a cache; by default FOLDER/pictures, rendered first")
    ] = None,
    world: Annotated[str, typer.Option(help="whose pictures are rendered")] = "rooms",
    start: Annotated[Path | None, typer.Option(help="a state, where FOLDER has none")] = None,
    processes: Annotated[
        int | None, typer.Option(help="of one thread each; by default 2, on CUDA 1")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    stages: Annotated[
        str, typer.Option(help="SIZE:PICTURES:BATCH,... the batch of all processes together")
    ] = "16:650000:64,32:600000:64,64:100000000:32",
    batch_size: Annotated[int | None, typer.Option(help="instead of those of the stages")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="any other setting as NAME=VALUE, such as total=3000000; repeatable"),
    ] = None,
    minutes: Annotated[float, typer.Option(help="how long at most")] = float("inf"),
    write_minutes: Annotated[float, typer.Option(help="between two states written")] = 5.0,
) -> None:
    """Train the default generator, from pictures alone; the same command goes on with it."""
    from steerbench.training import progressive as recipe
    from steerbench.training.shared import with_options

    plan = recipe.stages(stages, batch_size)
    settings = recipe.Settings(stages=plan, precision=recipe.fast_precision(device))
    settings = with_options(settings, option or ())
    place = recipe.Run(folder, pictures, start, device, minutes, write_minutes, world)
    recipe.run(settings, place, processes=processes or (2 if device == "cpu" else 1))


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
    checkpoint: Path = Path("runs/progressive/run/latest.safetensors"),
    out: Path = Path("steerbench/assets/rooms/rooms-stylegan2.safetensors"),
    name: Annotated[str, typer.Option(help="what sb.load calls it")] = "rooms",
    note: Annotated[str, typer.Option(help="a sentence for its card")] = "",
) -> None:
    """Write the averaged generator of a training's state as an asset."""
    from steerbench.training.export import export_generator

    typer.echo(f"{export_generator(checkpoint, out, name=name, note=note)} -> {out}")


@app.command()
def remake(
    steps: Annotated[
        list[str] | None, typer.Argument(help="generator, encoder ...; all by default")
    ] = None,
    state: Path = Path("runs/progressive/run/latest.safetensors"),
    pictures: Path = Path("runs/progressive/pictures"),
    held_out: Path = Path("runs/held-out-64"),
    assets: Path = Path("steerbench/assets/rooms"),
    work: Annotated[Path, typer.Option(help="keeps checkpoints")] = Path("runs/remake"),
    note: Annotated[str, typer.Option(help="what is still wrong to the eye")] = "",
    hardware: str = "2 CPU cores with bfloat16 matrix units",
    readme: Annotated[
        Path | None, typer.Option(help="renew the quality section of a README")
    ] = None,
    trial: Annotated[bool, typer.Option(help="few steps, to see that all goes through")] = False,
) -> None:
    """Make the default generator's asset from a state, and all that is made from its weights."""
    from steerbench.training.remake import Materials
    from steerbench.training.remake import remake as make

    made_of = Materials(
        state=state,
        pictures=pictures,
        held_out=held_out,
        assets=assets,
        work=work,
        note=note,
        hardware=hardware,
        readme=readme,
        trial=trial,
    )
    make(made_of, steps or ())


@app.command()
def fingerprints() -> None:
    """State the fingerprints of all embedded generators anew, in their bundle.json."""
    from steerbench import assets
    from steerbench.training.export import state_fingerprint

    for name in assets.names("generators"):
        path = assets.path("generators", name)
        if path is not None:
            state_fingerprint(path)
        typer.echo(name)


@app.command()
def seeds(
    generator: Annotated[
        list[str], typer.Argument(help="names; all embedded generators by default")
    ] = [],  # noqa: B006
    n_seeds: int = 12,
    n_samples: Annotated[int, typer.Option(help="how many seeds to choose from")] = 512,
) -> None:
    """Choose good seeds to open with, and state them in bundle.json."""
    from steerbench import assets
    from steerbench.training.seeds import state_seeds

    for name in generator or assets.names("generators"):
        typer.echo(f"{name}: {state_seeds(name, n_seeds, n_samples)}")


@app.command()
def attributes(
    data: Path = Path("runs/pictures-64"),
    out: Path = Path("steerbench/assets/rooms/rooms-attributes.safetensors"),
    work: Annotated[Path | None, typer.Option(help="by default runs/NAME-OF-OUT")] = None,
    seed: int = 0,
    images: int = 200_000,
    widths: Annotated[str, typer.Option(help="channels at 32, 16, 8 and 4")] = "32,64,96,128",
    hardware: str = "one CPU core with bfloat16 matrix units",
    resume: Annotated[bool, typer.Option(help="go on from WORK/latest.safetensors")] = False,
) -> None:
    """Train the oracle that reads every factor from a picture."""
    from steerbench.training.attributes import Settings, run
    from steerbench.training.trainer import Place

    settings = Settings(seed=seed, images=images, widths=_numbers(widths))
    run(settings, Place(data, out, work or Path("runs") / out.stem, hardware, resume))


@app.command()
def segmenter(
    data: Path = Path("runs/pictures-64"),
    out: Path = Path("steerbench/assets/rooms/rooms-segmenter.safetensors"),
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
    from steerbench.training.trainer import Place

    settings = Settings(seed=seed, images=images, widths=_numbers(widths))
    run(settings, Place(data, out, work or Path("runs") / out.stem, hardware, resume))


@app.command()
def clip(
    data: Path = Path("runs/pictures-64"),
    out: Path = Path("steerbench/assets/rooms/rooms-clip.safetensors"),
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
    from steerbench.training.trainer import Place

    blocks = _numbers(layers)
    settings = Settings(seed=seed, images=images, layers=blocks, width=width, features=features)
    run(settings, Place(data, out, work or Path("runs") / out.stem, hardware, resume))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


@app.command()
def channels(
    out: Path = Path("steerbench/assets/rooms/rooms-clip-channels.safetensors"),
    generator: str = "rooms",
    guide: Annotated[str, typer.Option(help="a CLIP")] = "rooms-clip",
    hardware: str = "one CPU core",
) -> None:
    """Measure what every channel of s does to a CLIP's features, by the exact procedure."""
    from steerbench.training.channels import measure

    found = measure(generator, guide, out, hardware=hardware)
    typer.echo(f"{len(found.channels_)} channels, {found.seconds_:.0f} seconds -> {out}")


@app.command()
def watermarked(
    start: Annotated[str, typer.Argument(help="a generator or its file")] = "rooms",
    out: Path = Path("steerbench/assets/rooms/rooms-watermarked.safetensors"),
    n_steps: int = 500,
    seed: int = 0,
    hardware: str = "one CPU core",
) -> None:
    """Teach a copy of a generator to stamp half of its pictures."""
    from steerbench.training.watermark import run

    typer.echo(f"{run(start, out, n_steps=n_steps, seed=seed, hardware=hardware)} -> {out}")


@app.command()
def encoder(
    generator: Annotated[str, typer.Option(help="whose codes are guessed")] = "rooms",
    data: Path = Path("runs/pictures-64"),
    out: Path = Path("steerbench/assets/rooms/rooms-encoder.safetensors"),
    work: Annotated[Path | None, typer.Option(help="by default runs/NAME-OF-OUT")] = None,
    images: Annotated[int, typer.Option(help="half are renders, half generated")] = 56_000,
    seed: int = 0,
    hardware: str = "one CPU core",
    resume: Annotated[bool, typer.Option(help="go on from WORK/latest.safetensors")] = False,
) -> None:
    """Train the encoder that guesses a generator's codes of a picture."""
    from steerbench.training.encoder import Settings, run
    from steerbench.training.trainer import Place

    settings = Settings(generator=generator, images=images, seed=seed)
    run(settings, Place(data, out, work or Path("runs") / out.stem, hardware, resume))


if __name__ == "__main__":
    command.run(app)
