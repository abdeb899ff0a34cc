"""CLIP: pictures and sentences as points of one space, near where one describes the other.

Two networks, trained on pairs of a picture and its caption, map pictures to features f(x) and
texts to features g(t), all of unit length. Their cosine says how well a sentence fits a picture,
and a pair of opposite sentences makes a reader of pictures that nobody had to label:

    p(x) = 1 / (1 + exp(-tau (f(x) . g(t+) - f(x) . g(t-))))

with tau the scale that the networks learned. The networks are those of the package open_clip:
any of its models by name, with its published weights or with a local file, and the embedded
``rooms-clip``, a small one with a vocabulary of its own, trained by ``python -m
steerbench.training clip`` on pictures of the world ``rooms`` and what can be said of them. It
needs no network; ``rooms-clip-2`` has another shape and seed, to judge what the first one guided.

>>> import steerbench as sb
>>> clip = sb.clip("rooms-clip")
>>> clip.unknown_words("a bedroom with a dragon")
('dragon',)
>>> on, off = "a room with a lamp that is on", "a room with the lamp off"
>>> lamp = clip.predictor({"lamp_on": (on, off)})
>>> lamp.predict(torch.zeros(2, 3, 64, 64)).shape
torch.Size([2, 1])

Reference: Radford, Kim, Hallacy, Ramesh, Goh, Agarwal, Sastry, Askell, Mishkin, Clark, Krueger,
Sutskever, "Learning Transferable Visual Models From Natural Language Supervision" (2021, arXiv
2103.00020); Cherti et al., "Reproducible scaling laws for contrastive language-image learning"
(2022, arXiv 2212.07143) for open_clip.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench import assets, store
from steerbench.compat import ensure_torchvision
from steerbench.errors import CheckpointError, NotFoundError, PredictorError, closest
from steerbench.predictors.base import BasePredictor, Normalise
from steerbench.predictors.tokenizer import Words, split

KIND = "steerbench clip"


class Clip(BasePredictor):
    """A pair of networks that see pictures and read sentences.

    Args:
        network: A model of open_clip; it is put in evaluation mode and its weights are frozen.
        tokenizer: Texts to numbers ``[N, context_length]``.
        resolution: The side (or height and width) in pixels that the network wants.
        normalise: ``(mean, std)`` of pixels in [0, 1] that it wants.
        words: The vocabulary, where it is a closed one; empty where any word is known.
        encode: One text to its numbers, without start and end: to know when one is too long.
        context_length: How many numbers it reads, start and end included.
        name: What to call it in messages.
    """

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Callable[[list[str]], Tensor],
        *,
        resolution: int | tuple[int, int],
        normalise: Normalise,
        words: Sequence[str] = (),
        encode: Callable[[str], list[int]],
        context_length: int,
        name: str = "clip",
    ) -> None:
        self.network: Any = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.vocabulary, self.context_length = tuple(words), context_length
        self._encode = encode
        super().__init__(
            network,
            ["clip"],
            resolution=resolution,
            normalise=normalise,
            channels=3,
            name=name,
        )

    def __repr__(self) -> str:
        known = f"{len(self.vocabulary)} words" if self.vocabulary else "any words"
        return f"Clip({self.name!r}, {known})"

    @property
    def scale(self) -> float:
        """tau, by which cosines are multiplied before they are compared."""
        return float(self.network.logit_scale.exp())

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that name the weights and the vocabulary."""
        if not hasattr(self, "_fingerprint"):
            tensors = dict(self.network.state_dict())
            marks = " ".join(self.vocabulary).encode()
            tensors["words"] = torch.tensor(list(marks), dtype=torch.uint8)
            self._fingerprint = store.fingerprint(tensors)
        return self._fingerprint

    def encode_image(self, images: Tensor) -> Tensor:
        """Return where pictures lie.

        Args:
            images: ``[N, C, H, W]`` in [-1, 1], any size, grey or RGB. Gradients flow back to them.

        Returns:
            ``[N, features]`` float32 of unit length.

        Raises:
            ShapeError: These are no pictures.
            PredictorError: They contain NaN.
        """
        return self.run(images, lambda x: F.normalize(self.network.encode_image(x).float(), dim=-1))

    def encode_text(self, texts: str | Sequence[str]) -> Tensor:
        """Return where sentences lie: ``[N, features]`` float32 of unit length, one row a sentence.

        Words outside a closed vocabulary are left out, and what is beyond the context is cut off;
        `unknown_words` and `cut_off` tell.

        Raises:
            PredictorError: A text is empty, or none of its words is known.
        """
        sentences: list[Any] = list(texts) if isinstance(texts, (list, tuple)) else [texts]
        for sentence in sentences:
            self._check(sentence)
        with torch.no_grad():
            numbers = self.tokenizer(sentences).to(self.device)
            return F.normalize(self.network.encode_text(numbers).float(), dim=-1)

    def similarity(self, images: Tensor, texts: str | Sequence[str]) -> Tensor:
        """Return cosines of pictures and sentences, ``[N, texts]`` in [-1, 1]."""
        features = self.encode_image(images)
        return features @ self.encode_text(texts).T.to(features.device)

    def predict(self, images: Tensor) -> Tensor:
        """Refuse: what a CLIP says, it says of sentences.

        Raises:
            PredictorError: Always; it names `predictor`.
        """
        raise PredictorError(
            f"{self.name} compares pictures with sentences, and was given none. Make a predictor "
            'of opposite sentences first: .predictor({"plant": ("a room with a plant", '
            '"a room without a plant")}).'
        )

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words of a text that are outside a closed vocabulary, each once, in order."""
        if not self.vocabulary:
            return ()
        known = set(self.vocabulary)
        return tuple(dict.fromkeys(word for word in split(text) if word not in known))

    def cut_off(self, text: str) -> int:
        """Return how many tokens (mostly words) of a text are beyond what the network reads."""
        return max(0, len(self._encode(text)) - (self.context_length - 2))

    def remarks(self, text: str) -> tuple[str, ...]:
        """Return in plain English what of a text will not count; nothing where all of it does."""
        said = []
        if unknown := self.unknown_words(text):
            shown = ", ".join(repr(word) for word in unknown[:6])
            more = f" and {len(unknown) - 6} more" if len(unknown) > 6 else ""
            near = [difflib.get_close_matches(w, self.vocabulary, 1, 0.7) for w in unknown[:6]]
            offered = " or ".join(repr(word[0]) for word in near if word)
            hint = f" Did you mean {offered}?" if offered else ""
            said.append(f"{self.name} never saw {shown}{more}: left out.{hint}")
        if beyond := self.cut_off(text):
            said.append(
                f"{self.name} reads {self.context_length - 2} words or parts of words; the last "
                f"{beyond} do not count. Say it shorter."
            )
        return tuple(said)

    def predictor(self, opposites: Mapping[str, tuple[str, str]]) -> ZeroShotPredictor:
        """Return a reader of pictures made of words alone.

        Args:
            opposites: Name to what is said of a picture that has it, and of one that has not.

        Returns:
            A predictor of probabilities, for boundaries, scorecards and names.

        Raises:
            PredictorError: There is no pair, or a sentence is empty or all unknown.
        """
        return ZeroShotPredictor(self, opposites)

    def _check(self, text: object) -> None:
        if not isinstance(text, str):
            raise PredictorError(
                f"The prompt is a {type(text).__name__}; give a string, such as "
                '"a bedroom at night".'
            )
        if not text.strip():
            raise PredictorError('The prompt is empty; say something, such as "a room at night".')
        if self.vocabulary and len(self.unknown_words(text)) == len(set(split(text))):
            hint = closest((split(text) or [text])[0], self.vocabulary)
            raise PredictorError(
                f"{self.name} knows none of the words of {text[:60]!r}. {hint} It was taught "
                f"{len(self.vocabulary)} words; .vocabulary lists them."
            )


class ZeroShotPredictor(BasePredictor):
    """Probabilities from pairs of opposite sentences; see `Clip.predictor`."""

    def __init__(self, clip: Clip, opposites: Mapping[str, tuple[str, str]]) -> None:
        pairs = {name: tuple(pair) for name, pair in dict(opposites).items()}
        odd = [name for name, pair in pairs.items() if len(pair) != 2 or isinstance(pair, str)]
        if odd or not pairs:
            given = f"{odd[0]!r}: {opposites[odd[0]]!r}" if odd else "nothing"
            raise PredictorError(
                f'Got {given}; give each name a pair: {{"plant": ("a room with a plant", '
                '"a room without a plant")}.'
            )
        self.clip, self.opposites = clip, pairs
        ends = clip.encode_text([text for pair in pairs.values() for text in pair])
        self.axes = ends[0::2] - ends[1::2]
        super().__init__(
            clip.network, list(pairs), units="probability", name=f"{clip.name}, by words"
        )

    def predict(self, images: Tensor) -> Tensor:
        """Read pictures ``[N, C, H, W]`` in [-1, 1]: probabilities ``[N, len(names)]`` float32."""
        return self.logits(images).sigmoid()

    def logits(self, images: Tensor) -> Tensor:
        """Return the same as `predict`, but log odds, which never saturate."""
        features = self.clip.encode_image(images)
        return self.clip.scale * features @ self.axes.T.to(features.device)


def build_clip(config: Mapping[str, Any], words: Sequence[str], name: str = "clip") -> Clip:
    """Return a new, untrained CLIP for a closed vocabulary.

    Args:
        config: ``features``; ``image`` and ``text``, the settings of open_clip's ``CLIPVisionCfg``
            and ``CLIPTextCfg``.
        words: The vocabulary.
        name: What to call it in messages.
    """
    ensure_torchvision()
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    tokenizer = Words(words, config["text"]["context_length"])
    text = CLIPTextCfg(vocab_size=tokenizer.vocab_size, **config["text"])
    network = CLIP(config["features"], CLIPVisionCfg(**config["image"]), text)
    return Clip(
        network,
        tokenizer,
        resolution=config["image"]["image_size"],
        normalise=(0.5, 0.5),
        words=tokenizer.words,
        encode=tokenizer.encode,
        context_length=tokenizer.context_length,
        name=name,
    )


def save(
    clip: Clip, config: Mapping[str, Any], path: str | os.PathLike[str], **header: Any
) -> None:
    """Write a CLIP made by `build_clip` as one safetensors file, in half precision."""
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in clip.network.state_dict().items()
    }
    document = {"kind": KIND, "config": dict(config), "words": list(clip.vocabulary), **header}
    store.save(path, tensors, document)


def clip(name: str, *, pretrained: str | os.PathLike[str] | None = None) -> Clip:
    """Return a CLIP by name.

    Args:
        name: That of an embedded one; the path of a file written by `save`; or a model of
            open_clip, such as ``"ViT-B-32"``.
        pretrained: With a model of open_clip, which weights: a tag such as ``"openai"``, which is
            downloaded where there is a network, or the path of a local file.

    Raises:
        NotFoundError: Nothing is called so.
        CheckpointError: A file is broken, or holds something else; or a download failed.
        PredictorError: A model of open_clip was named without its weights.
    """
    embedded = assets.path("clips", name)
    path = embedded or Path(name).expanduser()
    if path.suffix == ".safetensors":
        if pretrained is not None:
            raise PredictorError(f"{name!r} has its weights; leave out pretrained.")
        return _read(path, name if embedded else path.stem)
    return _load_published(name, pretrained)


def _read(path: Path, name: str) -> Clip:
    tensors, header = store.load(path)
    if header.get("kind") != KIND:
        raise CheckpointError(
            f"{path} holds {header.get('kind', 'something else')!r}, expected a {KIND!r}. Give a "
            "file written by steerbench.predictors.clip.save, or the name of a model of open_clip "
            "with pretrained=PATH."
        )
    try:
        made = build_clip(header["config"], header["words"], name)
        made.network.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        )
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is an incomplete CLIP: {type(error).__name__}: {error}. Get the file again "
            "from where it came from."
        ) from error
    return made


def _load_published(name: str, pretrained: str | os.PathLike[str] | None) -> Clip:
    ensure_torchvision()
    import open_clip

    models, embedded = open_clip.list_models(), assets.names("clips")
    if name.replace("/", "-") not in models:
        raise NotFoundError(
            f"No CLIP is called {name!r}. {closest(name, [*embedded, *models])} The embedded ones "
            f"are {', '.join(embedded)}; the others are models of open_clip."
        )
    tags = open_clip.list_pretrained_tags_by_model(name.replace("/", "-"))
    weights = None if pretrained is None else os.fspath(pretrained)
    if weights is None or (weights not in tags and not Path(weights).is_file()):
        raise PredictorError(
            f"pretrained={weights!r} names no weights of {name}. {closest(weights, tags)} Give one "
            "of its tags, or the path of a file."
        )
    try:
        network, _, _ = open_clip.create_model_and_transforms(name, pretrained=weights)
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # whatever a download or somebody's file may raise
        raise CheckpointError(
            f"{name} with pretrained={weights!r} did not load: {type(error).__name__}: {error} "
            "Without a network give the path of a local file, or take an embedded one: "
            f"{', '.join(embedded)}."
        ) from error
    visual = network.visual
    return Clip(
        network,
        tokenizer,
        resolution=visual.image_size,
        normalise=(visual.image_mean, visual.image_std),
        encode=tokenizer.encode,
        context_length=network.context_length,
        name=name,
    )
