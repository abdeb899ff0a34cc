"""The quality of each embedded model, as its card states it.

A card lies beside the weights, as ``NAME.md``, and names the fingerprint of what it describes, so
that ``python -m steerbench.cards`` knows which cards new weights have left behind. One file a kind
of model measures; `CARDS` has a line a kind.

>>> sorted(CARDS)
['attributes', 'clip', 'encoder', 'generator', 'segmentation']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from steerbench.cards import attributes, clips, encoder, quality, segmenters
from steerbench.cards.models import Asset, find, list_assets
from steerbench.errors import ArgumentError

__all__ = ["CARDS", "Asset", "Measurement", "find", "list_assets", "stale", "write"]


@dataclass(frozen=True)
class Measurement:
    """On what models are measured, and how thoroughly.

    Attributes:
        data: A cache of renders that the models learned from.
        held_out: A cache of others.
        judge: An oracle that took no part in the training of generators and segmenters.
        n_samples: Pictures, and as many renders; None for 10,000 of a generator and 2,000 of
            everything else.
        out: A folder for sheets and numbers.
        hardware: What a generator was trained on, where its file does not say so.
        note: What was seen in the segmenters' sheets.
        readme: A file whose ``quality`` section is renewed, where ``generator`` is measured.
        reader: The oracle that stands beside CLIPs.
        generator: Whose pictures segmenters see.
    """

    data: Path = Path("runs/pictures-64")
    held_out: Path = Path("runs/held-out-64")
    judge: str = "rooms-attributes-2"
    n_samples: int | None = None
    out: Path = Path("runs/cards")
    hardware: str = ""
    note: str = ""
    readme: Path | None = None
    reader: str = "rooms-attributes"
    generator: str = "rooms"


def write_generator(asset: Asset, how: Measurement) -> list[str]:
    """Measure a generator against held-out renders, and write its card."""
    quality.run(
        asset.path,
        judge=how.judge,
        data=how.data,
        held_out=how.held_out,
        out=how.out / asset.name,
        n_samples=how.n_samples or 10_000,
        hardware=how.hardware,
        readme=how.readme if asset.name == how.generator else None,
    )
    return [asset.name]


def write_segmenters(asset: Asset, how: Measurement) -> list[str]:
    """Measure a segmenter with the other one of its folder, and write both cards.

    Raises:
        ArgumentError: There are not two.
    """
    folder = list_assets(asset.path.parent).values()
    pair = [other for other in folder if other.kind == "segmentation"]
    if len(pair) != 2:
        raise ArgumentError(
            f"{asset.path.parent} holds {len(pair)} segmenters; two are needed, which are measured "
            "against each other."
        )
    segmenters.run(
        [other.path for other in pair],
        held_out=how.held_out,
        generator=how.generator,
        judge=how.judge,
        n_samples=how.n_samples or 2000,
        out=how.out / asset.name,
        note=how.note,
    )
    return [other.name for other in pair]


def write_clip(asset: Asset, how: Measurement) -> list[str]:
    """Measure a CLIP on held-out renders, and write its card."""
    clips.run(asset.path, held_out=how.held_out, judge=how.reader, n_samples=how.n_samples or 2000)
    return [asset.name]


def write_attributes(asset: Asset, how: Measurement) -> list[str]:
    """Measure an oracle on held-out renders, and write its card."""
    attributes.run(asset.path, held_out=how.held_out)
    return [asset.name]


def write_encoder(asset: Asset, how: Measurement) -> list[str]:
    """Measure an encoder on renders and generated pictures, and write its card."""
    encoder.run(asset.path, held_out=how.held_out, judge=how.judge)
    return [asset.name]


CARDS: dict[str, Callable[[Asset, Measurement], list[str]]] = {
    "generator": write_generator,
    "segmentation": write_segmenters,
    "clip": write_clip,
    "attributes": write_attributes,
    "encoder": write_encoder,
}
"""The kind of an asset to the function that measures one, and says whose cards it wrote."""


def stale(folder: Path | None = None) -> dict[str, str]:
    """Return the assets whose card is missing or describes other weights, each with the reason."""
    reasons = {name: asset.staleness() for name, asset in list_assets(folder).items()}
    return {name: reason for name, reason in reasons.items() if reason}


def write(names: Iterable[str], how: Measurement = Measurement()) -> list[str]:
    """Measure models and write their cards.

    Args:
        names: Of embedded models, or paths of files.
        how: On what they are measured.

    Returns:
        Those whose cards were written.

    Raises:
        NotFoundError: There is no such model.
        ArgumentError: A model is of a kind whose card is written by whoever makes it.
    """
    wanted: Sequence[Asset] = [find(name) for name in names]
    for asset in wanted:
        if asset.kind not in CARDS:
            raise ArgumentError(
                f"{asset.name!r} is of the kind {asset.kind!r}; what makes it writes its card. "
                f"Cards are measured here of: {', '.join(CARDS)}."
            )
    done: list[str] = []
    for asset in wanted:
        if asset.name not in done:
            done += CARDS[asset.kind](asset, how)
    return done
