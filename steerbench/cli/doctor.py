"""``steerbench doctor``: what is installed, how fast this machine is, what to do about trouble.

Each probe looks at one thing and gives findings. A finding is ``ok``, a ``note`` (slower or
poorer than it could be, but it works) or ``broken`` (a chapter will not run), with advice for
whatever is not ok. A probe that fails is itself a finding; the others still run.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import steerbench

State = Literal["ok", "note", "broken"]
_MARKS: dict[State, str] = {"ok": "✓", "note": "·", "broken": "✗"}

ESSENTIAL = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pillow",
    "scikit-learn",
    "matplotlib",
    "ipywidgets",
    "ipycanvas",
    "jupyterlab",
    "open_clip_torch",
    "safetensors",
)
"""Distributions without which a chapter does not run."""

INSTALL = "pip install -c binder/constraints.txt ."
SLOW_SECONDS = 0.1
LEAST_GIGABYTES = 1.5


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: ``ok``, ``note`` or ``broken``.
        name: What was looked at.
        found: What was found.
        advice: What to do; empty where all is well.
    """

    state: State
    name: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{_MARKS[self.state]} {self.name:<16} {self.found}"
        return line + (f"\n{'':19}→ {self.advice}" if self.advice else "")


def examine(folder: Path) -> list[Finding]:
    """Run every probe; ``folder`` is where the user wants to work."""
    findings: list[Finding] = []
    for name, probe in PROBES.items():
        try:
            findings.extend(probe(folder))
        except Exception as error:
            says = str(error).splitlines()[0] if str(error) else "no message"
            findings.append(Finding("broken", name, f"{type(error).__name__}: {says}", _REPAIR))
    return findings


_REPAIR = f"Make a fresh virtual environment and install again: {INSTALL}"


def report(findings: list[Finding]) -> str:
    """The findings, a line each, and a last line that sums up."""
    broken = sum(finding.state == "broken" for finding in findings)
    end = f"{broken} of {len(findings)} need repair." if broken else "All that is needed works."
    return "\n".join([f"steerbench {steerbench.__version__}", *map(str, findings), end])


def python(folder: Path) -> Iterator[Finding]:
    """The interpreter."""
    fine = sys.version_info >= (3, 11)
    advice = "" if fine else "Install Python 3.11 or newer, and make a virtual environment with it."
    where = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("ok" if fine else "broken", "python", where, advice)


def tested_set() -> dict[str, str]:
    """The versions that were tested together, by distribution; empty where the list is missing."""
    package = Path(steerbench.__file__).parent
    for path in (package / "constraints.txt", package.parent / "binder" / "constraints.txt"):
        if path.is_file():
            lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
            pairs = (line.partition("==") for line in lines if "==" in line)
            return {name.strip(): version.strip() for name, _, version in pairs}
    return {}


def versions(folder: Path) -> Iterator[Finding]:
    """What is installed, against the tested set."""
    tested = {_normal(name): version for name, version in tested_set().items()}
    for name in ESSENTIAL:
        expected = tested.get(_normal(name))
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding("broken", name, "not installed", f"Install it: {INSTALL}")
            continue
        same = expected is None or installed.split("+")[0] == expected
        yield Finding(
            "ok" if same else "note",
            name,
            installed if same else f"{installed} (tested: {expected})",
            "" if same else f"If something fails, install the tested set: {INSTALL}",
        )


def _normal(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def torchvision(folder: Path) -> Iterator[Finding]:
    """Whether torchvision imports beside this torch."""
    from steerbench.compat import ensure_torchvision

    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        ensure_torchvision()
        yield Finding(
            "note",
            "torchvision",
            "built for CUDA beside a CPU torch; steerbench works around it",
            "Only its own operators are missing; to have them, install both for one device.",
        )
        return
    yield Finding("ok", "torchvision", "imports beside this torch")


def machine(folder: Path) -> Iterator[Finding]:
    """Cores, memory and accelerator."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("ok", "cores", f"{cores}, {torch.get_num_threads()} used by torch")
    memory = gigabytes()
    if memory is not None:
        fine = memory >= LEAST_GIGABYTES
        advice = "" if fine else "Close other programs: a chapter may need 1.5 GB."
        yield Finding("ok" if fine else "note", "memory", f"{memory:.1f} GB free", advice)
    yield Finding("ok", "accelerator", accelerator())


def gigabytes() -> float | None:
    """Memory that is free for programs, where the system says."""
    table = Path("/proc/meminfo")
    if not table.is_file():
        return None
    rows = dict(line.split(":", 1) for line in table.read_text().splitlines() if ":" in line)
    return int(rows["MemAvailable"].split()[0]) / 2**20


def accelerator() -> str:
    """``cuda``, ``mps`` or ``none``, with its name."""
    import torch

    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})"
    if torch.backends.mps.is_available():
        return "mps"
    return "none; the embedded models are made for the CPU"


def speed(folder: Path) -> Iterator[Finding]:
    """A picture of the first model of each embedded folder, timed at both precisions."""
    from steerbench import assets

    for models in assets.folders().values():
        yield from _speed(next(iter(models.generators)))


def _speed(name: str) -> Iterator[Finding]:
    from steerbench.generators.fast.precision import fast_dtype
    from steerbench.timing import best_of

    generator = steerbench.load(name)
    latent = generator.sample(1, seed=0)
    exact = best_of(lambda: generator.render(latent), tries=9)
    fast = best_of(lambda: generator.render(latent, precision="fast"), tries=9)
    slow = exact > SLOW_SECONDS
    advice = ""
    if slow:
        advice = "Close busy programs and set OMP_WAIT_POLICY=PASSIVE, or OMP_NUM_THREADS=1."
    yield Finding(
        "note" if slow else "ok",
        "picture",
        f"{name}: {1000 * exact:.1f} ms at {generator.resolution} pixels, exact float32",
        advice,
    )
    dtype = fast_dtype(generator.device.type)
    said = f"{1000 * fast:.1f} ms in {str(dtype).removeprefix('torch.')}"
    yield Finding("ok", "fast", "float32 is the quickest here" if dtype is None else said)


def writing(folder: Path) -> Iterator[Finding]:
    """Whether recipes and pictures can be kept here."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = "Work in another folder: steerbench lab DIR."
        yield Finding("broken", "folder", f"{folder.resolve()}: {error.strerror}", advice)
        return
    yield Finding("ok", "folder", f"{folder.resolve()} can be written")


def widgets(folder: Path) -> Iterator[Finding]:
    """Whether JupyterLab has what draws the sliders."""
    from jupyter_core.paths import jupyter_path

    folders = [Path(place) / "labextensions" for place in jupyter_path()]
    for name, extension in (
        ("ipywidgets", "@jupyter-widgets/jupyterlab-manager"),
        ("ipycanvas", "ipycanvas"),
    ):
        fine = any((place / extension).is_dir() for place in folders)
        advice = "" if fine else f"Install {name} into the environment that starts JupyterLab."
        found = "enabled in JupyterLab" if fine else "its extension is missing from JupyterLab"
        yield Finding("ok" if fine else "broken", f"{name} view", found, advice)


def chromium(folder: Path) -> Iterator[Finding]:
    """The browser of the tests; nobody else needs it."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is not None:
        yield Finding("ok", "chromium", path)
        return
    advice = "Only the tests need it: playwright install chromium."
    yield Finding("note", "chromium", "not found", advice)


PROBES: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "python": python,
    "versions": versions,
    "torchvision": torchvision,
    "machine": machine,
    "speed": speed,
    "folder": writing,
    "widgets": widgets,
    "chromium": chromium,
}
