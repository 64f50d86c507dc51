from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from weathersvq.errors import InputError
from weathersvq.models import build_model, validate_model_config
from weathersvq.models.baselines.dmvfn import warp
from weathersvq.models.forecaster import Shape


def make(shape, **options):
    """A small model in double precision."""
    torch.manual_seed(0)
    config = {"kind": "dmvfn", "widths": [12, 8, 8], "scales": [4, 2, 1], **options}
    model = build_model(validate_model_config(config), shape).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def waves(*shape):
    """The same numbers everywhere, whatever the generator."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


def flow_of(columns, rows, *size):
    """(1, 2, H, W), the same everywhere."""
    return torch.tensor([columns, rows], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, *size)


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        (1.0, 0.0, [[1, 2, 2], [11, 12, 12]]),  # the edge goes on
        (-0.5, 0.0, [[0, 0.5, 1.5], [10, 10.5, 11.5]]),
        (0.0, 1.0, [[10, 11, 12], [10, 11, 12]]),
        (0.25, 0.5, [[5.25, 6.25, 7], [10.25, 11.25, 12]]),
    ],
)
def test_warp_by_hand(columns, rows, expected):
    image = torch.tensor([[[[0.0, 1, 2], [10, 11, 12]]]], dtype=torch.float64)
    found = warp(image, flow_of(columns, rows, 2, 3))
    torch.testing.assert_close(found[0, 0], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (1.0, [1, 2, 0]),
        (-1.0, [2, 0, 1]),
        (0.5, [0.5, 1.5, 1]),  # between the last and the first
        (-4.25, [1.75, 0.5, 0.75]),  # further than once around
    ],
)
def test_warp_goes_round_in_longitude(columns, expected):
    image = torch.tensor([[[[0.0, 1, 2]] * 2]], dtype=torch.float64)
    found = warp(image, flow_of(columns, 0.0, 2, 3), period=3)
    torch.testing.assert_close(found[0, 0, 0], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("width", [32, 40])  # a multiple of 16, and one that is filled up to it
@pytest.mark.parametrize("turn", [3, -3])
def test_a_globe_turns(width, turn):
    model = make(Shape(2, 1, 1, 1, 16, width, longitude_wraps=True))
    frame = waves(1, 1, 16, width)
    padded = model.border.pad(frame)
    flow = flow_of(turn, 0.0, *model.border.size).repeat(1, 2, 1, 1)
    for warped in model._warp(padded, padded, flow):
        torch.testing.assert_close(model.border.crop(warped), frame.roll(-turn, dims=3))


@pytest.mark.parametrize("wraps", [False, True])
def test_gradients_of_warp(wraps):
    torch.manual_seed(0)
    image = torch.randn(1, 1, 3, 5, dtype=torch.float64, requires_grad=True)
    # Away from whole cells, where the slope jumps.
    flow = (waves(1, 2, 3, 5).round() + 0.3).requires_grad_()
    period = 5 if wraps else None
    assert torch.autograd.gradcheck(lambda *each: warp(*each, period), (image, flow))


def test_only_the_last_two_frames_count():
    model = make(Shape(4, 3, 1, 1, 16, 16)).eval()
    x = waves(2, 4, 1, 16, 16)
    other = torch.cat([x[:, :2].cos(), x[:, 2:]], dim=1)
    assert torch.equal(model(x), model(other))
    # And the next frame follows from the last one and the forecast.
    once = make(Shape(2, 1, 1, 1, 16, 16)).eval()
    y = model(x)
    torch.testing.assert_close(y[:, 1:2], once(torch.cat([x[:, -1:], y[:, :1]], dim=1)))


def test_without_motion_the_frame_stays():
    model = make(Shape(2, 5, 3, 3, 16, 20, longitude_wraps=True)).eval()
    with torch.no_grad():
        for block in model.blocks:
            block.last.weight.zero_()
            block.last.bias.zero_()
    frame = waves(2, 1, 3, 16, 20)
    y = model(frame.expand(2, 2, 3, 16, 20))
    torch.testing.assert_close(y, frame.expand(2, 5, 3, 16, 20))


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_blocks_are_passed(share):
    model = make(Shape(2, 1, 1, 1, 16, 16), share=share)
    x = waves(50, 2, 1, 16, 16)
    torch.manual_seed(0)
    drawn = torch.cat([model._route(x[:, 0], x[:, 1]) for _ in range(20)])
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    if share < 1:  # at 1, chances above it are cut off
        assert drawn.mean().item() == pytest.approx(share, abs=0.03)
    chosen = model.eval()._route(x[:, 0], x[:, 1])
    assert (chosen.sum(dim=1) >= 1).all()
    assert torch.equal(chosen, model._route(x[:, 0], x[:, 1]))


def test_a_sample_that_does_not_pass_a_block_is_not_changed_by_it():
    model = make(Shape(2, 1, 1, 1, 16, 16)).eval()
    routes = torch.tensor([[1.0, 0, 1], [0, 0, 1]], dtype=torch.float64)
    model._route = lambda before, last: routes
    x = waves(2, 2, 1, 16, 16)
    y = model(x)
    for index in range(2):
        model._route = lambda before, last, index=index: routes[index : index + 1]
        torch.testing.assert_close(model(x[index : index + 1]), y[index : index + 1])


def test_losses_of_blocks_by_hand():
    model = make(Shape(4, 3, 1, 1, 16, 16))
    x, targets = waves(2, 4, 1, 16, 16), waves(2, 3, 1, 16, 16).cos()
    _, losses = model.forward_in_training(x, targets, 0, lambda *_: torch.ones(()).double())
    # Five frames are forecast, three of them targets; two blocks before the last one.
    assert losses["blocks"].item() == pytest.approx((0.8 + 0.64) * 5 / 3)
    assert losses["inputs"].item() == pytest.approx(2 / 3)


def test_frames_of_training_are_forecasts_of_true_pairs():
    shape = Shape(3, 2, 2, 2, 16, 16)
    model = make(shape, share=1.0)
    model._route = lambda before, last: before.new_ones(len(before), 3)
    x, targets = waves(2, *shape.inputs), waves(2, 2, 2, 16, 16).cos()
    y, _ = model.forward_in_training(x, targets, 0, F.mse_loss)
    once = make(Shape(2, 1, 2, 2, 16, 16), share=1.0).eval()
    once._route = model._route
    torch.testing.assert_close(y[:, :1], once(x[:, -2:]))
    pair = torch.cat([x[:, -1:], targets[:, :1]], dim=1)
    torch.testing.assert_close(y[:, 1:], once(pair))


@pytest.mark.parametrize("channels", [1, 2, 12])
def test_every_parameter_learns(channels):
    shape = Shape(4, 10, channels, channels, 7, 9, longitude_wraps=True)
    model = make(shape)
    x, targets = waves(2, *shape.inputs), waves(2, 10, channels, 7, 9)
    y, losses = model.forward_in_training(x, targets, 0, F.mse_loss)
    assert y.shape == targets.shape
    assert list(losses) == ["blocks", "inputs"]
    (F.mse_loss(y, targets) + sum(losses.values())).backward()
    idle = [name for name, each in model.named_parameters() if not each.grad.any()]
    assert not idle


def test_pictures_are_cut_and_fields_are_not():
    x = waves(2, 2, 1, 16, 16)
    free, cut = (make(Shape(2, 1, 1, 1, 16, 16), clamp=clamp).eval()(x) for clamp in (False, True))
    assert free.min() < 0
    torch.testing.assert_close(cut, free.clamp(0, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": [12, 8]}, "2 widths need as many scales, not 9"),
        ({"widths": [10], "scales": [1]}, "multiples of 4"),
        ({"widths": [12], "scales": [3]}, "1, 2 or 4"),
        ({"share": 0.0}, "greater than 0"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ValidationError, match=message):
        validate_model_config({"kind": "dmvfn", **options})


def test_one_frame_shows_no_motion():
    with pytest.raises(InputError, match="at least 2 inputs"):
        make(Shape(1, 1, 1, 1, 16, 16))
    with pytest.raises(InputError, match="2 channels in cannot become 1"):
        make(Shape(2, 1, 2, 1, 16, 16))


# Multiply-accumulates were published of one frame from two, all blocks passed.
@pytest.mark.parametrize(
    ("channels", "size", "parameters_m", "gmacs"),
    [(2, (32, 32), 3.54, 0.057), (1, (128, 128), 3.5, 0.88), (3, (128, 160), None, 1.2)],
)
def test_a_frame_costs_what_was_published(channels, size, parameters_m, gmacs):
    with torch.device("meta"):
        model = build_model(
            validate_model_config("dmvfn"), Shape(2, 1, channels, channels, *size)
        ).train()
        x = torch.empty(2, 1, channels, *size)
        counter = FlopCounterMode(display=False)
        with counter:
            list(model._refine(*x))
    # 3.6 million were published of KittiCaltech, where 3.56 are meant.
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters / 1e6 == pytest.approx(parameters_m or 3.56, rel=0.01)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, rel=0.02)


# (mean, mean square, mean product with a wave), of weights and inputs drawn as here. The model had
# been compared with the published one in double precision: outputs and losses agree to 1e-14, and
# gradients to 1e-15 where both round a motion of exactly nothing to the same side of a cell.
PINNED = {
    False: (-0.0067809394, 0.25877592, 0.20630444),
    True: (-0.0072585843, 0.25080801, 0.20527182),
}


@pytest.mark.parametrize("wraps", [False, True])
def test_outputs_are_those_compared_with_the_published_model(wraps):
    model = make(Shape(2, 3, 2, 2, 8, 24, longitude_wraps=wraps)).eval()
    y = model(waves(2, 2, 2, 8, 24)).flatten()
    values = (y.mean().item(), y.square().mean().item(), (y * waves(len(y))).mean().item())
    assert values == pytest.approx(PINNED[wraps], rel=1e-6)
