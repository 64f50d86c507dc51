from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from weathersvq.errors import InputError
from weathersvq.models import build_model, validate_model_config
from weathersvq.models.baselines.prednet import Representation, hard_sigmoid
from weathersvq.models.forecaster import Shape
from weathersvq.models.size import measure


def make(shape, **options):
    """A small model in double precision, whose biases that start from zero no longer are."""
    torch.manual_seed(0)
    config = {"kind": "prednet", "widths": [4, 6], **options}
    model = build_model(validate_model_config(config), shape).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


def waves(*shape):
    """The same numbers everywhere, whatever the generator."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


def test_hard_sigmoid_by_hand():
    x = torch.tensor([-9.0, -2.5, 0.0, 1.0, 2.5, 9.0])
    torch.testing.assert_close(hard_sigmoid(x), torch.tensor([0, 0, 0.5, 0.7, 1, 1]))


def test_representation_by_hand():
    layer = Representation(1, 0, kernel=1).double()
    with torch.no_grad():
        layer.gates.weight.zero_()
        # Enter, forget, content, leave: 0.7, 1, tanh(0.5), 0.5.
        layer.gates.bias.copy_(torch.tensor([1.0, 2.5, 0.5, 0.0]))
    x, cell = torch.zeros(1, 3, 1, 1).double(), torch.full((1, 1, 1, 1), 2.0).double()
    state, cell = layer(x, cell)
    assert cell.item() == pytest.approx(2 + 0.7 * math.tanh(0.5))
    assert state.item() == pytest.approx(0.5 * math.tanh(cell.item()))


def test_layers_above_see_errors_of_both_signs():
    model = make(Shape(1, 1, 1, 1, 4, 4)).eval()
    seen = []
    model.targets[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    frame = waves(1, 1, 4, 4)
    state = model.start(frame)
    model.advance_frame(frame, state)
    above, below = seen[0].chunk(2, dim=1)
    torch.testing.assert_close(above - below, state.expected - frame)
    assert not (above * below).any()
    assert above.min() == below.min() == 0


def test_a_forecast_taken_as_the_frame_is_no_surprise():
    model = make(Shape(3, 4, 2, 2, 8, 8)).eval()
    surprises = []
    model.targets[0].register_forward_pre_hook(
        lambda _, inputs: surprises.append(bool(inputs[0].any()))
    )
    model(waves(1, 3, 2, 8, 8))
    # Three known frames, then three forecasts read as frames.
    assert surprises == [True] * 3 + [False] * 3


def test_pictures_are_cut_and_fields_are_not():
    shape = Shape(2, 3, 1, 1, 8, 8)
    x = waves(2, 2, 1, 8, 8)
    free, cut = make(shape).eval()(x), make(shape, pixel_max=0.5).eval()(x)
    assert free.min() < 0
    assert cut.min() == 0
    assert cut.max() <= 0.5


def test_errors_of_all_layers_are_learnt_from_in_training_only():
    shape = Shape(3, 2, 1, 1, 8, 8)
    x, targets = waves(2, 3, 1, 8, 8), waves(2, 2, 1, 8, 8).cos()
    found = {}
    for weight in (0.0, 0.2, 0.4):
        model = make(shape, error_weight=weight)
        _, found[weight] = model.forward_in_training(x, targets, 0, F.l1_loss)
        assert model.eval().forward_with_losses(x)[1] == {}
    assert list(found[0.0]) == ["inputs"]
    assert found[0.4]["errors"].item() == pytest.approx(2 * found[0.2]["errors"].item())
    assert found[0.2]["errors"] > 0


def test_training_reads_the_truth_at_every_step():
    model = make(Shape(2, 3, 1, 1, 4, 4))
    x, targets = waves(2, 2, 1, 4, 4), waves(2, 3, 1, 4, 4).cos()
    longer = make(Shape(4, 1, 1, 1, 4, 4)).eval()(torch.cat([x, targets[:, :2]], dim=1))
    for step in (0, 10**9):
        y, _ = model.forward_in_training(x, targets, step, F.mse_loss)
        torch.testing.assert_close(y[:, -1:], longer)


def test_every_parameter_learns_from_sampled_frames():
    shape = Shape(4, 10, 2, 2, 7, 9, longitude_wraps=True)
    model = make(shape, sampling={"start": 0.5, "decrease": 0.0})
    x, targets = waves(2, *shape.inputs), waves(2, 10, 2, 7, 9)
    y, losses = model.forward_in_training(x, targets, 0, F.mse_loss)
    assert y.shape == targets.shape
    (F.mse_loss(y, targets) + losses["inputs"]).backward()
    idle = [name for name, each in model.named_parameters() if not each.grad.any()]
    assert not idle


@pytest.mark.parametrize("options", [{"widths": []}, {"kernel": 4}, {"pixel_max": 0.0}])
def test_options_that_cannot_work(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        validate_model_config({"kind": "prednet", **options})


def test_as_many_channels_out_as_in():
    with pytest.raises(InputError, match="2 channels in cannot become 1"):
        make(Shape(2, 2, 2, 1, 8, 8))


# Multiply-accumulates were published of one step from frame to frame, of TaxiBJ of four; that of
# KittiCaltech (12.5) is the figure of its parameters once more.
@pytest.mark.parametrize(
    ("channels", "size", "steps", "gmacs"),
    [(3, (256, 256), 1, 13.7), (1, (128, 128), 1, 3.4), (2, (32, 32), 4, 0.85)],
)
def test_a_step_costs_what_was_published(channels, size, steps, gmacs):
    config = validate_model_config("prednet")
    one, two = (measure(config, Shape(1, out, channels, channels, *size)) for out in (1, 2))
    assert one.parameters / 1e6 == pytest.approx(12.5, rel=0.01)
    assert steps * (two.macs - one.macs) / 1e9 == pytest.approx(gmacs, rel=0.02)


# (mean, mean square, mean product with a wave), of weights and inputs drawn as here. The model had
# been compared with the published one in double precision: forecasts of the next frame and their
# gradients agree to 1e-15, and so do later forecasts where the published one, too, takes its
# forecast as the frame.
PINNED = {
    None: (-0.47173268, 0.62893444, 0.0060149676),
    0.5: (0.087754729, 0.033126842, 0.0015460349),
}


@pytest.mark.parametrize("pixel_max", [None, 0.5])
def test_outputs_are_those_compared_with_the_published_model(pixel_max):
    model = make(Shape(3, 5, 2, 2, 8, 12), pixel_max=pixel_max).eval()
    y = model(waves(2, 3, 2, 8, 12)).flatten()
    values = (y.mean().item(), y.square().mean().item(), (y * waves(len(y))).mean().item())
    assert values == pytest.approx(PINNED[pixel_max], rel=1e-6)
