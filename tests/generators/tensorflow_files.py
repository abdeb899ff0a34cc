"""Files as the TensorFlow years wrote them: pickled networks of random variables, no TensorFlow."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

Variables = dict[str, Any]


def written(
    path: Path, networks: list[dict[str, Any]], module: str = "dnnlib.tflib.network"
) -> Path:
    """A file of networks, each given as its state; classes bear the names they had."""
    kind = type("Network", (), {"__module__": module})
    names = [module.rsplit(".", i)[0] for i in range(module.count(".") + 1)]
    fakes = {name: types.ModuleType(name) for name in names}
    fakes[module].Network = kind  # type: ignore[attr-defined]

    def built(state: dict[str, Any]) -> Any:
        parts = {name: built(part) for name, part in state.get("components", {}).items()}
        network = kind()
        network.__dict__.update(state | ({"components": parts} if "components" in state else {}))
        return network

    kept = {name: sys.modules.get(name) for name in names}
    sys.modules.update(fakes)
    try:
        path.write_bytes(pickle.dumps(tuple(built(state) for state in networks), protocol=4))
    finally:
        for name, before in kept.items():
            sys.modules.pop(name)
            if before is not None:
                sys.modules[name] = before
    return path


def network(function: str, variables: Variables, version: int = 4, **settings: Any) -> dict:
    """The state of a network; names with ``mapping/`` and ``synthesis/`` go to its components."""
    components = {
        part: network(
            f"G_{part}", {k[len(part) + 1 :]: v for k, v in variables.items() if k.startswith(part)}
        )
        for part in ("mapping", "synthesis")
        if any(name.startswith(f"{part}/") for name in variables)
    }
    own = {k: v for k, v in variables.items() if k.partition("/")[0] not in components}
    return {
        "version": version,
        "name": function,
        "static_kwargs": settings,
        "components": components,
        "build_module_src": "raise RuntimeError('this must never be executed')",
        "build_func_name": function,
        "variables": list(own.items()),
    }


class Draw:
    """Random variables, in TensorFlow's orders of dimensions."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.RandomState(seed)
        self.variables: Variables = {}

    def add(self, name: str, *shape: int, scale: float = 1.0) -> None:
        drawn = (scale * self.random.randn(*shape)) if shape else scale * self.random.randn()
        self.variables[name] = np.float32(drawn)

    def layer(self, name: str, *shape: int) -> None:
        """A weight and the bias of its outputs."""
        self.add(f"{name}/weight", *shape)
        self.add(f"{name}/bias", shape[-1], scale=0.3)

    def styled(self, name: str, shape: tuple[int, ...], w_dim: int) -> None:
        """A layer that is modulated."""
        self.layer(name, *shape)
        self.add(f"{name}/mod_weight", w_dim, shape[2])
        self.add(f"{name}/mod_bias", shape[2], scale=0.3)


def stylegan2(
    seed: int,
    *,
    widths: tuple[int, ...] = (7, 6, 5),
    architecture: str = "skip",
    label: str = "",
    classes: int = 3,
    z_dim: int = 6,
    w_dim: int = 8,
    channels: int = 3,
    grown: bool = False,
) -> Variables:
    """StyleGAN2; ``label`` is ``"LabelConcat"`` or ``"LabelEmbed"``, ``grown`` the revised one."""
    draw = Draw(seed)
    embed = 4 if label == "LabelEmbed" else z_dim
    for i, (inputs, outputs) in enumerate([(z_dim + (embed if label else 0), 9), (9, w_dim)]):
        draw.layer(f"mapping/Dense{i}", inputs, outputs)
        draw.variables[f"mapping/Dense{i}/weight"] *= 100
        draw.variables[f"mapping/Dense{i}/bias"] *= 100
    if label:
        draw.layer(f"mapping/{label}", classes, embed)
        if label == "LabelConcat":
            del draw.variables[f"mapping/{label}/bias"]
    draw.add("dlatent_avg", w_dim)
    draw.variables["lod"] = np.float32(0)
    draw.add("synthesis/4x4/Const/const", 1, widths[0], 4, 4)
    for place, width in enumerate(widths):
        size, before = 4 * 2**place, widths[max(place - 1, 0)]
        here = f"synthesis/{size}x{size}"
        parts = {"Conv": width} if place == 0 else {"Conv0_up": before, "Conv1": width}
        for part, inputs in parts.items():
            draw.styled(f"{here}/{part}", (3, 3, inputs, width), w_dim)
            draw.add(f"{here}/{part}/noise_strength", scale=0.3)
            number = 2 * place - (part == "Conv0_up")
            draw.add(f"synthesis/noise{number}", 1, 1, size, size)
        if place and architecture == "resnet":
            draw.add(f"{here}/Skip/weight", 1, 1, before, width)
        lacking = len(widths) - 1 - place
        paints = f"synthesis/ToRGB_lod{lacking}" if grown else f"{here}/ToRGB"
        if grown or architecture == "skip" or lacking == 0:
            draw.styled(paints, (1, 1, width, channels), w_dim)
    return draw.variables


def discriminator(
    *,
    widths: tuple[int, ...] = (7, 6, 5),
    architecture: str = "resnet",
    label: str = "",
    classes: int = 3,
    channels: int = 3,
    grown: bool = False,
    maps: int = 1,
) -> Variables:
    """Its discriminator; with a label, ``"LabelEmbed"`` or (StyleGAN2's) ``"LabelConcat"``."""
    draw = Draw(9)
    for place in reversed(range(len(widths))):
        size, width, after = 4 * 2**place, widths[place], widths[max(place - 1, 0)]
        here, lacking = f"{size}x{size}", len(widths) - 1 - place
        if grown or architecture == "skip" or lacking == 0:
            draw.layer(
                f"FromRGB_lod{lacking}" if grown else f"{here}/FromRGB", 1, 1, channels, width
            )
        if place:
            draw.layer(f"{here}/Conv0", 3, 3, width, width)
            draw.layer(f"{here}/Conv1_down", 3, 3, width, after)
            if architecture == "resnet":
                draw.add(f"{here}/Skip/weight", 1, 1, width, after)
    draw.layer("4x4/Conv", 3, 3, widths[0] + maps, widths[0])
    draw.layer("4x4/Dense0", 16 * widths[0], widths[0])
    outputs = {"": 1, "LabelConcat": classes, "LabelEmbed": 5}[label]
    draw.layer("Output", widths[0], outputs)
    if label == "LabelEmbed":
        draw.layer("LabelEmbed", classes, outputs)
        draw.layer("Mapping0", outputs, outputs)
    return draw.variables


def stylegan1(state: dict[str, Any]) -> Variables:
    """Weights of StyleGAN under genforce's names, as TensorFlow's variables."""
    blocks = 1 + max(int(name[16]) for name in state if name.startswith("synthesis.output"))
    variables: Variables = {"lod": np.float32(state["synthesis.lod"])}
    for name, tensor in state.items():
        part, _, rest = name.split(".", 1)[1].partition(".")
        value = tensor.numpy()
        if name.startswith("mapping.dense"):
            variables[f"mapping/{part.capitalize()}/{rest}"] = value.T
        elif part.startswith("output"):
            value = value.transpose(2, 3, 1, 0) if rest == "weight" else value
            variables[f"synthesis/ToRGB_lod{blocks - 1 - int(part[6:])}/{rest}"] = value
        elif part.startswith("layer"):
            number = int(part[5:])
            size = 4 * 2 ** (number // 2)
            names = ("Conv0_up", "Conv1") if number > 1 else ("Const", "Conv")
            here = f"synthesis/{size}x{size}/{names[number % 2]}"
            kinds = {"apply_noise.weight": "Noise/weight", "style.bias": "StyleMod/bias"}
            if rest == "apply_noise.noise":
                variables[f"synthesis/noise{number}"] = value
            elif rest == "style.weight":
                variables[f"{here}/StyleMod/weight"] = value.T
            elif rest == "weight":
                variables[f"{here}/weight"] = value.transpose(2, 3, 1, 0)
            elif rest != "blur.kernel":
                variables[f"{here}/{kinds.get(rest, rest)}"] = value
    variables["dlatent_avg"] = state["truncation.w_avg"].numpy()
    if "mapping.label_weight" in state:
        variables["mapping/LabelConcat/weight"] = state["mapping.label_weight"].numpy()
    return variables


def pggan(state: dict[str, Any], fused: bool) -> Variables:
    """Weights of a progressive GAN under genforce's names, as TensorFlow's variables."""
    blocks = 1 + max(int(name[6]) for name in state if name.startswith("output"))
    variables: Variables = {"lod": np.float32(state["lod"])}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        value = tensor.numpy()
        if part.startswith("output"):
            target = f"ToRGB_lod{blocks - 1 - int(part[6:])}"
        elif part.startswith("layer"):
            number = int(part[5:])
            size = 4 * 2 ** (number // 2)
            first = ("Dense", "Conv") if number < 2 else ("Conv0_up" if fused else "Conv0", "Conv1")
            target = f"{size}x{size}/{first[number % 2]}"
        else:
            continue
        if rest == "weight" and part == "layer0":
            value = value[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(value.shape[1], -1)
        elif rest == "weight":
            value = value.transpose(2, 3, 1, 0)
        variables[f"{target}/{rest}"] = value
    return variables
