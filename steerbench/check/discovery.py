"""Chapter 11: estimating a Hessian Penalty, and the step that changes a picture the most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.types import Direction, Generator, Latent

DRAWS = 4000
"""How many estimates are averaged."""
STEP = 0.02
"""Half the length of the steps by which pictures are compared."""
ENOUGH = 0.95


@announce
def penalty(estimate: Callable[..., Any]) -> Verdict:
    """Check whether an estimator of the Hessian Penalty is unbiased, on forms whose Hessian is
    known.

    Called as ``estimate(f, z, k)``, with ``f`` from ``[N, 4]`` to ``[N, 3]`` and float64 codes that
    are all the same, it should give ``[N, 3]`` numbers that are drawn independently for every code.
    Their mean is held against twice the sum of the squares off the diagonal, within five
    standard errors, for k of 2 and of 5.

    Args:
        estimate: The answer.
    """
    random = np.random.RandomState(FRESH_SEED)
    forms = torch.from_numpy(random.randn(3, 4, 4))
    forms = (forms + forms.transpose(1, 2)) / 2
    z = torch.from_numpy(random.randn(1, 4)).expand(DRAWS, 4)
    off = forms - torch.diag_embed(torch.diagonal(forms, dim1=1, dim2=2))
    truth = 2 * off.square().sum((1, 2))
    worst = 0.0
    for k in (2, 5):
        found = _call(estimate, lambda z: torch.einsum("ni,cij,nj->nc", z, forms / 2, z), z, k)
        if isinstance(found, str):
            return Verdict(False, np.nan, found)
        error = found.std(dim=0) / DRAWS**0.5
        if float(error.max()) == 0:
            return Verdict(False, np.nan, "Every code got the same number: draw signs for each.")
        ratio = float((found.mean(dim=0) / truth).mean())
        worst = max(worst, abs(ratio - 1))
        if bool(((found.mean(dim=0) - truth).abs() > 5 * error).any()):
            return Verdict(
                False,
                ratio,
                f"Biased: with k = {k} the mean of {DRAWS} estimates is {ratio:.3g} of the truth. "
                "Is the variance over k unbiased, and the second difference divided by the "
                "square of the step?",
            )
    return Verdict(
        True,
        worst,
        f"Unbiased: for k of 2 and of 5 the mean of {DRAWS} estimates is the sum of squares off "
        f"the diagonal, twice, within {worst:.1%}.",
    )


def _call(
    estimate: Callable[..., Any], form: Callable[[Tensor], Tensor], z: Tensor, k: int
) -> Tensor | str:
    """What the answer gives, ``[DRAWS, 3]``; or what is wrong with it."""
    if not callable(estimate):
        return f"Give a function estimate(f, z, k), not {type(estimate).__name__}."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(FRESH_SEED)
        found = estimate(form, z, k)
    if not isinstance(found, Tensor) or tuple(found.shape) != (DRAWS, 3):
        given = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        return f"For {DRAWS} codes and 3 outputs it gave {given}; give one number for each of both."
    if not bool(torch.isfinite(found).all()):
        return "It gave NaN or infinity."
    return found.detach().double()


@announce
def strongest_step(answer: Any, code: Latent, generator: Generator) -> Verdict:
    """Check whether a step is the one that changes a code's picture the most.

    Held against pictures alone: the whole Jacobian, column by column, from differences between
    rendered pictures. The answer must reach 95% of what the best step does.

    Args:
        answer: A vector ``[size]`` in the code's space, of any length and sign; or a Direction.
        code: One code.
        generator: Draws it.
    """
    size = code.data.shape[1]
    vector = torch.as_tensor(answer.vector if isinstance(answer, Direction) else answer).detach()
    vector = vector.double().flatten()
    if len(vector) != size or not bool(torch.isfinite(vector).all()) or not float(vector.norm()):
        return Verdict(False, np.nan, f"Give {size} finite numbers that are not all zero.")
    columns = _changes(torch.eye(size, dtype=torch.float64), code, generator)
    best = float(torch.linalg.svdvals(columns)[0])
    # Differences are linear in small steps, so that the columns tell what any step does.
    reached = float((vector / vector.norm() @ columns).norm())
    share = reached / best
    said = f"a step of length one moves the picture by {reached:.3g}, the best one by {best:.3g}."
    if share >= ENOUGH:
        return Verdict(True, share, f"Yes: {said}")
    return Verdict(False, share, f"Not yet: {said}")


@torch.no_grad()
def _changes(vectors: Tensor, code: Latent, generator: Generator) -> Tensor:
    """How pictures change for steps in rows, ``[k, numbers of the picture]``."""
    parts = []
    for some in vectors.split(32):
        steps = STEP * some.to(code.data)
        ahead, behind = (
            generator.render(code.with_data(code.data + way * steps)).double() for way in (1, -1)
        )
        parts.append((ahead - behind).flatten(1) / (2 * STEP))
    return torch.cat(parts).cpu()
