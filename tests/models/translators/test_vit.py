from __future__ import annotations

import pytest
import torch

from weathersvq.errors import InputError
from weathersvq.models.translators.vit import ViT, ViTConfig


def test_knows_cells_by_what_they_hold_not_where():
    torch.manual_seed(0)
    translator = ViT(16, 8, 2, (3, 5), ViTConfig()).double().eval()
    x = torch.randn(1, 16, 15, dtype=torch.float64)
    order = torch.randperm(15)
    y = translator(x.view(1, 16, 3, 5)).flatten(2)
    torch.testing.assert_close(
        translator(x[..., order].view(1, 16, 3, 5)).flatten(2), y[..., order]
    )


@pytest.mark.parametrize(("channels", "hidden", "named"), [(12, 16, 12), (16, 12, 12)])
def test_heads_must_divide_the_channels(channels, hidden, named):
    with pytest.raises(InputError, match=f"8 heads cannot share {named} channels") as error:
        ViT(channels, hidden, 3, (4, 4), ViTConfig())
    assert "\n" not in str(error.value)
