from __future__ import annotations

import pytest
import torch

from weathersvq.errors import InputError
from weathersvq.models import build_model
from weathersvq.models.baselines.persistence import PersistenceConfig
from weathersvq.models.forecaster import Shape, rollout


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_repeats_the_last_frame(steps):
    model = build_model(PersistenceConfig(), Shape(3, steps, 2, 2, 4, 6))
    x = torch.randn(2, 3, 2, 4, 6)
    y = model(x)
    assert y.shape == (2, steps, 2, 4, 6)
    assert all(torch.equal(y[:, step], x[:, -1]) for step in range(steps))
    assert torch.equal(rollout(model, x, 10)[:, 9], x[:, -1])
    assert not list(model.parameters())


def test_other_channels_out():
    with pytest.raises(InputError, match="1 channels in cannot become 2 out"):
        build_model(PersistenceConfig(), Shape(3, 3, 1, 2, 4, 6))
