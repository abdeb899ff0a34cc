"""Laws that everything obeys that finds what units stand for."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import steerbench as sb
from steerbench.errors import LayerError, NotFoundError, PredictorError, SteerbenchError
from steerbench.methods import DISSECTORS
from tests.conftest import make_toy

LAYER = "b8.conv1"
NAMES = ("dark", "light", "left")


def read(images: Tensor) -> Tensor:
    """Labels by brightness, and a stripe at the left."""
    labels = (images.mean(1) > images.mean((1, 2, 3))[:, None, None]).long()
    labels[:, :, :3] = 2
    return labels


SEGMENTER = sb.predictor(read, NAMES)


@pytest.fixture(params=sorted(DISSECTORS))
def dissector(request: pytest.FixtureRequest) -> type:
    return DISSECTORS[request.param]


def make(dissector: type, segmenter=SEGMENTER, **options):
    return dissector(segmenter, **({"layer": LAYER, "n_samples": 10, "batch_size": 4} | options))


def test_hyperparameters_are_kept_as_given(dissector: type) -> None:
    given = {name: object() for name in inspect.signature(dissector).parameters}
    built = dissector(**given)
    assert all(getattr(built, name) is value for name, value in given.items())


def test_fit_returns_itself_and_leaves_the_generator_alone(dissector: type) -> None:
    generator = make_toy()
    latent = generator.sample(1)
    before = generator.render(latent)
    built = make(dissector)
    assert built.fit(generator) is built
    assert torch.equal(generator.render(latent), before)


def test_the_table_has_a_row_for_each_unit_and_concept(dissector: type) -> None:
    generator = make_toy()
    found = make(dissector).fit(generator)
    units = generator.find_layer(LAYER).channels
    assert len(found.units_) == units * len(NAMES)
    assert {"unit", "concept", "iou", "threshold"} <= set(found.units_.columns)
    assert found.units_["iou"].between(0, 1).all()
    assert len(found.labels_) == units
    best = found.best("light", 3)
    assert best["iou"].is_monotonic_decreasing
    assert best["iou"].iloc[0] == found.units_.query("concept == 'light'")["iou"].max()
    assert found.provenance_.fingerprint == generator.fingerprint


def test_thresholds_are_the_exact_quantile_and_top_pictures_the_right_ones(dissector: type) -> None:
    generator = make_toy()
    found = make(dissector, quantile=0.9, top=3).fit(generator)
    a = generator.capture(generator.sample(10), [LAYER])[LAYER]
    want = np.quantile(a.movedim(1, 0).flatten(1).double(), 0.9, axis=1)
    assert np.allclose(found.thresholds_, want, atol=1e-6)
    assert found.rank_error_ == 0
    peaks = a.amax((2, 3))
    for unit, rows in found.top_.groupby("unit"):
        assert list(rows["seed"]) == peaks[:, unit].argsort(descending=True)[:3].tolist()


def test_a_small_sketch_keeps_to_its_error_and_its_size(dissector: type, tmp_path) -> None:
    generator, sizes = make_toy(), []
    for n in (20, 80):
        path = tmp_path / f"{n}.safetensors"
        found = make(dissector, n_samples=n, quantile=0.9, capacity=128).fit(generator, state=path)
        a = generator.capture(generator.sample(n), [LAYER])[LAYER].movedim(1, 0).flatten(1)
        rank = (a.double() <= found.thresholds_[:, None]).double().mean(1)
        assert 0 < found.rank_error_ < 0.06
        assert ((rank - 0.9).abs() <= found.rank_error_ + 1 / a.shape[1]).all()
        sizes.append(path.stat().st_size)
    assert sizes[1] < 1.5 * sizes[0]


def test_it_is_deterministic_and_any_batch_gives_the_same(dissector: type) -> None:
    one, two, three = (make(dissector, batch_size=n).fit(make_toy()).units_ for n in (3, 3, 10))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    pd.testing.assert_frame_equal(one, three, atol=1e-5)


def test_it_recovers_a_planted_unit(dissector: type) -> None:
    """A generator one of whose units is the picture's brightness."""
    torch.manual_seed(0)
    draw = nn.Conv2d(6, 3, 1, bias=False)
    draw.weight.data = torch.zeros(3, 6, 1, 1)
    draw.weight.data[:, 4] = 1.0
    module = nn.Sequential(
        nn.Unflatten(1, (12, 1, 1)), nn.ConvTranspose2d(12, 6, 8), nn.Upsample(scale_factor=4), draw
    )
    generator = sb.wrap(module, latent_shape=(12,))
    light = sb.predictor(lambda x: (x.mean(1) > 0.4).long(), ["rest", "light"])
    found = dissector(light, layer="1", n_samples=60, quantile=0.9, interpolation="nearest").fit(
        generator
    )
    best = found.best("light", 2)
    assert best["unit"].iloc[0] == 4
    assert best["iou"].iloc[0] > 2 * best["iou"].iloc[1]


def test_workers_give_what_one_gives(dissector: type) -> None:
    generator = make_toy()
    whole, shared = make(dissector).fit(generator), make(dissector)
    parts = shared.split(3)
    surveys = [shared.survey(generator, part) for part in parts]
    thresholds = shared.thresholds(surveys[::-1])
    counts = [shared.count(generator, thresholds, part) for part in parts[::-1]]
    shared.join(generator, surveys[1:] + surveys[:1], counts)
    pd.testing.assert_frame_equal(shared.units_, whole.units_)
    pd.testing.assert_frame_equal(shared.top_, whole.top_)
    with pytest.raises(SteerbenchError, match="every part"):
        shared.thresholds(surveys[::2])
    with pytest.raises(SteerbenchError, match="every part"):
        shared.join(generator, surveys, counts[:2])


class Stopping:
    """The segmenter, until it has been asked so many times."""

    names, name = NAMES, "stopping"

    def __init__(self, after: int) -> None:
        self.left = after

    def predict(self, images: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return read(images)


def test_a_cancelled_run_leaves_everything_as_it_was(dissector: type, tmp_path) -> None:
    generator = make_toy()
    stopping = make(dissector, Stopping(after=1))
    with pytest.raises(KeyboardInterrupt):
        stopping.fit(generator)
    assert not [name for name in vars(stopping) if name.endswith("_")]
    fitted = make(dissector, Stopping(after=4)).fit(generator)
    before = fitted.units_.copy()
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(generator, state=tmp_path / "run.safetensors", save_every=0)
    pd.testing.assert_frame_equal(fitted.units_, before)
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_killed_run_goes_on_where_it_stopped(dissector: type, tmp_path, after: int) -> None:
    generator, path = make_toy(), tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        make(dissector, Stopping(after)).fit(generator, state=path, save_every=0)
    second = Stopping(after=3 - after)  # three batches in all: none is read twice
    resumed = make(dissector, second).fit(make_toy(), state=path)
    assert second.left == 0
    whole = make(dissector, Stopping(after=99)).fit(generator)
    pd.testing.assert_frame_equal(resumed.units_, whole.units_)
    pd.testing.assert_frame_equal(resumed.top_, whole.top_)


def test_the_file_of_another_run_is_refused_and_left_alone(dissector: type, tmp_path) -> None:
    path = tmp_path / "run.safetensors"
    make(dissector).fit(make_toy(), state=path)
    kept = path.read_bytes()
    for other, generator in ((make(dissector, quantile=0.5), 0), (make(dissector), 1)):
        with pytest.raises(SteerbenchError, match="quantile" if generator == 0 else "generator"):
            other.fit(make_toy(seed=generator), state=path)
    assert path.read_bytes() == kept


def test_a_concept_that_no_unit_matches_is_said_to_be_so(dissector: type) -> None:
    never = sb.predictor(read, [*NAMES, "unicorn"])
    found = make(dissector, never).fit(make_toy())
    assert (found.units_.query("concept == 'unicorn'")["iou"] == 0).all()
    with pytest.raises(NotFoundError, match="0 pixels"):
        found.best("unicorn")
    with pytest.raises(NotFoundError, match="light"):
        found.best("lihgt")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x.mean((2, 3)),
        lambda x: read(x)[:2],
        lambda x: read(x).double() / 2,
        lambda x: read(x) * torch.nan,
        lambda x: read(x) + 3,
        lambda x: None,
    ],
)
def test_a_segmenter_that_gives_something_else_is_refused(dissector: type, wrong) -> None:
    class Wrong:
        names = NAMES
        predict = staticmethod(wrong)

    for segmenter in (Wrong(), sb.predictor(wrong, NAMES)):
        with pytest.raises(PredictorError):
            make(dissector, segmenter).fit(make_toy())


def test_layers_and_options_that_cannot_be_are_refused(dissector: type) -> None:
    flat = nn.Sequential(
        nn.Unflatten(1, (8, 1, 1)), nn.Conv2d(8, 4, 1), nn.ConvTranspose2d(4, 3, 8)
    )
    with pytest.raises(LayerError, match="one place only"):
        make(dissector, layer="1").fit(sb.wrap(flat, latent_shape=(8,)))
    with pytest.raises(LayerError, match="b8"):
        make(dissector, layer="b8.conv7").fit(make_toy())
    with pytest.raises(SteerbenchError, match="quantile"):
        make(dissector, quantile=1.5).fit(make_toy())
    with pytest.raises(NotFoundError, match="light"):
        make(dissector, categories={"lihgt": "a"}).fit(make_toy())
    with pytest.raises(SteerbenchError, match="fit"):
        make(dissector).best("light")
