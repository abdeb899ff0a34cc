"""StyleCLIP: edits that are asked for in words, in three ways that trade time for generality.

With G(w) a picture, f its CLIP features and t those of the prompt, all of unit length:

- `LatentOptimiser`, one picture, one prompt: follow the gradient of
  ``1 - f(G(w)) . t + lambda_l2 |w - w_s|^2 + lambda_id D_id``.
- `LatentMapper`, one prompt, any picture: three small networks for the coarse, the medium and the
  fine rows of w+ learn the step to take, ``w + 0.1 M(w)``, by the same loss over many pictures.
- `GlobalDirections`, any prompt, any picture: how each channel of StyleSpace moves f is measured
  once; a prompt is then a direction in s.

All three are text editors: ``fit(generator)``, then ``edit(latent)``. The first two are long walks
that show every step: iterate over ``steps(...)`` to watch, leave the loop to stop; what was best so
far is in the last step. All take a *neutral* text on request: then
not the prompt is aimed at but the picture's own features, led away by what the two texts differ in,
``f(G(w_s)) + 2 N(t - t_neutral)`` with ``N v = v / |v|``.

>>> import steerbench as sb
>>> G, clip = sb.load("rooms"), sb.clip("rooms-clip")
>>> optimiser = LatentOptimiser(clip, "a room at night", n_steps=2).fit(G)
>>> optimiser.edit(G.sample(1, seed=0)).space
'w+'

Reference: Patashnik, Wu, Shechtman, Cohen-Or, Lischinski, "StyleCLIP: Text-Driven Manipulation of
StyleGAN Imagery" (2021, arXiv 2103.17249).
"""

from steerbench.embedding.styleclip.channels import (
    channel_features,
    channel_step,
)
from steerbench.embedding.styleclip.global_directions import GlobalDirections
from steerbench.embedding.styleclip.mapper import LatentMapper
from steerbench.embedding.styleclip.optimisation import LatentOptimiser, PromptStep
from steerbench.embedding.styleclip.target import TextLossConfig, TextTarget, layout_of

__all__ = [
    "GlobalDirections",
    "LatentMapper",
    "LatentOptimiser",
    "PromptStep",
    "TextLossConfig",
    "TextTarget",
    "channel_features",
    "channel_step",
    "layout_of",
]
