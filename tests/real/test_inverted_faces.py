"""Photographs of faces inverted into models that others trained, then aged and edited.

19 aligned faces at 256 pixels go into a DCGAN of 32 pixels by optimisation and through encoders and
decoders of VAEs of 64 pixels, each with the eyes where the model's own faces have them. Boundaries
of age and gender come from the recorded scores of the DCGAN's seeds; what the edits do is read from
pixels by a regression that learned the same scores from *pictures* of other seeds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

import steerbench as sb
from steerbench.inversion import (
    Initialisation,
    Inversion,
    OptimisationConfig,
    OutOfDomainWarning,
    PhotoFit,
    invert,
)
from steerbench.metrics import mse, ssim
from steerbench.studies.leaderboard import face_generator
from steerbench.supervised.boundaries import train_boundary
from tests.real.models import face_encoder, face_vae

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
TRAIN, READ = 2000, slice(2000, 3600)
STEP = 3.0
EYES = [(97, 118), (159, 118)]
"""Where the photographs have them, in pixels."""
IN_DCGAN, IN_VAE = [(0.31, 0.51), (0.67, 0.51)], [(0.395, 0.51), (0.585, 0.51)]
"""Where the mean faces of the models have them, in shares."""


@pytest.fixture(scope="module")
def photographs(shared_path: Callable[[str], Path]) -> list[Path]:
    return sorted(shared_path("real/faces-256").glob("*.png"))


@pytest.fixture(scope="module")
def faces(shared_path) -> sb.generators.BaseGenerator:
    return face_generator(shared_path("real/celeba-dcgan-32"))


@pytest.fixture(scope="module")
def scored(shared_path) -> dict[str, np.ndarray]:
    with np.load(shared_path("real/celeba-dcgan-32") / "attribute_scores.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def inverted(faces, photographs) -> Inversion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfDomainWarning)
        return invert(
            faces,
            photographs,
            init=Initialisation(n_samples=100),
            config=OptimisationConfig(n_steps=80, batch_size=19),
            photo=PhotoFit(align=(EYES, IN_DCGAN)),
        )


@pytest.fixture(scope="module")
def directions(faces, scored) -> dict[str, sb.Direction]:
    found = {}
    for name, column in (("age", "age_years"), ("male", "male_logit")):
        normal = train_boundary(scored["z"][:TRAIN], scored[column][:TRAIN], chosen=0.3)
        vector = normal.boundary.normal
        scale = faces.prior_std("z", vector)
        found[name] = sb.Direction(name, "z", vector, scale, generator=faces.fingerprint)
    found["age at fixed gender"] = found["age"].condition(on=[found["male"]])
    return found


@pytest.fixture(scope="module")
def read(faces, scored) -> Callable[[Tensor], np.ndarray]:
    """Age in years and the logit of "male", from pictures ``[N, 3, 32, 32]``."""
    pixels = lambda x: sb.image.resize(x, 16).flatten(1).numpy()  # noqa: E731
    codes = faces.latent(scored["z"][READ].astype(np.float32))
    pictures = torch.cat([faces.render(codes[i : i + 200]) for i in range(0, len(codes), 200)])
    truth = np.stack([scored["age_years"], scored["male_logit"]], 1)[READ]
    given = pixels(pictures)
    half = len(given) * 3 // 4
    model = Ridge(30.0).fit(given[:half], truth[:half])
    told = model.predict(given[half:])
    right = [np.corrcoef(a, b)[0, 1] for a, b in zip(told.T, truth[half:].T)]
    print(f"the reader on held-out seeds: correlation {right[0]:.2f} (age), {right[1]:.2f} (male)")
    assert min(right) > 0.5
    return lambda images: model.predict(pixels(images))


def keep(images: Tensor, columns: int, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    sheet = sb.image.grid(sb.image.enlarge(images.clamp(-1, 1), 2), columns=columns)
    sb.image.save(sheet[None], ARTIFACTS / name)


def test_faces_are_found_in_a_dcgan(faces, inverted):
    options = {"init": Initialisation("nearest", n_samples=100), "n_steps": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfDomainWarning)
        nearest = invert(faces, inverted.wanted, **options)
    means = [float(found.report["mse"].mean()) for found in (nearest, inverted)]
    print(f"MSE: nearest of 100 samples {means[0]:.4f}, found {means[1]:.4f}")
    print(inverted.report.round(4).describe().loc[["mean", "min", "max"]])
    assert inverted.latent.data.abs().max() <= 1
    assert (inverted.report["mse"] < 0.8 * nearest.report["mse"]).all()
    assert inverted.report["mse"].mean() < 0.4 * nearest.report["mse"].mean()
    assert inverted.report["ssim"].mean() > 0.4


def test_eyes_where_the_model_has_them_make_a_picture_easier(faces, photographs, inverted):
    options = {"init": Initialisation("mean", n_samples=8), "n_steps": 15}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfDomainWarning)
        centred = invert(faces, photographs[:8], **options)
        aligned = invert(faces, photographs[:8], photo=PhotoFit(align=(EYES, IN_DCGAN)), **options)
    print("MSE centred, aligned:", centred.report["mse"].mean(), aligned.report["mse"].mean())
    assert aligned.report["mse"].mean() < 0.8 * centred.report["mse"].mean()


def test_they_age_and_cross_the_gender_boundary(faces, inverted, directions, read):
    before, rows = read(inverted.images), [inverted.wanted, inverted.images]
    changes = {}
    for name, direction in directions.items():
        for alpha in (-STEP, STEP):
            edited = faces.render(inverted.latent + alpha * direction)
            rows.append(edited)
            changes[name, alpha] = (read(edited) - before).mean(0)
            print(f"{alpha:+.0f} steps of {name}: {changes[name, alpha].round(2)} (years, logit)")
    keep(torch.cat(rows), 19, "faces-in-a-dcgan.png")
    assert changes["age", STEP][0] > 3
    assert changes["age", -STEP][0] < -3
    assert changes["male", STEP][1] > 1
    assert changes["male", -STEP][1] < -1
    fixed, plain = changes["age at fixed gender", STEP], changes["age", STEP]
    assert fixed[0] > 1
    assert abs(fixed[1]) < abs(plain[1])


@pytest.mark.parametrize("model", ["VAE_celeba", "btcvae_celeba"])
def test_faces_are_encoded_and_decoded_by_vaes(shared_path, photographs, model):
    folder = shared_path(f"real/disentangling-vae/{model}")
    vae = sb.wrap(face_vae(folder), latent_shape=(10,), pixels=(0, 1), name=model)
    encoder = face_encoder(folder)
    init = Initialisation("encoder", n_samples=32, encoder=encoder)
    options = {"init": init, "photo": PhotoFit(align=(EYES, IN_VAE))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfDomainWarning)
        guess = invert(vae, photographs, n_steps=0, **options)
        config = OptimisationConfig(n_steps=40, batch_size=19)
        refined = invert(vae, photographs, config=config, **options)
    mean = vae.render(vae.latent(torch.zeros(1, 10))).expand(19, -1, -1, -1)
    scores = [mse(x, guess.wanted).mean() for x in (mean, guess.images, refined.images)]
    print(model, "mean code, encoder, hybrid:", [f"{float(x):.4f}" for x in scores])
    assert scores[1] < 0.6 * scores[0]
    assert scores[2] < scores[1]
    assert ssim(guess.images, guess.wanted).mean() > 0.25
    keep(torch.cat([guess.wanted, guess.images, refined.images]), 19, f"faces-in-{model}.png")
