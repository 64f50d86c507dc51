from __future__ import annotations

import numpy as np
import pytest
import torch

from weathersvq.models.border import Border, padded_positions


@pytest.mark.parametrize(("wraps", "mode"), [(True, "wrap"), (False, "edge")])
@pytest.mark.parametrize(("size", "before", "after"), [(6, 2, 3), (3, 4, 8), (5, 0, 0)])
def test_padded_positions(size, before, after, wraps, mode):
    row = np.arange(size)
    positions = padded_positions(size, before, after, wraps).numpy()
    np.testing.assert_array_equal(row[positions], np.pad(row, (before, after), mode=mode))


def test_padding_by_hand():
    assert padded_positions(4, 2, 1, wraps=True).tolist() == [2, 3, 0, 1, 2, 3, 0]
    assert padded_positions(4, 2, 1, wraps=False).tolist() == [0, 0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize("halo", [0, 2])
@pytest.mark.parametrize("wraps", [True, False])
def test_cropping_undoes_padding(wraps, halo):
    border = Border(5, 7, multiple=4, wraps=wraps, halo=halo)
    x = torch.randn(2, 3, 5, 7)
    padded = border.pad(x)
    assert tuple(padded.shape[-2:]) == border.size
    assert [n % 4 for n in border.size] == [0, 0]
    assert torch.equal(border.crop(padded), x)
    # The column after the last is the first again, or the last repeated.
    after = padded[..., halo : halo + 5, halo + 7]
    assert torch.equal(after, x[..., 0 if wraps else -1])


def test_nothing_to_add():
    x = torch.randn(1, 1, 4, 8)
    assert Border(4, 8, multiple=4).pad(x) is x
