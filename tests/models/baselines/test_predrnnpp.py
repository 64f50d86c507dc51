from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from weathersvq.models import build_model, validate_model_config
from weathersvq.models.baselines.predrnnpp import HIGHWAY_START, CausalCell, GradientHighway
from weathersvq.models.forecaster import Shape


def make(shape, **options):
    """A small model in double precision, away from its first weights."""
    torch.manual_seed(0)
    config = {"kind": "predrnnpp", "hidden": 4, "depth": 3, "kernel": 3, "patch": 2, **options}
    model = build_model(validate_model_config(config), shape).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


def waves(*shape):
    """The same numbers everywhere, whatever the generator."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


def set_weights(convolution, *weights):
    """Those of a 1x1 convolution, output by output."""
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(weights).view_as(convolution.weight))


def test_cell_by_hand():
    cell = CausalCell(channels=1, hidden=1, kernel=1, normalized=None).double()
    quarter = math.log(1 / 3)
    # Own memory, 2: enter 1/4, keep 3/4 (of the bias 1, too), content tanh(ln 2) = 0.6; a third of
    # each comes from the input, 1, from the hidden state, 1, and from the memory. It becomes 1.65.
    thirds = [quarter / 3, (-quarter - 1) / 3, math.log(2) / 3]
    set_weights(cell.from_hidden, *thirds, 0.2)
    set_weights(cell.from_cell, *(third / 2 for third in thirds))
    # Wandering memory, 1: enter 1/2, keep 1/4 of tanh(ln 2), content tanh(ln 3) = 0.8.
    set_weights(cell.from_input, *thirds, 1.0, 0.5, math.log(3) - 1.65, 0.1)
    set_weights(cell.from_memory, 0.65, 0.5, math.log(2))
    set_weights(cell.from_new_cell, -1.0, 1.0, (quarter - 2) / 1.65, 1.0)
    # The output gate has 0.1, 0.2, and both new memories.
    set_weights(cell.from_new_memory, 1.0)
    set_weights(cell.merge, 2.0, -1.0)
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    hidden, own, wandering = cell(one, one, 2 * one, one)
    assert own.item() == pytest.approx(0.75 * 2 + 0.25 * 0.6)
    assert wandering.item() == pytest.approx(0.25 * 0.6 + 0.5 * 0.8)
    opened = math.tanh(0.1 + 0.2 + 1.65 + 0.55)
    assert hidden.item() == pytest.approx(opened * math.tanh(2 * 1.65 - 0.55))


def test_highway_by_hand():
    highway = GradientHighway(hidden=1, kernel=1, normalized=None).double()
    # A quarter of tanh(ln 2) = 0.6 and three quarters of the state, 3.
    set_weights(highway.from_input, math.log(2) / 2, math.log(1 / 3) / 2)
    set_weights(highway.from_state, math.log(2) / 6, math.log(1 / 3) / 6)
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    assert highway(one, 3 * one).item() == pytest.approx(0.25 * 0.6 + 0.75 * 3)


def test_highway_starts_as_half_the_state():
    torch.manual_seed(0)
    highway = GradientHighway(hidden=8, kernel=5, normalized=None)
    weights = torch.cat([each.flatten() for each in highway.parameters()])
    assert weights.abs().max() <= HIGHWAY_START
    assert weights.std().item() == pytest.approx(HIGHWAY_START / math.sqrt(3), rel=0.05)
    x, state = torch.randn(2, 2, 8, 6, 6)
    # 5 * 5 * 8 * 2 products of weights of deviation 0.0006 have one of about 0.01.
    torch.testing.assert_close(highway(x, state), state / 2, rtol=0, atol=0.15)


def test_highway_lies_behind_the_first_layer():
    model = make(Shape(2, 1, 1, 1, 4, 6))
    frames = F.pixel_unshuffle(waves(2, 1, 1, 4, 6), 2)
    state = model.start(frames[0])
    zeros = torch.zeros(1, 4, 2, 3, dtype=torch.float64)
    hidden, cells, memory, highway = [zeros] * 3, [zeros] * 3, zeros, zeros
    for frame in frames:
        forecast, state, losses = model.advance_frame(frame, state)
        bottom, middle, top = model.cells
        hidden[0], cells[0], memory = bottom(frame, hidden[0], cells[0], memory)
        highway = model.highway(hidden[0], highway)
        hidden[1], cells[1], memory = middle(highway, hidden[1], cells[1], memory)
        hidden[2], cells[2], memory = top(hidden[1], hidden[2], cells[2], memory)
        torch.testing.assert_close(state, type(state)(hidden, cells, memory, highway))
        torch.testing.assert_close(forecast, model.read_out(hidden[2]))
        assert losses == {}


def test_states_are_not_changed_in_place():
    model = make(Shape(1, 1, 1, 1, 4, 6))
    frame = F.pixel_unshuffle(waves(1, 1, 4, 6), 2)
    _, state, _ = model.advance_frame(frame, model.start(frame))
    first, _, _ = model.advance_frame(frame, state)
    second, _, _ = model.advance_frame(frame, state)
    assert torch.equal(first, second)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_parameters_by_hand(layer_norm):
    model = make(Shape(2, 2, 3, 3, 8, 12), layer_norm=layer_norm)
    # 4 channels each: 7 gates from the input (3 * 2 * 2 or 4 channels), 4 + 3 + 3 + 4 + 1 from
    # states, and both memories merged; twice 2 gates of the highway; 12 channels are read out of 4.
    # Normalised, all gates have a factor and a summand for every channel and cell of the map.
    weights = sum((28 * each + 60 * 4) * 9 + 4 * 8 for each in (12, 4, 4)) + 16 * 4 * 9 + 12 * 4
    norms = (3 * 22 + 4) * 2 * 4 * (4 * 6) if layer_norm else 0
    assert sum(each.numel() for each in model.parameters()) == weights + norms


@pytest.mark.parametrize(("channels", "millions"), [(1, 38.31), (2, 38.40)])
def test_published_size_counts_a_convolution_never_used(channels, millions):
    """Each published cell holds a 5x5 convolution of both memories that its forward pass skips."""
    shape = Shape(12, 12, channels, channels, 32, 64)
    with torch.device("meta"):
        model = build_model(validate_model_config("predrnnpp"), shape)
    ours = sum(each.numel() for each in model.parameters())
    assert (ours + 4 * 2 * 128 * 128 * 5 * 5) / 1e6 == pytest.approx(millions, abs=0.005)


def test_one_layer_is_too_few():
    with pytest.raises(ValidationError, match="greater than or equal to 2") as caught:
        validate_model_config({"kind": "predrnnpp", "depth": 1})
    assert [error["loc"] for error in caught.value.errors()] == [("depth",)]


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
# The published model with the same weights gave the same without normalisation: in double
# precision, outputs and gradients agree to 1e-14, with and without true frames among the inputs.
# With it, the published highway cannot run: it normalises half as many channels as it has.
PINNED = {
    False: (0.304020304, -0.00808051767, -0.30724593),
    True: (0.201300055, 0.178990639, -0.187753045),
}


@pytest.mark.parametrize("layer_norm", [False, True])
def test_outputs_are_those_compared_with_the_published_model(layer_norm):
    model = make(Shape(3, 5, 2, 2, 8, 12), layer_norm=layer_norm).eval()
    y = model(waves(2, 3, 2, 8, 12)).flatten()
    values = (y.abs().mean().item(), y[1].item(), y[-2].item())
    assert values == pytest.approx(PINNED[layer_norm], rel=1e-6)
