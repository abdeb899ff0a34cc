"""Which units draw which concept: what the painter and the heat maps are handed, checked.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> known = read_units(G, {"lamp": ("b16.conv0", [3, 14]), "rug": ("b8.conv1", [15])})
>>> known["lamp"].units, known["rug"].layer, known["lamp"].iou
((3, 14), 'b8.conv1', (None, None))

The units of a concept are in order, the best first, each with its *level*: the activation that
only the hundredth part of all places exceeds. It is the threshold of a dissection; where units come
without one it is measured on a few pictures. Painting a concept in sets its units to their levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from steerbench.errors import (
    ArgumentError,
    LayerError,
    NotFittedError,
    NotFoundError,
    unknown,
)
from steerbench.generators import BaseGenerator

QUANTILE = 0.99
"""The share of a unit's activations below its level."""
PICTURES, BATCH = 32, 4
"""How many pictures levels are measured on, and how many at a time."""
FORMS = (
    "Give a fitted sb.Dissection, its table with layer='...', or {concept: (layer, [unit, ...])}."
)


@dataclass(frozen=True)
class ConceptUnits:
    """The units of a layer that match a concept, the best first.

    Attributes:
        concept: The concept's name.
        layer: The layer's name.
        units: The units' numbers.
        iou: How well each matches, from 0 to 1; None where that is not known.
        levels: A high activation of each.
    """

    concept: str
    layer: str
    units: tuple[int, ...]
    iou: tuple[float | None, ...]
    levels: tuple[float, ...]


def read_units(
    generator: BaseGenerator, given: Any, layer: str | None = None
) -> dict[str, ConceptUnits]:
    """Units by concept; concepts that no unit matches come with none.

    Args:
        generator: The generator whose units they are.
        given: A fitted dissection, a table with the columns ``unit``, ``concept``, ``iou`` and, if
            known, ``threshold``, or ``{concept: (layer, [unit, ...])}``.
        layer: The layer of a table, where the table does not come from a dissection.

    Raises:
        ArgumentError: What was given is none of these, is incomplete or has missing numbers, or
            belongs to another generator; LayerError where a layer or unit does not exist.
    """
    if isinstance(given, Mapping):
        found = _from_mapping(generator, given, layer)
    else:
        found = _from_table(generator, *table_of(generator, given, layer))
    if not any(each.units for each in found.values()):
        raise NotFoundError(f"No unit matches any of {len(found)} concepts. {FORMS}")
    return found


def table_of(generator: BaseGenerator, given: Any, layer: str | None) -> tuple[pd.DataFrame, str]:
    """The table of a dissection, checked, and the name of its layer.

    Raises:
        ArgumentError: As in `read_units`.
    """
    if isinstance(given, pd.DataFrame):
        table = given
    elif hasattr(given, "units_"):
        _same_generator(generator, given)
        table, layer = given.units_, _same_layer(generator, given.layer_, layer)
    elif hasattr(given, "fit"):
        raise NotFittedError("Nothing has been dissected yet; call fit(generator) first.")
    else:
        raise ArgumentError(
            f"Units were given as a {type(given).__name__}. Give a fitted sb.Dissection, or its "
            "table with layer='...'; a painter also takes {concept: (layer, [unit, ...])}."
        )
    if layer is None:
        raise LayerError("A table of units needs its layer: pass layer='...'.")
    name, channels = convolutional(generator, layer)
    missing = {"unit", "concept", "iou"} - set(table.columns)
    if missing:
        raise ArgumentError(
            f"The table of units has no column {sorted(missing)[0]!r}; it has "
            f"{[str(column) for column in table.columns]}. {FORMS}"
        )
    _finite(table)
    _existing(name, channels, table["unit"])
    return table, name


def find_concept(known: Mapping[str, ConceptUnits], concept: str) -> ConceptUnits:
    """The units of a concept.

    Raises:
        NotFoundError: There is no such concept, or no unit matches it.
    """
    if concept not in known:
        raise NotFoundError(unknown("concept", concept, known))
    if not known[concept].units:
        painted = [name for name, each in known.items() if each.units]
        raise NotFoundError(
            f"No unit of {known[concept].layer!r} matches {concept!r}, so it cannot be painted. "
            f"Dissect another layer, or paint one of {painted[:12]}."
        )
    return known[concept]


def convolutional(generator: BaseGenerator, name: str) -> tuple[str, int]:
    """Our name of a layer whose units have places, and how many units it has.

    Raises:
        LayerError: There is no such layer, or its units have one place only.
    """
    layer = generator.find_layer(name)
    if layer.height * layer.width < 2:
        raise LayerError(
            f"The units of layer {layer.name!r} have one place, the whole picture, so they cannot "
            "be painted. Choose a convolutional layer."
        )
    return layer.name, layer.channels


def measure_levels(generator: BaseGenerator, layer: str) -> list[float]:
    """The level of every unit of a layer, over the first few seeds.

    Raises:
        ArgumentError: The layer gives NaN.
    """
    seen = []
    with torch.no_grad(), tqdm(total=PICTURES, desc=f"levels of {layer}", delay=1) as progress:
        for seed in range(0, PICTURES, BATCH):
            batch = generator.sample(BATCH, seed=seed)
            seen.append(generator.capture(batch, [layer])[layer].transpose(0, 1).flatten(1).cpu())
            progress.update(BATCH)
    values = torch.cat(seen, dim=1).double().numpy()
    if not np.isfinite(values).all():
        raise ArgumentError(
            f"Layer {layer!r} of {generator.name!r} gives NaN or infinity. Choose another layer, "
            "or check the weights."
        )
    return [float(level) for level in np.quantile(values, QUANTILE, axis=1)]


def _from_table(
    generator: BaseGenerator, table: pd.DataFrame, layer: str
) -> dict[str, ConceptUnits]:
    levels = None if "threshold" in table.columns else measure_levels(generator, layer)
    found = {}
    for concept, rows in table.groupby("concept", sort=False):
        best = rows[rows["iou"] > 0].sort_values("iou", ascending=False, kind="stable")
        units = tuple(int(unit) for unit in best["unit"])
        high = best["threshold"] if levels is None else [levels[unit] for unit in units]
        found[str(concept)] = ConceptUnits(
            str(concept), layer, units, tuple(map(float, best["iou"])), tuple(map(float, high))
        )
    return found


def _from_mapping(
    generator: BaseGenerator, given: Mapping[Any, Any], layer: str | None
) -> dict[str, ConceptUnits]:
    levels: dict[str, list[float]] = {}
    found = {}
    for concept, entry in given.items():
        name, units = _entry(concept, entry, layer)
        name, channels = convolutional(generator, name)
        _existing(name, channels, units)
        if name not in levels:
            levels[name] = measure_levels(generator, name)
        high = tuple(levels[name][unit] for unit in units)
        found[str(concept)] = ConceptUnits(str(concept), name, units, (None,) * len(units), high)
    return found


def _entry(concept: object, entry: Any, layer: str | None) -> tuple[str, tuple[int, ...]]:
    """The layer and the units of one line of a mapping, units alone where the layer is given."""
    try:
        if layer is not None and not isinstance(entry[0], str):
            entry = (layer, entry)
        name, units = entry
        numbers = [int(unit) for unit in units if int(unit) == unit]
        if not isinstance(name, str) or len(numbers) != len(units):
            raise TypeError
    except (TypeError, ValueError, IndexError, KeyError):
        raise ArgumentError(
            f"The units of {concept!r} were given as {str(entry)[:60]}. {FORMS}"
        ) from None
    return name, tuple(numbers)


def _existing(layer: str, channels: int, units: Iterable[Any]) -> None:
    for unit in units:
        if not 0 <= unit < channels:
            raise LayerError(
                f"Unit {unit} was given, but layer {layer!r} has {channels} units: 0 to "
                f"{channels - 1}."
            )


def _finite(table: pd.DataFrame) -> None:
    for column in ("unit", "iou", "threshold"):
        if column not in table.columns:
            continue
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            raise ArgumentError(
                f"The table of units has no number in column {column!r}, row {wrong[0]}: "
                f"{table[column].iloc[wrong[0]]!r}. Drop such rows, or dissect again."
            )


def _same_layer(generator: BaseGenerator, dissected: str, asked: str | None) -> str:
    name = generator.find_layer(dissected).name
    if asked is not None and generator.find_layer(asked).name != name:
        raise LayerError(
            f"Layer {asked!r} was asked for, but these are units of {name!r}. Leave layer out, or "
            "dissect the other one."
        )
    return name


def _same_generator(generator: BaseGenerator, dissection: Any) -> None:
    provenance = getattr(dissection, "provenance_", None)
    fingerprint = getattr(provenance, "fingerprint", "") or generator.fingerprint
    if fingerprint != generator.fingerprint:
        raise ArgumentError(
            f"These units were found in generator {getattr(provenance, 'generator', '')!r} "
            f"(fingerprint {fingerprint}), but {generator.name!r} (fingerprint "
            f"{generator.fingerprint}) was given: its units are others. Dissect it anew."
        )
