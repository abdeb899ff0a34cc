"""Laws that every generator obeys, run over one example of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.errors import LatentError, LayerError, ShapeError, SpaceError
from steerbench.generators import (
    DCGAN,
    GENERATORS,
    PGGAN,
    BaseGenerator,
    BigGAN,
    EigenGAN,
    Glow,
    StyleGAN1,
    StyleGAN2,
    StyleGAN3,
    base,
    load,
    save,
)
from steerbench.generators.biggan.network import BigGANNetwork, BlockShape
from steerbench.generators.dcgan import DCGANNetwork
from steerbench.generators.eigengan import EigenGANNetwork
from steerbench.generators.glow.network import GlowNetwork
from steerbench.generators.pggan import PGGANNetwork
from steerbench.generators.stylegan1.network import StyleGAN1Network
from steerbench.generators.stylegan2.network import StyleGAN2Network
from steerbench.generators.stylegan3.filters import plan_layers
from steerbench.generators.stylegan3.network import StyleGAN3Network
from tests.conftest import make_toy


def wrapped_dcgan() -> BaseGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.ConvTranspose2d(12, 8, 4),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(8, 3, 4, 2, 1),
            nn.Tanh(),
        )
    return sb.wrap(module, latent_shape=(12, 1, 1), prior="uniform", name="dcgan")


def residual_stylegan2() -> BaseGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2Network(
            z_dim=16, w_dim=12, mapping_layers=2, widths={4: 12, 8: 8, 16: 8}, architecture="resnet"
        )
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.data.fill_(0.1)
    return StyleGAN2(network, name="residual")


def dcgan() -> BaseGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = DCGANNetwork(z_dim=12, widths=(12, 8, 3))
        for part in network.main:
            if isinstance(part, nn.ConvTranspose2d):
                part.weight.data.mul_(10)
    return DCGAN(network, name="dcgan")


def pggan(**options: Any) -> BaseGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PGGANNetwork(z_dim=12, widths={4: 12, 8: 8, 16: 8}, level=0.25, **options)
    return PGGAN(network, name="pggan")


def eigengan() -> BaseGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EigenGANNetwork(noise=6, basis=3, widths=(8, 6, 4), kernel=3)
    return EigenGAN(network, name="eigengan")


def biggan_network(**options: Any) -> BigGANNetwork:
    """A BigGAN of random weights whose statistics, gains and attention do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = BigGANNetwork(**{"z_dim": 12, "classes": 5, "embedding": 6, **options})
        for name, tensor in network.state_dict().items():
            if name.endswith(("gamma", "variances")):
                tensor.uniform_(0.3, 1.0)
            elif name.endswith(("means", "bias", "gain_by", "bias_by", "embed.weight")):
                tensor.normal_(std=0.3)
    return network


def biggan_deep() -> BaseGenerator:
    shapes = [(16, 16, 4, False), (16, 8, 4, True), (8, 8, 2, False), (8, 4, 2, True)]
    network = biggan_network(
        blocks=[BlockShape(*shape) for shape in shapes], reads="whole", attention=[3], steps=6
    )
    return BigGAN(network, name="biggan-deep")


def biggan_in_chunks() -> BaseGenerator:
    blocks = [BlockShape(12, 8), BlockShape(8, 8)]
    return BigGAN(biggan_network(blocks=blocks, attention=[1]), name="biggan-chunks")


def biggan_unshared() -> BaseGenerator:
    blocks = [BlockShape(12, 8), BlockShape(8, 8)]
    network = biggan_network(blocks=blocks, reads="first", embedding=0)
    return BigGAN(network, name="biggan-unshared")


def stylegan1(c_dim: int = 0) -> BaseGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN1Network(
            z_dim=10, w_dim=12, c_dim=c_dim, mapping_layers=2, widths={4: 12, 8: 8, 16: 8}
        )
        for name, parameter in network.named_parameters():
            if name.endswith(("bias", "noise_strength", "const.const")):
                parameter.data.add_(0.1 * torch.randn_like(parameter))
        network.mapping.w_avg.normal_(std=0.1)
    return StyleGAN1(network, name="stylegan1")


def glow(**options: Any) -> Glow:
    """A small Glow of random weights; zeros, which a new one is full of, would hide mistakes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = GlowNetwork(**{"flows": 2, "levels": 2, "width": 12, **options})
        for parameter in network.parameters():
            parameter.data.add_(0.03 * torch.randn_like(parameter))
    return Glow(network, name="glow")


def stylegan3_network(c_dim: int = 0, channels: int = 3, **options: Any) -> StyleGAN3Network:
    """A small StyleGAN3 of random weights, 32x32, whose biases, styles and means do something."""
    settings = {"channel_base": 128, "channel_max": 8, "num_layers": 6, "margin_size": 4} | options
    first, layers = plan_layers(32, channels=channels, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN3Network(
            z_dim=10, w_dim=12, c_dim=c_dim, embed_dim=12, first=first, layers=layers
        )
        for name, tensor in network.state_dict().items():
            if name.endswith(("bias", "input.affine.weight", "w_avg")):
                tensor.add_(0.1 * torch.randn_like(tensor))
            elif name.endswith("magnitude_ema"):
                tensor.uniform_(0.5, 2.0)
    return network


ROTATING = {"conv_kernel": 1, "use_radial_filters": True}
"""What makes a StyleGAN3 one of configuration R."""


def stylegan3() -> BaseGenerator:
    return StyleGAN3(stylegan3_network(), name="stylegan3")


def stylegan3_conditional() -> BaseGenerator:
    return StyleGAN3(stylegan3_network(c_dim=4, **ROTATING), name="conditional")


EXAMPLES = {
    "biggan": biggan_deep,
    "biggan-chunks": biggan_in_chunks,
    "biggan-unshared": biggan_unshared,
    "dcgan": dcgan,
    "eigengan": eigengan,
    "glow": glow,
    "pggan": pggan,
    "pggan-conditional": lambda: pggan(c_dim=3, tanh=True),
    "stylegan1": stylegan1,
    "stylegan1-conditional": lambda: stylegan1(c_dim=4),
    "stylegan2": make_toy,
    "stylegan2-resnet": residual_stylegan2,
    "stylegan3": stylegan3,
    "stylegan3-conditional": stylegan3_conditional,
    "wrapped": wrapped_dcgan,
}


@pytest.fixture(scope="module", params=sorted(EXAMPLES))
def generator(request: pytest.FixtureRequest) -> BaseGenerator:
    return EXAMPLES[request.param]()


def test_every_architecture_has_an_example() -> None:
    assert set(GENERATORS) <= set(EXAMPLES)


def test_it_fulfils_the_protocol(generator: BaseGenerator) -> None:
    assert isinstance(generator, sb.types.Generator)


def test_a_seed_alone_fixes_a_sample(generator: BaseGenerator) -> None:
    together, alone = generator.sample(8, seed=0), generator.sample(1, seed=3)
    assert torch.equal(together[3].data, alone.data)
    assert together[3].seed == 3
    if generator.classes:
        assert torch.equal(together.label[3:4], alone.label)


def test_seeds_are_numpys(generator: BaseGenerator) -> None:
    random = np.random.RandomState(5)
    size = int(np.prod(generator.spaces["z"].shape))
    normal = generator.prior == "normal"
    drawn = random.randn(1, size) if normal else random.uniform(-1, 1, (1, size))
    assert np.array_equal(generator.sample(1, seed=5).data.numpy(), drawn.astype(np.float32))


def test_pictures_have_the_shape_they_promise(generator: BaseGenerator) -> None:
    picture = generator.render(generator.sample(3))
    assert picture.shape == (3, 3, generator.resolution, generator.resolution)
    assert picture.dtype == torch.float32
    assert not picture.requires_grad


def test_rendering_is_deterministic_and_does_not_depend_on_the_batch(
    generator: BaseGenerator,
) -> None:
    exact = generator.double()
    latent = exact.latent(generator.sample(4).data.double(), "z")
    together = exact.render(latent)
    assert torch.equal(together, exact.render(latent))
    alone = torch.cat([exact.render(latent[i]) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-6)


def test_a_batch_made_in_pieces_is_the_batch(generator: BaseGenerator, monkeypatch) -> None:
    exact = generator.double()
    latent = exact.latent(generator.sample(3).data.double(), exact.latent_space)
    together = exact.render(latent)
    walks: list[int] = []
    start = type(exact).start

    def counted(self, codes, *rest):
        walks.append(len(codes))
        return start(self, codes, *rest)

    monkeypatch.setattr(type(exact), "start", counted)
    monkeypatch.setattr(base, "PIECE", 1)
    assert torch.allclose(exact.render(latent), together, atol=1e-6)
    assert walks == ([1, 1, 1] if generator.independent else [3])


def test_every_space_on_the_way_gives_the_same_picture(generator: BaseGenerator) -> None:
    latent = generator.sample(2)
    picture = generator.render(latent)
    for name in generator.spaces:
        converted = generator.to(latent, name)
        assert tuple(converted.data.shape[1:]) == generator.spaces[name].shape
        assert torch.allclose(generator.render(converted), picture, atol=1e-4), name


def test_a_truncated_sample_is_fixed_by_its_seed(generator: BaseGenerator) -> None:
    space = generator.render_space
    try:
        together = generator.sample(8, seed=0, space=space, truncation=0.5)
    except sb.errors.CapabilityError as refusal:
        assert "Leave truncation at 1" in str(refusal)  # noqa: PT017
        return
    alone = generator.sample(1, seed=3, space=space, truncation=0.5)
    assert torch.allclose(together[3].data, alone.data, atol=1e-6)
    assert not torch.allclose(alone.data, generator.sample(1, seed=3, space=space).data, atol=1e-3)


def test_truncation_draws_rows_towards_the_mean(generator: BaseGenerator) -> None:
    rows = next((name for name in ("w+", "z+") if name in generator.spaces), None)
    if rows is None:
        pytest.skip("no rows")
    latent = generator.sample(3)
    whole = generator.to(latent, rows).data
    mean = generator.to(latent, rows, truncation=0.0).data
    assert torch.equal(generator.to(latent, rows, truncation=1.0).data, whole)
    assert torch.allclose(mean, mean[:1].expand_as(mean), atol=1e-6)
    for psi in (0.7, -0.5):
        drawn = generator.to(latent, rows, truncation=psi).data
        assert torch.allclose(drawn, mean + psi * (whole - mean), atol=1e-5)
        drawn = generator.to(latent, rows, truncation=psi, truncation_cutoff=2).data
        assert torch.equal(drawn[:, 2:], whole[:, 2:])
        assert torch.allclose(drawn[:, :2], (mean + psi * (whole - mean))[:, :2], atol=1e-5)


def test_converting_against_the_chain_points_to_inversion(generator: BaseGenerator) -> None:
    one_way = [
        space for space in generator.spaces.values() if space.parent and not space.invertible
    ]
    if not one_way:
        pytest.skip("every step can be taken back")
    for space in one_way:
        with pytest.raises(SpaceError, match=r"sb\.invert"):
            generator.to(generator.sample(1, space=space.name), space.parent)


def test_a_step_with_an_inverse_can_be_taken_back(generator: BaseGenerator) -> None:
    exact = generator.double()
    for space in exact.spaces.values():
        if not space.invertible or space.parent is None:
            continue
        latent = exact.to(exact.sample(3), space.name)
        there = exact.to(latent, space.parent)
        assert torch.allclose(exact.to(there, space.name).data, latent.data, atol=1e-12)


def test_every_layer_is_captured_with_the_shape_it_promises(generator: BaseGenerator) -> None:
    latent = generator.sample(2)
    captured = generator.capture(latent, [layer.name for layer in generator.layers])
    for layer in generator.layers:
        assert captured[layer.name].shape == (2, layer.channels, layer.height, layer.width)


def test_an_edit_of_any_layer_is_captured_there_and_changes_the_picture(
    generator: BaseGenerator,
) -> None:
    latent = generator.sample(2)
    picture = generator.render(latent)
    for layer in generator.layers:
        edit = sb.UnitEdit(layer.name, tuple(range(layer.channels)), "set", 0.5)
        assert generator.capture(latent, [layer.name], edits=[edit])[layer.name].eq(0.5).all()
        assert not torch.equal(generator.render(latent, edits=[edit]), picture), layer.name
    assert torch.equal(generator.render(latent), picture), "an edit left something behind"


def test_a_walk_begun_at_any_layer_ends_in_the_same_picture(generator: BaseGenerator) -> None:
    moved, _ = generator.prepare(generator.sample(2))
    whole = generator.run(generator.start(moved, "const"), keep_states=True)
    assert whole.image is not None
    for state in whole.states.values():
        assert torch.allclose(generator.run(state).image, whole.image, atol=1e-5)


def test_the_renderer_reuses_what_comes_before_an_edit(generator: BaseGenerator) -> None:
    latent, renderer = generator.sample(2), sb.Renderer(generator, "exact")
    for layer in generator.layers:
        edits = [sb.UnitEdit(layer.name, (0,), "add", 0.5)]
        renderer.render(latent)
        picture = renderer.render(latent, edits)
        assert renderer.last_start == (0 if generator.architecture == "wrapped" else layer.index)
        assert torch.allclose(picture, generator.render(latent, edits=edits), atol=1e-5), layer.name


def test_a_component_of_activations_can_be_added_to_any_layer(generator: BaseGenerator) -> None:
    latent = generator.sample(2)
    for layer in generator.layers:
        shape = (layer.channels, layer.height, layer.width)
        component = torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
        edit = sb.UnitEdit(layer.name, tuple(range(layer.channels)), "add", component)
        before = generator.capture(latent, [layer.name])[layer.name]
        after = generator.capture(latent, [layer.name], edits=[edit])[layer.name]
        assert torch.allclose(after, before + component, atol=1e-5), layer.name


def test_an_edit_under_a_mask_leaves_the_rest_of_the_layer(generator: BaseGenerator) -> None:
    latent, layer = generator.sample(1), generator.layers[0]
    mask = torch.zeros(layer.height, layer.width)
    mask[:, : layer.width // 2] = 1
    edit = sb.UnitEdit(layer.name, (0,), "set", 3.0, mask)
    before = generator.capture(latent, [layer.name])[layer.name]
    after = generator.capture(latent, [layer.name], edits=[edit])[layer.name]
    assert after[:, 0, :, : layer.width // 2].eq(3).all()
    assert torch.equal(after[:, 0, :, layer.width // 2 :], before[:, 0, :, layer.width // 2 :])
    assert torch.equal(after[:, 1:], before[:, 1:])


def test_gradients_reach_the_latent_and_only_it(generator: BaseGenerator) -> None:
    latent = generator.sample(2).requires_grad_()
    generator.render(latent).square().mean().backward()
    assert latent.grad is not None
    assert latent.grad.abs().sum() > 0
    assert all(p.grad is None for p in generator.module.parameters())


def test_no_hook_and_no_mode_is_left_behind(generator: BaseGenerator) -> None:
    latent = generator.sample(1)
    state = torch.get_rng_state()
    generator.capture(latent, [generator.layers[0].name])
    with pytest.raises(LayerError):
        generator.render(latent, edits=[sb.UnitEdit(generator.layers[0].name, (9999,))])
    assert all(not part._forward_hooks for part in generator.module.modules())
    assert not any(part.training for part in generator.module.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("noise", ["const", "none", "random"])
def test_every_noise_mode_is_accepted(generator: BaseGenerator, noise: str) -> None:
    latent = generator.sample(1)
    once, twice = generator.render(latent, noise=noise), generator.render(latent, noise=noise)
    differs = noise == "random" and generator.has_noise
    assert torch.equal(once, twice) != differs


def test_the_fast_path_draws_the_same_picture(generator: BaseGenerator) -> None:
    latent = generator.sample(4)
    exact, fast = generator.render(latent), generator.render(latent, precision="fast")
    assert fast.dtype == torch.float32
    assert (exact - fast).abs().mean() < 0.02 * exact.std()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_draws_the_same_picture(
    generator: BaseGenerator, dtype: torch.dtype
) -> None:
    moved, _ = generator.prepare(generator.sample(2))
    exact = generator.run(generator.start(moved, "const")).image
    half = generator.run(generator.start(moved, "const", dtype), keep_states=True)
    assert half.image is not None
    assert exact is not None
    assert half.image.dtype == torch.float32
    assert (exact - half.image).abs().mean() < 0.02 * exact.std()
    # A foreign module is left as it is; a flow's inverse would amplify the rounding.
    if generator.architecture not in ("wrapped", "glow"):
        assert all(state.x.dtype == dtype for state in half.states.values())


def test_prior_std_is_the_spread_of_samples(generator: BaseGenerator) -> None:
    name = "w" if "w" in generator.spaces else "z"
    vector = torch.zeros(generator.spaces[name].shape, dtype=torch.float64)
    vector[1] = 1
    drawn = generator.to(generator.sample(2000), name).data[:, 1]
    assert generator.prior_std(name, vector) == pytest.approx(float(drawn.std()), rel=0.1)


def test_every_space_knows_its_mean_and_spread(generator: BaseGenerator) -> None:
    for name, space in generator.spaces.items():
        drawn = generator.sample(500, seed=1000, space=name).data
        assert space.mean.shape == space.std.shape == space.shape
        assert (space.mean - drawn.mean(dim=0)).abs().max() < 0.3 * space.std.max(), name
        assert torch.allclose(space.std, drawn.std(dim=0), rtol=0.3, atol=1e-5), name
        assert torch.allclose(space.covariance.diagonal().sqrt(), space.std.flatten(), rtol=1e-3)
        vector = torch.nn.functional.normalize(torch.linspace(-1, 1, space.std.numel()), dim=0)
        along = float(vector @ space.covariance @ vector) ** 0.5
        assert generator.prior_std(name, vector.reshape(space.shape)) == pytest.approx(along, 0.02)


def test_codes_of_ones_own_are_taken_as_they_are(generator: BaseGenerator) -> None:
    shape = generator.spaces["z"].shape
    numbers = np.random.RandomState(0).randn(2, *shape)
    assert torch.equal(generator.latent(numbers).data, torch.from_numpy(numbers))
    assert len(generator.latent(numbers[..., None, None])) == 2
    assert len(generator.latent(numbers[0])) == 1


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda G: G.latent(np.zeros((2, 3))), ShapeError, "shape"),
        (lambda G: G.latent(np.full((1, *G.spaces["z"].shape), np.nan)), LatentError, "NaN"),
        (lambda G: G.latent("a room"), LatentError, "numbers"),
        (lambda G: G.to(G.sample(1), "q"), SpaceError, "no space 'q'"),
        (lambda G: G.render(make_toy(seed=9).sample(1)), SpaceError, "belongs to generator"),
        (lambda G: G.capture(G.sample(1), [G.layers[0].name + "x"]), LayerError, "Did you mean"),
        (lambda G: G.render(G.sample(1), noise="loud"), sb.errors.SteerbenchError, "const"),
        (lambda G: G.render(G.sample(1), edits=["brighter"]), sb.errors.SteerbenchError, "Move"),
        (lambda G: G.sample(0), sb.errors.SteerbenchError, "at least one"),
        (
            lambda G: G.discriminator(torch.zeros(1, 3, 16, 16)),
            sb.errors.CapabilityError,
            "without",
        ),
    ],
)
def test_mistakes_are_explained(generator: BaseGenerator, spoil, error, says: str) -> None:
    with pytest.raises(error, match=says):
        spoil(generator)


def test_a_label_is_of_a_class_or_refused(generator: BaseGenerator) -> None:
    if not generator.classes:
        with pytest.raises(sb.errors.CapabilityError, match="not conditional"):
            generator.sample(1, label=3)
        return
    weights = torch.zeros(2, generator.classes)
    weights[0, 1] = weights[1, generator.classes - 1] = 1
    by_index = generator.sample(2, label=[1, generator.classes - 1])
    by_weight = generator.sample(2, label=weights)
    assert torch.equal(generator.render(by_index), generator.render(by_weight))
    mixed = generator.render(generator.sample(2, label=weights.mean(dim=0)))
    assert not torch.allclose(mixed, generator.render(by_index), atol=1e-4)
    for wrong in (generator.classes, [0, 1, 0], torch.ones(2, generator.classes + 1)):
        with pytest.raises(LatentError, match="classes"):
            generator.sample(2, label=wrong)


@pytest.mark.parametrize("example", sorted(set(EXAMPLES) - {"wrapped"}))
def test_a_saved_generator_is_the_same_one(example: str, tmp_path) -> None:
    generator = EXAMPLES[example]()
    save(generator, tmp_path / "g.safetensors")
    again = load(tmp_path / "g.safetensors")
    assert again.fingerprint == generator.fingerprint
    latent = generator.sample(2)
    assert torch.equal(again.render(latent), generator.render(latent))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(share: float, tmp_path) -> None:
    save(make_toy(), tmp_path / "g.safetensors")
    whole = (tmp_path / "g.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(sb.errors.CheckpointError):
        load(tmp_path / "cut.safetensors")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(sb.errors.NotFoundError, match="Did you mean 'rooms'"):
        sb.load("room")
