"""Generators that other people trained on faces, wrapped, sampled and steered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

import steerbench as sb
from steerbench.studies.leaderboard import face_generator
from tests.real.models import face_vae

ARTIFACTS = Path(__file__).parents[2] / "artifacts"


@pytest.fixture(scope="module")
def faces(shared_path: Callable[[str], Path]) -> sb.generators.BaseGenerator:
    return face_generator(shared_path("real/celeba-dcgan-32"))


@pytest.fixture(scope="module")
def scores(shared_path: Callable[[str], Path]) -> dict[str, np.ndarray]:
    with np.load(shared_path("real/celeba-dcgan-32") / "attribute_scores.npz") as file:
        return dict(file)


def test_its_layers_are_found_and_named(faces) -> None:
    names = [layer.name for layer in faces.layers]
    assert names == [f"generator_deconv.{i}.0" for i in range(5)]
    assert faces.resolution == 32
    assert (faces.layers[0].channels, faces.layers[0].height) == (256, 4)


def test_its_latents_are_the_ones_that_were_scored(faces, scores) -> None:
    assert np.array_equal(faces.sample(4).data.numpy(), scores["z"][:4])


def test_its_faces_are_kept_for_people_to_see(faces) -> None:
    pictures = faces.render(faces.sample(32))
    assert -1 <= pictures.min() < -0.8 < 0.8 < pictures.max() <= 1
    # Skin: red over green over blue in the middle of nearly every face.
    middle = pictures[:, :, 12:22, 12:20].mean(dim=(2, 3))
    assert (middle[:, 0] > middle[:, 2]).float().mean() > 0.9
    sb.image.save(sb.image.enlarge(pictures, 3), ARTIFACTS / "celeba-dcgan.png")


def test_sefa_steers_it(faces) -> None:
    directions = sb.SeFa(n_directions=4).fit(faces).directions_
    latent = faces.sample(8)
    rows = [faces.render(latent + alpha * directions[0]) for alpha in (-6, -3, 0, 3, 6)]
    sb.image.save(
        sb.image.grid(sb.image.enlarge(torch.cat(rows), 3), columns=8)[None],
        ARTIFACTS / "celeba-dcgan-sefa-1.png",
    )
    changes = [float((row - rows[2]).abs().mean()) for row in rows]
    assert changes[0] > changes[1] > 0.02 < changes[3] < changes[4]


def test_a_linear_boundary_predicts_the_score_and_steers_it(faces, scores) -> None:
    z, logit = scores["z"].astype(np.float64), scores["male_logit"]
    model = RidgeCV(alphas=np.logspace(-1, 4, 20)).fit(z[:1500], logit[:1500])
    correlation = np.corrcoef(model.predict(z[1500:]), logit[1500:])[0, 1]
    print(f"held-out correlation of the boundary with male_logit: {correlation:.3f}")
    assert correlation == pytest.approx(0.77, abs=0.03)

    vector = torch.from_numpy(model.coef_ / np.linalg.norm(model.coef_))
    male = sb.Direction(
        "male", "z", vector, scale=faces.prior_std("z", vector), generator=faces.fingerprint
    )
    latent = faces.sample(8, seed=100)
    rows = [faces.render(latent + float(alpha) * male) for alpha in (-5, -2.5, 0, 2.5, 5)]
    sb.image.save(
        sb.image.grid(sb.image.enlarge(torch.cat(rows), 3), columns=8)[None],
        ARTIFACTS / "celeba-dcgan-male.png",
    )
    moved = (latent + 5.0 * male).data.double().numpy()
    assert (model.predict(moved) > model.predict(latent.data.double().numpy()) + 1).all()


def test_a_vae_is_wrapped_the_same_way(shared_path) -> None:
    module = face_vae(shared_path("real/disentangling-vae/VAE_celeba"))
    vae = sb.wrap(module, latent_shape=(10,), pixels=(0, 1), name="celeba-vae")
    assert vae.resolution == 64
    assert len(vae.layers) == 4
    pictures = vae.render(vae.sample(16))
    assert pictures.min() >= -1
    assert pictures.max() > 0.4 > -0.4 > pictures.min()
    sb.image.save(sb.image.enlarge(pictures, 2), ARTIFACTS / "celeba-vae.png")
    direction = sb.SeFa(n_directions=1).fit(vae).directions_[0]
    latent = vae.sample(4)
    assert (vae.render(latent + 3.0 * direction) - vae.render(latent)).abs().mean() > 0.02
