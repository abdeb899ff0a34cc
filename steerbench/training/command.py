"""What the commands of training, cards and studies share: how they end when something is wrong."""

from __future__ import annotations

import sys

import typer

from steerbench.errors import SteerbenchError


def run(app: typer.Typer) -> None:
    """Run a command; an error that is raised on purpose ends it with its message alone."""
    try:
        app()
    except SteerbenchError as error:
        sys.exit(str(error))
