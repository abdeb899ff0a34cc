"""Reports say what is so: counted, measured and asked of the generator itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import steerbench as sb
from steerbench import inspection
from steerbench.cli import app
from steerbench.errors import CheckpointError, NotFoundError, SteerbenchError
from steerbench.generators import BaseGenerator, save
from steerbench.generators.stylegan2 import StyleGAN2
from steerbench.inspection import Inspection, inspect
from steerbench.methods import METHODS
from tests.conftest import make_toy
from tests.contracts.test_generators import EXAMPLES

FIXTURES = {
    "biggan_ajbrock_64": "biggan-ajbrock",
    "biggan_hf_64": "biggan-hf",
    "dcgan_64_rgb": "dcgan",
    "eigengan_64": "eigengan",
    "ganzoo_pgan_32": "ganzoo-pgan",
    "genforce_pggan_64": "genforce-pggan",
    "genforce_stylegan1_128": "genforce-stylegan1",
    "genforce_stylegan2_64": "genforce-stylegan2",
    "glow_16_lu_affine": "glow",
    "higan_stylegan_32": "genforce-stylegan1",
    "rosinality_sg2_64": "rosinality-stylegan2",
    "sg2ada_cond64": "stylegan2-ada-pytorch",
    "sg3_r_64": "stylegan3",
}
"""Recorded checkpoints, and the format that each is of."""

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are not what these tests are about."""
    monkeypatch.setattr(inspection, "SECONDS", 0.02)


def checkpoint(folder: Path) -> Path:
    """The weight file among the files of a recorded checkpoint."""
    kinds = (".pkl", ".pt", ".pth", ".bin")
    return next(path for path in folder.iterdir() if path.suffix in kinds)


@pytest.fixture(scope="module", params=sorted(EXAMPLES))
def generator(request: pytest.FixtureRequest) -> BaseGenerator:
    return EXAMPLES[request.param]()


def test_facts_are_those_of_the_generator(generator: BaseGenerator) -> None:
    report = inspect(generator)
    picture = generator.render(generator.sample(1))
    assert (report.channels, *report.resolution) == picture.shape[1:]
    assert report.architecture == generator.architecture
    assert report.classes == generator.classes
    assert report.spaces == {name: space.shape for name, space in generator.spaces.items()}
    assert report.parameters == sum(p.numel() for p in generator.module.parameters())
    state = generator.module.state_dict().values()
    assert report.weight_bytes == sum(len(bytes(t.cpu().numpy().tobytes())) for t in state)
    names = [layer.name for layer in generator.layers]
    captured = generator.capture(generator.sample(1), names)
    for row in report.layers.itertuples():
        assert captured[row.layer].shape == (1, row.channels, row.height, row.width)
    assert report.activation_bytes == sum(4 * a.numel() for a in captured.values())


def test_a_capability_is_there_exactly_where_it_works(generator: BaseGenerator) -> None:
    table = inspect(generator).capabilities.set_index("capability")
    space = "w" if "w" in generator.spaces else "z"
    for name, call in {
        "affine": lambda: generator.affine(space),
        "discriminator": lambda: generator.discriminator(generator.render(generator.sample(1))),
        "labels": lambda: generator.sample(1, label=0),
    }.items():
        try:
            call()
        except SteerbenchError:
            assert not table.there[name]
            assert len(table.reason[name]) > 10
        else:
            assert table.there[name]
            assert table.reason[name] == ""


def test_every_method_has_a_row_and_a_reason_where_it_does_not_apply(
    generator: BaseGenerator,
) -> None:
    table = inspect(generator).methods
    assert list(table.method) == list(METHODS)
    assert ((table.reason == "") == table.applies).all()


def test_times_are_measured() -> None:
    class Slow(StyleGAN2):
        def render(self, *given, precision="exact", **options):
            time.sleep(0.05 if precision == "exact" else 0.1)
            return super().render(*given, **options)

    report = inspect(Slow(make_toy().network, name="slow"))
    assert 50 < report.milliseconds["exact"] < 100 < report.milliseconds["fast"]


def test_a_precision_that_cannot_be_had_is_said_so() -> None:
    class Plain(StyleGAN2):
        def render(self, *given, precision="exact", **options):
            if precision == "fast":
                raise RuntimeError("not implemented for 'BFloat16'")
            return super().render(*given, **options)

    report = inspect(Plain(make_toy().network, name="plain"))
    assert report.milliseconds["fast"] is None
    assert "fast: not possible" in str(report)


def test_the_text_and_the_page_hold_everything(toy_generator: StyleGAN2) -> None:
    report = inspect(toy_generator)
    for text in (str(report), report._repr_html_()):
        for name in [
            *(layer.name for layer in toy_generator.layers),
            "sefa",
            "affine",
            "made here",
        ]:
            assert name in text


def test_a_name_cannot_become_markup(toy_generator: StyleGAN2) -> None:
    report = inspect(StyleGAN2(toy_generator.network, name="<script>x</script>"))
    assert "<script>" not in report._repr_html_()
    assert "<script>" in str(report)


def test_looking_changes_nothing(generator: BaseGenerator) -> None:
    latent = generator.sample(1)
    before, state = generator.render(latent), torch.get_rng_state()
    inspect(generator)
    assert torch.equal(generator.render(latent), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_file_of_ours_and_the_embedded_model(tmp_path: Path) -> None:
    save(make_toy(), tmp_path / "toy.safetensors")
    report = sb.inspect(tmp_path / "toy.safetensors")
    assert isinstance(report, Inspection)
    assert (report.format, report.name) == ("steerbench", "toy")
    assert sb.inspect("rooms").format == "steerbench"


@pytest.mark.parametrize("name", FIXTURES)
def test_formats_are_named(name: str, shared_path: Callable[[str], Path]) -> None:
    path = checkpoint(shared_path(f"fixtures/{name}"))
    assert inspect(path).format == FIXTURES[name]
    shown = run(app, ["inspect", str(path)])
    assert shown.exit_code == 0
    assert FIXTURES[name] in shown.stdout


# -- files that are none --------------------------------------------------------------------------


def test_an_unknown_file_gets_a_report_of_what_it_holds(tmp_path: Path) -> None:
    layers = {f"block.{i}.weight": torch.ones(5, 7) for i in range(30)}
    value = {"model": layers, "copy": layers, "epoch": 12, "note": "\x1b[31mred"}
    torch.save(value, tmp_path / "unknown.pt")
    with pytest.raises(CheckpointError) as caught:
        inspect(tmp_path / "unknown.pt")
    text = str(caught.value)
    for part in ("block.*.weight  [5, 7]  30 times", "the same as under model", "epoch: 12"):
        assert part in text
    assert "It has none of the names" in text
    assert "\x1b" not in text


def test_the_nearest_format_is_named_with_what_is_missing(tmp_path: Path) -> None:
    torch.save({"main.0.weight": torch.ones(5, 7, 4, 4)}, tmp_path / "part.pt")
    with pytest.raises(CheckpointError) as caught:
        inspect(tmp_path / "part.pt")
    text = str(caught.value)
    assert "DCGAN of PyTorch's examples: main.1.weight, main.1.running_mean" in text
    assert "progressive" not in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<!doctype html><p>Sign in", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"{}", "no weight file"),
        (b"PK\x03\x04", "broken"),
    ],
)
def test_the_command_refuses_a_broken_file(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "broken.pkl").write_bytes(content)
    shown = run(app, ["inspect", str(tmp_path / "broken.pkl")])
    assert shown.exit_code == 1
    assert says in shown.stderr
    assert "Traceback" not in shown.stderr
    assert shown.stdout == ""


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(NotFoundError):
        inspect("no/such/file.pkl")
    assert run(app, ["inspect", "no/such/file.pkl"]).exit_code == 1
