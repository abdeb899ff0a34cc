"""The table of space metrics on a generator whose spaces are known."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

import steerbench as sb
from steerbench.errors import NotFoundError, PredictorError, SpaceError, SteerbenchError
from steerbench.metrics import space_metrics
from steerbench.metrics.separability import conditional_entropy, separability, surest
from steerbench.metrics.space_sets import coordinates, read_sets


class Turned(torch.nn.Module):
    """Pictures of four pixels: the codes, turned or as they are."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        plain = torch.eye(4)
        matrix = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))[0]
        self.register_buffer("matrix", matrix if turned else plain)

    def forward(self, z):
        return (z @ self.matrix).reshape(-1, 1, 2, 2) * 0.2


def generator(turned: bool):
    return sb.wrap(Turned(turned), latent_shape=(4,), pixels=(-1, 1), name=f"turned {turned}")


@pytest.fixture
def reader():
    return sb.predictor(lambda x: x.flatten(1), names=list("abcd"))


def test_axes_of_the_attributes_are_disentangled_and_turned_ones_are_not(reader):
    straight, turned = (
        space_metrics(
            generator(t), reader, n_samples=500, repeats=2, paths=8, null=False
        ).set_index("metric")["value"]
        for t in (False, True)
    )
    for metric in ("disentanglement", "completeness", "mig", "sap", "disentanglement (lasso)"):
        assert straight[metric] > turned[metric] + 0.2, metric
    assert straight["disentanglement"] > 0.9
    # A hyperplane does not mind a turn.
    assert straight["separability"] == pytest.approx(turned["separability"], rel=0.2)


def test_shuffled_readings_stand_beside(reader):
    table = space_metrics(
        generator(False), reader, n_samples=800, metrics=["dci_lasso", "mig", "sap"]
    )
    assert (table["value"] > table["null_high"]).sum() >= 4
    informative = table.set_index("metric").loc["informativeness (lasso)"]
    assert informative["value"] > 0.95
    assert informative["null"] == pytest.approx(0.5, abs=0.1)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    assert table.attrs["attributes"] == list("abcd")


def test_the_seed_decides(reader):
    first, again, other = (
        space_metrics(generator(True), reader, n_samples=200, repeats=2, metrics=["mig"], seed=seed)
        for seed in (0, 0, 5000)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first["value"].equals(other["value"])


def test_all_spaces_of_a_style_based_generator_and_the_whitened_one():
    rooms = sb.load("rooms")
    latent = rooms.sample(300, seed=5)
    white = coordinates(rooms, latent, "pn")
    assert white.shape == (300, 128)
    assert white.mean(0).abs().max() < 0.35
    assert white.var(0).mean() == pytest.approx(1, abs=0.1)
    assert coordinates(rooms, latent, "s").shape == (300, 1408)
    reader = sb.predictor(lambda x: x.mean((2, 3)), names=["r", "g", "b"])
    seen: list[int] = []
    table = space_metrics(
        rooms,
        reader,
        n_samples=100,
        repeats=2,
        metrics="sap",
        after_space=lambda t: seen.append(len(t)),
    )
    assert table["space"].tolist() == ["z", "w", "s", "p", "pn"]
    assert seen == [1, 2, 3, 4, 5]


def test_figures_stay_numbers_where_a_space_has_no_paths():
    rooms = sb.load("rooms")
    reader = sb.predictor(lambda x: x.mean((2, 3)), names=["r", "g", "b"])
    reader.features = lambda x: x.mean((2, 3))
    table = space_metrics(
        rooms,
        reader,
        ["z", "pn"],
        n_samples=100,
        repeats=2,
        metrics=["mig", "path_length"],
        paths=2,
    )
    assert table["metric"].tolist() == ["mig", "path_length", "mig"]
    assert all(table[column].dtype == float for column in ("value", "low", "high", "null"))


def test_log_odds_are_taken_where_there_are_some():
    class Surely:
        names, units = ("a", "b"), ("probability", "probability")

        def predict(self, images):
            return (images.flatten(1)[:, :2] > 0).float()

        def logits(self, images):
            return images.flatten(1)[:, :2] * 100

    _, margins, names = read_sets(generator(False), Surely(), 60, 2, 0, None)
    assert names == ["a", "b"]
    assert margins.unique().numel() > 100


def test_rare_attributes_are_left_out(reader):
    rare = sb.predictor(
        lambda x: torch.stack([x[:, 0, 0, 0], x[:, 0, 0, 1], 0 * x[:, 0, 0, 0]], 1),
        names=["a", "b", "never"],
    )
    table = space_metrics(generator(False), rare, n_samples=200, repeats=2, metrics=["mig"])
    assert table.attrs["attributes"] == ["a", "b"]
    with pytest.raises(PredictorError, match="at least 2"):
        space_metrics(
            generator(False), rare, n_samples=200, attributes=["a", "never"], metrics=["mig"]
        )


def test_what_does_not_exist_is_refused(reader):
    with pytest.raises(SpaceError, match="'z'"):
        space_metrics(generator(False), reader, ["w"])
    with pytest.raises(NotFoundError, match="mig"):
        space_metrics(generator(False), reader, metrics=["migg"])
    with pytest.raises(NotFoundError, match="'a'"):
        space_metrics(generator(False), reader, attributes=["aa"], n_samples=200)
    with pytest.raises(SteerbenchError, match="at least 2 sets"):
        space_metrics(generator(False), reader, n_samples=200, repeats=1)


def test_separability_of_what_a_plane_parts_and_of_what_it_does_not():
    codes = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))
    told = separability(codes, codes)
    assert told.value == pytest.approx(1, abs=0.3)
    ring = (codes.square().sum(1) - 2.4)[:, None]
    left = separability(codes, ring)
    assert left.bits[0] > 0.95
    assert left.value == pytest.approx(2 ** left.bits[0])
    shuffled = separability(codes, codes.flip(0))
    assert sum(shuffled.bits) > 2.9


def test_held_out_codes_show_what_was_learned_by_heart():
    random = torch.Generator().manual_seed(1)
    codes, noise = torch.randn(200, 150, generator=random), torch.randn(200, 1, generator=random)
    assert separability(codes, noise, held_out=False, c=1.0).accuracy[0] > 0.95
    assert separability(codes, noise, c=1.0).accuracy[0] < 0.7


def test_conditional_entropy_by_hand():
    assert conditional_entropy([[1, 3], [0, 4]]) == pytest.approx(0.5 * 0.8112781245, abs=1e-9)
    assert conditional_entropy([[5, 5], [0, 0]]) == pytest.approx(1)


def test_the_surest_of_each_side():
    margin = torch.tensor([0.1, 5, 3, 0.2, -0.1, -9])
    assert surest(margin, 0.5).tolist() == [1, 2, 5]
