from __future__ import annotations

import pytest
import torch

from weathersvq.errors import InputError
from weathersvq.models.layers import GlobalAttention
from weathersvq.models.translators.uniformer import UniFormer, UniFormerConfig, global_block


@pytest.mark.parametrize(
    ("channels", "hidden", "depth", "are_global"),
    [
        (32, 16, 4, [False, True, True, False]),
        (16, 16, 4, [False, True, True, True]),
        (32, 16, 2, [False, False]),
        (16, 16, 1, [False]),
    ],
)
def test_which_blocks_are_global(channels, hidden, depth, are_global):
    translator = UniFormer(channels, hidden, depth, (4, 4), UniFormerConfig())
    blocks = [layer for layer in translator.layers if not isinstance(layer, torch.nn.Conv2d)]
    found = [any(isinstance(m, GlobalAttention) for m in block.modules()) for block in blocks]
    assert found == are_global


def test_global_block_sees_the_whole_map():
    torch.manual_seed(0)
    block = global_block(16, 0.0, UniFormerConfig()).double()
    x = torch.randn(1, 16, 6, 10, dtype=torch.float64)
    changed = x.clone()
    changed[..., 0, 0] += 1
    assert (block(changed) != block(x)).any(dim=1).all()


def test_heads_must_divide_the_channels():
    with pytest.raises(InputError, match="8 heads cannot share 12 channels") as error:
        UniFormer(24, 12, 3, (4, 4), UniFormerConfig())
    assert "\n" not in str(error.value)
    # The first and the last block have no heads here.
    UniFormer(12, 16, 3, (4, 4), UniFormerConfig())
