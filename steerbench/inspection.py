"""What a model is, what it costs here, and which methods work on it: one look before the work.

    report = sb.inspect("network.pkl")    # a file, the name of a model, or a generator at hand
    report.methods                        # each method, whether it applies, and if not, why

Nothing is looked up by architecture. What the generator can do is asked of the generator itself,
and each method says what it misses in its own ``refuses(generator)``: one that has none works on
any generator. The times are measured on this machine, on one picture, when the report is made.

>>> import steerbench as sb
>>> report = sb.inspect("rooms")
>>> report.architecture, report.resolution, report.channels, report.spaces["w"]
('stylegan2', (64, 64), 3, (128,))
>>> bool(report.methods.set_index("method").applies["sefa"])
True
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from steerbench.errors import CapabilityError, SteerbenchError
from steerbench.generators import BaseGenerator, load
from steerbench.generators.base import PRECISIONS
from steerbench.methods import METHODS
from steerbench.timing import best_of
from steerbench.types import Latent

SECONDS = 1.0
"""How long one precision is timed, unless a single picture takes longer."""
TRIES = 10


@dataclass(frozen=True, eq=False)
class Inspection:
    """What `inspect` found.

    Attributes:
        name: Of the generator.
        format: Of the file it came from; empty for one that was made here.
        architecture: Its architecture.
        resolution: Height and width of a picture, in pixels.
        channels: Of a picture.
        parameters: Numbers that were learned.
        classes: Classes of its labels; 0 where it takes none.
        spaces: The shape of a code, by space.
        layers: One row a layer: ``layer``, ``channels``, ``height``, ``width``.
        weight_bytes: Memory of the weights.
        activation_bytes: Memory of all layers' activations of one picture, which is what the
            Renderer keeps.
        milliseconds: The time of one picture here, by precision; none where it cannot be had.
        capabilities: One row each: ``capability``, ``there``, ``reason`` (why not).
        methods: One row each: ``method``, ``kind``, ``applies``, ``reason`` (why not).
    """

    name: str
    format: str
    architecture: str
    resolution: tuple[int, int]
    channels: int
    parameters: int
    classes: int
    spaces: Mapping[str, tuple[int, ...]]
    layers: pd.DataFrame
    weight_bytes: int
    activation_bytes: int
    milliseconds: Mapping[str, float | None]
    capabilities: pd.DataFrame
    methods: pd.DataFrame

    def facts(self) -> dict[str, str]:
        """Return the short facts, as people read them."""
        height, width = self.resolution
        timed = ", ".join(
            f"{name}: not possible" if value is None else f"{name}: {value:.3g} ms"
            for name, value in self.milliseconds.items()
        )
        return {
            "format": self.format or "made here, not read from a file",
            "architecture": self.architecture,
            "picture": f"{height} x {width} pixels, {self.channels} "
            f"channel{'s' if self.channels > 1 else ''}",
            "parameters": f"{self.parameters:,}",
            "memory": f"{_megabytes(self.weight_bytes)} of weights, "
            f"{_megabytes(self.activation_bytes)} of activations for a picture",
            "label classes": str(self.classes) if self.classes else "none",
            "spaces": ", ".join(f"{name} {list(shape)}" for name, shape in self.spaces.items()),
            "time of a picture": f"{timed} (measured here, threads: {torch.get_num_threads()})",
        }

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the long facts."""
        return {
            "layers": self.layers,
            "capabilities": self.capabilities,
            "methods": self.methods,
        }

    def __str__(self) -> str:
        facts = self.facts()
        wide = max(map(len, facts))
        lines = [self.name, *(f"  {name:<{wide}}  {value}" for name, value in facts.items())]
        for title, table in self.tables().items():
            lines += ["", f"{title}: {len(table)}", *(f"  {row}" for row in rows(table))]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self.facts().items()
        )
        tables = "".join(
            f"<details><summary>{html.escape(title)}: {len(table)}</summary>"
            f"{_with_words(table).to_html(index=False, justify='left', border=0)}</details>"
            for title, table in self.tables().items()
        )
        return f"<b>{html.escape(self.name)}</b><table>{rows}</table>{tables}"


def inspect(source: str | os.PathLike[str] | BaseGenerator) -> Inspection:
    """Look at a model: what it is, what it costs here, which methods work on it.

    Args:
        source: What `steerbench.load` takes (the path of a file, the name of a model), or a
            generator.

    Raises:
        NotFoundError: There is no such file or model.
        CheckpointError: The file is broken, or of no known format; then the text says what it
            holds, and what the nearest formats would need.
    """
    generator = source if isinstance(source, BaseGenerator) else load(source)
    latent = generator.sample(1, seed=0)
    image = generator.render(latent)
    state = generator.module.state_dict().values()
    return Inspection(
        name=generator.name,
        format=generator.format,
        architecture=generator.architecture,
        resolution=(int(image.shape[-2]), int(image.shape[-1])),
        channels=int(image.shape[1]),
        parameters=sum(part.numel() for part in generator.module.parameters()),
        classes=generator.classes,
        spaces={name: space.shape for name, space in generator.spaces.items()},
        layers=_layers(generator),
        weight_bytes=sum(tensor.numel() * tensor.element_size() for tensor in state),
        activation_bytes=4 * sum(la.channels * la.height * la.width for la in generator.layers),
        milliseconds={name: milliseconds(generator, latent, name) for name in PRECISIONS},
        capabilities=capabilities(generator, latent, image),
        methods=methods(generator),
    )


def _layers(generator: BaseGenerator) -> pd.DataFrame:
    rows = [(la.name, la.channels, la.height, la.width) for la in generator.layers]
    return pd.DataFrame(rows, columns=["layer", "channels", "height", "width"])


def milliseconds(generator: BaseGenerator, latent: Latent, precision: str) -> float | None:
    """Time one picture: the best of a few tries, because others only ever slow one down.

    The first try also prepares kernels; it counts where one picture takes longer than all tries.

    Args:
        generator: Draws it.
        latent: Its code.
        precision: ``"exact"`` or ``"fast"``.
    """
    try:
        return 1000 * best_of(
            lambda: generator.render(latent, precision=precision), TRIES, patience=SECONDS
        )
    except RuntimeError:  # an operation that this precision does not have
        return None


# -- what it can do -------------------------------------------------------------------------------

Probe = Callable[[BaseGenerator, Latent, Tensor], object]


def _affine(generator: BaseGenerator, latent: Latent, image: Tensor) -> object:
    return generator.affine(generator.natural_space)


def _truncation(generator: BaseGenerator, latent: Latent, image: Tensor) -> object:
    return generator.to(latent, generator.render_space, truncation=0.5)


def _labels(generator: BaseGenerator, latent: Latent, image: Tensor) -> object:
    if not generator.classes:
        raise CapabilityError(f"{generator.name!r} knows no classes.")
    return True


def _noise(generator: BaseGenerator, latent: Latent, image: Tensor) -> object:
    if not generator.has_noise:
        raise CapabilityError(f"{generator.name!r} adds no noise to its layers.")
    return True


def _call(name: str, missing: str) -> Probe:
    """Call a method on a picture; ``missing`` is the reason where there is no such method."""

    def probe(generator: BaseGenerator, latent: Latent, image: Tensor) -> object:
        method = getattr(generator, name, None)
        if method is None:
            raise CapabilityError(f"{generator.name!r} {missing}.")
        return method(image)

    return probe


CAPABILITIES: dict[str, Probe] = {
    "affine": _affine,
    "truncation": _truncation,
    "labels": _labels,
    "noise": _noise,
    "discriminator": _call("discriminator", "comes without a discriminator"),
    "encode": _call("encode", "has no exact way from a picture back to its code"),
    "log_prob": _call("log_prob", "gives no likelihood of a picture"),
}
"""What a generator may be able to do, and a call that fails with the reason where it cannot."""


def capabilities(generator: BaseGenerator, latent: Latent, image: Tensor) -> pd.DataFrame:
    """Return each optional capability, whether it is there, and the reason where it is not.

    Args:
        generator: Which is asked.
        latent: A code of it.
        image: Its picture.
    """
    rows = []
    for name, probe in CAPABILITIES.items():
        try:
            with torch.no_grad():
                probe(generator, latent, image)
            rows.append((name, True, ""))
        except SteerbenchError as error:
            rows.append((name, False, str(error)))
    return pd.DataFrame(rows, columns=["capability", "there", "reason"])


def methods(generator: BaseGenerator) -> pd.DataFrame:
    """List each method of `steerbench.methods`: whether it applies, and if not, why."""
    rows = []
    for method in METHODS.values():
        refuses = getattr(method.load(), "refuses", None)  # an inverter is a function
        reason = None if refuses is None else refuses(generator)
        rows.append((method.name, method.kind, reason is None, reason or ""))
    return pd.DataFrame(rows, columns=["method", "kind", "applies", "reason"])


# -- as text --------------------------------------------------------------------------------------


def _with_words(table: pd.DataFrame) -> pd.DataFrame:
    flags = table.select_dtypes("bool").columns
    return table.assign(**{name: table[name].map({True: "yes", False: "no"}) for name in flags})


def rows(table: pd.DataFrame) -> list[str]:
    """Return the lines of a table, its head first: words to the left, numbers to the right."""
    cells = [list(table.columns)]
    cells += [[str(value) for value in row] for row in _with_words(table).itertuples(index=False)]
    wide = [max(len(row[i]) for row in cells) for i in range(table.shape[1])]
    numbers = [pd.api.types.is_integer_dtype(kind) for kind in table.dtypes]
    return [
        "  ".join(
            text.rjust(size) if number else text.ljust(size)
            for text, size, number in zip(row, wide, numbers)
        ).rstrip()
        for row in cells
    ]


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


__all__ = ["CAPABILITIES", "Inspection", "inspect", "rows"]
