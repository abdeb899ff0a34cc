"""What goes with a generator: found by fingerprint, stated strictly, made for an own model."""

from __future__ import annotations

import ast
import functools
import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench import assets, bundles
from steerbench.embedding.styleclip import layout_of
from steerbench.errors import BundleError, CapabilityError
from steerbench.inversion import Initialisation, ReconstructionLossConfig
from steerbench.inversion.encoders import encoder_for
from steerbench.training.export import state_fingerprint
from tests.conftest import make_toy

SOURCE = assets.ROOT / "rooms"
EMBEDDED = assets.names("generators")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file that it names, empty: reading a bundle loads none of them."""
    shutil.copy(SOURCE / assets.DOCUMENT, tmp_path)
    for path in SOURCE.glob("*.safetensors"):
        (tmp_path / path.name).touch()
    return tmp_path


def change(folder: Path, **keys: object) -> Path:
    path = folder / assets.DOCUMENT
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | keys))
    return folder


@pytest.fixture
def own(monkeypatch):
    """A generator of one's own, and what is known of others left as it was."""
    monkeypatch.setattr(bundles, "_KNOWN", {})
    monkeypatch.setattr(bundles, "_WARNED", set())
    return make_toy(seed=77)


def brightness(images):
    return images.mean((1, 2, 3))


def reader(name: str = "brightness"):
    return sb.predictor(lambda x: brightness(x), names=[name])


# -- the embedded ones ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_embedded_generator_has_the_stated_fingerprint_and_a_bundle(name) -> None:
    generator = sb.load(name)
    found = sb.bundle(generator)
    assert found.fingerprints == (generator.fingerprint,)
    assert found.name == "rooms"
    assert sb.bundle(generator) is found


def test_a_bundle_loads_what_is_asked_for_and_that_once(rooms) -> None:
    found = sb.bundle(rooms)
    assert found.reader is found.reader
    assert (found.reader.name, found.judge.name) == ("rooms-attributes", "rooms-attributes-2")
    assert found.segmenter.names == found.second_segmenter.names == found.world.class_names
    assert (found.clip.name, found.second_clip.name) == ("rooms-clip", "rooms-clip-2")
    assert found.reader is sb.bundle(sb.load("rooms-dcgan")).reader


def test_what_an_embedded_bundle_states_is_true(rooms) -> None:
    found = sb.bundle(rooms)
    assert set(found.layout) <= set(found.reader.names)
    assert not any(found.clip.unknown_words(text) for text in (found.neutral, *found.examples))
    assert encoder_for(rooms).generator == rooms.fingerprint
    assert found.channels.is_file()
    for name in set(EMBEDDED) - {"rooms"}:
        other = sb.bundle(sb.load(name))
        assert (other.encoder, other.channels) == (None, None)


def test_a_renamed_model_keeps_its_bundle_and_a_namesake_gets_none(tmp_path) -> None:
    path = tmp_path / "mine.safetensors"
    shutil.copy(assets.path("generators", "rooms"), path)
    assert sb.bundle(sb.load(path)).name == "rooms"
    namesake = make_toy(seed=5)
    namesake.name = "rooms"
    assert sb.bundle(namesake) is None


def test_every_file_of_a_folder_is_listed_and_has_a_card() -> None:
    for folder in assets.folders().values():
        listed = {
            path for kind in ("generators", *assets.FILES) for path in folder.models(kind).values()
        }
        assert listed == set((assets.ROOT / folder.name).glob("*.safetensors"))
        assert all(path.with_suffix(".md").is_file() for path in listed)


# -- bundle.json, strictly ------------------------------------------------------------------------


def test_a_sound_folder_is_read_without_loading_anything(folder) -> None:
    found = assets.read(folder)
    assert tuple(found.generators) == EMBEDDED
    assert found.parts["judge"] == "rooms-attributes-2"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"raeder": "x"}, "unknown key 'raeder'. Did you mean 'reader'"),
        ({"judge": "rooms-attributes"}, "'reader' and for 'judge'.*name a second one"),
        ({"reader": "rooms-atributes"}, "none of its predictors. Did you mean 'rooms-attributes"),
        (
            {"predictors": {"rooms-attributes": "gone.safetensors"}},
            "no such file.*take the entry out",
        ),
        ({"predictors": ["x"]}, "give an object"),
        ({"layout": "yaw"}, "give a list"),
        ({"examples": [1]}, "give a text"),
        ({"generators": None}, "give an object"),
        ({"generators": {"g": {"file": "rooms-dcgan.safetensors"}}}, "lacks the key 'fingerprint'"),
        (
            {
                "generators": {
                    "g": {"file": "rooms-dcgan.safetensors", "fingerprint": "f", "seed": 1}
                }
            },
            "'g', has the unknown key 'seed'. Did you mean 'seeds'",
        ),
    ],
)
def test_a_bad_document_says_what_to_do(folder, keys, says) -> None:
    with pytest.raises(BundleError, match=says):
        assets.read(change(folder, **keys))


def test_no_document_and_no_json_are_refused(tmp_path) -> None:
    with pytest.raises(BundleError, match=r"There is no .*Write one like"):
        assets.read(tmp_path)
    (tmp_path / assets.DOCUMENT).write_text("{")
    with pytest.raises(BundleError, match=r"no JSON.*Repair it"):
        assets.read(tmp_path)


def test_a_wrong_fingerprint_is_noticed_when_the_generator_is_loaded(tmp_path, monkeypatch) -> None:
    (tmp_path / "rooms").mkdir()
    for path in SOURCE.glob("*.safetensors"):
        (tmp_path / "rooms" / path.name).symlink_to(path)
    shutil.copy(SOURCE / assets.DOCUMENT, tmp_path / "rooms")
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    monkeypatch.setattr(assets, "folders", functools.cache(assets.folders.__wrapped__))
    assets.state(tmp_path / "rooms", {"rooms-dcgan": {"fingerprint": "0" * 16}})
    with pytest.raises(BundleError, match=r"python -m steerbench.training fingerprints"):
        sb.load("rooms-dcgan")
    assert sb.load("rooms-eigengan").name == "rooms-eigengan"
    state_fingerprint(tmp_path / "rooms" / "rooms-dcgan.safetensors")
    assert sb.load("rooms-dcgan").name == "rooms-dcgan"
    written = (tmp_path / "rooms" / assets.DOCUMENT).read_text()
    assert written == (SOURCE / assets.DOCUMENT).read_text()


# -- one's own ------------------------------------------------------------------------------------


def test_a_bundle_of_ones_own_is_found_and_the_latest_counts(own) -> None:
    assert sb.bundle(own) is None
    first = sb.Bundle(own, name="mine", reader=reader(), judge=reader(), layout=["brightness"])
    assert sb.bundle(own) is first
    assert first.fingerprints == (own.fingerprint,)
    assert (first.layout, first.clip) == (("brightness",), None)
    second = sb.Bundle(own, neutral="a toy")
    assert sb.bundle(own) is second


def test_one_bundle_may_go_with_several_generators_and_with_none(own) -> None:
    other = make_toy(seed=78)
    shared = sb.Bundle((own, other), reader="rooms-attributes")
    assert sb.bundle(own) is sb.bundle(other) is shared
    assert shared.reader.name == "rooms-attributes"
    assert sb.Bundle(neutral="a toy").fingerprints == ()


def test_what_is_no_part_is_refused(own) -> None:
    one = reader()
    with pytest.raises(BundleError, match="same network was given as reader and as judge"):
        sb.Bundle(own, reader=one, judge=one)
    oracle = sb.predictor("rooms-attributes")
    with pytest.raises(BundleError, match="same network"):
        sb.Bundle(own, reader=oracle, judge=oracle.only(["yaw"]))
    with pytest.raises(BundleError, match="same network"):
        sb.Bundle(own, segmenter="rooms-segmenter", second_segmenter="rooms-segmenter")
    with pytest.raises(BundleError, match=r"give a predictor, as sb.predictor"):
        sb.Bundle(own, reader=brightness)
    with pytest.raises(BundleError, match=r"give a CLIP, as sb.clip"):
        sb.Bundle(own, clip=one)
    with pytest.raises(BundleError, match="reads no 'size' of the layout"):
        sb.Bundle(own, reader=one, layout=["size"])
    with pytest.raises(BundleError, match="Give reader= too"):
        sb.Bundle(own, layout=["size"])
    with pytest.raises(BundleError, match="give a list"):
        sb.Bundle(own, examples="a toy")
    with pytest.raises(BundleError, match="give a generator"):
        sb.Bundle(one)
    assert sb.bundle(own) is None


def test_a_generator_without_weights_cannot_be_known() -> None:
    class Still(nn.Module):
        def forward(self, z):
            return z.view(-1, 1, 2, 2)

    with pytest.raises(BundleError, match="no weights"):
        sb.Bundle(sb.wrap(Still(), latent_shape=(4,)))


# -- defaults -------------------------------------------------------------------------------------


def test_a_default_without_a_bundle_is_off_and_says_so_once(own) -> None:
    images = own.render(own.sample(1))
    options = {"n_steps": 1, "init": Initialisation(n_samples=4)}
    with pytest.warns(
        bundles.BundleWarning, match=r"No reader is known for 'toy-77'.*sb.Bundle"
    ) as w:
        sb.invert(own, images, **options)
    assert w[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", bundles.BundleWarning)
        sb.invert(own, images, **options)
    with pytest.warns(bundles.BundleWarning, match="No layout is known"):
        assert layout_of(own) is None


def test_a_default_that_cannot_do_without_refuses(own) -> None:
    with pytest.raises(CapabilityError, match=r"No judge is known .* Give judge=, or say once"):
        bundles.require(own, "judge", "measures", "judge=")


def test_the_layout_of_ones_own_reader_is_scaled_by_its_own_pictures(own) -> None:
    two = sb.predictor(lambda x: torch.stack([brightness(x), 50 * brightness(x)], 1), ["a", "b"])
    sb.Bundle(own, reader=two, layout=["b", "a"])
    images = own.render(own.sample(5, seed=3)).requires_grad_()
    found = layout_of(own)(images)
    assert torch.allclose(found[:, 0], found[:, 1], atol=1e-4)
    assert 0.1 < float(found.detach().std()) < 1
    found.sum().backward()
    assert images.grad.abs().sum() > 0


def test_an_encoder_of_ones_own_is_a_start(own) -> None:
    codes = own.sample(2, seed=9, space="w")
    sb.Bundle(own, encoder=lambda images: codes)
    options = {"space": "w", "n_steps": 0, "init": Initialisation(n_samples=4)}
    pixels = ReconstructionLossConfig(features=None)
    found = sb.invert(own, own.render(codes), loss=pixels, **options)
    assert list(found.report["start"]) == ["encoder", "encoder"]
    assert float(found.report["mse"].max()) < 1e-8


# -- nobody else names them -----------------------------------------------------------------------

MAY_NAME = {"worlds", "assets", "training", "cards", "studies", "check"}


def strings(path: Path) -> list[str]:
    """The texts in a module that are no docstrings; these may give examples."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [node.value for node in texts if node not in documents and isinstance(node.value, str)]


def test_only_worlds_assets_and_what_makes_or_measures_them_name_an_embedded_model() -> None:
    package = Path(sb.__file__).parent
    every = {name for kind in ("generators", *assets.FILES) for name in assets.names(kind)}
    name = re.compile(rf"(?<![\w-])({'|'.join(sorted(every | set(assets.folders())))})(?![\w-])")
    modules = [path.relative_to(package) for path in package.rglob("*.py")]
    others = [path for path in modules if path.parts[0] not in MAY_NAME]
    found = {
        str(path): text for path in others for text in strings(package / path) if name.search(text)
    }
    assert found == {}
    assert any(name.search(text) for text in strings(package / "check" / "sefa.py"))
