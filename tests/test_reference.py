"""The reference: one strict build, and what holds of every page of it.

Links are followed as a browser would that opened the pages as files, without a network.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest
from mkdocstrings import Inventory
from typer.testing import CliRunner

import steerbench
from steerbench.cli import app, docs
from steerbench.errors import FileError, NotFoundError, SteerbenchError

pytestmark = pytest.mark.timeout(600)
"""The build takes a quarter of a minute of CPU, more on a busy machine."""

run = CliRunner().invoke

LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\s(?:src|srcset)=\"([^\"]+)"
)
LINKED = re.compile(r"<link\b[^>]*?\shref=\"([^\"]+)")
STYLED = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")
ANCHOR = re.compile(r"\s(?:id|name)=\"?([^\"\s>]+)")
TARGET = re.compile(r"<a\b[^>]*?\shref=\"([^\"]+)\"")
ROW = re.compile(r"<tr>\s*<td>(.*?)</td>\s*<td>(.*?)</td>\s*<td>(.*?)</td>\s*</tr>", re.DOTALL)


@pytest.fixture(scope="module")
def pages(reference: Path) -> dict[Path, str]:
    """Every page but the one for addresses that no server serves here."""
    paths = [path for path in reference.rglob("*.html") if path.name != "404.html"]
    return {path: path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="module")
def anchors(pages: dict[Path, str]) -> dict[Path, set[str]]:
    return {path: set(ANCHOR.findall(text)) for path, text in pages.items()}


# -- every name has its place ---------------------------------------------------------------------


def public_names() -> Iterator[str]:
    """What the package and each of its sub-packages export."""
    found = pkgutil.walk_packages(steerbench.__path__, "steerbench.")
    packages = [importlib.import_module(each.name) for each in found if each.ispkg]
    for package in (steerbench, *packages):
        for name in getattr(package, "__all__", ()):
            value = getattr(package, name)
            inside = isinstance(value, ModuleType)
            yield value.__name__ if inside else f"{package.__name__}.{name}"


def test_every_public_name_has_an_anchor(reference, anchors):
    with (reference / "objects.inv").open("rb") as file:
        inventory = Inventory.parse_sphinx(file)
    names = set(public_names())
    assert set(steerbench.__all__) <= {name.split(".")[1] for name in names if name.count(".") == 1}
    assert names - set(inventory) == set()
    for name in names:
        page, _, anchor = inventory[name].uri.partition("#")
        assert anchor.replace("$", name) in anchors[reference / page], name


def test_a_method_stands_under_its_class(anchors):
    every = set().union(*anchors.values())
    for value in (steerbench.Direction, steerbench.SeFa, steerbench.Recipe):
        for name in ("save", "fit"):
            if hasattr(value, name):
                assert f"{value.__module__}.{value.__qualname__}.{name}" in every


# -- every link leads somewhere, and nothing needs a network --------------------------------------


def test_no_page_loads_anything_from_the_network(reference, pages):
    styles = [path.read_text(encoding="utf-8") for path in reference.rglob("*.css")]
    assert styles
    found = {url for text in pages.values() for url in LOADED.findall(text) + LINKED.findall(text)}
    found |= {"".join(pair) for text in [*styles, *pages.values()] for pair in STYLED.findall(text)}
    assert [url for url in found if re.match(r"(https?:)?//", url)] == []
    for page, text in pages.items():
        for url in LOADED.findall(text) + LINKED.findall(text):
            assert (page.parent / unquote(url.partition("?")[0])).is_file(), (page, url)


def test_every_link_of_every_page_resolves(reference, pages, anchors):
    broken = []
    for page, text in pages.items():
        for link in set(TARGET.findall(text)):
            if re.match(r"(https?:)?//|javascript:", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            goal = (page.parent / path).resolve() if path else page
            goal = goal / "index.html" if goal.is_dir() else goal
            if not goal.is_file() or (anchor and anchor not in anchors.get(goal, ())):
                broken.append((page.relative_to(reference).as_posix(), link))
    assert broken == []


# -- the index by task ----------------------------------------------------------------------------


def rows(reference: Path) -> list[tuple[str, ...]]:
    text = (reference / "tasks.html").read_text(encoding="utf-8")
    return ROW.findall(text)


def test_each_task_names_what_to_use(reference):
    found = rows(reference)
    assert len(found) >= 30
    for task, use, _ in found:
        assert TARGET.search(use), task
        assert "][" not in use


def test_the_chapter_of_a_task_uses_what_is_named(reference):
    notebooks = docs.chapters()
    told = [row for row in rows(reference) if TARGET.search(row[2])]
    assert len(told) >= 25
    for task, use, chapter in told:
        number = re.search(r"#chapter-(\d\d)", chapter)[1]
        (notebook,) = notebooks.glob(f"{number}_*.ipynb")
        text = notebook.read_text(encoding="utf-8")
        names = [name.rpartition(".")[2] for name in re.findall(r"<code>([^<]+)</code>", use)]
        assert any(re.search(rf"\b{name}\b", text) for name in names), (task, number)


# -- how it is made -------------------------------------------------------------------------------


def test_the_makers_examples_hold(monkeypatch):
    monkeypatch.syspath_prepend(str(docs.sources()))
    for name in ("names", "hooks"):
        result = doctest.testmod(importlib.import_module(name))
        assert result.attempted
        assert not result.failed
        sys.modules.pop(name)


ROLE = re.compile(r":[a-z]+:`[^`]+`|^ *=+(?: +=+)+ *$", re.MULTILINE)


def test_docstrings_are_markdown():
    package = Path(steerbench.__file__).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    found = {name: ROLE.findall(text) for name, text in texts.items() if ROLE.search(text)}
    assert found == {}, "write names in plain backticks, and lists instead of tables"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The reference's own settings, with one page that is written by hand."""
    settings = (docs.sources() / "mkdocs.yml").read_text(encoding="utf-8")
    source = tmp_path / "source"
    (source / "pages").mkdir(parents=True)
    (source / "mkdocs.yml").write_text(settings.replace("hooks: [hooks.py]\n", ""))
    (source / "pages" / "index.md").write_text("# A page\n\n[`sb.gone`][steerbench.gone]\n")
    return source


def test_a_name_that_vanished_fails_the_build_and_leaves_the_folder_alone(tiny, tmp_path):
    folder = tmp_path / "site"
    with pytest.raises(SteerbenchError, match=r"steerbench\.gone"):
        docs.build(folder, tiny)
    assert not folder.exists()
    (tiny / "pages" / "index.md").write_text("# A page\n")
    docs.build(folder, tiny)
    docs.build(folder, tiny)
    assert "A page" in (folder / "index.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "source"]


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for folder in (tmp_path, tmp_path / "thesis.tex"):
        done = run(app, ["docs", "--build", str(folder)])
        assert done.exit_code == 1
        assert "something else" in done.output
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="steerbench docs --build FOLDER"):
        docs.build(tmp_path / "file" / "site")


def test_without_mkdocs_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(docs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotFoundError, match=r"steerbench\[docs\]"):
        docs.build(tmp_path / "site")


# -- how it is opened -----------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch, tmp_path) -> list[str]:
    """The addresses that were handed to the browser; the cache folder is empty."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    monkeypatch.setenv("STEERBENCH_CACHE", str(tmp_path / "cache"))
    return addresses


def test_an_installed_package_opens_the_pages_that_came_along(opened, monkeypatch, tmp_path):
    page = tmp_path / "steerbench" / "notebooks" / "reference" / "site" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>built</p>")
    monkeypatch.setattr(docs, "PACKAGE", tmp_path / "steerbench")
    monkeypatch.setattr(docs, "sources", lambda: page.parents[1])
    done = run(app, ["docs"])
    assert done.exit_code == 0, done.output
    assert opened == [page.as_uri()]


def test_a_checkout_builds_once_and_again_after_a_change(opened, monkeypatch):
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        folder.mkdir(parents=True)
        (folder / docs.FIRST).write_text("")

    monkeypatch.setattr(docs, "build", build)
    for state in ("a", "a", "b"):
        monkeypatch.setattr(docs, "digest", lambda state=state: state)
        assert run(app, ["docs"]).exit_code == 0
    assert [folder.name for folder in built] == ["a", "b"]
    assert not built[0].exists()
    assert opened[1:] == [(folder / docs.FIRST).as_uri() for folder in built]
    assert run(app, ["docs", "--no-browser"]).output.strip() == str(built[1] / docs.FIRST)
    assert len(opened) == 3


def test_the_digest_follows_what_the_pages_are_made_of(monkeypatch, tmp_path):
    monkeypatch.setattr(docs, "sources", lambda: tmp_path)
    (tmp_path / "mkdocs.yml").write_text("a")
    before = docs.digest()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("built")
    assert docs.digest() == before
    (tmp_path / "mkdocs.yml").write_text("b")
    assert docs.digest() != before
