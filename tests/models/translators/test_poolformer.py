from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from weathersvq.models.translators.poolformer import PoolFormer, PoolFormerConfig, Pooling


def test_constant_map_has_no_deviation():
    """At the border, too: what lies outside is not counted in."""
    assert not Pooling(3)(torch.full((2, 4, 5, 6), 7.0)).any()


def test_pooling_by_hand():
    # Means of (0, 3), (0, 3, 9) and (3, 9).
    x = torch.tensor([0.0, 3.0, 9.0]).view(1, 1, 1, 3)
    assert Pooling(3)(x).flatten().tolist() == [1.5, 1.0, -3.0]


def test_only_the_norm_sees_far():
    block = PoolFormer(4, 4, 1, (5, 6), PoolFormerConfig()).layers[0][0]
    assert isinstance(block.norm, torch.nn.GroupNorm)
    assert block.norm.num_groups == 1


def test_even_pool_is_refused():
    with pytest.raises(ValidationError, match="4 is even; expected an odd size"):
        PoolFormerConfig(pool=4)
