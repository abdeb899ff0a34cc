"""Predictors: anything that reads a picture, and the one function that gets hold of them.

>>> import steerbench as sb
>>> oracle = sb.predictor("rooms-attributes")
>>> rooms = sb.world("rooms").sample(2, seed=0)
>>> oracle.predict(rooms.images).shape, len(oracle.names)
(torch.Size([2, 40]), 40)

>>> segmenter = sb.predictor("rooms-segmenter")
>>> segmenter.predict(rooms.images).shape, segmenter.areas(rooms.images).shape
(torch.Size([2, 64, 64]), torch.Size([2, 21]))

Any other model becomes one by stating what its scores are called and what it wants to see:

>>> brightness = sb.predictor(lambda x: x.mean((1, 2, 3)), names=["brightness"])
>>> brightness.predict(torch.ones(2, 3, 64, 64))
tensor([[1.],
        [1.]])

So do classifiers of torchvision, timm and Hugging Face, with the ``resolution`` and ``normalise``
that they were trained with; an estimator of scikit-learn that reads features of pictures; and any
segmenter (what a model may return: `steerbench.predictors.base`). Scores that were recorded
for codes become one too (`steerbench.predictors.distillation`). Where scores of whole
pictures are wanted, a function takes them from a segmenter:

>>> greenery = lambda x: segmenter.areas(x)[:, segmenter.names.index("plant")]
>>> sb.predictor(greenery, names=["plant"], units="share of pixels").predict(rooms.images).shape
torch.Size([2, 1])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import torch

from steerbench import assets, store
from steerbench.errors import CheckpointError, NotFoundError, PredictorError, closest
from steerbench.predictors.attributes import Attribute, AttributeNetwork, AttributePredictor
from steerbench.predictors.base import BasePredictor, Normalise
from steerbench.predictors.distillation import DistilledPredictor, distill
from steerbench.predictors.segmentation import SegmentationNetwork, SegmentationPredictor

__all__ = [
    "PREDICTORS",
    "Attribute",
    "AttributeNetwork",
    "AttributePredictor",
    "BasePredictor",
    "DistilledPredictor",
    "SegmentationNetwork",
    "SegmentationPredictor",
    "StoredPredictor",
    "distill",
    "oracle",
    "predictor",
    "save",
]

KIND = "steerbench predictor"

StoredPredictor = AttributePredictor | SegmentationPredictor
"""What a file can hold."""

PREDICTORS: dict[str, type[StoredPredictor]] = {
    "attributes": AttributePredictor,
    "segmentation": SegmentationPredictor,
}
"""Architecture to class: what a file can hold."""


@overload
def predictor(
    source: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    *,
    batch_size: int = 128,
    device: str = "cpu",
) -> StoredPredictor: ...


@overload
def predictor(
    source: Callable[[torch.Tensor], Any],
    names: Sequence[str],
    *,
    units: str | Sequence[str] = "",
    resolution: int | tuple[int, int] | None = None,
    normalise: Normalise | None = None,
    channels: int | None = None,
    batch_size: int = 128,
    device: str = "cpu",
) -> BasePredictor: ...


def predictor(
    source: str | os.PathLike[str] | Callable[[torch.Tensor], Any],
    names: Sequence[str] | None = None,
    *,
    units: str | Sequence[str] = "",
    resolution: int | tuple[int, int] | None = None,
    normalise: Normalise | None = None,
    channels: int | None = None,
    batch_size: int = 128,
    device: str = "cpu",
) -> BasePredictor:
    """Return a predictor by the name of an embedded one, from a file, or around any model.

    Args:
        source: The name of an embedded one; the path of a file written by `save`; or a
            function or module that takes pictures ``[n, C, H, W]`` and returns scores
            ``[n, len(names)]`` (tensor or array), or of a segmenter ``[n, len(names), h, w]`` or
            integer labels ``[n, h, w]``.
        names: What the scores are called; required with a model. With a name or a path: the
            attributes wanted, None for all (a segmenter always gives all its classes).
        units: A unit for all scores of a model, or one for each.
        resolution: Side, or height and width, in pixels that the model wants; None: any.
        normalise: ``(mean, std)`` of pixels in [0, 1], as torchvision states them; ``(0, 1)`` for
            a model that wants pixels in [0, 1], ``(0, 1 / 255)`` in [0, 255]; None for [-1, 1].
        channels: 1 for a model of grey pictures, 3 for RGB, None to pass them as they come.
        batch_size: Pictures the model gets at a time.
        device: Where to put it; a plain function stays where it is.

    Raises:
        NotFoundError: No embedded predictor, no file, or no attribute has this name.
        CheckpointError: The file is broken, or not a predictor.
        PredictorError: The options do not fit; later, when predicting, what a model returned.
    """
    if isinstance(source, (str, os.PathLike)):
        if units or resolution is not None or normalise is not None or channels is not None:
            raise PredictorError(
                f"{os.fspath(source)!r} knows its own units, resolution, normalisation and "
                "channels; leave these out, they are for a model of one's own."
            )
        found = _load(os.fspath(source))
        found = found if names is None else found.only(names)
        found.batch_size = batch_size
        return found.on(device)
    if not callable(source):
        raise PredictorError(
            f"Got a {type(source).__name__}; give a name, a path, or a function or module that "
            "takes pictures. An estimator is wrapped by a function that calls its predict."
        )
    if names is None:
        raise PredictorError("A model needs names=[...], one for each of its scores.")
    wrapped = BasePredictor(
        source,
        names,
        units=units,
        resolution=resolution,
        normalise=normalise,
        channels=channels,
        batch_size=batch_size,
        name=getattr(source, "__name__", type(source).__name__),
    )
    return wrapped if device == "cpu" else wrapped.on(device)


def oracle(source: str | os.PathLike[str] | BasePredictor) -> AttributePredictor:
    """Return a predictor whose features and attributes can be used, by name, from a file, or given.

    Raises:
        PredictorError: It is another kind of predictor.
    """
    found = source if isinstance(source, BasePredictor) else predictor(source)
    if not isinstance(found, AttributePredictor):
        raise PredictorError(
            f"{found.name} is a {type(found).__name__}; an oracle that reads attributes by its own "
            "network is needed here, as python -m steerbench.training attributes makes it."
        )
    return found


def _load(name: str) -> StoredPredictor:
    embedded = assets.path("predictors", name)
    path = embedded or Path(name).expanduser()
    if not path.is_file():
        near = closest(name, assets.names("predictors"))
        raise NotFoundError(
            f"There is no predictor and no file {name!r}. {near} "
            "Give one of these names, the path of a file, or a model with names=[...]."
        )
    tensors, header = store.load(path)
    architecture = header.get("architecture")
    if header.get("kind") != KIND or architecture not in PREDICTORS:
        raise CheckpointError(
            f"{path} is not a predictor of a known kind: it holds {header.get('kind', 'no kind')!r}"
            f", architecture {architecture!r}. Give a file written by steerbench.predictors.save."
        )
    try:
        called = name if embedded else path.stem
        return PREDICTORS[architecture].build(header["config"], tensors, name=called)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is an incomplete {architecture} file: {type(error).__name__}: {error}. Get "
            "the file again from where it came from."
        ) from error


def save(source: StoredPredictor, path: str | os.PathLike[str], **header: Any) -> None:
    """Write a predictor as one safetensors file; ``header`` adds to what it says of itself."""
    document = {
        "kind": KIND,
        "architecture": source.architecture,
        "name": source.name,
        "config": source.config(),
        **header,
    }
    store.save(path, source.tensors(), document)
