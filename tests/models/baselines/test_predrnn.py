from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from weathersvq.models import build_model, validate_model_config
from weathersvq.models.baselines.predrnn import SpatioTemporalCell
from weathersvq.models.forecaster import Shape


def make(shape, **options):
    """A small model in double precision, away from its first weights."""
    torch.manual_seed(0)
    config = {"kind": "predrnn", "hidden": 4, "depth": 3, "kernel": 3, "patch": 2, **options}
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
    cell = SpatioTemporalCell(channels=1, hidden=1, kernel=1, normalized=None).double()
    # Input, hidden state and wandering memory are 1: what they give is shared out in halves. Own
    # memory: enter 1/4, keep 3/4 (of the bias 1, too), content tanh(ln 2) = 0.6. Wandering memory:
    # enter 1/2, keep 1/4, content tanh(ln 3) = 0.8.
    quarter = math.log(1 / 3)
    own = [quarter / 2, (-quarter - 1) / 2, math.log(2) / 2]
    wandering = [0.0, (quarter - 1) / 2, math.log(3) / 2]
    # The new memories give the output gate 1.65 + 2 * 0.65, which is taken off again.
    leave = (-quarter - 2.95) / 2
    set_weights(cell.from_input, *own, *wandering, leave)
    set_weights(cell.from_hidden, *own, leave)
    set_weights(cell.from_memory, *wandering)
    set_weights(cell.from_both, 1.0, 2.0)
    set_weights(cell.merge, 2.0, -1.0)
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    step = cell(one, one, 2 * one, one)
    assert step.cell_gain.item() == pytest.approx(0.25 * 0.6)
    assert step.cell.item() == pytest.approx(0.75 * 2 + 0.25 * 0.6)
    assert step.memory_gain.item() == pytest.approx(0.5 * 0.8)
    assert step.memory.item() == pytest.approx(0.25 * 1 + 0.5 * 0.8)
    assert step.hidden.item() == pytest.approx(0.75 * math.tanh(2 * 1.65 - 0.65))


def test_memory_wanders_upwards_and_on_to_the_next_frame():
    model = make(Shape(2, 1, 1, 1, 4, 6))
    frames = F.pixel_unshuffle(waves(2, 1, 1, 4, 6), 2)
    state = model.start(frames[0])
    zeros = torch.zeros(1, 4, 2, 3, dtype=torch.float64)
    hidden, cells, memory = [zeros] * 3, [zeros] * 3, zeros
    for frame in frames:
        forecast, state, losses = model.advance_frame(frame, state)
        x, before = frame, memory
        for index, layer in enumerate(model.cells):
            step = layer(x, hidden[index], cells[index], memory)
            x, memory = step.hidden, step.memory
            hidden[index], cells[index] = step.hidden, step.cell
        torch.testing.assert_close(state, type(state)(hidden, cells, memory))
        torch.testing.assert_close(forecast, model.read_out(x))
        assert losses == {}
        assert not torch.equal(memory, before)
    # What the last layer wrote at the first frame is read by the first layer at the second.
    _, state, _ = model.advance_frame(frames[0], model.start(frames[0]))
    _, once, _ = model.advance_frame(frames[1], state)
    _, twice, _ = model.advance_frame(frames[1], state._replace(memory=2 * state.memory))
    assert not torch.equal(once.hidden[0], twice.hidden[0])
    assert torch.equal(once.cells[0], twice.cells[0])


@pytest.mark.parametrize("layer_norm", [False, True])
def test_parameters_by_hand(layer_norm):
    model = make(Shape(2, 2, 3, 3, 8, 12), layer_norm=layer_norm)
    # 4 channels each: 7 gates from the input (3 * 2 * 2 or 4 channels), 4 from the hidden state, 3
    # from the memory, 1 from both memories, and these two merged; 12 channels are read out of 4.
    # Normalised, the 15 gates have a factor and a summand for every channel and cell of the map.
    weights = sum((28 * each + 16 * 4 + 12 * 4 + 4 * 8) * 9 + 4 * 8 for each in (12, 4, 4)) + 12 * 4
    norms = 3 * 2 * 15 * 4 * (4 * 6) if layer_norm else 0
    assert sum(each.numel() for each in model.parameters()) == weights + norms


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
    False: (0.142124302, -0.0289245166, -0.0332523489),
    True: (0.19547809, -0.0396717148, 0.336374898),
}


@pytest.mark.parametrize("layer_norm", [False, True])
def test_outputs_are_those_compared_with_the_published_model(layer_norm):
    model = make(Shape(3, 5, 2, 2, 8, 12), layer_norm=layer_norm).eval()
    y = model(waves(2, 3, 2, 8, 12)).flatten()
    values = (y.abs().mean().item(), y[1].item(), y[-2].item())
    assert values == pytest.approx(PINNED[layer_norm], rel=1e-6)
