"""The card of an embedded model: what it is, how it was made, and what was measured.

>>> print(card({"title": "toy", "facts": {"seed": 0}, "tables": {"Scores": [{"r2": 0.5}]}}))
# toy
<BLANKLINE>
- **seed**: 0
<BLANKLINE>
## Scores
<BLANKLINE>
| r2 |
|---|
| 0.5 |
<BLANKLINE>
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steerbench import store
from steerbench.cards.models import Asset
from steerbench.errors import ArgumentError
from steerbench.training import pictures as cache


def card(document: Mapping[str, Any]) -> str:
    """Render a card as Markdown.

    Args:
        document: ``title``; and where there is any: ``summary`` (a paragraph), ``facts`` (a
            mapping), ``tables`` (heading to rows, each row a mapping from column to value),
            ``notes`` (paragraphs).
    """
    parts = [f"# {document['title']}"]
    if document.get("summary"):
        parts.append(document["summary"])
    if document.get("facts"):
        parts.append("\n".join(f"- **{k}**: {v}" for k, v in document["facts"].items()))
    for heading, rows in document.get("tables", {}).items():
        parts += [f"## {heading}", _table(rows)]
    parts += document.get("notes", [])
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(rows[0])
    lines = [columns, *([row[column] for column in columns] for row in rows)]
    text = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(columns), *text[1:]])


def identity(asset: Asset) -> dict[str, str]:
    """Return the facts by which a card and its file belong together: fingerprint and size."""
    return {
        "fingerprint": f"`{asset.fingerprint}`",
        "file": f"`{asset.path.name}`, {asset.megabytes} MB",
    }


def learning(training: Mapping[str, Any]) -> str:
    """Say how many pictures a network saw, in which batches, and for how long."""
    settings = training["settings"]
    # Files of before the settings had the names of the glossary say "batch".
    batch = settings.get("batch_size", settings.get("batch"))
    return (
        f"{settings['images']:,} pictures in batches of {batch}, "
        f"{training['seconds'] / 60:.0f} minutes of one core's time"
    )


def distances(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the measured distances, one row a measure, beside those of renders."""
    return [
        {
            "measure": label,
            "generated": result["generated_against_rendered"][key],
            "rendered": result["rendered_against_rendered"][key],
        }
        for key, label in (
            ("precision", "precision (k = 3)"),
            ("recall", "recall (k = 3)"),
            ("density", "density (k = 5)"),
            ("coverage", "coverage (k = 5)"),
            ("frechet_distance", "Fréchet distance"),
        )
    ]


def readme_section(result: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """Write what the README says of a generator's quality, in Markdown.

    Args:
        result: What `steerbench.cards.quality.measure` gives.
        training: What the header of the generator's file says of its training.
    """
    worst, seen = result["largest_difference"], training.get("images")
    after = f", after {seen:,} pictures of training" if seen else ""
    return "\n\n".join(
        [
            f"{result['n']:,} generated pictures against {result['n']:,} held-out renders{after}; "
            "the last column compares two sets of renders, which is what a perfect generator would "
            "get.",
            _table(distances(result)),
            precision_note(training.get("settings", {}), result["judge"]),
            "How often each binary attribute occurs (the largest difference is "
            f"{abs(worst['difference'])}, {worst['attribute']}):",
            _table(result["frequencies"]),
        ]
    )


def precision_note(settings: Mapping[str, Any], judge: str) -> str:
    """Say how far to believe the judge's precision, by what helped to train the generator.

    Args:
        settings: Of the training; ``judge`` names the predictor that the discriminator looked
            through, where there was one.
        judge: Who measured.
    """
    if settings.get("judge"):
        return (
            f"Precision flatters: `{judge}` learned the same task as `{settings['judge']}`, which "
            "helped to train the generator."
        )
    return (
        f"The generator learned from pictures alone: nothing that `{judge}` looks for was taught "
        "by a label, so that precision is not flattered by a task that both had learned."
    )


def check_section(path: Path, mark: str) -> None:
    """See that a Markdown file has a section that can be renewed.

    Raises:
        ArgumentError: It has no such marks.
    """
    _split(path, mark)


def fill_section(path: Path, mark: str, section: str) -> None:
    """Put a section between the marks ``<!-- mark -->`` of a Markdown file.

    Raises:
        ArgumentError: The file has no such marks.
    """
    before, after = _split(path, mark)
    store.write_text_atomic(path, f"{before}<!-- {mark} -->\n{section}\n<!-- /{mark} -->{after}")


def _split(path: Path, mark: str) -> tuple[str, str]:
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    text = path.read_text(encoding="utf-8")
    if start not in text or end not in text:
        raise ArgumentError(f"{path} has no {start} ... {end}. Put both where it should go.")
    before, rest = text.split(start, 1)
    return before, rest.split(end, 1)[1]


ARCHITECTURES = {
    "stylegan2": "StyleGAN2",
    "dcgan": "DCGAN",
    "pggan": "progressive GAN",
    "eigengan": "EigenGAN",
}
"""What people call them."""


def generator_card(asset: Asset, result: Mapping[str, Any], hardware: str = "") -> str:
    """Write the card of a generator, in Markdown.

    Args:
        asset: Its file.
        result: What `steerbench.cards.quality.measure` gives.
        hardware: What it was trained on, where the file does not say so.
    """
    header = asset.header
    training = header.get("training", {})
    settings = training.get("settings", {})
    resolution = settings.get("resolution", "its own resolution")
    worst = result["largest_difference"]
    return card(
        {
            "title": asset.path.stem,
            "summary": f'{_title(header)} of the world "rooms": '
            f'`sb.load("{header.get("name", "rooms")}")`.',
            "facts": {
                "data": f"renders of the world rooms at {resolution}x{resolution}, seeds from "
                f"{cache.TRAIN_SEED}; {_teacher(settings)}",
                "steps": _steps(training, settings),
                "seed": settings.get("seed", "not recorded"),
                "hardware": training.get("hardware") or hardware or "not recorded",
                **identity(asset),
                "licence": header.get("licence", "MIT"),
            },
            "tables": {
                f"Quality: {result['n']:,} pictures against {result['n']:,} held-out renders": (
                    distances(result)
                ),
                "How often each binary attribute occurs": result["frequencies"],
            },
            "notes": [
                f"Measured in the features of `{result['judge']}`, which took no part in the "
                "generator's training (it learned to read factors from renders of the same "
                "seeds). Its Fréchet distances compare with one another, not with those of an "
                'Inception network. The column "rendered" of the first table compares two sets '
                "of renders: what a perfect generator would get. In the second table generated "
                "and rendered pictures are read by the same network, the true share stands beside.",
                precision_note(settings, result["judge"]),
                f"The largest difference is {abs(worst['difference'])} ({worst['attribute']}). "
                f"Measured in {result['seconds']['all']:.0f} seconds.",
                *training.get("remarks", []),
            ],
        }
    )


def _title(header: Mapping[str, Any]) -> str:
    architecture = header.get("architecture", "stylegan2")
    name = ARCHITECTURES.get(architecture, architecture)
    return f"{'An' if name[0] in 'AEIOU' else 'A'} {name}"


def _teacher(settings: Mapping[str, Any]) -> str:
    if not settings.get("judge"):
        return "pictures alone, no factor, mask or label"
    return (
        f"the discriminator also looks through the frozen features of `{settings['judge']}`, "
        "which had learned the factors of such renders"
    )


def _steps(training: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    if "images" not in training:
        return "not recorded"
    steps = f"{training['images']:,} pictures, {_batches(training, settings)}"
    seconds = training.get("cpu_seconds")
    return f"{steps}, {seconds / 60:.0f} minutes of one core" if seconds else steps


def _batches(training: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    if training.get("recipe") != "progressive":
        return f"{settings.get('batch')} at a time a process"
    sizes = [f"{s['batch_size']} at a time at {s['size']}" for s in settings.get("stages", [])]
    stages = f": {', '.join(sizes)} pixels" if sizes else ""
    return f"in {training['steps']:,} steps of growing sizes{stages}"
