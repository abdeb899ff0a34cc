"""Laws that every line of the list of methods obeys."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import steerbench as sb
from steerbench.methods import KINDS, METHODS, Method
from steerbench.types.methods import Dissector, Finder, Inverter, TextEditor

ROOT = Path(__file__).parents[2]
PROTOCOLS = {
    "finder": Finder,
    "basis": Finder,
    "boundary": Finder,
    "labeller": Finder,
    "dissector": Dissector,
    "text editor": TextEditor,
    "inverter": Inverter,
}
QUICK = {"closed_form", "eigen_basis", "labelled_direction", "latent_optimiser", "sefa"}
QUICK |= {"random_directions", "toy"}
"""Methods whose ``fit`` takes no longer than some seconds, and therefore no ``state``."""


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> Method:
    return METHODS[request.param]


@pytest.fixture
def kind(method: Method) -> type[Any]:
    """A method that is a class."""
    if method.kind == "inverter":
        pytest.skip("a function: nothing to fit")
    return method.load()


def members(protocol: Any) -> set[str]:
    """What a protocol asks for, attributes and methods."""
    own = {name for name in vars(protocol) if not name.startswith("_")}
    return (own | set(protocol.__annotations__)) or {"__call__"}


# -- the line ------------------------------------------------------------------------------------


def test_the_line_says_what_is_so(method: Method) -> None:
    loaded = method.load()
    assert method.kind in KINDS
    assert loaded.__doc__
    homes = {method.home.partition(":")[0], loaded.__module__}
    manuals = [inspect.getmodule(loaded).__doc__ or "", *map(manual, homes)]
    assert any(all(word in text for word in method.reference.split()) for text in manuals)


def manual(module: str) -> str:
    """The docstring of a module."""
    import importlib

    return importlib.import_module(module).__doc__ or ""


def test_the_chapter_speaks_of_it(method: Method) -> None:
    if method.name == "toy":
        pytest.skip("lives in the tests")
    (chapter,) = (ROOT / "notebooks").glob(f"{method.chapter}_*.ipynb")
    assert method.public in chapter.read_text()


def test_it_is_public_and_one_of_its_kind(method: Method) -> None:
    loaded = method.load()
    if method.kind != "inverter":
        assert getattr(sb, method.public) is loaded
    for member in members(PROTOCOLS[method.kind]) if method.kind in PROTOCOLS else ():
        assert hasattr(loaded, member) or member in loaded.__annotations__, member


# -- the class -----------------------------------------------------------------------------------


def test_hyperparameters_are_kept_unchanged(method: Method, kind: type[Any]) -> None:
    if method.kind == "text editor":
        pytest.skip("reads its texts when it is made; its own tests look at it")
    given = {
        name: {0: True} if name == "labels" else object()
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is parameter.empty
    }
    built = kind(**given)
    for name, parameter in inspect.signature(kind).parameters.items():
        assert getattr(built, name) is given.get(name, parameter.default)


def test_refuses_is_a_class_method(kind: type[Any], toy_generator) -> None:
    assert inspect.ismethod(kind.refuses)
    assert kind.refuses.__self__ is kind
    reason = kind.refuses(toy_generator)
    assert reason is None or toy_generator.name in reason


def test_fit_returns_the_method_and_can_be_gone_on_with(method: Method, kind: type[Any]) -> None:
    parameters = list(inspect.signature(kind.fit).parameters.values())
    assert parameters[1].name == "generator"
    state = {parameter.name: parameter.default for parameter in parameters}
    assert ("state" in state) == (method.name not in QUICK)
    assert state.get("state") is None
    assert "state" not in inspect.signature(kind).parameters


# -- the arguments -------------------------------------------------------------------------------


def glossary() -> dict[str, set[str]]:
    """The table of CONTRIBUTING: each argument, and what it must not be called."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.split("<!-- arguments -->")[1].split("<!-- /arguments -->")[0]
    rows = [
        line.strip("|\n ").split(" | ") for line in table.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("` "): set(re.findall(r"`(\w+)`", row[-1])) for row in rows}


SYNONYMS = {wrong: right for right, others in glossary().items() for wrong in others}


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All that is called from outside: functions of the door, and each method with its methods."""
    for name in sb.__all__:
        if inspect.isfunction(getattr(sb, name)):
            yield name, getattr(sb, name)
    yield "leaderboard", sb.leaderboard.leaderboard
    yield "restore", sb.inversion.restore
    for name in sb.inversion.__all__:
        if dataclasses.is_dataclass(settings := getattr(sb.inversion, name)):
            yield name, settings
    for method in METHODS.values():
        loaded = method.load()
        yield method.name, loaded
        for name, function in inspect.getmembers(loaded, inspect.isroutine):
            if not name.startswith("_"):
                yield f"{method.name}.{name}", function


def wrong_names(function: Callable[..., Any]) -> dict[str, str]:
    """The arguments that the glossary calls otherwise, each with its name there."""
    names = inspect.signature(function).parameters
    return {name: SYNONYMS[name] for name in names if name in SYNONYMS}


def test_the_glossary_names_what_the_house_has_in_common() -> None:
    names = "n_samples n_steps learning_rate batch_size alpha judge seed layers space n_directions"
    assert set(glossary()) >= {*names.split(), "state", "reader"}
    assert not set(SYNONYMS) & set(glossary())


@pytest.mark.parametrize(("name", "function"), list(public_functions()))
def test_arguments_are_called_by_the_glossary(name: str, function: Callable[..., Any]) -> None:
    assert not wrong_names(function), f"{name}: see the table of arguments in CONTRIBUTING.md"


def test_a_wrong_name_would_be_noticed() -> None:
    def fit(generator: Any, n: int, batch: int, alpha: float) -> None: ...

    assert wrong_names(fit) == {"n": "n_samples", "batch": "batch_size"}
