"""SeFa on plain matrices: what the equation says, exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.unsupervised.sefa import factorise
from tests.conftest import make_toy


def test_factorise_solves_the_eigenproblem_and_sorts_it() -> None:
    weights = torch.randn(40, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values, vectors = factorise(weights)
    rows = weights / weights.norm(dim=1, keepdim=True)
    gram = rows.T @ rows
    assert torch.allclose(gram @ vectors, vectors * values, atol=1e-12)
    assert (values.diff() <= 0).all()
    assert torch.allclose(vectors.T @ vectors, torch.eye(9, dtype=torch.float64), atol=1e-12)


def test_it_agrees_with_the_authors_recipe() -> None:
    """Columns of the transposed weights at unit norm, then numpy's general eigensolver."""
    weights = torch.randn(64, 12, generator=torch.Generator().manual_seed(2))
    columns = weights.T.numpy().astype(np.float64)
    columns /= np.linalg.norm(columns, axis=0, keepdims=True)
    theirs_values, theirs = np.linalg.eig(columns @ columns.T)
    order = np.argsort(-theirs_values)
    values, vectors = factorise(weights)
    assert np.allclose(values, theirs_values[order])
    cosines = np.abs((vectors.numpy() * theirs[:, order]).sum(0))
    assert np.allclose(cosines, 1)


def test_a_silent_output_does_not_break_it() -> None:
    weights = torch.cat([torch.zeros(2, 4), torch.eye(4)])
    assert torch.isfinite(factorise(weights)[0]).all()


def test_layers_select_the_weights_and_limit_the_directions() -> None:
    generator = make_toy()
    coarse = sb.SeFa(n_directions=2, layers="0-1").fit(generator)
    affine = torch.cat(
        [generator.network.synthesis.b4.conv1.affine.effective()[0],
         generator.network.synthesis.b8.conv0.affine.effective()[0]]
    )  # fmt: skip
    assert torch.allclose(coarse.eigenvalues_, factorise(affine)[0][:2])
    assert coarse.directions_[0].layers == (0, 1)
    moved = generator.sample(1, space="w") + coarse.directions_[0]
    assert moved.space == "w+"
    with pytest.raises(sb.errors.LayerError, match="0 to 5"):
        sb.SeFa(layers="0-17").fit(generator)


def test_the_last_row_stands_for_the_output_layer() -> None:
    generator = make_toy()
    last = generator.affine("w", [5])
    assert torch.equal(last, generator.network.synthesis.b16.torgb.affine.effective()[0])
