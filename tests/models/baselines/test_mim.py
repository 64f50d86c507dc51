from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from weathersvq.models import build_model, validate_model_config
from weathersvq.models.baselines.mim import PeepholeCell
from weathersvq.models.forecaster import Shape


def make(shape, **options):
    """A small model in double precision, whose weights that start from zero no longer are."""
    torch.manual_seed(0)
    config = {"kind": "mim", "hidden": 4, "depth": 3, "kernel": 3, "patch": 2, **options}
    model = build_model(validate_model_config(config), shape).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


def waves(*shape):
    """The same numbers everywhere, whatever the generator."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


def test_peephole_cell_by_hand():
    cell = PeepholeCell(1, 3, (1, 2), normalized=False).double()
    with torch.no_grad():
        cell.from_input.weight.zero_()
        cell.from_hidden.weight.zero_()
        # How the forget gate, then how the output gate sees the memory, in two cells of the map.
        cell.peep_before[1] = torch.tensor([[0.0, -0.5]])
        cell.peep_after[0] = torch.tensor([[0.0, 2.0]])
    memory = torch.full((1, 1, 1, 2), 2.0, dtype=torch.float64)
    hidden, memory = cell(memory, memory, memory)
    # The content is tanh(0). Left: forget gate sigmoid(0 + 1), output gate 1/2. Right: sigmoid(-0.5
    # * 2 + 1) = 1/2, so that the memory is 1 and the output gate sigmoid(2).
    left = 2 / (1 + torch.e**-1)
    assert memory.flatten().tolist() == pytest.approx([left, 1.0])
    squashed = torch.tanh(torch.tensor([left, 1.0], dtype=torch.float64))
    opened = torch.tensor([0.5, 1 / (1 + torch.e**-2)], dtype=torch.float64)
    torch.testing.assert_close(hidden.flatten(), opened * squashed)


def test_first_forecast_knows_no_change():
    model = make(Shape(1, 2, 1, 1, 4, 4)).eval()
    x = waves(1, 1, 1, 4, 4)
    before = model(x)
    with torch.no_grad():
        model.changes[0].from_input.weight.mul_(-2)
    after = model(x)
    assert torch.equal(after[:, 0], before[:, 0])
    assert not torch.equal(after[:, 1], before[:, 1])


def test_nothing_is_kept_between_windows():
    model = make(Shape(3, 4, 1, 1, 6, 8))
    x, other = waves(2, 3, 1, 6, 8), waves(3, 3, 1, 6, 8).cos()
    first = model(x)
    model(other)
    assert torch.equal(model(x), first)
    torch.testing.assert_close(model(x.flip(0)).flip(0), first)


def test_gradients_go_through_the_inner_memories():
    model = make(Shape(3, 1, 1, 1, 4, 4))
    frames = F.pixel_unshuffle(waves(3, 1, 1, 4, 4), 2)
    _, state, _ = model.advance_frame(frames[0], model.start(frames[0]))
    inner = [memory.detach().requires_grad_() for memory in state.inner]
    state = state._replace(inner=inner)
    for frame in frames[1:]:
        forecast, state, _ = model.advance_frame(frame, state)
    assert all(gradient.any() for gradient in torch.autograd.grad(forecast.sum(), inner))


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


def test_one_layer_is_too_few():
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        validate_model_config({"kind": "mim", "depth": 1})


# (mean magnitude, second value, last but one), of weights and inputs drawn as here. The model had
# been compared with the published one: in double precision, outputs agree to 1e-14, and so do
# gradients where the published one lets them through the inner memories.
PINNED = {
    False: (0.08623138, -0.067794123, 0.074533103),
    True: (0.14515198, -0.19917037, -0.27692095),
}


@pytest.mark.parametrize("layer_norm", [False, True])
def test_outputs_are_those_compared_with_the_published_model(layer_norm):
    model = make(Shape(3, 5, 2, 2, 8, 12), layer_norm=layer_norm).eval()
    y = model(waves(2, 3, 2, 8, 12)).flatten()
    values = (y.abs().mean().item(), y[1].item(), y[-2].item())
    assert values == pytest.approx(PINNED[layer_norm], rel=1e-6)
