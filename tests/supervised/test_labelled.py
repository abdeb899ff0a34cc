"""A direction from labels: a planted one is found, and chance is called chance."""

from __future__ import annotations

import numpy as np
import pytest

from steerbench.errors import SpaceError, SteerbenchError
from steerbench.supervised.boundaries.labelling import LabelledDirection, judge


def planted(generator, n: int, first: int = 0) -> tuple[dict[int, bool], np.ndarray]:
    """Labels of seeds by the side of a plane through the middle of z, and the plane's normal."""
    normal = np.random.default_rng(7).standard_normal(generator.spaces["z"].shape)
    codes = generator.sample(n, seed=first).data.numpy()
    return {first + i: bool(c @ normal > 0) for i, c in enumerate(codes)}, normal


def test_more_labels_bring_the_boundary_nearer_to_the_planted_one(toy_generator) -> None:
    cosines = []
    for n in (12, 60, 400):
        labels, normal = planted(toy_generator, n)
        found = LabelledDirection(labels, "z").fit(toy_generator)
        vector = found.direction_.vector.numpy()
        cosines.append(float(vector @ normal / np.linalg.norm(normal)))
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.97
    assert found.evidence_.enough
    assert found.evidence_.accuracy > 0.9


def test_labels_without_meaning_are_not_enough_evidence(toy_generator) -> None:
    enough = 0
    for seed in range(10):
        answers = np.random.default_rng(seed).random(30) < 0.5
        labels = {i: bool(has) for i, has in enumerate(answers)}
        found = LabelledDirection(labels, seed=seed).fit(toy_generator)
        enough += found.evidence_.enough
        assert found.evidence_.enough or "Not enough evidence" in str(found.evidence_)
    assert enough <= 1


def test_it_asks_about_unlabelled_pictures_near_the_boundary(toy_generator) -> None:
    labels, _ = planted(toy_generator, 40)
    found = LabelledDirection(labels, "z").fit(toy_generator)
    asked = found.suggest(5, range(200))
    assert not set(asked) & set(labels)
    others = [each for each in range(40, 200) if each not in asked]
    assert np.abs(found.margins(asked)).max() <= np.abs(found.margins(others)).min()


def test_margins_are_of_the_side_that_labels_name(toy_generator) -> None:
    labels, _ = planted(toy_generator, 200)
    found = LabelledDirection(labels, "z").fit(toy_generator)
    fresh, _ = planted(toy_generator, 200, first=1000)
    right = (found.margins(fresh) > 0) == np.array(list(fresh.values()))
    assert right.mean() > 0.9


def test_it_is_deterministic_and_says_where_it_came_from(toy_generator) -> None:
    labels, _ = planted(toy_generator, 30)
    one, two = (LabelledDirection(labels, name="left").fit(toy_generator) for _ in range(2))
    assert one.direction_.vector.equal(two.direction_.vector)
    assert one.evidence_ == two.evidence_
    provenance = one.direction_.provenance
    assert provenance.n_samples == 30
    assert sorted(provenance.hyperparameters["labels"]["yes"]) == [k for k in labels if labels[k]]
    assert one.direction_.scale == pytest.approx(
        toy_generator.prior_std("w", one.direction_.vector)
    )


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({}, "two of each"),
        ({0: True}, "two of each"),
        ({0: True, 1: True, 2: True, 3: True}, "two of each"),
        ({0: 1, 1: 0, 2: 1, 3: 0}, "Give True"),
        ({"a": True}, "seed"),
        ({-1: True, 0: False}, "seed"),
    ],
)
def test_mistakes_are_explained(toy_generator, labels, says: str) -> None:
    with pytest.raises(SteerbenchError, match=says):
        LabelledDirection(labels).fit(toy_generator)


def test_a_space_that_does_not_exist_is_named(toy_generator) -> None:
    labels, _ = planted(toy_generator, 10)
    with pytest.raises(SpaceError):
        LabelledDirection(labels, "q").fit(toy_generator)


def test_one_label_of_a_kind_cannot_be_tried_out() -> None:
    evidence = judge(np.eye(4), np.array([True, False, False, False]))
    assert not evidence.enough
    assert np.isnan(evidence.accuracy)
