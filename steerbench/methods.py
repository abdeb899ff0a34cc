"""METHODS: the one list of what can be fitted.

A method is one line here, and everything else follows from the line: its public name
(``sb.SeFa``), its row in the report of `sb.inspect`, the laws that `tests/contracts` holds it to,
and, of a finder, its place in the leaderboard. A method of your own is taken up by the same line,
in a notebook or in a package of yours::

    sb.methods.register("toy", "finder", "10", "Me 2030", "my_package.my_module:ToyFinder")

Nothing is imported until it is asked for, so that the list costs nothing to read:

>>> METHODS["sefa"].kind, METHODS["sefa"].chapter, METHODS["sefa"].reference
('finder', '08', 'arXiv 2007.06600')
>>> FINDERS["sefa"].__name__
'SeFa'

The kinds say what a method is given and what it leaves (`steerbench.types.methods` has their
protocols):

- finder: nothing but a generator; ``directions_``
- basis: the same, for generators that were built with directions
- boundary: a predictor; ``directions_`` and ``table_``
- labeller: labels from a person; ``direction_``
- dissector: a segmenter; ``units_``, one row for each unit and concept
- units: a dissection or features; ``units_`` or ``effects_``, what units do
- text editor: a CLIP; ``edit(latent)``
- inverter: pictures; called as ``inverter(generator, images)``
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from steerbench.errors import ArgumentError, NotFoundError, unknown

KINDS = (
    "finder",
    "basis",
    "boundary",
    "labeller",
    "dissector",
    "units",
    "text editor",
    "inverter",
)


@dataclass(frozen=True)
class Method:
    """A line of the list.

    Attributes:
        name: In tables and options: ``"sefa"``.
        kind: One of `KINDS`.
        chapter: The number of the chapter that is about it; empty for none.
        reference: What its module cites: an arXiv number where there is one.
        home: Where it is written, module and name: ``"steerbench.unsupervised.sefa:SeFa"``.
    """

    name: str
    kind: str
    chapter: str
    reference: str
    home: str

    @property
    def public(self) -> str:
        """The name that it has in Python."""
        return self.home.partition(":")[2]

    def load(self) -> Any:
        """Import it, and return the class (of an inverter, the function)."""
        module, _, name = self.home.partition(":")
        return getattr(import_module(module), name)


METHODS: dict[str, Method] = {}
"""Name to `Method`, kind by kind."""


def register(name: str, kind: str, chapter: str, reference: str, home: str) -> Method:
    """Add a method to the list; the one line that it takes.

    Args:
        name: In tables and options; of one that is there already it takes the place.
        kind: One of `KINDS`.
        chapter: The number of the chapter that is about it; empty for none.
        reference: What its module cites: an arXiv number where there is one.
        home: Module and class, ``"package.module:Class"``.

    Raises:
        NotFoundError: There is no such kind.
        ArgumentError: The home is not written as module and name.
    """
    if kind not in KINDS:
        raise NotFoundError(unknown("kind of method", kind, KINDS))
    module, _, public = home.partition(":")
    if not module or not public.isidentifier():
        raise ArgumentError(
            f"The method {name!r} is said to live in {home!r}. Give module and name, such as "
            "'steerbench.unsupervised.sefa:SeFa'."
        )
    METHODS[name] = Method(name, kind, chapter, reference, home)
    return METHODS[name]


class MethodsOfKind(Mapping[str, Any]):
    """The methods of one kind, name to class; a view of `METHODS`, imported on demand.

    Args:
        kind: One of `KINDS`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getitem__(self, name: str) -> Any:
        method = METHODS[name]
        if method.kind != self.kind:
            raise KeyError(name)
        return method.load()

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return [name for name, method in METHODS.items() if method.kind == self.kind]

    def __repr__(self) -> str:
        return f"<{self.kind}: {', '.join(self) or 'none'}>"


FINDERS = MethodsOfKind("finder")
"""What the leaderboard compares: directions without labels, of any generator."""
SUPERVISED = MethodsOfKind("boundary")
"""Finders that are given a predictor."""
DISSECTORS = MethodsOfKind("dissector")
"""Methods that find what units stand for."""


def public_homes() -> dict[str, str]:
    """Return the module of each class of the list, by the class's name."""
    return {
        method.public: method.home.partition(":")[0]
        for method in METHODS.values()
        if method.kind != "inverter"
    }


# fmt: off
register("closed_form",        "finder",      "11", "arXiv 2012.05328", "steerbench.unsupervised.closed_form:ClosedForm")
register("ganspace",           "finder",      "09", "arXiv 2004.02546", "steerbench.unsupervised.ganspace:GANSpace")
register("hessian_penalty",    "finder",      "11", "arXiv 2008.10599", "steerbench.unsupervised.hessian_penalty:HessianPenalty")
register("jacobian",           "finder",      "11", "arXiv 1812.01161", "steerbench.unsupervised.jacobian:Jacobian")
register("latent_discovery",   "finder",      "11", "arXiv 2002.03754", "steerbench.unsupervised.latent_discovery:LatentDiscovery")
register("random_directions",  "finder",      "09", "Muller 1959",      "steerbench.unsupervised.random_directions:RandomDirections")
register("sefa",               "finder",      "08", "arXiv 2007.06600", "steerbench.unsupervised.sefa:SeFa")
register("stylespace",         "finder",      "10", "arXiv 2011.12799", "steerbench.unsupervised.stylespace:StyleSpace")
register("eigen_basis",        "basis",       "12", "arXiv 2104.12476", "steerbench.unsupervised.eigengan_basis:EigenBasis")
register("latent_boundaries",  "boundary",    "04", "arXiv 1911.09267", "steerbench.supervised.boundaries.higan:LatentBoundaries")
register("labelled_direction", "labeller",    "06", "arXiv 1907.10786", "steerbench.supervised.boundaries.labelling:LabelledDirection")
register("dissection",         "dissector",   "03", "arXiv 1811.10597", "steerbench.supervised.dissection:Dissection")
register("unit_effects",       "units",       "03", "arXiv 1811.10597", "steerbench.supervised.dissection.effects:UnitEffects")
register("unit_search",        "units",       "03", "arXiv 1811.10597", "steerbench.supervised.dissection.search:UnitSearch")
register("artefact_units",     "units",       "03", "arXiv 1811.10597", "steerbench.supervised.dissection.artefacts:ArtefactUnits")
register("latent_optimiser",   "text editor", "18", "arXiv 2103.17249", "steerbench.embedding.styleclip:LatentOptimiser")
register("latent_mapper",      "text editor", "18", "arXiv 2103.17249", "steerbench.embedding.styleclip:LatentMapper")
register("global_directions",  "text editor", "18", "arXiv 2103.17249", "steerbench.embedding.styleclip:GlobalDirections")
register("optimise",           "inverter",    "15", "arXiv 1609.03552", "steerbench.inversion:invert")
register("project",            "inverter",    "15", "arXiv 1912.04958", "steerbench.inversion:project")
# fmt: on
