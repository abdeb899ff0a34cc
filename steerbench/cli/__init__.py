"""The ``steerbench`` command.

- ``steerbench lab [DIR]``: copy the chapters to DIR and open JupyterLab on the first
- ``steerbench docs``: open the reference in a browser, without a network
- ``steerbench doctor``: what is installed, how fast this machine is, what to do about trouble
- ``steerbench inspect FILE``: what a model is, what it costs here, which methods work on it
- ``steerbench models [WORD]``: the published models that are known by name
- ``steerbench score MODEL``: what every finder recovers on a model, judged alike
- ``steerbench convert FILE OUT.safetensors``: a published checkpoint as a file of ours, checked
- ``steerbench --version``
"""

from __future__ import annotations

import contextlib
import os
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from steerbench import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Steer deep generative models by what they have learned.",
)


def main() -> None:
    """The entry point."""
    # Two spinning OpenMP threads beside another busy process slow torch down a hundredfold; set
    # here, before torch is imported, and inherited by every kernel.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"steerbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say it and leave."),
    ] = False,
) -> None:
    pass


@contextlib.contextmanager
def _errors_told(command: str) -> Iterator[None]:
    """What steerbench raises on purpose, as a text and exit code 1."""
    from steerbench.errors import SteerbenchError

    try:
        yield
    except SteerbenchError as error:
        typer.echo(f"steerbench {command}: {error}", err=True)
        raise typer.Exit(1) from error


# Unknown options pass through to JupyterLab, so click must not sort options from arguments here.
@app.command("lab", context_settings={"ignore_unknown_options": True})
def _lab(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DIR] [JUPYTER_OPTIONS]...",
            help="Where the chapters go (./steerbench-notebooks), then options for JupyterLab, "
            "written --name=value.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    port: Annotated[int, typer.Option(help="The first port to try.")] = 8888,
    solutions: Annotated[bool, typer.Option(help="Copy the worked answers too.")] = True,
) -> None:
    """Copy the chapters and open JupyterLab on the first. A chapter you edited is never touched."""
    from steerbench.cli import lab

    folder, options = lab.split(arguments or [])
    with _errors_told("lab"):
        for line in lab.copy_chapters(lab.chapters(), folder, solutions=solutions):
            typer.echo(line)
    lab.open_lab(folder, options, browser=browser, port=port)


@app.command("docs")
def _docs(
    build: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the pages there; open nothing.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open the reference, made from the docstrings, in a browser; no network is needed."""
    from steerbench.cli import docs

    with _errors_told("docs"):
        if build is None:
            page = docs.first_page(typer.echo)
        else:
            docs.build(build)
            page = build / docs.FIRST
    typer.echo(str(page))
    if browser and build is None:
        webbrowser.open(page.as_uri())


@app.command("doctor")
def _doctor(
    folder: Annotated[Path, typer.Option(help="Where you want to work.")] = Path(),
) -> None:
    """Look at the installation and the machine; exit with 1 if something essential is broken."""
    from steerbench.cli import doctor

    findings = doctor.examine(folder)
    typer.echo(doctor.report(findings))
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


@app.command("inspect")
def _inspect(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A weight file, or a name.")],
) -> None:
    """Say what a model is, what it costs here and which methods work on it."""
    from steerbench.inspection import inspect

    with _errors_told("inspect"):
        typer.echo(inspect(source))


@app.command("convert")
def _convert(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A weight file, or a name.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The new file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a checkpoint of any known format as a safetensors file that draws the same pictures."""
    from steerbench.generators.conversion import convert

    with _errors_told("convert"):
        typer.echo(convert(source, target, force=force))


@app.command("models")
def _models(
    word: Annotated[str, typer.Argument(help="Only models whose name contains it.")] = "",
) -> None:
    """List the models that sb.load knows by name, with size, licence and where they are."""
    from steerbench.cli import models

    with _errors_told("models"):
        typer.echo(models.listing(word))


@app.command("score")
def _score(
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A name, or a file.")],
    oracle: Annotated[
        str | None,
        typer.Option(help="A predictor; chooses directions. By default the bundle's reader."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="Another one; judges them. By default the bundle's judge.")
    ] = None,
    finder: Annotated[
        list[str] | None, typer.Option(help="Only this one; repeatable. All by default.")
    ] = None,
    directions: Annotated[int, typer.Option(help="How many each finder gives.")] = 32,
    n: Annotated[int, typer.Option(help="Pictures that directions are judged on.")] = 96,
    nulls: Annotated[int, typer.Option(help="Draws of random directions.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the finders.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the tables go.")] = Path(),
    readme: Annotated[
        Path | None, typer.Option(help="Renew the part between the leaderboard marks of a file.")
    ] = None,
) -> None:
    """Run every finder on a model and judge what it found: 10-leaderboard.csv and its factors."""
    from steerbench.cli import score

    with _errors_told("score"):
        from steerbench.leaderboard import Protocol

        protocol = Protocol(n_directions=directions, judging=n, nulls=nulls, seed=seed)
        typer.echo(score.score(source, oracle, judge, finder, protocol, out, readme))
