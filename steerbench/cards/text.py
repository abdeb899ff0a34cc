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
from typing import Any

from steerbench.predictors import AttributePredictor
from steerbench.training import pictures as cache
from steerbench.worlds.rooms.visibility import RULES


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


def attributes_card(
    name: str,
    oracle: AttributePredictor,
    training: Mapping[str, Any],
    result: Mapping[str, Mapping[str, Any]],
) -> str:
    """The card of an oracle, in Markdown."""
    settings = training["settings"]
    weights = sum(tensor.numel() for tensor in oracle.tensors().values())
    rows: dict[str, list[dict[str, Any]]] = {"binary": [], "continuous": []}
    for attribute in oracle.attributes:
        score = result[attribute.name]
        row: dict[str, Any] = {"attribute": attribute.name}
        if attribute.kind == "binary":
            row |= {"accuracy": score["accuracy"], "always the majority": score["majority"]}
        else:
            row |= {"R2": score["r2"], "RMSE": score["rmse"], "unit": attribute.unit}
        shown = RULES[attribute.name].why if attribute.name in RULES else "always"
        rows[attribute.kind].append(row | {"shows in": score["shows"], "where": shown})
    return card(
        {
            "title": name,
            "summary": f'Reads the {len(oracle.names)} factors of the world "rooms" from a '
            f'picture: `sb.predictor("{name}")`.',
            "facts": {
                "architecture": f"convolutional network, widths {settings['widths']}, "
                f"{settings['features']} features, {weights:,} weights",
                "data": training["data"],
                "training": f"{settings['images']:,} pictures in batches of {settings['batch']}, "
                f"{training['seconds'] / 60:.0f} minutes",
                "seed": settings["seed"],
                "hardware": training["hardware"],
                "judged on": training["held_out"] + "; every second one stamped with a watermark",
                "licence": "MIT",
            },
            "tables": {
                "Binary attributes: accuracy where they show": rows["binary"],
                "Continuous attributes: R2 where they show": rows["continuous"],
            },
            "notes": [
                "An R2 near 0 says that the network cannot read this attribute; do not use it.",
                *training.get("notes", []),
            ],
        }
    )


def distances(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The measured distances of a generator, one row a measure, beside those of renders."""
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


def readme_section(result: Mapping[str, Any], images: int) -> str:
    """What the README says of a generator's quality, in Markdown."""
    worst = result["largest_difference"]
    return "\n\n".join(
        [
            f"{result['n']:,} generated pictures against {result['n']:,} held-out renders, after "
            f"{images:,} pictures of training; the last column compares two sets of renders, which "
            "is what a perfect generator would get.",
            _table(distances(result)),
            "How often each binary attribute occurs (the largest difference is "
            f"{abs(worst['difference'])}, {worst['attribute']}):",
            _table(result["frequencies"]),
        ]
    )


ARCHITECTURES = {
    "stylegan2": "StyleGAN2",
    "dcgan": "DCGAN",
    "pggan": "progressive GAN",
    "eigengan": "EigenGAN",
}
"""What people call them."""


def generator_card(
    name: str, header: Mapping[str, Any], result: Mapping[str, Any], hardware: str
) -> str:
    """The card of a generator, in Markdown."""
    training = header.get("training", {})
    settings = training.get("settings", {})
    resolution = settings.get("resolution", "its own resolution")
    worst = result["largest_difference"]
    return card(
        {
            "title": name,
            "summary": f'{_called(header)} of the world "rooms": '
            f'`sb.load("{header.get("name", "rooms")}")`.',
            "facts": {
                "data": f"renders of the world rooms at {resolution}x{resolution}, seeds from "
                f"{cache.TRAIN_SEED}; {_teacher(settings)}",
                "steps": _steps(training, settings),
                "seed": settings.get("seed", "not recorded"),
                "hardware": hardware,
                "fingerprint": f"`{result['generator']}`",
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
                f"The largest difference is {abs(worst['difference'])} ({worst['attribute']}). "
                f"Measured in {result['seconds']['all']:.0f} seconds.",
                *training.get("remarks", []),
            ],
        }
    )


def _called(header: Mapping[str, Any]) -> str:
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
