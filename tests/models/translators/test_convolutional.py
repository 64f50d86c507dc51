"""ConvMixer, ConvNeXt and VAN: what they have beyond the tests that all translators share."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from weathersvq.models.translators.convmixer import ConvMixerBlock, ConvMixerConfig
from weathersvq.models.translators.convnext import ConvNeXt, ConvNeXtConfig
from weathersvq.models.translators.van import LargeKernelAttention


@pytest.mark.parametrize("config", [ConvMixerConfig, ConvNeXtConfig])
def test_even_kernels_are_refused(config):
    with pytest.raises(ValidationError, match="6 is even; expected an odd size"):
        config(kernel=6)


def test_convmixer_has_a_shortcut_round_the_first_convolution_only():
    block = ConvMixerBlock(4, 3).double().eval()
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    # Normalisation with fresh statistics divides by the root of 1 + 1e-5.
    root = (1 + 1e-5) ** 0.5
    torch.nn.init.zeros_(block.places[0].weight)
    torch.nn.init.dirac_(block.mixer[0].weight)
    torch.testing.assert_close(block(x), F.gelu(x) / root)
    torch.nn.init.zeros_(block.mixer[0].weight)
    assert not block(x).any()


def test_convnext_starts_all_but_as_the_identity():
    torch.manual_seed(0)
    translator = ConvNeXt(4, 4, 2, (5, 6), ConvNeXtConfig()).eval()
    x = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(translator(x), x, rtol=0, atol=1e-4)
    assert not torch.equal(translator(x), x)


def test_van_weighs_the_values_themselves():
    """With weights of 3 everywhere and the 1x1 convolutions taken out: x + 3 gelu(x)."""
    layer = LargeKernelAttention(4, 21).double()
    for convolution in (layer.before[0], layer.after):
        torch.nn.init.dirac_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
    torch.nn.init.zeros_(layer.weights[-1].weight)
    torch.nn.init.constant_(layer.weights[-1].bias, 3.0)
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x + 3 * F.gelu(x))
