"""Traces: what they record, edit and stop, and that they leave nothing behind."""

import pytest
import torch
from torch import nn

from steerbench.errors import LayerError, ShapeError
from steerbench.hooks import Trace, capture, conv_layers


class Net(nn.Module):
    """Named layers, an in-place ReLU, a layer used twice and one never used."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.unused = nn.Conv2d(1, 1, 1)
        self.fail = False

    def forward(self, x):
        x = self.norm(self.stem(x))
        try:
            x = self.body(x)
            x = self.body(x)
        except Exception:
            x = x * 0
        if self.fail:
            raise RuntimeError("broken forward")
        return self.head(x)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def x():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def hooks_of(net):
    return [hook for module in net.modules() for hook in module._forward_hooks.values()]


def test_tracing_changes_no_output_and_leaves_no_hook(net, x):
    expected = net(x)
    trace = Trace(net, ["stem.0", "body"])
    assert not hooks_of(net)
    with trace:
        assert len(hooks_of(net)) == 2
        assert torch.equal(net(x), expected)
    assert not hooks_of(net)
    assert list(trace.outputs) == ["stem.0", "body"]
    assert torch.equal(net(x), expected)


def test_an_in_place_layer_does_not_overwrite_what_was_recorded(net, x):
    recorded = capture(net, x, ["stem.0"])["stem.0"]
    with Trace(net, ["stem.0"]) as trace:
        net(x)
    assert torch.equal(trace["stem.0"], net.stem[0](x))
    assert torch.equal(recorded, trace["stem.0"])
    assert recorded.min() < 0


def test_gradients_reach_recorded_layers(net, x):
    with Trace(net, ["stem.0", "norm"]) as trace:
        total = net(x).square().sum()
    for name in ("stem.0", "norm"):
        assert torch.autograd.grad(total, trace[name], retain_graph=True)[0].abs().sum() > 0


def test_an_edit_replaces_the_output_and_is_what_is_recorded(net, x):
    def silence(activation):
        activation[:, 1] = 0
        return activation

    with Trace(net, ["norm"], edit={"norm": silence}) as trace:
        edited = net(x)
    assert (trace["norm"][:, 1] == 0).all()
    plain = capture(net, x, ["norm"])["norm"]
    plain[:, 1] = 0
    assert torch.allclose(edited, net.head(net.body(net.body(plain))))
    with Trace(net, edit={"body": lambda a: a * 2}):
        assert not torch.allclose(net(x), edited)
    assert not hooks_of(net)


def test_stopping_ends_the_block_after_the_last_wanted_layer(net, x):
    calls = []
    net.head.register_forward_hook(lambda *_: calls.append(1))
    with Trace(net, ["norm", "stem"], stop=True) as trace:
        net(x)
        pytest.fail("the forward pass was not stopped")
    assert set(trace.outputs) == {"norm", "stem"}
    assert not calls
    assert len(hooks_of(net)) == 1


def test_a_forward_pass_that_catches_exceptions_does_not_catch_the_stop(net, x):
    with Trace(net, ["body"], stop=True) as trace:
        net(x)
        pytest.fail("the forward pass was not stopped")
    assert torch.equal(trace["body"], net.body(capture(net, x, ["norm"])["norm"]))


def test_nested_traces_stop_by_themselves(net, x):
    with Trace(net, ["stem", "head"], stop=True) as outer:
        with Trace(net, ["norm"], stop=True) as inner:
            net(x)
        assert list(inner.outputs) == ["norm"]
        net(x)
    assert set(outer.outputs) == {"stem", "head"}
    with Trace(net, ["norm"], stop=True) as outer, Trace(net, ["head"], stop=True) as inner:
        net(x)
    assert list(outer.outputs) == ["norm"]
    assert not inner.outputs
    assert not hooks_of(net)


def test_hooks_go_when_the_forward_pass_or_an_edit_raises(net, x):
    net.fail = True
    with pytest.raises(RuntimeError, match="broken forward"), Trace(net, ["stem"]):
        net(x)
    assert not hooks_of(net)
    net.fail = False

    def wrong(activation):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Trace(net, edit={"stem": wrong}):
        net(x)
    assert not hooks_of(net)


def test_a_trace_can_be_used_again_but_not_twice_at_once(net, x):
    trace = Trace(net, "norm")
    with trace:
        net(x)
        with pytest.raises(LayerError, match="in use"):
            trace.__enter__()
    first = trace["norm"]
    with trace:
        net(x + 1)
    assert not torch.equal(trace["norm"], first)
    assert not hooks_of(net)


def test_keep_reduces_what_is_remembered(net, x):
    with Trace(net, ["stem"], keep=lambda a: a.mean((2, 3))) as trace:
        net(x)
    assert trace["stem"].shape == (2, 4)


@pytest.mark.parametrize("wrong", [lambda a: a[:, :1], lambda a: None])
def test_an_edit_of_another_shape_is_refused(net, x, wrong):
    with (
        pytest.raises(ShapeError, match=r"'norm'.*\[2, 4, 8, 8\]"),
        Trace(net, edit={"norm": wrong}),
    ):
        net(x)


def test_names_that_do_not_exist_or_did_not_run_are_explained(net, x):
    with pytest.raises(LayerError, match=r"'stem\.0'"):
        Trace(net, ["stem.O"])
    with pytest.raises(LayerError, match="'norm'"):
        Trace(net, edit={"nrom": lambda a: a})
    with pytest.raises(LayerError, match="has not run"):
        capture(net, x, ["stem", "unused"])
    with Trace(net, ["stem"]) as trace, pytest.raises(LayerError, match="not recorded"):
        _ = trace["norm"]


def test_shared_modules_answer_to_both_names():
    layer = nn.Conv2d(1, 1, 1)
    net = nn.ModuleDict({"a": layer, "b": layer})
    net.forward = lambda x: net["b"](x)
    assert set(capture(net, torch.zeros(1, 1, 2, 2), ["a", "b"])) == {"a", "b"}


def test_capture_takes_several_arguments_and_keeps_the_order_asked_for():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)

        def forward(self, a, b):
            return self.second(self.first(a + b))

    found = capture(Two(), (torch.ones(1, 2), torch.ones(1, 2)), ["second", "first"])
    assert list(found) == ["second", "first"]
    assert found["first"].shape == (1, 3)


def test_convolutions_are_found_in_call_order(net, x):
    assert conv_layers(net, x) == {"stem.0": (4, 8, 8), "body": (4, 8, 8), "head": (2, 16, 16)}
    assert conv_layers(nn.Linear(2, 2), torch.zeros(1, 2)) == {}


def test_finding_convolutions_changes_nothing(net, x):
    net.train()
    net.norm.eval()
    net.noise = nn.Dropout()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    conv_layers(net, x)
    assert torch.equal(torch.get_rng_state(), random)
    assert net.training
    assert not net.norm.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    net.fail = True
    with pytest.raises(RuntimeError):
        conv_layers(net, x)
    assert net.training
    assert not net.norm.training
    assert not hooks_of(net)


def test_modulated_convolutions_count_and_constants_do_not():
    class Modulated(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(1, 5, 4, 3, 3))

        def forward(self, x):
            return nn.functional.conv2d(x, self.weight[0], padding=1)

    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.input = nn.Parameter(torch.randn(1, 4, 4, 4))

        def forward(self, x):
            return self.input.expand(len(x), -1, -1, -1)

    assert conv_layers(nn.Sequential(Constant(), Modulated()), torch.zeros(2, 9)) == {
        "1": (5, 4, 4)
    }
