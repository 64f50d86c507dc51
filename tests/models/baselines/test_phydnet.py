from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from weathersvq.models import build_model, validate_model_config
from weathersvq.models.baselines.phydnet import PhysicalCell, moment_loss, moments
from weathersvq.models.forecaster import Shape


def make(shape, **options):
    """A model in double precision, whose weights that start from zero no longer are."""
    torch.manual_seed(0)
    model = build_model(validate_model_config({"kind": "phydnet", **options}), shape).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def waves(*shape):
    """The same numbers everywhere, whatever the generator."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


def derivative_filters(size):
    """(size * size, size, size): filters of a single moment, found by solving for them."""
    units = torch.eye(size**2, dtype=torch.float64).view(-1, size, size)
    matrix = moments(units).flatten(1).T
    return torch.linalg.inv(matrix).T.reshape(-1, size, size)


def test_moments_by_hand():
    second = torch.tensor([[0, 0, 0], [1, -2, 1], [0, 0, 0]], dtype=torch.float64)
    along_x = torch.zeros(3, 3, dtype=torch.float64)
    along_x[0, 2] = 1  # (1 + 1) / 2!
    torch.testing.assert_close(moments(second), along_x)
    torch.testing.assert_close(moments(second.T), along_x.T)
    # One tap at y = -1, x = 1: y^i x^j / (i! j!).
    corner = torch.zeros(2, 3, 3, dtype=torch.float64)
    corner[1, 0, 2] = 4
    expected = 4 * torch.outer(torch.tensor([1, -1, 0.5]), torch.tensor([1, 1, 0.5])).double()
    torch.testing.assert_close(moments(corner), torch.stack([0 * expected, expected]))


@pytest.mark.parametrize("size", [3, 7])
def test_a_filter_of_one_moment_is_a_derivative(size):
    """Applied to y^i x^j in the middle: i! j! where it is of that order, else 0."""
    places = torch.arange(size, dtype=torch.float64) - size // 2
    powers = torch.stack([places**order for order in range(size)])
    applied = torch.einsum("nyx,iy,jx->nij", derivative_filters(size), powers, powers)
    factorials = torch.tensor([math.factorial(order) for order in range(size)]).double()
    expected = torch.eye(size**2).double().view(-1, size, size) * torch.outer(
        factorials, factorials
    )
    torch.testing.assert_close(applied, expected, rtol=0, atol=1e-6)


def test_moment_loss_by_hand():
    """9 filters of 5 channels: 0 for derivatives, then a sum over channels of means over 81."""
    exact = derivative_filters(3)[:, None].repeat(1, 5, 1, 1)
    assert moment_loss(exact).item() == pytest.approx(0, abs=1e-20)
    assert moment_loss(0 * exact).item() == pytest.approx(5 * 9 / 81)
    # The tap in the middle has the moment (0, 0) alone.
    exact[4, 2, 1, 1] += 2
    assert moment_loss(exact).item() == pytest.approx(2**2 / 81)
    swapped = exact.flip(0)
    assert moment_loss(swapped) > 0.5


def test_moment_loss_of_training():
    shape = Shape(2, 4, 1, 1, 8, 8)
    model = make(shape, kernel=5, moment_weight=0.3)
    assert model.physical.derivatives.weight.shape == (25, 64, 5, 5)
    expected = 0.3 * moment_loss(model.physical.derivatives.weight) / 4
    torch.testing.assert_close(model.weight_losses(), {"moments": expected})
    x, targets = waves(2, 2, 1, 8, 8), waves(2, 4, 1, 8, 8)
    _, losses = model.forward_in_training(x, targets, 0, F.mse_loss)
    torch.testing.assert_close(losses["moments"], expected)
    assert model.eval().weight_losses() == {}
    assert make(shape, moment_weight=0).weight_losses() == {}


def test_moment_loss_is_exact_where_the_rest_is_rounded():
    """Mixed precision would round its products to 8 bits."""
    weight = torch.randn(49, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = moment_loss(weight)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(moment_loss(weight.double()).item(), rel=1e-6)


@pytest.mark.parametrize(("bias", "share"), [(-1e3, 0.0), (0.0, 0.5), (math.log(3), 0.75)])
def test_correction_by_hand(bias, share):
    """Between what the derivatives predict and what is seen, by trust in the latter."""
    torch.manual_seed(0)
    cell = PhysicalCell(4, 3).double()
    with torch.no_grad():
        cell.trust.weight.zero_()
        cell.trust.bias.fill_(bias)
    x, state = waves(2, 2, 4, 5, 6).unbind(0)
    predicted = state + cell.combine(cell.derivatives(state))
    torch.testing.assert_close(cell(x, state), (1 - share) * predicted + share * x)


def test_output():
    """Standardised fields are as often below 0 as above: a sigmoid has nothing to offer there."""
    x = waves(2, 3, 1, 8, 8)
    linear = make(Shape(3, 1, 1, 1, 8, 8)).eval()(x)
    squashed = make(Shape(3, 1, 1, 1, 8, 8), output="sigmoid").eval()(x)
    assert linear.min() < 0
    torch.testing.assert_close(squashed, linear.sigmoid())
    assert validate_model_config("phydnet").output == "linear"


def test_truth_is_drawn_for_whole_windows():
    """The published chance falls by 0.003 an epoch: 0.997 after 3000 steps."""
    torch.manual_seed(0)
    sampling = validate_model_config("phydnet").sampling
    assert sampling.chances(2999) == (1.0, pytest.approx(0.997))
    drawn = sampling.draw(500_000, 64, 11, 11)
    assert drawn.shape == (64, 22)
    assert drawn[:, :11].all()
    outputs = drawn[:, 11:]
    assert torch.equal(outputs.all(dim=1), outputs.any(dim=1))
    assert 0.3 < outputs.double().mean() < 0.7


@pytest.mark.parametrize("shrink", [2, 4])
def test_every_parameter_learns_from_sampled_windows(shrink):
    shape = Shape(2, 5, 2, 2, 7, 9, longitude_wraps=True)
    sampling = {"per": "window", "start": 0.5, "decrease": 0.0}
    model = make(shape, shrink=shrink, moment_weight=0, sampling=sampling)
    x, targets = waves(2, *shape.inputs), waves(2, 5, 2, 7, 9)
    y, losses = model.forward_in_training(x, targets, 0, F.mse_loss)
    assert y.shape == targets.shape
    assert list(losses) == ["inputs"]
    (F.mse_loss(y, targets) + losses["inputs"]).backward()
    idle = [name for name, each in model.named_parameters() if not each.grad.any()]
    assert not idle


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shrink": 3}, "should be 2 or 4"),
        ({"kernel": 6}, "6 is even; expected an odd size"),
        ({"moment_weight": -1}, "greater than or equal to 0"),
        ({"output": "tanh"}, "'linear' or 'sigmoid'"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValidationError, match=message) as caught:
        validate_model_config({"kind": "phydnet", **options})
    assert caught.value.errors()[0]["loc"] == tuple(options)


# shrink -> (mean magnitude, second value, last but one; moment loss), of weights and inputs drawn
# as here. They are those of the published model (whose output is the sigmoid) with the same weights;
# in double precision, outputs and gradients, with the moment loss's, agree to 2e-14.
PINNED = {
    2: (0.394518669, 0.177507656, 0.422788239, 69.9554606),
    4: (0.427125958, 0.873589924, 0.491499762, 69.9554606),
}


@pytest.mark.parametrize("shrink", PINNED)
def test_outputs_are_those_compared_with_the_published_model(shrink):
    model = make(Shape(3, 5, 2, 2, 8, 12), shrink=shrink, output="sigmoid")
    moment = model.weight_losses()["moments"].item()
    y = model.eval()(waves(2, 3, 2, 8, 12)).flatten()
    values = (y.abs().mean().item(), y[1].item(), y[-2].item(), moment)
    assert values == pytest.approx(PINNED[shrink], rel=1e-6)
