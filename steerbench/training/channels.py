"""What every channel of s does to a CLIP, as an asset: any prompt is then a direction at once.

The measurement is that of `sb.GlobalDirections`, by the paper's exact procedure.
A file that holds it for other weights is measured anew.

Reference: Patashnik et al., "StyleCLIP" (2021, arXiv 2103.17249).
"""

from __future__ import annotations

from pathlib import Path

from steerbench.cards.models import Asset
from steerbench.cards.text import card, identity
from steerbench.embedding.styleclip import GlobalDirections
from steerbench.generators import load
from steerbench.predictors.clip import clip
from steerbench.store import write_text_atomic


def measure(generator: str, guide: str, out: Path, *, hardware: str) -> GlobalDirections:
    """Measure all channels of a generator that may move, to `out`, and write the card beside it.

    Args:
        generator: By name, or its file.
        guide: A CLIP, likewise.
        out: The table; where it is half done, the rest is measured.
        hardware: For the card.
    """
    drawn = load(generator)
    found = GlobalDirections(clip(guide), "exact").fit(drawn, state=out)
    text = card(
        {
            "title": out.stem,
            "summary": f"What every channel of s of `{generator}` does to the features of "
            f"`{guide}`: the measurement that makes any prompt a direction at once. "
            f'`sb.GlobalDirections(sb.clip("{guide}"))` finds it by the fingerprints of both '
            "models; a file for other weights is measured anew.",
            "facts": {
                "procedure": f"exact (StyleCLIP, arXiv 2103.17249): each of "
                f"{len(found.channels_)} channels {found.alpha:g} standard deviations down and "
                f"up on {found.n_samples} pictures, seeds from {found.seed}; channels that only "
                "turn activations into colours stay still",
                "made by": "`python -m steerbench.training channels`, "
                f"{found.seconds_:.0f} seconds",
                "hardware": hardware,
                "generator": f"`{drawn.fingerprint}`",
                **identity(Asset(out)),
                "licence": "MIT",
            },
        }
    )
    write_text_atomic(out.with_suffix(".md"), text)
    return found
