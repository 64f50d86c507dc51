from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from weathersvq.models import build_model, validate_model_config
from weathersvq.models.baselines.mau import MAUCell
from weathersvq.models.forecaster import Shape


def make(shape, **options):
    """A small model in double precision, whose weights that start from zero no longer are."""
    torch.manual_seed(0)
    config = {"kind": "mau", "hidden": 4, "depth": 2, "kernel": 3, "history": 3, **options}
    model = build_model(validate_model_config(config), shape).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


def waves(*shape):
    """The same numbers everywhere, whatever the generator."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


def constant_gates(residual=False):
    """A cell of one channel on two cells of a map, whose gates are what their biases say: 0."""
    cell = MAUCell(1, 3, (1, 2), residual).double()
    with torch.no_grad():
        for gates in (cell.from_temporal, cell.from_spatial, cell.fuse, cell.query):
            gates[1].weight.zero_()
    return cell


def everywhere(value):
    return torch.full((1, 1, 1, 2), value, dtype=torch.float64)


def test_attention_by_hand():
    """Products of ln 3 and 0 with the query share 3/4 and 1/4; half of the present is kept."""
    cell = constant_gates()
    with torch.no_grad():
        cell.query[1].bias.fill_(1.0)
    fused = []
    cell.from_temporal.register_forward_pre_hook(lambda _, inputs: fused.append(inputs[0]))
    like = everywhere(math.log(3) / math.sqrt(2))  # of two numbers, over the root of two
    cell(everywhere(2.0), everywhere(9.0), [everywhere(4.0), everywhere(8.0)], [like, 0 * like])
    trend = 0.75 * 4 + 0.25 * 8
    torch.testing.assert_close(fused[0], everywhere((2 + trend) / 2))


@pytest.mark.parametrize("residual", [False, True])
def test_exchange_by_hand(residual):
    """Each state is its own content and the other's: halves of 4 and 6, then 3/4 of 20 and 10."""
    cell = constant_gates(residual)
    with torch.no_grad():
        cell.from_temporal[1].bias.copy_(torch.tensor([0.0, 4.0, 10.0]).view(3, 1, 1))
        cell.from_spatial[1].bias.copy_(torch.tensor([math.log(3), 6.0, 20.0]).view(3, 1, 1))
    past = [everywhere(0.0)]
    temporal, spatial = cell(everywhere(1.0), everywhere(2.0), past, past)
    torch.testing.assert_close(temporal, everywhere(5.0))
    torch.testing.assert_close(spatial, everywhere(19.5 if residual else 17.5))


def test_history_is_what_came_last():
    model = make(Shape(4, 1, 1, 1, 4, 6))
    frame = waves(1, 1, 4, 6)
    state = model.start(frame)
    assert not any(each.any() for layer in state.past_temporal for each in layer)
    states = []
    for _ in range(4):
        _, state, _ = model.advance_frame(frame, state)
        states.append(state)
    for layer in range(2):
        assert len(state.past_spatial[layer]) == len(state.past_temporal[layer]) == 3
        for past, then in zip(state.past_temporal[layer], states[1:], strict=True):
            assert past is then.temporal[layer]
    # What the first layer's spatial states are made of is the frame alone.
    assert torch.equal(state.past_spatial[0][0], state.past_spatial[0][2])
    assert not torch.equal(state.past_spatial[1][0], state.past_spatial[1][2])


@pytest.mark.parametrize("recall", [False, True])
def test_recall_brings_back_the_encoded_frame(recall):
    """Where the decoder gives zeros, the forecast is read from the encoder's map, or is constant."""
    model = make(Shape(1, 1, 1, 1, 4, 6), recall=recall)
    with torch.no_grad():
        for parameter in model.decoders.parameters():
            parameter.zero_()
    frame = waves(1, 1, 4, 6)
    y, _, _ = model.advance_frame(frame, model.start(frame))
    encoded = model.encoders[0](frame)
    torch.testing.assert_close(y, model.read_out(encoded if recall else 0 * encoded))


@pytest.mark.parametrize(("shrink", "size"), [(1, (7, 9)), (2, (4, 5)), (8, (1, 2))])
def test_shrink(shrink, size):
    model = make(Shape(2, 3, 1, 1, 7, 9), patch=1, shrink=shrink)
    assert len(model.decoders) == len(model.encoders) - 1 == int(math.log2(shrink))
    assert model.size == size
    assert model(waves(2, 2, 1, 7, 9)).shape == (2, 3, 1, 7, 9)


@pytest.mark.parametrize(("residual", "recall"), [(False, False), (True, True)])
def test_every_parameter_learns_from_sampled_frames(residual, recall):
    shape = Shape(4, 10, 2, 2, 7, 9, longitude_wraps=True)
    sampling = {"start": 0.5, "decrease": 0.0}
    model = make(
        shape, patch=2, shrink=4, residual=residual, recall=recall, sampling=sampling
    ).train()
    x, targets = waves(2, *shape.inputs), waves(2, 10, 2, 7, 9)
    y, losses = model.forward_in_training(x, targets, 0, F.mse_loss)
    assert y.shape == targets.shape
    assert list(losses) == ["inputs"]
    (F.mse_loss(y, targets) + losses["inputs"]).backward()
    idle = [name for name, each in model.named_parameters() if not each.grad.any()]
    assert not idle


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shrink": 3}, "3 is not a power of two"),
        ({"shrink": 0}, "greater than or equal to 1"),
        ({"kernel": 4}, "4 is even; expected an odd size"),
        ({"history": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValidationError, match=message) as caught:
        validate_model_config({"kind": "mau", **options})
    assert caught.value.errors()[0]["loc"] == tuple(options)


# (residual, recall, shrink) -> (mean magnitude, second value, last but one), of weights and inputs
# drawn as here. They are those of the published model with the same weights; in double precision,
# outputs and gradients agree to 1e-14.
PINNED = {
    (False, False, 2): (0.516175109, -0.437103873, -0.255259498),
    (True, False, 4): (0.31846499, -0.16310421, 0.421001519),
    (False, True, 4): (0.373218104, -0.387023517, 0.389201208),
}


@pytest.mark.parametrize(("residual", "recall", "shrink"), PINNED)
def test_outputs_are_those_compared_with_the_published_model(residual, recall, shrink):
    shape = Shape(3, 5, 2, 2, 8, 12)
    model = make(shape, residual=residual, recall=recall, shrink=shrink).eval()
    y = model(waves(2, 3, 2, 8, 12)).flatten()
    values = (y.abs().mean().item(), y[1].item(), y[-2].item())
    assert values == pytest.approx(PINNED[residual, recall, shrink], rel=1e-6)
