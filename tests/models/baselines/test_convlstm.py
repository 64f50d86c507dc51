from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from weathersvq.models import build_model, validate_model_config
from weathersvq.models.baselines.convlstm import ConvLSTMCell
from weathersvq.models.forecaster import Shape


def make(shape, **options):
    """A small model in double precision, away from its first weights."""
    torch.manual_seed(0)
    config = {"kind": "convlstm", "hidden": 4, "depth": 2, "kernel": 3, "patch": 2, **options}
    model = build_model(validate_model_config(config), shape).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


def waves(*shape):
    """The same numbers everywhere, whatever the generator."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


def test_cell_by_hand():
    # Of input 1 and hidden state 1, the gates get half their sum each.
    cell = ConvLSTMCell(channels=1, hidden=1, kernel=1, normalized=None).double()
    half = torch.tensor([-math.log(3), math.log(3), math.log(2), 0]).double() / 2
    for convolution in (cell.from_input, cell.from_hidden):
        with torch.no_grad():
            convolution.weight.copy_(half.view(4, 1, 1, 1))
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    hidden, memory = cell(one, one, 2 * one)
    # A quarter enters of tanh(ln 2) = 0.6, three quarters of 2 are kept, half of it is shown.
    assert memory.item() == pytest.approx(0.75 * 2 + 0.25 * 0.6)
    assert hidden.item() == pytest.approx(0.5 * math.tanh(1.65))


def test_layers_read_the_layer_below():
    model = make(Shape(1, 1, 1, 1, 4, 6), depth=3)
    frame = F.pixel_unshuffle(waves(1, 1, 4, 6), 2)
    start = model.start(frame)
    assert not any(each.any() for layer in start for each in layer)
    y, after, losses = model.advance_frame(frame, start)
    zeros = torch.zeros(1, 4, 2, 3, dtype=torch.float64)
    x = frame
    for cell, (hidden, memory) in zip(model.cells, after, strict=True):
        torch.testing.assert_close((hidden, memory), cell(x, zeros, zeros))
        x = hidden
    torch.testing.assert_close(y, model.read_out(x))
    assert losses == {}


def test_what_is_known_reaches_as_far_as_its_kernels():
    """One cell changed: after a frame of two layers of size 3, what lies 2 away has changed too."""
    model = make(Shape(1, 2, 1, 1, 9, 9), patch=1).eval()
    x = waves(1, 1, 1, 9, 9)
    other = x.clone()
    other[..., 4, 4] += 1
    changed = (model(x) != model(other))[0, :, 0]
    for frame, reach in zip(changed, (2, 4), strict=True):
        expected = torch.zeros(9, 9, dtype=torch.bool)
        expected[4 - reach : 5 + reach, 4 - reach : 5 + reach] = True
        assert torch.equal(frame, expected)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_parameters_by_hand(layer_norm):
    model = make(Shape(2, 2, 3, 3, 8, 12), layer_norm=layer_norm)
    # Four gates of 4 channels from 3 * 2 * 2 or 4 channels and from 4, then 12 from 4; normalised,
    # each of the four convolutions has a factor and a summand for every gate and cell of the map.
    weights = 16 * (12 + 4) * 9 + 16 * (4 + 4) * 9 + 12 * 4
    norms = 4 * 2 * 16 * (4 * 6) if layer_norm else 0
    assert sum(each.numel() for each in model.parameters()) == weights + norms


@pytest.mark.parametrize(("channels", "millions"), [(1, 14.93), (2, 14.98)])
def test_published_size_counts_convolutions_never_used(channels, millions):
    """Each published cell holds a 5x5 and a 1x1 convolution of twice its states, and no use for it.

    The published figure, 14.98 M, is that of two channels, and stands beside one channel, too.
    """
    shape = Shape(12, 12, channels, channels, 32, 64)
    with torch.device("meta"):
        model = build_model(validate_model_config("convlstm"), shape)
    ours = sum(each.numel() for each in model.parameters())
    idle = 4 * 2 * 128 * 128 * (5 * 5 + 1)
    assert (ours + idle) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_every_parameter_learns_from_sampled_frames(layer_norm):
    sampling = {"start": 0.5, "decrease": 0.0}
    shape = Shape(4, 10, 2, 2, 7, 9, longitude_wraps=True)
    model = make(shape, layer_norm=layer_norm, sampling=sampling)
    x, targets = waves(2, *shape.inputs), waves(2, 10, 2, 7, 9)
    y, losses = model.forward_in_training(x, targets, 0, F.mse_loss)
    assert y.shape == targets.shape
    assert list(losses) == ["inputs"]
    (F.mse_loss(y, targets) + losses["inputs"]).backward()
    idle = [name for name, each in model.named_parameters() if not each.grad.any()]
    assert not idle


# layer_norm -> (mean magnitude, second value, last but one), of weights and inputs drawn as here.
# The published model with the same weights gave the same: in double precision, outputs and
# gradients agree to 1e-13, with and without true frames among the inputs.
PINNED = {
    False: (0.0429817734, -0.046106061, 0.0141808327),
    True: (0.168358616, -0.0741332905, -0.0855342316),
}


@pytest.mark.parametrize("layer_norm", [False, True])
def test_outputs_are_those_compared_with_the_published_model(layer_norm):
    model = make(Shape(3, 5, 2, 2, 8, 12), layer_norm=layer_norm).eval()
    y = model(waves(2, 3, 2, 8, 12)).flatten()
    values = (y.abs().mean().item(), y[1].item(), y[-2].item())
    assert values == pytest.approx(PINNED[layer_norm], rel=1e-6)
