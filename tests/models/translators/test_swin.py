from __future__ import annotations

import pytest
import torch

from weathersvq.errors import InputError
from weathersvq.models.translators.swin import (
    Swin,
    SwinConfig,
    WindowAttention,
    from_windows,
    published_window,
    to_windows,
)


def attention(resolution, window, shift=(0, 0)) -> WindowAttention:
    torch.manual_seed(0)
    return WindowAttention(8, resolution, window, shift, heads=2, drop=0.0).double()


def moved(layer, resolution, row, column) -> list[tuple[int, int]]:
    """Cells whose output changes with one cell of the input."""
    x = torch.randn(1, *resolution, 8, dtype=torch.float64)
    changed = x.clone()
    changed[0, row, column] += 1
    return [tuple(i) for i in (layer(changed) != layer(x)).any(dim=-1)[0].nonzero().tolist()]


def test_windows_are_cut_row_by_row():
    cells = torch.arange(24).view(1, 4, 6, 1)
    windows = to_windows(cells, (2, 3))
    assert windows.shape == (1, 4, 6, 1)
    assert windows[0, 0, :, 0].tolist() == [0, 1, 2, 6, 7, 8]
    assert windows[0, 1, :, 0].tolist() == [3, 4, 5, 9, 10, 11]
    assert windows[0, 2, :, 0].tolist() == [12, 13, 14, 18, 19, 20]


@pytest.mark.parametrize("window", [(1, 1), (2, 3), (4, 2), (4, 6)])
def test_windows_can_be_undone(window):
    x = torch.randn(2, 4, 6, 5)
    assert torch.equal(from_windows(to_windows(x, window), window, columns=6), x)


def test_published_window():
    # Latent rows of grids of 5.625 and 1.40625 degrees, and others: 7 where it divides.
    rows = (16, 64, 7, 14, 80, 128, 256, 3)
    assert [published_window(each) for each in rows] == [4, 4, 7, 7, 5, 8, 8, 4]


def test_reach_of_windows():
    layer = attention((8, 12), (4, 4))
    assert moved(layer, (8, 12), 5, 6) == [(r, c) for r in range(4, 8) for c in range(4, 8)]


def test_reach_of_shifted_windows_goes_round_the_ends():
    layer = attention((8, 12), (4, 4), shift=(2, 2))
    assert moved(layer, (8, 12), 5, 6) == [(r, c) for r in range(2, 6) for c in range(6, 10)]
    assert moved(layer, (8, 12), 0, 0) == [(r, c) for r in (0, 1, 6, 7) for c in (0, 1, 10, 11)]


def test_reach_of_windows_shifted_along_one_axis():
    layer = attention((4, 12), (4, 4), shift=(0, 2))
    assert moved(layer, (4, 12), 1, 5) == [(r, c) for r in range(4) for c in range(2, 6)]


@pytest.mark.parametrize("shift", [(0, 0), (2, 2), (0, 1)])
def test_filled_up_cells_are_unseen(shift):
    """Means of equal values are that value; a zero among them would show."""
    layer = attention((5, 9), (4, 4), shift)
    x = torch.randn(8, dtype=torch.float64).expand(1, 5, 9, 8)
    torch.testing.assert_close(layer(x), layer(x)[:, :1, :1].expand_as(x))


def test_cell_alone_in_its_window_sees_itself_only():
    layer = attention((5, 5), (4, 4))
    x = torch.randn(1, 5, 5, 8, dtype=torch.float64)
    values = layer.queries_keys_values(x[0, 4, 4])[16:]
    torch.testing.assert_close(layer(x)[0, 4, 4], layer.after(values))


def test_bias_belongs_to_relative_positions():
    layer = attention((2, 3), (2, 3))
    bias = layer.bias()
    cells = [(row, column) for row in range(2) for column in range(3)]
    for i, (row, column) in enumerate(cells):
        for j, (seen_row, seen_column) in enumerate(cells):
            # Row distances of -1 to 1 and column distances of -2 to 2, counted from 0.
            expected = layer.position_bias[:, row - seen_row + 1, column - seen_column + 2]
            assert torch.equal(bias[:, i, j], expected)


@pytest.mark.parametrize(
    ("resolution", "shifts"),
    [
        ((8, 12), [(0, 0), (2, 2), (0, 0)]),
        ((4, 12), [(0, 0), (0, 2), (0, 0)]),
        ((3, 3), [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_every_second_block_is_shifted_where_there_are_several_windows(resolution, shifts):
    blocks = Swin(16, 16, 3, resolution, SwinConfig()).layers
    assert [block.attention.branch.shift for block in blocks] == shifts


def test_own_window():
    layer = Swin(16, 16, 1, (6, 6), SwinConfig(window=3)).layers[0].attention.branch
    assert layer.window == (3, 3)
    assert layer.position_bias.shape == (8, 5, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 9}, "window 9 is larger than the latent map of 8 x 12 cells; give at most 8"),
        ({"heads": 3}, "3 heads cannot share 16 channels evenly"),
    ],
)
def test_errors(options, message):
    with pytest.raises(InputError, match=message) as error:
        Swin(16, 16, 2, (8, 12), SwinConfig(**options))
    assert "\n" not in str(error.value)
