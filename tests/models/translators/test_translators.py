"""What all translators have in common."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weathersvq.models.translators import TRANSLATORS
from weathersvq.models.translators.base import Translator, drop_path_rate
from weathersvq.schema import kind_of

BY_KIND = {kind_of(each.Config): each for each in TRANSLATORS}


@pytest.fixture(params=TRANSLATORS, ids=lambda each: each.__name__)
def translator_class(request):
    return request.param


def trained(
    translator_class: type[Translator],
    channels: int = 16,
    hidden: int = 8,
    depth: int = 3,
    resolution: tuple[int, int] = (5, 9),
) -> Translator:
    """A translator in double precision, drop paths aside, whose branches are no longer closed."""
    torch.manual_seed(0)
    options = {"drop_path": 0.0} if "drop_path" in translator_class.Config.model_fields else {}
    translator = translator_class(
        channels, hidden, depth, resolution, translator_class.Config(**options)
    ).double()
    with torch.no_grad():
        for parameter in translator.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return translator


def waves(*shape: int) -> Tensor:
    """The same numbers everywhere, whatever the generator."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("channels", "hidden"), [(32, 16), (16, 16)])
def test_keeps_shape_and_every_parameter_learns(translator_class, channels, hidden, depth):
    torch.manual_seed(0)
    translator = translator_class(channels, hidden, depth, (6, 10), translator_class.Config())
    x = torch.randn(2, channels, 6, 10)
    y = translator.eval()(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    idle = [name for name, each in translator.named_parameters() if not each.grad.any()]
    assert not idle


def test_batch_order_does_not_matter(translator_class):
    torch.manual_seed(0)
    translator = translator_class(8, 8, 2, (4, 6), translator_class.Config()).eval()
    x = torch.randn(3, 8, 4, 6)
    torch.testing.assert_close(translator(x.flip(0)), translator(x).flip(0))


@pytest.mark.parametrize("resolution", [(1, 1), (3, 3), (5, 9), (7, 4)])
def test_odd_resolutions(translator_class, resolution):
    translator = trained(translator_class, resolution=resolution).eval()
    x = waves(2, 16, *resolution)
    y = translator(x)
    assert y.shape == x.shape
    assert y.isfinite().all()


def test_memory_order_does_not_matter(translator_class):
    translator = trained(translator_class).eval()
    x = waves(2, 16, 5, 9)
    torch.testing.assert_close(
        translator(x.contiguous(memory_format=torch.channels_last)), translator(x)
    )


def test_half_precision(translator_class):
    """bfloat16 has 8 bits; what they round away adds up over three blocks."""
    translator = trained(translator_class).float()
    x = waves(2, 16, 5, 9).float().requires_grad_()
    exact = translator(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = translator(x)
    assert (rounded.float() - exact).norm() < 0.03 * exact.norm()
    rounded.float().square().sum().backward()
    assert all(each.grad.isfinite().all() for each in [x, *translator.parameters()])


@pytest.mark.parametrize(
    ("kind", "scale"),
    [
        ("gsta", 1e-2),
        ("convnext", 1e-6),
        ("hornet", 1e-6),
        ("moganet", 1e-5),  # of branches and of decompositions
        ("uniformer", 1e-6),
        ("poolformer", 1e-5),
        ("van", 1e-2),
        ("tau", 1e-2),
    ],
)
def test_branches_start_almost_closed(kind, scale):
    translator = BY_KIND[kind](16, 8, 3, (4, 6), BY_KIND[kind].Config())
    found = [each for name, each in translator.named_parameters() if "scale" in name]
    assert found
    assert {value for each in found for value in each.flatten().tolist()} == {
        torch.tensor(scale).item()
    }


def test_drop_path_rises_linearly():
    assert [drop_path_rate(i, 4, 0.1) for i in range(4)] == pytest.approx([0.01, 0.04, 0.07, 0.1])
    assert [drop_path_rate(i, 3, 0.0) for i in range(3)] == [0, 0, 0]
    assert drop_path_rate(0, 1, 0.2) == 0.2


# kind -> (mean magnitude, second value, last but one), of weights and inputs drawn as below. The
# modules had been compared with the published ones: in double precision, outputs and gradients
# agree to 1e-13.
PINNED = {
    "gsta": (0.434585, 0.54825239, -0.77588084),
    "incepu": (1.4475321, -0.43459615, 0.3200158),
    "convmixer": (0.69493071, 0.68311683, 0.25491385),
    "convnext": (0.2671104, -0.14426645, 0.12333609),
    "hornet": (0.39015548, 0.019500397, -0.1863464),
    "moganet": (0.25973863, 0.32273433, -0.30923534),
    "vit": (0.42354647, 0.19002091, -0.47582677),
    "swin": (0.40771107, -0.22500255, -0.022254608),
    "uniformer": (6.877186, -0.30655342, 0.60146701),
    "poolformer": (0.26728921, 0.41339563, 0.063476037),
    "van": (0.49450312, 0.10652194, 0.12154279),
    "mlp_mixer": (0.29950508, 0.16402068, -0.66957834),
    "tau": (0.36585982, 0.033625409, 0.425035),
}


@pytest.mark.parametrize("kind", BY_KIND)
def test_outputs_are_those_compared_with_the_published_modules(kind):
    translator = trained(BY_KIND[kind], resolution=(8, 12))
    x = waves(2, 16, 8, 12)
    translator.train()(x)  # moves the running means of batch normalisation
    y = translator.eval()(x).flatten()
    assert (y.abs().mean().item(), y[1].item(), y[-2].item()) == pytest.approx(
        PINNED[kind], rel=1e-5
    )


@pytest.mark.parametrize(
    ("kind", "reach"),
    [
        ("gsta", 11 + 1),  # a 5x5 and 7 taps 3 apart, then the MLP's 3x3
        ("van", 11 + 1),
        ("convmixer", 5),
        ("convnext", 3),
        ("hornet", 3),
        ("uniformer", 1 + 2),  # 3x3 for position and 5x5 for relations
        # A mean over the map, or attention.
        ("incepu", None),
        ("moganet", None),
        ("vit", None),
        ("poolformer", None),
        ("mlp_mixer", None),
        ("tau", None),
    ],
)
def test_reach_of_one_block(kind, reach):
    translator = trained(BY_KIND[kind], 8, 8, depth=1, resolution=(1, 41)).eval()
    x = waves(1, 8, 1, 41)
    changed = x.clone()
    changed[:, 0, :, 20] += 1  # one channel: layer norm would not see all of them moved
    moved = (translator(changed) - translator(x)).abs().amax(dim=(0, 1, 2)) > 0
    expected = range(41) if reach is None else range(20 - reach, 20 + reach + 1)
    assert moved.nonzero().flatten().tolist() == list(expected)
