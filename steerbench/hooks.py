"""Record and edit what the layers of any module compute.

A `Trace` attaches itself to named layers for the length of a ``with`` block. Each forward pass
in the block leaves the layers' outputs in it, after the edits, if there are any:

>>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 1, 3))
>>> x = torch.randn(2, 3, 16, 16)
>>> def silence(activation):
...     activation[:, 5] = 0
...     return activation
>>> with Trace(net, ["0"], edit={"0": silence}) as trace:
...     y = net(x)
>>> trace["0"].shape, trace["0"][:, 5].abs().max().item()
(torch.Size([2, 8, 14, 14]), 0.0)

With ``stop=True`` the forward pass ends as soon as all named layers have run, and the block with
it, which saves the rest of the work; `capture` is that in one call. `conv_layers` finds the
layers worth naming.

Whatever happens in the block, the hooks are gone after it. Recorded tensors are the ones that
the computation went through: gradients can be taken with respect to them, and an in-place layer
after them (ReLU(inplace=True) is common) does not overwrite them, for it is handed a copy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from steerbench.errors import LayerError, ShapeError, closest, unknown


class Trace:
    """Records, edits and ends forward passes of a module while its ``with`` block lasts.

    Args:
        module: any module; nothing is attached to it before the block is entered.
        layers: dotted names, as in ``module.named_modules()``, of the layers to record.
        edit: functions by layer name, called with the layer's output (a copy, which may be
            changed in place) and returning what takes its place, of the same shape.
        stop: end the forward pass, and the block, once all layers named in ``layers`` and
            ``edit`` have run.
        keep: what to remember of an output instead of all of it, for instance
            ``lambda x: x.mean((2, 3))``.

    Attributes:
        outputs: what was recorded, by name, in the order of the calls. A layer that runs several
            times keeps the last one. ``trace[name]`` is the same, with an explanation if absent.

    Raises:
        LayerError: the module has no layer of that name; the nearest names are offered.
        ShapeError: (during the forward pass) an edit returned another shape.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Iterable[str] = (),
        edit: Mapping[str, Callable[[Any], Any]] | None = None,
        stop: bool = False,
        keep: Callable[[Any], Any] | None = None,
    ) -> None:
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        self.edit = dict(edit or {})
        self.stop = stop
        self.keep = keep
        self.outputs: dict[str, Any] = {}
        # A module shared by two parents answers to both names.
        modules = dict(module.named_modules(remove_duplicate=False))
        self._modules = {}
        for name in (*self.layers, *self.edit):
            if name not in modules:
                raise LayerError(unknown("layer", name, filter(None, modules)))
            self._modules[name] = modules[name]
        self._pending: set[str] = set()
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Trace:
        if self._handles:
            raise LayerError("This Trace is in use already; make a second one to nest them.")
        self.outputs = {}
        self._pending = set(self._modules)
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        while self._handles:
            self._handles.pop().remove()
        return isinstance(error, _Stop) and error.trace is self

    def __getitem__(self, name: str) -> Any:
        if name in self.outputs:
            return self.outputs[name]
        if name in self.layers:
            raise LayerError(
                f"Layer {name!r} has not run, so nothing is recorded of it. Run a forward pass "
                "that uses it inside the block (with stop=True, by this block's own call)."
            )
        raise LayerError(f"Layer {name!r} is not recorded. {closest(name, self.layers)}")

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            if name in self.edit:
                output = _apply_edit(name, self.edit[name], output)
            if name in self.layers:
                self.outputs[name] = self.keep(output) if self.keep else output
                output = _copy(output)
            self._pending.discard(name)
            if self.stop and not self._pending:
                raise _Stop(self)
            return output

        return hook


def capture(module: nn.Module, inputs: Any, layers: Iterable[str]) -> dict[str, Any]:
    """The outputs of some layers for one input; what comes after them is not computed.

    Args:
        module: any module.
        inputs: its one argument, or a tuple of its arguments.
        layers: dotted layer names.

    Returns:
        Outputs by name, in the order given.

    Raises:
        LayerError: a layer does not exist, or did not run for this input.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 1, 3))
    >>> {name: a.shape for name, a in capture(net, torch.randn(2, 3, 8, 8), ["0", "1"]).items()}
    {'0': torch.Size([2, 8, 6, 6]), '1': torch.Size([2, 8, 6, 6])}
    >>> capture(net, torch.randn(2, 3, 8, 8), ["conv"])
    Traceback (most recent call last):
    steerbench.errors.LayerError: No layer is called 'conv'. There is: '0', '1', '2'.
    """
    with Trace(module, layers, stop=True) as trace:
        _call(module, inputs)
    return {name: trace[name] for name in trace.layers}


def conv_layers(module: nn.Module, inputs: Any) -> dict[str, tuple[int, int, int]]:
    """The convolutions of a module in the order in which they run, with their output shapes.

    A convolution is a layer that has a ``weight`` of four or more dimensions and gives a tensor
    of four: torch's own, transposed or not, and the modulated ones that generators bring along.
    One forward pass is made, without gradients, in evaluation mode; the module's modes and the
    random number generators are as before afterwards.

    Args:
        module: any module.
        inputs: an example of its one argument, or a tuple of its arguments.

    Returns:
        ``{dotted name: (channels, height, width)}``. Empty if there is none.

    >>> net = nn.Sequential(nn.ConvTranspose2d(9, 4, 4), nn.Tanh(), nn.Conv2d(4, 3, 1))
    >>> conv_layers(net, torch.randn(1, 9, 1, 1))
    {'0': (4, 4, 4), '2': (3, 4, 4)}
    """
    names = [name for name, layer in module.named_modules() if _has_kernel(layer)]
    with Trace(module, names, keep=_shape) as trace, torch.no_grad(), _preserve_modes(module):
        _call(module, inputs)
    return {name: shape[1:] for name, shape in trace.outputs.items() if len(shape) == 4}


class _Stop(BaseException):
    """Ends a forward pass early.

    Not an Exception: a forward pass that catches those must not catch this. It knows its trace,
    so that of two nested blocks the right one ends.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__("a Trace with stop=True ended this forward pass")
        self.trace = trace


def _apply_edit(name: str, function: Callable[[Any], Any], output: Any) -> Any:
    result = function(_copy(output))
    if _shape(result) == _shape(output):
        return result
    found = f"shape {list(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
    raise ShapeError(
        f"The edit of layer {name!r} returned {found}, expected {list(_shape(output))}, "
        "the shape of its argument. Return the edited tensor."
    )


def _copy(output: Any) -> Any:
    return output.clone() if isinstance(output, Tensor) else output


def _shape(output: Any) -> tuple[int, ...]:
    return tuple(output.shape) if isinstance(output, Tensor) else ()


def _has_kernel(layer: nn.Module) -> bool:
    weight = getattr(layer, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim >= 4


def _call(module: nn.Module, inputs: Any) -> Any:
    return module(*inputs) if isinstance(inputs, tuple) else module(inputs)


@contextlib.contextmanager
def _preserve_modes(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every layer's own mode and the random state restored after."""
    modes = {layer: layer.training for layer in module.modules()}
    devices = {parameter.device for parameter in module.parameters() if parameter.is_cuda}
    module.eval()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        for layer, training in modes.items():
            layer.training = training
