from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from weathersvq.errors import InputError
from weathersvq.models.translators.incepu import InceptionBlock, IncepU, IncepUConfig


def test_branches_are_added_up():
    torch.manual_seed(0)
    block = InceptionBlock(4, 8, 16, IncepUConfig()).double()
    x = torch.randn(1, 4, 6, 5, dtype=torch.float64)
    middle = block.before(x)
    assert [branch[0].kernel_size[0] for branch in block.branches] == [3, 5, 7, 11]
    torch.testing.assert_close(block(x), sum(branch(middle) for branch in block.branches))


def test_skips_join_what_lies_at_the_same_depth():
    """Widths in and out of the blocks, down and up again; the lowest output goes up once only."""
    translator = IncepU(24, 16, 3, (4, 4), IncepUConfig())

    def widths(blocks):
        return [(block.before.in_channels, block.branches[0][0].out_channels) for block in blocks]

    assert widths(translator.down) == [(24, 16), (16, 16), (16, 16)]
    assert widths(translator.up) == [(16, 16), (32, 16), (32, 24)]
    received = []
    for block in translator.up:
        block.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    sent = []
    for block in translator.down:
        block.register_forward_hook(lambda _, __, output: sent.append(output))
    translator(torch.randn(1, 24, 4, 4))
    assert received[0] is sent[2]
    assert torch.equal(received[1][:, 16:], sent[1])
    assert torch.equal(received[2][:, 16:], sent[0])


def test_one_group_where_the_middle_cannot_be_shared_out():
    assert InceptionBlock(4, 10, 16, IncepUConfig()).branches[0][0].groups == 1
    assert InceptionBlock(4, 16, 16, IncepUConfig()).branches[0][0].groups == 8


def test_groups_must_divide_the_channels():
    with pytest.raises(InputError, match="8 groups cannot share 12 channels evenly") as error:
        IncepU(12, 16, 2, (4, 4), IncepUConfig())
    assert "\n" not in str(error.value)
    IncepU(12, 16, 2, (4, 4), IncepUConfig(groups=4))


@pytest.mark.parametrize(
    ("kernels", "message"),
    [((), "at least 1"), ((3, 4), "4 is even; expected an odd size"), ((-3,), "greater than")],
)
def test_kernels_that_cannot_be(kernels, message):
    with pytest.raises(ValidationError, match=message):
        IncepUConfig(kernels=kernels)
