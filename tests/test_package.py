"""The package as a whole: a light import, one list of versions, and the house rules.

ruff, mypy and import-linter run here, so that one command says whether a change is fit.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import steerbench

ROOT = Path(__file__).parents[1]
METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = (ROOT / "binder" / "constraints.txt").read_text()
IMPORT_SECONDS = 0.3


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program, as a user of this checkout would start it."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


# -- the import -----------------------------------------------------------------------------------


def test_importing_does_no_work_and_warns_of_nothing():
    program = (
        "import sys, steerbench; "
        "heavy = {'torch', 'numpy', 'matplotlib', 'ipywidgets', 'sklearn', 'typer'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = run(sys.executable, "-W", "error", "-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_importing_is_quick():
    times = []
    for _ in range(5):
        done = run(sys.executable, "-X", "importtime", "-c", "import steerbench")
        line = next(row for row in done.stderr.splitlines() if row.endswith("| steerbench"))
        times.append(int(line.split("|")[1]) / 1e6)
    assert min(times) < IMPORT_SECONDS


def test_every_public_name_exists():
    for name in steerbench.__all__:
        assert getattr(steerbench, name) is not None
    assert set(steerbench.__all__) <= set(dir(steerbench))


def test_a_mistyped_name_is_helped():
    with pytest.raises(AttributeError, match="Did you mean 'predictor'"):
        _ = steerbench.predictr


# -- the house rules ------------------------------------------------------------------------------


def tool(name: str) -> str:
    """A command of the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)


@pytest.mark.parametrize(
    "command",
    [
        (tool("ruff"), "check", "."),
        (tool("ruff"), "format", "--check", "."),
        (tool("mypy"),),
        (tool("lint-imports"),),
    ],
    ids=["ruff", "ruff-format", "mypy", "import-linter"],
)
def test_house_rules(command):
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


# -- one tested set, everywhere -------------------------------------------------------------------


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement: str) -> str:
    """The name in a requirement: ``imageio[ffmpeg]>=2`` is ``imageio``."""
    return normal(re.match(r"[A-Za-z0-9._-]+", requirement)[0])


PINS = dict(
    (normal(line.split("==")[0]), line.split("==")[1])
    for line in CONSTRAINTS.splitlines()
    if line and not line.startswith("#")
)


@pytest.mark.parametrize("group", ["core", "eval", "docs", "test"])
def test_the_tested_set_names_every_dependency(group):
    extras = METADATA["optional-dependencies"]
    wanted = METADATA["dependencies"] if group == "core" else extras[group]
    assert {named(requirement) for requirement in wanted} <= set(PINS)


def test_the_tested_set_holds_plain_pins_only():
    for line in CONSTRAINTS.splitlines():
        assert re.fullmatch(r"(#.*|[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*)?", line), line
    assert (PINS["torch"], PINS["torchvision"]) == ("2.13.0", "0.28.0")


def test_the_metadata_caps_nothing():
    groups = METADATA["optional-dependencies"].values()
    for requirement in [*METADATA["dependencies"], *(one for group in groups for one in group)]:
        assert "<" not in requirement
        assert "==" not in requirement


def test_binder_installs_the_package_with_the_tested_set():
    lines = (ROOT / "binder" / "requirements.txt").read_text().split("\n")
    assert lines == ["-c constraints.txt", ".", ""]
    runtime = (ROOT / "binder" / "runtime.txt").read_text().strip()
    assert runtime == METADATA["requires-python"].replace(">=", "python-")
    for script in ("postBuild", "start"):
        assert os.access(ROOT / "binder" / script, os.X_OK)
        assert run("bash", "-n", f"binder/{script}").returncode == 0


# -- what the reader meets ------------------------------------------------------------------------


def marked(name: str) -> list[str]:
    """The commands between two marks of the README."""
    text = (ROOT / "README.md").read_text()
    inside = text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
    return [line for line in inside.splitlines() if line and not line.startswith("```")]


@pytest.mark.parametrize("name", ["start command", "test command"])
def test_the_readme_gives_each_command_in_one_line(name):
    (command,) = marked(name)
    assert "-c binder/constraints.txt" in command
    assert run("bash", "-n", "-c", command).returncode == 0


def test_the_pictures_and_pages_that_the_readme_points_to_exist():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)|src=\"([^\"]+)\"", text)
    assert links
    for link in ("".join(pair) for pair in links):
        assert (ROOT / link).exists(), link


def test_every_chapter_stands_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert path.name in text


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert METADATA["version"] == steerbench.__version__ == citation["version"]


def test_the_changelog_has_a_place_for_what_is_new():
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == "MIT"
    assert all("name" in author for author in citation["authors"])
