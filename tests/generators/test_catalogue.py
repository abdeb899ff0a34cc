"""The list of published models, and loading by name from a server that may misbehave."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from typer.testing import CliRunner

import steerbench as sb
from steerbench import assets
from steerbench.cli import app
from steerbench.errors import CheckpointError, FileError, NotFoundError
from steerbench.generators import GENERATORS
from steerbench.generators.published.catalogue import Entry, entries, fetch
from tests.contracts.test_generators import dcgan
from tests.misbehaving import Server, serving

NAME = "ganzoo-pgan-dtd-128"
run = CliRunner().invoke

HOSTS = {
    "api.ngc.nvidia.com",
    "dl.fbaipublicfiles.com",
    "mycuhk-my.sharepoint.com",
    "nvlabs-fi-cdn.nvidia.com",
    "s3.amazonaws.com",
    "www.dropbox.com",
}
"""Where the authors keep files that a program can fetch."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEERBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Entry]:
    """A model of the list as if the server published it: a tiny DCGAN, as torch saves it."""
    torch.save(dcgan().module.state_dict(), tmp_path / "netG.pth")
    server.content = (tmp_path / "netG.pth").read_bytes()

    def publish(how: str = "good", **changes: object) -> Entry:
        origin = f"{server.address}/{how}/netG.pth"
        entry = replace(entries()[NAME], **{"origin": origin, "file": "netG.pth", **changes})
        monkeypatch.setitem(entries(), NAME, entry)
        return entry

    return publish


# -- the list -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", entries())
def test_an_entry_is_sound(name: str) -> None:
    entry = entries()[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert re.fullmatch(r"[\w.-]+\.(pkl|pth|pt|bin|safetensors)", entry.file)
    assert 32 <= entry.resolution <= 1024
    assert entry.licence
    assert entry.page.startswith("https://")
    for address in [entry.origin, *entry.beside.values()]:
        if address is not None:
            parts = urlsplit(address)
            assert (parts.scheme, parts.hostname in HOSTS) == ("https", True)
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert name not in assets.names("generators")


def test_architectures_are_ours() -> None:
    assert {entry.architecture for entry in entries().values()} <= set(GENERATORS)


def test_no_two_models_share_a_place_or_an_address(cache: Path) -> None:
    places = [entry.path for entry in entries().values()]
    assert len(set(places)) == len(places)
    addresses = [entry.origin for entry in entries().values() if entry.origin]
    assert len(set(addresses)) == len(addresses)


def test_the_table_has_a_row_for_each(cache: Path) -> None:
    table = sb.catalogue()
    assert list(table.name) == list(entries())
    assert {"architecture", "resolution", "licence", "size", "origin", "cached"} <= set(table)
    assert not table.cached.any()
    assert table.origin.str.startswith("https://").all()


def test_the_readme_speaks_of_this_list() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"{len(entries())} published models" in text
    named = re.findall(r'sb\.load\("([\w-]+)"\)', text)
    assert len(named) > 1
    assert set(named) <= {*assets.names("generators"), *entries()}


@pytest.mark.parametrize("name", ["stylegan3-r-ffhq", "StyleGAN3-r-ffhqu-256", "biggan-256"])
def test_a_mistyped_name_is_helped(name: str) -> None:
    with pytest.raises(NotFoundError, match=r"Did you mean '(stylegan3-r-ffhq|biggan-deep-)"):
        sb.load(name)


def test_embedded_names_are_offered_too() -> None:
    with pytest.raises(NotFoundError, match="'rooms'"):
        sb.load("room")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "network.pkl").write_bytes(b"x")
    with pytest.raises(NotFoundError, match=r"folder, holding network\.pkl"):
        sb.load(tmp_path)


# -- loading by name ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["good", "moved", "unknown_length"])
def test_a_name_gives_a_working_generator(
    how: str, published: Callable[..., Entry], server: Server, cache: Path
) -> None:
    entry = published(how)
    generator = sb.load(NAME)
    assert (generator.name, generator.format) == (NAME, "dcgan")
    mine = dcgan()
    assert torch.equal(generator.render(generator.sample(2)), mine.render(mine.sample(2)))
    assert sorted(os.listdir(entry.path.parent)) == ["netG.pth", "netG.pth.json"]
    assert sb.catalogue().set_index("name").cached[NAME]
    asked = len(server.asked)
    assert sb.load(NAME).fingerprint == generator.fingerprint
    assert len(server.asked) == asked


def test_a_real_checkpoint_by_name(
    published: Callable[..., Entry], server: Server, shared_path: Callable[[str], Path]
) -> None:
    path = shared_path("fixtures/sg2ada_skip64/network.pkl")
    server.content = path.read_bytes()
    published(file="network.pkl")
    generator, same = sb.load(NAME), sb.load(path)
    assert generator.format == "stylegan2-ada-pytorch"
    assert torch.equal(generator.render(generator.sample(1)), same.render(same.sample(1)))


def test_it_works_without_a_network_once_it_is_here(
    published: Callable[..., Entry], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = published()
    sb.load(NAME)
    monkeypatch.setitem(entries(), NAME, replace(entry, origin="http://127.0.0.1:9/netG.pth"))
    assert sb.load(NAME).name == NAME


def test_a_cut_download_goes_on(published: Callable[..., Entry], server: Server) -> None:
    published("cut_tagged")
    with pytest.raises(FileError, match="what has arrived is kept"):
        sb.load(NAME)
    assert sb.load(NAME).name == NAME
    assert server.asked[1][1]["Range"] == f"bytes={len(server.content) // 2}-"


def test_further_files_are_fetched_beside_it(
    published: Callable[..., Entry], server: Server
) -> None:
    entry = published(beside={"config.json": f"{server.address}/good/config.json"})
    fetch(entry)
    assert (entry.path.parent / "config.json").read_bytes() == server.content


@pytest.mark.parametrize(
    ("commercial", "says"),
    [(False, "forbids commercial use"), (True, "licence: MIT."), (None, "ask them")],
)
def test_the_licence_is_shown_before_the_download(
    commercial: bool | None,
    says: str,
    published: Callable[..., Entry],
    capsys: pytest.CaptureFixture[str],
) -> None:
    published(commercial=commercial, licence="MIT")
    sb.load(NAME)
    assert says in capsys.readouterr().err
    sb.load(NAME)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", ["gone", "broken", "hangs_up", "nonsense", "trap"])
def test_a_dead_address_says_what_to_do(how: str, published: Callable[..., Entry]) -> None:
    entry = published(how)
    with pytest.raises(FileError, match="a local file is as good") as caught:
        sb.load(NAME)
    for part in (entry.page, str(entry.path), "STEERBENCH_CACHE"):
        assert part in str(caught.value)


@pytest.mark.parametrize("how", ["page", "disguised_page"])
def test_a_web_page_is_refused(how: str, published: Callable[..., Entry]) -> None:
    entry = published(how)
    with pytest.raises(CheckpointError, match="web page"):
        sb.load(NAME)
    assert os.listdir(entry.path.parent) == []


def test_a_file_that_arrived_broken_can_be_fetched_again(
    published: Callable[..., Entry],
) -> None:
    """A server that claims less than it has, and nobody published the length."""
    entry = published("claims_less")
    with pytest.raises(CheckpointError, match="If it arrived broken, delete"):
        sb.load(NAME)
    entry.path.unlink()
    published("good")
    assert sb.load(NAME).name == NAME


def test_a_published_digest_and_length_are_kept(published: Callable[..., Entry]) -> None:
    published(sha256="0" * 64)
    with pytest.raises(CheckpointError, match="another file"):
        sb.load(NAME)
    published(length=7)
    with pytest.raises(CheckpointError, match="expected 7"):
        sb.load(NAME)


def test_a_file_that_changed_here_is_refused(published: Callable[..., Entry]) -> None:
    entry = published()
    sb.load(NAME)
    entry.path.write_bytes(entry.path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="was changed"):
        sb.load(NAME)


def test_a_model_behind_a_page_is_fetched_by_hand(
    published: Callable[..., Entry], server: Server
) -> None:
    entry = published(origin=None)
    with pytest.raises(NotFoundError, match="by hand, from https://") as caught:
        sb.load(NAME)
    assert str(entry.path) in str(caught.value)
    entry.path.parent.mkdir(parents=True)
    entry.path.write_bytes(server.content)
    assert sb.load(NAME).name == NAME
    entry.path.write_bytes(server.content + b"x")
    with pytest.raises(CheckpointError, match="was changed"):
        sb.load(NAME)
    assert server.asked == []


# -- the command ----------------------------------------------------------------------------------


def test_the_command_lists_all_and_details_few(cache: Path) -> None:
    shown = run(app, ["models"])
    assert shown.exit_code == 0
    for name in [*assets.names("generators"), *entries()]:
        assert name in shown.stdout
    few = run(app, ["models", "biggan-deep-256"]).stdout
    assert entries()["biggan-deep-256"].origin in few
    assert "224 MB" in few
    none = run(app, ["models", "biggan-deep-257"])
    assert none.exit_code == 1
    assert "biggan-deep-256" in none.stderr


def test_a_name_can_be_inspected(published: Callable[..., Entry]) -> None:
    published()
    assert "dcgan" in run(app, ["inspect", NAME]).stdout
