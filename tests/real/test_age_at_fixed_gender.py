"""Age of real GAN faces at fixed gender, judged by a network that took no part in it.

The boundaries come from the recorded scores of 3,000 seeds. The judge, a small network, learned the
same scores from the *pictures* of these seeds; how well it reads is checked on the other 1,000, and
what the edits do on faces that neither has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.seeds import Codes
from steerbench.studies.leaderboard import face_generator
from steerbench.supervised.boundaries import train_boundary
from steerbench.supervised.boundaries.entanglement import cosines

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
TRAIN, EPOCHS, STEP = 3000, 10, 3.0


@pytest.fixture(scope="module")
def faces(shared_path: Callable[[str], Path]) -> sb.generators.BaseGenerator:
    return face_generator(shared_path("real/celeba-dcgan-32"))


@pytest.fixture(scope="module")
def scored(shared_path: Callable[[str], Path]) -> dict[str, np.ndarray]:
    with np.load(shared_path("real/celeba-dcgan-32") / "attribute_scores.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def boundaries(faces, scored) -> dict[str, sb.Direction]:
    found = {}
    for name, column in (("age", "age_years"), ("male", "male_logit")):
        trained = train_boundary(scored["z"][:TRAIN], scored[column][:TRAIN], chosen=0.3)
        print(f"{name}: held-out accuracy of the ends {trained.accuracy:.3f}")
        vector = trained.boundary.normal
        scale = faces.prior_std("z", vector)
        found[name] = sb.Direction(name, "z", vector, scale, generator=faces.fingerprint)
    return found


@pytest.fixture(scope="module")
def judge(faces, scored) -> Any:
    """A small network, trained for some ten seconds on pictures of the first seeds."""
    with torch.no_grad():
        pictures = torch.cat([faces.render(faces.sample(100, seed=i)) for i in range(0, 4000, 100)])
    truth = torch.from_numpy(np.stack([scored["age_years"], scored["male_logit"]], axis=1)).float()
    mean, std = truth[:TRAIN].mean(0), truth[:TRAIN].std(0)
    network = _trained(pictures[:TRAIN], (truth[:TRAIN] - mean) / std)
    read = sb.predictor(
        lambda x: network(x) * std + mean, names=["age", "male"], units=["years", "logit"]
    )
    told = read.predict(pictures[TRAIN:])
    pairs = zip(told.T.numpy(), truth[TRAIN:].T.numpy())
    read.correlations = [float(np.corrcoef(a, b)[0, 1]) for a, b in pairs]
    print("held-out correlations of the judge with the recorded age and gender:", read.correlations)
    return read


def _trained(pictures: torch.Tensor, targets: torch.Tensor) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths, layers = (3, 24, 48, 64), []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 16, 2))
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
        steps = EPOCHS * -(-len(pictures) // 64)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(pictures)).split(64):
                x = pictures[rows]
                mirrored = torch.rand(len(x), 1, 1, 1) < 0.5
                x = torch.where(mirrored, x.flip(3), x)
                loss = (network(x) - targets[rows]).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                rate.step()
    return network.eval()


def test_the_judge_reads_faces_that_it_has_not_seen(judge) -> None:
    age, male = judge.correlations
    assert age > 0.7
    assert male > 0.8


def test_age_changes_at_fixed_gender(faces, boundaries, judge) -> None:
    age, male = boundaries["age"], boundaries["male"]
    print("cosine of the two boundaries:", cosines([age, male]).loc["age", "male"])
    fixed = age.condition(on=[male]).named("age at fixed gender")
    opposite = male.condition(on=[age]).named("gender at fixed age")
    edits = [age, fixed, male, opposite]
    options = {"seed": 20_000, "pictures": Codes.FREE, "alpha": STEP}
    found = sb.rescore(edits, faces, judge, n_samples=200, **options)
    print(found.table.round(2), found.in_spreads.round(2), sep="\n")
    for name in found.directions:
        print(name, {a: found.effect(name, a) for a in found.attributes})
    plain, kept = found.leakage("age", "age", "male"), found.leakage(fixed.name, "age", "male")
    print("leakage of gender into age, before and after:", plain, kept)
    assert found.effect(fixed.name, "age")["low"] > 1.0
    assert abs(kept["mean"]) < 0.5 * plain["mean"]
    many = faces.sample(200, seed=20_000)
    for alpha in (-STEP, 0.0, STEP):
        mean = judge.predict(faces.render(many + alpha * fixed)).mean(0)
        print(f"{alpha:+.0f} steps at fixed gender: {mean[0]:.1f} years, male logit {mean[1]:+.2f}")
    codes = faces.sample(8, seed=20_000)
    rows = [faces.render(codes + alpha * fixed) for alpha in (-STEP, 0.0, STEP)]
    sheet = sb.image.grid(sb.image.enlarge(torch.cat(rows), 3), columns=8)
    ARTIFACTS.mkdir(exist_ok=True)
    sb.image.save(sheet[None], ARTIFACTS / "celeba-dcgan-age-at-fixed-gender.png")
