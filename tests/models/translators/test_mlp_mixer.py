from __future__ import annotations

import pytest
import torch

from weathersvq.models.translators.mlp_mixer import MLPMixer, MLPMixerConfig


def test_is_made_for_one_resolution():
    translator = MLPMixer(16, 16, 1, (4, 6), MLPMixerConfig())
    translator(torch.zeros(1, 16, 4, 6))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        translator(torch.zeros(1, 16, 4, 8))


def test_widths():
    """24 cells; a half of the 16 channels between the cells' layers, eight times in the others."""
    block = MLPMixer(16, 16, 1, (4, 6), MLPMixerConfig()).layers[0]
    shapes = [each.weight.shape for each in (block.cells[0], block.cells[3], block.channels[0])]
    assert shapes == [(8, 24), (24, 8), (128, 16)]


def test_mlps_mix_along_their_own_axis():
    torch.manual_seed(0)
    block = MLPMixer(16, 16, 1, (4, 6), MLPMixerConfig()).layers[0].eval()
    tokens = torch.randn(1, 24, 16)
    changed = tokens.clone()
    changed[0, 7] += 1
    other = (block.channels(changed) - block.channels(tokens)).abs().amax(dim=-1)[0] > 0
    assert other.nonzero().flatten().tolist() == [7]
    other = (block.cells(changed.mT) - block.cells(tokens.mT)).abs().amax(dim=(0, 1)) > 0
    assert other.all()
