from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from weathersvq.errors import InputError
from weathersvq.models import validate_model_config
from weathersvq.models.baselines.recurrent import Recurrent, Sampling, convolve
from weathersvq.models.forecaster import Shape
from weathersvq.schema import Section


class Counting(Recurrent):
    """Forecasts what it read times a weight of 1, plus 1; keeps what it read."""

    def __init__(self, shape, patch=1, shrink=1, **sampling):
        super().__init__(Section(), shape, patch, Sampling(**sampling), shrink)
        self.weight = nn.Parameter(torch.ones(()))
        self.read = []

    def start(self, frame):
        return 0

    def advance_frame(self, frame, state):
        self.read.append(frame)
        return self.weight * frame + 1, state + 1, {"frames": torch.tensor(state + 1.0)}

    def weight_losses(self):
        return {"weights": 7 * self.weight}


def hundreds(first, last):
    """Truth of one cell: (1, T, 1, 1, 1) with T values from `first` to `last`, 100 apart."""
    return torch.arange(first, last + 1.0, 100).view(1, -1, 1, 1, 1)


@pytest.mark.parametrize(
    ("options", "step", "outputs"),
    [
        ({}, 0, 1 - 2e-5),
        ({}, 24_999, 0.5),
        ({}, 49_998, 2e-5),
        ({}, 50_000, 0.0),
        ({"start": 0.8, "decrease": 0.01, "stop": 10}, 9, 0.7),
        ({"start": 0.8, "decrease": 0.01, "stop": 10}, 10, 0.0),
        ({"decrease": 0.4}, 1, 0.2),
        ({"decrease": 0.4}, 2, 0.0),
    ],
)
def test_scheduled_chances(options, step, outputs):
    assert Sampling(**options).chances(step) == (1.0, pytest.approx(outputs, abs=1e-12))


@pytest.mark.parametrize(
    ("step", "inputs", "outputs"),
    [
        (0, 0.5, 0.5),
        (24_999, 0.5, 0.5),
        (25_000, 0.5, 0.5),
        (30_000, 1 - 0.5 / math.e, 0.4),
        (37_500, 1 - 0.5 * math.exp(-2.5), 0.25),
        (49_999, 1 - 0.5 * math.exp(-24_999 / 5_000), 2e-5),
        (50_000, 1.0, 0.0),
    ],
)
def test_reverse_chances(step, inputs, outputs):
    chances = Sampling(mode="reverse").chances(step)
    assert chances == (pytest.approx(inputs), pytest.approx(outputs))


def test_never_reads_as_in_forecasting():
    for step in (0, 100_000):
        assert Sampling(mode="never").chances(step) == (1.0, 0.0)


@pytest.mark.parametrize("mode", ["scheduled", "reverse"])
def test_draws_of_frames_are_independent(mode):
    torch.manual_seed(0)
    sampling = Sampling(mode=mode, decrease=1e-5)
    known, unknown = sampling.chances(30_000)
    read = sampling.draw(30_000, 10_000, 2, 3).double()
    assert read.shape == (10_000, 5)
    # Four standard deviations of a share of 10 000 draws are at most 0.02.
    expected = torch.tensor([known, known, unknown, unknown, unknown], dtype=torch.float64)
    assert (read.mean(dim=0) - expected).abs().max() < 0.02
    pairs = read.T @ read / len(read)
    products = expected.outer(expected)
    assert (pairs - products).fill_diagonal_(0).abs().max() < 0.02


def test_draws_of_windows_are_the_same_for_all_frames():
    torch.manual_seed(0)
    read = Sampling(per="window").draw(24_999, 10_000, 2, 3)
    assert read[:, :2].all()
    assert (read[:, 2:] == read[:, 2:3]).all()
    assert abs(read[:, 2].double().mean() - 0.5) < 0.02


@pytest.mark.parametrize("per", ["frame", "window"])
def test_nothing_to_draw(per):
    assert Sampling(per=per).draw(0, 3, 0, 0).shape == (3, 0)


def test_reads_the_truth_where_it_is_drawn(monkeypatch):
    # Two windows of truth 0, 100, 200 and then 300, 400, 500.
    read = torch.tensor([[True, False, True, False], [False, True, False, False]])
    asked = []
    monkeypatch.setattr(Sampling, "draw", lambda _, *sizes: asked.append(sizes) or read)
    model = Counting(Shape(3, 3, 1, 1, 1, 1))
    x, targets = (hundreds(*ends).expand(2, -1, -1, -1, -1) for ends in ((0, 200), (300, 500)))
    y, losses = model.forward_in_training(x, targets, 17, F.l1_loss)
    assert asked == [(17, 2, 2, 2)]
    assert torch.stack(model.read, dim=1).flatten(1).tolist() == [
        [0, 100, 101, 300, 301],
        [0, 1, 200, 201, 202],
    ]
    assert y.flatten(1).tolist() == [[102, 301, 302], [201, 202, 203]]
    # Second and third frame: off by 99, 99, and 99, 198; two of them to three targets.
    assert losses["inputs"].item() == pytest.approx((99 + 99 + 99 + 198) / 4 * 2 / 3)


def test_gradients_pass_through_own_forecasts():
    # y_n = w y_(n - 1) + 1 from y_0 = 100, at w = 1: d y_3 / dw = y_2 + y_1 + y_0.
    model = Counting(Shape(1, 3, 1, 1, 1, 1), mode="never")
    model(hundreds(100, 100))[:, -1].sum().backward()
    assert model.weight.grad == 102 + 101 + 100
    # Where the truth is read, that of the frame before alone.
    model.weight.grad = None
    always = Sampling(decrease=0.0)
    model.sampling = always
    y, _ = model.forward_in_training(hundreds(100, 100), hundreds(200, 400), 0, F.mse_loss)
    y[:, -1].sum().backward()
    assert model.weight.grad == 300


@pytest.mark.parametrize(("in_steps", "out_steps"), [(1, 1), (1, 4), (4, 1), (3, 5)])
def test_every_frame_from_the_second_on_weighs_the_same(in_steps, out_steps):
    torch.manual_seed(0)
    model = Counting(Shape(in_steps, out_steps, 2, 2, 3, 4), decrease=0.0)
    frames = torch.randn(2, in_steps + out_steps, 2, 3, 4)
    x, targets = frames.split([in_steps, out_steps], dim=1)
    y, losses = model.forward_in_training(x, targets, 0, F.mse_loss)
    assert ("inputs" in losses) is (in_steps > 1)
    total = F.mse_loss(y, targets) + losses.get("inputs", 0)
    # All frames are read as they are.
    of_all = F.mse_loss(frames[:, :-1] + 1, frames[:, 1:])
    torch.testing.assert_close(total, of_all * (in_steps - 1 + out_steps) / out_steps)


@pytest.mark.parametrize("mode", ["scheduled", "reverse"])
@pytest.mark.parametrize("training", [False, True])
def test_forecasts_never_draw(training, mode):
    model = Counting(Shape(3, 4, 1, 1, 1, 1), mode=mode, start=1.0).train(training)
    before = torch.get_rng_state()
    y = model(hundreds(0, 200))
    assert torch.equal(torch.get_rng_state(), before)
    assert y.flatten().tolist() == [201, 202, 203, 204]
    assert torch.stack(model.read).flatten().tolist() == [0, 100, 200, 201, 202, 203]


def test_losses_of_frames_are_averaged_and_those_of_weights_are_not():
    _, losses = Counting(Shape(2, 3, 1, 1, 1, 1)).forward_with_losses(hundreds(0, 100))
    # The frames give 1, 2, 3 and 4.
    assert {name: loss.item() for name, loss in losses.items()} == {"frames": 2.5, "weights": 7}


@pytest.mark.parametrize(("wraps", "corner"), [(False, 8), (True, 6)])
def test_frames_are_filled_up_and_cut_into_patches(wraps, corner):
    model = Counting(Shape(1, 2, 1, 1, 3, 3, longitude_wraps=wraps), patch=2)
    x = torch.arange(9.0).view(1, 1, 1, 3, 3)
    y = model(x)
    assert model.frame == (4, 2, 2)
    # Channels are the upper left, upper right, lower left and lower right cells of the patches;
    # beyond the last row it is repeated, beyond the last column comes the first, or the last again.
    right = [corner - 6, corner]
    assert model.read[0][0].tolist() == [
        [[0, 2], [6, 8]],
        [[1, right[0]], [7, right[1]]],
        [[3, 5], [6, 8]],
        [[4, corner - 3], [7, right[1]]],
    ]
    torch.testing.assert_close(y, torch.cat([x + 1, x + 2], dim=1))


@pytest.mark.parametrize(
    ("patch", "shrink", "frame"),
    [(1, 1, (2, 5, 7)), (2, 1, (8, 3, 4)), (2, 2, (8, 4, 4)), (3, 2, (18, 2, 4))],
)
def test_frames_are_multiples(patch, shrink, frame):
    model = Counting(Shape(2, 3, 2, 2, 5, 7), patch, shrink)
    assert model.frame == frame
    x = torch.randn(2, 2, 2, 5, 7)
    y = model(x)
    assert model.read[0].shape == (2, *frame)
    torch.testing.assert_close(y, x[:, -1:] + torch.arange(1.0, 4).view(-1, 1, 1, 1))


def test_convolutions_of_gates():
    x = torch.randn(3, 2, 4, 5)
    plain = convolve(2, 6, 3)
    assert plain(x).shape == (3, 6, 4, 5)
    assert [name for name, _ in plain.named_parameters()] == ["weight"]
    y = convolve(2, 6, 3, normalized=(4, 5))(x).flatten(1)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(y.std(dim=1, correction=0), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("options", "place", "message"),
    [
        ({"kernel": 4}, ("kernel",), "4 is even; expected an odd size"),
        ({"hidden": 0}, ("hidden",), "greater than or equal to 1"),
        ({"depth": 0}, ("depth",), "greater than or equal to 1"),
        ({"patch": 0}, ("patch",), "greater than or equal to 1"),
        ({"sampling": {"mode": "revers"}}, ("sampling", "mode"), "'reverse' or 'never'"),
        ({"sampling": {"per": "batch"}}, ("sampling", "per"), "'frame' or 'window'"),
        ({"sampling": {"start": 1.5}}, ("sampling", "start"), "less than or equal to 1"),
        ({"sampling": {"decrease": -1}}, ("sampling", "decrease"), "greater than or equal to 0"),
        ({"sampling": {"reverse_scale": 0}}, ("sampling", "reverse_scale"), "greater than 0"),
        (
            {"sampling": {"reverse_start": 9, "reverse_stop": 9}},
            ("sampling",),
            r"reverse_start \(9\) must be below reverse_stop \(9\)",
        ),
        ({"sampling": {"strat": 1.0}}, ("sampling", "strat"), "not permitted"),
    ],
)
def test_options_that_cannot_be(options, place, message):
    with pytest.raises(ValidationError, match=message) as caught:
        validate_model_config({"kind": "convlstm", **options})
    (error,) = caught.value.errors()
    assert error["loc"] == place
    assert "\n" not in error["msg"]


def test_as_many_channels_out_as_in():
    with pytest.raises(
        InputError, match="3 channels in cannot become 2 out; use as many"
    ) as caught:
        Counting(Shape(2, 2, 3, 2, 4, 4))
    assert "\n" not in str(caught.value)
